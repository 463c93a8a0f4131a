//! Which ports of public addresses are open to the host, as far as rules can tell beforehand.
//!
//! Only an uplink that has to listen for callers asks. What it lets in passes the rules as ever:
//! a port that is listed here by mistake opens nothing.

use super::{
    Engine, Port,
    config::{Question, Subnet, matches},
    packet::{TCP, UDP},
};
use contracts::network::{RouteTarget, Traffic};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

/// Ports of one address and protocol that are listed.
pub const MAX_OPENINGS: usize = 256;
/// Of these a larger range of ports is begun with.
const USUAL: [u16; 16] =
    [22, 80, 443, 53, 3389, 3306, 5432, 6379, 27017, 8000, 8080, 8443, 3000, 5000, 9090, 9200];

/// Open ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Openings {
    /// Public address, protocol, port.
    pub ports: BTreeSet<(Ipv4Addr, u8, u16)>,
    /// How many more of an address the rules open.
    pub left_out: BTreeMap<Ipv4Addr, u32>,
}

impl Engine {
    /// What is open to the host.
    #[must_use]
    pub fn openings(&self) -> Openings {
        let mut openings = Openings::default();
        let Some((_, host)) = self.public_pool else { return openings };
        let host = IpAddr::V4(host);
        for (_, port) in self.ports() {
            let Some(subnet) = &port.subnet else { continue };
            if subnet.route(host) != Some(&RouteTarget::InternetGateway) {
                continue;
            }
            let addresses = &port.config.port.addresses;
            for public in addresses.iter().filter_map(|address| address.public) {
                for protocol in [TCP, UDP] {
                    let ranges = ranges(port, protocol, host);
                    list(public, protocol, &ranges, subnet, host, &mut openings);
                }
            }
        }
        openings
    }
}

/// The ports that a port's rules open to somebody, the smallest ranges first.
fn ranges(port: &Port, protocol: u8, peer: IpAddr) -> Vec<RangeInclusive<u16>> {
    let traffic = port.groups.iter().flat_map(|rules| rules.open_to(peer));
    let mut ranges: Vec<_> = traffic
        .filter_map(|traffic| match traffic {
            Traffic::All => Some(1..=u16::MAX),
            Traffic::Tcp { from, to } if protocol == TCP => Some(from.max(1)..=to),
            Traffic::Udp { from, to } if protocol == UDP => Some(from.max(1)..=to),
            Traffic::Protocol(number) if number == protocol => Some(1..=u16::MAX),
            Traffic::Tcp { .. }
            | Traffic::Udp { .. }
            | Traffic::Icmp { .. }
            | Traffic::Icmp6 { .. }
            | Traffic::Protocol(_) => None,
        })
        .collect();
    ranges.sort_by_key(|range| (range.len(), *range.start()));
    ranges.dedup();
    ranges
}

fn list(
    public: Ipv4Addr,
    protocol: u8,
    ranges: &[RangeInclusive<u16>],
    subnet: &Subnet,
    host: IpAddr,
    openings: &mut Openings,
) {
    let mut listed = 0;
    for range in ranges {
        let usual = USUAL.into_iter().filter(|port| range.contains(port));
        let usual = usual.take(if range.len() > MAX_OPENINGS { USUAL.len() } else { 0 });
        for port in usual.chain(range.clone()) {
            if listed >= MAX_OPENINGS {
                break;
            }
            if admits(subnet, protocol, port, host) {
                listed += usize::from(openings.ports.insert((public, protocol, port)));
            }
        }
    }
    let left = united(ranges).saturating_sub(u32::try_from(listed).unwrap_or(u32::MAX));
    if listed >= MAX_OPENINGS && left > 0 {
        *openings.left_out.entry(public).or_default() += left;
    }
}

/// How many ports some ranges have in all.
fn united(ranges: &[RangeInclusive<u16>]) -> u32 {
    let mut sorted: Vec<_> =
        ranges.iter().map(|range| (u32::from(*range.start()), u32::from(*range.end()))).collect();
    sorted.sort_unstable();
    let (mut total, mut next) = (0, 0);
    for (start, end) in sorted {
        total += (end + 1).saturating_sub(start.max(next));
        next = next.max(end + 1);
    }
    total
}

/// Whether the subnet's ACL lets a caller in.
fn admits(subnet: &Subnet, protocol: u8, port: u16, peer: IpAddr) -> bool {
    let question = Question { protocol, port, icmp: (0, 0), peer };
    let entry = subnet.config.acl.iter().find(|entry| {
        !entry.egress && entry.cidr.contains(&peer) && matches(entry.traffic, &question)
    });
    entry.is_some_and(|entry| entry.allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_overlapping_ranges_count_once() {
        assert_eq!(united(&[]), 0);
        assert_eq!(united(&[22..=22, 1..=u16::MAX]), 65_535);
        assert_eq!(united(&[10..=20, 15..=30, 40..=40]), 22);
    }
}
