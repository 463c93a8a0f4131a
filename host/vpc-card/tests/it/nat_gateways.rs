//! NAT gateways: frames out of a private subnet, and what comes back.

use crate::{
    config::{ANY, POOL, eni, group, ip, mac, net, patch, rule},
    engine::Bench,
    frames::{arp, destination, icmp, ipv4, ping, source, sums_are_right, tcp, udp},
};
use contracts::{
    card::VpcPatch,
    network::{AclEntry, NatAddress, NatGateway, Route, RouteTarget, Subnet, Traffic},
};
use proptest::prelude::*;
use std::collections::HashMap;
use types::{NatGatewayId, ResourceId as _, SubnetId, VpcId};
use vpc_card::{
    counters::Reason,
    engine::{
        Engine, Verdict,
        checksum::checksum,
        packet::{ACK, FIN, ICMP, RST, SYN},
    },
};

/// A guest behind the gateway, without a public address.
const GUEST: (&str, u16) = ("10.0.1.13", 4000);
/// Somebody outside.
const WEB: (&str, u16) = ("192.0.2.1", 443);
const PRIVATE: &str = "10.0.2.100";
const PUBLIC: &str = "198.18.0.100";

fn gateway_id() -> NatGatewayId {
    NatGatewayId::from_number(1)
}

fn gateway(public: Option<&str>) -> NatGateway {
    NatGateway {
        id: gateway_id(),
        vpc: VpcId::from_number(1),
        subnet: SubnetId::from_number(2),
        addresses: vec![NatAddress {
            private: ip(PRIVATE),
            public: public.map(ip),
            draining: false,
        }],
        port_key: (1, 2),
    }
}

fn route(destination: &str, target: RouteTarget) -> Route {
    Route { destination: net(destination).into(), target }
}

/// Subnet 1 leads to the gateway, which is in subnet 2, which leads to the internet gateway.
fn subnets() -> Vec<Subnet> {
    let mut subnets = patch().subnets;
    subnets[0].routes[1] = route(ANY, RouteTarget::NatGateway(gateway_id()));
    subnets
}

fn with_gateway(public: Option<&str>) -> Bench {
    let mut bench = Bench::new();
    let patch =
        VpcPatch { subnets: subnets(), nat_gateways: vec![gateway(public)], ..VpcPatch::default() };
    assert!(bench.engine.apply(patch, 0).is_empty());
    // The card has run for longer than any connection lives without a packet.
    bench.now = 400_000;
    bench
}

fn change(bench: &mut Bench, edit: impl FnOnce(&mut [Subnet])) {
    let mut subnets = subnets();
    edit(&mut subnets);
    bench.engine.apply(VpcPatch { subnets, ..VpcPatch::default() }, 0);
}

