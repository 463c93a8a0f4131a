//! The checksums of a blob: CRC64NVME of each block of 64 KiB, with the blob's length.

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};

/// What one checksum is of, in bytes.
pub const BLOCK_BYTES: usize = 64 << 10;

/// A blob's length and checksums, in the form of an attribute: length, then one for each block,
/// each 8 bytes, little endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub len: u64,
    blocks: Vec<u64>,
}

fn sum(block: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, block)
}

impl Sums {
    /// Takes the next bytes; all but the last ones are whole blocks.
    pub fn add(&mut self, data: &[u8]) {
        self.len += data.len() as u64;
        self.blocks.extend(data.chunks(BLOCK_BYTES).map(sum));
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(8 + 8 * self.blocks.len());
        bytes.put_u64_le(self.len);
        self.blocks.iter().for_each(|sum| bytes.put_u64_le(*sum));
        bytes.freeze()
    }

    /// None if they aren't whole.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let len = numbers.next()?;
        let blocks: Vec<u64> = numbers.collect();
        let whole = rest.is_empty() && len.div_ceil(BLOCK_BYTES as u64) == blocks.len() as u64;
        whole.then_some(Self { len, blocks })
    }

    /// Whether these are the blob's bytes from an offset, a block's begin, to at most its end.
    pub fn hold(&self, offset: u64, data: &[u8]) -> bool {
        let Ok(first) = usize::try_from(offset / BLOCK_BYTES as u64) else { return false };
        let sums = self.blocks.get(first..).unwrap_or_default();
        let mut blocks = data.chunks(BLOCK_BYTES);
        blocks.len() <= sums.len()
            && blocks.by_ref().zip(sums).all(|(block, own)| sum(block) == *own)
    }
}

/// A record's value with a checksum of its key and value, so that one can't stand for another.
pub fn sealed(key: &[u8], value: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(value.len() + 8);
    bytes.put_slice(value);
    bytes.put_u64_le(seal(key, value));
    bytes.freeze()
}

/// The value, if its checksum is right.
pub fn unsealed(key: &[u8], mut sealed: Bytes) -> Option<Bytes> {
    let value = sealed.split_to(sealed.len().checked_sub(8)?);
    (sealed.as_ref() == seal(key, &value).to_le_bytes()).then_some(value)
}

fn seal(key: &[u8], value: &[u8]) -> u64 {
    sum(value) ^ sum(key).rotate_left(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_find_what_differs() {
        let data: Vec<u8> = (0..=250).cycle().take(3 * BLOCK_BYTES + 5).collect();
        let mut sums = Sums::default();
        let (first, rest) = data.split_at(2 * BLOCK_BYTES);
        sums.add(first);
        sums.add(rest);
        assert_eq!(Sums::decode(&sums.encode()), Some(sums.clone()));
        assert_eq!(Sums::decode(&sums.encode()[1..]), None);
        assert_eq!(Sums::decode(b""), None);
        assert!(sums.hold(0, &data));
        assert!(sums.hold(2 * BLOCK_BYTES as u64, rest));
        assert!(!sums.hold(BLOCK_BYTES as u64, rest));
        let mut wrong = data.clone();
        wrong[3 * BLOCK_BYTES + 4] ^= 1;
        assert!(!sums.hold(0, &wrong));
        wrong.push(0);
        wrong.resize(5 * BLOCK_BYTES, 0);
        assert!(!sums.hold(0, &wrong));
    }

    #[test]
    fn a_value_belongs_to_its_key() {
        for value in [&b""[..], b"value", &[0; 100]] {
            let stored = sealed(b"key", value);
            assert_eq!(unsealed(b"key", stored.clone()).as_deref(), Some(value));
            assert_eq!(unsealed(b"kez", stored.clone()), None);
            for bit in 0..stored.len() * 8 {
                let mut wrong = stored.to_vec();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(unsealed(b"key", wrong.into()), None);
            }
        }
        assert_eq!(unsealed(b"key", Bytes::from_static(b"short")), None);
    }
}
