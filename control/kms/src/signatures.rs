//! Sign, Verify and GetPublicKey.

use crate::{
    EncryptionContext,
    authorise::{self, Asked},
    check,
    encryption::Use,
    errors, grants,
    identify::{self, Found},
    keys::{self, Key, queries},
    master::Work,
    material::{Material, Random},
    operations::Computed,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use iam::Request;
use p256::ecdsa::signature::hazmat::{
    PrehashSigner as _, PrehashVerifier as _, RandomizedPrehashSigner as _,
};
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use shapes::{
    Fault,
    kms::{
        GetPublicKeyRequest, GetPublicKeyResponse, KeyUsageType, MessageType, SignRequest,
        SignResponse, SigningAlgorithmSpec, VerifyRequest, VerifyResponse,
    },
};
use state::State;
use std::sync::Arc;

/// The most bytes of a message; longer ones are hashed by whoever signs.
const MAX_MESSAGE: usize = 4096;
/// The most bytes of a signature that is to be verified.
const MAX_SIGNATURE: usize = 6144;

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy)]
enum Scheme {
    Pss(Hash),
    Pkcs1(Hash),
    Ecdsa(Hash),
}

/// None of algorithms that aren't served.
fn scheme(algorithm: SigningAlgorithmSpec) -> Option<Scheme> {
    use SigningAlgorithmSpec as Algorithm;
    Some(match algorithm {
        Algorithm::RsassaPssSha256 => Scheme::Pss(Hash::Sha256),
        Algorithm::RsassaPssSha384 => Scheme::Pss(Hash::Sha384),
        Algorithm::RsassaPssSha512 => Scheme::Pss(Hash::Sha512),
        Algorithm::RsassaPkcs1V1_5Sha256 => Scheme::Pkcs1(Hash::Sha256),
        Algorithm::RsassaPkcs1V1_5Sha384 => Scheme::Pkcs1(Hash::Sha384),
        Algorithm::RsassaPkcs1V1_5Sha512 => Scheme::Pkcs1(Hash::Sha512),
        Algorithm::EcdsaSha256 => Scheme::Ecdsa(Hash::Sha256),
        Algorithm::EcdsaSha384 => Scheme::Ecdsa(Hash::Sha384),
        Algorithm::EcdsaSha512 => Scheme::Ecdsa(Hash::Sha512),
        Algorithm::Sm2dsa
        | Algorithm::MlDsaShake256
        | Algorithm::Ed25519Sha512
        | Algorithm::Ed25519PhSha512 => return None,
    })
}

impl Scheme {
    fn hash(self) -> Hash {
        match self {
            Self::Pss(hash) | Self::Pkcs1(hash) | Self::Ecdsa(hash) => hash,
        }
    }
}

impl Hash {
    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn pss(self) -> Pss {
        match self {
            Self::Sha256 => Pss::new_blinded::<Sha256>(),
            Self::Sha384 => Pss::new_blinded::<Sha384>(),
            Self::Sha512 => Pss::new_blinded::<Sha512>(),
        }
    }

    fn pkcs1(self) -> Pkcs1v15Sign {
        match self {
            Self::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
            Self::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
            Self::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
        }
    }
}

/// The digest that is signed: the message's, or the message itself, if it is one.
fn digest(
    scheme: Scheme,
    algorithm: SigningAlgorithmSpec,
    message: &[u8],
    kind: Option<MessageType>,
) -> Result<Vec<u8>, Fault> {
    match kind.unwrap_or(MessageType::Raw) {
        MessageType::Raw => Ok(scheme.hash().digest(message)),
        MessageType::Digest if message.len() == scheme.hash().bytes() => Ok(message.to_vec()),
        MessageType::Digest => {
            Err(errors::validation(format!("Digest is invalid length for algorithm {algorithm}.")))
        }
        MessageType::ExternalMu => Err(errors::validation(format!(
            "MessageType EXTERNAL_MU is incompatible with algorithm {algorithm}."
        ))),
    }
}

