//! Encrypt, Decrypt, ReEncrypt.

use crate::{
    EncryptionContext,
    authorise::{self, Asked},
    blob, check, errors, grants,
    identify::{self, Found},
    keys::{self, Key, queries, row_key},
    master::Work,
    material::{Material, Random},
    operations::Computed,
};
use iam::Request;
use rsa::{Oaep, traits::PublicKeyParts as _};
use sha1::Sha1;
use sha2::Sha256;
use shapes::{
    Fault,
    kms::{
        DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, EncryptionAlgorithmSpec,
        KeyUsageType, ReEncryptRequest, ReEncryptResponse,
    },
};
use state::State;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The most bytes that Encrypt takes.
const MAX_PLAINTEXT: usize = 4096;
/// The most bytes that Decrypt takes.
const MAX_CIPHERTEXT: usize = 6144;

/// Who asks for what with a key.
#[derive(Clone, Copy)]
pub(crate) struct Use<'a> {
    pub(crate) state: &'a State,
    pub(crate) request: &'a Request,
    /// Such as `kms:Encrypt`.
    pub(crate) action: &'a str,
    /// The service that asks on the caller's behalf.
    pub(crate) via: Option<&'a str>,
}

impl Use<'_> {
    /// The operation's name.
    fn operation(&self) -> &str {
        self.action.split_once(':').map_or(self.action, |(_, operation)| operation)
    }

    /// The key named so, if the caller may do this with it, and it is made for it, and in a state to
    /// be used.
    ///
    /// # Errors
    /// Any of that is not so.
    pub(crate) fn key(
        &self,
        key_id: Option<&str>,
        usage: KeyUsageType,
        context: &EncryptionContext,
        work: &Work<'_>,
    ) -> Result<Arc<Key>, Fault> {
        let Found { key, alias } = identify::key_or_alias(self.state, &self.request.scope, key_id)?;
        self.check(&key, alias.as_deref(), usage, context, work)?;
        Ok(key)
    }

    fn check(
        &self,
        key: &Key,
        alias: Option<&str>,
        usage: KeyUsageType,
        context: &EncryptionContext,
        work: &Work<'_>,
    ) -> Result<(), Fault> {
        let (context, via) = (Some(context), self.via);
        let asked = Asked { context, alias, via, ..Asked::granted(self.action) };
        authorise::check(self.state, self.request, key, &asked)?;
        keys::usable(key, work.effects.now())?;
        keys::made_for(key, usage, self.operation())
    }
}

/// A ciphertext that was made.
pub(crate) struct Sealed {
    pub(crate) blob: Vec<u8>,
    /// The ID of the material, of a symmetric key.
    pub(crate) material_id: Option<String>,
}

/// A ciphertext that was opened.
pub(crate) struct Opened {
    pub(crate) key: Arc<Key>,
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    pub(crate) algorithm: EncryptionAlgorithmSpec,
    pub(crate) material_id: Option<String>,
}

fn algorithm(
    key: &Key,
    given: Option<EncryptionAlgorithmSpec>,
) -> Result<EncryptionAlgorithmSpec, Fault> {
    let algorithm = given.unwrap_or(EncryptionAlgorithmSpec::SymmetricDefault);
    if queries::encryption_algorithms(key).contains(&algorithm) {
        return Ok(algorithm);
    }
    Err(errors::algorithm(algorithm, key.spec))
}

/// OAEP with the algorithm's hash, and how many bytes of a message it takes from the modulus.
fn oaep(algorithm: EncryptionAlgorithmSpec) -> Option<(Oaep, usize)> {
    match algorithm {
        EncryptionAlgorithmSpec::RsaesOaepSha1 => Some((Oaep::new::<Sha1>(), 2 * 20 + 2)),
        EncryptionAlgorithmSpec::RsaesOaepSha256 => Some((Oaep::new::<Sha256>(), 2 * 32 + 2)),
        EncryptionAlgorithmSpec::SymmetricDefault | EncryptionAlgorithmSpec::Sm2pke => None,
    }
}

