//! Who has a managed policy, attached or as a boundary.

use crate::{
    Group, Named, Request, Role, User,
    page::{Asked, Page, page},
    policies,
};
use shapes::{
    Fault,
    iam::{
        EntityType, ListEntitiesForPolicyRequest, ListEntitiesForPolicyResponse, PolicyGroup,
        PolicyRole, PolicyUsageType, PolicyUser,
    },
};
use state::State;
use types::AccountId;

/// How many of an account's identities have a policy, by the index `attached` or `boundary`.
pub(super) fn count(state: &State, account: AccountId, index: &'static str, arn: &str) -> i32 {
    let users = state.find::<User>(index, arn).map(|row| row.named.account);
    let groups = state.find::<Group>(index, arn).map(|row| row.named.account);
    let roles = state.find::<Role>(index, arn).map(|row| row.named.account);
    let of_account = users.chain(groups).chain(roles).filter(|owner| *owner == account);
    i32::try_from(of_account.count()).unwrap_or(i32::MAX)
}

/// An identity that has a policy.
enum Holder {
    Group(PolicyGroup),
    User(PolicyUser),
    Role(PolicyRole),
}

/// The users, groups and roles that have a policy.
///
/// # Errors
/// There is no such policy, or the page is invalid.
pub fn list_entities_for_policy(
    state: &State,
    request: &Request,
    input: ListEntitiesForPolicyRequest,
) -> Result<ListEntitiesForPolicyResponse, Fault> {
    let ListEntitiesForPolicyRequest {
        policy_arn,
        entity_filter,
        path_prefix,
        policy_usage_filter,
        marker,
        max_items,
    } = input;
    let arn = policies::find_visible(state, request, policy_arn.as_deref())?.arn();
    let indexes: &[&'static str] = match policy_usage_filter {
        Some(PolicyUsageType::PermissionsPolicy) => &["attached"],
        Some(PolicyUsageType::PermissionsBoundary) => &["boundary"],
        None => &["attached", "boundary"],
    };
    let prefix = path_prefix.as_deref().unwrap_or("/");
    let wanted =
        |named: &Named| named.account == request.caller.account && named.path.starts_with(prefix);
    let (groups, users, roles) = match entity_filter {
        None => (true, true, true),
        Some(EntityType::Group) => (true, false, false),
        Some(EntityType::User) => (false, true, false),
        Some(EntityType::Role) => (false, false, true),
        Some(EntityType::LocalManagedPolicy | EntityType::AWSManagedPolicy) => {
            (false, false, false)
        }
    };
    let mut holders = std::collections::BTreeMap::new();
    for index in indexes {
        for row in state.find::<Group>(index, &arn).filter(|row| groups && wanted(&row.named)) {
            holders.insert(format!("g{}", row.named.id), Holder::Group(group(&row.named)));
        }
        for row in state.find::<User>(index, &arn).filter(|row| users && wanted(&row.named)) {
            holders.insert(format!("u{}", row.named.id), Holder::User(user(&row.named)));
        }
        for row in state.find::<Role>(index, &arn).filter(|row| roles && wanted(&row.named)) {
            holders.insert(format!("r{}", row.named.id), Holder::Role(role(&row.named)));
        }
    }
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } = page(holders, |(key, _)| key.clone(), asked)?;
    let (mut groups, mut users, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    for (_, holder) in items {
        match holder {
            Holder::Group(group) => groups.push(group),
            Holder::User(user) => users.push(user),
            Holder::Role(role) => roles.push(role),
        }
    }
    Ok(ListEntitiesForPolicyResponse {
        policy_groups: Some(groups),
        policy_users: Some(users),
        policy_roles: Some(roles),
        is_truncated: Some(is_truncated),
        marker,
    })
}

fn group(named: &Named) -> PolicyGroup {
    let (name, id) = (named.name.clone(), named.id.to_string());
    PolicyGroup { group_name: Some(name), group_id: Some(id) }
}

fn user(named: &Named) -> PolicyUser {
    let (name, id) = (named.name.clone(), named.id.to_string());
    PolicyUser { user_name: Some(name), user_id: Some(id) }
}

fn role(named: &Named) -> PolicyRole {
    let (name, id) = (named.name.clone(), named.id.to_string());
    PolicyRole { role_name: Some(name), role_id: Some(id) }
}
