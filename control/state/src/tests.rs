//! Property tests of the transaction layer against a plain model.

use crate::{Effects, Row, State, Tx, table};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Display};
use types::{AccountId, Scope, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    id: u16,
    scope: Scope,
    colours: Vec<u8>,
}

impl Row for Thing {
    const TABLE: &'static str = "thing";
    type Key = u16;
    fn key(&self) -> u16 {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        for colour in &self.colours {
            add("colour", colour);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u16, u8, Vec<u8>),
    Delete(u16),
    Commit,
    Drop,
}

fn scope(region: u8) -> Scope {
    let region = ["us-east-1", "eu-west-1"][usize::from(region % 2)].parse().unwrap();
    Scope { account: AccountId::DEFAULT, region }
}

fn begin(state: &State) -> Tx {
    Tx::new(state, Effects::new(Timestamp::default(), [0; 32]))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u16..40, 0u8..2, proptest::collection::vec(0u8..5, 0..3))
            .prop_map(|(id, region, colours)| Step::Put(id, region, colours)),
        3 => (0u16..40).prop_map(Step::Delete),
        1 => Just(Step::Commit),
        1 => Just(Step::Drop),
    ]
}

/// Every query of the state answers as a scan of the model does.
fn check(state: &State, model: &BTreeMap<u16, Thing>) {
    let rows = state.iter::<Thing>().map(|row| (**row).clone()).collect::<Vec<_>>();
    assert_eq!(rows, model.values().cloned().collect::<Vec<_>>());
    assert_eq!(state.count::<Thing>(), model.len());
    for region in 0..2 {
        let scope = scope(region);
        let found = state.in_scope::<Thing>(&scope).map(|row| row.id).collect::<Vec<_>>();
        let expected = model.values().filter(|row| row.scope == scope).map(|row| row.id);
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
    for colour in 0..5u8 {
        let found = state.find::<Thing>("colour", colour).map(|row| row.id).collect::<Vec<_>>();
        let expected = model.values().filter(|row| row.colours.contains(&colour)).map(|row| row.id);
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn transactions_are_atomic_and_indexed(steps in proptest::collection::vec(step(), 0..200)) {
        let mut state = State::new(&[table::<Thing>()]);
        let mut stored: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let (mut committed, mut pending) = (BTreeMap::new(), BTreeMap::new());
        let mut tx = begin(&state);
        for step in steps {
            match step {
                Step::Put(id, region, colours) => {
                    let thing = Thing { id, scope: scope(region), colours };
                    tx.put(thing.clone());
                    pending.insert(id, thing);
                }
                Step::Delete(id) => {
                    let deleted = tx.delete::<Thing>(&id).is_some();
                    prop_assert_eq!(deleted, pending.remove(&id).is_some());
                }
                Step::Commit => {
                    let (after, changes) = tx.finish();
                    prop_assert_eq!(changes.is_empty(), committed == pending);
                    for change in changes.of::<Thing>() {
                        prop_assert_eq!(change.before.as_deref(), committed.get(&change.key));
                        prop_assert_eq!(change.after.as_deref(), pending.get(&change.key));
                    }
                    for row in changes.stored() {
                        match row.value {
                            Some(value) => stored.insert(row.key, value),
                            None => stored.remove(&row.key),
                        };
                    }
                    let expected = state.revision() + u64::from(!changes.is_empty());
                    prop_assert_eq!(after.revision(), expected);
                    state = after;
                    committed = pending.clone();
                    tx = begin(&state);
                }
                Step::Drop => {
                    pending = committed.clone();
                    tx = begin(&state);
                }
            }
            check(&tx, &pending);
            check(&state, &committed);
        }
        let mut loaded = State::new(&[table::<Thing>()]);
        for value in stored.values() {
            loaded.load("thing", value).unwrap();
        }
        check(&loaded, &committed);
    }
}

#[test]
fn equal_seeds_give_equal_effects() {
    let ids = |seed| {
        let mut effects = Effects::new(Timestamp::default(), [seed; 32]);
        [effects.new_id::<types::VpcId>(), effects.new_id()]
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}
