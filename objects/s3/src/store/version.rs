//! Versions of objects: their rows, and the IDs that clients see.

use super::{LockMode, Owner, checksum::Checksum, crypt::Seal};
use crate::fault;
use base64::{
    Engine as _,
    alphabet::Alphabet,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use cluster::{BlobId, Record};
use s3s::S3Result;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// Which version of its key: the suffix of its record. The newest sorts first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionKey(pub [u8; 16]);

impl fmt::Debug for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_id())
    }
}

/// Characters of IDs: none that a shell or a command line would take for its own at the start.
static ID: LazyLock<Option<GeneralPurpose>> = LazyLock::new(|| {
    let text = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
    Some(GeneralPurpose::new(&Alphabet::new(text).ok()?, NO_PAD))
});

pub(super) fn encode_id(bytes: &[u8]) -> String {
    ID.as_ref().map_or_else(|| hex::encode(bytes), |engine| engine.encode(bytes))
}

pub(super) fn decode_id<const N: usize>(id: &str) -> Option<[u8; N]> {
    let bytes = match ID.as_ref() {
        Some(engine) => engine.decode(id).ok()?,
        None => hex::decode(id).ok()?,
    };
    bytes.try_into().ok()
}

impl VersionKey {
    /// The key of a version made now, after `newest`.
    #[must_use]
    pub fn after(newest: Option<Self>, now_ns: u64, random: [u8; 8]) -> Self {
        let order = newest.map_or(now_ns, |newest| now_ns.max(newest.order().saturating_add(1)));
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(!order).to_be_bytes());
        key[8..].copy_from_slice(&random);
        Self(key)
    }

    /// Rises from version to version of a key; about nanoseconds since 1970.
    fn order(self) -> u64 {
        let mut order = [0; 8];
        order.copy_from_slice(&self.0[..8]);
        !u64::from_be_bytes(order)
    }

    /// The key in a record's suffix.
    #[must_use]
    pub fn of_suffix(suffix: &[u8]) -> Option<Self> {
        Some(Self(suffix.try_into().ok()?))
    }

    /// The version ID that clients see, unless it is the null version.
    #[must_use]
    pub fn to_id(self) -> String {
        encode_id(&self.0)
    }

    /// The version that an ID names.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        decode_id(id).map(Self)
    }
}

/// Headers that an object keeps and gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Header {
    CacheControl,
    ContentDisposition,
    ContentEncoding,
    ContentLanguage,
    ContentType,
    Expires,
    WebsiteRedirect,
}

/// What the client says of an object, beside its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub headers: Vec<(Header, String)>,
    /// By name in lower case, in order.
    pub metadata: Vec<(String, String)>,
    /// None is STANDARD.
    pub storage_class: Option<String>,
    pub tags: Vec<(String, String)>,
    /// The document of the access control list; none is the owner's full control.
    pub acl: Option<String>,
}

impl Attributes {
    /// A header's value.
    #[must_use]
    pub fn header(&self, header: Header) -> Option<&str> {
        self.headers.iter().find(|(name, _)| *name == header).map(|(_, value)| value.as_str())
    }
}

/// How long a version can't be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub mode: LockMode,
    pub until_ms: u64,
}

/// What keeps a version from being removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub retention: Option<Retention>,
    /// None if it was never said.
    pub legal_hold: Option<bool>,
}

/// Consecutive parts of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first part's number; the others follow.
    pub first: u16,
    pub count: u16,
    /// Of each, in bytes.
    pub size: u64,
}

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the record's own blobs, which are so long, in bytes.
    Blobs(Vec<u64>),
    /// In the parts of an upload, in order.
    Upload { id: [u8; 16], runs: Vec<Run> },
}

/// An MD5 of the body, or of its parts' MD5s with their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etag {
    pub md5: [u8; 16],
    pub parts: Option<u16>,
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.md5))?;
        self.parts.map_or(Ok(()), |parts| write!(f, "-{parts}"))
    }
}

/// An object, as opposed to a delete marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    pub size: u64,
    pub etag: Etag,
    pub content: Content,
    pub seal: Seal,
    pub checksum: Option<Checksum>,
    pub attributes: Attributes,
    pub lock: Lock,
    /// Until when an archived object is restored, in milliseconds since 1970.
    pub restored_until_ms: Option<u64>,
}

