//! Multipart uploads.

use crate::{
    Gateway,
    access::{Caller, of_new_object},
    api::{
        asked_of,
        convert::{self, attributes_of, checksums_of, set_checksums},
        enter,
        listing::{Encoding, after},
        objects::{empty, expected, length_of},
        protection::{Customer, Shown, Subject, customer_of, protection_of},
    },
    fault,
    store::{
        Bucket, Owner, Store,
        checksum::{Algorithm, Kind, from_base64},
        crypt::{Wrapping, WrappingKey},
        listing::{After, Line, Query},
        multipart::{Completion, MAX_PARTS, Named, Upload, UploadKey},
        objects::check_key,
        outbox,
    },
};
use http::StatusCode;
use s3s::{S3Request, S3Response, S3Result, dto};

/// # Errors
/// It is not from 1 to 10,000.
pub(super) fn part_number(number: i32) -> S3Result<u16> {
    let valid = u16::try_from(number).ok().filter(|number| (1..=MAX_PARTS).contains(number));
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    valid.ok_or_else(|| fault::invalid_argument(message, "partNumber", &number.to_string()))
}

/// The key for a part's body: of the same kind as the upload said.
pub(super) async fn wrapping(
    subject: Subject<'_>,
    upload: &Upload,
    customer: Customer<'_>,
) -> S3Result<WrappingKey> {
    match (&upload.wrapping, customer.key()?) {
        (Wrapping::Store, None) => Ok(subject.gateway.store.wrapping_key()),
        (Wrapping::Kms(by), None) => {
            Ok(WrappingKey { wrapping: upload.wrapping.clone(), key: subject.open(by).await? })
        }
        (Wrapping::Customer { md5 }, Some(key)) if matches!(&key.wrapping, Wrapping::Customer { md5: of } if of == md5) => {
            Ok(key)
        }
        (Wrapping::Customer { .. }, Some(_)) => Err(fault::invalid_request(
            "The provided encryption parameters did not match the ones used originally.",
        )),
        (Wrapping::Customer { .. }, None) => Err(fault::invalid_request(
            "The multipart upload initiate requested encryption. Subsequent part requests must \
             include the appropriate encryption parameters.",
        )),
        (Wrapping::Store | Wrapping::Kms(_), Some(_)) => Err(fault::invalid_request(
            "The multipart upload initiate did not request encryption with a customer key.",
        )),
    }
}

/// The checksum that an upload asks for.
fn asked(
    algorithm: Option<&dto::ChecksumAlgorithm>,
    kind: Option<&dto::ChecksumType>,
) -> S3Result<Option<(Algorithm, Kind)>> {
    let kind = kind.map(convert::kind).transpose()?;
    let Some(algorithm) = algorithm.map(convert::algorithm).transpose()? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(fault::invalid_request(
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            )),
        };
    };
    let kind = kind.unwrap_or(algorithm.default_kind());
    if !algorithm.allows(kind) {
        let (kind, algorithm) = (convert::kind_name(kind), algorithm.name().to_ascii_lowercase());
        let message = format!(
            "The {} checksum type cannot be used with the {algorithm} checksum algorithm.",
            kind.as_str()
        );
        return Err(fault::invalid_request(message));
    }
    Ok(Some((algorithm, kind)))
}

