//! What keys answer about themselves.

use super::Key;
use crate::{
    authorise::{self, Asked},
    grants, identify, managed,
    master::Work,
    material::{Form, form},
    operations::Computed,
    page::page,
};
use iam::Request;
use shapes::{
    Fault,
    kms::{
        CustomerMasterKeySpec, DescribeKeyRequest, DescribeKeyResponse, EncryptionAlgorithmSpec,
        ExpirationModelType, KeyAgreementAlgorithmSpec, KeyListEntry, KeyMetadata, KeySpec,
        KeyState, KeyUsageType, ListKeysRequest, ListKeysResponse, MacAlgorithmSpec,
        MultiRegionConfiguration, MultiRegionKey, MultiRegionKeyType, OriginType,
        SigningAlgorithmSpec,
    },
};
use state::{Row as _, State, Tx};
use types::Timestamp;

/// The keys of one page, if the caller doesn't say.
const USUAL_PAGE: usize = 100;

/// Describes a key. An alias of AWS's that has no key yet gets one.
///
/// # Errors
/// There is no such key, or the caller may not.
pub fn describe_key(
    state: &State,
    request: &Request,
    input: DescribeKeyRequest,
    work: &mut Work<'_>,
) -> Result<Computed<DescribeKeyResponse>, Fault> {
    let DescribeKeyRequest { key_id, grant_tokens } = input;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let missing = key_id.as_deref().and_then(|id| managed::missing(state, &request.scope, id));
    let describe = move |state: &State, request: &Request, now| {
        let found = identify::key_or_alias(state, &request.scope, key_id.as_deref())?;
        let alias = found.alias.as_deref();
        let asked = Asked { alias, ..Asked::granted("kms:DescribeKey") };
        authorise::check(state, request, &found.key, &asked)?;
        Ok(DescribeKeyResponse { key_metadata: Some(to_api(state, &found.key, now)) })
    };
    let Some(service) = missing else {
        return describe(state, request, work.effects.now()).map(Computed::Done);
    };
    let made = managed::prepare(work, &request.scope, service)?;
    let request = request.clone();
    Ok(Computed::Change(Box::new(move |tx: &mut Tx| {
        made.put(tx);
        describe(tx, &request, tx.now())
    })))
}

/// Lists the caller's keys in a region.
///
/// # Errors
/// The limit or the marker is invalid.
pub fn list_keys(
    state: &State,
    request: &Request,
    input: ListKeysRequest,
) -> Result<ListKeysResponse, Fault> {
    let ListKeysRequest { limit, marker } = input;
    let rows = state.in_scope::<Key>(&request.scope);
    let page = page(rows, |key| key.key(), limit, USUAL_PAGE, marker.as_deref())?;
    let truncated = page.truncated();
    let entry = |key: &&std::sync::Arc<Key>| KeyListEntry {
        key_id: Some(key.id.to_string()),
        key_arn: Some(key.arn()),
    };
    Ok(ListKeysResponse {
        keys: Some(page.rows.iter().map(entry).collect()),
        next_marker: page.next,
        truncated,
    })
}

/// The algorithms of a key that encrypts.
pub(crate) fn encryption_algorithms(key: &Key) -> Vec<EncryptionAlgorithmSpec> {
    match form(key.spec) {
        Some(Form::Symmetric) => vec![EncryptionAlgorithmSpec::SymmetricDefault],
        Some(Form::Rsa(_)) if key.usage == KeyUsageType::EncryptDecrypt => {
            vec![EncryptionAlgorithmSpec::RsaesOaepSha1, EncryptionAlgorithmSpec::RsaesOaepSha256]
        }
        Some(Form::Mac(_) | Form::Rsa(_) | Form::P256 | Form::P384 | Form::P521 | Form::K256)
        | None => Vec::new(),
    }
}

/// The algorithms of a key that signs.
pub(crate) fn signing_algorithms(key: &Key) -> Vec<SigningAlgorithmSpec> {
    use SigningAlgorithmSpec as Algorithm;
    if key.usage != KeyUsageType::SignVerify {
        return Vec::new();
    }
    match form(key.spec) {
        Some(Form::Rsa(_)) => vec![
            Algorithm::RsassaPkcs1V1_5Sha256,
            Algorithm::RsassaPkcs1V1_5Sha384,
            Algorithm::RsassaPkcs1V1_5Sha512,
            Algorithm::RsassaPssSha256,
            Algorithm::RsassaPssSha384,
            Algorithm::RsassaPssSha512,
        ],
        Some(Form::P256 | Form::K256) => vec![Algorithm::EcdsaSha256],
        Some(Form::P384) => vec![Algorithm::EcdsaSha384],
        Some(Form::P521) => vec![Algorithm::EcdsaSha512],
        Some(Form::Symmetric | Form::Mac(_)) | None => Vec::new(),
    }
}

