//! Making keys.

use super::{Key, KeyId, KeyMaterial, KeyPolicy, policies, queries, tagging};
use crate::{
    check, errors,
    master::Work,
    material::{self, Form, Material},
    operations::Computed,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use iam::Request;
use shapes::{
    Fault,
    kms::{CreateKeyRequest, CreateKeyResponse, KeyManagerType, KeySpec, KeyUsageType, OriginType},
};
use state::{State, Tx};
use types::Scope;

/// AWS's limit of keys in one account and region.
const MAX_KEYS: usize = 100_000;
/// AWS's limit of characters in a description.
pub(crate) const MAX_DESCRIPTION: usize = 8192;

/// What a new key is to be.
pub(crate) struct Plan {
    pub(crate) scope: Scope,
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsageType,
    pub(crate) origin: OriginType,
    pub(crate) manager: KeyManagerType,
    pub(crate) description: String,
    pub(crate) policy: KeyPolicy,
    pub(crate) multi_region: bool,
}

/// Makes a key. Material is found before the transaction: an RSA key's primes take a while.
///
/// # Errors
/// The key can't be so, the policy is malformed or locks the caller out, or there are too many keys.
pub fn create_key(
    state: &State,
    request: &Request,
    input: CreateKeyRequest,
    work: &mut Work<'_>,
) -> Result<Computed<CreateKeyResponse>, Fault> {
    let CreateKeyRequest {
        policy,
        description,
        key_usage,
        customer_master_key_spec,
        key_spec,
        origin,
        custom_key_store_id,
        bypass_policy_lockout_safety_check,
        tags,
        multi_region,
        xks_key_id,
    } = input;
    let old_name = customer_master_key_spec.and_then(|spec| spec.as_str().parse().ok());
    if key_spec.is_some() && old_name.is_some() && key_spec != old_name {
        return Err(errors::validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
             CustomerMasterKeySpec is deprecated.",
        ));
    }
    let spec = key_spec.or(old_name).unwrap_or(KeySpec::SymmetricDefault);
    let origin = origin.unwrap_or(OriginType::AwsKms);
    if custom_key_store_id.is_some()
        || matches!(origin, OriginType::AwsCloudhsm | OriginType::ExternalKeyStore)
    {
        return Err(errors::unsupported("CustomKeyStoreId"));
    }
    if xks_key_id.is_some() {
        return Err(errors::unsupported("XksKeyId"));
    }
    let usage = usage(spec, key_usage)?;
    let description = description.unwrap_or_default();
    check::text("description", &description, 0..=MAX_DESCRIPTION)?;
    let tags = tagging::from_api(tags.unwrap_or_default())?;
    let bypass = bypass_policy_lockout_safety_check == Some(true);
    let policy = match policy {
        Some(text) => policies::checked(state, request, text, bypass)?,
        None => policies::usual(request.scope.account),
    };
    if state.count_in_scope::<Key>(&request.scope) >= MAX_KEYS {
        return Err(errors::limit("The limit of keys is reached."));
    }
    let multi_region = multi_region == Some(true);
    let scope = request.scope.clone();
    let manager = KeyManagerType::Customer;
    let plan = Plan { scope, spec, usage, origin, manager, description, policy, multi_region };
    let mut key = make(work, plan)?;
    key.tags = tags;
    Ok(Computed::Change(Box::new(move |tx: &mut Tx| {
        tx.put(key.clone());
        Ok(CreateKeyResponse { key_metadata: Some(queries::to_api(tx, &key, tx.now())) })
    })))
}

/// Makes a key's row, with its material unless that is to be imported.
///
/// # Errors
/// The generator is broken.
pub(crate) fn make(work: &mut Work<'_>, plan: Plan) -> Result<Key, Fault> {
    let Plan { scope, spec, usage, origin, manager, description, policy, multi_region } = plan;
    let id = KeyId::new(work.effects, multi_region);
    let primary = multi_region.then(|| scope.region.clone());
    let created = work.effects.now();
    let mut key = Key {
        id,
        scope,
        created,
        description,
        spec,
        usage,
        origin,
        manager,
        enabled: true,
        deletion: None,
        policy,
        tags: types::Tags::new(),
        materials: Vec::new(),
        public: None,
        rotation: None,
        primary,
    };
    if origin == OriginType::External {
        return Ok(key);
    }
    let material = Material::generate(spec, work.effects).ok_or_else(errors::internal)?;
    key.public = material.public_der().map(|der| STANDARD.encode(der));
    let id = material_id(work);
    let entry = seal(work, &key, &material, id)?;
    key.materials.push(entry);
    Ok(key)
}

/// A new ID of material.
pub(crate) fn material_id(work: &mut Work<'_>) -> String {
    hex::encode(work.effects.seed())
}

/// Material of a key, sealed for its row.
///
/// # Errors
/// The cipher refuses.
pub(crate) fn seal(
    work: &mut Work<'_>,
    key: &Key,
    material: &Material,
    id: String,
) -> Result<KeyMaterial, Fault> {
    let bytes = material.to_bytes().ok_or_else(errors::internal)?;
    let sealed = work.master.seal(work.effects, &key.place(&id), &bytes);
    let sealed = Some(sealed.ok_or_else(errors::internal)?);
    let since = work.effects.now();
    Ok(KeyMaterial { id, sealed, since, rotation: None, valid_to: None })
}

/// What a key of this spec is for: one thing of some, what the caller says of others.
fn usage(spec: KeySpec, given: Option<KeyUsageType>) -> Result<KeyUsageType, Fault> {
    use KeyUsageType::{EncryptDecrypt, GenerateVerifyMac, KeyAgreement, SignVerify};
    let Some(form) = material::form(spec) else {
        return Err(errors::unsupported(format!("KeySpec with the value {spec}")));
    };
    let possible: &[KeyUsageType] = match form {
        Form::Symmetric => &[EncryptDecrypt],
        Form::Mac(_) => &[GenerateVerifyMac],
        Form::Rsa(_) => &[EncryptDecrypt, SignVerify],
        Form::P256 | Form::P384 | Form::P521 => &[SignVerify, KeyAgreement],
        Form::K256 => &[SignVerify],
    };
    match given {
        Some(usage) if possible.contains(&usage) => Ok(usage),
        Some(usage) => Err(errors::validation(format!(
            "KeyUsage {usage} is not compatible with KeySpec {spec}"
        ))),
        // Only the default spec has a default usage.
        None if matches!(form, Form::Symmetric) => Ok(EncryptDecrypt),
        None => Err(errors::validation(format!(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption \
             keys; the KeySpec is {spec}."
        ))),
    }
}
