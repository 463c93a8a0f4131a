//! Imported key material: wrapped by its owner under a key of ours, and gone when its owner says so.

use crate::{
    check, errors,
    keys::{self, Key, KeyMaterial, lifecycle::DAY_MS},
    master::{Sealed, Work},
    material::{Material, Random},
    operations::Computed,
};
use aes_kw::KekAes256;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use iam::Request;
use rsa::{
    Oaep, RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey},
    traits::PublicKeyParts as _,
};
use sha1::Sha1;
use sha2::Sha256;
use shapes::{
    Fault,
    kms::{
        AlgorithmSpec, DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse,
        ExpirationModelType, GetParametersForImportRequest, GetParametersForImportResponse,
        ImportKeyMaterialRequest, ImportKeyMaterialResponse, ImportType, OriginType,
        WrappingKeySpec,
    },
};
use state::{Row as _, State, Tx};
use types::Timestamp;
use zeroize::Zeroizing;

/// How long a wrapping key may be used, in milliseconds.
const TOKEN_MS: i64 = DAY_MS;
/// The longest that imported material may last before it expires, in milliseconds.
const MAX_VALID_MS: i64 = 365 * DAY_MS;
/// The most bytes of a token and of wrapped material.
const MAX_BLOB: usize = 6144;

fn imported(key: &Key) -> Result<(), Fault> {
    if key.origin != OriginType::External {
        let (arn, origin) = (key.arn(), key.origin);
        let message = format!("{arn} origin is {origin} which is not valid for this operation.");
        return Err(errors::unsupported_operation(message));
    }
    keys::not_pending_deletion(key)
}

fn place(key: &Key) -> String {
    format!("kms-import/{}", key.key())
}

fn algorithm(text: &str) -> Option<AlgorithmSpec> {
    text.parse().ok()
}

