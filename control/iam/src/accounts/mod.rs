//! Accounts, and what is set for an account as a whole.

pub mod alias;
pub mod details;
pub mod features;
pub mod membership;
pub mod password_policy;
pub mod preferences;
pub mod report;
pub mod summary;

use serde::{Deserialize, Serialize};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{AccountId, Scope, Tags, Timestamp};

/// An account: resources of different accounts never meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// 12 digits.
    pub id: AccountId,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The name by which users sign in to it; unique in the cloud.
    #[serde(default)]
    pub alias: Option<String>,
    /// What passwords must be like; none is AWS's default.
    #[serde(default)]
    pub password_policy: Option<password_policy::PasswordRules>,
    /// Whether tokens of STS's global endpoint are of the second version.
    #[serde(default)]
    pub second_token_version: bool,
    /// Whose it is, for people; unique among the organization's members that have one.
    #[serde(default)]
    pub email: Option<String>,
    /// The role by which the organization's management account gets in.
    #[serde(default)]
    pub access_role: Option<String>,
    /// When it was closed: nobody signs for it any more.
    #[serde(default)]
    pub closed: Option<Timestamp>,
    /// Its tags in the organization.
    #[serde(default)]
    pub tags: Tags,
}

impl Row for Account {
    const TABLE: &'static str = "account";
    type Key = AccountId;
    fn key(&self) -> AccountId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if let Some(alias) = &self.alias {
            add("alias", alias);
        }
        if let Some(email) = &self.email {
            add("email", &email.to_lowercase());
        }
    }
}

impl Account {
    /// Makes the account, unless it exists.
    pub fn ensure(tx: &mut Tx, id: AccountId, name: &str) {
        if tx.get::<Self>(&id).is_none() {
            let created = tx.now();
            tx.put(Self::new(id, name.to_owned(), created));
        }
    }

    fn new(id: AccountId, name: String, created: Timestamp) -> Self {
        Self {
            id,
            name,
            created,
            alias: None,
            password_policy: None,
            second_token_version: false,
            email: None,
            access_role: None,
            closed: None,
            tags: Tags::new(),
        }
    }

    /// Whether an account may act: one that was closed may not.
    #[must_use]
    pub fn is_open(state: &State, id: AccountId) -> bool {
        state.get::<Self>(&id).is_none_or(|account| account.closed.is_none())
    }
}

/// The caller's account, to be changed and put back.
pub(crate) fn take(tx: &mut Tx, request: &crate::Request) -> Account {
    let id = request.caller.account;
    Account::ensure(tx, id, "account");
    match tx.get::<Account>(&id) {
        Some(account) => Account::clone(account),
        None => unreachable!("the account was just made"),
    }
}
