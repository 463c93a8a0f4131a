//! Rotation: new material for new ciphertexts, while the old goes on opening the old ones.

use super::{
    Key, KeyMaterial, Rotation, Turn,
    create::{material_id, seal},
    find,
    lifecycle::after_days,
    not_pending_deletion, usable,
};
use crate::{
    check, errors,
    master::{MasterKey, Work},
    material::Material,
    operations::Computed,
    page::page,
};
use iam::Request;
use shapes::{
    Fault,
    kms::{
        DisableKeyRotationRequest, DisableKeyRotationResponse, EnableKeyRotationRequest,
        EnableKeyRotationResponse, ExpirationModelType, GetKeyRotationStatusRequest,
        GetKeyRotationStatusResponse, ImportState, IncludeKeyMaterial, KeyMaterialState, KeySpec,
        ListKeyRotationsRequest, ListKeyRotationsResponse, OriginType, RotateKeyOnDemandRequest,
        RotateKeyOnDemandResponse, RotationType, RotationsListEntry,
    },
};
use state::{Row as _, State, Tx};
use std::sync::Arc;
use types::Timestamp;

/// AWS's usual period.
const USUAL_PERIOD_DAYS: i32 = 365;
/// AWS's limit of rotations on demand of one key.
const MAX_ON_DEMAND: usize = 25;

/// Refuses keys that don't rotate.
fn rotates(key: &Key) -> Result<(), Fault> {
    if key.spec != KeySpec::SymmetricDefault || key.origin != OriginType::AwsKms {
        return Err(errors::unsupported_operation(format!(
            "The operation is not supported for {}: only symmetric encryption keys with material \
             of KMS's own rotate.",
            key.arn()
        )));
    }
    Ok(())
}

/// Replicas rotate with their primary.
fn primary_alone(key: &Key) -> Result<(), Fault> {
    if key.primary.is_some() && !key.is_primary() {
        let message = format!("{} is a replica: rotate its primary key.", key.arn());
        return Err(errors::unsupported_operation(message));
    }
    Ok(())
}

/// The key and its replicas.
fn related(state: &State, key: &Key) -> Vec<String> {
    if key.id.multi_region {
        state.find::<Key>("multi-region", key.id).map(|key| key.key()).collect()
    } else {
        vec![key.key()]
    }
}

/// Rotates a key from now on, each 90 to 2,560 days.
///
/// # Errors
/// There is no such key, or it doesn't rotate, or not now.
pub fn enable_key_rotation(
    tx: &mut Tx,
    request: &Request,
    input: EnableKeyRotationRequest,
) -> Result<EnableKeyRotationResponse, Fault> {
    let EnableKeyRotationRequest { key_id, rotation_period_in_days } = input;
    let key = find(tx, request, "kms:EnableKeyRotation", key_id.as_deref())?;
    if let Some(days) = rotation_period_in_days {
        check::number("rotationPeriodInDays", days, 90..=2560)?;
    }
    rotates(&key)?;
    primary_alone(&key)?;
    usable(&key, tx.now())?;
    let usual = key.rotation.as_ref().map_or(USUAL_PERIOD_DAYS, |rotation| rotation.period_days);
    let period_days = rotation_period_in_days.unwrap_or(usual);
    let next = after_days(tx.now(), period_days);
    for row in related(tx, &key) {
        tx.update::<Key>(&row, |key| key.rotation = Some(Rotation { period_days, next }));
    }
    Ok(EnableKeyRotationResponse {})
}

/// Rotates a key no more.
///
/// # Errors
/// There is no such key, or it doesn't rotate, or not now.
pub fn disable_key_rotation(
    tx: &mut Tx,
    request: &Request,
    input: DisableKeyRotationRequest,
) -> Result<DisableKeyRotationResponse, Fault> {
    let DisableKeyRotationRequest { key_id } = input;
    let key = find(tx, request, "kms:DisableKeyRotation", key_id.as_deref())?;
    rotates(&key)?;
    primary_alone(&key)?;
    usable(&key, tx.now())?;
    for row in related(tx, &key) {
        tx.update::<Key>(&row, |key| key.rotation = None);
    }
    Ok(DisableKeyRotationResponse {})
}

/// Whether a key rotates, and when next.
///
/// # Errors
/// There is no such key.
pub fn get_key_rotation_status(
    state: &State,
    request: &Request,
    input: GetKeyRotationStatusRequest,
) -> Result<GetKeyRotationStatusResponse, Fault> {
    let GetKeyRotationStatusRequest { key_id } = input;
    let key = find(state, request, "kms:GetKeyRotationStatus", key_id.as_deref())?;
    // A key that is to be deleted, or is disabled, keeps its setting and doesn't rotate.
    let rotation = key.rotation.as_ref().filter(|_| key.deletion.is_none());
    Ok(GetKeyRotationStatusResponse {
        key_rotation_enabled: Some(rotation.is_some()),
        key_id: Some(key.id.to_string()),
        rotation_period_in_days: rotation.map(|rotation| rotation.period_days),
        next_rotation_date: rotation.map(|rotation| rotation.next),
        // It is done within the call.
        on_demand_rotation_start_date: None,
    })
}

