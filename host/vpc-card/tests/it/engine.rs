//! The engine by itself: frames in, verdicts and frames out.

use crate::{
    config::{ANY, POOL, eni, group, ip, mac, net, patch, rule, sg},
    frames::{arp, destination, icmp, ping, source, sums_are_right, tcp, udp},
};
use contracts::{
    card::VpcPatch,
    network::{AclEntry, Peer, Route, RouteTarget, Rule, Traffic},
};
use vpc_card::{
    counters::Reason,
    engine::{
        Engine, PortIndex, Verdict,
        packet::{ACK, Frame, RST, SYN},
    },
};

const SSH: Traffic = Traffic::Tcp { from: 22, to: 22 };
const A: (&str, u16) = ("10.0.1.11", 4000);
const B: (&str, u16) = ("10.0.2.12", 22);

pub struct Bench {
    pub engine: Engine,
    pub now: u64,
}

impl Bench {
    pub fn new() -> Self {
        let mut engine = Engine::new(net(POOL), ip("198.18.0.1"));
        // Not the first configuration, which begins with a time of grace.
        engine.apply(VpcPatch::default(), 0);
        assert!(engine.apply(patch(), 0).is_empty());
        Self { engine, now: 1000 }
    }

    pub fn groups(&mut self, groups: Vec<contracts::network::Group>) {
        self.engine.apply(VpcPatch { groups, ..VpcPatch::default() }, self.now);
    }

    pub fn index(&self, number: u8) -> PortIndex {
        self.engine.find(eni(number)).unwrap()
    }

