//! Lifecycle: rules that let objects expire, change their class and be cleaned up after, and the
//! task that applies them.

mod apply;
pub mod rules;

pub use apply::Report;

use crate::store::version::Object;
use rules::{State, Version};
use std::collections::BTreeMap;

/// A current object as rules see it.
pub(crate) fn seen<'a>(
    key: &'a str,
    modified_ms: u64,
    object: &'a Object,
    tags: &'a BTreeMap<String, String>,
) -> Version<'a> {
    Version {
        key,
        size_bytes: object.size,
        tags,
        storage_class: object.attributes.storage_class.as_deref().unwrap_or("STANDARD"),
        created_ms: i64::try_from(modified_ms).unwrap_or(i64::MAX),
        state: State::Current,
    }
}

/// A time as HTTP writes it.
#[must_use]
pub(crate) fn http_date(ms: i64) -> String {
    let date = types::Timestamp::from_millis(ms).to_date();
    let (year, month, day) = date.to_calendar_date();
    let (hour, minute, second) = date.to_hms();
    let weekday = date.weekday().to_string();
    let month = month.to_string();
    format!(
        "{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        weekday.get(..3).unwrap_or_default(),
        month.get(..3).unwrap_or_default(),
    )
}