/// A wrapping key for material that is to be imported, and a token that holds its private half,
/// sealed: nothing of it is kept.
///
/// # Errors
/// There is no such key, its material isn't imported, or the algorithm isn't served.
pub fn get_parameters_for_import(
    state: &State,
    request: &Request,
    input: GetParametersForImportRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GetParametersForImportResponse>, Fault> {
    let GetParametersForImportRequest { key_id, wrapping_algorithm, wrapping_key_spec } = input;
    let key = keys::find(state, request, "kms:GetParametersForImport", key_id.as_deref())?;
    imported(&key)?;
    let algorithm = check::required("wrappingAlgorithm", wrapping_algorithm)?;
    match algorithm {
        AlgorithmSpec::RsaesOaepSha1
        | AlgorithmSpec::RsaesOaepSha256
        | AlgorithmSpec::RsaAesKeyWrapSha1
        | AlgorithmSpec::RsaAesKeyWrapSha256 => {}
        // AWS takes the first no more, and has the second in China alone.
        AlgorithmSpec::RsaesPkcs1V1_5 | AlgorithmSpec::Sm2pke => {
            return Err(errors::unsupported(format!(
                "WrappingAlgorithm with the value {algorithm}"
            )));
        }
    }
    let bits = match check::required("wrappingKeySpec", wrapping_key_spec)? {
        WrappingKeySpec::Rsa2048 => 2048,
        WrappingKeySpec::Rsa3072 => 3072,
        WrappingKeySpec::Rsa4096 => 4096,
        WrappingKeySpec::Sm2 => {
            return Err(errors::unsupported("WrappingKeySpec with the value SM2"));
        }
    };
    let valid_to = work.effects.now().plus_millis(TOKEN_MS);
    let wrapping = RsaPrivateKey::new(&mut Random(work.effects), bits);
    let wrapping = wrapping.map_err(|_| errors::internal())?;
    let private = wrapping.to_pkcs8_der().map_err(|_| errors::internal())?;
    let public = wrapping.to_public_key().to_public_key_der().map_err(|_| errors::internal())?;
    let mut token = Zeroizing::new(valid_to.millis().to_be_bytes().to_vec());
    let name = algorithm.as_str().as_bytes();
    token.push(u8::try_from(name.len()).map_err(|_| errors::internal())?);
    token.extend(name);
    token.extend(private.as_bytes());
    let sealed = work.master.seal(work.effects, &place(&key), &token);
    Ok(Computed::Done(GetParametersForImportResponse {
        key_id: Some(key.arn()),
        import_token: Some(sealed.ok_or_else(errors::internal)?.to_bytes()),
        public_key: Some(public.into_vec()),
        parameters_valid_to: Some(valid_to),
    }))
}

/// What a token holds.
struct Token {
    algorithm: AlgorithmSpec,
    wrapping: RsaPrivateKey,
}

fn open_token(work: &Work<'_>, key: &Key, token: &[u8]) -> Result<Token, Fault> {
    let opened = work.master.open(&place(key), &Sealed::from_bytes(token));
    let opened = opened.ok_or_else(errors::invalid_import_token)?;
    let read = || {
        let (valid_to, rest) = opened.split_first_chunk::<8>()?;
        let (&length, rest) = rest.split_first()?;
        let (name, der) = rest.split_at_checked(usize::from(length))?;
        let algorithm = algorithm(std::str::from_utf8(name).ok()?)?;
        let wrapping = RsaPrivateKey::from_pkcs8_der(der).ok()?;
        let valid_to = Timestamp::from_millis(i64::from_be_bytes(*valid_to));
        Some((valid_to, Token { algorithm, wrapping }))
    };
    let (valid_to, token) = read().ok_or_else(errors::invalid_import_token)?;
    if valid_to <= work.effects.now() {
        return Err(errors::expired_import_token());
    }
    Ok(token)
}

/// Unwraps material; none if it can't be.
fn unwrap(work: &mut Work<'_>, token: &Token, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (padding, with_aes) = match token.algorithm {
        AlgorithmSpec::RsaesOaepSha1 => (Oaep::new::<Sha1>(), false),
        AlgorithmSpec::RsaesOaepSha256 => (Oaep::new::<Sha256>(), false),
        AlgorithmSpec::RsaAesKeyWrapSha1 => (Oaep::new::<Sha1>(), true),
        AlgorithmSpec::RsaAesKeyWrapSha256 => (Oaep::new::<Sha256>(), true),
        AlgorithmSpec::RsaesPkcs1V1_5 | AlgorithmSpec::Sm2pke => return None,
    };
    let length = if with_aes { token.wrapping.size() } else { wrapped.len() };
    let (head, rest) = wrapped.split_at_checked(length)?;
    let opened = token.wrapping.decrypt_blinded(&mut Random(work.effects), padding, head).ok()?;
    let opened = Zeroizing::new(opened);
    if !with_aes {
        return Some(opened);
    }
    let kek = KekAes256::from(<[u8; 32]>::try_from(opened.as_slice()).ok()?);
    kek.unwrap_with_padding_vec(rest).ok().map(Zeroizing::new)
}

