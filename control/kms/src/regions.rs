//! Multi-Region keys: replicas with the same ID and material in other regions.

use crate::{
    check, errors,
    keys::{
        self, Key, KeyMaterial, create, create::MAX_DESCRIPTION, policies, queries, row_key,
        tagging,
    },
    master::Work,
    operations::Computed,
};
use iam::Request;
use shapes::{
    Fault,
    kms::{
        OriginType, ReplicateKeyRequest, ReplicateKeyResponse, UpdatePrimaryRegionRequest,
        UpdatePrimaryRegionResponse,
    },
};
use state::{Row as _, State, Tx};
use types::{Region, Scope};

fn region(member: &str, given: Option<String>) -> Result<Region, Fault> {
    let text = check::required(member, given)?;
    check::text(member, &text, 1..=32)?;
    text.parse().map_err(|_| {
        let pattern = "Member must satisfy regular expression pattern: ^([a-z]+-){2,3}\\d+$";
        errors::constraint(format!("'{text}'"), member, pattern)
    })
}

/// Refuses what is no primary key.
fn primary(key: &Key) -> Result<(), Fault> {
    if key.is_primary() {
        return Ok(());
    }
    let message = format!("{} is not a multi-region primary key.", key.arn());
    Err(errors::unsupported_operation(message))
}

/// Makes a replica of a multi-Region primary key in another region.
///
/// # Errors
/// There is no such key, it is no primary key, can't be used, or has a replica there.
pub fn replicate_key(
    state: &State,
    request: &Request,
    input: ReplicateKeyRequest,
    work: &mut Work<'_>,
) -> Result<Computed<ReplicateKeyResponse>, Fault> {
    let ReplicateKeyRequest {
        key_id,
        replica_region,
        policy,
        bypass_policy_lockout_safety_check,
        description,
        tags,
    } = input;
    let key = keys::find(state, request, "kms:ReplicateKey", key_id.as_deref())?;
    primary(&key)?;
    let region = region("replicaRegion", replica_region)?;
    keys::usable(&key, work.effects.now())?;
    let description = description.unwrap_or_default();
    check::text("description", &description, 0..=MAX_DESCRIPTION)?;
    let bypass = bypass_policy_lockout_safety_check == Some(true);
    let policy = match policy {
        Some(text) => policies::checked(state, request, text, bypass)?,
        None => policies::usual(key.scope.account),
    };
    free(state, &key, &region)?;
    let mut replica = Key {
        scope: Scope { region, ..key.scope.clone() },
        created: work.effects.now(),
        description,
        policy,
        tags: tagging::from_api(tags.unwrap_or_default())?,
        materials: Vec::new(),
        ..Key::clone(&key)
    };
    replica.materials = materials(work, &key, &replica)?;
    Ok(Computed::Change(Box::new(move |tx: &mut Tx| {
        free(tx, &key, &replica.scope.region)?;
        // A replica must not lack material that its primary has got meanwhile.
        let now = tx.get::<Key>(&key.key()).filter(|now| now.materials == key.materials);
        let now = now.ok_or_else(|| errors::invalid_state(key.arn(), "being changed"))?;
        primary(now)?;
        keys::usable(now, tx.now())?;
        tx.put(replica.clone());
        Ok(ReplicateKeyResponse {
            replica_key_metadata: Some(queries::to_api(tx, &replica, tx.now())),
            replica_policy: Some(replica.policy.text().to_owned()),
            replica_tags: Some(tagging::to_api(&replica.tags)),
        })
    })))
}

fn free(state: &State, key: &Key, region: &Region) -> Result<(), Fault> {
    if state.get::<Key>(&row_key(region, key.id)).is_some() {
        let message = format!("The key {} exists in {region} already.", key.id);
        return Err(errors::already_exists(message));
    }
    Ok(())
}

/// The key's material, sealed for its replica. What was imported has to be imported there, too.
fn materials(work: &mut Work<'_>, key: &Key, replica: &Key) -> Result<Vec<KeyMaterial>, Fault> {
    if key.origin == OriginType::External {
        return Ok(Vec::new());
    }
    let now = work.effects.now();
    let mut sealed = Vec::new();
    for entry in &key.materials {
        let material = keys::open(work.master, key, entry, now)?;
        let again = create::seal(work, replica, &material, entry.id.clone())?;
        sealed.push(KeyMaterial { sealed: again.sealed, ..entry.clone() });
    }
    Ok(sealed)
}

/// Makes a replica the primary key, and the primary a replica.
///
/// # Errors
/// There is no such key or replica, or it is no primary key.
pub fn update_primary_region(
    tx: &mut Tx,
    request: &Request,
    input: UpdatePrimaryRegionRequest,
) -> Result<UpdatePrimaryRegionResponse, Fault> {
    let UpdatePrimaryRegionRequest { key_id, primary_region } = input;
    let key = keys::find(tx, request, "kms:UpdatePrimaryRegion", key_id.as_deref())?;
    primary(&key)?;
    let region = region("primaryRegion", primary_region)?;
    keys::usable(&key, tx.now())?;
    let Some(replica) = tx.get::<Key>(&row_key(&region, key.id)).cloned() else {
        let scope = Scope { region, ..key.scope.clone() };
        return Err(errors::key_not_found(keys::key_arn(&scope, key.id)));
    };
    keys::usable(&replica, tx.now())?;
    let rows = tx.find::<Key>("multi-region", key.id).map(|key| key.key()).collect::<Vec<_>>();
    for row in rows {
        tx.update::<Key>(&row, |key| key.primary = Some(region.clone()));
    }
    Ok(UpdatePrimaryRegionResponse {})
}
