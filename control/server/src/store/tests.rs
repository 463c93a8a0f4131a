//! Each engine keeps what is committed, and refuses what another server overtook.

use super::{Memory, Sqlite};
use iam::Account;
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
