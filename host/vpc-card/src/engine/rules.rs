//! A group's rules, compiled: looked up by protocol, port and the other end's address.
//!
//! For TCP and UDP, rules of the same ports are one class, whose blocks are merged into ranges of
//! addresses. The ports' numbers are cut where a class begins or ends, and each span names the
//! classes that hold in it. A lookup is two binary searches, however many rules there are.

use super::packet::{ICMP, ICMP6, TCP, UDP};
use contracts::network::{self, Peer, Rule, Traffic};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};
use types::SecurityGroupId;

/// The addresses of a group's members.
pub type Members = Arc<HashSet<IpAddr>>;

/// What is asked of rules.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// IP protocol.
    pub protocol: u8,
    /// Destination port of TCP and UDP.
    pub port: u16,
    /// ICMP's type and code.
    pub icmp: (u8, u8),
    /// The other end.
    pub peer: IpAddr,
}

/// The answer of rules that allow a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// A rule for all addresses (0.0.0.0/0 or ::/0) allows it.
    pub any_peer: bool,
}

/// Other ends of rules for the same traffic.
#[derive(Debug, Default)]
struct Peers {
    /// All addresses of a family: IPv4's, IPv6's.
    any: [bool; 2],
    /// First and last address, in order; they don't overlap.
    ranges: Vec<(IpAddr, IpAddr)>,
    members: Vec<Members>,
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

impl Peers {
    fn add(&mut self, peer: Peer, members: &HashMap<SecurityGroupId, Members>) {
        match peer {
            Peer::Cidr(net) if net.prefix_len() == 0 => self.any[family(net.network())] = true,
            Peer::Cidr(net) => self.ranges.push((net.network(), net.broadcast())),
            Peer::Group(id) => self.members.extend(members.get(&id).cloned()),
        }
    }

    /// Merges the ranges.
    fn finish(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, kept| {
            let overlaps = next.0 <= kept.1;
            if overlaps {
                kept.1 = kept.1.max(next.1);
            }
            overlaps
        });
    }

    fn allow(&self, peer: IpAddr) -> Option<Allowed> {
        if self.any[family(peer)] {
            return Some(Allowed { any_peer: true });
        }
        let after = self.ranges.partition_point(|&(first, _)| first <= peer);
        let within = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        let found = within.is_some_and(|&(_, last)| peer <= last)
            || self.members.iter().any(|members| members.contains(&peer));
        found.then_some(Allowed { any_peer: false })
    }
}

/// The rules for a protocol with ports.
#[derive(Debug, Default)]
struct ByPort {
    /// First port of each span, in order, and the classes that hold in it.
    spans: Vec<(u16, Box<[u32]>)>,
    classes: Vec<((u16, u16), Peers)>,
    /// Which families' addresses all may be reached at all ports.
    all: [bool; 2],
}

