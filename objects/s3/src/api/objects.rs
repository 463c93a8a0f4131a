//! Objects: put, get, head, delete.

use crate::{
    Gateway,
    access::{Caller, of_new_object},
    api::{
        asked_of,
        convert::{self, ReadConditions, attributes_of, checksums_of, set_checksums},
        enter,
        protection::{Customer, Shown, Subject, customer_of, protection_of},
    },
    fault,
    store::{
        Bucket, BucketEntry, Store,
        checksum::Algorithm,
        ingest::Expected,
        objects::{Found, New, Written, check_key},
        outbox::Named,
        read::{Reading, part_range},
        rules::Conditions,
        version::{Content, Header, Object},
    },
};
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, dto,
    stream::ByteStream as _,
};
use std::ops::Range;

/// How often a body is looked for again that was replaced while it was looked for.
const ATTEMPTS: u32 = 4;
/// How many keys of one request are removed at a time.
const DELETES_AT_A_TIME: usize = 32;
const MAX_DELETES: usize = 1000;

/// What is expected of a body.
pub(super) fn expected(
    headers: &HeaderMap,
    trailer: Option<TrailingHeaders>,
    length: Option<i64>,
    md5: Option<&str>,
    checksums: Vec<(Algorithm, Vec<u8>)>,
) -> S3Result<Expected> {
    Ok(Expected {
        length: length.and_then(|length| u64::try_from(length).ok()),
        md5: convert::content_md5(md5)?,
        checksums,
        in_trailer: convert::in_trailer(headers),
        trailer,
        keep: None,
    })
}

/// The body's length, which must be known.
pub(super) fn length_of(
    body: Option<&dto::StreamingBlob>,
    said: Option<i64>,
) -> S3Result<Option<i64>> {
    let streamed = body.map_or(Some(0), |body| body.remaining_length().exact());
    let length = said.or_else(|| streamed.and_then(|length| i64::try_from(length).ok()));
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(S3ErrorCode::MissingContentLength.into()),
    }
}

pub(super) fn empty() -> dto::StreamingBlob {
    dto::StreamingBlob::from(s3s::Body::empty())
}

/// Refuses early what would be refused after a long body.
pub(super) async fn check_early(
    store: &Store,
    bucket: &Bucket,
    key: &str,
    conditions: &Conditions,
) -> S3Result<()> {
    if *conditions == Conditions::default() {
        return Ok(());
    }
    let newest = store.find(bucket, key, None).await?;
    let etag = newest.as_ref().and_then(Found::object).map(|object| object.etag);
    match conditions.check(etag.as_ref()) {
        Ok(()) => Ok(()),
        Err(crate::store::rules::Refusal::Condition(name)) => Err(fault::precondition_failed(name)),
        Err(_) => Err(fault::no_such_key(key)),
    }
}

/// What was there when the body began to come, and isn't now.
pub(super) fn conflict(error: S3Error, conditions: &Conditions) -> S3Error {
    if conditions.if_match.is_none() || *error.code() != S3ErrorCode::NoSuchKey {
        return error;
    }
    let message = "The conditional request cannot succeed due to a conflicting operation against \
                   this resource.";
    fault::custom(StatusCode::CONFLICT, "ConditionalRequestConflict", message)
}

