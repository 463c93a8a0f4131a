//! Accounts and their access keys.

use crate::Caller;
use serde::{Deserialize, Serialize};
use state::{Row, State, Tx};
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
}

/// A long-lived credential of an account's root user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The secret that signs.
    pub secret: String,
    /// Whose it is.
    pub account: AccountId,
    /// When it was made.
    pub created: Timestamp,
}

impl Row for AccessKey {
    const TABLE: &'static str = "access-key";
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn std::fmt::Display)) {
        add("account", &self.account);
    }
}

impl Account {
    /// Makes the account, unless it exists.
    pub fn ensure(tx: &mut Tx, id: AccountId, name: &str) {
        if tx.get::<Self>(&id).is_none() {
            let created = tx.now();
            tx.put(Self { id, name: name.to_owned(), created });
        }
    }
}

impl AccessKey {
    /// Makes an access key of the account's root user.
    pub fn create(tx: &mut Tx, account: AccountId) -> Self {
        const ID: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        const SECRET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = |alphabet: &[u8], length: usize| {
            let mut bytes = vec![0; length];
            tx.effects().fill(&mut bytes);
            // Both alphabets' sizes divide 256, so each character is equally likely.
            let character = |byte: u8| char::from(alphabet[usize::from(byte) % alphabet.len()]);
            bytes.into_iter().map(character).collect::<String>()
        };
        let id = format!("AKIA{}", text(ID, 16));
        let secret = text(SECRET, 40);
        let key = Self { id, secret, account, created: tx.now() };
        tx.put(key.clone());
        key
    }
}

/// The caller and the secret behind an access key ID.
#[must_use]
pub fn authenticate(state: &State, access_key_id: &str) -> Option<(Caller, String)> {
    let key = state.get::<AccessKey>(&access_key_id.to_owned())?;
    Some((Caller::root(key.account), key.secret.clone()))
}
