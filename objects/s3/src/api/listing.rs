//! Lists of objects and of versions.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn list_objects(
    _gateway: &Gateway,
    _req: S3Request<dto::ListObjectsInput>,
) -> S3Result<S3Response<dto::ListObjectsOutput>> {
    Err(fault::not_implemented("ListObjects"))
}

pub(super) async fn list_objects_v2(
    _gateway: &Gateway,
    _req: S3Request<dto::ListObjectsV2Input>,
) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
    Err(fault::not_implemented("ListObjectsV2"))
}

pub(super) async fn list_object_versions(
    _gateway: &Gateway,
    _req: S3Request<dto::ListObjectVersionsInput>,
) -> S3Result<S3Response<dto::ListObjectVersionsOutput>> {
    Err(fault::not_implemented("ListObjectVersions"))
}
