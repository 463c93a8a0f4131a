//! DHCPv6 (RFC 8415): each port's guest is told the port's IPv6 addresses and what goes with them.

use super::Datagram;
use crate::{
    counters::Reason,
    engine::{
        Port, RESOLVER6,
        config::Subnet,
        ipv6::address,
        packet::{Packet, word},
    },
};
use std::net::Ipv6Addr;

/// The server's port, and the client's.
pub const PORTS: (u16, u16) = (547, 546);
/// Every server on a link.
pub const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// What addresses are told to be good for, in seconds, as by AWS.
const PREFERRED_SECONDS: u32 = 140;
const VALID_SECONDS: u32 = 450;
/// Identity associations that are read of a message.
const MAX_ASSOCIATIONS: usize = 8;
/// Addresses that are read of an association.
const MAX_ADDRESSES: usize = 64;
/// The longest client identifier.
const MAX_IDENTIFIER: usize = 130;

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORMATION: u8 = 11;

const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const PREFERENCE: u16 = 7;
const STATUS: u16 = 13;
const RAPID_COMMIT: u16 = 14;
const NAME_SERVERS: u16 = 23;
const DOMAINS: u16 = 24;
const IA_PD: u16 = 25;
const IA_PREFIX: u16 = 26;

const SUCCESS: u16 = 0;
const NO_ADDRESSES: u16 = 2;
const NOT_ON_LINK: u16 = 4;
const NO_PREFIXES: u16 = 6;

/// An identity association: its ID, and the addresses that the client names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Association {
    id: [u8; 4],
    addresses: Vec<Ipv6Addr>,
}

/// What is read of a client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message<'a> {
    kind: u8,
    transaction: [u8; 3],
    client: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    associations: Vec<Association>,
    /// The IDs of its associations for prefixes.
    delegations: Vec<[u8; 4]>,
    rapid: bool,
}

/// The next option of some bytes: its code and value, and what follows.
fn option(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (code, len) = (word(bytes, 0)?, usize::from(word(bytes, 2)?));
    let rest = bytes.get(4..)?;
    Some((code, rest.get(..len)?, rest.get(len..)?))
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[kind, a, b, c], mut rest) = bytes.split_first_chunk::<4>()?;
        let mut message = Self {
            kind,
            transaction: [a, b, c],
            client: None,
            server: None,
            associations: Vec::new(),
            delegations: Vec::new(),
            rapid: false,
        };
        while !rest.is_empty() {
            let (code, value, after) = option(rest)?;
            rest = after;
            match code {
                CLIENT_ID if (3..=MAX_IDENTIFIER).contains(&value.len()) => {
                    message.client = Some(value);
                }
                CLIENT_ID => return None,
                SERVER_ID => message.server = Some(value),
                RAPID_COMMIT => message.rapid = true,
                IA_NA if message.associations.len() < MAX_ASSOCIATIONS => {
                    message.associations.push(association(value)?);
                }
                IA_PD if message.delegations.len() < MAX_ASSOCIATIONS => {
                    let id = value.get(..12)?.first_chunk::<4>()?;
                    message.delegations.push(*id);
                }
                _ => {}
            }
        }
        Some(message)
    }
}

fn association(value: &[u8]) -> Option<Association> {
    let id = value.get(..4)?.try_into().ok()?;
    let mut addresses = Vec::new();
    let mut rest = value.get(12..)?;
    while !rest.is_empty() {
        let (code, value, after) = option(rest)?;
        rest = after;
        if code == IA_ADDRESS && addresses.len() < MAX_ADDRESSES {
            addresses.push(address(value, 0)?);
        }
    }
    Some(Association { id, addresses })
}

/// Answers a frame with a DHCPv6 message: the answer's frame is put in `reply`.
///
/// # Errors
/// The message is none, or is not answered.
pub fn answer(
    port: &Port,
    packet: &Packet,
    frame: &[u8],
    reply: &mut Vec<u8>,
) -> Result<(), Reason> {
    let subnet = port.subnet.as_deref().ok_or(Reason::Unconfigured)?;
    let payload = frame.get(packet.transport + 8..packet.end).ok_or(Reason::Malformed)?;
    let message = Message::parse(payload).ok_or(Reason::Malformed)?;
    let server = identifier(subnet);
    let kind = decide(&message, &server, port).ok_or(Reason::DhcpIgnored)?;
    let mut body = Body(vec![kind]);
    body.0.extend_from_slice(&message.transaction);
    if let Some(client) = message.client {
        body.option(CLIENT_ID, client);
    }
    body.option(SERVER_ID, &server);
    match message.kind {
        SOLICIT | REQUEST | RENEW | REBIND => {
            body.option(PREFERENCE, &[255]);
            if kind == REPLY && message.kind == SOLICIT {
                body.option(RAPID_COMMIT, &[]);
            }
            associations(&mut body, port, &message);
            delegations(&mut body, port, &message);
            settings(&mut body, port);
        }
        INFORMATION => settings(&mut body, port),
        CONFIRM => {
            let mut named = message.associations.iter().flat_map(|a| &a.addresses);
            let right = named.all(|&address| port.owns(address.into()));
            body.status(if right { SUCCESS } else { NOT_ON_LINK });
        }
        // Nothing changes: the addresses are the port's for good.
        _ => body.status(SUCCESS),
    }
    let datagram = Datagram {
        macs: (port.mac(), subnet.router_mac),
        src: (subnet.router_link_local().into(), PORTS.0),
        dst: (packet.src, PORTS.1),
    };
    datagram.frame(&body.0, reply);
    Ok(())
}

