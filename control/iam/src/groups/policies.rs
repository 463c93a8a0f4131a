//! The policies of groups: inline, attached.

use crate::{
    Request, entity,
    groups::Group,
    page::{Asked, Page},
};
use shapes::{
    Fault,
    iam::{
        AttachGroupPolicyRequest, AttachGroupPolicyResponse, DeleteGroupPolicyRequest,
        DeleteGroupPolicyResponse, DetachGroupPolicyRequest, DetachGroupPolicyResponse,
        GetGroupPolicyRequest, GetGroupPolicyResponse, ListAttachedGroupPoliciesRequest,
        ListAttachedGroupPoliciesResponse, ListGroupPoliciesRequest, ListGroupPoliciesResponse,
        PutGroupPolicyRequest, PutGroupPolicyResponse,
    },
};
use state::{State, Tx};

/// Attaches a managed policy.
///
/// # Errors
/// The group or the policy doesn't exist, or the quota is reached.
pub fn attach_group_policy(
    tx: &mut Tx,
    request: &Request,
    input: AttachGroupPolicyRequest,
) -> Result<AttachGroupPolicyResponse, Fault> {
    let AttachGroupPolicyRequest { group_name, policy_arn } = input;
    let row = entity::change::<Group>(tx, request, group_name.as_deref())?;
    let row = entity::attach(tx, row, policy_arn)?;
    tx.put(row);
    Ok(AttachGroupPolicyResponse {})
}

/// Deletes an inline policy.
///
/// # Errors
/// The group or the policy doesn't exist.
pub fn delete_group_policy(
    tx: &mut Tx,
    request: &Request,
    input: DeleteGroupPolicyRequest,
) -> Result<DeleteGroupPolicyResponse, Fault> {
    let DeleteGroupPolicyRequest { group_name, policy_name } = input;
    let row = entity::change::<Group>(tx, request, group_name.as_deref())?;
    let row = entity::delete_inline(row, policy_name)?;
    tx.put(row);
    Ok(DeleteGroupPolicyResponse {})
}

/// Detaches a managed policy.
///
/// # Errors
/// The group doesn't exist, or the policy isn't attached.
pub fn detach_group_policy(
    tx: &mut Tx,
    request: &Request,
    input: DetachGroupPolicyRequest,
) -> Result<DetachGroupPolicyResponse, Fault> {
    let DetachGroupPolicyRequest { group_name, policy_arn } = input;
    let row = entity::change::<Group>(tx, request, group_name.as_deref())?;
    let row = entity::detach(row, policy_arn)?;
    tx.put(row);
    Ok(DetachGroupPolicyResponse {})
}

/// An inline policy.
///
/// # Errors
/// The group or the policy doesn't exist.
pub fn get_group_policy(
    state: &State,
    request: &Request,
    input: GetGroupPolicyRequest,
) -> Result<GetGroupPolicyResponse, Fault> {
    let GetGroupPolicyRequest { group_name, policy_name } = input;
    let row = entity::find::<Group>(state, request.caller.account, group_name.as_deref())?;
    let text = entity::inline(row, policy_name.as_ref())?;
    Ok(GetGroupPolicyResponse {
        group_name: Some(row.named.name.clone()),
        policy_name,
        policy_document: Some(text.encoded()),
    })
}

/// The managed policies that are attached.
///
/// # Errors
/// The group doesn't exist, or the page is invalid.
pub fn list_attached_group_policies(
    state: &State,
    request: &Request,
    input: ListAttachedGroupPoliciesRequest,
) -> Result<ListAttachedGroupPoliciesResponse, Fault> {
    let ListAttachedGroupPoliciesRequest { group_name, path_prefix, marker, max_items } = input;
    let row = entity::find::<Group>(state, request.caller.account, group_name.as_deref())?;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list_attached(state, row, path_prefix.as_deref(), asked)?;
    Ok(ListAttachedGroupPoliciesResponse {
        attached_policies: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The names of the inline policies.
///
/// # Errors
/// The group doesn't exist, or the page is invalid.
pub fn list_group_policies(
    state: &State,
    request: &Request,
    input: ListGroupPoliciesRequest,
) -> Result<ListGroupPoliciesResponse, Fault> {
    let ListGroupPoliciesRequest { group_name, marker, max_items } = input;
    let row = entity::find::<Group>(state, request.caller.account, group_name.as_deref())?;
    let Page { items, is_truncated, marker } =
        entity::list_inline(row, Asked { marker, max_items })?;
    Ok(ListGroupPoliciesResponse {
        policy_names: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Makes an inline policy, or replaces the one of this name.
///
/// # Errors
/// The group doesn't exist, the document is malformed, or all of them are too long together.
pub fn put_group_policy(
    tx: &mut Tx,
    request: &Request,
    input: PutGroupPolicyRequest,
) -> Result<PutGroupPolicyResponse, Fault> {
    let PutGroupPolicyRequest { group_name, policy_name, policy_document } = input;
    let row = entity::change::<Group>(tx, request, group_name.as_deref())?;
    let row = entity::put_inline(row, policy_name, policy_document)?;
    tx.put(row);
    Ok(PutGroupPolicyResponse {})
}
