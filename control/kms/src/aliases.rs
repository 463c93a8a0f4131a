//! Aliases: names of keys, each in its account and region.

use crate::{
    authorise::{self, Asked},
    check, errors, identify,
    keys::{self, Key, KeyId, row_key},
    page::page,
    word,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    kms::{
        AliasListEntry, CreateAliasRequest, CreateAliasResponse, DeleteAliasRequest,
        DeleteAliasResponse, ListAliasesRequest, ListAliasesResponse, UpdateAliasRequest,
        UpdateAliasResponse,
    },
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{Arn, Scope, Timestamp};

/// AWS's limit of aliases of one key.
const MAX_ALIASES: usize = 50;
/// What AWS's own aliases begin with.
const RESERVED: &str = "alias/aws/";

/// An alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    /// With its `alias/`.
    pub name: String,
    pub scope: Scope,
    /// A key of the same account and region.
    #[serde(with = "word")]
    pub target: KeyId,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Row for Alias {
    const TABLE: &'static str = "kms-alias";
    type Key = String;
    fn key(&self) -> String {
        entry(&self.scope, &self.name)
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("key", &row_key(&self.scope.region, self.target));
    }
}

fn entry(scope: &Scope, name: &str) -> String {
    format!("{}/{}/{name}", scope.account, scope.region)
}

/// The alias with this name.
pub(crate) fn get<'a>(state: &'a State, scope: &Scope, name: &str) -> Option<&'a Arc<Alias>> {
    state.get::<Alias>(&entry(scope, name))
}

/// The ARN of an alias.
pub(crate) fn arn(scope: &Scope, name: &str) -> String {
    let (region, account) = (Some(scope.region.clone()), Some(scope.account));
    Arn { service: "kms", region, account, resource: name.to_owned() }.to_string()
}

/// A name that a customer's alias may have.
fn name(given: Option<String>) -> Result<String, Fault> {
    let name = check::required("aliasName", given)?;
    check::text("aliasName", &name, 1..=256)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
    check::pattern("aliasName", &name, "^[a-zA-Z0-9:/_-]+$", allowed)?;
    let Some(rest) = name.strip_prefix("alias/") else { return Err(errors::alias_prefix()) };
    if name.starts_with(RESERVED) {
        return Err(errors::reserved_alias());
    }
    if rest.is_empty() || rest.ends_with('/') || rest.contains(':') {
        return Err(errors::invalid_alias_name());
    }
    Ok(name)
}

/// The key that an alias is to name: one of the caller's own that lives on.
fn target(
    tx: &Tx,
    request: &Request,
    action: &str,
    key_id: Option<&str>,
) -> Result<Arc<Key>, Fault> {
    let key_id = check::required("targetKeyId", key_id)?;
    if key_id.contains("alias/") {
        return Err(errors::validation("Aliases must refer to keys. Not aliases"));
    }
    let key = identify::key(tx, &request.scope, Some(key_id))?;
    authorise::check(tx, request, &key, &Asked::new(action))?;
    if key.scope != request.scope {
        return Err(errors::key_not_found(key.arn()));
    }
    keys::not_pending_deletion(&key)?;
    Ok(key)
}

fn within_limit(tx: &Tx, key: &Key) -> Result<(), Fault> {
    if tx.find::<Alias>("key", key.key()).count() >= MAX_ALIASES {
        return Err(errors::limit(format!("The limit of aliases of a key is {MAX_ALIASES}.")));
    }
    Ok(())
}

/// Gives a key a name.
///
/// # Errors
/// The name is invalid or taken, there is no such key, or it has too many aliases.
pub fn create_alias(
    tx: &mut Tx,
    request: &Request,
    input: CreateAliasRequest,
) -> Result<CreateAliasResponse, Fault> {
    let CreateAliasRequest { alias_name, target_key_id } = input;
    let name = name(alias_name)?;
    let key = target(tx, request, "kms:CreateAlias", target_key_id.as_deref())?;
    if get(tx, &request.scope, &name).is_some() {
        return Err(errors::alias_exists(arn(&request.scope, &name)));
    }
    within_limit(tx, &key)?;
    let (scope, now) = (request.scope.clone(), tx.now());
    tx.put(Alias { name, scope, target: key.id, created: now, updated: now });
    Ok(CreateAliasResponse {})
}

