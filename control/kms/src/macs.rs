//! HMACs.

use crate::{
    EncryptionContext, check,
    encryption::Use,
    errors, grants,
    keys::{self, Key, queries},
    master::Work,
    material::Material,
    operations::Computed,
};
use hmac::{Hmac, Mac};
use iam::Request;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use shapes::{
    Fault,
    kms::{
        GenerateMacRequest, GenerateMacResponse, KeyUsageType, MacAlgorithmSpec, VerifyMacRequest,
        VerifyMacResponse,
    },
};
use state::State;
use std::sync::Arc;

/// The most bytes of a message.
const MAX_MESSAGE: usize = 4096;
/// The most bytes of a code that is to be verified.
const MAX_MAC: usize = 6144;

fn key(
    how: Use<'_>,
    work: &Work<'_>,
    key_id: Option<&str>,
    algorithm: MacAlgorithmSpec,
) -> Result<Arc<Key>, Fault> {
    let usage = KeyUsageType::GenerateVerifyMac;
    let key = how.key(key_id, usage, &EncryptionContext::new(), work)?;
    if queries::mac_algorithm(key.spec) != Some(algorithm) {
        return Err(errors::algorithm(algorithm, key.spec));
    }
    Ok(key)
}

fn material(work: &Work<'_>, key: &Key) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
    match keys::open_current(work.master, key, work.effects.now())?.1 {
        Material::Mac(bytes) => Ok(bytes),
        Material::Symmetric(_)
        | Material::Rsa(_)
        | Material::P256(_)
        | Material::P384(_)
        | Material::P521(_)
        | Material::K256(_) => Err(errors::internal()),
    }
}

/// Does something with the HMAC of a message.
macro_rules! with_mac {
    ($algorithm:expr, $bytes:expr, $message:expr, |$mac:ident| $then:expr) => {
        match $algorithm {
            MacAlgorithmSpec::HmacSha224 => with_mac!(@ Sha224, $bytes, $message, |$mac| $then),
            MacAlgorithmSpec::HmacSha256 => with_mac!(@ Sha256, $bytes, $message, |$mac| $then),
            MacAlgorithmSpec::HmacSha384 => with_mac!(@ Sha384, $bytes, $message, |$mac| $then),
            MacAlgorithmSpec::HmacSha512 => with_mac!(@ Sha512, $bytes, $message, |$mac| $then),
        }
    };
    (@ $hash:ty, $bytes:expr, $message:expr, |$mac:ident| $then:expr) => {{
        let mut $mac = <Hmac<$hash> as Mac>::new_from_slice($bytes).map_err(|_| errors::internal())?;
        $mac.update($message);
        $then
    }};
}

/// Makes the code of a message.
///
/// # Errors
/// There is no such key, it can't be used, or the message is too long.
pub fn generate_mac(
    state: &State,
    request: &Request,
    input: GenerateMacRequest,
    work: &mut Work<'_>,
) -> Result<Computed<GenerateMacResponse>, Fault> {
    let GenerateMacRequest { message, key_id, mac_algorithm, grant_tokens, dry_run } = input;
    let message = check::required("message", message)?;
    check::blob("message", &message, 1..=MAX_MESSAGE)?;
    let algorithm = check::required("macAlgorithm", mac_algorithm)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:GenerateMac", via: None };
    let key = key(how, work, key_id.as_deref(), algorithm)?;
    check::dry_run(dry_run)?;
    let bytes = material(work, &key)?;
    let code = with_mac!(algorithm, &bytes, &message, |mac| mac.finalize().into_bytes().to_vec());
    Ok(Computed::Done(GenerateMacResponse {
        mac: Some(code),
        mac_algorithm: Some(algorithm),
        key_id: Some(key.arn()),
    }))
}

/// Verifies the code of a message, in a time that doesn't depend on it.
///
/// # Errors
/// It isn't the message's; or as GenerateMac's.
pub fn verify_mac(
    state: &State,
    request: &Request,
    input: VerifyMacRequest,
    work: &mut Work<'_>,
) -> Result<Computed<VerifyMacResponse>, Fault> {
    let VerifyMacRequest { message, key_id, mac_algorithm, mac: code, grant_tokens, dry_run } =
        input;
    let message = check::required("message", message)?;
    check::blob("message", &message, 1..=MAX_MESSAGE)?;
    let code = check::required("mac", code)?;
    check::blob("mac", &code, 1..=MAX_MAC)?;
    let algorithm = check::required("macAlgorithm", mac_algorithm)?;
    grants::check_tokens(state, grant_tokens.as_deref())?;
    let how = Use { state, request, action: "kms:VerifyMac", via: None };
    let key = key(how, work, key_id.as_deref(), algorithm)?;
    check::dry_run(dry_run)?;
    let bytes = material(work, &key)?;
    let valid = with_mac!(algorithm, &bytes, &message, |mac| mac.verify_slice(&code).is_ok());
    if !valid {
        return Err(errors::invalid_mac());
    }
    Ok(Computed::Done(VerifyMacResponse {
        key_id: Some(key.arn()),
        mac_valid: Some(true),
        mac_algorithm: Some(algorithm),
    }))
}
