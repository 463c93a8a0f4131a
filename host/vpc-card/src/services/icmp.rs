//! ICMP that the router itself sends: echo replies and errors, made in the frame's place.

use crate::engine::{
    Verdict,
    checksum::{Sum, checksum},
    packet::{ETHERNET, Fragment, Frame, ICMP, Packet, ipv4, is_icmp_error, write_ipv4},
};
use std::net::Ipv4Addr;

/// Bytes of the offending packet that an error quotes, at most.
const QUOTE: usize = 68;

/// Makes an echo request its reply; false if it is none.
pub fn echo_reply(packet: &Packet, frame: &mut Frame<'_>) -> bool {
    if packet.protocol != ICMP || packet.icmp != (8, 0) || packet.fragment != Fragment::Whole {
        return false;
    }
    let (Some(src), Some(dst)) = (ipv4(packet.src), ipv4(packet.dst)) else { return false };
    frame.write(ETHERNET + 12, &dst.octets());
    frame.write(ETHERNET + 16, &src.octets());
    let at = packet.transport;
    let old = frame.bytes().get(at + 2..at + 4).and_then(|sum| sum.try_into().ok());
    let mut delta = Sum::default();
    delta.replace(0x0800, 0);
    let sum = delta.update(u16::from_be_bytes(old.unwrap_or_default()));
    frame.write(at, &[0, 0]);
    frame.write(at + 2, &sum.to_be_bytes());
    true
}

/// Makes a frame an error about itself (type, code and its parameter) to its sender, unless one
/// must not be sent about it.
pub fn error(
    packet: &Packet,
    frame: &mut Frame<'_>,
    (kind, code, parameter): (u8, u8, u16),
    router: Ipv4Addr,
    (to, from): ([u8; 6], [u8; 6]),
) -> Verdict {
    let Some(to_address) = ipv4(packet.src) else { return Verdict::Drop };
    let about_error = packet.protocol == ICMP && is_icmp_error(packet.icmp.0);
    if about_error || packet.fragment == Fragment::Later || packet.src.is_multicast() {
        return Verdict::Drop;
    }
    let quote = frame.bytes().get(ETHERNET..).unwrap_or_default();
    let quote = quote.get(..quote.len().min(QUOTE)).unwrap_or_default();
    let mut message = [0; 28 + QUOTE];
    let len = 28 + quote.len();
    message[28..len].copy_from_slice(quote);
    message[20] = kind;
    message[21] = code;
    message[26..28].copy_from_slice(&parameter.to_be_bytes());
    let sum = checksum(&message[20..len]);
    message[22..24].copy_from_slice(&sum.to_be_bytes());
    write_ipv4(&mut message[..len], ICMP, 64, router, to_address);
    if ETHERNET + len > frame.buf.len() {
        return Verdict::Drop;
    }
    frame.address(to, from);
    frame.write(12, &[8, 0]);
    frame.write(ETHERNET, &message[..len]);
    frame.replace(ETHERNET + len);
    Verdict::Reply
}
