//! What waits to be copied to other buckets, and how a copy is taken in.
//!
//! A record of `Table::Replication`, in the place of the version and under its key, is written in the
//! commit that makes or changes the version: what is acknowledged will be copied. It is removed in the commit
//! that says what became of it. See [`crate::replication`] for who does the work.
//!
//! A copy has its source's version key, so that versions of both buckets are in the same order, whichever
//! came first; and its bytes as they are stored: encrypted, with the seal that opens them, so that
//! neither ETag nor checksums change and nothing need be decrypted.

use super::{
    Bucket, BucketEntry, Store, Versioning,
    crypt::{Seal, Wrapping, WrappingKey},
    multipart::Part,
    objects::{Found, Written, place_of},
    outbox::Named,
    read::Pinned,
    version::{Content, Lock, Object, Replication, Run, Version, VersionKey},
};
use crate::{
    configuration::replication::{Subject, targets},
    fault,
    keys::PlainKey,
};
use bytes::Bytes;
use cluster::{BlobId, Body, Changes, Place, Record, Table};
use s3s::{S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// The longest pause between two attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The pause after the first one.
const FIRST_PAUSE_MS: u64 = 500;
/// How long it is tried to copy a version.
const KEPT_MS: u64 = 24 * 3_600_000;
/// How much is copied at a time, in bytes.
const CHUNK_BYTES: u64 = 256 << 10;

/// Rung when there is something to copy.
#[derive(Debug, Default)]
pub(crate) struct Copying(pub(crate) Notify);

/// A version that waits to be copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Another one each time that there is something new to copy.
    number: u64,
    pub(crate) bucket: String,
    /// Buckets that don't have it yet.
    pub(crate) to: Vec<String>,
    /// Whether some bucket will never have it.
    pub(crate) failed: bool,
    since_ms: u64,
    pub(crate) due_ms: u64,
    attempts: u32,
}

impl Task {
    fn new(bucket: &str, to: Vec<String>, now_ms: u64) -> Self {
        Self {
            number: rand::random(),
            bucket: bucket.to_owned(),
            to,
            failed: false,
            since_ms: now_ms,
            due_ms: now_ms,
            attempts: 0,
        }
    }

    /// Puts it off after an attempt that failed; false if it is too old to be tried again.
    pub(crate) fn again(&mut self, now_ms: u64) -> bool {
        let longest = u64::try_from(LONGEST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        self.due_ms = now_ms + (FIRST_PAUSE_MS << self.attempts.min(10)).min(longest);
        self.attempts += 1;
        now_ms.saturating_sub(self.since_ms) <= KEPT_MS
    }

    /// # Errors
    /// These aren't a task's bytes.
    pub(crate) fn of_record(record: &Record) -> S3Result<Self> {
        serde_json::from_slice(&record.value).map_err(s3s::S3Error::internal_error)
    }

    fn to_record(&self) -> S3Result<Record> {
        let value = serde_json::to_vec(self).map_err(s3s::S3Error::internal_error)?;
        Ok(Record { blobs: Vec::new(), value: value.into() })
    }
}

/// What of a version goes to its copies when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    tags: Vec<(String, String)>,
    acl: Option<String>,
    lock: Lock,
}

impl Shared {
    fn of(object: &Object) -> Self {
        let attributes = &object.attributes;
        Self { tags: attributes.tags.clone(), acl: attributes.acl.clone(), lock: object.lock }
    }
}

/// Whom rules are asked about.
pub(crate) fn subject<'a>(key: &'a str, version: &'a Version) -> Subject<'a> {
    let object = version.object.as_ref();
    Subject {
        key,
        tags: object.map(|object| object.attributes.tags.as_slice()),
        by_kms: object.is_some_and(|object| matches!(object.seal.wrapping, Wrapping::Kms(_))),
        replica: version.replication == Some(Replication::Replica),
    }
}

/// S3 doesn't copy what is archived.
fn is_archived(version: &Version) -> bool {
    let class = version.object.as_ref().and_then(|one| one.attributes.storage_class.as_deref());
    matches!(class, Some("GLACIER" | "DEEP_ARCHIVE"))
}

