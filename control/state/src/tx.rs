//! Transactions: a changed clone of the state, published as a whole or dropped.

use crate::{
    ChangeSet, Effects, Row, State,
    change::{Touched, TouchedKeys},
};
use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
};

/// A transaction. Reads see its own writes; dropping it undoes them.
#[derive(Debug)]
pub struct Tx {
    before: State,
    after: State,
    touched: BTreeMap<TypeId, Box<dyn Touched>>,
    effects: Effects,
}

impl Tx {
    /// Begins a transaction on a state.
    #[must_use]
    pub fn new(state: &State, effects: Effects) -> Self {
        Self { before: state.clone(), after: state.clone(), touched: BTreeMap::new(), effects }
    }

    fn touch<R: Row>(&mut self, key: R::Key) {
        let touched = self
            .touched
            .entry(TypeId::of::<R>())
            .or_insert_with(|| Box::new(TouchedKeys::<R>(BTreeSet::new())));
        let touched: &mut dyn Any = touched.as_mut();
        if let Some(keys) = touched.downcast_mut::<TouchedKeys<R>>() {
            keys.0.insert(key);
        }
    }

    /// Makes a row, or replaces the one with its key.
    pub fn put<R: Row>(&mut self, row: R) {
        self.touch::<R>(row.key());
        if let Some(table) = self.after.table_mut::<R>() {
            table.put(Arc::new(row));
        }
    }

    /// Changes the row with this key, if there is one; says whether there is.
    pub fn update<R: Row>(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) -> bool {
        let Some(row) = self.after.get::<R>(key) else { return false };
        let mut row = R::clone(row);
        change(&mut row);
        self.put(row);
        true
    }

    /// Deletes the row with this key, if there is one.
    pub fn delete<R: Row>(&mut self, key: &R::Key) -> Option<Arc<R>> {
        self.touch::<R>(key.clone());
        self.after.table_mut::<R>()?.delete(key)
    }

    /// The changed state with the next revision, and what differs from where it began.
    #[must_use]
    pub fn finish(self) -> (State, ChangeSet) {
        let Self { before, mut after, touched, effects: _ } = self;
        let mut changes = ChangeSet::default();
        for keys in touched.values() {
            keys.changes(&before, &after, &mut changes);
        }
        if changes.is_empty() {
            return (before, changes);
        }
        after.set_revision(before.revision() + 1);
        (after, changes)
    }

    /// The time and randomness of this transaction.
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }

    /// The state as this transaction sees it.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.after
    }

    /// The time of the transaction.
    #[must_use]
    pub fn now(&self) -> types::Timestamp {
        self.effects.now()
    }

    /// A new ID.
    pub fn new_id<I: types::ResourceId>(&mut self) -> I {
        self.effects.new_id()
    }
}

impl Deref for Tx {
    type Target = State;
    fn deref(&self) -> &State {
        &self.after
    }
}
