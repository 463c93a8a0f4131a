//! Neighbour Discovery, answered by the card alone: no guest's question, claim, advertisement or
//! redirect reaches another guest.
//!
//! A message must have come over no router (hop limit 255), be whole, without extension headers
//! (RFC 6980), and with a checksum and options that are right. It may speak for the port's own
//! addresses only; what speaks for others is dropped and counted as spoofed.

use super::icmp6;
use crate::{
    counters::Reason,
    engine::{
        Engine, Port, PortIndex, Verdict,
        config::Subnet,
        ipv6::{self, ALL_NODES, HEADER, address, group_mac},
        packet::{ETHERNET, Fragment, Frame, ICMP6, Packet, ipv6 as six, mac},
    },
};
use std::net::Ipv6Addr;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const SOURCE: u8 = 1;
const TARGET: u8 = 2;
const PREFIX: u8 = 3;
const MTU: u8 = 5;

/// The hop limit of what crosses no router.
const HOPS: u8 = 255;
/// How long the router is one, in seconds, as AWS says.
const ROUTER_SECONDS: u16 = 1800;
/// Addresses and other settings are told by DHCPv6.
const MANAGED_AND_OTHER: u8 = 0xc0;
/// The prefix is on the link, and nobody makes addresses of it.
const ON_LINK: u8 = 0x80;

/// Whether a packet is of the protocols that a link's nodes speak with each other: Neighbour
/// Discovery and Multicast Listener Discovery.
#[must_use]
pub fn is_of_link(packet: &Packet) -> bool {
    packet.protocol == ICMP6
        && packet.fragment != Fragment::Later
        && matches!(packet.icmp.0, 130..=132 | ROUTER_SOLICITATION..=REDIRECT | 143)
}

/// Answers a port's message.
pub fn answer(
    engine: &Engine,
    index: PortIndex,
    packet: &Packet,
    frame: &mut Frame<'_>,
) -> Result<Verdict, Reason> {
    if !(ROUTER_SOLICITATION..=REDIRECT).contains(&packet.icmp.0) {
        // Nobody needs to know who listens.
        return Err(Reason::Multicast);
    }
    let port = engine.port(index).ok_or(Reason::Unconfigured)?;
    let subnet = port.subnet.as_deref().ok_or(Reason::Unconfigured)?;
    let message = Message::read(packet, frame)?;
    let own = |address: Ipv6Addr| port.owns(address.into()) || address == port.link_local();
    if message.source.is_some_and(|mac| mac != port.mac())
        || message.target_mac.is_some_and(|mac| mac != port.mac())
        || !(own(message.src) || message.src.is_unspecified())
    {
        return Err(Reason::SpoofedNd);
    }
    match message.kind {
        ROUTER_SOLICITATION => {
            let to = if message.src.is_unspecified() { ALL_NODES } else { message.src };
            let made = advertise(port, subnet, to, frame);
            Ok(if made { Verdict::Reply } else { Verdict::Drop })
        }
        NEIGHBOUR_SOLICITATION => {
            let found = resolve(engine, port, subnet, message.target);
            let Some(found) = found else { return Ok(Verdict::Drop) };
            let made = claim(port, subnet, &message, found, frame);
            Ok(if made { Verdict::Reply } else { Verdict::Drop })
        }
        // What it says of itself we know.
        NEIGHBOUR_ADVERTISEMENT if own(message.target) => Ok(Verdict::Drop),
        // Advertisements of others, of routers, and redirects are the router's alone.
        _ => Err(Reason::SpoofedNd),
    }
}

/// A message that was checked.
#[derive(Debug, Clone, Copy)]
struct Message {
    kind: u8,
    src: Ipv6Addr,
    /// What a neighbour message is about.
    target: Ipv6Addr,
    /// The link-layer address of its sender, if it says one.
    source: Option<[u8; 6]>,
    /// The link-layer address of its target, if it says one.
    target_mac: Option<[u8; 6]>,
}

