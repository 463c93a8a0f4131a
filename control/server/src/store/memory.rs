//! A store that forgets: for tests.

use state::{State, Store, StoreError, StoredRow};
use std::collections::BTreeMap;

/// Rows in memory.
#[derive(Debug, Default)]
pub struct Memory {
    revision: u64,
    rows: BTreeMap<(&'static str, String), Vec<u8>>,
}

impl Store for Memory {
    fn load(&mut self, state: &mut State) -> Result<(), StoreError> {
        for ((table, _), value) in &self.rows {
            state.load(table, value)?;
        }
        state.loaded(self.revision);
        Ok(())
    }

    fn revision(&mut self) -> Result<u64, StoreError> {
        Ok(self.revision)
    }

    fn commit(
        &mut self,
        expected: u64,
        revision: u64,
        rows: &mut dyn Iterator<Item = StoredRow>,
    ) -> Result<(), StoreError> {
        if self.revision != expected {
            return Err(StoreError::Conflict { expected, found: self.revision });
        }
        for row in rows {
            match row.value {
                Some(value) => self.rows.insert((row.table, row.key), value),
                None => self.rows.remove(&(row.table, row.key)),
            };
        }
        self.revision = revision;
        Ok(())
    }
}
