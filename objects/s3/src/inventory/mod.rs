//! Inventories: lists of what is in a bucket, written to another one daily or weekly.
//!
//! ```text
//! PREFIX/BUCKET/ID/data/UUID.csv.gz                       the list, perhaps in several files
//! PREFIX/BUCKET/ID/YYYY-MM-DDTHH-MMZ/manifest.json        which files
//! PREFIX/BUCKET/ID/YYYY-MM-DDTHH-MMZ/manifest.checksum    the manifest's MD5, and the last to be written
//! PREFIX/BUCKET/ID/hive/dt=YYYY-MM-DD-HH-MM/symlink.txt   which files, for Hive
//! ```
//! The first one is written soon after it was configured, the next after the next midnight, or the next
//! Sunday's. The destination's policy has to let `s3.amazonaws.com` put objects, as on AWS. A list that
//! could not be written is begun anew.

mod files;
mod row;

pub(crate) use row::is_field;

use crate::{
    Gateway,
    access::service_may_put,
    configuration::listed,
    fault,
    store::{
        Bucket, BucketEntry, Store,
        ingest::Expected,
        objects::{New, check_key, place_of},
        outbox::Named,
        rules::Conditions,
        version::{Attributes, Header, Lock},
    },
};
use bytes::Bytes;
use files::{Lines, ROWS_OF_A_FILE};
use futures::Stream;
use row::Columns;
use s3s::{S3Result, StdError, dto};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How often it is looked what is due.
const LOOKS_A_DAY: i64 = 24;
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// Days from a Sunday to 1 January 1970, a Thursday.
const DAYS_SINCE_SUNDAY: i64 = 4;

/// Where a list goes.
struct Target<'a> {
    source: &'a Bucket,
    entry: Arc<BucketEntry>,
    /// `PREFIX/BUCKET/ID/`
    folder: String,
}

/// An object that was written.
struct Put {
    key: String,
    size_bytes: u64,
    /// In hexadecimal digits.
    md5: String,
}

impl Gateway {
    /// Writes inventories when they are due, until it is dropped.
    pub(crate) async fn write_inventories_for_ever(&self) {
        let wait_ms = u64::try_from(self.calendar.day_ms / LOOKS_A_DAY).unwrap_or_default();
        let wait = Duration::from_millis(wait_ms).max(SHORTEST_WAIT);
        loop {
            match self.write_inventories().await {
                Ok(written) if written > 0 => log::info!("{written} inventories were written"),
                Ok(_) => {}
                Err(error) => log::warn!("writing inventories: {error:?}"),
            }
            let _ = tokio::time::timeout(wait, self.inventories.bell.notified()).await;
        }
    }

