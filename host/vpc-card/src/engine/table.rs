//! A hash table whose entries have places: who knows an entry's place finds it without a hash.

use hashbrown::HashTable;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hash},
};

/// Where an entry is, as long as it is there: a place is never another entry's later.
///
/// Stamps come round after 2^32 entries; who keeps places forgets them long before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    slot: u32,
    /// Of the entry; 0 is nobody's.
    stamp: u32,
}

#[derive(Debug)]
struct Slot<K, V> {
    stamp: u32,
    entry: Option<(K, V)>,
}

/// The table; its hash has a random key, so that nobody can choose keys that collide.
#[derive(Debug)]
pub struct Table<K, V> {
    index: HashTable<u32>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    stamp: u32,
    hasher: RandomState,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            stamp: 0,
            hasher: RandomState::new(),
        }
    }
}

fn key_at<K, V>(slots: &[Slot<K, V>], slot: u32) -> Option<&K> {
    let slot = slots.get(usize::try_from(slot).ok()?)?;
    slot.entry.as_ref().map(|(key, _)| key)
}

fn rehash<K: Hash, V>(hasher: &RandomState, slots: &[Slot<K, V>], slot: u32) -> u64 {
    key_at(slots, slot).map_or(0, |key| hasher.hash_one(key))
}

impl<K: Hash + Eq, V> Table<K, V> {
    fn slot_of(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |&slot| key_at(&self.slots, slot) == Some(key)).copied()
    }

    fn slot(&self, slot: u32) -> Option<&Slot<K, V>> {
        self.slots.get(usize::try_from(slot).ok()?)
    }

    /// Where a key's entry is.
    #[must_use]
    pub fn place(&self, key: &K) -> Option<Place> {
        let slot = self.slot_of(key)?;
        Some(Place { slot, stamp: self.slot(slot)?.stamp })
    }

    /// The entry at a place, if it is still there.
    pub fn at(&mut self, place: Place) -> Option<(&K, &mut V)> {
        let slot = self.slots.get_mut(usize::try_from(place.slot).ok()?)?;
        if slot.stamp != place.stamp {
            return None;
        }
        slot.entry.as_mut().map(|(key, value)| (&*key, value))
    }

    /// A key's value.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let slot = self.slot_of(key)?;
        self.slot(slot)?.entry.as_ref().map(|(_, value)| value)
    }

    /// A key's value, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = usize::try_from(self.slot_of(key)?).ok()?;
        self.slots.get_mut(slot)?.entry.as_mut().map(|(_, value)| value)
    }

    /// Whether a key has an entry.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.slot_of(key).is_some()
    }

    /// Gives a key a value; one that it had is replaced.
    pub fn insert(&mut self, key: K, value: V) {
        self.stamp = self.stamp.checked_add(1).unwrap_or(1);
        let hash = self.hasher.hash_one(&key);
        let found = self.index.find(hash, |&slot| key_at(&self.slots, slot) == Some(&key));
        let entry = Slot { stamp: self.stamp, entry: Some((key, value)) };
        let place = |slot: u32| usize::try_from(slot).unwrap_or(usize::MAX);
        if let Some(slot) = found.copied() {
            self.slots[place(slot)] = entry;
            return;
        }
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[place(slot)] = entry;
            slot
        } else {
            // More entries than numbers don't fit any memory.
            let Ok(slot) = u32::try_from(self.slots.len()) else { return };
            self.slots.push(entry);
            slot
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, slot, |&slot| rehash(hasher, slots, slot));
    }

    /// Removes a key's entry.
    pub fn remove(&mut self, key: &K) {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find_entry(hash, |&slot| key_at(&self.slots, slot) == Some(key));
        let Ok(found) = found else { return };
        let (slot, _) = found.remove();
        vacate(&mut self.slots, &mut self.free, slot);
    }

    /// Removes what `keep` says no of.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let (slots, free) = (&mut self.slots, &mut self.free);
        self.index.retain(|&mut slot| {
            let entry = usize::try_from(slot).ok().and_then(|slot| slots.get_mut(slot));
            let entry = entry.and_then(|slot| slot.entry.as_mut());
            let keep = entry.is_some_and(|(key, value)| keep(key, value));
            if !keep {
                vacate(slots, free, slot);
            }
            keep
        });
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Entries that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Gives back the memory that the entries don't need; places change.
    pub fn shrink_to_fit(&mut self) {
        self.slots.retain(|slot| slot.entry.is_some());
        self.slots.shrink_to_fit();
        self.free = Vec::new();
        self.index = HashTable::with_capacity(self.slots.len());
        let (slots, hasher) = (&self.slots, &self.hasher);
        for (at, slot) in slots.iter().enumerate() {
            let (Some((key, _)), Ok(at)) = (&slot.entry, u32::try_from(at)) else { continue };
            let hash = hasher.hash_one(key);
            self.index.insert_unique(hash, at, |&slot| rehash(hasher, slots, slot));
        }
    }
}

fn vacate<K, V>(slots: &mut [Slot<K, V>], free: &mut Vec<u32>, slot: u32) {
    let place = usize::try_from(slot).ok().and_then(|slot| slots.get_mut(slot));
    if let Some(place) = place {
        *place = Slot { stamp: 0, entry: None };
        free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_is_a_hash_table(steps in prop::collection::vec((0..5_u8, 0..40_u16), 0..300)) {
            let (mut table, mut model) = (Table::default(), HashMap::new());
            let mut places: Vec<(Place, u16, usize)> = Vec::new();
            for (at, (step, key)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        table.insert(key, at);
                        model.insert(key, at);
                        places.push((table.place(&key).unwrap(), key, at));
                    }
                    2 => {
                        table.remove(&key);
                        model.remove(&key);
                    }
                    3 => {
                        table.retain(|key, _| key % 3 != 0);
                        model.retain(|key, _| key % 3 != 0);
                    }
                    _ => {
                        table.shrink_to_fit();
                        places.clear();
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.get(&key), model.get(&key));
                for (place, key, value) in &places {
                    let there = model.get(key) == Some(value);
                    prop_assert_eq!(table.at(*place).map(|(k, v)| (*k, *v)),
                                    there.then_some((*key, *value)));
                }
            }
        }
    }
}
