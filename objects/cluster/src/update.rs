//! An exclusive hold on a place, to read it and then to change it as one.

use crate::{
    BlobId, Cluster, ClusterResult, Place, Record, Table, after_key,
    commit::Commit,
    core::{Core, unavailable},
};
use bytes::Bytes;
use node::Scan;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{OwnedMutexGuard, oneshot};

/// What an update changes: records of its place, and blobs that travel with them.
#[derive(Debug, Default)]
pub struct Changes {
    /// Keys of records (`Place::record`) with their new contents, or none to remove them.
    pub records: Vec<(Bytes, Option<Record>)>,
    /// Small blobs that the new records refer to.
    pub blobs: Vec<(BlobId, Bytes)>,
}

/// An exclusive hold on a place, to read it and then to change it as one. Other places may share
/// its lock: who holds one must not wait for another.
#[derive(Debug)]
pub struct Update<'a> {
    cluster: &'a Cluster,
    place: Place,
    slot: u16,
    although_full: bool,
    /// A commit under way holds it as well, so that it outlives an update that is dropped.
    turn: Arc<OwnedMutexGuard<()>>,
}

impl<'a> Update<'a> {
    pub(crate) async fn begin(cluster: &'a Cluster, place: Place) -> Self {
        let slot = place.slot();
        let turn = cluster.core.writers[usize::from(slot)].clone().lock_owned().await;
        Self { cluster, place, slot, although_full: false, turn: Arc::new(turn) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.cluster.core
    }

    /// The place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is committed frees space in the end, though it may put a record: full nodes take it, too.
    pub fn although_full(&mut self) {
        self.although_full = true;
    }

    /// A record of the place.
    ///
    /// # Errors
    /// No replica in sync can be read.
    pub async fn get(&self, table: Table, suffix: &[u8]) -> ClusterResult<Option<Record>> {
        let key = self.place.record(table, suffix);
        let _shared = self.core().shared(self.slot).await?;
        Ok(self.core().get_unlocked(self.slot, &key).await?.and_then(Record::decode))
    }

    /// Up to `limit` records of one table of the place, after a suffix, in order.
    ///
    /// # Errors
    /// No replica in sync can be read.
    pub async fn scan(
        &self,
        table: Table,
        after: Option<&[u8]>,
        limit: usize,
    ) -> ClusterResult<Vec<(Bytes, Record)>> {
        let mut from = self.place.record(table, after.unwrap_or_default()).to_vec();
        if after.is_some() {
            from.push(0);
        }
        let until = after_key(table, self.place.bucket, &self.place.key);
        let scan = Scan { from: from.into(), until: Some(until), limit };
        let core = self.core();
        let _shared = core.shared(self.slot).await?;
        for link in core.readers(self.slot) {
            let Ok(node) = link.node() else { continue };
            match link.within(core.limits.read, node.scan(scan.clone())).await {
                Ok(found) => {
                    let records = found.into_iter();
                    let live =
                        records.filter_map(|(key, value)| Some((key, Record::decode(value)?)));
                    return Ok(live.collect());
                }
                Err(fault) => core.distrust(&link, &fault),
            }
        }
        Err(unavailable("no replica in sync takes part"))
    }

    /// Commits changes, durably on all replicas in sync. Blobs that a replaced or removed record
    /// referred to, and no new one does, are freed; those of the new records are kept. Once begun,
    /// it goes on even if its caller doesn't wait for it.
    ///
    /// # Errors
    /// Too few replicas took it. It may or may not be seen later.
    pub async fn commit(&mut self, changes: Changes) -> ClusterResult<()> {
        let core = self.core();
        let mut old = BTreeSet::new();
        {
            let _shared = core.shared(self.slot).await?;
            for (key, _) in &changes.records {
                let record = core.get_unlocked(self.slot, key).await?;
                old.extend(record.iter().flat_map(Record::blobs_of));
            }
        }
        let records = changes.records.iter().filter_map(|(_, record)| record.as_ref());
        let new: BTreeSet<BlobId> = records.flat_map(|record| &record.blobs).copied().collect();
        let inline: BTreeSet<BlobId> = changes.blobs.iter().map(|(id, _)| *id).collect();
        let commit = Commit {
            core: core.clone(),
            slot: self.slot,
            records: changes.records,
            inline: changes.blobs,
            adopt: new.difference(&old).filter(|id| !inline.contains(id)).copied().collect(),
            free: old.difference(&new).copied().collect(),
            although_full: self.although_full,
        };
        let turn = self.turn.clone();
        let (answer, answered) = oneshot::channel();
        core.spawn(async move {
            let result = commit.run().await;
            drop(turn);
            // Who doesn't wait any more finds out by reading.
            let _gone = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(unavailable("the object store is closing")))
    }
}
