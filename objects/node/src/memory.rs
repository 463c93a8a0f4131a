//! A node in memory: for tests of what is above it.

use crate::{Batch, BlobId, BlobWriter, Node, NodeFault, NodeResult, Scan, Usage};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<Bytes, Bytes>,
    blobs: BTreeMap<BlobId, Bytes>,
    log: Vec<(u64, Bytes)>,
}

/// A node that keeps all in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryNode(Arc<Mutex<Contents>>);

impl MemoryNode {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blob(&self, id: BlobId) -> NodeResult<Bytes> {
        self.contents().blobs.get(&id).cloned().ok_or(NodeFault::NotFound(id))
    }
}

#[async_trait]
impl Node for MemoryNode {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        let mut contents = self.contents();
        for change in batch.changes {
            contents.log.push((batch.sequence, change.key.clone()));
            match change.value {
                Some(value) => contents.records.insert(change.key, value),
                None => contents.records.remove(&change.key),
            };
        }
        contents.blobs.extend(batch.blobs);
        for id in batch.free {
            contents.blobs.remove(&id);
        }
        Ok(())
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        Ok(self.contents().records.get(key).cloned())
    }

    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        if scan.until.as_ref().is_some_and(|until| *until <= scan.from) {
            return Ok(Vec::new());
        }
        let until = scan.until.map_or(Bound::Unbounded, Bound::Excluded);
        let contents = self.contents();
        let part = contents.records.range((Bound::Included(scan.from), until));
        Ok(part.take(scan.limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        Ok(Box::new(MemoryBlob { node: self.clone(), id, data: BytesMut::new() }))
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        let blob = self.blob(id)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        Ok(blob.slice(start..start.saturating_add(len).min(blob.len())))
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        Ok(self.blob(id)?.len() as u64)
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        self.contents().blobs.insert(id, data);
        Ok(())
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.blob(id).map(|_| ())
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let contents = self.contents();
        Ok(contents.blobs.range((from, Bound::Unbounded)).take(limit).map(|(id, _)| *id).collect())
    }

    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        let contents = self.contents();
        let recent = contents.log.iter().filter(|(at, _)| *at >= sequence);
        Ok(Some(recent.map(|(_, key)| key.clone()).collect()))
    }

    async fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        self.contents().log.retain(|(at, _)| *at >= sequence);
        Ok(())
    }

    async fn usage(&self) -> NodeResult<Usage> {
        let contents = self.contents();
        let used: usize = contents.blobs.values().map(Bytes::len).sum();
        Ok(Usage {
            used_bytes: used as u64,
            available_bytes: u64::MAX,
            records: contents.records.len() as u64,
            blobs: contents.blobs.len() as u64,
        })
    }
}

#[derive(Debug)]
struct MemoryBlob {
    node: MemoryNode,
    id: BlobId,
    data: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryBlob {
    async fn write(&mut self, data: Bytes) -> NodeResult<()> {
        self.data.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> NodeResult<()> {
        let Self { node, id, data } = *self;
        node.contents().blobs.insert(id, data.freeze());
        Ok(())
    }
}