impl ByPort {
    fn new(
        rules: &[Rule],
        members: &HashMap<SecurityGroupId, Members>,
        ports: impl Fn(Traffic) -> Option<(u16, u16)>,
    ) -> Self {
        let mut classes: BTreeMap<(u16, u16), Peers> = BTreeMap::new();
        let mut all = [false; 2];
        for rule in rules {
            let Some((from, to)) = ports(rule.traffic).filter(|(from, to)| from <= to) else {
                continue;
            };
            if let Peer::Cidr(net) = rule.peer
                && from <= 1
                && to == u16::MAX
                && net.prefix_len() == 0
            {
                all[family(net.network())] = true;
            }
            classes.entry((from, to)).or_default().add(rule.peer, members);
        }
        let mut changes: BTreeMap<u16, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
        for (&(from, to), class) in classes.keys().zip(0_u32..) {
            changes.entry(from).or_default().0.push(class);
            if let Some(after) = to.checked_add(1) {
                changes.entry(after).or_default().1.push(class);
            }
        }
        let mut now: Vec<u32> = Vec::new();
        let mut spans = Vec::with_capacity(changes.len());
        for (port, (begin, end)) in changes {
            now.retain(|class| !end.contains(class));
            now.extend(begin);
            spans.push((port, now.clone().into_boxed_slice()));
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.iter_mut().for_each(|(_, peers)| peers.finish());
        Self { spans, classes, all }
    }

    /// The ports that somebody may reach, as the rules name them.
    fn open_to(&self, peer: IpAddr) -> impl Iterator<Item = (u16, u16)> {
        let classes = self.classes.iter();
        classes.filter(move |(_, peers)| peers.allow(peer).is_some()).map(|(ports, _)| *ports)
    }

    fn allow(&self, port: u16, peer: IpAddr) -> Option<Allowed> {
        let after = self.spans.partition_point(|&(first, _)| first <= port);
        let (_, classes) = self.spans.get(after.checked_sub(1)?)?;
        let mut answer = None;
        for &class in classes {
            let peers = usize::try_from(class).ok().and_then(|class| self.classes.get(class));
            match peers.and_then(|(_, peers)| peers.allow(peer)) {
                Some(Allowed { any_peer: true }) => return Some(Allowed { any_peer: true }),
                Some(allowed) => answer = Some(allowed),
                None => {}
            }
        }
        answer
    }
}

/// One direction's rules.
#[derive(Debug, Default)]
struct Side {
    tcp: ByPort,
    udp: ByPort,
    /// Rules for other protocols.
    others: Vec<(Traffic, Peers)>,
}

impl Side {
    fn new(rules: &[Rule], members: &HashMap<SecurityGroupId, Members>) -> Self {
        let tcp = |traffic| match traffic {
            Traffic::Tcp { from, to } => Some((from, to)),
            Traffic::All | Traffic::Protocol(TCP) => Some((0, u16::MAX)),
            Traffic::Udp { .. }
            | Traffic::Icmp { .. }
            | Traffic::Icmp6 { .. }
            | Traffic::Protocol(_) => None,
        };
        let udp = |traffic| match traffic {
            Traffic::Udp { from, to } => Some((from, to)),
            Traffic::All | Traffic::Protocol(UDP) => Some((0, u16::MAX)),
            Traffic::Tcp { .. }
            | Traffic::Icmp { .. }
            | Traffic::Icmp6 { .. }
            | Traffic::Protocol(_) => None,
        };
        let mut others: Vec<(Traffic, Peers)> = Vec::new();
        for rule in rules {
            if matches!(rule.traffic, Traffic::Tcp { .. } | Traffic::Udp { .. }) {
                continue;
            }
            let same = others.iter_mut().find(|(traffic, _)| *traffic == rule.traffic);
            match same {
                Some((_, peers)) => peers.add(rule.peer, members),
                None => {
                    let mut peers = Peers::default();
                    peers.add(rule.peer, members);
                    others.push((rule.traffic, peers));
                }
            }
        }
        others.iter_mut().for_each(|(_, peers)| peers.finish());
        let (tcp, udp) = (ByPort::new(rules, members, tcp), ByPort::new(rules, members, udp));
        Self { tcp, udp, others }
    }

    fn allow(&self, question: &Question) -> Option<Allowed> {
        match question.protocol {
            TCP => return self.tcp.allow(question.port, question.peer),
            UDP => return self.udp.allow(question.port, question.peer),
            _ => {}
        }
        let mut answer = None;
        for (traffic, peers) in &self.others {
            if !matches(*traffic, question) {
                continue;
            }
            match peers.allow(question.peer) {
                Some(Allowed { any_peer: true }) => return Some(Allowed { any_peer: true }),
                Some(allowed) => answer = Some(allowed),
                None => {}
            }
        }
        answer
    }

