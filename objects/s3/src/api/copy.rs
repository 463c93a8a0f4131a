//! Copies on the server's side.

use crate::{
    Gateway,
    access::{Caller, of_new_object},
    api::{
        asked_of,
        convert::{self, ReadConditions, attributes_of, set_checksums},
        enter,
        objects::{check_early, conflict, open},
        protection::{Customer, Shown, Subject, customer_of, protection_of},
    },
    fault,
    store::{
        Bucket, Store,
        checksum::Kind,
        ingest::{Expected, MAX_BODY_BYTES},
        multipart::UploadKey,
        objects::{Found, New, check_key},
        outbox::Named,
        read::Reading,
        version::{Attributes, Header, Object},
    },
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};
use std::{ops::Range, sync::Arc};

/// What a copy is made from.
struct Source<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<&'a str>,
}

impl<'a> Source<'a> {
    fn of(source: &'a dto::CopySource) -> S3Result<Self> {
        match source {
            dto::CopySource::Bucket { bucket, key, version_id } => {
                Ok(Self { bucket, key, version: version_id.as_deref() })
            }
            dto::CopySource::AccessPoint { .. } | dto::CopySource::Outpost { .. } => {
                Err(fault::not_implemented("Copying from access points"))
            }
        }
    }

    async fn open(
        &self,
        gateway: &Gateway,
        caller: &Caller,
        owner: Option<&str>,
        customer: Customer<'_>,
        pick: impl Fn(&Found, &Object) -> S3Result<Range<u64>>,
    ) -> S3Result<(Arc<Bucket>, Found, Range<u64>, Reading)> {
        let action = if self.version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        let entry = enter(gateway, caller, action, self.bucket, Some(self.key), owner).await?;
        let bucket = entry.row();
        let subject = Subject { gateway, caller, bucket: &bucket, key: self.key };
        let opened = open(subject, self.version, customer, pick).await;
        let (found, range, reading) = opened.map_err(|error| {
            if *error.code() != S3ErrorCode::MethodNotAllowed {
                return error;
            }
            let message = "The source of a copy request may not specifically refer to a delete \
                           marker by version id.";
            fault::invalid_request(message)
        })?;
        Ok((bucket, found, range, reading))
    }
}

macro_rules! source_customer {
    ($input:expr) => {
        Customer {
            algorithm: $input.copy_source_sse_customer_algorithm.as_deref(),
            key: $input.copy_source_sse_customer_key.as_deref(),
            md5: $input.copy_source_sse_customer_key_md5.as_deref(),
        }
    };
}

macro_rules! source_conditions {
    ($input:expr) => {
        ReadConditions {
            if_match: $input.copy_source_if_match.clone(),
            if_none_match: $input.copy_source_if_none_match.clone(),
            if_modified_since: $input.copy_source_if_modified_since.clone(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.clone(),
        }
    };
}

fn check_size(range: Range<u64>) -> S3Result<Range<u64>> {
    if range.end - range.start <= MAX_BODY_BYTES {
        return Ok(range);
    }
    Err(fault::invalid_request(format!(
        "The specified copy source is larger than the maximum allowable size for a copy source: \
         {MAX_BODY_BYTES}"
    )))
}

fn replaces(directive: Option<&str>, name: &str) -> S3Result<bool> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => {
            let message = format!("Unknown {name} directive.");
            Err(fault::invalid_argument(&message, &format!("x-amz-{name}-directive"), other))
        }
    }
}

/// What the copy has, beside its body.
fn attributes(input: &dto::CopyObjectInput, source: &Object) -> S3Result<Attributes> {
    let mut said = attributes_of!(input)?;
    let metadata = input.metadata_directive.as_ref().map(dto::MetadataDirective::as_str);
    if !replaces(metadata, "metadata")? {
        let redirect = said.header(Header::WebsiteRedirect).map(str::to_owned);
        said.headers = source.attributes.headers.clone();
        said.headers.retain(|(name, _)| *name != Header::WebsiteRedirect);
        said.headers.extend(redirect.map(|to| (Header::WebsiteRedirect, to)));
        said.metadata = source.attributes.metadata.clone();
    }
    let tagging = input.tagging_directive.as_ref().map(dto::TaggingDirective::as_str);
    if !replaces(tagging, "tagging")? {
        said.tags = source.attributes.tags.clone();
    }
    Ok(said)
}

/// A copy of an object onto itself has to change something.
fn check_self(input: &dto::CopyObjectInput, source: &Source<'_>) -> S3Result<()> {
    let same = input.bucket == source.bucket && input.key == source.key;
    let changes = source.version.is_some()
        || input.storage_class.is_some()
        || input.website_redirect_location.is_some()
        || input.server_side_encryption.is_some()
        || input.sse_customer_algorithm.is_some()
        || input.metadata_directive.as_ref().is_some_and(|one| one.as_str() == "REPLACE");
    if !same || changes {
        return Ok(());
    }
    Err(fault::invalid_request(
        "This copy request is illegal because it is trying to copy an object to itself without \
         changing the object's metadata, storage class, website redirect location or encryption \
         attributes.",
    ))
}

