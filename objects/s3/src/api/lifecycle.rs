//! Lifecycle rules.

use crate::{Gateway, access::enter, configuration::lifecycle, fault};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};

pub(super) async fn get_bucket_lifecycle_configuration(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketLifecycleConfigurationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetLifecycleConfiguration").await?;
    let Some(kept) = bucket.row().configuration.lifecycle.clone() else {
        return Err(fault::with(
            fault::fault(
                S3ErrorCode::NoSuchLifecycleConfiguration,
                "The lifecycle configuration does not exist",
            ),
            &[("BucketName", name)],
        ));
    };
    Ok(S3Response::new(dto::GetBucketLifecycleConfigurationOutput {
        rules: Some(kept.rules),
        transition_default_minimum_object_size: Some(kept.minimum_size.into()),
    }))
}

pub(super) async fn put_bucket_lifecycle_configuration(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketLifecycleConfigurationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutLifecycleConfiguration").await?;
    let rules = req.input.lifecycle_configuration.map(|it| it.rules).unwrap_or_default();
    let minimum = req.input.transition_default_minimum_object_size;
    let minimum = minimum.as_ref().map(dto::TransitionDefaultMinimumObjectSize::as_str);
    let new_id = || hex::encode(rand::random::<[u8; 16]>());
    let taken = lifecycle::take(rules, minimum, new_id)?;
    let answer = dto::PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(taken.minimum_size.clone().into()),
    };
    gateway.configure(&bucket, |kept| kept.lifecycle = Some(taken)).await?;
    Ok(S3Response::new(answer))
}

pub(super) async fn delete_bucket_lifecycle(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<dto::DeleteBucketLifecycleOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutLifecycleConfiguration").await?;
    gateway.configure(&bucket, |kept| kept.lifecycle = None).await?;
    Ok(S3Response::new(Default::default()))
}
