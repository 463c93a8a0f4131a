//! The default encryption of a bucket.

use crate::{Gateway, access::enter, configuration::encryption};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_encryption(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketEncryptionInput>,
) -> S3Result<S3Response<dto::GetBucketEncryptionOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetEncryptionConfiguration").await?;
    let kept = bucket.row().configuration.encryption.clone();
    Ok(S3Response::new(dto::GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(kept.unwrap_or_else(encryption::default)),
    }))
}

pub(super) async fn put_bucket_encryption(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketEncryptionInput>,
) -> S3Result<S3Response<dto::PutBucketEncryptionOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutEncryptionConfiguration").await?;
    let mut configuration = req.input.server_side_encryption_configuration;
    encryption::check(&configuration)?;
    for rule in &mut configuration.rules {
        rule.bucket_key_enabled.get_or_insert(false);
    }
    gateway.configure(&bucket, |kept| kept.encryption = Some(configuration)).await?;
    Ok(S3Response::new(Default::default()))
}

/// Goes back to SSE-S3: S3 encrypts each bucket.
pub(super) async fn delete_bucket_encryption(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<dto::DeleteBucketEncryptionOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutEncryptionConfiguration").await?;
    gateway.configure(&bucket, |kept| kept.encryption = None).await?;
    Ok(S3Response::new(Default::default()))
}
