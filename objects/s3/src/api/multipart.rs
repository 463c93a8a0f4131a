//! Multipart uploads.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn create_multipart_upload(
    _gateway: &Gateway,
    _req: S3Request<dto::CreateMultipartUploadInput>,
) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
    Err(fault::not_implemented("CreateMultipartUpload"))
}

pub(super) async fn upload_part(
    _gateway: &Gateway,
    _req: S3Request<dto::UploadPartInput>,
) -> S3Result<S3Response<dto::UploadPartOutput>> {
    Err(fault::not_implemented("UploadPart"))
}

pub(super) async fn list_parts(
    _gateway: &Gateway,
    _req: S3Request<dto::ListPartsInput>,
) -> S3Result<S3Response<dto::ListPartsOutput>> {
    Err(fault::not_implemented("ListParts"))
}

pub(super) async fn list_multipart_uploads(
    _gateway: &Gateway,
    _req: S3Request<dto::ListMultipartUploadsInput>,
) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
    Err(fault::not_implemented("ListMultipartUploads"))
}

pub(super) async fn complete_multipart_upload(
    _gateway: &Gateway,
    _req: S3Request<dto::CompleteMultipartUploadInput>,
) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
    Err(fault::not_implemented("CompleteMultipartUpload"))
}

pub(super) async fn abort_multipart_upload(
    _gateway: &Gateway,
    _req: S3Request<dto::AbortMultipartUploadInput>,
) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
    Err(fault::not_implemented("AbortMultipartUpload"))
}
