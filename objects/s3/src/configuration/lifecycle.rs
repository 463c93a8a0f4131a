//! Lifecycle rules, checked as S3 checks them.

use super::{Lifecycle, MAX_RULES, invalid_argument, invalid_request, malformed_xml};
use s3s::{S3Result, dto};
use std::collections::BTreeSet;

/// The least age for the infrequent-access classes, in days.
const INFREQUENT_DAYS: i32 = 30;
/// Storage classes that a rule can move objects to, from the warmest to the coldest.
pub const CLASSES: [&str; 6] =
    ["STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"];
/// The default of `TransitionDefaultMinimumObjectSize`.
pub const MINIMUM_128K: &str = "all_storage_classes_128K";
const MINIMUM_VARIES: &str = "varies_by_storage_class";

/// Takes rules in; those without an ID get one from `new_id`.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidRequest`.
pub fn take(
    mut rules: Vec<dto::LifecycleRule>,
    minimum_size: Option<&str>,
    mut new_id: impl FnMut() -> String,
) -> S3Result<Lifecycle> {
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(malformed_xml());
    }
    let minimum_size = minimum_size.unwrap_or(MINIMUM_128K);
    if ![MINIMUM_128K, MINIMUM_VARIES].contains(&minimum_size) {
        return Err(invalid_request(
            "TransitionDefaultMinimumObjectSize must be one of varies_by_storage_class, \
             all_storage_classes_128K",
        ));
    }
    let mut ids = BTreeSet::new();
    for rule in &mut rules {
        check(rule)?;
        let id = match rule.id.take().filter(|id| !id.is_empty()) {
            Some(id) if id.chars().count() > 255 => {
                return Err(invalid_argument("ID length should not exceed allowed limit of 255"));
            }
            Some(id) => id,
            None => new_id(),
        };
        rule.id = Some(id.clone());
        if !ids.insert(id) {
            return Err(invalid_argument(
                "Rule ID must be unique. Found same ID for more than one rule",
            ));
        }
    }
    Ok(Lifecycle { rules, minimum_size: minimum_size.to_owned() })
}

fn check(rule: &dto::LifecycleRule) -> S3Result<()> {
    if !matches!(rule.status.as_str(), "Enabled" | "Disabled") {
        return Err(malformed_xml());
    }
    let filtered = match (&rule.filter, &rule.prefix) {
        (Some(filter), None) => check_filter(filter)?,
        (None, Some(_)) => Filtered::default(),
        (Some(_), Some(_)) | (None, None) => return Err(malformed_xml()),
    };
    let transitions = rule.transitions.as_deref().unwrap_or_default();
    let noncurrent = rule.noncurrent_version_transitions.as_deref().unwrap_or_default();
    let idle = rule.expiration.is_none()
        && rule.abort_incomplete_multipart_upload.is_none()
        && rule.noncurrent_version_expiration.is_none()
        && transitions.is_empty()
        && noncurrent.is_empty();
    if idle {
        return Err(invalid_request("At least one action needs to be specified in a rule"));
    }
    if let Some(abort) = &rule.abort_incomplete_multipart_upload {
        positive(abort.days_after_initiation, "AbortIncompleteMultipartUpload")?;
        if filtered.tags {
            return Err(invalid_request(
                "AbortIncompleteMultipartUpload cannot be specified with Tags.",
            ));
        }
        if filtered.sizes {
            return Err(invalid_request(
                "AbortIncompleteMultipartUpload cannot be specified with Object Size.",
            ));
        }
    }
    if let Some(expiration) = &rule.expiration {
        check_expiration(expiration, &filtered)?;
    }
    check_noncurrent(rule.noncurrent_version_expiration.as_ref(), noncurrent)?;
    check_transitions(transitions, rule.expiration.as_ref())
}

fn positive(days: Option<i32>, action: &str) -> S3Result<()> {
    match days {
        None => Err(malformed_xml()),
        Some(days) if days > 0 => Ok(()),
        Some(_) => {
            Err(invalid_argument(format!("'Days' for {action} action must be a positive integer")))
        }
    }
}

