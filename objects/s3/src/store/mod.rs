//! What S3 means, without HTTP: buckets, versions, listings, uploads, kept in a cluster.

mod bucket;
pub mod checksum;
pub mod crypt;
mod facts;
mod garbage;
pub mod ingest;
pub mod listing;
pub mod multipart;
pub mod objects;
pub(crate) mod outbox;
pub mod read;
pub(crate) mod replication;
mod reset;
pub mod rules;
pub mod version;

pub use bucket::{Bucket, BucketEntry, DefaultRetention, LockMode, ObjectLock, Owner, Versioning};

use crate::Settings;
use cluster::Cluster;
use std::{fmt, sync::Arc};

/// The store.
pub struct Store {
    cluster: Arc<Cluster>,
    settings: Arc<Settings>,
    buckets: bucket::Buckets,
    garbage: garbage::Bell,
    readers: read::Readers,
    pub(crate) ears: outbox::Ears,
    pub(crate) copying: replication::Copying,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Store {
    /// A store in a cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, settings: Arc<Settings>) -> Self {
        Self {
            cluster,
            settings,
            buckets: Default::default(),
            garbage: Default::default(),
            readers: Default::default(),
            ears: Default::default(),
            copying: Default::default(),
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Where a key's records and bodies belong.
    #[must_use]
    pub fn place(bucket: &Bucket, key: &str) -> cluster::Place {
        objects::place_of(bucket, key)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.settings.clock.now_ns() / 1_000_000
    }

    /// The store's own key, which wraps the keys of bodies.
    #[must_use]
    pub fn wrapping_key(&self) -> crypt::WrappingKey {
        crypt::WrappingKey {
            wrapping: crypt::Wrapping::Store,
            key: self.settings.master_key.into(),
        }
    }
}
