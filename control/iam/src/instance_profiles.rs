//! Instance profiles: what gives a role to instances.

use crate::{Named, UniqueId};
use serde::{Deserialize, Serialize};
use state::Row;
use std::fmt::Display;
use types::{Scope, Tags};

/// An instance profile: the container in which a role reaches an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Path, name, `AIPA…`.
    pub named: Named,
    /// Its role: one at most.
    pub role: Option<UniqueId>,
    /// Its tags.
    pub tags: Tags,
}

impl Row for InstanceProfile {
    const TABLE: &'static str = "iam-instance-profile";
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
        if let Some(role) = &self.role {
            add("role", role);
        }
    }
}

impl InstanceProfile {
    /// `arn:aws:iam::ACCOUNT:instance-profile/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("instance-profile")
    }
}
