//! Who may sign, and what for: what the server tells the object store of accounts, their access keys,
//! users, roles and policies.
//!
//! The objects role connects to the server's socket. The server sends
//! [`ToObjects::Identities`] with `reset` first, then each change: JSON values, one a line. The
//! store goes on with what it knows while the server is away. Before the server answers a call that
//! changed identities, it has heard from the store that it knows ([`ToObjects::Fence`]).

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The unique ID of the user whose policies count; none of the root user.
    #[serde(default)]
    pub principal: Option<String>,
}

/// A user or a role, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `AIDA…` or `AROA…`.
    pub id: String,
    /// The account that it is of.
    pub account: AccountId,
    /// `arn:aws:iam::ACCOUNT:user/…` or `:role/…`.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The texts of its inline policies, and of its groups'.
    pub inline: Vec<String>,
    /// ARNs of the managed policies attached to it, and to its groups.
    pub attached: Vec<String>,
    /// The ARN of its permissions boundary.
    pub boundary: Option<String>,
    /// The text of its trust policy; none of a user.
    #[serde(default)]
    pub trust: Option<String>,
}

/// A managed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// Its ARN.
    pub arn: String,
    /// The text of the version in force.
    pub text: String,
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
            principal: None,
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
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identities {
    /// The state's revision that this leads to.
    pub revision: u64,
    /// What is not in this message is no longer known.
    pub reset: bool,
    /// Whether the store now knows all: the first ones of a connection come in parts.
    pub ready: bool,
    /// Whether any secret is accepted, and a 12-digit access key is the account.
    pub trust_any_key: bool,
    /// Keys that are new or differ.
    pub put: Vec<Identity>,
    /// Users and roles that are new or differ.
    #[serde(default)]
    pub subjects: Vec<Subject>,
    /// Managed policies that are new or differ.
    #[serde(default)]
    pub policies: Vec<Managed>,
    /// Access key IDs, unique IDs and policies' ARNs that are good no longer.
    pub remove: Vec<String>,
    /// What opens session tokens; none if it is as it was.
    #[serde(default)]
    pub session_key: Option<[u8; 32]>,
    /// All accounts that are closed: nobody acts for them.
    #[serde(default)]
    pub closed: BTreeSet<AccountId>,
    /// The ID of the organization that all accounts are in; none if it is as it was.
    #[serde(default)]
    pub organization: Option<String>,
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identities")
            .field("revision", &self.revision)
            .field("reset", &self.reset)
            .field("put", &self.put)
            .field("subjects", &self.subjects.len())
            .field("policies", &self.policies.len())
            .field("remove", &self.remove)
            .finish_non_exhaustive()
    }
}

/// From the server to the object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToObjects {
    /// Who may sign from now on.
    Identities(Identities),
    /// The answer to [`FromObjects::Sync`] with the same number.
    Synced(u64),
    /// Say [`FromObjects::Fenced`] with this number once all that was sent before is in force.
    Fence(u64),
}

/// The use of an access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// `AKIA…`, or `ASIA…` of a session.
    pub access_key_id: String,
    /// The signer's unique ID; of a role's session, `AROA…:SESSION`.
    pub user_id: String,
    /// The region that the request was signed for.
    pub region: String,
}

/// From the object store to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromObjects {
    /// Send what was committed until now, then [`ToObjects::Synced`] with this number.
    Sync(u64),
    /// All that came before [`ToObjects::Fence`] with this number is in force.
    Fenced(u64),
    /// A key signed a request, for the first time in a while.
    Used(Used),
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
