//! Object lock: retention and legal holds.

use crate::{
    Gateway,
    access::Caller,
    api::{convert, enter},
    fault,
    store::{
        Bucket, DefaultRetention, LockMode, ObjectLock, Versioning,
        version::{Object, Retention, Version},
    },
};
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};

/// The longest default retention: 100 years.
const MAX_DAYS: u32 = 36_500;

fn no_configuration(bucket: &Bucket) -> S3Error {
    let message = "Object Lock configuration does not exist for this bucket";
    let error =
        fault::custom(StatusCode::NOT_FOUND, "ObjectLockConfigurationNotFoundError", message);
    fault::with(error, &[("BucketName", &bucket.name)])
}

fn check_enabled(bucket: &Bucket) -> S3Result<()> {
    match bucket.object_lock {
        Some(_) => Ok(()),
        None => Err(fault::invalid_request("Bucket is missing Object Lock Configuration")),
    }
}

pub(super) async fn get_object_lock_configuration(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<dto::GetObjectLockConfigurationOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:GetBucketObjectLockConfiguration";
    let entry = enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let bucket = entry.row();
    let lock = bucket.object_lock.ok_or_else(|| no_configuration(&bucket))?;
    let rule = lock.default_retention.map(|DefaultRetention { mode, period, years }| {
        let period = i32::try_from(period).ok();
        let mode = dto::ObjectLockRetentionMode::from_static(convert::mode_name(mode));
        dto::ObjectLockRule {
            default_retention: Some(dto::DefaultRetention {
                days: period.filter(|_| !years),
                mode: Some(mode),
                years: period.filter(|_| years),
            }),
        }
    });
    let enabled = dto::ObjectLockEnabled::from_static(dto::ObjectLockEnabled::ENABLED);
    Ok(S3Response::new(dto::GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(dto::ObjectLockConfiguration {
            object_lock_enabled: Some(enabled),
            rule,
        }),
    }))
}

fn default_retention(asked: dto::DefaultRetention) -> S3Result<DefaultRetention> {
    let mode = match asked.mode.as_ref().map(dto::ObjectLockRetentionMode::as_str) {
        Some("GOVERNANCE") => LockMode::Governance,
        Some("COMPLIANCE") => LockMode::Compliance,
        Some(_) | None => return Err(fault::malformed_xml()),
    };
    let (period, years) = match (asked.days, asked.years) {
        (Some(days), None) => (days, false),
        (None, Some(years)) => (years, true),
        _ => return Err(fault::malformed_xml()),
    };
    let message = "Default retention period must be a positive integer value.";
    let most = if years { MAX_DAYS / 365 } else { MAX_DAYS };
    match u32::try_from(period) {
        Ok(period) if (1..=most).contains(&period) => Ok(DefaultRetention { mode, period, years }),
        _ => Err(fault::invalid_argument(message, "DefaultRetention", &period.to_string())),
    }
}

pub(super) async fn put_object_lock_configuration(
    gateway: &Gateway,
    req: S3Request<dto::PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<dto::PutObjectLockConfigurationOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:PutBucketObjectLockConfiguration";
    let entry = enter(gateway, &caller, action, &input.bucket, None, owner).await?;
    let asked = input.object_lock_configuration.ok_or_else(fault::malformed_xml)?;
    let enabled = asked.object_lock_enabled.as_ref().map(dto::ObjectLockEnabled::as_str);
    if enabled != Some(dto::ObjectLockEnabled::ENABLED) {
        return Err(fault::malformed_xml());
    }
    let retention = match asked.rule {
        None => None,
        Some(rule) => {
            let asked = rule.default_retention.ok_or_else(fault::malformed_xml)?;
            Some(default_retention(asked)?)
        }
    };
    let change = |row: &mut Bucket| {
        if row.versioning != Versioning::Enabled {
            let message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock \
                           configuration";
            return Err(fault::fault(S3ErrorCode::InvalidBucketState, message));
        }
        row.object_lock = Some(ObjectLock { default_retention: retention });
        Ok(())
    };
    gateway.store.update_bucket(&entry, change).await?;
    Ok(S3Response::new(dto::PutObjectLockConfigurationOutput::default()))
}

fn no_lock() -> S3Error {
    let message = "The specified object does not have a ObjectLock configuration";
    fault::custom(StatusCode::NOT_FOUND, "NoSuchObjectLockConfiguration", message)
}

pub(super) async fn get_object_retention(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectRetentionInput>,
) -> S3Result<S3Response<dto::GetObjectRetentionOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:GetObjectRetention";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    check_enabled(&bucket)?;
    let version = input.version_id.as_deref();
    let found = gateway.store.find_object(&bucket, &input.key, version).await?;
    let retention = found.object().and_then(|object| object.lock.retention).ok_or_else(no_lock)?;
    let mode = dto::ObjectLockRetentionMode::from_static(convert::mode_name(retention.mode));
    Ok(S3Response::new(dto::GetObjectRetentionOutput {
        retention: Some(dto::ObjectLockRetention {
            mode: Some(mode),
            retain_until_date: Some(convert::exact_timestamp(retention.until_ms)),
        }),
    }))
}

