//! Lifecycle: rules that let objects expire, change their class and be cleaned up after, and the
//! task that applies them.

pub mod rules;

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
