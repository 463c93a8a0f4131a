//! The task that applies the rules: it walks over each bucket that has some, a page at a time,
//! remembers where it is, and goes on from there after a restart.

use super::{
    rules::{self, Fate, State, Version as Seen},
    seen,
};
use crate::{
    Gateway,
    configuration::Lifecycle,
    fault,
    store::{
        Bucket, BucketEntry, Versioning,
        listing::{After, Line, Listed, Query},
        outbox::Named,
        rules::{Conditions, Match},
        version::Replication,
    },
};
use cluster::{Changes, Place, Record, Table};
use s3s::{S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How removals are told; those that leave a delete marker say so.
const EXPIRATION: &str = "LifecycleExpiration:Delete";
/// How many versions are looked at a time.
const PAGE: usize = 1000;
/// The pause after each page, so that requests come first.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the rules are applied: so often a day.
const PASSES_A_DAY: i64 = 24;
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Current versions that expired.
    pub expired: u64,
    /// Noncurrent versions and delete markers that were removed.
    pub removed: u64,
    /// Versions that changed their storage class.
    pub moved: u64,
    /// Uploads that were aborted.
    pub aborted: u64,
}

/// How far a pass has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// This bucket is being walked over; those before it are done.
    bucket: String,
    /// All keys up to this one are done.
    after_key: Option<String>,
}

fn place() -> Place {
    Place::new(0, &b"lifecycle"[..])
}

/// What is known of a key while its versions go by, the newest first.
#[derive(Default)]
struct OfKey {
    key: String,
    /// When the version before this one, which is newer, was made.
    newer_ms: Option<u64>,
    noncurrent: usize,
    /// A delete marker on top, that may be alone.
    marker: Option<Listed>,
}

