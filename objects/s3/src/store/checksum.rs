//! Checksums of bodies, as clients ask for them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::{CrcAlgorithm, checksum_combine};
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use serde::{Deserialize, Serialize};

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    /// All.
    pub const ALL: [Self; 5] =
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// Amazon's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that a value comes in.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm of a name, in whatever case.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// Its values' length in bytes.
    #[must_use]
    pub fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The kind of checksum that an upload in parts has unless it says otherwise.
    #[must_use]
    pub fn default_kind(self) -> Kind {
        match self {
            Self::Crc64Nvme => Kind::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => Kind::Composite,
        }
    }

    /// Whether an upload in parts can have this kind of checksum.
    #[must_use]
    pub fn allows(self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Crc32 | Self::Crc32c, _)
            | (Self::Crc64Nvme, Kind::FullObject)
            | (Self::Sha1 | Self::Sha256, Kind::Composite) => true,
            (Self::Crc64Nvme, Kind::Composite) | (Self::Sha1 | Self::Sha256, Kind::FullObject) => {
                false
            }
        }
    }

    /// The checksum of two bodies in a row, from theirs; none where it doesn't follow from them.
    fn combine(self, first: &[u8], second: &[u8], second_len: u64) -> Option<Vec<u8>> {
        let crc = match self {
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Sha1 | Self::Sha256 => return None,
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |all, one| all << 8 | u64::from(*one));
        let both = checksum_combine(crc, number(first), number(second), second_len);
        Some(both.to_be_bytes()[8 - self.value_len()..].to_vec())
    }
}

/// What a checksum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    FullObject,
    /// Of the parts' checksums.
    Composite,
}

/// A checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub kind: Kind,
    pub value: Vec<u8>,
}

/// A value in its base64 form.
#[must_use]
pub fn to_base64(value: &[u8]) -> String {
    STANDARD.encode(value)
}

/// Base64 of exactly `len` bytes.
#[must_use]
pub fn from_base64(text: &str, len: usize) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|value| value.len() == len)
}

/// Computes a checksum.
pub(crate) enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(Crc32::new()),
            Algorithm::Crc32c => Self::Crc32c(Crc32c::new()),
            Algorithm::Crc64Nvme => Self::Crc64Nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Crc32(_) => Algorithm::Crc32,
            Self::Crc32c(_) => Algorithm::Crc32c,
            Self::Crc64Nvme(_) => Algorithm::Crc64Nvme,
            Self::Sha1(_) => Algorithm::Sha1,
            Self::Sha256(_) => Algorithm::Sha256,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(one) => one.update(bytes),
            Self::Crc32c(one) => one.update(bytes),
            Self::Crc64Nvme(one) => one.update(bytes),
            Self::Sha1(one) => one.update(bytes),
            Self::Sha256(one) => one.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(one) => one.finalize().to_vec(),
            Self::Crc32c(one) => one.finalize().to_vec(),
            Self::Crc64Nvme(one) => one.finalize().to_vec(),
            Self::Sha1(one) => one.finalize().to_vec(),
            Self::Sha256(one) => one.finalize().to_vec(),
        }
    }

    /// The checksum of `bytes`.
    pub(crate) fn of(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// The checksum of an object in parts, from theirs with their lengths in bytes.
#[must_use]
pub fn of_parts(algorithm: Algorithm, kind: Kind, parts: &[(&[u8], u64)]) -> Option<Checksum> {
    let value = match kind {
        Kind::Composite => {
            let all: Vec<u8> = parts.iter().flat_map(|(value, _)| value.iter().copied()).collect();
            Hasher::of(algorithm, &all)
        }
        Kind::FullObject => {
            let (first, rest) = parts.split_first()?;
            let combine =
                |all: Vec<u8>, (value, len): &(&[u8], u64)| algorithm.combine(&all, value, *len);
            rest.iter().try_fold(first.0.to_vec(), combine)?
        }
    };
    Some(Checksum { algorithm, kind, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_combine_to_the_whole() {
        let body: Vec<u8> =
            (0..100_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let pieces = [&body[..1], &body[1..70_000], &body[70_000..]];
            let sums: Vec<_> = pieces.iter().map(|one| Hasher::of(algorithm, one)).collect();
            let parts: Vec<_> = sums
                .iter()
                .zip(pieces)
                .map(|(sum, one)| (sum.as_slice(), one.len() as u64))
                .collect();
            let whole = of_parts(algorithm, Kind::FullObject, &parts).expect("a CRC combines");
            assert_eq!(whole.value, Hasher::of(algorithm, &body), "{algorithm:?}");
            assert_eq!(whole.value.len(), algorithm.value_len());
        }
        assert_eq!(
            of_parts(Algorithm::Sha256, Kind::FullObject, &[(&[0; 32], 1), (&[0; 32], 1)]),
            None
        );
    }

    #[test]
    fn known_values() {
        for (algorithm, expected) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
        ] {
            assert_eq!(to_base64(&Hasher::of(algorithm, b"123456789")), expected, "{algorithm:?}");
        }
    }
}
