//! The tags of instance profiles.

use crate::{
    Request, entity,
    instance_profiles::InstanceProfile,
    page::{Asked, Page},
    tags,
};
use shapes::{
    Fault,
    iam::{
        ListInstanceProfileTagsRequest, ListInstanceProfileTagsResponse, TagInstanceProfileRequest,
        TagInstanceProfileResponse, UntagInstanceProfileRequest, UntagInstanceProfileResponse,
    },
};
use state::{State, Tx};

/// A page of the tags.
///
/// # Errors
/// There is no such instance profile, or the page is invalid.
pub fn list_instance_profile_tags(
    state: &State,
    request: &Request,
    input: ListInstanceProfileTagsRequest,
) -> Result<ListInstanceProfileTagsResponse, Fault> {
    let ListInstanceProfileTagsRequest { instance_profile_name, marker, max_items } = input;
    let row = entity::find::<InstanceProfile>(
        state,
        request.caller.account,
        instance_profile_name.as_deref(),
    )?;
    let Page { items, is_truncated, marker } = tags::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListInstanceProfileTagsResponse {
        tags: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such instance profile, or tags are invalid.
pub fn tag_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: TagInstanceProfileRequest,
) -> Result<TagInstanceProfileResponse, Fault> {
    let TagInstanceProfileRequest { instance_profile_name, tags } = input;
    let mut row = entity::take::<InstanceProfile>(tx, request, instance_profile_name.as_deref())?;
    tags::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagInstanceProfileResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such instance profile.
pub fn untag_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: UntagInstanceProfileRequest,
) -> Result<UntagInstanceProfileResponse, Fault> {
    let UntagInstanceProfileRequest { instance_profile_name, tag_keys } = input;
    let mut row = entity::take::<InstanceProfile>(tx, request, instance_profile_name.as_deref())?;
    tags::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagInstanceProfileResponse {})
}
