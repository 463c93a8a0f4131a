//! Replication: what waits to be copied to other buckets is copied in the background.
//!
//! ```text
//! commit of a version ── with ──▶ task ──▶ the role may? ──▶ copy taken in ──▶ status at the source, task removed
//!                                  ▲                              │ not now
//!                                  └───────── put off ◀───────────┘
//! ```
//! [`crate::store::replication`] has the tasks and takes the copies in. A fault that may pass is tried again for
//! a day; one that the owner has to mend, such as a permission that is missing, makes the version `FAILED`
//! at once, as on AWS.

mod copy;

use crate::{
    Gateway, fault,
    store::{
        replication::{LONGEST_PAUSE, Task, all_tasks, subject},
        version::VersionKey,
    },
};
use bytes::Bytes;
use cluster::{Place, Table};
use s3s::{S3Error, S3ErrorCode, S3Result};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;

/// How many versions are copied at a time: each takes some chunks of memory.
const AT_A_TIME: usize = 8;
/// How many tasks are read at a time.
const PAGE: usize = 100;
/// So many tasks that wait for their time make for a pause before they are looked through again.
const MANY_WAITING: u64 = 1000;
const PAUSE: Duration = Duration::from_secs(1);

/// The tasks that are worked at.
#[derive(Debug, Default)]
struct Workers {
    set: JoinSet<()>,
    keys: Arc<Mutex<HashSet<Bytes>>>,
}

impl Workers {
    fn has(&self, key: &Bytes) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Begins a task, once there is room for it.
    async fn begin(&mut self, gateway: &Gateway, key: Bytes, task: Task) {
        while self.set.len() >= AT_A_TIME {
            self.set.join_next().await;
        }
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        let (gateway, keys) = (gateway.clone(), self.keys.clone());
        self.set.spawn(async move {
            if let Err(error) = gateway.work_at(&key, task).await {
                log::warn!("replicating an object: {error:?}");
                // Its record is as it was: it is due at once, but not in a circle.
                tokio::time::sleep(PAUSE).await;
            }
            keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            gateway.store.copying.0.notify_one();
        });
    }
}

/// What a look through all tasks found.
#[derive(Debug, Default)]
struct Look {
    waiting: u64,
    next_ms: Option<u64>,
}

impl Gateway {
    /// Copies what is to be copied, until it is dropped.
    pub(crate) async fn replicate_for_ever(&self) {
        let mut workers = Workers::default();
        loop {
            let pause = match self.look_for_tasks(&mut workers).await {
                Ok(look) => {
                    if look.waiting > MANY_WAITING {
                        tokio::time::sleep(PAUSE).await;
                    }
                    look.next_ms.map_or(LONGEST_PAUSE, Duration::from_millis)
                }
                Err(error) => {
                    log::warn!("looking for objects to replicate: {error:?}");
                    PAUSE
                }
            };
            let _ = tokio::time::timeout(pause, self.store.copying.0.notified()).await;
            while workers.set.try_join_next().is_some() {}
        }
    }

    /// Begins all tasks that are due.
    async fn look_for_tasks(&self, workers: &mut Workers) -> S3Result<Look> {
        let mut look = Look::default();
        let mut part = all_tasks();
        loop {
            let found = self.store.cluster().scan(part.clone(), PAGE).await;
            let found = found.map_err(|e| fault::storage(&e))?;
            let Some((last, _)) = found.last() else { return Ok(look) };
            part.start = [last, &[0][..]].concat().into();
            let ended = found.len() < PAGE;
            for (key, record) in found {
                if workers.has(&key) {
                    continue;
                }
                let Ok(task) = Task::of_record(&record) else {
                    log::warn!("a task of replication that can't be read is dropped");
                    self.end(&key, None).await?;
                    continue;
                };
                let now_ms = self.store.now_ms();
                if task.due_ms > now_ms {
                    let in_ms = task.due_ms - now_ms;
                    look.waiting += 1;
                    look.next_ms = Some(look.next_ms.map_or(in_ms, |next| next.min(in_ms)));
                    continue;
                }
                workers.begin(self, key, task).await;
            }
            if ended {
                return Ok(look);
            }
        }
    }

    async fn end(&self, key: &Bytes, task: Option<&Task>) -> S3Result<()> {
        let (place, version) = parts_of(key)?;
        self.store.end_copying(place, version, task).await
    }

    /// Works at a task once: ends it, or puts it off.
    async fn work_at(&self, record: &Bytes, mut task: Task) -> S3Result<()> {
        let (place, version) = parts_of(record)?;
        let Ok(entry) = self.store.bucket(&task.bucket).await else {
            return self.end(record, None).await;
        };
        let row = entry.row();
        let key = std::str::from_utf8(&place.key).map_err(|_| fault::internal())?;
        let found = match row.number == place.bucket {
            true => self.store.find_version(&row, key, version).await?,
            false => None,
        };
        let Some(found) = found else { return self.end(record, None).await };
        let Some(configuration) = &row.configuration.replication else {
            // Nobody wants it to be copied any more.
            task.failed = true;
            return self.end(record, Some(&task)).await;
        };
        let (mut left, mut passing) = (Vec::new(), false);
        for bucket in std::mem::take(&mut task.to) {
            let source = copy::Source { entry: &entry, row: &row, key, found: &found };
            let subject = subject(key, &found.version);
            let rule = crate::configuration::replication::rule_to(configuration, &bucket, &subject);
            let done = match rule {
                Some(rule) => self.copy_to(source, &configuration.role, rule, &bucket).await,
                None => Err(S3ErrorCode::ReplicationConfigurationNotFoundError.into()),
            };
            match done {
                Ok(()) => {}
                Err(error) if may_pass(&error) => {
                    log::info!("replicating from {} to {bucket}: {error:?}", row.name);
                    passing = true;
                    left.push(bucket);
                }
                Err(error) => {
                    log::info!("replicating from {} to {bucket}: {error:?}", row.name);
                    task.failed = true;
                }
            }
        }
        task.to = left;
        if passing && task.again(self.store.now_ms()) {
            return self.store.put_off(place, version, &task).await;
        }
        task.failed |= passing;
        self.end(record, Some(&task)).await
    }
}

/// Whether a fault is the store's, and not the configuration's.
fn may_pass(error: &S3Error) -> bool {
    let status = error.status_code().or_else(|| error.code().status_code());
    status.is_none_or(|status| status.is_server_error())
        && *error.code() != S3ErrorCode::NotImplemented
}

/// The place and version of a task.
fn parts_of(record: &[u8]) -> S3Result<(Place, VersionKey)> {
    match Place::of_record(record) {
        Some((Table::Replication, place, suffix)) => {
            Ok((place, VersionKey::of_suffix(suffix).ok_or_else(fault::internal)?))
        }
        Some(_) | None => Err(fault::internal()),
    }
}
