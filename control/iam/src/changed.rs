//! Whom a commit may have given or taken something.

use crate::{AccessKey, Group, ManagedPolicy, Role, User};
use state::{ChangeSet, State};
use std::collections::BTreeSet;

/// The access keys, users and roles (by their IDs) and managed policies (by their ARNs) that a commit
/// changed, or of which it changed what they may do. What a policy says is its own matter: whoever has
/// it attached isn't listed.
#[must_use]
pub fn changed(after: &State, changes: &ChangeSet) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    ids.extend(changes.of::<AccessKey>().map(|change| change.key.clone()));
    for user in changes.of::<User>() {
        ids.insert(user.key.to_string());
        // A user's name is in the ARN that its keys sign for.
        ids.extend(after.find::<AccessKey>("user", &user.key).map(|key| key.id.clone()));
    }
    ids.extend(changes.of::<Role>().map(|change| change.key.to_string()));
    ids.extend(changes.of::<ManagedPolicy>().map(|change| change.key.clone()));
    for group in changes.of::<Group>() {
        let members = after.find::<User>("group", &group.key);
        ids.extend(members.map(|user| user.named.id.to_string()));
    }
    ids
}