/// Encrypts with a key that may be used so.
///
/// # Errors
/// The key doesn't have the algorithm, or the plaintext is too long for it.
pub(crate) fn seal(
    work: &mut Work<'_>,
    key: &Key,
    algorithm: EncryptionAlgorithmSpec,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Sealed, Fault> {
    let (current, material) = keys::open_current(work.master, key, work.effects.now())?;
    match (&material, oaep(algorithm)) {
        (Material::Symmetric(bytes), None) => {
            let header = blob::Header { key: key.id, material: short(&current.id)? };
            let blob = blob::seal(work.effects, &header, bytes, context, plaintext);
            let material_id = Some(current.id.clone());
            Ok(Sealed { blob: blob.ok_or_else(errors::internal)?, material_id })
        }
        (Material::Rsa(rsa), Some((padding, overhead))) => {
            no_context(context)?;
            let limit = rsa.size().saturating_sub(overhead);
            if plaintext.len() > limit {
                return Err(errors::validation(format!(
                    "Algorithm {algorithm} and key spec {} cannot encrypt data larger than \
                     {limit} bytes.",
                    key.spec
                )));
            }
            let public = rsa.to_public_key();
            let blob = public.encrypt(&mut Random(work.effects), padding, plaintext);
            Ok(Sealed { blob: blob.map_err(|_| errors::internal())?, material_id: None })
        }
        _ => Err(errors::algorithm(algorithm, key.spec)),
    }
}

fn no_context(context: &EncryptionContext) -> Result<(), Fault> {
    if context.is_empty() {
        return Ok(());
    }
    Err(errors::validation("EncryptionContext is not supported for asymmetric keys."))
}

/// The first half of a material's ID, as ciphertexts have it.
fn short(id: &str) -> Result<[u8; 16], Fault> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(id, &mut bytes).map_err(|_| errors::internal())?;
    bytes.first_chunk().copied().ok_or_else(errors::internal)
}

/// What Decrypt and ReEncrypt open.
pub(crate) struct Envelope<'a> {
    pub(crate) blob: &'a [u8],
    pub(crate) context: &'a EncryptionContext,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) algorithm: Option<EncryptionAlgorithmSpec>,
}

/// Decrypts; a symmetric ciphertext says itself which key is its own.
///
/// # Errors
/// It is no ciphertext of a key that the caller may use, or was changed.
pub(crate) fn open(
    how: Use<'_>,
    work: &mut Work<'_>,
    envelope: &Envelope<'_>,
    dry_run: Option<bool>,
) -> Result<Opened, Fault> {
    let usage = KeyUsageType::EncryptDecrypt;
    let symmetric = envelope
        .algorithm
        .is_none_or(|algorithm| algorithm == EncryptionAlgorithmSpec::SymmetricDefault);
    if !symmetric {
        let key = how.key(envelope.key_id, usage, envelope.context, work)?;
        return open_rsa(work, key, envelope, dry_run);
    }
    let region = &how.request.scope.region;
    let owner = blob::header(envelope.blob).and_then(|header| {
        let key = how.state.get::<Key>(&row_key(region, header.key))?;
        Some((key.clone(), header.material))
    });
    let Some(key_id) = envelope.key_id else {
        let (key, material) = owner.ok_or_else(errors::invalid_ciphertext)?;
        how.check(&key, None, usage, envelope.context, work)?;
        return open_symmetric(work, key, material, envelope, dry_run);
    };
    let named = how.key(Some(key_id), usage, envelope.context, work)?;
    algorithm(&named, envelope.algorithm)?;
    let (key, material) = owner.ok_or_else(errors::invalid_ciphertext)?;
    if key.id != named.id {
        return Err(errors::incorrect_key());
    }
    open_symmetric(work, named, material, envelope, dry_run)
}

fn open_symmetric(
    work: &mut Work<'_>,
    key: Arc<Key>,
    material: [u8; 16],
    envelope: &Envelope<'_>,
    dry_run: Option<bool>,
) -> Result<Opened, Fault> {
    check::dry_run(dry_run)?;
    let begins = hex::encode(material);
    let entry = key.materials.iter().find(|entry| entry.id.starts_with(&begins));
    let entry = entry.ok_or_else(errors::invalid_ciphertext)?;
    let Material::Symmetric(bytes) = keys::open(work.master, &key, entry, work.effects.now())?
    else {
        return Err(errors::invalid_ciphertext());
    };
    let plaintext = blob::open(envelope.blob, &bytes, envelope.context);
    let plaintext = plaintext.ok_or_else(errors::invalid_ciphertext)?;
    let algorithm = EncryptionAlgorithmSpec::SymmetricDefault;
    let material_id = Some(entry.id.clone());
    Ok(Opened { plaintext, algorithm, material_id, key })
}

fn open_rsa(
    work: &mut Work<'_>,
    key: Arc<Key>,
    envelope: &Envelope<'_>,
    dry_run: Option<bool>,
) -> Result<Opened, Fault> {
    let algorithm = algorithm(&key, envelope.algorithm)?;
    no_context(envelope.context)?;
    check::dry_run(dry_run)?;
    let (_, material) = keys::open_current(work.master, &key, work.effects.now())?;
    let (Material::Rsa(rsa), Some((padding, _))) = (&material, oaep(algorithm)) else {
        return Err(errors::algorithm(algorithm, key.spec));
    };
    // Blinded: the time that it takes says nothing of what the caller chose.
    let plaintext = rsa.decrypt_blinded(&mut Random(work.effects), padding, envelope.blob);
    let plaintext = plaintext.map_err(|_| errors::invalid_ciphertext())?;
    Ok(Opened { key, plaintext: Zeroizing::new(plaintext), algorithm, material_id: None })
}

