//! Blobs on a node that no record of it refers to are found and freed.
//!
//! The IDs that records refer to are put into a Bloom filter, so that any number of them takes
//! bounded memory: what it doesn't know is an orphan, and an orphan that it takes for something
//! else is found in a later sweep, which uses another salt.

use crate::{
    BlobId, ClusterResult, Record,
    core::{Core, lock},
    limits::{FREES, PAGE},
    link::{Link, Write},
    place::{internal, slot_of},
    scan::after,
};
use bytes::Bytes;
use node::{Batch, Scan};
use std::sync::Arc;

/// The most memory of a filter, in bytes: good for 14 million blobs with one of a hundred taken
/// for another.
const MAX_FILTER_BYTES: u64 = 16 << 20;

/// Bits set for each blob.
const HASHES: u64 = 6;

#[derive(Debug)]
pub(crate) struct Filter {
    salt: u64,
    bits: Vec<u64>,
}

impl Filter {
    fn new(blobs: u64, salt: u64) -> Self {
        let bits = (blobs.saturating_mul(10)).clamp(1 << 16, MAX_FILTER_BYTES * 8);
        let words = usize::try_from(bits.div_ceil(64)).unwrap_or(1 << 10);
        Self { salt, bits: vec![0; words] }
    }

    fn places(&self, id: BlobId) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (first, second) = id.0.split_at(8);
        let number =
            |bytes: &[u8]| bytes.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let (start, step) = (number(first) ^ self.salt, number(second) | 1);
        let words = self.bits.len() as u64;
        (0..HASHES).map(move |n| {
            // IDs are random but for those that somebody else made: mix them.
            let hash = start.wrapping_add(step.wrapping_mul(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hash = hash ^ (hash >> 29);
            (usize::try_from((hash >> 6) % words).unwrap_or(0), 1 << (hash & 63))
        })
    }

    pub fn insert(&mut self, id: BlobId) {
        for (word, bit) in self.places(id) {
            self.bits[word] |= bit;
        }
    }

    fn has(&self, id: BlobId) -> bool {
        self.places(id).all(|(word, bit)| self.bits[word] & bit != 0)
    }
}

impl Core {
    /// Frees the orphans of all nodes that are whole. Gives how many there were.
    pub async fn sweep(&self) -> ClusterResult<u64> {
        // There is one filter.
        let _turn = self.sweeping.lock().await;
        let mut freed = 0;
        for link in self.links().values() {
            if link.is_up() && self.map().is_whole(link.id) {
                let result = self.sweep_node(link).await;
                *lock(&self.filter) = None;
                freed += result?;
            }
        }
        Ok(freed)
    }

    async fn sweep_node(&self, link: &Arc<Link>) -> ClusterResult<u64> {
        let node = link.node()?;
        let generation = link.generation();
        let usage = link.within(self.limits.read, node.usage()).await?;
        let mut salt = [0; 8];
        salt.copy_from_slice(&(self.random)()[..8]);
        *lock(&self.filter) = Some(Filter::new(usage.blobs, u64::from_be_bytes(salt)));
        // Commits that have begun without the filter end first.
        drop(self.gate.write().await);
        if !lock(&self.undecided).is_empty() {
            return Ok(0);
        }
        let mut from = Bytes::from_static(internal::END);
        loop {
            let scan = Scan { from: from.clone(), until: None, limit: PAGE };
            let page = link.within(self.limits.read, node.scan(scan)).await?;
            let map = self.map();
            if let Some(filter) = &mut *lock(&self.filter) {
                let mine = page.iter().filter(|(key, _)| {
                    slot_of(key).is_some_and(|slot| {
                        map.members(slot).iter().any(|member| member.node == link.id)
                    })
                });
                mine.flat_map(|(_, value)| Record::blobs_of(value))
                    .for_each(|id| filter.insert(id));
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => from = after(key),
                Some(_) | None => break,
            }
            tokio::task::yield_now().await;
        }
        let mut freed = 0;
        let mut last = None;
        loop {
            let page = link.within(self.limits.read, node.blobs(last, FREES)).await?;
            let orphans: Vec<BlobId> =
                page.iter().copied().filter(|id| self.is_orphan(*id)).collect();
            // After a failure, its records may not be those that were seen.
            if link.generation() != generation {
                return Ok(freed);
            }
            if !orphans.is_empty() {
                freed += orphans.len() as u64;
                let batch = Batch { sequence: self.sequence(), free: orphans, ..Batch::default() };
                self.write_one(link, Write::Batch(batch)).await?;
            }
            match page.last() {
                Some(id) if page.len() == FREES => last = Some(*id),
                Some(_) | None => return Ok(freed),
            }
        }
    }

    /// A commit enters its blobs into the filter before they are no longer pending.
    fn is_orphan(&self, id: BlobId) -> bool {
        !self.custody.is_pending(id)
            && !self.custody.is_doomed(id)
            && lock(&self.filter).as_ref().is_some_and(|filter| !filter.has(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_forgets_nothing_and_mistakes_little() {
        let id = |n: u64| {
            let mut id = [0; 16];
            id.copy_from_slice(&blake3::hash(&n.to_be_bytes()).as_bytes()[..16]);
            BlobId(id)
        };
        let mut filter = Filter::new(10_000, 7);
        (0..10_000).for_each(|n| filter.insert(id(n)));
        assert!((0..10_000).all(|n| filter.has(id(n))));
        let mistaken = (10_000..110_000).filter(|n| filter.has(id(*n))).count();
        assert!(mistaken < 2_500, "{mistaken}");
    }
}
