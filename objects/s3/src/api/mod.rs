//! The operations of S3: which there are, and which file answers each.
//!
//! What stands in no row answers `NotImplemented`, naming itself.

mod acl;
mod after;
mod attributes;
mod buckets;
mod configurations;
pub(crate) mod convert;
mod copy;
mod cors;
mod encryption;
mod lifecycle;
mod listing;
mod lock;
mod logging;
mod multipart;
mod notification;
mod objects;
mod policy;
pub(crate) mod protection;
mod replication;
mod tags;
mod website;

pub(crate) use acl::no_public_access_block;

use crate::{
    Gateway,
    access::{Ask, Caller, authorize},
    fault,
    store::BucketEntry,
};
use s3s::{S3, S3Request, S3Response, S3Result, dto};

use std::sync::Arc;

/// Lets a caller do something with what a bucket holds.
///
/// # Errors
/// `AccessDenied`.
async fn allow(
    gateway: &Gateway,
    caller: &Caller,
    action: &'static str,
    bucket: &BucketEntry,
    key: Option<&str>,
) -> S3Result<()> {
    authorize(gateway, caller, Ask { action, bucket: Some(bucket), key }).await
}

/// A bucket must be whose the client says it is, if it says so.
fn check_owner(entry: &BucketEntry, expected: Option<&str>) -> S3Result<()> {
    match expected {
        Some(account) if entry.row().owner.account != account => Err(fault::access_denied()),
        Some(_) | None => Ok(()),
    }
}

/// The bucket of an operation that the caller may do.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
async fn enter(
    gateway: &Gateway,
    caller: &Caller,
    action: &'static str,
    bucket: &str,
    key: Option<&str>,
    expected_owner: Option<&str>,
) -> S3Result<Arc<BucketEntry>> {
    let entry = gateway.store.bucket(bucket).await?;
    allow(gateway, caller, action, &entry, key).await?;
    check_owner(&entry, expected_owner)?;
    Ok(entry)
}

/// The list that a request for a new object asks for; a form asks for it in its fields.
macro_rules! asked_of {
    ($input:expr) => {
        crate::access::acl::Asked {
            canned: $input.acl.as_ref().map(dto::ObjectCannedACL::as_str),
            full_control: $input.grant_full_control.as_deref(),
            read: $input.grant_read.as_deref(),
            write: None,
            read_acp: $input.grant_read_acp.as_deref(),
            write_acp: $input.grant_write_acp.as_deref(),
        }
    };
}
pub(crate) use asked_of;

macro_rules! operations {
    ($($file:ident { $($name:ident: $input:ident => $output:ident,)* })*) => {
        #[async_trait::async_trait]
        impl S3 for Gateway {
            $($(
                async fn $name(&self, req: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                    $file::$name(self, req).await
                }
            )*)*
        }
    };
}

