//! What is outside of VPCs: public addresses, whose port has them, and the router's advertisements.

use super::{Engine, PortIndex, ipv6, packet::Frame};
use crate::services::nd;
use std::net::{IpAddr, Ipv6Addr};
use types::Ipv6Net;

impl Engine {
    /// Of the IPv6 addresses in the pool, `host` is the host's.
    #[must_use]
    pub fn with_ipv6(self, pool: Ipv6Net, host: Ipv6Addr) -> Self {
        Self { public_pool6: Some((pool, host)), ..self }
    }

    /// The port that has an address outside of VPCs, and the port's address behind it: of IPv6 the
    /// same.
    #[must_use]
    pub fn by_outside(&self, address: IpAddr) -> Option<(PortIndex, IpAddr)> {
        match address {
            IpAddr::V4(_) => {
                self.by_public(address).map(|(index, private)| (index, private.into()))
            }
            IpAddr::V6(global) => {
                let found = self.by_global.get(&global);
                let found = found.or_else(|| self.by_global_prefix.get(&prefix(address)?));
                found.map(|&index| (index, address))
            }
        }
    }

    /// The ports whose guests are to be told of the router, because that is new.
    pub fn take_unadvertised(&mut self) -> Vec<PortIndex> {
        std::mem::take(&mut self.unadvertised)
    }

    /// Whether any port's guest is told of IPv6.
    #[must_use]
    pub fn tells_ipv6(&self) -> bool {
        self.ports.iter().flatten().any(|port| port.told6)
    }

    /// Makes a frame an advertisement of the router for all of a port's guest; false if there is
    /// nothing to tell.
    pub fn advertise(&self, index: PortIndex, frame: &mut Frame<'_>) -> bool {
        let Some(port) = self.port(index).filter(|port| port.told6) else { return false };
        let subnet = port.subnet.as_deref();
        subnet.is_some_and(|subnet| nd::advertise(port, subnet, ipv6::ALL_NODES, frame))
    }

    /// Whether packets to this public address must not leave by the uplink: the pool's
    /// addresses that no port has would come straight back.
    #[must_use]
    pub fn is_unused_public(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self
                .public_pool
                .is_some_and(|(pool, host)| pool.contains(&address) && address != host),
            IpAddr::V6(address) => self
                .public_pool6
                .is_some_and(|(pool, host)| pool.contains(&address) && address != host),
        }
    }
}

/// Bits of the prefixes that interfaces have.
pub(super) const PREFIX_BITS: u8 = 80;
/// The first `PREFIX_BITS` of an IPv6 address.
pub(super) type Prefix = u128;

/// An IPv6 address's prefix.
pub(super) fn prefix(address: IpAddr) -> Option<Prefix> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(u128::from(address) >> 48),
    }
}

/// Whether an address is good on its link only, as Amazon's own of IPv6, fd00:ec2::/32, are.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0xec2]
        }
    }
}
