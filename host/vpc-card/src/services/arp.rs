//! ARP, answered by the card alone: no guest's question or claim reaches another guest.

use crate::{
    counters::Reason,
    engine::{
        Engine, Port, PortIndex, Verdict,
        config::Subnet,
        packet::{ETHERNET, Frame, address, mac, word},
    },
};
use std::net::Ipv4Addr;

const REQUEST: u16 = 1;
const LEN: usize = ETHERNET + 28;

/// Answers a port's ARP message: questions for the router, neighbours and link-local services.
pub fn answer(engine: &Engine, index: PortIndex, frame: &mut Frame<'_>) -> Result<Verdict, Reason> {
    let port = engine.port(index).ok_or(Reason::Unconfigured)?;
    let subnet = port.subnet.as_ref().ok_or(Reason::Unconfigured)?;
    let bytes = frame.bytes();
    let arp = bytes.get(ETHERNET..LEN).ok_or(Reason::Malformed)?;
    if !arp.starts_with(&[0, 1, 8, 0, 6, 4]) {
        return Err(Reason::Malformed);
    }
    let sender_mac = mac(arp, 8).ok_or(Reason::Malformed)?;
    let sender = address(arp, 14).ok_or(Reason::Malformed)?;
    let target = address(arp, 24).ok_or(Reason::Malformed)?;
    if sender_mac != port.mac() || !(sender.is_unspecified() || port.owns(sender.into())) {
        return Err(Reason::SpoofedArp);
    }
    if word(arp, 6) != Some(REQUEST) {
        return Ok(Verdict::Drop);
    }
    let Some(found) = resolve(engine, port, subnet, target) else { return Ok(Verdict::Drop) };
    frame.address(port.mac(), found);
    frame.write(ETHERNET + 6, &[0, 2]);
    frame.write(ETHERNET + 8, &found);
    frame.write(ETHERNET + 14, &target.octets());
    frame.write(ETHERNET + 18, &port.mac());
    frame.write(ETHERNET + 24, &sender.octets());
    frame.replace(LEN);
    Ok(Verdict::Reply)
}

/// The Ethernet address behind an address, as this port shall see it.
fn resolve(engine: &Engine, port: &Port, subnet: &Subnet, target: Ipv4Addr) -> Option<[u8; 6]> {
    // The question for one's own address asks whether somebody else has it: nobody does.
    if port.owns(target.into()) {
        return None;
    }
    let service = port.is_resolver(target.into()) || port.has_service(target.into());
    if target == subnet.router || service {
        return Some(subnet.router_mac);
    }
    if !subnet.config.cidr.contains(&target) {
        return None;
    }
    if engine.nat_gateways.by_address(subnet.config.vpc, target.into()).is_some() {
        return Some(subnet.router_mac);
    }
    let neighbour = engine.by_address(subnet.config.vpc, target.into())?;
    engine.port(neighbour).map(Port::mac)
}
