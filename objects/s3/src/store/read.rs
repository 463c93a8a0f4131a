//! Gives bodies out: any range of an object, read in pieces, decrypted and verified.

use super::{
    Store,
    crypt::{Opener, SEGMENT_BYTES, Seal, TAG_BYTES, sealed_len},
    multipart::Part,
    version::{Content, Object, Run, VersionKey},
};
use crate::{fault, keys::PlainKey};
use bytes::{Bytes, BytesMut};
use cluster::{BlobId, BlobRef, ClusterFault, Place, Table};
use futures::Stream;
use s3s::{
    S3Error, S3Result, StdError,
    stream::{ByteStream, RemainingLength},
};
use std::{
    collections::HashMap,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// What is read at once, rather than streamed, in bytes.
const AT_ONCE_BYTES: u64 = 512 << 10;
/// What is read at a time, in bytes: whole segments.
const CHUNK_BYTES: u64 = 4 * SEGMENT_BYTES;

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFault {
    /// The bytes are gone: perhaps the object was replaced since its row was read.
    #[error("the object's bytes are gone")]
    Gone,
    #[error("{0}")]
    Cluster(ClusterFault),
    #[error("the object's bytes are not what was written")]
    Corrupt,
    #[error("the key is not the one that it was encrypted with")]
    WrongKey,
}

impl From<ReadFault> for S3Error {
    fn from(read: ReadFault) -> Self {
        match read {
            ReadFault::WrongKey => fault::access_denied(),
            ReadFault::Cluster(below) => fault::storage(&below),
            ReadFault::Gone | ReadFault::Corrupt => {
                log::error!("reading an object: {read}");
                fault::internal()
            }
        }
    }
}

impl From<ClusterFault> for ReadFault {
    fn from(below: ClusterFault) -> Self {
        match below {
            ClusterFault::Lost(_) => Self::Gone,
            ClusterFault::Unavailable(_) | ClusterFault::Full => Self::Cluster(below),
        }
    }
}

/// Bodies that are being read, and so are not removed: by upload or version.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<HashMap<[u8; 16], usize>>);

impl Readers {
    pub(super) fn has(&self, id: &[u8]) -> bool {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        <[u8; 16]>::try_from(id).is_ok_and(|id| readers.contains_key(&id))
    }
}

pub(super) struct Pinned {
    store: Arc<Store>,
    id: [u8; 16],
}

impl Pinned {
    pub(super) fn new(store: &Arc<Store>, id: [u8; 16]) -> Self {
        let mut readers = store.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        *readers.entry(id).or_default() += 1;
        Self { store: store.clone(), id }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut readers = self.store.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = readers.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.id);
            }
        }
    }
}

/// A body's bytes on their way out.
#[derive(Debug)]
pub enum Reading {
    /// All of them.
    Whole(Bytes),
    Stream(BodyStream),
}

/// A body, read ahead by one chunk.
#[derive(Debug)]
pub struct BodyStream {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, ReadFault>>,
    remaining: u64,
}

impl Stream for BodyStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => std::task::ready!(self.rest.poll_recv(cx)),
        };
        if let Some(Ok(chunk)) = &next {
            self.remaining = self.remaining.saturating_sub(chunk.len() as u64);
        }
        Poll::Ready(next.map(|one| one.map_err(Into::into)))
    }
}

impl ByteStream for BodyStream {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.remaining).unwrap_or(usize::MAX))
    }
}

/// A row of blobs under one key.
struct Piece {
    slot: u16,
    blobs: Vec<BlobRef>,
    opener: Opener,
    /// In bytes, decrypted.
    size: u64,
}

impl Piece {
    fn new(
        place: &Place,
        (ids, lens): (&[BlobId], &[u64]),
        (seal, key): (&Seal, &[u8; 32]),
        size: u64,
    ) -> Result<Self, ReadFault> {
        let opener = Opener::new(seal, key).ok_or(ReadFault::WrongKey)?;
        let blobs = ids.iter().zip(lens).map(|(id, len)| BlobRef { id: *id, len: *len }).collect();
        Ok(Self { slot: place.slot(), blobs, opener, size })
    }

