//! Security groups: what the rules allow may begin, and what began may go on.
//!
//! As AWS tracks connections: a flow that a rule allowed is *tracked*, and its packets pass both
//! ways until it is idle, whatever becomes of the rule. A TCP or UDP flow that a rule for all
//! addresses (0.0.0.0/0, or ::/0 of IPv6) allows, while the other direction allows all of the protocol to all
//! addresses, is *untracked*: each packet is asked of the rules of its direction, so that it is
//! cut as soon as the rule goes. ICMP is always tracked.
//!
//! A TCP flow begins with a SYN and only with that; a SYN is always asked of the rules, even
//! within a flow that is known. Packets in the middle of a flow that nobody knows pass where the
//! rules of their direction allow them, without making the opposite direction free.
//!
//! A card that was started again knows no flows. For a time of grace, TCP packets in the middle
//! of an unknown flow therefore begin one if the rules of either direction would have let it
//! begin; a change of the port's rules ends the grace. A stranger who sends an ACK in that time reaches the guest's TCP, which answers with a
//! reset; to open a connection he needs a SYN, which is asked of the rules as ever.

use crate::{
    counters::Reason,
    engine::{
        Port,
        config::{Allowed, Question},
        flow::Direction,
        packet::{ACK, Frame, ICMP, ICMP6, Packet, SYN, TCP, UDP},
        seconds,
        table::Place,
    },
};

/// Checks a packet that goes into or comes out of a port.
pub fn check(
    port: &mut Port,
    direction: Direction,
    packet: &Packet,
    frame: &Frame<'_>,
    now: u64,
) -> Result<(), Reason> {
    let refuse = match direction {
        Direction::Ingress => Reason::GroupIngress,
        Direction::Egress => Reason::GroupEgress,
    };
    if packet.is_error() {
        return if icmp_error(port, direction, packet, frame, now) { Ok(()) } else { Err(refuse) };
    }
    let begins = begins(packet);
    let followed = port.flows.follow(packet, direction, seconds(now), |flow| match begins {
        Some(true) if packet.protocol == TCP => false,
        // An echo request passes as one of its own flow, never as the answer to another.
        Some(true) => flow.began == direction,
        Some(false) | None => true,
    });
    if followed {
        return Ok(());
    }
    match allow(port, direction, packet, false) {
        Some(answer) if is_untracked(port, direction, packet, answer) => {
            if begins == Some(true) {
                port.flows.forget(packet, direction);
            }
            Ok(())
        }
        Some(_) if begins != Some(false) || in_grace(port, packet, now) => {
            begin(port, direction, packet, now)
        }
        Some(_) => Ok(()),
        None if in_grace(port, packet, now)
            && begins == Some(false)
            && allow(port, direction.reverse(), packet, true).is_some() =>
        {
            begin(port, direction, packet, now)
        }
        None => Err(refuse),
    }
}

/// Why packets like one that passed will pass as well, as long as the rules stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are of the tracked flow at this place, and are to be noted there.
    Tracked(Place),
    /// Their flow is not tracked: the rules alone let them.
    Untracked,
}

/// Why packets like this one will pass. Only for what begins nothing.
#[must_use]
pub fn standing(port: &Port, direction: Direction, packet: &Packet) -> Option<Standing> {
    if let Some(place) = port.flows.place(packet, direction) {
        return Some(Standing::Tracked(place));
    }
    // In the middle of a flow that is not known, the next packet may belong to a known one.
    let answer = allow(port, direction, packet, false)?;
    is_untracked(port, direction, packet, answer).then_some(Standing::Untracked)
}

fn begin(port: &mut Port, direction: Direction, packet: &Packet, now: u64) -> Result<(), Reason> {
    if port.flows.begin(packet, direction, seconds(now)) {
        Ok(())
    } else {
        Err(Reason::FlowTableFull)
    }
}

fn in_grace(port: &Port, packet: &Packet, now: u64) -> bool {
    packet.protocol == TCP && now < port.grace_until
}

/// Whether a packet begins something (true) or answers (false), where its protocol tells.
fn begins(packet: &Packet) -> Option<bool> {
    match packet.protocol {
        TCP => Some(packet.flags & (SYN | ACK) == SYN),
        ICMP | ICMP6 => Some(packet.is_request()),
        _ => None,
    }
}

/// What the rules of a direction say; `answer` asks about the packet that this one answers.
fn allow(port: &Port, direction: Direction, packet: &Packet, answer: bool) -> Option<Allowed> {
    let ingress = direction == Direction::Ingress;
    let peer = if ingress == answer { packet.dst } else { packet.src };
    let destination = if answer { packet.ports.0 } else { packet.ports.1 };
    let question =
        Question { protocol: packet.protocol, port: destination, icmp: packet.icmp, peer };
    let mut allowed = None;
    for rules in &port.groups {
        match rules.allow(ingress, &question) {
            Some(Allowed { any_peer: true }) => return Some(Allowed { any_peer: true }),
            Some(found) => allowed = Some(found),
            None => {}
        }
    }
    allowed
}

/// Whether a packet that the rules allow is of an untracked flow, as its first packet's direction
/// or as its answers'.
fn is_untracked(port: &Port, direction: Direction, packet: &Packet, answer: Allowed) -> bool {
    if !matches!(packet.protocol, TCP | UDP) {
        return false;
    }
    let all = |direction: Direction| {
        let ingress = direction == Direction::Ingress;
        port.groups.iter().any(|rules| rules.allow_all(ingress, packet.protocol, packet.src))
    };
    let back = direction.reverse();
    (answer.any_peer && all(back))
        || (all(direction) && allow(port, back, packet, true).is_some_and(|answer| answer.any_peer))
}

/// An ICMP error passes with the flow that it is about, or by a rule of its own.
fn icmp_error(
    port: &Port,
    direction: Direction,
    packet: &Packet,
    frame: &Frame<'_>,
    now: u64,
) -> bool {
    let back = direction.reverse();
    // Of an untracked flow nothing is known but that the rules let the quoted packet pass.
    let about = packet.quoted(frame).is_some_and(|quoted| {
        port.flows.contains(&quoted, back, seconds(now))
            || allow(port, back, &quoted, false)
                .is_some_and(|answer| is_untracked(port, back, &quoted, answer))
    });
    about || allow(port, direction, packet, false).is_some()
}
