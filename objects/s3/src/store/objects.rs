//! Objects: found, written, changed and removed, one key at a time.

use super::{
    Bucket, BucketEntry, DefaultRetention, Owner, Store, Versioning,
    ingest::Taken,
    outbox::Named,
    read::{ReadFault, Reading},
    rules::{self, Conditions, Moment, Plan, Refusal, Seen},
    version::{Attributes, Content, Etag, Lock, Object, Retention, Version, VersionKey},
};
use crate::fault;
use bytes::Bytes;
use cluster::{BlobId, Changes, Place, Record, Table, Update, after_key};
use http::StatusCode;
use s3s::{S3Error, S3Result};
use std::{ops::Range, sync::Arc};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// Bodies up to this many bytes are read in one go, so that they may be removed at any time.
const READ_AT_ONCE_BYTES: u64 = 1 << 20;

/// How many versions are looked at a time for the null version.
const VERSIONS_AT_A_TIME: usize = 100;

/// A version that is there.
#[derive(Clone, Debug)]
pub struct Found {
    pub key: VersionKey,
    pub version: Version,
    pub blobs: Vec<BlobId>,
}

impl Found {
    fn of_record(key: &[u8], record: &Record) -> S3Result<Self> {
        let suffix = key.last_chunk::<16>().ok_or_else(fault::internal)?;
        let (key, version) = (VersionKey(*suffix), Version::decode(record)?);
        Ok(Self { key, version, blobs: record.blobs.clone() })
    }

    fn seen(&self) -> Seen {
        let object = self.version.object.as_ref();
        Seen {
            key: self.key,
            null: self.version.null,
            etag: object.map(|object| object.etag),
            lock: object.map(|object| object.lock).unwrap_or_default(),
        }
    }

    /// The version ID that clients see.
    #[must_use]
    pub fn id(&self) -> String {
        self.version.id(self.key)
    }

    /// The object, unless this is a delete marker.
    #[must_use]
    pub fn object(&self) -> Option<&Object> {
        self.version.object.as_ref()
    }
}

/// A new object.
#[derive(Debug)]
pub struct New {
    pub object: Object,
    /// None is the bucket's owner.
    pub owner: Option<Owner>,
    pub blobs: Vec<BlobId>,
    /// Blobs that travel with the record.
    pub inline: Vec<(BlobId, Bytes)>,
}

