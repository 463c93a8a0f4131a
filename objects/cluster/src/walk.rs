//! The walk over the whole index that compares replicas and mends them: healing and scrubbing.
//!
//! A member that isn't in sync gets all commits as the others do; what it missed before, the walk
//! brings. It is in sync once a walk over everything has found no difference, and it has missed
//! nothing meanwhile.

use crate::{
    BlobId, ClusterResult, Record,
    core::{Core, lock, rest, unavailable},
    limits::PAGE,
    link::{Link, Write},
    map::{Map, NodeId},
    place::{internal, slot_of},
    scan::after,
};
use bytes::Bytes;
use node::{Batch, Change, NodeFault, Scan};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// How far a walk looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Records, and whether members that aren't in sync have the blobs.
    Heal,
    /// Records, and every blob's checksums on every node.
    Scrub,
}

/// A walk under way.
struct Walk<'a> {
    core: &'a Arc<Core>,
    depth: Depth,
    /// The nodes that take part, with their generations when it began.
    nodes: BTreeMap<NodeId, (Arc<Link>, u64)>,
    /// Differences that were found, by the node that was wrong.
    found: BTreeMap<NodeId, u64>,
}

/// What a key has on each node.
type Views = BTreeMap<NodeId, Bytes>;

/// The members that can take a record, with the blobs of it that they have.
type Ready = BTreeMap<NodeId, Vec<BlobId>>;

/// How a walk ended.
pub(crate) enum Ended {
    /// It saw everything.
    Whole,
    /// A scrub made way for healing; the key where to go on.
    Paused(Bytes),
}

impl Core {
    /// Nodes with something out of sync that can be healed now.
    pub fn healable(&self) -> Vec<NodeId> {
        let (map, links) = (self.map(), self.links());
        let up = links.values().filter(|link| link.is_up());
        up.map(|link| link.id).filter(|id| !map.is_whole(*id)).collect()
    }

    /// One walk over everything. Members that turn out to have all are in sync after it.
    pub async fn walk_once(self: &Arc<Self>, depth: Depth, from: Bytes) -> ClusterResult<Ended> {
        // Commits that chose their members before these took part end first.
        let nodes = {
            let _alone = self.gate.write().await;
            let links = self.links();
            let ready = links.values().filter(|link| link.is_usable());
            ready.map(|link| (link.id, (link.clone(), link.generation()))).collect()
        };
        let mut walk = Walk { core: self, depth, nodes, found: BTreeMap::new() };
        let whole = *from <= *internal::END;
        let mut from = from.max(Bytes::from_static(internal::END));
        let mut pages: u64 = 0;
        loop {
            let began = Instant::now();
            let next = walk.page(&from).await?;
            self.note_progress(depth, &walk.found, &from);
            let Some(next) = next else { break };
            from = next;
            pages += 1;
            match depth {
                Depth::Scrub if !self.healable().is_empty() => return Ok(Ended::Paused(from)),
                Depth::Scrub => {
                    if pages.is_multiple_of(64) {
                        self.keep_cursor(&from).await;
                    }
                    rest(began, self.limits.scrub_rest).await;
                }
                Depth::Heal => rest(began, self.limits.heal_rest).await,
            }
        }
        if whole {
            walk.promote().await?;
        }
        Ok(Ended::Whole)
    }

    /// Remembers where the scrubber is.
    pub async fn keep_cursor(&self, at: &Bytes) {
        let links: Vec<_> = self.links().values().filter(|link| link.is_up()).cloned().collect();
        // Without it the scrub begins again, nothing more.
        let _results = self.write_internal(&links, internal::SCRUB, at.clone()).await;
    }
}

