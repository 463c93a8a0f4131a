//! Buckets: make, find, list, remove; versioning.

use crate::{
    Gateway,
    access::{Ask, Caller, authorize, of_new_bucket},
    api::{convert, enter},
    fault,
    store::{Bucket, BucketEntry, ObjectLock, Owner, Versioning},
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};
use std::sync::Arc;

const MAX_BUCKETS_IN_A_PAGE: i32 = 10_000;
/// The region that has no location constraint.
const CLASSIC_REGION: &str = "us-east-1";

/// What Amazon keeps for itself.
fn check_name(name: &str) -> S3Result<()> {
    let starts = ["xn--", "sthree-", "amzn-s3-demo-"];
    let ends = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    if s3s::path::check_bucket_name(name)
        && !name.contains(".-")
        && !name.contains("-.")
        && !starts.iter().any(|start| name.starts_with(start))
        && !ends.iter().any(|end| name.ends_with(end))
    {
        return Ok(());
    }
    let error = fault::fault(S3ErrorCode::InvalidBucketName, "The specified bucket is not valid.");
    Err(fault::with(error, &[("BucketName", name)]))
}

/// The region that a new bucket is in: the one asked for, or that of the endpoint, which is the one
/// that the request is signed for. The oldest region's endpoint makes buckets everywhere.
fn location<'a>(endpoint: &'a str, constraint: Option<&'a str>) -> S3Result<&'a str> {
    let constraint = constraint.filter(|constraint| !constraint.is_empty());
    let asked = if constraint == Some("EU") { Some("eu-west-1") } else { constraint };
    match asked {
        None if endpoint == CLASSIC_REGION => Ok(CLASSIC_REGION),
        Some(asked) if asked == CLASSIC_REGION || !is_region(asked) => {
            let message = "The specified location-constraint is not valid";
            let error = fault::fault(S3ErrorCode::InvalidLocationConstraint, message);
            Err(fault::with(error, &[("LocationConstraint", asked)]))
        }
        Some(asked) if endpoint == CLASSIC_REGION || asked == endpoint => Ok(asked),
        asked => {
            let asked = asked.unwrap_or("unspecified");
            let message = format!(
                "The {asked} location constraint is incompatible for the region specific \
                 endpoint this request was sent to."
            );
            Err(fault::fault(S3ErrorCode::IllegalLocationConstraintException, message))
        }
    }
}

/// Whether this looks like a region's name: letters, then words, then a number.
fn is_region(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut words = name.split('-');
    name.len() <= 32
        && name.chars().all(plain)
        && words.clone().count() >= 3
        && words.next().is_some_and(|first| first.len() >= 2)
        && words.next_back().is_some_and(|last| last.parse::<u8>().is_ok())
}

fn taken(entry: &BucketEntry, ours: &Owner) -> S3Error {
    let row = entry.row();
    let error = if row.owner.account == ours.account {
        let message = "Your previous request to create the named bucket succeeded and you already \
                       own it.";
        fault::fault(S3ErrorCode::BucketAlreadyOwnedByYou, message)
    } else {
        let message = "The requested bucket name is not available. The bucket namespace is shared \
                       by all users of the system. Please select a different name and try again.";
        fault::fault(S3ErrorCode::BucketAlreadyExists, message)
    };
    fault::with(error, &[("BucketName", &row.name)])
}

pub(super) async fn create_bucket(
    gateway: &Gateway,
    req: S3Request<dto::CreateBucketInput>,
) -> S3Result<S3Response<dto::CreateBucketOutput>> {
    let caller = Caller::of(&req)?;
    let ask = Ask { action: "s3:CreateBucket", bucket: None, key: Some(&req.input.bucket) };
    authorize(gateway, &caller, ask).await?;
    let identity = caller.identity.as_ref().ok_or_else(fault::access_denied)?;
    let input = req.input;
    check_name(&input.bucket)?;
    let constraint = input.create_bucket_configuration.and_then(|one| one.location_constraint);
    let constraint = constraint.as_ref().map(dto::BucketLocationConstraint::as_str);
    let endpoint = req.region.as_ref().map_or(gateway.settings.region.as_str(), |at| at.as_str());
    let region = location(endpoint, constraint)?;
    let owner = Owner {
        account: identity.account.clone(),
        canonical_id: identity.canonical_id.clone(),
        display_name: identity.display_name.clone(),
    };
    let mut row = Bucket::new(&input.bucket, region, owner.clone(), gateway.store.now_ms());
    of_new_bucket(&mut row.configuration, &caller.headers, &owner)?;
    if input.object_lock_enabled_for_bucket == Some(true) {
        row.versioning = Versioning::Enabled;
        row.object_lock = Some(ObjectLock::default());
    }
    if let Err(entry) = gateway.store.create_bucket(row).await? {
        let ours = entry.row().owner.account == owner.account;
        // The oldest region says yes again, as it did before there were others.
        if !(ours && region == CLASSIC_REGION && entry.row().region == region) {
            return Err(taken(&entry, &owner));
        }
    }
    let location = Some(format!("/{}", input.bucket));
    Ok(S3Response::new(dto::CreateBucketOutput { location }))
}

