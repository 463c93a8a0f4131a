//! The flows of one NAT gateway: which address and port stand for whom, towards whom.
//!
//! A flow's port follows from a keyed hash of the flow, so that a card that was started again, and
//! knows no flow, gives it the same one; only where two flows met at one port the later one gets
//! another, which depends on their order.

use super::siphash::hash;
use std::{collections::HashMap, net::Ipv4Addr};

/// Connections that one address of a gateway may have with one destination (address, port and
/// protocol): AWS's limit.
pub const MAX_TO_DESTINATION: u32 = 55_000;
/// Connections that one gateway may have in all.
pub const MAX_CONNECTIONS: usize = 262_144;
/// The first port of those that gateways use, to 65535.
pub const FIRST_PORT: u16 = 1024;
/// How many those are.
const PORTS: u64 = 64_512;

/// Seconds without a packet after which a connection is forgotten: AWS's.
pub const IDLE: u32 = 350;
/// The same for TCP that nobody has answered, and for TCP that both sides have ended.
const OPENING: u32 = 60;
const CLOSING: u32 = 60;

/// The two ends of a flow: `local` is the end on the gateway's side of what is asked about, inside
/// of the gateway or the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// Address and port; ICMP's identifier.
    pub local: (Ipv4Addr, u16),
    /// Address and port; 0 of ICMP.
    pub remote: (Ipv4Addr, u16),
    /// TCP, UDP or ICMP.
    pub protocol: u8,
}

/// What a packet is to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It may begin one: a SYN, a datagram, an echo request.
    Begin,
    /// It is within one.
    Within,
    /// It ends its sender's side.
    Finish,
    /// It ends both.
    Reset,
}

/// Why a flow gets no translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No connection is known that it could be within.
    Unknown,
    /// All ports towards its destination are taken.
    Ports,
    /// The gateway has as many connections as it may have.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// TCP that nobody answered.
    Opening,
    Open,
    /// Sides of TCP that have ended: the inner, the outer.
    Closing(bool, bool),
}

#[derive(Debug, Clone, Copy)]
struct Connection {
    /// The gateway's address and port.
    outside: (Ipv4Addr, u16),
    phase: Phase,
    /// Whether anything came back.
    answered: bool,
    /// When the last packet passed, in seconds.
    seen: u32,
}

impl Connection {
    fn expired(&self, now: u32) -> bool {
        let limit = match self.phase {
            Phase::Opening => OPENING,
            Phase::Closing(true, true) => CLOSING,
            // A half-closed connection may still carry bytes one way.
            Phase::Open | Phase::Closing(..) => IDLE,
        };
        now.saturating_sub(self.seen) >= limit
    }

    fn note(&mut self, event: Event, inner: bool, now: u32) {
        self.seen = now;
        self.phase = match (self.phase, event) {
            (_, Event::Reset) => Phase::Closing(true, true),
            (Phase::Closing(..), Event::Begin) if inner => Phase::Opening,
            (Phase::Closing(a, b), Event::Finish) => Phase::Closing(a || inner, b || !inner),
            (Phase::Opening | Phase::Open, Event::Finish) => Phase::Closing(inner, !inner),
            (Phase::Opening, Event::Begin | Event::Within) if !inner => Phase::Open,
            (phase, Event::Begin | Event::Within) => phase,
        };
    }
}

/// An address of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside {
    /// The address.
    pub address: Ipv4Addr,
    /// It is being taken away: no connection begins there.
    pub draining: bool,
}

/// What is counted of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were begun.
    pub attempts: u64,
    /// Of those, the ones that were answered.
    pub established: u64,
    /// Times that no port was free.
    pub no_port: u64,
    /// Connections that were forgotten because they were idle.
    pub idle: u64,
}

/// The connections of one gateway.
#[derive(Debug, Default)]
pub struct Table {
    key: (u64, u64),
    addresses: Vec<Outside>,
    /// By the flow as the inside knows it.
    inner: HashMap<Flow, Connection>,
    /// The inner end, by the flow as the outside knows it.
    outer: HashMap<Flow, (Ipv4Addr, u16)>,
    /// How many connections an address has with a destination.
    to_destination: HashMap<Destination, u32>,
    /// When it was last cleaned, in seconds.
    cleaned: u32,
    /// What was counted.
    pub counts: Counts,
}

