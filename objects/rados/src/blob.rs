//! Blobs: one object each, with its checksums and the epoch of its writer as attributes.

use crate::{
    Inner,
    ffi::{Answer, Errno, Read, Running, WriteStep},
    index::EPOCH,
    keys, sums,
    sums::{BLOCK_BYTES, Sums},
    too_long,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use node::{BlobId, BlobWriter, MAX_BLOB_BYTES, NodeFault, NodeResult};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    ffi::CStr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// The checksums: there once the blob is whole.
const SUMS: &CStr = c"sums";

/// What is written or read at a time, in bytes; whole blocks.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces of one blob on their way at a time.
const PIECES: usize = 2;

/// Freed blobs whose objects are being removed at a time; more make their commits wait.
const REMOVALS: usize = 256;

/// Finished blobs whose adoption is awaited without asking Ceph for them then.
const MAX_FINISHED: usize = 1 << 20;

/// What this process knows of blobs.
#[derive(Debug)]
pub struct Blobs {
    /// Finished by this process, and not yet adopted.
    finished: Mutex<HashSet<BlobId>>,
    /// Freed, with the object about to go.
    gone: Mutex<HashSet<BlobId>>,
    removals: Arc<Semaphore>,
}

fn with<R>(set: &Mutex<HashSet<BlobId>>, then: impl FnOnce(&mut HashSet<BlobId>) -> R) -> R {
    then(&mut set.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Blobs {
    pub fn new() -> Self {
        Self {
            finished: Mutex::default(),
            gone: Mutex::default(),
            removals: Arc::new(Semaphore::new(REMOVALS)),
        }
    }

    pub fn adopted(&self, ids: &BTreeSet<BlobId>) {
        with(&self.finished, |finished| ids.iter().for_each(|id| _ = finished.remove(id)));
    }

    fn finished(&self, id: BlobId) {
        with(&self.finished, |finished| {
            if finished.len() < MAX_FINISHED {
                finished.insert(id);
            }
        });
    }

    fn is_gone(&self, id: BlobId) -> bool {
        with(&self.gone, |gone| gone.contains(&id))
    }
}

/// Waits for a blob's removal. What fails is left to the next owner's sweep.
async fn removed(id: BlobId, running: Running) {
    match running.done().await {
        // Canceled: a guard found that the object is of use.
        Ok(()) | Err(Errno::NOT_FOUND | Errno::CANCELED) => {}
        Err(errno) => log::warn!("the blob {id:?} is left to a sweep: {errno}"),
    }
}

/// The steps that write a whole blob.
fn whole(epoch: &Bytes, data: &Bytes) -> [WriteStep; 3] {
    let mut sums = Sums::default();
    sums.add(data);
    [
        WriteStep::WriteWhole(data.clone()),
        WriteStep::SetAttribute(EPOCH, epoch.clone()),
        WriteStep::SetAttribute(SUMS, sums.encode()),
    ]
}

impl Inner {
    /// Makes the blobs that come with a batch durable, side by side.
    pub async fn write_inline(&self, blobs: &BTreeMap<BlobId, Bytes>) -> NodeResult<()> {
        let mut running = Vec::with_capacity(blobs.len());
        for (id, data) in blobs {
            running
                .push(self.pool.submit(&keys::blob_object(*id), &whole(&self.epoch, data)).await);
        }
        let mut result = Ok(());
        for write in running {
            result = result.and(write.done().await);
        }
        if result.is_err() {
            self.forget(blobs.keys().copied()).await;
        }
        result.map_err(|errno| self.fault(errno))
    }

    /// Sees to it that no sweep takes blobs that were written before. Those of this process are
    /// safe; others are stamped with its epoch, if they are still there.
    pub async fn adopt(&self, ids: &BTreeSet<BlobId>) -> NodeResult<()> {
        let unknown: Vec<BlobId> = with(&self.blobs.finished, |finished| {
            ids.iter().filter(|id| !finished.contains(id)).copied().collect()
        });
        let stamp = [WriteStep::AssertExists, WriteStep::SetAttribute(EPOCH, self.epoch.clone())];
        let mut running = Vec::with_capacity(unknown.len());
        for id in unknown {
            running.push((id, self.pool.submit(&keys::blob_object(id), &stamp).await));
        }
        for (id, write) in running {
            write.done().await.map_err(|errno| self.blob_fault(id, errno))?;
        }
        Ok(())
    }

    /// Removes blobs that no batch has kept.
    pub async fn forget(&self, ids: impl IntoIterator<Item = BlobId>) {
        for id in ids {
            let running = self.pool.submit(&keys::blob_object(id), &[WriteStep::Remove]).await;
            tokio::spawn(removed(id, running));
        }
    }

    /// Takes blobs, of any slots, from the index, and removes their objects then. They are gone at
    /// once, though Ceph may take some time: what is written under these names later isn't touched.
    pub async fn free(self: &Arc<Self>, ids: BTreeSet<BlobId>) -> NodeResult<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.unlist(&ids).await?;
        with(&self.blobs.finished, |finished| ids.iter().for_each(|id| _ = finished.remove(id)));
        for id in ids {
            with(&self.blobs.gone, |gone| gone.insert(id));
            // Nobody closes the semaphore.
            let room = self.blobs.removals.clone().acquire_owned().await;
            let running = self.pool.submit(&keys::blob_object(id), &[WriteStep::Remove]).await;
            let inner = self.clone();
            tokio::spawn(async move {
                let _room = room;
                removed(id, running).await;
                with(&inner.blobs.gone, |gone| gone.remove(&id));
            });
        }
        Ok(())
    }

    fn blob_fault(&self, id: BlobId, errno: Errno) -> NodeFault {
        match errno {
            Errno::NOT_FOUND => NodeFault::NotFound(id),
            Errno::IO => NodeFault::CorruptBlob(id),
            other => self.fault(other),
        }
    }

    async fn read(&self, id: BlobId, read: &Read) -> NodeResult<(Sums, Answer)> {
        if self.blobs.is_gone(id) {
            return Err(NodeFault::NotFound(id));
        }
        let answer = self.pool.read(&keys::blob_object(id), read).await;
        let answer = answer.map_err(|errno| self.blob_fault(id, errno))?;
        let sums = answer.attributes.get(SUMS).ok_or(NodeFault::NotFound(id))?;
        Ok((Sums::decode(sums).ok_or(NodeFault::CorruptBlob(id))?, answer))
    }

    pub async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        let read = Read { attributes: true, ..Read::default() };
        Ok(self.read(id, &read).await?.0.len)
    }

    /// Reads whole blocks, verifies them, and gives what was asked for of them.
    pub async fn read_blob(
        &self,
        id: BlobId,
        offset: u64,
        len: usize,
        uncached: bool,
    ) -> NodeResult<Bytes> {
        let block = BLOCK_BYTES as u64;
        let start = offset - offset % block;
        let skip = usize::try_from(offset - start).unwrap_or(0);
        // A window of whole blocks, and none when the offset is beyond all blobs.
        let window = if offset >= MAX_BLOB_BYTES {
            0
        } else {
            skip.saturating_add(len).min(PIECE_BYTES).next_multiple_of(BLOCK_BYTES)
        };
        let read =
            Read { data: Some((start, window)), uncached, attributes: true, ..Read::default() };
        let (sums, answer) = self.read(id, &read).await?;
        let there = sums.len.saturating_sub(start).min(window as u64);
        if answer.data.len() as u64 != there || !sums.hold(start, &answer.data) {
            return Err(NodeFault::CorruptBlob(id));
        }
        let skip = skip.min(answer.data.len());
        let end = skip.saturating_add(len).min(answer.data.len());
        Ok(answer.data.slice(skip..end))
    }

    pub async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        let mut offset = 0;
        loop {
            let piece = self.read_blob(id, offset, PIECE_BYTES, true).await?;
            if piece.is_empty() {
                return Ok(());
            }
            offset += piece.len() as u64;
        }
    }

    /// Writes a whole blob. If no slot's index keeps it, that of repaired blobs does.
    pub async fn repair(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        let written = self.pool.write(&keys::blob_object(id), &whole(&self.epoch, &data)).await;
        written.map_err(|errno| self.fault(errno))?;
        let key = keys::blob(id);
        if self.find(self.slot_shards(), vec![key.clone()]).await?.is_empty() {
            self.change(self.repaired_shard(), vec![(key, Bytes::new())], Vec::new()).await?;
        }
        Ok(())
    }
}

