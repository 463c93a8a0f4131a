//! Tags of objects.

use crate::{Gateway, access::Caller, api::enter, fault, store::outbox::Named};
use percent_encoding::percent_decode_str;
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};
use std::collections::HashSet;

const MAX_TAGS: usize = 10;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

/// Checks tags as S3 does.
///
/// # Errors
/// `InvalidTag`, `BadRequest`.
pub(super) fn check(tags: &[(String, String)]) -> S3Result<()> {
    if tags.len() > MAX_TAGS {
        let message = "Object tags cannot be greater than 10";
        return Err(fault::custom(http::StatusCode::BAD_REQUEST, "BadRequest", message));
    }
    let invalid = |message: &str, key: &str| {
        let error = fault::fault(S3ErrorCode::InvalidTag, message);
        fault::with(error, &[("TagKey", key)])
    };
    let plain = |text: &str| {
        text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c))
    };
    let mut seen = HashSet::new();
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || !plain(key) {
            return Err(invalid("The TagKey you have provided is invalid", key));
        }
        if value.chars().count() > MAX_VALUE_CHARS || !plain(value) {
            return Err(invalid("The TagValue you have provided is invalid", key));
        }
        if key.starts_with("aws:") {
            let message = "System tags cannot be added/updated by requester";
            return Err(invalid(message, key));
        }
        if !seen.insert(key) {
            let message = "Cannot provide multiple Tags with the same key";
            return Err(invalid(message, key));
        }
    }
    Ok(())
}

/// The tags of the header `x-amz-tagging`.
///
/// # Errors
/// They aren't any, as [`check`].
pub(super) fn of_query(query: &str) -> S3Result<Vec<(String, String)>> {
    let bad = || {
        let message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL \
                       query parameters without tag name duplicates.";
        fault::invalid_argument(message, "x-amz-tagging", query)
    };
    let decode = |text: &str| -> S3Result<String> {
        let text = text.replace('+', " ");
        Ok(percent_decode_str(&text).decode_utf8().map_err(|_| bad())?.into_owned())
    };
    let mut tags = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decode(key)?, decode(value)?);
        if tags.iter().any(|(other, _)| *other == key) {
            return Err(bad());
        }
        tags.push((key, value));
    }
    check(&tags)?;
    Ok(tags)
}

fn of_set(set: dto::TagSet) -> S3Result<Vec<(String, String)>> {
    let pairs =
        set.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
    let tags = pairs.collect::<Vec<_>>();
    check(&tags)?;
    Ok(tags)
}

pub(super) async fn get_object_tagging(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectTaggingInput>,
) -> S3Result<S3Response<dto::GetObjectTaggingOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let action =
        action(input.version_id.as_deref(), "s3:GetObjectTagging", "s3:GetObjectVersionTagging");
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    let version = input.version_id.as_deref();
    let found = gateway.store.find_object(&bucket, &input.key, version).await?;
    let tags = found.object().map(|object| object.attributes.tags.clone()).unwrap_or_default();
    let tag_set =
        tags.into_iter().map(|(key, value)| dto::Tag { key: Some(key), value: Some(value) });
    Ok(S3Response::new(dto::GetObjectTaggingOutput {
        tag_set: tag_set.collect(),
        version_id: super::convert::version_id(&bucket, found.id()),
    }))
}

fn action(version: Option<&str>, newest: &'static str, named: &'static str) -> &'static str {
    if version.is_some() { named } else { newest }
}

async fn set_tags(
    gateway: &Gateway,
    entry: &crate::store::BucketEntry,
    key: Named<'_>,
    version: Option<&str>,
    tags: Vec<(String, String)>,
) -> S3Result<Option<String>> {
    let changed = gateway.store.update_version(entry, key, version, |version| {
        if let Some(object) = &mut version.object {
            object.attributes.tags = tags;
        }
        Ok(())
    });
    let ((), id) = changed.await?;
    Ok(super::convert::version_id(&entry.row(), id))
}

pub(super) async fn put_object_tagging(
    gateway: &Gateway,
    req: S3Request<dto::PutObjectTaggingInput>,
) -> S3Result<S3Response<dto::PutObjectTaggingOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let action =
        action(input.version_id.as_deref(), "s3:PutObjectTagging", "s3:PutObjectVersionTagging");
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let tags = of_set(input.tagging.tag_set)?;
    let version = input.version_id.as_deref();
    let named = Named::told(&input.key, "ObjectTagging:Put", Some(&caller));
    let version_id = set_tags(gateway, &entry, named, version, tags).await?;
    Ok(S3Response::new(dto::PutObjectTaggingOutput { version_id }))
}

pub(super) async fn delete_object_tagging(
    gateway: &Gateway,
    req: S3Request<dto::DeleteObjectTaggingInput>,
) -> S3Result<S3Response<dto::DeleteObjectTaggingOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let version = input.version_id.as_deref();
    let action = action(version, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging");
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let named = Named::told(&input.key, "ObjectTagging:Delete", Some(&caller));
    let version_id = set_tags(gateway, &entry, named, version, Vec::new()).await?;
    Ok(S3Response::new(dto::DeleteObjectTaggingOutput { version_id }))
}
