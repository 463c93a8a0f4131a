//! Notification configurations.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_notification_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketNotificationConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketNotificationConfiguration"))
}

pub(super) async fn put_bucket_notification_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketNotificationConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketNotificationConfiguration"))
}
