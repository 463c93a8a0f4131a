//! The circumstances of one request: condition keys and their values.

use std::borrow::Cow;

/// Condition keys with their values. Keys compare without regard to case; a key without any value
/// counts as absent, as AWS has it.
///
/// It is made for each request and holds some twenty keys, so it is a plain list: making it copies
/// nothing that is borrowed, and finding a key costs less than keeping an order would.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    entries: Vec<(Cow<'a, str>, Values<'a>)>,
}

/// How many keys a context has room for from the beginning.
const USUAL_KEYS: usize = 24;

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
        match self.entries.iter_mut().find(|entry| entry.0.eq_ignore_ascii_case(&key)) {
            Some(entry) => entry.1 = values,
            None => {
                if self.entries.is_empty() {
                    self.entries.reserve(USUAL_KEYS);
                }
                self.entries.push((key, values));
            }
        }
    }

    /// Every key with its values, in the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Cow<'a, str>])> {
        self.entries.iter().map(|(key, values)| {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values.as_slice(),
            };
            (&**key, values)
        })
    }

    fn find(&self, key: &str) -> Option<&Values<'a>> {
        let found = self.entries.iter().find(|entry| entry.0.eq_ignore_ascii_case(key));
        found.map(|entry| &entry.1)
    }

    /// A key's values; none where it is absent.
    pub(crate) fn values(&self, key: &str) -> &[Cow<'a, str>] {
        match self.find(key) {
            Some(Values::One(value)) => std::slice::from_ref(value),
            Some(Values::Many(values)) => values,
            None => &[],
        }
    }

    /// The value of a key that has one; none where it is absent or multivalued.
    pub(crate) fn single(&self, key: &str) -> Option<&str> {
        match self.find(key) {
            Some(Values::One(value)) => Some(value),
            Some(Values::Many(_)) | None => None,
        }
    }
}
