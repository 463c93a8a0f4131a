//! One commit: to all members of its slot at once, acknowledged when it is durable on all that are
//! in sync; who fails is durably out of sync before that.

use crate::{
    BlobId, ClusterFault, ClusterResult, Record,
    core::{Core, Flight, lock, unavailable},
    custody::Holders,
    link::{Link, Write},
    map::{Member, NodeId},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use node::{Batch, Change, MAX_KEY_BYTES, MAX_VALUE_BYTES, NodeFault, NodeResult};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::OwnedRwLockWriteGuard;

/// The most blobs of one commit: those of a body of 5 TiB.
const MAX_BLOBS: usize = 1 << 20;

pub(crate) struct Commit {
    pub core: Arc<Core>,
    pub slot: u16,
    pub records: Vec<(Bytes, Option<Record>)>,
    pub inline: Vec<(BlobId, Bytes)>,
    /// Blobs written before.
    pub adopt: Vec<BlobId>,
    /// Blobs that no record refers to any more.
    pub free: Vec<BlobId>,
    /// Full nodes take it, too.
    pub although_full: bool,
}

/// What a commit holds until it is decided: the flight ends before the slot is free.
struct Held {
    flight: Flight,
    _alone: OwnedRwLockWriteGuard<()>,
}

/// What came of a write to one member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Applied,
    Refused,
    Unknown,
}

impl From<&NodeResult<()>> for Outcome {
    fn from(result: &NodeResult<()>) -> Self {
        match result {
            Ok(()) => Self::Applied,
            Err(
                NodeFault::Full
                | NodeFault::NotFound(_)
                | NodeFault::CorruptBlob(_)
                | NodeFault::Refused(_),
            ) => Self::Refused,
            Err(NodeFault::Down(_)) => Self::Unknown,
        }
    }
}

impl Commit {
    pub async fn run(self) -> ClusterResult<()> {
        let core = self.core.clone();
        self.check()?;
        let alone = core.alone(self.slot).await?;
        let _gate = core.gate.read().await;
        if core.doubtful.load(Ordering::Acquire) {
            core.change(|_| false).await?;
        }
        core.reserve().await?;
        let members = core.map().members(self.slot).to_vec();
        self.quorum(&members)?;
        let claims = self.adopt.iter().map(|id| Ok((*id, core.custody.claim(*id)?)));
        let adopt: Vec<(BlobId, Holders)> = claims
            .collect::<ClusterResult<_>>()
            .inspect_err(|_| core.custody.disclaim(&self.adopt))?;
        if let Some(filter) = &mut *lock(&core.filter) {
            let inline = self.inline.iter().map(|(id, _)| id);
            self.adopt.iter().chain(inline).for_each(|id| filter.insert(*id));
        }
        let keys = self.records.iter().map(|(key, _)| key.clone()).collect();
        let held = Held { flight: Flight::begin(&core, keys), _alone: alone };
        let results = self.send(&members, held.flight.sequence, &adopt).await;
        self.decide(&members, &results, held).await
    }

    fn check(&self) -> ClusterResult<()> {
        let long = self.records.iter().any(|(key, record)| {
            let value = record.as_ref().map_or(0, Record::encoded_len);
            key.len() > MAX_KEY_BYTES || value > MAX_VALUE_BYTES
        });
        if long || self.adopt.len() + self.free.len() > MAX_BLOBS {
            return Err(unavailable("the record is too long"));
        }
        Ok(())
    }

    /// Whether enough members could take it.
    fn quorum(&self, members: &[Member]) -> ClusterResult<()> {
        let links = self.core.links();
        let usable = members.iter().filter(|member| {
            member.in_sync && links.get(&member.node).is_some_and(|link| link.is_usable())
        });
        if usable.count() < self.core.map().enough() {
            return Err(unavailable("too few replicas in sync take part"));
        }
        Ok(())
    }

    fn batch(&self, sequence: u64) -> Batch {
        let change = |(key, record): &(Bytes, Option<Record>)| Change {
            key: key.clone(),
            value: record.as_ref().map(|record| record.encode(sequence)),
        };
        Batch {
            slot: self.slot,
            sequence,
            changes: self.records.iter().map(change).collect(),
            blobs: self.inline.clone(),
            adopt: self.adopt.clone(),
            free: Vec::new(),
            although_full: self.although_full,
        }
    }