    /// Reads a range that isn't empty.
    async fn read(&self, store: &Store, range: Range<u64>) -> Result<Bytes, ReadFault> {
        let (first, last) = (range.start / SEGMENT_BYTES, (range.end - 1) / SEGMENT_BYTES);
        let stored = SEGMENT_BYTES + TAG_BYTES;
        let until = ((last + 1) * stored).min(sealed_len(self.size));
        let sealed = self.stored(store, first * stored..until).await?;
        let plain = self.opener.open(first, sealed).ok_or(ReadFault::Corrupt)?;
        let at =
            |offset: u64| usize::try_from(offset - first * SEGMENT_BYTES).unwrap_or(usize::MAX);
        if at(range.end) > plain.len() {
            return Err(ReadFault::Corrupt);
        }
        Ok(plain.slice(at(range.start)..at(range.end)))
    }

    async fn stored(&self, store: &Store, range: Range<u64>) -> Result<Bytes, ReadFault> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut all = BytesMut::new();
        let (mut at, mut begin) = (range.start, 0);
        for blob in &self.blobs {
            let end = begin + blob.len;
            while (begin..end.min(range.end)).contains(&at) {
                let len = usize::try_from(range.end.min(end) - at).unwrap_or(usize::MAX);
                let part = store.cluster.read_blob(self.slot, blob.id, at - begin, len).await?;
                if part.is_empty() {
                    return Err(ReadFault::Corrupt);
                }
                if part.len() == wanted {
                    return Ok(part);
                }
                at += part.len() as u64;
                all.extend_from_slice(&part);
            }
            begin = end;
        }
        if all.len() == wanted { Ok(all.freeze()) } else { Err(ReadFault::Corrupt) }
    }
}

/// The parts that a range touches: number, and the range in each.
fn parts_of(runs: &[Run], range: &Range<u64>) -> Vec<(u16, Range<u64>)> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for run in runs {
        let end = begin + u64::from(run.count) * run.size;
        if run.size > 0 && begin < range.end && end > range.start {
            let skipped = range.start.saturating_sub(begin) / run.size;
            for index in skipped..u64::from(run.count) {
                let from = begin + index * run.size;
                if from >= range.end {
                    break;
                }
                let within = range.start.max(from) - from..range.end.min(from + run.size) - from;
                parts.push((run.first + u16::try_from(index).unwrap_or(u16::MAX), within));
            }
        }
        begin = end;
    }
    parts
}

/// Where a part begins in its object, and its length, in bytes.
#[must_use]
pub fn part_range(runs: &[Run], number: u16) -> Option<Range<u64>> {
    let mut begin = 0;
    for run in runs {
        if (run.first..run.first.saturating_add(run.count)).contains(&number) {
            let from = begin + u64::from(number - run.first) * run.size;
            return Some(from..from + run.size);
        }
        begin += u64::from(run.count) * run.size;
    }
    None
}

/// Reads an object's range in order.
struct Walk {
    store: Arc<Store>,
    place: Place,
    key: PlainKey,
    /// The upload of its parts.
    upload: [u8; 16],
    /// Parts to come, in reverse.
    parts: Vec<(u16, Range<u64>)>,
    current: Option<(Piece, Range<u64>)>,
    _pin: Pinned,
}

impl Walk {
    /// The next bytes, at most so many; none at the end.
    async fn next(&mut self, most: u64) -> Result<Option<Bytes>, ReadFault> {
        loop {
            if let Some((piece, range)) = &mut self.current
                && range.start < range.end
            {
                // Up to a segment's end, so that none is read twice.
                let until = (range.start / SEGMENT_BYTES * SEGMENT_BYTES + most).min(range.end);
                let bytes = piece.read(&self.store, range.start..until).await?;
                range.start = until;
                return Ok(Some(bytes));
            }
            let Some((number, range)) = self.parts.pop() else { return Ok(None) };
            let suffix = Part::suffix(&self.upload, number);
            let record = self.store.cluster.get(&self.place.record(Table::Parts, &suffix)).await?;
            let record = record.ok_or(ReadFault::Gone)?;
            let part = Part::decode(&record).map_err(|_| ReadFault::Corrupt)?;
            let blobs = (record.blobs.as_slice(), part.lens.as_slice());
            let piece = Piece::new(&self.place, blobs, (&part.seal, &self.key), part.size)?;
            self.current = Some((piece, range));
        }
    }
}