fn valid_to(
    model: Option<ExpirationModelType>,
    given: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Fault> {
    match (model.unwrap_or(ExpirationModelType::KeyMaterialExpires), given) {
        (ExpirationModelType::KeyMaterialDoesNotExpire, None) => Ok(None),
        (ExpirationModelType::KeyMaterialDoesNotExpire, Some(_)) => Err(errors::validation(
            "ValidTo must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
        )),
        (ExpirationModelType::KeyMaterialExpires, None) => Err(errors::validation(
            "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
        )),
        (ExpirationModelType::KeyMaterialExpires, Some(date)) => {
            if date <= now || date > now.plus_millis(MAX_VALID_MS) {
                return Err(errors::validation(
                    "ValidTo must be in the future, and within 365 days.",
                ));
            }
            Ok(Some(date))
        }
    }
}

/// Gives a key the material that its owner has. Once it had some, it takes no other.
///
/// # Errors
/// There is no such key, the token isn't its own, or the material is no such key's.
pub fn import_key_material(
    state: &State,
    request: &Request,
    input: ImportKeyMaterialRequest,
    work: &mut Work<'_>,
) -> Result<Computed<ImportKeyMaterialResponse>, Fault> {
    let ImportKeyMaterialRequest {
        key_id,
        import_token,
        encrypted_key_material,
        valid_to: given,
        expiration_model,
        import_type,
        key_material_description,
        key_material_id,
    } = input;
    if key_material_description.is_some() {
        return Err(errors::unsupported("KeyMaterialDescription"));
    }
    let key = keys::find(state, request, "kms:ImportKeyMaterial", key_id.as_deref())?;
    imported(&key)?;
    if import_type == Some(ImportType::NewKeyMaterial) && !key.materials.is_empty() {
        return Err(errors::unsupported(
            "ImportType with the value NEW_KEY_MATERIAL of a key that has material",
        ));
    }
    let token = check::required("importToken", import_token)?;
    check::blob("importToken", &token, 1..=MAX_BLOB)?;
    let wrapped = check::required("encryptedKeyMaterial", encrypted_key_material)?;
    check::blob("encryptedKeyMaterial", &wrapped, 1..=MAX_BLOB)?;
    let valid_to = valid_to(expiration_model, given, work.effects.now())?;
    let token = open_token(work, &key, &token)?;
    let wrong = |why: &str| errors::incorrect_material(why);
    let bytes = unwrap(work, &token, &wrapped);
    let bytes = bytes.ok_or_else(|| wrong("The key material could not be unwrapped."))?;
    let material = Material::from_bytes(key.spec, &bytes);
    let material =
        material.ok_or_else(|| wrong("The key material does not fit the key's spec."))?;
    let id = work.master.fingerprint(&key.id.to_string(), &bytes);
    let id = hex::encode(id.ok_or_else(errors::internal)?);
    let asked = key_material_id.as_ref().is_none_or(|asked| *asked == id);
    if !asked || !fits(&key, &id) {
        return Err(wrong("The key material is not the one that was imported before."));
    }
    let public = material.public_der().map(|der| STANDARD.encode(der));
    let mut entry = keys::create::seal(work, &key, &material, id)?;
    entry.valid_to = valid_to;
    let (request, row) = (request.clone(), key.key());
    Ok(Computed::Change(Box::new(move |tx: &mut Tx| {
        let key = keys::find(tx, &request, "kms:ImportKeyMaterial", key_id.as_deref())?;
        imported(&key)?;
        if !fits(&key, &entry.id) {
            let why = "The key material is not the one that was imported before.";
            return Err(errors::incorrect_material(why));
        }
        let id = entry.id.clone();
        tx.update::<Key>(&row, |key| put(key, entry, public));
        Ok(ImportKeyMaterialResponse { key_id: Some(key.arn()), key_material_id: Some(id) })
    })))
}

/// Whether the key has no material yet, or this.
fn fits(key: &Key, id: &str) -> bool {
    key.materials.is_empty() || key.materials.iter().any(|material| material.id == id)
}

fn put(key: &mut Key, entry: KeyMaterial, public: Option<String>) {
    key.public = public;
    match key.materials.iter_mut().find(|material| material.id == entry.id) {
        Some(material) => *material = KeyMaterial { since: material.since, ..entry },
        None => key.materials.push(entry),
    }
}

/// Takes imported material from a key, which can't be used until it is imported again.
///
/// # Errors
/// There is no such key, its material isn't imported, or is another.
pub fn delete_imported_key_material(
    tx: &mut Tx,
    request: &Request,
    input: DeleteImportedKeyMaterialRequest,
) -> Result<DeleteImportedKeyMaterialResponse, Fault> {
    let DeleteImportedKeyMaterialRequest { key_id, key_material_id } = input;
    let action = "kms:DeleteImportedKeyMaterial";
    let key = keys::find(tx, request, action, key_id.as_deref())?;
    imported(&key)?;
    let current = key.current().map(|material| material.id.clone());
    if key_material_id.is_some() && key_material_id != current {
        let id = key_material_id.unwrap_or_default();
        return Err(errors::key_not_found(format!("{} with the key material {id}", key.arn())));
    }
    tx.update::<Key>(&key.key(), forget);
    Ok(DeleteImportedKeyMaterialResponse { key_id: Some(key.arn()), key_material_id: current })
}

fn forget(key: &mut Key) {
    for material in &mut key.materials {
        material.sealed = None;
        material.valid_to = None;
    }
}

/// Deletes the material that has expired.
pub(crate) fn expire_due(tx: &mut Tx) {
    let now = tx.now();
    let due = |key: &&std::sync::Arc<Key>| key.expires().is_some_and(|date| date <= now);
    let keys = tx.find::<Key>("timed", "").filter(due).map(|key| key.key()).collect::<Vec<_>>();
    for key in keys {
        tx.update::<Key>(&key, forget);
    }
}
