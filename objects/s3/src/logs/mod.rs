//! Server access logs: a line for each request to a bucket that has logging, written to its target
//! bucket in batches. As on AWS, delivery is by best effort: lines that wait when the process is
//! killed are lost.

mod line;

pub(crate) use line::{Line, operation};

use crate::{
    access::acl::{Acl, Grant, Owner},
    configuration::logging::{KeyFormat, Logging},
    fault,
    store::{
        Bucket, Store,
        ingest::Expected,
        objects::{New, place_of},
        rules::Conditions,
        version::{Attributes, Header, Lock},
    },
};
use bytes::Bytes;
use s3s::S3Result;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// How long lines wait.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// How many lines of a bucket are written at once; that many don't wait.
const LINES_AT_ONCE: usize = 5000;
/// How many lines wait at most, of all buckets together.
const MAX_LINES: usize = 100_000;

/// Lines that wait.
#[derive(Debug)]
pub(crate) struct Logs {
    store: Arc<Store>,
    waiting: Mutex<Waiting>,
    full: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By the logged bucket's name.
    buckets: BTreeMap<String, Batch>,
    lines: usize,
    lost: u64,
}

#[derive(Debug)]
struct Batch {
    source: Arc<Bucket>,
    logging: Logging,
    first_ms: i64,
    text: String,
    lines: usize,
}

impl Logs {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, waiting: Mutex::default(), full: Notify::new() }
    }

    /// Takes a line in.
    pub(crate) fn take(&self, source: &Arc<Bucket>, logging: &Logging, line: &Line) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines >= MAX_LINES {
            waiting.lost += 1;
            return;
        }
        waiting.lines += 1;
        let batch = waiting.buckets.entry(source.name.clone()).or_insert_with(|| Batch {
            source: source.clone(),
            logging: logging.clone(),
            first_ms: line.at_ms,
            text: String::new(),
            lines: 0,
        });
        batch.text.push_str(&line.to_text());
        batch.lines += 1;
        if batch.lines >= LINES_AT_ONCE {
            self.full.notify_one();
        }
    }

    /// Writes lines until it is dropped.
    pub(crate) async fn write_for_ever(&self) {
        loop {
            let _ = tokio::time::timeout(WRITE_EVERY, self.full.notified()).await;
            self.write().await;
        }
    }

    /// Writes all lines that wait.
    pub(crate) async fn write(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.lost > 0 {
            log::warn!("{} lines of access logs were lost: too many waited", waiting.lost);
        }
        for batch in waiting.buckets.into_values() {
            if let Err(error) = self.write_batch(&batch).await {
                let (name, target) = (&batch.source.name, &batch.logging.bucket);
                log::warn!("access logs of {name} can't be written to {target}: {error:?}");
            }
        }
    }

    async fn write_batch(&self, batch: &Batch) -> S3Result<()> {
        let entry = self.store.bucket(&batch.logging.bucket).await?;
        let target = entry.row();
        if target.owner.account != batch.source.owner.account {
            return Err(fault::access_denied());
        }
        let now_ms = i64::try_from(self.store.now_ms()).unwrap_or(i64::MAX);
        let unique = hex::encode_upper(rand::random::<[u8; 8]>());
        let key = key_of(&batch.logging, &batch.source, batch.first_ms, now_ms, &unique);
        let body = Bytes::from(batch.text.clone());
        let expected = Expected { length: Some(body.len() as u64), ..Expected::default() };
        let stream = futures::stream::iter([Ok::<_, s3s::StdError>(body)]);
        let wrapping = self.store.wrapping_key();
        let place = place_of(&target, &key);
        let taken = self.store.take_in(&place, stream, &expected, &wrapping).await?;
        let attributes = Attributes {
            headers: vec![(Header::ContentType, "text/plain".to_owned())],
            acl: acl_of(&batch.logging, &target)?,
            ..Attributes::default()
        };
        let new = New::of(taken, attributes, Lock::default(), None);
        self.store.put_object(&entry, &key, new, &Conditions::default()).await.map(drop)
    }
}

fn acl_of(logging: &Logging, target: &Bucket) -> S3Result<Option<String>> {
    if logging.grants.is_empty() {
        return Ok(None);
    }
    let mut acl = Acl::private(Owner::of(&target.owner));
    for (grantee, permission) in &logging.grants {
        acl.grants.push(Grant { grantee: grantee.clone(), permission: permission.parse()? });
    }
    acl.to_text().map(Some)
}

fn key_of(logging: &Logging, source: &Bucket, first_ms: i64, now_ms: i64, unique: &str) -> String {
    let day = |ms: i64| types::Timestamp::from_millis(ms).to_date();
    let mut key = logging.prefix.clone();
    let at = match logging.format {
        KeyFormat::Unnamed | KeyFormat::Simple => day(now_ms),
        KeyFormat::PartitionedByEvent => day(first_ms).replace_time(time::Time::MIDNIGHT),
        KeyFormat::PartitionedByDelivery => day(now_ms),
    };
    let (year, month, date) = at.to_calendar_date();
    let month = u8::from(month);
    let (hour, minute, second) = at.to_hms();
    match logging.format {
        KeyFormat::Unnamed | KeyFormat::Simple => {}
        KeyFormat::PartitionedByEvent | KeyFormat::PartitionedByDelivery => {
            let (account, region, name) = (&source.owner.account, &source.region, &source.name);
            let _ = write!(key, "{account}/{region}/{name}/{year:04}/{month:02}/{date:02}/");
        }
    }
    let _ =
        write!(key, "{year:04}-{month:02}-{date:02}-{hour:02}-{minute:02}-{second:02}-{unique}");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn keys() {
        let owner = store::Owner { account: "123456789012".to_owned(), ..Default::default() };
        let source = Bucket::new("b", "eu-west-1", owner, 0);
        let (first, now) = (1_549_411_238_000, 1_549_497_638_000);
        let table = [
            (KeyFormat::Unnamed, "p/2019-02-07-00-00-38-U"),
            (KeyFormat::Simple, "p/2019-02-07-00-00-38-U"),
            (
                KeyFormat::PartitionedByEvent,
                "p/123456789012/eu-west-1/b/2019/02/06/2019-02-06-00-00-00-U",
            ),
            (
                KeyFormat::PartitionedByDelivery,
                "p/123456789012/eu-west-1/b/2019/02/07/2019-02-07-00-00-38-U",
            ),
        ];
        for (format, key) in table {
            let logging = Logging { prefix: "p/".to_owned(), format, ..Logging::default() };
            assert_eq!(key_of(&logging, &source, first, now, "U"), key);
        }
    }
}
