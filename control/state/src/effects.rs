//! The effects that handlers may not have: the time and chance, injected for one transaction.

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};
use types::{ResourceId, Timestamp};

/// The time of a transaction and its source of randomness.
#[derive(Debug, Clone)]
pub struct Effects {
    now: Timestamp,
    random: ChaCha12Rng,
}

impl Effects {
    /// Effects at this time; equal seeds give equal randomness.
    #[must_use]
    pub fn new(now: Timestamp, seed: [u8; 32]) -> Self {
        Self { now, random: ChaCha12Rng::from_seed(seed) }
    }

    /// The time of the transaction.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The next 64 random bits.
    pub fn random(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// Fills the slice with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.random.fill_bytes(bytes);
    }

    /// A seed for a generator of the caller's own.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        seed
    }

    /// A new ID.
    pub fn new_id<I: ResourceId>(&mut self) -> I {
        I::from_number(self.random())
    }
}
