//! Key pairs in the hands of the programs that people use them with.

use ec2::compute::key_pairs::{create_key_pair, get};
use iam::{Caller, Request};
use shapes::ec2::{CreateKeyPairRequest, KeyFormat, KeyPair, KeyType};
use state::{Effects, State, Tx};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use types::{AccountId, Scope, Timestamp};

fn tx() -> Tx {
    let now = Timestamp::from_millis(1_800_000_000_000);
    Tx::new(&State::new(&ec2::tables()), Effects::new(now, [7; 32]))
}

fn request() -> Request {
    let account = AccountId::DEFAULT;
    let region = "us-east-1".parse().unwrap();
    Request { caller: Caller::root(account), scope: Scope { account, region } }
}

fn create(tx: &mut Tx, name: &str, kind: KeyType, format: KeyFormat) -> KeyPair {
    let input = CreateKeyPairRequest {
        key_name: Some(name.to_owned()),
        key_type: Some(kind),
        key_format: Some(format),
        ..Default::default()
    };
    let mut effects = Effects::new(tx.now(), tx.effects().seed());
    create_key_pair(tx, &request(), input, &mut effects).and_then(|make| make(tx)).unwrap()
}

fn public_key(tx: &Tx, name: &str) -> String {
    get(tx.state(), &request().scope, name).unwrap().public_key.clone()
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What `ssh-keygen` says of a file.
fn ssh_keygen(arguments: &[&str], file: &Path) -> String {
    output(Command::new("ssh-keygen").args(arguments).arg(file)).expect("openssh-client")
}

/// What `puttygen` says of a file; none if it isn't installed, as only this test needs it.
fn puttygen(arguments: &[&str], file: &Path) -> Option<String> {
    output(Command::new("puttygen").args(arguments).arg(file))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The first two words: the public key without its comment.
fn without_comment(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn open_ssh_reads_private_keys() {
    let (mut tx, folder) = (tx(), Folder::new("fogbank-keys-pem"));
    for (name, kind) in [("one", KeyType::Rsa), ("two", KeyType::Ed25519)] {
        let pair = create(&mut tx, name, kind, KeyFormat::Pem);
        let file = folder.file(name, &pair.key_material.unwrap());
        let own = public_key(&tx, name);
        assert!(own.ends_with(&format!(" {name}")));
        let line = ssh_keygen(&["-y", "-f"], &file);
        assert_eq!(without_comment(&line), without_comment(&own));

        let fingerprint = pair.key_fingerprint.unwrap();
        let line = ssh_keygen(&["-l", "-E", "sha256", "-f"], &folder.file("public", &own));
        match kind {
            // SHA-1: 20 bytes, with colons between.
            KeyType::Rsa => assert_eq!(fingerprint.len(), 59),
            KeyType::Ed25519 => {
                let unpadded = fingerprint.strip_suffix('=').unwrap();
                assert!(line.contains(&format!("SHA256:{unpadded} ")), "{line}");
            }
        }
    }
}

#[test]
fn putty_reads_private_keys() {
    let (mut tx, folder) = (tx(), Folder::new("fogbank-keys-ppk"));
    for (name, kind) in [("one", KeyType::Rsa), ("two", KeyType::Ed25519)] {
        let pair = create(&mut tx, name, kind, KeyFormat::Ppk);
        let material = pair.key_material.unwrap();
        assert!(material.starts_with("PuTTY-User-Key-File-2: ssh-"));
        let file = folder.file(name, &material);
        let own = public_key(&tx, name);
        let Some(line) = puttygen(&["-O", "public-openssh"], &file) else { return };
        assert_eq!(line.trim_end(), own);
        // The private half too; its MAC is checked on the way.
        let pem = folder.0.join("pem");
        let to = ["-O", "private-openssh", "-o", pem.to_str().unwrap()];
        puttygen(&to, &file).unwrap();
        let line = ssh_keygen(&["-y", "-f"], &pem);
        assert_eq!(without_comment(&line), without_comment(&own));
    }
}
