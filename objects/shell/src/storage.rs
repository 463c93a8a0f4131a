//! The storage nodes in their folders, or the one in Ceph, and the cluster over them.

use anyhow::Context as _;
use cluster::{Cluster, Config, Health, Limits, NodeConfig, Place, Standing, Table};
use contracts::objects::{
    Activity, CephPool, Copy, Foundation, NodeStatus, StorageNode, StoreStatus,
};
use node::{FolderNode, Node, OpenFault, Options};
use rados::RadosNode;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often a node that is down is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait for an answer of Ceph, in seconds. It is late, but comes, when an OSD has died:
/// the monitors take it out after `osd_heartbeat_grace`, 20 s if nobody has changed it.
const CEPH_TIMEOUT_S: u32 = 60;

/// The same for a look at a pool before the first start.
const CHECK_TIMEOUT_S: u32 = 15;

/// The cluster, and what it is made of.
#[derive(Debug, Clone)]
pub struct Storage {
    cluster: Arc<Cluster>,
    /// None with Ceph.
    nodes: Arc<Mutex<Vec<StorageNode>>>,
    ceph: Option<CephPool>,
}

impl Storage {
    /// Opens the nodes; those that can't be opened are missed, and filled again when they are
    /// back.
    ///
    /// # Errors
    /// There are too few.
    pub async fn open(foundation: &Foundation) -> anyhow::Result<Self> {
        match foundation {
            Foundation::Nodes(nodes) => Self::open_nodes(nodes).await,
            Foundation::Ceph(pool) => Self::open_ceph(pool).await,
        }
    }

    /// One node without replicas: Ceph keeps those, compares and mends them.
    async fn open_ceph(pool: &CephPool) -> anyhow::Result<Self> {
        let node = RadosNode::connect(settings(pool)).await?;
        let (name, domain) = (CephPool::NODE.to_owned(), CephPool::NODE.to_owned());
        let node: Arc<dyn Node> = Arc::new(node);
        let node = NodeConfig { name, domain, weight: 1, node: Some(node), damaged: false };
        // Longer than Ceph's: who gave up doesn't know what came of a write.
        let answer = Duration::from_secs(u64::from(CEPH_TIMEOUT_S) + 5);
        let limits = Limits {
            read: answer,
            write: answer,
            wait: answer,
            scrub_reads: false,
            ..Limits::default()
        };
        let cluster = Cluster::open(Config { limits, ..Config::new(vec![node]) }).await?;
        Ok(Self { cluster, nodes: Arc::default(), ceph: Some(pool.clone()) })
    }

    async fn open_nodes(nodes: &[StorageNode]) -> anyhow::Result<Self> {
        anyhow::ensure!(!nodes.is_empty(), "the object store has no storage node");
        let mut opened = Vec::with_capacity(nodes.len());
        for node in nodes {
            opened.push(match open(node).await {
                Ok(folder) => configured(node, Some(folder)),
                Err(fault @ OpenFault::InUse) => {
                    return Err(fault).with_context(|| node.folder.display().to_string());
                }
                Err(fault) => {
                    log::error!("{} can't be opened: {fault}", node.name);
                    configured(node, None)
                }
            });
        }
        let cluster = Cluster::open(Config::new(opened)).await?;
        Ok(Self { cluster, nodes: Arc::new(Mutex::new(nodes.to_vec())), ceph: None })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Opens nodes again that were lost and are back, for ever: with what they had, or empty. A
    /// connection to Ceph comes back by itself.
    pub async fn look_after(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let down = |node: &cluster::NodeStatus| matches!(node.health, Health::Down(_));
            for lost in self.cluster.status().await.nodes.iter().filter(|node| down(node)) {
                let Some(node) = self.find(&lost.name) else { continue };
                match open(&node).await {
                    Ok((folder, damaged)) => {
                        log::info!("{} is opened again", node.name);
                        let attached = self.cluster.attach_node(&node.name, folder, damaged);
                        if let Err(fault) = attached {
                            log::warn!("{}: {fault}", node.name);
                        }
                    }
                    // The lost one is still held; only its end frees it.
                    Err(OpenFault::InUse) => {}
                    Err(fault) => log::debug!("{} can't be opened: {fault}", node.name),
                }
            }
        }
    }

    /// Ends what goes on in the background, and what is under way.
    pub async fn close(&self) {
        self.cluster.close().await;
    }

    /// How the nodes are.
    pub async fn status(&self) -> StoreStatus {
        let found = self.cluster.status().await;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let slots = u64::from(cluster::SLOTS);
        let (to_heal, moving) = (count(found.slots_to_heal), count(found.slots_moving));
        let copies = slots * count(found.replicas);
        let mut activities = Vec::new();
        let mut activity = |name: &str, left: u64, total: u64, unit: &str| {
            if left > 0 {
                activities.push(Activity {
                    name: name.to_owned(),
                    done: total.saturating_sub(left),
                    total,
                    unit: unit.to_owned(),
                });
            }
        };
        activity("healing", to_heal, copies, "copies of slots");
        activity("moving", moving, slots, "slots");
        StoreStatus {
            nodes: found.nodes.into_iter().map(|node| self.node_status(node)).collect(),
            slots,
            replicas: count(found.replicas),
            ceph: self.ceph.as_ref().map(CephPool::place),
            slots_missing_copies: to_heal,
            slots_unavailable: count(found.slots_unwritable),
            scrubs: found.scrubs,
            activities,
            ..StoreStatus::default()
        }
    }

