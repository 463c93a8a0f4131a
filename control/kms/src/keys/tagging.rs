//! Tags of keys.

use super::{Key, find, not_pending_deletion};
use crate::{check, errors, page::page};
use iam::Request;
use shapes::{
    Fault,
    kms::{
        ListResourceTagsRequest, ListResourceTagsResponse, Tag, TagResourceRequest,
        TagResourceResponse, UntagResourceRequest, UntagResourceResponse,
    },
};
use state::{Row as _, State, Tx};
use types::Tags;

/// AWS's limit of tags on one key.
const MAX_TAGS: usize = 50;

/// Tags of a call, checked.
///
/// # Errors
/// A tag is not within AWS's limits, or a key comes twice.
pub(crate) fn from_api(tags: Vec<Tag>) -> Result<Tags, Fault> {
    let mut read = Tags::new();
    for (number, Tag { tag_key, tag_value }) in (1..).zip(tags) {
        let member = |name: &str| format!("tags.{number}.member.{name}");
        let key = check::required(&member("tagKey"), tag_key)?;
        let value = check::required(&member("tagValue"), tag_value)?;
        check::text(&member("tagKey"), &key, 1..=128)?;
        check::text(&member("tagValue"), &value, 0..=256)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::tag("Tags beginning with aws: are reserved"));
        }
        if read.insert(key, value).is_some() {
            return Err(errors::tag("Duplicate tag keys"));
        }
    }
    within_limit(&read)?;
    Ok(read)
}

fn within_limit(tags: &Tags) -> Result<(), Fault> {
    if tags.len() > MAX_TAGS {
        return Err(errors::tag("Too many tags"));
    }
    Ok(())
}

/// Tags as calls answer them.
pub(crate) fn to_api(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag {
        tag_key: Some(key.clone()),
        tag_value: Some(value.clone()),
    };
    tags.iter().map(tag).collect()
}

/// Gives a key tags, in place of those with the same keys.
///
/// # Errors
/// There is no such key, it is to be deleted, or the tags are not within AWS's limits.
pub fn tag_resource(
    tx: &mut Tx,
    request: &Request,
    input: TagResourceRequest,
) -> Result<TagResourceResponse, Fault> {
    let TagResourceRequest { key_id, tags } = input;
    let key = find(tx, request, "kms:TagResource", key_id.as_deref())?;
    not_pending_deletion(&key)?;
    let mut all = key.tags.clone();
    all.extend(from_api(check::required("tags", tags)?)?);
    within_limit(&all)?;
    tx.update::<Key>(&key.key(), |key| key.tags = all);
    Ok(TagResourceResponse {})
}

/// Takes tags from a key; those that it doesn't have don't matter.
///
/// # Errors
/// There is no such key, or it is to be deleted.
pub fn untag_resource(
    tx: &mut Tx,
    request: &Request,
    input: UntagResourceRequest,
) -> Result<UntagResourceResponse, Fault> {
    let UntagResourceRequest { key_id, tag_keys } = input;
    let key = find(tx, request, "kms:UntagResource", key_id.as_deref())?;
    not_pending_deletion(&key)?;
    let gone = check::required("tagKeys", tag_keys)?;
    for (number, name) in (1..).zip(&gone) {
        check::text(&format!("tagKeys.{number}.member"), name, 1..=128)?;
    }
    tx.update::<Key>(&key.key(), |key| key.tags.retain(|name, _| !gone.contains(name)));
    Ok(UntagResourceResponse {})
}

/// Lists a key's tags.
///
/// # Errors
/// There is no such key.
pub fn list_resource_tags(
    state: &State,
    request: &Request,
    input: ListResourceTagsRequest,
) -> Result<ListResourceTagsResponse, Fault> {
    let ListResourceTagsRequest { key_id, limit, marker } = input;
    let key = find(state, request, "kms:ListResourceTags", key_id.as_deref())?;
    let tag_key = |tag: &Tag| tag.tag_key.clone().unwrap_or_default();
    let page = page(to_api(&key.tags).into_iter(), tag_key, limit, MAX_TAGS, marker.as_deref())?;
    let truncated = page.truncated();
    Ok(ListResourceTagsResponse { tags: Some(page.rows), next_marker: page.next, truncated })
}
