//! Frames and the headers in them: read by offset, changed in place.

mod ports;

pub use ports::End;

use super::{
    checksum::{Sum, checksum},
    ipv6,
};
use crate::counters::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of an Ethernet header.
pub const ETHERNET: usize = 14;
/// The largest frame: an Ethernet header and the largest IPv4 packet.
pub const MAX_FRAME: usize = ETHERNET + 65_535;

/// ICMP's protocol number.
pub const ICMP: u8 = 1;
/// The protocol number of ICMP for IPv6.
pub const ICMP6: u8 = 58;
/// TCP's protocol number.
pub const TCP: u8 = 6;
/// UDP's protocol number.
pub const UDP: u8 = 17;

/// TCP's FIN flag.
pub const FIN: u8 = 1;
/// TCP's SYN flag.
pub const SYN: u8 = 2;
/// TCP's RST flag.
pub const RST: u8 = 4;
/// TCP's ACK flag.
pub const ACK: u8 = 16;

/// A frame on its way: its first bytes, which layers may change, and how long it is in all.
///
/// What is beyond `head` stays where it came from (a guest's memory, say), and goes with it.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Room for the head and for answers that are made in its place.
    pub buf: &'a mut [u8],
    /// How many bytes of the frame are in `buf`.
    pub head: usize,
    /// Length of the whole frame.
    pub len: usize,
    /// The transport checksum is the pseudo header's sum only: whoever delivers it completes it.
    pub partial: bool,
    /// A train of TCP segments, to be cut before it meets a wire.
    pub segmented: bool,
}

impl Frame<'_> {
    /// The bytes of the head.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(..self.head).unwrap_or_default()
    }

    /// Makes the frame what its first `len` bytes in `buf` now are.
    pub fn replace(&mut self, len: usize) {
        self.head = len.min(self.buf.len());
        self.len = self.head;
        self.partial = false;
        self.segmented = false;
    }

    /// Cuts off what is behind the packet, such as Ethernet's padding.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.head = self.head.min(len);
    }

    /// Writes bytes where there is room for them.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.buf.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Writes the Ethernet addresses.
    pub fn address(&mut self, to: [u8; 6], from: [u8; 6]) {
        self.write(0, &to);
        self.write(6, &from);
    }

    fn word(&self, at: usize) -> u16 {
        word(self.bytes(), at).unwrap_or_default()
    }
}

/// Two bytes as a big-endian number.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// Four bytes as an address.
#[must_use]
pub fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(Ipv4Addr::from(bytes))
}

/// An IPv4 address; none of others.
#[must_use]
pub fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// An IPv6 address; none of others.
#[must_use]
pub fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

/// Six bytes as an Ethernet address.
#[must_use]
pub fn mac(bytes: &[u8], at: usize) -> Option<[u8; 6]> {
    bytes.get(at..at.checked_add(6)?)?.try_into().ok()
}

/// Which part of a datagram a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    Whole,
    /// The first fragment, with the transport header.
    First,
    /// A later one.
    Later,
}

/// What layers ask of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Identification of the datagram that fragments are of.
    pub id: u32,
    /// Must not be fragmented.
    pub dont_fragment: bool,
    /// Which part it is.
    pub fragment: Fragment,
    /// Of a fragment: where in the datagram it begins and ends, in bytes.
    pub part: (u16, u16),
    /// Where the transport header begins in the frame.
    pub transport: usize,
    /// Where the packet ends in the frame.
    pub end: usize,
    /// Source and destination port of TCP and UDP; ICMP's identifier in both; else 0.
    pub ports: (u16, u16),
    /// ICMP's type and code.
    pub icmp: (u8, u8),
    /// TCP's flags; of a later fragment ACK.
    pub flags: u8,
}

