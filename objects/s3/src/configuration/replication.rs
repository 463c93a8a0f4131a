//! Replication to other buckets: rules checked as S3 checks them, and which of them are about an object.

use super::{MAX_RULES, invalid_argument, invalid_request, malformed_xml};
use s3s::{S3Result, dto};
use std::collections::{BTreeMap, BTreeSet};

/// The longest ID of a rule.
const MAX_ID_CHARS: usize = 255;
/// The longest prefix of a rule, in bytes.
const MAX_PREFIX_BYTES: usize = 1024;
/// The one threshold that S3 Replication Time Control has.
const MINUTES: i32 = 15;
const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];
const SCHEMA: &str = "for this version of Cross Region Replication configuration schema. Please refer to \
                      S3 Developer Guide for more information.";

/// What a rule is asked about: a version of a key, before it is copied.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub key: &'a str,
    /// None for a delete marker.
    pub tags: Option<&'a [(String, String)]>,
    /// Whether a key of KMS encrypts it.
    pub by_kms: bool,
    /// Whether it is itself a copy.
    pub replica: bool,
}

/// The bucket that a rule's destination names.
#[must_use]
pub fn destination(rule: &dto::ReplicationRule) -> Option<&str> {
    rule.destination.bucket.strip_prefix("arn:aws:s3:::").filter(|name| !name.is_empty())
}

/// Whether a rule is of the second form of configurations, which has filters and priorities.
fn is_second(rule: &dto::ReplicationRule) -> bool {
    rule.filter.is_some()
}

/// What a rule's keys begin with.
fn prefix(rule: &dto::ReplicationRule) -> &str {
    let of_filter = rule.filter.as_ref().and_then(|filter| {
        let of_all = filter.and.as_ref().and_then(|all| all.prefix.as_deref());
        filter.prefix.as_deref().or(of_all)
    });
    of_filter.or(rule.prefix.as_deref()).unwrap_or_default()
}

/// The tags that a rule's objects have.
fn tags(rule: &dto::ReplicationRule) -> impl Iterator<Item = &dto::Tag> {
    let filter = rule.filter.as_ref();
    let one = filter.and_then(|filter| filter.tag.as_ref());
    let all = filter.and_then(|filter| filter.and.as_ref()).and_then(|all| all.tags.as_ref());
    one.into_iter().chain(all.into_iter().flatten())
}

fn markers(rule: &dto::ReplicationRule) -> bool {
    let said = rule.delete_marker_replication.as_ref().and_then(|one| one.status.as_ref());
    match is_second(rule) {
        true => said.is_some_and(|status| status.as_str() == "Enabled"),
        // The first form knew no choice.
        false => true,
    }
}

fn selects(rule: &dto::ReplicationRule, subject: &Subject<'_>) -> bool {
    let criteria = rule.source_selection_criteria.as_ref();
    let kms = criteria.and_then(|one| one.sse_kms_encrypted_objects.as_ref());
    let replicas = criteria.and_then(|one| one.replica_modifications.as_ref());
    let by_kms = kms.is_some_and(|one| one.status.as_str() == "Enabled");
    let replica = replicas.is_some_and(|one| one.status.as_str() == "Enabled");
    (by_kms || !subject.by_kms) && (replica || !subject.replica)
}

/// Whether a rule is about something, whatever its tags.
fn covers(rule: &dto::ReplicationRule, subject: &Subject<'_>) -> bool {
    rule.status.as_str() == "Enabled"
        && subject.key.starts_with(prefix(rule))
        && selects(rule, subject)
}

fn matches(rule: &dto::ReplicationRule, subject: &Subject<'_>) -> bool {
    let has = |tag: &dto::Tag| {
        let mut there = subject.tags.into_iter().flatten();
        there.any(|(key, value)| Some(key) == tag.key.as_ref() && Some(value) == tag.value.as_ref())
    };
    let by_kind = match subject.tags {
        Some(_) => tags(rule).all(has),
        None => markers(rule) && tags(rule).next().is_none(),
    };
    covers(rule, subject) && by_kind
}

/// The buckets that something is copied to.
#[must_use]
pub fn targets<'a>(
    configuration: &'a dto::ReplicationConfiguration,
    subject: &Subject<'_>,
) -> BTreeSet<&'a str> {
    let rules = configuration.rules.iter().filter(|rule| matches(rule, subject));
    rules.filter_map(destination).collect()
}

