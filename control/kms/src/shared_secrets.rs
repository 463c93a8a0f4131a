//! DeriveSharedSecret: what two parties agree on by their elliptic curve keys.

use crate::{
    EncryptionContext, check, encryption::Use, errors, grants, keys, master::Work,
    material::Material, operations::Computed,
};
use iam::Request;
use rsa::pkcs8::DecodePublicKey as _;
use shapes::{
    Fault,
    kms::{
        DeriveSharedSecretRequest, DeriveSharedSecretResponse, KeyAgreementAlgorithmSpec,
        KeyUsageType,
    },
};
use state::State;

/// Derives the secret that the owner of the public key can derive, too.
///
/// # Errors
/// There is no such key, it can't be used, or the public key is not one of its curve.
pub fn derive_shared_secret(
    state: &State,
    request: &Request,
    input: DeriveSharedSecretRequest,
    work: &mut Work<'_>,
) -> Result<Computed<DeriveSharedSecretResponse>, Fault> {
    let DeriveSharedSecretRequest {
        key_id,
        key_agreement_algorithm,
        public_key,
        grant_tokens,
        dry_run,
        recipient,
    } = input;
    if recipient.is_some() {
        return Err(errors::unsupported("Recipient"));
    }
    let KeyAgreementAlgorithmSpec::Ecdh =
        check::required("keyAgreementAlgorithm", key_agreement_algorithm)?;
    let public = check::required("publicKey", public_key)?;
    check::blob("publicKey", &public, 1..=8192)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:DeriveSharedSecret", via: None };
    let usage = KeyUsageType::KeyAgreement;
    let key = how.key(key_id.as_deref(), usage, &EncryptionContext::new(), work)?;
    check::dry_run(dry_run)?;
    let (_, material) = keys::open_current(work.master, &key, work.effects.now())?;
    let secret = derive(&material, &public).ok_or_else(|| {
        let spec = key.spec;
        errors::validation(format!("The public key is not a valid one of the curve of {spec}."))
    })?;
    Ok(Computed::Done(DeriveSharedSecretResponse {
        key_id: Some(key.arn()),
        shared_secret: Some(secret),
        ciphertext_for_recipient: None,
        key_agreement_algorithm: Some(KeyAgreementAlgorithmSpec::Ecdh),
        key_origin: Some(key.origin),
    }))
}

/// The coordinate that both have in common; none if the public key is of another curve.
fn derive(material: &Material, public: &[u8]) -> Option<Vec<u8>> {
    match material {
        Material::P256(key) => {
            let public = p256::PublicKey::from_public_key_der(public).ok()?;
            let secret = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), public.as_affine());
            Some(secret.raw_secret_bytes().to_vec())
        }
        Material::P384(key) => {
            let public = p384::PublicKey::from_public_key_der(public).ok()?;
            let secret = p384::ecdh::diffie_hellman(key.to_nonzero_scalar(), public.as_affine());
            Some(secret.raw_secret_bytes().to_vec())
        }
        Material::P521(key) => {
            let public = p521::PublicKey::from_public_key_der(public).ok()?;
            let secret = p521::ecdh::diffie_hellman(key.to_nonzero_scalar(), public.as_affine());
            Some(secret.raw_secret_bytes().to_vec())
        }
        Material::Symmetric(_) | Material::Mac(_) | Material::Rsa(_) | Material::K256(_) => None,
    }
}