impl Gateway {
    /// Applies rules from time to time, until it is dropped.
    pub(crate) async fn apply_lifecycle_for_ever(&self) {
        let wait_ms = u64::try_from(self.calendar.day_ms / PASSES_A_DAY).unwrap_or_default();
        let wait = Duration::from_millis(wait_ms).max(SHORTEST_WAIT);
        loop {
            match self.apply_lifecycle().await {
                Ok(report) if report != Report::default() => log::info!("lifecycle: {report:?}"),
                Ok(_) => {}
                Err(error) => log::warn!("applying lifecycle rules: {error:?}"),
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Applies all rules of all buckets once: what is due by the clock is done when this returns.
    /// A pass that was interrupted is taken up where it was.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn apply_lifecycle(&self) -> S3Result<Report> {
        let _alone = self.lifecycle.lock().await;
        let mut report = Report::default();
        let mut progress = self.progress().await?;
        if progress != Progress::default() {
            self.walk(&mut progress, &mut report).await?;
        }
        let mut progress = Progress::default();
        self.walk(&mut progress, &mut report).await?;
        Ok(report)
    }

    async fn walk(&self, progress: &mut Progress, report: &mut Report) -> S3Result<()> {
        if !progress.bucket.is_empty() {
            self.apply_to(progress, report).await?;
        }
        loop {
            let after = Some(progress.bucket.as_str()).filter(|name| !name.is_empty());
            let wanted = |row: &Bucket| row.configuration.lifecycle.is_some();
            let Some(next) = self.store.list_buckets("", after, 1, wanted).await?.pop() else {
                return self.keep(None).await;
            };
            *progress = Progress { bucket: next.name, after_key: None };
            self.apply_to(progress, report).await?;
        }
    }

    async fn apply_to(&self, progress: &mut Progress, report: &mut Report) -> S3Result<()> {
        let Ok(entry) = self.store.bucket(&progress.bucket).await else { return Ok(()) };
        let row = entry.row();
        let Some(lifecycle) = &row.configuration.lifecycle else { return Ok(()) };
        for prefix in rules::prefixes(lifecycle) {
            let after = match progress.after_key.as_deref() {
                Some(done) if done.starts_with(prefix) => After::Key(done.to_owned()),
                // Done before a restart.
                Some(done) if done > prefix => continue,
                Some(_) | None => After::Start,
            };
            self.apply_within(progress, (&entry, &row, lifecycle), (prefix, after), report).await?;
        }
        self.abort_uploads(&entry, &row, lifecycle, report).await
    }

    /// Applies rules to all keys that begin so, from a place on.
    async fn apply_within(
        &self,
        progress: &mut Progress,
        (entry, row, lifecycle): (&BucketEntry, &Bucket, &Lifecycle),
        (prefix, mut after): (&str, After),
        report: &mut Report,
    ) -> S3Result<()> {
        let mut of_key = OfKey::default();
        loop {
            let (prefix, after_now) = (prefix.to_owned(), after.clone());
            let query = Query { prefix, after: after_now, limit: PAGE, ..Query::default() };
            let page = self.store.list_versions(row, &query).await?;
            for line in page.lines {
                let Line::Item(listed) = line else { continue };
                if listed.key != of_key.key {
                    self.close(entry, row, lifecycle, &mut of_key, report).await?;
                    if !of_key.key.is_empty() {
                        progress.after_key = Some(of_key.key);
                    }
                    of_key = OfKey { key: listed.key.clone(), ..OfKey::default() };
                }
                self.look(entry, row, lifecycle, &mut of_key, &listed, report).await?;
                after = After::Record(listed.key, listed.version_key.0.to_vec());
            }
            if !page.truncated {
                break;
            }
            // The key at hand may go on: after a restart it is looked at from its start.
            self.keep(Some(progress)).await?;
            tokio::time::sleep(PAUSE).await;
        }
        self.close(entry, row, lifecycle, &mut of_key, report).await
    }

    /// Looks at one version.
    async fn look(
        &self,
        entry: &BucketEntry,
        row: &Bucket,
        lifecycle: &Lifecycle,
        of_key: &mut OfKey,
        listed: &Listed,
        report: &mut Report,
    ) -> S3Result<()> {
        // Something is under the marker: it isn't alone.
        of_key.marker = None;
        let newer_ms = of_key.newer_ms.replace(listed.version.modified_ms);
        let state = match newer_ms {
            None => State::Current,
            Some(since_ms) => {
                let newer = of_key.noncurrent;
                of_key.noncurrent += 1;
                State::Noncurrent { since_ms: i64::try_from(since_ms).unwrap_or(i64::MAX), newer }
            }
        };
        let Some(object) = &listed.version.object else {
            if newer_ms.is_none() {
                of_key.marker = Some(listed.clone());
            } else {
                let version = marker(listed, state);
                self.carry_out(entry, row, lifecycle, listed, &version, report).await?;
            }
            return Ok(());
        };
        let tags = object.attributes.tags.iter().cloned().collect();
        let version =
            Seen { state, ..seen(&listed.key, listed.version.modified_ms, object, &tags) };
        self.carry_out(entry, row, lifecycle, listed, &version, report).await
    }

    /// All versions of a key have gone by.
    async fn close(
        &self,
        entry: &BucketEntry,
        row: &Bucket,
        lifecycle: &Lifecycle,
        of_key: &mut OfKey,
        report: &mut Report,
    ) -> S3Result<()> {
        let Some(listed) = of_key.marker.take() else { return Ok(()) };
        let version = marker(&listed, State::Marker { alone: true });
        self.carry_out(entry, row, lifecycle, &listed, &version, report).await
    }

    async fn carry_out(
        &self,
        entry: &BucketEntry,
        row: &Bucket,
        lifecycle: &Lifecycle,
        listed: &Listed,
        version: &Seen<'_>,
        report: &mut Report,
    ) -> S3Result<()> {
        // What isn't copied yet stays, as on AWS.
        if matches!(listed.version.replication, Some(Replication::Pending | Replication::Failed)) {
            return Ok(());
        }
        let now_ms = i64::try_from(self.store.now_ms()).unwrap_or(i64::MAX);
        let id = listed.version.id(listed.version_key);
        let done = match rules::fate(lifecycle, version, now_ms, self.calendar) {
            Fate::Keep => return Ok(()),
            Fate::Expire => self.expire(entry, row, listed, &id, report).await,
            Fate::Remove => {
                let unconditional = Conditions::default();
                let named = Named::told(&listed.key, EXPIRATION, None);
                let gone = self.store.delete_version(entry, named, &id, &unconditional, false);
                gone.await.map(|_| report.removed += 1)
            }
            Fate::Transition(class) => {
                let class = class.to_owned();
                let change = |version: &mut crate::store::version::Version| {
                    if let Some(object) = &mut version.object {
                        object.attributes.storage_class = Some(class);
                    }
                    Ok(())
                };
                let named = Named::told(&listed.key, "LifecycleTransition", None);
                let moved = self.store.update_version(entry, named, Some(&id), change).await;
                moved.map(|_| report.moved += 1)
            }
        };
        match done {
            // Locked, or gone or changed meanwhile.
            Err(error) if is_passing(error.code()) => Ok(()),
            done => done,
        }
    }

    /// Lets the current version expire, if it still is the current one.
    async fn expire(
        &self,
        entry: &BucketEntry,
        row: &Bucket,
        listed: &Listed,
        id: &str,
        report: &mut Report,
    ) -> S3Result<()> {
        let current = self.store.find(row, &listed.key, None).await?;
        if current.is_none_or(|current| current.key != listed.version_key) {
            return Ok(());
        }
        let conditions = Conditions::default();
        let named = Named::told(&listed.key, EXPIRATION, None);
        match row.versioning {
            // By name, so that an object written meanwhile stays.
            Versioning::Off => {
                self.store.delete_version(entry, named, id, &conditions, false).await?
            }
            Versioning::Enabled | Versioning::Suspended => {
                let etag = listed.version.object.as_ref().map(|object| object.etag.to_string());
                let conditions = Conditions { if_match: etag.map(Match::Etag), ..conditions };
                self.store.delete_object(entry, named, None, &conditions).await?
            }
        };
        report.expired += 1;
        Ok(())
    }

    async fn abort_uploads(
        &self,
        entry: &BucketEntry,
        row: &Bucket,
        lifecycle: &Lifecycle,
        report: &mut Report,
    ) -> S3Result<()> {
        let aborts =
            |rule: &s3s::dto::LifecycleRule| rule.abort_incomplete_multipart_upload.is_some();
        if !lifecycle.rules.iter().any(aborts) {
            return Ok(());
        }
        let now_ms = i64::try_from(self.store.now_ms()).unwrap_or(i64::MAX);
        let mut after = After::Start;
        loop {
            let query = Query { after, limit: PAGE, ..Query::default() };
            let page = self.store.list_uploads(row, &query).await?;
            after = After::Start;
            for line in page.lines {
                let Line::Item((key, id, upload)) = line else { continue };
                let begun_ms = i64::try_from(upload.initiated_ms).unwrap_or(i64::MAX);
                let due = rules::abort(lifecycle, &key, begun_ms, self.calendar);
                if due.is_some_and(|(due, _)| due <= now_ms) {
                    match self.store.abort_upload(entry, &key, id).await {
                        Ok(()) => report.aborted += 1,
                        // Completed or aborted meanwhile.
                        Err(error) if is_passing(error.code()) => {}
                        Err(error) => return Err(error),
                    }
                }
                after = After::Record(key, id.0.to_vec());
            }
            if !page.truncated || after == After::Start {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn progress(&self) -> S3Result<Progress> {
        let key = place().record(Table::Settings, &[]);
        let found = self.store.cluster().get(&key).await.map_err(|e| fault::storage(&e))?;
        // Without it, the pass begins anew.
        Ok(found.and_then(|record| serde_json::from_slice(&record.value).ok()).unwrap_or_default())
    }

    async fn keep(&self, progress: Option<&Progress>) -> S3Result<()> {
        let place = place();
        let key = place.record(Table::Settings, &[]);
        let record = match progress {
            Some(progress) => {
                let value = serde_json::to_vec(progress).map_err(s3s::S3Error::internal_error)?;
                Some(Record { blobs: Vec::new(), value: value.into() })
            }
            None => None,
        };
        let mut update = self.store.cluster().update(place).await;
        let changes = Changes { records: vec![(key, record)], blobs: Vec::new() };
        update.commit(changes).await.map_err(|e| fault::storage(&e))
    }
}

fn is_passing(code: &S3ErrorCode) -> bool {
    matches!(
        code,
        S3ErrorCode::AccessDenied
            | S3ErrorCode::NoSuchKey
            | S3ErrorCode::NoSuchVersion
            | S3ErrorCode::NoSuchUpload
            | S3ErrorCode::NoSuchBucket
            | S3ErrorCode::MethodNotAllowed
            | S3ErrorCode::PreconditionFailed
    )
}

static NO_TAGS: BTreeMap<String, String> = BTreeMap::new();

fn marker(listed: &Listed, state: State) -> Seen<'_> {
    Seen {
        key: &listed.key,
        size_bytes: 0,
        tags: &NO_TAGS,
        storage_class: "STANDARD",
        created_ms: i64::try_from(listed.version.modified_ms).unwrap_or(i64::MAX),
        state,
    }
}
