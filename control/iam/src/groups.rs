//! Groups of users.

use crate::{Named, Permissions, UniqueId};
use serde::{Deserialize, Serialize};
use state::Row;
use std::fmt::Display;
use types::Scope;

/// A group; its members are the users that name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Path, name, `AGPA…`.
    pub named: Named,
    /// The policies of its members; no boundary.
    pub permissions: Permissions,
}

impl Row for Group {
    const TABLE: &'static str = "iam-group";
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

impl Group {
    /// `arn:aws:iam::ACCOUNT:group/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("group")
    }
}