operations! {
    // These go on to `objects`, `copy`, `multipart` and `tags`.
    after {
        put_object: PutObjectInput => PutObjectOutput,
        copy_object: CopyObjectInput => CopyObjectOutput,
        complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
        create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
        get_object: GetObjectInput => GetObjectOutput,
        head_object: HeadObjectInput => HeadObjectOutput,
        put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput,
    }
    buckets {
        create_bucket: CreateBucketInput => CreateBucketOutput,
        delete_bucket: DeleteBucketInput => DeleteBucketOutput,
        head_bucket: HeadBucketInput => HeadBucketOutput,
        list_buckets: ListBucketsInput => ListBucketsOutput,
        get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput,
        get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput,
        put_bucket_versioning: PutBucketVersioningInput => PutBucketVersioningOutput,
    }
    objects {
        delete_object: DeleteObjectInput => DeleteObjectOutput,
        delete_objects: DeleteObjectsInput => DeleteObjectsOutput,
        restore_object: RestoreObjectInput => RestoreObjectOutput,
    }
    attributes {
        get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput,
    }
    copy {
        upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput,
    }
    listing {
        list_objects: ListObjectsInput => ListObjectsOutput,
        list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
        list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput,
    }
    multipart {
        upload_part: UploadPartInput => UploadPartOutput,
        list_parts: ListPartsInput => ListPartsOutput,
        list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput,
        abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
    }
    tags {
        delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput,
        get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput,
    }
    lock {
        get_object_lock_configuration: GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput,
        put_object_lock_configuration: PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput,
        get_object_retention: GetObjectRetentionInput => GetObjectRetentionOutput,
        put_object_retention: PutObjectRetentionInput => PutObjectRetentionOutput,
        get_object_legal_hold: GetObjectLegalHoldInput => GetObjectLegalHoldOutput,
        put_object_legal_hold: PutObjectLegalHoldInput => PutObjectLegalHoldOutput,
    }
    acl {
        get_bucket_acl: GetBucketAclInput => GetBucketAclOutput,
        put_bucket_acl: PutBucketAclInput => PutBucketAclOutput,
        put_object_acl: PutObjectAclInput => PutObjectAclOutput,
        get_object_acl: GetObjectAclInput => GetObjectAclOutput,
        get_bucket_ownership_controls: GetBucketOwnershipControlsInput => GetBucketOwnershipControlsOutput,
        put_bucket_ownership_controls: PutBucketOwnershipControlsInput => PutBucketOwnershipControlsOutput,
        delete_bucket_ownership_controls: DeleteBucketOwnershipControlsInput => DeleteBucketOwnershipControlsOutput,
        get_public_access_block: GetPublicAccessBlockInput => GetPublicAccessBlockOutput,
        put_public_access_block: PutPublicAccessBlockInput => PutPublicAccessBlockOutput,
        delete_public_access_block: DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput,
    }
    policy {
        get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput,
        put_bucket_policy: PutBucketPolicyInput => PutBucketPolicyOutput,
        delete_bucket_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput,
        get_bucket_policy_status: GetBucketPolicyStatusInput => GetBucketPolicyStatusOutput,
    }
    cors {
        get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput,
        put_bucket_cors: PutBucketCorsInput => PutBucketCorsOutput,
        delete_bucket_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput,
    }
    lifecycle {
        get_bucket_lifecycle_configuration: GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput,
        put_bucket_lifecycle_configuration: PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput,
        delete_bucket_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput,
    }
    website {
        get_bucket_website: GetBucketWebsiteInput => GetBucketWebsiteOutput,
        put_bucket_website: PutBucketWebsiteInput => PutBucketWebsiteOutput,
        delete_bucket_website: DeleteBucketWebsiteInput => DeleteBucketWebsiteOutput,
    }
    notification {
        get_bucket_notification_configuration: GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput,
        put_bucket_notification_configuration: PutBucketNotificationConfigurationInput => PutBucketNotificationConfigurationOutput,
    }
    logging {
        get_bucket_logging: GetBucketLoggingInput => GetBucketLoggingOutput,
        put_bucket_logging: PutBucketLoggingInput => PutBucketLoggingOutput,
    }
    encryption {
        get_bucket_encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput,
        put_bucket_encryption: PutBucketEncryptionInput => PutBucketEncryptionOutput,
        delete_bucket_encryption: DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput,
    }
    replication {
        get_bucket_replication: GetBucketReplicationInput => GetBucketReplicationOutput,
        put_bucket_replication: PutBucketReplicationInput => PutBucketReplicationOutput,
        delete_bucket_replication: DeleteBucketReplicationInput => DeleteBucketReplicationOutput,
    }
    configurations {
        get_bucket_tagging: GetBucketTaggingInput => GetBucketTaggingOutput,
        put_bucket_tagging: PutBucketTaggingInput => PutBucketTaggingOutput,
        delete_bucket_tagging: DeleteBucketTaggingInput => DeleteBucketTaggingOutput,
        get_bucket_accelerate_configuration: GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput,
        put_bucket_accelerate_configuration: PutBucketAccelerateConfigurationInput => PutBucketAccelerateConfigurationOutput,
        get_bucket_request_payment: GetBucketRequestPaymentInput => GetBucketRequestPaymentOutput,
        put_bucket_request_payment: PutBucketRequestPaymentInput => PutBucketRequestPaymentOutput,
        get_bucket_analytics_configuration: GetBucketAnalyticsConfigurationInput => GetBucketAnalyticsConfigurationOutput,
        put_bucket_analytics_configuration: PutBucketAnalyticsConfigurationInput => PutBucketAnalyticsConfigurationOutput,
        delete_bucket_analytics_configuration: DeleteBucketAnalyticsConfigurationInput => DeleteBucketAnalyticsConfigurationOutput,
        get_bucket_intelligent_tiering_configuration: GetBucketIntelligentTieringConfigurationInput => GetBucketIntelligentTieringConfigurationOutput,
        put_bucket_intelligent_tiering_configuration: PutBucketIntelligentTieringConfigurationInput => PutBucketIntelligentTieringConfigurationOutput,
        delete_bucket_intelligent_tiering_configuration: DeleteBucketIntelligentTieringConfigurationInput => DeleteBucketIntelligentTieringConfigurationOutput,
        get_bucket_inventory_configuration: GetBucketInventoryConfigurationInput => GetBucketInventoryConfigurationOutput,
        put_bucket_inventory_configuration: PutBucketInventoryConfigurationInput => PutBucketInventoryConfigurationOutput,
        delete_bucket_inventory_configuration: DeleteBucketInventoryConfigurationInput => DeleteBucketInventoryConfigurationOutput,
        get_bucket_metrics_configuration: GetBucketMetricsConfigurationInput => GetBucketMetricsConfigurationOutput,
        put_bucket_metrics_configuration: PutBucketMetricsConfigurationInput => PutBucketMetricsConfigurationOutput,
        delete_bucket_metrics_configuration: DeleteBucketMetricsConfigurationInput => DeleteBucketMetricsConfigurationOutput,
        list_bucket_analytics_configurations: ListBucketAnalyticsConfigurationsInput => ListBucketAnalyticsConfigurationsOutput,
        list_bucket_intelligent_tiering_configurations: ListBucketIntelligentTieringConfigurationsInput => ListBucketIntelligentTieringConfigurationsOutput,
        list_bucket_inventory_configurations: ListBucketInventoryConfigurationsInput => ListBucketInventoryConfigurationsOutput,
        list_bucket_metrics_configurations: ListBucketMetricsConfigurationsInput => ListBucketMetricsConfigurationsOutput,
    }
}
