//! An object's attributes: what it is, without its body.

use crate::{
    Gateway,
    access::Caller,
    api::{
        convert::{self, set_checksums},
        enter,
        protection::{Subject, customer_of},
    },
    fault,
    store::{
        Bucket,
        checksum::{Algorithm, to_base64},
        multipart::UploadKey,
        version::{Content, Object},
    },
};
use s3s::{S3Request, S3Response, S3Result, dto};

/// What GetObjectAttributes gives.
const ATTRIBUTES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

/// A page of an object's parts.
async fn attribute_parts(
    gateway: &Gateway,
    bucket: &Bucket,
    object: &Object,
    input: &dto::GetObjectAttributesInput,
) -> S3Result<Option<dto::GetObjectAttributesParts>> {
    let Content::Upload { id, .. } = &object.content else { return Ok(None) };
    let limit = convert::page_size(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or_default();
    let after = u16::try_from(marker).unwrap_or_default();
    let store = &gateway.store;
    let mut parts = store.parts(bucket, &input.key, UploadKey(*id), after, limit + 1).await?;
    let more = parts.len() > limit;
    parts.truncate(limit);
    let algorithm = object.checksum.as_ref().map(|sum| sum.algorithm);
    let shown = parts.iter().map(|(number, part)| {
        let mut shown = dto::ObjectPart {
            part_number: Some(i32::from(*number)),
            size: Some(convert::to_i64(part.size)),
            ..Default::default()
        };
        if let Some(algorithm) = algorithm {
            set_checksums!(shown, convert::checksum_fields(algorithm, &part.checksum, None));
        }
        shown
    });
    Ok(Some(dto::GetObjectAttributesParts {
        is_truncated: Some(more),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: parts.last().map(|(number, _)| i32::from(*number)),
        part_number_marker: Some(marker),
        parts: Some(shown.collect()),
        total_parts_count: object.etag.parts.map(i32::from),
    }))
}

pub(super) async fn get_object_attributes(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectAttributesInput>,
) -> S3Result<S3Response<dto::GetObjectAttributesOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let version = input.version_id.as_deref();
    let owner = input.expected_bucket_owner.as_deref();
    let action =
        if version.is_some() { "s3:GetObjectVersionAttributes" } else { "s3:GetObjectAttributes" };
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    let found = gateway.store.find_object(&bucket, &input.key, version).await?;
    let object = found.object().ok_or_else(fault::internal)?;
    customer_of!(input).check(&object.seal.wrapping)?;
    // They may come as one header with commas.
    let asked = input.object_attributes.iter().flat_map(|one| one.as_str().split(','));
    let asked: Vec<&str> = asked.map(str::trim).collect();
    if let Some(other) = asked.iter().find(|one| !ATTRIBUTES.contains(one)) {
        let message = "Invalid attribute name specified.";
        return Err(fault::invalid_argument(message, "x-amz-object-attributes", other));
    }
    let wants = |name: &str| asked.contains(&name);
    if wants("Checksum") || wants("ObjectParts") {
        let subject = Subject { gateway, caller: &caller, bucket: &bucket, key: &input.key };
        subject.may_open(&object.seal.wrapping).await?;
    }
    let checksum = object.checksum.as_ref().filter(|_| wants("Checksum")).map(|sum| {
        let mut shown = dto::Checksum {
            checksum_type: Some(convert::kind_name(sum.kind)),
            ..Default::default()
        };
        // Here without the count of parts.
        let value = Algorithm::ALL.map(|one| (one == sum.algorithm).then(|| to_base64(&sum.value)));
        set_checksums!(shown, value);
        shown
    });
    let object_parts = match wants("ObjectParts") {
        true => attribute_parts(gateway, &bucket, object, &input).await?,
        false => None,
    };
    let class = object.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned());
    Ok(S3Response::new(dto::GetObjectAttributesOutput {
        checksum,
        delete_marker: None,
        e_tag: wants("ETag").then(|| convert::etag(&object.etag)),
        last_modified: Some(convert::timestamp(found.version.modified_ms)),
        object_parts,
        object_size: wants("ObjectSize").then(|| convert::to_i64(object.size)),
        request_charged: None,
        storage_class: wants("StorageClass").then(|| class.into()),
        version_id: convert::version_id(&bucket, found.id()),
    }))
}
