//! Listings: a smallest set of nodes whose slots in sync cover all, each asked for its part of the
//! index in order, and merged.

use crate::{
    ClusterResult,
    core::{Core, lock, unavailable},
    limits::PAGE,
    link::Link,
    map::{Map, NodeId, Version},
    place::{SLOTS, slot_of},
};
use bytes::Bytes;
use node::Scan;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

/// The most records that a node is asked for at a time.
const MAX_PAGE: usize = 4 * PAGE;

/// How often a page is tried again while the map changes.
const MAX_TRIES: usize = 100;

/// Which node is asked for which slots.
#[derive(Debug)]
pub(crate) struct Plan {
    version: Version,
    usable: BTreeSet<NodeId>,
    parts: Vec<(NodeId, Slots)>,
}

/// Slots of one node; none for all.
type Slots = Option<BTreeSet<u16>>;

impl Plan {
    /// None if some slot has no replica in sync among the usable nodes.
    fn make(map: &Map, usable: BTreeSet<NodeId>) -> Option<Self> {
        let whole = |node: &NodeId| map.share(*node).1 == usize::from(SLOTS);
        if let Some(node) = usable.iter().copied().find(whole) {
            return Some(Self { version: map.version, usable, parts: vec![(node, None)] });
        }
        let mut left: BTreeSet<u16> = (0..SLOTS).collect();
        let mut parts = Vec::new();
        while !left.is_empty() {
            let mut covers: BTreeMap<NodeId, BTreeSet<u16>> = BTreeMap::new();
            for slot in &left {
                for node in map.in_sync(*slot).filter(|node| usable.contains(node)) {
                    covers.entry(node).or_default().insert(*slot);
                }
            }
            let (node, slots) = covers.into_iter().max_by_key(|(_, slots)| slots.len())?;
            left.retain(|slot| !slots.contains(slot));
            let all = slots.len() == usize::from(SLOTS);
            parts.push((node, (!all).then_some(slots)));
        }
        Some(Self { version: map.version, usable, parts })
    }
}

/// A part of a listing, and where it goes on.
struct Page {
    records: Vec<(Bytes, Bytes)>,
    next: Option<Bytes>,
}

impl Core {
    fn plan(&self) -> ClusterResult<Arc<Plan>> {
        let links = self.links();
        let usable: BTreeSet<_> =
            links.values().filter(|link| link.is_usable()).map(|link| link.id).collect();
        let map = self.map();
        let mut plan = lock(&self.plan);
        if let Some(plan) = &*plan
            && plan.version == map.version
            && plan.usable == usable
        {
            return Ok(plan.clone());
        }
        let made = Plan::make(&map, usable)
            .ok_or_else(|| unavailable("some slots have no replica in sync that takes part"))?;
        Ok(plan.insert(Arc::new(made)).clone())
    }

    /// Up to `limit` records with their bytes, in order; fewer mean that there are no more.
    pub async fn scan(
        &self,
        part: Range<Bytes>,
        limit: usize,
    ) -> ClusterResult<Vec<(Bytes, Bytes)>> {
        let mut found = Vec::new();
        let mut from = part.start;
        while found.len() < limit && from < part.end {
            let page = self.page(&from, &part.end, limit - found.len()).await?;
            found.extend(page.records);
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(found)
    }

    async fn page(&self, from: &Bytes, until: &Bytes, limit: usize) -> ClusterResult<Page> {
        // Each failure takes a node out or changes the map, neither of which goes on for long.
        for _ in 0..MAX_TRIES {
            let plan = self.plan()?;
            let page = self.merge(&plan, from, until, limit).await;
            // A replica that has left its slot meanwhile may have lost records of it.
            if let Some(mut page) = page.filter(|_| self.map().version == plan.version) {
                let end = page.next.clone().unwrap_or_else(|| until.clone());
                self.decided(&mut page, from.clone()..end).await?;
                if page.records.len() > limit {
                    page.records.truncate(limit);
                    page.next = page.records.last().map(|(key, _)| after(key));
                }
                return Ok(page);
            }
        }
        Err(unavailable("the storage nodes can't be read"))
    }

    /// None if a node failed.
    async fn merge(&self, plan: &Plan, from: &Bytes, until: &Bytes, limit: usize) -> Option<Page> {
        let links = self.links();
        let limit = limit.min(MAX_PAGE);
        let mut pages = Vec::with_capacity(plan.parts.len());
        for (node, slots) in &plan.parts {
            let link: &Arc<Link> = links.get(node)?;
            let scan = Scan { from: from.clone(), until: Some(until.clone()), limit };
            let node = link.node().ok()?;
            match link.within(self.limits.read, node.scan(scan)).await {
                Ok(found) => pages.push((found, slots)),
                Err(fault) => {
                    self.distrust(link, &fault);
                    return None;
                }
            }
        }
        let full = pages.iter().filter(|(found, _)| found.len() >= limit);
        let last = full.filter_map(|(found, _)| found.last().map(|(key, _)| key)).min().cloned();
        let several = pages.len() > 1;
        let mut records = Vec::new();
        for (found, slots) in pages {
            let reached = found
                .into_iter()
                .take_while(|(key, _)| last.as_ref().is_none_or(|last| key <= last));
            records.extend(reached.filter(|(key, _)| {
                slots
                    .as_ref()
                    .is_none_or(|slots| slot_of(key).is_some_and(|slot| slots.contains(&slot)))
            }));
        }
        if several {
            records.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        Some(Page { records, next: last.map(|last| after(&last)) })
    }

    /// Reads the records of commits that aren't decided again, when they are: what a listing has
    /// shown, a later one must not take back.
    async fn decided(&self, page: &mut Page, part: Range<Bytes>) -> ClusterResult<()> {
        let keys: Vec<Bytes> = lock(&self.flights).keys.range(part).cloned().collect();
        for key in keys {
            let now = self.get(&key).await?;
            match (page.records.binary_search_by(|(other, _)| other.cmp(&key)), now) {
                (Ok(at), Some(value)) => page.records[at].1 = value,
                (Ok(at), None) => {
                    page.records.remove(at);
                }
                (Err(at), Some(value)) => page.records.insert(at, (key, value)),
                (Err(_), None) => (),
            }
        }
        Ok(())
    }
}

/// The next possible key.
pub(crate) fn after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}
