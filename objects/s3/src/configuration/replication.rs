//! Replication to another bucket, checked as S3 checks it.

use super::{MAX_RULES, invalid_argument, invalid_request, malformed_xml};
use s3s::{S3Result, dto};
use std::collections::BTreeSet;

/// The bucket that a rule's destination names.
#[must_use]
pub fn destination(rule: &dto::ReplicationRule) -> Option<&str> {
    rule.destination.bucket.strip_prefix("arn:aws:s3:::").filter(|name| !name.is_empty())
}

/// Checks a configuration that is to be kept.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidRequest`.
pub fn check(configuration: &dto::ReplicationConfiguration) -> S3Result<()> {
    let rules = &configuration.rules;
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(malformed_xml());
    }
    if !configuration.role.starts_with("arn:aws:iam::") {
        return Err(invalid_argument(
            "Invalid Role ARN specified in the replication configuration",
        ));
    }
    let (mut ids, mut priorities) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules {
        if !matches!(rule.status.as_str(), "Enabled" | "Disabled") {
            return Err(malformed_xml());
        }
        if destination(rule).is_none() {
            return Err(invalid_argument("Invalid bucket ARN."));
        }
        if let Some(id) = rule.id.as_deref().filter(|id| !id.is_empty()) {
            if id.chars().count() > 255 {
                return Err(invalid_argument("The ID of a rule must not exceed 255 characters."));
            }
            if !ids.insert(id.to_owned()) {
                return Err(invalid_request("Rule Id must be unique"));
            }
        }
        match (&rule.filter, &rule.prefix) {
            (Some(_), Some(_)) | (None, None) => return Err(malformed_xml()),
            (Some(_), None) => {
                if rule.delete_marker_replication.is_none() {
                    return Err(invalid_request(
                        "DeleteMarkerReplication must be specified for this version of Cross \
                         Region Replication configuration schema.",
                    ));
                }
                let priority = rule.priority.ok_or_else(|| {
                    invalid_request(
                        "Priority must be specified for this version of Cross Region Replication \
                         configuration schema.",
                    )
                })?;
                if !priorities.insert(priority) {
                    return Err(invalid_request(
                        "Found duplicate priority. Priority must be unique",
                    ));
                }
            }
            (None, Some(_)) => {}
        }
    }
    Ok(())
}
