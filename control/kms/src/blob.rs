//! The ciphertext of a symmetric key: it names its key and the key's material, and binds the
//! encryption context.
//!
//! ```text
//! 0   version, 1
//! 1   flags: 1 = a multi-Region key
//! 2   the key's ID, 16 bytes of a UUID
//! 18  the material's ID, the first 16 bytes
//! 34  salt, 16 bytes
//! 50  nonce, 12 bytes
//! 62  ciphertext, as long as the plaintext, and tag, 16 bytes
//! ```
//! Each message has a key of its own, HMAC-SHA-256 of the salt under the material, so that no number
//! of messages under one key wears it out. The bytes before the ciphertext and the context in
//! canonical form are authenticated with it.

use crate::keys::KeyId;
use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use state::Effects;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// An encryption context: pairs that have to be the same when the ciphertext is opened.
pub type EncryptionContext = BTreeMap<String, String>;

const VERSION: u8 = 1;
const MULTI_REGION: u8 = 1;
const HEADER_BYTES: usize = 62;
const LABEL: &[u8] = b"fogbank kms ciphertext 1";

/// What a ciphertext says of itself, before anybody has checked it.
pub(crate) struct Header {
    pub(crate) key: KeyId,
    /// The first half of the material's ID.
    pub(crate) material: [u8; 16],
}

/// The context in the one form that all of its orders have: pairs by key, each text after its length.
fn canonical(context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn cipher(material: &[u8], salt: &[u8]) -> Option<Aes256Gcm> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(material).ok()?;
    mac.update(LABEL);
    mac.update(salt);
    let key = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
    Some(Aes256Gcm::new(key.as_ref().into()))
}

/// Encrypts. None if the cipher refuses, which it does for gigabytes alone.
pub(crate) fn seal(
    effects: &mut Effects,
    header: &Header,
    material: &[u8],
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Option<Vec<u8>> {
    let mut blob = vec![VERSION, if header.key.multi_region { MULTI_REGION } else { 0 }];
    blob.extend(header.key.uuid);
    blob.extend(header.material);
    let mut chance = [0; 28];
    effects.fill(&mut chance);
    blob.extend(chance);
    let (salt, nonce) = chance.split_at(16);
    let authenticated = [&blob[..], &canonical(context)].concat();
    let payload = Payload { msg: plaintext, aad: &authenticated };
    let ciphertext = cipher(material, salt)?.encrypt(Nonce::from_slice(nonce), payload).ok()?;
    blob.extend(ciphertext);
    Some(blob)
}

/// What the ciphertext says of itself; none if it is none of ours.
pub(crate) fn header(blob: &[u8]) -> Option<Header> {
    let header = blob.get(..HEADER_BYTES)?;
    let (&[version, flags], rest) = header.split_first_chunk::<2>()?;
    let (&uuid, rest) = rest.split_first_chunk::<16>()?;
    let (&material, _) = rest.split_first_chunk::<16>()?;
    if version != VERSION || flags > MULTI_REGION {
        return None;
    }
    Some(Header { key: KeyId { uuid, multi_region: flags == MULTI_REGION }, material })
}

/// Decrypts; none if anything was changed.
pub(crate) fn open(
    blob: &[u8],
    material: &[u8],
    context: &EncryptionContext,
) -> Option<Zeroizing<Vec<u8>>> {
    let (header, ciphertext) = blob.split_at_checked(HEADER_BYTES)?;
    let (salt, nonce) = (header.get(34..50)?, header.get(50..)?);
    let authenticated = [header, &canonical(context)].concat();
    let payload = Payload { msg: ciphertext, aad: &authenticated };
    let plain = cipher(material, salt)?.decrypt(Nonce::from_slice(nonce), payload).ok()?;
    Some(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_ciphertext_opens_unchanged_alone() {
        let mut effects = Effects::new(Timestamp::default(), [3; 32]);
        let key = KeyId { uuid: [7; 16], multi_region: true };
        let said = Header { key, material: [9; 16] };
        let bound = context(&[("a", "b"), ("c", "d")]);
        let mut blob = seal(&mut effects, &said, &[5; 32], &bound, b"plain").unwrap();
        let read = header(&blob).unwrap();
        assert_eq!((read.key, read.material), (key, [9; 16]));
        assert_eq!(open(&blob, &[5; 32], &bound).unwrap().as_slice(), b"plain");
        assert!(open(&blob, &[6; 32], &bound).is_none());
        for other in [&[][..], &[("a", "b")], &[("a", "bc"), ("", "d")], &[("ab", ""), ("c", "d")]]
        {
            assert!(open(&blob, &[5; 32], &context(other)).is_none(), "{other:?}");
        }
        for at in 0..blob.len() {
            blob[at] ^= 1;
            assert!(open(&blob, &[5; 32], &bound).is_none(), "byte {at}");
            blob[at] ^= 1;
        }
        for length in 0..blob.len() {
            assert!(open(&blob[..length], &[5; 32], &bound).is_none());
            let _ = header(&blob[..length]);
        }
        let again = seal(&mut effects, &said, &[5; 32], &bound, b"plain").unwrap();
        assert_ne!(blob, again);
    }
}
