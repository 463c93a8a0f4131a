//! Temporary credentials that nobody stores: all of a session is in its token, sealed.
//!
//! ```text
//! cloud's master key ──▶ SessionKey ──┬─ seal(Session, salt) ──▶ Credentials: ID, secret, token
//!                                     └─ open(token, ID) ──────▶ Session, secret
//! ```
//! A token is a version byte, a random salt and the session, compressed and encrypted with AES-256-GCM
//! under a key of its own that the salt gives; access key ID and secret come from the salt, too. So a
//! token can't be made, changed or given to another key ID by anybody without the key, and the same
//! session can be told by every process that has it. Nothing here reads a clock or draws chance.

mod key;
mod sealed;

pub use key::{Credentials, OpenError, SALT_BYTES, Salt, SessionKey, account_of, packed_bytes};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use types::{AccountId, Timestamp};

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The root user, by `GetSessionToken`.
    Root,
    /// A user, by `GetSessionToken`.
    User {
        /// `AIDA…`.
        id: String,
    },
    /// Whoever assumed a role.
    Role {
        /// `AROA…`.
        id: String,
        /// The role's name, which is for ever.
        name: String,
        /// The session's name, chosen by who assumed the role.
        session_name: String,
    },
    /// A federated user, made by `GetFederationToken`.
    Federated {
        /// `AIDA…` of the user who made it; none if that was the root user.
        user: Option<String>,
        /// The name given to it.
        name: String,
    },
}

/// A session: who acts, until when, and what narrows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account that it acts for.
    pub account: AccountId,
    /// Whose it is.
    pub subject: Subject,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// The text of the policy that was passed along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// ARNs of managed policies that were passed along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// Session tags, in addition to those of the role or user and in their place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The keys of session tags that go on when a further role is assumed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub transitive: BTreeSet<String>,
    /// The source identity, which goes on through all roles assumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// When a second factor was shown, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_at: Option<Timestamp>,
    /// The identity provider that vouched for who assumed the role: its ARN or domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The instance that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceOrigin>,
}

/// The instance that a session was made for, as its condition keys name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceOrigin {
    /// `arn:aws:ec2:REGION:ACCOUNT:instance/i-…`.
    pub arn: String,
    /// `vpc-…`.
    pub vpc: String,
    /// The primary address of its first interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// The version of the metadata service that gave the credentials out: `1.0` or `2.0`.
    pub delivery: String,
}

impl InstanceOrigin {
    /// The condition keys that it gives, each with its value.
    pub fn keys(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let address = self.private_ip.as_deref();
        let address = address.map(|ip| ("aws:Ec2InstanceSourcePrivateIPv4", ip));
        [
            ("ec2:SourceInstanceARN", self.arn.as_str()),
            ("ec2:RoleDelivery", self.delivery.as_str()),
            ("aws:Ec2InstanceSourceVpc", self.vpc.as_str()),
        ]
        .into_iter()
        .chain(address)
    }
}

impl Session {
    /// The session's ARN, of roles and federated users; none of users and root users, who keep
    /// their own.
    #[must_use]
    pub fn arn(&self) -> Option<String> {
        let account = self.account;
        match &self.subject {
            Subject::Root | Subject::User { .. } => None,
            Subject::Role { name, session_name, .. } => {
                Some(format!("arn:aws:sts::{account}:assumed-role/{name}/{session_name}"))
            }
            Subject::Federated { name, .. } => {
                Some(format!("arn:aws:sts::{account}:federated-user/{name}"))
            }
        }
    }

    /// The unique ID as policies and answers show it; none of users and root users.
    #[must_use]
    pub fn user_id(&self) -> Option<String> {
        match &self.subject {
            Subject::Root | Subject::User { .. } => None,
            Subject::Role { id, session_name, .. } => Some(format!("{id}:{session_name}")),
            Subject::Federated { name, .. } => Some(format!("{}:{name}", self.account)),
        }
    }

    /// Whether a session policy was passed along.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.policy.is_some() || !self.policy_arns.is_empty()
    }
}
