//! The filters of Describe calls: values of one filter are alternatives, filters all must hold.
//!
//! Values may have `*` (any characters) and `?` (one character); a backslash takes their meaning.

use crate::errors;
use shapes::{Fault, ec2::Filter};
use std::fmt::Display;
use types::Tags;

/// AWS's limit of values in one call's filters.
const MAX_VALUES: usize = 200;

/// The filters of one call, their names checked.
#[derive(Debug, Default)]
pub struct Filters(Vec<(String, Vec<String>)>);

/// One filter's values, to hold against a resource's.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a>(&'a [String]);

impl Wanted<'_> {
    /// Whether this text is wanted.
    #[must_use]
    pub fn is(&self, value: impl Display) -> bool {
        let value = value.to_string();
        self.0.iter().any(|pattern| like(pattern, &value))
    }

    /// Whether one of these texts is wanted.
    pub fn any<T: Display>(&self, values: impl IntoIterator<Item = T>) -> bool {
        values.into_iter().any(|value| self.is(value))
    }
}

impl Filters {
    /// Reads a call's filters. `names` are the resource's own, to which `tag:KEY`, `tag-key` and
    /// `tag-value` are added.
    ///
    /// # Errors
    /// A name is unknown or missing, or there are too many values.
    pub fn new(filters: Option<Vec<Filter>>, names: &[&str]) -> Result<Self, Fault> {
        let mut read = Vec::new();
        let mut count = 0;
        for Filter { name, values } in filters.unwrap_or_default() {
            let name = name.ok_or_else(|| errors::missing("Filter.Name"))?;
            let values = values.unwrap_or_default();
            let tag = name.starts_with("tag:") || name == "tag-key" || name == "tag-value";
            if !tag && !names.contains(&name.as_str()) {
                return Err(errors::unknown_filter(name));
            }
            count += values.len();
            if count > MAX_VALUES {
                return Err(Fault::sender(
                    "FilterLimitExceeded",
                    format!(
                        "The maximum number of filter values specified on a single call is {MAX_VALUES}"
                    ),
                ));
            }
            read.push((name, values));
        }
        Ok(Self(read))
    }

    /// Whether no filter is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a resource passes: `holds` says for each of its own filter names whether the
    /// resource has a wanted value.
    pub fn accept(&self, tags: &Tags, mut holds: impl FnMut(&str, Wanted<'_>) -> bool) -> bool {
        self.0.iter().all(|(name, values)| {
            let wanted = Wanted(values);
            match (name.strip_prefix("tag:"), name.as_str()) {
                (Some(key), _) => tags.get(key).is_some_and(|value| wanted.is(value)),
                (None, "tag-key") => wanted.any(tags.keys()),
                (None, "tag-value") => wanted.any(tags.values()),
                (None, name) => holds(name, wanted),
            }
        })
    }
}

/// Whether a text is like a pattern, in time linear in their lengths' product.
fn like(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?', '\\']) {
        return pattern == text;
    }
    enum Token {
        Any,
        One,
        Char(char),
    }
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    let text = text.chars().collect::<Vec<_>>();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match tokens.get(p) {
            Some(Token::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Token::One) => (p, t) = (p + 1, t + 1),
            Some(Token::Char(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            Some(Token::Char(_)) | None => match star {
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    (p, t) = (star_p + 1, star_t + 1);
                }
                None => return false,
            },
        }
    }
    tokens[p..].iter().all(|token| matches!(token, Token::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("fogbank-tiny-*", "fogbank-tiny-12", true),
            ("*", "", true),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        let filter =
            Filter { name: Some("colour".to_owned()), values: Some(vec!["red".to_owned()]) };
        let fault = Filters::new(Some(vec![filter]), &["vpc-id"]).unwrap_err();
        assert_eq!(fault.message, "The filter 'colour' is invalid");
    }
}
