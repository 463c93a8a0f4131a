//! Configurations that a bucket has many of, by ID: inventory, metrics, analytics, intelligent
//! tiering. They are checked, kept and listed as S3 does; of inventories lists are written.

use super::{invalid_argument, malformed_xml};
use crate::fault;
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Result, dto};
use std::collections::BTreeMap;

/// The most configurations of one kind.
const MAX_CONFIGURATIONS: usize = 1000;
/// How many a page lists.
const PAGE: usize = 100;

/// Keeps a configuration under its ID.
///
/// # Errors
/// `InvalidArgument`, `InvalidConfigurationId`, `TooManyConfigurations`.
pub fn put<T>(
    kept: &mut BTreeMap<String, T>,
    id: String,
    id_within: &str,
    configuration: T,
) -> S3Result<()> {
    let valid = id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if id.is_empty() || !valid {
        let code = S3ErrorCode::Custom("InvalidConfigurationId".into());
        let message = "The specified configuration id is invalid.";
        return Err(with_status(code, message, http::StatusCode::BAD_REQUEST));
    }
    if id != id_within {
        return Err(fault::custom(
            StatusCode::BAD_REQUEST,
            "IdMismatch",
            "Document ID does not match the specified configuration ID.",
        ));
    }
    if kept.len() >= MAX_CONFIGURATIONS && !kept.contains_key(&id) {
        let code = S3ErrorCode::Custom("TooManyConfigurations".into());
        let message = "You are attempting to create a new configuration but have already reached \
                       the 1,000-configuration limit.";
        return Err(with_status(code, message, http::StatusCode::BAD_REQUEST));
    }
    kept.insert(id, configuration);
    Ok(())
}

/// Finds a configuration.
///
/// # Errors
/// `NoSuchConfiguration`.
pub fn find<T: Clone>(kept: &BTreeMap<String, T>, id: &str) -> S3Result<T> {
    kept.get(id).cloned().ok_or_else(missing)
}

/// Removes a configuration.
///
/// # Errors
/// `NoSuchConfiguration`.
pub fn remove<T>(kept: &mut BTreeMap<String, T>, id: &str) -> S3Result<()> {
    kept.remove(id).map(drop).ok_or_else(missing)
}

fn missing() -> S3Error {
    let code = S3ErrorCode::Custom("NoSuchConfiguration".into());
    with_status(code, "The specified configuration does not exist.", http::StatusCode::NOT_FOUND)
}

fn with_status(code: S3ErrorCode, message: &'static str, status: http::StatusCode) -> S3Error {
    let mut fault = S3Error::with_message(code, message);
    fault.set_status_code(status);
    fault
}

/// A page of configurations, and the token of the next.
#[must_use]
pub fn page<T: Clone>(kept: &BTreeMap<String, T>, token: Option<&str>) -> (Vec<T>, Option<String>) {
    let after = match token {
        Some(token) => std::ops::Bound::Excluded(token.to_owned()),
        None => std::ops::Bound::Unbounded,
    };
    let mut rest = kept.range((after, std::ops::Bound::Unbounded));
    let listed: Vec<_> = rest.by_ref().take(PAGE).collect();
    let next = rest.next().and(listed.last()).map(|(id, _)| (*id).clone());
    (listed.into_iter().map(|(_, configuration)| configuration.clone()).collect(), next)
}

/// The bucket that an ARN names.
#[must_use]
pub fn bucket_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:aws:s3:::").filter(|name| !name.is_empty() && !name.contains('/'))
}

fn check_destination(arn: &str, account: Option<&str>) -> S3Result<()> {
    if bucket_of(arn).is_none() {
        return Err(invalid_argument("Invalid bucket ARN."));
    }
    let twelve = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if account.is_some_and(|account| !twelve(account)) {
        return Err(invalid_argument("Invalid account ID."));
    }
    Ok(())
}

/// Checks an inventory.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`; `NotImplemented` of formats and keys that lists aren't written in.
pub fn check_inventory(inventory: &dto::InventoryConfiguration) -> S3Result<()> {
    let destination = &inventory.destination.s3_bucket_destination;
    let known = matches!(destination.format.as_str(), "CSV" | "ORC" | "Parquet")
        && matches!(inventory.schedule.frequency.as_str(), "Daily" | "Weekly")
        && matches!(inventory.included_object_versions.as_str(), "All" | "Current");
    let fields = inventory.optional_fields.as_deref().unwrap_or_default();
    if !known || !fields.iter().all(|field| crate::inventory::is_field(field.as_str())) {
        return Err(malformed_xml());
    }
    check_destination(&destination.bucket, destination.account_id.as_deref())?;
    if destination.format.as_str() != dto::InventoryFormat::CSV {
        let format = destination.format.as_str();
        return Err(fault::not_implemented(&format!("Inventory in the format {format}")));
    }
    if destination.encryption.as_ref().is_some_and(|one| one.ssekms.is_some()) {
        return Err(fault::not_implemented("Inventory encrypted with a key of KMS"));
    }
    Ok(())
}

