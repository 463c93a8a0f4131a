//! What the card itself answers to guests.

pub mod arp;
pub mod dhcp;
pub mod dns;
pub mod dns_stream;
pub mod forward;
pub mod icmp;
pub mod tcp;

use crate::engine::{
    checksum::Sum,
    packet::{ETHERNET, UDP, write_ipv4},
};
use std::net::Ipv4Addr;

/// A UDP datagram's addresses.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// Ethernet destination and source.
    pub macs: ([u8; 6], [u8; 6]),
    /// Source.
    pub src: (Ipv4Addr, u16),
    /// Destination.
    pub dst: (Ipv4Addr, u16),
}

impl Datagram {
    /// Makes the datagram's frame.
    pub fn frame(&self, payload: &[u8], frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend_from_slice(&self.macs.0);
        frame.extend_from_slice(&self.macs.1);
        frame.extend_from_slice(&[8, 0]);
        frame.extend_from_slice(&[0; 28]);
        frame.extend_from_slice(payload);
        let Some(packet) = frame.get_mut(ETHERNET..) else { return };
        write_ipv4(packet, UDP, 64, self.src.0, self.dst.0);
        let len = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
        let mut sum = Sum::default();
        sum.bytes(&self.src.0.octets());
        sum.bytes(&self.dst.0.octets());
        sum.word(u16::from(UDP));
        sum.word(len);
        if let Some(udp) = packet.get_mut(20..) {
            udp[0..2].copy_from_slice(&self.src.1.to_be_bytes());
            udp[2..4].copy_from_slice(&self.dst.1.to_be_bytes());
            udp[4..6].copy_from_slice(&len.to_be_bytes());
            sum.bytes(udp);
            let sum = Some(sum.checksum()).filter(|&sum| sum != 0).unwrap_or(!0);
            udp[6..8].copy_from_slice(&sum.to_be_bytes());
        }
    }
}
