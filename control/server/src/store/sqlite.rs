//! The embedded store: one SQLite file, each commit flushed to the disk, rows with secrets sealed.

use super::seal::{self, RowKey};
use rusqlite::{Connection, OptionalExtension, params};
use state::{State, Store, StoreError, StoredRow};
use std::path::Path;

/// The layout of the file; a greater number is a later version's.
const LAYOUT: i32 = 2;
/// The layout before rows were sealed.
const UNSEALED: i32 = 1;

/// Rows in a SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    layout: i32,
    key: Option<RowKey>,
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Sqlite {
    /// Opens the file, and makes it if it doesn't exist.
    ///
    /// # Errors
    /// It can't be opened, or is a later version's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(failed)?;
        // WAL with FULL: a commit is on the disk before it returns. One server has the file. What
        // is deleted is overwritten: it may have been a secret.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA locking_mode = \
                 EXCLUSIVE; PRAGMA wal_autocheckpoint = 2000; PRAGMA secure_delete = ON;",
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
            UNSEALED | LAYOUT => {}
            other => {
                return Err(StoreError::Corrupt(format!(
                    "its layout is {other}, this program knows {LAYOUT}: use the version that \
                     wrote it"
                )));
            }
        }
        Ok(Self { connection, layout: if layout == 0 { LAYOUT } else { layout }, key: None })
    }

    /// Whether something in it is sealed, so that nothing but the key that did it opens it.
    ///
    /// # Errors
    /// The engine failed.
    pub fn is_sealed(&self) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM row WHERE name = 'kms-key' OR substr(value, 1, 1) \
                     = ?1)";
        let version = [seal::VERSION];
        self.connection.query_row(query, params![&version[..]], |row| row.get(0)).map_err(failed)
    }

    /// The same store, which seals rows with secrets under this key.
    pub fn sealing(self, key: RowKey) -> Self {
        Self { key: Some(key), ..self }
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

    /// Seals what an earlier version stored as it was, and leaves no trace of that in the file.
    fn seal_all(&mut self, state: &State) -> Result<(), StoreError> {
        let Some(key) = self.key.clone() else { return Ok(()) };
        let transaction = self.connection.transaction().map_err(failed)?;
        {
            let mut select =
                transaction.prepare("SELECT name, key, value FROM row").map_err(failed)?;
            let mut put = transaction
                .prepare("UPDATE row SET value = ?3 WHERE name = ?1 AND key = ?2")
                .map_err(failed)?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            let rows = rows.map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            for (table, at, value) in rows {
                let (table, at, value): (String, String, Vec<u8>) = (table, at, value);
                if state.is_sealed(&table) && !seal::is_sealed(&value) {
                    let sealed = seal_row(&key, &table, &at, &value)?;
                    put.execute(params![table, at, sealed]).map_err(failed)?;
                }
            }
            let version = format!("PRAGMA user_version = {LAYOUT}");
            transaction.execute_batch(&version).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        self.layout = LAYOUT;
        // Free pages and the log have the old rows, too.
        self.connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(failed)
    }
}

fn seal_row(key: &RowKey, table: &str, at: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    key.seal(table, at, value)
        .ok_or_else(|| StoreError::Failed("the system gives no randomness".to_owned()))
}

impl Store for Sqlite {
    fn load(&mut self, state: &mut State) -> Result<(), StoreError> {
        {
            let mut statement =
                self.connection.prepare("SELECT name, key, value FROM row").map_err(failed)?;
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let name: String = row.get(0).map_err(failed)?;
                let at: String = row.get(1).map_err(failed)?;
                let value: Vec<u8> = row.get(2).map_err(failed)?;
                if !seal::is_sealed(&value) {
                    state.load(&name, &value)?;
                    continue;
                }
                let opened = self.key.as_ref().and_then(|key| key.open(&name, &at, &value));
                let opened = opened.ok_or_else(|| {
                    StoreError::Corrupt(format!(
                        "{name} {at} doesn't open: it was changed, or sealed under another master \
                         key"
                    ))
                })?;
                state.load(&name, &opened)?;
            }
        }
        state.loaded(Self::revision_of(&self.connection)?);
        if self.layout == UNSEALED {
            self.seal_all(state)?;
        }
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
        let key = self.key.as_ref();
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
                let Some(mut value) = row.value else {
                    delete.execute(params![row.table, row.key]).map_err(failed)?;
                    continue;
                };
                if row.sealed {
                    // A secret is never stored as it is.
                    let key = key.ok_or_else(|| StoreError::Failed("no key to seal".to_owned()))?;
                    value = seal_row(key, row.table, &row.key, &value)?;
                }
                put.execute(params![row.table, row.key, value]).map_err(failed)?;
            }
            let number = i64::try_from(revision)
                .map_err(|_| StoreError::Failed("the revision is too large".to_owned()))?;
            transaction.execute("UPDATE revision SET number = ?1", [number]).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}
