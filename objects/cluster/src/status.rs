//! What the cluster tells about itself.

use crate::{
    Cluster, ClusterResult, Health, Place, Standing, Table, after_key,
    core::{Core, Links, lock},
    limits::PAGE,
    map::{Map, NodeId},
    walk::Depth,
};
use bytes::Bytes;
use node::{Scan, Usage};
use std::{collections::BTreeMap, sync::atomic::Ordering};

/// What the walker is asked for and has found.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub walk_requested: bool,
    pub scrub_requested: bool,
    found: BTreeMap<NodeId, u64>,
    at: Bytes,
    scrubs: u64,
}

/// The state of the cluster.
#[derive(Clone, Debug)]
pub struct Status {
    pub session: u64,
    pub epoch: u64,
    /// How many replicas a slot shall have.
    pub replicas: usize,
    pub nodes: Vec<NodeStatus>,
    /// Replicas of slots that aren't in sync.
    pub slots_to_heal: usize,
    /// Slots that are moving to other nodes.
    pub slots_moving: usize,
    /// Slots with fewer replicas in sync than a write needs.
    pub slots_unwritable: usize,
    /// What the healing walk has compared so far, in thousandths of the index.
    pub walked_permille: u64,
    /// Scrubs that were completed since the start.
    pub scrubs: u64,
}

/// The state of a node.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    pub name: String,
    pub domain: String,
    pub weight: u32,
    pub standing: Standing,
    pub health: Health,
    pub slots: usize,
    pub slots_in_sync: usize,
    /// Found missing, corrupt, and mended since the start.
    pub missing: u64,
    pub corrupt: u64,
    pub repaired: u64,
    /// None while it is down.
    pub usage: Option<Usage>,
    /// Why its share doesn't move away, if it shall and can't now.
    pub held_up: Option<String>,
}

/// A replica of a place.
#[derive(Clone, Debug)]
pub struct Located {
    pub node: String,
    pub in_sync: bool,
    pub health: Health,
    /// The place's records of the table that this replica has; none if it can't be asked.
    pub records: Option<usize>,
}

impl Core {
    pub fn take_walk_request(&self) -> bool {
        std::mem::take(&mut lock(&self.progress).walk_requested)
    }

    /// A walk didn't come to its end.
    pub fn walk_again(&self) {
        lock(&self.progress).walk_requested = true;
    }

    pub fn take_scrub_request(&self) -> bool {
        std::mem::take(&mut lock(&self.progress).scrub_requested)
    }

    pub fn note_progress(&self, depth: Depth, found: &BTreeMap<NodeId, u64>, at: &Bytes) {
        let mut progress = lock(&self.progress);
        if depth == Depth::Heal {
            progress.found.clone_from(found);
            progress.at = at.clone();
        }
    }

    pub fn scrubbed(&self) {
        lock(&self.progress).scrubs += 1;
        self.wake.notify_waiters();
    }
}

/// The nodes that should take a share and can't now.
fn held_up(map: &Map, links: &Links) -> Option<String> {
    let takes = map.nodes.iter().filter(|(_, entry)| entry.standing == Standing::In);
    let why = takes.filter_map(|(id, entry)| match links.get(id)?.health() {
        Health::Up => None,
        Health::Full => Some(format!("{} is full", entry.name)),
        Health::Down(why) => Some(format!("{} is down: {why}", entry.name)),
    });
    let why: Vec<_> = why.collect();
    (!why.is_empty()).then(|| why.join("; "))
}

impl Cluster {
    /// The state of the cluster and of its nodes.
    pub async fn status(&self) -> Status {
        let core = &self.core;
        let (map, links) = (core.map(), core.links());
        let mut nodes = Vec::with_capacity(map.nodes.len());
        for (id, entry) in &map.nodes {
            let Some(link) = links.get(id) else { continue };
            let usage = match link.node() {
                Ok(node) => link.within(core.limits.read, node.usage()).await.ok(),
                Err(_) => None,
            };
            let (slots, slots_in_sync) = map.share(*id);
            nodes.push(NodeStatus {
                name: entry.name.clone(),
                domain: entry.domain.clone(),
                weight: entry.weight,
                standing: entry.standing,
                health: link.health(),
                slots,
                slots_in_sync,
                missing: link.counts.missing.load(Ordering::Relaxed),
                corrupt: link.counts.corrupt.load(Ordering::Relaxed),
                repaired: link.counts.repaired.load(Ordering::Relaxed),
                usage,
                held_up: (entry.standing == Standing::Draining)
                    .then(|| held_up(&map, &links))
                    .flatten(),
            });
        }
        let first = |key: &Bytes| key.iter().skip(1).take(2).fold(0, |n, b| n << 8 | u64::from(*b));
        let progress = lock(&core.progress);
        Status {
            session: map.version.session,
            epoch: map.version.epoch,
            replicas: map.replicas,
            slots_to_heal: nodes.iter().map(|node| node.slots - node.slots_in_sync).sum(),
            nodes,
            slots_moving: map.summary().moving,
            slots_unwritable: map.summary().short,
            walked_permille: first(&progress.at) * 1000 / 65_536,
            scrubs: progress.scrubs,
        }
    }

    /// Where a place's records are.
    ///
    /// # Errors
    /// None now; what can't be asked is told as such.
    pub async fn locate(&self, place: &Place, table: Table) -> ClusterResult<Vec<Located>> {
        let core = &self.core;
        let (map, links) = (core.map(), core.links());
        let mut located = Vec::new();
        for member in map.members(place.slot()) {
            let (Some(link), Some(entry)) = (links.get(&member.node), map.nodes.get(&member.node))
            else {
                continue;
            };
            let mut from = place.record(table, b"");
            let until = after_key(table, place.bucket, &place.key);
            let mut records = Some(0);
            while let (Some(count), Ok(node)) = (records, link.node()) {
                let scan = Scan { from: from.clone(), until: Some(until.clone()), limit: PAGE };
                let page = link.within(core.limits.read, node.scan(scan)).await.ok();
                records = page.as_ref().map(|page| count + page.len());
                match page.as_deref() {
                    Some([.., (last, _)]) if page.as_ref().is_some_and(|p| p.len() == PAGE) => {
                        from = crate::scan::after(last);
                    }
                    Some(_) | None => break,
                }
            }
            located.push(Located {
                node: entry.name.clone(),
                in_sync: member.in_sync,
                health: link.health(),
                records: records.filter(|_| link.is_usable()),
            });
        }
        Ok(located)
    }
}
