//! Network ACLs: stateless, in number order, the first match decides.

use crate::{
    counters::Reason,
    engine::{
        config::{Question, Subnet, matches},
        flow::Direction,
        packet::Packet,
    },
};

/// Checks a packet that crosses the subnet's border.
pub fn check(subnet: &Subnet, direction: Direction, packet: &Packet) -> Result<(), Reason> {
    let (peer, reason) = match direction {
        Direction::Egress => (packet.dst, Reason::AclEgress),
        Direction::Ingress => (packet.src, Reason::AclIngress),
    };
    let question =
        Question { protocol: packet.protocol, port: packet.ports.1, icmp: packet.icmp, peer };
    let entry = subnet.config.acl.iter().find(|entry| {
        entry.egress == (direction == Direction::Egress)
            && entry.cidr.contains(&peer)
            && matches(entry.traffic, &question)
    });
    if entry.is_some_and(|entry| entry.allow) { Ok(()) } else { Err(reason) }
}