impl Packet {
    /// Reads the packet of a frame, checking every length that is relied on later.
    ///
    /// # Errors
    /// The packet contradicts itself.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Reason> {
        if frame.bytes().get(ETHERNET).is_some_and(|first| first >> 4 == 6) {
            let packet = ipv6::network(frame.bytes(), ETHERNET)?;
            return packet.carry(frame.bytes(), frame.len).ok_or(Reason::Malformed);
        }
        let packet = Self::read(frame.bytes(), ETHERNET, frame.len).ok_or(Reason::Malformed)?;
        let header = frame.bytes().get(ETHERNET..packet.transport).unwrap_or_default();
        if checksum(header) == 0 { Ok(packet) } else { Err(Reason::Malformed) }
    }

    /// Reads a packet's headers from `at`; `limit` is where its bytes end at the latest.
    fn read(bytes: &[u8], at: usize, limit: usize) -> Option<Self> {
        let packet = Self::network(bytes, at)?;
        // A fragment that would overwrite the transport header is an attack.
        let least = if packet.protocol == TCP { 64 } else { 8 };
        let overwrites = packet.fragment == Fragment::Later && packet.part.0 < least;
        // ICMP for IPv6 has no business here.
        if overwrites || packet.protocol == ICMP6 { None } else { packet.carry(bytes, limit) }
    }

    /// Reads what a packet carries.
    fn carry(self, bytes: &[u8], limit: usize) -> Option<Self> {
        let mut packet = self;
        if packet.end > limit || packet.transport > packet.end {
            return None;
        }
        let header = bytes.get(packet.transport..packet.end.min(bytes.len()))?;
        if packet.fragment == Fragment::Later {
            return Some(packet);
        }
        match packet.protocol {
            TCP => {
                let size = usize::from(*header.get(12)? >> 4) * 4;
                if size < 20 || packet.transport + size > packet.end || header.len() < size {
                    return None;
                }
                packet.ports = (word(header, 0)?, word(header, 2)?);
                packet.flags = *header.get(13)?;
            }
            UDP => {
                let size = usize::from(word(header, 4)?);
                let whole = packet.fragment == Fragment::Whole;
                if size < 8 || header.len() < 8 || (whole && packet.transport + size > packet.end) {
                    return None;
                }
                packet.ports = (word(header, 0)?, word(header, 2)?);
            }
            ICMP | ICMP6 => {
                packet.icmp = (*header.first()?, *header.get(1)?);
                let echo = packet.protocol == ICMP || matches!(packet.icmp.0, 128 | 129);
                let id = if packet.is_error() || !echo { 0 } else { word(header, 4)? };
                packet.ports = (id, id);
                header.get(7)?;
            }
            _ => {}
        }
        Some(packet)
    }

    /// Reads the IP header.
    fn network(bytes: &[u8], at: usize) -> Option<Self> {
        let first = *bytes.get(at)?;
        let size = usize::from(first & 15) * 4;
        if first >> 4 != 4 || size < 20 {
            return None;
        }
        bytes.get(at + size - 1)?;
        let fragment = word(bytes, at + 6)?;
        let len = word(bytes, at + 2)?;
        let offset = (fragment & 0x1fff) << 3;
        let carried = len.saturating_sub(u16::from(first & 15) * 4);
        Some(Self {
            src: address(bytes, at + 12)?.into(),
            dst: address(bytes, at + 16)?.into(),
            protocol: *bytes.get(at + 9)?,
            ttl: *bytes.get(at + 8)?,
            id: word(bytes, at + 4)?.into(),
            dont_fragment: fragment & 0x4000 != 0,
            fragment: match (fragment & 0x1fff, fragment & 0x2000) {
                (0, 0) => Fragment::Whole,
                (0, _) => Fragment::First,
                _ => Fragment::Later,
            },
            part: (offset, offset.saturating_add(carried)),
            transport: at + size,
            end: at + usize::from(len),
            ports: (0, 0),
            icmp: (0, 0),
            flags: ACK,
        })
    }

    /// The packet that an ICMP error is about, as far as it is quoted: its addresses, protocol
    /// and ports.
    #[must_use]
    pub fn quoted(&self, frame: &Frame<'_>) -> Option<Self> {
        if !self.is_error() || self.fragment == Fragment::Later {
            return None;
        }
        let bytes = frame.bytes();
        let bytes = bytes.get(..self.end.min(bytes.len()))?;
        let mut inner = if self.src.is_ipv6() {
            ipv6::network(bytes, self.transport + 8).ok()?
        } else {
            Self::network(bytes, self.transport + 8)?
        };
        if inner.fragment == Fragment::Later {
            return None;
        }
        match inner.protocol {
            TCP | UDP => {
                inner.ports = (word(bytes, inner.transport)?, word(bytes, inner.transport + 2)?);
            }
            ICMP | ICMP6 => {
                inner.icmp = (*bytes.get(inner.transport)?, *bytes.get(inner.transport + 1)?);
                if inner.is_error() {
                    return None;
                }
                let id = word(bytes, inner.transport + 4)?;
                inner.ports = (id, id);
            }
            _ => {}
        }
        Some(inner)
    }

    /// Whether it reports an error about another packet.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self.protocol {
            ICMP => is_icmp_error(self.icmp.0),
            ICMP6 => self.icmp.0 < 128,
            _ => false,
        }
    }

    /// Whether it is of an ICMP type that asks for an answer.
    #[must_use]
    pub fn is_request(&self) -> bool {
        match self.protocol {
            ICMP => is_icmp_request(self.icmp.0),
            ICMP6 => matches!(self.icmp.0, 128 | 139),
            _ => false,
        }
    }

    /// Where the transport checksum is, if the protocol has one over the addresses.
    fn checksum_at(&self) -> Option<usize> {
        match (self.protocol, self.fragment) {
            (_, Fragment::Later) => None,
            (TCP, _) => Some(self.transport + 16),
            (UDP, _) => Some(self.transport + 6),
            _ => None,
        }
    }

    /// Where a partial checksum may be: of whole packets whose protocol has one.
    #[must_use]
    pub fn partial_at(&self) -> Option<usize> {
        self.checksum_at().filter(|_| self.fragment == Fragment::Whole)
    }

    /// Translates the source address.
    pub fn set_source(&mut self, frame: &mut Frame<'_>, to: Ipv4Addr) {
        self.translate(frame, ETHERNET + 12, to);
        self.translate_quoted(frame, 16, self.src, to);
        self.src = to.into();
    }

    /// Translates the destination address.
    pub fn set_destination(&mut self, frame: &mut Frame<'_>, to: Ipv4Addr) {
        self.translate(frame, ETHERNET + 16, to);
        self.translate_quoted(frame, 12, self.dst, to);
        self.dst = to.into();
    }

    fn translate(&self, frame: &mut Frame<'_>, at: usize, to: Ipv4Addr) {
        let delta = replace_address(frame, at, to);
        let sum = delta.update(frame.word(ETHERNET + 10));
        frame.write(ETHERNET + 10, &sum.to_be_bytes());
        if let Some(at) = self.checksum_at() {
            let old = frame.word(at);
            let new = match (frame.partial, self.protocol, old) {
                (true, ..) => delta.update_partial(old),
                // A UDP packet without a checksum keeps none; a sum of 0 is sent as 0xffff.
                (false, UDP, 0) => 0,
                (false, UDP, _) => Some(delta.update(old)).filter(|&sum| sum != 0).unwrap_or(!0),
                (false, ..) => delta.update(old),
            };
            frame.write(at, &new.to_be_bytes());
        }
    }

    /// An ICMP error quotes the packet of the other direction: its opposite address is
    /// translated along, and the quoted checksums, as the sender of that packet knows them.
    fn translate_quoted(&self, frame: &mut Frame<'_>, side: usize, from: IpAddr, to: Ipv4Addr) {
        let Some(inner) = self.quoted(frame) else { return };
        let start = self.transport + 8;
        if address(frame.bytes(), start + side).map(IpAddr::V4) != Some(from) {
            return;
        }
        let delta = replace_address(frame, start + side, to);
        let mut outer = delta;
        let mut fix = |frame: &mut Frame<'_>, at: usize| {
            let old = frame.word(at);
            let new = delta.update(old);
            frame.write(at, &new.to_be_bytes());
            outer.replace(old, new);
        };
        fix(frame, start + 10);
        if let Some(at) = inner.checksum_at()
            && at + 2 <= self.end.min(frame.head)
            && (inner.protocol != UDP || frame.word(at) != 0)
        {
            fix(frame, at);
        }
        let sum = outer.update(frame.word(self.transport + 2));
        frame.write(self.transport + 2, &sum.to_be_bytes());
    }

    /// Counts one hop.
    pub fn decrement_ttl(&mut self, frame: &mut Frame<'_>) {
        let old = frame.word(ETHERNET + 8);
        self.ttl = self.ttl.saturating_sub(1);
        if self.src.is_ipv6() {
            frame.write(ETHERNET + 7, &[self.ttl]);
            return;
        }
        let new = u16::from_be_bytes([self.ttl, self.protocol]);
        let mut delta = Sum::default();
        delta.replace(old, new);
        let sum = delta.update(frame.word(ETHERNET + 10));
        frame.write(ETHERNET + 8, &new.to_be_bytes());
        frame.write(ETHERNET + 10, &sum.to_be_bytes());
    }

    /// Lowers the maximum segment size that a TCP SYN offers.
    pub fn clamp_mss(&self, frame: &mut Frame<'_>, most: u16) {
        if self.protocol != TCP || self.flags & SYN == 0 || self.fragment == Fragment::Later {
            return;
        }
        let size = usize::from(frame.bytes().get(self.transport + 12).copied().unwrap_or(0) >> 4);
        let end = self.transport + size * 4;
        let mut at = self.transport + 20;
        while at < end {
            let option = frame.bytes().get(at..end).unwrap_or_default();
            match *option {
                [0, ..] | [] => return,
                [1, ..] => at += 1,
                [2, 4, a, b, ..] => {
                    let old = u16::from_be_bytes([a, b]);
                    if old > most {
                        self.set_mss(frame, at + 2, old, most);
                    }
                    return;
                }
                [_, size, ..] if size >= 2 => at += usize::from(size),
                _ => return,
            }
        }
    }

    fn set_mss(&self, frame: &mut Frame<'_>, at: usize, old: u16, new: u16) {
        frame.write(at, &new.to_be_bytes());
        if frame.partial {
            return;
        }
        let mut delta = Sum::default();
        // An option may begin at an odd place: then its bytes count crosswise.
        if (at - self.transport).is_multiple_of(2) {
            delta.replace(old, new);
        } else {
            delta.replace(old.swap_bytes(), new.swap_bytes());
        }
        let sum = delta.update(frame.word(self.transport + 16));
        frame.write(self.transport + 16, &sum.to_be_bytes());
    }
}

