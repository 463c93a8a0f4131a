//! What the unit tests of handlers share.

use iam::{Caller, Request};
use shapes::ec2::Filter;
use state::{Effects, State, Tx};
use types::{AccountId, Region, Scope, Timestamp};

/// The state of a cloud where nothing happened yet.
pub fn state() -> State {
    let mut tables = crate::tables();
    tables.extend(iam::tables());
    State::new(&tables)
}

/// A transaction on that state.
pub fn tx() -> Tx {
    Tx::new(&state(), Effects::new(Timestamp::from_millis(1_800_000_000_000), [7; 32]))
}

/// A call by the default account in us-east-1.
pub fn request() -> Request {
    request_of(AccountId::DEFAULT)
}

/// A call by this account in us-east-1.
pub fn request_of(account: AccountId) -> Request {
    let region: Region = "us-east-1".parse().unwrap();
    Request { caller: Caller::root(account), scope: Scope { account, region } }
}

/// A filter.
pub fn filter(name: &str, values: &[&str]) -> Filter {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    Filter { name: Some(name.to_owned()), values: Some(values) }
}
