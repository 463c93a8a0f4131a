//! Lifecycle configurations.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_lifecycle_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketLifecycleConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketLifecycleConfiguration"))
}

pub(super) async fn put_bucket_lifecycle_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketLifecycleConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketLifecycleConfiguration"))
}

pub(super) async fn delete_bucket_lifecycle(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<dto::DeleteBucketLifecycleOutput>> {
    Err(fault::not_implemented("DeleteBucketLifecycle"))
}