/// The rule by which something is copied to a bucket: that of the highest priority. Its tags are those
/// that it had when it was written.
#[must_use]
pub fn rule_to<'a>(
    configuration: &'a dto::ReplicationConfiguration,
    bucket: &str,
    subject: &Subject<'_>,
) -> Option<&'a dto::ReplicationRule> {
    let rules = configuration.rules.iter();
    rules
        .filter(|rule| destination(rule) == Some(bucket) && covers(rule, subject))
        .max_by_key(|rule| (matches(rule, subject), rule.priority.unwrap_or_default()))
}

/// Checks a configuration that is to be kept, and names the rules that have no name.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidRequest`.
pub fn take(
    mut configuration: dto::ReplicationConfiguration,
    mut new_id: impl FnMut() -> String,
) -> S3Result<dto::ReplicationConfiguration> {
    let rules = &mut configuration.rules;
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(malformed_xml());
    }
    check_role(&configuration.role)?;
    let second = rules.iter().any(is_second);
    let mut ids = BTreeSet::new();
    // By destination, since only rules to the same bucket contend.
    let mut priorities: BTreeSet<i32> = BTreeSet::new();
    for rule in rules.iter_mut() {
        if rule.id.as_ref().is_none_or(String::is_empty) {
            rule.id = Some(new_id());
        }
        let id = rule.id.clone().unwrap_or_default();
        if id.chars().count() > MAX_ID_CHARS {
            return Err(invalid_argument("The ID of a rule must not exceed 255 characters."));
        }
        if !ids.insert(id) {
            return Err(invalid_request("Rule Id must be unique"));
        }
        check_form(rule, second)?;
        if let Some(priority) = rule.priority.filter(|_| second)
            && !priorities.insert(priority)
        {
            return Err(invalid_request("Found duplicate priority. Priority must be unique"));
        }
        check_destination(rule)?;
        check_criteria(rule)?;
    }
    if !second {
        check_first(rules)?;
    }
    Ok(configuration)
}

/// The account of a role's ARN.
#[must_use]
pub fn account_of_role(role: &str) -> Option<&str> {
    let (account, resource) = role.strip_prefix("arn:aws:iam::")?.split_once(':')?;
    let twelve = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let named = resource.strip_prefix("role/").is_some_and(|name| !name.is_empty());
    (twelve && named).then_some(account)
}

fn check_role(role: &str) -> S3Result<()> {
    match account_of_role(role) {
        Some(_) => Ok(()),
        None => {
            Err(invalid_argument("Invalid Role ARN specified in the replication configuration"))
        }
    }
}

fn is_switch(text: &str) -> bool {
    matches!(text, "Enabled" | "Disabled")
}

/// All rules have the same form: that with filters, or that with prefixes alone.
fn check_form(rule: &dto::ReplicationRule, second: bool) -> S3Result<()> {
    if !is_switch(rule.status.as_str()) || prefix(rule).len() > MAX_PREFIX_BYTES {
        return Err(malformed_xml());
    }
    let existing = rule.existing_object_replication.as_ref();
    // Of it AWS knows the element's name alone: what is there already is copied by S3 Batch Replication.
    if existing.is_some_and(|existing| existing.status.as_str() != "Disabled") {
        return Err(malformed_xml());
    }
    if !second {
        return if rule.prefix.is_some() { Ok(()) } else { Err(malformed_xml()) };
    }
    let Some(filter) = rule.filter.as_ref().filter(|_| rule.prefix.is_none()) else {
        return Err(malformed_xml());
    };
    let named = [filter.and.is_some(), filter.prefix.is_some(), filter.tag.is_some()];
    if named.into_iter().filter(|named| *named).count() > 1 {
        return Err(malformed_xml());
    }
    if tags(rule).any(|tag| tag.key.as_ref().is_none_or(String::is_empty) || tag.value.is_none()) {
        return Err(malformed_xml());
    }
    let Some(marker) = &rule.delete_marker_replication else {
        return Err(invalid_request(format!("DeleteMarkerReplication must be specified {SCHEMA}")));
    };
    if !marker.status.as_ref().is_some_and(|status| is_switch(status.as_str())) {
        return Err(malformed_xml());
    }
    if rule.priority.is_none() {
        return Err(invalid_request(format!("Priority must be specified {SCHEMA}")));
    }
    if markers(rule) && tags(rule).next().is_some() {
        return Err(invalid_request(
            "Delete marker replication is not supported if any Tag filter is specified. Please \
             refer to S3 Developer Guide for more information.",
        ));
    }
    Ok(())
}

