//! Signatures, codes and shared secrets, with each kind of key. Independent libraries verify them in
//! the end-to-end tests.

use super::{World, code, request, text};
use crate::{macs, shared_secrets, signatures};
use sha2::{Digest as _, Sha256};
use shapes::kms::{
    DeriveSharedSecretRequest, GenerateMacRequest, GetPublicKeyRequest, KeyAgreementAlgorithmSpec,
    KeySpec, KeyUsageType, MacAlgorithmSpec, MessageType, SignRequest, SigningAlgorithmSpec,
    VerifyMacRequest, VerifyRequest,
};

fn round(world: &mut World, key: &str, algorithm: SigningAlgorithmSpec) {
    let sign = SignRequest {
        key_id: text(key),
        message: Some(b"message".to_vec()),
        signing_algorithm: Some(algorithm),
        ..SignRequest::default()
    };
    let signed = world.compute(signatures::sign, &request(), sign).unwrap();
    let verify = VerifyRequest {
        key_id: text(key),
        message: Some(b"message".to_vec()),
        signature: signed.signature,
        signing_algorithm: Some(algorithm),
        ..VerifyRequest::default()
    };
    let verified = world.compute(signatures::verify, &request(), verify.clone()).unwrap();
    assert_eq!(verified.signature_valid, Some(true));
    let other = VerifyRequest { message: Some(b"massage".to_vec()), ..verify.clone() };
    let wrong = world.compute(signatures::verify, &request(), other);
    assert_eq!(code(wrong), "KMSInvalidSignatureException", "{algorithm}");
    for bad in [vec![0], vec![0x30; 70], vec![0; 256], vec![255; 6144]] {
        let other = VerifyRequest { signature: Some(bad), ..verify.clone() };
        let wrong = world.compute(signatures::verify, &request(), other);
        assert_eq!(code(wrong), "KMSInvalidSignatureException", "{algorithm}");
    }
}

#[test]
fn each_kind_of_key_signs() {
    use SigningAlgorithmSpec as Algorithm;
    let mut world = World::new();
    let rsa: &[Algorithm] = &[
        Algorithm::RsassaPssSha256,
        Algorithm::RsassaPssSha384,
        Algorithm::RsassaPssSha512,
        Algorithm::RsassaPkcs1V1_5Sha256,
        Algorithm::RsassaPkcs1V1_5Sha384,
        Algorithm::RsassaPkcs1V1_5Sha512,
    ];
    for (spec, algorithms) in [
        (KeySpec::Rsa2048, rsa),
        (KeySpec::EccNistP256, &[Algorithm::EcdsaSha256]),
        (KeySpec::EccNistP384, &[Algorithm::EcdsaSha384]),
        (KeySpec::EccNistP521, &[Algorithm::EcdsaSha512]),
        (KeySpec::EccSecgP256k1, &[Algorithm::EcdsaSha256]),
    ] {
        let key = world.key_for(spec, KeyUsageType::SignVerify);
        for algorithm in algorithms {
            round(&mut world, &key, *algorithm);
        }
        let unfit = Algorithm::ALL.iter().filter(|algorithm| !algorithms.contains(algorithm));
        for algorithm in unfit {
            let sign = SignRequest {
                key_id: text(&key),
                message: Some(b"message".to_vec()),
                signing_algorithm: Some(*algorithm),
                ..SignRequest::default()
            };
            let wrong = world.compute(signatures::sign, &request(), sign);
            assert_eq!(code(wrong), "InvalidKeyUsageException", "{spec} {algorithm}");
        }
    }
}

