//! Multipart uploads. Parts keep their own records for good: a complete object's row names its
//! upload and the sizes of its parts.

use super::{
    Bucket, BucketEntry, Owner, Store,
    checksum::{self, Algorithm, Checksum, Kind},
    crypt::{Seal, Wrapping},
    ingest::Taken,
    listing::{Page, Query, Visit, Walk},
    objects::{Written, place_of},
    outbox,
    rules::Conditions,
    version::{Attributes, Content, Etag, Lock, Object, Run, decode, decode_id, encode, encode_id},
};
use crate::fault;
use bytes::Bytes;
use cluster::{BlobId, Changes, Record, Table, Update};
use s3s::{
    S3ErrorCode, S3Result,
    crypto::{Checksum as _, Md5},
};
use serde::{Deserialize, Serialize};

/// Every part but the last has at least so many bytes.
pub const MIN_PART_BYTES: u64 = 5 << 20;
/// Part numbers go from 1 to this.
pub const MAX_PARTS: u16 = 10_000;
/// The largest object: 50 TiB.
const MAX_OBJECT_BYTES: u64 = 50 << 40;

/// Which upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadKey(pub [u8; 16]);

impl UploadKey {
    fn new(now_ns: u64) -> Self {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&now_ns.to_be_bytes());
        key[8..].copy_from_slice(&rand::random::<[u8; 8]>());
        Self(key)
    }

    /// The ID that clients see.
    #[must_use]
    pub fn to_id(self) -> String {
        encode_id(&self.0)
    }

    /// The upload that an ID names.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub fn of_id(id: &str) -> S3Result<Self> {
        decode_id(id).map(Self).ok_or_else(|| fault::no_such_upload(id))
    }
}

/// An upload in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub initiated_ms: u64,
    /// Of the object to be; none is the bucket's owner.
    pub owner: Option<Owner>,
    /// Who began it: an ARN or a canonical ID, and a name.
    pub initiator: (String, String),
    pub attributes: Attributes,
    pub lock: Lock,
    pub wrapping: Wrapping,
    /// What the client asked for.
    pub checksum: Option<(Algorithm, Kind)>,
}

impl Upload {
    /// The checksum that the object will have.
    #[must_use]
    pub fn checksum(&self) -> (Algorithm, Kind) {
        self.checksum.unwrap_or((Algorithm::Crc64Nvme, Kind::FullObject))
    }
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// In bytes, before encryption.
    pub size: u64,
    pub md5: [u8; 16],
    /// By the upload's algorithm.
    pub checksum: Vec<u8>,
    pub modified_ms: u64,
    /// Of its blobs, in bytes.
    pub lens: Vec<u64>,
    pub seal: Seal,
}

impl Part {
    pub(super) fn suffix(upload: &[u8; 16], number: u16) -> [u8; 18] {
        let mut suffix = [0; 18];
        suffix[..16].copy_from_slice(upload);
        suffix[16..].copy_from_slice(&number.to_be_bytes());
        suffix
    }

    pub(super) fn decode(record: &Record) -> S3Result<Self> {
        decode(&record.value)
    }

    /// Its record.
    pub(super) fn encode(&self, blobs: Vec<BlobId>) -> S3Result<Record> {
        Ok(Record { blobs, value: encode(self)? })
    }
}

/// A part as a client names it to complete an upload.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub number: u16,
    /// Without quotes.
    pub etag: String,
    pub checksum: Option<(Algorithm, Vec<u8>)>,
}

/// What a client says to complete an upload.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    pub parts: Vec<Named>,
    pub conditions: Conditions,
    pub kind: Option<Kind>,
    /// Of the whole object.
    pub checksum: Option<(Algorithm, Vec<u8>)>,
    pub size: Option<u64>,
}

/// A completed object.
#[derive(Clone, Debug)]
pub struct Completed {
    pub written: Written,
    pub object: Object,
}