    fn node_status(&self, node: cluster::NodeStatus) -> NodeStatus {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (state, reason) = match (node.standing, node.health) {
            (_, Health::Down(why)) => ("down", Some(why.to_string())),
            (Standing::Draining, _) => ("leaving", None),
            (Standing::Out, _) => ("out", None),
            (Standing::In, Health::Full) => ("full", None),
            (Standing::In, Health::Up) => ("up", None),
        };
        let usage = node.usage.unwrap_or_default();
        NodeStatus {
            folder: match &self.ceph {
                Some(pool) => pool.place().into(),
                None => self.find(&node.name).map(|node| node.folder).unwrap_or_default(),
            },
            name: node.name,
            domain: node.domain,
            weight: node.weight,
            state: state.to_owned(),
            reason,
            slots: count(node.slots),
            slots_in_sync: count(node.slots_in_sync),
            records: usage.records,
            missing: node.missing,
            corrupt: node.corrupt,
            repaired: node.repaired,
            used_bytes: usage.used_bytes,
            available_bytes: usage.available_bytes,
        }
    }

    fn find(&self, name: &str) -> Option<StorageNode> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().find(|node| node.name == name).cloned()
    }

    /// The copies of an object's records.
    ///
    /// # Errors
    /// The cluster can't be asked.
    pub async fn locate(&self, place: &Place) -> anyhow::Result<Vec<Copy>> {
        let found = self.cluster.locate(place, Table::Objects).await?;
        let copy = |copy: cluster::Located| Copy {
            node: copy.node,
            in_sync: copy.in_sync,
            records: copy.records.and_then(|records| u64::try_from(records).ok()),
        };
        Ok(found.into_iter().map(copy).collect())
    }

    /// Takes a node in, or one back that was lost.
    ///
    /// # Errors
    /// It can't be opened, or belongs elsewhere.
    pub async fn add(&self, node: StorageNode) -> anyhow::Result<()> {
        self.refuse_with_ceph()?;
        let opened = open(&node).await.with_context(|| node.folder.display().to_string())?;
        self.cluster.add_node(configured(&node, Some(opened))).await?;
        log::info!("{} is a storage node: {}", node.name, node.folder.display());
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|known| known.name != node.name);
        nodes.push(node);
        Ok(())
    }

    /// Begins to move a node's share away; it is none of the cluster's then.
    ///
    /// # Errors
    /// There is no such node, or too few would be left.
    pub async fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.refuse_with_ceph()?;
        self.cluster.remove_node(name).await?;
        log::info!("{name} is to go");
        Ok(())
    }

    fn refuse_with_ceph(&self) -> anyhow::Result<()> {
        match &self.ceph {
            Some(pool) => anyhow::bail!(
                "objects are in {}: add OSDs to Ceph, or take them away, instead of storage nodes",
                pool.place()
            ),
            None => Ok(()),
        }
    }

    /// Begins to read and compare everything; with Ceph, to look for blobs that nothing refers to.
    pub fn scrub(&self) {
        self.cluster.scrub();
    }
}

fn settings(pool: &CephPool) -> rados::Settings {
    let CephPool { conf, pool, user, namespace } = pool.clone();
    let (timeout_s, slot_of) = (CEPH_TIMEOUT_S, cluster::slot_of_part);
    rados::Settings { conf, pool, user, namespace, timeout_s, slot_of }
}

/// Whether a pool of Ceph can be opened here and now: connects, and changes nothing.
///
/// # Errors
/// librados isn't installed, or the cluster can't be reached, or has no such pool, or refuses.
pub fn check_ceph(pool: &CephPool) -> anyhow::Result<()> {
    let timeout_s = CHECK_TIMEOUT_S;
    Ok(RadosNode::check(&rados::Settings { timeout_s, ..settings(pool) })?)
}

/// An open node, and whether something that it had acknowledged is lost.
type Opened = (Arc<dyn Node>, bool);

fn configured(node: &StorageNode, opened: Option<Opened>) -> NodeConfig {
    let StorageNode { name, folder: _, weight, domain } = node.clone();
    let (node, damaged) = opened.unzip();
    NodeConfig { name, domain, weight, node, damaged: damaged.unwrap_or(false) }
}

async fn open(node: &StorageNode) -> Result<Opened, OpenFault> {
    let folder: PathBuf = node.folder.clone();
    let opening = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        FolderNode::open(&folder, Options::default())
    });
    let opened = opening.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
    let (opened, report) = opened?;
    if report.is_damaged() {
        log::warn!("{}: {report:?}: it is compared with the others", node.name);
    } else {
        log::info!("{}: {report:?}", node.name);
    }
    Ok((Arc::new(opened), report.is_damaged()))
}
