//! The seam behind which state is durable.

use crate::State;

/// A row as stores keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// [`crate::Row::TABLE`].
    pub table: &'static str,
    /// The key's text.
    pub key: String,
    /// [`crate::Row::SEALED`].
    pub sealed: bool,
    /// The row as JSON; none = deleted.
    pub value: Option<Vec<u8>>,
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else committed since: the revision is not the expected one.
    #[error("the state is at revision {found}, not {expected}: another server writes to it")]
    Conflict {
        /// The revision that the caller knows.
        expected: u64,
        /// The store's.
        found: u64,
    },
    /// What is stored can't be read.
    #[error("the stored state can't be read: {0}")]
    Corrupt(String),
    /// The engine failed; what was to be committed may or may not be durable.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// A durable home of the state.
pub trait Store: Send {
    /// Loads all rows into `state` (empty tables) and sets its revision.
    ///
    /// # Errors
    /// What is stored can't be read.
    fn load(&mut self, state: &mut State) -> Result<(), StoreError>;

    /// The revision that is durable now.
    ///
    /// # Errors
    /// The engine failed.
    fn revision(&mut self) -> Result<u64, StoreError>;

    /// Makes changes durable before it returns, as one: all or none.
    ///
    /// # Errors
    /// The revision is not the expected one, or the engine failed.
    fn commit(
        &mut self,
        expected: u64,
        revision: u64,
        rows: &mut dyn Iterator<Item = StoredRow>,
    ) -> Result<(), StoreError>;
}
