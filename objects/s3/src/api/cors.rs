//! CORS configurations.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_cors(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketCorsInput>,
) -> S3Result<S3Response<dto::GetBucketCorsOutput>> {
    Err(fault::not_implemented("GetBucketCors"))
}

pub(super) async fn put_bucket_cors(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketCorsInput>,
) -> S3Result<S3Response<dto::PutBucketCorsOutput>> {
    Err(fault::not_implemented("PutBucketCors"))
}

pub(super) async fn delete_bucket_cors(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketCorsInput>,
) -> S3Result<S3Response<dto::DeleteBucketCorsOutput>> {
    Err(fault::not_implemented("DeleteBucketCors"))
}
