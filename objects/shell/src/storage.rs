//! The storage nodes in their folders, and the cluster over them.

use anyhow::Context as _;
use cluster::{Cluster, Config, Health, NodeConfig, Place, Standing, Table};
use contracts::objects::{Activity, Copy, NodeStatus, StorageNode, StoreStatus};
use node::{FolderNode, Node, OpenFault, Options};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often a node that is down is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The cluster, and what it is made of.
#[derive(Debug, Clone)]
pub struct Storage {
    cluster: Arc<Cluster>,
    nodes: Arc<Mutex<Vec<StorageNode>>>,
}

impl Storage {
    /// Opens the nodes; those that can't be opened are missed, and filled again when they are
    /// back.
    ///
    /// # Errors
    /// There are too few.
    pub async fn open(nodes: &[StorageNode]) -> anyhow::Result<Self> {
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
        Ok(Self { cluster, nodes: Arc::new(Mutex::new(nodes.to_vec())) })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Opens nodes again that were lost and are back, for ever: with what they had, or empty.
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
            folder: self.find(&node.name).map(|node| node.folder).unwrap_or_default(),
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
        self.cluster.remove_node(name).await?;
        log::info!("{name} is to go");
        Ok(())
    }

    /// Begins to read and compare everything.
    pub fn scrub(&self) {
        self.cluster.scrub();
    }
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
