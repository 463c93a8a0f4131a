//! Objects: put, get, head, delete.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn put_object(
    _gateway: &Gateway,
    _req: S3Request<dto::PutObjectInput>,
) -> S3Result<S3Response<dto::PutObjectOutput>> {
    Err(fault::not_implemented("PutObject"))
}

pub(super) async fn post_object(
    _gateway: &Gateway,
    _req: S3Request<dto::PostObjectInput>,
) -> S3Result<S3Response<dto::PostObjectOutput>> {
    Err(fault::not_implemented("PostObject"))
}

pub(super) async fn get_object(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectInput>,
) -> S3Result<S3Response<dto::GetObjectOutput>> {
    Err(fault::not_implemented("GetObject"))
}

pub(super) async fn head_object(
    _gateway: &Gateway,
    _req: S3Request<dto::HeadObjectInput>,
) -> S3Result<S3Response<dto::HeadObjectOutput>> {
    Err(fault::not_implemented("HeadObject"))
}

pub(super) async fn delete_object(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteObjectInput>,
) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
    Err(fault::not_implemented("DeleteObject"))
}

pub(super) async fn delete_objects(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteObjectsInput>,
) -> S3Result<S3Response<dto::DeleteObjectsOutput>> {
    Err(fault::not_implemented("DeleteObjects"))
}

pub(super) async fn get_object_attributes(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectAttributesInput>,
) -> S3Result<S3Response<dto::GetObjectAttributesOutput>> {
    Err(fault::not_implemented("GetObjectAttributes"))
}

pub(super) async fn restore_object(
    _gateway: &Gateway,
    _req: S3Request<dto::RestoreObjectInput>,
) -> S3Result<S3Response<dto::RestoreObjectOutput>> {
    Err(fault::not_implemented("RestoreObject"))
}
