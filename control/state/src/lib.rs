//! Control state: rows in memory, transactions, change sets.
//!
//! A [`State`] is an immutable snapshot of all tables, cheap to clone. A [`Tx`] is a clone that is
//! changed; publishing it is one assignment, dropping it leaves no trace. What differs between the
//! two is the [`ChangeSet`] that a [`Store`] makes durable.

mod change;
mod effects;
mod store;
mod table;
mod tx;

pub use change::{AnyChange, Change, ChangeSet};
pub use effects::Effects;
pub use store::{Store, StoreError, StoredRow};
pub use table::{Row, State, TableDef, table};
pub use tx::Tx;

#[cfg(test)]
mod tests;