/// The server's DUID: its Ethernet address.
fn identifier(subnet: &Subnet) -> [u8; 10] {
    let [a, b, c, d, e, f] = subnet.router_mac;
    [0, 3, 0, 1, a, b, c, d, e, f]
}

/// The kind of answer that a message gets, if any (RFC 8415, 16).
fn decide(message: &Message<'_>, server: &[u8], port: &Port) -> Option<u8> {
    let ours = message.server == Some(server);
    let nobody = message.server.is_none();
    let named = message.client.is_some();
    match message.kind {
        SOLICIT if named && nobody => Some(if message.rapid { REPLY } else { ADVERTISE }),
        REBIND if named && nobody => Some(REPLY),
        // Without addresses there is nothing to confirm.
        CONFIRM if named && nobody => {
            let any = message.associations.iter().any(|asked| !asked.addresses.is_empty());
            (any && !port.config.port.ipv6.is_empty()).then_some(REPLY)
        }
        REQUEST | RENEW | RELEASE | DECLINE if named && ours => Some(REPLY),
        INFORMATION if ours || nobody => Some(REPLY),
        _ => None,
    }
}

/// The first association gets all of the port's addresses.
fn associations(body: &mut Body, port: &Port, message: &Message<'_>) {
    let own = &port.config.port.ipv6;
    for (at, asked) in message.associations.iter().enumerate() {
        let given: &[Ipv6Addr] = if at == 0 { own } else { &[] };
        let mut value = Body::association(asked.id);
        for &address in given {
            value.address(address, PREFERRED_SECONDS, VALID_SECONDS);
        }
        // What the client has and shall no longer have.
        for &address in asked.addresses.iter().filter(|address| !given.contains(address)) {
            value.address(address, 0, 0);
        }
        if given.is_empty() {
            value.status(NO_ADDRESSES);
        }
        body.option(IA_NA, &value.0);
    }
}

/// The first association for prefixes gets all of the port's.
fn delegations(body: &mut Body, port: &Port, message: &Message<'_>) {
    for (at, id) in message.delegations.iter().enumerate() {
        let mut value = Body::association(*id);
        let own = port.config.port.ipv6_prefixes.iter().filter(|_| at == 0);
        for prefix in own.clone() {
            let mut option = PREFERRED_SECONDS.to_be_bytes().to_vec();
            option.extend_from_slice(&VALID_SECONDS.to_be_bytes());
            option.push(prefix.prefix_len());
            option.extend_from_slice(&prefix.network().octets());
            value.option(IA_PREFIX, &option);
        }
        if own.count() == 0 {
            value.status(NO_PREFIXES);
        }
        body.option(IA_PD, &value.0);
    }
}

/// Who answers names, and which domain they are in.
fn settings(body: &mut Body, port: &Port) {
    let Some(vpc) = &port.vpc else { return };
    let dhcp = &vpc.dhcp;
    if vpc.dns_support && dhcp.name_servers.is_empty() && !dhcp.no_name_servers {
        body.option(NAME_SERVERS, &RESOLVER6.octets());
    }
    if let Some(domain) = &dhcp.domain_name {
        let names: Vec<u8> = domain.split_whitespace().flat_map(super::dns::encode).collect();
        body.option(DOMAINS, &names);
    }
}

/// A message or an option's value being made.
struct Body(Vec<u8>);

impl Body {
    /// An association's value, still empty: renewed at half of the time in which what it has is
    /// preferred, rebound at four fifths.
    fn association(id: [u8; 4]) -> Self {
        let mut value = id.to_vec();
        for seconds in [PREFERRED_SECONDS / 2, PREFERRED_SECONDS / 5 * 4] {
            value.extend_from_slice(&seconds.to_be_bytes());
        }
        Self(value)
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let Ok(len) = u16::try_from(value.len()) else { return };
        self.0.extend_from_slice(&code.to_be_bytes());
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn status(&mut self, code: u16) {
        self.option(STATUS, &code.to_be_bytes());
    }

    fn address(&mut self, address: Ipv6Addr, preferred: u32, valid: u32) {
        let mut value = address.octets().to_vec();
        value.extend_from_slice(&preferred.to_be_bytes());
        value.extend_from_slice(&valid.to_be_bytes());
        self.option(IA_ADDRESS, &value);
    }
}
