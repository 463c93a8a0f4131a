//! Which keys the cluster's last batches changed.

use crate::group::Position;
use bytes::Bytes;
use std::collections::VecDeque;

/// What an entry takes up beside its key, in bytes.
const ENTRY_BYTES: usize = 64;

/// Which keys the cluster's last batches changed, in the order of the log.
#[derive(Debug, Default)]
pub struct Recent {
    /// All batches from this sequence on are listed.
    floor: u64,
    entries: VecDeque<(u64, Bytes, Position)>,
    bytes: usize,
    limit_bytes: usize,
}

impl Recent {
    pub fn new(floor: u64, limit_bytes: usize) -> Self {
        Self { floor, limit_bytes, ..Self::default() }
    }

    /// A batch of a group that begins at `at` changed a key.
    pub fn push(&mut self, sequence: u64, key: &[u8], at: Position) {
        if sequence < self.floor {
            return;
        }
        self.bytes += ENTRY_BYTES + key.len();
        // A copy: the key is often a part of something much longer.
        self.entries.push_back((sequence, Bytes::copy_from_slice(key), at));
        while self.bytes > self.limit_bytes {
            let Some(dropped) = self.pop() else { break };
            self.floor = self.floor.max(dropped.saturating_add(1));
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let (sequence, key, _) = self.entries.pop_front()?;
        self.bytes -= ENTRY_BYTES + key.len();
        Some(sequence)
    }

    /// The keys of batches from a sequence on, if all are known.
    pub fn since(&self, sequence: u64) -> Option<Vec<Bytes>> {
        let listed = self.entries.iter().filter(|(at, ..)| *at >= sequence);
        (sequence >= self.floor).then(|| listed.map(|(_, key, _)| key.clone()).collect())
    }

    pub fn forget_before(&mut self, sequence: u64) {
        self.floor = self.floor.max(sequence);
        while self.entries.front().is_some_and(|(at, ..)| *at < self.floor) {
            self.pop();
        }
    }

    /// Something in the log can't be read: nothing so far can be told.
    pub fn forget_all(&mut self) {
        let last = self.entries.iter().map(|(at, ..)| *at).max();
        self.forget_before(last.map_or(self.floor, |last| last.saturating_add(1)));
        self.entries.clear();
        self.bytes = 0;
    }

    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Where the log is needed from; `end` if not at all.
    pub fn begin(&self, end: Position) -> Position {
        self.entries.front().map_or(end, |(.., at)| *at)
    }
}
