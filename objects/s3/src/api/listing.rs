//! Lists of objects and of versions.

use crate::{
    Gateway,
    access::Caller,
    api::{convert, enter},
    fault,
    store::{
        Bucket, Owner,
        checksum::Checksum,
        listing::{After, Line, Listed, Page, Query},
        version::{Object, Version},
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Request, S3Response, S3Result, dto};
use std::sync::Arc;

/// What `encoding-type=url` leaves as it is.
const PLAIN: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'*');

/// Records that a page of objects reads and doesn't show, at most: a bucket may hold nothing but
/// delete markers. Such a page is truncated with less than was asked for, and may be empty.
const MOST_PASSED: usize = 50_000;

/// How a token begins that names a key whose common prefix may go on.
const AMID: char = '.';

/// An opaque token.
pub(super) fn to_token(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// What is in a token.
///
/// # Errors
/// It is none of ours.
pub(super) fn token(token: &str) -> S3Result<String> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|text| String::from_utf8(text).ok());
    let message = "The continuation token provided is incorrect";
    decoded.ok_or_else(|| fault::invalid_argument(message, "continuation-token", token))
}

/// Encodes names if the client asked for it.
pub(super) struct Encoding(bool);

impl Encoding {
    pub(super) fn of(asked: Option<&dto::EncodingType>) -> S3Result<Self> {
        match asked.map(dto::EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(dto::EncodingType::URL) => Ok(Self(true)),
            Some(other) => {
                let message = "Invalid Encoding Method specified in Request";
                Err(fault::invalid_argument(message, "encoding-type", other))
            }
        }
    }

    pub(super) fn apply(&self, text: String) -> String {
        if self.0 { utf8_percent_encode(&text, &PLAIN).to_string() } else { text }
    }

    pub(super) fn prefixes<T>(&self, lines: &[Line<T>]) -> Option<Vec<dto::CommonPrefix>> {
        let prefixes = lines.iter().filter_map(|line| match line {
            Line::Prefix(prefix) => Some(self.apply(prefix.clone())),
            Line::Item(_) => None,
        });
        let all: Vec<_> =
            prefixes.map(|prefix| dto::CommonPrefix { prefix: Some(prefix) }).collect();
        Some(all).filter(|all| !all.is_empty())
    }
}

/// How long the common prefix is that a name is shown by.
fn common(name: &str, prefix: &str, delimiter: Option<&str>) -> Option<usize> {
    let (rest, delimiter) = (name.strip_prefix(prefix)?, delimiter?);
    Some(prefix.len() + rest.find(delimiter)? + delimiter.len())
}

/// Where a page begins after a marker: the common prefix that it lies in is passed over whole.
pub(super) fn after(mut name: String, prefix: &str, delimiter: Option<&str>) -> After {
    match common(&name, prefix, delimiter) {
        Some(len) => {
            name.truncate(len);
            After::Prefix(name)
        }
        None => After::Key(name),
    }
}

/// Where a page begins that is to start after a key: a common prefix is shown for the keys that
/// come after it, unless it is the key itself.
fn after_key(name: String, prefix: &str, delimiter: Option<&str>) -> After {
    let whole = common(&name, prefix, delimiter) == Some(name.len());
    if whole { After::Prefix(name) } else { After::Key(name) }
}

fn owner_of(bucket: &Bucket, version: &Version) -> Owner {
    version.owner.clone().unwrap_or_else(|| bucket.owner.clone())
}

fn checksum(object: &Object) -> (Option<Vec<dto::ChecksumAlgorithm>>, Option<dto::ChecksumType>) {
    let Some(Checksum { algorithm, kind, .. }) = &object.checksum else { return (None, None) };
    let algorithm = dto::ChecksumAlgorithm::from_static(algorithm.name());
    (Some(vec![algorithm]), Some(convert::kind_name(*kind)))
}

fn class_of(object: &Object) -> String {
    object.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned())
}

fn shown(
    bucket: &Bucket,
    listed: &Listed,
    encoding: &Encoding,
    with_owner: bool,
) -> Option<dto::Object> {
    let object = listed.version.object.as_ref()?;
    let (checksum_algorithm, checksum_type) = checksum(object);
    Some(dto::Object {
        checksum_algorithm,
        checksum_type,
        e_tag: Some(convert::etag(&object.etag)),
        key: Some(encoding.apply(listed.key.clone())),
        last_modified: Some(convert::timestamp(listed.version.modified_ms)),
        owner: with_owner.then(|| convert::owner(&owner_of(bucket, &listed.version))),
        restore_status: None,
        size: Some(convert::to_i64(object.size)),
        storage_class: Some(class_of(object).into()),
    })
}