fn key(
    how: Use<'_>,
    work: &Work<'_>,
    key_id: Option<&str>,
    algorithm: SigningAlgorithmSpec,
) -> Result<(Arc<Key>, Scheme), Fault> {
    let usage = KeyUsageType::SignVerify;
    let key = how.key(key_id, usage, &EncryptionContext::new(), work)?;
    let known = queries::signing_algorithms(&key).contains(&algorithm);
    match scheme(algorithm).filter(|_| known) {
        Some(scheme) => Ok((key, scheme)),
        None => Err(errors::algorithm(algorithm, key.spec)),
    }
}

/// Signs a message of up to 4,096 bytes, or a digest.
///
/// # Errors
/// There is no such key, it can't be used, or the message doesn't fit.
pub fn sign(
    state: &State,
    request: &Request,
    input: SignRequest,
    work: &mut Work<'_>,
) -> Result<Computed<SignResponse>, Fault> {
    let SignRequest { key_id, message, message_type, grant_tokens, signing_algorithm, dry_run } =
        input;
    let message = check::required("message", message)?;
    check::blob("message", &message, 1..=MAX_MESSAGE)?;
    let algorithm = check::required("signingAlgorithm", signing_algorithm)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:Sign", via: None };
    let (key, scheme) = key(how, work, key_id.as_deref(), algorithm)?;
    let digest = digest(scheme, algorithm, &message, message_type)?;
    check::dry_run(dry_run)?;
    let (_, material) = keys::open_current(work.master, &key, work.effects.now())?;
    let signature = signature(work, &material, scheme, &digest).ok_or_else(errors::internal)?;
    Ok(Computed::Done(SignResponse {
        key_id: Some(key.arn()),
        signature: Some(signature),
        signing_algorithm: Some(algorithm),
    }))
}

/// Elliptic curves sign in DER, with nonces by RFC 6979; P-521's are drawn, as its library has no
/// other way.
fn signature(
    work: &mut Work<'_>,
    material: &Material,
    scheme: Scheme,
    digest: &[u8],
) -> Option<Vec<u8>> {
    match material {
        Material::Rsa(key) => rsa_signature(work, key, scheme, digest),
        Material::P256(key) => {
            let key = p256::ecdsa::SigningKey::from(key);
            let signature: p256::ecdsa::Signature = key.sign_prehash(digest).ok()?;
            Some(signature.to_der().as_bytes().to_vec())
        }
        Material::P384(key) => {
            let key = p384::ecdsa::SigningKey::from(key);
            let signature: p384::ecdsa::Signature = key.sign_prehash(digest).ok()?;
            Some(signature.to_der().as_bytes().to_vec())
        }
        Material::P521(key) => {
            let key = p521::ecdsa::SigningKey::from_slice(&key.to_bytes()).ok()?;
            let random = &mut Random(work.effects);
            let signature: p521::ecdsa::Signature =
                key.sign_prehash_with_rng(random, digest).ok()?;
            Some(signature.to_der().as_bytes().to_vec())
        }
        Material::K256(key) => {
            let key = k256::ecdsa::SigningKey::from(key);
            let signature: k256::ecdsa::Signature = key.sign_prehash(digest).ok()?;
            Some(signature.to_der().as_bytes().to_vec())
        }
        Material::Symmetric(_) | Material::Mac(_) => None,
    }
}

fn rsa_signature(
    work: &mut Work<'_>,
    key: &RsaPrivateKey,
    scheme: Scheme,
    digest: &[u8],
) -> Option<Vec<u8>> {
    let random = &mut Random(work.effects);
    match scheme {
        Scheme::Pss(hash) => key.sign_with_rng(random, hash.pss(), digest).ok(),
        Scheme::Pkcs1(hash) => key.sign_with_rng(random, hash.pkcs1(), digest).ok(),
        Scheme::Ecdsa(_) => None,
    }
}

