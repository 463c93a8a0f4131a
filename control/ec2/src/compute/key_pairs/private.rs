//! New private keys, and the texts in which AWS hands them out.

use super::public::{PublicKey, colons, put, put_number};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use hmac::{Hmac, Mac};
use rsa::{
    RsaPrivateKey,
    pkcs1::{EncodeRsaPrivateKey, LineEnding},
    pkcs8::EncodePrivateKey,
    rand_core::{CryptoRng, Error, RngCore},
    traits::{PrivateKeyParts, PublicKeyParts},
};
use sha1::{Digest, Sha1};
use state::Effects;
use std::fmt::Write;

/// AWS's size of the RSA keys that it makes.
const RSA_BITS: usize = 2048;

/// A private key, to be handed out once and forgotten.
pub(super) enum PrivateKey {
    Rsa(RsaPrivateKey),
    Ed25519(SigningKey),
}

/// The transaction's randomness as the `rsa` crate takes it.
struct Random<'a>(&'a mut Effects);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.0.random().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
    fn next_u64(&mut self) -> u64 {
        self.0.random()
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

// The effects are a ChaCha generator.
impl CryptoRng for Random<'_> {}

impl PrivateKey {
    /// A new RSA key; none if the generator is broken.
    pub(super) fn rsa(effects: &mut Effects) -> Option<Self> {
        let key = RsaPrivateKey::new(&mut Random(effects), RSA_BITS).ok()?;
        // PuTTY wants the larger prime first; all forms then agree on the order.
        let mut primes = key.primes().to_vec();
        primes.sort_unstable_by(|a, b| b.cmp(a));
        let (n, e, d) = (key.n().clone(), key.e().clone(), key.d().clone());
        RsaPrivateKey::from_components(n, e, d, primes).ok().map(Self::Rsa)
    }

    /// A new ED25519 key.
    pub(super) fn ed25519(effects: &mut Effects) -> Self {
        Self::Ed25519(SigningKey::from_bytes(&effects.seed()))
    }

    /// The public half.
    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(key.to_public_key()),
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key()),
        }
    }

    /// The fingerprint of a key that AWS made: SHA-1 of the DER of an RSA private key.
    pub(super) fn fingerprint(&self) -> Option<String> {
        match self {
            Self::Rsa(key) => Some(colons(&Sha1::digest(key.to_pkcs8_der().ok()?.as_bytes()))),
            Self::Ed25519(_) => Some(self.public().fingerprint()),
        }
    }

    /// PKCS #1 of an RSA key, OpenSSH's own form of an ED25519 key.
    pub(super) fn to_pem(&self, comment: &str) -> Option<String> {
        match self {
            // AWS ends it without a line feed.
            Self::Rsa(key) => Some(key.to_pkcs1_pem(LineEnding::LF).ok()?.trim_end().to_owned()),
            Self::Ed25519(key) => Some(open_ssh(key, comment)),
        }
    }

    /// PuTTY's form, version 2, which every PuTTY reads.
    pub(super) fn to_ppk(&self, comment: &str) -> Option<String> {
        let public = self.public();
        let mut private = Vec::new();
        match self {
            Self::Rsa(key) => {
                put_number(&mut private, key.d());
                for prime in key.primes() {
                    put_number(&mut private, prime);
                }
                put_number(&mut private, &key.crt_coefficient()?);
            }
            Self::Ed25519(key) => put(&mut private, key.as_bytes()),
        }
        let mut signed = Vec::new();
        for part in [public.name().as_bytes(), b"none", comment.as_bytes()] {
            put(&mut signed, part);
        }
        put(&mut signed, &public.blob());
        put(&mut signed, &private);
        let mac_key = Sha1::digest("putty-private-key-file-mac-key");
        let mut mac = Hmac::<Sha1>::new_from_slice(&mac_key).ok()?;
        mac.update(&signed);
        let mac = colons(&mac.finalize().into_bytes()).replace(':', "");
        let (public_count, public_lines) = lines(&public.blob(), 64);
        let (private_count, private_lines) = lines(&private, 64);
        Some(format!(
            "PuTTY-User-Key-File-2: {}\nEncryption: none\nComment: {comment}\n\
             Public-Lines: {public_count}\n{public_lines}\
             Private-Lines: {private_count}\n{private_lines}\
             Private-MAC: {mac}\n",
            public.name()
        ))
    }
}

/// OpenSSH's form, without a passphrase.
fn open_ssh(key: &SigningKey, comment: &str) -> String {
    let public = PublicKey::Ed25519(key.verifying_key());
    let mut private = Vec::new();
    // Two equal numbers prove a passphrase right; there is none, so that any do.
    private.extend([0; 8]);
    put(&mut private, public.name().as_bytes());
    put(&mut private, key.verifying_key().as_bytes());
    put(&mut private, &key.to_keypair_bytes());
    put(&mut private, comment.as_bytes());
    let mut padding = 1;
    while private.len() % 8 != 0 {
        private.push(padding);
        padding += 1;
    }
    let mut file = b"openssh-key-v1\0".to_vec();
    for part in [&b"none"[..], b"none", b""] {
        put(&mut file, part);
    }
    file.extend(1u32.to_be_bytes());
    put(&mut file, &public.blob());
    put(&mut file, &private);
    let (_, body) = lines(&file, 70);
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}-----END OPENSSH PRIVATE KEY-----\n")
}

/// Base64 in lines of this width, and how many there are.
fn lines(bytes: &[u8], width: usize) -> (usize, String) {
    let base64 = STANDARD.encode(bytes);
    let mut text = String::new();
    let mut count = 0;
    for line in base64.as_bytes().chunks(width) {
        count += 1;
        // Writing to a String does not fail, and base64 is ASCII.
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    (count, text)
}
