//! What takes long: the sweep of unfinished blobs, and the count of records.

use crate::{
    Inner, RadosNode,
    ffi::{Errno, Keys, Read, WriteStep},
    index::EPOCH,
    keys,
};
use bytes::Bytes;
use node::{BlobId, NodeFault, NodeResult, Usage};
use serde_json::Value;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// How many objects are looked at together.
const SWEPT: usize = 512;

/// How many keys are counted by one read.
const COUNTED: u64 = 1000;

/// How long a count is good for.
const COUNT_AGE: Duration = Duration::from_secs(120);

/// How long the first count is waited for.
const COUNT_TIMEOUT: Duration = Duration::from_secs(1);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Objects of blobs that it saw.
    pub blobs: u64,
    /// Those that were of an earlier owner and that no index named.
    pub removed: u64,
}

/// Records and blobs, as they were counted last.
#[derive(Debug, Default)]
pub struct Counted {
    count: watch::Sender<Count>,
    /// When the last count began, and whether it goes on.
    begun: Mutex<(Option<Instant>, bool)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    records: u64,
    blobs: u64,
    /// It is one of everything.
    whole: bool,
}

impl RadosNode {
    /// Removes the blobs that an earlier owner had begun or finished, and no batch adopted. Reads
    /// all names of the namespace; a node does it by itself after it has connected.
    ///
    /// # Errors
    /// Ceph doesn't answer, or another process has taken the namespace over.
    pub async fn sweep(&self) -> NodeResult<Sweep> {
        let inner = &self.0;
        let (send, mut receive) = mpsc::channel::<Vec<BlobId>>(2);
        let pool = inner.pool.clone();
        let listing = tokio::task::spawn_blocking(move || {
            let mut ids = Vec::with_capacity(SWEPT);
            pool.list(|name| {
                ids.extend(keys::blob_of_object(name));
                ids.len() < SWEPT || send.blocking_send(std::mem::take(&mut ids)).is_ok()
            })?;
            // Nobody to send to means that nobody asks.
            let _sent = send.blocking_send(ids);
            Ok(())
        });
        let mut swept = Sweep::default();
        while let Some(ids) = receive.recv().await {
            inner.owned()?;
            swept.blobs += ids.len() as u64;
            swept.removed += inner.sweep_of(&ids).await?;
        }
        let listed = listing.await.map_err(|error| NodeFault::Down(error.to_string().into()))?;
        listed.map_err(|errno: Errno| inner.fault(errno))?;
        Ok(swept)
    }
}

impl Inner {
    async fn sweep_of(&self, ids: &[BlobId]) -> NodeResult<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let wanted = ids.iter().map(|id| keys::blob(*id)).collect();
        let kept: HashSet<BlobId> = self
            .find(&self.shards, wanted)
            .await?
            .iter()
            .filter_map(|(stored, _)| keys::blob_id(stored))
            .collect();
        // What this owner writes, or is about to adopt, bears its own epoch.
        let steps = [WriteStep::AssertAttributeLess(EPOCH, self.epoch.clone()), WriteStep::Remove];
        let mut removed = 0;
        for id in ids.iter().filter(|id| !kept.contains(id)) {
            match self.pool.write(&keys::blob_object(*id), &steps).await {
                Ok(()) => removed += 1,
                Err(Errno::NOT_FOUND | Errno::CANCELED) => {}
                Err(errno) => return Err(self.fault(errno)),
            }
        }
        Ok(removed)
    }

    /// Counts the keys of all index objects: records and blobs.
    async fn count(&self, first: bool) -> NodeResult<()> {
        let mut count = Count::default();
        for shard in &self.shards {
            let mut after = Bytes::new();
            loop {
                let names = Keys::Names { after: keys::c_string(&after), limit: COUNTED };
                let read = Read { keys: Some(names), ..Read::default() };
                let answer = self.pool.read(&shard.object, &read).await;
                let answer = answer.map_err(|errno| self.fault(errno))?;
                for (key, _) in &answer.keys {
                    let of_blob = key.starts_with(keys::BLOBS);
                    *(if of_blob { &mut count.blobs } else { &mut count.records }) += 1;
                }
                if first {
                    self.counted.count.send_replace(count);
                }
                match answer.keys.last() {
                    Some((last, _)) if answer.more => after = last.clone(),
                    _ => break,
                }
            }
        }
        count.whole = true;
        self.counted.count.send_replace(count);
        Ok(())
    }

    /// The last count; the first is waited for, but not for long: then it is what was counted by
    /// then. It is made anew in the background if it is old.
    async fn counts(self: &Arc<Self>) -> Count {
        {
            let mut begun = self.counted.begun.lock().unwrap_or_else(PoisonError::into_inner);
            let old = begun.0.is_none_or(|begun| begun.elapsed() > COUNT_AGE);
            let first = begun.0.is_none();
            if old && !begun.1 {
                *begun = (Some(Instant::now()), true);
                let inner = self.clone();
                tokio::spawn(async move {
                    if let Err(fault) = inner.count(first).await {
                        log::warn!("records in the Ceph pool are not counted: {fault}");
                    }
                    inner.counted.begun.lock().unwrap_or_else(PoisonError::into_inner).1 = false;
                });
            }
        }
        let mut counted = self.counted.count.subscribe();
        let whole = counted.wait_for(|count| count.whole);
        // What was counted by then is better than nothing.
        let _late = tokio::time::timeout(COUNT_TIMEOUT, whole).await;
        *self.counted.count.borrow()
    }

    pub async fn usage(self: &Arc<Self>) -> NodeResult<Usage> {
        let pool = self.pool.clone();
        let asked =
            tokio::task::spawn_blocking(move || pool.ask(cr#"{"prefix":"df","format":"json"}"#));
        let answer = asked.await.map_err(|error| NodeFault::Down(error.to_string().into()))?;
        let answer = answer.map_err(|errno| self.fault(errno))?;
        let (used_bytes, available_bytes) = room(&answer, &self.settings.pool)
            .ok_or_else(|| NodeFault::Down("Ceph doesn't tell its use".into()))?;
        let Count { records, blobs, .. } = self.counts().await;
        Ok(Usage { used_bytes, available_bytes, records, blobs })
    }
}

/// The bytes stored in a pool, and those that it has left, from the monitors' answer to `df`.
fn room(answer: &[u8], pool: &str) -> Option<(u64, u64)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let pools = answer.get("pools")?.as_array()?;
    let stats = pools.iter().find(|each| each["name"] == pool)?.get("stats")?;
    let stored = stats.get("stored").or_else(|| stats.get("bytes_used"))?.as_u64()?;
    Some((stored, stats.get("max_avail")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_the_pools() {
        let answer = br#"{"stats": {}, "pools": [
            {"name": "other", "stats": {"stored": 1, "max_avail": 2}},
            {"name": "fogbank", "stats": {"stored": 3, "bytes_used": 9, "max_avail": 4}}]}"#;
        assert_eq!(room(answer, "fogbank"), Some((3, 4)));
        assert_eq!(room(answer, "another"), None);
        assert_eq!(room(b"{", "fogbank"), None);
    }
}
