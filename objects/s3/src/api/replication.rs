//! Replication to other buckets: the configuration.

use crate::{
    Caller, Gateway,
    access::{enter, may_pass_role},
    configuration::replication,
    fault,
    store::{Bucket, Versioning},
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};

const NO_VERSIONS: &str =
    "Versioning must be 'Enabled' on the bucket to apply a replication configuration";

pub(super) async fn get_bucket_replication(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketReplicationInput>,
) -> S3Result<S3Response<dto::GetBucketReplicationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetReplicationConfiguration").await?;
    let Some(kept) = bucket.row().configuration.replication.clone() else {
        return Err(fault::with(
            fault::fault(
                S3ErrorCode::ReplicationConfigurationNotFoundError,
                "The replication configuration was not found",
            ),
            &[("BucketName", name)],
        ));
    };
    let replication_configuration = Some(kept);
    Ok(S3Response::new(dto::GetBucketReplicationOutput { replication_configuration }))
}

pub(super) async fn put_bucket_replication(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketReplicationInput>,
) -> S3Result<S3Response<dto::PutBucketReplicationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutReplicationConfiguration").await?;
    let caller = Caller::of(&req)?;
    let new_id = || {
        let bytes: [u8; 16] = rand::random();
        hex::encode(bytes)
    };
    let configuration = replication::take(req.input.replication_configuration, new_id)?;
    may_pass_role(gateway, &caller, &configuration.role)?;
    let row = bucket.row();
    check_versioning(&row)?;
    for rule in &configuration.rules {
        let destination = replication::destination(rule).unwrap_or_default();
        check_destination(gateway, &row, destination).await?;
    }
    gateway
        .store
        .update_bucket(&bucket, |row| {
            check_versioning(row)?;
            row.configuration.replication = Some(configuration);
            Ok(())
        })
        .await?;
    Ok(S3Response::new(Default::default()))
}

fn check_versioning(row: &Bucket) -> S3Result<()> {
    if row.versioning == Versioning::Enabled {
        return Ok(());
    }
    Err(fault::invalid_request(NO_VERSIONS))
}

async fn check_destination(gateway: &Gateway, source: &Bucket, name: &str) -> S3Result<()> {
    if name == source.name {
        return Err(fault::invalid_request(
            "Destination bucket cannot be the same as the source bucket.",
        ));
    }
    let target = match gateway.store.bucket(name).await {
        Ok(target) => target.row(),
        Err(error) if *error.code() == S3ErrorCode::NoSuchBucket => {
            return Err(fault::invalid_request("Destination bucket must exist."));
        }
        Err(error) => return Err(error),
    };
    if target.versioning != Versioning::Enabled {
        return Err(fault::invalid_request("Destination bucket must have versioning enabled."));
    }
    // A copy must be as safe as what it is a copy of.
    if source.object_lock.is_some() && target.object_lock.is_none() {
        return Err(fault::invalid_request(
            "Destination bucket must have Object Lock enabled if the source bucket has it.",
        ));
    }
    Ok(())
}

/// What waits to be copied is not copied any more.
pub(super) async fn delete_bucket_replication(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketReplicationInput>,
) -> S3Result<S3Response<dto::DeleteBucketReplicationOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutReplicationConfiguration").await?;
    gateway.configure(&bucket, |configuration| configuration.replication = None).await?;
    gateway.store.copying.0.notify_one();
    Ok(S3Response::new(Default::default()))
}
