//! What follows an operation on objects: the event that tells of it, and the header that says when
//! the object expires. A bucket without notifications and lifecycle costs nothing here.

use super::{acl, copy, multipart, objects, tags};
use crate::{
    Caller, Gateway,
    access::not_found,
    lifecycle::{self, rules},
    notification::message::Happening,
    store::{Bucket, Versioning, objects::Found},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};
use std::sync::Arc;

/// Who did what to which key.
struct Deed {
    gateway: Gateway,
    caller: Arc<Caller>,
    bucket: Arc<Bucket>,
    key: String,
}

impl Deed {
    /// None if the bucket wants to know nothing.
    async fn of<T>(gateway: &Gateway, req: &S3Request<T>, bucket: &str, key: &str) -> Option<Self> {
        let entry = gateway.store.bucket(bucket).await.ok()?;
        let row = entry.row();
        if row.configuration.notification.is_none() && row.configuration.lifecycle.is_none() {
            return None;
        }
        let caller = Caller::of(req).ok()?;
        Some(Self { gateway: gateway.clone(), caller, bucket: row, key: key.to_owned() })
    }

    async fn find(&self, version: Option<&str>) -> Option<Found> {
        self.gateway.store.find(&self.bucket, &self.key, version).await.ok()?
    }

    /// Tells of a write, and gives the expiration of what was written.
    async fn written(&self, event: &str, version: Option<&str>) -> S3Result<Option<String>> {
        let Some(found) = self.find(version).await else { return Ok(None) };
        let etag = found.object().map(|object| object.etag.to_string());
        let version_id = (self.bucket.versioning != Versioning::Off).then(|| found.id());
        let happening = Happening {
            event,
            key: &self.key,
            size_bytes: found.object().map(|object| object.size),
            etag: etag.as_deref(),
            version_id: version_id.as_deref(),
            caller: Some(&self.caller),
            at_ms: self.gateway.store.now_ms(),
        };
        self.gateway.events.emit(&self.bucket, &happening).await?;
        Ok(self.expiration(&found))
    }

    async fn removed(&self, key: &str, marker: bool, version: Option<&str>) -> S3Result<()> {
        let event =
            if marker { "ObjectRemoved:DeleteMarkerCreated" } else { "ObjectRemoved:Delete" };
        let happening = Happening {
            event,
            key,
            size_bytes: None,
            etag: None,
            version_id: version,
            caller: Some(&self.caller),
            at_ms: self.gateway.store.now_ms(),
        };
        self.gateway.events.emit(&self.bucket, &happening).await
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
    ($($file:ident::$name:ident($Input:ident) -> $Output:ident, $event:literal;)*) => {
        $(
            pub(super) async fn $name(
                gateway: &Gateway,
                req: S3Request<dto::$Input>,
            ) -> S3Result<S3Response<dto::$Output>> {
                let deed = Deed::of(gateway, &req, &req.input.bucket, &req.input.key).await;
                // A form's upload comes here, too.
                let post = req.method == http::Method::POST;
                let event = if post { "ObjectCreated:Post" } else { $event };
                let mut response = $file::$name(gateway, req).await?;
                if let Some(deed) = deed {
                    let version = response.output.version_id.clone();
                    response.output.expiration = deed.written(event, version.as_deref()).await?;
                }
                Ok(response)
            }
        )*
    };
}

writes! {
    objects::put_object(PutObjectInput) -> PutObjectOutput, "ObjectCreated:Put";
    copy::copy_object(CopyObjectInput) -> CopyObjectOutput, "ObjectCreated:Copy";
}

/// An upload may be completed after its answer has begun.
pub(super) async fn complete_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::CompleteMultipartUploadInput>,
) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
    const EVENT: &str = "ObjectCreated:CompleteMultipartUpload";
    let deed = Deed::of(gateway, &req, &req.input.bucket, &req.input.key).await;
    let mut response = multipart::complete_multipart_upload(gateway, req).await?;
    let Some(deed) = deed else { return Ok(response) };
    response.output.future = match response.output.future.take() {
        Some(future) => Some(Box::pin(async move {
            let mut output = future.await?;
            let version = output.version_id.clone();
            output.expiration = deed.written(EVENT, version.as_deref()).await?;
            Ok(output)
        })),
        None => {
            let version = response.output.version_id.clone();
            response.output.expiration = deed.written(EVENT, version.as_deref()).await?;
            None
        }
    };
    Ok(response)
}

