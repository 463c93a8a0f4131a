//! What all parts of the cluster share: the map, the links, the locks.

use crate::{
    BlobId, ClusterFault, ClusterResult, Limits,
    custody::Custody,
    limits::{RESERVE, RESERVE_AHEAD},
    link::{self, Link, Write},
    map::{Map, NodeId},
    open::Identity,
    orphans::Filter,
    place::{SLOTS, internal},
    scan::Plan,
    status::Progress,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use node::{Batch, Change, NodeResult};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex as Turn, Notify, OwnedRwLockWriteGuard, RwLock as Gate},
    task::JoinSet,
};

/// Where random bytes come from.
pub type Random = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// Links to the nodes.
pub(crate) type Links = BTreeMap<NodeId, Arc<Link>>;

/// Commits that aren't decided.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    next: u64,
    sequences: BTreeSet<u64>,
    pub keys: BTreeSet<Bytes>,
}

pub(crate) struct Core {
    map: RwLock<Arc<Map>>,
    links: RwLock<Arc<Links>>,
    /// Whoever changes the map. Holders of `gate` may wait for it, not the other way round.
    mapping: Turn<()>,
    /// The last epoch that was tried: it may lie on some nodes.
    epoch: Mutex<u64>,
    /// A map was tried, and may or may not be found at the next start: no commit goes on before a
    /// later map is durable.
    pub doubtful: AtomicBool,
    /// The map is kept on the nodes.
    durable: bool,
    /// Shared by commits from the choice of their members to their end: held alone by changes of
    /// the map that rely on all commits having seen the same members.
    pub gate: Arc<Gate<()>>,
    /// By slot: one writer of a place at a time.
    pub writers: Vec<Arc<Turn<()>>>,
    /// By slot: held by a commit while replicas may differ, and shared by readers.
    pub commits: Vec<Arc<Gate<()>>>,
    /// Slots with a commit that can't be decided now.
    pub undecided: Mutex<BTreeSet<u16>>,
    pub flights: Mutex<Flights>,
    pub custody: Custody,
    pub plan: Mutex<Option<Arc<Plan>>>,
    pub filter: Mutex<Option<Filter>>,
    /// One sweep at a time.
    pub sweeping: Turn<()>,
    pub progress: Mutex<Progress>,
    pub limits: Limits,
    pub random: Random,
    /// Wakes the upkeep, and who waits for a change of the map or of a node's health.
    pub wake: Notify,
    /// Wakes the walker.
    pub walk: Notify,
    tasks: Mutex<JoinSet<()>>,
    pub closing: AtomicBool,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("links", &self.links()).finish_non_exhaustive()
    }
}

/// A lock of the standard library; a panic elsewhere leaves nothing half done behind it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn unavailable(why: impl Into<Arc<str>>) -> ClusterFault {
    ClusterFault::Unavailable(why.into())
}

impl Core {
    pub fn new(map: Map, links: Links, durable: bool, limits: Limits, random: Random) -> Arc<Self> {
        let flights = Flights { next: map.reserved, ..Flights::default() };
        Arc::new(Self {
            epoch: Mutex::new(map.version.epoch),
            map: RwLock::new(Arc::new(map)),
            links: RwLock::new(Arc::new(links)),
            mapping: Turn::default(),
            doubtful: AtomicBool::new(false),
            durable,
            gate: Arc::default(),
            writers: (0..SLOTS).map(|_| Arc::default()).collect(),
            commits: (0..SLOTS).map(|_| Arc::default()).collect(),
            undecided: Mutex::default(),
            flights: Mutex::new(flights),
            custody: Custody::default(),
            plan: Mutex::default(),
            filter: Mutex::default(),
            sweeping: Turn::default(),
            progress: Mutex::default(),
            limits,
            random,
            wake: Notify::new(),
            walk: Notify::new(),
            tasks: Mutex::default(),
            closing: AtomicBool::new(false),
        })
    }

    pub fn map(&self) -> Arc<Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn links(&self) -> Arc<Links> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn link(&self, id: NodeId) -> Option<Arc<Link>> {
        self.links().get(&id).cloned()
    }

