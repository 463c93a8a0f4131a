//! The master key, and what is sealed under it.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use state::Effects;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a nonce; they are random, and a cloud seals far fewer things than would make two meet.
const NONCE_BYTES: usize = 12;
const FINGERPRINT: &str = "fogbank kms fingerprint";

/// The key under which all key material is sealed, 32 bytes. Whoever has it and the state can read
/// everything: it never enters the state, nor a log.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Bytes that only the master key opens: nonce, ciphertext and tag in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

/// What computing with keys needs beyond the state: time and chance, and the master key.
#[derive(Debug)]
pub struct Work<'a> {
    /// Time and chance.
    pub effects: &'a mut Effects,
    /// What opens the keys.
    pub master: &'a MasterKey,
}

impl Sealed {
    /// As bytes, for what leaves the state.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        STANDARD_NO_PAD.decode(&self.0).unwrap_or_default()
    }

    /// What [`Self::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(STANDARD_NO_PAD.encode(bytes))
    }
}

impl MasterKey {
    /// The master key with these bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.0.as_ref().into())
    }

    /// Seals bytes for one place: `place` has to be given again to open them. None if the cipher
    /// refuses, which it does for gigabytes alone.
    #[must_use]
    pub fn seal(&self, effects: &mut Effects, place: &str, plain: &[u8]) -> Option<Sealed> {
        let mut nonce = [0; NONCE_BYTES];
        effects.fill(&mut nonce);
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let ciphertext = self.cipher().encrypt(Nonce::from_slice(&nonce), payload).ok()?;
        Some(Sealed(STANDARD_NO_PAD.encode([&nonce[..], &ciphertext].concat())))
    }

    /// What tells bytes from others without telling anything of them; the same for a place each time.
    #[must_use]
    pub fn fingerprint(&self, place: &str, bytes: &[u8]) -> Option<[u8; 32]> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_ref()).ok()?;
        for part in [FINGERPRINT.as_bytes(), place.as_bytes(), bytes] {
            mac.update(&u64::try_from(part.len()).ok()?.to_be_bytes());
            mac.update(part);
        }
        Some(mac.finalize().into_bytes().into())
    }

    /// Opens what was sealed for this place; none if it was changed, or sealed for another place or
    /// under another key.
    #[must_use]
    pub fn open(&self, place: &str, sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = STANDARD_NO_PAD.decode(&sealed.0).ok()?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
        self.cipher().decrypt(Nonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let mut effects = Effects::new(Timestamp::default(), [1; 32]);
        let (key, other) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
        let sealed = key.seal(&mut effects, "a", b"secret").unwrap();
        assert_eq!(key.open("a", &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open("b", &sealed).is_none());
        assert!(other.open("a", &sealed).is_none());
        let mut bytes = STANDARD_NO_PAD.decode(&sealed.0).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(key.open("a", &Sealed(STANDARD_NO_PAD.encode(&bytes))).is_none());
            bytes[at] ^= 1;
        }
        assert!(key.open("a", &Sealed(String::new())).is_none());
        assert_eq!(format!("{key:?} {sealed:?}"), "MasterKey Sealed");
    }
}
