//! What the resources of IAM have in common: a path, a name, a unique ID and an ARN.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use state::Tx;
use std::fmt;
use types::{AccountId, Timestamp};

/// An ID that is never given again: a prefix that says of what, and 17 letters and digits. It
/// outlives a change of name, and tells a resource from an earlier one of the same name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UniqueId(SmolStr);

impl UniqueId {
    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID that this text is, whether or not it was ever given.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// A new ID with a prefix such as `AIDA`.
    pub fn new(tx: &mut Tx, prefix: &str) -> Self {
        Self(format!("{prefix}{}", random_text(tx, ID_ALPHABET, 17)).into())
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What IDs are made of.
pub(crate) const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A random text of an alphabet whose size divides 256, so that each character is equally likely.
pub(crate) fn random_text(tx: &mut Tx, alphabet: &[u8], length: usize) -> String {
    let mut bytes = vec![0; length];
    tx.effects().fill(&mut bytes);
    let character = |byte: u8| char::from(alphabet[usize::from(byte) % alphabet.len()]);
    bytes.into_iter().map(character).collect()
}

/// Path, name, ID, owner and age of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The owning account.
    pub account: AccountId,
    /// Begins and ends with a slash.
    pub path: String,
    /// Unique among the account's resources of its kind, without regard to case.
    pub name: String,
    /// Unique for ever.
    pub id: UniqueId,
    /// When it was made.
    pub created: Timestamp,
}

impl Named {
    /// A new resource's; `prefix` is its kind's, such as `AIDA`.
    pub fn new(
        tx: &mut Tx,
        account: AccountId,
        prefix: &str,
        path: Option<String>,
        name: String,
    ) -> Self {
        let id = UniqueId::new(tx, prefix);
        let path = path.unwrap_or_else(|| "/".to_owned());
        Self { account, path, name, id, created: tx.now() }
    }

    /// The ARN of a resource of this kind, such as `user`.
    #[must_use]
    pub fn arn(&self, kind: &str) -> String {
        format!("arn:aws:iam::{}:{kind}{}{}", self.account, self.path, self.name)
    }

    /// The value of the index `name`, in which the resource is found.
    #[must_use]
    pub fn place(&self) -> String {
        place(self.account, &self.name)
    }
}

/// The value in the index `name` of an account's resource of this name.
#[must_use]
pub fn place(account: AccountId, name: &str) -> String {
    format!("{account}/{}", name.to_ascii_lowercase())
}
