//! Pages of lists.

use crate::errors;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shapes::Fault;

/// How many rows a page has at most.
const MOST: usize = 20;

/// A page, and where the next one begins.
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<String>,
}

/// Takes one page of rows that are in the order of their keys. The token carries the last key, so that rows
/// that come or go between two calls neither repeat nor hide others.
///
/// # Errors
/// The token isn't one of ours.
pub fn page<T>(
    rows: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    most: Option<i32>,
    token: Option<String>,
) -> Result<Page<T>, Fault> {
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST).clamp(1, MOST);
    let after = match token {
        None => None,
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok();
            let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let invalid = "You specified an invalid value for nextToken.";
            Some(key.ok_or_else(|| errors::invalid_input(invalid))?)
        }
    };
    let mut rest = rows.filter(|row| after.as_ref().is_none_or(|after| key(row) > *after));
    let rows: Vec<T> = rest.by_ref().take(most).collect();
    let more = rest.next().is_some();
    let next = rows.last().filter(|_| more).map(|row| URL_SAFE_NO_PAD.encode(key(row)));
    Ok(Page { rows, next })
}
