//! SipHash-2-4: a keyed hash that stays the same from one version of the program to the next.

/// The hash of whole words under a key; `words` count 8 bytes each.
#[must_use]
pub fn hash(key: (u64, u64), words: &[u64]) -> u64 {
    let mut state = State([
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ]);
    for &word in words {
        state.absorb(word);
    }
    // The last block has the length in bytes, modulo 256, in its highest byte.
    let length = u64::try_from(words.len()).unwrap_or_default().wrapping_mul(8);
    state.absorb(length << 56);
    state.0[2] ^= 0xff;
    (0..4).for_each(|_| state.round());
    state.0.iter().fold(0, |sum, word| sum ^ word)
}

struct State([u64; 4]);

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_authors_vectors() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(hash(key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(hash(key, &[0x0706_0504_0302_0100]), 0x93f5_f579_9a93_2462);
    }
}
