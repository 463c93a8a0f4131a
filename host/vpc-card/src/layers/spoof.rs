//! The guard at a port: only frames and packets from the port's own addresses come in.

use crate::{
    counters::Reason,
    engine::{
        Port,
        packet::{Frame, Packet, ipv6, mac, word},
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
///
/// Of link-local IPv6 addresses, a guest has the one that follows from its Ethernet address, as on
/// AWS; no other is anybody's.
pub fn source(port: &Port, packet: &Packet) -> Result<(), Reason> {
    let routes = !port.config.port.source_dest_check;
    let sane = !packet.src.is_multicast()
        && packet.src != Ipv4Addr::BROADCAST
        && !packet.src.is_loopback()
        && !packet.src.is_unspecified()
        && ipv6(packet.src)
            .is_none_or(|src| !src.is_unicast_link_local() && src.to_ipv4_mapped().is_none());
    let own = port.owns(packet.src) || packet.src == port.link_local();
    if own || (routes && sane) { Ok(()) } else { Err(Reason::SpoofedIp) }
}
