//! Default encryption of buckets.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_encryption(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketEncryptionInput>,
) -> S3Result<S3Response<dto::GetBucketEncryptionOutput>> {
    Err(fault::not_implemented("GetBucketEncryption"))
}

pub(super) async fn put_bucket_encryption(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketEncryptionInput>,
) -> S3Result<S3Response<dto::PutBucketEncryptionOutput>> {
    Err(fault::not_implemented("PutBucketEncryption"))
}

pub(super) async fn delete_bucket_encryption(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<dto::DeleteBucketEncryptionOutput>> {
    Err(fault::not_implemented("DeleteBucketEncryption"))
}
