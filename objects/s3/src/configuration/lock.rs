//! The default retention of a bucket with object lock.

use super::malformed_xml;
use s3s::{S3Error, S3ErrorCode, S3Result, dto};

/// The longest retention, in days.
const MAX_DAYS: i32 = 36_500;
const MAX_YEARS: i32 = 100;

/// Checks a configuration that is to be kept.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`.
pub fn check(configuration: &dto::ObjectLockConfiguration) -> S3Result<()> {
    let enabled = configuration.object_lock_enabled.as_ref();
    if enabled.is_none_or(|enabled| enabled.as_str() != "Enabled") {
        return Err(malformed_xml());
    }
    let Some(rule) = &configuration.rule else { return Ok(()) };
    let Some(retention) = &rule.default_retention else { return Err(malformed_xml()) };
    let mode = retention.mode.as_ref().ok_or_else(malformed_xml)?;
    if !matches!(mode.as_str(), "GOVERNANCE" | "COMPLIANCE") {
        return Err(malformed_xml());
    }
    match (retention.days, retention.years) {
        (Some(days), None) => within(days, MAX_DAYS),
        (None, Some(years)) => within(years, MAX_YEARS),
        (Some(_), Some(_)) | (None, None) => Err(malformed_xml()),
    }
}

fn within(period: i32, max: i32) -> S3Result<()> {
    let message = if period <= 0 {
        "Default retention period must be a positive integer value."
    } else if period > max {
        "Default retention period is too large."
    } else {
        return Ok(());
    };
    let code = S3ErrorCode::Custom("InvalidRetentionPeriod".into());
    let mut fault = S3Error::with_message(code, message);
    fault.set_status_code(http::StatusCode::BAD_REQUEST);
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        let code = |mode: &str, days, years| {
            let retention = dto::DefaultRetention {
                mode: Some(dto::ObjectLockRetentionMode::from(mode.to_owned())),
                days,
                years,
            };
            let configuration = dto::ObjectLockConfiguration {
                object_lock_enabled: Some(dto::ObjectLockEnabled::from_static("Enabled")),
                rule: Some(dto::ObjectLockRule { default_retention: Some(retention) }),
            };
            check(&configuration).err().map(|fault| fault.code().as_str().to_owned())
        };
        assert_eq!(code("GOVERNANCE", Some(1), None), None);
        assert_eq!(code("COMPLIANCE", None, Some(100)), None);
        assert_eq!(code("COMPLIANCE", Some(1), Some(1)).as_deref(), Some("MalformedXML"));
        assert_eq!(code("abc", Some(1), None).as_deref(), Some("MalformedXML"));
        for (days, years) in
            [(Some(0), None), (Some(-1), None), (None, Some(101)), (Some(36_501), None)]
        {
            let got = code("GOVERNANCE", days, years);
            assert_eq!(got.as_deref(), Some("InvalidRetentionPeriod"), "{days:?} {years:?}");
        }
    }
}
