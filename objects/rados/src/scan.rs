//! Scans: a page of each index object, merged in order.

use crate::{
    Inner,
    ffi::{Errno, Keys, Pool, Read},
    index::{Shard, corrupt_record},
    keys, sums,
};
use bytes::Bytes;
use node::{BlobId, NodeFault, NodeResult, Scan};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    ffi::CString,
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    sync::{OwnedMutexGuard, OwnedRwLockWriteGuard},
    task::JoinSet,
};

/// What an OSD gives at most in one answer (`osd_max_omap_entries_per_request`).
const MAX_PAGE: usize = 1024;

/// What is read of each object at least.
const MIN_PAGE: usize = 16;

/// A part of the stored keys.
#[derive(Clone, Debug)]
struct Part {
    /// Exclusive.
    after: Bytes,
    /// Exclusive.
    until: Option<Bytes>,
    /// All keys of the part begin with this.
    prefix: CString,
}

type Found = Vec<(Bytes, Bytes)>;

/// What is known of a part in one index object.
#[derive(Debug)]
struct Stretch {
    shard: Arc<Shard>,
    found: Found,
    /// Whether that is all of the part.
    whole: bool,
    /// The shard's commits before the first read.
    commits: u64,
    /// Keeps commits out, from the second read on.
    alone: Option<OwnedRwLockWriteGuard<()>>,
}

impl Stretch {
    async fn first(
        pool: Arc<Pool>,
        shard: Arc<Shard>,
        part: Arc<Part>,
        page: usize,
    ) -> Result<Self, Errno> {
        let commits = shard.commits.load(Ordering::Acquire);
        let mut stretch = Self { shard, found: Vec::new(), whole: false, commits, alone: None };
        stretch.extend(&pool, &part, page).await?;
        Ok(stretch)
    }

    /// Reads at least `more` further keys, or to the end.
    async fn extend(&mut self, pool: &Arc<Pool>, part: &Part, more: usize) -> Result<(), Errno> {
        let wanted = self.found.len().saturating_add(more);
        while !self.whole && self.found.len() < wanted {
            let after = self.found.last().map_or(&part.after, |(key, _)| key);
            let limit = (wanted - self.found.len()).min(MAX_PAGE);
            let page = Keys::Page {
                after: keys::c_string(after),
                prefix: part.prefix.clone(),
                limit: limit as u64,
            };
            let read = Read { keys: Some(page), ..Read::default() };
            let answer = pool.read(&self.shard.object, &read).await?;
            self.whole = !answer.more || answer.keys.is_empty();
            for (key, value) in answer.keys {
                if part.until.as_ref().is_some_and(|until| key >= *until) {
                    self.whole = true;
                    break;
                }
                self.found.push((key, value));
            }
        }
        Ok(())
    }

    /// As `extend`, with all from one view: if there were commits since the first read, all is read
    /// again, without any.
    async fn refill(&mut self, pool: &Arc<Pool>, part: &Part, more: usize) -> Result<(), Errno> {
        let mut wanted = more;
        if self.alone.is_none() {
            self.alone = Some(self.shard.writers.clone().write_owned().await);
            if self.shard.commits.load(Ordering::Acquire) != self.commits {
                wanted = wanted.saturating_add(self.found.len());
                self.found.clear();
                self.whole = false;
            }
        }
        self.extend(pool, part, wanted).await
    }
}

/// The first `limit` entries of all in order, each key once; or which stretch has to be longer.
fn merge(stretches: &[Stretch], limit: usize) -> Result<Found, usize> {
    let mut heads = BinaryHeap::new();
    for (number, stretch) in stretches.iter().enumerate() {
        match stretch.found.first() {
            Some((key, _)) => heads.push(Reverse((key, number, 0))),
            None if !stretch.whole => return Err(number),
            None => {}
        }
    }
    let mut merged: Found = Vec::new();
    while merged.len() < limit {
        let Some(Reverse((key, number, at))) = heads.pop() else { break };
        let stretch = &stretches[number];
        if merged.last().is_none_or(|(last, _)| last != key) {
            merged.push(stretch.found[at].clone());
        }
        match stretch.found.get(at + 1) {
            Some((next, _)) => heads.push(Reverse((next, number, at + 1))),
            None if stretch.whole || merged.len() == limit => {}
            None => return Err(number),
        }
    }
    Ok(merged)
}

