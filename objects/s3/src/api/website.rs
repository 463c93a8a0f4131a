//! Website configurations.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_website(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketWebsiteInput>,
) -> S3Result<S3Response<dto::GetBucketWebsiteOutput>> {
    Err(fault::not_implemented("GetBucketWebsite"))
}

pub(super) async fn put_bucket_website(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketWebsiteInput>,
) -> S3Result<S3Response<dto::PutBucketWebsiteOutput>> {
    Err(fault::not_implemented("PutBucketWebsite"))
}

pub(super) async fn delete_bucket_website(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketWebsiteInput>,
) -> S3Result<S3Response<dto::DeleteBucketWebsiteOutput>> {
    Err(fault::not_implemented("DeleteBucketWebsite"))
}
