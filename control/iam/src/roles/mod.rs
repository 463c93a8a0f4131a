//! Roles.

pub mod linked;
pub mod policies;
pub mod tags;

use crate::{
    Account, InstanceProfile, Named, Permissions, PolicyText, Request, UniqueId, documents,
    entity::{self, Entity, Identity},
    errors,
    page::{Asked, Page},
    place, tags as tagging,
    users::User,
};
use policy::{Document, PrincipalType};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, DeleteRoleResponse,
        GetRoleRequest, GetRoleResponse, ListRolesRequest, ListRolesResponse, Role as ApiRole,
        RoleLastUsed, UpdateAssumeRolePolicyRequest, UpdateAssumeRolePolicyResponse,
        UpdateRoleDescriptionRequest, UpdateRoleDescriptionResponse, UpdateRoleRequest,
        UpdateRoleResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{AccountId, Scope, Tags, Timestamp};

/// How long a session lasts at most where the role doesn't say, in seconds.
const USUAL_SESSION_S: i32 = 3600;
/// How long a trust policy may be, white space aside.
const MAX_TRUST_SIZE: usize = 2048;

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

impl Entity for Role {
    const KIND: &'static str = "role";
    const QUOTA: (&'static str, usize) = ("RolesPerAccount", 1000);
    fn named(&self) -> &Named {
        &self.named
    }
}

impl Identity for Role {
    const ATTACHED_QUOTA: &'static str = "PoliciesPerRole";
    const INLINE_SIZE: usize = 10_240;
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
    fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }
    fn may_change(&self) -> Result<(), Fault> {
        match self.linked_service {
            Some(_) => Err(errors::protected_role(&self.named.name)),
            None => Ok(()),
        }
    }
}

impl Role {
    /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("role")
    }

    /// The role as lists show it: without tags, boundary and last use.
    pub(crate) fn to_api(&self) -> ApiRole {
        ApiRole {
            path: Some(self.named.path.clone()),
            role_name: Some(self.named.name.clone()),
            role_id: Some(self.named.id.to_string()),
            arn: Some(self.arn()),
            create_date: Some(self.named.created),
            assume_role_policy_document: Some(self.trust.encoded()),
            description: self.description.clone(),
            max_session_duration: Some(self.max_session_s),
            permissions_boundary: None,
            tags: None,
            role_last_used: None,
        }
    }

    /// The role with all that is known of it.
    pub(crate) fn to_api_in_full(&self) -> ApiRole {
        ApiRole {
            permissions_boundary: entity::boundary_to_api(&self.permissions),
            tags: tagging::to_api(&self.tags),
            role_last_used: Some(self.last_used()),
            ..self.to_api()
        }
    }

    /// Its last use, empty if it was never used.
    pub(crate) fn last_used(&self) -> RoleLastUsed {
        let (at, region) = self.last_used.clone().unzip();
        RoleLastUsed { last_used_date: at, region }
    }
}

/// Makes a role.
///
/// # Errors
/// The name is taken, the trust policy is malformed or names who doesn't exist, the boundary
/// doesn't exist, tags are invalid, or the quota is reached.
pub fn create_role(
    tx: &mut Tx,
    request: &Request,
    input: CreateRoleRequest,
) -> Result<CreateRoleResponse, Fault> {
    let CreateRoleRequest {
        path,
        role_name,
        assume_role_policy_document,
        description,
        max_session_duration,
        permissions_boundary,
        tags,
    } = input;
    let account = request.caller.account;
    let name = role_name.unwrap_or_default();
    entity::check_new::<Role>(tx, account, &name)?;
    if path.as_ref().is_some_and(|path| path.starts_with(linked::PATH)) {
        return Err(errors::validation(
            "Specified value for parameter Path is reserved for service-linked roles.",
        ));
    }
    let boundary =
        permissions_boundary.map(|arn| entity::boundary(tx, account, arn)).transpose()?;
    let role = Role {
        trust: trust(tx, assume_role_policy_document)?,
        tags: tagging::new(tags)?,
        named: Named::new(tx, account, "AROA", path, name),
        permissions: Permissions { boundary, ..Permissions::default() },
        description,
        max_session_s: max_session_duration.unwrap_or(USUAL_SESSION_S),
        linked_service: None,
        last_used: None,
    };
    let answer = role.to_api_in_full();
    tx.put(role);
    Ok(CreateRoleResponse { role: Some(ApiRole { role_last_used: None, ..answer }) })
}

/// Deletes a role without policies that is in no instance profile.
///
/// # Errors
/// There is no such role, it is linked to a service, or it is in use.
pub fn delete_role(
    tx: &mut Tx,
    request: &Request,
    input: DeleteRoleRequest,
) -> Result<DeleteRoleResponse, Fault> {
    let DeleteRoleRequest { role_name } = input;
    let role = entity::change::<Role>(tx, request, role_name.as_deref())?;
    if tx.find::<InstanceProfile>("role", &role.named.id).next().is_some() {
        let must = "must remove roles from instance profile first.";
        return Err(errors::delete_conflict(must));
    }
    entity::check_bare(&role.permissions)?;
    tx.delete::<Role>(&role.named.id);
    Ok(DeleteRoleResponse {})
}