    fn allow_all(&self, protocol: u8, peer: IpAddr) -> bool {
        match protocol {
            TCP => self.tcp.all[family(peer)],
            UDP => self.udp.all[family(peer)],
            _ => self.others.iter().any(|(traffic, peers)| {
                let all = match traffic {
                    Traffic::All => true,
                    Traffic::Protocol(number) => *number == protocol,
                    Traffic::Tcp { .. }
                    | Traffic::Udp { .. }
                    | Traffic::Icmp { .. }
                    | Traffic::Icmp6 { .. } => false,
                };
                all && peers.any[family(peer)]
            }),
        }
    }
}

/// One group's rules with group references resolved.
#[derive(Debug, Default)]
pub struct Rules {
    ingress: Side,
    egress: Side,
}

impl Rules {
    /// Compiles a group's rules.
    #[must_use]
    pub fn new(group: &network::Group, members: &HashMap<SecurityGroupId, Members>) -> Self {
        Self {
            ingress: Side::new(&group.ingress, members),
            egress: Side::new(&group.egress, members),
        }
    }

    fn side(&self, ingress: bool) -> &Side {
        if ingress { &self.ingress } else { &self.egress }
    }

    /// Whether a rule allows it.
    #[must_use]
    pub fn allow(&self, ingress: bool, question: &Question) -> Option<Allowed> {
        self.side(ingress).allow(question)
    }

    /// What TCP and UDP may come in from somebody.
    pub fn open_to(&self, peer: IpAddr) -> impl Iterator<Item = Traffic> {
        let tcp = self.ingress.tcp.open_to(peer).map(|(from, to)| Traffic::Tcp { from, to });
        tcp.chain(self.ingress.udp.open_to(peer).map(|(from, to)| Traffic::Udp { from, to }))
    }

    /// Whether a rule allows all of a protocol to or from all addresses of the peer's family.
    #[must_use]
    pub fn allow_all(&self, ingress: bool, protocol: u8, peer: IpAddr) -> bool {
        self.side(ingress).allow_all(protocol, peer)
    }
}

/// All groups' rules and members, compiled.
#[derive(Debug, Default)]
pub struct Compiled {
    members: HashMap<SecurityGroupId, Members>,
    rules: HashMap<SecurityGroupId, Arc<Rules>>,
}

impl Compiled {
    /// A group's rules.
    #[must_use]
    pub fn rules(&self, id: SecurityGroupId) -> Option<Arc<Rules>> {
        self.rules.get(&id).cloned()
    }

