//! The internet checksum, whole (RFC 1071) and by difference (RFC 1624).

/// A one's complement sum of 16-bit words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds a word.
    pub fn word(&mut self, word: u16) {
        self.0 += u64::from(word);
    }

    /// Adds bytes that begin at an even place.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(4);
        for chunk in &mut chunks {
            if let Ok(chunk) = chunk.try_into() {
                self.0 += u64::from(u32::from_be_bytes(chunk));
            }
        }
        match *chunks.remainder() {
            [a] => self.word(u16::from_be_bytes([a, 0])),
            [a, b] => self.word(u16::from_be_bytes([a, b])),
            [a, b, c] => {
                self.word(u16::from_be_bytes([a, b]));
                self.word(u16::from_be_bytes([c, 0]));
            }
            _ => {}
        }
    }

    /// Notes that a word of summed bytes changes.
    pub fn replace(&mut self, old: u16, new: u16) {
        self.word(!old);
        self.word(new);
    }

    /// The folded sum, not yet complemented.
    #[must_use]
    pub fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        u16::try_from(sum).unwrap_or_default()
    }

    /// The checksum of what was added.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.fold()
    }

    /// A checksum after the noted changes.
    #[must_use]
    pub fn update(self, checksum: u16) -> u16 {
        let mut sum = self;
        sum.word(!checksum);
        sum.checksum()
    }

    /// A sum that is not complemented (a partial checksum's pseudo header) after the changes.
    #[must_use]
    pub fn update_partial(self, partial: u16) -> u16 {
        let mut sum = self;
        sum.word(partial);
        sum.fold()
    }
}

/// The checksum of these bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.bytes(bytes);
    sum.checksum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn difference_equals_whole(mut bytes in prop::collection::vec(any::<u8>(), 4..80), new: [u8; 2]) {
            let before = checksum(&bytes);
            let mut sum = Sum::default();
            sum.replace(u16::from_be_bytes([bytes[2], bytes[3]]), u16::from_be_bytes(new));
            bytes[2..4].copy_from_slice(&new);
            let after = checksum(&bytes);
            // 0 and 0xffff are the same number in one's complement.
            prop_assert!(sum.update(before) == after || sum.update(before) ^ after == 0xffff);
        }
    }
}
