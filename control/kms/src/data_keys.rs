//! Data keys and random bytes: what envelope encryption begins with.

use crate::{
    EncryptionContext, check,
    encryption::{self, Sealed, Use},
    errors, grants,
    keys::Key,
    master::Work,
    material::Material,
    operations::Computed,
};
use iam::Request;
use shapes::{
    Fault,
    kms::{
        DataKeyPairSpec, DataKeySpec, EncryptionAlgorithmSpec, GenerateDataKeyPairRequest,
        GenerateDataKeyPairResponse, GenerateDataKeyPairWithoutPlaintextRequest,
        GenerateDataKeyPairWithoutPlaintextResponse, GenerateDataKeyRequest,
        GenerateDataKeyResponse, GenerateDataKeyWithoutPlaintextRequest,
        GenerateDataKeyWithoutPlaintextResponse, GenerateRandomRequest, GenerateRandomResponse,
        KeySpec, KeyUsageType,
    },
};
use state::State;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The most random bytes of one call.
const MAX_BYTES: i32 = 1024;

/// A data key, in the clear and sealed.
pub(crate) struct Made {
    pub(crate) key: Arc<Key>,
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    pub(crate) sealed: Sealed,
}

/// Makes a data key of so many bytes.
///
/// # Errors
/// There is no such key, or it can't be used.
pub(crate) fn make(
    how: Use<'_>,
    work: &mut Work<'_>,
    key_id: Option<&str>,
    context: &EncryptionContext,
    bytes: usize,
    dry_run: Option<bool>,
) -> Result<Made, Fault> {
    let key = symmetric(how, work, key_id, context)?;
    check::dry_run(dry_run)?;
    let mut plaintext = Zeroizing::new(vec![0; bytes]);
    work.effects.fill(&mut plaintext);
    let algorithm = EncryptionAlgorithmSpec::SymmetricDefault;
    let sealed = encryption::seal(work, &key, algorithm, context, &plaintext)?;
    Ok(Made { key, plaintext, sealed })
}

/// A key under which data keys are sealed.
fn symmetric(
    how: Use<'_>,
    work: &Work<'_>,
    key_id: Option<&str>,
    context: &EncryptionContext,
) -> Result<Arc<Key>, Fault> {
    let key = how.key(key_id, KeyUsageType::EncryptDecrypt, context, work)?;
    if key.spec != KeySpec::SymmetricDefault {
        let algorithm = EncryptionAlgorithmSpec::SymmetricDefault;
        return Err(errors::algorithm(algorithm, key.spec));
    }
    Ok(key)
}

/// How long a data key shall be: by its spec, or in bytes, but not both.
fn length(spec: Option<DataKeySpec>, number: Option<i32>) -> Result<usize, Fault> {
    match (spec, number) {
        (Some(DataKeySpec::Aes256), None) => Ok(32),
        (Some(DataKeySpec::Aes128), None) => Ok(16),
        (None, Some(number)) => {
            check::number("numberOfBytes", number, 1..=MAX_BYTES)?;
            usize::try_from(number).map_err(|_| errors::internal())
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(errors::validation("Please specify either number of bytes or key spec."))
        }
    }
}

