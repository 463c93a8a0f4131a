//! Bucket policies.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_policy(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketPolicyInput>,
) -> S3Result<S3Response<dto::GetBucketPolicyOutput>> {
    Err(fault::not_implemented("GetBucketPolicy"))
}

pub(super) async fn put_bucket_policy(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketPolicyInput>,
) -> S3Result<S3Response<dto::PutBucketPolicyOutput>> {
    Err(fault::not_implemented("PutBucketPolicy"))
}

pub(super) async fn delete_bucket_policy(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketPolicyInput>,
) -> S3Result<S3Response<dto::DeleteBucketPolicyOutput>> {
    Err(fault::not_implemented("DeleteBucketPolicy"))
}

pub(super) async fn get_bucket_policy_status(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<dto::GetBucketPolicyStatusOutput>> {
    Err(fault::not_implemented("GetBucketPolicyStatus"))
}
