//! What a bucket only keeps: tags, acceleration, payer, replication and the listed configurations.

use crate::{Gateway, fault};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_tagging(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketTaggingInput>,
) -> S3Result<S3Response<dto::GetBucketTaggingOutput>> {
    Err(fault::not_implemented("GetBucketTagging"))
}

pub(super) async fn put_bucket_tagging(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketTaggingInput>,
) -> S3Result<S3Response<dto::PutBucketTaggingOutput>> {
    Err(fault::not_implemented("PutBucketTagging"))
}

pub(super) async fn delete_bucket_tagging(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketTaggingInput>,
) -> S3Result<S3Response<dto::DeleteBucketTaggingOutput>> {
    Err(fault::not_implemented("DeleteBucketTagging"))
}

pub(super) async fn get_bucket_accelerate_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketAccelerateConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketAccelerateConfiguration"))
}

pub(super) async fn put_bucket_accelerate_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketAccelerateConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketAccelerateConfiguration"))
}

pub(super) async fn get_bucket_request_payment(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketRequestPaymentInput>,
) -> S3Result<S3Response<dto::GetBucketRequestPaymentOutput>> {
    Err(fault::not_implemented("GetBucketRequestPayment"))
}

pub(super) async fn put_bucket_request_payment(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketRequestPaymentInput>,
) -> S3Result<S3Response<dto::PutBucketRequestPaymentOutput>> {
    Err(fault::not_implemented("PutBucketRequestPayment"))
}

pub(super) async fn get_bucket_replication(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketReplicationInput>,
) -> S3Result<S3Response<dto::GetBucketReplicationOutput>> {
    Err(fault::not_implemented("GetBucketReplication"))
}

pub(super) async fn put_bucket_replication(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketReplicationInput>,
) -> S3Result<S3Response<dto::PutBucketReplicationOutput>> {
    Err(fault::not_implemented("PutBucketReplication"))
}

pub(super) async fn delete_bucket_replication(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketReplicationInput>,
) -> S3Result<S3Response<dto::DeleteBucketReplicationOutput>> {
    Err(fault::not_implemented("DeleteBucketReplication"))
}

pub(super) async fn get_bucket_analytics_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketAnalyticsConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketAnalyticsConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketAnalyticsConfiguration"))
}

pub(super) async fn put_bucket_analytics_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketAnalyticsConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketAnalyticsConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketAnalyticsConfiguration"))
}

pub(super) async fn delete_bucket_analytics_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketAnalyticsConfigurationInput>,
) -> S3Result<S3Response<dto::DeleteBucketAnalyticsConfigurationOutput>> {
    Err(fault::not_implemented("DeleteBucketAnalyticsConfiguration"))
}

pub(super) async fn get_bucket_intelligent_tiering_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketIntelligentTieringConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketIntelligentTieringConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketIntelligentTieringConfiguration"))
}

pub(super) async fn put_bucket_intelligent_tiering_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketIntelligentTieringConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketIntelligentTieringConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketIntelligentTieringConfiguration"))
}

pub(super) async fn delete_bucket_intelligent_tiering_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketIntelligentTieringConfigurationInput>,
) -> S3Result<S3Response<dto::DeleteBucketIntelligentTieringConfigurationOutput>> {
    Err(fault::not_implemented("DeleteBucketIntelligentTieringConfiguration"))
}

pub(super) async fn get_bucket_inventory_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketInventoryConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketInventoryConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketInventoryConfiguration"))
}

pub(super) async fn put_bucket_inventory_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketInventoryConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketInventoryConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketInventoryConfiguration"))
}

pub(super) async fn delete_bucket_inventory_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketInventoryConfigurationInput>,
) -> S3Result<S3Response<dto::DeleteBucketInventoryConfigurationOutput>> {
    Err(fault::not_implemented("DeleteBucketInventoryConfiguration"))
}

pub(super) async fn get_bucket_metrics_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::GetBucketMetricsConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketMetricsConfigurationOutput>> {
    Err(fault::not_implemented("GetBucketMetricsConfiguration"))
}

pub(super) async fn put_bucket_metrics_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::PutBucketMetricsConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketMetricsConfigurationOutput>> {
    Err(fault::not_implemented("PutBucketMetricsConfiguration"))
}

pub(super) async fn delete_bucket_metrics_configuration(
    _gateway: &Gateway,
    _req: S3Request<dto::DeleteBucketMetricsConfigurationInput>,
) -> S3Result<S3Response<dto::DeleteBucketMetricsConfigurationOutput>> {
    Err(fault::not_implemented("DeleteBucketMetricsConfiguration"))
}

pub(super) async fn list_bucket_analytics_configurations(
    _gateway: &Gateway,
    _req: S3Request<dto::ListBucketAnalyticsConfigurationsInput>,
) -> S3Result<S3Response<dto::ListBucketAnalyticsConfigurationsOutput>> {
    Err(fault::not_implemented("ListBucketAnalyticsConfigurations"))
}

pub(super) async fn list_bucket_intelligent_tiering_configurations(
    _gateway: &Gateway,
    _req: S3Request<dto::ListBucketIntelligentTieringConfigurationsInput>,
) -> S3Result<S3Response<dto::ListBucketIntelligentTieringConfigurationsOutput>> {
    Err(fault::not_implemented("ListBucketIntelligentTieringConfigurations"))
}

pub(super) async fn list_bucket_inventory_configurations(
    _gateway: &Gateway,
    _req: S3Request<dto::ListBucketInventoryConfigurationsInput>,
) -> S3Result<S3Response<dto::ListBucketInventoryConfigurationsOutput>> {
    Err(fault::not_implemented("ListBucketInventoryConfigurations"))
}

pub(super) async fn list_bucket_metrics_configurations(
    _gateway: &Gateway,
    _req: S3Request<dto::ListBucketMetricsConfigurationsInput>,
) -> S3Result<S3Response<dto::ListBucketMetricsConfigurationsOutput>> {
    Err(fault::not_implemented("ListBucketMetricsConfigurations"))
}
