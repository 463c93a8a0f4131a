//! NAT gateways: many inner addresses behind a gateway's own, each flow by a port of its own.
//!
//! A flow is translated as long as packets of it pass, and answers come in from its destination
//! only. A card that was started again knows no flows: for the time in which they would have lived
//! on, packets from inside take theirs up, and get the same port. Later, TCP in the middle of an
//! unknown connection is answered with a reset, as AWS's gateways do, so that its sender knows.

mod reset;
mod siphash;
pub mod table;

pub use reset::reset;

use crate::{
    counters::{Counters, Reason},
    engine::{
        packet::{
            ACK, End, FIN, Fragment, Frame, ICMP, Packet, RST, SYN, TCP, UDP, ipv4, is_icmp_error,
        },
        seconds,
    },
};
use contracts::network;
use std::{collections::BTreeMap, net::Ipv4Addr};
use table::{Event, Flow, IDLE, Outside, Refused, Table};

/// How long after the card's start unknown connections are taken up, in ms.
const TAKE_UP_MS: u64 = IDLE as u64 * 1000;

/// Packets and bytes that went one way.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    packets: u64,
    bytes: u64,
}

impl Passed {
    fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        let len = packet.end.saturating_sub(crate::engine::packet::ETHERNET);
        self.bytes += u64::try_from(len).unwrap_or_default();
    }
}

/// A gateway and what it remembers.
#[derive(Debug)]
pub struct Gateway {
    /// As it was configured.
    pub config: network::NatGateway,
    /// Its connections.
    pub table: Table,
    /// What it dropped.
    pub drops: Counters,
    from_source: Passed,
    to_destination: Passed,
    from_destination: Passed,
    to_source: Passed,
}

impl Gateway {
    /// A gateway without connections.
    #[must_use]
    pub fn new(config: network::NatGateway) -> Self {
        let mut gateway = Self {
            config: config.clone(),
            table: Table::default(),
            drops: Counters::default(),
            from_source: Passed::default(),
            to_destination: Passed::default(),
            from_destination: Passed::default(),
            to_source: Passed::default(),
        };
        gateway.configure(config);
        gateway
    }

    /// Changes its configuration; connections of addresses that stay go on.
    pub fn configure(&mut self, config: network::NatGateway) {
        let outside =
            |own: &network::NatAddress| Outside { address: own.private, draining: own.draining };
        self.table.configure(config.port_key, config.addresses.iter().map(outside).collect());
        self.config = config;
    }

    /// The public address of one of its own.
    #[must_use]
    pub fn public_of(&self, private: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = self.config.addresses.iter().find(|own| own.private == private)?;
        own.public
    }

