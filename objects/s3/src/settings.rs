//! What the store is told at its start.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A clock; tests bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970.
    fn now_ns(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The machine's clock, set forward as a test wants it.
#[derive(Debug, Default)]
pub struct AdjustableClock {
    ahead_ns: AtomicU64,
}

impl AdjustableClock {
    /// Sets the clock forward.
    pub fn advance(&self, by: Duration) {
        let by_ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let add = |ahead: u64| Some(ahead.saturating_add(by_ns));
        let _ = self.ahead_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Clock for AdjustableClock {
    fn now_ns(&self) -> u64 {
        SystemClock.now_ns().saturating_add(self.ahead_ns.load(Ordering::Relaxed))
    }
}

/// Settings.
#[derive(Clone)]
pub struct Settings {
    /// The region that the store says it is in.
    pub region: String,
    /// Names under which it is reached: `DOMAIN` for path style, `BUCKET.DOMAIN` for virtual hosts.
    /// Amazon's own names are always known.
    pub domains: Vec<String>,
    /// Wraps the data keys of objects: 32 bytes, for AES-256.
    pub master_key: [u8; 32],
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, domains, .. } = self;
        f.debug_struct("Settings").field("region", region).field("domains", domains).finish()
    }
}