/// Rotates a key now.
///
/// # Errors
/// There is no such key, it doesn't rotate, or did so too often.
pub fn rotate_key_on_demand(
    state: &State,
    request: &Request,
    input: RotateKeyOnDemandRequest,
    work: &mut Work<'_>,
) -> Result<Computed<RotateKeyOnDemandResponse>, Fault> {
    let RotateKeyOnDemandRequest { key_id } = input;
    let key = find(state, request, "kms:RotateKeyOnDemand", key_id.as_deref())?;
    may_rotate_now(&key, work.effects.now())?;
    let turned = turn(state, &key, RotationType::OnDemand, work)?;
    let request = request.clone();
    Ok(Computed::Change(Box::new(move |tx: &mut Tx| {
        let key = find(tx, &request, "kms:RotateKeyOnDemand", key_id.as_deref())?;
        may_rotate_now(&key, tx.now())?;
        // A replica that was made meanwhile must not lack the new material.
        if turned.0.iter().map(|(row, _)| row).ne(related(tx, &key).iter()) {
            return Err(errors::invalid_state(key.arn(), "being changed"));
        }
        turned.put(tx);
        Ok(RotateKeyOnDemandResponse { key_id: Some(key.id.to_string()) })
    })))
}

fn may_rotate_now(key: &Key, now: Timestamp) -> Result<(), Fault> {
    rotates(key)?;
    primary_alone(key)?;
    not_pending_deletion(key)?;
    usable(key, now)?;
    let on_demand = |material: &&KeyMaterial| {
        material.rotation.as_ref().is_some_and(|turn| turn.0 == RotationType::OnDemand)
    };
    if key.materials.iter().filter(on_demand).count() >= MAX_ON_DEMAND {
        let limit = format!("The limit of on-demand rotations of a key is {MAX_ON_DEMAND}.");
        return Err(errors::limit(limit));
    }
    Ok(())
}

/// New material, sealed for a key and for each of its replicas.
struct Turned(Vec<(String, KeyMaterial)>);

impl Turned {
    fn put(self, tx: &mut Tx) {
        let now = tx.now();
        for (row, material) in self.0 {
            tx.update::<Key>(&row, |key| {
                key.materials.push(material);
                if let Some(rotation) = &mut key.rotation {
                    rotation.next = after_days(now, rotation.period_days);
                }
            });
        }
    }
}

fn turn(state: &State, key: &Key, why: RotationType, work: &mut Work<'_>) -> Result<Turned, Fault> {
    let material = Material::generate(key.spec, work.effects).ok_or_else(errors::internal)?;
    let id = material_id(work);
    let mut turned = Vec::new();
    for row in related(state, key) {
        let Some(key) = state.get::<Key>(&row) else { continue };
        let mut entry = seal(work, key, &material, id.clone())?;
        entry.rotation = Some(Turn(why));
        turned.push((row, entry));
    }
    Ok(Turned(turned))
}

/// Rotates the keys whose time has come; disabled ones wait until they are enabled.
pub(crate) fn rotate_due(tx: &mut Tx, master: &MasterKey) {
    let now = tx.now();
    let due = |key: &&Arc<Key>| {
        let is_due = key.rotation.as_ref().is_some_and(|rotation| rotation.next <= now);
        is_due && may_rotate_now_by_clock(key, now)
    };
    let keys = tx.find::<Key>("timed", "").filter(due).cloned().collect::<Vec<_>>();
    for key in keys {
        let state = tx.state().clone();
        let mut work = Work { effects: tx.effects(), master };
        // A fault of ours is tried again with the next tick.
        if let Ok(turned) = turn(&state, &key, RotationType::Automatic, &mut work) {
            turned.put(tx);
        }
    }
}

fn may_rotate_now_by_clock(key: &Key, now: Timestamp) -> bool {
    rotates(key).is_ok() && primary_alone(key).is_ok() && usable(key, now).is_ok()
}

/// Lists a key's rotations, oldest first; or all of its material.
///
/// # Errors
/// There is no such key, or it doesn't rotate.
pub fn list_key_rotations(
    state: &State,
    request: &Request,
    input: ListKeyRotationsRequest,
) -> Result<ListKeyRotationsResponse, Fault> {
    let ListKeyRotationsRequest { key_id, include_key_material, limit, marker } = input;
    let key = find(state, request, "kms:ListKeyRotations", key_id.as_deref())?;
    if key.spec != KeySpec::SymmetricDefault {
        rotates(&key)?;
    }
    let all = include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
    let materials = key.materials.iter().enumerate();
    let shown = materials.filter(|(_, material)| all || material.rotation.is_some());
    let number = |(number, _): &(usize, &KeyMaterial)| format!("{number:05}");
    let page = page(shown, number, limit, 100, marker.as_deref())?;
    let truncated = page.truncated();
    let entry = |(number, material): &(usize, &KeyMaterial)| {
        let is_current = number + 1 == key.materials.len();
        to_api(&key, material, is_current)
    };
    Ok(ListKeyRotationsResponse {
        rotations: Some(page.rows.iter().map(entry).collect()),
        next_marker: page.next,
        truncated,
    })
}

fn to_api(key: &Key, material: &KeyMaterial, is_current: bool) -> RotationsListEntry {
    let imported = key.origin == OriginType::External;
    let here = material.sealed.is_some();
    RotationsListEntry {
        key_id: Some(key.id.to_string()),
        key_material_id: Some(material.id.clone()),
        key_material_description: None,
        import_state: imported.then_some(if here {
            ImportState::Imported
        } else {
            ImportState::PendingImport
        }),
        key_material_state: Some(if is_current {
            KeyMaterialState::Current
        } else {
            KeyMaterialState::NonCurrent
        }),
        expiration_model: (imported && here).then_some(match material.valid_to {
            Some(_) => ExpirationModelType::KeyMaterialExpires,
            None => ExpirationModelType::KeyMaterialDoesNotExpire,
        }),
        valid_to: material.valid_to.filter(|_| here),
        rotation_date: material.rotation.as_ref().map(|_| material.since),
        rotation_type: material.rotation.as_ref().map(|turn| turn.0),
    }
}
