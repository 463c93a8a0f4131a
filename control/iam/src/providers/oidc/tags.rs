//! The tags of OpenID Connect providers.

use crate::{
    Request,
    page::{Asked, Page},
    providers::oidc::take,
    tags,
};
use shapes::{
    Fault,
    iam::{
        ListOpenIDConnectProviderTagsRequest, ListOpenIDConnectProviderTagsResponse,
        TagOpenIDConnectProviderRequest, TagOpenIDConnectProviderResponse,
        UntagOpenIDConnectProviderRequest, UntagOpenIDConnectProviderResponse,
    },
};
use state::{State, Tx};

/// A page of the tags.
///
/// # Errors
/// There is no such provider, or the page is invalid.
pub fn list_open_id_connect_provider_tags(
    state: &State,
    request: &Request,
    input: ListOpenIDConnectProviderTagsRequest,
) -> Result<ListOpenIDConnectProviderTagsResponse, Fault> {
    let ListOpenIDConnectProviderTagsRequest { open_id_connect_provider_arn, marker, max_items } =
        input;
    let row = take(state, request, open_id_connect_provider_arn)?;
    let Page { items, is_truncated, marker } = tags::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListOpenIDConnectProviderTagsResponse {
        tags: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such provider, or tags are invalid.
pub fn tag_open_id_connect_provider(
    tx: &mut Tx,
    request: &Request,
    input: TagOpenIDConnectProviderRequest,
) -> Result<TagOpenIDConnectProviderResponse, Fault> {
    let TagOpenIDConnectProviderRequest { open_id_connect_provider_arn, tags } = input;
    let mut row = take(tx, request, open_id_connect_provider_arn)?;
    tags::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagOpenIDConnectProviderResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such provider.
pub fn untag_open_id_connect_provider(
    tx: &mut Tx,
    request: &Request,
    input: UntagOpenIDConnectProviderRequest,
) -> Result<UntagOpenIDConnectProviderResponse, Fault> {
    let UntagOpenIDConnectProviderRequest { open_id_connect_provider_arn, tag_keys } = input;
    let mut row = take(tx, request, open_id_connect_provider_arn)?;
    tags::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagOpenIDConnectProviderResponse {})
}
