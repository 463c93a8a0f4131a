//! AWS Organizations, as far as a cloud of one owner has it: all accounts of the cloud are in one organization,
//! which its first account manages.

pub mod access;
mod accounts;
mod creation;
mod errors;
mod operations;
mod organization;
mod page;
mod tags;
#[cfg(test)]
mod tests;

pub use creation::Creation;
pub use operations::visit;

use state::Tx;

/// The tables of this crate's rows.
#[must_use]
pub fn tables() -> Vec<state::TableDef> {
    vec![state::table::<Creation>()]
}

/// Forgets which accounts were asked for; the accounts stay.
pub fn reset(tx: &mut Tx) {
    for id in tx.iter::<Creation>().map(|row| row.id.clone()).collect::<Vec<_>>() {
        tx.delete::<Creation>(&id);
    }
}