/// Encrypts up to 4,096 bytes.
///
/// # Errors
/// There is no such key, it can't be used, or the plaintext is too long.
pub fn encrypt(
    state: &State,
    request: &Request,
    input: EncryptRequest,
    work: &mut Work<'_>,
) -> Result<Computed<EncryptResponse>, Fault> {
    let EncryptRequest {
        key_id,
        plaintext,
        encryption_context,
        grant_tokens,
        encryption_algorithm,
        dry_run,
    } = input;
    let plaintext = Zeroizing::new(check::required("plaintext", plaintext)?);
    check::blob("plaintext", &plaintext, 1..=MAX_PLAINTEXT)?;
    let context = check::context(encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:Encrypt", via: None };
    let key = how.key(key_id.as_deref(), KeyUsageType::EncryptDecrypt, &context, work)?;
    let algorithm = algorithm(&key, encryption_algorithm)?;
    check::dry_run(dry_run)?;
    let sealed = seal(work, &key, algorithm, &context, &plaintext)?;
    Ok(Computed::Done(EncryptResponse {
        ciphertext_blob: Some(sealed.blob),
        key_id: Some(key.arn()),
        encryption_algorithm: Some(algorithm),
    }))
}

/// Decrypts.
///
/// # Errors
/// It is no ciphertext of a key that the caller may use, or was changed.
pub fn decrypt(
    state: &State,
    request: &Request,
    input: DecryptRequest,
    work: &mut Work<'_>,
) -> Result<Computed<DecryptResponse>, Fault> {
    let DecryptRequest {
        ciphertext_blob,
        encryption_context,
        grant_tokens,
        key_id,
        encryption_algorithm,
        recipient,
        dry_run,
        dry_run_modifiers,
    } = input;
    if recipient.is_some() {
        return Err(errors::unsupported("Recipient"));
    }
    if dry_run_modifiers.is_some_and(|modifiers| !modifiers.is_empty()) {
        return Err(errors::unsupported("DryRunModifiers"));
    }
    let blob = check::required("ciphertextBlob", ciphertext_blob)?;
    check::blob("ciphertextBlob", &blob, 1..=MAX_CIPHERTEXT)?;
    let context = check::context(encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:Decrypt", via: None };
    let envelope = Envelope {
        blob: &blob,
        context: &context,
        key_id: key_id.as_deref(),
        algorithm: encryption_algorithm,
    };
    let opened = open(how, work, &envelope, dry_run)?;
    Ok(Computed::Done(DecryptResponse {
        key_id: Some(opened.key.arn()),
        plaintext: Some(opened.plaintext.to_vec()),
        encryption_algorithm: Some(opened.algorithm),
        ciphertext_for_recipient: None,
        key_material_id: opened.material_id,
    }))
}

/// Decrypts, and encrypts with another key or context; nobody sees the plaintext.
///
/// # Errors
/// As Decrypt's and Encrypt's.
pub fn re_encrypt(
    state: &State,
    request: &Request,
    input: ReEncryptRequest,
    work: &mut Work<'_>,
) -> Result<Computed<ReEncryptResponse>, Fault> {
    let ReEncryptRequest {
        ciphertext_blob,
        source_encryption_context,
        source_key_id,
        destination_key_id,
        destination_encryption_context,
        source_encryption_algorithm,
        destination_encryption_algorithm,
        grant_tokens,
        dry_run,
        dry_run_modifiers,
    } = input;
    if dry_run_modifiers.is_some_and(|modifiers| !modifiers.is_empty()) {
        return Err(errors::unsupported("DryRunModifiers"));
    }
    let blob = check::required("ciphertextBlob", ciphertext_blob)?;
    check::blob("ciphertextBlob", &blob, 1..=MAX_CIPHERTEXT)?;
    let from_context = check::context(source_encryption_context)?;
    let to_context = check::context(destination_encryption_context)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let from = Use { state, request, action: "kms:ReEncryptFrom", via: None };
    let to = Use { action: "kms:ReEncryptTo", ..from };
    let usage = KeyUsageType::EncryptDecrypt;
    let target = to.key(destination_key_id.as_deref(), usage, &to_context, work)?;
    let algorithm = algorithm(&target, destination_encryption_algorithm)?;
    let envelope = Envelope {
        blob: &blob,
        context: &from_context,
        key_id: source_key_id.as_deref(),
        algorithm: source_encryption_algorithm,
    };
    let opened = open(from, work, &envelope, dry_run)?;
    let sealed = seal(work, &target, algorithm, &to_context, &opened.plaintext)?;
    Ok(Computed::Done(ReEncryptResponse {
        ciphertext_blob: Some(sealed.blob),
        source_key_id: Some(opened.key.arn()),
        key_id: Some(target.arn()),
        source_encryption_algorithm: Some(opened.algorithm),
        destination_encryption_algorithm: Some(algorithm),
        source_key_material_id: opened.material_id,
        destination_key_material_id: sealed.material_id,
    }))
}
