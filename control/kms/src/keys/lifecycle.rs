//! A key's states, and its description.

use super::{Deletion, Key, create::MAX_DESCRIPTION, find, not_pending_deletion, usable};
use crate::{aliases::Alias, check, errors, grants::Grant};
use iam::Request;
use shapes::{
    Fault,
    kms::{
        CancelKeyDeletionRequest, CancelKeyDeletionResponse, DisableKeyRequest, DisableKeyResponse,
        EnableKeyRequest, EnableKeyResponse, KeyState, ScheduleKeyDeletionRequest,
        ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest, UpdateKeyDescriptionResponse,
    },
};
use state::{Row as _, Tx};
use std::sync::Arc;
use types::Timestamp;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// AWS's usual window before a key is deleted.
const USUAL_WINDOW_DAYS: i32 = 30;

/// Describes a key in other words.
///
/// # Errors
/// There is no such key, it is to be deleted, or the text is too long.
pub fn update_key_description(
    tx: &mut Tx,
    request: &Request,
    input: UpdateKeyDescriptionRequest,
) -> Result<UpdateKeyDescriptionResponse, Fault> {
    let UpdateKeyDescriptionRequest { key_id, description } = input;
    let key = find(tx, request, "kms:UpdateKeyDescription", key_id.as_deref())?;
    let description = check::required("description", description)?;
    check::text("description", &description, 0..=MAX_DESCRIPTION)?;
    not_pending_deletion(&key)?;
    tx.update::<Key>(&key.key(), |key| key.description = description);
    Ok(UpdateKeyDescriptionResponse {})
}

/// Lets a key be used again.
///
/// # Errors
/// There is no such key, or it is to be deleted or without material.
pub fn enable_key(
    tx: &mut Tx,
    request: &Request,
    input: EnableKeyRequest,
) -> Result<EnableKeyResponse, Fault> {
    let EnableKeyRequest { key_id } = input;
    set_enabled(tx, request, "kms:EnableKey", key_id.as_deref(), true)?;
    Ok(EnableKeyResponse {})
}

/// Lets nobody use a key until it is enabled.
///
/// # Errors
/// There is no such key, or it is to be deleted or without material.
pub fn disable_key(
    tx: &mut Tx,
    request: &Request,
    input: DisableKeyRequest,
) -> Result<DisableKeyResponse, Fault> {
    let DisableKeyRequest { key_id } = input;
    set_enabled(tx, request, "kms:DisableKey", key_id.as_deref(), false)?;
    Ok(DisableKeyResponse {})
}

fn set_enabled(
    tx: &mut Tx,
    request: &Request,
    action: &str,
    key_id: Option<&str>,
    enabled: bool,
) -> Result<(), Fault> {
    let key = find(tx, request, action, key_id)?;
    if key.state(tx.now()) != KeyState::Disabled {
        usable(&key, tx.now())?;
    }
    tx.update::<Key>(&key.key(), |key| key.enabled = enabled);
    Ok(())
}

/// Deletes a key after 7 to 30 days, within which that can be cancelled.
///
/// # Errors
/// There is no such key, it is to be deleted already, or the window is another.
pub fn schedule_key_deletion(
    tx: &mut Tx,
    request: &Request,
    input: ScheduleKeyDeletionRequest,
) -> Result<ScheduleKeyDeletionResponse, Fault> {
    let ScheduleKeyDeletionRequest { key_id, pending_window_in_days } = input;
    let window_days = pending_window_in_days.unwrap_or(USUAL_WINDOW_DAYS);
    check::number("pendingWindowInDays", window_days, 1..=365)?;
    if !(7..=30).contains(&window_days) {
        let message = "PendingWindowInDays must be between 7 and 30";
        return Err(errors::validation(message));
    }
    let key = find(tx, request, "kms:ScheduleKeyDeletion", key_id.as_deref())?;
    not_pending_deletion(&key)?;
    // The primary waits for its replicas.
    let has_replicas = key.is_primary() && replicas(tx, &key).next().is_some();
    let date = (!has_replicas).then(|| after_days(tx.now(), window_days));
    tx.update::<Key>(&key.key(), |key| {
        key.deletion = Some(Deletion { date, window_days });
    });
    Ok(ScheduleKeyDeletionResponse {
        key_id: Some(key.arn()),
        deletion_date: date,
        key_state: Some(if has_replicas {
            KeyState::PendingReplicaDeletion
        } else {
            KeyState::PendingDeletion
        }),
        pending_window_in_days: Some(window_days),
    })
}

/// This many days after a time.
pub(crate) fn after_days(time: Timestamp, days: i32) -> Timestamp {
    time.plus_millis(i64::from(days) * DAY_MS)
}

fn replicas<'a>(tx: &'a Tx, key: &Key) -> impl Iterator<Item = &'a Arc<Key>> + use<'a> {
    let primary = key.primary.clone();
    tx.find::<Key>("multi-region", key.id)
        .filter(move |other| Some(&other.scope.region) != primary.as_ref())
}

/// Keeps a key that was to be deleted; it is disabled then.
///
/// # Errors
/// There is no such key, or it isn't to be deleted.
pub fn cancel_key_deletion(
    tx: &mut Tx,
    request: &Request,
    input: CancelKeyDeletionRequest,
) -> Result<CancelKeyDeletionResponse, Fault> {
    let CancelKeyDeletionRequest { key_id } = input;
    let key = find(tx, request, "kms:CancelKeyDeletion", key_id.as_deref())?;
    if key.deletion.is_none() {
        return Err(errors::invalid_state(key.arn(), "not pending deletion"));
    }
    tx.update::<Key>(&key.key(), |key| {
        key.deletion = None;
        key.enabled = false;
    });
    Ok(CancelKeyDeletionResponse { key_id: Some(key.arn()) })
}

/// Deletes the keys whose time has come, with all that is theirs.
pub(crate) fn delete_due(tx: &mut Tx) {
    let now = tx.now();
    let due = |key: &&Arc<Key>| {
        let date = key.deletion.as_ref().and_then(|deletion| deletion.date);
        date.is_some_and(|date| date <= now)
    };
    let keys = tx.find::<Key>("timed", "").filter(due).cloned().collect::<Vec<_>>();
    for key in keys {
        let id = key.key();
        for grant in tx.find::<Grant>("key", &id).map(|grant| grant.key()).collect::<Vec<_>>() {
            tx.delete::<Grant>(&grant);
        }
        for alias in tx.find::<Alias>("key", &id).map(|alias| alias.key()).collect::<Vec<_>>() {
            tx.delete::<Alias>(&alias);
        }
        tx.delete::<Key>(&id);
        if key.id.multi_region && !key.is_primary() && replicas(tx, &key).next().is_none() {
            delete_primary_now(tx, &key);
        }
    }
}

/// The last replica is gone: the primary's own window begins, if it is to be deleted.
fn delete_primary_now(tx: &mut Tx, replica: &Key) {
    let now = tx.now();
    let primary = tx.find::<Key>("multi-region", replica.id).next().map(|key| key.key());
    if let Some(primary) = primary {
        tx.update::<Key>(&primary, |key| {
            if let Some(deletion) = &mut key.deletion {
                deletion.date = Some(after_days(now, deletion.window_days));
            }
        });
    }
}
