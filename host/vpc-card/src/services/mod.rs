//! What the card itself answers to guests.

pub mod arp;
pub mod dhcp;
pub mod dhcp6;
pub mod dns;
pub mod dns_stream;
pub mod forward;
pub mod icmp;
pub mod icmp6;
pub mod nd;
pub mod tcp;

use crate::engine::{
    checksum::Sum,
    ipv6,
    packet::{ETHERNET, UDP, write_ipv4},
};
use std::net::IpAddr;

/// A UDP datagram's addresses.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// Ethernet destination and source.
    pub macs: ([u8; 6], [u8; 6]),
    /// Source.
    pub src: (IpAddr, u16),
    /// Destination, of the same family.
    pub dst: (IpAddr, u16),
}

impl Datagram {
    /// Bytes of the IP and UDP headers.
    #[must_use]
    pub fn header_len(&self) -> usize {
        8 + if self.src.0.is_ipv6() { ipv6::HEADER } else { 20 }
    }

    /// Makes the datagram's frame.
    pub fn frame(&self, payload: &[u8], frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend_from_slice(&self.macs.0);
        frame.extend_from_slice(&self.macs.1);
        frame.extend_from_slice(&if self.src.0.is_ipv6() { [0x86, 0xdd] } else { [8, 0] });
        frame.resize(ETHERNET + self.header_len(), 0);
        frame.extend_from_slice(payload);
        let Some(packet) = frame.get_mut(ETHERNET..) else { return };
        let len = payload.len() + 8;
        let mut sum = match (self.src.0, self.dst.0) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                write_ipv4(packet, UDP, 64, src, dst);
                let mut sum = Sum::default();
                sum.bytes(&src.octets());
                sum.bytes(&dst.octets());
                sum.word(u16::from(UDP));
                sum.word(u16::try_from(len).unwrap_or(u16::MAX));
                sum
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                ipv6::write(packet, UDP, 64, src, dst);
                ipv6::pseudo(src, dst, UDP, len)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return,
        };
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        if let Some(udp) = packet.get_mut(self.header_len() - 8..) {
            udp[0..2].copy_from_slice(&self.src.1.to_be_bytes());
            udp[2..4].copy_from_slice(&self.dst.1.to_be_bytes());
            udp[4..6].copy_from_slice(&len.to_be_bytes());
            sum.bytes(udp);
            let sum = Some(sum.checksum()).filter(|&sum| sum != 0).unwrap_or(!0);
            udp[6..8].copy_from_slice(&sum.to_be_bytes());
        }
    }
}
