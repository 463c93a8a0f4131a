//! Encrypt, Decrypt, ReEncrypt, data keys, and what other planes ask.

use super::{World, code, request, request_by, request_of, text};
use crate::{
    EncryptionContext, Service, Work, aliases, data_keys, encryption,
    keys::{lifecycle, queries},
};
use shapes::{
    Fault,
    kms::{
        CreateAliasRequest, DataKeySpec, DecryptRequest, DescribeKeyRequest, DisableKeyRequest,
        EncryptRequest, EncryptionAlgorithmSpec, GenerateDataKeyRequest, KeySpec, KeyUsageType,
        ReEncryptRequest,
    },
};
use state::Effects;
use types::AccountId;

fn pairs(pairs: &[(&str, &str)]) -> EncryptionContext {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn encrypt(world: &mut World, key: &str, context: &EncryptionContext) -> Vec<u8> {
    let input = EncryptRequest {
        key_id: text(key),
        plaintext: Some(b"secret".to_vec()),
        encryption_context: Some(context.clone()),
        ..EncryptRequest::default()
    };
    world.compute(encryption::encrypt, &request(), input).unwrap().ciphertext_blob.unwrap()
}

fn decrypt(
    world: &mut World,
    blob: &[u8],
    key: Option<&str>,
    context: &EncryptionContext,
) -> Result<Vec<u8>, Fault> {
    let input = DecryptRequest {
        ciphertext_blob: Some(blob.to_vec()),
        key_id: key.map(str::to_owned),
        encryption_context: Some(context.clone()),
        ..DecryptRequest::default()
    };
    world.compute(encryption::decrypt, &request(), input).map(|output| output.plaintext.unwrap())
}

#[test]
fn a_ciphertext_names_its_key() {
    let mut world = World::new();
    let (key, other) = (world.key(), world.key());
    let context = pairs(&[("a", "b"), ("c", "d")]);
    let mut blob = encrypt(&mut world, &key, &context);
    assert!(!blob.windows(6).any(|at| at == b"secret"));
    for named in [None, Some(key.as_str())] {
        assert_eq!(decrypt(&mut world, &blob, named, &context).unwrap(), b"secret");
    }
    let wrong = decrypt(&mut world, &blob, Some(&other), &context);
    assert_eq!(code(wrong), "IncorrectKeyException");
    for context in [pairs(&[]), pairs(&[("a", "b")]), pairs(&[("a", "B"), ("c", "d")])] {
        let wrong = decrypt(&mut world, &blob, None, &context);
        assert_eq!(code(wrong), "InvalidCiphertextException");
    }
    for at in 0..blob.len() {
        blob[at] ^= 4;
        let wrong = decrypt(&mut world, &blob, None, &context);
        assert_eq!(code(wrong), "InvalidCiphertextException", "byte {at}");
        blob[at] ^= 4;
    }
    let wrong = decrypt(&mut world, b"x", None, &context);
    assert_eq!(code(wrong), "InvalidCiphertextException");
}

#[test]
fn nothing_secret_is_in_a_row() {
    let mut world = World::new();
    let key = world.key();
    let input = GenerateDataKeyRequest {
        key_id: text(&key),
        key_spec: Some(DataKeySpec::Aes256),
        ..GenerateDataKeyRequest::default()
    };
    let made = world.compute(data_keys::generate_data_key, &request(), input).unwrap();
    assert!(format!("{made:?}").contains("plaintext: Some(Hidden)"));
    assert_eq!(made.plaintext.unwrap().len(), 32);
    let row = world.state.iter::<crate::Key>().next().unwrap();
    let shown = format!("{row:?} {:?}", world.master);
    assert!(shown.contains("sealed: Some(Sealed)"), "{shown}");
    let opened = world
        .master
        .open(&row.place(&row.materials[0].id), row.materials[0].sealed.as_ref().unwrap())
        .unwrap();
    let stored = serde_json::to_vec(row.as_ref()).unwrap();
    for form in [opened.to_vec(), hex::encode(&opened).into_bytes()] {
        assert!(!stored.windows(form.len()).any(|at| at == form));
    }
    let read: crate::Key = serde_json::from_slice(&stored).unwrap();
    assert_eq!(read, **row);
}

#[test]
fn keys_are_found_by_every_name() {
    let mut world = World::new();
    let key = world.key();
    let input = CreateAliasRequest { alias_name: text("alias/a/b"), target_key_id: text(&key) };
    world.mutate(aliases::create_alias, &request(), input).unwrap();
    let arn = format!("arn:aws:kms:us-east-1:{}", AccountId::DEFAULT);
    for name in [
        key.clone(),
        format!("{arn}:key/{key}"),
        "alias/a/b".to_owned(),
        format!("{arn}:alias/a/b"),
    ] {
        encrypt(&mut world, &name, &pairs(&[]));
    }
    let mut fault = |name: &str| {
        let input = EncryptRequest {
            key_id: text(name),
            plaintext: Some(vec![1]),
            ..EncryptRequest::default()
        };
        let fault = world.compute(encryption::encrypt, &request(), input).unwrap_err();
        (fault.code.into_owned(), fault.message)
    };
    let not_found = |message: String| ("NotFoundException".to_owned(), message);
    let absent = "1234abcd-12ab-34cd-56ef-1234567890ab";
    assert_eq!(fault(absent), not_found(format!("Key '{arn}:key/{absent}' does not exist")));
    assert_eq!(fault("nonsense"), not_found("Invalid keyId 'nonsense'".to_owned()));
    assert_eq!(fault("alias/x"), not_found(format!("Alias {arn}:alias/x is not found.")));
    assert_eq!(
        fault(&format!("arn:aws:kms:eu-west-1:{}:key/{key}", AccountId::DEFAULT)),
        not_found("Invalid arn eu-west-1".to_owned())
    );
    for bad in ["arn:", "arn:aws:s3:::bucket", "arn:aws:kms:us-east-1:1:key/x"] {
        assert_eq!(fault(bad).0, "InvalidArnException", "{bad}");
    }
    assert_eq!(fault("").0, "ValidationException");
    assert_eq!(fault(&"x".repeat(2049)).0, "ValidationException");
}

#[test]
fn a_ciphertext_moves_to_another_key() {
    let mut world = World::new();
    let (from, to) = (world.key(), world.key());
    let (old, new) = (pairs(&[("a", "1")]), pairs(&[("a", "2")]));
    let blob = encrypt(&mut world, &from, &old);
    let input = ReEncryptRequest {
        ciphertext_blob: Some(blob),
        source_encryption_context: Some(old.clone()),
        destination_key_id: text(&to),
        destination_encryption_context: Some(new.clone()),
        ..ReEncryptRequest::default()
    };
    let moved = world.compute(encryption::re_encrypt, &request(), input).unwrap();
    assert!(moved.source_key_id.unwrap().ends_with(&from));
    let blob = moved.ciphertext_blob.unwrap();
    assert_eq!(decrypt(&mut world, &blob, Some(&to), &new).unwrap(), b"secret");
    assert_eq!(code(decrypt(&mut world, &blob, Some(&from), &new)), "IncorrectKeyException");
}

#[test]
fn rsa_encrypts_as_much_as_fits() {
    let mut world = World::new();
    let key = world.key_for(KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt);
    for (algorithm, limit) in [
        (EncryptionAlgorithmSpec::RsaesOaepSha1, 214),
        (EncryptionAlgorithmSpec::RsaesOaepSha256, 190),
    ] {
        let input = |length| EncryptRequest {
            key_id: text(&key),
            plaintext: Some(vec![7; length]),
            encryption_algorithm: Some(algorithm),
            ..EncryptRequest::default()
        };
        let made = world.compute(encryption::encrypt, &request(), input(limit)).unwrap();
        let opening = DecryptRequest {
            ciphertext_blob: made.ciphertext_blob,
            key_id: text(&key),
            encryption_algorithm: Some(algorithm),
            ..DecryptRequest::default()
        };
        let opened = world.compute(encryption::decrypt, &request(), opening.clone()).unwrap();
        assert_eq!(opened.plaintext, Some(vec![7; limit]));
        let mut changed = opening;
        changed.ciphertext_blob.as_mut().unwrap()[9] ^= 1;
        let wrong = world.compute(encryption::decrypt, &request(), changed);
        assert_eq!(code(wrong), "InvalidCiphertextException");
        let long = world.compute(encryption::encrypt, &request(), input(limit + 1));
        assert_eq!(code(long), "ValidationException");
    }
    let symmetric = EncryptRequest {
        key_id: text(&key),
        plaintext: Some(vec![7]),
        ..EncryptRequest::default()
    };
    let wrong = world.compute(encryption::encrypt, &request(), symmetric);
    assert_eq!(code(wrong), "InvalidKeyUsageException");
}

#[test]
fn limits_and_dry_runs() {
    let mut world = World::new();
    let key = world.key();
    let input = |length| EncryptRequest {
        key_id: text(&key),
        plaintext: Some(vec![7; length]),
        ..EncryptRequest::default()
    };
    world.compute(encryption::encrypt, &request(), input(4096)).unwrap();
    for length in [0, 4097] {
        let fault = world.compute(encryption::encrypt, &request(), input(length)).unwrap_err();
        assert_eq!(fault.code, "ValidationException");
        assert!(fault.message.contains("Value at 'plaintext' failed"), "{}", fault.message);
    }
    let dry = EncryptRequest { dry_run: Some(true), ..input(1) };
    let dry = world.compute(encryption::encrypt, &request(), dry);
    assert_eq!(code(dry), "DryRunOperationException");
    let blob = encrypt(&mut world, &key, &pairs(&[]));
    let disable = DisableKeyRequest { key_id: text(&key) };
    world.mutate(lifecycle::disable_key, &request(), disable).unwrap();
    let wrong = world.compute(encryption::encrypt, &request(), input(1)).unwrap_err();
    assert_eq!(wrong.code, "DisabledException");
    assert!(wrong.message.ends_with(&format!("key/{key} is disabled.")));
    assert_eq!(code(decrypt(&mut world, &blob, None, &pairs(&[]))), "DisabledException");
    for (spec, number) in
        [(None, None), (Some(DataKeySpec::Aes128), Some(3)), (None, Some(0)), (None, Some(1025))]
    {
        let input = GenerateDataKeyRequest {
            key_id: text(&key),
            key_spec: spec,
            number_of_bytes: number,
            ..GenerateDataKeyRequest::default()
        };
        let wrong = world.compute(data_keys::generate_data_key, &request(), input);
        assert_eq!(code(wrong), "ValidationException");
    }
}

#[test]
fn other_planes_get_data_keys_by_the_managed_key() {
    let mut world = World::new();
    let context = pairs(&[("aws:s3:arn", "arn:aws:s3:::bucket/key")]);
    let mut effects = Effects::new(world.now, [9; 32]);
    let master = world.master.clone();
    let mut work = Work { effects: &mut effects, master: &master };
    let scope = request().scope;
    let none =
        crate::generate_data_key(&world.state, &request(), Service::S3, None, &context, &mut work);
    assert_eq!(code(none), "NotFoundException");
    let made = crate::provide(&world.state, &scope, Service::S3, &mut work).unwrap().unwrap();
    world
        .commit(|tx| {
            made.put(tx);
            Ok(())
        })
        .unwrap();
    assert!(crate::provide(&world.state, &scope, Service::S3, &mut work).unwrap().is_none());
    let (state, by) = (world.state.clone(), request_by("ann"));
    let key =
        crate::generate_data_key(&state, &by, Service::S3, None, &context, &mut work).unwrap();
    assert_eq!(key.ciphertext.len(), 110);
    assert!(!format!("{key:?}").contains(&hex::encode(&key.plaintext)));
    let open = |by, service, context: &EncryptionContext, work: &mut Work<'_>| {
        crate::decrypt(&state, by, service, &key.ciphertext, context, work)
    };
    assert_eq!(open(&by, Service::S3, &context, &mut work).unwrap(), key.plaintext);
    let denied = open(&by, Service::Ebs, &context, &mut work);
    assert_eq!(code(denied), "AccessDeniedException");
    let stranger = request_of("999999999999".parse().unwrap(), "us-east-1");
    let denied = open(&stranger, Service::S3, &context, &mut work);
    assert_eq!(code(denied), "AccessDeniedException");
    let other = open(&by, Service::S3, &pairs(&[]), &mut work);
    assert_eq!(code(other), "InvalidCiphertextException");
    // Nobody uses it directly, not even the account's root.
    let input = DecryptRequest {
        ciphertext_blob: Some(key.ciphertext.clone()),
        encryption_context: Some(context),
        ..DecryptRequest::default()
    };
    let denied = world.compute(encryption::decrypt, &request(), input);
    assert_eq!(code(denied), "AccessDeniedException");
}

#[test]
fn describing_a_managed_alias_makes_its_key() {
    let mut world = World::new();
    let mut describe = |name: &str| {
        let input = DescribeKeyRequest { key_id: text(name), grant_tokens: None };
        world.compute(queries::describe_key, &request(), input)
    };
    let first = describe("alias/aws/ebs").unwrap().key_metadata.unwrap();
    assert_eq!(first.key_manager.unwrap().as_str(), "AWS");
    let again = describe("alias/aws/ebs").unwrap().key_metadata.unwrap();
    assert_eq!(first.key_id, again.key_id);
    assert_eq!(code(describe("alias/aws/other")), "NotFoundException");
}
