//! Who may sign: what the server tells the object store of accounts and their access keys.
//!
//! The objects role connects to the server's socket. The server sends
//! [`ToObjects::Identities`] with `reset` first, then each change: JSON values, one a line. The
//! store goes on with what it knows while the server is away.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use types::AccountId;

/// An access key, and who signs with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `AKIA…`.
    pub access_key_id: String,
    /// The secret that signs.
    pub secret: String,
    /// The account that the signer acts for.
    pub account: AccountId,
    /// The signer's ARN.
    pub arn: String,
    /// The signer's unique ID; of the root user, the account's.
    pub user_id: String,
    /// The account's canonical user ID: see [`canonical_id`].
    pub canonical_id: String,
    /// Whether this is the account's root user.
    pub root: bool,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A log must not hold a secret.
        f.debug_struct("Identity")
            .field("access_key_id", &self.access_key_id)
            .field("arn", &self.arn)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The root user of an account.
    #[must_use]
    pub fn root(access_key_id: String, secret: String, account: AccountId) -> Self {
        Self {
            access_key_id,
            secret,
            account,
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            canonical_id: canonical_id(account),
            root: true,
        }
    }
}

/// An account's canonical user ID, by which S3 names owners and grantees: 64 hexadecimal digits,
/// the same for ever.
#[must_use]
pub fn canonical_id(account: AccountId) -> String {
    use std::fmt::Write as _;
    let sum = Sha256::digest(format!("fogbank canonical user {account}"));
    sum.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A change to the known identities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identities {
    /// The state's revision that this leads to.
    pub revision: u64,
    /// What is not in this message is no longer known.
    pub reset: bool,
    /// Whether any secret is accepted, and a 12-digit access key is the account.
    pub trust_any_key: bool,
    /// Keys that are new or differ.
    pub put: Vec<Identity>,
    /// Access key IDs that are good no longer.
    pub remove: Vec<String>,
}

/// From the server to the object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToObjects {
    /// Who may sign from now on.
    Identities(Identities),
    /// The answer to [`FromObjects::Sync`] with the same number.
    Synced(u64),
}

/// From the object store to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromObjects {
    /// Send what was committed until now, then [`ToObjects::Synced`] with this number.
    Sync(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_id_is_the_accounts_alone() {
        let one = canonical_id(AccountId::DEFAULT);
        assert_eq!(one.len(), 64);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(one, canonical_id(AccountId::DEFAULT));
        assert_ne!(one, canonical_id(AccountId::SYSTEM));
    }

    #[test]
    fn a_secret_is_not_in_the_debug_form() {
        let identity = Identity::root("AKIA1".into(), "s3cr3t".into(), AccountId::DEFAULT);
        assert!(!format!("{identity:?}").contains("s3cr3t"));
    }
}
