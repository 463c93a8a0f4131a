//! The fast path is nothing but faster: two engines get the same packets and configurations, one
//! repeats decisions and the other asks its layers each time, and nobody sees a difference.

use crate::{
    config::{ANY, POOL, eni, group, ip, net, patch, port, rule, sg, subnet},
    frames::{icmp, tcp, udp},
};
use contracts::{
    card::VpcPatch,
    network::{AclEntry, Peer, Route, RouteTarget, Rule, Traffic},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use vpc_card::engine::{
    Engine, PortIndex, Verdict,
    packet::{ACK, FIN, Frame, RST, SYN},
};

/// Who sends, and where to: indexes of these.
const HOSTS: [(u8, &str); 3] = [(1, "10.0.1.11"), (2, "10.0.2.12"), (3, "10.0.1.13")];
const PLACES: [&str; 8] = [
    "10.0.1.11",
    "10.0.2.12",
    "10.0.1.13",
    "198.18.0.11",
    "198.18.0.12",
    "192.0.2.1",
    "10.0.2.1",
    "10.9.9.9",
];
const PORTS: [u16; 3] = [22, 80, 4000];
const FLAGS: [u8; 7] = [ACK, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST];

#[derive(Debug, Clone)]
enum Change {
    /// The rules of a port's group: closed, by a block, by a group, open.
    Ingress(u8, u8),
    Egress(u8, u8),
    Acl(u8),
    Route(u8),
    Check(u8, bool),
    Public(bool),
    Nothing,
}

#[derive(Debug, Clone)]
enum Step {
    Tcp {
        from: usize,
        to: usize,
        ports: (usize, usize),
        flags: usize,
        ttl: u8,
        size: usize,
        df: bool,
    },
    Udp {
        from: usize,
        to: usize,
        ports: (usize, usize),
        ttl: u8,
        size: usize,
        partial: bool,
    },
    Icmp {
        from: usize,
        to: usize,
        kind: u8,
    },
    FromUplink {
        to: usize,
        ports: (usize, usize),
        flags: usize,
    },
    Wait(u64),
    Clean,
    Change(Change),
}

fn ports() -> impl Strategy<Value = (usize, usize)> {
    (0..PORTS.len(), 0..PORTS.len())
}

fn steps() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![Just(0_usize), Just(40), Just(1480), Just(3000)];
    let ttl = || prop_oneof![8 => Just(64_u8), 1 => Just(1), 1 => Just(2)];
    let change = prop_oneof![
        (0..3_u8, 0..5_u8).prop_map(|(port, how)| Change::Ingress(port, how)),
        (0..3_u8, 0..5_u8).prop_map(|(port, how)| Change::Egress(port, how)),
        (0..3_u8).prop_map(Change::Acl),
        (0..3_u8).prop_map(Change::Route),
        (0..3_u8, any::<bool>()).prop_map(|(port, check)| Change::Check(port, check)),
        any::<bool>().prop_map(Change::Public),
        Just(Change::Nothing),
    ];
    prop_oneof![
        20 => (0..3_usize, 0..8_usize, ports(), 0..FLAGS.len(), ttl(), size(), any::<bool>())
            .prop_map(|(from, to, ports, flags, ttl, size, df)| {
                Step::Tcp { from, to, ports, flags, ttl, size, df }
            }),
        20 => (0..3_usize, 0..8_usize, ports(), ttl(), size(), any::<bool>())
            .prop_map(|(from, to, ports, ttl, size, partial)| {
                Step::Udp { from, to, ports, ttl, size, partial }
            }),
        2 => (0..3_usize, 0..8_usize, prop_oneof![Just(8_u8), Just(0)])
            .prop_map(|(from, to, kind)| Step::Icmp { from, to, kind }),
        4 => (3..5_usize, ports(), 0..FLAGS.len())
            .prop_map(|(to, ports, flags)| Step::FromUplink { to, ports, flags }),
        3 => prop_oneof![Just(500_u64), Just(31_000), Just(61_000), Just(181_000)]
            .prop_map(Step::Wait),
        1 => Just(Step::Clean),
        3 => change.prop_map(Step::Change),
    ]
}

fn rules(how: u8) -> Vec<Rule> {
    match how {
        0 => Vec::new(),
        1 => vec![rule(Traffic::Tcp { from: 22, to: 80 }, "10.0.0.0/16")],
        2 => vec![
            Rule { traffic: Traffic::All, peer: Peer::Group(sg(3)) },
            rule(Traffic::Udp { from: 80, to: 80 }, "10.0.1.0/24"),
        ],
        3 => vec![rule(Traffic::Tcp { from: 22, to: 22 }, ANY)],
        _ => vec![rule(Traffic::All, ANY)],
    }
}