impl Store {
    /// Begins an upload.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn create_upload(
        &self,
        entry: &BucketEntry,
        key: &str,
        mut upload: Upload,
    ) -> S3Result<UploadKey> {
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        upload.initiated_ms = self.now_ms();
        let upload_key = UploadKey::new(self.settings.clock.now_ns());
        let mut update = self.cluster.update(place_of(&bucket, key)).await;
        let record = Record { blobs: Vec::new(), value: encode(&upload)? };
        let records = vec![(update.place().record(Table::Uploads, &upload_key.0), Some(record))];
        self.commit(&mut update, Changes { records, blobs: Vec::new() }).await?;
        Ok(upload_key)
    }

    /// An upload in progress.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub async fn upload(&self, bucket: &Bucket, key: &str, id: UploadKey) -> S3Result<Upload> {
        let record = place_of(bucket, key).record(Table::Uploads, &id.0);
        let found = self.cluster.get(&record).await.map_err(|e| fault::storage(&e))?;
        decode(&found.ok_or_else(|| fault::no_such_upload(&id.to_id()))?.value)
    }

    /// Keeps a part that was taken in, in the place of one of the same number.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub async fn put_part(
        &self,
        entry: &BucketEntry,
        key: &str,
        id: UploadKey,
        number: u16,
        taken: Taken,
    ) -> S3Result<Part> {
        let _inside = entry.enter().await?;
        let mut update = self.cluster.update(place_of(&entry.row(), key)).await;
        upload_under(&update, id).await?;
        let part = Part {
            size: taken.size,
            md5: taken.md5,
            checksum: taken.checksum.value,
            modified_ms: self.now_ms(),
            lens: taken.body.blobs.iter().map(|blob| blob.len).collect(),
            seal: taken.seal,
        };
        let blobs = taken.body.blobs.iter().map(|blob| blob.id).collect();
        let record = part.encode(blobs)?;
        let place_key = update.place().record(Table::Parts, &Part::suffix(&id.0, number));
        let records = vec![(place_key, Some(record))];
        self.commit(&mut update, Changes { records, blobs: taken.body.inline }).await?;
        Ok(part)
    }

    /// Up to `limit` parts of an upload, complete or not, after a number.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn parts(
        &self,
        bucket: &Bucket,
        key: &str,
        id: UploadKey,
        after: u16,
        limit: usize,
    ) -> S3Result<Vec<(u16, Part)>> {
        let place = place_of(bucket, key);
        let from = place.record(Table::Parts, &Part::suffix(&id.0, after.saturating_add(1)));
        let last = place.record(Table::Parts, &Part::suffix(&id.0, u16::MAX));
        let found = self.cluster.scan(from..last, limit).await.map_err(|e| fault::storage(&e))?;
        found.iter().map(|(key, record)| Ok((number_of(key)?, Part::decode(record)?))).collect()
    }

    /// A page of uploads in progress: key, upload and row.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn list_uploads(
        &self,
        bucket: &Bucket,
        query: &Query,
    ) -> S3Result<Page<(String, UploadKey, Upload)>> {
        let walk = Walk {
            store: self,
            table: Table::Uploads,
            bucket: bucket.number,
            query,
            first_only: false,
        };
        walk.page(|row| {
            let id = row.suffix.try_into().map_err(|_| fault::internal())?;
            let upload = decode(&row.record.value)?;
            Ok(Visit::Show((row.key.to_owned(), UploadKey(id), upload)))
        })
        .await
    }

    /// Ends an upload; its parts are removed.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub async fn abort_upload(
        &self,
        entry: &BucketEntry,
        key: &str,
        id: UploadKey,
    ) -> S3Result<()> {
        let _inside = entry.enter().await?;
        let mut update = self.cluster.update(place_of(&entry.row(), key)).await;
        upload_under(&update, id).await?;
        let upload = update.place().record(Table::Uploads, &id.0);
        let records = vec![(upload, None), Self::garbage(update.place(), &id.0)];
        update.although_full();
        self.commit(&mut update, Changes { records, blobs: Vec::new() }).await
    }

    /// Makes an object of an upload. To complete it again gives the same answer.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`, `BadDigest`.
    pub async fn complete_upload(
        &self,
        entry: &BucketEntry,
        key: impl Into<outbox::Named<'_>>,
        id: UploadKey,
        completion: &Completion,
    ) -> S3Result<Completed> {
        let key = key.into();
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        let mut update = self.cluster.update(place_of(&bucket, key.key)).await;
        let upload = match upload_under(&update, id).await {
            Ok(upload) => upload,
            Err(error) => {
                let before = completed_before(&update, &bucket, id, completion).await?;
                return before.ok_or(error);
            }
        };
        let mut changes = Changes::default();
        let (parts, unused) = choose(&update, id, &completion.parts).await?;
        changes.records.extend(unused.into_iter().map(|key| (key, None)));
        changes.records.push((update.place().record(Table::Uploads, &id.0), None));
        let object = assemble(&upload, id, &parts, completion)?;
        let new = (object.clone(), upload.owner, Vec::new());
        let conditions = &completion.conditions;
        let written = self.put_under(&mut update, &bucket, key, new, conditions, changes).await?;
        Ok(Completed { written, object })
    }
}

