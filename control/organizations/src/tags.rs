//! The tags of accounts.

use crate::{accounts, errors, page::page};
use iam::{Account, Request};
use shapes::{
    Fault,
    organizations::{
        ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest,
        TagResourceResponse, UntagResourceRequest, UntagResourceResponse,
    },
};
use state::{State, Tx};
use types::Tags;

/// How many tags an account may have.
const MAX_TAGS: usize = 50;

/// The tags of a new account.
///
/// # Errors
/// A key is reserved, or there are too many.
pub(crate) fn new(given: Option<Vec<Tag>>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    add(&mut tags, given)?;
    Ok(tags)
}

fn add(tags: &mut Tags, given: Option<Vec<Tag>>) -> Result<(), Fault> {
    for Tag { key, value } in given.unwrap_or_default() {
        let key = key.unwrap_or_default();
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid_input("You can't use system tags in your request."));
        }
        tags.insert(key, value.unwrap_or_default());
    }
    if tags.len() > MAX_TAGS { Err(errors::too_many_tags()) } else { Ok(()) }
}

fn find(state: &State, id: Option<String>) -> Result<&Account, Fault> {
    accounts::find(state, id).map_err(|_| errors::target_not_found())
}

/// The tags of an account.
///
/// # Errors
/// The caller doesn't manage the organization, or there is no such account.
pub fn list_tags_for_resource(
    state: &State,
    request: &Request,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Fault> {
    let ListTagsForResourceRequest { resource_id, next_token } = input;
    errors::manager(state, request)?;
    let tags = find(state, resource_id)?.tags.iter();
    let page = page(tags, |(key, _)| (*key).clone(), None, next_token)?;
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    let tags = page.rows.into_iter().map(tag).collect();
    Ok(ListTagsForResourceResponse { tags: Some(tags), next_token: page.next })
}

/// Adds tags to an account, in place of those with the same keys.
///
/// # Errors
/// The caller doesn't manage the organization, there is no such account, a key is reserved, or there are too
/// many.
pub fn tag_resource(
    tx: &mut Tx,
    request: &Request,
    input: TagResourceRequest,
) -> Result<TagResourceResponse, Fault> {
    let TagResourceRequest { resource_id, tags } = input;
    errors::manager(tx, request)?;
    let mut account = find(tx, resource_id)?.clone();
    add(&mut account.tags, tags)?;
    tx.put(account);
    Ok(TagResourceResponse {})
}

/// Removes tags of an account.
///
/// # Errors
/// The caller doesn't manage the organization, or there is no such account.
pub fn untag_resource(
    tx: &mut Tx,
    request: &Request,
    input: UntagResourceRequest,
) -> Result<UntagResourceResponse, Fault> {
    let UntagResourceRequest { resource_id, tag_keys } = input;
    errors::manager(tx, request)?;
    let mut account = find(tx, resource_id)?.clone();
    for key in tag_keys.unwrap_or_default() {
        account.tags.remove(&key);
    }
    tx.put(account);
    Ok(UntagResourceResponse {})
}
