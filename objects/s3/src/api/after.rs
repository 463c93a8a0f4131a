//! What follows an operation on objects: the header that says when the object expires. A bucket without
//! lifecycle costs nothing here.

use super::{copy, multipart, objects, tags};
use crate::{
    Caller, Gateway,
    access::not_found,
    lifecycle::{self, rules},
    store::{Bucket, objects::Found},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};
use std::sync::Arc;

/// What was done to a key of a bucket with lifecycle rules.
struct Deed {
    gateway: Gateway,
    bucket: Arc<Bucket>,
    key: String,
}

impl Deed {
    /// None if nothing expires.
    async fn of(gateway: &Gateway, bucket: &str, key: &str) -> Option<Self> {
        let entry = gateway.store.bucket(bucket).await.ok()?;
        let row = entry.row();
        row.configuration.lifecycle.as_ref()?;
        Some(Self { gateway: gateway.clone(), bucket: row, key: key.to_owned() })
    }

    async fn find(&self, version: Option<&str>) -> Option<Found> {
        self.gateway.store.find(&self.bucket, &self.key, version).await.ok()?
    }

    /// When what was written expires.
    async fn written(&self, version: Option<&str>) -> Option<String> {
        self.expiration(&self.find(version).await?)
    }

    fn expiration(&self, found: &Found) -> Option<String> {
        let kept = self.bucket.configuration.lifecycle.as_ref()?;
        let object = found.object()?;
        let tags = object.attributes.tags.iter().cloned().collect();
        let version = lifecycle::seen(&self.key, found.version.modified_ms, object, &tags);
        rules::expiration_header(kept, &version, self.gateway.calendar)
    }
}

macro_rules! writes {
    ($($file:ident::$name:ident($Input:ident) -> $Output:ident;)*) => {
        $(
            pub(super) async fn $name(
                gateway: &Gateway,
                req: S3Request<dto::$Input>,
            ) -> S3Result<S3Response<dto::$Output>> {
                let deed = Deed::of(gateway, &req.input.bucket, &req.input.key).await;
                let mut response = $file::$name(gateway, req).await?;
                if let Some(deed) = deed {
                    let version = response.output.version_id.clone();
                    response.output.expiration = deed.written(version.as_deref()).await;
                }
                Ok(response)
            }
        )*
    };
}

writes! {
    objects::put_object(PutObjectInput) -> PutObjectOutput;
    copy::copy_object(CopyObjectInput) -> CopyObjectOutput;
}

/// An upload may be completed after its answer has begun.
pub(super) async fn complete_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::CompleteMultipartUploadInput>,
) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
    let deed = Deed::of(gateway, &req.input.bucket, &req.input.key).await;
    let mut response = multipart::complete_multipart_upload(gateway, req).await?;
    let Some(deed) = deed else { return Ok(response) };
    response.output.future = match response.output.future.take() {
        Some(future) => Some(Box::pin(async move {
            let mut output = future.await?;
            let version = output.version_id.clone();
            output.expiration = deed.written(version.as_deref()).await;
            Ok(output)
        })),
        None => {
            let version = response.output.version_id.clone();
            response.output.expiration = deed.written(version.as_deref()).await;
            None
        }
    };
    Ok(response)
}

pub(super) async fn create_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::CreateMultipartUploadInput>,
) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
    let deed = Deed::of(gateway, &req.input.bucket, &req.input.key).await;
    let mut response = multipart::create_multipart_upload(gateway, req).await?;
    if let Some(deed) = deed
        && let Some(kept) = &deed.bucket.configuration.lifecycle
    {
        let begun = i64::try_from(gateway.store.now_ms()).unwrap_or(i64::MAX);
        if let Some((due, rule)) = rules::abort(kept, &deed.key, begun, gateway.calendar) {
            let date = types::Timestamp::from_millis(due).to_date();
            response.output.abort_date = Some(date.into());
            response.output.abort_rule_id = Some(rule.to_owned());
        }
    }
    Ok(response)
}

/// Who may not list a bucket may not know that something isn't there.
async fn missing(gateway: &Gateway, caller: &Caller, bucket: &str, error: S3Error) -> S3Error {
    if !matches!(error.code(), S3ErrorCode::NoSuchKey | S3ErrorCode::NoSuchVersion) {
        return error;
    }
    match gateway.store.bucket(bucket).await {
        Ok(entry) => not_found(gateway, caller, &entry, error).await,
        Err(error) => error,
    }
}

macro_rules! reads {
    ($($name:ident($Input:ident) -> $Output:ident;)*) => {
        $(
            pub(super) async fn $name(
                gateway: &Gateway,
                req: S3Request<dto::$Input>,
            ) -> S3Result<S3Response<dto::$Output>> {
                let version = req.input.version_id.clone();
                let (caller, bucket) = (Caller::of(&req)?, req.input.bucket.clone());
                let deed = Deed::of(gateway, &bucket, &req.input.key).await;
                let mut response = match objects::$name(gateway, req).await {
                    Ok(response) => response,
                    Err(error) => return Err(missing(gateway, &caller, &bucket, error).await),
                };
                // Only the current version expires.
                if let Some(deed) = deed
                    && version.is_none()
                    && let Some(found) = deed.find(None).await
                {
                    response.output.expiration = deed.expiration(&found);
                }
                Ok(response)
            }
        )*
    };
}

reads! {
    get_object(GetObjectInput) -> GetObjectOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
}

/// Conditions of policies look at the tags that are asked for, wherever they stand.
pub(super) async fn put_object_tagging(
    gateway: &Gateway,
    mut req: S3Request<dto::PutObjectTaggingInput>,
) -> S3Result<S3Response<dto::PutObjectTaggingOutput>> {
    let mut caller = Caller::clone(&*Caller::of(&req)?);
    let mut tagging = String::new();
    for tag in &req.input.tagging.tag_set {
        let encode = |text: Option<&String>| {
            utf8_percent_encode(text.map_or("", String::as_str), NON_ALPHANUMERIC).to_string()
        };
        tagging = format!("{tagging}&{}={}", encode(tag.key.as_ref()), encode(tag.value.as_ref()));
    }
    if let Ok(tagging) = tagging.trim_start_matches('&').parse() {
        caller.headers.insert("x-amz-tagging", tagging);
    }
    req.extensions.insert(Arc::new(caller));
    tags::put_object_tagging(gateway, req).await
}
