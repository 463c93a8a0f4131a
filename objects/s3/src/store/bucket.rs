//! Buckets: their names are the store's, their rows hold all of their configuration.

use super::Store;
use crate::{configuration::Configuration, fault};
use bytes::Bytes;
use cluster::{Changes, Place, Record, Table, range};
use s3s::{S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::{Mutex, RwLock as Gate, RwLockReadGuard, RwLockWriteGuard};

/// Whose a bucket or an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Twelve digits.
    pub account: String,
    /// 64 hexadecimal digits.
    pub canonical_id: String,
    pub display_name: String,
}

/// A bucket's versioning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// Never enabled.
    #[default]
    Off,
    Enabled,
    Suspended,
}

/// How firmly a version is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockMode {
    /// Who has the permission may bypass it.
    Governance,
    Compliance,
}

/// The retention that new versions get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRetention {
    pub mode: LockMode,
    /// Days, or years if `years` says so.
    pub period: u32,
    pub years: bool,
}

/// Object lock, once enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    pub default_retention: Option<DefaultRetention>,
}

/// A bucket's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    pub name: String,
    /// Names it in the keys of records; never used twice.
    pub number: u64,
    pub created_ms: u64,
    pub region: String,
    pub owner: Owner,
    #[serde(default)]
    pub versioning: Versioning,
    /// None unless object lock is enabled.
    #[serde(default)]
    pub object_lock: Option<ObjectLock>,
    #[serde(default)]
    pub configuration: Configuration,
}

/// The first byte of a row: how the rest is encoded.
const JSON: u8 = 1;

impl Bucket {
    /// A new bucket, with the configuration that new buckets have.
    #[must_use]
    pub fn new(name: &str, region: &str, owner: Owner, created_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            // 0 is the place of what is in no bucket.
            number: rand::random::<u64>() | 1,
            created_ms,
            region: region.to_owned(),
            owner,
            versioning: Versioning::Off,
            object_lock: None,
            configuration: Configuration::of_new_bucket(),
        }
    }

    fn encode(&self) -> S3Result<Record> {
        let mut value = vec![JSON];
        serde_json::to_writer(&mut value, self).map_err(s3s::S3Error::internal_error)?;
        Ok(Record { blobs: Vec::new(), value: value.into() })
    }

    fn decode(record: &Record) -> S3Result<Self> {
        match record.value.split_first() {
            Some((&JSON, row)) => serde_json::from_slice(row).map_err(s3s::S3Error::internal_error),
            _ => Err(fault::internal()),
        }
    }
}

/// A bucket in use.
#[derive(Debug)]
pub struct BucketEntry {
    row: RwLock<Arc<Bucket>>,
    /// Shared by what writes into the bucket, held alone by what changes the bucket itself. False
    /// once the bucket is gone.
    gate: Gate<bool>,
}

impl BucketEntry {
    fn new(row: Bucket) -> Arc<Self> {
        Arc::new(Self { row: RwLock::new(Arc::new(row)), gate: Gate::new(true) })
    }

    /// The row as it is now.
    #[must_use]
    pub fn row(&self) -> Arc<Bucket> {
        self.row.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the bucket as it is while something is written into it.
    ///
    /// # Errors
    /// `NoSuchBucket`: it was removed meanwhile.
    pub(super) async fn enter(&self) -> S3Result<RwLockReadGuard<'_, bool>> {
        let inside = self.gate.read().await;
        if *inside { Ok(inside) } else { Err(fault::no_such_bucket(&self.row().name)) }
    }

    /// Keeps everybody out of the bucket, once those who are inside have left: whether it is there.
    pub(super) async fn gate(&self) -> RwLockWriteGuard<'_, bool> {
        self.gate.write().await
    }

    fn set(&self, row: Bucket) {
        *self.row.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(row);
    }
}

/// The buckets in use, and the lock of those who add to them or take away.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    known: RwLock<HashMap<String, Arc<BucketEntry>>>,
    pub(super) changing: Mutex<()>,
}

/// How many buckets are kept at hand.
const BUCKETS_AT_HAND: usize = 10_000;

impl Buckets {
    fn get(&self, name: &str) -> Option<Arc<BucketEntry>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn put(&self, name: &str, entry: &Arc<BucketEntry>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= BUCKETS_AT_HAND {
            known.retain(|_, entry| Arc::strong_count(entry) > 1);
        }
        known.insert(name.to_owned(), entry.clone());
    }

    pub(super) fn remove(&self, name: &str) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

pub(super) fn place_of(name: &str) -> Place {
    Place::new(0, name.as_bytes().to_vec())
}

impl Store {
    /// A bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket(&self, name: &str) -> S3Result<Arc<BucketEntry>> {
        if let Some(entry) = self.buckets.get(name) {
            return Ok(entry);
        }
        let _alone = self.buckets.changing.lock().await;
        self.load_bucket(name).await?.ok_or_else(|| fault::no_such_bucket(name))
    }

