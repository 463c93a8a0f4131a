//! The policies of users: inline, attached and boundaries.

use crate::{
    Request, entity, errors,
    page::{Asked, Page},
    users::User,
};
use shapes::{
    Fault,
    iam::{
        AttachUserPolicyRequest, AttachUserPolicyResponse, DeleteUserPermissionsBoundaryRequest,
        DeleteUserPermissionsBoundaryResponse, DeleteUserPolicyRequest, DeleteUserPolicyResponse,
        DetachUserPolicyRequest, DetachUserPolicyResponse, GetUserPolicyRequest,
        GetUserPolicyResponse, ListAttachedUserPoliciesRequest, ListAttachedUserPoliciesResponse,
        ListUserPoliciesRequest, ListUserPoliciesResponse, PutUserPermissionsBoundaryRequest,
        PutUserPermissionsBoundaryResponse, PutUserPolicyRequest, PutUserPolicyResponse,
    },
};
use state::{State, Tx};

/// Attaches a managed policy.
///
/// # Errors
/// The user or the policy doesn't exist, or the quota is reached.
pub fn attach_user_policy(
    tx: &mut Tx,
    request: &Request,
    input: AttachUserPolicyRequest,
) -> Result<AttachUserPolicyResponse, Fault> {
    let AttachUserPolicyRequest { user_name, policy_arn } = input;
    let row = entity::change::<User>(tx, request, user_name.as_deref())?;
    let row = entity::attach(tx, row, policy_arn)?;
    tx.put(row);
    Ok(AttachUserPolicyResponse {})
}

/// Deletes an inline policy.
///
/// # Errors
/// The user or the policy doesn't exist.
pub fn delete_user_policy(
    tx: &mut Tx,
    request: &Request,
    input: DeleteUserPolicyRequest,
) -> Result<DeleteUserPolicyResponse, Fault> {
    let DeleteUserPolicyRequest { user_name, policy_name } = input;
    let row = entity::change::<User>(tx, request, user_name.as_deref())?;
    let row = entity::delete_inline(row, policy_name)?;
    tx.put(row);
    Ok(DeleteUserPolicyResponse {})
}

/// Takes the permissions boundary away.
///
/// # Errors
/// The user doesn't exist, or has none.
pub fn delete_user_permissions_boundary(
    tx: &mut Tx,
    request: &Request,
    input: DeleteUserPermissionsBoundaryRequest,
) -> Result<DeleteUserPermissionsBoundaryResponse, Fault> {
    let DeleteUserPermissionsBoundaryRequest { user_name } = input;
    let mut row = entity::change::<User>(tx, request, user_name.as_deref())?;
    if row.permissions.boundary.take().is_none() {
        let name = &row.named.name;
        let message = format!("The user with name {name} has no permissions boundary.");
        return Err(errors::no_entity(message));
    }
    tx.put(row);
    Ok(DeleteUserPermissionsBoundaryResponse {})
}

/// Detaches a managed policy.
///
/// # Errors
/// The user doesn't exist, or the policy isn't attached.
pub fn detach_user_policy(
    tx: &mut Tx,
    request: &Request,
    input: DetachUserPolicyRequest,
) -> Result<DetachUserPolicyResponse, Fault> {
    let DetachUserPolicyRequest { user_name, policy_arn } = input;
    let row = entity::change::<User>(tx, request, user_name.as_deref())?;
    let row = entity::detach(row, policy_arn)?;
    tx.put(row);
    Ok(DetachUserPolicyResponse {})
}

/// An inline policy.
///
/// # Errors
/// The user or the policy doesn't exist.
pub fn get_user_policy(
    state: &State,
    request: &Request,
    input: GetUserPolicyRequest,
) -> Result<GetUserPolicyResponse, Fault> {
    let GetUserPolicyRequest { user_name, policy_name } = input;
    let row = entity::find::<User>(state, request.caller.account, user_name.as_deref())?;
    let text = entity::inline(row, policy_name.as_ref())?;
    Ok(GetUserPolicyResponse {
        user_name: Some(row.named.name.clone()),
        policy_name,
        policy_document: Some(text.encoded()),
    })
}

/// The managed policies that are attached.
///
/// # Errors
/// The user doesn't exist, or the page is invalid.
pub fn list_attached_user_policies(
    state: &State,
    request: &Request,
    input: ListAttachedUserPoliciesRequest,
) -> Result<ListAttachedUserPoliciesResponse, Fault> {
    let ListAttachedUserPoliciesRequest { user_name, path_prefix, marker, max_items } = input;
    let row = entity::find::<User>(state, request.caller.account, user_name.as_deref())?;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list_attached(state, row, path_prefix.as_deref(), asked)?;
    Ok(ListAttachedUserPoliciesResponse {
        attached_policies: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The names of the inline policies.
///
/// # Errors
/// The user doesn't exist, or the page is invalid.
pub fn list_user_policies(
    state: &State,
    request: &Request,
    input: ListUserPoliciesRequest,
) -> Result<ListUserPoliciesResponse, Fault> {
    let ListUserPoliciesRequest { user_name, marker, max_items } = input;
    let row = entity::find::<User>(state, request.caller.account, user_name.as_deref())?;
    let Page { items, is_truncated, marker } =
        entity::list_inline(row, Asked { marker, max_items })?;
    Ok(ListUserPoliciesResponse {
        policy_names: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Sets the permissions boundary.
///
/// # Errors
/// The user or the policy doesn't exist.
pub fn put_user_permissions_boundary(
    tx: &mut Tx,
    request: &Request,
    input: PutUserPermissionsBoundaryRequest,
) -> Result<PutUserPermissionsBoundaryResponse, Fault> {
    let PutUserPermissionsBoundaryRequest { user_name, permissions_boundary } = input;
    let mut row = entity::change::<User>(tx, request, user_name.as_deref())?;
    let arn = permissions_boundary.unwrap_or_default();
    row.permissions.boundary = Some(entity::boundary(tx, row.named.account, arn)?);
    tx.put(row);
    Ok(PutUserPermissionsBoundaryResponse {})
}

/// Makes an inline policy, or replaces the one of this name.
///
/// # Errors
/// The user doesn't exist, the document is malformed, or all of them are too long together.
pub fn put_user_policy(
    tx: &mut Tx,
    request: &Request,
    input: PutUserPolicyRequest,
) -> Result<PutUserPolicyResponse, Fault> {
    let PutUserPolicyRequest { user_name, policy_name, policy_document } = input;
    let row = entity::change::<User>(tx, request, user_name.as_deref())?;
    let row = entity::put_inline(row, policy_name, policy_document)?;
    tx.put(row);
    Ok(PutUserPolicyResponse {})
}
