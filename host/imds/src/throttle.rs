//! A limit on how often one instance may ask, as a token bucket.

use types::Timestamp;

/// Requests a second that an instance may make for long.
pub const REQUESTS_PER_SECOND: i64 = 500;
/// Requests that it may make at once after a pause.
pub const BURST: i64 = 1_500;

/// One instance's bucket, in thousandths of a request.
#[derive(Debug, Clone)]
pub struct Throttle {
    left: i64,
    at: Timestamp,
}

impl Throttle {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { left: BURST * 1000, at: now }
    }

    /// Takes one request out of the bucket; false if the instance asks too often.
    pub fn admit(&mut self, now: Timestamp) -> bool {
        // A clock that steps back gives nothing, and does not take away either.
        let elapsed_ms = now.millis().saturating_sub(self.at.millis()).clamp(0, 60_000);
        self.at = now;
        self.left = (self.left + elapsed_ms * REQUESTS_PER_SECOND).min(BURST * 1000);
        let admitted = self.left >= 1000;
        if admitted {
            self.left -= 1000;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_then_settles() {
        let start = Timestamp::from_millis(1_000_000);
        let mut throttle = Throttle::new(start);
        let admitted = (0..BURST + 100).filter(|_| throttle.admit(start)).count();
        assert_eq!(i64::try_from(admitted).unwrap(), BURST);
        let second = start.plus_millis(1000);
        let admitted = (0..BURST).filter(|_| throttle.admit(second)).count();
        assert_eq!(i64::try_from(admitted).unwrap(), REQUESTS_PER_SECOND);
        assert!(!throttle.admit(start), "a clock that steps back gives nothing");
    }
}
