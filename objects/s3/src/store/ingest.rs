//! Takes in a body: reads it in bounded memory, hashes, encrypts, and writes it to the cluster.

use super::{
    Store,
    checksum::{Algorithm, Checksum, Hasher, Kind, from_base64},
    crypt::{Seal, Sealer, Wrapping, WrappingKey, sealed_len},
};
use crate::fault;
use bytes::Bytes;
use cluster::{Body, BodyWriter, Place};
use futures::{Stream, StreamExt as _};
use http::StatusCode;
use s3s::{
    S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders,
    crypto::{Checksum as _, Md5},
};
use std::{sync::Arc, time::Duration};

/// The largest body of one request: 5 GiB.
pub const MAX_BODY_BYTES: u64 = 5 << 30;
/// How much is hashed at a time, beside reading the next and writing the last.
const BATCH_BYTES: usize = 128 << 10;
/// What is hashed at once rather than on another thread.
const AT_ONCE_BYTES: usize = 64 << 10;
/// How long a client may keep silent within a body.
const SILENCE: Duration = Duration::from_secs(60);

/// What the client says of the body to come.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// In bytes.
    pub length: Option<u64>,
    pub md5: Option<[u8; 16]>,
    pub checksums: Vec<(Algorithm, Vec<u8>)>,
    /// Algorithms whose values come in the trailer.
    pub in_trailer: Vec<Algorithm>,
    pub trailer: Option<TrailingHeaders>,
    /// The one to keep; if none, the client's first, or CRC64NVME.
    pub keep: Option<Algorithm>,
}

impl Expected {
    fn algorithms(&self) -> (Algorithm, Vec<Algorithm>) {
        let named = self.checksums.iter().map(|(one, _)| *one).chain(self.in_trailer.clone());
        let mut all: Vec<_> = self.keep.into_iter().chain(named).collect();
        let kept = all.first().copied().unwrap_or(Algorithm::Crc64Nvme);
        all.push(kept);
        all.sort_unstable();
        all.dedup();
        (kept, all)
    }
}

/// A body that was taken in.
#[derive(Debug)]
pub struct Taken {
    pub body: Body,
    /// In bytes, before encryption.
    pub size: u64,
    /// What the entity tag shows: the MD5 of what the store's own key encrypts. Of anything else it
    /// would say too much.
    pub md5: [u8; 16],
    pub checksum: Checksum,
    pub seal: Seal,
}

/// Bytes as they came, and whether they are the last.
struct Batch {
    pieces: Vec<Bytes>,
    len: usize,
    last: bool,
}

async fn gather<S>(stream: &mut S) -> S3Result<Batch>
where
    S: Stream<Item = Result<Bytes, StdError>> + Unpin,
{
    let mut batch = Batch { pieces: Vec::new(), len: 0, last: false };
    while batch.len < BATCH_BYTES {
        match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(Some(Ok(piece))) => {
                batch.len += piece.len();
                batch.pieces.push(piece);
            }
            Ok(Some(Err(error))) => return Err(broken(&*error)),
            Ok(None) => {
                batch.last = true;
                break;
            }
            Err(_) => {
                let message = "Your socket connection to the server was not read from or written \
                               to within the timeout period. Idle connections will be closed.";
                return Err(fault::custom(StatusCode::BAD_REQUEST, "RequestTimeout", message));
            }
        }
    }
    Ok(batch)
}

/// What the errors of s3s's streams mean; their types are its own.
fn broken(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        return fault::sha256_mismatch();
    }
    if text.contains("SignatureMismatch") {
        return S3ErrorCode::SignatureDoesNotMatch.into();
    }
    log::debug!("a body broke off: {text}");
    S3ErrorCode::IncompleteBody.into()
}

struct Hashing {
    md5: Md5,
    rest: Rest,
}

struct Rest {
    sums: Vec<Hasher>,
    sealer: Sealer,
}

impl Rest {
    fn update(&mut self, pieces: &[Bytes]) -> Bytes {
        for piece in pieces {
            self.sums.iter_mut().for_each(|sum| sum.update(piece));
            self.sealer.update(piece);
        }
        self.sealer.take()
    }
}

impl Hashing {
    /// Hashes and encrypts; long batches on other threads, MD5 beside the rest.
    async fn update(mut self, batch: &Batch) -> S3Result<(Self, Bytes)> {
        if batch.len <= AT_ONCE_BYTES {
            batch.pieces.iter().for_each(|piece| self.md5.update(piece));
            let sealed = self.rest.update(&batch.pieces);
            return Ok((self, sealed));
        }
        let Self { mut md5, mut rest } = self;
        let pieces = Arc::new(batch.pieces.clone());
        let same = pieces.clone();
        let (md5, rest) = tokio::join!(
            tokio::task::spawn_blocking(move || {
                same.iter().for_each(|piece| md5.update(piece));
                md5
            }),
            tokio::task::spawn_blocking(move || {
                let sealed = rest.update(&pieces);
                (rest, sealed)
            }),
        );
        let md5 = md5.map_err(S3Error::internal_error)?;
        let (rest, sealed) = rest.map_err(S3Error::internal_error)?;
        Ok((Self { md5, rest }, sealed))
    }
}

