//! Bytes sealed under a key of their own: version, salt, ciphertext and tag.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{
    Compression,
    read::{DeflateDecoder, DeflateEncoder},
};
use ring::{aead, hmac};
use std::io::Read as _;

/// The version of the form: it is told by its first byte.
const VERSION: u8 = 1;
/// The longest text that is opened, in bytes; ours are shorter.
const MAX_TEXT: u64 = 256 << 10;

/// What sealing gives, in base64; none of bytes that can't be sealed, which are gigabytes.
pub(crate) fn seal(
    key: &hmac::Key,
    purpose: &str,
    salt: &[u8; 16],
    plain: &[u8],
) -> Option<String> {
    let mut compressed = Vec::new();
    DeflateEncoder::new(plain, Compression::best()).read_to_end(&mut compressed).ok()?;
    let head = head(salt);
    let aad = aead::Aad::from(&head[..]);
    cipher(key, purpose, salt)?.seal_in_place_append_tag(nonce(), aad, &mut compressed).ok()?;
    Some(STANDARD.encode([&head[..], &compressed].concat()))
}

/// The bytes that were sealed for this purpose, and their salt; none if anything was changed.
pub(crate) fn open(key: &hmac::Key, purpose: &str, text: &str) -> Option<([u8; 16], Vec<u8>)> {
    if u64::try_from(text.len()).ok()? > MAX_TEXT {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    let (head, rest) = bytes.split_first_chunk::<17>()?;
    let (version, salt) = head.split_first()?;
    let salt = <[u8; 16]>::try_from(salt).ok()?;
    if *version != VERSION {
        return None;
    }
    let mut rest = rest.to_vec();
    let aad = aead::Aad::from(&head[..]);
    let compressed = cipher(key, purpose, &salt)?.open_in_place(nonce(), aad, &mut rest).ok()?;
    let mut plain = Vec::new();
    DeflateDecoder::new(&*compressed).take(MAX_TEXT).read_to_end(&mut plain).ok()?;
    Some((salt, plain))
}

/// The length of what sealing would give, in bytes before base64.
pub(crate) fn packed_bytes(plain: &[u8]) -> usize {
    let mut compressed = Vec::new();
    match DeflateEncoder::new(plain, Compression::best()).read_to_end(&mut compressed) {
        Ok(length) => length,
        Err(_) => plain.len(),
    }
}

/// 32 bytes that only this purpose and salt have.
pub(crate) fn derive(key: &hmac::Key, purpose: &str, salt: &[u8; 16]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose.as_bytes());
    context.update(&[0]);
    context.update(salt);
    context.sign()
}

fn head(salt: &[u8; 16]) -> [u8; 17] {
    let mut head = [VERSION; 17];
    head[1..].copy_from_slice(salt);
    head
}

/// A key seals once: its nonce may be a constant.
fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

fn cipher(key: &hmac::Key, purpose: &str, salt: &[u8; 16]) -> Option<aead::LessSafeKey> {
    let key = derive(key, purpose, salt);
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).ok()?;
    Some(aead::LessSafeKey::new(key))
}
