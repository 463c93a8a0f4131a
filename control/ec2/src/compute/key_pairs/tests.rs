//! Tests of the key pairs.

use super::*;
use crate::testing::{filter, request, tx};
use shapes::ec2::Tag;

fn import(tx: &mut Tx, name: &str, key: &str) -> Result<ImportKeyPairResult, Fault> {
    let input = ImportKeyPairRequest {
        key_name: Some(name.to_owned()),
        public_key_material: Some(key.as_bytes().to_vec()),
        ..Default::default()
    };
    import_key_pair(tx, &request(), input)
}

fn public_key(tx: &Tx, name: &str) -> String {
    get(tx.state(), &request().scope, name).unwrap().public_key.clone()
}

/// The first two words: the public key without its comment.
fn without_comment(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Keys of no one, made by `ssh-keygen`, with their fingerprints by `openssl` and `ssh-keygen`.
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCriPLUvbsF8PRpPNBboqBdIjNPWAoIFuJtraF9+xD8pGDS1VzDua1akMKVL7EmLlc+xbtASQPmeF6pbuwrGmomWWvYUQ4BoFlLuU7YecoM7lYmRIFTPOmhtnYS4JzNn0bTV1KYITH6rHlv7N9QFEz2309ln+TfEWHY7b90ffqfnw== nobody";
const RSA_MD5: &str = "8a:77:84:3f:eb:6f:90:d7:62:ce:3a:9d:a0:80:2e:77";
const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJP5tr935KVpH4DCfeLl5+RlLTo01JliLC2jidplHdQe nobody";
const ED25519_SHA256: &str = "FzuR6PVZL4C2zZZMiUbIZwbHs02EPRYuoDklNSkiwc4=";
const RSA_4716: &str = "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"1024-bit RSA, converted from OpenSSH\"\nAAAAB3NzaC1yc2EAAAADAQABAAAAgQCriPLUvbsF8PRpPNBboqBdIjNPWAoIFuJtraF9+x\nD8pGDS1VzDua1akMKVL7EmLlc+xbtASQPmeF6pbuwrGmomWWvYUQ4BoFlLuU7YecoM7lYm\nRIFTPOmhtnYS4JzNn0bTV1KYITH6rHlv7N9QFEz2309ln+TfEWHY7b90ffqfnw==\n---- END SSH2 PUBLIC KEY ----";
const RSA_DER: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCriPLUvbsF8PRpPNBboqBdIjNPWAoIFuJtraF9+xD8pGDS1VzDua1akMKVL7EmLlc+xbtASQPmeF6pbuwrGmomWWvYUQ4BoFlLuU7YecoM7lYmRIFTPOmhtnYS4JzNn0bTV1KYITH6rHlv7N9QFEz2309ln+TfEWHY7b90ffqfnwIDAQAB";
const ED25519_DER: &str = "MCowBQYDK2VwAyEAk/m2v3fkpWkfgMJ94uXn5GUtOjTUmWIsLaOJ2mUd1B4=";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBBpMYnl4qhXjmmtxgpFJhuYQE8GZXE+CrRaK+KZtK50vYTniMy4cbe+hGYBhKVPqtocj8cpPrwNFcYcGOgFMvNE= nobody";
const RSA_3072: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCgpG/jfvTfBfMy39Mzjv/6WWk7qe+6O1bHedpCaivw4Wd1sWqbxhdbLsO/a1tJBl8p3ea+1t2zK7cRQrnytN93YB4SV2o+I0sTsg7K5Dfb1M96+zvT4VjY8X6YjqbvNifDoeiGMCWbQ9sqXNAY7VBnpLSVQlzA2PhF6vtqtbm1C/skSmbqV57AHMjbkNG22zK2D3OXVptT5Z9zhtOWh9RyMl8p6UnWWY9b4PVEHA+sTTjmG15TWc0IkeHgHRyf6szjL6imTJBdEEbI7NhwYzpn0DxpWPZ45P20H8VnWuyOaMWbrjyBFuAksB3zVKrSKV+iXZ8mzamWPB7VScVxrmc+51/xXubVhPqrjNUezHKCbfm5iCs+8T0cLKiOTa29Y88L66RziXZw4Xt0MuYsSY9fjMhquJvA1EozklPbM2SIfsgDblNbEx7EglIlz4FFpXCYNZxGAG/qvrYK+Zpi0iQaEGvocTWsk4AiobJ9LQX9fOfcrSpk0Md6gwIH2w8FTv8= nobody";

#[test]
fn imported_keys() {
    let mut tx = tx();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{RSA_DER}\n-----END PUBLIC KEY-----\n");
    let folded = format!("{}\n{}", &RSA_DER[..64], &RSA_DER[64..]);
    for (at, (text, fingerprint, own)) in [
        (RSA, RSA_MD5, RSA),
        (RSA_4716, RSA_MD5, RSA),
        (RSA_DER, RSA_MD5, RSA),
        (&folded, RSA_MD5, RSA),
        (&pem, RSA_MD5, RSA),
        (ED25519, ED25519_SHA256, ED25519),
        (ED25519_DER, ED25519_SHA256, ED25519),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("key-{at}");
        let pair = import(&mut tx, &name, text).unwrap();
        assert_eq!(pair.key_fingerprint.as_deref(), Some(fingerprint), "{text}");
        assert_eq!(public_key(&tx, &name), format!("{} {name}", without_comment(own)));
    }
    let options = format!("command=\"x\" {RSA}");
    let two = format!("{RSA}\n{ED25519}");
    let swapped = RSA.replace("ssh-rsa", "ssh-ed25519");
    let cut = &RSA[..RSA.len() / 2];
    for bad in ["", "ssh-rsa", "x", "ssh-rsa AAAA", ECDSA, RSA_3072, &options, &two, &swapped, cut]
    {
        let fault = import(&mut tx, "bad", bad).unwrap_err();
        assert_eq!(fault.code, "InvalidKey.Format", "{bad}");
    }
}

#[test]
fn names() {
    let mut tx = tx();
    import(&mut tx, "me", ED25519).unwrap();
    let fault = import(&mut tx, "me", ED25519).unwrap_err();
    assert_eq!(fault.to_string(), "InvalidKeyPair.Duplicate: The keypair 'me' already exists.");
    for (name, code) in [
        ("", "MissingParameter"),
        (" me", "InvalidParameterValue"),
        ("m\né", "InvalidParameterValue"),
        (&"m".repeat(256), "InvalidParameterValue"),
    ] {
        assert_eq!(import(&mut tx, name, ED25519).unwrap_err().code, code, "{name}");
    }
    import(&mut tx, &"m".repeat(255), ED25519).unwrap();
}

#[test]
fn describe_and_delete() {
    let mut tx = tx();
    for name in ["a", "b", "c"] {
        let tags = vec![Tag { key: Some("k".to_owned()), value: Some(name.to_owned()) }];
        let spec =
            api::TagSpecification { resource_type: Some(ResourceType::KeyPair), tags: Some(tags) };
        let input = ImportKeyPairRequest {
            key_name: Some(name.to_owned()),
            public_key_material: Some(ED25519.as_bytes().to_vec()),
            tag_specifications: Some(vec![spec]),
            dry_run: None,
        };
        import_key_pair(&mut tx, &request(), input).unwrap();
    }
    let describe = |tx: &Tx, input| {
        let result = describe_key_pairs(tx.state(), &request(), input)?;
        Ok::<_, Fault>(result.key_pairs.unwrap())
    };
    let named = |names: &[&str]| DescribeKeyPairsRequest {
        key_names: Some(names.iter().map(|&name| name.to_owned()).collect()),
        include_public_key: Some(true),
        ..Default::default()
    };
    let all = describe(&tx, Default::default()).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].public_key, None);
    let a = describe(&tx, named(&["a"])).unwrap().remove(0);
    assert!(a.public_key.unwrap().ends_with(" a"));
    assert_eq!(a.key_type, Some(KeyType::Ed25519));
    let fault = describe(&tx, named(&["a", "x"])).unwrap_err();
    assert_eq!(fault.to_string(), "InvalidKeyPair.NotFound: The key pair 'x' does not exist");
    let filters = Some(vec![filter("tag:k", &["b", "c"]), filter("key-name", &["?"])]);
    let input = DescribeKeyPairsRequest { filters, ..Default::default() };
    assert_eq!(describe(&tx, input).unwrap().len(), 2);

    let delete = |tx: &mut Tx, name: Option<&str>, id: Option<&str>| {
        let key_name = name.map(ToOwned::to_owned);
        let key_pair_id = id.map(ToOwned::to_owned);
        let input = DeleteKeyPairRequest { key_name, key_pair_id, dry_run: None };
        delete_key_pair(tx, &request(), input).map(|result| result.key_pair_id)
    };
    let id = a.key_pair_id;
    assert_eq!(delete(&mut tx, Some("a"), None), Ok(id.clone()));
    assert_eq!(delete(&mut tx, Some("a"), None), Ok(None));
    assert_eq!(delete(&mut tx, None, id.as_deref()), Ok(None));
    assert_eq!(
        delete(&mut tx, None, all[1].key_pair_id.as_deref()),
        Ok(all[1].key_pair_id.clone())
    );
    assert_eq!(delete(&mut tx, None, None).unwrap_err().code, "MissingParameter");
    assert_eq!(describe(&tx, Default::default()).unwrap().len(), 1);
}
