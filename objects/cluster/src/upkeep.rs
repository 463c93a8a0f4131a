//! What the cluster does by itself every round: probes nodes that are down, keeps the map on all
//! of them, moves members towards their targets, frees blobs, and shortens the nodes' logs.

use crate::{
    ClusterResult,
    core::{Core, lock, unavailable},
    custody::free_due,
    limits::RESERVE_AHEAD,
    link::{Health, Link},
    map::{Map, NodeId, Standing, Version},
    open::{Identity, holds_records},
    place::internal,
};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

/// Between two notes on the nodes of what is settled.
const SETTLE_ROUNDS: u32 = 8;

/// So many commits are worth a note at once.
const SETTLE_COMMITS: u64 = 50_000;

/// What the upkeep remembers from round to round.
struct Upkeep {
    core: Arc<Core>,
    /// The map whose members were compared with their targets, and the nodes that could join.
    approached: (Version, BTreeSet<NodeId>),
    settled: u64,
    rounds: u32,
}

pub(crate) async fn upkeep(core: Arc<Core>) {
    let settled = core.settled();
    let approached = (Version::default(), BTreeSet::new());
    let mut upkeep = Upkeep { core: core.clone(), approached, settled, rounds: 0 };
    loop {
        let woken = core.wake.notified();
        // Either is a reason for a round.
        let _why = tokio::time::timeout(core.limits.round, woken).await;
        if let Err(fault) = upkeep.round().await {
            log::info!("the upkeep of the object store goes on later: {fault}");
        }
    }
}

impl Upkeep {
    async fn round(&mut self) -> ClusterResult<()> {
        let core = self.core.clone();
        let links = core.links();
        let away = links.values().filter(|link| !link.is_up() && link.is_settled());
        away.for_each(|link| core.probe(link.clone()));
        free_due(&core, false).await;
        if core.doubtful.load(Ordering::Acquire) {
            core.change(|_| false).await?;
        }
        if core.left() < RESERVE_AHEAD {
            core.reserve_more().await?;
        }
        core.spread_map().await;
        self.standings().await?;
        self.approach().await?;
        self.settle().await;
        Ok(())
    }

    /// Nodes that are away for long, and nodes that are back.
    async fn standings(&self) -> ClusterResult<()> {
        let core = &self.core;
        let map = core.map();
        let links = core.links();
        for (id, entry) in &map.nodes {
            let Some(link) = links.get(id) else { continue };
            let gone = matches!(link.health(), Health::Down(_))
                && link.since().elapsed() >= core.limits.down_out;
            let next = match entry.standing {
                Standing::In if gone && map.domains_without(*id) >= map.replicas => Standing::Out,
                Standing::Out if link.is_up() => Standing::In,
                Standing::In | Standing::Out | Standing::Draining => continue,
            };
            log::warn!("storage node {} is now {next:?}", entry.name);
            return core.restand(*id, next).await;
        }
        Ok(())
    }

    async fn approach(&mut self) -> ClusterResult<()> {
        let core = self.core.clone();
        let map = core.map();
        let up: BTreeSet<_> =
            core.links().values().filter(|link| link.is_up()).map(|link| link.id).collect();
        if self.approached == (map.version, up.clone()) {
            return Ok(());
        }
        if map.to_change().approach_all(&up) {
            let _alone = core.gate.write().await;
            let before = core.map();
            core.change(|map| map.approach_all(&up)).await?;
            // A walk under way has passed records of slots that these nodes had no part in yet.
            for id in core.map().joined_since(&before) {
                if let Some(link) = core.link(id) {
                    link.missed();
                }
            }
            // A node that is being added has a link before it is in the map.
            let now = core.map();
            let gone = before.nodes.keys().filter(|id| !now.nodes.contains_key(id));
            gone.for_each(|id| core.drop_link(*id));
            core.request_walk();
        }
        self.approached = (core.map().version, up);
        Ok(())
    }

    /// Notes on the nodes which commits need not be compared after a crash.
    async fn settle(&mut self) {
        self.rounds += 1;
        let core = &self.core;
        let settled = core.settled();
        let new = settled.saturating_sub(self.settled);
        // The note is a batch with a number, too.
        if new > SETTLE_COMMITS || (self.rounds >= SETTLE_ROUNDS && new > 1) {
            self.rounds = 0;
            let links: Vec<_> =
                core.links().values().filter(|link| link.is_up()).cloned().collect();
            let value = Bytes::copy_from_slice(&settled.to_be_bytes());
            let results = core.write_internal(&links, internal::SETTLED, value).await;
            for (link, _) in links.iter().zip(results).filter(|(_, result)| result.is_ok()) {
                if let Ok(node) = link.node() {
                    let forgotten = node.forget_before(settled);
                    // What it keeps too long does no harm.
                    let _result = link.within(core.limits.write, forgotten).await;
                }
            }
            self.settled = core.settled();
        }
    }
}