pub(super) async fn create_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::CreateMultipartUploadInput>,
) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    check_key(&input.key)?;
    let owner = input.expected_bucket_owner.as_deref();
    let entry =
        enter(gateway, &caller, "s3:PutObject", &input.bucket, Some(&input.key), owner).await?;
    let checksum = asked(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
    let lock = convert::lock(
        &entry.row(),
        gateway.store.now_ms(),
        input.object_lock_mode.as_ref().map(dto::ObjectLockMode::as_str),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref().map(dto::ObjectLockLegalHoldStatus::as_str),
    )?;
    let mut attributes = attributes_of!(input)?;
    let asked = asked_of!(input);
    let (writer, acl) = of_new_object(gateway, &caller, (&entry, &input.key), &asked).await?;
    attributes.acl = acl;
    let bucket = entry.row();
    let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
    let wrapping = protection_of!(input).writing_key(subject).await?.wrapping;
    let initiator = caller.identity.as_ref().map_or_else(
        || (String::new(), "anonymous".to_owned()),
        |one| match one.root {
            true => (one.canonical_id.clone(), one.display_name.clone()),
            false => (one.arn.clone(), one.display_name.clone()),
        },
    );
    let upload = Upload {
        initiated_ms: 0,
        owner: writer,
        initiator,
        attributes,
        lock,
        wrapping: wrapping.clone(),
        checksum,
    };
    let id = gateway.store.create_upload(&entry, &input.key, upload).await?;
    let shown = Shown::of(&wrapping);
    Ok(S3Response::new(dto::CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: checksum.map(|(_, kind)| convert::kind_name(kind)),
        key: Some(input.key),
        sse_customer_algorithm: shown.algorithm,
        sse_customer_key_md5: shown.md5,
        ssekms_key_id: shown.key_id,
        ssekms_encryption_context: shown.context,
        bucket_key_enabled: shown.bucket_key,
        server_side_encryption: shown.method,
        upload_id: Some(id.to_id()),
        ..Default::default()
    }))
}

pub(super) async fn upload_part(
    gateway: &Gateway,
    req: S3Request<dto::UploadPartInput>,
) -> S3Result<S3Response<dto::UploadPartOutput>> {
    let caller = Caller::of(&req)?;
    let S3Request { input, headers, trailing_headers, .. } = req;
    let owner = input.expected_bucket_owner.as_deref();
    let entry =
        enter(gateway, &caller, "s3:PutObject", &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    let number = part_number(input.part_number)?;
    let id = UploadKey::of_id(&input.upload_id)?;
    let store = &gateway.store;
    let upload = store.upload(&bucket, &input.key, id).await?;
    let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
    let wrapping = wrapping(subject, &upload, customer_of!(input)).await?;
    let length = length_of(input.body.as_ref(), input.content_length)?;
    let checksums = checksums_of!(input)?;
    let md5 = input.content_md5.as_deref();
    let mut expected = expected(&headers, trailing_headers, length, md5, checksums)?;
    let (algorithm, _) = upload.checksum();
    let mut named =
        expected.checksums.iter().map(|(one, _)| *one).chain(expected.in_trailer.clone());
    if let Some(other) = named.find(|one| upload.checksum.is_some() && *one != algorithm) {
        let message = format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            algorithm.name().to_ascii_lowercase(),
            other.name().to_ascii_lowercase()
        );
        return Err(fault::invalid_request(message));
    }
    let shown: Vec<_> =
        expected.checksums.iter().map(|(one, _)| *one).chain(expected.in_trailer.clone()).collect();
    expected.keep = Some(algorithm);
    let place = Store::place(&bucket, &input.key);
    let body = input.body.unwrap_or_else(empty);
    let given = expected.checksums.first().cloned();
    let taken = store.take_in(&place, body, &expected, &wrapping).await?;
    let part = store.put_part(&entry, &input.key, id, number, taken).await?;
    let shown_key = Shown::of(&wrapping.wrapping);
    let mut output = dto::UploadPartOutput {
        e_tag: Some(dto::ETag::Strong(hex::encode(part.md5))),
        sse_customer_algorithm: shown_key.algorithm,
        sse_customer_key_md5: shown_key.md5,
        ssekms_key_id: shown_key.key_id,
        bucket_key_enabled: shown_key.bucket_key,
        server_side_encryption: shown_key.method,
        ..Default::default()
    };
    if upload.checksum.is_some() || shown.is_empty() || shown.contains(&algorithm) {
        set_checksums!(output, convert::checksum_fields(algorithm, &part.checksum, None));
    } else if let Some((algorithm, value)) = given {
        set_checksums!(output, convert::checksum_fields(algorithm, &value, None));
    }
    Ok(S3Response::new(output))
}

fn initiator(upload: &Upload) -> dto::Initiator {
    let (id, name) = upload.initiator.clone();
    dto::Initiator { display_name: Some(name), id: Some(id) }
}

fn owner_of(bucket: &Bucket, upload: &Upload) -> dto::Owner {
    let owner: &Owner = upload.owner.as_ref().unwrap_or(&bucket.owner);
    convert::owner(owner)
}

fn class_of(upload: &Upload) -> dto::StorageClass {
    upload.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()).into()
}

