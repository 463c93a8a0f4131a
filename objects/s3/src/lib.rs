//! The S3 API over a cluster of storage nodes.
//!
//! In reading order: [`Service`] takes a connection, s3s reads the request and checks its
//! signature, `access` says who calls, `api` has a function for each operation, `store` knows what
//! buckets, versions, uploads and listings mean, and keeps them in the cluster.

mod access;
mod api;
mod fault;
mod form;
mod host;
mod identity;
mod resign;
mod service;
mod settings;
pub mod store;

pub use access::{Caller, Peer};
pub use identity::{FixedIdentities, Identities, Identity};
pub use service::{Front, Passed, Service};
pub use settings::{Clock, Settings, SystemClock};

use cluster::Cluster;
use std::sync::Arc;
use store::Store;

/// The store, with all that its operations need.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) store: Arc<Store>,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) settings: Arc<Settings>,
}

impl Gateway {
    /// A gateway to a cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, identities: Arc<dyn Identities>, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let store = Arc::new(Store::new(cluster, settings.clone()));
        Self { store, identities, settings }
    }

    /// What the gateway keeps.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Does what is to be done in the background, until it is dropped.
    pub async fn run(&self) {
        self.store.clone().sweep_for_ever().await;
    }
}
