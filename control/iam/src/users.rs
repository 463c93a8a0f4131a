//! Users.

use crate::{Named, Permissions, UniqueId};
use serde::{Deserialize, Serialize};
use state::Row;
use std::{collections::BTreeSet, fmt::Display};
use types::{Scope, Tags, Timestamp};

/// A user of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Path, name, `AIDA…`.
    pub named: Named,
    /// Its own policies and its boundary.
    pub permissions: Permissions,
    /// The groups that it is in.
    pub groups: BTreeSet<UniqueId>,
    /// Its tags.
    pub tags: Tags,
    /// When it last signed in to the console.
    pub password_last_used: Option<Timestamp>,
}

impl Row for User {
    const TABLE: &'static str = "iam-user";
    type Key = UniqueId;
    fn key(&self) -> UniqueId {
        self.named.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.named.account);
        add("name", &self.named.place());
        for group in &self.groups {
            add("group", group);
        }
        self.permissions.indexes(add);
    }
}

impl User {
    /// `arn:aws:iam::ACCOUNT:user/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("user")
    }
}
