//! The circumstances of one request: condition keys and their values.

use std::borrow::Cow;

/// Condition keys with their values. Keys compare without regard to case; a key without any value
/// counts as absent, as AWS has it.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// By key, in lower case, sorted.
    entries: Vec<(Cow<'a, str>, Values<'a>)>,
}

#[derive(Debug, Clone)]
enum Values<'a> {
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Context<'a> {
    /// No keys at all.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Gives a key one value, in place of what it had. Values are text: numbers in decimal, dates in
    /// ISO 8601 or as seconds since 1970, `true` and `false`, addresses, ARNs, base64 for binary.
    pub fn set(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.put(key.into(), Values::One(value.into()));
    }

    /// Gives a multivalued key, such as `aws:TagKeys`, its values, in place of what it had.
    pub fn set_all<V: Into<Cow<'a, str>>>(
        &mut self,
        key: impl Into<Cow<'a, str>>,
        values: impl IntoIterator<Item = V>,
    ) {
        self.put(key.into(), Values::Many(values.into_iter().map(Into::into).collect()));
    }

    fn put(&mut self, key: Cow<'a, str>, values: Values<'a>) {
        let key = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(key.to_ascii_lowercase())
        } else {
            key
        };
        match self.entries.binary_search_by(|entry| entry.0.cmp(&key)) {
            Ok(at) => self.entries[at].1 = values,
            Err(at) => self.entries.insert(at, (key, values)),
        }
    }

    /// A key's values; none where it is absent. The key is in lower case.
    pub(crate) fn values(&self, key: &str) -> &[Cow<'a, str>] {
        match self.entries.binary_search_by(|entry| entry.0.as_ref().cmp(key)) {
            Ok(at) => match &self.entries[at].1 {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            },
            Err(_) => &[],
        }
    }

    /// A key's only value; none where it is absent or has several. The key is in lower case.
    pub(crate) fn single(&self, key: &str) -> Option<&str> {
        match self.values(key) {
            [value] => Some(value),
            _ => None,
        }
    }
}
