//! Buckets: make, find, list, remove; versioning.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn create_bucket(
    _gateway: &Gateway,
    _req: S3Request<dto::CreateBucketInput>,
) -> S3Result<S3Response<dto::CreateBucketOutput>> {
    Err(fault::not_implemented("CreateBucket"))
}

pub(super) async fn delete_bucket(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketInput>,
) -> S3Result<S3Response<dto::DeleteBucketOutput>> {
    Err(fault::not_implemented("DeleteBucket"))
}

pub(super) async fn head_bucket(
    _gateway: &Gateway,
    _req: S3Request<dto::HeadBucketInput>,
) -> S3Result<S3Response<dto::HeadBucketOutput>> {
    Err(fault::not_implemented("HeadBucket"))
}

pub(super) async fn list_buckets(
    _gateway: &Gateway,
    _req: S3Request<dto::ListBucketsInput>,
) -> S3Result<S3Response<dto::ListBucketsOutput>> {
    Err(fault::not_implemented("ListBuckets"))
}

pub(super) async fn get_bucket_location(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketLocationInput>,
) -> S3Result<S3Response<dto::GetBucketLocationOutput>> {
    Err(fault::not_implemented("GetBucketLocation"))
}

pub(super) async fn get_bucket_versioning(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketVersioningInput>,
) -> S3Result<S3Response<dto::GetBucketVersioningOutput>> {
    Err(fault::not_implemented("GetBucketVersioning"))
}

pub(super) async fn put_bucket_versioning(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketVersioningInput>,
) -> S3Result<S3Response<dto::PutBucketVersioningOutput>> {
    Err(fault::not_implemented("PutBucketVersioning"))
}