/// A blob on its way: full pieces go out while more come in.
#[derive(Debug)]
pub struct RadosBlob {
    inner: Arc<Inner>,
    id: BlobId,
    held: BytesMut,
    sums: sums::Sums,
    running: VecDeque<Running>,
    /// Whether an object may be there that nobody needs.
    unfinished: bool,
}

impl RadosBlob {
    pub fn new(inner: Arc<Inner>, id: BlobId) -> Self {
        Self {
            inner,
            id,
            held: BytesMut::new(),
            sums: Sums::default(),
            running: VecDeque::new(),
            unfinished: false,
        }
    }

    fn fault(&self, errno: Errno) -> NodeFault {
        self.inner.fault(errno)
    }

    async fn send(&mut self, piece: Bytes, last: bool) -> NodeResult<()> {
        while self.running.len() >= PIECES {
            self.oldest().await?;
        }
        let mut steps = vec![WriteStep::SetAttribute(EPOCH, self.inner.epoch.clone())];
        let offset = self.sums.len;
        self.sums.add(&piece);
        steps.push(WriteStep::Write { offset, data: piece });
        if last {
            // Done after all pieces: writes to one object keep their order.
            steps.push(WriteStep::SetAttribute(SUMS, self.sums.encode()));
        }
        self.unfinished = true;
        let running = self.inner.pool.submit(&keys::blob_object(self.id), &steps).await;
        self.running.push_back(running);
        Ok(())
    }

