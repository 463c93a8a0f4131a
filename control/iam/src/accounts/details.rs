//! All identities of an account with their policies, in one answer.

use crate::{
    Group, ManagedPolicy, Request, Role, User, entity, instance_profiles,
    page::{Asked, Page, page},
    policies::{self, versions},
    tags,
};
use shapes::{
    Fault,
    iam::{
        EntityType, GetAccountAuthorizationDetailsRequest, GetAccountAuthorizationDetailsResponse,
        GroupDetail, ManagedPolicyDetail, Policy, PolicyScopeType, RoleDetail, UserDetail,
    },
};
use state::State;

/// What an answer lists.
enum Detail<'a> {
    User(&'a User),
    Group(&'a Group),
    Role(&'a Role),
    Policy(&'a ManagedPolicy),
}

impl Detail<'_> {
    /// Where it stands: users first, then by name.
    fn key(&self) -> String {
        let (order, id) = match self {
            Detail::User(row) => ("a", &row.named.id),
            Detail::Group(row) => ("b", &row.named.id),
            Detail::Role(row) => ("c", &row.named.id),
            Detail::Policy(row) => ("d", &row.named.id),
        };
        format!("{order}{id}")
    }
}

/// The account's users, groups, roles and policies, and AWS's policies that are attached, as far
/// as the filter asks for them.
///
/// # Errors
/// The page is invalid.
pub fn get_account_authorization_details(
    state: &State,
    request: &Request,
    input: GetAccountAuthorizationDetailsRequest,
) -> Result<GetAccountAuthorizationDetailsResponse, Fault> {
    let GetAccountAuthorizationDetailsRequest { filter, max_items, marker } = input;
    let filter = filter.unwrap_or_default();
    let wanted = |kind| filter.is_empty() || filter.contains(&kind);
    let Page { items, is_truncated, marker } =
        page(all(state, request, &wanted), Detail::key, Asked { marker, max_items })?;
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    let (mut roles, mut policies) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Detail::User(row) => users.push(user(state, row)),
            Detail::Group(row) => groups.push(group(state, row)),
            Detail::Role(row) => roles.push(role(state, row)),
            Detail::Policy(row) => policies.push(policy(state, request, row)),
        }
    }
    Ok(GetAccountAuthorizationDetailsResponse {
        user_detail_list: Some(users),
        group_detail_list: Some(groups),
        role_detail_list: Some(roles),
        policies: Some(policies),
        is_truncated: Some(is_truncated),
        marker,
    })
}

fn all<'a>(
    state: &'a State,
    request: &Request,
    wanted: &dyn Fn(EntityType) -> bool,
) -> Vec<Detail<'a>> {
    let account = request.caller.account;
    let mut all = Vec::new();
    if wanted(EntityType::User) {
        all.extend(state.find::<User>("account", account).map(|row| Detail::User(row)));
    }
    if wanted(EntityType::Group) {
        all.extend(state.find::<Group>("account", account).map(|row| Detail::Group(row)));
    }
    if wanted(EntityType::Role) {
        all.extend(state.find::<Role>("account", account).map(|row| Detail::Role(row)));
    }
    if wanted(EntityType::LocalManagedPolicy) {
        let rows = policies::visible(state, account, PolicyScopeType::Local);
        all.extend(rows.map(Detail::Policy));
    }
    if wanted(EntityType::AWSManagedPolicy) {
        let rows = policies::visible(state, account, PolicyScopeType::Aws);
        let rows = rows.filter(|row| row.to_api(state, account).attachment_count > Some(0));
        all.extend(rows.map(Detail::Policy));
    }
    all
}

fn user(state: &State, row: &User) -> UserDetail {
    let groups = row.groups.iter().filter_map(|id| state.get::<Group>(id));
    UserDetail {
        path: Some(row.named.path.clone()),
        user_name: Some(row.named.name.clone()),
        user_id: Some(row.named.id.to_string()),
        arn: Some(row.arn()),
        create_date: Some(row.named.created),
        user_policy_list: Some(entity::all_inline(&row.permissions)),
        group_list: Some(groups.map(|group| group.named.name.clone()).collect()),
        attached_managed_policies: Some(entity::all_attached(state, &row.permissions)),
        permissions_boundary: entity::boundary_to_api(&row.permissions),
        tags: tags::to_api(&row.tags),
    }
}

fn group(state: &State, row: &Group) -> GroupDetail {
    GroupDetail {
        path: Some(row.named.path.clone()),
        group_name: Some(row.named.name.clone()),
        group_id: Some(row.named.id.to_string()),
        arn: Some(row.arn()),
        create_date: Some(row.named.created),
        group_policy_list: Some(entity::all_inline(&row.permissions)),
        attached_managed_policies: Some(entity::all_attached(state, &row.permissions)),
    }
}

fn role(state: &State, row: &Role) -> RoleDetail {
    let profiles = instance_profiles::of_role(state, row);
    RoleDetail {
        path: Some(row.named.path.clone()),
        role_name: Some(row.named.name.clone()),
        role_id: Some(row.named.id.to_string()),
        arn: Some(row.arn()),
        create_date: Some(row.named.created),
        assume_role_policy_document: Some(row.trust.encoded()),
        instance_profile_list: Some(profiles.map(|profile| profile.to_api(state)).collect()),
        role_policy_list: Some(entity::all_inline(&row.permissions)),
        attached_managed_policies: Some(entity::all_attached(state, &row.permissions)),
        permissions_boundary: entity::boundary_to_api(&row.permissions),
        tags: tags::to_api(&row.tags),
        role_last_used: Some(row.last_used()),
    }
}

fn policy(state: &State, request: &Request, row: &ManagedPolicy) -> ManagedPolicyDetail {
    let Policy {
        policy_name,
        policy_id,
        arn,
        path,
        default_version_id,
        attachment_count,
        permissions_boundary_usage_count,
        is_attachable,
        description: _,
        create_date,
        update_date,
        tags: _,
    } = row.to_api(state, request.caller.account);
    let versions = row.versions.iter().map(|version| versions::to_api(row, version));
    ManagedPolicyDetail {
        policy_name,
        policy_id,
        arn,
        path,
        default_version_id,
        attachment_count,
        permissions_boundary_usage_count,
        is_attachable,
        description: row.description.clone(),
        create_date,
        update_date,
        policy_version_list: Some(versions.collect()),
    }
}
