//! Users.

pub mod policies;
pub mod tags;

use crate::{
    AccessKey, Named, Permissions, Request, UniqueId, credentials,
    entity::{self, Entity, Identity},
    errors,
    page::{Asked, Page},
    tags as tagging,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse,
        GetUserRequest, GetUserResponse, ListUsersRequest, ListUsersResponse, UpdateUserRequest,
        UpdateUserResponse, User as ApiUser,
    },
};
use state::{Row, State, Tx};
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

impl Entity for User {
    const KIND: &'static str = "user";
    const QUOTA: (&'static str, usize) = ("UsersPerAccount", 5000);
    fn named(&self) -> &Named {
        &self.named
    }
}

impl Identity for User {
    const ATTACHED_QUOTA: &'static str = "PoliciesPerUser";
    const INLINE_SIZE: usize = 2048;
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
    fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }
}

impl User {
    /// `arn:aws:iam::ACCOUNT:user/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("user")
    }

    /// The user as lists show it: without tags and boundary.
    pub(crate) fn to_api(&self) -> ApiUser {
        ApiUser {
            path: Some(self.named.path.clone()),
            user_name: Some(self.named.name.clone()),
            user_id: Some(self.named.id.to_string()),
            arn: Some(self.arn()),
            create_date: Some(self.named.created),
            password_last_used: self.password_last_used,
            permissions_boundary: None,
            tags: None,
        }
    }

    /// The user with all that is known of it.
    fn to_api_in_full(&self) -> ApiUser {
        ApiUser {
            permissions_boundary: entity::boundary_to_api(&self.permissions),
            tags: tagging::to_api(&self.tags),
            ..self.to_api()
        }
    }
}

/// Makes a user.
///
/// # Errors
/// The name is taken, the boundary doesn't exist, tags are invalid, or the quota is reached.
pub fn create_user(
    tx: &mut Tx,
    request: &Request,
    input: CreateUserRequest,
) -> Result<CreateUserResponse, Fault> {
    let CreateUserRequest { path, user_name, permissions_boundary, tags } = input;
    let account = request.caller.account;
    let name = user_name.unwrap_or_default();
    entity::check_new::<User>(tx, account, &name)?;
    let boundary =
        permissions_boundary.map(|arn| entity::boundary(tx, account, arn)).transpose()?;
    let user = User {
        tags: tagging::new(tags)?,
        named: Named::new(tx, account, "AIDA", path, name),
        permissions: Permissions { boundary, ..Permissions::default() },
        groups: BTreeSet::new(),
        password_last_used: None,
    };
    let answer = user.to_api_in_full();
    tx.put(user);
    Ok(CreateUserResponse { user: Some(answer) })
}

/// Deletes a user that nothing belongs to any more.
///
/// # Errors
/// There is no such user, or it still has keys, policies, groups or other credentials.
pub fn delete_user(
    tx: &mut Tx,
    request: &Request,
    input: DeleteUserRequest,
) -> Result<DeleteUserResponse, Fault> {
    let DeleteUserRequest { user_name } = input;
    let user = entity::take::<User>(tx, request, user_name.as_deref())?;
    let id = &user.named.id;
    if !user.groups.is_empty() {
        return Err(errors::delete_conflict("must remove users from group first."));
    }
    entity::check_bare(&user.permissions)?;
    if tx.find::<AccessKey>("user", id).next().is_some() {
        return Err(errors::delete_conflict("must delete access keys first."));
    }
    credentials::check_none(tx, id)?;
    tx.delete::<User>(id);
    Ok(DeleteUserResponse {})
}

/// The named user, else the caller.
///
/// # Errors
/// There is no such user.
pub fn get_user(
    state: &State,
    request: &Request,
    input: GetUserRequest,
) -> Result<GetUserResponse, Fault> {
    let GetUserRequest { user_name } = input;
    let user = entity::user_or_caller(state, request, user_name.as_deref())?;
    let answer = user.map_or_else(|| root(state, request), User::to_api_in_full);
    Ok(GetUserResponse { user: Some(answer) })
}

/// The root user as `GetUser` shows it.
fn root(state: &State, request: &Request) -> ApiUser {
    let account = state.get::<crate::Account>(&request.caller.account);
    ApiUser {
        user_id: Some(request.caller.account.to_string()),
        arn: Some(request.caller.arn.clone()),
        create_date: account.map(|account| account.created),
        ..ApiUser::default()
    }
}

/// The account's users.
///
/// # Errors
/// The page is invalid.
pub fn list_users(
    state: &State,
    request: &Request,
    input: ListUsersRequest,
) -> Result<ListUsersResponse, Fault> {
    let ListUsersRequest { path_prefix, marker, max_items } = input;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list::<User>(state, request, path_prefix.as_deref(), asked)?;
    let users = items.into_iter().map(User::to_api).collect();
    Ok(ListUsersResponse { users: Some(users), is_truncated: Some(is_truncated), marker })
}

/// Renames a user or moves it to another path; its ID, keys and policies stay.
///
/// # Errors
/// There is no such user, or the new name is taken.
pub fn update_user(
    tx: &mut Tx,
    request: &Request,
    input: UpdateUserRequest,
) -> Result<UpdateUserResponse, Fault> {
    let UpdateUserRequest { user_name, new_path, new_user_name } = input;
    let mut user = entity::take::<User>(tx, request, user_name.as_deref())?;
    entity::rename::<User>(tx, &mut user.named, new_user_name, new_path)?;
    tx.put(user);
    Ok(UpdateUserResponse {})
}