/// Replaces an address, and says what that does to sums over it.
fn replace_address(frame: &mut Frame<'_>, at: usize, to: Ipv4Addr) -> Sum {
    let mut delta = Sum::default();
    let [a, b, c, d] = to.octets();
    delta.replace(frame.word(at), u16::from_be_bytes([a, b]));
    delta.replace(frame.word(at + 2), u16::from_be_bytes([c, d]));
    frame.write(at, &to.octets());
    delta
}

/// Whether this ICMP type reports an error about another packet.
#[must_use]
pub const fn is_icmp_error(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// Whether this ICMP type asks for an answer.
#[must_use]
pub const fn is_icmp_request(kind: u8) -> bool {
    matches!(kind, 8 | 13 | 15 | 17)
}

/// Writes an IPv4 header without options at the start of `packet`, whose length it tells.
pub fn write_ipv4(packet: &mut [u8], protocol: u8, ttl: u8, src: Ipv4Addr, dst: Ipv4Addr) {
    let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    let Some(header) = packet.get_mut(..20) else { return };
    header.copy_from_slice(&[0; 20]);
    header[0] = 0x45;
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header[6] = 0x40;
    header[8] = ttl;
    header[9] = protocol;
    header[12..16].copy_from_slice(&src.octets());
    header[16..20].copy_from_slice(&dst.octets());
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
