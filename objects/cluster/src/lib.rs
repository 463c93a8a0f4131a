//! Records and blobs on three storage nodes each, chosen by hash: what is acknowledged is durable
//! on all replicas in sync, reads are strong, and a lost or corrupt replica is made anew.
//!
//! One process holds the cluster; nodes are locked by it. The map says which nodes are members of
//! each slot and which of them are in sync, that is, have everything that was acknowledged. Only
//! those are read. A member that fails is out of sync, durably on more than half of the nodes,
//! before the write that it missed is acknowledged; so a replica that is behind is never believed,
//! and what was deleted meanwhile can't come back with it: the walk that heals it removes what the
//! others don't have.

mod agree;
mod body;
mod commit;
mod core;
mod custody;
mod limits;
mod link;
mod map;
mod nodes;
mod open;
mod orphans;
mod place;
mod read;
mod record;
mod scan;
mod status;
mod update;
mod upkeep;
mod walk;

pub use crate::core::Random;
pub use body::{BlobRef, Body, BodyWriter};
pub use limits::Limits;
pub use link::Health;
pub use map::Standing;
pub use node::BlobId;
pub use place::{Place, SLOTS, Table, after_key, after_keys, range, slot_of_part};
pub use record::Record;
pub use status::{Located, NodeStatus, Status};
pub use update::{Changes, Update};

use crate::{
    core::{Core, Links, lock},
    link::Link,
    map::{Entry, Map},
};
use bytes::Bytes;
use node::{MAX_BLOB_BYTES, Node, NodeFault};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

/// The most bytes of one blob.
const BLOB_BYTES: u64 = MAX_BLOB_BYTES;

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

/// A node to open a cluster with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Names it to people, and a node whose disk was replaced to the cluster.
    pub name: String,
    /// No two replicas of a slot lie in the same failure domain.
    pub domain: String,
    /// Its share, in proportion to the others'.
    pub weight: u32,
    /// None if it can't be opened now; see [`Cluster::attach_node`].
    pub node: Option<Arc<dyn Node>>,
    /// It has found that it lost something: it is compared with the others as a whole.
    pub damaged: bool,
}

/// What a cluster is opened with.
#[derive(Clone)]
pub struct Config {
    pub nodes: Vec<NodeConfig>,
    /// How many replicas each slot has, when the cluster is made. A write needs more than half of
    /// them in sync.
    pub replicas: usize,
    pub limits: Limits,
    /// Names blobs.
    pub random: Random,
    /// Nodes that are given up if they aren't there, even if they are more than half: what only
    /// they had is lost, and what the others have counts, be it old.
    pub accept_loss: BTreeSet<String>,
}

impl Config {
    /// Three replicas, or as many as there are nodes.
    #[must_use]
    pub fn new(nodes: Vec<NodeConfig>) -> Self {
        let replicas = nodes.len().min(3);
        let random = Arc::new(rand::random);
        let accept_loss = BTreeSet::new();
        Self { nodes, replicas, limits: Limits::default(), random, accept_loss }
    }
}

/// The cluster. Dropped without [`Cluster::close`] it stops as in a crash.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) core: Arc<Core>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.core.abort();
    }
}

impl Cluster {
    /// Opens a cluster on its nodes, or makes one if all of them are empty: decides what a crash
    /// has left behind, and begins to mend in the background what is missing.
    ///
    /// # Errors
    /// Fewer than half of its nodes can be opened, or nodes hold something else.
    pub async fn open(config: Config) -> ClusterResult<Arc<Self>> {
        open::open(config).await
    }

    pub(crate) fn start(core: Arc<Core>) -> Arc<Self> {
        core.spawn(upkeep::upkeep(core.clone()));
        core.spawn(walk::walker(core.clone()));
        Arc::new(Self { core })
    }

    /// A cluster over empty nodes that keeps no map of them: for tests of what is above it.
    #[must_use]
    pub fn over(nodes: Vec<Arc<dyn Node>>) -> Arc<Self> {
        let entry = |number: usize| Entry {
            name: number.to_string(),
            domain: number.to_string(),
            weight: 1,
            standing: Standing::In,
            seen: 0,
        };
        let entries = (0..nodes.len()).map(entry).collect();
        let mut map = Map::new([0; 16], nodes.len().min(3), entries);
        map.reserved = u64::MAX / 2;
        let links: Links = (0..)
            .zip(nodes)
            .map(|(id, node)| (id, Link::new(id, Some(node), Health::Up)))
            .collect();
        let core = Core::new(map, links, false, Limits::default(), Arc::new(rand::random));
        core.restart_sequences();
        if tokio::runtime::Handle::try_current().is_ok() {
            return Self::start(core);
        }
        Arc::new(Self { core })
    }

    /// Waits for the commits under way, ends all that the cluster does in the background, and lets
    /// go of the nodes.
    pub async fn close(&self) {
        let _alone = self.core.gate.write().await;
        self.core.closing.store(true, Ordering::Release);
        custody::free_due(&self.core, true).await;
        self.core.take_tasks().shutdown().await;
        self.core.links().values().for_each(|link| link.let_go());
    }

    /// A record, as of the last commit.
    ///
    /// # Errors
    /// No replica in sync can be read.
    pub async fn get(&self, key: &[u8]) -> ClusterResult<Option<Record>> {
        Ok(self.core.get(key).await?.and_then(Record::decode))
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
        let found = self.core.scan(part, limit).await?.into_iter();
        Ok(found.filter_map(|(key, value)| Some((key, Record::decode(value)?))).collect())
    }

    /// Begins an update of a place: no other can until this one is dropped.
    pub async fn update(&self, place: Place) -> Update<'_> {
        Update::begin(self, place).await
    }

    /// Begins a body that will belong to a record of this place.
    #[must_use]
    pub fn write_body(self: &Arc<Self>, place: &Place) -> BodyWriter {
        BodyWriter::new(self.core.clone(), place.slot())
    }

    /// Reads a part of a blob of a place, verified, from whichever replica has it whole. Gives at
    /// most `len` bytes, and at least one unless the blob ends at `offset`. A blob that a commit
    /// has replaced is there for some time ([`Limits::free_after`]); who reads for longer sees to
    /// it that a record keeps it.
    ///
    /// # Errors
    /// No replica has it.
    pub async fn read_blob(
        &self,
        slot: u16,
        id: BlobId,
        offset: u64,
        len: usize,
    ) -> ClusterResult<Bytes> {
        self.core.read_blob(slot, id, offset, len).await
    }

    /// Verifies every record and blob on every node in the background, mends what is bad, and frees
    /// what nothing refers to.
    pub fn scrub(&self) {
        lock(&self.core.progress).scrub_requested = true;
        self.core.walk.notify_one();
    }

    /// Frees blobs that no record refers to, on all nodes that are in sync, and gives their number.
    ///
    /// # Errors
    /// A node failed meanwhile.
    pub async fn sweep_orphans(&self) -> ClusterResult<u64> {
        self.core.sweep().await
    }
}