pub(super) async fn create_multipart_upload(
    gateway: &Gateway,
    req: S3Request<dto::CreateMultipartUploadInput>,
) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
    let deed = Deed::of(gateway, &req, &req.input.bucket, &req.input.key).await;
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
                let deed = Deed::of(gateway, &req, &bucket, &req.input.key).await;
                let mut response = match objects::$name(gateway, req).await {
                    Ok(response) => response,
                    Err(error) => return Err(missing(gateway, &caller, &bucket, error).await),
                };
                // Only the current version expires.
                if let Some(deed) = deed
                    && version.is_none()
                    && deed.bucket.configuration.lifecycle.is_some()
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

pub(super) async fn delete_object(
    gateway: &Gateway,
    req: S3Request<dto::DeleteObjectInput>,
) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
    let named = req.input.version_id.is_some();
    let deed = Deed::of(gateway, &req, &req.input.bucket, &req.input.key).await;
    let response = objects::delete_object(gateway, req).await?;
    if let Some(deed) = deed {
        let marker = !named && response.output.delete_marker == Some(true);
        deed.removed(&deed.key, marker, response.output.version_id.as_deref()).await?;
    }
    Ok(response)
}

pub(super) async fn delete_objects(
    gateway: &Gateway,
    mut req: S3Request<dto::DeleteObjectsInput>,
) -> S3Result<S3Response<dto::DeleteObjectsOutput>> {
    let deed = Deed::of(gateway, &req, &req.input.bucket, "").await;
    // A quiet answer doesn't say what was deleted, and events must.
    let quiet = deed.is_some() && req.input.delete.quiet.take() == Some(true);
    let mut response = objects::delete_objects(gateway, req).await?;
    let Some(deed) = deed else { return Ok(response) };
    for deleted in response.output.deleted.iter().flatten() {
        let marker = deleted.version_id.is_none() && deleted.delete_marker == Some(true);
        let version = match marker {
            true => deleted.delete_marker_version_id.as_deref(),
            false => deleted.version_id.as_deref(),
        };
        deed.removed(deleted.key.as_deref().unwrap_or_default(), marker, version).await?;
    }
    if quiet {
        response.output.deleted = None;
    }
    Ok(response)
}

macro_rules! changes {
    ($($file:ident::$name:ident($Input:ident) -> $Output:ident, $event:literal;)*) => {
        $(
            pub(super) async fn $name(
                gateway: &Gateway,
                req: S3Request<dto::$Input>,
            ) -> S3Result<S3Response<dto::$Output>> {
                let version = req.input.version_id.clone();
                let deed = Deed::of(gateway, &req, &req.input.bucket, &req.input.key).await;
                let response = $file::$name(gateway, req).await?;
                if let Some(deed) = deed {
                    deed.written($event, version.as_deref()).await?;
                }
                Ok(response)
            }
        )*
    };
}

changes! {
    tags::delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput,
        "ObjectTagging:Delete";
    acl::put_object_acl(PutObjectAclInput) -> PutObjectAclOutput, "ObjectAcl:Put";
    objects::restore_object(RestoreObjectInput) -> RestoreObjectOutput, "ObjectRestore:Post";
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
    let version = req.input.version_id.clone();
    let deed = Deed::of(gateway, &req, &req.input.bucket, &req.input.key).await;
    let response = tags::put_object_tagging(gateway, req).await?;
    if let Some(deed) = deed {
        deed.written("ObjectTagging:Put", version.as_deref()).await?;
    }
    Ok(response)
}
