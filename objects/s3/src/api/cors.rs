//! Cross-origin rules.

use crate::{Gateway, access::enter, configuration::cors, fault};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_cors(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketCorsInput>,
) -> S3Result<S3Response<dto::GetBucketCorsOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketCORS").await?;
    let Some(kept) = bucket.row().configuration.cors.clone() else {
        return Err(fault::with(
            fault::fault(
                S3ErrorCode::NoSuchCORSConfiguration,
                "The CORS configuration does not exist",
            ),
            &[("BucketName", name)],
        ));
    };
    let cors_rules = Some(kept.cors_rules);
    Ok(S3Response::new(dto::GetBucketCorsOutput { cors_rules }))
}

pub(super) async fn put_bucket_cors(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketCorsInput>,
) -> S3Result<S3Response<dto::PutBucketCorsOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketCORS").await?;
    let configuration = req.input.cors_configuration;
    cors::check(&configuration)?;
    gateway.configure(&bucket, |kept| kept.cors = Some(configuration)).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn delete_bucket_cors(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketCorsInput>,
) -> S3Result<S3Response<dto::DeleteBucketCorsOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketCORS").await?;
    gateway.configure(&bucket, |kept| kept.cors = None).await?;
    Ok(S3Response::new(Default::default()))
}