pub(super) async fn list_parts(
    gateway: &Gateway,
    req: S3Request<dto::ListPartsInput>,
) -> S3Result<S3Response<dto::ListPartsOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:ListMultipartUploadParts";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    let id = UploadKey::of_id(&input.upload_id)?;
    let store = &gateway.store;
    let upload = store.upload(&bucket, &input.key, id).await?;
    let limit = convert::page_size(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or_default();
    let after = u16::try_from(marker.clamp(0, i32::from(MAX_PARTS))).unwrap_or_default();
    let mut parts = store.parts(&bucket, &input.key, id, after, limit + 1).await?;
    let more = parts.len() > limit;
    parts.truncate(limit);
    let shown = parts.iter().map(|(number, part)| {
        let mut shown = dto::Part {
            e_tag: Some(dto::ETag::Strong(hex::encode(part.md5))),
            last_modified: Some(convert::timestamp(part.modified_ms)),
            part_number: Some(i32::from(*number)),
            size: Some(convert::to_i64(part.size)),
            ..Default::default()
        };
        if let Some((algorithm, _)) = upload.checksum {
            set_checksums!(shown, convert::checksum_fields(algorithm, &part.checksum, None));
        }
        shown
    });
    let algorithm = upload.checksum.map(|(one, _)| dto::ChecksumAlgorithm::from_static(one.name()));
    Ok(S3Response::new(dto::ListPartsOutput {
        parts: Some(shown.collect()),
        checksum_algorithm: algorithm,
        checksum_type: upload.checksum.map(|(_, kind)| convert::kind_name(kind)),
        initiator: Some(initiator(&upload)),
        is_truncated: Some(more),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: parts.last().map(|(number, _)| i32::from(*number)),
        owner: Some(owner_of(&bucket, &upload)),
        part_number_marker: Some(marker),
        storage_class: Some(class_of(&upload)),
        upload_id: Some(input.upload_id),
        bucket: Some(input.bucket),
        key: Some(input.key),
        ..Default::default()
    }))
}

fn shown_upload(
    bucket: &Bucket,
    (key, id, upload): &(String, UploadKey, Upload),
    encoding: &Encoding,
) -> dto::MultipartUpload {
    dto::MultipartUpload {
        checksum_algorithm: upload
            .checksum
            .map(|(one, _)| dto::ChecksumAlgorithm::from_static(one.name())),
        checksum_type: upload.checksum.map(|(_, kind)| convert::kind_name(kind)),
        initiated: Some(convert::timestamp(upload.initiated_ms)),
        initiator: Some(initiator(upload)),
        key: Some(encoding.apply(key.clone())),
        owner: Some(owner_of(bucket, upload)),
        storage_class: Some(class_of(upload)),
        upload_id: Some(id.to_id()),
    }
}

