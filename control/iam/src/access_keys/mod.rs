//! Access keys: the long-lived credentials of users and of an account's root user.

pub mod api;

use crate::{
    Account, Caller, Principal, UniqueId,
    named::{ID_ALPHABET, random_text},
    users::User,
};
use serde::{Deserialize, Serialize};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{AccountId, Scope, Timestamp};

/// Uses within this time of the one that was noted are not noted.
const USE_AGE_MS: i64 = 15 * 60 * 1000;

/// Whose an access key is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOwner {
    /// The account's root user.
    #[default]
    Root,
    /// A user.
    User(UniqueId),
}

/// When and for what an access key was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUsed {
    /// When, within a quarter of an hour.
    pub at: Timestamp,
    /// The service called, such as `ec2`.
    pub service: String,
    /// The region called.
    pub region: String,
}

/// A long-lived credential.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The secret that signs.
    pub secret: String,
    /// The account that the key acts for.
    pub account: AccountId,
    /// When it was made.
    pub created: Timestamp,
    /// Whose it is.
    #[serde(default)]
    pub owner: KeyOwner,
    /// Whether it is switched off.
    #[serde(default)]
    pub inactive: bool,
    /// Its last use.
    #[serde(default)]
    pub last_used: Option<LastUsed>,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A log must not hold a secret.
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .field("owner", &self.owner)
            .field("inactive", &self.inactive)
            .finish_non_exhaustive()
    }
}

impl Row for AccessKey {
    const TABLE: &'static str = "access-key";
    const SEALED: bool = true;
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.account);
        match &self.owner {
            KeyOwner::Root => add("root", &self.account),
            KeyOwner::User(user) => add("user", user),
        }
    }
}

impl AccessKey {
    /// Makes an access key of the account's root user.
    pub fn create(tx: &mut Tx, account: AccountId) -> Self {
        Self::create_for(tx, account, KeyOwner::Root)
    }

    /// Makes an access key.
    pub fn create_for(tx: &mut Tx, account: AccountId, owner: KeyOwner) -> Self {
        const SECRET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let id = format!("AKIA{}", random_text(tx, ID_ALPHABET, 16));
        let secret = random_text(tx, SECRET, 40);
        let created = tx.now();
        let key = Self { id, secret, account, created, owner, inactive: false, last_used: None };
        tx.put(key.clone());
        key
    }

    /// The keys of the account's root user, the oldest ID first.
    pub fn of_root(state: &State, account: AccountId) -> impl Iterator<Item = &Self> {
        state.find::<Self>("root", account).map(AsRef::as_ref)
    }

    /// Whether a use at this time need not be noted: one was within a quarter of an hour.
    #[must_use]
    pub fn use_is_known(&self, now: Timestamp) -> bool {
        self.last_used.as_ref().is_some_and(|last| now.millis() - last.at.millis() < USE_AGE_MS)
    }

    /// Notes that a key was used for a service in a region, unless that is known.
    pub fn note_use(tx: &mut Tx, id: &str, service: &str, region: &str) {
        let at = tx.now();
        let Some(key) = tx.get::<Self>(&id.to_owned()) else { return };
        if key.use_is_known(at) {
            return;
        }
        let last_used = LastUsed { at, service: service.to_owned(), region: region.to_owned() };
        let key = Self { last_used: Some(last_used), ..Self::clone(key) };
        tx.put(key);
    }

    /// Who signs with this key; none if the key is switched off, or its user is gone.
    #[must_use]
    pub fn caller(&self, state: &State) -> Option<Caller> {
        if self.inactive || !Account::is_open(state, self.account) {
            return None;
        }
        match &self.owner {
            KeyOwner::Root => Some(Caller::root(self.account)),
            KeyOwner::User(id) => {
                let user = state.get::<User>(id)?;
                let principal = Principal::User(id.clone());
                Some(Caller::lasting(self.account, user.arn(), id.to_string(), principal))
            }
        }
    }
}

/// The caller and the secret behind an access key ID.
#[must_use]
pub fn authenticate(state: &State, access_key_id: &str) -> Option<(Caller, String)> {
    let key = state.get::<AccessKey>(&access_key_id.to_owned())?;
    Some((key.caller(state)?, key.secret.clone()))
}