fn apply(change: &Change, sides: &mut BTreeMap<u8, (u8, u8)>) -> VpcPatch {
    let mut patch = VpcPatch::default();
    let mut regroup = |number: u8, ingress: Option<u8>, egress: Option<u8>| {
        let side = sides.entry(number).or_insert((4, 4));
        *side = (ingress.unwrap_or(side.0), egress.unwrap_or(side.1));
        let members: &[&str] = if number == 3 { &["10.0.1.13", "10.0.1.11"] } else { &[] };
        let mut group = group(u64::from(number), rules(side.0), members);
        group.egress = rules(side.1);
        patch.groups.push(group);
    };
    match *change {
        Change::Ingress(port, how) => regroup(port + 1, Some(how), None),
        Change::Egress(port, how) => regroup(port + 1, None, Some(how)),
        Change::Acl(how) => {
            let mut subnet = subnet(2, "10.0.2.0/24");
            if how > 0 {
                let traffic = Traffic::Udp { from: 80, to: 80 };
                let (egress, cidr) = (how > 1, net(ANY).into());
                subnet.acl.insert(0, AclEntry { number: 1, egress, allow: false, traffic, cidr });
            }
            patch.subnets.push(subnet);
        }
        Change::Route(how) => {
            let mut subnet = subnet(1, "10.0.1.0/24");
            let target = match how {
                0 => RouteTarget::Blackhole,
                1 => RouteTarget::Interface(eni(2)),
                _ => RouteTarget::Local,
            };
            subnet.routes.push(Route { destination: net("10.9.0.0/16").into(), target });
            patch.subnets.push(subnet);
        }
        Change::Check(at, check) => {
            let (number, address) = HOSTS[usize::from(at)];
            let public =
                (number < 3).then_some(if number == 1 { "198.18.0.11" } else { "198.18.0.12" });
            let mut port = port(number, if number == 2 { 2 } else { 1 }, address, public);
            port.port.source_dest_check = check;
            patch.ports.push(port);
        }
        Change::Public(has) => {
            patch.ports.push(port(1, 1, "10.0.1.11", has.then_some("198.18.0.11")));
        }
        Change::Nothing => {}
    }
    patch
}

