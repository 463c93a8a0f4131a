//! Rotation: old ciphertexts go on opening.

use super::{World, code, request, text};
use crate::{
    encryption,
    keys::{lifecycle, rotation},
};
use shapes::kms::{
    DecryptRequest, DisableKeyRequest, DisableKeyRotationRequest, EnableKeyRequest,
    EnableKeyRotationRequest, EncryptRequest, GetKeyRotationStatusRequest, IncludeKeyMaterial,
    KeySpec, KeyUsageType, ListKeyRotationsRequest, RotateKeyOnDemandRequest, RotationType,
};

fn encrypt(world: &mut World, key: &str) -> (Vec<u8>, String) {
    let input = EncryptRequest {
        key_id: text(key),
        plaintext: Some(b"secret".to_vec()),
        ..EncryptRequest::default()
    };
    let blob = world.compute(encryption::encrypt, &request(), input).unwrap();
    let blob = blob.ciphertext_blob.unwrap();
    let material = decrypt(world, &blob);
    (blob, material)
}

/// Opens a ciphertext; gives the ID of the material that did it.
fn decrypt(world: &mut World, blob: &[u8]) -> String {
    let input =
        DecryptRequest { ciphertext_blob: Some(blob.to_vec()), ..DecryptRequest::default() };
    let opened = world.compute(encryption::decrypt, &request(), input).unwrap();
    assert_eq!(opened.plaintext.as_deref(), Some(&b"secret"[..]));
    opened.key_material_id.unwrap()
}

fn rotations(world: &World, key: &str) -> Vec<RotationType> {
    let input = ListKeyRotationsRequest { key_id: text(key), ..ListKeyRotationsRequest::default() };
    let listed = rotation::list_key_rotations(&world.state, &request(), input).unwrap();
    listed.rotations.unwrap().iter().filter_map(|entry| entry.rotation_type).collect()
}

#[test]
fn keys_rotate_by_the_clock() {
    let mut world = World::new();
    let key = world.key();
    let (old, first) = encrypt(&mut world, &key);
    let status = |world: &World| {
        let input = GetKeyRotationStatusRequest { key_id: text(&key) };
        rotation::get_key_rotation_status(&world.state, &request(), input).unwrap()
    };
    assert_eq!(status(&world).key_rotation_enabled, Some(false));
    let enable =
        |days| EnableKeyRotationRequest { key_id: text(&key), rotation_period_in_days: days };
    for days in [89, 2561] {
        let wrong = world.mutate(rotation::enable_key_rotation, &request(), enable(Some(days)));
        assert_eq!(code(wrong), "ValidationException");
    }
    world.mutate(rotation::enable_key_rotation, &request(), enable(Some(90))).unwrap();
    assert_eq!(status(&world).rotation_period_in_days, Some(90));
    world.pass(89);
    assert_eq!(rotations(&world, &key), []);
    world.pass(1);
    assert_eq!(rotations(&world, &key), [RotationType::Automatic]);
    let (new, second) = encrypt(&mut world, &key);
    assert_ne!(first, second);
    assert_eq!(decrypt(&mut world, &old), first);
    assert_eq!(decrypt(&mut world, &new), second);

    // A disabled key waits.
    let disable = DisableKeyRequest { key_id: text(&key) };
    world.mutate(lifecycle::disable_key, &request(), disable).unwrap();
    let wrong = world.mutate(rotation::enable_key_rotation, &request(), enable(None));
    assert_eq!(code(wrong), "DisabledException");
    world.pass(100);
    assert_eq!(rotations(&world, &key).len(), 1);
    let input = EnableKeyRequest { key_id: text(&key) };
    world.mutate(lifecycle::enable_key, &request(), input).unwrap();
    world.pass(0);
    assert_eq!(rotations(&world, &key).len(), 2);
    let off = DisableKeyRotationRequest { key_id: text(&key) };
    world.mutate(rotation::disable_key_rotation, &request(), off).unwrap();
    world.pass(1000);
    assert_eq!(rotations(&world, &key).len(), 2);
    assert_eq!(decrypt(&mut world, &old), first);
}

#[test]
fn keys_rotate_on_demand() {
    let mut world = World::new();
    let key = world.key();
    let (old, first) = encrypt(&mut world, &key);
    let rotate = || RotateKeyOnDemandRequest { key_id: text(&key) };
    for _ in 0..25 {
        world.compute(rotation::rotate_key_on_demand, &request(), rotate()).unwrap();
    }
    let wrong = world.compute(rotation::rotate_key_on_demand, &request(), rotate());
    assert_eq!(code(wrong), "LimitExceededException");
    assert_eq!(rotations(&world, &key), [RotationType::OnDemand; 25]);
    assert_eq!(decrypt(&mut world, &old), first);
    let input = ListKeyRotationsRequest {
        key_id: text(&key),
        include_key_material: Some(IncludeKeyMaterial::AllKeyMaterial),
        ..ListKeyRotationsRequest::default()
    };
    let all = rotation::list_key_rotations(&world.state, &request(), input).unwrap();
    let all = all.rotations.unwrap();
    assert_eq!(all.len(), 26);
    assert_eq!(all[0].key_material_id, Some(first));
}

#[test]
fn only_symmetric_keys_rotate() {
    let mut world = World::new();
    for (spec, usage) in [
        (KeySpec::EccNistP256, KeyUsageType::SignVerify),
        (KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac),
    ] {
        let key = world.key_for(spec, usage);
        let enable = EnableKeyRotationRequest { key_id: text(&key), rotation_period_in_days: None };
        let wrong = world.mutate(rotation::enable_key_rotation, &request(), enable);
        assert_eq!(code(wrong), "UnsupportedOperationException");
        let rotate = RotateKeyOnDemandRequest { key_id: text(&key) };
        let wrong = world.compute(rotation::rotate_key_on_demand, &request(), rotate);
        assert_eq!(code(wrong), "UnsupportedOperationException");
    }
}