fn number_of(record: &[u8]) -> S3Result<u16> {
    record.last_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes)).ok_or_else(fault::internal)
}

async fn upload_under(update: &Update<'_>, id: UploadKey) -> S3Result<Upload> {
    let found = update.get(Table::Uploads, &id.0).await.map_err(|e| fault::storage(&e))?;
    decode(&found.ok_or_else(|| fault::no_such_upload(&id.to_id()))?.value)
}

fn invalid_part(id: UploadKey, named: &Named) -> s3s::S3Error {
    let message = "One or more of the specified parts could not be found.  The part may not have \
                   been uploaded, or the specified entity tag may not match the part's entity tag.";
    let error = fault::fault(S3ErrorCode::InvalidPart, message);
    let number = named.number.to_string();
    fault::with(error, &[("UploadId", &id.to_id()), ("PartNumber", &number), ("ETag", &named.etag)])
}

/// The parts that a client names, in order, and the records of the others.
async fn choose(
    update: &Update<'_>,
    id: UploadKey,
    named: &[Named],
) -> S3Result<(Vec<(u16, Part)>, Vec<Bytes>)> {
    const AT_A_TIME: usize = 1000;
    if named.is_empty() {
        return Err(fault::malformed_xml());
    }
    if !named.is_sorted_by(|one, next| one.number < next.number) {
        let message = "The list of parts was not in ascending order. The parts list must be \
                       specified in order by part number.";
        return Err(fault::fault(S3ErrorCode::InvalidPartOrder, message));
    }
    let (mut chosen, mut unused) = (Vec::with_capacity(named.len()), Vec::new());
    let mut wanted = named.iter().peekable();
    let mut after = id.0.to_vec();
    let begin = update.place().record(Table::Parts, &id.0);
    loop {
        let page = update.scan(Table::Parts, Some(&after), AT_A_TIME).await;
        let page = page.map_err(|e| fault::storage(&e))?;
        let ended = page.len() < AT_A_TIME;
        for (key, record) in page.iter().take_while(|(key, _)| key.starts_with(&begin)) {
            let number = number_of(key)?;
            after = Part::suffix(&id.0, number).to_vec();
            match wanted.peek() {
                Some(next) if next.number < number => return Err(invalid_part(id, next)),
                Some(next) if next.number == number => {
                    let part = Part::decode(record)?;
                    check_part(id, next, &part)?;
                    chosen.push((number, part));
                    wanted.next();
                }
                Some(_) | None => unused.push(key.clone()),
            }
        }
        if ended || page.last().is_none_or(|(key, _)| !key.starts_with(&begin)) {
            break;
        }
    }
    if let Some(missing) = wanted.next() {
        return Err(invalid_part(id, missing));
    }
    check_sizes(&chosen)?;
    Ok((chosen, unused))
}

fn check_part(id: UploadKey, named: &Named, part: &Part) -> S3Result<()> {
    let same = named.checksum.as_ref().is_none_or(|(algorithm, value)| {
        // Of another algorithm than the upload's nothing is known.
        algorithm.value_len() != part.checksum.len() || *value == part.checksum
    });
    if named.etag == hex::encode(part.md5) && same { Ok(()) } else { Err(invalid_part(id, named)) }
}

fn check_sizes(parts: &[(u16, Part)]) -> S3Result<()> {
    let all_but_last = parts.split_last().map_or(&[][..], |(_, rest)| rest);
    if let Some((number, part)) = all_but_last.iter().find(|(_, part)| part.size < MIN_PART_BYTES) {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        let error = fault::fault(S3ErrorCode::EntityTooSmall, message);
        let (size, least) = (part.size.to_string(), MIN_PART_BYTES.to_string());
        let (number, etag) = (number.to_string(), hex::encode(part.md5));
        return Err(fault::with(
            error,
            &[
                ("ProposedSize", &size),
                ("MinSizeAllowed", &least),
                ("PartNumber", &number),
                ("ETag", &etag),
            ],
        ));
    }
    if parts.iter().map(|(_, part)| part.size).sum::<u64>() > MAX_OBJECT_BYTES {
        let message = "Your proposed upload exceeds the maximum allowed size";
        return Err(fault::fault(S3ErrorCode::EntityTooLarge, message));
    }
    Ok(())
}

