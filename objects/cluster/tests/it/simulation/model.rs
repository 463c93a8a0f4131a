//! What clients may see: each place is a register with a history of writes.
//!
//! Writes of a place follow each other, under its lock. An acknowledged one is in the past of all
//! that begins later; one with a fault may have happened or not, and once something after it was
//! seen, it may not appear any more.

use std::collections::BTreeMap;

/// One write of a place: its two records, by the sizes of their bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique; bodies and values are derived from it.
    pub write: u64,
    /// Which of the two records it leaves there; the other is removed.
    pub leaves: [bool; 2],
}

#[derive(Debug, Default)]
struct History {
    /// The first is the empty beginning.
    entries: Vec<Entry>,
    /// Everything before this entry is past.
    floor: usize,
}

#[derive(Debug, Default)]
pub struct Model {
    places: BTreeMap<u64, History>,
    writes: u64,
    pub acknowledged: u64,
    pub reads: u64,
}

const NOTHING: Entry = Entry { write: 0, leaves: [false, false] };

impl Model {
    fn history(&mut self, key: u64) -> &mut History {
        self.places.entry(key).or_insert_with(|| History { entries: vec![NOTHING], floor: 0 })
    }

    /// A write is about to be tried.
    pub fn begin(&mut self, key: u64, leaves: [bool; 2]) -> (Entry, usize) {
        self.writes += 1;
        let entry = Entry { write: self.writes, leaves };
        let history = self.history(key);
        history.entries.push(entry);
        (entry, history.entries.len() - 1)
    }

    pub fn acknowledge(&mut self, key: u64, at: usize) {
        self.acknowledged += 1;
        let history = self.history(key);
        assert!(at >= history.floor, "a later write of {key} was seen before this one");
        history.floor = at;
    }

    pub fn floor(&mut self, key: u64) -> usize {
        self.history(key).floor
    }

    pub fn keys(&self) -> Vec<u64> {
        self.places.keys().copied().collect()
    }

    /// A read that began when the floor was `floor` has found these writes in the place's records;
    /// `seen[n]` is none if that record wasn't looked at.
    pub fn saw(&mut self, key: u64, floor: usize, seen: [Option<Option<u64>>; 2]) {
        self.reads += 1;
        let history = self.history(key);
        let fits = |entry: &Entry| {
            (0..2).all(|n| match seen[n] {
                None => true,
                Some(write) => write == entry.leaves[n].then_some(entry.write),
            })
        };
        let at = (floor..history.entries.len()).find(|at| fits(&history.entries[*at]));
        let Some(at) = at else {
            panic!(
                "place {key}: saw {seen:?} after {floor}; its history is {:?}, its floor {}",
                history.entries, history.floor
            );
        };
        history.floor = history.floor.max(at);
    }
}
