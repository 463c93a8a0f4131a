//! Pages of lists.

use crate::{check, errors};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use shapes::Fault;

/// A page, and where the next one begins.
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// Whether there is more, as answers say it.
    pub(crate) fn truncated(&self) -> Option<bool> {
        Some(self.next.is_some())
    }
}

/// Takes one page of rows that are in the order of their keys. The marker carries the last key, so
/// that rows that come or go between two calls are neither repeated nor do they hide others.
///
/// # Errors
/// The limit is out of range, or the marker isn't one of ours.
pub(crate) fn page<T>(
    rows: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    limit: Option<i32>,
    usual: usize,
    marker: Option<&str>,
) -> Result<Page<T>, Fault> {
    let limit = match limit {
        None => usual,
        Some(limit) => {
            check::number("limit", limit, 1..=1000)?;
            usize::try_from(limit).unwrap_or(usual)
        }
    };
    let after = match marker {
        None => None,
        Some(marker) => {
            let bytes = STANDARD.decode(marker).map_err(|_| errors::invalid_marker())?;
            Some(String::from_utf8(bytes).map_err(|_| errors::invalid_marker())?)
        }
    };
    let mut rest = rows.filter(|row| after.as_ref().is_none_or(|after| key(row) > *after));
    let rows: Vec<T> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let next = rows.last().filter(|_| more).map(|row| STANDARD.encode(key(row)));
    Ok(Page { rows, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_rows_once() {
        let (mut marker, mut seen) = (None, Vec::<i32>::new());
        loop {
            let page = page(10..40, ToString::to_string, Some(7), 100, marker.as_deref()).unwrap();
            seen.extend(&page.rows);
            match page.next {
                Some(next) => marker = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (10..40).collect::<Vec<_>>());
        for (limit, marker) in [(0, None), (1001, None), (1, Some("?")), (1, Some("//8="))] {
            assert!(page(10..40, ToString::to_string, Some(limit), 100, marker).is_err());
        }
    }
}
