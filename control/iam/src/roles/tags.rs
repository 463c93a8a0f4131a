//! The tags of roles.

use crate::{
    Request, entity,
    page::{Asked, Page},
    roles::Role,
    tags,
};
use shapes::{
    Fault,
    iam::{
        ListRoleTagsRequest, ListRoleTagsResponse, TagRoleRequest, TagRoleResponse,
        UntagRoleRequest, UntagRoleResponse,
    },
};
use state::{State, Tx};

/// A page of the tags.
///
/// # Errors
/// There is no such role, or the page is invalid.
pub fn list_role_tags(
    state: &State,
    request: &Request,
    input: ListRoleTagsRequest,
) -> Result<ListRoleTagsResponse, Fault> {
    let ListRoleTagsRequest { role_name, marker, max_items } = input;
    let row = entity::find::<Role>(state, request.caller.account, role_name.as_deref())?;
    let Page { items, is_truncated, marker } = tags::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListRoleTagsResponse { tags: Some(items), is_truncated: Some(is_truncated), marker })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such role, or tags are invalid.
pub fn tag_role(
    tx: &mut Tx,
    request: &Request,
    input: TagRoleRequest,
) -> Result<TagRoleResponse, Fault> {
    let TagRoleRequest { role_name, tags } = input;
    let mut row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    tags::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagRoleResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such role.
pub fn untag_role(
    tx: &mut Tx,
    request: &Request,
    input: UntagRoleRequest,
) -> Result<UntagRoleResponse, Fault> {
    let UntagRoleRequest { role_name, tag_keys } = input;
    let mut row = entity::change::<Role>(tx, request, role_name.as_deref())?;
    tags::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagRoleResponse {})
}
