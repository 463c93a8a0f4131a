//! What a transaction changed.

use crate::{Row, State, StoredRow};
use std::{any::Any, collections::BTreeSet, fmt::Debug, sync::Arc};

/// One row's change: made, changed or deleted.
#[derive(Debug, Clone)]
pub struct Change<R: Row> {
    /// The row's key.
    pub key: R::Key,
    /// The row before, if it was there.
    pub before: Option<Arc<R>>,
    /// The row after, if it is there.
    pub after: Option<Arc<R>>,
}

/// A change of a row of any type.
pub trait AnyChange: Any + Debug + Send + Sync {
    /// The change as a store keeps it.
    fn stored(&self) -> StoredRow;
}

impl<R: Row> AnyChange for Change<R> {
    fn stored(&self) -> StoredRow {
        let value = self.after.as_ref().map(|row| {
            // Rows are plain data with text keys, which always serialize.
            serde_json::to_vec(row.as_ref()).unwrap_or_else(|error| {
                unreachable!("{} {} does not serialize: {error}", R::TABLE, self.key)
            })
        });
        StoredRow { table: R::TABLE, key: self.key.to_string(), sealed: R::SEALED, value }
    }
}

/// All that a transaction changed, by table and key.
#[derive(Debug, Default)]
pub struct ChangeSet(Vec<Box<dyn AnyChange>>);

impl ChangeSet {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes of one table's rows.
    pub fn of<R: Row>(&self) -> impl Iterator<Item = &Change<R>> {
        self.0.iter().filter_map(|change| {
            let change: &dyn Any = change.as_ref();
            change.downcast_ref()
        })
    }

    /// The changes as a store keeps them.
    pub fn stored(&self) -> impl Iterator<Item = StoredRow> + '_ {
        self.0.iter().map(|change| change.stored())
    }
}

pub(crate) trait Touched: Any + Debug + Send {
    fn changes(&self, before: &State, after: &State, set: &mut ChangeSet);
}

#[derive(Debug)]
pub(crate) struct TouchedKeys<R: Row>(pub(crate) BTreeSet<R::Key>);

impl<R: Row> Touched for TouchedKeys<R> {
    fn changes(&self, before: &State, after: &State, set: &mut ChangeSet) {
        for key in &self.0 {
            let before = before.get::<R>(key);
            let after = after.get::<R>(key);
            if before != after {
                set.0.push(Box::new(Change::<R> {
                    key: key.clone(),
                    before: before.cloned(),
                    after: after.cloned(),
                }));
            }
        }
    }
}
