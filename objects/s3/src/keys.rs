//! Data keys of KMS: whom they are asked of, and those that are kept for a moment.
//!
//! An object has a data key of its own, and each read of it asks KMS. Where a bucket has *bucket keys*, its
//! objects share one: it is kept in memory for [`BUCKET_KEY_SECONDS`] for each caller, and so is what was
//! opened. No plaintext of a key is ever written.

use crate::{Identity, Peer};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long a bucket key is used without asking KMS again: so long a caller may go on whose rights, or
/// whose key, are gone.
pub const BUCKET_KEY_SECONDS: u64 = 60;
/// The most bucket keys that are kept, of those made and of those opened.
const MAX_KEPT: usize = 1024;

/// A data key's plaintext, wiped when it is dropped.
pub type PlainKey = Zeroizing<[u8; 32]>;

/// An encryption context.
pub type Context = BTreeMap<String, String>;

/// A data key that was made.
#[derive(Clone)]
pub struct DataKey {
    pub plaintext: PlainKey,
    /// What [`DataKeys::open`] opens.
    pub ciphertext: Vec<u8>,
    /// The ARN of the key of KMS.
    pub key_arn: String,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey of {}", self.key_arn)
    }
}

/// Why there is no data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// KMS's own code and message.
    Refused { code: String, message: String },
    /// KMS doesn't answer: for the log.
    Away(String),
}

/// On whose behalf KMS is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub identity: &'a Identity,
    pub peer: Peer,
    pub user_agent: Option<&'a str>,
    /// The bucket's.
    pub region: &'a str,
}

/// Where data keys come from. What it answers, it answers within some seconds.
#[async_trait]
pub trait DataKeys: fmt::Debug + Send + Sync + 'static {
    /// A new data key under a key of KMS: an ID, an ARN or an alias; none stands for the caller's
    /// own key for S3.
    async fn generate(
        &self,
        asking: Asking<'_>,
        key_id: Option<&str>,
        context: &Context,
    ) -> Result<DataKey, KeyFault>;

    /// The data key in a ciphertext.
    async fn open(
        &self,
        asking: Asking<'_>,
        ciphertext: &[u8],
        context: &Context,
    ) -> Result<PlainKey, KeyFault>;
}

/// For a store beside which there is no KMS.
#[derive(Clone, Copy, Debug)]
pub struct NoKeys;

#[async_trait]
impl DataKeys for NoKeys {
    async fn generate(
        &self,
        _: Asking<'_>,
        _: Option<&str>,
        _: &Context,
    ) -> Result<DataKey, KeyFault> {
        Err(KeyFault::Away("there is none".to_owned()))
    }

    async fn open(&self, _: Asking<'_>, _: &[u8], _: &Context) -> Result<PlainKey, KeyFault> {
        Err(KeyFault::Away("there is none".to_owned()))
    }
}

/// For whom a key is kept: what KMS decides by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    access_key: String,
    session_token: Option<String>,
    address: Option<std::net::IpAddr>,
    secure: bool,
    user_agent: Option<String>,
    region: String,
    context: Context,
}

impl Holder {
    fn of(asking: Asking<'_>, context: &Context) -> Self {
        Self {
            access_key: asking.identity.access_key.clone(),
            session_token: asking.identity.session_token.clone(),
            address: asking.peer.address.map(|address| address.ip()),
            secure: asking.peer.secure,
            user_agent: asking.user_agent.map(str::to_owned),
            region: asking.region.to_owned(),
            context: context.clone(),
        }
    }
}

/// What is kept until its time is over.
#[derive(Debug)]
struct Kept<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = kept.get(key)?;
        if *until > Instant::now() {
            return Some(value.clone());
        }
        kept.remove(key);
        None
    }

    fn put(&self, key: K, value: V) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (until, _)| *until > now);
            if kept.len() >= MAX_KEPT {
                // KMS is asked again for each.
                kept.clear();
            }
        }
        kept.insert(key, (now + Duration::from_secs(BUCKET_KEY_SECONDS), value));
    }

    fn forget_old(&self) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (until, _)| *until > now);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// KMS, and the bucket keys that are kept.
#[derive(Debug)]
pub(crate) struct Keyring {
    source: Arc<dyn DataKeys>,
    made: Kept<(Holder, Option<String>), DataKey>,
    opened: Kept<(Holder, Vec<u8>), PlainKey>,
}

impl Keyring {
    pub(crate) fn new(source: Arc<dyn DataKeys>) -> Self {
        Self { source, made: Kept::default(), opened: Kept::default() }
    }

    /// A data key to write with; `shared` is one that the bucket's objects may have in common.
    pub(crate) async fn generate(
        &self,
        asking: Asking<'_>,
        key_id: Option<&str>,
        context: &Context,
        shared: bool,
    ) -> Result<DataKey, KeyFault> {
        if !shared {
            return self.source.generate(asking, key_id, context).await;
        }
        let holder = (Holder::of(asking, context), key_id.map(str::to_owned));
        if let Some(kept) = self.made.get(&holder) {
            return Ok(kept);
        }
        let made = self.source.generate(asking, key_id, context).await?;
        self.made.put(holder, made.clone());
        Ok(made)
    }

    /// The data key to read with.
    pub(crate) async fn open(
        &self,
        asking: Asking<'_>,
        ciphertext: &[u8],
        context: &Context,
        shared: bool,
    ) -> Result<PlainKey, KeyFault> {
        if !shared {
            return self.source.open(asking, ciphertext, context).await;
        }
        let holder = (Holder::of(asking, context), ciphertext.to_vec());
        if let Some(kept) = self.opened.get(&holder) {
            return Ok(kept);
        }
        let opened = self.source.open(asking, ciphertext, context).await?;
        self.opened.put(holder, opened.clone());
        Ok(opened)
    }

    /// Forgets all keys.
    pub(crate) fn forget(&self) {
        self.made.clear();
        self.opened.clear();
    }

    /// Forgets keys whose time is over, for ever: nobody else may come to ask for them.
    pub(crate) async fn forget_for_ever(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(BUCKET_KEY_SECONDS)).await;
            self.made.forget_old();
            self.opened.forget_old();
        }
    }
}
