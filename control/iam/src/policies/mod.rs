//! Managed policies, the account's and AWS's.

mod aws;

use crate::{Named, PolicyText};
use serde::{Deserialize, Serialize};
use state::{Row, State};
use std::fmt::Display;
use types::{Scope, Tags, Timestamp};

/// How many versions of a policy are kept.
pub const MAX_VERSIONS: usize = 5;

/// A version of a managed policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// 1 of `v1`.
    pub number: u32,
    /// What it says.
    pub document: PolicyText,
    /// When it was made.
    pub created: Timestamp,
}

/// A policy that can be attached to several identities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Path, name, `ANPA…`.
    pub named: Named,
    /// For people.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// At least one, in the order of their numbers.
    pub versions: Vec<PolicyVersion>,
    /// The number of the version in force.
    pub default_version: u32,
    /// The number of the version that was made last; numbers are not given again.
    pub last_version: u32,
    /// When its versions last changed.
    pub updated: Timestamp,
}

impl Row for ManagedPolicy {
    const TABLE: &'static str = "iam-policy";
    /// The ARN: a policy's name and path are for ever.
    type Key = String;
    fn key(&self) -> String {
        self.arn()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.named.account);
        add("name", &self.named.place());
    }
}

impl ManagedPolicy {
    /// `arn:aws:iam::ACCOUNT:policy/PATH/NAME`; AWS's own have `aws` for the account.
    #[must_use]
    pub fn arn(&self) -> String {
        if self.is_aws() {
            return format!("arn:aws:iam::aws:policy{}{}", self.named.path, self.named.name);
        }
        self.named.arn("policy")
    }

    /// Whether it is one of AWS's.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        self.named.account == types::AccountId::SYSTEM
    }

    /// A version by its number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The document in force.
    #[must_use]
    pub fn document(&self) -> &PolicyText {
        let default = self.version(self.default_version).or(self.versions.first());
        match default {
            Some(version) => &version.document,
            None => unreachable!("{} has a version", self.named.name),
        }
    }
}

/// The managed policy with this ARN, the account's or AWS's.
#[must_use]
pub fn find<'a>(state: &'a State, arn: &str) -> Option<&'a ManagedPolicy> {
    if let Some(policy) = aws::get(arn) {
        return Some(policy);
    }
    state.get::<ManagedPolicy>(&arn.to_owned()).map(AsRef::as_ref)
}
