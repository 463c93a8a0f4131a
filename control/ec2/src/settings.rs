//! What the cloud's owner decides, once for all accounts.

use serde::{Deserialize, Serialize};
use state::{Row, State};
use types::{Ipv4Net, Scope};

/// The cloud's settings: one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where public addresses come from; the first is the host's own.
    pub public_pool: Ipv4Net,
    /// vCPUs that may be sold for each processor of a host.
    pub vcpu_overcommit: u32,
    /// Memory that may be sold, in percent of what a host has.
    pub memory_overcommit_percent: u32,
}

impl Row for Settings {
    const TABLE: &'static str = "settings";
    type Key = u8;
    fn key(&self) -> u8 {
        0
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
}

impl Settings {
    /// The cloud's settings, or the defaults.
    #[must_use]
    pub fn of(state: &State) -> Self {
        state.get::<Self>(&0).map_or_else(Self::default, |row| Self::clone(row))
    }
}

impl Default for Settings {
    fn default() -> Self {
        // 198.18.0.0/15 is set aside for device tests (RFC 2544): no real network uses it.
        let pool = std::net::Ipv4Addr::new(198, 18, 0, 0);
        let public_pool = Ipv4Net::new(pool, 22).unwrap_or_default();
        Self { public_pool, vcpu_overcommit: 16, memory_overcommit_percent: 100 }
    }
}
