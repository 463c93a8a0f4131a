//! Imported key material.

use super::{DAY_MS, World, code, request, text};
use crate::{Key, encryption, import, keys::queries};
use aes_kw::KekAes256;
use rsa::{Oaep, RsaPublicKey, pkcs8::DecodePublicKey as _};
use sha2::Sha256;
use shapes::{
    Fault,
    kms::{
        AlgorithmSpec, CreateKeyRequest, DecryptRequest, DeleteImportedKeyMaterialRequest,
        DescribeKeyRequest, EncryptRequest, ExpirationModelType, GetParametersForImportRequest,
        GetParametersForImportResponse, ImportKeyMaterialRequest, KeyState, OriginType,
        WrappingKeySpec,
    },
};

fn external(world: &mut World) -> String {
    world.key_of(CreateKeyRequest {
        origin: Some(OriginType::External),
        ..CreateKeyRequest::default()
    })
}

fn state_of(world: &mut World, key: &str) -> KeyState {
    let input = DescribeKeyRequest { key_id: text(key), grant_tokens: None };
    let described = world.compute(queries::describe_key, &request(), input).unwrap();
    described.key_metadata.unwrap().key_state.unwrap()
}

fn parameters(
    world: &mut World,
    key: &str,
    algorithm: AlgorithmSpec,
) -> GetParametersForImportResponse {
    let input = GetParametersForImportRequest {
        key_id: text(key),
        wrapping_algorithm: Some(algorithm),
        wrapping_key_spec: Some(WrappingKeySpec::Rsa2048),
    };
    world.compute(import::get_parameters_for_import, &request(), input).unwrap()
}

fn wrapped(
    parameters: &GetParametersForImportResponse,
    with_aes: bool,
    material: &[u8],
) -> Vec<u8> {
    let public = RsaPublicKey::from_public_key_der(parameters.public_key.as_ref().unwrap());
    let mut effects = state::Effects::new(types::Timestamp::default(), [8; 32]);
    let mut random = crate::material::Random(&mut effects);
    let mut rsa = |bytes: &[u8]| {
        public.as_ref().unwrap().encrypt(&mut random, Oaep::new::<Sha256>(), bytes).unwrap()
    };
    if !with_aes {
        return rsa(material);
    }
    let kek = [3; 32];
    let mut all = rsa(&kek);
    all.extend(KekAes256::from(kek).wrap_with_padding_vec(material).unwrap());
    all
}

fn put(
    world: &mut World,
    key: &str,
    token: &GetParametersForImportResponse,
    material: Vec<u8>,
    days: Option<i64>,
) -> Result<(), Fault> {
    let input = ImportKeyMaterialRequest {
        key_id: text(key),
        import_token: token.import_token.clone(),
        encrypted_key_material: Some(material),
        valid_to: days.map(|days| world.now.plus_millis(days * DAY_MS)),
        expiration_model: days.is_none().then_some(ExpirationModelType::KeyMaterialDoesNotExpire),
        ..ImportKeyMaterialRequest::default()
    };
    world.compute(import::import_key_material, &request(), input).map(|_| ())
}

#[test]
fn imported_material_comes_and_goes() {
    let mut world = World::new();
    let key = external(&mut world);
    assert_eq!(state_of(&mut world, &key), KeyState::PendingImport);
    let encrypt = || EncryptRequest {
        key_id: text(&key),
        plaintext: Some(vec![7]),
        ..EncryptRequest::default()
    };
    let wrong = world.compute(encryption::encrypt, &request(), encrypt());
    assert_eq!(code(wrong), "KMSInvalidStateException");
    let token = parameters(&mut world, &key, AlgorithmSpec::RsaesOaepSha256);
    let material = wrapped(&token, false, &[5; 32]);
    put(&mut world, &key, &token, material.clone(), Some(2)).unwrap();
    assert_eq!(state_of(&mut world, &key), KeyState::Enabled);
    let blob = world.compute(encryption::encrypt, &request(), encrypt()).unwrap();
    let opening = || DecryptRequest {
        ciphertext_blob: blob.ciphertext_blob.clone(),
        ..DecryptRequest::default()
    };
    world.compute(encryption::decrypt, &request(), opening()).unwrap();

    // It expires, even before the clock has looked.
    world.now = world.now.plus_millis(2 * DAY_MS);
    assert_eq!(state_of(&mut world, &key), KeyState::PendingImport);
    let wrong = world.compute(encryption::decrypt, &request(), opening());
    assert_eq!(code(wrong), "KMSInvalidStateException");
    world.pass(0);
    assert!(world.state.iter::<Key>().all(|key| key.materials[0].sealed.is_none()));

    // The same material opens the same ciphertext; another is refused.
    let wrong = put(&mut world, &key, &token, material, None);
    assert_eq!(code(wrong), "ExpiredImportTokenException");
    let token = parameters(&mut world, &key, AlgorithmSpec::RsaAesKeyWrapSha256);
    let other = wrapped(&token, true, &[6; 32]);
    let wrong = put(&mut world, &key, &token, other, None);
    assert_eq!(code(wrong), "IncorrectKeyMaterialException");
    let same = wrapped(&token, true, &[5; 32]);
    put(&mut world, &key, &token, same, None).unwrap();
    world.compute(encryption::decrypt, &request(), opening()).unwrap();
    let delete = DeleteImportedKeyMaterialRequest { key_id: text(&key), key_material_id: None };
    world.mutate(import::delete_imported_key_material, &request(), delete).unwrap();
    assert_eq!(state_of(&mut world, &key), KeyState::PendingImport);
}

#[test]
fn what_is_not_the_keys_is_refused() {
    let mut world = World::new();
    let (key, other, own) = (external(&mut world), external(&mut world), world.key());
    let token = parameters(&mut world, &key, AlgorithmSpec::RsaesOaepSha256);
    let material = wrapped(&token, false, &[5; 32]);
    let wrong = put(&mut world, &other, &token, material.clone(), None);
    assert_eq!(code(wrong), "InvalidImportTokenException");
    let wrong = put(&mut world, &own, &token, material.clone(), None);
    assert_eq!(code(wrong), "UnsupportedOperationException");
    let short = wrapped(&token, false, &[5; 31]);
    assert_eq!(code(put(&mut world, &key, &token, short, None)), "IncorrectKeyMaterialException");
    let wrong = put(&mut world, &key, &token, vec![1; 256], None);
    assert_eq!(code(wrong), "IncorrectKeyMaterialException");
    for days in [-1, 0, 366] {
        let wrong = put(&mut world, &key, &token, material.clone(), Some(days));
        assert_eq!(code(wrong), "ValidationException");
    }
    let mut forged = token.clone();
    forged.import_token.as_mut().unwrap()[40] ^= 1;
    let wrong = put(&mut world, &key, &forged, material, None);
    assert_eq!(code(wrong), "InvalidImportTokenException");
}