    /// Compiles what a change of these groups concerns: their own rules, and those that refer to
    /// them if their members changed.
    pub fn update(
        &mut self,
        groups: &HashMap<SecurityGroupId, network::Group>,
        changed: &HashSet<SecurityGroupId>,
    ) {
        let mut moved = HashSet::new();
        for id in changed {
            let new: Option<HashSet<IpAddr>> =
                groups.get(id).map(|group| group.members.iter().copied().collect());
            if new.as_ref() == self.members.get(id).map(|members| &**members) {
                continue;
            }
            moved.insert(*id);
            match new {
                Some(members) => drop(self.members.insert(*id, Arc::new(members))),
                None => drop(self.members.remove(id)),
            }
        }
        self.rules.retain(|id, _| groups.contains_key(id));
        for (id, group) in groups {
            let mut rules = group.ingress.iter().chain(&group.egress);
            let concerned = changed.contains(id)
                || rules.any(|rule| matches!(rule.peer, Peer::Group(id) if moved.contains(&id)));
            if concerned {
                self.rules.insert(*id, Arc::new(Rules::new(group, &self.members)));
            }
        }
    }
}

/// Whether traffic is of this kind.
#[must_use]
pub fn matches(traffic: Traffic, question: &Question) -> bool {
    let Question { protocol, port, icmp, .. } = *question;
    match traffic {
        Traffic::All => true,
        Traffic::Tcp { from, to } => protocol == TCP && (from..=to).contains(&port),
        Traffic::Udp { from, to } => protocol == UDP && (from..=to).contains(&port),
        Traffic::Icmp { kind, code } | Traffic::Icmp6 { kind, code } => {
            protocol == (if matches!(traffic, Traffic::Icmp { .. }) { ICMP } else { ICMP6 })
                && kind.is_none_or(|kind| kind == icmp.0)
                && code.is_none_or(|code| code == icmp.1)
        }
        Traffic::Protocol(number) => protocol == number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::{IpNet, ResourceId as _};

    /// The rules one by one.
    fn one_by_one(
        rules: &[Rule],
        members: &HashMap<SecurityGroupId, Members>,
        question: &Question,
    ) -> Option<Allowed> {
        let mut answer = None;
        for rule in rules.iter().filter(|rule| matches(rule.traffic, question)) {
            let (within, any) = match rule.peer {
                Peer::Cidr(net) => (net.contains(&question.peer), net.prefix_len() == 0),
                Peer::Group(id) => {
                    (members.get(&id).is_some_and(|m| m.contains(&question.peer)), false)
                }
            };
            if within {
                let before = answer.is_some_and(|Allowed { any_peer }| any_peer);
                answer = Some(Allowed { any_peer: any || before });
            }
        }
        answer
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..4_u8, 0..8_u8).prop_map(|(a, b)| IpAddr::from([10, 0, a, b])),
            (0..4_u16, 0..8_u16).prop_map(|(a, b)| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, a, b])),
        ]
    }

    fn peer() -> impl Strategy<Value = Peer> {
        let net = (address(), 0..=128_u8).prop_map(|(address, len)| {
            let most = if address.is_ipv6() { 128 } else { 32 };
            let len = if len % 5 == 0 { 0 } else { most - len % 12 };
            Peer::Cidr(IpNet::new(address, len).expect("a prefix").trunc())
        });
        let group = (0..3_u64).prop_map(|id| Peer::Group(SecurityGroupId::from_number(id)));
        prop_oneof![4 => net, 1 => group]
    }

    fn traffic() -> impl Strategy<Value = Traffic> {
        let port = || prop_oneof![0..6_u16, 65_530..=65_535_u16];
        prop_oneof![
            Just(Traffic::All),
            (port(), port()).prop_map(|(from, to)| Traffic::Tcp { from, to }),
            (port(), port()).prop_map(|(from, to)| Traffic::Udp { from, to }),
            (any::<bool>(), any::<bool>(), 0..2_u8)
                .prop_map(|(k, c, n)| Traffic::Icmp { kind: k.then_some(n), code: c.then_some(n) }),
            (0..2_u8).prop_map(|n| Traffic::Icmp6 { kind: Some(n), code: None }),
            prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(47)].prop_map(Traffic::Protocol),
        ]
    }

    proptest! {
        #[test]
        fn compiled_rules_answer_as_one_by_one(
            rules in prop::collection::vec((traffic(), peer()), 0..12),
            held in prop::collection::vec((0..2_u64, address()), 0..8),
            questions in prop::collection::vec(
                (prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(ICMP6), Just(47)],
                 prop_oneof![0..7_u16, 65_529..=65_535_u16], (0..2_u8, 0..2_u8), address()), 1..40),
        ) {
            let rules: Vec<Rule> =
                rules.into_iter().map(|(traffic, peer)| Rule { traffic, peer }).collect();
            let mut members: HashMap<SecurityGroupId, HashSet<IpAddr>> = HashMap::new();
            for (id, address) in held {
                members.entry(SecurityGroupId::from_number(id)).or_default().insert(address);
            }
            let members = members.into_iter().map(|(id, held)| (id, Arc::new(held))).collect();
            let side = Side::new(&rules, &members);
            for (protocol, port, icmp, peer) in questions {
                let question = Question { protocol, port, icmp, peer };
                prop_assert_eq!(side.allow(&question), one_by_one(&rules, &members, &question));
                let all = rules.iter().any(|rule| {
                    let all_tcp = matches!(rule.traffic, Traffic::Tcp { from: 0..=1, to: u16::MAX });
                    let all_udp = matches!(rule.traffic, Traffic::Udp { from: 0..=1, to: u16::MAX });
                    let traffic = rule.traffic == Traffic::All
                        || rule.traffic == Traffic::Protocol(protocol)
                        || (all_tcp && protocol == TCP)
                        || (all_udp && protocol == UDP);
                    let any = |net: IpNet| net.prefix_len() == 0 && net.contains(&peer);
                    traffic && matches!(rule.peer, Peer::Cidr(net) if any(net))
                });
                prop_assert_eq!(side.allow_all(protocol, peer), all);
            }
        }
    }
}