    fn process(
        &mut self,
        bytes: &[u8],
        go: impl FnOnce(&mut Engine, &mut Frame<'_>) -> Verdict,
    ) -> (Verdict, Vec<u8>) {
        let mut buf = vec![0; bytes.len().max(512)];
        buf[..bytes.len()].copy_from_slice(bytes);
        let len = bytes.len();
        let mut frame = Frame { buf: &mut buf, head: len, len, partial: false, segmented: false };
        let verdict = go(&mut self.engine, &mut frame);
        let bytes = frame.bytes().to_vec();
        (verdict, bytes)
    }

    pub fn send(&mut self, from: u8, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        let (index, now) = (self.index(from), self.now);
        self.process(bytes, |engine, frame| engine.from_port(index, frame, now))
    }

    pub fn uplink(&mut self, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        let now = self.now;
        self.process(bytes, |engine, frame| engine.from_uplink(frame, now))
    }

    fn passes(&mut self, from: u8, bytes: &[u8], to: u8) -> bool {
        let (verdict, bytes) = self.send(from, bytes);
        if verdict == Verdict::Deliver(self.index(to)) {
            assert!(sums_are_right(&bytes));
            assert_eq!(bytes[..6], mac(to));
            true
        } else {
            assert_eq!(verdict, Verdict::Drop);
            false
        }
    }

    pub fn dropped(&self, port: u8, reason: Reason) -> u64 {
        self.engine.port(self.index(port)).unwrap().counters.dropped(reason)
    }
}

#[test]
fn arp_is_answered_for_router_and_neighbours_only() {
    let mut bench = Bench::new();
    for (target, answer) in [
        ("10.0.1.1", Some([0x0e, 0xfb, 10, 0, 1, 1])),
        ("10.0.1.13", Some(mac(3))),
        ("169.254.169.253", Some([0x0e, 0xfb, 10, 0, 1, 1])),
        ("10.0.1.99", None),
        ("10.0.1.11", None),
    ] {
        let (verdict, reply) = bench.send(1, &arp(1, "10.0.1.11", target));
        match answer {
            Some(found) => {
                assert_eq!(verdict, Verdict::Reply, "{target}");
                assert_eq!(reply[22..28], found, "{target}");
                assert_eq!(reply[..6], mac(1));
            }
            None => assert_eq!(verdict, Verdict::Drop, "{target}"),
        }
    }
    bench.send(1, &arp(1, "10.0.1.13", "10.0.1.1"));
    assert_eq!(bench.dropped(1, Reason::SpoofedArp), 1);
}

#[test]
fn spoofed_sources_are_dropped_and_counted() {
    let mut bench = Bench::new();
    assert!(!bench.passes(1, &ping(3, "10.0.1.11", "10.0.1.13"), 3));
    assert!(!bench.passes(1, &ping(1, "10.0.1.99", "10.0.1.13"), 3));
    assert_eq!(bench.dropped(1, Reason::SpoofedMac), 1);
    assert_eq!(bench.dropped(1, Reason::SpoofedIp), 1);
    let mut port = crate::config::port(1, 1, "10.0.1.11", None);
    port.port.source_dest_check = false;
    bench.engine.apply(VpcPatch { ports: vec![port], ..VpcPatch::default() }, 0);
    assert!(bench.passes(1, &ping(1, "10.0.1.99", "10.0.1.13"), 3));
}

#[test]
fn subnets_are_routed_and_vpcs_are_apart() {
    let mut bench = Bench::new();
    assert!(bench.passes(1, &ping(1, "10.0.1.11", "10.0.1.13"), 3));
    assert!(bench.passes(1, &ping(1, "10.0.1.11", "10.0.2.12"), 2));
    // Port 11 has port 1's address in a VPC without 10.0.2.12.
    assert!(!bench.passes(11, &ping(11, "10.0.1.11", "10.0.2.12"), 2));
    assert_eq!(bench.dropped(11, Reason::NoHost), 1);
    // To one's own address of another VPC there is no way.
    let (verdict, _) = bench.send(1, &ping(1, "10.0.1.11", "10.0.1.12"));
    assert_eq!(verdict, Verdict::Drop);
}

#[test]
fn the_router_answers_and_counts_hops() {
    let mut bench = Bench::new();
    let (verdict, reply) = bench.send(1, &ping(1, "10.0.1.11", "10.0.1.1"));
    assert_eq!(verdict, Verdict::Reply);
    assert!(sums_are_right(&reply));
    assert_eq!((source(&reply), reply[34]), (ip("10.0.1.1"), 0));
    let mut last = udp(1, A, B, b"x");
    last[22] = 1;
    last[24..26].copy_from_slice(&[0, 0]);
    let sum = vpc_card::engine::checksum::checksum(&last[14..34]);
    last[24..26].copy_from_slice(&sum.to_be_bytes());
    let (verdict, error) = bench.send(1, &last);
    assert_eq!(verdict, Verdict::Reply);
    assert!(sums_are_right(&error));
    assert_eq!((source(&error), error[34]), (ip("10.0.1.1"), 11));
    assert_eq!(bench.dropped(1, Reason::TtlExpired), 1);
}

#[test]
fn tracked_flows_outlive_their_rule_and_untracked_ones_do_not() {
    let mut bench = Bench::new();
    let answer = |flags| tcp(2, B, A, flags, b"");
    // Allowed for one address only: tracked.
    bench.groups(vec![group(2, vec![rule(SSH, "10.0.1.11/32")], &[])]);
    assert!(bench.passes(1, &tcp(1, A, B, SYN, b""), 2));
    assert!(bench.passes(2, &answer(SYN | ACK), 1));
    bench.groups(vec![group(2, vec![], &[])]);
    assert!(bench.passes(1, &tcp(1, A, B, ACK, b"more"), 2));
    assert!(!bench.passes(1, &tcp(1, A, B, SYN, b""), 2), "a new connection is asked");
    assert!(!bench.passes(1, &tcp(1, ("10.0.1.11", 4001), B, ACK, b""), 2), "so is a stray");
    // Allowed for all, and all may go out: untracked.
    bench.groups(vec![group(2, vec![rule(SSH, ANY)], &[])]);
    let other = ("10.0.1.11", 5000);
    assert!(bench.passes(1, &tcp(1, other, B, SYN, b""), 2));
    assert!(bench.passes(2, &tcp(2, B, other, SYN | ACK, b""), 1));
    assert!(bench.passes(1, &tcp(1, other, B, ACK, b""), 2));
    bench.groups(vec![group(2, vec![], &[])]);
    assert!(!bench.passes(1, &tcp(1, other, B, ACK, b"more"), 2));
    assert!(bench.passes(2, &tcp(2, B, other, ACK, b"out"), 1), "out is allowed still");
    assert!(!bench.passes(1, &tcp(1, other, B, ACK, b"more"), 2), "and frees nothing");
    assert!(bench.dropped(2, Reason::GroupIngress) >= 3);
}

#[test]
fn udp_and_icmp_are_tracked() {
    let mut bench = Bench::new();
    bench.groups(vec![group(2, vec![], &[])]);
    let (dns, client) = (("10.0.1.11", 53), ("10.0.2.12", 4000));
    assert!(!bench.passes(1, &udp(1, dns, client, b"early"), 2));
    assert!(bench.passes(2, &udp(2, client, dns, b"question"), 1));
    assert!(bench.passes(1, &udp(1, dns, client, b"answer"), 2));
    bench.now += 31_000;
    assert!(!bench.passes(1, &udp(1, dns, client, b"late"), 2));
    assert!(!bench.passes(1, &ping(1, "10.0.1.11", "10.0.2.12"), 2));
    assert!(bench.passes(2, &ping(2, "10.0.2.12", "10.0.1.11"), 1));
    let reply = icmp(1, "10.0.1.11", "10.0.2.12", 0, 0, &[0, 7, 0, 1, 0, 0, 0, 0]);
    assert!(bench.passes(1, &reply, 2));
    // A request does not pass as an answer.
    assert!(!bench.passes(1, &ping(1, "10.0.1.11", "10.0.2.12"), 2));
}

#[test]
fn groups_refer_to_members() {
    let mut bench = Bench::new();
    let from_members = Rule { traffic: Traffic::All, peer: Peer::Group(sg(7)) };
    bench.groups(vec![group(2, vec![from_members], &[]), group(7, vec![], &["10.0.1.13"])]);
    assert!(!bench.passes(1, &tcp(1, A, B, SYN, b""), 2));
    assert!(bench.passes(3, &tcp(3, ("10.0.1.13", 4000), B, SYN, b""), 2));
    bench.groups(vec![group(7, vec![], &["10.0.1.11"])]);
    assert!(bench.passes(1, &tcp(1, A, B, SYN, b""), 2));
    assert!(!bench.passes(3, &tcp(3, ("10.0.1.13", 4001), B, SYN, b""), 2));
}

#[test]
fn acls_hold_between_subnets_only() {
    let mut bench = Bench::new();
    let mut subnets = patch().subnets;
    let deny = |number, egress, cidr: &str| AclEntry {
        number,
        egress,
        allow: false,
        traffic: Traffic::All,
        cidr: net(cidr).into(),
    };
    subnets[0].acl.push(deny(50, false, "10.0.0.0/16"));
    bench.engine.apply(VpcPatch { subnets, ..VpcPatch::default() }, 0);
    assert!(!bench.passes(2, &ping(2, "10.0.2.12", "10.0.1.11"), 1));
    assert_eq!(bench.dropped(1, Reason::AclIngress), 1);
    assert!(bench.passes(3, &ping(3, "10.0.1.13", "10.0.1.11"), 1));
    // Stateless: the way out is open, the answer is not.
    assert!(bench.passes(1, &ping(1, "10.0.1.11", "10.0.2.12"), 2));
    let reply = icmp(2, "10.0.2.12", "10.0.1.11", 0, 0, &[0, 7, 0, 1, 0, 0, 0, 0]);
    assert!(!bench.passes(2, &reply, 1));
}

#[test]
fn public_addresses_are_translated_both_ways() {
    let mut bench = Bench::new();
    let (verdict, out) = bench.send(1, &udp(1, A, ("192.0.2.1", 53), b"question"));
    assert_eq!(verdict, Verdict::Uplink);
    assert_eq!(source(&out), ip("198.18.0.11"));
    assert!(sums_are_right(&out));
    let (verdict, back) =
        bench.uplink(&udp(0, ("192.0.2.1", 53), ("198.18.0.11", 4000), b"answer"));
    assert_eq!(verdict, Verdict::Deliver(bench.index(1)));
    assert_eq!(destination(&back), ip("10.0.1.11"));
    assert!(sums_are_right(&back));
    // An error about what was sent quotes the public address, and is told as the guest knows it.
    let error = icmp(0, "192.0.2.9", "198.18.0.11", 3, 1, &[&[0; 4], &out[14..]].concat());
    let (verdict, told) = bench.uplink(&error);
    assert_eq!(verdict, Verdict::Deliver(bench.index(1)));
    assert!(sums_are_right(&told));
    assert_eq!(told[54..58], ip("10.0.1.11").octets());
    // No public address, no way out; none of a port, no way in.
    let (verdict, _) = bench.send(3, &ping(3, "10.0.1.13", "192.0.2.1"));
    assert_eq!((verdict, bench.dropped(3, Reason::NoPublicAddress)), (Verdict::Drop, 1));
    assert_eq!(bench.uplink(&ping(0, "192.0.2.1", "198.18.0.99")).0, Verdict::Drop);
    assert_eq!(bench.uplink(&ping(0, "10.0.2.12", "198.18.0.11")).0, Verdict::Drop);
}

#[test]
fn instances_meet_by_their_public_addresses() {
    let mut bench = Bench::new();
    let (verdict, frame) = bench.send(1, &tcp(1, A, ("198.18.0.12", 22), SYN, b""));
    assert_eq!(verdict, Verdict::Deliver(bench.index(2)));
    assert_eq!((source(&frame), destination(&frame)), (ip("198.18.0.11"), ip("10.0.2.12")));
    assert!(sums_are_right(&frame));
}

#[test]
fn what_does_not_fit_the_uplink_is_said() {
    let mut bench = Bench::new();
    let (verdict, error) = bench.send(1, &udp(1, A, ("192.0.2.1", 9), &[0; 2000]));
    assert_eq!(verdict, Verdict::Reply);
    assert_eq!(error[34..42], [3, 4, error[36], error[37], 0, 0, 0x05, 0xdc]);
    let mut syn = tcp(1, A, ("192.0.2.1", 80), SYN, &[2, 4, 0x23, 0]);
    syn[46] = 6 << 4;
    syn[50..52].copy_from_slice(&[0, 0]);
    let syn = crate::frames::ipv4(1, 6, "10.0.1.11", "192.0.2.1", &syn[34..]);
    let (verdict, out) = bench.send(1, &syn);
    assert_eq!(verdict, Verdict::Uplink);
    assert_eq!(out[54..58], [2, 4, 0x05, 0xb4]);
    assert!(sums_are_right(&out));
}

#[test]
fn routes_lead_to_interfaces_and_nowhere() {
    let mut bench = Bench::new();
    let mut subnets = patch().subnets;
    for (destination, target) in [
        ("192.0.2.0/24", RouteTarget::Interface(eni(2))),
        ("192.0.2.128/25", RouteTarget::Blackhole),
    ] {
        subnets[0].routes.push(Route { destination: net(destination).into(), target });
    }
    bench.engine.apply(VpcPatch { subnets, ..VpcPatch::default() }, 0);
    let frame = ping(1, "10.0.1.11", "192.0.2.1");
    assert!(!bench.passes(1, &frame, 2), "port 2 checks its destinations");
    let mut port = crate::config::port(2, 2, "10.0.2.12", None);
    port.port.source_dest_check = false;
    bench.engine.apply(VpcPatch { ports: vec![port], ..VpcPatch::default() }, 0);
    assert!(bench.passes(1, &frame, 2));
    assert!(!bench.passes(1, &ping(1, "10.0.1.11", "192.0.2.129"), 2));
    assert_eq!(bench.dropped(1, Reason::NoRoute), 1);
}

#[test]
fn fragments_follow_their_first() {
    let mut bench = Bench::new();
    let fragment = |offset: u16, more: bool| {
        let mut frame = udp(1, A, B, &[7; 16]);
        let flags = (offset / 8) | if more { 0x2000 } else { 0 };
        frame[18..20].copy_from_slice(&[0, 9]);
        frame[20..22].copy_from_slice(&flags.to_be_bytes());
        frame[24..26].copy_from_slice(&[0, 0]);
        let sum = vpc_card::engine::checksum::checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let sent = |bench: &mut Bench, frame: &[u8]| bench.send(1, frame).0;
    assert_eq!(sent(&mut bench, &fragment(24, false)), Verdict::Drop);
    assert_eq!(sent(&mut bench, &fragment(0, true)), Verdict::Deliver(bench.index(2)));
    assert_eq!(sent(&mut bench, &fragment(24, false)), Verdict::Deliver(bench.index(2)));
    bench.groups(vec![group(2, vec![rule(SSH, ANY)], &[])]);
    assert_eq!(bench.dropped(1, Reason::Fragment), 1);
}

#[test]
fn a_restarted_card_takes_up_connections_but_no_new_ones() {
    let mut engine = Engine::new(net(POOL), ip("198.18.0.1"));
    let mut first = patch();
    first.groups[1] = group(2, vec![rule(SSH, "10.0.1.11/32")], &[]);
    engine.apply(first, 0);
    let mut bench = Bench { engine, now: 1000 };
    // In the middle of a connection, from either side.
    assert!(bench.passes(2, &tcp(2, B, A, ACK, b"data"), 1));
    assert!(bench.passes(1, &tcp(1, A, B, ACK, b"data"), 2));
    // An answer to what port 2 may have begun passes; a SYN in its wake does not.
    let web = ("10.0.1.11", 80);
    let client = ("10.0.2.12", 4000);
    assert!(bench.passes(1, &tcp(1, web, client, ACK, b"data"), 2));
    assert!(!bench.passes(1, &tcp(1, web, client, SYN, b""), 2));
    // Once the rules change there is no more grace.
    let stray = tcp(1, ("10.0.1.11", 79), client, ACK, b"data");
    bench.groups(vec![group(2, vec![], &[])]);
    assert!(!bench.passes(1, &stray, 2));
    bench.now += 31_000;
    assert!(!bench.passes(1, &tcp(1, ("10.0.1.11", 81), client, ACK, b"data"), 2));
    assert!(bench.passes(1, &tcp(1, web, client, RST, b""), 2), "known by now");
}