impl Store {
    /// Marks a version that was just made as one to copy, and adds the task to its commit. Costs nothing
    /// in buckets without rules.
    pub(super) fn plan_copies(
        &self,
        (place, bucket): (&Place, &Bucket),
        (key, version_key): (&str, VersionKey),
        version: &mut Version,
        changes: &mut Changes,
    ) -> S3Result<()> {
        let Some(configuration) = &bucket.configuration.replication else { return Ok(()) };
        if bucket.versioning != Versioning::Enabled || is_archived(version) {
            return Ok(());
        }
        let to = targets(configuration, &subject(key, version));
        let to: Vec<String> = to.into_iter().map(str::to_owned).collect();
        if to.is_empty() {
            return Ok(());
        }
        version.replication = Some(Replication::Pending);
        let task = Task::new(&bucket.name, to, self.now_ms()).to_record()?;
        changes.records.push((place.record(Table::Replication, &version_key.0), Some(task)));
        Ok(())
    }

    /// What a version shares with its copies now; none if it has none.
    pub(super) fn shared(bucket: &Bucket, version: &Version) -> Option<Shared> {
        bucket.configuration.replication.as_ref()?;
        version.replication?;
        version.object.as_ref().map(Shared::of)
    }

    /// Adds a task to the commit that has changed a version which has copies. `before` is what it had
    /// shared with them.
    pub(super) fn plan_changed_copies(
        &self,
        (place, bucket): (&Place, &Bucket),
        (key, found): (&str, &mut Found),
        before: Option<Shared>,
        changes: &mut Changes,
    ) -> S3Result<()> {
        let (Some(before), Some(configuration)) = (before, &bucket.configuration.replication)
        else {
            return Ok(());
        };
        if found.version.object.as_ref().map(Shared::of).as_ref() == Some(&before) {
            return Ok(());
        }
        let asked = Subject { tags: Some(&before.tags), ..subject(key, &found.version) };
        let to = targets(configuration, &asked);
        let to: Vec<String> = to.into_iter().map(str::to_owned).collect();
        if to.is_empty() {
            return Ok(());
        }
        if found.version.replication != Some(Replication::Replica) {
            found.version.replication = Some(Replication::Pending);
        }
        let task = Task::new(&bucket.name, to, self.now_ms()).to_record()?;
        changes.records.push((place.record(Table::Replication, &found.key.0), Some(task)));
        Ok(())
    }