pub(super) async fn copy_object(
    gateway: &Gateway,
    req: S3Request<dto::CopyObjectInput>,
) -> S3Result<S3Response<dto::CopyObjectOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    check_key(&input.key)?;
    let source = Source::of(&input.copy_source)?;
    let owner = input.expected_bucket_owner.as_deref();
    let entry =
        enter(gateway, &caller, "s3:PutObject", &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    check_self(&input, &source)?;
    let conditions = convert::conditions_of(&caller.headers);
    let store = &gateway.store;
    check_early(store, &bucket, &input.key, &conditions).await?;
    let lock = convert::lock(
        &bucket,
        store.now_ms(),
        input.object_lock_mode.as_ref().map(dto::ObjectLockMode::as_str),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref().map(dto::ObjectLockLegalHoldStatus::as_str),
    )?;
    let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
    let wrapping = protection_of!(input).writing_key(subject).await?;
    let choose = |found: &Found, object: &Object| {
        source_conditions!(input).check(&object.etag, found.version.modified_ms, true)?;
        check_size(0..object.size)
    };
    let source_owner = input.expected_source_bucket_owner.as_deref();
    let opened = source.open(gateway, &caller, source_owner, source_customer!(input), choose);
    let (source_bucket, found, range, reading) = opened.await?;
    let from = found.object().ok_or_else(fault::internal)?;
    let mut attributes = attributes(&input, from)?;
    let (writer, acl) =
        of_new_object(gateway, &caller, (&entry, &input.key), &asked_of!(input)).await?;
    attributes.acl = acl;
    let asked = input.checksum_algorithm.as_ref().map(convert::algorithm).transpose()?;
    let kept = from.checksum.as_ref().map(|sum| sum.algorithm);
    let expected =
        Expected { length: Some(range.end), keep: asked.or(kept), ..Expected::default() };
    let place = Store::place(&bucket, &input.key);
    let taken = store.take_in(&place, reading.into_stream(), &expected, &wrapping).await?;
    let new = New::of(taken, attributes, lock, writer);
    let (etag, checksum) = (new.object.etag, convert::checksum_of(&new.object));
    let named = Named::told(&input.key, "ObjectCreated:Copy", Some(&caller));
    let put = store.put_object(&entry, named, new, &conditions).await;
    let written = put.map_err(|error| conflict(error, &conditions))?;
    let mut result = dto::CopyObjectResult {
        checksum_type: Some(convert::kind_name(Kind::FullObject)),
        e_tag: Some(convert::etag(&etag)),
        last_modified: Some(convert::timestamp(written.modified_ms)),
        ..Default::default()
    };
    set_checksums!(result, checksum);
    let shown = Shown::of(&wrapping.wrapping);
    Ok(S3Response::new(dto::CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: convert::version_id(&source_bucket, found.id()),
        sse_customer_algorithm: shown.algorithm,
        sse_customer_key_md5: shown.md5,
        ssekms_key_id: shown.key_id,
        ssekms_encryption_context: shown.context,
        bucket_key_enabled: shown.bucket_key,
        server_side_encryption: shown.method,
        version_id: written.version_id,
        ..Default::default()
    }))
}

/// The range of a part's copy: `bytes=FIRST-LAST`, within the source.
fn source_range(text: Option<&str>, size: u64) -> S3Result<Range<u64>> {
    let Some(text) = text else { return check_size(0..size) };
    let bad = || {
        let message = "The x-amz-copy-source-range value must be of the form bytes=first-last \
                       where first and last are the zero-based offsets of the first and last bytes \
                       to copy";
        fault::invalid_argument(message, "x-amz-copy-source-range", text)
    };
    let (first, last) =
        text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(bad)?;
    let first: u64 = first.parse().map_err(|_| bad())?;
    let last: u64 = last.parse().map_err(|_| bad())?;
    if first > last {
        return Err(bad());
    }
    if last >= size {
        let message = format!("Range specified is not valid for source object of size: {size}");
        return Err(fault::invalid_argument(&message, "x-amz-copy-source-range", text));
    }
    check_size(first..last + 1)
}

pub(super) async fn upload_part_copy(
    gateway: &Gateway,
    req: S3Request<dto::UploadPartCopyInput>,
) -> S3Result<S3Response<dto::UploadPartCopyOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let source = Source::of(&input.copy_source)?;
    let owner = input.expected_bucket_owner.as_deref();
    let entry =
        enter(gateway, &caller, "s3:PutObject", &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    let number = super::multipart::part_number(input.part_number)?;
    let id = UploadKey::of_id(&input.upload_id)?;
    let store = &gateway.store;
    let upload = store.upload(&bucket, &input.key, id).await?;
    let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
    let wrapping = super::multipart::wrapping(subject, &upload, customer_of!(input)).await?;
    let choose = |found: &Found, object: &Object| {
        source_conditions!(input).check(&object.etag, found.version.modified_ms, true)?;
        source_range(input.copy_source_range.as_deref(), object.size)
    };
    let source_owner = input.expected_source_bucket_owner.as_deref();
    let opened = source.open(gateway, &caller, source_owner, source_customer!(input), choose);
    let (source_bucket, found, range, reading) = opened.await?;
    let (algorithm, _) = upload.checksum();
    let expected = Expected {
        length: Some(range.end - range.start),
        keep: Some(algorithm),
        ..Expected::default()
    };
    let place = Store::place(&bucket, &input.key);
    let taken = store.take_in(&place, reading.into_stream(), &expected, &wrapping).await?;
    let part = store.put_part(&entry, &input.key, id, number, taken).await?;
    let mut result = dto::CopyPartResult {
        e_tag: Some(dto::ETag::Strong(hex::encode(part.md5))),
        last_modified: Some(convert::timestamp(part.modified_ms)),
        ..Default::default()
    };
    if upload.checksum.is_some() {
        set_checksums!(result, convert::checksum_fields(algorithm, &part.checksum, None));
    }
    let shown = Shown::of(&wrapping.wrapping);
    Ok(S3Response::new(dto::UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: convert::version_id(&source_bucket, found.id()),
        sse_customer_algorithm: shown.algorithm,
        sse_customer_key_md5: shown.md5,
        ssekms_key_id: shown.key_id,
        bucket_key_enabled: shown.bucket_key,
        server_side_encryption: shown.method,
        ..Default::default()
    }))
}
