//! What a bucket only keeps: tags, acceleration, payer; and the listed configurations.

use crate::{
    Gateway,
    access::enter,
    configuration::{Configuration, listed, malformed_xml, tags as bucket_tags},
    fault,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_tagging(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketTaggingInput>,
) -> S3Result<S3Response<dto::GetBucketTaggingOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketTagging").await?;
    let row = bucket.row();
    if row.configuration.tags.is_empty() {
        let error = fault::fault(S3ErrorCode::NoSuchTagSet, "The TagSet does not exist");
        return Err(fault::with(error, &[("BucketName", name)]));
    }
    let tag_set = bucket_tags::to_api(&row.configuration.tags);
    Ok(S3Response::new(dto::GetBucketTaggingOutput { tag_set }))
}

pub(super) async fn put_bucket_tagging(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketTaggingInput>,
) -> S3Result<S3Response<dto::PutBucketTaggingOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketTagging").await?;
    let tags = bucket_tags::of_bucket(req.input.tagging.tag_set)?;
    let change = |configuration: &mut Configuration| configuration.tags = tags;
    gateway.configure(&bucket, change).await?;
    Ok(S3Response::with_status(Default::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn delete_bucket_tagging(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketTaggingInput>,
) -> S3Result<S3Response<dto::DeleteBucketTaggingOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketTagging").await?;
    gateway.configure(&bucket, |configuration| configuration.tags.clear()).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn get_bucket_accelerate_configuration(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketAccelerateConfigurationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetAccelerateConfiguration").await?;
    let status = bucket.row().configuration.accelerate.clone();
    Ok(S3Response::new(dto::GetBucketAccelerateConfigurationOutput {
        status: status.map(dto::BucketAccelerateStatus::from),
        ..Default::default()
    }))
}

pub(super) async fn put_bucket_accelerate_configuration(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketAccelerateConfigurationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutAccelerateConfiguration").await?;
    let status = req.input.accelerate_configuration.status.ok_or_else(malformed_xml)?;
    if !matches!(status.as_str(), "Enabled" | "Suspended") {
        return Err(malformed_xml());
    }
    if name.contains('.') {
        return Err(fault::invalid_request(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names",
        ));
    }
    let status = status.as_str().to_owned();
    gateway.configure(&bucket, |configuration| configuration.accelerate = Some(status)).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn get_bucket_request_payment(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketRequestPaymentInput>,
) -> S3Result<S3Response<dto::GetBucketRequestPaymentOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketRequestPayment").await?;
    let requester = bucket.row().configuration.requester_pays;
    let payer = dto::Payer::from_static(if requester { "Requester" } else { "BucketOwner" });
    Ok(S3Response::new(dto::GetBucketRequestPaymentOutput { payer: Some(payer) }))
}

pub(super) async fn put_bucket_request_payment(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketRequestPaymentInput>,
) -> S3Result<S3Response<dto::PutBucketRequestPaymentOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketRequestPayment").await?;
    let requester = match req.input.request_payment_configuration.payer.as_str() {
        "Requester" => true,
        "BucketOwner" => false,
        _ => return Err(malformed_xml()),
    };
    gateway.configure(&bucket, |configuration| configuration.requester_pays = requester).await?;
    Ok(S3Response::new(Default::default()))
}

/// The four operations on one kind of listed configurations.
macro_rules! listed {
    ($kind:ident: $part:ident, $get_action:literal, $put_action:literal, $check:expr,
     $get:ident($GetInput:ident) -> $GetOutput:ident,
     $put:ident($PutInput:ident) -> $PutOutput:ident,
     $delete:ident($DeleteInput:ident) -> $DeleteOutput:ident,
     $list:ident($ListInput:ident) -> $ListOutput:ident { $of_list:ident }) => {
        pub(super) async fn $get(
            gateway: &Gateway,
            req: S3Request<dto::$GetInput>,
        ) -> S3Result<S3Response<dto::$GetOutput>> {
            let name = &req.input.bucket;
            let bucket = enter(gateway, &req, name, $get_action).await?;
            let found = listed::find(&bucket.row().configuration.$part, &req.input.id)?;
            Ok(S3Response::new(dto::$GetOutput { $kind: Some(found) }))
        }

        pub(super) async fn $put(
            gateway: &Gateway,
            req: S3Request<dto::$PutInput>,
        ) -> S3Result<S3Response<dto::$PutOutput>> {
            let name = &req.input.bucket;
            let bucket = enter(gateway, &req, name, $put_action).await?;
            let dto::$PutInput { id, $kind: configuration, .. } = req.input;
            $check(&configuration)?;
            let within = configuration.id.clone();
            gateway
                .store
                .update_bucket(&bucket, |row| {
                    listed::put(&mut row.configuration.$part, id, &within, configuration)
                })
                .await?;
            gateway.inventories.bell.notify_one();
            Ok(S3Response::new(Default::default()))
        }

        pub(super) async fn $delete(
            gateway: &Gateway,
            req: S3Request<dto::$DeleteInput>,
        ) -> S3Result<S3Response<dto::$DeleteOutput>> {
            let name = &req.input.bucket;
            let bucket = enter(gateway, &req, name, $put_action).await?;
            let id = &req.input.id;
            gateway
                .store
                .update_bucket(&bucket, |row| {
                    listed::remove(&mut row.configuration.$part, id)?;
                    row.configuration.forget_inventories();
                    Ok(())
                })
                .await?;
            Ok(S3Response::new(Default::default()))
        }

        pub(super) async fn $list(
            gateway: &Gateway,
            req: S3Request<dto::$ListInput>,
        ) -> S3Result<S3Response<dto::$ListOutput>> {
            let name = &req.input.bucket;
            let bucket = enter(gateway, &req, name, $get_action).await?;
            let continuation_token = req.input.continuation_token;
            let (page, next_continuation_token) =
                listed::page(&bucket.row().configuration.$part, continuation_token.as_deref());
            Ok(S3Response::new(dto::$ListOutput {
                $of_list: (!page.is_empty()).then_some(page),
                continuation_token,
                is_truncated: Some(next_continuation_token.is_some()),
                next_continuation_token,
            }))
        }
    };
}

listed! {
    analytics_configuration: analytics,
    "s3:GetAnalyticsConfiguration", "s3:PutAnalyticsConfiguration",
    listed::check_analytics,
    get_bucket_analytics_configuration(GetBucketAnalyticsConfigurationInput)
        -> GetBucketAnalyticsConfigurationOutput,
    put_bucket_analytics_configuration(PutBucketAnalyticsConfigurationInput)
        -> PutBucketAnalyticsConfigurationOutput,
    delete_bucket_analytics_configuration(DeleteBucketAnalyticsConfigurationInput)
        -> DeleteBucketAnalyticsConfigurationOutput,
    list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput)
        -> ListBucketAnalyticsConfigurationsOutput { analytics_configuration_list }
}