    /// Puts a task off.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn put_off(&self, place: Place, key: VersionKey, task: &Task) -> S3Result<()> {
        let mut update = self.cluster.update(place).await;
        let found = update.get(Table::Replication, &key.0).await.map_err(|e| fault::storage(&e))?;
        let same = |record: &Record| {
            Task::of_record(record).is_ok_and(|found| found.number == task.number)
        };
        if !found.as_ref().is_some_and(same) {
            return Ok(());
        }
        let record = update.place().record(Table::Replication, &key.0);
        let records = vec![(record, Some(task.to_record()?))];
        // Who rings would be heard by whoever put it off.
        update.commit(Changes { records, blobs: Vec::new() }).await.map_err(|e| fault::storage(&e))
    }

    /// Ends a task: removes it, and says what became of the version.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn end_copying(
        &self,
        place: Place,
        key: VersionKey,
        task: Option<&Task>,
    ) -> S3Result<()> {
        let entry = match task {
            Some(task) => self.bucket(&task.bucket).await.ok(),
            None => None,
        };
        let entry = entry.filter(|entry| entry.row().number == place.bucket);
        let mut update = self.cluster.update(place).await;
        let waiting = update.get(Table::Replication, &key.0).await;
        let Some(waiting) = waiting.map_err(|e| fault::storage(&e))? else { return Ok(()) };
        let record = update.place().record(Table::Replication, &key.0);
        let mut changes = Changes { records: vec![(record, None)], blobs: Vec::new() };
        update.although_full();
        if let (Some(task), Some(entry)) = (task, entry) {
            let newer = Task::of_record(&waiting).is_ok_and(|found| found.number != task.number);
            if newer {
                return Ok(());
            }
            let found = update.get(Table::Objects, &key.0).await.map_err(|e| fault::storage(&e))?;
            if let Some(found) = found {
                self.settle(update.place(), &entry.row(), (key, &found), task, &mut changes)?;
            }
        }
        update.commit(changes).await.map_err(|e| fault::storage(&e))?;
        self.ears.0.notify_one();
        Ok(())
    }

    /// Notes at the source what became of a task.
    fn settle(
        &self,
        place: &Place,
        bucket: &Bucket,
        (key, record): (VersionKey, &Record),
        task: &Task,
        changes: &mut Changes,
    ) -> S3Result<()> {
        let mut version = Version::decode(record)?;
        if version.replication == Some(Replication::Replica) {
            return Ok(());
        }
        let became = if task.failed { Replication::Failed } else { Replication::Completed };
        version.replication = Some(became);
        let encoded = version.encode(record.blobs.clone())?;
        changes.records.push((place.record(Table::Objects, &key.0), Some(encoded)));
        if !task.failed {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&place.key).into_owned();
        let version_id = Some(version.id(key));
        let written = Written { version_id, modified_ms: self.now_ms(), marker: false };
        let named = Named::told(&name, "Replication:OperationFailedReplication", None);
        self.tell(place, bucket, named, &written, version.object.as_ref(), changes)
    }

    /// Takes in a copy: its version as it is to be, and its body from where the source's is. What is there
    /// already is brought up to date instead. `keys` are those that wrap the body's key there and here, if
    /// it is to be wrapped anew.
    ///
    /// # Errors
    /// The bucket has no versioning; the body is gone, or the key is the wrong one; the storage is unavailable.
    pub(crate) async fn take_copy(
        self: &Arc<Self>,
        entry: &BucketEntry,
        named: Named<'_>,
        (source, found): (&Bucket, &Found),
        version: Version,
        keys: Option<&(PlainKey, WrappingKey)>,
    ) -> S3Result<()> {
        let (from, to) = (place_of(source, named.key), place_of(&entry.row(), named.key));
        if self.renew_copy(entry, named, found.key, &version).await? {
            return Ok(());
        }
        let mut copy = Copy { version, blobs: Vec::new(), body: Body::default(), upload: None };
        let content = copy.version.object.as_ref().map(|object| object.content.clone());
        match content {
            None => {}
            Some(Content::Blobs(lens)) => {
                let _pin = self.pin(&from, found.key, found.key.0).await?;
                copy.body = self.copy_blobs((&from, &found.blobs, &lens), &to).await?;
                copy.blobs = copy.body.blobs.iter().map(|blob| blob.id).collect();
                let lens = copy.body.blobs.iter().map(|blob| blob.len).collect();
                copy.change(|object| object.content = Content::Blobs(lens));
            }
            Some(Content::Upload { id, runs }) => {
                let _pin = self.pin(&from, found.key, id).await?;
                let upload = self.copy_parts(&from, &to, (&id, &runs), keys).await?;
                copy.change(|object| object.content = Content::Upload { id: upload.id, runs });
                copy.upload = Some(upload);
            }
        }
        if let (Some((key, wrapping)), Some(object)) = (keys, &mut copy.version.object) {
            object.seal = rewrapped(&object.seal, key, wrapping)?;
        }
        self.commit_copy(entry, named, found.key, copy).await
    }

    /// Brings a copy up to date that is there; false if there is none.
    async fn renew_copy(
        &self,
        entry: &BucketEntry,
        named: Named<'_>,
        key: VersionKey,
        version: &Version,
    ) -> S3Result<bool> {
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        let mut update = self.cluster.update(place_of(&bucket, named.key)).await;
        let there = update.get(Table::Objects, &key.0).await.map_err(|e| fault::storage(&e))?;
        let Some(there) = there else { return Ok(false) };
        let mut old = Version::decode(&there)?;
        let (Some(object), Some(new)) = (&mut old.object, &version.object) else { return Ok(true) };
        if object.etag != new.etag || Shared::of(object) == Shared::of(new) {
            return Ok(true);
        }
        object.attributes.tags.clone_from(&new.attributes.tags);
        object.attributes.acl.clone_from(&new.attributes.acl);
        if bucket.object_lock.is_some() {
            object.lock = new.lock;
        }
        let record = update.place().record(Table::Objects, &key.0);
        let records = vec![(record, Some(old.encode(there.blobs)?))];
        self.commit(&mut update, Changes { records, blobs: Vec::new() }).await?;
        Ok(true)
    }

    /// Copies a row of blobs.
    async fn copy_blobs(
        &self,
        (from, ids, lens): (&Place, &[BlobId], &[u64]),
        to: &Place,
    ) -> S3Result<Body> {
        let mut writer = self.cluster.write_body(to);
        writer.expect(lens.iter().sum());
        let slot = from.slot();
        for (id, len) in ids.iter().zip(lens) {
            let mut at = 0;
            while at < *len {
                let most = usize::try_from(CHUNK_BYTES.min(len - at)).unwrap_or(usize::MAX);
                let part = self.cluster.read_blob(slot, *id, at, most).await;
                let part = part.map_err(|e| fault::storage(&e))?;
                if part.is_empty() {
                    return Err(fault::internal());
                }
                at += part.len() as u64;
                writer.write(part).await.map_err(|e| fault::storage(&e))?;
            }
        }
        writer.finish().await.map_err(|e| fault::storage(&e))
    }

    /// Copies the parts of an upload under another ID. They are garbage until their object is there.
    async fn copy_parts(
        self: &Arc<Self>,
        from: &Place,
        to: &Place,
        (id, runs): (&[u8; 16], &[Run]),
        keys: Option<&(PlainKey, WrappingKey)>,
    ) -> S3Result<Parts> {
        let new = rand::random();
        let parts = Parts { id: new, _pin: Pinned::new(self, new) };
        let mut update = self.cluster.update(to.clone()).await;
        let records = vec![Self::garbage(to, &new)];
        let noted = update.commit(Changes { records, blobs: Vec::new() }).await;
        noted.map_err(|e| fault::storage(&e))?;
        drop(update);
        for number in runs.iter().flat_map(|run| (0..run.count).map(|at| run.first + at)) {
            let there = from.record(Table::Parts, &Part::suffix(id, number));
            let record = self.cluster.get(&there).await.map_err(|e| fault::storage(&e))?;
            let record = record.ok_or_else(fault::internal)?;
            let mut part = Part::decode(&record)?;
            let body = self.copy_blobs((from, &record.blobs, &part.lens), to).await?;
            part.lens = body.blobs.iter().map(|blob| blob.len).collect();
            if let Some((key, wrapping)) = keys {
                part.seal = rewrapped(&part.seal, key, wrapping)?;
            }
            let blobs = body.blobs.iter().map(|blob| blob.id).collect();
            let here = to.record(Table::Parts, &Part::suffix(&new, number));
            let records = vec![(here, Some(part.encode(blobs)?))];
            let mut update = self.cluster.update(to.clone()).await;
            let kept = update.commit(Changes { records, blobs: body.inline }).await;
            kept.map_err(|e| fault::storage(&e))?;
        }
        Ok(parts)
    }

    async fn commit_copy(
        &self,
        entry: &BucketEntry,
        named: Named<'_>,
        key: VersionKey,
        copy: Copy,
    ) -> S3Result<()> {
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        if bucket.versioning != Versioning::Enabled {
            let message = "Versioning is not enabled on the destination bucket.";
            return Err(fault::fault(S3ErrorCode::InvalidBucketState, message));
        }
        let Copy { version, blobs, body, upload } = copy;
        let mut update = self.cluster.update(place_of(&bucket, named.key)).await;
        let there = update.get(Table::Objects, &key.0).await.map_err(|e| fault::storage(&e))?;
        if there.is_some() {
            // Another attempt, whose answer was lost.
            return Ok(());
        }
        let place = update.place().clone();
        let record = version.encode(blobs)?;
        let mut records = vec![(place.record(Table::Objects, &key.0), Some(record))];
        if let Some(upload) = &upload {
            records.push((place.record(Table::Garbage, &upload.id), None));
        }
        let mut changes = Changes { records, blobs: body.inline.clone() };
        let marker = version.object.is_none();
        let version_id = Some(version.id(key));
        let written = Written { version_id, modified_ms: self.now_ms(), marker };
        self.tell(&place, &bucket, named, &written, version.object.as_ref(), &mut changes)?;
        self.commit(&mut update, changes).await
    }
}

/// A copy on its way.
struct Copy {
    version: Version,
    blobs: Vec<BlobId>,
    /// Held until the commit.
    body: Body,
    upload: Option<Parts>,
}

impl Copy {
    fn change(&mut self, change: impl FnOnce(&mut Object)) {
        if let Some(object) = &mut self.version.object {
            change(object);
        }
    }
}

/// Parts that belong to no object yet, and are kept from being removed.
struct Parts {
    id: [u8; 16],
    _pin: Pinned,
}

fn rewrapped(seal: &Seal, key: &PlainKey, to: &WrappingKey) -> S3Result<Seal> {
    seal.rewrapped(key, to).ok_or_else(fault::access_denied)
}

/// The range of all tasks.
pub(crate) fn all_tasks() -> std::ops::Range<Bytes> {
    let table = Table::Replication as u8;
    Bytes::from(vec![table])..Bytes::from(vec![table + 1])
}