    pub fn set_link(&self, link: Arc<Link>) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut links).insert(link.id, link);
    }

    pub fn drop_link(&self, id: NodeId) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut links).remove(&id);
    }

    /// Counts from the beginning, where no numbers were ever used.
    pub fn restart_sequences(&self) {
        lock(&self.flights).next = 1;
    }

    pub fn is_durable(&self) -> bool {
        self.durable
    }

    pub fn new_blob_id(&self) -> BlobId {
        BlobId((self.random)())
    }

    /// A task that ends with the cluster.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        if self.closing.load(Ordering::Acquire) {
            return;
        }
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub fn abort(&self) {
        self.closing.store(true, Ordering::Release);
        lock(&self.tasks).abort_all();
    }

    pub fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut *lock(&self.tasks))
    }

    /// The members of a slot that are in sync and take part, best first.
    pub fn readers(&self, slot: u16) -> Vec<Arc<Link>> {
        let links = self.links();
        let map = self.map();
        let usable = map.in_sync(slot).filter_map(|id| links.get(&id).filter(|l| l.is_usable()));
        usable.cloned().collect()
    }

    /// Waits for the commits of a slot before, and keeps its readers out.
    pub async fn alone(&self, slot: u16) -> ClusterResult<OwnedRwLockWriteGuard<()>> {
        let lock = self.commits[usize::from(slot % SLOTS)].clone();
        tokio::time::timeout(self.limits.wait, lock.write_owned())
            .await
            .map_err(|_| unavailable("a commit before this one isn't decided"))
    }

    /// A number for a batch.
    pub fn sequence(&self) -> u64 {
        let mut flights = lock(&self.flights);
        flights.next += 1;
        flights.next
    }

    /// Makes sure that there are sequence numbers.
    pub async fn reserve(&self) -> ClusterResult<()> {
        if self.left() > RESERVE_AHEAD / 2 {
            return Ok(());
        }
        self.reserve_more().await
    }

    pub fn left(&self) -> u64 {
        let next = lock(&self.flights).next;
        self.map().reserved.saturating_sub(next)
    }

    pub async fn reserve_more(&self) -> ClusterResult<()> {
        self.change(|map| {
            let more = lock(&self.flights).next + RESERVE;
            let changed = more > map.reserved + RESERVE / 2;
            map.reserved = more.max(map.reserved);
            changed
        })
        .await
    }

    /// All batches with lower numbers are on all replicas in sync.
    pub fn settled(&self) -> u64 {
        let flights = lock(&self.flights);
        flights.sequences.first().copied().unwrap_or(flights.next + 1)
    }

    /// Changes the map: durable on a majority of the nodes before it takes effect.
    ///
    /// # Errors
    /// It isn't. It may turn out to be at the next start; see `doubtful`.
    pub async fn change(&self, change: impl FnOnce(&mut Map) -> bool) -> ClusterResult<()> {
        self.change_with(None, change).await
    }

    /// The same, with a node that doesn't take part yet among those that have it. That the map is
    /// durable on it counts, whatever else it may have lost: or else two nodes, of which each can
    /// only be let in by a changed map, would wait for each other for ever.
    pub async fn change_with(
        &self,
        newcomer: Option<&Arc<Link>>,
        change: impl FnOnce(&mut Map) -> bool,
    ) -> ClusterResult<()> {
        let _turn = self.mapping.lock().await;
        let old = self.map();
        let mut new = old.to_change();
        if !change(&mut new) && !self.doubtful.load(Ordering::Acquire) {
            return Ok(());
        }
        {
            let mut epoch = lock(&self.epoch);
            *epoch += 1;
            new.version.epoch = *epoch;
        }
        if self.durable {
            self.doubtful.store(true, Ordering::Release);
            let links = self.links();
            let mut taken = self.write_map(&new, links.values()).await;
            if let Some(link) = newcomer.filter(|link| !taken.contains(&link.id))
                && self.introduce(&new, link).await
            {
                taken.insert(link.id);
            }
            if !old.majority(&taken) || !new.majority(&taken) {
                return Err(unavailable("fewer than half of the storage nodes take part"));
            }
            self.doubtful.store(false, Ordering::Release);
        }
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        self.wake.notify_waiters();
        Ok(())
    }

    /// Writes a map to a node that doesn't take part, together with whose node it is. True if it
    /// has both.
    async fn introduce(&self, map: &Map, link: &Arc<Link>) -> bool {
        let identity = Identity { cluster: map.cluster, node: link.id }.encode();
        let own = [(internal::IDENTITY, identity), (internal::MAP, map.encode())];
        let changes =
            own.map(|(key, value)| Change { key: Bytes::from_static(key), value: Some(value) });
        let batch =
            Batch { sequence: self.sequence(), changes: changes.into(), ..Batch::default() };
        let Ok(node) = link.any() else { return false };
        let written = tokio::time::timeout(self.limits.write, node.commit(batch)).await;
        let has = matches!(written, Ok(Ok(())));
        if has {
            link.confirm(map.version);
        }
        has
    }

    /// Writes a map to nodes, and gives those that have it.
    pub async fn write_map(
        &self,
        map: &Map,
        links: impl Iterator<Item = &Arc<Link>>,
    ) -> BTreeSet<NodeId> {
        let links: Vec<_> = links.filter(|link| link.is_usable()).cloned().collect();
        let results = self.write_internal(&links, internal::MAP, map.encode()).await;
        let taken = links.iter().zip(results).filter(|(_, result)| result.is_ok());
        taken
            .map(|(link, _)| {
                link.confirm(map.version);
                link.id
            })
            .collect()
    }

    /// Writes one of the cluster's own records to nodes.
    pub async fn write_internal(
        &self,
        links: &[Arc<Link>],
        name: &'static [u8],
        value: Bytes,
    ) -> Vec<NodeResult<()>> {
        let batch = Batch {
            sequence: self.sequence(),
            changes: vec![Change { key: Bytes::from_static(name), value: Some(value) }],
            ..Batch::default()
        };
        let writes = links.iter().map(|link| (link.clone(), Write::Batch(batch.clone())));
        self.write(writes.collect()).await
    }

    /// Writes to nodes at once, within the time that they have for it.
    pub async fn write(&self, writes: Vec<(Arc<Link>, Write)>) -> Vec<NodeResult<()>> {
        let writes =
            writes.into_iter().map(|(link, write)| (link.clone(), link.write(write).boxed()));
        let (results, mut late) = link::together(writes.collect(), self.limits.write).await;
        if !late.is_empty() {
            use futures_util::StreamExt as _;
            self.spawn(async move { while late.next().await.is_some() {} });
        }
        results
    }

    /// Writes to one node.
    pub async fn write_one(&self, link: &Arc<Link>, write: Write) -> NodeResult<()> {
        self.write(vec![(link.clone(), write)]).await.pop().unwrap_or(Ok(()))
    }
}

/// A commit that isn't decided: listings read its records under its lock, and its sequence isn't
/// settled.
#[derive(Debug)]
pub(crate) struct Flight {
    core: Arc<Core>,
    pub sequence: u64,
    keys: Vec<Bytes>,
}

impl Flight {
    pub fn begin(core: &Arc<Core>, keys: Vec<Bytes>) -> Self {
        let mut flights = lock(&core.flights);
        flights.next += 1;
        let sequence = flights.next;
        flights.sequences.insert(sequence);
        flights.keys.extend(keys.iter().cloned());
        Self { core: core.clone(), sequence, keys }
    }

    pub fn keys(&self) -> &[Bytes] {
        &self.keys
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = lock(&self.core.flights);
        flights.sequences.remove(&self.sequence);
        for key in &self.keys {
            flights.keys.remove(key);
        }
    }
}

/// Rests in proportion to work that was done.
pub(crate) async fn rest(began: tokio::time::Instant, times: u32) {
    let rest = (began.elapsed() * times).min(Duration::from_secs(1));
    if rest.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(rest).await;
    }
}