/// A role.
///
/// # Errors
/// There is no such role.
pub fn get_role(
    state: &State,
    request: &Request,
    input: GetRoleRequest,
) -> Result<GetRoleResponse, Fault> {
    let GetRoleRequest { role_name } = input;
    let role = entity::find::<Role>(state, request.caller.account, role_name.as_deref())?;
    Ok(GetRoleResponse { role: Some(role.to_api_in_full()) })
}

/// The account's roles.
///
/// # Errors
/// The page is invalid.
pub fn list_roles(
    state: &State,
    request: &Request,
    input: ListRolesRequest,
) -> Result<ListRolesResponse, Fault> {
    let ListRolesRequest { path_prefix, marker, max_items } = input;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list::<Role>(state, request, path_prefix.as_deref(), asked)?;
    let roles = items.into_iter().map(Role::to_api).collect();
    Ok(ListRolesResponse { roles: Some(roles), is_truncated: Some(is_truncated), marker })
}

/// Changes who may assume a role.
///
/// # Errors
/// There is no such role, it is linked to a service, or the document is malformed.
pub fn update_assume_role_policy(
    tx: &mut Tx,
    request: &Request,
    input: UpdateAssumeRolePolicyRequest,
) -> Result<UpdateAssumeRolePolicyResponse, Fault> {
    let UpdateAssumeRolePolicyRequest { role_name, policy_document } = input;
    let mut role = entity::change::<Role>(tx, request, role_name.as_deref())?;
    role.trust = trust(tx, policy_document)?;
    tx.put(role);
    Ok(UpdateAssumeRolePolicyResponse {})
}

/// Changes a role's description, if one is given, and how long its sessions may last: as of a new
/// role if that isn't given, as AWS has it.
///
/// # Errors
/// There is no such role, or it is linked to a service.
pub fn update_role(
    tx: &mut Tx,
    request: &Request,
    input: UpdateRoleRequest,
) -> Result<UpdateRoleResponse, Fault> {
    let UpdateRoleRequest { role_name, description, max_session_duration } = input;
    let mut role = entity::take::<Role>(tx, request, role_name.as_deref())?;
    if max_session_duration.is_some() {
        role.may_change()?;
    }
    role.description = description.or(role.description);
    role.max_session_s = max_session_duration.unwrap_or(USUAL_SESSION_S);
    tx.put(role);
    Ok(UpdateRoleResponse {})
}

/// Changes a role's description.
///
/// # Errors
/// There is no such role.
pub fn update_role_description(
    tx: &mut Tx,
    request: &Request,
    input: UpdateRoleDescriptionRequest,
) -> Result<UpdateRoleDescriptionResponse, Fault> {
    let UpdateRoleDescriptionRequest { role_name, description } = input;
    let mut role = entity::take::<Role>(tx, request, role_name.as_deref())?;
    role.description = description;
    let answer = role.to_api_in_full();
    tx.put(role);
    Ok(UpdateRoleDescriptionResponse { role: Some(answer) })
}

/// A trust policy, whose principals exist as far as their accounts are this cloud's.
fn trust(state: &State, text: Option<String>) -> Result<PolicyText, Fault> {
    let (text, document) = documents::trust(text)?;
    if documents::size(text.text()) > MAX_TRUST_SIZE {
        return Err(errors::quota("ACLSizePerRole", MAX_TRUST_SIZE));
    }
    check_principals(state, &document)?;
    Ok(text)
}

fn check_principals(state: &State, document: &Document) -> Result<(), Fault> {
    match unknown_principal(state, document) {
        None => Ok(()),
        Some(text) => {
            let message = format!("Invalid principal in policy: \"AWS\":\"{text}\"");
            Err(errors::malformed_policy(message))
        }
    }
}

/// The first user or role that a document of a resource names, of an account of this cloud, and that doesn't
/// exist there.
#[must_use]
pub fn unknown_principal<'a>(state: &State, document: &'a Document) -> Option<&'a str> {
    let named = document.principals().filter(|one| one.kind() == PrincipalType::Aws);
    named.map(policy::Principal::as_str).find(|text| !may_exist(state, text))
}

/// Whether a user or role of this ARN can be: one of an account that isn't this cloud's may.
fn may_exist(state: &State, arn: &str) -> bool {
    let Some(rest) = arn.strip_prefix("arn:aws:iam::") else { return true };
    let Some((account, resource)) = rest.split_once(':') else { return true };
    let Ok(account) = account.parse::<AccountId>() else { return true };
    if state.get::<Account>(&account).is_none() {
        return true;
    }
    let name = resource.rsplit('/').next().unwrap_or_default();
    let at = place(account, name);
    if resource.starts_with("user/") {
        state.find::<User>("name", at).any(|user| user.arn() == arn)
    } else if resource.starts_with("role/") {
        state.find::<Role>("name", at).any(|role| role.arn() == arn)
    } else {
        true
    }
}
