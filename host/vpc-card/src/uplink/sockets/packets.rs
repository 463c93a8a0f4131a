//! Packets as the sockets' worker reads and writes them: whole IPv4 packets without a link header.

use crate::engine::{
    UPLINK_MTU,
    checksum::{Sum, checksum},
    packet::{ACK, ICMP, RST, SYN, TCP, UDP, word, write_ipv4},
};
use std::net::{Ipv4Addr, SocketAddrV4};

const IPV4: usize = 20;
/// Hops of the packets that are made here.
const HOPS: u8 = 64;
/// Bytes of the offending packet that an ICMP error quotes, at most.
const QUOTE: usize = 548;

/// A packet from a guest, its lengths checked.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// All of it, as long as its header says.
    pub bytes: &'a [u8],
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// IP protocol.
    pub protocol: u8,
    /// IP identification.
    pub id: u16,
    /// Where a fragment's bytes belong in the datagram, and whether more follow.
    pub fragment: (usize, bool),
    /// What follows the IP header.
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; none if it contradicts itself.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let header = usize::from(first & 15) * 4;
        let bytes = bytes.get(..usize::from(word(bytes, 2)?))?;
        if first >> 4 != 4 || header < IPV4 {
            return None;
        }
        let flags = word(bytes, 6)?;
        Some(Self {
            bytes,
            src: address(bytes, 12)?,
            dst: address(bytes, 16)?,
            protocol: *bytes.get(9)?,
            id: word(bytes, 4)?,
            fragment: (usize::from(flags & 0x1fff) * 8, flags & 0x2000 != 0),
            body: bytes.get(header..)?,
        })
    }

    /// Whether it is all of a datagram.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fragment == (0, false)
    }

    /// Source and destination port of TCP and UDP.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        Some((word(self.body, 0)?, word(self.body, 2)?))
    }

    /// TCP's flags.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.body.get(13).copied().unwrap_or_default()
    }

    /// UDP's payload.
    #[must_use]
    pub fn datagram(&self) -> Option<&'a [u8]> {
        self.body.get(8..usize::from(word(self.body, 4)?))
    }
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(bytes))
}