impl New {
    /// An object whose body was taken in.
    #[must_use]
    pub fn of(taken: Taken, attributes: Attributes, lock: Lock, owner: Option<Owner>) -> Self {
        let Taken { body, size, md5, checksum, seal } = taken;
        let object = Object {
            size,
            etag: Etag { md5, parts: None },
            content: Content::Blobs(body.blobs.iter().map(|blob| blob.len).collect()),
            seal,
            checksum: Some(checksum),
            attributes,
            lock,
            restored_until_ms: None,
        };
        let blobs = body.blobs.iter().map(|blob| blob.id).collect();
        Self { object, owner, blobs, inline: body.inline }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// None in a bucket that never had versioning.
    pub version_id: Option<String>,
    pub modified_ms: u64,
    /// Whether what was added or removed is a delete marker.
    pub marker: bool,
}

pub(crate) fn place_of(bucket: &Bucket, key: &str) -> Place {
    Place::new(bucket.number, key.as_bytes().to_vec())
}

fn refused(refusal: Refusal, key: &str) -> S3Error {
    match refusal {
        Refusal::Missing => fault::no_such_key(key),
        Refusal::Condition(name) => fault::precondition_failed(name),
        Refusal::Locked => {
            let message = "Access Denied because object protected by object lock.";
            fault::fault(s3s::S3ErrorCode::AccessDenied, message)
        }
    }
}

/// The fault of a GET that found a delete marker.
#[must_use]
pub fn marker_fault(found: &Found, key: &str, named: bool) -> S3Error {
    let error = if named {
        let message = "The specified method is not allowed against this resource.";
        let error = fault::fault(s3s::S3ErrorCode::MethodNotAllowed, message);
        let error = fault::with_header(error, "allow", "DELETE");
        fault::with(error, &[("Method", "GET"), ("ResourceType", "DeleteMarker")])
    } else {
        fault::no_such_key(key)
    };
    let error = fault::with_header(error, "x-amz-delete-marker", "true");
    fault::with_header(error, "x-amz-version-id", &found.id())
}

pub(super) fn version_key(id: &str) -> S3Result<VersionKey> {
    let bad = || fault::invalid_argument("Invalid version id specified", "versionId", id);
    VersionKey::of_id(id).ok_or_else(bad)
}

/// Reads versions of a key, under a lock or not.
enum View<'a, 'b> {
    Now(&'a Store, Place),
    Locked(&'a Update<'b>),
}

impl View<'_, '_> {
    async fn scan(&self, after: Option<&VersionKey>, limit: usize) -> S3Result<Vec<Found>> {
        let found = match self {
            Self::Locked(update) => {
                update.scan(Table::Objects, after.map(|key| &key.0[..]), limit).await
            }
            Self::Now(store, place) => {
                let mut from = place.record(Table::Objects, after.map_or(&[], |key| &key.0[..]));
                if after.is_some() {
                    from = [&from[..], &[0]].concat().into();
                }
                let until = after_key(Table::Objects, place.bucket, &place.key);
                store.cluster.scan(from..until, limit).await
            }
        };
        let found = found.map_err(|e| fault::storage(&e))?;
        found.iter().map(|(key, record)| Found::of_record(key, record)).collect()
    }

    async fn get(&self, key: VersionKey) -> S3Result<Option<Found>> {
        let found = match self {
            Self::Locked(update) => update.get(Table::Objects, &key.0).await,
            Self::Now(store, place) => {
                store.cluster.get(&place.record(Table::Objects, &key.0)).await
            }
        };
        let record = found.map_err(|e| fault::storage(&e))?;
        record.map(|record| Found::of_record(&key.0, &record)).transpose()
    }

    async fn newest(&self) -> S3Result<Option<Found>> {
        Ok(self.scan(None, 1).await?.pop())
    }

    async fn null(&self, versioning: Versioning) -> S3Result<Option<Found>> {
        if versioning == Versioning::Off {
            // Nothing but the null version can be there.
            return self.newest().await;
        }
        let mut after = None;
        loop {
            let page = self.scan(after.as_ref(), VERSIONS_AT_A_TIME).await?;
            let last = page.len() < VERSIONS_AT_A_TIME;
            after = page.last().map(|found| found.key);
            let null = page.into_iter().find(|found| found.version.null);
            if null.is_some() || last {
                return Ok(null);
            }
        }
    }

    /// A named version.
    async fn version(&self, versioning: Versioning, id: &str) -> S3Result<Option<Found>> {
        if id == "null" {
            return self.null(versioning).await;
        }
        let found = self.get(version_key(id)?).await?;
        Ok(found.filter(|found| !found.version.null))
    }
}

impl Store {
    /// A version of a key, or the newest one; delete markers too.
    ///
    /// # Errors
    /// The ID isn't one; the storage is unavailable.
    pub async fn find(
        &self,
        bucket: &Bucket,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<Option<Found>> {
        let view = View::Now(self, place_of(bucket, key));
        match version {
            None => view.newest().await,
            Some(id) => view.version(bucket.versioning, id).await,
        }
    }

    /// A version by its key.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn find_version(
        &self,
        bucket: &Bucket,
        key: &str,
        version: VersionKey,
    ) -> S3Result<Option<Found>> {
        View::Now(self, place_of(bucket, key)).get(version).await
    }

