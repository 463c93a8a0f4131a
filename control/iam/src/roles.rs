//! Roles.

use crate::{Named, Permissions, PolicyText, UniqueId};
use serde::{Deserialize, Serialize};
use state::Row;
use std::fmt::Display;
use types::{Scope, Tags, Timestamp};

/// A role: permissions that whoever its trust policy allows may assume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Path, name, `AROA…`.
    pub named: Named,
    /// Its policies and its boundary.
    pub permissions: Permissions,
    /// Who may assume it.
    pub trust: PolicyText,
    /// For people.
    pub description: Option<String>,
    /// How long a session of it may last at most, in seconds.
    pub max_session_s: i32,
    /// Its tags.
    pub tags: Tags,
    /// The service that it is linked to, such as `autoscaling.amazonaws.com`.
    pub linked_service: Option<String>,
    /// When and in which region it was last used.
    pub last_used: Option<(Timestamp, String)>,
}

impl Row for Role {
    const TABLE: &'static str = "iam-role";
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
        self.permissions.indexes(add);
    }
}

impl Role {
    /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("role")
    }
}