/// By what a filter selects, other than by prefix.
#[derive(Default)]
struct Filtered {
    tags: bool,
    sizes: bool,
}

fn check_filter(filter: &dto::LifecycleRuleFilter) -> S3Result<Filtered> {
    let greater = filter.object_size_greater_than;
    let less = filter.object_size_less_than;
    let given = usize::from(filter.prefix.is_some())
        + usize::from(filter.tag.is_some())
        + usize::from(greater.is_some())
        + usize::from(less.is_some())
        + usize::from(filter.and.is_some());
    if given > 1 {
        return Err(malformed_xml());
    }
    if let Some(and) = &filter.and {
        let tags = and.tags.as_deref().unwrap_or_default();
        let (greater, less) = (and.object_size_greater_than, and.object_size_less_than);
        let parts = usize::from(and.prefix.is_some())
            + tags.len()
            + usize::from(greater.is_some())
            + usize::from(less.is_some());
        if parts < 2 {
            return Err(malformed_xml());
        }
        let keys: BTreeSet<_> = tags.iter().map(|tag| tag.key.as_deref()).collect();
        if keys.len() < tags.len() {
            return Err(invalid_request("Duplicate Tag Keys are not allowed."));
        }
        tags.iter().try_for_each(check_tag)?;
        check_sizes(greater, less)?;
        let sizes = greater.is_some() || less.is_some();
        return Ok(Filtered { tags: !tags.is_empty(), sizes });
    }
    filter.tag.iter().try_for_each(check_tag)?;
    check_sizes(greater, less)?;
    Ok(Filtered { tags: filter.tag.is_some(), sizes: greater.is_some() || less.is_some() })
}

fn check_tag(tag: &dto::Tag) -> S3Result<()> {
    match (&tag.key, &tag.value) {
        (Some(key), Some(_)) if !key.is_empty() => Ok(()),
        _ => Err(malformed_xml()),
    }
}

fn check_sizes(greater: Option<i64>, less: Option<i64>) -> S3Result<()> {
    if greater.is_some_and(|size| size < 0) || less.is_some_and(|size| size < 1) {
        return Err(invalid_argument("'ObjectSize' should be a positive number"));
    }
    if greater.zip(less).is_some_and(|(greater, less)| greater.saturating_add(1) >= less) {
        return Err(invalid_request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'",
        ));
    }
    Ok(())
}

fn check_expiration(expiration: &dto::LifecycleExpiration, filtered: &Filtered) -> S3Result<()> {
    let marker = expiration.expired_object_delete_marker;
    match (expiration.days, &expiration.date, marker) {
        (days @ Some(_), None, None) => positive(days, "Expiration"),
        (None, Some(date), None) => midnight(date),
        (None, None, Some(_)) if filtered.tags => {
            Err(invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags."))
        }
        (None, None, Some(_)) => Ok(()),
        _ => Err(malformed_xml()),
    }
}

fn midnight(date: &dto::Timestamp) -> S3Result<()> {
    let date = time::OffsetDateTime::from(date.clone()).to_offset(time::UtcOffset::UTC);
    if date.time() == time::Time::MIDNIGHT {
        Ok(())
    } else {
        Err(invalid_argument("'Date' must be at midnight GMT"))
    }
}

fn check_noncurrent(
    expiration: Option<&dto::NoncurrentVersionExpiration>,
    transitions: &[dto::NoncurrentVersionTransition],
) -> S3Result<()> {
    if let Some(expiration) = expiration {
        positive(expiration.noncurrent_days, "NoncurrentVersionExpiration")?;
        newer(expiration.newer_noncurrent_versions)?;
    }
    let mut classes = BTreeSet::new();
    for transition in transitions {
        let class = class(transition.storage_class.as_ref(), &mut classes)?;
        let days = transition.noncurrent_days.ok_or_else(malformed_xml)?;
        least(days, class, "NoncurrentVersionTransition")?;
        newer(transition.newer_noncurrent_versions)?;
        let expires = expiration.and_then(|expiration| expiration.noncurrent_days);
        if expires.is_some_and(|expires| expires <= days) {
            return Err(invalid_argument(
                "'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than \
                 'NoncurrentDays' in the NoncurrentVersionTransition action",
            ));
        }
    }
    Ok(())
}

fn newer(versions: Option<i32>) -> S3Result<()> {
    if versions.is_some_and(|versions| !(1..=100).contains(&versions)) {
        return Err(invalid_argument(
            "'NewerNoncurrentVersions' must be a positive integer not greater than 100",
        ));
    }
    Ok(())
}

fn class<'a>(
    class: Option<&'a dto::TransitionStorageClass>,
    seen: &mut BTreeSet<&'a str>,
) -> S3Result<&'a str> {
    let class = class.ok_or_else(malformed_xml)?.as_str();
    if !CLASSES.contains(&class) {
        return Err(malformed_xml());
    }
    if !seen.insert(class) {
        return Err(invalid_request(format!(
            "'StorageClass' must be different for 'Transition' actions in same 'Rule' with prefix \
             ''. Found {class} more than once"
        )));
    }
    Ok(class)
}

