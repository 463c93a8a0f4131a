//! What a card shall have of one kind of thing, and what it has said that it has.

use std::{collections::BTreeMap, fmt::Display};

/// How an object stands with its card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The card has it as it is wanted.
    Done,
    /// Not yet.
    Waiting,
    /// The card could not.
    Failed(String),
}

/// One kind of thing. At most one change is under way at a time.
#[derive(Debug)]
pub struct Table<Key, Value> {
    wanted: BTreeMap<Key, Value>,
    /// What the card has.
    acked: BTreeMap<Key, Value>,
    /// What it was sent and has not answered; none = to be removed.
    sent: BTreeMap<Key, Option<Value>>,
    /// What it could not do; not repeated until it differs or [`Table::retry`].
    failed: BTreeMap<Key, (Value, String)>,
}

/// What the card is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes<Key, Value> {
    /// New, or different.
    pub put: Vec<Value>,
    /// Gone; with what the card had.
    pub remove: Vec<(Key, Value)>,
}

impl<Key, Value> Default for Table<Key, Value> {
    fn default() -> Self {
        Self {
            wanted: BTreeMap::new(),
            acked: BTreeMap::new(),
            sent: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }
}

impl<Key: Ord + Copy + Display, Value: Clone + PartialEq> Table<Key, Value> {
    /// Says what is wanted from now on.
    pub fn want(&mut self, wanted: BTreeMap<Key, Value>) {
        self.wanted = wanted;
        self.failed.retain(|key, (value, _)| self.wanted.get(key) == Some(value));
    }

    /// What the card has under a key.
    pub fn acked(&self, key: Key) -> Option<&Value> {
        self.acked.get(&key)
    }

    /// Whether the card has or may be making something under a key.
    pub fn touches(&self, key: Key, matches: impl Fn(&Value) -> bool) -> bool {
        let sent = self.sent.get(&key).and_then(Option::as_ref);
        self.acked.get(&key).is_some_and(&matches) || sent.is_some_and(matches)
    }

    /// How an object stands.
    pub fn standing(&self, key: Key) -> Standing {
        let wanted = self.wanted.get(&key);
        match self.failed.get(&key) {
            Some((_, reason)) => Standing::Failed(reason.clone()),
            None if wanted.is_some() && self.acked.get(&key) == wanted => Standing::Done,
            None => Standing::Waiting,
        }
    }

    /// Takes what is to be sent now; [`Table::answer`] or [`Table::lost`] must follow.
    pub fn take(&mut self) -> Changes<Key, Value> {
        let mut changes = Changes { put: Vec::new(), remove: Vec::new() };
        for (key, value) in &self.wanted {
            if self.acked.get(key) != Some(value) && !self.failed.contains_key(key) {
                changes.put.push(value.clone());
                self.sent.insert(*key, Some(value.clone()));
            }
        }
        for (key, value) in &self.acked {
            if !self.wanted.contains_key(key) {
                changes.remove.push((*key, value.clone()));
                self.sent.insert(*key, None);
            }
        }
        changes
    }

    /// The card answered; `why` gives the reason of what failed. What was done is returned.
    pub fn answer(&mut self, why: impl Fn(Key) -> Option<String>) -> Vec<Key> {
        let sent = std::mem::take(&mut self.sent);
        let mut touched = Vec::with_capacity(sent.len());
        for (key, value) in sent {
            touched.push(key);
            match (value, why(key)) {
                (Some(value), Some(reason)) => {
                    log::warn!("{key}: {reason}");
                    if self.wanted.get(&key) == Some(&value) {
                        self.failed.insert(key, (value, reason));
                    }
                }
                (Some(value), None) => {
                    self.failed.remove(&key);
                    self.acked.insert(key, value);
                }
                (None, reason) => {
                    self.acked.remove(&key);
                    if let Some(reason) = reason {
                        log::warn!("{key}: cannot be removed: {reason}");
                    }
                }
            }
        }
        touched
    }

    /// The card is gone, and with it all that it had.
    pub fn lost(&mut self) {
        self.acked.clear();
        self.sent.clear();
        self.failed.clear();
    }

    /// Has what failed tried again; whether there is any.
    pub fn retry(&mut self) -> bool {
        let any = !self.failed.is_empty();
        self.failed.clear();
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(wanted: &[(u8, char)]) -> Table<u8, char> {
        let mut table = Table::default();
        table.want(wanted.iter().copied().collect());
        table
    }

    #[test]
    fn changes_are_sent_once() {
        let mut table = table(&[(1, 'a'), (2, 'b')]);
        assert_eq!(table.take(), Changes { put: vec!['a', 'b'], remove: vec![] });
        assert_eq!(table.standing(1), Standing::Waiting);
        table.answer(|key| (key == 2).then(|| "no".to_owned()));
        assert_eq!(table.standing(1), Standing::Done);
        assert_eq!(table.standing(2), Standing::Failed("no".to_owned()));
        assert_eq!(table.take(), Changes { put: vec![], remove: vec![] });

        table.want([(2, 'c')].into());
        assert_eq!(table.take(), Changes { put: vec!['c'], remove: vec![(1, 'a')] });
        table.answer(|_| None);
        assert_eq!(table.acked(1), None);
        assert_eq!(table.standing(2), Standing::Done);
        table.lost();
        assert_eq!(table.take(), Changes { put: vec!['c'], remove: vec![] });
    }

    #[test]
    fn failures_wait_for_a_retry() {
        let mut table = table(&[(1, 'a')]);
        table.take();
        table.answer(|_| Some("no".to_owned()));
        assert_eq!(table.take().put, []);
        assert!(table.retry());
        assert_eq!(table.take().put, ['a']);
    }
}
