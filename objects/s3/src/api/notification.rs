//! Which events of a bucket are told to whom.

use crate::{Gateway, access::enter, configuration::notification};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_notification_configuration(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketNotificationConfigurationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketNotification").await?;
    let kept = bucket.row().configuration.notification.clone().unwrap_or_default();
    Ok(S3Response::new(dto::GetBucketNotificationConfigurationOutput {
        event_bridge_configuration: kept.event_bridge_configuration,
        lambda_function_configurations: kept.lambda_function_configurations,
        queue_configurations: kept.queue_configurations,
        topic_configurations: kept.topic_configurations,
    }))
}

pub(super) async fn put_bucket_notification_configuration(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketNotificationConfigurationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketNotification").await?;
    let new_id = || hex::encode(rand::random::<[u8; 16]>());
    let taken = notification::take(req.input.notification_configuration, new_id)?;
    let validate = req.input.skip_destination_validation != Some(true);
    gateway.events.check_targets(&taken, validate, &bucket.row()).await?;
    let empty =
        notification::wishes(&taken).is_empty() && taken.event_bridge_configuration.is_none();
    let kept = (!empty).then_some(taken);
    gateway.configure(&bucket, |configuration| configuration.notification = kept).await?;
    Ok(S3Response::new(Default::default()))
}
