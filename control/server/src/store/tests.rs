//! Each engine keeps what is committed, and refuses what another server overtook.

use super::{Memory, RowKey, Sqlite};
use iam::{AccessKey, Account};
use state::{Effects, State, Store, StoreError, Tx};
use types::{AccountId, Timestamp};

fn empty() -> State {
    State::new(&iam::tables())
}

fn with_account(state: &State, id: AccountId, name: &str) -> Tx {
    let mut tx = Tx::new(state, Effects::new(Timestamp::default(), [0; 32]));
    Account::ensure(&mut tx, id, name);
    tx
}

fn commit(store: &mut dyn Store, before: &State, tx: Tx) -> Result<State, StoreError> {
    let (after, changes) = tx.finish();
    store.commit(before.revision(), after.revision(), &mut changes.stored())?;
    Ok(after)
}

fn keeps(store: &mut dyn Store) {
    let (first, second) = (AccountId::DEFAULT, "111122223333".parse().unwrap());
    let before = empty();
    let after = commit(store, &before, with_account(&before, first, "first")).unwrap();
    let overtaken = commit(store, &before, with_account(&before, second, "second"));
    assert!(matches!(overtaken, Err(StoreError::Conflict { .. })), "{overtaken:?}");
    let both = commit(store, &after, with_account(&after, second, "second")).unwrap();
    let mut tx = Tx::new(&both, Effects::new(Timestamp::default(), [0; 32]));
    tx.delete::<Account>(&first);
    let last = commit(store, &both, tx).unwrap();

    let mut loaded = empty();
    store.load(&mut loaded).unwrap();
    assert_eq!(loaded.revision(), last.revision());
    assert_eq!(loaded.iter::<Account>().map(|row| row.id).collect::<Vec<_>>(), [second]);
}

#[test]
fn memory_keeps_what_is_committed() {
    keeps(&mut Memory::default());
}

#[test]
fn sqlite_keeps_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    keeps(&mut Sqlite::open(&file).unwrap());
    // And over a restart: that connection is closed.
    let mut again = Sqlite::open(&file).unwrap();
    let mut loaded = empty();
    again.load(&mut loaded).unwrap();
    assert_eq!(loaded.count::<Account>(), 1);
}

/// Whether a secret's bytes are in a file of the folder.
fn holds(folder: &std::path::Path, secret: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| std::fs::read(file).unwrap())
        .any(|bytes| bytes.windows(secret.len()).any(|at| at == secret.as_bytes()))
}

fn with_key(state: &State) -> (AccessKey, Tx) {
    let mut tx = Tx::new(state, Effects::new(Timestamp::default(), [3; 32]));
    let key = AccessKey::create(&mut tx, AccountId::DEFAULT);
    (key, tx)
}

#[test]
fn no_secret_is_in_the_file_and_another_key_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let mut store = Sqlite::open(&file).unwrap();
    assert!(!store.is_sealed().unwrap());
    let before = empty();
    let (key, tx) = with_key(&before);
    let unkeyed = commit(&mut store, &before, tx);
    assert!(matches!(unkeyed, Err(StoreError::Failed(_))), "nothing is stored unsealed");
    let mut store = store.sealing(RowKey::new([1; 32]));
    commit(&mut store, &before, with_key(&before).1).unwrap();
    assert!(holds(folder.path(), &key.id), "the log has the row");
    assert!(!holds(folder.path(), &key.secret));
    drop(store);
    assert!(!holds(folder.path(), &key.secret));
    let open = |bytes| {
        let store = Sqlite::open(&file).unwrap();
        assert!(store.is_sealed().unwrap());
        let mut loaded = empty();
        let done = store.sealing(RowKey::new([bytes; 32])).load(&mut loaded);
        done.map(|()| loaded.get::<AccessKey>(&key.id).unwrap().secret.clone())
    };
    assert_eq!(open(1).unwrap(), key.secret);
    assert!(matches!(open(2), Err(StoreError::Corrupt(_))));
}

#[test]
fn what_was_stored_unsealed_is_sealed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let before = empty();
    let (key, tx) = with_key(&before);
    drop(Sqlite::open(&file).unwrap());
    let earlier = rusqlite::Connection::open(&file).unwrap();
    for row in tx.finish().1.stored() {
        let values = rusqlite::params![row.table, row.key, row.value];
        earlier.execute("INSERT INTO row VALUES (?1, ?2, ?3)", values).unwrap();
    }
    earlier.execute_batch("UPDATE revision SET number = 1; PRAGMA user_version = 1;").unwrap();
    drop(earlier);
    assert!(holds(folder.path(), &key.secret));
    let load = || {
        let mut store = Sqlite::open(&file).unwrap().sealing(RowKey::new([1; 32]));
        let mut loaded = empty();
        store.load(&mut loaded).unwrap();
        assert!(!holds(folder.path(), &key.secret), "while it is open, too");
        assert_eq!(loaded.revision(), 1);
        loaded.get::<AccessKey>(&key.id).unwrap().secret.clone()
    };
    assert_eq!(load(), key.secret);
    assert!(!holds(folder.path(), &key.secret));
    assert_eq!(load(), key.secret);
}
