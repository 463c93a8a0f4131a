//! Access-log configurations.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_logging(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketLoggingInput>,
) -> S3Result<S3Response<dto::GetBucketLoggingOutput>> {
    Err(fault::not_implemented("GetBucketLogging"))
}

pub(super) async fn put_bucket_logging(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketLoggingInput>,
) -> S3Result<S3Response<dto::PutBucketLoggingOutput>> {
    Err(fault::not_implemented("PutBucketLogging"))
}
