//! The policies of roles: inline, attached and boundaries.

use crate::{
    Request, entity, errors,
    page::{Asked, Page},
    roles::Role,
};
use shapes::{
    Fault,
    iam::{
        AttachRolePolicyRequest, AttachRolePolicyResponse, DeleteRolePermissionsBoundaryRequest,
        DeleteRolePermissionsBoundaryResponse, DeleteRolePolicyRequest, DeleteRolePolicyResponse,
        DetachRolePolicyRequest, DetachRolePolicyResponse, GetRolePolicyRequest,
        GetRolePolicyResponse, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse,
        ListRolePoliciesRequest, ListRolePoliciesResponse, PutRolePermissionsBoundaryRequest,
        PutRolePermissionsBoundaryResponse, PutRolePolicyRequest, PutRolePolicyResponse,
    },
};
use state::{State, Tx};

/// Attaches a managed policy.
///
/// # Errors
/// The role or the policy doesn't exist, or the quota is reached.
pub fn attach_role_policy(
    tx: &mut Tx,
    request: &Request,
    input: AttachRolePolicyRequest,
) -> Result<AttachRolePolicyResponse, Fault> {
    let AttachRolePolicyRequest { role_name, policy_arn } = input;
    let row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    let row = entity::attach(tx, row, policy_arn)?;
    tx.put(row);
    Ok(AttachRolePolicyResponse {})
}

/// Deletes an inline policy.
///
/// # Errors
/// The role or the policy doesn't exist.
pub fn delete_role_policy(
    tx: &mut Tx,
    request: &Request,
    input: DeleteRolePolicyRequest,
) -> Result<DeleteRolePolicyResponse, Fault> {
    let DeleteRolePolicyRequest { role_name, policy_name } = input;
    let row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    let row = entity::delete_inline(row, policy_name)?;
    tx.put(row);
    Ok(DeleteRolePolicyResponse {})
}

/// Takes the permissions boundary away.
///
/// # Errors
/// The role doesn't exist, or has none.
pub fn delete_role_permissions_boundary(
    tx: &mut Tx,
    request: &Request,
    input: DeleteRolePermissionsBoundaryRequest,
) -> Result<DeleteRolePermissionsBoundaryResponse, Fault> {
    let DeleteRolePermissionsBoundaryRequest { role_name } = input;
    let mut row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    if row.permissions.boundary.take().is_none() {
        let name = &row.named.name;
        let message = format!("The role with name {name} has no permissions boundary.");
        return Err(errors::no_entity(message));
    }
    tx.put(row);
    Ok(DeleteRolePermissionsBoundaryResponse {})
}

/// Detaches a managed policy.
///
/// # Errors
/// The role doesn't exist, or the policy isn't attached.
pub fn detach_role_policy(
    tx: &mut Tx,
    request: &Request,
    input: DetachRolePolicyRequest,
) -> Result<DetachRolePolicyResponse, Fault> {
    let DetachRolePolicyRequest { role_name, policy_arn } = input;
    let row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    let row = entity::detach(row, policy_arn)?;
    tx.put(row);
    Ok(DetachRolePolicyResponse {})
}

/// An inline policy.
///
/// # Errors
/// The role or the policy doesn't exist.
pub fn get_role_policy(
    state: &State,
    request: &Request,
    input: GetRolePolicyRequest,
) -> Result<GetRolePolicyResponse, Fault> {
    let GetRolePolicyRequest { role_name, policy_name } = input;
    let row = entity::find::<Role>(state, request.caller.account, role_name.as_deref())?;
    let text = entity::inline(row, policy_name.as_ref())?;
    Ok(GetRolePolicyResponse {
        role_name: Some(row.named.name.clone()),
        policy_name,
        policy_document: Some(text.encoded()),
    })
}

/// The managed policies that are attached.
///
/// # Errors
/// The role doesn't exist, or the page is invalid.
pub fn list_attached_role_policies(
    state: &State,
    request: &Request,
    input: ListAttachedRolePoliciesRequest,
) -> Result<ListAttachedRolePoliciesResponse, Fault> {
    let ListAttachedRolePoliciesRequest { role_name, path_prefix, marker, max_items } = input;
    let row = entity::find::<Role>(state, request.caller.account, role_name.as_deref())?;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list_attached(state, row, path_prefix.as_deref(), asked)?;
    Ok(ListAttachedRolePoliciesResponse {
        attached_policies: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The names of the inline policies.
///
/// # Errors
/// The role doesn't exist, or the page is invalid.
pub fn list_role_policies(
    state: &State,
    request: &Request,
    input: ListRolePoliciesRequest,
) -> Result<ListRolePoliciesResponse, Fault> {
    let ListRolePoliciesRequest { role_name, marker, max_items } = input;
    let row = entity::find::<Role>(state, request.caller.account, role_name.as_deref())?;
    let Page { items, is_truncated, marker } =
        entity::list_inline(row, Asked { marker, max_items })?;
    Ok(ListRolePoliciesResponse {
        policy_names: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Sets the permissions boundary.
///
/// # Errors
/// The role or the policy doesn't exist.
pub fn put_role_permissions_boundary(
    tx: &mut Tx,
    request: &Request,
    input: PutRolePermissionsBoundaryRequest,
) -> Result<PutRolePermissionsBoundaryResponse, Fault> {
    let PutRolePermissionsBoundaryRequest { role_name, permissions_boundary } = input;
    let mut row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    let arn = permissions_boundary.unwrap_or_default();
    row.permissions.boundary = Some(entity::boundary(tx, row.named.account, arn)?);
    tx.put(row);
    Ok(PutRolePermissionsBoundaryResponse {})
}

/// Makes an inline policy, or replaces the one of this name.
///
/// # Errors
/// The role doesn't exist, the document is malformed, or all of them are too long together.
pub fn put_role_policy(
    tx: &mut Tx,
    request: &Request,
    input: PutRolePolicyRequest,
) -> Result<PutRolePolicyResponse, Fault> {
    let PutRolePolicyRequest { role_name, policy_name, policy_document } = input;
    let row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    let row = entity::put_inline(row, policy_name, policy_document)?;
    tx.put(row);
    Ok(PutRolePolicyResponse {})
}
