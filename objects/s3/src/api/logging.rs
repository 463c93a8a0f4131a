//! Where access logs go.

use crate::{
    Gateway,
    access::enter,
    configuration::{
        Ownership,
        logging::{Logging, no_target},
    },
};
use s3s::{S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_logging(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketLoggingInput>,
) -> S3Result<S3Response<dto::GetBucketLoggingOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketLogging").await?;
    let logging_enabled = bucket.row().configuration.logging.as_ref().map(Logging::to_api);
    Ok(S3Response::new(dto::GetBucketLoggingOutput { logging_enabled }))
}

pub(super) async fn put_bucket_logging(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketLoggingInput>,
) -> S3Result<S3Response<dto::PutBucketLoggingOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketLogging").await?;
    let enabled = req.input.bucket_logging_status.logging_enabled;
    let logging = enabled.map(Logging::from_api).transpose()?;
    if let Some(logging) = &logging {
        let Ok(target) = gateway.store.bucket(&logging.bucket).await else {
            return Err(no_target("The target bucket for logging does not exist"));
        };
        let (target, source) = (target.row(), bucket.row());
        if target.owner.account != source.owner.account {
            return Err(no_target(
                "The owner for the bucket to be logged and the target bucket must be the same.",
            ));
        }
        let enforced = target.configuration.ownership() == Ownership::BucketOwnerEnforced;
        if enforced && !logging.grants.is_empty() {
            return Err(no_target(
                "You can't set target grants: the target bucket doesn't allow ACLs.",
            ));
        }
    }
    gateway.configure(&bucket, |kept| kept.logging = logging).await?;
    Ok(S3Response::new(Default::default()))
}
