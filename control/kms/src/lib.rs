//! KMS as pure functions over control state: keys, aliases, grants, and what is computed with them.
//!
//! Key material is in the state, sealed under a [`MasterKey`] that is not; it is opened for one
//! call and forgotten. Who may use a key is decided by its policy and grants ([`authorise`]).

pub mod access;
mod aliases;
pub mod authorise;
mod blob;
mod check;
mod data_keys;
mod encryption;
mod errors;
mod grants;
mod identify;
mod import;
mod keys;
mod macs;
mod managed;
mod master;
mod material;
mod operations;
mod page;
mod planes;
mod regions;
mod shared_secrets;
mod signatures;
mod stores;
#[cfg(test)]
mod tests;
mod word;

pub use aliases::Alias;
pub use blob::EncryptionContext;
pub use grants::Grant;
pub use keys::{Deletion, Key, KeyId, KeyMaterial, KeyPolicy, Rotation, Turn};
pub use managed::{Made, Service};
pub use master::{MasterKey, Sealed, Work};
pub use operations::{Compute, Computed, Mutation, Visitor, visit};
pub use planes::{DataKey, decrypt, generate_data_key, provide};

/// Does what is due by the clock: keys deleted and rotated, imported material expired.
pub fn tick(tx: &mut state::Tx, master: &MasterKey) {
    keys::lifecycle::delete_due(tx);
    keys::rotation::rotate_due(tx, master);
    import::expire_due(tx);
}

/// Wipes the keys of all accounts.
pub fn reset(tx: &mut state::Tx) {
    fn clear<R: state::Row>(tx: &mut state::Tx) {
        for key in tx.iter::<R>().map(|row| row.key()).collect::<Vec<_>>() {
            tx.delete::<R>(&key);
        }
    }
    clear::<Key>(tx);
    clear::<Alias>(tx);
    clear::<Grant>(tx);
}

/// The tables of this crate's rows.
#[must_use]
pub fn tables() -> Vec<state::TableDef> {
    vec![state::table::<Key>(), state::table::<Alias>(), state::table::<Grant>()]
}
