//! Public keys: what may be imported, and their forms on the wire of SSH.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use md5::{Digest as _, Md5};
use rsa::{
    BigUint, RsaPublicKey,
    pkcs8::{DecodePublicKey, EncodePublicKey},
    traits::PublicKeyParts,
};
use sha2::Sha256;
use shapes::ec2::KeyType;
use std::fmt::Write;

/// The sizes of RSA keys that EC2 imports, in bits.
const RSA_BITS: [usize; 3] = [1024, 2048, 4096];
/// A text longer than this holds no key that EC2 takes.
const MAX_TEXT: usize = 16 * 1024;
/// What stands before the 32 bytes in the DER of an ED25519 public key (RFC 8410).
const ED25519_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// A public key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PublicKey {
    Rsa(RsaPublicKey),
    Ed25519(VerifyingKey),
}

impl PublicKey {
    /// Reads a key in OpenSSH's form, RFC 4716's, or DER as base64, with or without PEM's frame.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        if text.len() > MAX_TEXT {
            return None;
        }
        if text.starts_with("---- BEGIN SSH2 PUBLIC KEY ----") {
            return Self::from_blob(&rfc4716(text)?);
        }
        let mut words = text.split_ascii_whitespace();
        if let (Some(name @ ("ssh-rsa" | "ssh-ed25519")), Some(blob)) = (words.next(), words.next())
        {
            let one_line = !text.contains(['\n', '\r']);
            let key = Self::from_blob(&STANDARD.decode(blob).ok()?)?;
            return Some(key).filter(|key| one_line && key.name() == name);
        }
        let body = text.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        let body = body.split_ascii_whitespace().collect::<String>();
        Self::from_der(&STANDARD.decode(body).ok()?)
    }

    fn from_blob(blob: &[u8]) -> Option<Self> {
        let mut rest = blob;
        let key = match take(&mut rest)? {
            b"ssh-rsa" => {
                let (e, n) = (take_number(&mut rest)?, take_number(&mut rest)?);
                Self::rsa(RsaPublicKey::new(n, e).ok()?)?
            }
            b"ssh-ed25519" => Self::ed25519(take(&mut rest)?)?,
            _ => return None,
        };
        rest.is_empty().then_some(key)
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        match der.strip_prefix(&ED25519_DER) {
            Some(key) => Self::ed25519(key),
            None => Self::rsa(RsaPublicKey::from_public_key_der(der).ok()?),
        }
    }

    fn rsa(key: RsaPublicKey) -> Option<Self> {
        RSA_BITS.contains(&key.n().bits()).then_some(Self::Rsa(key))
    }

    fn ed25519(key: &[u8]) -> Option<Self> {
        VerifyingKey::from_bytes(key.try_into().ok()?).ok().map(Self::Ed25519)
    }

    /// SSH's name of the algorithm.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "ssh-rsa",
            Self::Ed25519(_) => "ssh-ed25519",
        }
    }

    /// AWS's name of the algorithm.
    pub(super) fn kind(&self) -> KeyType {
        match self {
            Self::Rsa(_) => KeyType::Rsa,
            Self::Ed25519(_) => KeyType::Ed25519,
        }
    }

    /// The key as SSH sends it.
    pub(super) fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, self.name().as_bytes());
        match self {
            Self::Rsa(key) => {
                put_number(&mut blob, key.e());
                put_number(&mut blob, key.n());
            }
            Self::Ed25519(key) => put(&mut blob, key.as_bytes()),
        }
        blob
    }

    /// The line of an `authorized_keys` file.
    pub(super) fn open_ssh(&self, comment: &str) -> String {
        format!("{} {} {comment}", self.name(), STANDARD.encode(self.blob()))
    }

    /// The fingerprint of an imported key: MD5 of the DER of an RSA key; SHA-256 of what SSH sends
    /// of an ED25519 key, as `ssh-keygen -l` shows it, but padded.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::Rsa(key) => {
                let der = key.to_public_key_der().map(rsa::pkcs8::Document::into_vec);
                colons(&Md5::digest(der.unwrap_or_default()))
            }
            Self::Ed25519(_) => STANDARD.encode(Sha256::digest(self.blob())),
        }
    }
}

/// The key's bytes in RFC 4716's form: headers have a colon, and go on after a backslash.
fn rfc4716(text: &str) -> Option<Vec<u8>> {
    let (mut body, mut header) = (String::new(), false);
    let mut lines = text.lines().map(str::trim).skip(1);
    loop {
        match lines.next()? {
            "---- END SSH2 PUBLIC KEY ----" => return STANDARD.decode(body).ok(),
            line if header || line.contains(':') => header = line.ends_with('\\'),
            line => body.push_str(line),
        }
    }
}

/// Hexadecimal bytes with colons between them.
pub(super) fn colons(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let colon = if at == 0 { "" } else { ":" };
        // Writing to a String does not fail.
        let _ = write!(text, "{colon}{byte:02x}");
    }
    text
}

/// Adds SSH's `string`.
pub(super) fn put(blob: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here is as long as 4 GiB.
    blob.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    blob.extend(bytes);
}

/// Adds SSH's `mpint` of a number.
pub(super) fn put_number(blob: &mut Vec<u8>, number: &BigUint) {
    let mut bytes = number.to_bytes_be();
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    put(blob, &bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn take_number(rest: &mut &[u8]) -> Option<BigUint> {
    let bytes = take(rest)?;
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    (!negative).then(|| BigUint::from_bytes_be(bytes))
}