    /// Only while `changing` is held.
    pub(super) async fn load_bucket(&self, name: &str) -> S3Result<Option<Arc<BucketEntry>>> {
        if let Some(entry) = self.buckets.get(name) {
            return Ok(Some(entry));
        }
        let key = place_of(name).record(Table::Buckets, &[]);
        let found = self.cluster.get(&key).await.map_err(|e| fault::storage(&e))?;
        let Some(record) = found else { return Ok(None) };
        let entry = BucketEntry::new(Bucket::decode(&record)?);
        self.buckets.put(name, &entry);
        Ok(Some(entry))
    }

    /// Makes a bucket. If there is one of this name, it is given back and `row` is not used.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn create_bucket(&self, row: Bucket) -> S3Result<Result<(), Arc<BucketEntry>>> {
        let _alone = self.buckets.changing.lock().await;
        if let Some(entry) = self.load_bucket(&row.name).await? {
            return Ok(Err(entry));
        }
        self.write_bucket(&row.name, Some(row.encode()?)).await?;
        let entry = BucketEntry::new(row);
        self.buckets.put(&entry.row().name, &entry);
        Ok(Ok(()))
    }

    /// Changes a bucket's row.
    ///
    /// # Errors
    /// What `change` says; `NoSuchBucket`.
    pub async fn update_bucket<T>(
        &self,
        entry: &BucketEntry,
        change: impl FnOnce(&mut Bucket) -> S3Result<T>,
    ) -> S3Result<T> {
        let alive = entry.gate.write().await;
        let mut row = Bucket::clone(&entry.row());
        if !*alive {
            return Err(fault::no_such_bucket(&row.name));
        }
        let answer = change(&mut row)?;
        self.write_bucket(&row.name, Some(row.encode()?)).await?;
        entry.set(row);
        Ok(answer)
    }

    /// Removes an empty bucket.
    ///
    /// # Errors
    /// `BucketNotEmpty`, `NoSuchBucket`.
    pub async fn delete_bucket(&self, entry: &BucketEntry) -> S3Result<()> {
        let _alone = self.buckets.changing.lock().await;
        let mut alive = entry.gate.write().await;
        let row = entry.row();
        if !*alive {
            return Err(fault::no_such_bucket(&row.name));
        }
        for table in [Table::Objects, Table::Uploads] {
            let found = self.cluster.scan(range(table, row.number, &[]), 1).await;
            if !found.map_err(|e| fault::storage(&e))?.is_empty() {
                return Err(not_empty(&row));
            }
        }
        self.write_bucket(&row.name, None).await?;
        *alive = false;
        self.buckets.remove(&row.name);
        Ok(())
    }

    async fn write_bucket(&self, name: &str, record: Option<Record>) -> S3Result<()> {
        let place = place_of(name);
        let key = place.record(Table::Buckets, &[]);
        let changes = Changes { records: vec![(key, record)], blobs: Vec::new() };
        let mut update = self.cluster.update(place).await;
        update.commit(changes).await.map_err(|e| fault::storage(&e))
    }

    /// Up to `limit` buckets for which `wanted` holds, by name, after `after`.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn list_buckets(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&Bucket) -> bool,
    ) -> S3Result<Vec<Bucket>> {
        let all = range(Table::Buckets, 0, prefix.as_bytes());
        let mut from = match after {
            Some(name) => cluster::after_key(Table::Buckets, 0, name.as_bytes()).max(all.start),
            None => all.start,
        };
        let mut listed = Vec::new();
        while listed.len() < limit && from < all.end {
            let part = from.clone()..all.end.clone();
            let found = self.cluster.scan(part, 1000).await.map_err(|e| fault::storage(&e))?;
            let last = found.len() < 1000;
            for (key, record) in found {
                from = Bytes::from([&key[..], &[0]].concat());
                let row = Bucket::decode(&record)?;
                if wanted(&row) && listed.len() < limit {
                    listed.push(row);
                }
            }
            if last {
                break;
            }
        }
        Ok(listed)
    }
}

fn not_empty(row: &Bucket) -> s3s::S3Error {
    let message = match row.versioning {
        Versioning::Off => "The bucket you tried to delete is not empty",
        Versioning::Enabled | Versioning::Suspended => {
            "The bucket you tried to delete is not empty. You must delete all versions in the \
             bucket."
        }
    };
    let error = fault::fault(S3ErrorCode::BucketNotEmpty, message);
    fault::with(error, &[("BucketName", &row.name)])
}