    async fn oldest(&mut self) -> NodeResult<()> {
        match self.running.pop_front() {
            Some(running) => running.done().await.map_err(|errno| self.fault(errno)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl BlobWriter for RadosBlob {
    async fn write(&mut self, mut data: Bytes) -> NodeResult<()> {
        let len = self.sums.len + (self.held.len() + data.len()) as u64;
        if len > MAX_BLOB_BYTES {
            let [len, most] =
                [len, MAX_BLOB_BYTES].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            return Err(too_long("a blob", len, most));
        }
        while !data.is_empty() {
            // The last piece waits for the end, to take the checksums with it.
            if self.held.len() == PIECE_BYTES {
                let piece = self.held.split().freeze();
                self.send(piece, false).await?;
            }
            let room = PIECE_BYTES - self.held.len();
            self.held.extend_from_slice(&data.split_to(room.min(data.len())));
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> NodeResult<()> {
        let piece = self.held.split().freeze();
        self.send(piece, true).await?;
        while !self.running.is_empty() {
            self.oldest().await?;
        }
        self.unfinished = false;
        self.inner.blobs.finished(self.id);
        Ok(())
    }
}

impl Drop for RadosBlob {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        let (true, Ok(runtime)) = (self.unfinished, runtime) else { return };
        let (pool, id) = (self.inner.pool.clone(), self.id);
        runtime.spawn(async move {
            // Without checksums, or it has been finished or repaired after all.
            let steps = [WriteStep::AssertAttribute(SUMS, Bytes::new()), WriteStep::Remove];
            removed(id, pool.submit(&keys::blob_object(id), &steps).await).await;
        });
    }
}
