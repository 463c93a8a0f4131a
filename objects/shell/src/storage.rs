//! The storage nodes in their folders, or the one in Ceph, and the cluster over them.

use crate::{
    patience,
    register::{self, Register},
};
use anyhow::Context as _;
use cluster::{Cluster, Config, Health, Limits, NodeConfig, Place, Standing, Table};
use contracts::objects::{
    Activity, CephPool, Copy, Foundation, NodeStatus, StorageNode, StoreStatus,
};
use node::{FolderNode, Node, OpenFault, Options};
use rados::RadosNode;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// How often a node that is down is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait for an answer of Ceph, in seconds. It is late, but comes, when an OSD has died:
/// the monitors take it out after `osd_heartbeat_grace`, 20 s if nobody has changed it.
const CEPH_TIMEOUT_S: u32 = 60;

/// The same for a look at a pool before the first start.
const CHECK_TIMEOUT_S: u32 = 15;
/// A node that fails again and again is opened again after pauses that grow up to this.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The cluster, and what it is made of.
#[derive(Debug, Clone)]
pub struct Storage {
    cluster: Arc<Cluster>,
    shelf: Arc<Mutex<Shelf>>,
    ceph: Option<CephPool>,
}

/// The nodes as the owner has set them up, and as they were found.
#[derive(Debug)]
struct Shelf {
    nodes: Vec<StorageNode>,
    register: Register,
    /// Why a node can't be opened now; true if its folder doesn't hold it.
    missing: BTreeMap<String, (String, bool)>,
    /// What the cluster uses.
    open: BTreeMap<String, Weak<FolderNode>>,
    retries: BTreeMap<String, Retry>,
}

/// When a node that fails is opened again.
#[derive(Debug, Clone, Copy)]
struct Retry {
    due: Instant,
    pause: Duration,
}

impl Storage {
    /// Opens the nodes; those that can't be opened are missed, and filled again when they are
    /// back. `folder` is the store's own, for what belongs to none of them.
    ///
    /// # Errors
    /// There are too few.
    pub async fn open(foundation: &Foundation, folder: &Path) -> anyhow::Result<Self> {
        match foundation {
            Foundation::Nodes(nodes) => Self::open_nodes(nodes, folder).await,
            Foundation::Ceph(pool) => Self::open_ceph(pool, folder).await,
        }
    }

    /// One node without replicas: Ceph keeps those, compares and mends them.
    async fn open_ceph(pool: &CephPool, folder: &Path) -> anyhow::Result<Self> {
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
        let shelf = Arc::new(Mutex::new(Shelf::new(&[], folder)?));
        Ok(Self { cluster, shelf, ceph: Some(pool.clone()) })
    }

    async fn open_nodes(nodes: &[StorageNode], folder: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(!nodes.is_empty(), "the object store has no storage node");
        let accepted = register::accepted(folder)?;
        let mut shelf = Shelf::new(nodes, folder)?;
        // All at once, since they have disks of their own.
        let openings = nodes.iter().map(|node| {
            let (node, id) = (node.clone(), shelf.register.id(&node.name));
            async move { open(&node, id).await }
        });
        let openings = openings.collect();
        // Whose loss is accepted is waited for, lest it is given up though it is there; and a new
        // cluster needs all.
        let known = nodes.iter().all(|node| shelf.register.id(&node.name).is_some());
        let patience = (known && accepted.is_empty()).then_some(patience::PATIENCE);
        let mut opened = Vec::with_capacity(nodes.len());
        for (node, found) in nodes.iter().zip(patience::opened(openings, patience).await) {
            opened.push(match found.and_then(|found| shelf.take(node, found)) {
                Ok(found) => configured(node, Some(found)),
                Err(fault @ OpenFault::InUse) => {
                    return Err(fault).with_context(|| node.folder.display().to_string());
                }
                Err(fault) => {
                    log::error!("{} can't be opened: {fault}", node.name);
                    shelf.miss(node, &fault);
                    configured(node, None)
                }
            });
        }
        let lost: BTreeSet<String> =
            accepted.into_iter().filter(|name| shelf.missing.contains_key(name)).collect();
        if lost.len() == nodes.len() {
            // Nothing is left to be asked: a new cluster is made.
            shelf.register.give_up(&lost)?;
            opened.clear();
            for node in nodes {
                let found = shelf.open(node).await;
                let found = found.with_context(|| node.folder.display().to_string())?;
                opened.push(configured(node, Some(found)));
            }
        }
        let config = Config { accept_loss: lost.clone(), ..Config::new(opened) };
        let cluster = Cluster::open(config).await.with_context(|| shelf.complaint())?;
        let storage = Self { cluster, shelf: Arc::new(Mutex::new(shelf)), ceph: None };
        if !lost.is_empty() {
            storage.give_up(&lost).await?;
        }
        register::forget_accepted(folder)?;
        Ok(storage)
    }

