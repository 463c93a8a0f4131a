//! A node's state on one disk, driven by calls that wait: the log is the truth, the index is made
//! from it.

mod blob_file;
mod commit;
mod compaction;
mod identity;
mod open;
mod recent;
mod segments;
#[cfg(test)]
mod tests;

pub use blob_file::BlobFile;
pub use commit::Work;
pub use identity::{is_in as is_node, read as identity_of};

use crate::{
    BlobId, NodeFault, NodeResult, Options, Scan, Usage, blocks,
    disk::{Disk, DiskFile},
    group::Position,
    index::{Index, IndexFault, Kind, Location, State},
    reserve::Reserve,
};
use bytes::Bytes;
use compaction::Compaction;
use recent::Recent;
use segments::Segments;
use std::{
    collections::{BTreeSet, HashMap},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

const INDEX: &str = "index.redb";

/// Its presence says that the index is to be made anew.
const INDEX_IS_BAD: &str = "index.bad";

/// How often a blob is looked up again that was moved meanwhile.
const LOOKUPS: usize = 8;

/// A node's state.
pub struct Store {
    disk: Arc<dyn Disk>,
    options: Options,
    node: [u8; 16],
    index: Index,
    segments: Segments,
    writer: Mutex<Writer>,
    recent: Mutex<Recent>,
    /// Blobs in files that no batch has adopted yet, with their lengths.
    pending: Mutex<HashMap<BlobId, u64>>,
    /// Numbers files that are being written.
    drafts: AtomicU64,
    reserve: Arc<Reserve>,
    failed: OnceLock<Arc<str>>,
}

/// What only the one writer uses.
#[derive(Debug)]
struct Writer {
    state: State,
    /// The segment at the log's end; none if it is yet to be made.
    file: Option<Arc<dyn DiskFile>>,
    /// Up to here the segment was written with zeros.
    prefilled: u64,
    since_checkpoint: u64,
    items_since_checkpoint: usize,
    /// Whether something was applied since the last checkpoint.
    changed: bool,
    compaction: Option<Compaction>,
    /// Segments that can't be given up: something in them can't be read.
    immovable: BTreeSet<u32>,
    /// Nothing refers to them; they are removed after the next checkpoint.
    condemned: BTreeSet<u32>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut store = f.debug_struct("Store");
        store.field("node", &BlobId(self.node)).field("failed", &self.failed.get());
        store.finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// The node's ID.
    pub fn id(&self) -> [u8; 16] {
        self.node
    }

    /// Whether the node may go on.
    pub fn alive(&self) -> NodeResult<()> {
        match self.failed.get() {
            Some(why) => Err(NodeFault::Down(why.clone())),
            None => Ok(()),
        }
    }

    /// Ends all work, for good.
    fn fail(&self, why: &str) -> NodeFault {
        let why = self.failed.get_or_init(|| {
            log::error!("the storage node goes down: {why}");
            why.into()
        });
        NodeFault::Down(why.clone())
    }

    fn fail_by(&self, what: &str, error: &io::Error) -> NodeFault {
        self.fail(&format!("{what}: {error}"))
    }

    fn fail_by_index(&self, fault: &IndexFault) -> NodeFault {
        if matches!(fault, IndexFault::Corrupt(_)) && self.failed.get().is_none() {
            // Best effort: without the mark, the index is verified at the next start anyway.
            let marked = self.disk.create(INDEX_IS_BAD).and_then(|file| file.sync());
            if let Err(error) = marked.and_then(|()| self.disk.sync_folder("")) {
                log::warn!("the corrupt index can't be marked: {error}");
            }
        }
        self.fail(&fault.to_string())
    }

    fn checked<T>(&self, result: Result<T, IndexFault>) -> NodeResult<T> {
        result.map_err(|fault| self.fail_by_index(&fault))
    }

    /// A record's value.
    pub fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        self.alive()?;
        Ok(self.checked(self.index.get(key))?.map(|(_, value)| value))
    }

    pub fn scan(&self, scan: &Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        self.alive()?;
        self.checked(self.index.scan(scan))
    }

    pub fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        self.alive()?;
        self.checked(self.index.blobs(after, limit))
    }

    pub fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        self.alive()?;
        Ok(lock(&self.recent).since(sequence))
    }

    pub fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        self.alive()?;
        lock(&self.recent).forget_before(sequence);
        Ok(())
    }

    pub fn usage(&self) -> NodeResult<Usage> {
        self.alive()?;
        self.disk.check().map_err(|error| self.fail_by("its folder", &error))?;
        let available = self.disk.available_bytes();
        let available = available.map_err(|error| self.fail_by("its free space", &error))?;
        let (records, blobs) = self.checked(self.index.counts())?;
        let writer = lock(&self.writer);
        let log: u64 = writer.state.segments.values().map(|held| held.end).sum();
        Ok(Usage {
            used_bytes: log + writer.state.file_blob_bytes,
            available_bytes: available.saturating_sub(self.options.low_water_bytes),
            records,
            blobs,
        })
    }

    /// Where a blob is; pending ones, too.
    fn locate(&self, id: BlobId) -> NodeResult<Location> {
        self.alive()?;
        if let Some(found) = self.checked(self.index.blob(id))? {
            return Ok(found);
        }
        if let Some(len) = lock(&self.pending).get(&id) {
            return Ok(Location { kind: Kind::File, len: *len, at: Position::default() });
        }
        // It may have been adopted between the two looks.
        self.checked(self.index.blob(id))?.ok_or(NodeFault::NotFound(id))
    }

    pub fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        Ok(self.locate(id)?.len)
    }

    /// Whether a read of so many bytes is short enough not to need a thread of its own.
    pub fn is_quick(&self, id: BlobId, len: usize) -> NodeResult<bool> {
        let found = self.locate(id)?;
        let len = found.len.min(len as u64);
        Ok(found.kind == Kind::Log && len <= blocks::BLOCK_BYTES)
    }

    pub fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        self.with_blob(id, |file, base, blob_len| {
            blocks::read(file, base, (id, blob_len), offset, len)
        })
    }

    pub fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.with_blob(id, |file, base, len| {
            file.forget_cached(base, blocks::stored_bytes(len));
            Ok(blocks::verify(file, base, id, len)?.then_some(()))
        })
    }

    /// Reads something of a blob from its file; what can't be read is corrupt.
    fn with_blob<T>(
        &self,
        id: BlobId,
        read: impl Fn(&dyn DiskFile, u64, u64) -> io::Result<Option<T>>,
    ) -> NodeResult<T> {
        let mut before = None;
        for _ in 0..LOOKUPS {
            let found = self.locate(id)?;
            if before == Some(found) {
                break;
            }
            before = Some(found);
            let (file, base) = match found.kind {
                Kind::Lost => return Err(NodeFault::CorruptBlob(id)),
                Kind::Log => {
                    let file = self.segments.open(&*self.disk, found.at.segment);
                    (file, u64::from(found.at.offset))
                }
                Kind::File => (self.disk.open(&blob_file::path(id)), 0),
            };
            let error = match file.map(|file| read(&*file, base, found.len)) {
                Ok(Ok(Some(read))) => return Ok(read),
                Ok(Ok(None)) => {
                    log::error!("blob {id:?} fails its checksum");
                    continue;
                }
                Ok(Err(error)) | Err(error) => error,
            };
            self.disk.check().map_err(|error| self.fail_by("its folder", &error))?;
            // It may just have been moved or freed: then it is found elsewhere, or not.
            log::warn!("blob {id:?} can't be read: {error}");
        }
        Err(NodeFault::CorruptBlob(id))
    }

    /// Starts a blob in a file.
    pub fn create_blob(self: &Arc<Self>, id: BlobId) -> NodeResult<BlobFile> {
        self.alive()?;
        if !self.has_room(1) {
            return Err(NodeFault::Full);
        }
        BlobFile::create(self.clone(), id, self.drafts.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether there is more left than the low water, or a part of it.
    fn has_room(&self, part: u64) -> bool {
        self.disk
            .available_bytes()
            .is_ok_and(|available| available >= self.options.low_water_bytes / part)
    }
}