listed! {
    intelligent_tiering_configuration: tiering,
    "s3:GetIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration",
    listed::check_tiering,
    get_bucket_intelligent_tiering_configuration(GetBucketIntelligentTieringConfigurationInput)
        -> GetBucketIntelligentTieringConfigurationOutput,
    put_bucket_intelligent_tiering_configuration(PutBucketIntelligentTieringConfigurationInput)
        -> PutBucketIntelligentTieringConfigurationOutput,
    delete_bucket_intelligent_tiering_configuration(
        DeleteBucketIntelligentTieringConfigurationInput)
        -> DeleteBucketIntelligentTieringConfigurationOutput,
    list_bucket_intelligent_tiering_configurations(
        ListBucketIntelligentTieringConfigurationsInput)
        -> ListBucketIntelligentTieringConfigurationsOutput
            { intelligent_tiering_configuration_list }
}

listed! {
    inventory_configuration: inventory,
    "s3:GetInventoryConfiguration", "s3:PutInventoryConfiguration", listed::check_inventory,
    get_bucket_inventory_configuration(GetBucketInventoryConfigurationInput)
        -> GetBucketInventoryConfigurationOutput,
    put_bucket_inventory_configuration(PutBucketInventoryConfigurationInput)
        -> PutBucketInventoryConfigurationOutput,
    delete_bucket_inventory_configuration(DeleteBucketInventoryConfigurationInput)
        -> DeleteBucketInventoryConfigurationOutput,
    list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput)
        -> ListBucketInventoryConfigurationsOutput { inventory_configuration_list }
}

listed! {
    metrics_configuration: metrics,
    "s3:GetMetricsConfiguration", "s3:PutMetricsConfiguration", listed::check_metrics,
    get_bucket_metrics_configuration(GetBucketMetricsConfigurationInput)
        -> GetBucketMetricsConfigurationOutput,
    put_bucket_metrics_configuration(PutBucketMetricsConfigurationInput)
        -> PutBucketMetricsConfigurationOutput,
    delete_bucket_metrics_configuration(DeleteBucketMetricsConfigurationInput)
        -> DeleteBucketMetricsConfigurationOutput,
    list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput)
        -> ListBucketMetricsConfigurationsOutput { metrics_configuration_list }
}