    /// Makes nodes anew whose loss was accepted; the cluster doesn't know them any more.
    async fn give_up(&self, lost: &BTreeSet<String>) -> anyhow::Result<()> {
        self.shelf().register.give_up(lost)?;
        for name in lost {
            log::warn!("the loss of {name} is accepted");
            let Some(node) = self.find(name) else { continue };
            if let Err(error) = self.add(node.clone()).await {
                log::error!("{name} isn't made anew: {error:#}");
                let mut shelf = self.shelf();
                shelf.missing.insert(node.name.clone(), (format!("{error:#}"), true));
            }
        }
        Ok(())
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Opens nodes again that were lost and are back, for ever. A connection to Ceph comes back by
    /// itself.
    pub async fn look_after(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let down = |node: &cluster::NodeStatus| matches!(node.health, Health::Down(_));
            for lost in self.cluster.status().await.nodes.iter().filter(|node| down(node)) {
                if let Some(node) = self.find(&lost.name) {
                    self.look_for(&node).await;
                }
            }
        }
    }

    async fn look_for(&self, node: &StorageNode) {
        if self.shelf().retries.get(&node.name).is_some_and(|retry| Instant::now() < retry.due) {
            return;
        }
        let failed = {
            let shelf = self.shelf();
            let open = shelf.open.get(&node.name).and_then(Weak::upgrade);
            open.is_some_and(|open| open.has_failed())
        };
        if failed {
            // Its end frees the folder, so that it can be opened again.
            self.cluster.detach_node(&node.name);
        }
        let id = self.shelf().register.id(&node.name);
        match open(node, id).await {
            Ok((folder, damaged)) => {
                log::info!("{} is opened again", node.name);
                self.shelf().opened(node, &folder);
                let attached = self.cluster.attach_node(&node.name, folder, damaged);
                if let Err(fault) = attached {
                    log::warn!("{}: {fault}", node.name);
                }
            }
            // The lost one is still held; only its end frees it.
            Err(OpenFault::InUse) => {}
            Err(fault) => {
                log::debug!("{} can't be opened: {fault}", node.name);
                self.shelf().miss(node, &fault);
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
        if to_heal > 0 {
            let left = 1000_u64.saturating_sub(found.walked_permille);
            activity("comparing", left.max(1), 1000, "thousandths of the records");
        }
        let mut nodes: Vec<_> =
            found.nodes.into_iter().map(|node| self.node_status(node)).collect();
        let known: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
        nodes.extend(self.shelf().unknown(&known));
        StoreStatus {
            nodes,
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
        let missing = self.shelf().missing.get(&node.name).cloned();
        let (state, reason) = match (node.standing, node.health) {
            (_, Health::Down(why)) => match missing {
                Some((why, true)) => ("lost", Some(why)),
                Some((why, false)) => ("down", Some(why)),
                None => ("down", Some(why.to_string())),
            },
            (Standing::Draining, _) => ("leaving", node.held_up.clone()),
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
        self.shelf().nodes.iter().find(|node| node.name == name).cloned()
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

    /// Takes a node in that is new, or one back that belongs to the cluster.
    ///
    /// # Errors
    /// It can't be opened, or belongs elsewhere.
    pub async fn add(&self, node: StorageNode) -> anyhow::Result<()> {
        self.refuse_with_ceph()?;
        let context = || node.folder.display().to_string();
        let (folder, damaged) = open(&node, None).await.with_context(context)?;
        anyhow::ensure!(
            !self.shelf().register.is_given_up(folder.id()),
            "{}: the storage node in it was given up; empty the folder to use it again",
            node.folder.display()
        );
        self.cluster.add_node(configured(&node, Some((folder.clone(), damaged)))).await?;
        log::info!("{} is a storage node: {}", node.name, node.folder.display());
        self.taken_in(node, &folder)
    }

    /// Makes a node anew that was lost, in this folder; it is filled from the others.
    ///
    /// # Errors
    /// It isn't lost, or the folder holds something else.
    pub async fn replace(&self, node: StorageNode) -> anyhow::Result<()> {
        self.refuse_with_ceph()?;
        let found = self.cluster.status().await;
        let known = found.nodes.into_iter().find(|known| known.name == node.name);
        let known = known.with_context(|| format!("the store has no node {}", node.name))?;
        anyhow::ensure!(
            matches!(known.health, Health::Down(_)),
            "{} is there and in use; 'fogbank objects node remove' moves its share away first",
            node.name
        );
        self.cluster.detach_node(&node.name);
        let context = || node.folder.display().to_string();
        let (folder, _) = open(&node, None).await.with_context(context)?;
        let records = folder.usage().await?.records;
        anyhow::ensure!(
            records == 0,
            "{} holds a storage node with {records} records: empty it first, or choose another \
             folder",
            node.folder.display()
        );
        self.shelf().register.give_up(&BTreeSet::from([node.name.clone()]))?;
        self.taken_in(node.clone(), &folder)?;
        self.cluster.attach_node(&node.name, folder, false)?;
        log::warn!("{} is made anew: {}", node.name, node.folder.display());
        Ok(())
    }

    fn taken_in(&self, node: StorageNode, folder: &Arc<FolderNode>) -> anyhow::Result<()> {
        let mut shelf = self.shelf();
        shelf.register.note(&node.name, folder.id())?;
        shelf.opened(&node, folder);
        shelf.nodes.retain(|known| known.name != node.name);
        shelf.nodes.push(node);
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

impl Shelf {
    /// As the owner has set the nodes up; none is open yet.
    fn new(nodes: &[StorageNode], folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            nodes: nodes.to_vec(),
            register: Register::load(folder)?,
            missing: BTreeMap::new(),
            open: BTreeMap::new(),
            retries: BTreeMap::new(),
        })
    }

    /// Opens a node that was there before, or makes one that is new.
    async fn open(&mut self, node: &StorageNode) -> Result<Opened, OpenFault> {
        let found = open(node, self.register.id(&node.name)).await?;
        self.take(node, found)
    }

    /// Takes an opened node, unless it was given up.
    fn take(&mut self, node: &StorageNode, found: Opened) -> Result<Opened, OpenFault> {
        let (folder, damaged) = found;
        if self.register.is_given_up(folder.id()) {
            return Err(OpenFault::Other);
        }
        let noted = self.register.note(&node.name, folder.id());
        noted.map_err(|error| std::io::Error::other(format!("{error:#}")))?;
        self.opened(node, &folder);
        Ok((folder, damaged))
    }

    fn opened(&mut self, node: &StorageNode, folder: &Arc<FolderNode>) {
        self.missing.remove(&node.name);
        self.open.insert(node.name.clone(), Arc::downgrade(folder));
        self.pause(&node.name);
    }

    /// Puts off the next try; the longer, the sooner it came after the last.
    fn pause(&mut self, name: &str) {
        let pause = self.retries.get(name).map_or(LOOK_EVERY, |retry| {
            let fails_again = retry.due.elapsed() < retry.pause * 2;
            if fails_again { (retry.pause * 2).min(MAX_PAUSE) } else { LOOK_EVERY }
        });
        self.retries.insert(name.to_owned(), Retry { due: Instant::now() + pause, pause });
    }

    fn miss(&mut self, node: &StorageNode, fault: &OpenFault) {
        let lost = matches!(fault, OpenFault::Absent | OpenFault::Other);
        let hint = if lost { "; is its disk mounted?" } else { "" };
        self.missing.insert(node.name.clone(), (format!("{fault}{hint}"), lost));
        if !lost {
            self.pause(&node.name);
        }
    }

    /// Why the store can't be opened, and what its owner can do.
    fn complaint(&self) -> String {
        if self.missing.is_empty() {
            return "open the storage nodes".to_owned();
        }
        let folder = |name: &str| {
            let node = self.nodes.iter().find(|node| node.name == name);
            node.map(|node| node.folder.display().to_string()).unwrap_or_default()
        };
        let all = self.missing.iter();
        let all: Vec<_> =
            all.map(|(name, (why, _))| format!("{name} in {}: {why}", folder(name))).collect();
        let names: Vec<_> = self.missing.keys().map(String::as_str).collect();
        format!(
            "{} of {} storage nodes can't be opened ({}). Bring their disks back, and the store \
             starts. Only if they are gone for good: 'fogbank objects accept-loss {}' goes on with \
             what the others have",
            names.len(),
            self.nodes.len(),
            all.join("; "),
            names.join(" ")
        )
    }

    /// Nodes that the cluster doesn't have, but should.
    fn unknown(&self, known: &BTreeSet<String>) -> Vec<NodeStatus> {
        let unknown = self.nodes.iter().filter(|node| !known.contains(&node.name));
        unknown
            .filter_map(|node| {
                let (reason, _) = self.missing.get(&node.name)?;
                Some(NodeStatus {
                    name: node.name.clone(),
                    folder: node.folder.clone(),
                    domain: node.domain.clone(),
                    weight: node.weight,
                    state: "lost".to_owned(),
                    reason: Some(reason.clone()),
                    ..NodeStatus::default()
                })
            })
            .collect()
    }
}

/// An open node, and whether something that it had acknowledged is lost.
type Opened = (Arc<FolderNode>, bool);

fn configured(node: &StorageNode, opened: Option<Opened>) -> NodeConfig {
    let StorageNode { name, folder: _, weight, domain } = node.clone();
    let (node, damaged) = opened.unzip();
    let node = node.map(|node| node as Arc<dyn Node>);
    NodeConfig { name, domain, weight, node, damaged: damaged.unwrap_or(false) }
}

/// Opens the node with this ID, or if there is none whichever the folder has, which is made if it
/// has none.
async fn open(node: &StorageNode, id: Option<[u8; 16]>) -> Result<Opened, OpenFault> {
    let folder: PathBuf = node.folder.clone();
    let opening = tokio::task::spawn_blocking(move || match id {
        Some(id) => FolderNode::reopen(&folder, Options::default(), id),
        None => {
            std::fs::create_dir_all(&folder)?;
            FolderNode::open(&folder, Options::default())
        }
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
