//! The tags of managed policies.

use crate::{
    Request,
    page::{Asked, Page},
    policies, tags,
};
use shapes::{
    Fault,
    iam::{
        ListPolicyTagsRequest, ListPolicyTagsResponse, TagPolicyRequest, TagPolicyResponse,
        UntagPolicyRequest, UntagPolicyResponse,
    },
};
use state::{State, Tx};

/// A page of the tags.
///
/// # Errors
/// There is no such policy, or the page is invalid.
pub fn list_policy_tags(
    state: &State,
    request: &Request,
    input: ListPolicyTagsRequest,
) -> Result<ListPolicyTagsResponse, Fault> {
    let ListPolicyTagsRequest { policy_arn, marker, max_items } = input;
    let row = policies::find_visible(state, request, policy_arn.as_deref())?;
    let Page { items, is_truncated, marker } = tags::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListPolicyTagsResponse { tags: Some(items), is_truncated: Some(is_truncated), marker })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such policy, or tags are invalid.
pub fn tag_policy(
    tx: &mut Tx,
    request: &Request,
    input: TagPolicyRequest,
) -> Result<TagPolicyResponse, Fault> {
    let TagPolicyRequest { policy_arn, tags } = input;
    let mut row = policies::take_own(tx, request, policy_arn.as_deref())?;
    tags::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagPolicyResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such policy.
pub fn untag_policy(
    tx: &mut Tx,
    request: &Request,
    input: UntagPolicyRequest,
) -> Result<UntagPolicyResponse, Fault> {
    let UntagPolicyRequest { policy_arn, tag_keys } = input;
    let mut row = policies::take_own(tx, request, policy_arn.as_deref())?;
    tags::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagPolicyResponse {})
}
