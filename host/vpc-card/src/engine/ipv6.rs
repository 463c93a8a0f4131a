//! IPv6 headers, read strictly: a bounded number of extension headers, all of them in the first
//! fragment, and none that leads a packet elsewhere than its rules were asked about.

use super::{
    checksum::Sum,
    packet::{ACK, ETHERNET, Fragment, Frame, ICMP, Packet, word},
};
use crate::counters::Reason;
use std::net::Ipv6Addr;

/// Length of an IPv6 header.
pub const HEADER: usize = 40;
/// The Ethernet type of IPv6.
pub const ETHERTYPE: u16 = 0x86dd;
/// Every node on a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Extension headers that a packet may have.
const MAX_EXTENSIONS: usize = 8;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// 16 bytes as an address.
#[must_use]
pub fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let bytes: [u8; 16] = bytes.get(at..at.checked_add(16)?)?.try_into().ok()?;
    Some(Ipv6Addr::from(bytes))
}

/// The link-local address that follows from an Ethernet address (RFC 4291, appendix A).
#[must_use]
pub fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// The Ethernet address of a multicast group.
#[must_use]
pub fn group_mac(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Reads the packet of a frame, but not yet what it carries.
///
/// # Errors
/// It contradicts itself, or its extension headers are more than we follow.
pub fn network(bytes: &[u8], at: usize) -> Result<Packet, Reason> {
    let mut packet = fixed(bytes, at).ok_or(Reason::Malformed)?;
    let mut next = packet.protocol;
    let mut fragmented = false;
    for count in 0..=MAX_EXTENSIONS {
        packet.protocol = next;
        let extension = || bytes.get(packet.transport..packet.transport + 8);
        let size = match next {
            HOP_BY_HOP if count > 0 => return Err(Reason::ExtensionHeader),
            HOP_BY_HOP | DESTINATION | ROUTING => {
                let header = extension().ok_or(Reason::ExtensionHeader)?;
                // What still has places to go is not yet addressed to where the rules would be
                // asked about; type 0 would let one bounce packets (RFC 5095).
                if next == ROUTING && (header[2] == 0 || header[3] != 0) {
                    return Err(Reason::ExtensionHeader);
                }
                next = header[0];
                (usize::from(header[1]) + 1) * 8
            }
            FRAGMENT if fragmented => return Err(Reason::ExtensionHeader),
            FRAGMENT => {
                let header = extension().ok_or(Reason::ExtensionHeader)?;
                let header = header.try_into().map_err(|_| Reason::Malformed)?;
                next = fragment(&mut packet, header)?;
                fragmented = true;
                8
            }
            // ICMP for IPv4 has no business here: its errors would be read as such.
            ICMP => return Err(Reason::Malformed),
            _ => return Ok(packet),
        };
        packet.transport += size;
        if packet.transport > packet.end {
            return Err(Reason::Malformed);
        }
        if packet.fragment == Fragment::Later {
            packet.protocol = next;
            return Ok(packet);
        }
    }
    Err(Reason::ExtensionHeader)
}

/// Reads the header that every packet has.
fn fixed(bytes: &[u8], at: usize) -> Option<Packet> {
    let header = bytes.get(at..at + HEADER)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    Some(Packet {
        src: address(header, 8)?.into(),
        dst: address(header, 24)?.into(),
        protocol: header[6],
        ttl: header[7],
        id: 0,
        // Routers never cut IPv6 packets.
        dont_fragment: true,
        fragment: Fragment::Whole,
        part: (0, 0),
        transport: at + HEADER,
        end: at + HEADER + usize::from(word(header, 4)?),
        ports: (0, 0),
        icmp: (0, 0),
        flags: ACK,
    })
}

/// Reads a fragment header; answers what follows it. A fragment that is alone (RFC 6946) is whole.
fn fragment(packet: &mut Packet, header: [u8; 8]) -> Result<u8, Reason> {
    let [next, _, a, b, id @ ..] = header;
    let field = u16::from_be_bytes([a, b]);
    let (offset, more) = (field & !7, field & 1 != 0);
    let start = packet.transport + 8;
    let len = packet.end.checked_sub(start).ok_or(Reason::Malformed)?;
    let end = usize::from(offset) + len;
    if end > usize::from(u16::MAX) || (more && !len.is_multiple_of(8)) {
        return Err(Reason::Malformed);
    }
    packet.fragment = match (offset, more) {
        (0, false) => return Ok(next),
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    };
    if len == 0 {
        return Err(Reason::Malformed);
    }
    packet.id = u32::from_be_bytes(id);
    packet.part = (offset, u16::try_from(end).unwrap_or(u16::MAX));
    Ok(next)
}

/// The sum of the pseudo header of a transport of `len` bytes (RFC 8200, 8.1).
#[must_use]
pub fn pseudo(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, len: usize) -> Sum {
    let mut sum = Sum::default();
    sum.bytes(&src.octets());
    sum.bytes(&dst.octets());
    sum.bytes(&u32::try_from(len).unwrap_or_default().to_be_bytes());
    sum.word(u16::from(protocol));
    sum
}

/// Writes an IPv6 header at the start of `packet`, whose length it tells.
pub fn write(packet: &mut [u8], protocol: u8, hops: u8, src: Ipv6Addr, dst: Ipv6Addr) {
    let len = u16::try_from(packet.len().saturating_sub(HEADER)).unwrap_or(u16::MAX);
    let Some(header) = packet.get_mut(..HEADER) else { return };
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&len.to_be_bytes());
    header[6] = protocol;
    header[7] = hops;
    header[8..24].copy_from_slice(&src.octets());
    header[24..40].copy_from_slice(&dst.octets());
}

/// Makes a frame an IPv6 packet of the card's own that carries `body`; false if there is no room.
pub fn compose(
    frame: &mut Frame<'_>,
    macs: ([u8; 6], [u8; 6]),
    (protocol, hops): (u8, u8),
    (src, dst): (Ipv6Addr, Ipv6Addr),
    body: &[u8],
) -> bool {
    let len = ETHERNET + HEADER + body.len();
    let Some(packet) = frame.buf.get_mut(ETHERNET..len) else { return false };
    write(packet, protocol, hops, src, dst);
    packet[HEADER..].copy_from_slice(body);
    frame.address(macs.0, macs.1);
    frame.write(12, &ETHERTYPE.to_be_bytes());
    frame.replace(len);
    true
}