impl Store {
    /// Keeps what a version's body is kept under from being removed. The version must be there
    /// still: what removes it looks for pins after that.
    pub(super) async fn pin(
        self: &Arc<Self>,
        place: &Place,
        version: VersionKey,
        id: [u8; 16],
    ) -> Result<Pinned, ReadFault> {
        let pin = Pinned::new(self, id);
        let record = self.cluster.get(&place.record(Table::Objects, &version.0)).await?;
        record.map(|_| pin).ok_or(ReadFault::Gone)
    }

    /// Reads a range of an object; `key` is the one that wraps its body's.
    pub(super) async fn read(
        self: &Arc<Self>,
        place: Place,
        (version, object, blobs): (VersionKey, &Object, &[BlobId]),
        key: &[u8; 32],
        range: Range<u64>,
    ) -> Result<Reading, ReadFault> {
        let len = range.end.saturating_sub(range.start);
        let mut walk = match &object.content {
            Content::Blobs(lens) => {
                let seal = (&object.seal, key);
                let piece = Piece::new(&place, (blobs, lens), seal, object.size)?;
                if len == 0 {
                    return Ok(Reading::Whole(Bytes::new()));
                }
                if len <= AT_ONCE_BYTES {
                    return Ok(Reading::Whole(piece.read(self, range).await?));
                }
                let pin = self.pin(&place, version, version.0).await?;
                let current = Some((piece, range));
                let (key, upload, parts) = (PlainKey::new(*key), [0; 16], Vec::new());
                Walk { store: self.clone(), place, key, upload, parts, current, _pin: pin }
            }
            Content::Upload { id, runs } => {
                let pin = self.pin(&place, version, *id).await?;
                let parts = parts_of(runs, &range).into_iter().rev().collect();
                let (key, upload, current) = (PlainKey::new(*key), *id, None);
                Walk { store: self.clone(), place, key, upload, parts, current, _pin: pin }
            }
        };
        let first = walk.next(CHUNK_BYTES).await?.unwrap_or_default();
        if first.len() as u64 == len {
            return Ok(Reading::Whole(first));
        }
        let (sender, rest) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let chunk = match walk.next(CHUNK_BYTES).await {
                    Ok(None) => return,
                    Ok(Some(chunk)) => Ok(chunk),
                    Err(error) => Err(error),
                };
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(Reading::Stream(BodyStream { first: Some(first), rest, remaining: len }))
    }
}

impl Reading {
    /// As a stream, for a copy.
    #[must_use]
    pub fn into_stream(self) -> BodyStream {
        match self {
            Self::Stream(stream) => stream,
            Self::Whole(bytes) => {
                let remaining = bytes.len() as u64;
                let first = Some(bytes).filter(|bytes| !bytes.is_empty());
                BodyStream { first, rest: mpsc::channel(1).1, remaining }
            }
        }
    }

    /// As the body of an answer.
    #[must_use]
    pub fn into_blob(self) -> s3s::dto::StreamingBlob {
        match self {
            Self::Whole(bytes) => s3s::dto::StreamingBlob::from(s3s::Body::from(bytes)),
            Self::Stream(stream) => s3s::dto::StreamingBlob::new(stream),
        }
    }

    /// All bytes, for tests and small documents.
    ///
    /// # Errors
    /// Reading fails.
    pub async fn collect(self) -> S3Result<Bytes> {
        use futures::StreamExt as _;
        let mut stream = match self {
            Self::Whole(bytes) => return Ok(bytes),
            Self::Stream(stream) => stream,
        };
        let mut all = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            all.extend_from_slice(&chunk.map_err(|_| fault::internal())?);
        }
        Ok(all.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_their_parts() {
        let runs = [
            Run { first: 1, count: 3, size: 10 },
            Run { first: 7, count: 1, size: 0 },
            Run { first: 9, count: 2, size: 5 },
        ];
        assert_eq!(parts_of(&runs, &(0..40)).len(), 5);
        assert_eq!(parts_of(&runs, &(9..11)), [(1, 9..10), (2, 0..1)]);
        assert_eq!(parts_of(&runs, &(29..36)), [(3, 9..10), (9, 0..5), (10, 0..1)]);
        assert_eq!(parts_of(&runs, &(35..40)), [(10, 0..5)]);
        assert_eq!(part_range(&runs, 2), Some(10..20));
        assert_eq!(part_range(&runs, 10), Some(35..40));
        assert_eq!(part_range(&runs, 4), None);
    }
}
