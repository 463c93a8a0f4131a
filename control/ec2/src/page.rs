//! Pages of Describe calls.

use crate::errors;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shapes::Fault;
use std::ops::RangeInclusive;

/// Takes one page of rows that are in the order of their keys.
///
/// Gives the page and the token of the next, if there is one. The token carries the last key, so
/// rows that come or go between two calls are neither repeated nor do they hide others.
///
/// # Errors
/// `MaxResults` is out of range, or the token isn't one of ours.
pub fn page<T>(
    rows: Vec<T>,
    key: impl Fn(&T) -> String,
    max_results: Option<i32>,
    range: RangeInclusive<i32>,
    next_token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Fault> {
    let limit = match max_results {
        None => usize::MAX,
        Some(max) if range.contains(&max) => usize::try_from(max).unwrap_or(usize::MAX),
        Some(max) => {
            let (low, high) = (range.start(), range.end());
            let why = format!("Expecting a value between {low} and {high}.");
            return Err(errors::invalid_value(max, "maxResults", why));
        }
    };
    let after = match next_token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| errors::invalid_next_token())?;
            Some(String::from_utf8(bytes).map_err(|_| errors::invalid_next_token())?)
        }
    };
    let mut rest = rows
        .into_iter()
        .filter(|row| after.as_ref().is_none_or(|after| key(row) > *after))
        .peekable();
    let mut taken = Vec::new();
    while taken.len() < limit {
        match rest.next() {
            Some(row) => taken.push(row),
            None => return Ok((taken, None)),
        }
    }
    let more = rest.peek().is_some();
    let token = taken.last().filter(|_| more).map(|row| URL_SAFE_NO_PAD.encode(key(row)));
    Ok((taken, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_rows_once() {
        let rows = (10..40).collect::<Vec<_>>();
        let (mut token, mut seen) = (None, Vec::new());
        loop {
            let (page, next) =
                page(rows.clone(), ToString::to_string, Some(7), 5..=1000, token.as_deref())
                    .unwrap();
            seen.extend(page);
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, rows);
        assert!(page(rows.clone(), ToString::to_string, Some(4), 5..=1000, None).is_err());
        assert!(page(rows, ToString::to_string, None, 5..=1000, Some("?")).is_err());
    }
}
