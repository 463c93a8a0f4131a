//! What a node should hold.

use super::{bytes, content, id};
use crate::{Batch, BlobId, Change, Scan, disk::Dice, store::Store};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: u64 = 24;

/// Records and blobs by the seeds of their bytes and their lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub records: BTreeMap<Bytes, Bytes>,
    pub blobs: BTreeMap<BlobId, (u64, usize)>,
}

/// What was acknowledged, and what is on its way.
#[derive(Debug, Default)]
pub struct Model {
    pub now: Contents,
    /// As it would be if the group under way were acknowledged.
    pub next: Option<Contents>,
    /// Blobs in files that no batch has adopted.
    pub pending: BTreeMap<BlobId, (u64, usize)>,
    /// Which batches changed which keys, acknowledged since `floor`.
    pub changed: Vec<(u64, Bytes)>,
    pub floor: u64,
    pub sequence: u64,
    pub names: u64,
}

fn key(dice: &mut Dice) -> Bytes {
    let number = dice.roll(KEYS);
    // Some are longer than a sector, and longer than S3's longest.
    let len = [3, 40, 700, 1300][usize::try_from(number % 4).expect("small")];
    format!("{number:02}{}", "k".repeat(len)).into()
}

/// The length of a blob: most are small, some have more than one block.
fn blob_len(dice: &mut Dice) -> usize {
    match dice.roll(20) {
        0 => 0,
        1 => 65_536,
        2 => 66_000 + dice.index(70_000),
        3..=8 => dice.index(4000),
        _ => dice.index(600),
    }
}

impl Model {
    pub fn name(&mut self) -> BlobId {
        self.names += 1;
        id(self.names)
    }

    pub fn blob(&mut self, dice: &mut Dice) -> (BlobId, (u64, usize)) {
        let name = self.name();
        (name, (self.names, blob_len(dice)))
    }

    /// A random batch, taken into `next`.
    pub fn batch(&mut self, dice: &mut Dice) -> Batch {
        self.sequence += 1;
        let mut batch = Batch { slot: 9, sequence: self.sequence, ..Batch::default() };
        let mut keys = BTreeSet::new();
        for _ in 0..1 + dice.roll(3) {
            let key = key(dice);
            if keys.insert(key.clone()) {
                let len = dice.index(300);
                let value = (dice.roll(3) > 0).then(|| bytes(self.sequence, len));
                batch.changes.push(Change { key, value });
            }
        }
        if dice.roll(2) == 0 {
            let (name, what) = self.blob(dice);
            batch.blobs.push((name, bytes(what.0, what.1)));
            batch.adopt.push(name);
            self.next_mut().blobs.insert(name, what);
        }
        if let Some((name, what)) = self.pending.pop_first() {
            batch.adopt.push(name);
            self.next_mut().blobs.insert(name, what);
        }
        for _ in 0..dice.roll(3) {
            let blobs = &mut self.next_mut().blobs;
            let at = dice.index(blobs.len());
            let chosen = blobs.keys().nth(at).copied();
            if let Some(freed) = chosen.filter(|freed| !batch.adopt.contains(freed)) {
                blobs.remove(&freed);
                batch.free.push(freed);
            }
        }
        let next = self.next_mut();
        for change in &batch.changes {
            match &change.value {
                Some(value) => next.records.insert(change.key.clone(), value.clone()),
                None => next.records.remove(&change.key),
            };
        }
        batch
    }

    fn next_mut(&mut self) -> &mut Contents {
        self.next.get_or_insert_with(|| self.now.clone())
    }

    /// The group was acknowledged.
    pub fn acknowledged(&mut self, batches: &[Batch]) {
        if let Some(next) = self.next.take() {
            self.now = next;
        }
        for batch in batches {
            let keys = batch.changes.iter().map(|change| (batch.sequence, change.key.clone()));
            self.changed.extend(keys);
        }
    }

    /// Compares all of a node that has just opened: the group under way is there or not.
    pub fn check(&mut self, store: &Store, what: &str) {
        let all = Scan { from: Bytes::new(), until: None, limit: usize::MAX };
        let found = store.scan(&all).expect("records are read");
        let found_blobs = store.blobs(None, usize::MAX).expect("blobs are listed");
        let fits = |contents: &Contents| {
            contents.records.iter().eq(found.iter().map(|(key, value)| (key, value)))
                && contents.blobs.keys().eq(&found_blobs)
        };
        let fit = [Some(&self.now), self.next.as_ref()].into_iter().flatten().find(|it| fits(it));
        let Some(fit) = fit.cloned() else {
            let names = |contents: &Contents| contents.blobs.keys().copied().collect::<Vec<_>>();
            panic!(
                "{what}: neither before nor after: records {} of {} or {:?}; blobs {found_blobs:?} \
                 of {:?} or {:?}",
                found.len(),
                self.now.records.len(),
                self.next.as_ref().map(|next| next.records.len()),
                names(&self.now),
                self.next.as_ref().map(names),
            );
        };
        for (key, value) in &fit.records {
            assert_eq!(store.get(key).expect("a record is read").as_ref(), Some(value), "{what}");
        }
        for (name, (seed, len)) in &fit.blobs {
            let read = content(store, *name).expect("a blob is read");
            assert!(read == bytes(*seed, *len), "{what}: blob {name:?} of {len} bytes");
        }
        self.check_changed(store, what);
        (self.now, self.next) = (fit, None);
        self.pending.clear();
    }

    /// What was acknowledged must be told, unless the node says that it can't tell.
    pub fn check_changed(&self, store: &Store, what: &str) {
        for from in [self.floor, self.sequence.saturating_sub(5)] {
            let Some(told) = store.changed_since(from).expect("it is told") else { continue };
            let told: BTreeSet<_> = told.into_iter().collect();
            for (sequence, key) in &self.changed {
                assert!(*sequence < from || told.contains(key), "{what}: batch {sequence}");
            }
        }
    }
}