/// Verifies a signature.
///
/// # Errors
/// It isn't the message's; or as Sign's.
pub fn verify(
    state: &State,
    request: &Request,
    input: VerifyRequest,
    work: &mut Work<'_>,
) -> Result<Computed<VerifyResponse>, Fault> {
    let VerifyRequest {
        key_id,
        message,
        message_type,
        signature,
        signing_algorithm,
        grant_tokens,
        dry_run,
    } = input;
    let message = check::required("message", message)?;
    check::blob("message", &message, 1..=MAX_MESSAGE)?;
    let signature = check::required("signature", signature)?;
    check::blob("signature", &signature, 1..=MAX_SIGNATURE)?;
    let algorithm = check::required("signingAlgorithm", signing_algorithm)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:Verify", via: None };
    let (key, scheme) = key(how, work, key_id.as_deref(), algorithm)?;
    let digest = digest(scheme, algorithm, &message, message_type)?;
    check::dry_run(dry_run)?;
    let (_, material) = keys::open_current(work.master, &key, work.effects.now())?;
    if fits(&material, scheme, &digest, &signature) != Some(true) {
        return Err(errors::invalid_signature());
    }
    Ok(Computed::Done(VerifyResponse {
        key_id: Some(key.arn()),
        signature_valid: Some(true),
        signing_algorithm: Some(algorithm),
    }))
}

/// Whether the signature is the digest's; none where it is no signature at all.
fn fits(material: &Material, scheme: Scheme, digest: &[u8], signature: &[u8]) -> Option<bool> {
    Some(match material {
        Material::Rsa(key) => {
            let public = key.to_public_key();
            match scheme {
                Scheme::Pss(hash) => public.verify(hash.pss(), digest, signature).is_ok(),
                Scheme::Pkcs1(hash) => public.verify(hash.pkcs1(), digest, signature).is_ok(),
                Scheme::Ecdsa(_) => false,
            }
        }
        Material::P256(key) => {
            let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
            let key = *p256::ecdsa::SigningKey::from(key).verifying_key();
            key.verify_prehash(digest, &signature).is_ok()
        }
        Material::P384(key) => {
            let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
            let key = *p384::ecdsa::SigningKey::from(key).verifying_key();
            key.verify_prehash(digest, &signature).is_ok()
        }
        Material::P521(key) => {
            let signature = p521::ecdsa::Signature::from_der(signature).ok()?;
            let key = p521::ecdsa::SigningKey::from_slice(&key.to_bytes()).ok()?;
            let key = p521::ecdsa::VerifyingKey::from(&key);
            key.verify_prehash(digest, &signature).is_ok()
        }
        Material::K256(key) => {
            let signature = k256::ecdsa::Signature::from_der(signature).ok()?;
            // The library refuses the greater of the two values that fit; others sign with either.
            let signature = signature.normalize_s().unwrap_or(signature);
            let key = *k256::ecdsa::SigningKey::from(key).verifying_key();
            key.verify_prehash(digest, &signature).is_ok()
        }
        Material::Symmetric(_) | Material::Mac(_) => false,
    })
}

/// The public half of an asymmetric key, as the DER of a SubjectPublicKeyInfo.
///
/// # Errors
/// There is no such key, it is symmetric, or can't be used.
pub fn get_public_key(
    state: &State,
    request: &Request,
    input: GetPublicKeyRequest,
) -> Result<GetPublicKeyResponse, Fault> {
    let GetPublicKeyRequest { key_id, grant_tokens } = input;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let Found { key, alias } = identify::key_or_alias(state, &request.scope, key_id.as_deref())?;
    let alias = alias.as_deref();
    let asked = Asked { alias, ..Asked::granted("kms:GetPublicKey") };
    authorise::check(state, request, &key, &asked)?;
    let Some(public) = &key.public else {
        let arn = key.arn();
        let message =
            format!("{arn} is not an asymmetric key with a public half: its spec is {}.", key.spec);
        return Err(errors::unsupported_operation(message));
    };
    // Its material doesn't expire: the time doesn't matter.
    keys::usable(&key, types::Timestamp::default())?;
    Ok(GetPublicKeyResponse {
        key_id: Some(key.arn()),
        public_key: Some(STANDARD.decode(public).map_err(|_| errors::internal())?),
        customer_master_key_spec: queries::old_spec(key.spec),
        key_spec: Some(key.spec),
        key_usage: Some(key.usage),
        encryption_algorithms: queries::some(queries::encryption_algorithms(&key)),
        signing_algorithms: queries::some(queries::signing_algorithms(&key)),
        key_agreement_algorithms: queries::agreement_algorithms(&key),
    })
}
