//! IPv6 frames made and read for tests, with a checksum of their own.

use crate::{
    config::mac,
    frames::{ethernet, sum},
};
use std::net::Ipv6Addr;
use vpc_card::engine::packet::{ICMP6, TCP, UDP};

pub fn ip6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The link-local address of a port.
pub fn own(number: u8) -> String {
    format!("fe80::ff:fe00:{number:x}")
}

/// Completes the checksum of what a packet of these addresses carries.
pub fn seal(protocol: u8, src: &str, dst: &str, body: &mut [u8]) {
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        ICMP6 => 2,
        _ => return,
    };
    body[at..at + 2].fill(0);
    let checksum = !sum(body, pseudo(protocol, &ip6(src).octets(), &ip6(dst).octets(), body.len()));
    body[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

fn pseudo(protocol: u8, src: &[u8], dst: &[u8], len: usize) -> u32 {
    let addresses = u32::from(sum(src, 0)) + u32::from(sum(dst, 0));
    addresses + u32::from(protocol) + u32::try_from(len).unwrap()
}

/// A packet whose payload is as it is, extension headers and all.
pub fn raw(from: u8, next: u8, hops: u8, src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&[0x60, 0, 0, 0][..], &len, &[next, hops]].concat();
    let (src, dst) = (ip6(src).octets(), ip6(dst).octets());
    ethernet(from, 0x86dd, &[&head[..], &src, &dst, payload].concat())
}

pub fn packet(from: u8, protocol: u8, hops: u8, src: &str, dst: &str, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    seal(protocol, src, dst, &mut body);
    raw(from, protocol, hops, src, dst, &body)
}

pub fn icmp(from: u8, src: &str, dst: &str, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    packet(from, ICMP6, 64, src, dst, &[&[kind, code, 0, 0], rest].concat())
}

pub fn ping(from: u8, src: &str, dst: &str) -> Vec<u8> {
    icmp(from, src, dst, 128, 0, &[0, 7, 0, 1, b'd', b'a', b't', b'a'])
}

pub fn pong(from: u8, src: &str, dst: &str) -> Vec<u8> {
    icmp(from, src, dst, 129, 0, &[0, 7, 0, 1, b'd', b'a', b't', b'a'])
}

/// A Neighbour Discovery message, with the hop limit that proves that it crossed no router.
pub fn nd(from: u8, src: &str, dst: &str, kind: u8, rest: &[u8]) -> Vec<u8> {
    packet(from, ICMP6, 255, src, dst, &[&[kind, 0, 0, 0], rest].concat())
}

/// A question for an address, with the sender's Ethernet address.
pub fn solicit(from: u8, src: &str, target: &str) -> Vec<u8> {
    let rest = [&[0; 4], &ip6(target).octets()[..], &[1, 1], &mac(from)].concat();
    nd(from, src, target, 135, &rest)
}

/// The question of one who is about to take an address.
pub fn probe(from: u8, target: &str) -> Vec<u8> {
    let [.., a, b, c] = ip6(target).octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let rest = [&[0; 4], &ip6(target).octets()[..]].concat();
    nd(from, "::", &group.to_string(), 135, &rest)
}

pub fn tcp(from: u8, src: (&str, u16), dst: (&str, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    packet(from, TCP, 64, src.0, dst.0, &tcp_body(src.1, dst.1, flags, payload))
}

pub fn tcp_body(src: u16, dst: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[0..2].copy_from_slice(&src.to_be_bytes());
    header[2..4].copy_from_slice(&dst.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header.extend_from_slice(payload);
    header
}

pub fn udp(from: u8, src: (&str, u16), dst: (&str, u16), payload: &[u8]) -> Vec<u8> {
    packet(from, UDP, 64, src.0, dst.0, &udp_body(src.1, dst.1, payload))
}

pub fn udp_body(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 8).unwrap();
    [&[src, dst, len, 0].map(u16::to_be_bytes).concat()[..], payload].concat()
}

/// An extension header of 8 bytes: hop-by-hop or destination options, padding only.
pub fn options(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

/// A fragment header.
pub fn fragment(next: u8, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let field = offset | u16::from(more);
    [&[next, 0][..], &field.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// A DHCPv6 message by UDP, of these options.
pub fn dhcp(from: u8, kind: u8, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut message = vec![kind, 1, 2, 3];
    for (code, value) in options {
        message.extend_from_slice(&code.to_be_bytes());
        message.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        message.extend_from_slice(value);
    }
    udp(from, (&own(from), 546), ("ff02::1:2", 547), &message)
}

pub fn source(frame: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(<[u8; 16]>::try_from(&frame[22..38]).unwrap())
}

/// Whether the checksum of a frame without extension headers is right.
pub fn sum_is_right(frame: &[u8]) -> bool {
    let packet = &frame[14..];
    let body = &packet[40..];
    assert_eq!(usize::from(packet[4]) << 8 | usize::from(packet[5]), body.len());
    let start = pseudo(packet[6], &packet[8..24], &packet[24..40], body.len());
    !matches!(packet[6], TCP | UDP | ICMP6) || sum(body, start) == 0xffff
}
