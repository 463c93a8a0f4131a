//! What lifecycle rules make of a version, as a pure function of the rules, the version and the
//! time.

use crate::configuration::{Lifecycle, lifecycle::CLASSES};
use s3s::dto;
use std::collections::BTreeMap;

/// A day of the calendar, in milliseconds.
pub const DAY_MS: i64 = 86_400_000;
/// What is smaller isn't moved to another class, unless a rule says otherwise.
const MINIMUM_BYTES: u64 = 128 * 1024;

/// How long a day is: under test, some seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    pub day_ms: i64,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { day_ms: DAY_MS }
    }
}

impl Calendar {
    /// When so many days have passed: rounded up to midnight UTC, as S3 does. Days that were made
    /// short for a test aren't rounded.
    #[must_use]
    pub fn due(self, since_ms: i64, days: i32) -> i64 {
        let due = since_ms.saturating_add(i64::from(days).saturating_mul(self.day_ms));
        if self.day_ms == DAY_MS {
            due.div_euclid(DAY_MS).saturating_add(i64::from(due.rem_euclid(DAY_MS) > 0)) * DAY_MS
        } else {
            due
        }
    }
}

/// A version as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    pub key: &'a str,
    pub size_bytes: u64,
    pub tags: &'a BTreeMap<String, String>,
    pub storage_class: &'a str,
    pub created_ms: i64,
    pub state: State,
}

/// Where a version stands among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Current,
    /// The newest version is a delete marker.
    Marker {
        /// There is nothing else under the key.
        alone: bool,
    },
    Noncurrent {
        /// When the next version came.
        since_ms: i64,
        /// How many noncurrent versions are newer.
        newer: usize,
    },
}

/// What shall become of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    Keep,
    /// The current version expires: as a DELETE without a version would have it.
    Expire,
    /// The version or marker goes for good.
    Remove,
    /// It changes its storage class.
    Transition(&'a str),
}

fn date_ms(date: &dto::Timestamp) -> i64 {
    let nanos = time::OffsetDateTime::from(date.clone()).unix_timestamp_nanos();
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}

fn enabled(lifecycle: &Lifecycle) -> impl Iterator<Item = &dto::LifecycleRule> {
    lifecycle.rules.iter().filter(|rule| rule.status.as_str() == "Enabled")
}

/// The prefix that a rule is for.
#[must_use]
pub fn prefix(rule: &dto::LifecycleRule) -> &str {
    let of_filter = rule.filter.as_ref().and_then(|filter| match &filter.and {
        Some(and) => and.prefix.as_deref(),
        None => filter.prefix.as_deref(),
    });
    of_filter.or(rule.prefix.as_deref()).unwrap_or_default()
}

/// The prefixes of all keys that a rule is for, in order, none within another.
#[must_use]
pub fn prefixes(lifecycle: &Lifecycle) -> Vec<&str> {
    let mut all: Vec<_> = enabled(lifecycle).map(prefix).collect();
    all.sort_unstable();
    let mut kept: Vec<&str> = Vec::new();
    for prefix in all {
        if kept.last().is_none_or(|last| !prefix.starts_with(last)) {
            kept.push(prefix);
        }
    }
    kept
}

fn sizes(rule: &dto::LifecycleRule) -> (Option<i64>, Option<i64>) {
    let Some(filter) = &rule.filter else { return (None, None) };
    match &filter.and {
        Some(and) => (and.object_size_greater_than, and.object_size_less_than),
        None => (filter.object_size_greater_than, filter.object_size_less_than),
    }
}

fn selects(rule: &dto::LifecycleRule, version: &Version<'_>) -> bool {
    if !version.key.starts_with(prefix(rule)) {
        return false;
    }
    if matches!(version.state, State::Marker { .. }) {
        // A marker has neither size nor tags.
        return true;
    }
    let tagged = |tag: &dto::Tag| match (&tag.key, &tag.value) {
        (Some(key), Some(value)) => version.tags.get(key) == Some(value),
        _ => false,
    };
    let (greater, less) = sizes(rule);
    let size = i64::try_from(version.size_bytes).unwrap_or(i64::MAX);
    let filter = rule.filter.as_ref();
    let and = filter.and_then(|filter| filter.and.as_ref());
    filter.and_then(|filter| filter.tag.as_ref()).is_none_or(tagged)
        && and.and_then(|and| and.tags.as_ref()).is_none_or(|tags| tags.iter().all(tagged))
        && greater.is_none_or(|greater| size > greater)
        && less.is_none_or(|less| size < less)
}

/// When a rule lets the current version expire, if it does.
fn expires_ms(rule: &dto::LifecycleRule, created_ms: i64, calendar: Calendar) -> Option<i64> {
    let expiration = rule.expiration.as_ref()?;
    match (expiration.days, &expiration.date) {
        (Some(days), _) => Some(calendar.due(created_ms, days)),
        (None, Some(date)) => Some(date_ms(date)),
        (None, None) => None,
    }
}