pub(super) async fn delete_bucket(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketInput>,
) -> S3Result<S3Response<dto::DeleteBucketOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let entry = enter(gateway, &caller, "s3:DeleteBucket", &input.bucket, None, owner).await?;
    gateway.store.delete_bucket(&entry).await?;
    let status = http::StatusCode::NO_CONTENT;
    Ok(S3Response::with_status(dto::DeleteBucketOutput {}, status))
}

pub(super) async fn head_bucket(
    gateway: &Gateway,
    req: S3Request<dto::HeadBucketInput>,
) -> S3Result<S3Response<dto::HeadBucketOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let region = gateway.settings.region.clone();
    let entered = enter(gateway, &caller, "s3:ListBucket", &input.bucket, None, owner).await;
    let exists = |error: &S3Error| *error.code() != S3ErrorCode::NoSuchBucket;
    match entered {
        Ok(entry) => Ok(S3Response::new(dto::HeadBucketOutput {
            bucket_region: Some(entry.row().region.clone()),
            ..Default::default()
        })),
        Err(error) if exists(&error) => {
            Err(fault::with_header(error, "x-amz-bucket-region", &region))
        }
        Err(error) => Err(error),
    }
}

fn listed(row: &Bucket) -> dto::Bucket {
    dto::Bucket {
        bucket_region: Some(row.region.clone()),
        creation_date: Some(convert::timestamp(row.created_ms)),
        name: Some(row.name.clone()),
    }
}

pub(super) async fn list_buckets(
    gateway: &Gateway,
    req: S3Request<dto::ListBucketsInput>,
) -> S3Result<S3Response<dto::ListBucketsOutput>> {
    let caller = Caller::of(&req)?;
    let ask = Ask { action: "s3:ListAllMyBuckets", bucket: None, key: None };
    authorize(gateway, &caller, ask).await?;
    let identity = caller.identity.as_ref().ok_or_else(fault::access_denied)?;
    let input = req.input;
    let asked = input.max_buckets.unwrap_or(MAX_BUCKETS_IN_A_PAGE);
    if !(1..=MAX_BUCKETS_IN_A_PAGE).contains(&asked) {
        let message = "Argument max-buckets must be an integer between 1 and 10000";
        return Err(fault::invalid_argument(message, "max-buckets", &asked.to_string()));
    }
    let limit = usize::try_from(asked).unwrap_or_default();
    let after = input.continuation_token.as_deref().map(super::listing::token).transpose()?;
    let wanted = |row: &Bucket| {
        row.owner.account == identity.account
            && input.bucket_region.as_ref().is_none_or(|region| *region == row.region)
    };
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let store = &gateway.store;
    let mut rows = store.list_buckets(prefix, after.as_deref(), limit + 1, wanted).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| super::listing::to_token(&row.name));
    Ok(S3Response::new(dto::ListBucketsOutput {
        buckets: Some(rows.iter().map(listed).collect()),
        continuation_token: next,
        owner: Some(dto::Owner {
            display_name: Some(identity.display_name.clone()),
            id: Some(identity.canonical_id.clone()),
        }),
        prefix: input.prefix,
    }))
}

pub(super) async fn get_bucket_location(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketLocationInput>,
) -> S3Result<S3Response<dto::GetBucketLocationOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:GetBucketLocation";
    let entry = enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let region = Some(entry.row().region.clone()).filter(|region| region != CLASSIC_REGION);
    let location_constraint = region.map(dto::BucketLocationConstraint::from);
    Ok(S3Response::new(dto::GetBucketLocationOutput { location_constraint }))
}

pub(super) async fn get_bucket_versioning(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketVersioningInput>,
) -> S3Result<S3Response<dto::GetBucketVersioningOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:GetBucketVersioning";
    let entry: Arc<BucketEntry> =
        enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let status = match entry.row().versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(dto::BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(dto::BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(dto::BucketVersioningStatus::from_static);
    Ok(S3Response::new(dto::GetBucketVersioningOutput { mfa_delete: None, status }))
}

pub(super) async fn put_bucket_versioning(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketVersioningInput>,
) -> S3Result<S3Response<dto::PutBucketVersioningOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:PutBucketVersioning";
    let entry = enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let asked = input.versioning_configuration;
    if asked.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() == dto::MFADelete::ENABLED) {
        return Err(fault::not_implemented("MFA delete"));
    }
    let versioning = match asked.status.as_ref().map(dto::BucketVersioningStatus::as_str) {
        Some(dto::BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(dto::BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        Some(_) => return Err(fault::malformed_xml()),
        None => {
            let code = S3ErrorCode::IllegalVersioningConfigurationException;
            let message = "The Versioning element must be specified";
            return Err(fault::fault(code, message));
        }
    };
    gateway
        .store
        .update_bucket(&entry, |row| {
            if row.object_lock.is_some() && versioning == Versioning::Suspended {
                let message = "An Object Lock configuration is present on this bucket, so the \
                               versioning state cannot be changed.";
                return Err(fault::fault(S3ErrorCode::InvalidBucketState, message));
            }
            if row.configuration.replication.is_some() && versioning == Versioning::Suspended {
                let message = "A replication configuration is present on this bucket, so you \
                               cannot change the versioning state. To change the versioning state, \
                               first delete the replication configuration.";
                return Err(fault::fault(S3ErrorCode::InvalidBucketState, message));
            }
            row.versioning = versioning;
            Ok(())
        })
        .await?;
    Ok(S3Response::new(dto::PutBucketVersioningOutput {}))
}
