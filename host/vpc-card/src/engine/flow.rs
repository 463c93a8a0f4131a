//! The flows that a port's stateful filter follows.

use super::{
    packet::{ACK, FIN, ICMP, ICMP6, Packet, RST, SYN, TCP, UDP},
    table::{Place, Table},
};
use std::{collections::VecDeque, net::IpAddr};

/// Flows that one port may have if its configuration says nothing else; more are refused.
pub const MAX_FLOWS: usize = 65_536;
/// Datagrams in fragments that one port may have under way.
const MAX_FRAGMENTED: usize = 256;
/// How long a datagram's fragments may take, in ms.
const FRAGMENT_MS: u64 = 30_000;

/// Idle times after which a flow is forgotten, in seconds: AWS's defaults for connection tracking,
/// and shorter ones for what begins or ends.
const TCP_OPENING: u32 = 60;
const TCP_ESTABLISHED: u32 = 432_000;
const TCP_CLOSING: u32 = 60;
const UDP_SINGLE: u32 = 30;
const UDP_STREAM: u32 = 180;
const ICMP_IDLE: u32 = 30;
const OTHER_IDLE: u32 = 600;
/// Under pressure, a flow that nobody answered for so long gives way.
const UNANSWERED: u32 = 5;

/// Direction of a packet as its port sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the guest.
    Ingress,
    /// From the guest.
    Egress,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// A flow's identity as its port sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    protocol: u8,
}

impl FlowKey {
    /// The flow of a packet in this direction.
    #[must_use]
    pub fn of(packet: &Packet, direction: Direction) -> Self {
        let source = (packet.src, packet.ports.0);
        let destination = (packet.dst, packet.ports.1);
        let (local, remote) = match direction {
            Direction::Ingress => (destination, source),
            Direction::Egress => (source, destination),
        };
        Self { local, remote, protocol: packet.protocol }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Established,
    /// A FIN from one side or both, or a reset.
    Closing {
        egress: bool,
        ingress: bool,
    },
}

/// A flow that began as the rules allowed, and whose packets pass until it is idle.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Direction of its first packet.
    pub began: Direction,
    phase: Phase,
    /// Changes of direction seen: two are a question and an answer, more are a stream.
    turns: u8,
    last: Direction,
    /// When the last packet passed, in seconds.
    seen: u32,
}

impl Flow {
    /// Notes a packet.
    fn touch(&mut self, packet: &Packet, direction: Direction, now: u32) {
        self.seen = now;
        if direction != self.last {
            self.last = direction;
            self.turns = self.turns.saturating_add(1);
        }
        if packet.protocol != TCP {
            return;
        }
        let egress = direction == Direction::Egress;
        self.phase = match self.phase {
            // Who guesses a port may send a reset: it shortens an idle flow's life, no more.
            _ if packet.flags & RST != 0 => Phase::Closing { egress: true, ingress: true },
            Phase::Closing { egress: e, ingress: i } if packet.flags & FIN != 0 => {
                Phase::Closing { egress: e || egress, ingress: i || !egress }
            }
            _ if packet.flags & FIN != 0 => Phase::Closing { egress, ingress: !egress },
            Phase::Opening if self.turns > 0 && packet.flags & (SYN | ACK) == ACK => {
                Phase::Established
            }
            phase @ (Phase::Opening | Phase::Established | Phase::Closing { .. }) => phase,
        };
    }

    fn idle_limit(&self, protocol: u8) -> u32 {
        match (protocol, self.phase) {
            (TCP, Phase::Opening) => TCP_OPENING,
            (TCP, Phase::Closing { egress: true, ingress: true }) => TCP_CLOSING,
            // A half-closed connection may still carry data one way.
            (TCP, _) => TCP_ESTABLISHED,
            (UDP, _) if self.turns > 2 => UDP_STREAM,
            (UDP, _) => UDP_SINGLE,
            (ICMP | ICMP6, _) => ICMP_IDLE,
            _ => OTHER_IDLE,
        }
    }

    fn expired(&self, protocol: u8, now: u32) -> bool {
        now.saturating_sub(self.seen) > self.idle_limit(protocol)
    }
}

/// The flows of one port.
#[derive(Debug)]
pub struct FlowTable {
    flows: Table<FlowKey, Flow>,
    /// Flows that it may have.
    limit: usize,
    /// When it was last cleaned, in seconds.
    cleaned: u32,
}

impl Default for FlowTable {
    fn default() -> Self {
        Self { flows: Table::default(), limit: MAX_FLOWS, cleaned: 0 }
    }
}

impl FlowTable {
    /// Sets how many flows it may have; those that there are stay.
    pub fn limit(&mut self, flows: Option<u32>) {
        self.limit = flows.and_then(|flows| usize::try_from(flows).ok()).unwrap_or(MAX_FLOWS);
    }

