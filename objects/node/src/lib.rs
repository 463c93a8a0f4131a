//! A storage node: records in the order of their keys, and blobs, both durable and checked.
//!
//! A node knows nothing of buckets, versions or replicas. What it has acknowledged it keeps over a
//! crash; what it gives back it has verified by checksum.

mod blocks;
mod checksum;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod disk;
mod folder;
mod group;
mod index;
mod memory;
mod options;
mod reserve;
#[cfg(any(test, feature = "simulation"))]
mod simulation;
mod store;

#[cfg(any(test, feature = "simulation"))]
pub use disk::{DiskCall, SimDisk};
pub use folder::FolderNode;
pub use memory::MemoryNode;
pub use options::{OpenFault, OpenReport, Options};
#[cfg(any(test, feature = "simulation"))]
pub use simulation::SimNode;

use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// The longest blob, in bytes. Longer bodies are several blobs.
pub const MAX_BLOB_BYTES: u64 = 8 << 20;

/// The longest blob that travels in a [`Batch`], in bytes: it shares the batch's one disk flush.
pub const MAX_INLINE_BLOB_BYTES: usize = 1 << 20;

/// The longest key of a record, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;

/// The longest value of a record, in bytes.
pub const MAX_VALUE_BYTES: usize = 4 << 20;

/// The longest batch as the log has it, in bytes.
pub const MAX_BATCH_BYTES: u64 = 32 << 20;

/// Names a blob; the same on every replica. Made at random by who writes it, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 16]);

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Bytes,
    /// The new value, or none to remove the record.
    pub value: Option<Bytes>,
}

/// What a node does as one: after a crash all of it is there, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All keys of a batch belong to this slot; a node may use it to place its index.
    pub slot: u16,
    /// Rises with every batch of the cluster; a node remembers it for each batch of its recent log.
    pub sequence: u64,
    pub changes: Vec<Change>,
    /// Blobs that come with the batch, each up to [`MAX_INLINE_BLOB_BYTES`].
    pub blobs: Vec<(BlobId, Bytes)>,
    /// Blobs written before (`create_blob`) that a record of this batch refers to from now on.
    pub adopt: Vec<BlobId>,
    /// Blobs of any slots that no record refers to any more. Unknown ones are ignored.
    pub free: Vec<BlobId>,
    /// It frees space in the end, or makes replicas agree: a full node takes it, too, if it is short
    /// and brings no blobs.
    pub although_full: bool,
}

/// A part of the index, in order of keys.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The first key, inclusive.
    pub from: Bytes,
    /// The end, exclusive; none for the end of the index.
    pub until: Option<Bytes>,
    /// At most so many records.
    pub limit: usize,
}

/// Why a node can't do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeFault {
    /// No such blob. (A record that isn't there is no fault.)
    #[error("the storage node has no blob {0:?}")]
    NotFound(BlobId),
    /// The checksum of what is on the disk differs: to be repaired from another replica.
    #[error("the storage node's copy of {0:?} is corrupt")]
    CorruptBlob(BlobId),
    /// The disk is full: the node still reads.
    #[error("the storage node is full")]
    Full,
    /// Something is over a limit of nodes; nothing was done.
    #[error("the storage node refuses: {0}")]
    Refused(&'static str),
    /// The node is gone, or has refused to go on since a write or a flush failed.
    #[error("the storage node is down: {0}")]
    Down(Arc<str>),
}

/// A node's result.
pub type NodeResult<T> = Result<T, NodeFault>;

/// A node's use of its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub used_bytes: u64,
    pub available_bytes: u64,
    pub records: u64,
    pub blobs: u64,
}

/// A storage node.
#[async_trait]
pub trait Node: Send + Sync + fmt::Debug + 'static {
    /// Does the batch, durably, all or nothing. Concurrent batches share disk flushes.
    async fn commit(&self, batch: Batch) -> NodeResult<()>;

    /// A record's value.
    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>>;

    /// Records of a part of the index, from one consistent view of it. Fewer than `limit` of them
    /// mean that the part has no more.
    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>>;

    /// Starts a blob of up to [`MAX_BLOB_BYTES`]. It is kept only once a batch adopts it: a node
    /// that starts drops what was never adopted.
    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>>;

    /// Reads a part of a blob, verified. It gives no more than the blob has, and may give less
    /// than `len`, but at least one byte if there is one.
    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes>;

    /// A blob's length in bytes.
    async fn blob_len(&self, id: BlobId) -> NodeResult<u64>;

    /// Puts a whole, right blob in the place of a missing or corrupt one, durably, and keeps it.
    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()>;

    /// Verifies a blob's checksums on the disk itself.
    async fn verify_blob(&self, id: BlobId) -> NodeResult<()>;

    /// The blobs that it keeps, in order of their IDs, after `after`; for comparison.
    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>>;

    /// The keys that batches with at least this sequence changed, as far as the node's log still
    /// reaches back; none if it doesn't reach so far. For comparison after a crash.
    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>>;

    /// All batches below this sequence are on all replicas: the log need not reach further back.
    async fn forget_before(&self, sequence: u64) -> NodeResult<()>;

    /// What it uses and has left.
    async fn usage(&self) -> NodeResult<Usage>;
}

/// A blob on its way to a node. Dropped before it is finished, it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: Send + Sync + fmt::Debug {
    /// Takes the next bytes.
    async fn write(&mut self, data: Bytes) -> NodeResult<()>;

    /// Makes all durable. The blob can be read from now on, and awaits its adoption.
    async fn finish(self: Box<Self>) -> NodeResult<()>;
}
