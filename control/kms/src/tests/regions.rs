//! Multi-Region keys.

use super::{World, code, request, request_in, text};
use crate::{
    Computed, Key, Work, encryption,
    keys::{lifecycle, rotation},
    regions,
};
use shapes::kms::{
    CreateKeyRequest, DecryptRequest, EncryptRequest, MultiRegionKeyType, ReplicateKeyRequest,
    RotateKeyOnDemandRequest, ScheduleKeyDeletionRequest, UpdatePrimaryRegionRequest,
};
use state::Effects;

fn primary(world: &mut World) -> String {
    world.key_of(CreateKeyRequest { multi_region: Some(true), ..CreateKeyRequest::default() })
}

fn replicate(world: &mut World, key: &str, region: &str) -> Result<(), shapes::Fault> {
    let input = ReplicateKeyRequest {
        key_id: text(key),
        replica_region: text(region),
        ..ReplicateKeyRequest::default()
    };
    let made = world.compute(regions::replicate_key, &request(), input)?;
    let configuration = made.replica_key_metadata.unwrap().multi_region_configuration.unwrap();
    assert_eq!(configuration.multi_region_key_type, Some(MultiRegionKeyType::Replica));
    Ok(())
}

#[test]
fn a_replica_opens_what_its_primary_sealed() {
    let mut world = World::new();
    let key = primary(&mut world);
    assert!(key.starts_with("mrk-"));
    replicate(&mut world, &key, "eu-west-1").unwrap();
    assert_eq!(code(replicate(&mut world, &key, "eu-west-1")), "AlreadyExistsException");
    assert_eq!(code(replicate(&mut world, &key, "us-east-1")), "AlreadyExistsException");
    assert_eq!(code(replicate(&mut world, &key, "Mars")), "ValidationException");
    let single = world.key();
    let wrong = replicate(&mut world, &single, "eu-west-1");
    assert_eq!(code(wrong), "UnsupportedOperationException");
    let rotate = RotateKeyOnDemandRequest { key_id: text(&key) };
    world.compute(rotation::rotate_key_on_demand, &request(), rotate.clone()).unwrap();
    let wrong = world.compute(rotation::rotate_key_on_demand, &request_in("eu-west-1"), rotate);
    assert_eq!(code(wrong), "UnsupportedOperationException");
    let mut encrypt = |key: &str| {
        let input = EncryptRequest {
            key_id: text(key),
            plaintext: Some(vec![7]),
            ..EncryptRequest::default()
        };
        let made = world.compute(encryption::encrypt, &request(), input).unwrap();
        let opening =
            DecryptRequest { ciphertext_blob: made.ciphertext_blob, ..DecryptRequest::default() };
        world.compute(encryption::decrypt, &request_in("eu-west-1"), opening)
    };
    assert_eq!(encrypt(&key).unwrap().plaintext, Some(vec![7]));
    assert_eq!(code(encrypt(&single)), "InvalidCiphertextException");
}

#[test]
fn a_primary_is_deleted_after_its_replicas() {
    let mut world = World::new();
    let key = primary(&mut world);
    replicate(&mut world, &key, "eu-west-1").unwrap();
    let schedule =
        || ScheduleKeyDeletionRequest { key_id: text(&key), pending_window_in_days: Some(7) };
    let answer = world.mutate(lifecycle::schedule_key_deletion, &request(), schedule()).unwrap();
    assert_eq!(answer.deletion_date, None);
    world.pass(100);
    assert_eq!(world.state.count::<Key>(), 2);
    let there = request_in("eu-west-1");
    world.mutate(lifecycle::schedule_key_deletion, &there, schedule()).unwrap();
    world.pass(7);
    assert_eq!(world.state.count::<Key>(), 1);
    world.pass(6);
    assert_eq!(world.state.count::<Key>(), 1);
    world.pass(1);
    assert_eq!(world.state.count::<Key>(), 0);
}

#[test]
fn what_changes_in_between_is_noticed() {
    let mut world = World::new();
    let key = primary(&mut world);
    let (mut effects, master) = (Effects::new(world.now, [99; 32]), world.master.clone());
    let mut work = Work { effects: &mut effects, master: &master };
    let rotate = || RotateKeyOnDemandRequest { key_id: text(&key) };
    let input = ReplicateKeyRequest {
        key_id: text(&key),
        replica_region: text("eu-west-1"),
        ..ReplicateKeyRequest::default()
    };
    let Ok(Computed::Change(replicate_later)) =
        regions::replicate_key(&world.state, &request(), input, &mut work)
    else {
        panic!("nothing to change");
    };
    let Ok(Computed::Change(rotate_later)) =
        rotation::rotate_key_on_demand(&world.state, &request(), rotate(), &mut work)
    else {
        panic!("nothing to change");
    };
    world.compute(rotation::rotate_key_on_demand, &request(), rotate()).unwrap();
    assert_eq!(code(world.commit(replicate_later)), "KMSInvalidStateException");
    replicate(&mut world, &key, "eu-west-1").unwrap();
    assert_eq!(code(world.commit(rotate_later)), "KMSInvalidStateException");
    let count = |key: &std::sync::Arc<Key>| key.materials.len();
    assert_eq!(world.state.iter::<Key>().map(count).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn the_primary_moves() {
    let mut world = World::new();
    let key = primary(&mut world);
    let to = |region: &str| UpdatePrimaryRegionRequest {
        key_id: text(&key),
        primary_region: text(region),
    };
    let wrong = world.mutate(regions::update_primary_region, &request(), to("eu-west-1"));
    assert_eq!(code(wrong), "NotFoundException");
    replicate(&mut world, &key, "eu-west-1").unwrap();
    world.mutate(regions::update_primary_region, &request(), to("eu-west-1")).unwrap();
    let wrong = world.mutate(regions::update_primary_region, &request(), to("us-east-1"));
    assert_eq!(code(wrong), "UnsupportedOperationException");
    assert!(
        world
            .state
            .iter::<Key>()
            .all(|key| { key.is_primary() == (key.scope.region.as_str() == "eu-west-1") })
    );
}
