//! Tags of IAM's resources. Their keys are the same whatever the case, and keep the one given.

use crate::{
    errors,
    page::{Asked, Page, page},
};
use shapes::{Fault, iam::Tag};
use types::Tags;

/// How many tags a resource may have.
const MAX_TAGS: usize = 50;

/// The tags of a new resource.
///
/// # Errors
/// Keys that are reserved or come twice, too many tags.
pub(crate) fn new(given: Option<Vec<Tag>>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    add(&mut tags, given)?;
    Ok(tags)
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// As of [`new`].
pub(crate) fn add(tags: &mut Tags, given: Option<Vec<Tag>>) -> Result<(), Fault> {
    let given = given.unwrap_or_default().into_iter();
    let given =
        given.map(|Tag { key, value }| (key.unwrap_or_default(), value.unwrap_or_default()));
    let given = given.collect::<Vec<_>>();
    let mut keys = given.iter().map(|(key, _)| key.to_lowercase()).collect::<Vec<_>>();
    if keys.iter().any(|key| key.starts_with("aws:")) {
        return Err(errors::reserved_tag());
    }
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(errors::duplicate_tags());
    }
    for (key, value) in given {
        tags.retain(|other, _| other.to_lowercase() != key.to_lowercase());
        tags.insert(key, value);
    }
    if tags.len() > MAX_TAGS { Err(errors::too_many_tags()) } else { Ok(()) }
}

/// Removes the tags with these keys.
pub(crate) fn remove(tags: &mut Tags, keys: Option<Vec<String>>) {
    for key in keys.unwrap_or_default() {
        tags.retain(|other, _| other.to_lowercase() != key.to_lowercase());
    }
}

/// A page of tags.
///
/// # Errors
/// The marker is invalid.
pub(crate) fn list(tags: &Tags, asked: Asked) -> Result<Page<Tag>, Fault> {
    page(to_api(tags).unwrap_or_default(), |tag| tag.key.clone().unwrap_or_default(), asked)
}

/// The tags as answers carry them; none if there are none.
pub(crate) fn to_api(tags: &Tags) -> Option<Vec<Tag>> {
    let tags = tags.iter();
    let tags = tags.map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) });
    Some(tags.collect::<Vec<_>>()).filter(|tags| !tags.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
    }

    #[test]
    fn keys_are_the_same_whatever_the_case() {
        let mut tags = new(Some(vec![tag("Team", "a"), tag("x", "")])).unwrap();
        add(&mut tags, Some(vec![tag("team", "b")])).unwrap();
        assert_eq!(to_api(&tags), Some(vec![tag("team", "b"), tag("x", "")]));
        remove(&mut tags, Some(vec!["TEAM".to_owned(), "other".to_owned()]));
        assert_eq!(tags.len(), 1);
        let twice = add(&mut tags, Some(vec![tag("a", ""), tag("A", "")]));
        assert_eq!(twice.unwrap_err().code, "InvalidInput");
        assert_eq!(add(&mut tags, Some(vec![tag("AWS:a", "")])).unwrap_err().code, "InvalidInput");
        let many = (0..50).map(|at| tag(&at.to_string(), "")).collect();
        assert_eq!(add(&mut tags, Some(many)).unwrap_err().code, "LimitExceeded");
    }
}