fn check_tags(tags: &[dto::Tag]) -> S3Result<()> {
    let mut keys = std::collections::BTreeSet::new();
    for tag in tags {
        let key = tag.key.as_deref().filter(|key| !key.is_empty()).ok_or_else(malformed_xml)?;
        if tag.value.is_none() {
            return Err(malformed_xml());
        }
        if !keys.insert(key) {
            return Err(invalid_argument("Duplicate Tag Keys are not allowed."));
        }
    }
    Ok(())
}

/// A filter by all of several: there have to be several.
fn check_and(prefix: Option<&str>, tags: Option<&[dto::Tag]>) -> S3Result<()> {
    let tags = tags.unwrap_or_default();
    if tags.len() + usize::from(prefix.is_some()) < 2 {
        return Err(malformed_xml());
    }
    check_tags(tags)
}

/// Checks what is to be measured.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`.
pub fn check_metrics(metrics: &dto::MetricsConfiguration) -> S3Result<()> {
    let no_points = || invalid_argument("This store has no access points.");
    match &metrics.filter {
        Some(dto::MetricsFilter::AccessPointArn(_)) => Err(no_points()),
        Some(dto::MetricsFilter::And(all)) if all.access_point_arn.is_some() => Err(no_points()),
        Some(dto::MetricsFilter::And(all)) => check_and(all.prefix.as_deref(), all.tags.as_deref()),
        Some(dto::MetricsFilter::Tag(tag)) => check_tags(std::slice::from_ref(tag)),
        Some(_) | None => Ok(()),
    }
}

/// Checks what is to be analysed.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`.
pub fn check_analytics(analytics: &dto::AnalyticsConfiguration) -> S3Result<()> {
    match &analytics.filter {
        Some(dto::AnalyticsFilter::And(all)) => {
            check_and(all.prefix.as_deref(), all.tags.as_deref())?;
        }
        Some(dto::AnalyticsFilter::Tag(tag)) => check_tags(std::slice::from_ref(tag))?,
        Some(_) | None => {}
    }
    let Some(export) = &analytics.storage_class_analysis.data_export else { return Ok(()) };
    let destination = &export.destination.s3_bucket_destination;
    let known = destination.format.as_str() == dto::AnalyticsS3ExportFileFormat::CSV
        && export.output_schema_version.as_str() == dto::StorageClassAnalysisSchemaVersion::V_1;
    if !known {
        return Err(malformed_xml());
    }
    check_destination(&destination.bucket, destination.bucket_account_id.as_deref())
}

/// Checks tiers: the archive classes, each once, from 90 and 180 days on.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidTier`.
pub fn check_tiering(tiering: &dto::IntelligentTieringConfiguration) -> S3Result<()> {
    if tiering.tierings.is_empty() || !matches!(tiering.status.as_str(), "Enabled" | "Disabled") {
        return Err(malformed_xml());
    }
    if let Some(filter) = &tiering.filter {
        let named = [filter.and.is_some(), filter.prefix.is_some(), filter.tag.is_some()];
        if named.into_iter().filter(|named| *named).count() > 1 {
            return Err(malformed_xml());
        }
        if let Some(all) = &filter.and {
            check_and(all.prefix.as_deref(), all.tags.as_deref())?;
        }
        check_tags(filter.tag.as_slice())?;
    }
    let mut seen = std::collections::BTreeSet::new();
    for tier in &tiering.tierings {
        let least = match tier.access_tier.as_str() {
            "ARCHIVE_ACCESS" => 90,
            "DEEP_ARCHIVE_ACCESS" => 180,
            _ => return Err(malformed_xml()),
        };
        if !seen.insert(tier.access_tier.as_str().to_owned()) {
            return Err(malformed_xml());
        }
        if !(least..=730).contains(&tier.days) {
            return Err(invalid_argument(format!(
                "Number of days for tier {} should be between {least} and 730",
                tier.access_tier.as_str()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_and_listing() {
        let mut kept = BTreeMap::new();
        for n in 0..250 {
            put(&mut kept, format!("id-{n:03}"), &format!("id-{n:03}"), n).expect("kept");
        }
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let (listed, next) = page(&kept, token.as_deref());
            assert!(listed.len() <= PAGE);
            seen.extend(listed);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
        assert_eq!(find(&kept, "x").expect_err("none").code().as_str(), "NoSuchConfiguration");
        assert!(remove(&mut kept, "id-000").is_ok() && remove(&mut kept, "id-000").is_err());
        assert!(put(&mut kept, "a b".to_owned(), "a b", 1).is_err());
        assert!(put(&mut kept, "a".to_owned(), "b", 1).is_err());
    }
}