fn contents(
    bucket: &Bucket,
    page: &Page<Listed>,
    encoding: &Encoding,
    with_owner: bool,
) -> Option<Vec<dto::Object>> {
    let all: Vec<_> = page
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Item(listed) => shown(bucket, listed, encoding, with_owner),
            Line::Prefix(_) => None,
        })
        .collect();
    Some(all).filter(|all| !all.is_empty())
}

/// The name of a page's last line.
fn last_name(page: &Page<Listed>) -> Option<String> {
    page.lines.last().filter(|_| page.truncated).map(|line| match line {
        Line::Item(listed) => listed.key.clone(),
        Line::Prefix(prefix) => prefix.clone(),
    })
}

fn next_token(page: &Page<Listed>) -> Option<String> {
    match &page.passed {
        Some(key) => Some(format!("{AMID}{}", to_token(key))),
        None => last_name(page).map(|name| to_token(&name)),
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What a list of objects asks for, in either version of the operation.
struct Asked<'a> {
    bucket: &'a str,
    expected_owner: Option<&'a str>,
    prefix: Option<String>,
    delimiter: Option<String>,
    max_keys: Option<i32>,
    /// Whether the next page begins where a token of ours says, and not where a name does.
    has_tokens: bool,
}

/// A page of a list of objects, and what it is a page of.
struct Answer {
    bucket: Arc<Bucket>,
    query: Query,
    page: Page<Listed>,
}

/// Reads a page; `begin` says where it starts, from the prefix and the delimiter.
async fn answer(
    gateway: &Gateway,
    caller: &Caller,
    asked: Asked<'_>,
    begin: impl FnOnce(&str, Option<&str>) -> S3Result<After>,
) -> S3Result<Answer> {
    let action = "s3:ListBucket";
    let entry = enter(gateway, caller, action, asked.bucket, None, asked.expected_owner).await?;
    let bucket = entry.row();
    let (prefix, delimiter) = (asked.prefix.unwrap_or_default(), given(asked.delimiter));
    let limit = convert::page_size(asked.max_keys, "max-keys")?;
    let after = begin(&prefix, delimiter.as_deref())?;
    let most_passed = Some(MOST_PASSED);
    let may_part_prefix = asked.has_tokens;
    let query = Query { prefix, delimiter, after, limit, most_passed, may_part_prefix };
    let page = gateway.store.list_objects(&bucket, &query).await?;
    Ok(Answer { bucket, query, page })
}

pub(super) async fn list_objects(
    gateway: &Gateway,
    req: S3Request<dto::ListObjectsInput>,
) -> S3Result<S3Response<dto::ListObjectsOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let asked = Asked {
        bucket: &input.bucket,
        expected_owner: input.expected_bucket_owner.as_deref(),
        prefix: input.prefix,
        delimiter: input.delimiter,
        max_keys: input.max_keys,
        has_tokens: false,
    };
    let marker = given(input.marker.clone());
    let begin = |prefix: &str, delimiter: Option<&str>| {
        Ok(marker.map_or(After::Start, |name| after(name, prefix, delimiter)))
    };
    let Answer { bucket, query, page } = answer(gateway, &caller, asked, begin).await?;
    // Without a delimiter, the last key says it, if that is shown.
    let next = last_name(&page).filter(|_| query.delimiter.is_some());
    let next = page.passed.clone().or(next);
    Ok(S3Response::new(dto::ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.apply(query.prefix)),
        marker: Some(encoding.apply(input.marker.unwrap_or_default())),
        max_keys: i32::try_from(query.limit).ok(),
        is_truncated: Some(page.truncated),
        contents: contents(&bucket, &page, &encoding, true),
        common_prefixes: encoding.prefixes(&page.lines),
        delimiter: query.delimiter.map(|text| encoding.apply(text)),
        next_marker: next.map(|name| encoding.apply(name)),
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

pub(super) async fn list_objects_v2(
    gateway: &Gateway,
    req: S3Request<dto::ListObjectsV2Input>,
) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let asked = Asked {
        bucket: &input.bucket,
        expected_owner: input.expected_bucket_owner.as_deref(),
        prefix: input.prefix,
        delimiter: input.delimiter,
        max_keys: input.max_keys,
        has_tokens: true,
    };
    let start = given(input.start_after.clone());
    let begin = |prefix: &str, delimiter: Option<&str>| match &input.continuation_token {
        Some(given) if given.is_empty() => {
            let message = "The continuation token provided is incorrect";
            Err(fault::invalid_argument(message, "continuation-token", ""))
        }
        Some(given) => match given.strip_prefix(AMID) {
            Some(given) => Ok(After::Key(token(given)?)),
            None => Ok(after(token(given)?, prefix, delimiter)),
        },
        None => Ok(start.map_or(After::Start, |name| after_key(name, prefix, delimiter))),
    };
    let Answer { bucket, query, page } = answer(gateway, &caller, asked, begin).await?;
    Ok(S3Response::new(dto::ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.apply(query.prefix)),
        max_keys: i32::try_from(query.limit).ok(),
        key_count: i32::try_from(page.lines.len()).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.truncated),
        next_continuation_token: next_token(&page),
        contents: contents(&bucket, &page, &encoding, input.fetch_owner == Some(true)),
        common_prefixes: encoding.prefixes(&page.lines),
        delimiter: query.delimiter.map(|text| encoding.apply(text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|text| encoding.apply(text)),
        request_charged: None,
    }))
}

