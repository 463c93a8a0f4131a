//! The object store's owner's socket: JSON values, one a line; each request gets one reply.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The file in the object store's folder that names, as a JSON list, the storage nodes whose loss
/// its owner accepts at the next start.
pub const ACCEPT_LOSS: &str = "accept-loss.json";

/// The file in the folder of sockets that says why the object store can't be opened, for people;
/// written anew at each try, and gone once it is open.
pub const REFUSED: &str = "objects.refused";

/// What the owner may ask of the object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ObjectsRequest {
    /// How things are.
    Status,
    /// Where an object is, or would be.
    Locate {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Takes a folder in as a storage node; its share moves there in the background.
    AddNode(StorageNode),
    /// Moves a node's share to the others, then lets go of it.
    RemoveNode(String),
    /// Makes a node anew that was lost, empty, in this folder; it is filled from the others.
    ReplaceNode(StorageNode),
    /// Reads and compares everything, from now on in the background.
    Scrub,
    /// Drops all buckets of all accounts, and what the accounts have set.
    Reset,
    /// Sets the store's clock forward until it is started again, applies lifecycle rules and writes
    /// inventories.
    AdvanceClock {
        /// How far, in days.
        days: u32,
    },
}

/// A storage node as it is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorageNode {
    /// Its name, for ever.
    pub name: String,
    /// Where its data is.
    pub folder: PathBuf,
    /// Its share, in proportion to the others'.
    pub weight: u32,
    /// What fails as one: never two replicas in one domain.
    pub domain: String,
}

/// What the object store is kept on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Foundation {
    /// Folders, each a storage node.
    Nodes(Vec<StorageNode>),
    /// A pool of Ceph, which keeps the copies itself.
    Ceph(CephPool),
}

/// A namespace in a pool of a Ceph cluster, of one cloud alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CephPool {
    /// The cluster's `ceph.conf`.
    pub conf: PathBuf,
    /// A replicated pool.
    pub pool: String,
    /// The user, without `client.`.
    pub user: String,
    /// The namespace in the pool.
    pub namespace: String,
}

impl CephPool {
    /// Its only storage node's name.
    pub const NODE: &str = "ceph";

    /// Where it is, for people: `ceph:POOL/NAMESPACE`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("ceph:{}/{}", self.pool, self.namespace)
    }
}

/// The reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ObjectsReply {
    /// Done, or begun if it takes longer.
    Done,
    /// To [`ObjectsRequest::Status`].
    Status(StoreStatus),
    /// To [`ObjectsRequest::Locate`].
    Located(Location),
    /// Not done, and why: for people.
    Refused(String),
}

/// The object store for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The storage nodes.
    pub nodes: Vec<NodeStatus>,
    /// Slots of the key space.
    pub slots: u64,
    /// Copies of everything; 1 where Ceph keeps more by itself.
    pub replicas: u64,
    /// The pool of Ceph that everything is in, as `ceph:POOL/NAMESPACE`, if it is.
    #[serde(default)]
    pub ceph: Option<String>,
    /// Slots that lack a copy in sync.
    pub slots_missing_copies: u64,
    /// Slots without enough copies in sync to be written.
    pub slots_unavailable: u64,
    /// Buckets of all accounts.
    pub buckets: u64,
    /// Versions of objects and delete markers, as far as they were counted.
    pub objects: u64,
    /// Whether there are more than were counted.
    pub objects_are_more: bool,
    /// Rounds of reading and comparing everything that ended since the store was started.
    pub scrubs: u64,
    /// What goes on in the background.
    pub activities: Vec<Activity>,
}

/// Something that goes on in the background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Such as `healing`.
    pub name: String,
    /// How much is done, of `total`.
    pub done: u64,
    /// How much there is.
    pub total: u64,
    /// What is counted, such as `slots`.
    pub unit: String,
}

/// A storage node for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Where its data is: a folder, or `ceph:POOL/NAMESPACE`.
    pub folder: PathBuf,
    /// What fails as one.
    pub domain: String,
    /// Its share, in proportion to the others'.
    pub weight: u32,
    /// `up`, `full`, `down`, `leaving`, `out` if its share is elsewhere until it is back, or `lost`
    /// if its folder doesn't hold it any more.
    pub state: String,
    /// Why it is down or lost, or why its share doesn't move away.
    pub reason: Option<String>,
    /// Slots that it has a copy of.
    pub slots: u64,
    /// Of those, the ones in sync.
    pub slots_in_sync: u64,
    /// Records that it has.
    pub records: u64,
    /// Blobs and records found missing since the store was started.
    pub missing: u64,
    /// Blobs and records found corrupt since then.
    pub corrupt: u64,
    /// Of both, those that were made anew.
    pub repaired: u64,
    /// Bytes that its data takes.
    pub used_bytes: u64,
    /// Bytes that its disk has left.
    pub available_bytes: u64,
}

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// The slot of bucket and key.
    pub slot: u16,
    /// The nodes of the slot.
    pub copies: Vec<Copy>,
    /// The versions, newest first; `null` without versioning.
    pub versions: Vec<String>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// The node's name.
    pub node: String,
    /// Whether the copy takes part in reads and writes.
    pub in_sync: bool,
    /// Records of the object that it has, one for each version; none if it can't be asked.
    pub records: Option<u64>,
}
