//! Keys: `Enabled` ⇄ `Disabled`, either → `PendingDeletion` → gone, or back to `Disabled`. One whose
//! material is to be imported is `PendingImport` while it has none. The primary of replicas is
//! `PendingReplicaDeletion` until the last of them is gone.

pub mod create;
pub mod lifecycle;
pub mod policies;
pub mod queries;
pub mod rotation;
mod row;
pub mod tagging;

pub use row::{Deletion, Key, KeyId, KeyMaterial, KeyPolicy, Rotation, Turn};
pub(crate) use row::{MAX_POLICY_BYTES, arn as key_arn, row_key};

use crate::{
    authorise::{self, Asked},
    errors, identify,
    master::MasterKey,
    material::Material,
};
use iam::Request;
use shapes::{
    Fault,
    kms::{KeyState, KeyUsageType, OriginType},
};
use state::State;
use std::sync::Arc;
use types::Timestamp;

/// The caller's key that an operation on keys is about: by ID or ARN, not by alias.
///
/// # Errors
/// There is no such key, or the caller may not.
pub(crate) fn find(
    state: &State,
    request: &Request,
    action: &str,
    key_id: Option<&str>,
) -> Result<Arc<Key>, Fault> {
    let key = identify::key(state, &request.scope, key_id)?;
    authorise::check(state, request, &key, &Asked::new(action))?;
    Ok(key)
}

/// Refuses a key that is to be deleted.
///
/// # Errors
/// It is.
pub(crate) fn not_pending_deletion(key: &Key) -> Result<(), Fault> {
    if key.deletion.is_some() {
        let why = if key.deletion.as_ref().is_some_and(|deletion| deletion.date.is_none()) {
            "pending replica deletion"
        } else {
            "pending deletion"
        };
        return Err(errors::invalid_state(key.arn(), why));
    }
    Ok(())
}

/// Refuses a key that can't be used for cryptography now.
///
/// # Errors
/// It is disabled, to be deleted, or without material.
pub(crate) fn usable(key: &Key, now: Timestamp) -> Result<(), Fault> {
    match key.state(now) {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(errors::disabled(key.arn())),
        KeyState::PendingDeletion => Err(errors::invalid_state(key.arn(), "pending deletion")),
        KeyState::PendingReplicaDeletion => {
            Err(errors::invalid_state(key.arn(), "pending replica deletion"))
        }
        KeyState::PendingImport => Err(errors::invalid_state(key.arn(), "pending import")),
        KeyState::Creating | KeyState::Unavailable | KeyState::Updating => {
            Err(errors::invalid_state(key.arn(), "unavailable"))
        }
    }
}

/// Refuses a key that is made for something else.
///
/// # Errors
/// It is.
pub(crate) fn made_for(key: &Key, usage: KeyUsageType, operation: &str) -> Result<(), Fault> {
    if key.usage == usage {
        return Ok(());
    }
    Err(errors::key_usage(key.arn(), key.usage, operation))
}

/// Opens the key's material.
///
/// # Errors
/// It isn't there, or not under this master key.
pub(crate) fn open(
    master: &MasterKey,
    key: &Key,
    material: &KeyMaterial,
    now: Timestamp,
) -> Result<Material, Fault> {
    let gone = material.valid_to.is_some_and(|valid_to| valid_to <= now);
    let Some(sealed) = material.sealed.as_ref().filter(|_| !gone) else {
        return Err(if key.origin == OriginType::External {
            errors::invalid_state(key.arn(), "pending import")
        } else {
            errors::internal()
        });
    };
    let bytes = master.open(&key.place(&material.id), sealed).ok_or_else(errors::internal)?;
    Material::from_bytes(key.spec, &bytes).ok_or_else(errors::internal)
}

/// Opens the material that new ciphertexts are made with.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_current<'k>(
    master: &MasterKey,
    key: &'k Key,
    now: Timestamp,
) -> Result<(&'k KeyMaterial, Material), Fault> {
    let current = key.current().ok_or_else(errors::internal)?;
    Ok((current, open(master, key, current, now)?))
}