impl Message {
    fn read(packet: &Packet, frame: &Frame<'_>) -> Result<Self, Reason> {
        let (Some(src), Some(dst)) = (six(packet.src), six(packet.dst)) else {
            return Err(Reason::Malformed);
        };
        let (kind, code) = packet.icmp;
        let simple = packet.transport == ETHERNET + HEADER && packet.end <= frame.head;
        if packet.ttl != HOPS || code != 0 || !simple || frame.partial {
            return Err(Reason::Malformed);
        }
        let body = frame.bytes().get(packet.transport..packet.end).ok_or(Reason::Malformed)?;
        let mut sum = ipv6::pseudo(src, dst, ICMP6, body.len());
        sum.bytes(body);
        if sum.checksum() != 0 {
            return Err(Reason::Malformed);
        }
        let (options, target) = match kind {
            ROUTER_SOLICITATION => (8, Ipv6Addr::UNSPECIFIED),
            ROUTER_ADVERTISEMENT => (16, Ipv6Addr::UNSPECIFIED),
            NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => {
                (24, address(body, 8).ok_or(Reason::Malformed)?)
            }
            _ => (40, address(body, 8).ok_or(Reason::Malformed)?),
        };
        let mut message = Self { kind, src, target, source: None, target_mac: None };
        message.options(body.get(options..).ok_or(Reason::Malformed)?)?;
        // A question for one's own address (RFC 4862, 5.4) goes to its group and says no source.
        let probe_is_right = !src.is_unspecified()
            || (message.source.is_none()
                && (kind != NEIGHBOUR_SOLICITATION || dst == solicited(target)));
        if target.is_multicast() || !probe_is_right {
            return Err(Reason::Malformed);
        }
        Ok(message)
    }

    fn options(&mut self, mut options: &[u8]) -> Result<(), Reason> {
        while !options.is_empty() {
            let size = usize::from(*options.get(1).ok_or(Reason::Malformed)?) * 8;
            let option = options.get(..size).filter(|_| size > 0).ok_or(Reason::Malformed)?;
            match option[0] {
                SOURCE if size == 8 => self.source = mac(option, 2),
                TARGET if size == 8 => self.target_mac = mac(option, 2),
                SOURCE | TARGET => return Err(Reason::Malformed),
                _ => {}
            }
            options = options.get(size..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The group of those who may have an address.
fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The Ethernet address behind an address, as this port shall see it.
fn resolve(engine: &Engine, port: &Port, subnet: &Subnet, target: Ipv6Addr) -> Option<[u8; 6]> {
    // The question for one's own address asks whether somebody else has it: nobody does.
    if port.owns(target.into()) {
        return None;
    }
    let service = port.is_resolver(target.into()) || port.has_service(target.into());
    if subnet.is_router(target.into()) || service {
        return Some(subnet.router_mac);
    }
    if !subnet.contains(target.into()) {
        return None;
    }
    let neighbour = engine.by_address(subnet.config.vpc, target.into())?;
    engine.port(neighbour).map(Port::mac)
}

/// Makes a frame the answer that `found` has the address that was asked for.
fn claim(
    port: &Port,
    subnet: &Subnet,
    message: &Message,
    found: [u8; 6],
    frame: &mut Frame<'_>,
) -> bool {
    let probe = message.src.is_unspecified();
    let to = if probe { ALL_NODES } else { message.src };
    let to_mac = if probe { group_mac(ALL_NODES) } else { port.mac() };
    let (router, solicited, overrides) = (0x80, 0x40, 0x20);
    let mut flags = overrides;
    if found == subnet.router_mac {
        flags |= router;
    }
    if !probe {
        flags |= solicited;
    }
    let mut body = [0; 32];
    body[0] = NEIGHBOUR_ADVERTISEMENT;
    body[4] = flags;
    body[8..24].copy_from_slice(&message.target.octets());
    body[24..26].copy_from_slice(&[TARGET, 1]);
    body[26..].copy_from_slice(&found);
    icmp6::seal(&mut body, message.target, to);
    ipv6::compose(frame, (to_mac, found), (ICMP6, HOPS), (message.target, to), &body)
}

/// Makes a frame the router's advertisement to a port's guest; false if there is no room.
pub fn advertise(port: &Port, subnet: &Subnet, to: Ipv6Addr, frame: &mut Frame<'_>) -> bool {
    let to_mac = if to.is_multicast() { group_mac(to) } else { port.mac() };
    let router = subnet.router_link_local();
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&[ROUTER_ADVERTISEMENT, 0, 0, 0, 64, MANAGED_AND_OTHER]);
    body.extend_from_slice(&ROUTER_SECONDS.to_be_bytes());
    body.extend_from_slice(&[0; 8]);
    body.extend_from_slice(&[SOURCE, 1]);
    body.extend_from_slice(&subnet.router_mac);
    body.extend_from_slice(&[MTU, 1, 0, 0]);
    body.extend_from_slice(&u32::from(port.config.port.mtu).to_be_bytes());
    if let Some(net) = subnet.config.ipv6_cidr {
        body.extend_from_slice(&[PREFIX, 4, net.prefix_len(), ON_LINK]);
        // Valid and preferred for ever.
        body.extend_from_slice(&[0xff; 8]);
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&net.network().octets());
    }
    icmp6::seal(&mut body, router, to);
    ipv6::compose(frame, (to_mac, subnet.router_mac), (ICMP6, HOPS), (router, to), &body)
}
