//! Key pairs.

mod private;
mod public;

use crate::{
    Mutation, errors,
    filters::Filters,
    resource::{Resource, find_all, not_found, parse_id},
    tags,
};
use iam::Request;
use private::PrivateKey;
use public::PublicKey;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    ec2::{
        self as api, CreateKeyPairRequest, DeleteKeyPairRequest, DeleteKeyPairResult,
        DescribeKeyPairsRequest, DescribeKeyPairsResult, ImportKeyPairRequest, ImportKeyPairResult,
        KeyFormat, KeyPairInfo, KeyType, ResourceType,
    },
};
use state::{Effects, Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{KeyPairId, Scope, Tags, Timestamp};

/// AWS's limit of characters in a name.
const MAX_NAME: usize = 255;
/// AWS's limit of key pairs in one account and region.
const MAX_KEY_PAIRS: usize = 5000;

/// A key pair: the public half; the private one is never kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPair {
    pub id: KeyPairId,
    pub scope: Scope,
    pub name: String,
    /// `rsa` or `ed25519`.
    pub kind: String,
    pub fingerprint: String,
    /// In OpenSSH's form, with a comment.
    pub public_key: String,
    pub create_time: Timestamp,
    pub tags: Tags,
}

fn name_entry(scope: &Scope, name: &str) -> String {
    format!("{}/{}/{name}", scope.account, scope.region)
}

/// The caller's key pair with this name.
#[must_use]
pub fn get<'a>(state: &'a State, scope: &Scope, name: &str) -> Option<&'a Arc<KeyPair>> {
    state.find::<KeyPair>("name", name_entry(scope, name)).next()
}

/// The caller's key pair with this name.
///
/// # Errors
/// There is none.
pub fn find(state: &State, scope: &Scope, name: &str) -> Result<Arc<KeyPair>, Fault> {
    get(state, scope, name).cloned().ok_or_else(|| errors::key_pair_not_found(name))
}

impl Row for KeyPair {
    const TABLE: &'static str = "key-pair";
    type Key = KeyPairId;
    fn key(&self) -> KeyPairId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("name", &name_entry(&self.scope, &self.name));
    }
}

impl Resource for KeyPair {
    const TYPE: ResourceType = ResourceType::KeyPair;
    const NOUN: &'static str = "key pair";
    const CODE: &'static str = "InvalidKeyPair";
    const MALFORMED: &'static str = "InvalidKeyPair";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a key pair and hands out its private half, which is not kept. An RSA key's primes are
/// found before the transaction.
///
/// # Errors
/// The name is invalid or taken, or there are too many key pairs.
pub fn create_key_pair(
    state: &State,
    request: &Request,
    input: CreateKeyPairRequest,
    effects: &mut Effects,
) -> Result<Mutation<api::KeyPair>, Fault> {
    let CreateKeyPairRequest { key_name, key_type, tag_specifications, key_format, dry_run: _ } =
        input;
    let name = new_name(state, &request.scope, key_name)?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::KeyPair)?;
    let broken = || Fault::receiver("InternalError", "No key could be made.");
    let private = match key_type.unwrap_or(KeyType::Rsa) {
        KeyType::Rsa => PrivateKey::rsa(effects).ok_or_else(broken)?,
        KeyType::Ed25519 => PrivateKey::ed25519(effects),
    };
    let material = match key_format.unwrap_or(KeyFormat::Pem) {
        KeyFormat::Pem => private.to_pem(&name),
        KeyFormat::Ppk => private.to_ppk(&name),
    };
    let material = material.ok_or_else(broken)?;
    let fingerprint = private.fingerprint().ok_or_else(broken)?;
    let (request, public) = (request.clone(), private.public());
    Ok(Box::new(move |tx: &mut Tx| {
        // Another call may have taken the name meanwhile.
        let name = new_name(tx, &request.scope, Some(name))?;
        let row = put(tx, &request, name, &public, fingerprint, tags);
        Ok(api::KeyPair {
            key_pair_id: Some(row.id.to_string()),
            tags: tags::to_api(&row.tags),
            key_name: Some(row.name),
            key_fingerprint: Some(row.fingerprint),
            key_material: Some(material),
        })
    }))
}

/// Takes in the public half of a key pair made elsewhere.
///
/// # Errors
/// The name is invalid or taken, there are too many key pairs, or EC2 takes no such key.
pub fn import_key_pair(
    tx: &mut Tx,
    request: &Request,
    input: ImportKeyPairRequest,
) -> Result<ImportKeyPairResult, Fault> {
    let ImportKeyPairRequest { tag_specifications, dry_run: _, key_name, public_key_material } =
        input;
    let name = new_name(tx, &request.scope, key_name)?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::KeyPair)?;
    let material = public_key_material.ok_or_else(|| errors::missing("PublicKeyMaterial"))?;
    let public = PublicKey::parse(&material).ok_or_else(errors::invalid_key_format)?;
    let row = put(tx, request, name, &public, public.fingerprint(), tags);
    Ok(ImportKeyPairResult {
        key_fingerprint: Some(row.fingerprint),
        key_name: Some(row.name),
        key_pair_id: Some(row.id.to_string()),
        tags: tags::to_api(&row.tags),
    })
}

