//! Points in time as conditions write them.

/// Microseconds since 1970 of a date in the W3C's forms of ISO 8601 (`2026`, `2026-11`,
/// `2026-11-22`, `2026-11-22T10:00Z`, `2026-11-22T10:00:00.5+01:00`), or of a count of seconds.
pub(crate) fn parse(text: &str) -> Option<i128> {
    // Four digits are a year; any other whole number counts seconds.
    if text.len() != 4
        && let Ok(seconds) = text.parse::<i64>()
    {
        return Some(i128::from(seconds) * 1_000_000);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    let day = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    let valid = parts.next().is_none()
        && (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && (time.is_none() || date.len() == 10);
    let midnight = i128::from(days(year, month, day)) * 86_400_000_000;
    valid.then_some(())?;
    Some(midnight + time.map_or(Some(0), time_of_day)?)
}

/// Microseconds since midnight, zone taken into account.
fn time_of_day(text: &str) -> Option<i128> {
    let zone_at = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at(zone_at);
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, micros(fraction)?),
        None => (clock, 0),
    };
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |part| digits(part, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second - zone_seconds(zone)?;
    Some(i128::from(seconds) * 1_000_000 + i128::from(fraction))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let rest = zone.get(1..)?;
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 && rest.is_ascii() => rest.split_at(2),
        None => return None,
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

fn micros(fraction: &str) -> Option<i64> {
    let all = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| {
        let shown = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
        shown.fold(0, |value, byte| value * 10 + i64::from(byte - b'0'))
    })
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let ok = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if ok { text.parse().ok() } else { None }
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the Gregorian calendar, years counted from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn forms_of_a_date() {
        let second = 1_000_000;
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("0", Some(0)),
            ("-1", Some(-second)),
            ("1970", Some(0)),
            ("2000", Some(946_684_800 * second)),
            ("2000-02-29", Some(951_782_400 * second)),
            ("2026-11-22T16:56:04Z", Some(1_795_366_564 * second)),
            ("2026-11-22T17:56:04+01:00", Some(1_795_366_564 * second)),
            ("2026-11-22T17:56:04+0100", Some(1_795_366_564 * second)),
            ("2026-11-22T16:56Z", Some(1_795_366_560 * second)),
            ("1970-01-01T00:00:00.25Z", Some(250_000)),
            ("1795366564", Some(1_795_366_564 * second)),
            ("1999-02-29", None),
            ("2026-13-01", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T10:00:00", None),
            ("2026-11T10:00:00Z", None),
            ("2026-11-22T10Z", None),
            ("yesterday", None),
            ("", None),
            ("2026-11-22T10:00:00+\u{e9}1", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