/// How far a version has been copied to other buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replication {
    Pending,
    Completed,
    Failed,
    /// It is itself a copy.
    Replica,
}

impl Replication {
    /// S3's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Replica => "REPLICA",
        }
    }
}

/// A version's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Whether it is the null version: written while versioning was not enabled.
    pub null: bool,
    pub modified_ms: u64,
    /// None is the bucket's owner.
    pub owner: Option<Owner>,
    /// None is a delete marker.
    pub object: Option<Object>,
    /// None if no rule is about it. Stored behind the rest: see [`REPLICATED`].
    #[serde(skip)]
    pub replication: Option<Replication>,
}

/// The first byte of a row: how the rest is encoded.
const POSTCARD: u8 = 1;
/// A version's row, followed by its [`Replication`].
const REPLICATED: u8 = 2;

pub(super) fn encode<T: Serialize>(row: &T) -> S3Result<bytes::Bytes> {
    let value = postcard::to_extend(row, vec![POSTCARD]);
    Ok(value.map_err(s3s::S3Error::internal_error)?.into())
}

pub(super) fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> S3Result<T> {
    match value.split_first() {
        Some((&POSTCARD, row)) => postcard::from_bytes(row).map_err(s3s::S3Error::internal_error),
        _ => Err(fault::internal()),
    }
}

impl Version {
    /// Its record.
    ///
    /// # Errors
    /// It can't be encoded, which is a fault of ours.
    pub fn encode(&self, blobs: Vec<BlobId>) -> S3Result<Record> {
        let Some(replication) = &self.replication else {
            return Ok(Record { blobs, value: encode(self)? });
        };
        let value = postcard::to_extend(self, vec![REPLICATED])
            .and_then(|row| postcard::to_extend(replication, row))
            .map_err(s3s::S3Error::internal_error)?;
        Ok(Record { blobs, value: value.into() })
    }

    /// The row in a record.
    ///
    /// # Errors
    /// These aren't a row's bytes.
    pub fn decode(record: &Record) -> S3Result<Self> {
        let Some((&REPLICATED, row)) = record.value.split_first() else {
            return decode(&record.value);
        };
        let row = postcard::take_from_bytes::<Self>(row);
        let (version, rest) = row.map_err(s3s::S3Error::internal_error)?;
        let replication = postcard::from_bytes(rest).map_err(s3s::S3Error::internal_error)?;
        Ok(Self { replication: Some(replication), ..version })
    }

    /// The version ID that clients see.
    #[must_use]
    pub fn id(&self, key: VersionKey) -> String {
        if self.null { "null".to_owned() } else { key.to_id() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_sort_first_whatever_the_clock() {
        let mut newest = None;
        for now in [5, 6, 6, 3, 0, 100, u64::MAX - 1, 7] {
            let next = VersionKey::after(newest, now, [now.to_be_bytes()[7]; 8]);
            assert!(newest.is_none_or(|newest| next < newest), "{now}");
            assert_eq!(VersionKey::of_id(&next.to_id()), Some(next));
            newest = Some(next);
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let marker = Version {
            null: false,
            modified_ms: 77,
            owner: Some(Owner { account: "1".to_owned(), ..Owner::default() }),
            object: None,
            replication: None,
        };
        let plain = marker.encode(Vec::new()).expect("encoded");
        // As rows were before there was replication.
        assert_eq!(plain.value[0], POSTCARD);
        assert_eq!(Version::decode(&plain).expect("decoded"), marker);
        for replication in [
            Replication::Pending,
            Replication::Completed,
            Replication::Failed,
            Replication::Replica,
        ] {
            let version = Version { replication: Some(replication), ..marker.clone() };
            let record = version.encode(Vec::new()).expect("encoded");
            assert_eq!(record.value.len(), plain.value.len() + 1);
            assert_eq!(Version::decode(&record).expect("decoded"), version);
            let cut = Record { value: record.value.slice(..plain.value.len()), ..record };
            assert!(Version::decode(&cut).is_err());
        }
    }

    #[test]
    fn bad_ids_name_nothing() {
        for id in ["", "null", "x", "ünïcode", &"A".repeat(23), "-AAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(VersionKey::of_id(id), None, "{id}");
        }
    }
}
