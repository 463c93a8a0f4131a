//! The embedded store: one SQLite file, each commit flushed to the disk.

use rusqlite::{Connection, OptionalExtension, params};
use state::{State, Store, StoreError, StoredRow};
use std::path::Path;

/// The layout of the file; another number is another version's.
const LAYOUT: i32 = 1;

/// Rows in a SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Sqlite {
    /// Opens the file, and makes it if it doesn't exist.
    ///
    /// # Errors
    /// It can't be opened, or is another version's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(failed)?;
        // WAL with FULL: a commit is on the disk before it returns. One server has the file.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA locking_mode = \
                 EXCLUSIVE; PRAGMA wal_autocheckpoint = 2000;",
            )
            .map_err(failed)?;
        let layout: i32 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        match layout {
            0 => connection
                .execute_batch(&format!(
                    "BEGIN; CREATE TABLE row (name TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT \
                     NULL, PRIMARY KEY (name, key)) WITHOUT ROWID; CREATE TABLE revision (number \
                     INTEGER NOT NULL); INSERT INTO revision VALUES (0); PRAGMA user_version = \
                     {LAYOUT}; COMMIT;"
                ))
                .map_err(failed)?,
            LAYOUT => {}
            other => {
                return Err(StoreError::Corrupt(format!(
                    "its layout is {other}, this program knows {LAYOUT}: use the version that \
                     wrote it"
                )));
            }
        }
        Ok(Self { connection })
    }

    fn revision_of(connection: &Connection) -> Result<u64, StoreError> {
        let found: Option<i64> = connection
            .query_row("SELECT number FROM revision", [], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        found
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| StoreError::Corrupt("no revision".to_owned()))
    }
}

impl Store for Sqlite {
    fn load(&mut self, state: &mut State) -> Result<(), StoreError> {
        let mut statement =
            self.connection.prepare("SELECT name, value FROM row").map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let name: String = row.get(0).map_err(failed)?;
            let value: Vec<u8> = row.get(1).map_err(failed)?;
            state.load(&name, &value)?;
        }
        state.loaded(Self::revision_of(&self.connection)?);
        Ok(())
    }

    fn revision(&mut self) -> Result<u64, StoreError> {
        Self::revision_of(&self.connection)
    }

    fn commit(
        &mut self,
        expected: u64,
        revision: u64,
        rows: &mut dyn Iterator<Item = StoredRow>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(failed)?;
        let found = Self::revision_of(&transaction)?;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        {
            let mut put = transaction
                .prepare_cached("INSERT OR REPLACE INTO row VALUES (?1, ?2, ?3)")
                .map_err(failed)?;
            let mut delete = transaction
                .prepare_cached("DELETE FROM row WHERE name = ?1 AND key = ?2")
                .map_err(failed)?;
            for row in rows {
                match row.value {
                    Some(value) => put.execute(params![row.table, row.key, value]),
                    None => delete.execute(params![row.table, row.key]),
                }
                .map_err(failed)?;
            }
            let number = i64::try_from(revision)
                .map_err(|_| StoreError::Failed("the revision is too large".to_owned()))?;
            transaction.execute("UPDATE revision SET number = ?1", [number]).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}