/// Sets the time to live and what may not be fragmented, and the header's sum.
fn retouch(frame: &mut [u8], ttl: u8, df: bool) {
    frame[22] = ttl;
    frame[20] = if df { 0x40 } else { 0 };
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = vpc_card::engine::checksum::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

struct Both {
    fast: Engine,
    slow: Engine,
    now: u64,
}

impl Both {
    fn new() -> Self {
        let engine = || {
            let mut engine = Engine::new(net(POOL), ip("198.18.0.1"));
            engine.apply(VpcPatch::default(), 0);
            assert!(engine.apply(patch(), 0).is_empty());
            engine
        };
        Self { fast: engine(), slow: engine(), now: 1000 }
    }

    fn index(&self, number: u8) -> PortIndex {
        self.fast.find(eni(number)).unwrap()
    }

    /// Both engines' verdicts and frames, which are the same; the frame may carry a partial sum.
    fn send(&mut self, from: Option<PortIndex>, bytes: &[u8], partial: bool) -> Verdict {
        let now = self.now;
        let run = |go: &mut dyn FnMut(&mut Frame<'_>) -> Verdict, head: usize| {
            let mut buf = [&bytes[..head.min(bytes.len())], &[0; 512]].concat();
            let (head, len) = (head.min(bytes.len()), bytes.len());
            let mut frame = Frame { buf: &mut buf, head, len, partial, segmented: false };
            let verdict = go(&mut frame);
            (verdict, frame.len, frame.partial, frame.bytes().to_vec())
        };
        let (fast, slow) = (&mut self.fast, &mut self.slow);
        let quick = match from {
            Some(index) => {
                // As the data path does: headers only, and more if layers have to be asked.
                let mut none = false;
                let repeated = run(
                    &mut |frame| {
                        fast.repeat(index, frame, now).unwrap_or_else(|| {
                            none = true;
                            Verdict::Drop
                        })
                    },
                    128,
                );
                if none {
                    run(&mut |frame| fast.pass_layers(index, frame, now), 512)
                } else {
                    repeated
                }
            }
            None => run(&mut |frame| fast.from_uplink(frame, now), 512),
        };
        let full = match from {
            Some(index) => run(&mut |frame| slow.pass_layers(index, frame, now), 512),
            None => run(&mut |frame| slow.from_uplink(frame, now), 512),
        };
        assert_eq!((quick.0, quick.1, quick.2), (full.0, full.1, full.2));
        let head = quick.3.len().min(full.3.len());
        assert_eq!(quick.3[..head], full.3[..head]);
        quick.0
    }

    fn compare(&self) {
        for (index, port) in self.fast.ports() {
            let other = self.slow.port(index).unwrap();
            assert_eq!(port.counters.report(), other.counters.report());
            assert_eq!(port.flows.len(), other.flows.len());
        }
        assert_eq!(self.fast.counters.report(), self.slow.counters.report());
    }

    fn step(&mut self, step: &Step, sides: &mut BTreeMap<u8, (u8, u8)>) {
        match *step {
            Step::Tcp { from, to, ports, flags, ttl, size, df } => {
                let ((number, src), ports) = (HOSTS[from], (PORTS[ports.0], PORTS[ports.1]));
                let body = vec![7; size];
                let mut frame =
                    tcp(number, (src, ports.0), (PLACES[to], ports.1), FLAGS[flags], &body);
                retouch(&mut frame, ttl, df);
                self.send(Some(self.index(number)), &frame, false);
            }
            Step::Udp { from, to, ports, ttl, size, partial } => {
                let ((number, src), ports) = (HOSTS[from], (PORTS[ports.0], PORTS[ports.1]));
                let mut frame = udp(number, (src, ports.0), (PLACES[to], ports.1), &vec![7; size]);
                retouch(&mut frame, ttl, true);
                self.send(Some(self.index(number)), &frame, partial);
            }
            Step::Icmp { from, to, kind } => {
                let (number, src) = HOSTS[from];
                let frame = icmp(number, src, PLACES[to], kind, 0, &[0, 7, 0, 1]);
                self.send(Some(self.index(number)), &frame, false);
            }
            Step::FromUplink { to, ports, flags } => {
                let ports = (PORTS[ports.0], PORTS[ports.1]);
                let frame =
                    tcp(9, ("192.0.2.1", ports.0), (PLACES[to], ports.1), FLAGS[flags], &[]);
                self.send(None, &frame, false);
            }
            Step::Wait(time) => self.now += time,
            Step::Clean => {
                self.fast.clean(self.now);
                self.slow.clean(self.now);
            }
            Step::Change(ref change) => {
                let patch = apply(change, sides);
                let failed = self.fast.apply(patch.clone(), self.now);
                assert_eq!(self.slow.apply(patch, self.now), failed);
            }
        }
        self.compare();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn repeated_decisions_are_those_of_the_layers(
        steps in prop::collection::vec((steps(), 1..4_usize), 1..60),
    ) {
        let (mut both, mut sides) = (Both::new(), BTreeMap::new());
        for (step, times) in steps {
            for _ in 0..times {
                both.step(&step, &mut sides);
            }
        }
    }
}

#[test]
fn decisions_are_repeated_and_end_with_what_they_rest_on() {
    let mut both = Both::new();
    let mut sides = BTreeMap::new();
    let a = both.index(1);
    let segment = |flags| tcp(1, ("10.0.1.11", 4000), ("10.0.2.12", 22), flags, &[1; 10]);
    let tracked = Change::Ingress(1, 1);
    both.step(&Step::Change(tracked), &mut sides);
    let to = Verdict::Deliver(both.index(2));
    assert_eq!(both.send(Some(a), &segment(SYN), false), to);
    let back = tcp(2, ("10.0.2.12", 22), ("10.0.1.11", 4000), SYN | ACK, &[]);
    both.send(Some(both.index(2)), &back, false);
    assert_eq!(both.fast.repeated, 0);
    for _ in 0..10 {
        assert_eq!(both.send(Some(a), &segment(ACK), false), to);
    }
    assert_eq!(both.fast.repeated, 9);
    // What may begin or end a flow is decided anew.
    assert_eq!(both.send(Some(a), &segment(SYN), false), to);
    assert_eq!(both.send(Some(a), &segment(FIN | ACK), false), to);
    assert_eq!(both.fast.repeated, 9);
    // A change of anything ends all decisions; the flow is tracked and goes on.
    both.step(&Step::Change(Change::Ingress(1, 0)), &mut sides);
    both.send(Some(a), &segment(ACK), false);
    assert_eq!(both.fast.repeated, 9);
    assert_eq!(both.send(Some(a), &segment(ACK), false), to);
    assert_eq!(both.fast.repeated, 10);
    // Decisions are kept half a minute, and flows as long as their kind.
    both.now += 31_000;
    both.send(Some(a), &segment(ACK), false);
    assert_eq!(both.fast.repeated, 10);
    both.send(Some(both.index(2)), &back, false);
    both.send(
        Some(both.index(2)),
        &tcp(2, ("10.0.2.12", 22), ("10.0.1.11", 4000), FIN, &[]),
        false,
    );
    assert_eq!(both.send(Some(a), &segment(ACK), false), to);
    both.now += 61_000;
    assert_eq!(both.send(Some(a), &segment(ACK), false), Verdict::Drop);
    both.compare();
}

#[test]
fn many_flows_fill_a_limited_cache() {
    let mut both = Both::new();
    let a = both.index(1);
    // The cache begins anew each time that it grows.
    for round in 0..3 {
        for flow in 0..3000_u16 {
            let ports = (1000 + flow % 60, 2000 + flow / 60);
            let frame = udp(1, ("10.0.1.11", ports.0), ("10.0.1.13", ports.1), &[]);
            assert_ne!(both.send(Some(a), &frame, false), Verdict::Drop);
        }
        assert!(round < 2 || both.fast.repeated > 2500, "{}", both.fast.repeated);
    }
    both.compare();
}
