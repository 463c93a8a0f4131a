//! Drops everything: each bucket is gone with one record, and what was in it goes by and by.

use super::{Bucket, Store, bucket::place_of};
use crate::fault;
use bytes::Bytes;
use cluster::{Changes, ClusterResult, Place, Record, Table, range};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use s3s::S3Result;

/// How many buckets are dropped at the same time.
const BUCKETS_AT_A_TIME: usize = 64;
/// How many records of a dropped bucket are removed at the same time.
const RECORDS_AT_A_TIME: usize = 32;
/// How many records of a dropped bucket are looked at together.
const PAGE: usize = 1000;
/// The tables that have records of a bucket's keys.
const OF_BUCKETS: [Table; 6] = [
    Table::Objects,
    Table::Uploads,
    Table::Parts,
    Table::Garbage,
    Table::Events,
    Table::Replication,
];

impl Store {
    /// Drops all buckets, and what accounts have set. None of them, nor anything in them, is seen from then on; a bucket made
    /// later, by whatever name, is another.
    ///
    /// # Errors
    /// The storage is unavailable: some buckets may be gone.
    pub async fn reset(&self) -> S3Result<()> {
        let _alone = self.buckets.changing.lock().await;
        loop {
            let page = self.list_buckets("", None, PAGE, |_| true).await?;
            if page.is_empty() {
                break;
            }
            let dropping = stream::iter(page).map(|row| self.drop_bucket(row));
            dropping.buffer_unordered(BUCKETS_AT_A_TIME).try_collect::<()>().await?;
        }
        let settings = self.remove_records(Table::Settings, 0).await;
        settings.map_err(|error| fault::storage(&error))?;
        self.ring();
        Ok(())
    }

    /// Only while `changing` is held.
    async fn drop_bucket(&self, row: Bucket) -> S3Result<()> {
        let entry = self.load_bucket(&row.name).await?;
        // Writers that are inside finish first; the next ones find the bucket gone.
        let mut alive = match &entry {
            Some(entry) => Some(entry.gate().await),
            None => None,
        };
        let place = place_of(&row.name);
        let records = vec![
            (place.record(Table::Buckets, &[]), None),
            (place.record(Table::Garbage, &row.number.to_be_bytes()), Some(Record::default())),
        ];
        let mut update = self.cluster.update(place).await;
        let dropped = update.commit(Changes { records, blobs: Vec::new() }).await;
        dropped.map_err(|error| fault::storage(&error))?;
        if let Some(alive) = &mut alive {
            **alive = false;
        }
        self.buckets.remove(&row.name);
        Ok(())
    }

    /// Removes what a dropped bucket has left. `note` is the suffix of the record that says so, in
    /// the bucket's place: the bucket's number. Says whether it was such a record.
    pub(super) async fn sweep_bucket(&self, place: &Place, note: &[u8]) -> ClusterResult<bool> {
        let Ok(number) = <[u8; 8]>::try_from(note) else { return Ok(false) };
        let number = u64::from_be_bytes(number);
        for table in OF_BUCKETS {
            self.remove_records(table, number).await?;
        }
        self.remove_record(place.record(Table::Garbage, note)).await?;
        Ok(true)
    }

    async fn remove_records(&self, table: Table, bucket: u64) -> ClusterResult<()> {
        let all = range(table, bucket, &[]);
        loop {
            let found = self.cluster.scan(all.clone(), PAGE).await?;
            let last = found.len() < PAGE;
            let removing = stream::iter(found).map(|(key, _)| self.remove_record(key));
            removing.buffer_unordered(RECORDS_AT_A_TIME).try_collect::<()>().await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn remove_record(&self, key: Bytes) -> ClusterResult<()> {
        let Some((_, place, _)) = Place::of_record(&key) else { return Ok(()) };
        let mut update = self.cluster.update(place).await;
        update.commit(Changes { records: vec![(key, None)], blobs: Vec::new() }).await
    }
}
