//! Whom a commit may have given or taken something.

use crate::{AccessKey, Account, Group, ManagedPolicy, Role, User};
use state::{ChangeSet, State};
use std::collections::BTreeSet;

/// The access keys, users, roles and closed accounts (by their IDs) and managed policies (by their ARNs) that a commit
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
    for account in changes.of::<Account>() {
        // All that is its goes with it, and comes back with it.
        let closed = |row: &Option<std::sync::Arc<Account>>| row.as_ref().map(|row| row.closed);
        if closed(&account.before).flatten() == closed(&account.after).flatten() {
            continue;
        }
        let at = &account.key;
        ids.insert(at.to_string());
        ids.extend(after.find::<AccessKey>("account", at).map(|key| key.id.clone()));
        ids.extend(after.find::<User>("account", at).map(|user| user.named.id.to_string()));
        ids.extend(after.find::<Role>("account", at).map(|role| role.named.id.to_string()));
    }
    ids
}