/// Rules of the first form share one destination, and none is about another's keys.
fn check_first(rules: &[dto::ReplicationRule]) -> S3Result<()> {
    let buckets: BTreeSet<_> = rules.iter().map(|rule| rule.destination.bucket.as_str()).collect();
    if buckets.len() > 1 {
        return Err(invalid_request("Number of distinct destination bucket ARNs cannot exceed 1"));
    }
    let prefixes: BTreeMap<&str, ()> = rules.iter().map(|rule| (prefix(rule), ())).collect();
    let mut sorted = prefixes.keys();
    let mut before = sorted.next();
    let overlapping = |one: &str, other: &str| {
        invalid_request(format!("Found overlapping prefixes '{one}' and '{other}'"))
    };
    if prefixes.len() < rules.len() {
        let one = before.copied().unwrap_or_default();
        return Err(overlapping(one, one));
    }
    for next in sorted {
        if let Some(one) = before.filter(|one| next.starts_with(**one)) {
            return Err(overlapping(one, next));
        }
        before = Some(next);
    }
    Ok(())
}

fn check_destination(rule: &dto::ReplicationRule) -> S3Result<()> {
    if destination(rule).is_none() {
        return Err(invalid_argument("Invalid bucket ARN."));
    }
    let to = &rule.destination;
    let account = to.account.as_deref();
    if account.is_some_and(|it| it.len() != 12 || !it.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(invalid_argument("Invalid account ID in the replication destination."));
    }
    let class = to.storage_class.as_ref().map(dto::StorageClass::as_str);
    if class.is_some_and(|class| !STORAGE_CLASSES.contains(&class)) {
        return Err(malformed_xml());
    }
    if let Some(translation) = &to.access_control_translation {
        if translation.owner.as_str() != dto::OwnerOverride::DESTINATION {
            return Err(malformed_xml());
        }
        if account.is_none() {
            return Err(invalid_request(
                "Account must be specified if AccessControlTranslation is present.",
            ));
        }
    }
    let minutes = |time: &dto::ReplicationTimeValue| time.minutes == Some(MINUTES);
    if let Some(time) = &to.replication_time {
        if !is_switch(time.status.as_str()) {
            return Err(malformed_xml());
        }
        if !minutes(&time.time) {
            return Err(invalid_argument("ReplicationTime: Minutes must be 15."));
        }
        let measured = to.metrics.as_ref().is_some_and(|one| one.status.as_str() == "Enabled");
        if time.status.as_str() == "Enabled" && !measured {
            return Err(invalid_request("Metrics must be enabled if ReplicationTime is enabled."));
        }
    }
    if let Some(metrics) = &to.metrics {
        if !is_switch(metrics.status.as_str()) {
            return Err(malformed_xml());
        }
        if metrics.event_threshold.as_ref().is_some_and(|threshold| !minutes(threshold)) {
            return Err(invalid_argument("Metrics: Minutes of the EventThreshold must be 15."));
        }
    }
    Ok(())
}

fn check_criteria(rule: &dto::ReplicationRule) -> S3Result<()> {
    let criteria = rule.source_selection_criteria.as_ref();
    let kms = criteria.and_then(|one| one.sse_kms_encrypted_objects.as_ref());
    let replicas = criteria.and_then(|one| one.replica_modifications.as_ref());
    let named = kms.map(|one| one.status.as_str());
    if !named.into_iter().chain(replicas.map(|one| one.status.as_str())).all(is_switch) {
        return Err(malformed_xml());
    }
    let encryption = rule.destination.encryption_configuration.as_ref();
    match (named, encryption) {
        (None, Some(_)) => Err(invalid_request(
            "SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present.",
        )),
        (Some("Enabled"), None) => Err(invalid_request(
            "EncryptionConfiguration must be specified if SseKmsEncryptedObjects is present.",
        )),
        (Some(_), Some(one)) if one.replica_kms_key_id.as_ref().is_none_or(String::is_empty) => {
            Err(malformed_xml())
        }
        (Some(_) | None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