pub(super) async fn put_object(
    gateway: &Gateway,
    req: S3Request<dto::PutObjectInput>,
) -> S3Result<S3Response<dto::PutObjectOutput>> {
    let caller = Caller::of(&req)?;
    let form = req.method == Method::POST;
    let S3Request { input, headers, trailing_headers, .. } = req;
    let owner = input.expected_bucket_owner.as_deref();
    check_key(&input.key)?;
    let entry =
        enter(gateway, &caller, "s3:PutObject", &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    if input.write_offset_bytes.is_some() {
        return Err(fault::not_implemented("Appending to objects"));
    }
    let lock = convert::lock(
        &bucket,
        gateway.store.now_ms(),
        input.object_lock_mode.as_ref().map(dto::ObjectLockMode::as_str),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref().map(dto::ObjectLockLegalHoldStatus::as_str),
    )?;
    let mut attributes = attributes_of!(input)?;
    let asked = asked_of!(input);
    let (writer, acl) = of_new_object(gateway, &caller, (&entry, &input.key), &asked).await?;
    attributes.acl = acl;
    let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
    let wrapping = protection_of!(input).writing_key(subject).await?;
    let conditions = convert::conditions(input.if_match, input.if_none_match);
    let length = length_of(input.body.as_ref(), input.content_length)?;
    let checksums = checksums_of!(input)?;
    let expected =
        expected(&headers, trailing_headers, length, input.content_md5.as_deref(), checksums)?;
    let store = &gateway.store;
    check_early(store, &bucket, &input.key, &conditions).await?;
    let place = Store::place(&bucket, &input.key);
    let body = input.body.unwrap_or_else(empty);
    let taken = store.take_in(&place, body, &expected, &wrapping).await?;
    let new = New::of(taken, attributes, lock, writer);
    let object = Object { content: Content::Blobs(Vec::new()), ..new.object.clone() };
    let event = if form { "ObjectCreated:Post" } else { "ObjectCreated:Put" };
    let named = Named::told(&input.key, event, Some(&caller));
    let put = store.put_object(&entry, named, new, &conditions).await;
    let written = put.map_err(|error| conflict(error, &conditions))?;
    let mut response = S3Response::new(put_output(&object, written));
    if form {
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let key = utf8_percent_encode(&input.key, &convert::PATH);
        let made = format!("http://{host}/{}/{key}", bucket.name);
        for (name, value) in [(fault::MADE, made), ("etag", format!("\"{}\"", object.etag))] {
            if let Ok(value) = value.parse() {
                response.headers.insert(name, value);
            }
        }
    }
    Ok(response)
}

fn put_output(object: &Object, written: Written) -> dto::PutObjectOutput {
    let shown = Shown::of(&object.seal.wrapping);
    let kind = object.checksum.as_ref().map(|sum| convert::kind_name(sum.kind));
    let mut output = dto::PutObjectOutput {
        checksum_type: kind,
        e_tag: Some(convert::etag(&object.etag)),
        sse_customer_algorithm: shown.algorithm,
        sse_customer_key_md5: shown.md5,
        ssekms_key_id: shown.key_id,
        ssekms_encryption_context: shown.context,
        bucket_key_enabled: shown.bucket_key,
        server_side_encryption: shown.method,
        version_id: written.version_id,
        ..Default::default()
    };
    set_checksums!(output, convert::checksum_of(object));
    output
}

/// Finds an object and reads what `pick` chooses of it.
pub(super) async fn open(
    subject: Subject<'_>,
    version: Option<&str>,
    customer: Customer<'_>,
    pick: impl Fn(&Found, &Object) -> S3Result<Range<u64>>,
) -> S3Result<(Found, Range<u64>, Reading)> {
    let Subject { gateway, bucket, key, .. } = subject;
    for _ in 0..ATTEMPTS {
        let found = gateway.store.find_object(bucket, key, version).await?;
        let object = found.object().ok_or_else(fault::internal)?;
        let range = pick(&found, object)?;
        let wrapping_key = customer.reading_key(subject, &object.seal.wrapping).await?;
        check_archive(gateway, object)?;
        let store = &gateway.store;
        let reading = store.read_object(bucket, key, &found, &wrapping_key, range.clone()).await?;
        if let Some(reading) = reading {
            return Ok((found, range, reading));
        }
    }
    log::error!("the bytes of an object in bucket {} are gone", bucket.name);
    Err(fault::internal())
}

/// An archived object is read only once it is restored.
fn check_archive(gateway: &Gateway, object: &Object) -> S3Result<()> {
    let class = object.attributes.storage_class.as_deref();
    let restored = object.restored_until_ms.is_some_and(|until| until > gateway.store.now_ms());
    match class {
        Some(class @ ("GLACIER" | "DEEP_ARCHIVE")) if !restored => {
            let message = "The operation is not valid for the object's storage class";
            let error = fault::custom(StatusCode::FORBIDDEN, "InvalidObjectState", message);
            Err(fault::with(error, &[("StorageClass", class)]))
        }
        _ => Ok(()),
    }
}

/// The part of an object that a request is about: its range, and whether it was asked for.
fn pick(
    object: &Object,
    range: Option<&dto::Range>,
    part: Option<i32>,
) -> S3Result<(Range<u64>, bool)> {
    match (range, part) {
        (None, None) => Ok((0..object.size, false)),
        (Some(_), Some(_)) => Err(fault::invalid_request(
            "Cannot specify both Range header and partNumber query parameter",
        )),
        (Some(range), None) => {
            let satisfied = range.check(object.size);
            // Nothing of nothing, also not its end.
            let satisfied = satisfied.ok().filter(|range| !range.is_empty());
            satisfied.map(|range| (range, true)).ok_or_else(|| {
                let message = "The requested range is not satisfiable";
                let error = fault::fault(S3ErrorCode::InvalidRange, message);
                let (asked, size) = (range.to_header_string(), object.size.to_string());
                let elements = [("RangeRequested", &*asked), ("ActualObjectSize", &*size)];
                let error = fault::with(error, &elements);
                fault::with_header(error, "content-range", &format!("bytes */{size}"))
            })
        }
        (None, Some(number)) => {
            let whole = (number == 1).then_some(0..object.size);
            let found = match &object.content {
                Content::Blobs(_) => whole,
                Content::Upload { runs, .. } => {
                    u16::try_from(number).ok().and_then(|number| part_range(runs, number))
                }
            };
            found.map(|range| (range, true)).ok_or_else(|| {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let message = "The requested partnumber is not satisfiable";
                let error = fault::custom(status, "InvalidPartNumber", message);
                let count = object.etag.parts.unwrap_or(1).to_string();
                let number = number.to_string();
                fault::with(error, &[("PartNumberRequested", &number), ("ActualPartCount", &count)])
            })
        }
    }
}

fn restore_of(object: &Object) -> Option<String> {
    let until = convert::http_date(&convert::timestamp(object.restored_until_ms?));
    Some(format!("ongoing-request=\"false\", expiry-date=\"{until}\""))
}

fn asks_for_checksum(mode: Option<&dto::ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED)
}

