//! Accounts, and what is set for an account as a whole.

pub mod alias;
pub mod details;
pub mod features;
pub mod password_policy;
pub mod preferences;
pub mod report;
pub mod summary;

use serde::{Deserialize, Serialize};
use state::{Row, Tx};
use std::fmt::Display;
use types::{AccountId, Scope, Timestamp};

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
    }
}

impl Account {
    /// Makes the account, unless it exists.
    pub fn ensure(tx: &mut Tx, id: AccountId, name: &str) {
        if tx.get::<Self>(&id).is_none() {
            let created = tx.now();
            tx.put(Self {
                id,
                name: name.to_owned(),
                created,
                alias: None,
                password_policy: None,
                second_token_version: false,
            });
        }
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