/// The algorithm of a key that makes codes.
pub(crate) fn mac_algorithm(spec: KeySpec) -> Option<MacAlgorithmSpec> {
    match form(spec)? {
        Form::Mac(28) => Some(MacAlgorithmSpec::HmacSha224),
        Form::Mac(32) => Some(MacAlgorithmSpec::HmacSha256),
        Form::Mac(48) => Some(MacAlgorithmSpec::HmacSha384),
        Form::Mac(_) => Some(MacAlgorithmSpec::HmacSha512),
        Form::Symmetric | Form::Rsa(_) | Form::P256 | Form::P384 | Form::P521 | Form::K256 => None,
    }
}

/// None of an empty list, which AWS leaves out.
pub(crate) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

/// The algorithms of a key that agrees on secrets.
pub(crate) fn agreement_algorithms(key: &Key) -> Option<Vec<KeyAgreementAlgorithmSpec>> {
    let agrees = key.usage == KeyUsageType::KeyAgreement;
    agrees.then(|| vec![KeyAgreementAlgorithmSpec::Ecdh])
}

/// The older name of a spec, which newer ones don't have.
pub(crate) fn old_spec(spec: KeySpec) -> Option<CustomerMasterKeySpec> {
    spec.as_str().parse().ok()
}

/// A key's metadata at a time.
pub(crate) fn to_api(state: &State, key: &Key, now: Timestamp) -> KeyMetadata {
    let key_state = key.state(now);
    let of_old = key.origin == OriginType::External && key_state != KeyState::PendingImport;
    let expiration = of_old.then(|| match key.expires() {
        Some(_) => ExpirationModelType::KeyMaterialExpires,
        None => ExpirationModelType::KeyMaterialDoesNotExpire,
    });
    let current = key.current().filter(|material| material.sealed.is_some());
    let symmetric = key.spec == KeySpec::SymmetricDefault;
    let pending = key_state == KeyState::PendingReplicaDeletion;
    let deletion = key.deletion.as_ref();
    KeyMetadata {
        aws_account_id: Some(key.scope.account.to_string()),
        key_id: Some(key.id.to_string()),
        arn: Some(key.arn()),
        creation_date: Some(key.created),
        enabled: Some(key_state == KeyState::Enabled),
        description: Some(key.description.clone()),
        key_usage: Some(key.usage),
        key_state: Some(key_state),
        deletion_date: deletion.and_then(|deletion| deletion.date),
        valid_to: if of_old { key.expires() } else { None },
        origin: Some(key.origin),
        custom_key_store_id: None,
        cloud_hsm_cluster_id: None,
        expiration_model: expiration,
        key_manager: Some(key.manager),
        customer_master_key_spec: old_spec(key.spec),
        key_spec: Some(key.spec),
        encryption_algorithms: some(encryption_algorithms(key)),
        signing_algorithms: some(signing_algorithms(key)),
        key_agreement_algorithms: agreement_algorithms(key),
        multi_region: Some(key.id.multi_region),
        multi_region_configuration: multi_region(state, key),
        pending_deletion_window_in_days: deletion.filter(|_| pending).map(|it| it.window_days),
        mac_algorithms: mac_algorithm(key.spec).map(|algorithm| vec![algorithm]),
        xks_key_configuration: None,
        current_key_material_id: current.filter(|_| symmetric).map(|it| it.id.clone()),
    }
}

fn multi_region(state: &State, key: &Key) -> Option<MultiRegionConfiguration> {
    let primary = key.primary.as_ref()?;
    let to_api = |key: &Key| MultiRegionKey {
        arn: Some(key.arn()),
        region: Some(key.scope.region.to_string()),
    };
    let of_all = || state.find::<Key>("multi-region", key.id);
    let is_primary = |other: &&std::sync::Arc<Key>| other.scope.region == *primary;
    // A new key isn't in the state yet: it is its own primary.
    let own = key.is_primary().then(|| to_api(key));
    Some(MultiRegionConfiguration {
        multi_region_key_type: Some(if key.is_primary() {
            MultiRegionKeyType::Primary
        } else {
            MultiRegionKeyType::Replica
        }),
        primary_key: own.or_else(|| of_all().find(is_primary).map(|key| to_api(key))),
        replica_keys: Some(
            of_all().filter(|key| !is_primary(key)).map(|key| to_api(key)).collect(),
        ),
    })
}
