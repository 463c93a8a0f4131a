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
mod tests;
