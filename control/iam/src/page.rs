//! Pages of lists: `Marker`, `MaxItems`, `IsTruncated`.

use crate::errors;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shapes::Fault;

/// How many items a page has that doesn't say.
const USUAL_ITEMS: i32 = 100;

/// Which page is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub marker: Option<String>,
    pub max_items: Option<i32>,
}

/// A page, and how to ask for the next.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    pub is_truncated: bool,
    /// Names the last item, so that items that come or go between two calls are neither repeated
    /// nor hide others.
    pub marker: Option<String>,
}

/// The page of items that is asked for, in the order of their keys, which must differ.
///
/// # Errors
/// `ValidationError`: the marker isn't one of ours.
pub(crate) fn page<T>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    asked: Asked,
) -> Result<Page<T>, Fault> {
    let limit = usize::try_from(asked.max_items.unwrap_or(USUAL_ITEMS)).unwrap_or(usize::MAX);
    let after = match asked.marker {
        None => None,
        Some(marker) => {
            let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| errors::invalid_marker())?;
            Some(String::from_utf8(bytes).map_err(|_| errors::invalid_marker())?)
        }
    };
    let keyed = items.into_iter().map(|item| (key(&item), item));
    let mut keyed =
        keyed.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).collect::<Vec<_>>();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let is_truncated = keyed.len() > limit;
    keyed.truncate(limit);
    let last = keyed.last().filter(|_| is_truncated);
    let marker = last.map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
    let items = keyed.into_iter().map(|(_, item)| item).collect();
    Ok(Page { items, is_truncated, marker })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_items_once_in_order() {
        let items = (10..40).rev().collect::<Vec<_>>();
        let (mut marker, mut seen) = (None, Vec::new());
        loop {
            let asked = Asked { marker, max_items: Some(7) };
            let page = page(items.clone(), ToString::to_string, asked).unwrap();
            seen.extend(page.items);
            assert_eq!(page.is_truncated, page.marker.is_some());
            match page.marker {
                Some(next) => marker = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (10..40).collect::<Vec<_>>());
        let asked = Asked { marker: Some("?".to_owned()), max_items: None };
        assert_eq!(page(items, ToString::to_string, asked).unwrap_err().code, "ValidationError");
    }
}