    /// The flow that this packet belongs to, noting the packet if `accept` says so.
    pub fn follow(
        &mut self,
        packet: &Packet,
        direction: Direction,
        now: u32,
        accept: impl FnOnce(&Flow) -> bool,
    ) -> bool {
        let key = FlowKey::of(packet, direction);
        let Some(flow) = self.flows.get_mut(&key) else { return false };
        if flow.expired(key.protocol, now) {
            self.flows.remove(&key);
            return false;
        }
        if !accept(flow) {
            return false;
        }
        flow.touch(packet, direction, now);
        true
    }

    /// Where the packet's flow is, if there is one.
    #[must_use]
    pub fn place(&self, packet: &Packet, direction: Direction) -> Option<Place> {
        self.flows.place(&FlowKey::of(packet, direction))
    }

    /// Notes one more packet of the flow at a place; false if it is no longer there.
    pub fn pass(&mut self, place: Place, packet: &Packet, direction: Direction, now: u32) -> bool {
        let Some((key, flow)) = self.flows.at(place) else { return false };
        if flow.expired(key.protocol, now) {
            return false;
        }
        flow.touch(packet, direction, now);
        true
    }

    /// Whether there is such a flow.
    #[must_use]
    pub fn contains(&self, packet: &Packet, direction: Direction, now: u32) -> bool {
        let key = FlowKey::of(packet, direction);
        self.flows.get(&key).is_some_and(|flow| !flow.expired(key.protocol, now))
    }

    /// Begins a flow; false if the table is full.
    ///
    /// A full table is first cleaned of idle flows and of those that nobody answered, but not
    /// more than once a second, so that a flood of new flows costs little.
    pub fn begin(&mut self, packet: &Packet, direction: Direction, now: u32) -> bool {
        let key = FlowKey::of(packet, direction);
        if self.flows.len() >= self.limit && !self.flows.contains_key(&key) {
            if self.cleaned == now {
                return false;
            }
            self.clean(now);
            self.flows.retain(|_, flow| flow.turns > 0 || now - flow.seen.min(now) <= UNANSWERED);
            if self.flows.len() >= self.limit {
                return false;
            }
        }
        let opening = packet.protocol == TCP && packet.flags & SYN != 0;
        let phase = if opening { Phase::Opening } else { Phase::Established };
        let flow = Flow { began: direction, phase, turns: 0, last: direction, seen: now };
        self.flows.insert(key, flow);
        true
    }

    /// Forgets the packet's flow.
    pub fn forget(&mut self, packet: &Packet, direction: Direction) {
        self.flows.remove(&FlowKey::of(packet, direction));
    }

    /// Forgets idle flows.
    pub fn clean(&mut self, now: u32) {
        self.cleaned = now;
        self.flows.retain(|key, flow| !flow.expired(key.protocol, now));
        if self.flows.len() < self.flows.capacity() / 4 {
            self.flows.shrink_to_fit();
        }
    }

    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }
}

/// The ports that first fragments told, for the fragments after them.
#[derive(Debug, Default)]
pub struct FragmentTable {
    entries: VecDeque<FragmentEntry>,
}

#[derive(Debug)]
struct FragmentEntry {
    key: (IpAddr, IpAddr, u8, u32),
    /// What the first fragment is of, and how much of the datagram it has.
    protocol: u8,
    ports: (u16, u16),
    icmp: (u8, u8),
    end: u16,
    until: u64,
}

impl FragmentTable {
    /// Notes a first fragment, or gives a later one its ports; false if it has none, or would
    /// overwrite the first.
    pub fn resolve(&mut self, packet: &mut Packet, now: u64) -> bool {
        use super::packet::Fragment;
        // Of IPv6 fragments, only the first one tells what they are of.
        let protocol = if packet.src.is_ipv6() { 0 } else { packet.protocol };
        let key = (packet.src, packet.dst, protocol, packet.id);
        match packet.fragment {
            Fragment::Whole => true,
            Fragment::First => {
                self.entries.retain(|entry| entry.key != key && entry.until > now);
                if self.entries.len() >= MAX_FRAGMENTED {
                    self.entries.pop_front();
                }
                let (protocol, ports, icmp) = (packet.protocol, packet.ports, packet.icmp);
                let (end, until) = (packet.part.1, now + FRAGMENT_MS);
                let entry = FragmentEntry { key, protocol, ports, icmp, end, until };
                self.entries.push_back(entry);
                true
            }
            Fragment::Later => {
                let found = self.entries.iter().find(|e| e.key == key && e.until > now);
                if let Some(entry) = found {
                    packet.protocol = entry.protocol;
                    packet.ports = entry.ports;
                    packet.icmp = entry.icmp;
                }
                found.is_some_and(|entry| packet.part.0 >= entry.end)
            }
        }
    }
}
