//! The S3 API over a cluster of storage nodes.
//!
//! In reading order: [`Service`] takes a connection, s3s reads the request and checks its
//! signature, `access` says who calls, `api` has a function for each operation, `store` knows what
//! buckets, versions, uploads and listings mean, and keeps them in the cluster.

mod access;
mod accounts;
mod addressed;
mod answers;
mod api;
mod around;
mod audit;
pub mod configuration;
mod control;
mod cors;
mod digest;
mod express;
mod fault;
mod form;
mod head;
mod host;
mod identity;
mod inventory;
pub mod keys;
pub mod lifecycle;
mod logs;
pub mod notification;
mod replication;
mod resign;
mod service;
mod settings;
pub mod store;
pub mod website;

pub use access::{Caller, Peer};
pub use audit::{Audit, Trace};
pub use identity::{FixedIdentities, Identities, Identity, Own, TokenError};
pub use service::{Front, Passed, Service};
pub use settings::{AdjustableClock, Clock, Settings, SystemClock};

use cluster::Cluster;
use configuration::Configuration;
use lifecycle::rules::Calendar;
use s3s::S3Result;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{BucketEntry, Store};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard};

/// How long requests under way are waited for at the end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The store, with all that its operations need.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) store: Arc<Store>,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) keys: Arc<keys::Keyring>,
    pub(crate) accounts: Arc<accounts::Accounts>,
    pub(crate) events: Arc<notification::Events>,
    pub(crate) logs: Arc<logs::Logs>,
    pub(crate) calendar: Calendar,
    /// Who hears of requests; nobody, if there is no audit log.
    pub(crate) audit: Option<Arc<dyn Audit>>,
    /// Held while lifecycle rules are applied.
    pub(crate) lifecycle: Arc<Mutex<()>>,
    pub(crate) inventories: Arc<inventory::Inventories>,
    end: Arc<End>,
}

/// The end of a gateway: requests are let in before it, and waited for.
#[derive(Debug, Default)]
struct End {
    begun: AtomicBool,
    /// Shared by requests until they are answered and logged.
    under_way: RwLock<()>,
}

impl Gateway {
    /// A gateway to a cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, identities: Arc<dyn Identities>, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let store = Arc::new(Store::new(cluster, settings.clone()));
        let keys = Arc::new(keys::Keyring::new(Arc::new(keys::NoKeys)));
        let accounts = Arc::default();
        let events = Arc::new(notification::Events::new(store.clone(), None));
        let logs = Arc::new(logs::Logs::new(store.clone()));
        let (calendar, lifecycle, end) = (Calendar::default(), Arc::default(), Arc::default());
        let (audit, inventories) = (None, Arc::default());
        Self {
            store,
            identities,
            settings,
            keys,
            accounts,
            events,
            logs,
            calendar,
            audit,
            lifecycle,
            inventories,
            end,
        }
    }

    /// Tells an audit log of requests.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Names the file that says which web hook or file stands for which ARN of a notification's
    /// target; see [`notification`]. Without it, events go nowhere.
    #[must_use]
    pub fn with_notification_targets(mut self, file: std::path::PathBuf) -> Self {
        self.events = Arc::new(notification::Events::new(self.store.clone(), Some(file)));
        self
    }

    /// Names who makes data keys for SSE-KMS; without it there is none.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<dyn keys::DataKeys>) -> Self {
        self.keys = Arc::new(keys::Keyring::new(keys));
        self
    }

    /// Makes the days of lifecycle rules so many seconds long, for tests: rules are applied more
    /// often, and nothing waits for midnight.
    #[must_use]
    pub fn with_day_seconds(mut self, seconds: u32) -> Self {
        self.calendar = Calendar { day_ms: i64::from(seconds.max(1)) * 1000 };
        self
    }

    /// What the gateway keeps.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Drops all buckets of all accounts, and what the accounts have set.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn reset(&self) -> S3Result<()> {
        self.store.reset().await?;
        self.accounts.forget();
        self.keys.forget();
        Ok(())
    }

    /// Changes a bucket's configuration.
    ///
    /// # Errors
    /// `NoSuchBucket`; the storage is unavailable.
    pub(crate) async fn configure(
        &self,
        bucket: &BucketEntry,
        change: impl FnOnce(&mut Configuration),
    ) -> S3Result<()> {
        let change = |row: &mut store::Bucket| {
            change(&mut row.configuration);
            Ok(())
        };
        self.store.update_bucket(bucket, change).await
    }

    /// To be held by a request until it is logged; none if no more are taken.
    pub(crate) async fn enter(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let ended = || self.end.begun.load(Ordering::Acquire);
        if ended() {
            return None;
        }
        Some(self.end.under_way.read().await).filter(|_| !ended())
    }

    /// Writes what waits in memory: lines of access logs.
    pub async fn flush(&self) {
        self.logs.write().await;
    }

    /// Takes no more requests, waits for some seconds for those under way, and writes what waits in
    /// memory. To be called before the store is closed.
    pub async fn finish(&self) {
        self.end.begun.store(true, Ordering::Release);
        if tokio::time::timeout(FINISH_TIMEOUT, self.end.under_way.write()).await.is_err() {
            log::warn!("some requests take too long to wait for");
        }
        self.flush().await;
    }

    /// Does what is to be done in the background, until it is dropped.
    pub async fn run(&self) {
        let sweep = self.store.clone().sweep_for_ever();
        tokio::join!(
            sweep,
            self.events.deliver_for_ever(),
            self.apply_lifecycle_for_ever(),
            self.replicate_for_ever(),
            self.write_inventories_for_ever(),
            self.logs.write_for_ever(),
            self.keys.forget_for_ever(),
        );
    }
}
