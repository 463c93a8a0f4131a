//! The tags of users.

use crate::{
    Request, entity,
    page::{Asked, Page},
    tags,
    users::User,
};
use shapes::{
    Fault,
    iam::{
        ListUserTagsRequest, ListUserTagsResponse, TagUserRequest, TagUserResponse,
        UntagUserRequest, UntagUserResponse,
    },
};
use state::{State, Tx};

/// A page of the tags.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_user_tags(
    state: &State,
    request: &Request,
    input: ListUserTagsRequest,
) -> Result<ListUserTagsResponse, Fault> {
    let ListUserTagsRequest { user_name, marker, max_items } = input;
    let row = entity::find::<User>(state, request.caller.account, user_name.as_deref())?;
    let Page { items, is_truncated, marker } = tags::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListUserTagsResponse { tags: Some(items), is_truncated: Some(is_truncated), marker })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such user, or tags are invalid.
pub fn tag_user(
    tx: &mut Tx,
    request: &Request,
    input: TagUserRequest,
) -> Result<TagUserResponse, Fault> {
    let TagUserRequest { user_name, tags } = input;
    let mut row = entity::take::<User>(tx, request, user_name.as_deref())?;
    tags::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagUserResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such user.
pub fn untag_user(
    tx: &mut Tx,
    request: &Request,
    input: UntagUserRequest,
) -> Result<UntagUserResponse, Fault> {
    let UntagUserRequest { user_name, tag_keys } = input;
    let mut row = entity::take::<User>(tx, request, user_name.as_deref())?;
    tags::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagUserResponse {})
}
