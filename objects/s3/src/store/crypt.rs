//! Encryption at rest: a fresh key for each body, wrapped by the store's master key or by the
//! client's own; AES-256-GCM in segments, so that any range can be read and verified.

use crate::keys::{Context, PlainKey};
use bytes::{Bytes, BytesMut};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a body in each segment but the last.
pub(super) const SEGMENT_BYTES: u64 = 64 << 10;
/// What a segment is longer by when it is stored.
pub(super) const TAG_BYTES: u64 = 16;
const SEGMENT: usize = 64 << 10;
const TAG: usize = 16;

/// Whose key wraps a body's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrapping {
    /// The store's: `AES256`.
    Store,
    /// The client's, which it brings with each request; the MD5 of it in base64.
    Customer { md5: String },
    /// A data key of KMS.
    Kms(Box<ByKms>),
}

/// A data key of KMS, sealed, and how it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByKms {
    /// The ARN of the key that seals it.
    pub key_arn: String,
    /// The data key, which KMS opens.
    pub ciphertext: Vec<u8>,
    /// What the client adds to the encryption context, beside the ARN of the object or the bucket.
    pub context: Context,
    /// Whether objects of the bucket have it in common.
    pub bucket_key: bool,
}

/// How a body is encrypted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    pub wrapping: Wrapping,
    /// Salt and wrapped key. Empty for an object in parts: each part has its own.
    pub key: Vec<u8>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("wrapping", &self.wrapping).finish_non_exhaustive()
    }
}

/// A key that wraps others.
#[derive(Clone)]
pub struct WrappingKey {
    pub wrapping: Wrapping,
    pub key: PlainKey,
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wrapping.fmt(f)
    }
}

const SALT: usize = 16;

/// The key that wraps one body's key: as each wraps only once, its nonce may be fixed.
fn once(key: &[u8; 32], salt: &[u8]) -> Option<LessSafeKey> {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), salt);
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
}