async fn write(writer: &mut BodyWriter, sealed: Bytes) -> S3Result<()> {
    if sealed.is_empty() {
        return Ok(());
    }
    writer.write(sealed).await.map_err(|e| fault::storage(&e))
}

impl Store {
    /// Takes in a body that will belong to a record of this place.
    ///
    /// # Errors
    /// It is not what the client said; the storage is unavailable.
    pub async fn take_in<S>(
        &self,
        place: &Place,
        mut stream: S,
        expected: &Expected,
        wrapping: &WrappingKey,
    ) -> S3Result<Taken>
    where
        S: Stream<Item = Result<Bytes, StdError>> + Unpin + Send,
    {
        if let Some(length) = expected.length {
            check_size(length)?;
        }
        let (kept, algorithms) = expected.algorithms();
        let (sealer, seal) = Sealer::new(wrapping).ok_or_else(fault::internal)?;
        let sums = algorithms.into_iter().map(Hasher::new).collect();
        let mut hashing = Hashing { md5: Md5::new(), rest: Rest { sums, sealer } };
        let mut writer = self.cluster.write_body(place);
        if let Some(length) = expected.length {
            writer.expect(sealed_len(length));
        }
        let (mut size, mut sealed) = (0, Bytes::new());
        let mut batch = gather(&mut stream).await?;
        loop {
            size += batch.len as u64;
            check_size(size)?;
            if batch.last {
                (hashing, sealed) = {
                    let (hashed, written) =
                        tokio::join!(hashing.update(&batch), write(&mut writer, sealed));
                    written?;
                    hashed?
                };
                break;
            }
            let (hashed, written, next) = tokio::join!(
                hashing.update(&batch),
                write(&mut writer, sealed),
                gather(&mut stream)
            );
            written?;
            (hashing, sealed) = hashed?;
            batch = next?;
        }
        write(&mut writer, sealed).await?;
        if expected.length.is_some_and(|length| length != size) {
            return Err(S3ErrorCode::IncompleteBody.into());
        }
        let Hashing { md5, rest } = hashing;
        let md5: [u8; 16] = md5.finalize();
        let sums: Vec<_> =
            rest.sums.into_iter().map(|sum| (sum.algorithm(), sum.finish())).collect();
        verify(expected, md5, &sums)?;
        write(&mut writer, rest.sealer.finish().ok_or_else(fault::internal)?).await?;
        let body = writer.finish().await.map_err(|e| fault::storage(&e))?;
        let value = sums.into_iter().find(|(one, _)| *one == kept).map(|(_, value)| value);
        let value = value.unwrap_or_default();
        let checksum = Checksum { algorithm: kept, kind: Kind::FullObject, value };
        let md5 = match seal.wrapping {
            Wrapping::Store => md5,
            Wrapping::Customer { .. } | Wrapping::Kms(_) => rand::random(),
        };
        Ok(Taken { body, size, md5, checksum, seal })
    }
}

fn check_size(size: u64) -> S3Result<()> {
    if size <= MAX_BODY_BYTES {
        return Ok(());
    }
    let message = "Your proposed upload exceeds the maximum allowed size";
    let error = fault::fault(S3ErrorCode::EntityTooLarge, message);
    let (size, most) = (size.to_string(), MAX_BODY_BYTES.to_string());
    Err(fault::with(error, &[("ProposedSize", &size), ("MaxSizeAllowed", &most)]))
}

/// Compares what came with what was said of it.
fn verify(expected: &Expected, md5: [u8; 16], sums: &[(Algorithm, Vec<u8>)]) -> S3Result<()> {
    if expected.md5.is_some_and(|wanted| wanted != md5) {
        let message = "The Content-MD5 you specified did not match what we received.";
        return Err(fault::fault(S3ErrorCode::BadDigest, message));
    }
    let mut values = expected.checksums.clone();
    if !expected.in_trailer.is_empty() {
        let trailer = expected.trailer.as_ref().and_then(TrailingHeaders::take).unwrap_or_default();
        for algorithm in &expected.in_trailer {
            let name = format!("x-amz-checksum-{}", algorithm.name().to_ascii_lowercase());
            let value = trailer.get(&name).and_then(|value| value.to_str().ok());
            let value = value.and_then(|value| from_base64(value, algorithm.value_len()));
            let message = "The request contained trailing data that was not well-formed or did \
                           not conform to our published schema.";
            let missing =
                || fault::custom(StatusCode::BAD_REQUEST, "MalformedTrailerError", message);
            values.push((*algorithm, value.ok_or_else(missing)?));
        }
    }
    for (algorithm, wanted) in values {
        if !sums.iter().any(|(one, value)| *one == algorithm && *value == wanted) {
            return Err(fault::bad_checksum(algorithm.name()));
        }
    }
    Ok(())
}
