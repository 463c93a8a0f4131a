//! What the cloud's owner decides, once for all accounts.

use serde::{Deserialize, Serialize};
use state::{Row, State};
use std::net::{Ipv4Addr, Ipv6Addr};
use types::{Ipv4Net, Ipv6Net, Scope};

/// The cloud's settings: one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where public addresses come from; the first is the host's own.
    pub public_pool: Ipv4Net,
    /// Where the IPv6 blocks of VPCs come from; the first of its blocks is the host's own.
    #[serde(default = "ipv6_pool")]
    pub ipv6_pool: Ipv6Net,
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
        let pool = Ipv4Addr::new(198, 18, 0, 0);
        let public_pool = Ipv4Net::new(pool, 22).unwrap_or_default();
        Self {
            public_pool,
            ipv6_pool: ipv6_pool(),
            vcpu_overcommit: 16,
            memory_overcommit_percent: 100,
        }
    }
}

/// A block of unique local addresses (RFC 4193), with room for 65,536 VPCs.
fn ipv6_pool() -> Ipv6Net {
    Ipv6Net::new(Ipv6Addr::new(0xfdfb, 0x0a9c, 0x1b00, 0, 0, 0, 0, 0), 40).unwrap_or_default()
}