    /// Translates a packet from inside.
    ///
    /// # Errors
    /// It is no packet that gateways translate, or of no connection that is known or may begin.
    pub fn outward(
        &mut self,
        packet: &mut Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<(), Reason> {
        self.from_source.add(packet);
        let (src, dst) = ends(packet)?;
        let later = packet.fragment == Fragment::Later;
        if packet.protocol == ICMP && is_icmp_error(packet.icmp.0) {
            let quoted = packet.quoted(frame).ok_or(Reason::NatUnknown)?;
            let inner = flow(&quoted, End::Destination)?;
            let outside = self.table.outside_of(&inner, seconds(now)).ok_or(Reason::NatUnknown)?;
            packet.set_quoted_end(frame, End::Destination, outside);
            packet.set_source(frame, outside.0);
        } else {
            let event = event(packet, 8)?;
            let (tcp, take_up) = (packet.protocol == TCP, now < TAKE_UP_MS);
            let inner = flow(packet, End::Source)?;
            let found = self.table.outward(inner, event, tcp, take_up, seconds(now));
            let outside = found.map_err(|refused| match refused {
                Refused::Unknown => Reason::NatUnknown,
                Refused::Ports => Reason::NatPorts,
                Refused::Full => Reason::NatFull,
            })?;
            if later || packet.fragment == Fragment::First {
                // Two inner hosts may number their datagrams alike.
                let [.., a, b] = packet.id.to_be_bytes();
                let id = u16::from_be_bytes([a, b]).wrapping_add(self.table.fragment_offset(src));
                packet.set_id(frame, id);
            }
            packet.set_end(frame, End::Source, outside);
        }
        debug_assert_eq!(ipv4(packet.dst), Some(dst));
        self.to_destination.add(packet);
        Ok(())
    }

    /// Translates a packet to one of its addresses.
    ///
    /// # Errors
    /// It is of no connection that is known.
    pub fn inward(
        &mut self,
        packet: &mut Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<(), Reason> {
        self.from_destination.add(packet);
        if packet.protocol == ICMP && is_icmp_error(packet.icmp.0) {
            let quoted = packet.quoted(frame).ok_or(Reason::NatUnknown)?;
            let outer = flow(&quoted, End::Source)?;
            let inside = self.table.inside_of(&outer, seconds(now)).ok_or(Reason::NatUnknown)?;
            packet.set_quoted_end(frame, End::Source, inside);
            packet.set_destination(frame, inside.0);
        } else {
            let event = event(packet, 0)?;
            let outer = flow(packet, End::Destination)?;
            let found = self.table.inward(outer, event, seconds(now));
            let inside = found.map_err(|_| Reason::NatUnknown)?;
            packet.set_end(frame, End::Destination, inside);
        }
        self.to_source.add(packet);
        Ok(())
    }

    /// Its counters, by the names of CloudWatch's metrics of NAT gateways.
    #[must_use]
    pub fn report(&self) -> BTreeMap<String, u64> {
        let counts = self.table.counts;
        let connections = u64::try_from(self.table.len()).unwrap_or_default();
        let mut report: BTreeMap<_, _> = self.drops.report();
        report.retain(|name, _| name.starts_with("drop_"));
        let dropped = report.values().sum();
        let own = [
            ("active_connection_count", connections),
            ("bytes_in_from_destination", self.from_destination.bytes),
            ("bytes_in_from_source", self.from_source.bytes),
            ("bytes_out_to_destination", self.to_destination.bytes),
            ("bytes_out_to_source", self.to_source.bytes),
            ("connection_attempt_count", counts.attempts),
            ("connection_established_count", counts.established),
            ("error_port_allocation", counts.no_port),
            ("idle_timeout_count", counts.idle),
            ("packets_drop_count", dropped),
            ("packets_in_from_destination", self.from_destination.packets),
            ("packets_in_from_source", self.from_source.packets),
            ("packets_out_to_destination", self.to_destination.packets),
            ("packets_out_to_source", self.to_source.packets),
        ];
        report.extend(own.map(|(name, count)| (name.to_owned(), count)));
        report
    }
}

fn ends(packet: &Packet) -> Result<(Ipv4Addr, Ipv4Addr), Reason> {
    let ends = ipv4(packet.src).zip(ipv4(packet.dst));
    ends.ok_or(Reason::NatProtocol)
}

/// The flow of a packet of which this end is the gateway's side.
fn flow(packet: &Packet, local: End) -> Result<Flow, Reason> {
    let (src, dst) = ends(packet)?;
    let (source, destination) = ((src, packet.ports.0), (dst, packet.ports.1));
    let (local, mut remote) = match local {
        End::Source => (source, destination),
        End::Destination => (destination, source),
    };
    if packet.protocol == ICMP {
        remote.1 = 0;
    }
    Ok(Flow { local, remote, protocol: packet.protocol })
}

/// What a packet is to its connection; of ICMP, echoes of this type pass.
fn event(packet: &Packet, echo: u8) -> Result<Event, Reason> {
    match packet.protocol {
        TCP if packet.flags & RST != 0 => Ok(Event::Reset),
        TCP if packet.flags & (SYN | ACK) == SYN => Ok(Event::Begin),
        TCP if packet.flags & FIN != 0 => Ok(Event::Finish),
        TCP => Ok(Event::Within),
        UDP => Ok(Event::Begin),
        ICMP if packet.icmp.0 == echo => Ok(Event::Begin),
        _ => Err(Reason::NatProtocol),
    }
}
