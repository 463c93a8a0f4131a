//! Rows that hold secrets, as stores keep them: version, salt, ciphertext and tag.

use ring::{
    aead, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use std::fmt;

/// What a sealed row begins with; JSON begins otherwise.
pub const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;

/// The key under which secret rows are sealed.
#[derive(Clone)]
pub struct RowKey(hmac::Key);

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey")
    }
}

/// Whether a stored value is sealed.
pub fn is_sealed(value: &[u8]) -> bool {
    value.first() == Some(&VERSION)
}

impl RowKey {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// Seals a row for its place in its table; none if the system gives no randomness.
    pub fn seal(&self, table: &str, key: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).ok()?;
        let mut body = plain.to_vec();
        let place = aead::Aad::from(place(table, key));
        self.cipher(salt)?.seal_in_place_append_tag(nonce(), place, &mut body).ok()?;
        Some([&[VERSION][..], &salt, &body].concat())
    }

    /// The row that was sealed for this place; none if it was changed or moved, or the key is another.
    pub fn open(&self, table: &str, key: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (salt, body) = rest.split_first_chunk::<SALT_BYTES>()?;
        if *version != VERSION {
            return None;
        }
        let mut body = body.to_vec();
        let place = aead::Aad::from(place(table, key));
        let plain = self.cipher(*salt)?.open_in_place(nonce(), place, &mut body).ok()?;
        Some(plain.to_vec())
    }

    fn cipher(&self, salt: [u8; SALT_BYTES]) -> Option<aead::LessSafeKey> {
        let own = hmac::sign(&self.0, &salt);
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, own.as_ref()).ok()?;
        Some(aead::LessSafeKey::new(key))
    }
}

/// A salt gives a key that seals once: its nonce may be a constant.
fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

fn place(table: &str, key: &str) -> Vec<u8> {
    [table.as_bytes(), &[0], key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_opens_in_its_place_alone_and_unchanged() {
        let key = RowKey::new([1; 32]);
        let mut sealed = key.seal("t", "k", b"{secret}").unwrap();
        assert!(is_sealed(&sealed) && !is_sealed(b"{}"));
        assert!(!sealed.windows(6).any(|at| at == b"secret"));
        assert_eq!(key.open("t", "k", &sealed).unwrap(), b"{secret}");
        assert_ne!(key.seal("t", "k", b"{secret}").unwrap(), sealed);
        assert!(key.open("t", "l", &sealed).is_none());
        assert!(key.open("u", "k", &sealed).is_none());
        assert!(RowKey::new([2; 32]).open("t", "k", &sealed).is_none());
        for at in 0..sealed.len() {
            sealed[at] ^= 1;
            assert!(key.open("t", "k", &sealed).is_none(), "byte {at}");
            sealed[at] ^= 1;
        }
        assert!(key.open("t", "k", &[VERSION]).is_none());
        assert_eq!(format!("{key:?}"), "RowKey");
    }
}
