//! What waits to be removed: the parts of uploads and the bodies of versions that are gone.
//!
//! A record of `Table::Garbage` says that the parts of an upload, or the blobs that it holds, belong
//! to nothing any more. It is written with what makes them so, and removed after the last of them:
//! a crash between loses nothing. What is being read is left alone until it is not.

use super::Store;
use crate::fault;
use bytes::Bytes;
use cluster::{Changes, ClusterResult, Place, Record, Table};
use s3s::S3Result;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Rung when there is garbage.
#[derive(Debug, Default)]
pub(super) struct Bell(Notify);

/// How many parts are removed at a time.
const PARTS_AT_A_TIME: usize = 100;

/// How long garbage lies at most, should a removal have failed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

impl Store {
    /// A record that leaves an upload's parts to the sweep.
    pub(super) fn garbage(place: &Place, upload: &[u8; 16]) -> (Bytes, Option<Record>) {
        (place.record(Table::Garbage, upload), Some(Record::default()))
    }

    pub(super) fn ring(&self) {
        self.garbage.0.notify_one();
    }

    /// Removes what waits to be removed, until it is dropped.
    pub async fn sweep_for_ever(self: Arc<Self>) {
        loop {
            if let Err(error) = self.sweep().await {
                log::warn!("removing parts of uploads: {error:?}");
            }
            let _ = tokio::time::timeout(SWEEP_EVERY, self.garbage.0.notified()).await;
        }
    }

    /// Removes all that waits to be removed.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn sweep(&self) -> S3Result<()> {
        let all =
            Bytes::from(vec![Table::Garbage as u8])..Bytes::from(vec![Table::Garbage as u8 + 1]);
        let mut from = all.start;
        loop {
            let part = from.clone()..all.end.clone();
            let found = self.cluster.scan(part, 100).await.map_err(|e| fault::storage(&e))?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            from = [last, &[0][..]].concat().into();
            for (key, _) in found {
                if let Some((Table::Garbage, place, upload)) = Place::of_record(&key)
                    && !self.readers.has(upload)
                {
                    let bucket = self.sweep_bucket(&place, upload).await;
                    if bucket.map_err(|e| fault::storage(&e))? {
                        continue;
                    }
                    self.remove_parts(place, upload).await.map_err(|e| fault::storage(&e))?;
                }
            }
        }
    }

    async fn remove_parts(&self, place: Place, upload: &[u8]) -> ClusterResult<()> {
        loop {
            let mut update = self.cluster.update(place.clone()).await;
            // A replica's parts are garbage until the replica is whole: it may be by now.
            if update.get(Table::Garbage, upload).await?.is_none() {
                return Ok(());
            }
            let parts = update.scan_suffixes(Table::Parts, upload, PARTS_AT_A_TIME).await?;
            let last = parts.len() < PARTS_AT_A_TIME;
            let mut records: Vec<_> = parts.into_iter().map(|key| (key, None)).collect();
            if last {
                records.push((place.record(Table::Garbage, upload), None));
            }
            update.commit(Changes { records, blobs: Vec::new() }).await?;
            if last {
                return Ok(());
            }
        }
    }
}

/// Keys of records whose suffixes begin alike.
trait ScanSuffixes {
    async fn scan_suffixes(
        &self,
        table: Table,
        prefix: &[u8],
        limit: usize,
    ) -> ClusterResult<Vec<Bytes>>;
}

impl ScanSuffixes for cluster::Update<'_> {
    async fn scan_suffixes(
        &self,
        table: Table,
        prefix: &[u8],
        limit: usize,
    ) -> ClusterResult<Vec<Bytes>> {
        let begin = self.place().record(table, prefix);
        // A prefix itself is never a suffix: part numbers follow it.
        let found = self.scan(table, Some(prefix), limit).await?;
        Ok(found
            .into_iter()
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&begin))
            .collect())
    }
}