/// The conditions of a GET or HEAD.
macro_rules! conditions {
    ($input:expr) => {
        ReadConditions {
            if_match: $input.if_match.clone(),
            if_none_match: $input.if_none_match.clone(),
            if_modified_since: $input.if_modified_since.clone(),
            if_unmodified_since: $input.if_unmodified_since.clone(),
        }
    };
}

/// What GET and HEAD say of an object.
macro_rules! describe {
    ($output:ident, $bucket:expr, $found:expr, $object:expr, $range:expr, $partial:expr, $part:expr, $mode:expr) => {{
        let (found, object, range): (&Found, &Object, &Range<u64>) = ($found, $object, $range);
        let shown = Shown::of(&object.seal.wrapping);
        let retention = object.lock.retention;
        let mut output = dto::$output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: convert::header(object, Header::CacheControl),
            content_disposition: convert::header(object, Header::ContentDisposition),
            content_encoding: convert::header(object, Header::ContentEncoding),
            content_language: convert::header(object, Header::ContentLanguage),
            content_length: Some(convert::to_i64(range.end - range.start)),
            content_range: $partial
                .then(|| format!("bytes {}-{}/{}", range.start, range.end.max(1) - 1, object.size)),
            content_type: convert::content_type(object).and_then(|kind| kind.parse().ok()),
            e_tag: Some(convert::etag(&object.etag)),
            expires: convert::expires(object),
            last_modified: Some(convert::timestamp(found.version.modified_ms)),
            metadata: Some(object.attributes.metadata.iter().cloned().collect()),
            object_lock_legal_hold_status: object.lock.legal_hold.map(|hold| {
                dto::ObjectLockLegalHoldStatus::from_static(if hold { "ON" } else { "OFF" })
            }),
            object_lock_mode: retention
                .map(|one| dto::ObjectLockMode::from_static(convert::mode_name(one.mode))),
            object_lock_retain_until_date: retention
                .map(|one| convert::exact_timestamp(one.until_ms)),
            parts_count: $part.and_then(|_| object.etag.parts).map(i32::from),
            replication_status: found
                .version
                .replication
                .map(|status| dto::ReplicationStatus::from_static(status.as_str())),
            restore: restore_of(object),
            sse_customer_algorithm: shown.algorithm,
            sse_customer_key_md5: shown.md5,
            ssekms_key_id: shown.key_id,
            bucket_key_enabled: shown.bucket_key,
            server_side_encryption: shown.method,
            storage_class: object.attributes.storage_class.clone().map(dto::StorageClass::from),
            version_id: convert::version_id($bucket, found.id()),
            website_redirect_location: convert::header(object, Header::WebsiteRedirect),
            ..Default::default()
        };
        if asks_for_checksum($mode.as_ref()) && !$partial {
            set_checksums!(output, convert::checksum_of(object));
            output.checksum_type = object.checksum.as_ref().map(|sum| convert::kind_name(sum.kind));
        }
        output
    }};
}