/// The reset that answers a TCP segment without a connection; none for a reset.
#[must_use]
pub fn reset(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let (from, to) = packet.ports()?;
    let flags = packet.flags();
    if flags & RST != 0 {
        return None;
    }
    let mut reply = vec![0; IPV4 + 20];
    let segment = reply.get_mut(IPV4..)?;
    segment[0..2].copy_from_slice(&to.to_be_bytes());
    segment[2..4].copy_from_slice(&from.to_be_bytes());
    segment[12] = 5 << 4;
    if flags & ACK != 0 {
        segment[4..8].copy_from_slice(packet.body.get(8..12)?);
        segment[13] = RST;
    } else {
        let header = usize::from(packet.body.get(12)? >> 4) * 4;
        let sequence = u32::from_be_bytes(packet.body.get(4..8)?.try_into().ok()?);
        let payload = u32::try_from(packet.body.len().checked_sub(header)?).ok()?;
        let next = sequence.wrapping_add(payload).wrapping_add(u32::from(flags & SYN != 0));
        segment[8..12].copy_from_slice(&next.to_be_bytes());
        segment[13] = RST | ACK;
    }
    let sum = transport_sum(TCP, packet.dst, packet.src, segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    write_ipv4(&mut reply, TCP, HOPS, packet.dst, packet.src);
    Some(reply)
}

/// A UDP datagram, in fragments if it is larger than the uplink's MTU.
#[must_use]
pub fn udp(from: SocketAddrV4, to: SocketAddrV4, id: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut body = Vec::with_capacity(8 + payload.len());
    let Ok(len) = u16::try_from(8 + payload.len()) else { return Vec::new() };
    body.extend_from_slice(&from.port().to_be_bytes());
    body.extend_from_slice(&to.port().to_be_bytes());
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(payload);
    let sum = transport_sum(UDP, *from.ip(), *to.ip(), &body);
    let sum = if sum == 0 { !0 } else { sum };
    body[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram(UDP, *from.ip(), *to.ip(), id, &body)
}

/// An ICMP message (type, code, its second word and its data) as packets; the checksum is made.
#[must_use]
pub fn icmp(
    from: Ipv4Addr,
    to: Ipv4Addr,
    (kind, code): (u8, u8),
    word: [u8; 4],
    rest: &[u8],
) -> Vec<Vec<u8>> {
    let mut body = vec![kind, code, 0, 0];
    body.extend_from_slice(&word);
    body.extend_from_slice(rest);
    let sum = checksum(&body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    datagram(ICMP, from, to, 0, &body)
}

/// The ICMP error "destination unreachable" with this code about a guest's packet; `head` is its
/// first bytes.
#[must_use]
pub fn unreachable(from: Ipv4Addr, to: Ipv4Addr, code: u8, head: &[u8]) -> Vec<Vec<u8>> {
    icmp(from, to, (3, code), [0; 4], head.get(..head.len().min(QUOTE)).unwrap_or_default())
}

/// The IP packets of a datagram, whole or in fragments.
fn datagram(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, id: u16, body: &[u8]) -> Vec<Vec<u8>> {
    let most = (UPLINK_MTU - IPV4) / 8 * 8;
    let whole = IPV4 + body.len() <= UPLINK_MTU;
    let step = if whole { body.len().max(1) } else { most };
    let mut packets = Vec::new();
    for (index, part) in body.chunks(step).enumerate() {
        let mut packet = vec![0; IPV4];
        packet.extend_from_slice(part);
        write_ipv4(&mut packet, protocol, HOPS, from, to);
        if !whole {
            let at = u16::try_from(index * step / 8).unwrap_or_default();
            let more = if index * step + part.len() < body.len() { 0x2000 } else { 0 };
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            packet[6..8].copy_from_slice(&(at | more).to_be_bytes());
            packet[10..12].copy_from_slice(&[0, 0]);
            let sum = checksum(&packet[..IPV4]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        packets.push(packet);
    }
    packets
}

fn transport_sum(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, segment: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.bytes(&from.octets());
    sum.bytes(&to.octets());
    sum.word(u16::from(protocol));
    sum.word(u16::try_from(segment.len()).unwrap_or_default());
    sum.bytes(segment);
    sum.checksum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    #[test]
    fn a_datagram_is_read_back() {
        let packets = udp(at("10.0.0.1:53"), at("10.0.0.2:4000"), 7, b"hello");
        let packet = Packet::parse(&packets[0]).unwrap();
        assert_eq!(packets.len(), 1);
        assert_eq!(packet.ports(), Some((53, 4000)));
        assert_eq!(packet.datagram(), Some(&b"hello"[..]));
        assert_eq!(checksum(&packets[0][..20]), 0);
        assert_eq!(transport_sum(UDP, packet.src, packet.dst, packet.body), 0);
    }

    #[test]
    fn a_long_datagram_goes_in_fragments() {
        let payload: Vec<u8> = (0..4000).map(|at: u32| u8::try_from(at % 251).unwrap()).collect();
        let packets = udp(at("10.0.0.1:53"), at("10.0.0.2:4000"), 7, &payload);
        let mut body = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            assert!(packet.len() <= UPLINK_MTU);
            let packet = Packet::parse(packet).unwrap();
            assert_eq!(packet.fragment, (body.len(), index + 1 < packets.len()));
            assert_eq!((packet.id, checksum(&packet.bytes[..20])), (7, 0));
            body.extend_from_slice(packet.body);
        }
        assert_eq!(body[8..], payload);
        assert_eq!(packets.len(), 3);
    }

    #[test]
    fn a_refused_segment_is_reset_as_its_sender_expects() {
        let mut syn = vec![0; 40];
        syn[20..22].copy_from_slice(&1000_u16.to_be_bytes());
        syn[22..24].copy_from_slice(&80_u16.to_be_bytes());
        syn[24..28].copy_from_slice(&0xffff_ffff_u32.to_be_bytes());
        syn[32] = 5 << 4;
        syn[33] = SYN;
        write_ipv4(&mut syn, TCP, 64, [10, 0, 0, 1].into(), [192, 0, 2, 1].into());
        let reply = reset(&Packet::parse(&syn).unwrap()).unwrap();
        let reply = Packet::parse(&reply).unwrap();
        assert_eq!((reply.ports(), reply.flags()), (Some((80, 1000)), RST | ACK));
        // The sequence number after the SYN wraps around.
        assert_eq!(reply.body[8..12], [0; 4]);
        assert_eq!(transport_sum(TCP, reply.src, reply.dst, reply.body), 0);
        assert!(reset(&reply).is_none());
    }

    #[test]
    fn nonsense_is_no_packet() {
        for bytes in [&[][..], &[0x45], &[0x45, 0, 0, 40, 0, 0], &[0x65; 40], &[0x41; 40]] {
            assert!(Packet::parse(bytes).is_none(), "{bytes:?}");
        }
    }
}
