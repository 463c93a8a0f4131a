//! What an identity may do: inline and attached policies, boundaries, and those of a principal.

use crate::{
    PolicyText, UniqueId, groups::Group, policies, policies::ManagedPolicy, roles::Role,
    users::User,
};
use policy::Compiled;
use serde::{Deserialize, Serialize};
use state::State;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use types::AccountId;

/// The policies of a user, a group or a role.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Permissions {
    /// Inline policies by name.
    pub inline: BTreeMap<String, PolicyText>,
    /// ARNs of the managed policies attached.
    pub attached: BTreeSet<String>,
    /// ARN of the managed policy that is the boundary; groups have none.
    pub boundary: Option<String>,
}

impl Permissions {
    /// Indexes by attached policy and by boundary.
    pub(crate) fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn std::fmt::Display)) {
        for arn in &self.attached {
            add("attached", arn);
        }
        if let Some(arn) = &self.boundary {
            add("boundary", arn);
        }
    }
}

/// Whose policies count for a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The root user of an account, which has no policies and may do all.
    Root(AccountId),
    /// A user, by unique ID.
    User(UniqueId),
    /// A role, by unique ID: its sessions.
    Role(UniqueId),
}

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `user`, `group`, `role`, or `none` of an attached policy.
    pub kind: &'static str,
    /// The name of the user, group or role that has it inline; the managed policy's ARN.
    pub owner: String,
    /// The policy's name.
    pub name: String,
}

/// The identity policies of a principal, and its boundary.
#[derive(Debug, Clone, Default)]
pub struct PrincipalPolicies {
    /// Inline, attached, and those of the user's groups, compiled.
    pub identity: Vec<Arc<Compiled>>,
    /// The permissions boundary, compiled.
    pub boundary: Option<Arc<Compiled>>,
}

/// The compiled policies of a principal; none if there is no such principal (any more).
#[must_use]
pub fn policies_of(state: &State, principal: &Principal) -> Option<PrincipalPolicies> {
    let mut identity = Vec::new();
    let mut add = |_: Source, text: &PolicyText| identity.push(text.identity().clone());
    let boundary = visit_policies(state, principal, &mut add)?;
    // A boundary that is gone allows nothing: it can't be deleted while it is one.
    let boundary = boundary.map(|arn| match policies::find(state, &arn) {
        Some(row) => row.document().identity().clone(),
        None => PolicyText::unread(String::new()).identity().clone(),
    });
    Some(PrincipalPolicies { identity, boundary })
}

/// Visits the identity policies of a principal and gives the ARN of its boundary; none if there is
/// no such principal.
pub(crate) fn visit_policies(
    state: &State,
    principal: &Principal,
    visit: &mut dyn FnMut(Source, &PolicyText),
) -> Option<Option<String>> {
    match principal {
        Principal::Root(_) => Some(None),
        Principal::User(id) => {
            let user = state.get::<User>(id)?;
            of_permissions(state, &user.permissions, "user", &user.named.name, visit);
            for group in user.groups.iter().filter_map(|id| state.get::<Group>(id)) {
                of_permissions(state, &group.permissions, "group", &group.named.name, visit);
            }
            Some(user.permissions.boundary.clone())
        }
        Principal::Role(id) => {
            let role = state.get::<Role>(id)?;
            of_permissions(state, &role.permissions, "role", &role.named.name, visit);
            Some(role.permissions.boundary.clone())
        }
    }
}

/// Visits an identity's own policies.
pub(crate) fn of_permissions(
    state: &State,
    permissions: &Permissions,
    kind: &'static str,
    owner: &str,
    visit: &mut dyn FnMut(Source, &PolicyText),
) {
    for (name, text) in &permissions.inline {
        visit(Source { kind, owner: owner.to_owned(), name: name.clone() }, text);
    }
    for arn in &permissions.attached {
        if let Some(row) = policies::find(state, arn) {
            let name = row.named.name.clone();
            let source = Source { kind: "none", owner: arn.clone(), name };
            visit(source, ManagedPolicy::document(row));
        }
    }
}

#[cfg(test)]
mod tests;
