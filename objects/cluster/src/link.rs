//! The link to one node: whether it takes part, and what was asked of it and is unanswered.

use crate::map::{NodeId, Version};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt as _},
};
use node::{Batch, BlobId, Node, NodeFault, NodeResult};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Whether a node takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// It reads, and frees.
    Full,
    /// It isn't asked until it answers a probe.
    Down(Arc<str>),
}

struct Inside {
    node: Option<Arc<dyn Node>>,
    health: Health,
    /// Since when the health is what it is.
    since: Instant,
    /// The last map that it has.
    confirmed: Version,
    /// It lost something, and isn't out of sync yet.
    damaged: bool,
}

/// What was found wrong on a node since the start, and mended.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub missing: AtomicU64,
    pub corrupt: AtomicU64,
    pub repaired: AtomicU64,
}

pub(crate) struct Link {
    pub id: NodeId,
    pub counts: Counts,
    inside: Mutex<Inside>,
    /// Rises with each failure: what began before may have missed something.
    generation: AtomicU64,
    /// Writes without an answer. One that took too long may still happen, so a node isn't
    /// believed again before all are answered.
    unanswered: AtomicUsize,
    /// A probe is under way.
    pub probing: AtomicBool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).field("health", &self.health()).finish()
    }
}

impl Link {
    pub fn new(id: NodeId, node: Option<Arc<dyn Node>>, health: Health) -> Arc<Self> {
        let confirmed = Version::default();
        Arc::new(Self {
            id,
            counts: Counts::default(),
            inside: Mutex::new(Inside {
                node,
                health,
                since: Instant::now(),
                confirmed,
                damaged: false,
            }),
            generation: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
            probing: AtomicBool::new(false),
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn health(&self) -> Health {
        self.inside().health.clone()
    }

    pub fn since(&self) -> Instant {
        self.inside().since
    }

    pub fn is_usable(&self) -> bool {
        !matches!(self.inside().health, Health::Down(_))
    }

    pub fn is_up(&self) -> bool {
        self.inside().health == Health::Up
    }

    pub fn is_full(&self) -> bool {
        self.inside().health == Health::Full
    }

    pub fn is_settled(&self) -> bool {
        self.unanswered.load(Ordering::Acquire) == 0
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn confirmed(&self) -> Version {
        self.inside().confirmed
    }

    pub fn confirm(&self, version: Version) {
        let mut inside = self.inside();
        inside.confirmed = inside.confirmed.max(version);
    }

    /// Puts another opening of the node in place; it takes part once it has answered a probe.
    pub fn attach(&self, node: Arc<dyn Node>, damaged: bool) {
        self.down("it was opened again");
        let mut inside = self.inside();
        inside.node = Some(node);
        inside.damaged |= damaged;
    }

    /// Lets go of the node if it is down.
    pub fn detach(&self) {
        let mut inside = self.inside();
        if matches!(inside.health, Health::Down(_)) {
            inside.node = None;
        }
    }

    pub fn is_damaged(&self) -> bool {
        self.inside().damaged
    }

    /// The cluster is closed: nobody needs the node any more.
    pub fn let_go(&self) {
        let mut inside = self.inside();
        inside.node = None;
        inside.health = Health::Down("the object store is closed".into());
    }

    /// It is out of sync, where others are not.
    pub fn demoted(&self) {
        self.inside().damaged = false;
    }

    /// It may have missed something: what began before doesn't count as complete.
    pub fn missed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub fn down(&self, why: &str) {
        self.missed();
        let mut inside = self.inside();
        if !matches!(inside.health, Health::Down(_)) {
            log::warn!("storage node {} is down: {why}", self.id);
            inside.health = Health::Down(why.into());
            inside.since = Instant::now();
        }
    }

    /// Why it is down, if it is, is something else than was thought.
    pub fn explain(&self, why: Arc<str>) {
        let mut inside = self.inside();
        if let Health::Down(before) = &mut inside.health
            && *before != why
        {
            log::warn!("storage node {}: {why}", self.id);
            *before = why;
        }
    }

    pub fn full(&self) {
        self.missed();
        let mut inside = self.inside();
        if inside.health == Health::Up {
            log::warn!("storage node {} is full", self.id);
            inside.health = Health::Full;
            inside.since = Instant::now();
        }
    }

    pub fn up(&self) {
        let mut inside = self.inside();
        if inside.health != Health::Up {
            log::info!("storage node {} takes part", self.id);
            inside.health = Health::Up;
            inside.since = Instant::now();
        }
    }

    /// The node, even if it is down.
    pub fn any(&self) -> NodeResult<Arc<dyn Node>> {
        self.inside().node.clone().ok_or_else(|| NodeFault::Down("it isn't there".into()))
    }

    /// The node, if it takes part.
    pub fn node(&self) -> NodeResult<Arc<dyn Node>> {
        let inside = self.inside();
        match (&inside.health, &inside.node) {
            (Health::Down(why), _) => Err(NodeFault::Down(why.clone())),
            (Health::Up | Health::Full, Some(node)) => Ok(node.clone()),
            (Health::Up | Health::Full, None) => Err(NodeFault::Down("it isn't there".into())),
        }
    }

    /// Draws the conclusion from a fault.
    pub fn note<T>(&self, result: &NodeResult<T>) {
        match result {
            Ok(_)
            | Err(NodeFault::NotFound(_) | NodeFault::CorruptBlob(_) | NodeFault::Refused(_)) => (),
            Err(NodeFault::Full) => self.full(),
            Err(NodeFault::Down(why)) => self.down(why),
        }
    }

    /// Awaits the answer to a read, within a time.
    pub async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = NodeResult<T>>,
    ) -> NodeResult<T> {
        let result = tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| Err(NodeFault::Down("it takes too long to read".into())));
        self.note(&result);
        result
    }

    /// A durable write. It is to be awaited to its end, however long that takes.
    pub async fn write(self: Arc<Self>, write: Write) -> NodeResult<()> {
        let node = self.node()?;
        let _unanswered = Unanswered::new(&self.unanswered);
        let result = match write {
            Write::Batch(batch) => node.commit(batch).await,
            Write::Blob(id, data) => node.repair_blob(id, data).await,
        };
        self.note(&result);
        result
    }
}

/// What a node is to make durable.
pub(crate) enum Write {
    Batch(Batch),
    Blob(BlobId, Bytes),
}

struct Unanswered<'a>(&'a AtomicUsize);

impl<'a> Unanswered<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Writes on their way.
pub(crate) type Writes = FuturesUnordered<BoxFuture<'static, (usize, NodeResult<()>)>>;

/// Awaits writes, by number, to different nodes; those that take too long fail their links, and
/// are given back to be awaited elsewhere.
pub(crate) async fn together(
    writes: Vec<(Arc<Link>, BoxFuture<'static, NodeResult<()>>)>,
    limit: Duration,
) -> (Vec<NodeResult<()>>, Writes) {
    let (links, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
    let mut results: Vec<Option<NodeResult<()>>> = links.iter().map(|_| None).collect();
    let mut running: Writes = writes
        .into_iter()
        .enumerate()
        .map(|(number, write)| write.map(move |result| (number, result)).boxed())
        .collect();
    let mut clock = std::pin::pin!(tokio::time::sleep(limit));
    loop {
        tokio::select! {
            biased;
            next = running.next() => match next {
                Some((number, result)) => results[number] = Some(result),
                None => break,
            },
            () = &mut clock => break,
        }
    }
    let results = results.into_iter().zip(&links).map(|(result, link)| {
        result.unwrap_or_else(|| {
            link.down("it takes too long to write");
            Err(NodeFault::Down("it takes too long to write".into()))
        })
    });
    (results.collect(), running)
}
