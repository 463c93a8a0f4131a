//! Access control lists, ownership controls and public-access block.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_acl(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketAclInput>,
) -> S3Result<S3Response<dto::GetBucketAclOutput>> {
    Err(fault::not_implemented("GetBucketAcl"))
}

pub(super) async fn put_bucket_acl(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketAclInput>,
) -> S3Result<S3Response<dto::PutBucketAclOutput>> {
    Err(fault::not_implemented("PutBucketAcl"))
}

pub(super) async fn get_object_acl(
    _gateway: &Gateway,
    _req: S3Request<dto::GetObjectAclInput>,
) -> S3Result<S3Response<dto::GetObjectAclOutput>> {
    Err(fault::not_implemented("GetObjectAcl"))
}

pub(super) async fn put_object_acl(
    _gateway: &Gateway,
    _req: S3Request<dto::PutObjectAclInput>,
) -> S3Result<S3Response<dto::PutObjectAclOutput>> {
    Err(fault::not_implemented("PutObjectAcl"))
}

pub(super) async fn get_bucket_ownership_controls(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<dto::GetBucketOwnershipControlsOutput>> {
    Err(fault::not_implemented("GetBucketOwnershipControls"))
}

pub(super) async fn put_bucket_ownership_controls(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<dto::PutBucketOwnershipControlsOutput>> {
    Err(fault::not_implemented("PutBucketOwnershipControls"))
}

pub(super) async fn delete_bucket_ownership_controls(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<dto::DeleteBucketOwnershipControlsOutput>> {
    Err(fault::not_implemented("DeleteBucketOwnershipControls"))
}

pub(super) async fn get_public_access_block(
    _gateway: &Gateway,
    _req: S3Request<dto::GetPublicAccessBlockInput>,
) -> S3Result<S3Response<dto::GetPublicAccessBlockOutput>> {
    Err(fault::not_implemented("GetPublicAccessBlock"))
}

pub(super) async fn put_public_access_block(
    _gateway: &Gateway,
    _req: S3Request<dto::PutPublicAccessBlockInput>,
) -> S3Result<S3Response<dto::PutPublicAccessBlockOutput>> {
    Err(fault::not_implemented("PutPublicAccessBlock"))
}

pub(super) async fn delete_public_access_block(
    _gateway: &Gateway,
    _req: S3Request<dto::DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<dto::DeletePublicAccessBlockOutput>> {
    Err(fault::not_implemented("DeletePublicAccessBlock"))
}