pub(super) async fn list_multipart_uploads(
    gateway: &Gateway,
    req: S3Request<dto::ListMultipartUploadsInput>,
) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:ListBucketMultipartUploads";
    let entry = enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let bucket = entry.row();
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let limit = convert::page_size(input.max_uploads, "max-uploads")?;
    let key_marker = input.key_marker.clone().filter(|text| !text.is_empty());
    let id_marker = input.upload_id_marker.clone().filter(|text| !text.is_empty());
    let begin = match (key_marker, id_marker) {
        (None, _) => After::Start,
        (Some(key), None) => after(key, &prefix, delimiter.as_deref()),
        (Some(key), Some(id)) => {
            let bad =
                |_| fault::invalid_argument("Invalid uploadId marker", "upload-id-marker", &id);
            After::Record(key, UploadKey::of_id(&id).map_err(bad)?.0.to_vec())
        }
    };
    let query = Query { prefix, delimiter, after: begin, limit, ..Query::default() };
    let page = gateway.store.list_uploads(&bucket, &query).await?;
    let uploads: Vec<_> = page
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Item(item) => Some(shown_upload(&bucket, item, &encoding)),
            Line::Prefix(_) => None,
        })
        .collect();
    let (next_key, next_id) = match page.lines.last().filter(|_| page.truncated) {
        Some(Line::Item((key, id, _))) => (Some(key.clone()), Some(id.to_id())),
        Some(Line::Prefix(prefix)) => (Some(prefix.clone()), None),
        None => (None, None),
    };
    Ok(S3Response::new(dto::ListMultipartUploadsOutput {
        common_prefixes: encoding.prefixes(&page.lines),
        bucket: Some(input.bucket),
        delimiter: query.delimiter.map(|text| encoding.apply(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_marker: Some(encoding.apply(input.key_marker.unwrap_or_default())),
        max_uploads: i32::try_from(limit).ok(),
        next_key_marker: next_key.map(|key| encoding.apply(key)),
        next_upload_id_marker: next_id,
        prefix: Some(encoding.apply(query.prefix)),
        request_charged: None,
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        uploads: Some(uploads).filter(|all| !all.is_empty()),
    }))
}

/// A whole object's checksum may end in the count of its parts.
fn whole_checksum(
    input: &dto::CompleteMultipartUploadInput,
) -> S3Result<Option<(Algorithm, Vec<u8>)>> {
    let values = [
        input.checksum_crc32.as_deref(),
        input.checksum_crc32c.as_deref(),
        input.checksum_crc64nvme.as_deref(),
        input.checksum_sha1.as_deref(),
        input.checksum_sha256.as_deref(),
    ];
    for (algorithm, value) in Algorithm::ALL.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let bare = value.split_once('-').map_or(value, |(bare, _)| bare);
        let decoded = from_base64(bare, algorithm.value_len()).ok_or_else(|| {
            let name = algorithm.name().to_ascii_lowercase();
            fault::invalid_request(format!("Value for x-amz-checksum-{name} header is invalid."))
        })?;
        return Ok(Some((algorithm, decoded)));
    }
    Ok(None)
}

fn named(part: dto::CompletedPart) -> S3Result<Named> {
    let checksum = checksums_of!(part)?.pop();
    let number = part.part_number.ok_or_else(fault::malformed_xml)?;
    let number = part_number(number)?;
    let etag = part.e_tag.ok_or_else(fault::malformed_xml)?.into_value();
    Ok(Named { number, etag: etag.trim_matches('"').to_owned(), checksum })
}

pub(super) async fn complete_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::CompleteMultipartUploadInput>,
) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
    let caller = Caller::of(&req)?;
    let host = caller.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default().to_owned();
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let entry =
        enter(gateway, &caller, "s3:PutObject", &input.bucket, Some(&input.key), owner).await?;
    let id = UploadKey::of_id(&input.upload_id)?;
    let checksum = whole_checksum(&input)?;
    let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let parts: Vec<_> = parts.into_iter().map(named).collect::<S3Result<_>>()?;
    let completion = Completion {
        parts,
        conditions: convert::conditions(input.if_match, input.if_none_match),
        kind: input.checksum_type.as_ref().map(convert::kind).transpose()?,
        checksum,
        size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
    };
    let bucket = entry.row();
    if let Ok(upload) = gateway.store.upload(&bucket, &input.key, id).await {
        // S3 reads the parts, in the caller's name.
        let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
        subject.may_open(&upload.wrapping).await?;
    }
    let event = "ObjectCreated:CompleteMultipartUpload";
    let named = outbox::Named::told(&input.key, event, Some(&caller));
    let completed = gateway.store.complete_upload(&entry, named, id, &completion).await?;
    let object = &completed.object;
    let shown = Shown::of(&object.seal.wrapping);
    let mut output = dto::CompleteMultipartUploadOutput {
        checksum_type: object.checksum.as_ref().map(|sum| convert::kind_name(sum.kind)),
        e_tag: Some(convert::etag(&object.etag)),
        location: Some(format!("http://{host}/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        ssekms_key_id: shown.key_id,
        bucket_key_enabled: shown.bucket_key,
        server_side_encryption: shown.method,
        version_id: completed.written.version_id,
        ..Default::default()
    };
    set_checksums!(output, convert::checksum_of(object));
    Ok(S3Response::new(output))
}

pub(super) async fn abort_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::AbortMultipartUploadInput>,
) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:AbortMultipartUpload";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let id = UploadKey::of_id(&input.upload_id)?;
    gateway.store.abort_upload(&entry, &input.key, id).await?;
    let output = dto::AbortMultipartUploadOutput::default();
    Ok(S3Response::with_status(output, StatusCode::NO_CONTENT))
}