#[test]
fn a_digest_is_signed_as_its_message() {
    let mut world = World::new();
    let key = world.key_for(KeySpec::EccNistP256, KeyUsageType::SignVerify);
    let sign = |message: Vec<u8>, kind| SignRequest {
        key_id: text(&key),
        message: Some(message),
        message_type: kind,
        signing_algorithm: Some(SigningAlgorithmSpec::EcdsaSha256),
        ..SignRequest::default()
    };
    let raw = world.compute(signatures::sign, &request(), sign(b"m".to_vec(), None)).unwrap();
    let digest = sign(Sha256::digest(b"m").to_vec(), Some(MessageType::Digest));
    let of_digest = world.compute(signatures::sign, &request(), digest).unwrap();
    assert_eq!(raw.signature, of_digest.signature);
    let short = sign(vec![0; 31], Some(MessageType::Digest));
    let wrong = world.compute(signatures::sign, &request(), short);
    assert_eq!(code(wrong), "ValidationException");
    let symmetric = world.key();
    let wrong = SignRequest { key_id: text(&symmetric), ..sign(vec![1], None) };
    let wrong = world.compute(signatures::sign, &request(), wrong);
    assert_eq!(code(wrong), "InvalidKeyUsageException");
    let public = GetPublicKeyRequest { key_id: text(&symmetric), grant_tokens: None };
    let wrong = signatures::get_public_key(&world.state, &request(), public);
    assert_eq!(code(wrong), "UnsupportedOperationException");
}

#[test]
fn codes_are_made_and_verified() {
    let mut world = World::new();
    for (spec, algorithm, length) in [
        (KeySpec::Hmac224, MacAlgorithmSpec::HmacSha224, 28),
        (KeySpec::Hmac256, MacAlgorithmSpec::HmacSha256, 32),
        (KeySpec::Hmac384, MacAlgorithmSpec::HmacSha384, 48),
        (KeySpec::Hmac512, MacAlgorithmSpec::HmacSha512, 64),
    ] {
        let key = world.key_for(spec, KeyUsageType::GenerateVerifyMac);
        let make = GenerateMacRequest {
            key_id: text(&key),
            message: Some(b"message".to_vec()),
            mac_algorithm: Some(algorithm),
            ..GenerateMacRequest::default()
        };
        let made = world.compute(macs::generate_mac, &request(), make).unwrap();
        assert_eq!(made.mac.as_ref().map(Vec::len), Some(length));
        let verify = VerifyMacRequest {
            key_id: text(&key),
            message: Some(b"message".to_vec()),
            mac: made.mac,
            mac_algorithm: Some(algorithm),
            ..VerifyMacRequest::default()
        };
        world.compute(macs::verify_mac, &request(), verify.clone()).unwrap();
        let mut changed = verify.clone();
        changed.mac.as_mut().unwrap()[3] ^= 1;
        let mut short = verify;
        short.mac.as_mut().unwrap().pop();
        for wrong in [changed, short] {
            let wrong = world.compute(macs::verify_mac, &request(), wrong);
            assert_eq!(code(wrong), "KMSInvalidMacException");
        }
    }
}

#[test]
fn two_keys_agree_on_a_secret() {
    let mut world = World::new();
    for spec in [KeySpec::EccNistP256, KeySpec::EccNistP384, KeySpec::EccNistP521] {
        let ours = world.key_for(spec, KeyUsageType::KeyAgreement);
        let theirs = world.key_for(spec, KeyUsageType::KeyAgreement);
        let mut derive = |own: &str, other: &str| {
            let public = GetPublicKeyRequest { key_id: text(other), grant_tokens: None };
            let public = signatures::get_public_key(&world.state, &request(), public).unwrap();
            let input = DeriveSharedSecretRequest {
                key_id: text(own),
                key_agreement_algorithm: Some(KeyAgreementAlgorithmSpec::Ecdh),
                public_key: public.public_key,
                ..DeriveSharedSecretRequest::default()
            };
            let derived = world.compute(shared_secrets::derive_shared_secret, &request(), input);
            derived.unwrap().shared_secret.unwrap()
        };
        assert_eq!(derive(&ours, &theirs), derive(&theirs, &ours));
    }
}