impl Walk<'_> {
    /// Compares a page of records; gives where the next begins.
    async fn page(&mut self, from: &Bytes) -> ClusterResult<Option<Bytes>> {
        let mut records: BTreeMap<Bytes, Views> = BTreeMap::new();
        let mut last: Option<Bytes> = None;
        let mut failed = Vec::new();
        for (id, (link, _)) in &self.nodes {
            let scan = Scan { from: from.clone(), until: None, limit: PAGE };
            let answer = match link.node() {
                Ok(node) => link.within(self.core.limits.read, node.scan(scan)).await,
                Err(fault) => Err(fault),
            };
            let Ok(page) = answer else {
                link.missed();
                failed.push(*id);
                continue;
            };
            if let Some((key, _)) = page.last().filter(|_| page.len() >= PAGE)
                && last.as_ref().is_none_or(|last| key < last)
            {
                last = Some(key.clone());
            }
            for (key, value) in page {
                records.entry(key).or_default().insert(*id, value);
            }
        }
        for id in failed {
            self.nodes.remove(&id);
        }
        if self.nodes.is_empty() {
            return Err(unavailable("no storage node takes part"));
        }
        let reached = records.into_iter();
        for (key, views) in reached.take_while(|(key, _)| last.as_ref().is_none_or(|l| key <= l)) {
            self.examine(&key, views).await?;
        }
        Ok(last.map(|last| after(&last)))
    }

    async fn examine(&mut self, key: &Bytes, views: Views) -> ClusterResult<()> {
        let Some(slot) = slot_of(key) else { return Ok(()) };
        let map = self.core.map();
        if !self.differs(&map, slot, &views) {
            self.blobs(&map, slot, key, &views).await;
            return Ok(());
        }
        let wrong = if lock(&self.core.undecided).contains(&slot) {
            Vec::new()
        } else {
            self.mend(slot, key).await.unwrap_or_else(|fault| {
                log::info!("slot {slot} isn't mended now: {fault}");
                map.members(slot).iter().map(|member| member.node).collect()
            })
        };
        for id in wrong {
            *self.found.entry(id).or_default() += 1;
        }
        Ok(())
    }

    fn differs(&self, map: &Map, slot: u16, views: &Views) -> bool {
        let members = map.members(slot);
        let here = members.iter().filter(|member| self.nodes.contains_key(&member.node));
        let mut kinds: Vec<Option<&Bytes>> = here.map(|member| views.get(&member.node)).collect();
        kinds.dedup();
        let stray = views.keys().any(|id| members.iter().all(|member| member.node != *id));
        kinds.len() > 1 || stray
    }

    /// Compares a key's records again with no commit under way, and mends them. Gives the nodes
    /// that were wrong.
    async fn mend(&self, slot: u16, key: &Bytes) -> ClusterResult<Vec<NodeId>> {
        let core = self.core;
        // Blobs are copied without the lock, so the record may change: then again.
        loop {
            let truth = {
                let _shared = core.shared(slot).await?;
                core.get_unlocked(slot, key).await.ok()
            };
            let Some(truth) = truth else {
                let map = core.map();
                // Who had the truth when the walk began may be back before it ends.
                return if map.in_sync(slot).any(|id| self.nodes.contains_key(&id)) {
                    Err(unavailable("no replica in sync takes part"))
                } else {
                    Ok(Vec::new())
                };
            };
            let blobs = truth.as_ref().map(Record::blobs_of).unwrap_or_default();
            let ready = self.prepare(slot, key, truth.as_ref(), &blobs).await;
            let _alone = core.alone(slot).await?;
            let _gate = core.gate.read().await;
            if core.get_unlocked(slot, key).await? != truth {
                // What was copied in vain is freed if nobody else refers to it.
                core.custody.doom(core, slot, self.stale(slot, key, &blobs).await);
                continue;
            }
            return self.replace(slot, key, truth.as_ref(), &ready).await;
        }
    }

    /// Copies the blobs of a record to the members that don't have it. Gives those that are ready
    /// to take it.
    async fn prepare(
        &self,
        slot: u16,
        key: &Bytes,
        truth: Option<&Bytes>,
        blobs: &[BlobId],
    ) -> Ready {
        let sources = self.core.readers(slot);
        let mut ready = Ready::new();
        for link in self.behind(slot, key, truth).await {
            let mut adopt = Some(Vec::new());
            for id in blobs {
                match (self.core.ensure_blob(*id, &sources, &link).await, &mut adopt) {
                    (Ok(true), Some(adopt)) => adopt.push(*id),
                    (Ok(false), Some(_)) => (),
                    (Err(_), _) | (Ok(_), None) => adopt = None,
                }
            }
            match adopt {
                Some(adopt) => {
                    ready.insert(link.id, adopt);
                }
                None => link.missed(),
            }
        }
        ready
    }

    /// Blobs that the record no longer has.
    async fn stale(&self, slot: u16, key: &Bytes, blobs: &[BlobId]) -> Vec<BlobId> {
        let now = self.core.get_unlocked(slot, key).await.ok().flatten();
        let kept: BTreeSet<_> = now.iter().flat_map(Record::blobs_of).collect();
        blobs.iter().filter(|id| !kept.contains(id)).copied().collect()
    }

    /// The members whose record isn't the true one.
    async fn behind(&self, slot: u16, key: &Bytes, truth: Option<&Bytes>) -> Vec<Arc<Link>> {
        let mut behind = Vec::new();
        for member in self.core.map().members(slot) {
            if let Some((link, _)) = self.nodes.get(&member.node)
                && let Ok(node) = link.node()
            {
                let has = link.within(self.core.limits.read, node.get(key)).await;
                if has.is_ok_and(|has| has.as_ref() != truth) {
                    behind.push(link.clone());
                }
            }
        }
        behind
    }

    /// Gives every node what it shall have of a key, under the slot's lock.
    async fn replace(
        &self,
        slot: u16,
        key: &Bytes,
        truth: Option<&Bytes>,
        ready: &Ready,
    ) -> ClusterResult<Vec<NodeId>> {
        let core = self.core;
        let map = core.map();
        let in_sync: Vec<NodeId> = map.in_sync(slot).collect();
        let mut wrong = Vec::new();
        for (id, (link, _)) in &self.nodes {
            let Ok(node) = link.node() else { continue };
            let has = match link.within(core.limits.read, node.get(key)).await {
                Ok(has) => has,
                Err(NodeFault::Down(_) | NodeFault::Full | NodeFault::Refused(_)) => continue,
                // A record that can't be read is replaced.
                Err(NodeFault::NotFound(_) | NodeFault::CorruptBlob(_)) => Some(Bytes::new()),
            };
            let member = map.members(slot).iter().any(|member| member.node == *id);
            let shall = truth.filter(|_| member);
            if has.as_ref() == shall {
                continue;
            }
            if in_sync.contains(id) && has.as_ref().is_none_or(|has| !has.is_empty()) {
                core.agree_on(std::iter::once(key.clone())).await?;
                wrong.push(*id);
                continue;
            }
            if member && shall.is_some() && !ready.contains_key(id) {
                wrong.push(*id);
                continue;
            }
            let kept: BTreeSet<_> = shall.map(Record::blobs_of).into_iter().flatten().collect();
            let had = has.as_ref().map(Record::blobs_of).unwrap_or_default();
            let batch = Batch {
                slot,
                sequence: core.sequence(),
                changes: vec![Change { key: key.clone(), value: shall.cloned() }],
                adopt: shall.and_then(|_| ready.get(id)).cloned().unwrap_or_default(),
                free: had.into_iter().filter(|id| !kept.contains(id)).collect(),
                ..Batch::default()
            };
            log::debug!("storage node {id}: {key:?} is set right, slot {slot}, member: {member}");
            if core.write_one(link, Write::Batch(batch)).await.is_ok() {
                link.counts.repaired.fetch_add(1, Ordering::Relaxed);
            }
            if member {
                link.counts.missing.fetch_add(1, Ordering::Relaxed);
                wrong.push(*id);
            }
        }
        Ok(wrong)
    }

    /// Checks the blobs of a record that all have.
    async fn blobs(&mut self, map: &Map, slot: u16, key: &Bytes, views: &Views) {
        let Some(ids) = views.values().next().map(Record::blobs_of) else { return };
        for member in map.members(slot) {
            let Some((link, _)) = self.nodes.get(&member.node) else { continue };
            if self.depth == Depth::Heal && member.in_sync {
                continue;
            }
            for id in &ids {
                if !self.has_blob(link, *id).await && self.still_refers(slot, key, *id).await {
                    let sources = self.core.sources(slot, *id);
                    match self.core.copy_blob(*id, &sources, link).await {
                        // Nobody has it: no walk could bring it.
                        Err(NodeFault::NotFound(_) | NodeFault::CorruptBlob(_)) => {
                            log::error!("blob {id:?} of slot {slot} is lost on all nodes");
                        }
                        Err(fault) => {
                            log::warn!("blob {id:?} isn't mended on node {}: {fault}", link.id);
                            *self.found.entry(member.node).or_default() += 1;
                        }
                        Ok(()) => *self.found.entry(member.node).or_default() += 1,
                    }
                }
            }
        }
    }

    async fn has_blob(&self, link: &Link, id: BlobId) -> bool {
        let Ok(node) = link.node() else { return true };
        let limit = self.core.limits.read;
        let result = match self.depth {
            Depth::Heal => link.within(limit, node.blob_len(id)).await.map(|_| ()),
            Depth::Scrub => link.within(limit, node.verify_blob(id)).await,
        };
        match result {
            Err(NodeFault::NotFound(_)) => {
                link.counts.missing.fetch_add(1, Ordering::Relaxed);
                false
            }
            Err(NodeFault::CorruptBlob(_)) => {
                link.counts.corrupt.fetch_add(1, Ordering::Relaxed);
                false
            }
            Ok(()) | Err(NodeFault::Down(_) | NodeFault::Full | NodeFault::Refused(_)) => true,
        }
    }

    async fn still_refers(&self, slot: u16, key: &Bytes, id: BlobId) -> bool {
        let Ok(_shared) = self.core.shared(slot).await else { return false };
        let now = self.core.get_unlocked(slot, key).await;
        now.is_ok_and(|now| now.is_some_and(|value| Record::blobs_of(&value).contains(&id)))
    }

    /// Takes members into sync that were found to have everything, and have missed nothing since
    /// the walk began.
    async fn promote(&self) -> ClusterResult<()> {
        let core = self.core;
        let _alone = core.gate.write().await;
        let undecided = lock(&core.undecided).clone();
        let good: BTreeSet<NodeId> = self
            .nodes
            .values()
            .filter(|(link, generation)| {
                link.is_up()
                    && link.generation() == *generation
                    && !self.found.contains_key(&link.id)
            })
            .map(|(link, _)| link.id)
            .collect();
        core.change(|map| {
            let mut changed = false;
            for (slot, members) in (0..).zip(&mut map.slots) {
                let truth = members
                    .iter()
                    .any(|member| member.in_sync && self.nodes.contains_key(&member.node));
                if !truth || undecided.contains(&slot) {
                    continue;
                }
                let ready = members.iter_mut().filter(|m| !m.in_sync && good.contains(&m.node));
                ready.for_each(|member| {
                    member.in_sync = true;
                    changed = true;
                });
            }
            changed
        })
        .await
    }
}