pub(super) async fn get_object(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectInput>,
) -> S3Result<S3Response<dto::GetObjectOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let (key, version) = (&input.key, input.version_id.as_deref());
    check_key(key)?;
    let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, action, &input.bucket, Some(key), owner).await?;
    let overrides = input.response_cache_control.is_some()
        || input.response_content_disposition.is_some()
        || input.response_content_encoding.is_some()
        || input.response_content_language.is_some()
        || input.response_content_type.is_some()
        || input.response_expires.is_some();
    if overrides && caller.identity.is_none() {
        let message =
            "Request specific response headers cannot be used for anonymous GET requests.";
        return Err(fault::invalid_request(message));
    }
    let bucket = entry.row();
    let (range, part) = (input.range, input.part_number);
    let choose = |found: &Found, object: &Object| {
        conditions!(input).check(&object.etag, found.version.modified_ms, false)?;
        Ok(pick(object, range.as_ref(), part)?.0)
    };
    let customer = customer_of!(input);
    let subject = Subject { gateway, caller: &caller, bucket: &bucket, key };
    let (found, range, reading) = open(subject, version, customer, choose).await?;
    let object = found.object().ok_or_else(fault::internal)?;
    let partial = input.range.is_some() || part.is_some();
    let mut output = describe!(
        GetObjectOutput,
        &bucket,
        &found,
        object,
        &range,
        partial,
        part,
        input.checksum_mode
    );
    output.body = Some(reading.into_blob());
    let tags = object.attributes.tags.len();
    output.tag_count = i32::try_from(tags).ok().filter(|count| *count > 0);
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok(S3Response::with_status(output, status))
}

pub(super) async fn head_object(
    gateway: &Gateway,
    req: S3Request<dto::HeadObjectInput>,
) -> S3Result<S3Response<dto::HeadObjectOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let (key, version) = (&input.key, input.version_id.as_deref());
    check_key(key)?;
    let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, action, &input.bucket, Some(key), owner).await?;
    let bucket = entry.row();
    let found = gateway.store.find_object(&bucket, key, version).await?;
    let object = found.object().ok_or_else(fault::internal)?;
    customer_of!(input).check(&object.seal.wrapping)?;
    conditions!(input).check(&object.etag, found.version.modified_ms, false)?;
    let part = input.part_number;
    let (range, partial) = pick(object, input.range.as_ref(), part)?;
    if asks_for_checksum(input.checksum_mode.as_ref()) {
        let subject = Subject { gateway, caller: &caller, bucket: &bucket, key };
        subject.may_open(&object.seal.wrapping).await?;
    }
    let output = describe!(
        HeadObjectOutput,
        &bucket,
        &found,
        object,
        &range,
        partial,
        part,
        input.checksum_mode
    );
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = S3Response::with_status(output, status);
    // s3s has no member for it here.
    let tags = object.attributes.tags.len();
    if tags > 0 {
        response.headers.insert("x-amz-tagging-count", tags.into());
    }
    Ok(response)
}

/// One deletion.
struct Deletion<'a> {
    key: &'a str,
    version: Option<&'a str>,
    conditions: Conditions,
    bypass: bool,
}

async fn delete(
    gateway: &Gateway,
    caller: &Caller,
    entry: &BucketEntry,
    deletion: Deletion<'_>,
) -> S3Result<Written> {
    let Deletion { key, version, conditions, bypass } = deletion;
    check_key(key)?;
    if bypass {
        let action = "s3:BypassGovernanceRetention";
        super::allow(gateway, caller, action, entry, Some(key)).await?;
    }
    let named = Named::told(key, "ObjectRemoved:Delete", Some(caller));
    match version {
        None => gateway.store.delete_object(entry, named, None, &conditions).await,
        Some(id) => gateway.store.delete_version(entry, named, id, &conditions, bypass).await,
    }
}

pub(super) async fn delete_object(
    gateway: &Gateway,
    req: S3Request<dto::DeleteObjectInput>,
) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let (key, version) = (input.key.as_str(), input.version_id.as_deref());
    let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, action, &input.bucket, Some(key), owner).await?;
    let conditions = convert::conditions(input.if_match, None);
    let bypass = input.bypass_governance_retention == Some(true);
    let deletion = Deletion { key, version, conditions, bypass };
    let written = delete(gateway, &caller, &entry, deletion).await?;
    let output = dto::DeleteObjectOutput {
        delete_marker: written.marker.then_some(true),
        request_charged: None,
        version_id: written.version_id,
    };
    Ok(S3Response::with_status(output, StatusCode::NO_CONTENT))
}

