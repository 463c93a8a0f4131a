//! A storage node over a pool of Ceph RADOS, which keeps the replicas itself.
//!
//! Objects of a namespace of the pool, which one process at a time owns:
//! * `head`: the format, the number of index objects, and the epoch: one more with each owner.
//! * `index.NNNN`: an ordered map of records and of the blobs that are kept. A batch is one atomic
//!   operation on one of them, chosen by its slot; it is refused if the epoch isn't the owner's.
//!   Blobs that it frees may be kept by others: they are taken from those after it.
//! * `blob.ID`: a blob, with its checksums and the epoch of who wrote it. It is there before the
//!   index names it and goes after; one of an older epoch that no index names is swept.

mod blob;
mod ffi;
mod index;
mod keys;
mod scan;
mod sums;
mod sweep;

pub use ffi::OpenFault;
pub use sweep::Sweep;

use async_trait::async_trait;
use bytes::Bytes;
use ffi::{Errno, Pool};
use node::{
    Batch, BlobId, BlobWriter, MAX_BLOB_BYTES, MAX_INLINE_BLOB_BYTES, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, Node, NodeFault, NodeResult, Scan, Usage,
};
use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The slot that all keys from the first, inclusive, to the second, exclusive, belong to, if there
/// is one. For each key that a batch of a slot changes it gives that slot, or none.
pub type SlotOf = fn(&[u8], Option<&[u8]>) -> Option<u16>;

/// Where the node is.
#[derive(Clone)]
pub struct Settings {
    /// The cluster's `ceph.conf`.
    pub conf: PathBuf,
    /// A replicated pool; erasure-coded ones have no ordered maps.
    pub pool: String,
    /// The user without `client.`: `admin`, say.
    pub user: String,
    /// Of the pool. One node owns it.
    pub namespace: String,
    /// How long to wait for an answer of Ceph.
    pub timeout_s: u32,
    pub slot_of: SlotOf,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("conf", &self.conf)
            .field("pool", &self.pool)
            .field("user", &self.user)
            .field("namespace", &self.namespace)
            .field("timeout_s", &self.timeout_s)
            .finish_non_exhaustive()
    }
}

/// Why there is no node.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectFault {
    #[error(transparent)]
    Open(#[from] OpenFault),
    #[error("the namespace in the Ceph pool: {0}")]
    Namespace(Arc<str>),
}

impl From<Errno> for ConnectFault {
    fn from(errno: Errno) -> Self {
        Self::Namespace(errno.to_string().into())
    }
}

/// A storage node over a pool of Ceph.
#[derive(Clone, Debug)]
pub struct RadosNode(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool>,
    settings: Settings,
    /// Of this owner, as it stands in attributes.
    epoch: Bytes,
    shards: Vec<Arc<index::Shard>>,
    /// Held by the one scan that may keep writers out.
    refill: Arc<tokio::sync::Mutex<()>>,
    fenced: AtomicBool,
    blobs: blob::Blobs,
    counted: sweep::Counted,
}

impl RadosNode {
    /// Whether the pool can be opened: connects, and changes nothing. Blocks for up to the time-out.
    ///
    /// # Errors
    /// As of [`Self::connect`].
    pub fn check(settings: &Settings) -> Result<(), ConnectFault> {
        Ok(Pool::open(settings).map(drop)?)
    }

    /// Connects, takes the namespace over from any earlier owner, and begins to sweep what that
    /// one left unfinished.
    ///
    /// # Errors
    /// librados isn't installed, or the cluster can't be reached, or has no such pool, or refuses.
    pub async fn connect(settings: Settings) -> Result<Self, ConnectFault> {
        let opening = settings.clone();
        let pool = tokio::task::spawn_blocking(move || Pool::open(&opening))
            .await
            .map_err(|error| ConnectFault::Namespace(error.to_string().into()))??;
        let index::Owned { epoch, shards } = index::take_over(&pool).await?;
        let node = Self(Arc::new(Inner {
            pool,
            settings,
            epoch,
            shards,
            refill: Arc::default(),
            fenced: AtomicBool::new(false),
            blobs: blob::Blobs::new(),
            counted: sweep::Counted::default(),
        }));
        let sweeping = node.clone();
        tokio::spawn(async move {
            match sweeping.sweep().await {
                Ok(Sweep { blobs, removed }) => {
                    log::info!(
                        "the Ceph pool has {blobs} blobs; {removed} unfinished were removed"
                    );
                }
                Err(fault) => log::warn!("the sweep of the Ceph pool ended early: {fault}"),
            }
        });
        Ok(node)
    }
}

