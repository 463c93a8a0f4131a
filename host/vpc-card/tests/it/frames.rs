//! Frames made and read for tests, with a checksum of their own.

use crate::config::{ip, mac};
use std::net::Ipv4Addr;
use vpc_card::engine::packet::{ICMP, TCP, UDP, write_ipv4};

/// Where frames to a router go: the card doesn't look.
pub const ROUTER: [u8; 6] = [0x0e, 0xfb, 0, 0, 0, 1];

pub fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap()
}

fn pseudo(packet: &[u8]) -> u32 {
    let len = u32::try_from(packet.len() - 20).unwrap();
    u32::from(sum(&packet[12..20], 0)) + u32::from(packet[9]) + len
}

pub fn ethernet(from: u8, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&ROUTER[..], &mac(from), &kind.to_be_bytes(), payload].concat()
}

pub fn ipv4(from: u8, protocol: u8, src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let mut packet = [&[0; 20], payload].concat();
    write_ipv4(&mut packet, protocol, 64, ip(src), ip(dst));
    let at = match protocol {
        TCP => Some((36, pseudo(&packet))),
        UDP => Some((26, pseudo(&packet))),
        ICMP => Some((22, 0)),
        _ => None,
    };
    if let Some((at, pseudo)) = at {
        let checksum = !sum(&packet[20..], pseudo);
        packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }
    ethernet(from, 0x0800, &packet)
}

pub fn tcp(from: u8, src: (&str, u16), dst: (&str, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[0..2].copy_from_slice(&src.1.to_be_bytes());
    header[2..4].copy_from_slice(&dst.1.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header.extend_from_slice(payload);
    ipv4(from, TCP, src.0, dst.0, &header)
}

pub fn udp(from: u8, src: (&str, u16), dst: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 8).unwrap();
    let header = [src.1, dst.1, len, 0].map(u16::to_be_bytes).concat();
    ipv4(from, UDP, src.0, dst.0, &[&header, payload].concat())
}

pub fn icmp(from: u8, src: &str, dst: &str, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    ipv4(from, ICMP, src, dst, &[&[kind, code, 0, 0], rest].concat())
}

pub fn ping(from: u8, src: &str, dst: &str) -> Vec<u8> {
    icmp(from, src, dst, 8, 0, &[0, 7, 0, 1, b'd', b'a', b't', b'a'])
}

pub fn arp(from: u8, sender: &str, target: &str) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let body = [&head[..], &mac(from), &ip(sender).octets(), &[0; 6], &ip(target).octets()];
    ethernet(from, 0x0806, &body.concat())
}

pub fn dhcp(from: u8, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[4..8].copy_from_slice(b"xid!");
    message[28..34].copy_from_slice(&mac(from));
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    message.extend_from_slice(&[53, 1, kind]);
    message.extend_from_slice(options);
    message.push(255);
    udp(from, ("0.0.0.0", 68), ("255.255.255.255", 67), &message)
}

/// A DNS query for a name's records of a type.
pub fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

pub fn source(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&frame[26..30]).unwrap())
}

pub fn destination(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&frame[30..34]).unwrap())
}

/// Whether all checksums of a frame are right, those that an ICMP error quotes too.
pub fn sums_are_right(frame: &[u8]) -> bool {
    packet_is_right(&frame[14..], true)
}

fn packet_is_right(packet: &[u8], whole: bool) -> bool {
    if sum(&packet[..20], 0) != 0xffff {
        return false;
    }
    let body = &packet[20..];
    match packet[9] {
        TCP if whole => sum(body, pseudo(packet)) == 0xffff,
        UDP if whole => body[6..8] == [0, 0] || sum(body, pseudo(packet)) == 0xffff,
        ICMP if whole => {
            let error = matches!(body[0], 3 | 11);
            sum(body, 0) == 0xffff && (!error || packet_is_right(&body[8..], false))
        }
        UDP if packet.len() >= 28 && usize::from(packet[3]) == packet.len() => {
            sum(body, pseudo(packet)) == 0xffff
        }
        _ => true,
    }
}
