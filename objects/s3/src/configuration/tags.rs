//! Tags of buckets, as S3 takes them.

use s3s::{S3Error, S3ErrorCode, S3Result, dto};
use std::collections::BTreeMap;

/// The most tags of a bucket.
const MAX_BUCKET_TAGS: usize = 50;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

fn invalid(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidTag, message)
}

/// The tags of a bucket, checked.
///
/// # Errors
/// `InvalidTag`, `MalformedXML`, `BadRequest` for too many.
pub fn of_bucket(tags: Vec<dto::Tag>) -> S3Result<BTreeMap<String, String>> {
    if tags.len() > MAX_BUCKET_TAGS {
        return Err(too_many());
    }
    let mut kept = BTreeMap::new();
    for tag in tags {
        let key = tag.key.ok_or_else(super::malformed_xml)?;
        let value = tag.value.ok_or_else(super::malformed_xml)?;
        check(&key, &value)?;
        if kept.insert(key, value).is_some() {
            return Err(invalid("Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(kept)
}

/// Too many tags for a bucket.
pub(crate) fn too_many() -> S3Error {
    let message = format!("Bucket tag count cannot be greater than {MAX_BUCKET_TAGS}");
    let mut fault = S3Error::with_message(S3ErrorCode::Custom("BadRequest".into()), message);
    fault.set_status_code(http::StatusCode::BAD_REQUEST);
    fault
}

/// Whether there are more tags than a bucket can have.
#[must_use]
pub fn too_many_for_bucket(tags: &BTreeMap<String, String>) -> bool {
    tags.len() > MAX_BUCKET_TAGS
}

/// Checks one tag of a bucket.
///
/// # Errors
/// `InvalidTag`.
pub fn check(key: &str, value: &str) -> S3Result<()> {
    let characters =
        |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
    if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || !characters(key) {
        return Err(invalid("The TagKey you have provided is invalid"));
    }
    if value.chars().count() > MAX_VALUE_CHARS || !characters(value) {
        return Err(invalid("The TagValue you have provided is invalid"));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    Ok(())
}

/// The tags as the API shows them.
#[must_use]
pub fn to_api(tags: &BTreeMap<String, String>) -> Vec<dto::Tag> {
    tags.iter()
        .map(|(key, value)| dto::Tag { key: Some(key.clone()), value: Some(value.clone()) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let tag = |key: &str, value: &str| dto::Tag {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        };
        let code =
            |tags| of_bucket(tags).err().map(|fault: S3Error| fault.code().as_str().to_owned());
        assert_eq!(code(vec![tag("a", ""), tag("b/é", "x:y@z")]), None);
        let long = "k".repeat(129);
        for bad in [("", "v"), ("aws:x", "v"), ("a?", "v"), ("a", "<"), (long.as_str(), "")] {
            assert_eq!(code(vec![tag(bad.0, bad.1)]).as_deref(), Some("InvalidTag"), "{bad:?}");
        }
        assert_eq!(code(vec![tag("a", ""), tag("a", "")]).as_deref(), Some("InvalidTag"));
        let many = (0..51).map(|n| tag(&n.to_string(), "")).collect();
        assert_eq!(code(many).as_deref(), Some("BadRequest"));
    }
}