    /// Sends it to all members; none in the place of one that isn't asked.
    async fn send(
        &self,
        members: &[Member],
        sequence: u64,
        adopt: &[(BlobId, Holders)],
    ) -> Vec<Option<NodeResult<()>>> {
        let core = &self.core;
        let links = core.links();
        let batch = self.batch(sequence);
        let mut asked = Vec::with_capacity(members.len());
        let mut writes: Vec<(Arc<Link>, BoxFuture<'static, NodeResult<()>>)> = Vec::new();
        for (number, member) in members.iter().enumerate() {
            let link = links.get(&member.node);
            let asks =
                link.filter(|link| if member.in_sync { link.is_usable() } else { link.is_up() });
            let Some(link) = asks.cloned() else {
                // A walk under way may have passed these records, and the node may take part again
                // before it ends.
                if let Some(link) = link {
                    link.missed();
                }
                continue;
            };
            asked.push(number);
            let lacks = adopt
                .iter()
                .filter(|(_, holders)| !holders.contains(&(link.id, link.generation())));
            let lacks: Vec<_> = lacks.cloned().collect();
            let (core, batch) = (core.clone(), batch.clone());
            let write = async move {
                for (id, holders) in lacks {
                    let all = core.links();
                    let from: Vec<_> =
                        holders.iter().filter_map(|(node, _)| all.get(node)).cloned().collect();
                    core.copy_blob(id, &from, &link).await?;
                }
                link.write(Write::Batch(batch)).await
            };
            writes.push((links[&member.node].clone(), write.boxed()));
        }
        let (results, mut late) = crate::link::together(writes, core.limits.write).await;
        if !late.is_empty() {
            core.spawn(async move { while late.next().await.is_some() {} });
        }
        let mut answers: Vec<_> = members.iter().map(|_| None).collect();
        for (number, result) in asked.into_iter().zip(results) {
            if result.is_err()
                && let Some(link) = links.get(&members[number].node)
            {
                link.missed();
            }
            answers[number] = Some(result);
        }
        answers
    }

    async fn decide(
        self,
        members: &[Member],
        results: &[Option<NodeResult<()>>],
        held: Held,
    ) -> ClusterResult<()> {
        let outcome = |result: &Option<NodeResult<()>>| {
            result.as_ref().map_or(Outcome::Refused, Outcome::from)
        };
        let of_in_sync = || {
            let all = members.iter().zip(results);
            all.filter(|(member, _)| member.in_sync)
                .map(|(member, result)| (member.node, outcome(result)))
        };
        if of_in_sync().all(|(_, outcome)| outcome == Outcome::Applied) {
            self.applied();
            return Ok(());
        }
        let full = results.iter().flatten().any(|result| matches!(result, Err(NodeFault::Full)));
        let fault =
            if full { ClusterFault::Full } else { unavailable("too few replicas took the write") };
        if of_in_sync().all(|(_, outcome)| outcome == Outcome::Refused) {
            self.refused(members, results);
            return Err(fault);
        }
        let core = self.core.clone();
        let those = |wanted: Outcome| -> BTreeSet<NodeId> {
            let found = of_in_sync().filter(|(_, outcome)| *outcome == wanted);
            found.map(|(node, _)| node).collect()
        };
        let (applied, refused) = (those(Outcome::Applied), those(Outcome::Refused));
        let failed: BTreeSet<NodeId> =
            of_in_sync().map(|(node, _)| node).filter(|node| !applied.contains(node)).collect();
        let mut demoted = self.demoted(&failed, &applied, core.map().enough()).await;
        if matches!(demoted, Ok(false)) {
            if self.taken_back(&applied, &refused, &held).await.is_ok() {
                self.adopt.iter().for_each(|id| core.custody.adopted(*id));
                core.request_walk();
                return Err(fault);
            }
            if !applied.is_empty() {
                demoted = self.demoted(&failed, &applied, 1).await;
            }
        }
        if matches!(demoted, Ok(true)) {
            core.request_walk();
            let in_sync: BTreeSet<_> = core.map().in_sync(self.slot).collect();
            if in_sync.is_subset(&applied) {
                self.applied();
                let enough = in_sync.len() >= core.map().enough();
                return if enough { Ok(()) } else { Err(fault) };
            }
        }
        self.adopt.iter().for_each(|id| core.custody.adopted(*id));
        if core.settle(self.slot, held.flight.keys()).await.is_err() {
            decide_later(&core, self.slot, held);
        }
        core.request_walk();
        Err(fault)
    }

    /// Takes those that have failed out of sync, unless fewer than `least` that have the write would
    /// be left: a member that has it may have been taken out of sync since it was chosen. False if so.
    async fn demoted(
        &self,
        failed: &BTreeSet<NodeId>,
        applied: &BTreeSet<NodeId>,
        least: usize,
    ) -> ClusterResult<bool> {
        let mut enough = true;
        let changed = self.core.change(|map| {
            enough = map.in_sync(self.slot).filter(|id| applied.contains(id)).count() >= least;
            let demoted = failed.iter().filter(|node| enough && map.demote(**node));
            demoted.count() > 0
        });
        changed.await?;
        Ok(enough)
    }

    /// Takes a write back from those that have taken it, if they are too few for it and others have
    /// surely not: else the slot would be left with too few replicas in sync for anything, and what
    /// frees space could not be written.
    async fn taken_back(
        &self,
        applied: &BTreeSet<NodeId>,
        refused: &BTreeSet<NodeId>,
        held: &Held,
    ) -> ClusterResult<()> {
        let (core, links) = (&self.core, self.core.links());
        let usable = |id: &NodeId| links.get(id).filter(|link| link.is_usable()).cloned();
        let in_sync: BTreeSet<_> = core.map().in_sync(self.slot).collect();
        let Some(truth) = refused.intersection(&in_sync).find_map(usable) else {
            return Err(unavailable("no replica has surely refused it"));
        };
        core.change(|map| {
            let unknown: Vec<_> = map
                .in_sync(self.slot)
                .filter(|id| !applied.contains(id) && !refused.contains(id))
                .collect();
            let demoted = unknown.into_iter().filter(|id| map.demote(*id));
            demoted.count() > 0
        })
        .await?;
        // Those that are out of sync are set right when they are healed.
        let shall: Vec<_> = applied.intersection(&in_sync).collect();
        let behind: Vec<_> = shall.iter().copied().filter_map(usable).collect();
        if behind.len() < shall.len() {
            return Err(unavailable("a replica that has taken it can't be asked"));
        }
        core.follow(self.slot, held.flight.keys(), &truth, &behind).await
    }

    fn applied(&self) {
        self.adopt.iter().for_each(|id| self.core.custody.adopted(*id));
        self.core.custody.doom(&self.core, self.slot, self.free.iter().copied());
    }

    /// No member in sync has it. One that isn't in sync may.
    fn refused(&self, members: &[Member], results: &[Option<NodeResult<()>>]) {
        for (member, result) in members.iter().zip(results) {
            if let (Some(Ok(())), Some(link)) = (result, self.core.link(member.node)) {
                link.missed();
            }
        }
        self.core.custody.disclaim(&self.adopt);
        self.core.request_walk();
    }
}

/// Keeps a slot's readers and writers out until its replicas can be made to agree.
fn decide_later(core: &Arc<Core>, slot: u16, held: Held) {
    log::warn!("slot {slot} waits for its replicas to decide a commit");
    lock(&core.undecided).insert(slot);
    let waiting = core.clone();
    core.spawn(async move {
        loop {
            let woken = waiting.wake.notified();
            // Either is a reason to try again.
            let _why = tokio::time::timeout(waiting.limits.round, woken).await;
            let _gate = waiting.gate.read().await;
            if waiting.settle(slot, held.flight.keys()).await.is_ok() {
                break;
            }
        }
        lock(&waiting.undecided).remove(&slot);
        waiting.request_walk();
        drop(held);
    });
}