fn dropped(bench: &Bench, reason: Reason) -> u64 {
    bench.engine.nat_gateways.get(gateway_id()).unwrap().drops.dropped(reason)
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// Sends a guest's frame out by the gateway; the frame as it leaves.
fn out(bench: &mut Bench, frame: &[u8]) -> Vec<u8> {
    let (verdict, frame) = bench.send(3, frame);
    assert_eq!(verdict, Verdict::Uplink);
    assert_eq!(source(&frame), ip(PUBLIC));
    assert!(sums_are_right(&frame));
    frame
}

/// Sends a frame in by the uplink; what the guest gets.
fn back(bench: &mut Bench, frame: &[u8]) -> Option<Vec<u8>> {
    let (verdict, frame) = bench.uplink(frame);
    if verdict == Verdict::Drop {
        return None;
    }
    assert_eq!(verdict, Verdict::Deliver(bench.index(3)));
    assert_eq!((destination(&frame), &frame[..6]), (ip(GUEST.0), &mac(3)[..]));
    assert!(sums_are_right(&frame));
    Some(frame)
}

#[test]
fn tcp_udp_and_pings_go_out_and_answers_come_back() {
    let mut bench = with_gateway(Some(PUBLIC));
    let syn = out(&mut bench, &tcp(3, GUEST, WEB, SYN, b""));
    let port = word(&syn, 34);
    assert!(port >= 1024);
    let answer = tcp(0, WEB, (PUBLIC, port), SYN | ACK, b"");
    let told = back(&mut bench, &answer).unwrap();
    assert_eq!((source(&told), word(&told, 36)), (ip(WEB.0), GUEST.1));
    assert_eq!(word(&out(&mut bench, &tcp(3, GUEST, WEB, ACK, b"data")), 34), port);
    // From nobody else.
    for stranger in [("192.0.2.2", 443), ("192.0.2.1", 444)] {
        assert_eq!(back(&mut bench, &tcp(0, stranger, (PUBLIC, port), ACK, b"")), None);
    }
    assert_eq!(back(&mut bench, &udp(0, WEB, (PUBLIC, port), b"")), None);
    assert_eq!(dropped(&bench, Reason::NatUnknown), 3);

    let sent = out(&mut bench, &udp(3, GUEST, ("192.0.2.1", 53), b"question"));
    let answer = udp(0, ("192.0.2.1", 53), (PUBLIC, word(&sent, 34)), b"answer");
    assert_eq!(word(&back(&mut bench, &answer).unwrap(), 36), GUEST.1);

    let sent = out(&mut bench, &ping(3, GUEST.0, WEB.0));
    let id = sent[38..40].to_vec();
    let reply = [&id[..], &[0, 1], b"data"].concat();
    let told = back(&mut bench, &icmp(0, WEB.0, PUBLIC, 0, 0, &reply)).unwrap();
    assert_eq!(word(&told, 38), 7, "the guest's own identifier");
    // Nobody outside reaches a guest by himself, and the gateway itself answers nobody.
    assert_eq!(back(&mut bench, &icmp(0, WEB.0, PUBLIC, 8, 0, &reply)), None);
    assert_eq!(back(&mut bench, &tcp(0, WEB, (PUBLIC, 22), SYN, b"")), None);
    assert_eq!(back(&mut bench, &ipv4(0, 47, WEB.0, PUBLIC, &[0; 16])), None);
    let report = bench.engine.nat_gateways.get(gateway_id()).unwrap().report();
    assert_eq!(report["active_connection_count"], 3);
    assert_eq!(
        (report["connection_attempt_count"], report["connection_established_count"]),
        (3, 3)
    );
    assert_eq!((report["packets_out_to_destination"], report["packets_out_to_source"]), (4, 3));
}

#[test]
fn errors_are_told_as_each_side_knows_the_flow() {
    let mut bench = with_gateway(Some(PUBLIC));
    for sent in [
        udp(3, GUEST, ("192.0.2.1", 53), b"question"),
        tcp(3, GUEST, WEB, SYN, b""),
        ping(3, GUEST.0, WEB.0),
    ] {
        let sent_out = out(&mut bench, &sent);
        // From a router on the way.
        let error = icmp(0, "203.0.113.9", PUBLIC, 11, 0, &[&[0; 4], &sent_out[14..]].concat());
        let told = back(&mut bench, &error).unwrap();
        assert_eq!(source(&told), ip("203.0.113.9"));
        // The quote is what the guest sent, but for the hop.
        assert_eq!(told[42..50], sent[14..22]);
        assert_eq!(told[54..66], sent[26..38]);
    }
    // About a flow that nobody has.
    let stray = udp(0, (PUBLIC, 9), ("192.0.2.1", 53), b"");
    let error = icmp(0, WEB.0, PUBLIC, 3, 3, &[&[0; 4], &stray[14..]].concat());
    assert_eq!(back(&mut bench, &error), None);
    // The guest's own: about an answer that nobody waits for any more.
    let sent = out(&mut bench, &udp(3, GUEST, ("192.0.2.1", 53), b"question"));
    let port = word(&sent, 34);
    let answer = udp(0, ("192.0.2.1", 53), (PUBLIC, port), b"answer");
    let told = back(&mut bench, &answer).unwrap();
    let error = icmp(3, GUEST.0, "192.0.2.1", 3, 3, &[&[0; 4], &told[14..]].concat());
    let error = out(&mut bench, &error);
    assert_eq!((&error[58..62], word(&error, 64)), (&ip(PUBLIC).octets()[..], port));
}

#[test]
fn a_public_address_of_the_cloud_is_reached_and_answers() {
    let mut bench = with_gateway(Some(PUBLIC));
    let there = ("198.18.0.12", 22);
    let (verdict, frame) = bench.send(3, &tcp(3, GUEST, there, SYN, b""));
    assert_eq!(verdict, Verdict::Deliver(bench.index(2)));
    assert_eq!((source(&frame), destination(&frame)), (ip(PUBLIC), ip("10.0.2.12")));
    assert!(sums_are_right(&frame));
    let answer = tcp(2, ("10.0.2.12", 22), (PUBLIC, word(&frame, 34)), SYN | ACK, b"");
    let (verdict, frame) = bench.send(2, &answer);
    assert_eq!(verdict, Verdict::Deliver(bench.index(3)));
    assert_eq!((source(&frame), word(&frame, 36)), (ip(there.0), GUEST.1));
    assert!(sums_are_right(&frame));
    // A packet that claims the gateway's address comes from nowhere.
    let (verdict, _) = bench.uplink(&tcp(0, (PUBLIC, 5000), there, SYN, b""));
    assert_eq!(verdict, Verdict::Drop);
    assert_eq!(bench.engine.counters.dropped(Reason::SpoofedIp), 1);
}

#[test]
fn a_private_gateway_hides_who_asks() {
    let mut bench = with_gateway(None);
    // To the internet there is no way.
    assert_eq!(bench.send(3, &ping(3, GUEST.0, WEB.0)).0, Verdict::Drop);
    assert_eq!(dropped(&bench, Reason::NoPublicAddress), 1);
    change(&mut bench, |subnets| {
        subnets[0].routes.push(route("10.0.2.12/32", RouteTarget::NatGateway(gateway_id())));
    });
    let (verdict, frame) = bench.send(3, &udp(3, GUEST, ("10.0.2.12", 53), b"question"));
    assert_eq!(verdict, Verdict::Deliver(bench.index(2)));
    assert_eq!(source(&frame), ip(PRIVATE));
    // Port 2 is the gateway's neighbour.
    let (verdict, found) = bench.send(2, &arp(2, "10.0.2.12", PRIVATE));
    assert_eq!((verdict, &found[22..28]), (Verdict::Reply, &[0x0e, 0xfb, 10, 0, 2, 1][..]));
    let answer = udp(2, ("10.0.2.12", 53), (PRIVATE, word(&frame, 34)), b"answer");
    let (verdict, frame) = bench.send(2, &answer);
    assert_eq!(verdict, Verdict::Deliver(bench.index(3)));
    assert_eq!((source(&frame), word(&frame, 36)), (ip("10.0.2.12"), GUEST.1));
    assert!(sums_are_right(&frame));
    assert_eq!(bench.send(2, &ping(2, "10.0.2.12", PRIVATE)).0, Verdict::Drop);
}

#[test]
fn the_gateways_subnet_decides_where_packets_go() {
    let mut bench = with_gateway(Some(PUBLIC));
    let deny = |egress, cidr: &str| AclEntry {
        number: 1,
        egress,
        allow: false,
        traffic: Traffic::All,
        cidr: net(cidr).into(),
    };
    let frame = tcp(3, GUEST, WEB, SYN, b"");
    for (egress, cidr, reason) in
        [(false, "10.0.1.0/24", Reason::AclIngress), (true, "192.0.2.0/24", Reason::AclEgress)]
    {
        change(&mut bench, |subnets| subnets[1].acl.push(deny(egress, cidr)));
        assert_eq!(bench.send(3, &frame).0, Verdict::Drop);
        assert_eq!(dropped(&bench, reason), 1);
    }
    change(&mut bench, |_| {});
    let port = word(&out(&mut bench, &frame), 34);
    let answer = tcp(0, WEB, (PUBLIC, port), SYN | ACK, b"");
    // Answers cross the gateway's subnet's border twice, and the guest's.
    for (subnet, egress, cidr) in
        [(1, false, "192.0.2.0/24"), (1, true, "10.0.1.0/24"), (0, false, "192.0.2.0/24")]
    {
        change(&mut bench, |subnets| subnets[subnet].acl.push(deny(egress, cidr)));
        assert_eq!(back(&mut bench, &answer), None);
    }
    change(&mut bench, |_| {});
    back(&mut bench, &answer).unwrap();
    for target in [RouteTarget::Blackhole, RouteTarget::NatGateway(gateway_id())] {
        change(&mut bench, |subnets| subnets[1].routes[1] = route(ANY, target));
        assert_eq!(bench.send(3, &frame).0, Verdict::Drop);
        assert_eq!(back(&mut bench, &answer), None, "nobody outside is there");
    }
    // A gateway that is gone.
    let remove_nat_gateways = vec![gateway_id()];
    bench.engine.apply(VpcPatch { remove_nat_gateways, ..VpcPatch::default() }, 0);
    change(&mut bench, |_| {});
    assert_eq!(bench.send(3, &frame).0, Verdict::Drop);
    assert_eq!(back(&mut bench, &answer), None);
}

#[test]
fn security_groups_stay_the_guests_own_matter() {
    let mut bench = with_gateway(Some(PUBLIC));
    let groups = vec![group(3, vec![], &[])];
    bench.engine.apply(VpcPatch { groups, ..VpcPatch::default() }, 0);
    let port = word(&out(&mut bench, &tcp(3, GUEST, WEB, SYN, b"")), 34);
    back(&mut bench, &tcp(0, WEB, (PUBLIC, port), SYN | ACK, b"")).unwrap();
    let mut closed = group(3, vec![], &[]);
    closed.egress = vec![rule(Traffic::Tcp { from: 80, to: 80 }, ANY)];
    bench.engine.apply(VpcPatch { groups: vec![closed], ..VpcPatch::default() }, 0);
    assert_eq!(bench.send(3, &tcp(3, ("10.0.1.13", 1), WEB, SYN, b"")).0, Verdict::Drop);
}

#[test]
fn connections_end_and_the_middle_of_none_is_reset() {
    let mut bench = with_gateway(Some(PUBLIC));
    let port = word(&out(&mut bench, &tcp(3, GUEST, WEB, SYN, b"")), 34);
    let answer = tcp(0, WEB, (PUBLIC, port), ACK, b"data");
    back(&mut bench, &answer).unwrap();
    bench.now += 349_000;
    back(&mut bench, &answer).unwrap();
    bench.now += 350_000;
    assert_eq!(back(&mut bench, &answer), None);
    let mut late = tcp(3, GUEST, WEB, ACK, b"late");
    late[42..46].copy_from_slice(&7_u32.to_be_bytes());
    let late = ipv4(3, 6, GUEST.0, WEB.0, &[&late[34..50], &[0, 0], &late[52..]].concat());
    let (verdict, reset) = bench.send(3, &late);
    assert_eq!(verdict, Verdict::Reply);
    assert!(sums_are_right(&reset));
    assert_eq!((source(&reset), destination(&reset)), (ip(WEB.0), ip(GUEST.0)));
    assert_eq!((word(&reset, 34), word(&reset, 36), reset[47]), (WEB.1, GUEST.1, RST));
    assert_eq!(reset[38..42], [0, 0, 0, 7], "where the segment says that the other side is");
    // A reset is not answered by another.
    assert_eq!(bench.send(3, &tcp(3, GUEST, WEB, RST, b"")).0, Verdict::Drop);
    // Both sides end: soon the port is free.
    let port = word(&out(&mut bench, &tcp(3, GUEST, WEB, SYN, b"")), 34);
    out(&mut bench, &tcp(3, GUEST, WEB, FIN | ACK, b""));
    let end = tcp(0, WEB, (PUBLIC, port), FIN | ACK, b"");
    back(&mut bench, &end).unwrap();
    bench.now += 61_000;
    assert_eq!(back(&mut bench, &end), None);
    out(&mut bench, &udp(3, GUEST, WEB, b""));
    assert!(bench.engine.has_flows());
    bench.engine.clean(bench.now + 600_000_000);
    assert!(!bench.engine.has_flows());
}

#[test]
fn a_restarted_card_goes_on_with_the_same_ports() {
    let mut bench = with_gateway(Some(PUBLIC));
    let flows: Vec<_> = (5000..5020).collect();
    let ports: Vec<_> = flows
        .iter()
        .map(|&port| word(&out(&mut bench, &tcp(3, ("10.0.1.13", port), WEB, SYN, b"")), 34))
        .collect();
    let mut engine = Engine::new(net(POOL), ip("198.18.0.1"));
    let nat_gateways = vec![gateway(Some(PUBLIC))];
    engine.apply(VpcPatch { subnets: subnets(), nat_gateways, ..patch() }, 0);
    let mut bench = Bench { engine, now: 1000 };
    // An answer that comes first is lost; the guest's own next segment brings the flow back.
    assert_eq!(back(&mut bench, &tcp(0, WEB, (PUBLIC, ports[0]), ACK, b"")), None);
    for (&flow, &port) in flows.iter().zip(&ports).rev() {
        let sent = out(&mut bench, &tcp(3, ("10.0.1.13", flow), WEB, ACK, b"more"));
        assert_eq!(word(&sent, 34), port);
        assert_eq!(
            word(&back(&mut bench, &tcp(0, WEB, (PUBLIC, port), ACK, b"")).unwrap(), 36),
            flow
        );
    }
    bench.now = 350_000;
    assert_eq!(bench.send(3, &tcp(3, ("10.0.1.13", 9), WEB, ACK, b"")).0, Verdict::Reply);
}

#[test]
fn fragments_keep_together() {
    let mut bench = with_gateway(Some(PUBLIC));
    let fragment = |from: (&str, u16), to: (&str, u16), offset: u16, more: bool| {
        let mut frame = udp(if from == GUEST { 3 } else { 0 }, from, to, &[7; 16]);
        let flags = (offset / 8) | if more { 0x2000 } else { 0 };
        frame[18..20].copy_from_slice(&[0, 9]);
        frame[20..22].copy_from_slice(&flags.to_be_bytes());
        frame[24..26].copy_from_slice(&[0, 0]);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let dns = ("192.0.2.1", 53);
    assert_eq!(bench.send(3, &fragment(GUEST, dns, 24, false)).0, Verdict::Drop);
    let first = out_of(&mut bench, &fragment(GUEST, dns, 0, true));
    let later = out_of(&mut bench, &fragment(GUEST, dns, 24, false));
    assert_eq!(first[18..20], later[18..20], "one datagram");
    assert_ne!(first[18..20], [0, 9], "and no other guest's");
    assert_eq!(later[34..38], fragment(GUEST, dns, 24, false)[34..38], "there are no ports in it");
    let public = (PUBLIC, word(&first, 34));
    let told = back_at(&mut bench, &fragment(dns, public, 0, true));
    assert_eq!(word(&told, 36), GUEST.1);
    let told = back_at(&mut bench, &fragment(dns, public, 24, false));
    assert_eq!(destination(&told), ip(GUEST.0));
    assert_eq!(checksum(&told[14..34]), 0);
}

fn out_of(bench: &mut Bench, frame: &[u8]) -> Vec<u8> {
    let (verdict, frame) = bench.send(3, frame);
    assert_eq!((verdict, source(&frame)), (Verdict::Uplink, ip(PUBLIC)));
    assert_eq!(checksum(&frame[14..34]), 0);
    frame
}

fn back_at(bench: &mut Bench, frame: &[u8]) -> Vec<u8> {
    let (verdict, frame) = bench.uplink(frame);
    assert_eq!(verdict, Verdict::Deliver(bench.index(3)));
    frame
}

#[test]
fn what_does_not_fit_the_uplink_is_said_to_the_guest() {
    let mut bench = with_gateway(Some(PUBLIC));
    let (verdict, error) = bench.send(3, &udp(3, GUEST, ("192.0.2.1", 9), &[0; 2000]));
    assert_eq!(verdict, Verdict::Reply);
    assert_eq!((error[34], error[35], word(&error, 40)), (3, 4, 1500));
    assert_eq!(error[54..58], ip(GUEST.0).octets());
    let mut gone = udp(3, GUEST, WEB, b"");
    gone[22] = 1;
    gone[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum(&gone[14..34]);
    gone[24..26].copy_from_slice(&sum.to_be_bytes());
    let (verdict, error) = bench.send(3, &gone);
    assert_eq!((verdict, source(&error), error[34]), (Verdict::Reply, ip("10.0.1.1"), 11));
    // Only what has ports is translated.
    assert_eq!(bench.send(3, &ipv4(3, 47, GUEST.0, WEB.0, &[0; 16])).0, Verdict::Drop);
    let timestamp = icmp(3, GUEST.0, WEB.0, 13, 0, &[0; 16]);
    assert_eq!(bench.send(3, &timestamp).0, Verdict::Drop);
    assert_eq!(dropped(&bench, Reason::NatProtocol), 2);
    assert_eq!(bench.index(3), bench.engine.find(eni(3)).unwrap());
}

proptest! {
    /// Many flows of two guests to few destinations: no two look alike outside, and each answer
    /// reaches the guest and the port that asked.
    #[test]
    fn answers_find_who_asked(flows in prop::collection::hash_set(
        (any::<bool>(), 1..2000_u16, 0..3_u8, prop::sample::select(vec![1_u8, 6, 17])), 1..300,
    )) {
        let mut bench = with_gateway(Some(PUBLIC));
        let mut outside = HashMap::new();
        for flow @ (second, port, to, protocol) in flows {
            // Port 1 has a public address, but not in this route table.
            let (from, address) = if second { (1, "10.0.1.11") } else { (3, GUEST.0) };
            let to = format!("192.0.2.{to}");
            let frame = match protocol {
                6 => tcp(from, (address, port), (&to, 80), SYN, b""),
                17 => udp(from, (address, port), (&to, 80), b"x"),
                _ => icmp(from, address, &to, 8, 0, &[&port.to_be_bytes()[..], &[0, 1]].concat()),
            };
            let (verdict, sent) = bench.send(from, &frame);
            prop_assert_eq!(verdict, Verdict::Uplink);
            prop_assert!(sums_are_right(&sent));
            let number = if protocol == ICMP { word(&sent, 38) } else { word(&sent, 34) };
            prop_assert_eq!(outside.insert((to, number, protocol), flow), None);
        }
        for ((to, number, protocol), (second, port, ..)) in outside {
            let frame = match protocol {
                6 => tcp(0, (&to, 80), (PUBLIC, number), SYN | ACK, b""),
                17 => udp(0, (&to, 80), (PUBLIC, number), b"x"),
                _ => icmp(0, &to, PUBLIC, 0, 0, &[&number.to_be_bytes()[..], &[0, 1]].concat()),
            };
            let (verdict, told) = bench.uplink(&frame);
            prop_assert_eq!(verdict, Verdict::Deliver(bench.index(if second { 1 } else { 3 })));
            prop_assert!(sums_are_right(&told));
            prop_assert_eq!(if protocol == ICMP { word(&told, 38) } else { word(&told, 36) }, port);
        }
    }
}
