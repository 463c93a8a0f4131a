//! Accounts, and what is set for an account as a whole.

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
            tx.put(Self { id, name: name.to_owned(), created, alias: None });
        }
    }
}
