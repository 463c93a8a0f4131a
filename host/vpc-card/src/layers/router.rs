//! The router's duties to a packet's sender: hops are counted, what doesn't fit is said.

use crate::{
    counters::Reason,
    engine::{
        Engine, Port, PortIndex, UPLINK_MTU, Verdict,
        config::Subnet,
        packet::{ETHERNET, Frame, Packet},
    },
    services::icmp,
};

/// Counts a hop; a packet with none left becomes an answer that says so.
pub fn hop(
    engine: &mut Engine,
    from: PortIndex,
    subnet: &Subnet,
    packet: &mut Packet,
    frame: &mut Frame<'_>,
) -> Option<Verdict> {
    if packet.ttl > 1 {
        packet.decrement_ttl(frame);
        return None;
    }
    engine.count(from, Reason::TtlExpired);
    let mac = engine.port(from).map(Port::mac).unwrap_or_default();
    Some(icmp::error(packet, frame, (11, 0, 0), subnet.router, (mac, subnet.router_mac)))
}

/// Whether a packet fits the uplink; one that doesn't becomes an answer that says what would.
pub fn fits(
    port: &Port,
    subnet: &Subnet,
    packet: &Packet,
    frame: &mut Frame<'_>,
) -> Option<Verdict> {
    // A train of segments is cut to the size of the clamped MSS.
    if packet.end - ETHERNET <= UPLINK_MTU || !packet.dont_fragment || frame.segmented {
        return None;
    }
    let mtu = u16::try_from(UPLINK_MTU).unwrap_or(u16::MAX);
    let macs = (port.mac(), subnet.router_mac);
    Some(icmp::error(packet, frame, (3, 4, mtu), subnet.router, macs))
}