/// One key of a DeleteObjects request.
async fn delete_one(
    gateway: &Gateway,
    caller: &Caller,
    entry: &BucketEntry,
    asked: dto::ObjectIdentifier,
    bypass: bool,
) -> Result<dto::DeletedObject, dto::Error> {
    let version = asked.version_id.as_deref();
    let if_match = asked.e_tag.clone().map(dto::ETagCondition::ETag);
    let conditions = convert::conditions(if_match, None);
    let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    let done = async {
        super::allow(gateway, caller, action, entry, Some(&asked.key)).await?;
        let deletion = Deletion { key: &asked.key, version, conditions, bypass };
        delete(gateway, caller, entry, deletion).await
    };
    match done.await {
        Ok(written) => Ok(dto::DeletedObject {
            delete_marker: written.marker.then_some(true),
            delete_marker_version_id: written.version_id.filter(|_| written.marker),
            key: Some(asked.key),
            version_id: asked.version_id,
        }),
        Err(error) => Err(dto::Error {
            code: Some(error.code().as_str().to_owned()),
            key: Some(asked.key),
            message: Some(error.message().unwrap_or_default().to_owned()),
            version_id: asked.version_id,
        }),
    }
}

pub(super) async fn delete_objects(
    gateway: &Gateway,
    req: S3Request<dto::DeleteObjectsInput>,
) -> S3Result<S3Response<dto::DeleteObjectsOutput>> {
    let caller = Caller::of(&req)?;
    let S3Request { input, headers, .. } = req;
    let verified = headers.contains_key("content-md5")
        || headers.keys().any(|name| name.as_str().starts_with("x-amz-checksum-"))
        || headers.contains_key("x-amz-trailer");
    if !verified {
        let message = "Missing required header for this request: Content-MD5";
        return Err(fault::invalid_request(message));
    }
    let entry = gateway.store.bucket(&input.bucket).await?;
    super::check_owner(&entry, input.expected_bucket_owner.as_deref())?;
    let dto::Delete { objects, quiet } = input.delete;
    if objects.is_empty() || objects.len() > MAX_DELETES {
        return Err(fault::malformed_xml());
    }
    let bypass = input.bypass_governance_retention == Some(true);
    // Answered in the order of the request.
    let done: Vec<_> = futures::stream::iter(objects)
        .map(|asked| delete_one(gateway, &caller, &entry, asked, bypass))
        .buffered(DELETES_AT_A_TIME)
        .collect()
        .await;
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for one in done {
        match one {
            Ok(one) => deleted.push(one),
            Err(one) => errors.push(one),
        }
    }
    let deleted = Some(deleted).filter(|all| quiet != Some(true) && !all.is_empty());
    let errors = Some(errors).filter(|all| !all.is_empty());
    Ok(S3Response::new(dto::DeleteObjectsOutput { deleted, errors, request_charged: None }))
}

/// An archived object is restored at once, for the days asked for.
pub(super) async fn restore_object(
    gateway: &Gateway,
    req: S3Request<dto::RestoreObjectInput>,
) -> S3Result<S3Response<dto::RestoreObjectOutput>> {
    const DAY_MS: u64 = 86_400_000;
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:RestoreObject";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let request = input.restore_request.ok_or_else(fault::malformed_xml)?;
    if request.output_location.is_some() || request.select_parameters.is_some() {
        return Err(fault::not_implemented("Selecting from archived objects"));
    }
    let days = request.days.and_then(|days| u64::try_from(days).ok()).filter(|days| *days > 0);
    let days = days.ok_or_else(fault::malformed_xml)?;
    let now_ms = gateway.store.now_ms();
    let version = input.version_id.as_deref();
    let named = Named::told(&input.key, "ObjectRestore:Post", Some(&caller));
    let restored = gateway.store.update_version(&entry, named, version, |version| {
        let Some(object) = &mut version.object else { return Err(fault::internal()) };
        let class = object.attributes.storage_class.as_deref();
        if !matches!(class, Some("GLACIER" | "DEEP_ARCHIVE")) {
            let message = "Restore is not allowed for the object's current storage class";
            return Err(fault::custom(StatusCode::FORBIDDEN, "InvalidObjectState", message));
        }
        let before = object.restored_until_ms.is_some_and(|until| until > now_ms);
        // Up to the midnight after.
        let until = (now_ms + days * DAY_MS).div_ceil(DAY_MS) * DAY_MS;
        object.restored_until_ms = Some(until);
        Ok(before)
    });
    let (before, _) = restored.await?;
    let mut response = S3Response::new(dto::RestoreObjectOutput::default());
    if !before {
        // s3s gives it 200.
        response.headers.insert(fault::STATUS, StatusCode::ACCEPTED.as_u16().into());
    }
    Ok(response)
}
