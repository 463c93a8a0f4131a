//! Groups of users.

pub mod policies;

use crate::{
    Named, Permissions, Request, UniqueId,
    entity::{self, Entity, Identity},
    errors,
    page::{Asked, Page, page},
    users::User,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        AddUserToGroupRequest, AddUserToGroupResponse, CreateGroupRequest, CreateGroupResponse,
        DeleteGroupRequest, DeleteGroupResponse, GetGroupRequest, GetGroupResponse,
        Group as ApiGroup, ListGroupsForUserRequest, ListGroupsForUserResponse, ListGroupsRequest,
        ListGroupsResponse, RemoveUserFromGroupRequest, RemoveUserFromGroupResponse,
        UpdateGroupRequest, UpdateGroupResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::Scope;

/// How many groups a user may be in.
const GROUPS_PER_USER: usize = 10;

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

impl Entity for Group {
    const KIND: &'static str = "group";
    const QUOTA: (&'static str, usize) = ("GroupsPerAccount", 300);
    fn named(&self) -> &Named {
        &self.named
    }
}

impl Identity for Group {
    const ATTACHED_QUOTA: &'static str = "PoliciesPerGroup";
    const INLINE_SIZE: usize = 5120;
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
    fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }
}

impl Group {
    /// `arn:aws:iam::ACCOUNT:group/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("group")
    }

    fn to_api(&self) -> ApiGroup {
        ApiGroup {
            path: Some(self.named.path.clone()),
            group_name: Some(self.named.name.clone()),
            group_id: Some(self.named.id.to_string()),
            arn: Some(self.arn()),
            create_date: Some(self.named.created),
        }
    }
}

/// Adds a user to a group, again if it is in it.
///
/// # Errors
/// The group or the user doesn't exist, or the user's quota is reached.
pub fn add_user_to_group(
    tx: &mut Tx,
    request: &Request,
    input: AddUserToGroupRequest,
) -> Result<AddUserToGroupResponse, Fault> {
    let AddUserToGroupRequest { group_name, user_name } = input;
    let group = entity::find::<Group>(tx, request.caller.account, group_name.as_deref())?;
    let group = group.named.id.clone();
    let mut user = entity::take::<User>(tx, request, user_name.as_deref())?;
    user.groups.insert(group);
    if user.groups.len() > GROUPS_PER_USER {
        return Err(errors::quota("GroupsPerUser", GROUPS_PER_USER));
    }
    tx.put(user);
    Ok(AddUserToGroupResponse {})
}

/// Makes a group.
///
/// # Errors
/// The name is taken, or the quota is reached.
pub fn create_group(
    tx: &mut Tx,
    request: &Request,
    input: CreateGroupRequest,
) -> Result<CreateGroupResponse, Fault> {
    let CreateGroupRequest { path, group_name } = input;
    let account = request.caller.account;
    let name = group_name.unwrap_or_default();
    entity::check_new::<Group>(tx, account, &name)?;
    let named = Named::new(tx, account, "AGPA", path, name);
    let group = Group { named, permissions: Permissions::default() };
    let answer = group.to_api();
    tx.put(group);
    Ok(CreateGroupResponse { group: Some(answer) })
}

/// Deletes a group without members and policies.
///
/// # Errors
/// There is no such group, or it has some.
pub fn delete_group(
    tx: &mut Tx,
    request: &Request,
    input: DeleteGroupRequest,
) -> Result<DeleteGroupResponse, Fault> {
    let DeleteGroupRequest { group_name } = input;
    let group = entity::take::<Group>(tx, request, group_name.as_deref())?;
    if tx.find::<User>("group", &group.named.id).next().is_some() {
        return Err(errors::delete_conflict("must remove users from group first."));
    }
    entity::check_bare(&group.permissions)?;
    tx.delete::<Group>(&group.named.id);
    Ok(DeleteGroupResponse {})
}

/// A group and its members.
///
/// # Errors
/// There is no such group, or the page is invalid.
pub fn get_group(
    state: &State,
    request: &Request,
    input: GetGroupRequest,
) -> Result<GetGroupResponse, Fault> {
    let GetGroupRequest { group_name, marker, max_items } = input;
    let group = entity::find::<Group>(state, request.caller.account, group_name.as_deref())?;
    let users = state.find::<User>("group", &group.named.id);
    let key = |user: &&std::sync::Arc<User>| entity::by_name(&user.named);
    let Page { items, is_truncated, marker } = page(users, key, Asked { marker, max_items })?;
    Ok(GetGroupResponse {
        group: Some(group.to_api()),
        users: Some(items.into_iter().map(|user| user.to_api()).collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The account's groups.
///
/// # Errors
/// The page is invalid.
pub fn list_groups(
    state: &State,
    request: &Request,
    input: ListGroupsRequest,
) -> Result<ListGroupsResponse, Fault> {
    let ListGroupsRequest { path_prefix, marker, max_items } = input;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list::<Group>(state, request, path_prefix.as_deref(), asked)?;
    let groups = items.into_iter().map(Group::to_api).collect();
    Ok(ListGroupsResponse { groups: Some(groups), is_truncated: Some(is_truncated), marker })
}

/// The groups that a user is in.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_groups_for_user(
    state: &State,
    request: &Request,
    input: ListGroupsForUserRequest,
) -> Result<ListGroupsForUserResponse, Fault> {
    let ListGroupsForUserRequest { user_name, marker, max_items } = input;
    let user = entity::find::<User>(state, request.caller.account, user_name.as_deref())?;
    let groups = user.groups.iter().filter_map(|id| state.get::<Group>(id));
    let key = |group: &&std::sync::Arc<Group>| entity::by_name(&group.named);
    let Page { items, is_truncated, marker } = page(groups, key, Asked { marker, max_items })?;
    let groups = items.into_iter().map(|group| group.to_api()).collect();
    Ok(ListGroupsForUserResponse { groups: Some(groups), is_truncated: Some(is_truncated), marker })
}

/// Removes a user from a group.
///
/// # Errors
/// The group or the user doesn't exist, or the user isn't in it.
pub fn remove_user_from_group(
    tx: &mut Tx,
    request: &Request,
    input: RemoveUserFromGroupRequest,
) -> Result<RemoveUserFromGroupResponse, Fault> {
    let RemoveUserFromGroupRequest { group_name, user_name } = input;
    let group = entity::take::<Group>(tx, request, group_name.as_deref())?;
    let mut user = entity::take::<User>(tx, request, user_name.as_deref())?;
    if !user.groups.remove(&group.named.id) {
        let (user, group) = (&user.named.name, &group.named.name);
        return Err(errors::no_entity(format!("User {user} is not in group {group}.")));
    }
    tx.put(user);
    Ok(RemoveUserFromGroupResponse {})
}

/// Renames a group or moves it to another path.
///
/// # Errors
/// There is no such group, or the new name is taken.
pub fn update_group(
    tx: &mut Tx,
    request: &Request,
    input: UpdateGroupRequest,
) -> Result<UpdateGroupResponse, Fault> {
    let UpdateGroupRequest { group_name, new_path, new_group_name } = input;
    let mut group = entity::take::<Group>(tx, request, group_name.as_deref())?;
    entity::rename::<Group>(tx, &mut group.named, new_group_name, new_path)?;
    tx.put(group);
    Ok(UpdateGroupResponse {})
}
