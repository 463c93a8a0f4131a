//! States, aliases, tags, pages.

use super::{World, code, request, request_in, text};
use crate::{
    Alias, Grant, Key, aliases,
    keys::{lifecycle, queries, tagging},
};
use shapes::kms::{
    CancelKeyDeletionRequest, CreateAliasRequest, CreateKeyRequest, DeleteAliasRequest,
    DescribeKeyRequest, DisableKeyRequest, EnableKeyRequest, KeySpec, KeyState, KeyUsageType,
    ListAliasesRequest, ListKeysRequest, ScheduleKeyDeletionRequest, Tag, TagResourceRequest,
    UpdateAliasRequest, UpdateKeyDescriptionRequest,
};

fn state_of(world: &mut World, key: &str) -> KeyState {
    let input = DescribeKeyRequest { key_id: text(key), grant_tokens: None };
    let described = world.compute(queries::describe_key, &request(), input).unwrap();
    described.key_metadata.unwrap().key_state.unwrap()
}

fn schedule(world: &mut World, key: &str, days: Option<i32>) -> Result<(), shapes::Fault> {
    let input = ScheduleKeyDeletionRequest { key_id: text(key), pending_window_in_days: days };
    world.mutate(lifecycle::schedule_key_deletion, &request(), input).map(|_| ())
}

#[test]
fn a_key_is_deleted_after_its_window() {
    let mut world = World::new();
    let key = world.key();
    let alias = CreateAliasRequest { alias_name: text("alias/gone"), target_key_id: text(&key) };
    world.mutate(aliases::create_alias, &request(), alias).unwrap();
    for days in [6, 31, 0, 366] {
        assert_eq!(code(schedule(&mut world, &key, Some(days))), "ValidationException");
    }
    schedule(&mut world, &key, Some(7)).unwrap();
    assert_eq!(state_of(&mut world, &key), KeyState::PendingDeletion);
    assert_eq!(code(schedule(&mut world, &key, None)), "KMSInvalidStateException");
    let enable = EnableKeyRequest { key_id: text(&key) };
    let wrong = world.mutate(lifecycle::enable_key, &request(), enable);
    assert_eq!(code(wrong), "KMSInvalidStateException");
    world.pass(6);
    assert_eq!(state_of(&mut world, &key), KeyState::PendingDeletion);
    let cancel = || CancelKeyDeletionRequest { key_id: text(&key) };
    world.mutate(lifecycle::cancel_key_deletion, &request(), cancel()).unwrap();
    assert_eq!(state_of(&mut world, &key), KeyState::Disabled);
    let twice = world.mutate(lifecycle::cancel_key_deletion, &request(), cancel());
    assert_eq!(code(twice), "KMSInvalidStateException");
    schedule(&mut world, &key, Some(7)).unwrap();
    world.pass(7);
    assert_eq!(world.state.count::<Key>(), 0);
    assert_eq!((world.state.count::<Alias>(), world.state.count::<Grant>()), (0, 0));
}

#[test]
fn keys_are_disabled_and_enabled() {
    let mut world = World::new();
    let key = world.key();
    for _ in 0..2 {
        let disable = DisableKeyRequest { key_id: text(&key) };
        world.mutate(lifecycle::disable_key, &request(), disable).unwrap();
        assert_eq!(state_of(&mut world, &key), KeyState::Disabled);
    }
    let enable = EnableKeyRequest { key_id: text(&key) };
    world.mutate(lifecycle::enable_key, &request(), enable).unwrap();
    assert_eq!(state_of(&mut world, &key), KeyState::Enabled);
    let by_alias = EnableKeyRequest { key_id: text("alias/x") };
    let wrong = world.mutate(lifecycle::enable_key, &request(), by_alias);
    assert_eq!(code(wrong), "NotFoundException");
    let input =
        UpdateKeyDescriptionRequest { key_id: text(&key), description: text(&"é".repeat(8192)) };
    world.mutate(lifecycle::update_key_description, &request(), input.clone()).unwrap();
    let long = UpdateKeyDescriptionRequest {
        description: input.description.map(|text| text + "é"),
        ..input
    };
    let wrong = world.mutate(lifecycle::update_key_description, &request(), long);
    assert_eq!(code(wrong), "ValidationException");
}

