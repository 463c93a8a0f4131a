//! The map: which nodes there are, and which of them hold each slot.

mod encode;
mod placement;

use crate::SLOTS;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

/// A node's number in its cluster; never used again.
pub(crate) type NodeId = u16;

/// The order of maps. A session is one opening of the cluster; no two have the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub session: u64,
    pub epoch: u64,
}

/// What is to become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds its share.
    In,
    /// Its share moves to the others; then it is dropped.
    Draining,
    /// It was away for too long: others hold its share until it is back.
    Out,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    /// No two replicas of a slot lie in the same failure domain.
    pub domain: String,
    pub weight: u32,
    pub standing: Standing,
    /// The last session that it took part in: a folder that knows only older ones was rolled back.
    pub seen: u64,
}

/// A replica of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub node: NodeId,
    /// It has all that was acknowledged, and may be read.
    pub in_sync: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub cluster: [u8; 16],
    pub version: Version,
    pub replicas: usize,
    /// Sequence numbers below this one may have been used.
    pub reserved: u64,
    pub next_node: NodeId,
    pub nodes: BTreeMap<NodeId, Entry>,
    /// By slot; [`SLOTS`] of them.
    pub slots: Vec<Vec<Member>>,
    /// Counted when it is first asked for; a changed copy counts anew.
    pub summary: OnceLock<Summary>,
}

/// What all slots together come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many slots a node holds, and how many of them in sync.
    shares: BTreeMap<NodeId, (usize, usize)>,
    /// Slots whose members aren't those that they should have.
    pub moving: usize,
    /// Slots with fewer members in sync than a write needs.
    pub short: usize,
}

impl Map {
    /// The map of a new cluster: all in sync, as there is nothing yet.
    pub fn new(cluster: [u8; 16], replicas: usize, entries: Vec<Entry>) -> Self {
        let next_node = NodeId::try_from(entries.len()).unwrap_or(NodeId::MAX);
        let nodes = (0..).zip(entries).collect();
        let mut map = Self {
            cluster,
            version: Version::default(),
            replicas,
            reserved: 1,
            next_node,
            nodes,
            slots: Vec::new(),
            summary: OnceLock::new(),
        };
        map.slots = (0..SLOTS)
            .map(|slot| {
                let target = map.target(slot).into_iter();
                target.map(|node| Member { node, in_sync: true }).collect()
            })
            .collect();
        map
    }

    pub fn members(&self, slot: u16) -> &[Member] {
        self.slots.get(usize::from(slot)).map_or(&[], Vec::as_slice)
    }

    pub fn in_sync(&self, slot: u16) -> impl Iterator<Item = NodeId> {
        self.members(slot).iter().filter(|member| member.in_sync).map(|member| member.node)
    }

    /// How many replicas in sync a write needs.
    pub fn enough(&self) -> usize {
        self.replicas / 2 + 1
    }

    /// Whether these are more than half of the nodes.
    pub fn majority(&self, of: &BTreeSet<NodeId>) -> bool {
        let present = self.nodes.keys().filter(|node| of.contains(node)).count();
        present * 2 > self.nodes.len()
    }

    /// How many slots a node holds, and how many of them in sync.
    pub fn share(&self, node: NodeId) -> (usize, usize) {
        self.summary().shares.get(&node).copied().unwrap_or_default()
    }

    pub fn summary(&self) -> &Summary {
        self.summary.get_or_init(|| {
            let mut summary = Summary::default();
            for (slot, members) in (0..).zip(&self.slots) {
                let mut in_sync = 0;
                for member in members {
                    let share = summary.shares.entry(member.node).or_default();
                    *share = (share.0 + 1, share.1 + usize::from(member.in_sync));
                    in_sync += usize::from(member.in_sync);
                }
                let target = self.target(slot);
                let there = members.iter().all(|member| target.contains(&member.node));
                summary.moving += usize::from(!there || members.len() != target.len());
                summary.short += usize::from(in_sync < self.enough());
            }
            summary
        })
    }

    /// A copy to be changed.
    pub fn to_change(&self) -> Self {
        Self { summary: OnceLock::new(), ..self.clone() }
    }

    pub fn is_whole(&self, node: NodeId) -> bool {
        let (all, in_sync) = self.share(node);
        all == in_sync
    }

    /// Takes a node out of sync wherever another is in sync.
    pub fn demote(&mut self, node: NodeId) -> bool {
        let mut changed = false;
        for members in &mut self.slots {
            changed |= demote(members, node);
        }
        changed
    }

    /// Takes a node out of sync wherever it was in sync.
    pub fn empty(&mut self, node: NodeId) {
        let mine = self.slots.iter_mut().flatten().filter(|member| member.node == node);
        mine.for_each(|member| member.in_sync = false);
    }

    /// Drops nodes with all that they have. Gives the number of slots that no replica in sync is left
    /// of: one that is left counts as in sync, though it may be behind, or else the slot is empty.
    pub fn give_up(&mut self, lost: &BTreeSet<NodeId>) -> usize {
        self.nodes.retain(|id, _| !lost.contains(id));
        let mut stale = 0;
        for slot in 0..SLOTS {
            let target = self.target(slot);
            let members = &mut self.slots[usize::from(slot)];
            members.retain(|member| !lost.contains(&member.node));
            if members.iter().any(|member| member.in_sync) {
                continue;
            }
            stale += 1;
            match members.first_mut() {
                Some(first) => first.in_sync = true,
                None => {
                    members.extend(target.into_iter().map(|node| Member { node, in_sync: true }));
                }
            }
        }
        stale
    }

    /// Moves the members towards their targets. A replica goes only once all targets are in sync.
    pub fn approach(&mut self, joins: impl Fn(NodeId) -> bool) -> bool {
        let mut changed = false;
        for slot in 0..SLOTS {
            let target = self.target(slot);
            let members = &mut self.slots[usize::from(slot)];
            for node in &target {
                if joins(*node) && members.iter().all(|member| member.node != *node) {
                    members.push(Member { node: *node, in_sync: false });
                    changed = true;
                }
            }
            let there =
                |node: &NodeId| members.iter().any(|member| member.node == *node && member.in_sync);
            if !target.is_empty() && target.iter().all(there) && members.len() > target.len() {
                members.retain(|member| target.contains(&member.node));
                changed = true;
            }
        }
        changed
    }

    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().find(|(_, entry)| entry.name == name).map(|(id, _)| *id)
    }
}

/// Takes a member out of sync if another is in sync.
pub(crate) fn demote(members: &mut [Member], node: NodeId) -> bool {
    let others = members.iter().any(|member| member.in_sync && member.node != node);
    let mine = members.iter_mut().find(|member| member.in_sync && member.node == node);
    match mine {
        Some(member) if others => {
            member.in_sync = false;
            true
        }
        Some(_) | None => false,
    }
}