fn shown_version(
    bucket: &Bucket,
    listed: &Listed,
    object: &Object,
    encoding: &Encoding,
) -> dto::ObjectVersion {
    let (checksum_algorithm, checksum_type) = checksum(object);
    dto::ObjectVersion {
        checksum_algorithm,
        checksum_type,
        e_tag: Some(convert::etag(&object.etag)),
        is_latest: Some(listed.latest),
        key: Some(encoding.apply(listed.key.clone())),
        last_modified: Some(convert::timestamp(listed.version.modified_ms)),
        owner: Some(convert::owner(&owner_of(bucket, &listed.version))),
        restore_status: None,
        size: Some(convert::to_i64(object.size)),
        storage_class: Some(class_of(object).into()),
        version_id: Some(listed.version.id(listed.version_key)),
    }
}

fn shown_marker(bucket: &Bucket, listed: &Listed, encoding: &Encoding) -> dto::DeleteMarkerEntry {
    dto::DeleteMarkerEntry {
        is_latest: Some(listed.latest),
        key: Some(encoding.apply(listed.key.clone())),
        last_modified: Some(convert::timestamp(listed.version.modified_ms)),
        owner: Some(convert::owner(&owner_of(bucket, &listed.version))),
        version_id: Some(listed.version.id(listed.version_key)),
    }
}

pub(super) async fn list_object_versions(
    gateway: &Gateway,
    req: S3Request<dto::ListObjectVersionsInput>,
) -> S3Result<S3Response<dto::ListObjectVersionsOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:ListBucketVersions";
    let entry = enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let bucket = entry.row();
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = given(input.delimiter);
    let limit = convert::page_size(input.max_keys, "max-keys")?;
    let begin = match (given(input.key_marker.clone()), given(input.version_id_marker.clone())) {
        (None, None) => After::Start,
        (None, Some(_)) => {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(fault::invalid_argument(message, "version-id-marker", ""));
        }
        (Some(key), None) => after(key, &prefix, delimiter.as_deref()),
        (Some(key), Some(id)) => gateway.store.after_version(&bucket, &key, &id).await?,
    };
    let query = Query { prefix, delimiter, after: begin, limit, ..Query::default() };
    let page = gateway.store.list_versions(&bucket, &query).await?;
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    for line in &page.lines {
        let Line::Item(listed) = line else { continue };
        match &listed.version.object {
            Some(object) => versions.push(shown_version(&bucket, listed, object, &encoding)),
            None => markers.push(shown_marker(&bucket, listed, &encoding)),
        }
    }
    let next_version = match page.lines.last() {
        Some(Line::Item(listed)) if page.truncated => Some(listed.version.id(listed.version_key)),
        _ => None,
    };
    Ok(S3Response::new(dto::ListObjectVersionsOutput {
        common_prefixes: encoding.prefixes(&page.lines),
        delete_markers: Some(markers).filter(|all| !all.is_empty()),
        delimiter: query.delimiter.map(|text| encoding.apply(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_marker: Some(encoding.apply(input.key_marker.unwrap_or_default())),
        max_keys: i32::try_from(limit).ok(),
        name: Some(input.bucket),
        next_key_marker: last_name(&page).map(|name| encoding.apply(name)),
        next_version_id_marker: next_version,
        prefix: Some(encoding.apply(query.prefix)),
        request_charged: None,
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        versions: Some(versions).filter(|all| !all.is_empty()),
    }))
}
