//! The internet gateway: an instance's private address and its public one, 1:1.

use crate::{
    counters::Reason,
    engine::{
        Port,
        packet::{Frame, Packet},
    },
};
use std::net::IpAddr;

/// Gives a packet that leaves its public source address; without one it cannot leave. Of IPv6, all
/// of the port's own addresses are public.
pub fn outward(port: &Port, packet: &mut Packet, frame: &mut Frame<'_>) -> Result<(), Reason> {
    let IpAddr::V4(private) = packet.src else {
        return if port.owns(packet.src) { Ok(()) } else { Err(Reason::NoPublicAddress) };
    };
    let public = port.public_of(private).ok_or(Reason::NoPublicAddress)?;
    packet.set_source(frame, public);
    Ok(())
}