fn least(days: i32, class: &str, action: &str) -> S3Result<()> {
    if days < 0 {
        return Err(invalid_argument(format!("'Days' in {action} action must be nonnegative")));
    }
    if matches!(class, "STANDARD_IA" | "ONEZONE_IA") && days < INFREQUENT_DAYS {
        return Err(invalid_argument(format!(
            "'Days' in {action} action must be greater than or equal to {INFREQUENT_DAYS} for \
             storageClass '{class}'"
        )));
    }
    Ok(())
}

fn check_transitions(
    transitions: &[dto::Transition],
    expiration: Option<&dto::LifecycleExpiration>,
) -> S3Result<()> {
    let mut classes = BTreeSet::new();
    let expires = expiration.and_then(|expiration| expiration.days);
    let dated = expiration.is_some_and(|expiration| expiration.date.is_some());
    for transition in transitions {
        let class = class(transition.storage_class.as_ref(), &mut classes)?;
        match (transition.days, &transition.date) {
            (Some(days), None) => {
                least(days, class, "Transition")?;
                if dated {
                    return Err(mixed());
                }
                if expires.is_some_and(|expires| expires <= days) {
                    return Err(invalid_argument(
                        "'Days' in the Expiration action for prefix '' must be greater than \
                         'Days' in the Transition action",
                    ));
                }
            }
            (None, Some(date)) => {
                midnight(date)?;
                if expires.is_some() {
                    return Err(mixed());
                }
            }
            (Some(_), Some(_)) | (None, None) => return Err(malformed_xml()),
        }
    }
    let by_days = transitions.iter().filter(|transition| transition.days.is_some()).count();
    if by_days == 0 || by_days == transitions.len() { Ok(()) } else { Err(mixed()) }
}

