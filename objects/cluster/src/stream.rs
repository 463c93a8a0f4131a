//! A body on its way out: its chunks in order, read a little ahead of who takes them.

use crate::{BlobId, BlobRef, ClusterFault, ClusterResult, core::Core};
use bytes::Bytes;
use futures_core::Stream;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// The longest chunk, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How many chunks wait for the reader; one more is being read meanwhile.
const CHUNKS_AHEAD: usize = 2;

/// A part of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    id: BlobId,
    offset: u64,
    len: u64,
}

/// The parts of blobs that a part of a body consists of.
pub(crate) fn parts(blobs: &[BlobRef], mut offset: u64, mut len: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    for blob in blobs {
        if offset < blob.len && len > 0 {
            let part = Part { id: blob.id, offset, len: len.min(blob.len - offset) };
            len -= part.len;
            parts.push(part);
        }
        offset = offset.saturating_sub(blob.len);
    }
    parts
}

/// A part of a body. It ends after a fault.
#[derive(Debug)]
pub struct BodyStream {
    chunks: mpsc::Receiver<ClusterResult<Bytes>>,
}

/// A hold on blobs that are being read: they aren't freed, even if their record goes.
struct Lease {
    core: Arc<Core>,
    parts: Vec<Part>,
}

impl Lease {
    fn take(core: Arc<Core>, parts: Vec<Part>) -> Self {
        core.custody.lease(parts.iter().map(|part| part.id));
        Self { core, parts }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.core.custody.release(self.parts.iter().map(|part| part.id));
    }
}

impl BodyStream {
    pub(crate) fn new(core: &Arc<Core>, slot: u16, parts: Vec<Part>) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let lease = Lease::take(core.clone(), parts);
        core.spawn(async move {
            if let Err(fault) = send(&lease, slot, &sender).await {
                // Who doesn't listen any more needs no fault.
                let _gone = sender.send(Err(fault)).await;
            }
        });
        Self { chunks }
    }
}

impl Stream for BodyStream {
    type Item = ClusterResult<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_recv(context)
    }
}

async fn send(
    lease: &Lease,
    slot: u16,
    sender: &mpsc::Sender<ClusterResult<Bytes>>,
) -> ClusterResult<()> {
    for Part { id, mut offset, mut len } in lease.parts.iter().copied() {
        while len > 0 {
            let ask = usize::try_from(len).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let chunk = lease.core.read_blob(slot, id, offset, ask).await?;
            if chunk.is_empty() {
                return Err(ClusterFault::Lost(id));
            }
            offset += chunk.len() as u64;
            len -= chunk.len() as u64;
            if sender.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_what_was_asked_for() {
        let blob = |n: u8, len| BlobRef { id: BlobId([n; 16]), len };
        let blobs = [blob(1, 10), blob(2, 5), blob(3, 7)];
        let part = |n: u8, offset, len| Part { id: BlobId([n; 16]), offset, len };
        assert_eq!(parts(&blobs, 0, 22), [part(1, 0, 10), part(2, 0, 5), part(3, 0, 7)]);
        assert_eq!(parts(&blobs, 9, 2), [part(1, 9, 1), part(2, 0, 1)]);
        assert_eq!(parts(&blobs, 10, 5), [part(2, 0, 5)]);
        assert_eq!(parts(&blobs, 21, 9), [part(3, 6, 1)]);
        assert_eq!(parts(&blobs, 22, 1), []);
        assert_eq!(parts(&blobs, 3, 0), []);
        assert_eq!(parts(&[], 0, 9), []);
    }
}