/// What the walker does, for as long as the cluster is open.
pub(crate) async fn walker(core: Arc<Core>) {
    let mut scrub = core.first_scrub().await;
    loop {
        // A lone node has nobody to be compared with.
        let requested = core.take_walk_request() && core.map().nodes.len() > 1;
        let work = if requested || !core.healable().is_empty() {
            core.walk_once(Depth::Heal, Bytes::new()).await.map(|_| ())
        } else if scrub.due <= Instant::now() || core.take_scrub_request() {
            core.scrub_on(&mut scrub).await
        } else {
            Ok(())
        };
        if let Err(fault) = &work {
            core.walk_again();
            log::info!("the comparison of replicas goes on later: {fault}");
        }
        let woken = core.walk.notified();
        // Either is a reason to look.
        let _why = tokio::time::timeout(core.limits.round, woken).await;
    }
}

/// Where the scrubber is, and when it is due.
pub(crate) struct Scrub {
    from: Bytes,
    due: Instant,
}

impl Core {
    async fn first_scrub(&self) -> Scrub {
        let mut from = Bytes::new();
        for link in self.links().values() {
            let Ok(node) = link.node() else { continue };
            let found = link.within(self.limits.read, node.get(internal::SCRUB)).await;
            from = from.max(found.ok().flatten().unwrap_or_default());
        }
        let whole = from.is_empty();
        let wait = if whole { self.limits.scrub_every } else { self.limits.round };
        Scrub { from, due: Instant::now() + wait }
    }

    /// A scrub, and then the sweep of orphans.
    async fn scrub_on(self: &Arc<Self>, scrub: &mut Scrub) -> ClusterResult<()> {
        let walked = if self.limits.scrub_reads {
            self.walk_once(Depth::Scrub, scrub.from.clone()).await?
        } else {
            Ended::Whole
        };
        match walked {
            Ended::Paused(at) => {
                scrub.from = at;
                scrub.due = Instant::now();
            }
            Ended::Whole => {
                self.sweep().await?;
                scrub.from = Bytes::new();
                scrub.due = Instant::now() + self.limits.scrub_every;
                self.keep_cursor(&scrub.from).await;
                self.scrubbed();
            }
        }
        Ok(())
    }
}
