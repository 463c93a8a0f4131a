//! Weighted rendezvous: each slot's nodes are those that score highest for it, so that a change of
//! nodes moves no more than their share.

use super::{Map, NodeId, Standing};
use std::collections::BTreeSet;

impl Map {
    /// The nodes that a slot should have, best first: at most one of each failure domain.
    pub fn target(&self, slot: u16) -> Vec<NodeId> {
        let takes = self
            .nodes
            .iter()
            .filter(|(_, entry)| entry.standing == Standing::In && entry.weight > 0);
        let mut scored: Vec<_> =
            takes.map(|(id, entry)| (score(slot, *id, entry.weight), *id, entry)).collect();
        scored.sort_by(|(a, a_id, _), (b, b_id, _)| b.total_cmp(a).then(a_id.cmp(b_id)));
        let mut domains = BTreeSet::new();
        let apart = scored.into_iter().filter(|(.., entry)| domains.insert(&entry.domain));
        apart.take(self.replicas).map(|(_, id, _)| id).collect()
    }

    /// How many failure domains would be left to hold replicas without a node.
    pub fn domains_without(&self, node: NodeId) -> usize {
        let others = self.nodes.iter().filter(|(id, entry)| {
            **id != node && entry.standing == Standing::In && entry.weight > 0
        });
        others.map(|(_, entry)| &entry.domain).collect::<BTreeSet<_>>().len()
    }
}

/// `-weight / ln(h)` with `h` uniform in (0, 1): the chance to score highest is the share of weight.
fn score(slot: u16, node: NodeId, weight: u32) -> f64 {
    let hash = mix(mix(u64::from(node) + 1) ^ u64::from(slot)) >> 32;
    let uniform = f64::from(u32::try_from(hash).unwrap_or(0)) + 0.5;
    -f64::from(weight) / (uniform / (f64::from(u32::MAX) + 1.0)).ln()
}

/// The finalizer of SplitMix64: every bit of the number changes every bit of the result.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use crate::{SLOTS, map::*};

    fn entry(name: usize, domain: usize, weight: u32) -> Entry {
        Entry {
            name: name.to_string(),
            domain: domain.to_string(),
            weight,
            standing: Standing::In,
            seen: 0,
        }
    }

    fn map(nodes: usize) -> Map {
        Map::new([0; 16], 3, (0..nodes).map(|n| entry(n, n, 100)).collect())
    }

    fn moved(map: &Map) -> usize {
        let slots = 0..SLOTS;
        let news = slots.flat_map(|slot| {
            let has: Vec<_> = map.members(slot).iter().map(|member| member.node).collect();
            map.target(slot).into_iter().filter(move |node| !has.contains(node))
        });
        news.count()
    }

    #[test]
    fn shares_follow_the_weights() {
        for (nodes, within) in [(5, 0.04), (10, 0.08)] {
            let map = map(nodes);
            let fair = f64::from(SLOTS) * 3.0 / f64::from(u32::try_from(nodes).expect("few"));
            for node in map.nodes.keys() {
                let share = f64::from(u32::try_from(map.share(*node).0).expect("few"));
                assert!((share / fair - 1.0).abs() < within, "{share} of {fair}");
            }
        }
        let mut entries: Vec<_> = (0..9).map(|n| entry(n, n, 100)).collect();
        entries[0].weight = 200;
        let map = Map::new([0; 16], 1, entries);
        assert!((750..900).contains(&map.share(0).0), "{}", map.share(0).0);
    }

    #[test]
    fn a_change_of_nodes_moves_only_their_share() {
        let mut map = map(5);
        map.nodes.insert(5, entry(5, 5, 100));
        assert!((1960..2140).contains(&moved(&map)), "{}", moved(&map));
        map.nodes.remove(&5);
        let mut map = map.to_change();
        let held = map.share(2).0;
        map.nodes.get_mut(&2).expect("it is there").standing = Standing::Draining;
        assert_eq!(moved(&map), held);
    }

    #[test]
    fn replicas_lie_in_different_domains() {
        let entries = (0..8).map(|n| entry(n, n / 2, 100)).collect();
        let map = Map::new([0; 16], 3, entries);
        for slot in 0..SLOTS {
            let domains: BTreeSet<_> =
                map.members(slot).iter().map(|member| &map.nodes[&member.node].domain).collect();
            assert_eq!(domains.len(), 3);
        }
    }

    #[test]
    fn members_approach_their_targets_and_leave_late() {
        let mut map = map(3);
        map.nodes.insert(3, entry(3, 3, 100));
        assert!(map.approach(|_| true));
        assert!(map.slots.iter().all(|members| members.iter().filter(|m| m.in_sync).count() == 3));
        assert!(!map.approach(|_| true), "a replica left before the new one was in sync");
        map.slots.iter_mut().flatten().for_each(|member| member.in_sync = true);
        assert!(map.approach(|_| true));
        assert!(map.slots.iter().all(|members| members.len() == 3));
        assert_eq!(moved(&map), 0);
        assert!(!map.demote(9));
        assert!(map.demote(0) && map.demote(1) && map.demote(2));
        assert!(!map.demote(3), "the last in sync stays");
    }
}
