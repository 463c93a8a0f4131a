//! ICMPv6 that the router itself sends: echo replies and errors, made in the frame's place.

use crate::engine::{
    Verdict,
    checksum::Sum,
    ipv6::{self, HEADER},
    packet::{ETHERNET, Fragment, Frame, ICMP6, Packet, ipv6 as six, word},
};
use std::net::Ipv6Addr;

/// A packet does not fit the link that it has to take.
pub const TOO_BIG: u8 = 2;
/// A packet was routed too often.
pub const TIME_EXCEEDED: u8 = 3;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const REDIRECT: u8 = 137;
/// Bytes that an error has at most: what every link takes.
const MOST: usize = 1280;
/// The hop limit of the router's own packets.
const HOPS: u8 = 64;

/// Writes a message's checksum.
pub fn seal(body: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
    let mut sum = ipv6::pseudo(src, dst, ICMP6, body.len());
    if let Some(place) = body.get_mut(2..4) {
        place.fill(0);
    }
    sum.bytes(body);
    let sum = sum.checksum().to_be_bytes();
    if let Some(place) = body.get_mut(2..4) {
        place.copy_from_slice(&sum);
    }
}

/// Makes an echo request its reply; false if it is none.
pub fn echo_reply(packet: &Packet, frame: &mut Frame<'_>) -> bool {
    let asks = packet.protocol == ICMP6 && packet.icmp == (ECHO_REQUEST, 0);
    if !asks || packet.fragment != Fragment::Whole || packet.transport != ETHERNET + HEADER {
        return false;
    }
    let (Some(src), Some(dst)) = (six(packet.src), six(packet.dst)) else { return false };
    frame.write(ETHERNET + 7, &[HOPS]);
    frame.write(ETHERNET + 8, &dst.octets());
    frame.write(ETHERNET + 24, &src.octets());
    let at = packet.transport;
    let old = word(frame.bytes(), at + 2).unwrap_or_default();
    let mut delta = Sum::default();
    let kind = |kind| u16::from_be_bytes([kind, 0]);
    delta.replace(kind(ECHO_REQUEST), kind(ECHO_REPLY));
    let sum = delta.update(old);
    frame.write(at, &[ECHO_REPLY, 0]);
    frame.write(at + 2, &sum.to_be_bytes());
    true
}

/// Makes a frame an error about itself (type, code and its parameter) to its sender, unless one
/// must not be sent about it (RFC 4443, 2.4).
pub fn error(
    packet: &Packet,
    frame: &mut Frame<'_>,
    (kind, code, parameter): (u8, u8, u32),
    router: Ipv6Addr,
    (to, from): ([u8; 6], [u8; 6]),
) -> Verdict {
    let Some(sender) = six(packet.src) else { return Verdict::Drop };
    let about_icmp = packet.protocol == ICMP6 && (packet.is_error() || packet.icmp.0 == REDIRECT);
    let group = packet.dst.is_multicast() && kind != TOO_BIG;
    let nobody = sender.is_multicast() || sender.is_unspecified();
    if about_icmp || group || nobody || packet.fragment == Fragment::Later {
        return Verdict::Drop;
    }
    let start = ETHERNET + HEADER + 8;
    let most = frame.buf.len().min(ETHERNET + MOST).saturating_sub(start);
    let quoted = frame.head.min(packet.end).saturating_sub(ETHERNET).min(most);
    if quoted < HEADER {
        return Verdict::Drop;
    }
    frame.buf.copy_within(ETHERNET..ETHERNET + quoted, start);
    let len = start + quoted;
    let Some(whole) = frame.buf.get_mut(ETHERNET..len) else { return Verdict::Drop };
    ipv6::write(whole, ICMP6, HOPS, router, sender);
    if let Some(body) = whole.get_mut(HEADER..) {
        body[..4].copy_from_slice(&[kind, code, 0, 0]);
        body[4..8].copy_from_slice(&parameter.to_be_bytes());
        seal(body, router, sender);
    }
    frame.address(to, from);
    frame.write(12, &ipv6::ETHERTYPE.to_be_bytes());
    frame.replace(len);
    Verdict::Reply
}