    /// An object.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`; it is a delete marker.
    pub async fn find_object(
        &self,
        bucket: &Bucket,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<Found> {
        match (self.find(bucket, key, version).await?, version) {
            (Some(found), _) if found.version.object.is_some() => Ok(found),
            (Some(found), _) => Err(marker_fault(&found, key, version.is_some())),
            (None, None) => Err(fault::no_such_key(key)),
            (None, Some(id)) => Err(fault::no_such_version(key, id)),
        }
    }

    /// Reads a range of an object. None if it was removed since it was found: look again.
    ///
    /// # Errors
    /// The wrong key; the storage is unavailable.
    pub async fn read_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &str,
        found: &Found,
        wrapping_key: &[u8; 32],
        range: Range<u64>,
    ) -> S3Result<Option<Reading>> {
        let object = found.object().ok_or_else(fault::internal)?;
        let what = (found.key, object, found.blobs.as_slice());
        match self.read(place_of(bucket, key), what, wrapping_key, range).await {
            Ok(reading) => Ok(Some(reading)),
            Err(ReadFault::Gone) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an object.
    ///
    /// # Errors
    /// The conditions don't hold; the storage is unavailable.
    pub async fn put_object(
        &self,
        entry: &BucketEntry,
        key: impl Into<Named<'_>>,
        new: New,
        conditions: &Conditions,
    ) -> S3Result<Written> {
        let key = key.into();
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        let mut update = self.cluster.update(place_of(&bucket, key.key)).await;
        let more = Changes { records: Vec::new(), blobs: new.inline };
        let new = (new.object, new.owner, new.blobs);
        self.put_under(&mut update, &bucket, key, new, conditions, more).await
    }

    /// Writes an object under a lock, together with other changes of its place.
    pub(super) async fn put_under(
        &self,
        update: &mut Update<'_>,
        bucket: &Bucket,
        key: Named<'_>,
        (mut object, owner, blobs): (Object, Option<Owner>, Vec<BlobId>),
        conditions: &Conditions,
        mut changes: Changes,
    ) -> S3Result<Written> {
        let moment = self.moment();
        let (newest, null) = old(update, bucket).await?;
        let seen = (newest.as_ref().map(Found::seen), null.as_ref().map(Found::seen));
        let plan = rules::put(bucket.versioning, seen.0, seen.1, conditions, moment)
            .map_err(|refusal| refused(refusal, key.key))?;
        let Some((version_key, is_null)) = plan.add else { return Err(fault::internal()) };
        let modified_ms = moment.now_ns / 1_000_000;
        if object.lock.retention.is_none() {
            object.lock.retention = default_retention(bucket, modified_ms);
        }
        let object = Some(object);
        let mut version = Version { null: is_null, modified_ms, owner, object, replication: None };
        let (at, which) = ((update.place(), bucket), (key.key, version_key));
        self.plan_copies(at, which, &mut version, &mut changes)?;
        let record = version.encode(blobs)?;
        changes.records.push((update.place().record(Table::Objects, &version_key.0), Some(record)));
        self.remove(update.place(), plan, null.as_ref(), &mut changes);
        let version_id = id_of(bucket, &version, version_key);
        let written = Written { version_id, modified_ms, marker: false };
        self.tell(update.place(), bucket, key, &written, version.object.as_ref(), &mut changes)?;
        self.commit(update, changes).await?;
        Ok(written)
    }

    /// A DELETE without a version: removes the object, or puts a delete marker on top.
    ///
    /// # Errors
    /// The conditions don't hold; the storage is unavailable.
    pub async fn delete_object(
        &self,
        entry: &BucketEntry,
        key: impl Into<Named<'_>>,
        owner: Option<Owner>,
        conditions: &Conditions,
    ) -> S3Result<Written> {
        let key = key.into();
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        let mut update = self.cluster.update(place_of(&bucket, key.key)).await;
        let moment = self.moment();
        let modified_ms = moment.now_ns / 1_000_000;
        let (newest, null) = old(&update, &bucket).await?;
        let seen = (newest.as_ref().map(Found::seen), null.as_ref().map(Found::seen));
        let plan = rules::delete(bucket.versioning, seen.0, seen.1, conditions, moment)
            .map_err(|refusal| refused(refusal, key.key))?;
        let mut changes = Changes::default();
        let mut written = Written { version_id: None, modified_ms, marker: false };
        if let Some((version_key, is_null)) = plan.add {
            let mut marker =
                Version { null: is_null, modified_ms, owner, object: None, replication: None };
            // Those that a lifecycle rule makes stay where they are.
            if key.deed.is_none_or(|deed| deed.caller.is_some()) {
                let (at, which) = ((update.place(), &*bucket), (key.key, version_key));
                self.plan_copies(at, which, &mut marker, &mut changes)?;
            }
            let record = update.place().record(Table::Objects, &version_key.0);
            changes.records.push((record, Some(marker.encode(Vec::new())?)));
            written.version_id = id_of(&bucket, &marker, version_key);
            written.marker = true;
        } else {
            update.although_full();
        }
        self.remove(update.place(), plan, null.as_ref(), &mut changes);
        self.tell(update.place(), &bucket, key, &written, None, &mut changes)?;
        self.commit(&mut update, changes).await?;
        Ok(written)
    }

    /// A DELETE of one version, for good. Whether there was one or not, its ID is given back.
    ///
    /// # Errors
    /// The conditions don't hold; it is locked, and not bypassed; the storage is unavailable.
    pub async fn delete_version(
        &self,
        entry: &BucketEntry,
        key: impl Into<Named<'_>>,
        version: &str,
        conditions: &Conditions,
        bypass: bool,
    ) -> S3Result<Written> {
        let key = key.into();
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        let mut update = self.cluster.update(place_of(&bucket, key.key)).await;
        let found = View::Locked(&update).version(bucket.versioning, version).await?;
        let now_ns = self.settings.clock.now_ns();
        let seen = found.as_ref().map(Found::seen);
        let plan = rules::delete_version(seen, conditions, bypass, now_ns)
            .map_err(|refusal| refused(refusal, key.key))?;
        let mut changes = Changes::default();
        self.remove(update.place(), plan, found.as_ref(), &mut changes);
        update.although_full();
        let version_id = Some(version.to_owned());
        let written = Written { version_id, modified_ms: now_ns / 1_000_000, marker: false };
        let shown = (bucket.versioning != Versioning::Off).then(|| version.to_owned());
        let told = Written { version_id: shown, ..written.clone() };
        self.tell(update.place(), &bucket, key, &told, None, &mut changes)?;
        self.commit(&mut update, changes).await?;
        let marker = found.is_some_and(|found| found.version.object.is_none());
        Ok(Written { marker, ..written })
    }

    /// Changes a version's row in its place.
    ///
    /// # Errors
    /// As [`Store::find_object`]; what `change` says.
    pub async fn update_version<T>(
        &self,
        entry: &BucketEntry,
        key: impl Into<Named<'_>>,
        version: Option<&str>,
        change: impl FnOnce(&mut Version) -> S3Result<T>,
    ) -> S3Result<(T, String)> {
        let named = key.into();
        let key = named.key;
        let _inside = entry.enter().await?;
        let bucket = entry.row();
        let mut update = self.cluster.update(place_of(&bucket, key)).await;
        let view = View::Locked(&update);
        let found = match version {
            None => view.newest().await?,
            Some(id) => view.version(bucket.versioning, id).await?,
        };
        let mut found = match (found, version) {
            (Some(found), _) if found.version.object.is_some() => found,
            (Some(found), _) => return Err(marker_fault(&found, key, version.is_some())),
            (None, None) => return Err(fault::no_such_key(key)),
            (None, Some(id)) => return Err(fault::no_such_version(key, id)),
        };
        let before = Self::shared(&bucket, &found.version);
        let answer = change(&mut found.version)?;
        let id = found.id();
        let mut changes = Changes::default();
        let (at, which) = ((update.place(), &*bucket), (key, &mut found));
        self.plan_changed_copies(at, which, before, &mut changes)?;
        let record = update.place().record(Table::Objects, &found.key.0);
        changes.records.push((record, Some(found.version.encode(found.blobs)?)));
        let version_id = id_of(&bucket, &found.version, found.key);
        let written = Written { version_id, modified_ms: self.now_ms(), marker: false };
        let object = found.version.object.as_ref();
        self.tell(update.place(), &bucket, named, &written, object, &mut changes)?;
        self.commit(&mut update, changes).await?;
        Ok((answer, id))
    }

    fn moment(&self) -> Moment {
        Moment { now_ns: self.settings.clock.now_ns(), random: rand::random() }
    }

    /// Adds a removal to a commit. Bodies that somebody may be reading piece by piece are left to
    /// the sweep.
    fn remove(&self, place: &Place, plan: Plan, found: Option<&Found>, changes: &mut Changes) {
        let (Some(key), Some(found)) = (plan.remove, found) else { return };
        changes.records.push((place.record(Table::Objects, &key.0), None));
        let Some(object) = found.object() else { return };
        match &object.content {
            Content::Upload { id, .. } => changes.records.push(Self::garbage(place, id)),
            Content::Blobs(_) if object.size > READ_AT_ONCE_BYTES => {
                let record = Record { blobs: found.blobs.clone(), value: Bytes::new() };
                changes.records.push((place.record(Table::Garbage, &key.0), Some(record)));
            }
            Content::Blobs(_) => {}
        }
    }

    pub(super) async fn commit(&self, update: &mut Update<'_>, changes: Changes) -> S3Result<()> {
        if changes.records.is_empty() {
            return Ok(());
        }
        let garbage = [Table::Garbage as u8];
        let garbage = changes.records.iter().any(|(key, _)| key.starts_with(&garbage));
        let has =
            |table: Table| changes.records.iter().any(|(key, _)| key.starts_with(&[table as u8]));
        let (events, copies) = (has(Table::Events), has(Table::Replication));
        update.commit(changes).await.map_err(|e| fault::storage(&e))?;
        if events {
            self.ears.0.notify_one();
        }
        if copies {
            self.copying.0.notify_one();
        }
        if garbage {
            self.ring();
        }
        Ok(())
    }
}

/// The newest version, and the null version where it may be replaced.
async fn old(update: &Update<'_>, bucket: &Bucket) -> S3Result<(Option<Found>, Option<Found>)> {
    let view = View::Locked(update);
    let newest = view.newest().await?;
    let null = match (bucket.versioning, &newest) {
        (Versioning::Enabled, _) | (_, None) => None,
        (Versioning::Off, newest) => newest.clone(),
        (Versioning::Suspended, Some(found)) if found.version.null => newest.clone(),
        (Versioning::Suspended, Some(_)) => view.null(bucket.versioning).await?,
    };
    Ok((newest, null))
}

fn id_of(bucket: &Bucket, version: &Version, key: VersionKey) -> Option<String> {
    match bucket.versioning {
        Versioning::Off => None,
        Versioning::Enabled | Versioning::Suspended => Some(version.id(key)),
    }
}

fn default_retention(bucket: &Bucket, now_ms: u64) -> Option<Retention> {
    const DAY_MS: u64 = 86_400_000;
    let DefaultRetention { mode, period, years } = bucket.object_lock?.default_retention?;
    let days = u64::from(period) * if years { 365 } else { 1 };
    Some(Retention { mode, until_ms: now_ms + days * DAY_MS })
}

/// Checks a key's length.
///
/// # Errors
/// `KeyTooLongError`.
pub fn check_key(key: &str) -> S3Result<()> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(key_too_long(key.len()))
}

/// The fault of a key of so many bytes.
pub(crate) fn key_too_long(size: usize) -> S3Error {
    let error = fault::custom(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long");
    let (size, most) = (size.to_string(), MAX_KEY_BYTES.to_string());
    fault::with(error, &[("Size", &size), ("MaxSizeAllowed", &most)])
}
