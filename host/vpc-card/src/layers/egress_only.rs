//! The egress-only internet gateway: what began inside of the VPC may go out and be answered;
//! nothing begins outside.
//!
//! The flows that began are followed by the port that they began at, apart from its filter's,
//! which does not follow all of them. A card that was started again takes up TCP flows that it
//! doesn't know from answers too, for the same time of grace as the filter.

use crate::{
    counters::Reason,
    engine::{
        Port,
        flow::Direction,
        packet::{ACK, Frame, Packet, SYN, TCP},
        seconds,
    },
};

/// Notes a packet that leaves.
pub fn leave(port: &mut Port, packet: &Packet, frame: &Frame<'_>, now: u64) -> Result<(), Reason> {
    let now = seconds(now);
    if port.beyond.follow(packet, Direction::Egress, now, |_| true) {
        return Ok(());
    }
    if packet.is_error() {
        // An error is about a packet that came in, and begins nothing.
        let quoted = packet.quoted(frame).ok_or(Reason::EgressOnly)?;
        let known = port.beyond.contains(&quoted, Direction::Ingress, now);
        return if known { Ok(()) } else { Err(Reason::EgressOnly) };
    }
    if port.beyond.begin(packet, Direction::Egress, now) {
        Ok(())
    } else {
        Err(Reason::FlowTableFull)
    }
}

/// Lets a packet in that answers one that left, or is about one.
pub fn enter(port: &mut Port, packet: &Packet, frame: &Frame<'_>, now: u64) -> Result<(), Reason> {
    let time = seconds(now);
    if packet.is_error() {
        let about = packet.quoted(frame);
        let known = about.is_some_and(|p| port.beyond.contains(&p, Direction::Egress, time));
        return if known { Ok(()) } else { Err(Reason::EgressOnly) };
    }
    let answers = !packet.is_request() && packet.flags & (SYN | ACK) != SYN;
    let graced = packet.protocol == TCP && now < port.grace_until;
    if answers && (port.beyond.follow(packet, Direction::Ingress, time, |_| true) || graced) {
        Ok(())
    } else {
        Err(Reason::EgressOnly)
    }
}