/// A name for a new key pair: printable ASCII without spaces around, as it is the comment of keys.
fn new_name(state: &State, scope: &Scope, name: Option<String>) -> Result<String, Fault> {
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("KeyName"))?;
    if name.len() > MAX_NAME {
        let why = format!("The limit of its length is {MAX_NAME} characters.");
        return Err(errors::invalid_value(name, "KeyName", why));
    }
    let printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !printable || name.trim() != name {
        let why = "It may have ASCII characters, and no spaces around them.";
        return Err(errors::invalid_value(name, "KeyName", why));
    }
    if get(state, scope, &name).is_some() {
        return Err(errors::key_pair_exists(name));
    }
    if state.in_scope::<KeyPair>(scope).count() >= MAX_KEY_PAIRS {
        return Err(errors::key_pair_limit(MAX_KEY_PAIRS));
    }
    Ok(name)
}

fn put(
    tx: &mut Tx,
    request: &Request,
    name: String,
    public: &PublicKey,
    fingerprint: String,
    tags: Tags,
) -> KeyPair {
    let row = KeyPair {
        id: tx.new_id(),
        scope: request.scope.clone(),
        kind: public.kind().as_str().to_owned(),
        fingerprint,
        public_key: public.open_ssh(&name),
        name,
        create_time: tx.now(),
        tags,
    };
    tx.put(row.clone());
    row
}

/// The caller's key pairs.
///
/// # Errors
/// A key pair doesn't exist, or a filter is invalid.
pub fn describe_key_pairs(
    state: &State,
    request: &Request,
    input: DescribeKeyPairsRequest,
) -> Result<DescribeKeyPairsResult, Fault> {
    let DescribeKeyPairsRequest {
        key_names,
        key_pair_ids,
        include_public_key,
        dry_run: _,
        filters,
    } = input;
    let filters = Filters::new(filters, &["fingerprint", "key-name", "key-pair-id"])?;
    let (names, ids) = (key_names.unwrap_or_default(), key_pair_ids.unwrap_or_default());
    let scope = &request.scope;
    let mut rows = match (names.is_empty(), ids.is_empty()) {
        (true, true) => state.in_scope::<KeyPair>(scope).cloned().collect(),
        _ => find_all::<KeyPair>(state, scope, &ids)?,
    };
    let mut missing = Vec::new();
    for name in &names {
        match get(state, scope, name) {
            Some(row) => rows.push(row.clone()),
            None => missing.push(name.as_str()),
        }
    }
    if !missing.is_empty() {
        return Err(not_found::<KeyPair>(&missing));
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows.dedup_by_key(|row| row.id);
    rows.retain(|row| {
        filters.accept(&row.tags, |filter, wanted| match filter {
            "fingerprint" => wanted.is(&row.fingerprint),
            "key-name" => wanted.is(&row.name),
            _ => wanted.is(row.id),
        })
    });
    let include = include_public_key == Some(true);
    let pairs = rows.iter().map(|row| to_api(row, include)).collect();
    Ok(DescribeKeyPairsResult { key_pairs: Some(pairs) })
}

/// Deletes a key pair by its name or its ID; one that doesn't exist is as good as deleted.
///
/// # Errors
/// Neither or both are given, or the ID is malformed.
pub fn delete_key_pair(
    tx: &mut Tx,
    request: &Request,
    input: DeleteKeyPairRequest,
) -> Result<DeleteKeyPairResult, Fault> {
    let DeleteKeyPairRequest { key_name, key_pair_id, dry_run: _ } = input;
    let scope = &request.scope;
    let found = match (key_name, key_pair_id) {
        (Some(name), None) => get(tx, scope, &name).map(|row| row.id),
        (None, Some(id)) => match parse_id::<KeyPair>(&id) {
            Ok(id) => tx.get::<KeyPair>(&id).filter(|row| row.visible(scope)).map(|row| row.id),
            Err(fault) if fault.code.ends_with(".NotFound") => None,
            Err(fault) => return Err(fault),
        },
        (None, None) => {
            return Err(errors::missing("KeyName or KeyPairId"));
        }
        (Some(_), Some(_)) => {
            let why = "The parameters KeyName and KeyPairId cannot be used together.";
            return Err(errors::combination(why));
        }
    };
    if let Some(id) = &found {
        tx.delete::<KeyPair>(id);
    }
    let key_pair_id = found.map(|id| id.to_string());
    Ok(DeleteKeyPairResult { r#return: Some(true), key_pair_id })
}

fn to_api(row: &KeyPair, include_public_key: bool) -> KeyPairInfo {
    KeyPairInfo {
        key_pair_id: Some(row.id.to_string()),
        key_type: row.kind.parse().ok(),
        tags: tags::to_api(&row.tags),
        public_key: include_public_key.then(|| row.public_key.clone()),
        create_time: Some(row.create_time),
        key_name: Some(row.name.clone()),
        key_fingerprint: Some(row.fingerprint.clone()),
    }
}

#[cfg(test)]
mod tests;