impl Inner {
    async fn merged(&self, shards: &[Arc<Shard>], part: Part, limit: usize) -> NodeResult<Found> {
        let part = Arc::new(part);
        // Somewhat more than a fair share, so that one read of each is nearly always enough.
        let share = limit / shards.len();
        let page = share.saturating_add(share / 4 + MIN_PAGE).min(limit).min(MAX_PAGE);
        let mut reads = JoinSet::new();
        for shard in shards {
            reads.spawn(Stretch::first(self.pool.clone(), shard.clone(), part.clone(), page));
        }
        let mut stretches = Vec::with_capacity(shards.len());
        while let Some(read) = reads.join_next().await {
            let read = read.map_err(|error| NodeFault::Down(error.to_string().into()))?;
            stretches.push(read.map_err(|errno| self.fault(errno))?);
        }
        // One scan at a time keeps commits out, or two could wait for each other.
        let mut alone: Option<OwnedMutexGuard<()>> = None;
        loop {
            match merge(&stretches, limit) {
                Ok(merged) => return Ok(merged),
                Err(short) => {
                    if alone.is_none() {
                        alone = Some(self.refill.clone().lock_owned().await);
                    }
                    let refilled = stretches[short].refill(&self.pool, &part, page).await;
                    refilled.map_err(|errno| self.fault(errno))?;
                }
            }
        }
    }

    pub async fn scan(&self, scan: Scan) -> NodeResult<Found> {
        if scan.limit == 0 || scan.until.as_ref().is_some_and(|until| *until <= scan.from) {
            return Ok(Vec::new());
        }
        let after = keys::before_record(&scan.from);
        let until = scan.until.as_deref().map(keys::before_record);
        let prefix = until.as_ref().map_or(keys::RECORDS, |until| common(&after, until));
        let part = Part { prefix: keys::c_string(prefix), after: after.clone(), until };
        let slot = (self.settings.slot_of)(&scan.from, scan.until.as_deref());
        let found = match slot {
            Some(slot) => {
                self.merged(std::slice::from_ref(self.shard(slot)), part, scan.limit).await?
            }
            None => self.merged(self.slot_shards(), part, scan.limit).await?,
        };
        let records = found.into_iter().map(|(stored, sealed)| {
            let key = keys::record_key(&stored)?;
            let value = sums::unsealed(&key, sealed)?;
            Some((key, value))
        });
        records.collect::<Option<_>>().ok_or_else(corrupt_record)
    }

    /// The blobs that are kept, in order.
    pub async fn kept(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let part = Part {
            after: after.map_or(Bytes::from_static(keys::BLOBS), keys::blob),
            until: None,
            prefix: keys::c_string(keys::BLOBS),
        };
        let found = self.merged(&self.shards, part, limit).await?;
        Ok(found.iter().filter_map(|(stored, _)| keys::blob_id(stored)).collect())
    }
}

/// What both begin with.
fn common<'a>(one: &'a [u8], other: &[u8]) -> &'a [u8] {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    &one[..same]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn stretch(keys: &[&'static str], whole: bool) -> Stretch {
        let shard = Arc::new(Shard {
            object: CString::default(),
            writers: Arc::default(),
            commits: AtomicU64::new(0),
        });
        let found =
            keys.iter().map(|key| (Bytes::from_static(key.as_bytes()), Bytes::new())).collect();
        Stretch { shard, found, whole, commits: 0, alone: None }
    }

    fn names(merged: Result<Found, usize>) -> Result<String, usize> {
        merged.map(|found| {
            found.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
        })
    }

    #[test]
    fn stretches_merge_in_order() {
        let all = [stretch(&["a", "d"], true), stretch(&[], true), stretch(&["b", "c", "d"], true)];
        assert_eq!(names(merge(&all, 10)), Ok("abcd".to_owned()));
        assert_eq!(names(merge(&all, 2)), Ok("ab".to_owned()));
        assert_eq!(names(merge(&[], 2)), Ok(String::new()));
    }

    #[test]
    fn a_stretch_that_ends_early_is_named() {
        let all = [stretch(&["a", "b"], false), stretch(&["c", "d"], true)];
        assert_eq!(names(merge(&all, 1)), Ok("a".to_owned()));
        assert_eq!(names(merge(&all, 2)), Ok("ab".to_owned()));
        assert_eq!(names(merge(&all, 3)), Err(0));
        assert_eq!(names(merge(&[stretch(&["a"], true), stretch(&[], false)], 1)), Err(1));
    }
}