type Destination = (Ipv4Addr, (Ipv4Addr, u16), u8);

const fn destination(outside: Ipv4Addr, flow: &Flow) -> Destination {
    (outside, flow.remote, flow.protocol)
}

impl Table {
    /// Sets the key of the hash and the gateway's addresses; connections of addresses that are gone are
    /// forgotten.
    pub fn configure(&mut self, key: (u64, u64), addresses: Vec<Outside>) {
        self.key = key;
        let had = |at: Ipv4Addr| addresses.iter().any(|own| own.address == at);
        if self.addresses.iter().any(|own| !had(own.address)) {
            self.retain(|_, connection| had(connection.outside.0));
        }
        self.addresses = addresses;
    }

    /// The gateway's end of a flow from inside, which `tcp` says is TCP's; a connection begins if
    /// none is known and `event` or `take_up` allows it.
    ///
    /// # Errors
    /// None is known and none may begin.
    pub fn outward(
        &mut self,
        flow: Flow,
        event: Event,
        tcp: bool,
        take_up: bool,
        now: u32,
    ) -> Result<(Ipv4Addr, u16), Refused> {
        if let Some(connection) = self.inner.get_mut(&flow) {
            if !connection.expired(now) {
                connection.note(event, true, now);
                return Ok(connection.outside);
            }
            self.forget(&flow);
            self.counts.idle += 1;
        }
        match event {
            Event::Begin => {}
            Event::Within | Event::Finish if take_up => {}
            Event::Within | Event::Finish | Event::Reset => return Err(Refused::Unknown),
        }
        self.counts.attempts += 1;
        let mut begun = self.begin(&flow, now);
        // What is idle gives way, but is not looked for more than once a second.
        if begun.is_err() && self.cleaned != now {
            self.clean(now);
            begun = self.begin(&flow, now);
        }
        if begun == Err(Refused::Ports) {
            self.counts.no_port += 1;
        }
        let outside = begun?;
        let opening = tcp && event == Event::Begin;
        let phase = if opening { Phase::Opening } else { Phase::Open };
        let connection = Connection { outside, phase, answered: false, seen: now };
        *self.to_destination.entry(destination(outside.0, &flow)).or_default() += 1;
        self.outer.insert(Flow { local: outside, ..flow }, flow.local);
        self.inner.insert(flow, connection);
        Ok(outside)
    }

    /// The inner end of a flow from outside.
    ///
    /// # Errors
    /// No connection is known that it could be within.
    pub fn inward(
        &mut self,
        flow: Flow,
        event: Event,
        now: u32,
    ) -> Result<(Ipv4Addr, u16), Refused> {
        let inside = *self.outer.get(&flow).ok_or(Refused::Unknown)?;
        let inner = Flow { local: inside, ..flow };
        let connection = self.inner.get_mut(&inner).ok_or(Refused::Unknown)?;
        if connection.expired(now) {
            self.forget(&inner);
            self.counts.idle += 1;
            return Err(Refused::Unknown);
        }
        connection.note(event, false, now);
        if !std::mem::replace(&mut connection.answered, true) {
            self.counts.established += 1;
        }
        Ok(inside)
    }

    /// The gateway's end of a flow that is known, as the inside knows it.
    #[must_use]
    pub fn outside_of(&self, flow: &Flow, now: u32) -> Option<(Ipv4Addr, u16)> {
        let connection = self.inner.get(flow).filter(|connection| !connection.expired(now))?;
        Some(connection.outside)
    }

    /// The inner end of a flow that is known, as the outside knows it.
    #[must_use]
    pub fn inside_of(&self, flow: &Flow, now: u32) -> Option<(Ipv4Addr, u16)> {
        let inside = *self.outer.get(flow)?;
        self.outside_of(&Flow { local: inside, ..*flow }, now).map(|_| inside)
    }

    /// A number that differs between inner addresses, for the identification of their fragments.
    #[must_use]
    pub fn fragment_offset(&self, inside: Ipv4Addr) -> u16 {
        let [a, b, ..] = hash(self.key, &[u64::from(u32::from(inside))]).to_be_bytes();
        u16::from_be_bytes([a, b])
    }