    /// Writes all inventories that are due by the clock, and says how many.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn write_inventories(&self) -> S3Result<u64> {
        let _alone = self.inventories.alone.lock().await;
        let (mut after, mut written) = (None::<String>, 0);
        loop {
            let wanted = |row: &Bucket| !row.configuration.inventory.is_empty();
            let next = self.store.list_buckets("", after.as_deref(), 1, wanted).await?.pop();
            let Some(next) = next else { return Ok(written) };
            if let Ok(entry) = self.store.bucket(&next.name).await {
                written += self.write_of(&entry).await?;
            }
            after = Some(next.name);
        }
    }

    async fn write_of(&self, entry: &BucketEntry) -> S3Result<u64> {
        let row = entry.row();
        let mut written = 0;
        for (id, inventory) in &row.configuration.inventory {
            let now_ms = self.store.now_ms();
            let last_ms = row.configuration.inventory_written_ms.get(id).copied();
            if !inventory.is_enabled || !self.is_due(inventory, last_ms, now_ms) {
                continue;
            }
            match self.write_one(&row, inventory, now_ms).await {
                Ok(()) => {
                    written += 1;
                    let noted = self.configure(entry, |configuration| {
                        if configuration.inventory.contains_key(id) {
                            configuration.inventory_written_ms.insert(id.clone(), now_ms);
                        }
                    });
                    noted.await?;
                }
                Err(error) => log::warn!("the inventory {id} of {}: {error:?}", row.name),
            }
        }
        Ok(written)
    }

    fn is_due(&self, inventory: &dto::InventoryConfiguration, last: Option<u64>, now: u64) -> bool {
        let Some(last) = last else { return true };
        let weekly = inventory.schedule.frequency.as_str() == dto::InventoryFrequency::WEEKLY;
        let period = |ms: u64| {
            let day = i64::try_from(ms).unwrap_or(i64::MAX).div_euclid(self.calendar.day_ms);
            if weekly { (day + DAYS_SINCE_SUNDAY).div_euclid(7) } else { day }
        };
        period(now) > period(last)
    }

    async fn write_one(
        &self,
        source: &Bucket,
        inventory: &dto::InventoryConfiguration,
        now_ms: u64,
    ) -> S3Result<()> {
        let to = &inventory.destination.s3_bucket_destination;
        let name = listed::bucket_of(&to.bucket).ok_or_else(fault::malformed_xml)?;
        let entry = self.store.bucket(name).await?;
        let account = to.account_id.as_ref();
        if account.is_some_and(|account| *account != entry.row().owner.account) {
            return Err(fault::access_denied());
        }
        let prefix = to.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        let folder = format!("{prefix}{slash}{}/{}/", source.name, inventory.id);
        let target = Target { source, entry, folder };
        let columns = Columns::of(inventory);
        let mut files = Vec::new();
        let lines = Lines::new(self, source, inventory, columns.clone());
        loop {
            let key = format!("{}data/{}.csv.gz", target.folder, uuid());
            let stream = Box::pin(lines.clone().file(ROWS_OF_A_FILE));
            files.push(self.put(&target, key, "application/x-gzip", stream).await?);
            if lines.are_done() {
                break;
            }
        }
        self.write_manifest(&target, &columns, &files, now_ms).await
    }

    async fn write_manifest(
        &self,
        target: &Target<'_>,
        columns: &Columns,
        files: &[Put],
        now_ms: u64,
    ) -> S3Result<()> {
        let (minute, hive) = stamps(now_ms);
        let destination = &target.entry.row().name;
        let links: String =
            files.iter().map(|file| format!("s3://{destination}/{}\n", file.key)).collect();
        let key = format!("{}hive/dt={hive}/symlink.txt", target.folder);
        self.put_text(target, key, "text/plain", links).await?;
        let files: Vec<_> = files
            .iter()
            .map(|file| json!({"key": file.key, "size": file.size_bytes, "MD5checksum": file.md5}))
            .collect();
        let manifest = json!({
            "sourceBucket": target.source.name,
            "destinationBucket": format!("arn:aws:s3:::{destination}"),
            "version": "2016-11-30",
            "creationTimestamp": now_ms.to_string(),
            "fileFormat": "CSV",
            "fileSchema": columns.schema(),
            "files": files,
        });
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        let key = format!("{}{minute}/manifest.json", target.folder);
        let put = self.put_text(target, key, "application/json", text).await?;
        let key = format!("{}{minute}/manifest.checksum", target.folder);
        self.put_text(target, key, "application/octet-stream", put.md5).await.map(drop)
    }

    async fn put_text(
        &self,
        target: &Target<'_>,
        key: String,
        kind: &str,
        text: String,
    ) -> S3Result<Put> {
        let stream = futures::stream::iter([Ok::<_, StdError>(Bytes::from(text))]);
        self.put(target, key, kind, stream).await
    }

    async fn put<S>(&self, target: &Target<'_>, key: String, kind: &str, body: S) -> S3Result<Put>
    where
        S: Stream<Item = Result<Bytes, StdError>> + Unpin + Send,
    {
        check_key(&key)?;
        let row = target.entry.row();
        if !service_may_put(self, &row, &key, target.source) {
            return Err(fault::access_denied());
        }
        let store: &Store = &self.store;
        let wrapping = store.wrapping_key();
        let place = place_of(&row, &key);
        let taken = store.take_in(&place, body, &Expected::default(), &wrapping).await?;
        let (size_bytes, md5) = (taken.size, hex::encode(taken.md5));
        let attributes = Attributes {
            headers: vec![(Header::ContentType, kind.to_owned())],
            ..Attributes::default()
        };
        let new = New::of(taken, attributes, Lock::default(), None);
        let named = Named::told(&key, "ObjectCreated:Put", None);
        store.put_object(&target.entry, named, new, &Conditions::default()).await?;
        Ok(Put { key, size_bytes, md5 })
    }
}

/// What keeps inventories from being written twice, and tells when there is one more.
#[derive(Debug, Default)]
pub(crate) struct Inventories {
    alone: tokio::sync::Mutex<()>,
    pub(crate) bell: tokio::sync::Notify,
}

/// `YYYY-MM-DDTHH-MMZ`, and as Hive has it.
fn stamps(now_ms: u64) -> (String, String) {
    let date = types::Timestamp::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX)).to_date();
    let ((year, month, day), (hour, minute, _)) = (date.to_calendar_date(), date.to_hms());
    let month = u8::from(month);
    (
        format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}Z"),
        format!("{year:04}-{month:02}-{day:02}-{hour:02}-{minute:02}"),
    )
}

fn uuid() -> String {
    let hex = hex::encode(rand::random::<[u8; 16]>());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
