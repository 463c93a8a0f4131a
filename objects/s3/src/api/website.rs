//! The configuration of a bucket's website.

use crate::{Gateway, access::enter, configuration::website, fault};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_website(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketWebsiteInput>,
) -> S3Result<S3Response<dto::GetBucketWebsiteOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketWebsite").await?;
    let Some(kept) = bucket.row().configuration.website.clone() else {
        return Err(fault::with(
            fault::fault(
                S3ErrorCode::NoSuchWebsiteConfiguration,
                "The specified bucket does not have a website configuration",
            ),
            &[("BucketName", name)],
        ));
    };
    Ok(S3Response::new(dto::GetBucketWebsiteOutput {
        error_document: kept.error_document,
        index_document: kept.index_document,
        redirect_all_requests_to: kept.redirect_all_requests_to,
        routing_rules: kept.routing_rules,
    }))
}

pub(super) async fn put_bucket_website(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketWebsiteInput>,
) -> S3Result<S3Response<dto::PutBucketWebsiteOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketWebsite").await?;
    let configuration = req.input.website_configuration;
    website::check(&configuration)?;
    gateway.configure(&bucket, |kept| kept.website = Some(configuration)).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn delete_bucket_website(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketWebsiteInput>,
) -> S3Result<S3Response<dto::DeleteBucketWebsiteOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:DeleteBucketWebsite").await?;
    gateway.configure(&bucket, |kept| kept.website = None).await?;
    Ok(S3Response::new(Default::default()))
}