fn mixed() -> s3s::S3Error {
    invalid_request(
        "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule \
         for prefix ''",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> dto::LifecycleRule {
        serde_json::from_str(json).expect(json)
    }

    fn code(json: &str) -> Option<String> {
        let taken = take(vec![rule(json)], None, || "new".to_owned());
        taken.err().map(|fault| fault.code().as_str().to_owned())
    }

    /// Fields of a rule, and the error's code.
    const CASES: &[(&str, Option<&str>)] = &[
        (r#""prefix":"","expiration":{"days":1}"#, None),
        (r#""filter":{},"expiration":{"days":1}"#, None),
        (r#""filter":{"prefix":"a"},"expiration":{"date":"2030-01-01T00:00:00.000Z"}"#, None),
        (r#""filter":{"tag":{"key":"a","value":"b"}},"expiration":{"days":1}"#, None),
        (
            r#""prefix":"","noncurrent_version_expiration":{"noncurrent_days":1,"newer_noncurrent_versions":5}"#,
            None,
        ),
        (r#""prefix":"","abort_incomplete_multipart_upload":{"days_after_initiation":7}"#, None),
        (
            r#""prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"},{"days":60,"storage_class":"GLACIER"}],"expiration":{"days":61}"#,
            None,
        ),
        (r#""prefix":"","expiration":{"expired_object_delete_marker":true}"#, None),
        (r#""expiration":{"days":1}"#, Some("MalformedXML")),
        (r#""prefix":"","filter":{},"expiration":{"days":1}"#, Some("MalformedXML")),
        (r#""prefix":"","filter":null"#, Some("InvalidRequest")),
        (r#""prefix":"","expiration":{"days":0}"#, Some("InvalidArgument")),
        (
            r#""prefix":"","expiration":{"days":1,"expired_object_delete_marker":true}"#,
            Some("MalformedXML"),
        ),
        (
            r#""prefix":"","expiration":{"date":"2030-01-01T00:00:01.000Z"}"#,
            Some("InvalidArgument"),
        ),
        (
            r#""filter":{"prefix":"a","tag":{"key":"a","value":"b"}},"expiration":{"days":1}"#,
            Some("MalformedXML"),
        ),
        (r#""filter":{"and":{"prefix":"a"}},"expiration":{"days":1}"#, Some("MalformedXML")),
        (
            r#""filter":{"and":{"prefix":"a","object_size_greater_than":5,"object_size_less_than":6}},"expiration":{"days":1}"#,
            Some("InvalidRequest"),
        ),
        (
            r#""filter":{"tag":{"key":"a","value":"b"}},"abort_incomplete_multipart_upload":{"days_after_initiation":7}"#,
            Some("InvalidRequest"),
        ),
        (
            r#""prefix":"","transitions":[{"days":29,"storage_class":"STANDARD_IA"}]"#,
            Some("InvalidArgument"),
        ),
        (
            r#""prefix":"","transitions":[{"days":30,"storage_class":"LUKEWARM"}]"#,
            Some("MalformedXML"),
        ),
        (
            r#""prefix":"","transitions":[{"days":30,"storage_class":"GLACIER"}],"expiration":{"days":30}"#,
            Some("InvalidArgument"),
        ),
        (
            r#""prefix":"","transitions":[{"days":30,"storage_class":"GLACIER"}],"expiration":{"date":"2030-01-01T00:00:00.000Z"}"#,
            Some("InvalidRequest"),
        ),
        (
            r#""prefix":"","noncurrent_version_expiration":{"noncurrent_days":1,"newer_noncurrent_versions":101}"#,
            Some("InvalidArgument"),
        ),
        (
            r#""prefix":"","noncurrent_version_expiration":{"newer_noncurrent_versions":5}"#,
            Some("MalformedXML"),
        ),
    ];

    #[test]
    fn rules() {
        for &(fields, expected) in CASES {
            let json = format!(r#"{{"status":"Enabled",{fields}}}"#);
            assert_eq!(code(&json).as_deref(), expected, "{json}");
        }
        assert_eq!(
            code(r#"{"status":"enabled","prefix":"","expiration":{"days":1}}"#).as_deref(),
            Some("MalformedXML")
        );
    }

    #[test]
    fn ids() {
        let plain = || rule(r#"{"status":"Enabled","prefix":"","expiration":{"days":1}}"#);
        let mut named = plain();
        named.id = Some("a".to_owned());
        let twice = take(vec![named.clone(), named.clone()], None, || "x".to_owned());
        assert_eq!(twice.expect_err("same").code().as_str(), "InvalidArgument");
        let taken = take(vec![named, plain()], None, || "x".to_owned()).expect("valid");
        assert_eq!(taken.rules[1].id.as_deref(), Some("x"));
        let many = take(vec![plain(); 1001], None, || "x".to_owned());
        assert_eq!(many.expect_err("many").code().as_str(), "MalformedXML");
        assert!(take(vec![plain()], Some("any"), String::new).is_err());
    }
}