impl Map {
    /// The nodes that are members of more slots than they were.
    fn joined_since(&self, before: &Self) -> BTreeSet<NodeId> {
        let both = self.slots.iter().zip(&before.slots);
        let joined = both.flat_map(|(now, then)| {
            let new = |node: &NodeId| then.iter().all(|member| member.node != *node);
            now.iter().map(|member| member.node).filter(new)
        });
        joined.collect()
    }

    /// Members towards their targets; then nodes that are drained go.
    fn approach_all(&mut self, up: &BTreeSet<NodeId>) -> bool {
        let changed = self.approach(|node| up.contains(&node));
        let holds: BTreeSet<NodeId> =
            self.slots.iter().flatten().map(|member| member.node).collect();
        let drained: Vec<_> = self
            .nodes
            .iter()
            .filter(|(id, entry)| entry.standing == Standing::Draining && !holds.contains(id))
            .map(|(id, _)| *id)
            .collect();
        drained.iter().for_each(|id| {
            self.nodes.remove(id);
        });
        changed || !drained.is_empty()
    }
}

impl Core {
    /// Gives the map to nodes that lack it.
    pub async fn spread_map(&self) {
        let map = self.map();
        let links = self.links();
        let lack = links.values().filter(|link| link.is_up() && link.confirmed() < map.version);
        let lack: Vec<_> = lack.collect();
        if !lack.is_empty() && self.is_durable() {
            self.write_map(&map, lack.into_iter()).await;
        }
    }

    /// Changes what is to become of a node.
    pub async fn restand(&self, id: NodeId, standing: Standing) -> ClusterResult<()> {
        let _alone = self.gate.write().await;
        self.change(|map| match map.nodes.get_mut(&id) {
            Some(entry) if entry.standing != standing => {
                entry.standing = standing;
                true
            }
            Some(_) | None => false,
        })
        .await
    }

    /// Asks a node that doesn't take part whether it can again.
    fn probe(self: &Arc<Self>, link: Arc<Link>) {
        if link.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = self.clone();
        self.spawn(async move {
            match core.examine(&link).await {
                Ok(()) => {
                    link.up();
                    core.wake.notify_waiters();
                    core.look_for_strays();
                    core.walk.notify_one();
                }
                Err(fault) => link.explain(fault.to_string().into()),
            }
            link.probing.store(false, Ordering::Release);
        });
    }

    /// Whose node it is, whether it was emptied or rolled back, and whether it takes writes.
    async fn examine(&self, link: &Arc<Link>) -> ClusterResult<()> {
        let node = link.any()?;
        // A full node goes on taking maps: one that comes after its own was read isn't missing.
        let confirmed = link.confirmed();
        let within = tokio::time::timeout(self.limits.read, async {
            let identity = node.get(internal::IDENTITY).await?;
            let map = node.get(internal::MAP).await?;
            let full = link.is_full() && node.usage().await?.available_bytes == 0;
            Ok::<_, node::NodeFault>((identity, map, holds_records(&*node).await?, full))
        });
        let (identity, had, used, full) =
            within.await.map_err(|_| unavailable("it takes too long to read"))??;
        if full {
            return Err(unavailable("it is full"));
        }
        let map = self.map();
        let mine = Identity { cluster: map.cluster, node: link.id };
        if self.is_durable() {
            match identity {
                Some(bytes) if Identity::decode(&bytes) == Some(mine) => {
                    let has = had.and_then(Map::decode).map(|map| map.version).unwrap_or_default();
                    if link.is_damaged() {
                        self.change_with(Some(link), |map| map.demote(link.id)).await?;
                        link.demoted();
                        self.request_walk();
                    }
                    if has < confirmed {
                        log::error!("storage node {} has gone back in time", link.id);
                        self.set_out_of_sync(link).await?;
                    }
                }
                Some(_) => return Err(unavailable("it belongs to another cluster or node")),
                None if used => {
                    return Err(unavailable("it holds records, but not its identity"));
                }
                None => self.set_out_of_sync(link).await?,
            }
        }
        let write = node.commit(node::Batch {
            sequence: self.sequence(),
            changes: vec![node::Change {
                key: Bytes::from_static(internal::IDENTITY),
                value: Some(mine.encode()),
            }],
            ..node::Batch::default()
        });
        match tokio::time::timeout(self.limits.write, write).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(unavailable("it takes too long to write")),
        }
    }

    /// A node lacks what it had acknowledged.
    async fn set_out_of_sync(&self, link: &Arc<Link>) -> ClusterResult<()> {
        log::warn!("storage node {} is filled again", link.id);
        self.change_with(Some(link), |map| {
            map.empty(link.id);
            true
        })
        .await?;
        self.request_walk();
        Ok(())
    }

    /// Records that slots have left behind when they moved may still lie where they were.
    pub fn look_for_strays(&self) {
        let map = self.map();
        if map.nodes.len() > map.replicas {
            self.request_walk();
        }
    }

    pub fn request_walk(&self) {
        lock(&self.progress).walk_requested = true;
        self.walk.notify_one();
    }
}