#[test]
fn usages_must_fit_specs() {
    let mut world = World::new();
    for (spec, usage, fits) in [
        (KeySpec::SymmetricDefault, None, true),
        (KeySpec::SymmetricDefault, Some(KeyUsageType::SignVerify), false),
        (KeySpec::Hmac256, None, false),
        (KeySpec::Hmac256, Some(KeyUsageType::GenerateVerifyMac), true),
        (KeySpec::EccNistP256, Some(KeyUsageType::EncryptDecrypt), false),
        (KeySpec::EccSecgP256k1, Some(KeyUsageType::KeyAgreement), false),
        (KeySpec::EccNistP384, Some(KeyUsageType::KeyAgreement), true),
    ] {
        let input = CreateKeyRequest {
            key_spec: Some(spec),
            key_usage: usage,
            ..CreateKeyRequest::default()
        };
        let made = world.compute(crate::keys::create::create_key, &request(), input);
        assert_eq!(made.is_ok(), fits, "{spec} {usage:?}");
    }
}

#[test]
fn aliases_have_rules() {
    let mut world = World::new();
    let (key, other) = (world.key(), world.key());
    let mac = world.key_for(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac);
    let mut create = |name: &str, key: &str| {
        let input = CreateAliasRequest { alias_name: text(name), target_key_id: text(key) };
        world.mutate(aliases::create_alias, &request(), input)
    };
    create("alias/one", &key).unwrap();
    for (name, wrong) in [
        ("one", "ValidationException"),
        ("alias/", "InvalidAliasNameException"),
        ("alias/one/", "InvalidAliasNameException"),
        ("alias/é", "ValidationException"),
        ("alias/aws/mine", "NotAuthorizedException"),
        ("alias/one", "AlreadyExistsException"),
    ] {
        assert_eq!(code(create(name, &key)), wrong, "{name}");
    }
    assert_eq!(code(create("alias/two", "alias/one")), "ValidationException");
    for number in 1..50 {
        create(&format!("alias/n{number}"), &key).unwrap();
    }
    assert_eq!(code(create("alias/n50", &key)), "LimitExceededException");
    let mut update = |key: &str| {
        let input = UpdateAliasRequest { alias_name: text("alias/one"), target_key_id: text(key) };
        world.mutate(aliases::update_alias, &request(), input)
    };
    update(&other).unwrap();
    assert_eq!(code(update(&mac)), "ValidationException");
    let input = ListAliasesRequest { key_id: text(&other), ..ListAliasesRequest::default() };
    let listed = aliases::list_aliases(&world.state, &request(), input).unwrap();
    assert_eq!(listed.aliases.unwrap().len(), 1);
    let delete = || DeleteAliasRequest { alias_name: text("alias/one") };
    world.mutate(aliases::delete_alias, &request(), delete()).unwrap();
    let twice = world.mutate(aliases::delete_alias, &request(), delete());
    assert_eq!(code(twice), "NotFoundException");
}

#[test]
fn keys_belong_to_a_region_and_come_in_pages() {
    let mut world = World::new();
    let mut made = (0..5).map(|_| world.key()).collect::<Vec<_>>();
    made.sort();
    let other = world.state.clone();
    assert_eq!(
        queries::list_keys(&other, &request_in("eu-west-1"), ListKeysRequest::default())
            .unwrap()
            .keys,
        Some(Vec::new())
    );
    let (mut marker, mut seen) = (None, Vec::new());
    loop {
        let input = ListKeysRequest { limit: Some(2), marker };
        let page = queries::list_keys(&world.state, &request(), input).unwrap();
        seen.extend(page.keys.unwrap().into_iter().filter_map(|key| key.key_id));
        assert_eq!(page.truncated, Some(page.next_marker.is_some()));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
}

#[test]
fn tags_have_limits() {
    let mut world = World::new();
    let key = world.key();
    let mut put = |tags: Vec<(String, &str)>| {
        let tag = |(key, value): (String, &str)| Tag { tag_key: Some(key), tag_value: text(value) };
        let tags = Some(tags.into_iter().map(tag).collect());
        let input = TagResourceRequest { key_id: text(&key), tags };
        world.mutate(tagging::tag_resource, &request(), input)
    };
    put((0..50).map(|n| (format!("k{n}"), "")).collect()).unwrap();
    put(vec![("k7".to_owned(), "new")]).unwrap();
    assert_eq!(code(put(vec![("more".to_owned(), "")])), "TagException");
    assert_eq!(code(put(vec![("aws:x".to_owned(), "")])), "TagException");
    let twice = put(vec![("k1".to_owned(), ""), ("k1".to_owned(), "")]);
    assert_eq!(code(twice), "TagException");
    assert_eq!(code(put(vec![("k".repeat(129), "")])), "ValidationException");
    assert_eq!(code(put(vec![(String::new(), "")])), "ValidationException");
}
