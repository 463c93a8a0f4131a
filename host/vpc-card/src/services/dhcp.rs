//! DHCP: each port's guest is told the port's primary address and what goes with it.

use super::Datagram;
use crate::{
    counters::Reason,
    engine::{
        Port,
        config::Subnet,
        packet::{ETHERNET, address, mac},
    },
};
use std::net::Ipv4Addr;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Length of a message's fixed part with the cookie.
const FIXED: usize = 240;
const LEASE_SECONDS: u32 = 3600;
/// Messages are at least so long: old relays and clients expect BOOTP's size.
const MIN_LEN: usize = 300;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

/// What is read of a client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    kind: u8,
    xid: [u8; 4],
    broadcast: bool,
    /// The address that the client already uses.
    client: Ipv4Addr,
    hardware: [u8; 6],
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.get(..FIXED)?;
        if !fixed.starts_with(&[1, 1, 6]) || fixed.get(236..)? != COOKIE {
            return None;
        }
        let mut message = Self {
            kind: 0,
            xid: fixed.get(4..8)?.try_into().ok()?,
            broadcast: fixed.get(10)? & 0x80 != 0,
            client: address(fixed, 12)?,
            hardware: mac(fixed, 28)?,
            requested: None,
            server: None,
        };
        let mut options = bytes.get(FIXED..)?;
        while let [code, rest @ ..] = options {
            match code {
                0 => options = rest,
                255 => break,
                code => {
                    let (&len, rest) = rest.split_first()?;
                    let value = rest.get(..usize::from(len))?;
                    options = rest.get(usize::from(len)..)?;
                    match (code, value) {
                        (53, &[kind]) => message.kind = kind,
                        (50, value) => message.requested = address(value, 0),
                        (54, value) => message.server = address(value, 0),
                        _ => {}
                    }
                }
            }
        }
        Some(message)
    }
}

/// Answers a frame with a DHCP message: the answer's frame is put in `reply`.
///
/// # Errors
/// The message is none, or is not answered.
pub fn answer(port: &Port, frame: &[u8], reply: &mut Vec<u8>) -> Result<(), Reason> {
    let subnet = port.subnet.as_deref().ok_or(Reason::Unconfigured)?;
    let header = usize::from(*frame.get(ETHERNET).ok_or(Reason::Malformed)? & 15) * 4;
    let payload = frame.get(ETHERNET + header + 8..).ok_or(Reason::Malformed)?;
    let message = Message::parse(payload).ok_or(Reason::Malformed)?;
    if message.hardware != port.mac() {
        return Err(Reason::SpoofedMac);
    }
    let kind = decide(port, subnet, &message).ok_or(Reason::DhcpIgnored)?;
    let own = primary(port).ok_or(Reason::Unconfigured)?;
    let body = compose(port, subnet, &message, kind, own);
    let everyone = ([255; 6], Ipv4Addr::BROADCAST);
    let (to_mac, to) = if kind == NAK {
        everyone
    } else if !message.client.is_unspecified() {
        (port.mac(), message.client)
    } else if message.broadcast {
        everyone
    } else {
        (port.mac(), own)
    };
    let datagram = Datagram {
        macs: (to_mac, subnet.router_mac),
        src: (subnet.router.into(), 67),
        dst: (to.into(), 68),
    };
    datagram.frame(&body, reply);
    Ok(())
}

fn primary(port: &Port) -> Option<Ipv4Addr> {
    port.config.port.addresses.first().map(|address| address.private)
}

/// The kind of answer that a message gets, if any.
fn decide(port: &Port, subnet: &Subnet, message: &Message) -> Option<u8> {
    let own = primary(port)?;
    match message.kind {
        DISCOVER => Some(OFFER),
        // The client took another server's offer.
        REQUEST if message.server.is_some_and(|server| server != subnet.router) => None,
        REQUEST => {
            let wanted = match message.requested {
                Some(requested) => requested,
                None => message.client,
            };
            Some(if wanted == own { ACK } else { NAK })
        }
        INFORM if port.owns(message.client.into()) => Some(ACK),
        // Decline and release change nothing: the address is the port's for good.
        _ => None,
    }
}

fn compose(port: &Port, subnet: &Subnet, message: &Message, kind: u8, own: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0; FIXED];
    body[..3].copy_from_slice(&[2, 1, 6]);
    body[4..8].copy_from_slice(&message.xid);
    body[10] = if message.broadcast || kind == NAK { 0x80 } else { 0 };
    if kind != NAK {
        body[12..16].copy_from_slice(&message.client.octets());
        if message.kind != INFORM {
            body[16..20].copy_from_slice(&own.octets());
        }
        body[20..24].copy_from_slice(&subnet.router.octets());
    }
    body[28..34].copy_from_slice(&message.hardware);
    body[236..].copy_from_slice(&COOKIE);
    let mut option = |code: u8, value: &[u8]| {
        if let Ok(len) = u8::try_from(value.len())
            && len > 0
        {
            body.extend_from_slice(&[code, len]);
            body.extend_from_slice(value);
        }
    };
    option(53, &[kind]);
    option(54, &subnet.router.octets());
    if kind != NAK {
        if message.kind != INFORM {
            option(51, &LEASE_SECONDS.to_be_bytes());
            option(58, &(LEASE_SECONDS / 2).to_be_bytes());
            option(59, &(LEASE_SECONDS / 8 * 7).to_be_bytes());
        }
        network_options(port, subnet, option);
    }
    body.push(255);
    body.resize(body.len().max(MIN_LEN), 0);
    body
}

fn network_options(port: &Port, subnet: &Subnet, mut option: impl FnMut(u8, &[u8])) {
    let cidr = subnet.config.cidr;
    let config = &port.config.port;
    option(1, &cidr.netmask().octets());
    option(3, &subnet.router.octets());
    option(28, &cidr.broadcast().octets());
    option(26, &config.mtu.to_be_bytes());
    option(12, config.host_name.as_bytes());
    let Some(vpc) = &port.vpc else { return };
    let octets = |addresses: &[Ipv4Addr]| -> Vec<u8> {
        // An option has 255 bytes.
        addresses.iter().take(63).flat_map(Ipv4Addr::octets).collect()
    };
    if !vpc.dhcp.name_servers.is_empty() {
        option(6, &octets(&vpc.dhcp.name_servers));
    } else if let Some(resolver) = port.resolver().filter(|_| !vpc.dhcp.no_name_servers) {
        option(6, &resolver.octets());
    }
    if let Some(domain) = &vpc.dhcp.domain_name {
        option(15, domain.as_bytes());
    }
    option(42, &octets(&vpc.dhcp.ntp_servers));
    option(44, &octets(&vpc.dhcp.netbios_servers));
    option(46, vpc.dhcp.netbios_node_type.as_slice());
}