fn etag_of<'a>(md5s: impl Iterator<Item = &'a [u8; 16]>) -> Etag {
    let (mut md5, mut count) = (Md5::new(), 0_u16);
    for one in md5s {
        md5.update(one);
        count = count.saturating_add(1);
    }
    Etag { md5: md5.finalize(), parts: Some(count) }
}

fn runs_of(parts: &[(u16, Part)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, part) in parts {
        match runs.last_mut() {
            Some(run) if run.first + run.count == *number && run.size == part.size => {
                run.count += 1;
            }
            _ => runs.push(Run { first: *number, count: 1, size: part.size }),
        }
    }
    runs
}

fn assemble(
    upload: &Upload,
    id: UploadKey,
    parts: &[(u16, Part)],
    completion: &Completion,
) -> S3Result<Object> {
    let size = parts.iter().map(|(_, part)| part.size).sum();
    if let Some(said) = completion.size.filter(|said| *said != size) {
        return Err(fault::invalid_request(format!(
            "The provided 'x-amz-mp-object-size' header value {said} does not match what was \
             computed: {size}"
        )));
    }
    let (algorithm, kind) = upload.checksum();
    if completion.kind.is_some_and(|said| said != kind) {
        return Err(fault::invalid_request(
            "The provided checksum type does not match the one of the upload.",
        ));
    }
    let sums: Vec<_> =
        parts.iter().map(|(_, part)| (part.checksum.as_slice(), part.size)).collect();
    let checksum = checksum::of_parts(algorithm, kind, &sums);
    check_whole(checksum.as_ref(), completion)?;
    Ok(Object {
        size,
        etag: etag_of(parts.iter().map(|(_, part)| &part.md5)),
        content: Content::Upload { id: id.0, runs: runs_of(parts) },
        seal: Seal { wrapping: upload.wrapping.clone(), key: Vec::new() },
        checksum,
        attributes: upload.attributes.clone(),
        lock: upload.lock,
        restored_until_ms: None,
    })
}

fn check_whole(checksum: Option<&Checksum>, completion: &Completion) -> S3Result<()> {
    let (Some(checksum), Some((algorithm, value))) = (checksum, &completion.checksum) else {
        return Ok(());
    };
    if checksum.algorithm == *algorithm && checksum.value == *value {
        return Ok(());
    }
    let name = algorithm.name().to_ascii_lowercase();
    let message = format!("The {name} you specified did not match the calculated checksum.");
    Err(fault::fault(S3ErrorCode::BadDigest, message))
}

/// The answer to an upload that was completed before, if it is still there and made of the same
/// parts.
async fn completed_before(
    update: &Update<'_>,
    bucket: &Bucket,
    id: UploadKey,
    completion: &Completion,
) -> S3Result<Option<Completed>> {
    const NEWEST: usize = 100;
    let mut md5s = Vec::with_capacity(completion.parts.len());
    for named in &completion.parts {
        let mut md5 = [0; 16];
        if hex::decode_to_slice(&named.etag, &mut md5).is_err() {
            return Ok(None);
        }
        md5s.push(md5);
    }
    let etag = etag_of(md5s.iter());
    let found = update.scan(Table::Objects, None, NEWEST).await.map_err(|e| fault::storage(&e))?;
    for (key, record) in found {
        let version = super::version::Version::decode(&record)?;
        let Some(object) = version.object.as_ref() else { continue };
        let ours = matches!(&object.content, Content::Upload { id: of, .. } if *of == id.0);
        if ours && object.etag == etag {
            let suffix = key.last_chunk::<16>().ok_or_else(fault::internal)?;
            let shown = version.id(super::version::VersionKey(*suffix));
            let version_id = (bucket.versioning != super::Versioning::Off).then_some(shown);
            let modified_ms = version.modified_ms;
            let written = Written { version_id, modified_ms, marker: false };
            return Ok(version.object.map(|object| Completed { written, object }));
        }
    }
    Ok(None)
}
