//! Times and sizes that bound what the cluster does.

use std::time::Duration;

/// Times and sizes that bound what the cluster does. All have defaults.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A node that takes longer for a durable write is taken out of sync.
    pub write: Duration,
    /// A node that takes longer for a read isn't asked again until it answers a probe.
    pub read: Duration,
    /// How long a call waits for the commit before it to be decided.
    pub wait: Duration,
    /// Between two rounds of upkeep: probes, freed blobs, the map.
    pub round: Duration,
    /// A blob that was replaced stays so long, for those that are about to read it.
    pub free_after: Duration,
    /// A body that was taken in and not committed stays so long.
    pub pending: Duration,
    /// A node that is away for so long has its share moved to others, if there are enough.
    pub down_out: Duration,
    /// From the end of a scrub to the next.
    pub scrub_every: Duration,
    /// Whether a scrub reads everything. Where the only node is a store that does so by itself, it
    /// frees what nothing refers to, and no more.
    pub scrub_reads: bool,
    /// How many times as long as a piece of scrubbing took the scrubber rests after it.
    pub scrub_rest: u32,
    /// The same for healing.
    pub heal_rest: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            write: Duration::from_secs(10),
            read: Duration::from_secs(10),
            wait: Duration::from_secs(15),
            round: Duration::from_millis(500),
            free_after: Duration::from_secs(2),
            pending: Duration::from_secs(60),
            down_out: Duration::from_mins(30),
            scrub_every: Duration::from_hours(7 * 24),
            scrub_reads: true,
            scrub_rest: 4,
            heal_rest: 1,
        }
    }
}

/// Records that a node is asked for at a time.
pub(crate) const PAGE: usize = 256;

/// Sequence numbers that are reserved at a time.
pub(crate) const RESERVE: u64 = 1 << 20;

/// So many are left when more are reserved in the background.
pub(crate) const RESERVE_AHEAD: u64 = 1 << 18;

/// The most blobs that one batch frees.
pub(crate) const FREES: usize = 1024;

/// So many replaced blobs wake the upkeep.
pub(crate) const FREES_WAITING: usize = 8192;
