//! Blobs that no record refers to: those that wait for theirs, and those that have lost it and may
//! still be read.

use crate::{
    BlobId, ClusterResult,
    core::{Core, lock, unavailable},
    limits::{FREES, FREES_WAITING},
    link::{Link, Write},
    map::NodeId,
};
use node::Batch;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::time::Instant;

/// Nodes that have a blob, with their generations when it was written.
pub(crate) type Holders = Vec<(NodeId, u64)>;

#[derive(Debug, Default)]
struct Pending {
    holders: Holders,
    slot: u16,
    /// Nobody holds its body any more, since then.
    loose: Option<Instant>,
    /// A commit under way refers to it.
    claimed: bool,
}

#[derive(Debug)]
struct Doomed {
    due: Instant,
    slot: u16,
    id: BlobId,
}

#[derive(Debug, Default)]
struct Inside {
    pending: BTreeMap<BlobId, Pending>,
    doomed: VecDeque<Doomed>,
    doomed_ids: BTreeSet<BlobId>,
}

#[derive(Debug, Default)]
pub(crate) struct Custody(Mutex<Inside>);

impl Custody {
    /// A blob that is about to be written.
    pub fn expect(&self, slot: u16, id: BlobId) {
        lock(&self.0).pending.insert(id, Pending { slot, ..Pending::default() });
    }

    /// Who has it whole.
    pub fn written(&self, id: BlobId, holders: Holders) {
        if let Some(pending) = lock(&self.0).pending.get_mut(&id) {
            pending.holders = holders;
        }
    }

    /// Who has a blob that a commit refers to. From now on the blob isn't freed.
    pub fn claim(&self, id: BlobId) -> ClusterResult<Holders> {
        let mut inside = lock(&self.0);
        let pending = inside.pending.get_mut(&id).filter(|pending| !pending.holders.is_empty());
        let Some(pending) = pending else {
            return Err(unavailable("a part of the body is no longer there"));
        };
        pending.claimed = true;
        Ok(pending.holders.clone())
    }

    /// A record refers to it now, or may.
    pub fn adopted(&self, id: BlobId) {
        lock(&self.0).pending.remove(&id);
    }

    /// Nobody holds the body of these blobs any more. They are freed unless a commit claims them.
    pub fn loosen(&self, ids: &[BlobId]) {
        let mut inside = lock(&self.0);
        for id in ids {
            if let Some(pending) = inside.pending.get_mut(id) {
                pending.loose = Some(Instant::now());
            }
        }
    }

    /// The commit that has claimed these didn't come about.
    pub fn disclaim(&self, ids: &[BlobId]) {
        let mut inside = lock(&self.0);
        for id in ids {
            if let Some(pending) = inside.pending.get_mut(id) {
                pending.claimed = false;
            }
        }
    }

    pub fn is_pending(&self, id: BlobId) -> bool {
        lock(&self.0).pending.contains_key(&id)
    }

    /// No record refers to these any more.
    pub fn doom(&self, core: &Core, slot: u16, ids: impl IntoIterator<Item = BlobId>) {
        let due = Instant::now() + core.limits.free_after;
        let mut inside = lock(&self.0);
        for id in ids {
            inside.doomed.push_back(Doomed { due, slot, id });
            inside.doomed_ids.insert(id);
        }
        if inside.doomed.len() > FREES_WAITING {
            core.wake.notify_waiters();
        }
    }

    pub fn is_doomed(&self, id: BlobId) -> bool {
        lock(&self.0).doomed_ids.contains(&id)
    }

    /// Dooms what nobody has committed for long, and takes up to [`FREES`] blobs that are due.
    fn due(&self, core: &Core, all: bool) -> Vec<(u16, BlobId)> {
        let now = Instant::now();
        let inside = &mut *lock(&self.0);
        let lost = |pending: &Pending| {
            let over = |since| all || now >= since + core.limits.pending;
            !pending.claimed && pending.loose.is_some_and(over)
        };
        for (id, pending) in inside.pending.extract_if(.., |_, pending| lost(pending)) {
            inside.doomed.push_front(Doomed { due: now, slot: pending.slot, id });
            inside.doomed_ids.insert(id);
        }
        let mut due = Vec::new();
        for _ in 0..inside.doomed.len() {
            match inside.doomed.front() {
                Some(first) if due.len() < FREES && (all || first.due <= now) => (),
                Some(_) | None => break,
            }
            let Some(first) = inside.doomed.pop_front() else { break };
            due.push((first.slot, first.id));
        }
        due
    }

    fn forget(&self, freed: &[(u16, BlobId)]) {
        let mut inside = lock(&self.0);
        for (_, id) in freed {
            inside.doomed_ids.remove(id);
        }
    }
}

/// Frees blobs that are due. What a node doesn't free now, because it is away, it frees when it is
/// healed or swept.
pub(crate) async fn free_due(core: &Arc<Core>, all: bool) {
    loop {
        let due = core.custody.due(core, all);
        if due.is_empty() {
            return;
        }
        let map = core.map();
        let mut by_node: BTreeMap<NodeId, Vec<BlobId>> = BTreeMap::new();
        for (slot, id) in &due {
            for member in map.members(*slot) {
                by_node.entry(member.node).or_default().push(*id);
            }
        }
        let links = core.links();
        let writes = by_node.into_iter().filter_map(|(node, free)| {
            let link: &Arc<Link> = links.get(&node).filter(|link| link.is_usable())?;
            let batch = Batch { sequence: core.sequence(), free, ..Batch::default() };
            Some((link.clone(), Write::Batch(batch)))
        });
        log::debug!("free {due:?}");
        core.write(writes.collect()).await;
        core.custody.forget(&due);
    }
}
