//! The tags of SAML providers.

use crate::{
    Request,
    page::{Asked, Page},
    providers::saml::take,
    tags,
};
use shapes::{
    Fault,
    iam::{
        ListSAMLProviderTagsRequest, ListSAMLProviderTagsResponse, TagSAMLProviderRequest,
        TagSAMLProviderResponse, UntagSAMLProviderRequest, UntagSAMLProviderResponse,
    },
};
use state::{State, Tx};

/// A page of the tags.
///
/// # Errors
/// There is no such provider, or the page is invalid.
pub fn list_saml_provider_tags(
    state: &State,
    request: &Request,
    input: ListSAMLProviderTagsRequest,
) -> Result<ListSAMLProviderTagsResponse, Fault> {
    let ListSAMLProviderTagsRequest { saml_provider_arn, marker, max_items } = input;
    let row = take(state, request, saml_provider_arn)?;
    let Page { items, is_truncated, marker } = tags::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListSAMLProviderTagsResponse { tags: Some(items), is_truncated: Some(is_truncated), marker })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such provider, or tags are invalid.
pub fn tag_saml_provider(
    tx: &mut Tx,
    request: &Request,
    input: TagSAMLProviderRequest,
) -> Result<TagSAMLProviderResponse, Fault> {
    let TagSAMLProviderRequest { saml_provider_arn, tags } = input;
    let mut row = take(tx, request, saml_provider_arn)?;
    tags::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagSAMLProviderResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such provider.
pub fn untag_saml_provider(
    tx: &mut Tx,
    request: &Request,
    input: UntagSAMLProviderRequest,
) -> Result<UntagSAMLProviderResponse, Fault> {
    let UntagSAMLProviderRequest { saml_provider_arn, tag_keys } = input;
    let mut row = take(tx, request, saml_provider_arn)?;
    tags::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagSAMLProviderResponse {})
}