fn object_of(version: &mut Version) -> S3Result<&mut Object> {
    version.object.as_mut().ok_or_else(fault::internal)
}

/// What a retention may be replaced by: a longer one always, a weaker one only by who bypasses
/// governance.
fn may_replace(old: Option<Retention>, new: Option<Retention>, bypass: bool, now_ms: u64) -> bool {
    let Some(old) = old.filter(|old| old.until_ms > now_ms) else { return true };
    let longer = |new: Retention| new.until_ms >= old.until_ms;
    match old.mode {
        LockMode::Compliance => {
            new.is_some_and(|new| new.mode == LockMode::Compliance && longer(new))
        }
        LockMode::Governance => bypass || new.is_some_and(longer),
    }
}

pub(super) async fn put_object_retention(
    gateway: &Gateway,
    req: S3Request<dto::PutObjectRetentionInput>,
) -> S3Result<S3Response<dto::PutObjectRetentionOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:PutObjectRetention";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    check_enabled(&entry.row())?;
    let now_ms = gateway.store.now_ms();
    let asked = input.retention.ok_or_else(fault::malformed_xml)?;
    let retention = match (asked.mode, asked.retain_until_date) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = convert::lock_mode(mode.as_str()).map_err(|_| fault::malformed_xml())?;
            Some(Retention { mode, until_ms: convert::future(convert::to_ms(&until), now_ms)? })
        }
        _ => return Err(fault::malformed_xml()),
    };
    let bypass = input.bypass_governance_retention == Some(true);
    if bypass {
        let action = "s3:BypassGovernanceRetention";
        super::allow(gateway, &caller, action, &entry, Some(&input.key)).await?;
    }
    let version = input.version_id.as_deref();
    let change = |version: &mut Version| {
        let object = object_of(version)?;
        if !may_replace(object.lock.retention, retention, bypass, now_ms) {
            let message = "Access Denied because object protected by object lock.";
            return Err(fault::fault(S3ErrorCode::AccessDenied, message));
        }
        object.lock.retention = retention;
        Ok(())
    };
    gateway.store.update_version(&entry, &input.key, version, change).await?;
    Ok(S3Response::new(dto::PutObjectRetentionOutput::default()))
}

pub(super) async fn get_object_legal_hold(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectLegalHoldInput>,
) -> S3Result<S3Response<dto::GetObjectLegalHoldOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:GetObjectLegalHold";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    let bucket = entry.row();
    check_enabled(&bucket)?;
    let version = input.version_id.as_deref();
    let found = gateway.store.find_object(&bucket, &input.key, version).await?;
    let hold = found.object().and_then(|object| object.lock.legal_hold).ok_or_else(no_lock)?;
    let status = dto::ObjectLockLegalHoldStatus::from_static(if hold { "ON" } else { "OFF" });
    let legal_hold = Some(dto::ObjectLockLegalHold { status: Some(status) });
    Ok(S3Response::new(dto::GetObjectLegalHoldOutput { legal_hold }))
}

pub(super) async fn put_object_legal_hold(
    gateway: &Gateway,
    req: S3Request<dto::PutObjectLegalHoldInput>,
) -> S3Result<S3Response<dto::PutObjectLegalHoldOutput>> {
    let caller = Caller::of(&req)?;
    let input = req.input;
    let owner = input.expected_bucket_owner.as_deref();
    let action = "s3:PutObjectLegalHold";
    let entry = enter(gateway, &caller, action, &input.bucket, Some(&input.key), owner).await?;
    check_enabled(&entry.row())?;
    let status = input.legal_hold.and_then(|hold| hold.status).ok_or_else(fault::malformed_xml)?;
    let hold = match status.as_str() {
        "ON" => true,
        "OFF" => false,
        _ => return Err(fault::malformed_xml()),
    };
    let version = input.version_id.as_deref();
    let change = |version: &mut Version| {
        object_of(version)?.lock.legal_hold = Some(hold);
        Ok(())
    };
    gateway.store.update_version(&entry, &input.key, version, change).await?;
    Ok(S3Response::new(dto::PutObjectLegalHoldOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_only_weakened_by_who_may() {
        use LockMode::{Compliance, Governance};
        let of = |mode, until_ms| Some(Retention { mode, until_ms });
        let table = [
            (None, of(Governance, 20), false, true),
            (of(Governance, 20), of(Governance, 30), false, true),
            (of(Governance, 20), of(Governance, 15), false, false),
            (of(Governance, 20), of(Governance, 15), true, true),
            (of(Governance, 20), None, false, false),
            (of(Governance, 20), None, true, true),
            (of(Governance, 5), None, false, true),
            (of(Compliance, 20), of(Compliance, 30), false, true),
            (of(Compliance, 20), of(Compliance, 15), true, false),
            (of(Compliance, 20), of(Governance, 30), true, false),
            (of(Compliance, 20), None, true, false),
            (of(Compliance, 5), None, false, true),
        ];
        for (row, (old, new, bypass, expected)) in table.into_iter().enumerate() {
            assert_eq!(may_replace(old, new, bypass, 10), expected, "{row}");
        }
    }
}