fn nonce(index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn data_key(key: &[u8]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

/// Encrypts a body.
pub(super) struct Sealer {
    key: LessSafeKey,
    index: u64,
    /// Segments that are done, and the plain text of the next one.
    out: BytesMut,
    /// Where in `out` the next segment begins.
    begin: usize,
    broken: bool,
}

impl Sealer {
    /// With a fresh key. None if the machine gives no randomness.
    pub(super) fn new(wrapping_key: &WrappingKey) -> Option<(Self, Seal)> {
        let key = Zeroizing::new(rand::random::<[u8; 32]>());
        let seal = wrap(&*key, wrapping_key)?;
        Some((
            Self { key: data_key(&*key)?, index: 0, out: BytesMut::new(), begin: 0, broken: false },
            seal,
        ))
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = SEGMENT - (self.out.len() - self.begin);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            if self.out.capacity() - self.out.len() < now.len() + TAG {
                self.out.reserve(bytes.len() + bytes.len() / SEGMENT * TAG + 2 * TAG);
            }
            self.out.extend_from_slice(now);
            bytes = rest;
            if self.out.len() - self.begin == SEGMENT {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let segment = &mut self.out[self.begin..];
        match self.key.seal_in_place_separate_tag(nonce(self.index), Aad::empty(), segment) {
            Ok(tag) => self.out.extend_from_slice(tag.as_ref()),
            Err(_) => {
                segment.fill(0);
                self.broken = true;
            }
        }
        self.index += 1;
        self.begin = self.out.len();
    }

    /// The segments that are done.
    pub(super) fn take(&mut self) -> Bytes {
        let done = self.out.split_to(self.begin).freeze();
        self.begin = 0;
        done
    }

    /// All that is left. None if the cipher failed.
    pub(super) fn finish(mut self) -> Option<Bytes> {
        if self.out.len() > self.begin {
            self.close();
        }
        (!self.broken).then(|| self.out.freeze())
    }
}

impl Seal {
    /// The body's key. None if it is the wrong key that opens it.
    fn open(&self, wrapping_key: &[u8; 32]) -> Option<Zeroizing<Vec<u8>>> {
        let (salt, wrapped) = self.key.split_at_checked(SALT)?;
        let mut wrapped = Zeroizing::new(wrapped.to_vec());
        let key = once(wrapping_key, salt)?;
        let len = key.open_in_place(nonce(0), Aad::empty(), &mut wrapped).ok()?.len();
        wrapped.truncate(len);
        Some(wrapped)
    }

    /// The same body's seal under another key that wraps the body's. None if it is the wrong key
    /// that opens it.
    #[must_use]
    pub fn rewrapped(&self, from: &[u8; 32], to: &WrappingKey) -> Option<Self> {
        // An object in parts has no key of its own.
        if self.key.is_empty() {
            return Some(Self { wrapping: to.wrapping.clone(), key: Vec::new() });
        }
        wrap(&self.open(from)?, to)
    }
}

/// Wraps a body's key.
fn wrap(key: &[u8], by: &WrappingKey) -> Option<Seal> {
    let salt = rand::random::<[u8; SALT]>();
    let mut wrapped = key.to_vec();
    once(&by.key, &salt)?.seal_in_place_append_tag(nonce(0), Aad::empty(), &mut wrapped).ok()?;
    Some(Seal { wrapping: by.wrapping.clone(), key: [&salt[..], &wrapped].concat() })
}

/// Decrypts a body.
pub(super) struct Opener(LessSafeKey);

impl Opener {
    /// None if it is the wrong key.
    pub(super) fn new(seal: &Seal, wrapping_key: &[u8; 32]) -> Option<Self> {
        data_key(&seal.open(wrapping_key)?).map(Self)
    }

    /// Decrypts whole segments, the first of which is the body's segment `index`. None if they are
    /// not what was written.
    pub(super) fn open(&self, mut index: u64, sealed: Bytes) -> Option<Bytes> {
        let mut all = sealed.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let (mut plain, mut from) = (0, 0);
        while from < all.len() {
            let until = all.len().min(from + SEGMENT + TAG);
            // The text moves to the front by the tags before it.
            let opened = self.0.open_within(
                nonce(index),
                Aad::empty(),
                &mut all[plain..until],
                from - plain..,
            );
            plain += opened.ok()?.len();
            from = until;
            index += 1;
        }
        all.truncate(plain);
        Some(all.freeze())
    }
}

/// How long a body of `size` bytes is when it is stored.
pub(super) fn sealed_len(size: u64) -> u64 {
    size + size.div_ceil(SEGMENT_BYTES) * TAG_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> WrappingKey {
        WrappingKey { wrapping: Wrapping::Store, key: [7; 32].into() }
    }

    #[test]
    fn any_segments_can_be_read() {
        for size in [0, 1, 4096, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT + 77] {
            let body: Vec<u8> =
                (0..size).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2]).collect();
            let (mut sealer, seal) = Sealer::new(&store()).expect("randomness");
            let mut sealed = Vec::new();
            for piece in body.chunks(10_007) {
                sealer.update(piece);
                sealed.extend_from_slice(&sealer.take());
            }
            sealed.extend_from_slice(&sealer.finish().expect("a working cipher"));
            assert_eq!(sealed.len() as u64, sealed_len(size as u64));
            let opener = Opener::new(&seal, &[7; 32]).expect("the right key");
            let all = opener.open(0, Bytes::from(sealed.clone())).expect("untouched");
            assert_eq!(all, body);
            if size > 3 * SEGMENT {
                let part = sealed[2 * (SEGMENT + TAG)..4 * (SEGMENT + TAG)].to_vec();
                let part = opener.open(2, Bytes::from(part)).expect("untouched");
                assert_eq!(part, body[2 * SEGMENT..4 * SEGMENT]);
            }
        }
    }

    #[test]
    fn wrong_keys_and_changed_bytes_are_seen() {
        let (mut sealer, seal) = Sealer::new(&store()).expect("randomness");
        sealer.update(b"secret");
        let sealed = sealer.finish().expect("a working cipher");
        assert!(Opener::new(&seal, &[8; 32]).is_none());
        let opener = Opener::new(&seal, &[7; 32]).expect("the right key");
        assert!(opener.open(1, sealed.clone()).is_none(), "a segment in another's place");
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(opener.open(0, changed.into()).is_none(), "{at}");
        }
        let seal = Seal { key: vec![1; 3], ..seal };
        assert!(Opener::new(&seal, &[7; 32]).is_none());
    }
}