    /// Forgets idle connections.
    pub fn clean(&mut self, now: u32) {
        self.cleaned = now;
        let before = self.inner.len();
        self.retain(|_, connection| !connection.expired(now));
        let gone = before.saturating_sub(self.inner.len());
        self.counts.idle += u64::try_from(gone).unwrap_or_default();
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Finds an address and a port that no other flow to the same destination has.
    fn begin(&mut self, flow: &Flow, now: u32) -> Result<(Ipv4Addr, u16), Refused> {
        if self.inner.len() >= MAX_CONNECTIONS {
            return Err(Refused::Full);
        }
        let mut addresses: Vec<_> = self.addresses.iter().filter(|own| !own.draining).collect();
        let number = |own: &&Outside| self.number(flow, own.address);
        // The order is the flow's own, so that another address takes few flows from the others.
        addresses.sort_by_cached_key(|own| std::cmp::Reverse(number(own)));
        let addresses = addresses.into_iter().map(|own| own.address).collect::<Vec<_>>();
        for address in addresses {
            if let Some(port) = self.port(flow, address, now) {
                return Ok((address, port));
            }
        }
        Err(Refused::Ports)
    }

    fn number(&self, flow: &Flow, address: Ipv4Addr) -> u64 {
        let pair =
            |a: Ipv4Addr, b: Ipv4Addr| (u64::from(u32::from(a)) << 32) | u64::from(u32::from(b));
        let ports = (u64::from(flow.local.1) << 32) | (u64::from(flow.remote.1) << 8);
        let rest = ports | u64::from(flow.protocol);
        let remote = u64::from(u32::from(flow.remote.0));
        hash(self.key, &[pair(flow.local.0, address), remote, rest])
    }

    /// A port of an address: the one that the flow's hash gives, or the next free one in an order
    /// that the hash gives, too.
    fn port(&mut self, flow: &Flow, address: Ipv4Addr, now: u32) -> Option<u16> {
        let many = |table: &Self| {
            let count = table.to_destination.get(&destination(address, flow));
            count.is_some_and(|count| *count >= MAX_TO_DESTINATION)
        };
        if many(self) {
            return None;
        }
        let number = self.number(flow, address);
        let mut step = ((number >> 32) % PORTS) | 1;
        // PORTS is 2¹⁰ · 3² · 7: a step that shares no factor with it visits each port once.
        while step.is_multiple_of(3) || step.is_multiple_of(7) {
            step += 2;
        }
        let mut at = (number & u64::from(u32::MAX)) % PORTS;
        for _ in 0..PORTS {
            let port = FIRST_PORT + u16::try_from(at).unwrap_or_default();
            let outer = Flow { local: (address, port), ..*flow };
            let Some(inside) = self.outer.get(&outer) else { return Some(port) };
            let holder = Flow { local: *inside, ..*flow };
            if self.inner.get(&holder).is_none_or(|connection| connection.expired(now)) {
                self.forget(&holder);
                self.counts.idle += 1;
                return Some(port);
            }
            at = (at + step) % PORTS;
        }
        None
    }

    fn forget(&mut self, flow: &Flow) {
        if let Some(connection) = self.inner.remove(flow) {
            self.outer.remove(&Flow { local: connection.outside, ..*flow });
            self.uncount(destination(connection.outside.0, flow));
        }
    }

    fn uncount(&mut self, destination: Destination) {
        if let Some(count) = self.to_destination.get_mut(&destination) {
            *count -= 1;
            if *count == 0 {
                self.to_destination.remove(&destination);
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&Flow, &Connection) -> bool) {
        let gone: Vec<_> = self
            .inner
            .iter()
            .filter(|(flow, connection)| !keep(flow, connection))
            .map(|(flow, _)| *flow)
            .collect();
        gone.iter().for_each(|flow| self.forget(flow));
        if self.inner.len() < self.inner.capacity() / 4 {
            self.inner.shrink_to_fit();
            self.outer.shrink_to_fit();
            self.to_destination.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::packet::{ICMP, TCP, UDP};
    use proptest::prelude::*;
    use std::collections::HashSet;

    const KEY: (u64, u64) = (1, 2);

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn flow(host: u8, port: u16, to: u8) -> Flow {
        let remote = (Ipv4Addr::new(192, 0, 2, to), 443);
        Flow { local: (ip(host), port), remote, protocol: TCP }
    }

    fn table(addresses: &[u8]) -> Table {
        let mut table = Table::default();
        let outside = |&last: &u8| Outside { address: ip(last), draining: false };
        table.configure(KEY, addresses.iter().map(outside).collect());
        table
    }

    fn begin(table: &mut Table, flow: Flow, now: u32) -> Result<(Ipv4Addr, u16), Refused> {
        table.outward(flow, Event::Begin, flow.protocol == TCP, false, now)
    }

    fn answer(flow: Flow, outside: (Ipv4Addr, u16)) -> Flow {
        Flow { local: outside, ..flow }
    }

    #[test]
    fn a_connection_lives_until_it_is_idle_or_ended() {
        let mut table = table(&[200]);
        let one = flow(1, 4000, 1);
        let outside = begin(&mut table, one, 0).unwrap();
        assert_eq!(table.inward(answer(one, outside), Event::Within, 1), Ok(one.local));
        assert_eq!(table.outward(one, Event::Within, true, false, IDLE), Ok(outside));
        let late = 2 * IDLE;
        assert_eq!(table.inward(answer(one, outside), Event::Within, late), Err(Refused::Unknown));
        assert_eq!(table.outward(one, Event::Within, true, false, late), Err(Refused::Unknown));
        assert_eq!((table.len(), table.counts.idle), (0, 1));
        let outside = begin(&mut table, one, late).unwrap();
        table.inward(answer(one, outside), Event::Finish, late).unwrap();
        table.outward(one, Event::Finish, true, false, late).unwrap();
        table.clean(late + CLOSING);
        assert!(table.is_empty() && table.outer.is_empty() && table.to_destination.is_empty());
        // Nobody answers.
        begin(&mut table, one, late).unwrap();
        table.clean(late + OPENING);
        assert!(table.is_empty());
    }

    #[test]
    fn only_the_destination_can_answer() {
        let mut table = table(&[200]);
        let one = flow(1, 4000, 1);
        let outside = begin(&mut table, one, 0).unwrap();
        for stranger in [
            Flow { remote: (Ipv4Addr::new(192, 0, 2, 2), 443), ..answer(one, outside) },
            Flow { remote: (one.remote.0, 444), ..answer(one, outside) },
            Flow { protocol: UDP, ..answer(one, outside) },
            answer(one, (outside.0, outside.1 ^ 1)),
        ] {
            assert_eq!(table.inward(stranger, Event::Within, 0), Err(Refused::Unknown));
        }
    }

    #[test]
    fn fifty_five_thousand_to_a_destination_from_each_address() {
        let mut table = table(&[200]);
        let flows = |to| {
            (0..=MAX_TO_DESTINATION).map(move |at| {
                let host = u8::try_from(at / 50_000).unwrap();
                flow(host, u16::try_from(at % 50_000).unwrap(), to)
            })
        };
        let mut seen = HashSet::new();
        let mut refused = 0;
        for one in flows(1) {
            match begin(&mut table, one, 0) {
                Ok(outside) => assert!(outside.1 >= FIRST_PORT && seen.insert(outside)),
                Err(why) => {
                    assert_eq!(why, Refused::Ports);
                    refused += 1;
                }
            }
        }
        assert_eq!((seen.len(), refused, table.counts.no_port), (55_000, 1, 1));
        // To another destination there is room, and by another address.
        begin(&mut table, flow(9, 9, 2), 0).unwrap();
        let outside = |last| Outside { address: ip(last), draining: false };
        table.configure(KEY, vec![outside(200), outside(201)]);
        assert_eq!(begin(&mut table, flow(9, 9, 1), 0).unwrap().0, ip(201));
        // When the connections have ended, their ports are free.
        assert!(begin(&mut table, flow(9, 10, 1), OPENING).is_ok());
        assert_eq!(table.counts.no_port, 1);
    }

    #[test]
    fn a_draining_address_keeps_what_it_has() {
        let mut table = table(&[200, 201]);
        let of = |table: &mut Table, last: u8, now| {
            (0..100)
                .filter(|&port| begin(table, flow(1, port, 1), now).unwrap().0 == ip(last))
                .count()
        };
        assert!((20..80).contains(&of(&mut table, 200, 0)));
        let own = |last, draining| Outside { address: ip(last), draining };
        table.configure(KEY, vec![own(200, false), own(201, true)]);
        assert!(of(&mut table, 201, 1) > 0, "as before");
        for port in 100..200 {
            assert_eq!(begin(&mut table, flow(1, port, 1), 1).unwrap().0, ip(200));
        }
        table.configure(KEY, vec![own(200, false)]);
        assert_eq!(of(&mut table, 200, 1), 100);
    }

    #[test]
    fn a_new_table_gives_the_same_ports() {
        let (mut before, mut after) = (table(&[200, 201, 202]), table(&[200, 201, 202]));
        let flows: Vec<_> = (0..500).map(|port| flow(1, port, 1)).collect();
        let had: Vec<_> = flows.iter().map(|f| begin(&mut before, *f, 0).unwrap()).collect();
        let mut same = 0;
        for (flow, had) in flows.iter().zip(&had).rev() {
            let event = Event::Within;
            assert_eq!(after.outward(*flow, event, true, false, 9), Err(Refused::Unknown));
            same += usize::from(after.outward(*flow, event, true, true, 9) == Ok(*had));
        }
        // But for those who met at one port, whose order was another.
        assert!(same >= 495, "{same}");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Out(u8, u16, u8, u8, Event),
        Back(usize, Event),
        Wait(u32),
        Clean,
        Addresses(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let event =
            prop::sample::select(vec![Event::Begin, Event::Within, Event::Finish, Event::Reset]);
        let protocol = prop::sample::select(vec![TCP, UDP, ICMP]);
        prop_oneof![
            8 => (0..4_u8, 0..6_u16, 0..3_u8, protocol, event.clone())
                .prop_map(|(host, port, to, protocol, event)| Step::Out(host, port, to, protocol, event)),
            6 => (any::<usize>(), event).prop_map(|(at, event)| Step::Back(at, event)),
            2 => (0..400_u32).prop_map(Step::Wait),
            1 => Just(Step::Clean),
            1 => any::<bool>().prop_map(Step::Addresses),
        ]
    }

    proptest! {
        #[test]
        fn no_two_flows_share_a_tuple_and_every_reply_comes_back(
            steps in prop::collection::vec(step(), 1..200)
        ) {
            let mut table = table(&[200]);
            let mut now = 0;
            let mut known: Vec<(Flow, (Ipv4Addr, u16))> = Vec::new();
            for step in steps {
                match step {
                    Step::Out(host, port, to, protocol, event) => {
                        let one = Flow { protocol, ..flow(host, port, to) };
                        if let Ok(outside) = table.outward(one, event, protocol == TCP, false, now) {
                            prop_assert!(outside.1 >= FIRST_PORT);
                            // Whoever has that tuple now is this flow.
                            prop_assert_eq!(table.inside_of(&answer(one, outside), now), Some(one.local));
                            known.push((one, outside));
                        }
                    }
                    Step::Back(at, event) if !known.is_empty() => {
                        let (one, outside) = known[at % known.len()];
                        if let Ok(inside) = table.inward(answer(one, outside), event, now) {
                            let live = Flow { local: inside, ..one };
                            prop_assert_eq!(table.outside_of(&live, now), Some(outside));
                            // The newest flow that was given this tuple is the one that gets it.
                            let newest = known.iter().rev().find(|(flow, out)| {
                                *out == outside && flow.remote == one.remote && flow.protocol == one.protocol
                            });
                            prop_assert_eq!(newest.map(|(flow, _)| flow.local), Some(inside));
                        }
                    }
                    Step::Back(..) => {}
                    Step::Wait(seconds) => now += seconds,
                    Step::Clean => table.clean(now),
                    Step::Addresses(second) => {
                        let own = |last| Outside { address: ip(last), draining: false };
                        let all = if second { vec![own(200), own(201)] } else { vec![own(200)] };
                        table.configure(KEY, all);
                    }
                }
                prop_assert_eq!(table.inner.len(), table.outer.len());
                let counted: u32 = table.to_destination.values().sum();
                prop_assert_eq!(usize::try_from(counted).unwrap(), table.inner.len());
                let tuples: HashSet<_> = table.inner.iter().map(|(f, c)| (c.outside, f.remote, f.protocol)).collect();
                prop_assert_eq!(tuples.len(), table.inner.len());
            }
        }
    }
}
