//! What a `KeyId` names: a key by its ID or ARN, or an alias by its name or ARN.

use crate::{
    aliases::{self, Alias},
    check, errors,
    keys::{Key, KeyId, key_arn, row_key},
};
use shapes::Fault;
use state::State;
use std::sync::Arc;
use types::{AccountId, Region, Scope};

/// A key, and the alias by which it was named.
pub(crate) struct Found {
    pub(crate) key: Arc<Key>,
    pub(crate) alias: Option<String>,
}

/// An ARN of KMS, taken apart.
struct Parts<'a> {
    account: AccountId,
    resource: &'a str,
}

fn parts<'a>(scope: &Scope, arn: &'a str) -> Result<Parts<'a>, Fault> {
    let invalid = || errors::invalid_arn(arn);
    let mut parts = arn.splitn(6, ':').skip(1);
    let mut next = || parts.next().ok_or_else(invalid);
    let (partition, service, region) = (next()?, next()?, next()?);
    let (account, resource) = (next()?, next()?);
    let region: Region = region.parse().map_err(|_| invalid())?;
    if partition != "aws" || service != "kms" {
        return Err(invalid());
    }
    if region != scope.region {
        return Err(errors::foreign_arn(region));
    }
    Ok(Parts { account: account.parse().map_err(|_| invalid())?, resource })
}

fn by_id(state: &State, scope: &Scope, text: &str, shown: &str) -> Result<Arc<Key>, Fault> {
    let id: KeyId = text.parse().map_err(|_| errors::invalid_key_id(shown))?;
    let key = state.get::<Key>(&row_key(&scope.region, id));
    let key = key.filter(|key| key.scope == *scope).cloned();
    key.ok_or_else(|| errors::key_not_found(key_arn(scope, id)))
}

fn by_alias(state: &State, scope: &Scope, name: &str) -> Result<Found, Fault> {
    let missing = || errors::alias_not_found(aliases::arn(scope, name));
    let alias: &Arc<Alias> = aliases::get(state, scope, name).ok_or_else(missing)?;
    let key = state.get::<Key>(&row_key(&scope.region, alias.target));
    let key = key.cloned().ok_or_else(missing)?;
    Ok(Found { key, alias: Some(alias.name.clone()) })
}

/// The key that a key ID, a key's ARN, an alias' name or its ARN names. Keys of other accounts are
/// named by ARN alone.
///
/// # Errors
/// There is none.
pub(crate) fn key_or_alias(
    state: &State,
    scope: &Scope,
    key_id: Option<&str>,
) -> Result<Found, Fault> {
    let key_id = check::required("keyId", key_id)?;
    check::text("keyId", key_id, 1..=2048)?;
    if !key_id.starts_with("arn:") {
        if key_id.starts_with("alias/") {
            return by_alias(state, scope, key_id);
        }
        return Ok(Found { key: by_id(state, scope, key_id, key_id)?, alias: None });
    }
    let Parts { account, resource } = parts(scope, key_id)?;
    let owner = Scope { account, region: scope.region.clone() };
    if resource.starts_with("alias/") {
        return by_alias(state, &owner, resource);
    }
    let id = resource.strip_prefix("key/").ok_or_else(|| errors::invalid_arn(key_id))?;
    Ok(Found { key: by_id(state, &owner, id, key_id)?, alias: None })
}

/// The key that a key ID or a key's ARN names.
///
/// # Errors
/// There is none.
pub(crate) fn key(state: &State, scope: &Scope, key_id: Option<&str>) -> Result<Arc<Key>, Fault> {
    let text = check::required("keyId", key_id)?;
    if text.starts_with("alias/") {
        return Err(errors::invalid_key_id(text));
    }
    match key_or_alias(state, scope, key_id)? {
        Found { key, alias: None } => Ok(key),
        Found { alias: Some(_), .. } => Err(errors::invalid_key_id(text)),
    }
}
