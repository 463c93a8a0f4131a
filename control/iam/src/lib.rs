//! Accounts, credentials and STS.

mod accounts;
mod operations;
mod request;
mod sts;

pub use accounts::{AccessKey, Account, authenticate};
pub use operations::{Mutate, Read, Visitor, visit};
pub use request::{Caller, Request};

/// The tables of this crate's rows.
#[must_use]
pub fn tables() -> Vec<state::TableDef> {
    vec![state::table::<Account>(), state::table::<AccessKey>()]
}
