//! Points in time, in milliseconds.

use serde::{Deserialize, Serialize};
use std::fmt;
use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::well_known::{Iso8601, Rfc3339},
};

/// Milliseconds since 1970-01-01T00:00:00Z; shown as `2026-11-22T13:37:00.000Z`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The text is not an ISO 8601 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseTimestampError;

/// The last millisecond of the year 9999, the end of what ISO 8601 writes in four digits.
const MAX_MS: i64 = 253_402_300_799_999;
/// The first millisecond of the year 1.
const MIN_MS: i64 = -62_135_596_800_000;

impl Timestamp {
    /// The time this many milliseconds after the epoch, kept within the years 1 to 9999.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis > MAX_MS {
            MAX_MS
        } else if millis < MIN_MS {
            MIN_MS
        } else {
            millis
        })
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This time and so many milliseconds.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The calendar time.
    #[must_use]
    pub fn to_date(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Reads an ISO 8601 time; one without an offset is UTC.
    ///
    /// # Errors
    /// The text is no such time.
    pub fn parse(text: &str) -> Result<Self, ParseTimestampError> {
        let date = OffsetDateTime::parse(text, &Rfc3339)
            .or_else(|_| OffsetDateTime::parse(text, &Iso8601::DEFAULT))
            .or_else(|_| {
                PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc)
            })
            .or_else(|_| {
                time::Date::parse(text, &Iso8601::DATE).map(|date| date.midnight().assume_utc())
            })
            .map_err(|_| ParseTimestampError)?;
        i64::try_from(date.unix_timestamp_nanos().div_euclid(1_000_000))
            .map(Self::from_millis)
            .map_err(|_| ParseTimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.to_date();
        let (year, month, day) = date.to_calendar_date();
        let (hour, minute, second, ms) = date.to_hms_milli();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_8601() {
        let time = Timestamp::from_millis(1_576_540_098_123);
        assert_eq!(time.to_string(), "2019-12-16T23:48:18.123Z");
        assert_eq!(Timestamp::parse("2019-12-16T23:48:18.123Z"), Ok(time));
        let offset = Timestamp::parse("2019-12-16T22:48:18-01:00").unwrap();
        assert_eq!(offset.to_string(), "2019-12-16T23:48:18.000Z");
        assert_eq!(Timestamp::parse("2019-12-16").unwrap().millis(), 1_576_454_400_000);
        for bad in ["", "now", "2019-13-01", "99999999999999999999"] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }
}
