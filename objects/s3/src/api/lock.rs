//! Object lock: retention and legal holds.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_object_lock_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<dto::GetObjectLockConfigurationOutput>> {
    Err(fault::not_implemented("GetObjectLockConfiguration"))
}

pub(super) async fn put_object_lock_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<dto::PutObjectLockConfigurationOutput>> {
    Err(fault::not_implemented("PutObjectLockConfiguration"))
}

pub(super) async fn get_object_retention(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectRetentionInput>,
) -> S3Result<S3Response<dto::GetObjectRetentionOutput>> {
    Err(fault::not_implemented("GetObjectRetention"))
}

pub(super) async fn put_object_retention(
    _gateway: &Gateway,
    _req: S3Request<dto::PutObjectRetentionInput>,
) -> S3Result<S3Response<dto::PutObjectRetentionOutput>> {
    Err(fault::not_implemented("PutObjectRetention"))
}

pub(super) async fn get_object_legal_hold(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectLegalHoldInput>,
) -> S3Result<S3Response<dto::GetObjectLegalHoldOutput>> {
    Err(fault::not_implemented("GetObjectLegalHold"))
}

pub(super) async fn put_object_legal_hold(
    _gateway: &Gateway,
    _req: S3Request<dto::PutObjectLegalHoldInput>,
) -> S3Result<S3Response<dto::PutObjectLegalHoldOutput>> {
    Err(fault::not_implemented("PutObjectLegalHold"))
}
