//! Timestamps as the protocols write them.

use std::fmt::Write;

use shapes::TimestampFormat;
use types::Timestamp;

const DAY_MS: i64 = 86_400_000;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Whether ISO 8601 times carry milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Millis {
    /// `…:00.000Z`
    Always,
    /// `…:00Z`, and `…:00.123Z` where there are any.
    IfAny,
}

/// Writes a time in one of the model's formats.
pub fn write(out: &mut String, time: Timestamp, format: TimestampFormat, millis: Millis) {
    let ms = time.millis();
    // Writing to a String cannot fail.
    let _ = match format {
        TimestampFormat::Iso8601 => write_iso8601(out, ms, millis),
        TimestampFormat::Unix => write_unix(out, ms),
        TimestampFormat::Http => write_http(out, ms),
    };
}

fn write_iso8601(out: &mut String, ms: i64, millis: Millis) -> std::fmt::Result {
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let (hour, minute, second, fraction) = clock(ms);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    if fraction != 0 || millis == Millis::Always {
        write!(out, ".{fraction:03}")?;
    }
    out.write_char('Z')
}

fn write_unix(out: &mut String, ms: i64) -> std::fmt::Result {
    let sign = if ms < 0 { "-" } else { "" };
    let (seconds, fraction) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    write!(out, "{sign}{seconds}")?;
    if fraction == 0 { Ok(()) } else { write!(out, ".{fraction:03}") }
}

fn write_http(out: &mut String, ms: i64) -> std::fmt::Result {
    let days = ms.div_euclid(DAY_MS);
    let (year, month, day) = civil(days);
    let (hour, minute, second, _) = clock(ms);
    let weekday = name(&DAYS, days.rem_euclid(7));
    let month = name(&MONTHS, month - 1);
    write!(out, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn name(names: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("")
}

/// Hour, minute, second and millisecond of the day.
fn clock(ms: i64) -> (i64, i64, i64, i64) {
    let ms = ms.rem_euclid(DAY_MS);
    (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// Year, month and day of a day counted from the epoch, after Howard Hinnant's `civil_from_days`:
/// years begin in March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of `civil`, for a day that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let of_era = shifted_year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Reads a time in any of the formats, whichever the model says: clients differ.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    parse_iso8601(text)
        .or_else(|| parse_unix(text))
        .or_else(|| parse_http(text))
        .map(Timestamp::from_millis)
}

/// `20150830T123600Z`, as signatures have it.
pub(crate) fn basic(time: Timestamp) -> String {
    let mut text = String::new();
    let seconds = Timestamp::from_millis(time.millis().div_euclid(1000) * 1000);
    write(&mut text, seconds, TimestampFormat::Iso8601, Millis::IfAny);
    text.retain(|c| c != '-' && c != ':');
    text
}

/// Reads what `basic` writes.
pub(crate) fn parse_basic(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(8)?;
    let time = rest.strip_prefix('T')?.strip_suffix('Z')?;
    if time.len() != 6 {
        return None;
    }
    let (year, month, day) =
        (number(date.get(..4)?)?, number(date.get(4..6)?)?, number(date.get(6..)?)?);
    let ms = of_day(time.get(..2)?, time.get(2..4)?, time.get(4..)?)?;
    Some(Timestamp::from_millis(days(year, month, day)? * DAY_MS + ms))
}

fn parse_iso8601(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00Z"));
    let mut date = date.split('-');
    let day = days(number(date.next()?)?, number(date.next()?)?, number(date.next()?)?)?;
    if date.next().is_some() {
        return None;
    }
    let (time, offset_ms) = match time.find(['Z', 'z', '+', '-']) {
        None => (time, 0),
        Some(at) => (time.get(..at)?, offset(time.get(at..)?)?),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let ms = of_day(time.next()?, time.next()?, time.next().unwrap_or("0"))?;
    if time.next().is_some() {
        return None;
    }
    Some(day * DAY_MS + ms + thousandths(fraction)? - offset_ms)
}

fn parse_unix(text: &str) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let ms = number(seconds)? * 1000 + thousandths(fraction)?;
    Some(if negative { -ms } else { ms })
}

fn parse_http(text: &str) -> Option<i64> {
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let day = number(parts.next()?)?;
    let month = parts.next()?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year = number(parts.next()?)?;
    let mut time = parts.next()?.split(':');
    let ms = of_day(time.next()?, time.next()?, time.next()?)?;
    Some(days(year, month, day)? * DAY_MS + ms)
}

/// `Z`, `+01:00`, `-0130`.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(0),
        b'+' => 1,
        _ => -1,
    };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes)? };
    Some(sign * (number(hours)? * 60 + minutes) * 60_000)
}

fn of_day(hour: &str, minute: &str, second: &str) -> Option<i64> {
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    // 60 is a leap second.
    let exists = hour < 24 && minute < 60 && second <= 60;
    exists.then_some(((hour * 60 + minute) * 60 + second) * 1000)
}

/// Up to 12 digits, so that no arithmetic on the result overflows.
fn number(text: &str) -> Option<i64> {
    let plain = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number(&format!("{fraction:0<3}")[..3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ms: i64, format: TimestampFormat, millis: Millis) -> String {
        let mut out = String::new();
        write(&mut out, Timestamp::from_millis(ms), format, millis);
        out
    }

    #[test]
    fn times_are_written_in_each_format() {
        let ms = 1_398_796_238_000;
        assert_eq!(
            written(ms, TimestampFormat::Iso8601, Millis::Always),
            "2014-04-29T18:30:38.000Z"
        );
        assert_eq!(written(ms, TimestampFormat::Iso8601, Millis::IfAny), "2014-04-29T18:30:38Z");
        assert_eq!(written(ms + 5, TimestampFormat::Unix, Millis::IfAny), "1398796238.005");
        assert_eq!(
            written(ms, TimestampFormat::Http, Millis::IfAny),
            "Tue, 29 Apr 2014 18:30:38 GMT"
        );
        assert_eq!(
            written(-1, TimestampFormat::Iso8601, Millis::IfAny),
            "1969-12-31T23:59:59.999Z"
        );
        assert_eq!(written(-1, TimestampFormat::Unix, Millis::IfAny), "-0.001");
    }

    #[test]
    fn every_day_reads_back() {
        for day in (-700_000..2_900_000).step_by(37) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        let ms = 951_782_400_123;
        assert_eq!(
            written(ms, TimestampFormat::Iso8601, Millis::Always),
            "2000-02-29T00:00:00.123Z"
        );
    }

    #[test]
    fn times_are_read_in_each_format() {
        for text in [
            "2019-12-16T23:48:18Z",
            "2019-12-16T22:48:18-01:00",
            "2019-12-17T00:48:18.000+0100",
            "1576540098",
            "1576540098.0",
            "Mon, 16 Dec 2019 23:48:18 GMT",
        ] {
            assert_eq!(parse(text), Some(Timestamp::from_millis(1_576_540_098_000)), "{text}");
        }
        assert_eq!(parse_basic("20191216T234818Z"), parse("1576540098"));
        for text in
            ["", "yesterday", "2019-02-29T00:00:00Z", "2019-01-01T24:00:00Z", "2019-1", "١٢"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in ["20191216", "20191216T2348Z", "2019é1216T234818Z", "20191316T234818Z"] {
            assert_eq!(parse_basic(text), None, "{text}");
        }
    }
}
