//! A port: a guest's network interface, as it was configured, and what it remembers.

use super::{
    RESOLVER, RESOLVER6,
    cache::Cache,
    config::{Rules, Subnet},
    flow::{FlowTable, FragmentTable},
    ipv6,
};
use crate::counters::Counters;
use contracts::{card::PortConfig, network::Vpc};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// DNS packets that a port may send each second.
const DNS_RATE: u32 = 1024;
/// ICMPv6 errors that a port is sent each second (RFC 4443, 2.4).
const ERROR_RATE: u32 = 1000;

/// A port and what it remembers.
#[derive(Debug)]
pub struct Port {
    /// As it was configured.
    pub config: PortConfig,
    /// Its VPC.
    pub vpc: Option<Arc<Vpc>>,
    /// Its subnet.
    pub subnet: Option<Arc<Subnet>>,
    /// Its groups' rules.
    pub groups: Vec<Arc<Rules>>,
    /// Flows that its filter follows.
    pub flows: FlowTable,
    /// Fragments from the guest.
    pub(super) fragments: FragmentTable,
    /// Its counters.
    pub counters: Counters,
    /// Until when the filter takes up flows that it doesn't know, in ms; see `layers::filter`.
    pub grace_until: u64,
    /// DNS packets in the current second.
    pub(super) dns: (u64, u32),
    /// Decisions about its guest's flows.
    pub(super) cache: Cache,
    /// ICMPv6 errors in the current second.
    pub(super) errors: (u64, u32),
    /// When it last sent a frame, in ms.
    pub(super) sent_ms: u64,
    /// Flows that left by an egress-only gateway.
    pub beyond: FlowTable,
    /// Its guest is told of IPv6.
    pub(super) told6: bool,
}

/// How long the filter takes up unknown flows after the card was started again, in ms: long
/// enough for the senders' retransmission timers.
const GRACE_MS: u64 = 30_000;

impl Port {
    pub(super) fn new(config: PortConfig, grace: bool, now: u64) -> Self {
        let mut flows = FlowTable::default();
        flows.limit(config.port.connections);
        Self {
            config,
            vpc: None,
            subnet: None,
            groups: Vec::new(),
            flows,
            fragments: FragmentTable::default(),
            counters: Counters::default(),
            grace_until: if grace { now + GRACE_MS } else { 0 },
            dns: (0, 0),
            cache: Cache::default(),
            errors: (0, 0),
            sent_ms: now,
            beyond: FlowTable::default(),
            told6: false,
        }
    }

    /// The guest's Ethernet address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.config.port.mac.0
    }

    /// Whether an address is this port's.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        let port = &self.config.port;
        match address {
            IpAddr::V4(address) => port.addresses.iter().any(|own| own.private == address),
            IpAddr::V6(address) => {
                port.ipv6.contains(&address)
                    || port.ipv6_prefixes.iter().any(|prefix| prefix.contains(&address))
            }
        }
    }

    /// The public address of one of the port's private ones.
    #[must_use]
    pub fn public_of(&self, private: Ipv4Addr) -> Option<Ipv4Addr> {
        let mut addresses = self.config.port.addresses.iter();
        addresses.find(|own| own.private == private).and_then(|own| own.public)
    }

    /// Whether it has any IPv6 address.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        !self.config.port.ipv6.is_empty() || !self.config.port.ipv6_prefixes.is_empty()
    }

    /// The guest's link-local IPv6 address: the one that follows from its Ethernet address.
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        ipv6::link_local(self.mac())
    }

    /// Whether an address is the VPC resolver's.
    #[must_use]
    pub fn is_resolver(&self, address: IpAddr) -> bool {
        address == RESOLVER
            || address == RESOLVER6
            || self.resolver().is_some_and(|own| address == own)
    }

    /// The VPC resolver's address: the primary block's base + 2.
    #[must_use]
    pub fn resolver(&self) -> Option<Ipv4Addr> {
        let cidr = self.vpc.as_ref()?.cidrs.first()?;
        Some(Ipv4Addr::from(u32::from(cidr.network()).wrapping_add(2)))
    }

    /// Whether the guest offers a TCP service at this address.
    #[must_use]
    pub fn has_service(&self, address: IpAddr) -> bool {
        self.config.services.iter().any(|service| address == service.address)
    }

    pub(super) fn take_dns_token(&mut self, now: u64) -> bool {
        take(&mut self.dns, now) <= DNS_RATE
    }

    /// Whether the guest may be sent another ICMPv6 error about what it has just sent.
    pub fn take_error_token(&mut self) -> bool {
        take(&mut self.errors, self.sent_ms) <= ERROR_RATE
    }
}

/// Counts one more in the current second; how many there were.
fn take(counted: &mut (u64, u32), now: u64) -> u32 {
    let second = now / 1000;
    if counted.0 != second {
        *counted = (second, 0);
    }
    counted.1 = counted.1.saturating_add(1);
    counted.1
}
