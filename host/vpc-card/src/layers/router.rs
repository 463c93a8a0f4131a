//! The router's duties to a packet's sender: hops are counted, what doesn't fit is said.

use crate::{
    counters::Reason,
    engine::{
        Engine, Port, PortIndex, UPLINK_MTU, Verdict,
        config::Subnet,
        packet::{ETHERNET, Frame, Packet},
    },
    services::{icmp, icmp6},
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
    if packet.src.is_ipv6() {
        return Some(error6(engine, from, subnet, packet, frame, (icmp6::TIME_EXCEEDED, 0)));
    }
    let mac = engine.port(from).map(Port::mac).unwrap_or_default();
    Some(icmp::error(packet, frame, (11, 0, 0), subnet.router, (mac, subnet.router_mac)))
}

/// Whether a packet fits the uplink; one that doesn't becomes an answer that says what would.
pub fn fits(
    engine: &mut Engine,
    from: PortIndex,
    subnet: &Subnet,
    packet: &Packet,
    frame: &mut Frame<'_>,
) -> Option<Verdict> {
    // A train of segments is cut to the size of the clamped MSS.
    if packet.end - ETHERNET <= UPLINK_MTU || !packet.dont_fragment || frame.segmented {
        return None;
    }
    engine.count(from, Reason::TooBig);
    let mtu = u16::try_from(UPLINK_MTU).unwrap_or(u16::MAX);
    if packet.src.is_ipv6() {
        return Some(error6(engine, from, subnet, packet, frame, (icmp6::TOO_BIG, mtu.into())));
    }
    let mac = engine.port(from).map(Port::mac).unwrap_or_default();
    Some(icmp::error(packet, frame, (3, 4, mtu), subnet.router, (mac, subnet.router_mac)))
}

/// Answers a packet with an ICMPv6 error (its type and parameter), if the port is still to be sent
/// one in this second.
fn error6(
    engine: &mut Engine,
    from: PortIndex,
    subnet: &Subnet,
    packet: &Packet,
    frame: &mut Frame<'_>,
    (kind, parameter): (u8, u32),
) -> Verdict {
    let Some(port) = engine.port_mut(from) else { return Verdict::Drop };
    if !port.take_error_token() {
        return Verdict::Drop;
    }
    let macs = (port.mac(), subnet.router_mac);
    let router = subnet.router6().unwrap_or(subnet.router_link_local());
    icmp6::error(packet, frame, (kind, 0, parameter), router, macs)
}
