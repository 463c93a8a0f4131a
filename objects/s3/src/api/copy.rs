//! Copies on the server's side.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn copy_object(
    _gateway: &Gateway,
    _req: S3Request<dto::CopyObjectInput>,
) -> S3Result<S3Response<dto::CopyObjectOutput>> {
    Err(fault::not_implemented("CopyObject"))
}

pub(super) async fn upload_part_copy(
    _gateway: &Gateway,
    _req: S3Request<dto::UploadPartCopyInput>,
) -> S3Result<S3Response<dto::UploadPartCopyOutput>> {
    Err(fault::not_implemented("UploadPartCopy"))
}