/// Gives an alias to another key of the same kind.
///
/// # Errors
/// There is no such alias or key, or the keys differ in type or usage.
pub fn update_alias(
    tx: &mut Tx,
    request: &Request,
    input: UpdateAliasRequest,
) -> Result<UpdateAliasResponse, Fault> {
    let UpdateAliasRequest { alias_name, target_key_id } = input;
    let name = name(alias_name)?;
    let missing = || errors::alias_not_found(arn(&request.scope, &name));
    let alias = get(tx, &request.scope, &name).cloned().ok_or_else(missing)?;
    let old = tx.get::<Key>(&row_key(&request.scope.region, alias.target)).cloned();
    let key = target(tx, request, "kms:UpdateAlias", target_key_id.as_deref())?;
    if let Some(old) = old {
        authorise::check(tx, request, &old, &Asked::new("kms:UpdateAlias"))?;
        let kind = |key: &Key| (key.usage, key.public.is_some());
        if kind(&old) != kind(&key) {
            return Err(errors::validation(
                "The current and new KMS key must be the same type (both symmetric or both \
                 asymmetric or both HMAC) and have the same key usage.",
            ));
        }
    }
    if alias.target != key.id {
        within_limit(tx, &key)?;
    }
    let now = tx.now();
    tx.update::<Alias>(&alias.key(), |alias| {
        alias.target = key.id;
        alias.updated = now;
    });
    Ok(UpdateAliasResponse {})
}

/// Takes a name from its key.
///
/// # Errors
/// There is no such alias.
pub fn delete_alias(
    tx: &mut Tx,
    request: &Request,
    input: DeleteAliasRequest,
) -> Result<DeleteAliasResponse, Fault> {
    let DeleteAliasRequest { alias_name } = input;
    let name = name(alias_name)?;
    let missing = || errors::alias_not_found(arn(&request.scope, &name));
    let alias = get(tx, &request.scope, &name).cloned().ok_or_else(missing)?;
    if let Some(key) = tx.get::<Key>(&row_key(&request.scope.region, alias.target)).cloned() {
        authorise::check(tx, request, &key, &Asked::new("kms:DeleteAlias"))?;
    }
    tx.delete::<Alias>(&alias.key());
    Ok(DeleteAliasResponse {})
}

/// Lists the caller's aliases in a region, or those of one key.
///
/// # Errors
/// There is no such key, or the limit or the marker is invalid.
pub fn list_aliases(
    state: &State,
    request: &Request,
    input: ListAliasesRequest,
) -> Result<ListAliasesResponse, Fault> {
    let ListAliasesRequest { key_id, limit, marker } = input;
    let of = match key_id.as_deref() {
        Some(key_id) => Some(identify::key(state, &request.scope, Some(key_id))?.id),
        None => None,
    };
    let rows = state.in_scope::<Alias>(&request.scope);
    let rows = rows.filter(|alias| of.is_none_or(|of| alias.target == of));
    let page = page(rows, |alias| alias.key(), limit, 50, marker.as_deref())?;
    let truncated = page.truncated();
    Ok(ListAliasesResponse {
        aliases: Some(page.rows.iter().map(|alias| to_api(alias)).collect()),
        next_marker: page.next,
        truncated,
    })
}

fn to_api(alias: &Alias) -> AliasListEntry {
    AliasListEntry {
        alias_name: Some(alias.name.clone()),
        alias_arn: Some(arn(&alias.scope, &alias.name)),
        target_key_id: Some(alias.target.to_string()),
        creation_date: Some(alias.created),
        last_updated_date: Some(alias.updated),
    }
}