/// What becomes of a version now. Removal wins over a change of class, the coldest class over the
/// others.
#[must_use]
pub fn fate<'a>(
    lifecycle: &'a Lifecycle,
    version: &Version<'_>,
    now_ms: i64,
    calendar: Calendar,
) -> Fate<'a> {
    let mut class: Option<&'a str> = None;
    for rule in enabled(lifecycle).filter(|rule| selects(rule, version)) {
        match version.state {
            State::Current => {
                if expires_ms(rule, version.created_ms, calendar).is_some_and(|due| due <= now_ms) {
                    return Fate::Expire;
                }
                for transition in rule.transitions.iter().flatten() {
                    let due = match (transition.days, &transition.date) {
                        (Some(days), _) => calendar.due(version.created_ms, days),
                        (None, Some(date)) => date_ms(date),
                        (None, None) => continue,
                    };
                    if due <= now_ms {
                        class = colder(
                            class,
                            transition.storage_class.as_ref(),
                            version,
                            rule,
                            lifecycle,
                        );
                    }
                }
            }
            State::Marker { alone } => {
                let Some(expiration) = &rule.expiration else { continue };
                let by_age = expires_ms(rule, version.created_ms, calendar);
                let swept = expiration.expired_object_delete_marker == Some(true)
                    || by_age.is_some_and(|due| due <= now_ms);
                if alone && swept {
                    return Fate::Remove;
                }
            }
            State::Noncurrent { since_ms, newer } => {
                let due = |days: Option<i32>, keep: Option<i32>| {
                    let kept = keep.and_then(|keep| usize::try_from(keep).ok()).unwrap_or(0);
                    days.is_some_and(|days| calendar.due(since_ms, days) <= now_ms) && newer >= kept
                };
                if let Some(expiration) = &rule.noncurrent_version_expiration
                    && due(expiration.noncurrent_days, expiration.newer_noncurrent_versions)
                {
                    return Fate::Remove;
                }
                for transition in rule.noncurrent_version_transitions.iter().flatten() {
                    if due(transition.noncurrent_days, transition.newer_noncurrent_versions) {
                        class = colder(
                            class,
                            transition.storage_class.as_ref(),
                            version,
                            rule,
                            lifecycle,
                        );
                    }
                }
            }
        }
    }
    class.map_or(Fate::Keep, Fate::Transition)
}

fn rank(class: &str) -> usize {
    CLASSES.iter().position(|name| *name == class).map_or(0, |at| at + 1)
}

fn colder<'a>(
    so_far: Option<&'a str>,
    class: Option<&'a dto::TransitionStorageClass>,
    version: &Version<'_>,
    rule: &dto::LifecycleRule,
    lifecycle: &Lifecycle,
) -> Option<&'a str> {
    let Some(class) = class.map(dto::TransitionStorageClass::as_str) else { return so_far };
    let archive = matches!(class, "GLACIER" | "DEEP_ARCHIVE");
    let any_size = sizes(rule) != (None, None)
        || (archive && lifecycle.minimum_size == "varies_by_storage_class");
    if version.size_bytes < MINIMUM_BYTES && !any_size {
        return so_far;
    }
    if rank(class) > rank(so_far.unwrap_or(version.storage_class)) { Some(class) } else { so_far }
}

/// When an object expires, and by which rule: the earliest; for `x-amz-expiration`.
#[must_use]
pub fn expiration<'a>(
    lifecycle: &'a Lifecycle,
    version: &Version<'_>,
    calendar: Calendar,
) -> Option<(i64, &'a str)> {
    enabled(lifecycle)
        .filter(|rule| version.state == State::Current && selects(rule, version))
        .filter_map(|rule| {
            let due = expires_ms(rule, version.created_ms, calendar)?;
            Some((due, rule.id.as_deref().unwrap_or_default()))
        })
        .min_by_key(|(due, _)| *due)
}

/// The header `x-amz-expiration`.
#[must_use]
pub fn expiration_header(
    lifecycle: &Lifecycle,
    version: &Version<'_>,
    calendar: Calendar,
) -> Option<String> {
    let (due, rule) = expiration(lifecycle, version, calendar)?;
    let date = crate::lifecycle::http_date(due);
    let rule = percent_encoding::utf8_percent_encode(rule, percent_encoding::NON_ALPHANUMERIC);
    let rule = rule.to_string().replace("%2D", "-").replace("%5F", "_").replace("%2E", ".");
    Some(format!("expiry-date=\"{date}\", rule-id=\"{rule}\""))
}

