//! Accounts and calls for this crate's tests.

use crate::{Caller, Request};
use state::{Effects, State, Tx};
use types::{AccountId, Scope, Timestamp};

/// A transaction on empty tables.
pub fn tx() -> Tx {
    let state = State::new(&crate::tables());
    Tx::new(&state, Effects::new(Timestamp::from_millis(1_700_000_000_000), [7; 32]))
}

/// A call of the root user.
pub fn request() -> Request {
    let account = AccountId::DEFAULT;
    let region = "us-east-1".parse().expect("a region's name");
    Request { caller: Caller::root(account), scope: Scope { account, region } }
}
