//! The guard at a port: only frames and packets from the port's own addresses come in.

use crate::{
    counters::Reason,
    engine::{
        Port,
        packet::{Frame, Packet, mac, word},
    },
};
use std::net::Ipv4Addr;

/// Checks a frame's Ethernet source; answers its type.
pub fn ethernet(port: &Port, frame: &Frame<'_>) -> Result<u16, Reason> {
    let bytes = frame.bytes();
    if mac(bytes, 6).ok_or(Reason::Malformed)? != port.mac() {
        return Err(Reason::SpoofedMac);
    }
    word(bytes, 12).ok_or(Reason::Malformed)
}

/// Checks a packet's source address, unless the port routes for others.
pub fn source(port: &Port, packet: &Packet) -> Result<(), Reason> {
    let routes = !port.config.port.source_dest_check;
    let sane = !packet.src.is_multicast()
        && packet.src != Ipv4Addr::BROADCAST
        && !packet.src.is_loopback()
        && !packet.src.is_unspecified();
    if port.owns(packet.src) || (routes && sane) { Ok(()) } else { Err(Reason::SpoofedIp) }
}
