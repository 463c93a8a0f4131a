//! Tags of objects.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_object_tagging(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectTaggingInput>,
) -> S3Result<S3Response<dto::GetObjectTaggingOutput>> {
    Err(fault::not_implemented("GetObjectTagging"))
}

pub(super) async fn put_object_tagging(
    _gateway: &Gateway,
    _req: S3Request<dto::PutObjectTaggingInput>,
) -> S3Result<S3Response<dto::PutObjectTaggingOutput>> {
    Err(fault::not_implemented("PutObjectTagging"))
}

pub(super) async fn delete_object_tagging(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteObjectTaggingInput>,
) -> S3Result<S3Response<dto::DeleteObjectTaggingOutput>> {
    Err(fault::not_implemented("DeleteObjectTagging"))
}