/// Whether an upload that was begun and not completed shall be aborted; and when, by which rule.
#[must_use]
pub fn abort<'a>(
    lifecycle: &'a Lifecycle,
    key: &str,
    begun_ms: i64,
    calendar: Calendar,
) -> Option<(i64, &'a str)> {
    enabled(lifecycle)
        .filter(|rule| key.starts_with(prefix(rule)))
        .filter_map(|rule| {
            let days = rule.abort_incomplete_multipart_upload.as_ref()?.days_after_initiation?;
            Some((calendar.due(begun_ms, days), rule.id.as_deref().unwrap_or_default()))
        })
        .min_by_key(|(due, _)| *due)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(rules: &str) -> Lifecycle {
        let rules: Vec<dto::LifecycleRule> = serde_json::from_str(rules).expect(rules);
        crate::configuration::lifecycle::take(rules, None, || "r".to_owned()).expect("valid")
    }

    fn at(text: &str) -> i64 {
        let format = &time::format_description::well_known::Rfc3339;
        let date = time::OffsetDateTime::parse(text, format).expect(text);
        date.unix_timestamp() * 1000
    }

    #[test]
    fn midnight() {
        let table = [
            // Created, days, due: the first is of S3's own documentation.
            ("2014-01-15T10:30:00Z", 3, "2014-01-19T00:00:00Z"),
            ("2014-01-15T00:00:00Z", 1, "2014-01-16T00:00:00Z"),
            ("2014-01-15T00:00:01Z", 1, "2014-01-17T00:00:00Z"),
            ("2014-01-15T23:59:59Z", 1, "2014-01-17T00:00:00Z"),
            ("2016-02-28T12:00:00Z", 1, "2016-03-01T00:00:00Z"),
            ("1969-12-30T12:00:00Z", 1, "1970-01-01T00:00:00Z"),
        ];
        for (created, days, due) in table {
            assert_eq!(Calendar::default().due(at(created), days), at(due), "{created} {days}");
        }
        assert_eq!(Calendar { day_ms: 10_000 }.due(1_234, 3), 31_234);
        assert_eq!(Calendar { day_ms: i64::MAX }.due(1, i32::MAX), i64::MAX);
    }

    /// Rules, state, key, size, days since creation or since noncurrent, fate.
    const CASES: &[(&str, &str, &str, u64, i64, &str)] = &[
        (
            r#"[{"status":"Enabled","prefix":"a/","expiration":{"days":5}}]"#,
            "current",
            "a/x",
            1,
            4,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"a/","expiration":{"days":5}}]"#,
            "current",
            "a/x",
            1,
            6,
            "Expire",
        ),
        (
            r#"[{"status":"Enabled","prefix":"a/","expiration":{"days":5}}]"#,
            "current",
            "b/x",
            1,
            6,
            "Keep",
        ),
        (
            r#"[{"status":"Disabled","prefix":"","expiration":{"days":5}}]"#,
            "current",
            "a",
            1,
            6,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
            "noncurrent",
            "a",
            1,
            6,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
            "marker",
            "a",
            1,
            6,
            "Remove",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
            "marker",
            "a",
            1,
            2,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
            "marker over",
            "a",
            1,
            6,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":true}}]"#,
            "marker",
            "a",
            1,
            0,
            "Remove",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":true}}]"#,
            "marker over",
            "a",
            1,
            0,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":false}}]"#,
            "marker",
            "a",
            1,
            9,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":true}}]"#,
            "current",
            "a",
            1,
            99,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","filter":{"tag":{"key":"t","value":"v"}},"expiration":{"days":1}}]"#,
            "current",
            "a",
            1,
            3,
            "Expire",
        ),
        (
            r#"[{"status":"Enabled","filter":{"tag":{"key":"t","value":"w"}},"expiration":{"days":1}}]"#,
            "current",
            "a",
            1,
            3,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","filter":{"object_size_greater_than":10},"expiration":{"days":1}}]"#,
            "current",
            "a",
            10,
            3,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","filter":{"object_size_greater_than":10},"expiration":{"days":1}}]"#,
            "current",
            "a",
            11,
            3,
            "Expire",
        ),
        (
            r#"[{"status":"Enabled","filter":{"object_size_less_than":10},"expiration":{"days":1}}]"#,
            "current",
            "a",
            10,
            3,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","filter":{"and":{"prefix":"a","tags":[{"key":"t","value":"v"}],"object_size_less_than":10}},"expiration":{"days":1}}]"#,
            "current",
            "ab",
            9,
            3,
            "Expire",
        ),
        (
            r#"[{"status":"Enabled","filter":{"and":{"prefix":"b","tags":[{"key":"t","value":"v"}],"object_size_less_than":10}},"expiration":{"days":1}}]"#,
            "current",
            "ab",
            9,
            3,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2}}]"#,
            "noncurrent",
            "a",
            1,
            3,
            "Remove",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2}}]"#,
            "noncurrent",
            "a",
            1,
            1,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2,"newer_noncurrent_versions":2}}]"#,
            "noncurrent",
            "a",
            1,
            9,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2,"newer_noncurrent_versions":1}}]"#,
            "noncurrent",
            "a",
            1,
            9,
            "Remove",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"},{"days":60,"storage_class":"GLACIER"}]}]"#,
            "current",
            "a",
            200_000,
            40,
            "STANDARD_IA",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"},{"days":60,"storage_class":"GLACIER"}]}]"#,
            "current",
            "a",
            200_000,
            70,
            "GLACIER",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"}]}]"#,
            "current",
            "a",
            1000,
            40,
            "Keep",
        ),
        (
            r#"[{"status":"Enabled","filter":{"object_size_greater_than":500},"transitions":[{"days":30,"storage_class":"STANDARD_IA"}]}]"#,
            "current",
            "a",
            1000,
            40,
            "STANDARD_IA",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"GLACIER"}],"expiration":{"days":31}}]"#,
            "current",
            "a",
            200_000,
            40,
            "Expire",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","noncurrent_version_transitions":[{"noncurrent_days":3,"storage_class":"GLACIER"}]}]"#,
            "noncurrent",
            "a",
            200_000,
            4,
            "GLACIER",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"date":"2020-01-01T00:00:00.000Z"}}]"#,
            "current",
            "a",
            1,
            0,
            "Expire",
        ),
        (
            r#"[{"status":"Enabled","prefix":"","expiration":{"date":"2099-01-01T00:00:00.000Z"}}]"#,
            "current",
            "a",
            1,
            0,
            "Keep",
        ),
    ];

    #[test]
    fn fates() {
        let tags = BTreeMap::from([("t".to_owned(), "v".to_owned())]);
        let since_ms = at("2026-03-01T08:00:00Z");
        for &(rules, state, key, size_bytes, days, expected) in CASES {
            let lifecycle = lifecycle(rules);
            let state = match state {
                "current" => State::Current,
                "marker" => State::Marker { alone: true },
                "marker over" => State::Marker { alone: false },
                _ => State::Noncurrent { since_ms, newer: 1 },
            };
            let version = Version {
                key,
                size_bytes,
                tags: &tags,
                storage_class: "STANDARD",
                created_ms: since_ms,
                state,
            };
            let now_ms = since_ms + days * DAY_MS;
            let fate = match fate(&lifecycle, &version, now_ms, Calendar::default()) {
                Fate::Keep => "Keep",
                Fate::Expire => "Expire",
                Fate::Remove => "Remove",
                Fate::Transition(class) => class,
            };
            assert_eq!(fate, expected, "{rules} {state:?} {key} {size_bytes} {days}");
        }
    }

    #[test]
    fn prefixes_cover_all_rules_once() {
        let rule = |prefix: &str, status: &str| {
            format!(r#"{{"status":"{status}","prefix":"{prefix}","expiration":{{"days":1}}}}"#)
        };
        let of = |rules: &[String]| {
            let mut number = 0;
            let rules = serde_json::from_str(&format!("[{}]", rules.join(","))).expect("rules");
            let new_id = || {
                number += 1;
                number.to_string()
            };
            crate::configuration::lifecycle::take(rules, None, new_id).expect("valid")
        };
        let on = "Enabled";
        let kept = of(&[rule("b/", on), rule("a", on), rule("a/x", on), rule("c", "Disabled")]);
        assert_eq!(prefixes(&kept), ["a", "b/"]);
        assert_eq!(prefixes(&of(&[rule("a", on), rule("", on)])), [""]);
    }

    #[test]
    fn the_header() {
        let lifecycle = lifecycle(
            r#"[{"id":"my rule-1","status":"Enabled","prefix":"","expiration":{"days":3}},
                {"id":"later","status":"Enabled","prefix":"","expiration":{"days":30}}]"#,
        );
        let version = Version {
            key: "k",
            size_bytes: 0,
            tags: &BTreeMap::new(),
            storage_class: "STANDARD",
            created_ms: at("2014-01-15T10:30:00Z"),
            state: State::Current,
        };
        assert_eq!(
            expiration_header(&lifecycle, &version, Calendar::default()).expect("expires"),
            "expiry-date=\"Sun, 19 Jan 2014 00:00:00 GMT\", rule-id=\"my%20rule-1\""
        );
    }

    #[test]
    fn uploads() {
        let lifecycle = lifecycle(
            r#"[{"status":"Enabled","prefix":"a","abort_incomplete_multipart_upload":{"days_after_initiation":2}}]"#,
        );
        let begun = at("2026-03-01T08:00:00Z");
        let due = abort(&lifecycle, "ab", begun, Calendar::default()).expect("matches").0;
        assert_eq!(due, at("2026-03-04T00:00:00Z"));
        assert!(abort(&lifecycle, "b", begun, Calendar::default()).is_none());
    }
}