/// Makes a data key, in the clear and sealed.
///
/// # Errors
/// There is no such key, it can't be used, or the length is invalid.
pub fn generate_data_key(
    state: &State,
    request: &Request,
    input: GenerateDataKeyRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GenerateDataKeyResponse>, Fault> {
    let GenerateDataKeyRequest {
        key_id,
        encryption_context,
        number_of_bytes,
        key_spec,
        grant_tokens,
        recipient,
        dry_run,
    } = input;
    if recipient.is_some() {
        return Err(errors::unsupported("Recipient"));
    }
    let bytes = length(key_spec, number_of_bytes)?;
    let context = check::context(encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:GenerateDataKey", via: None };
    let made = make(how, work, key_id.as_deref(), &context, bytes, dry_run)?;
    Ok(Computed::Done(GenerateDataKeyResponse {
        ciphertext_blob: Some(made.sealed.blob),
        plaintext: Some(made.plaintext.to_vec()),
        key_id: Some(made.key.arn()),
        ciphertext_for_recipient: None,
        key_material_id: made.sealed.material_id,
    }))
}

/// Makes a data key that is to be opened later, sealed alone.
///
/// # Errors
/// There is no such key, it can't be used, or the length is invalid.
pub fn generate_data_key_without_plaintext(
    state: &State,
    request: &Request,
    input: GenerateDataKeyWithoutPlaintextRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GenerateDataKeyWithoutPlaintextResponse>, Fault> {
    let GenerateDataKeyWithoutPlaintextRequest {
        key_id,
        encryption_context,
        key_spec,
        number_of_bytes,
        grant_tokens,
        dry_run,
    } = input;
    let bytes = length(key_spec, number_of_bytes)?;
    let context = check::context(encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:GenerateDataKeyWithoutPlaintext", via: None };
    let made = make(how, work, key_id.as_deref(), &context, bytes, dry_run)?;
    Ok(Computed::Done(GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Some(made.sealed.blob),
        key_id: Some(made.key.arn()),
        key_material_id: made.sealed.material_id,
    }))
}

/// A pair: the public half, the private one in the clear and sealed.
struct Pair {
    key: Arc<Key>,
    public: Vec<u8>,
    private: Zeroizing<Vec<u8>>,
    sealed: Sealed,
}

fn pair(
    how: Use<'_>,
    work: &mut Work<'_>,
    key_id: Option<&str>,
    spec: DataKeyPairSpec,
    context: &EncryptionContext,
    dry_run: Option<bool>,
) -> Result<Pair, Fault> {
    let key = symmetric(how, work, key_id, context)?;
    check::dry_run(dry_run)?;
    let of_key = spec.as_str().parse::<KeySpec>().map_err(|_| errors::internal())?;
    let material = Material::generate(of_key, work.effects)
        .ok_or_else(|| errors::unsupported(format!("KeyPairSpec with the value {spec}")))?;
    let public = material.public_der().ok_or_else(errors::internal)?;
    let private = material.to_bytes().ok_or_else(errors::internal)?;
    let algorithm = EncryptionAlgorithmSpec::SymmetricDefault;
    let sealed = encryption::seal(work, &key, algorithm, context, &private)?;
    Ok(Pair { key, public, private, sealed })
}

/// Makes a pair of keys; the private one in the clear and sealed.
///
/// # Errors
/// There is no such key, or it can't be used.
pub fn generate_data_key_pair(
    state: &State,
    request: &Request,
    input: GenerateDataKeyPairRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GenerateDataKeyPairResponse>, Fault> {
    let GenerateDataKeyPairRequest {
        encryption_context,
        key_id,
        key_pair_spec,
        grant_tokens,
        recipient,
        dry_run,
    } = input;
    if recipient.is_some() {
        return Err(errors::unsupported("Recipient"));
    }
    let spec = check::required("keyPairSpec", key_pair_spec)?;
    let context = check::context(encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:GenerateDataKeyPair", via: None };
    let pair = pair(how, work, key_id.as_deref(), spec, &context, dry_run)?;
    Ok(Computed::Done(GenerateDataKeyPairResponse {
        private_key_ciphertext_blob: Some(pair.sealed.blob),
        private_key_plaintext: Some(pair.private.to_vec()),
        public_key: Some(pair.public),
        key_id: Some(pair.key.arn()),
        key_pair_spec: Some(spec),
        ciphertext_for_recipient: None,
        key_material_id: pair.sealed.material_id,
    }))
}

/// Makes a pair of keys; the private one sealed alone.
///
/// # Errors
/// There is no such key, or it can't be used.
pub fn generate_data_key_pair_without_plaintext(
    state: &State,
    request: &Request,
    input: GenerateDataKeyPairWithoutPlaintextRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GenerateDataKeyPairWithoutPlaintextResponse>, Fault> {
    let GenerateDataKeyPairWithoutPlaintextRequest {
        encryption_context,
        key_id,
        key_pair_spec,
        grant_tokens,
        dry_run,
    } = input;
    let spec = check::required("keyPairSpec", key_pair_spec)?;
    let context = check::context(encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let action = "kms:GenerateDataKeyPairWithoutPlaintext";
    let how = Use { state, request, action, via: None };
    let pair = pair(how, work, key_id.as_deref(), spec, &context, dry_run)?;
    Ok(Computed::Done(GenerateDataKeyPairWithoutPlaintextResponse {
        private_key_ciphertext_blob: Some(pair.sealed.blob),
        public_key: Some(pair.public),
        key_id: Some(pair.key.arn()),
        key_pair_spec: Some(spec),
        key_material_id: pair.sealed.material_id,
    }))
}

/// Random bytes.
///
/// # Errors
/// Not 1 to 1,024 of them.
pub fn generate_random(
    _: &State,
    _: &Request,
    input: GenerateRandomRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GenerateRandomResponse>, Fault> {
    let GenerateRandomRequest { number_of_bytes, custom_key_store_id, recipient } = input;
    if recipient.is_some() {
        return Err(errors::unsupported("Recipient"));
    }
    if let Some(store) = custom_key_store_id {
        return Err(errors::key_store_not_found(store));
    }
    let number = check::required("numberOfBytes", number_of_bytes)?;
    check::number("numberOfBytes", number, 1..=MAX_BYTES)?;
    let mut plaintext = vec![0; usize::try_from(number).map_err(|_| errors::internal())?];
    work.effects.fill(&mut plaintext);
    Ok(Computed::Done(GenerateRandomResponse {
        plaintext: Some(plaintext),
        ciphertext_for_recipient: None,
    }))
}