impl Inner {
    /// The fault that an error of Ceph is for what isn't about one blob.
    fn fault(&self, errno: Errno) -> NodeFault {
        match errno {
            Errno::NO_SPACE | Errno::OVER_QUOTA => NodeFault::Full,
            Errno::CANCELED => {
                self.fenced.store(true, Ordering::Release);
                self.fenced_fault()
            }
            other => NodeFault::Down(format!("Ceph: {other}").into()),
        }
    }

    fn fenced_fault(&self) -> NodeFault {
        let pool = &self.settings.pool;
        NodeFault::Down(format!("another process has taken over the Ceph pool {pool}").into())
    }

    fn owned(&self) -> NodeResult<()> {
        if self.fenced.load(Ordering::Acquire) { Err(self.fenced_fault()) } else { Ok(()) }
    }
}

fn too_long(what: &str, len: usize, most: usize) -> NodeFault {
    NodeFault::Down(format!("{what} of {len} bytes: at most {most} are taken").into())
}

fn within_limits(batch: &Batch) -> NodeResult<()> {
    for change in &batch.changes {
        if change.key.len() > MAX_KEY_BYTES {
            return Err(too_long("a key", change.key.len(), MAX_KEY_BYTES));
        }
        let len = change.value.as_ref().map_or(0, Bytes::len);
        if len > MAX_VALUE_BYTES {
            return Err(too_long("a value", len, MAX_VALUE_BYTES));
        }
    }
    for (_, data) in &batch.blobs {
        if data.len() > MAX_INLINE_BLOB_BYTES {
            return Err(too_long("a blob", data.len(), MAX_INLINE_BLOB_BYTES));
        }
    }
    Ok(())
}

/// The result of a task of our own: it is never cancelled, and doesn't panic.
async fn joined<T>(task: tokio::task::JoinHandle<NodeResult<T>>) -> NodeResult<T> {
    task.await.map_err(|error| NodeFault::Down(error.to_string().into()))?
}

#[async_trait]
impl Node for RadosNode {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        self.0.owned()?;
        within_limits(&batch)?;
        // Goes on when the caller gives up: a half of it must not be forgotten.
        let inner = self.0.clone();
        joined(tokio::spawn(async move { inner.commit(batch).await })).await
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        self.0.get(key).await
    }

    /// A slot's records are from one view of it, those of different slots perhaps not.
    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        self.0.scan(scan).await
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        self.0.owned()?;
        Ok(Box::new(blob::RadosBlob::new(self.0.clone(), id)))
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        self.0.read_blob(id, offset, len, false).await
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        self.0.blob_len(id).await
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        self.0.owned()?;
        let most = usize::try_from(MAX_BLOB_BYTES).unwrap_or(usize::MAX);
        if data.len() > most {
            return Err(too_long("a blob", data.len(), most));
        }
        let inner = self.0.clone();
        joined(tokio::spawn(async move { inner.repair(id, data).await })).await
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.0.verify_blob(id).await
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        self.0.kept(after, limit).await
    }

    /// None: Ceph keeps no log of ours.
    async fn changed_since(&self, _sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        Ok(None)
    }

    async fn forget_before(&self, _sequence: u64) -> NodeResult<()> {
        Ok(())
    }

    /// Records are as they were counted last, at most some minutes ago.
    async fn usage(&self) -> NodeResult<Usage> {
        self.0.usage().await
    }
}
