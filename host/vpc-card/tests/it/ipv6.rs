//! IPv6 through the engine: frames in, verdicts and frames out.

use crate::{
    config::{ANY6, POOL, POOL6, eni, group, ip, mac, net, patch6, rule6, sg},
    engine::Bench,
    frames::query,
    frames6::{
        dhcp, fragment, icmp, ip6, nd, options, own, packet, ping, pong, probe, raw, seal, solicit,
        source, sum_is_right, tcp, tcp_body, udp, udp_body,
    },
};
use contracts::{
    card::VpcPatch,
    network::{AclEntry, Group, Peer, ResourceName, Route, RouteTarget, Rule, Traffic},
};
use vpc_card::{
    counters::Reason,
    engine::{
        Engine, Verdict,
        packet::{ACK, Frame, ICMP6, Packet, SYN, TCP, UDP},
    },
    services::{dhcp6, dns},
};

const A: &str = "fd12:3456:7801:1::11";
const B: &str = "fd12:3456:7801:2::12";
const C: &str = "fd12:3456:7801:1::13";
const OTHER_VPC: &str = "fd12:3456:7802:1::11";
const BEYOND: &str = "2001:db8::1";
const ROUTER_MAC: [u8; 6] = [0x0e, 0xfb, 10, 0, 1, 1];
const ROUTER: &str = "fe80::cfb:aff:fe00:101";
const SSH: Traffic = Traffic::Tcp { from: 22, to: 22 };

pub fn bench() -> Bench {
    let mut engine = Engine::new(net(POOL), ip("198.18.0.1"))
        .with_ipv6(POOL6.parse().unwrap(), ip6("fd12:3456:7800::1"));
    engine.apply(VpcPatch::default(), 0);
    assert!(engine.apply(patch6(), 0).is_empty());
    Bench { engine, now: 1000 }
}

fn passes(bench: &mut Bench, from: u8, bytes: &[u8], to: u8) -> bool {
    let (verdict, bytes) = bench.send(from, bytes);
    if verdict == Verdict::Deliver(bench.index(to)) {
        assert_eq!((&bytes[..6], &bytes[12..14]), (&mac(to)[..], &[0x86, 0xdd][..]));
        true
    } else {
        assert_eq!(verdict, Verdict::Drop);
        false
    }
}

/// A group as it is, but with other rules for what comes in.
fn ingress(number: u8, rules: Vec<Rule>) -> Group {
    let mut all = group(u64::from(number), rules, &[]);
    all.egress.push(rule6(Traffic::All, ANY6));
    all
}

#[test]
fn neighbours_are_found_by_the_card_alone() {
    let mut bench = bench();
    for (target, answer) in [
        (ROUTER, Some(ROUTER_MAC)),
        ("fe80:ec2::1", Some(ROUTER_MAC)),
        ("fd12:3456:7801:1::1", Some(ROUTER_MAC)),
        ("fd00:ec2::253", Some(ROUTER_MAC)),
        (C, Some(mac(3))),
        (A, None),
        (B, None),
        ("fe80::ff:fe00:3", None),
        ("fd12:3456:7801:1::99", None),
    ] {
        for from in [A, own(1).as_str()] {
            let (verdict, reply) = bench.send(1, &solicit(1, from, target));
            let Some(found) = answer else {
                assert_eq!(verdict, Verdict::Drop, "{target}");
                continue;
            };
            assert_eq!(verdict, Verdict::Reply, "{target}");
            assert!(sum_is_right(&reply));
            assert_eq!((&reply[..6], &reply[6..12]), (&mac(1)[..], &found[..]));
            assert_eq!((source(&reply), reply[21], reply[54]), (ip6(target), 255, 136));
            assert_eq!(reply[78..], [&[2, 1][..], &found].concat());
            let router = if found == ROUTER_MAC { 0x80 } else { 0 };
            assert_eq!(reply[58], 0x60 | router, "solicited, and to be believed");
        }
    }
    // Who would take a neighbour's address is told that it has an owner, and of its own nothing.
    let (verdict, reply) = bench.send(1, &probe(1, C));
    assert_eq!((verdict, reply[58]), (Verdict::Reply, 0x20));
    assert_eq!(reply[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(bench.send(1, &probe(1, A)).0, Verdict::Drop);
    assert_eq!(bench.send(1, &probe(1, &own(1))).0, Verdict::Drop);
    assert_eq!(bench.dropped(1, Reason::SpoofedNd), 0);
}

#[test]
fn claims_for_others_are_dropped_and_counted() {
    let mut bench = bench();
    let claim = |target: &str, mac: [u8; 6]| {
        let rest = [&[0x20, 0, 0, 0], &ip6(target).octets()[..], &[2, 1], &mac].concat();
        nd(1, A, "ff02::1", 136, &rest)
    };
    let mut prefix = vec![64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    prefix.extend_from_slice(&[1, 1, 2, 0, 0, 0, 0, 1]);
    let redirect = [&[0; 4], &ip6(C).octets()[..], &ip6(BEYOND).octets()].concat();
    for spoofed in [
        claim(C, mac(1)),
        claim(ROUTER, mac(1)),
        claim(A, mac(3)),
        nd(1, &own(1), "ff02::1", 134, &prefix),
        nd(1, &own(1), C, 137, &redirect),
        solicit(1, C, A),
        solicit(1, &own(3), ROUTER),
    ] {
        let before = bench.dropped(1, Reason::SpoofedNd);
        assert_eq!(bench.send(1, &spoofed).0, Verdict::Drop);
        assert_eq!(bench.dropped(1, Reason::SpoofedNd), before + 1);
    }
    // What it says of itself goes nowhere, but is no lie.
    assert_eq!(bench.send(1, &claim(A, mac(1))).0, Verdict::Drop);
    // From further away, with another code, a wrong sum, an option without length, in a fragment,
    // or behind an extension header.
    let good = solicit(1, A, ROUTER);
    let body = &good[54..];
    let mut wrong = good.clone();
    wrong[60] ^= 1;
    let behind = |next: u8, header: &[u8]| raw(1, next, 255, A, ROUTER, &[header, body].concat());
    let empty = [&[135, 0, 0, 0, 0, 0, 0, 0], &ip6(ROUTER).octets()[..], &[1, 0, 2, 0]].concat();
    for bad in [
        packet(1, ICMP6, 254, A, ROUTER, body),
        packet(1, ICMP6, 255, A, ROUTER, &[&[135, 1][..], &body[2..]].concat()),
        wrong,
        packet(1, ICMP6, 255, A, ROUTER, &empty),
        behind(44, &fragment(58, 0, true, 7)),
        behind(60, &options(58)),
    ] {
        let before = bench.dropped(1, Reason::Malformed);
        assert_eq!(bench.send(1, &bad).0, Verdict::Drop);
        assert_eq!(bench.dropped(1, Reason::Malformed), before + 1, "{bad:x?}");
    }
    assert_eq!(bench.send(1, &good).0, Verdict::Reply);
}

#[test]
fn spoofed_sources_are_dropped_and_counted() {
    let mut bench = bench();
    for src in [C, BEYOND, "fd12:3456:7801:1::99", own(3).as_str(), "::", "::1", "ff02::1"] {
        assert!(!passes(&mut bench, 1, &ping(1, src, C), 3), "{src}");
    }
    assert_eq!(bench.dropped(1, Reason::SpoofedIp), 7);
    assert!(!passes(&mut bench, 1, &ping(3, A, C), 3));
    assert_eq!(bench.dropped(1, Reason::SpoofedMac), 1);
    // A router may send for others, but not from what is no host's.
    let mut port = patch6().ports.remove(0);
    port.port.source_dest_check = false;
    bench.engine.apply(VpcPatch { ports: vec![port.clone()], ..VpcPatch::default() }, 0);
    assert!(passes(&mut bench, 1, &ping(1, BEYOND, C), 3));
    for src in [own(3).as_str(), "::", "::1", "ff02::1", "::ffff:10.0.1.13"] {
        assert!(!passes(&mut bench, 1, &ping(1, src, C), 3), "{src}");
    }
    // Without an address of its own there is no IPv6 at all.
    port.port.ipv6.clear();
    bench.engine.apply(VpcPatch { ports: vec![port], ..VpcPatch::default() }, 0);
    assert_eq!(bench.send(1, &ping(1, A, C)).0, Verdict::Drop);
    assert_eq!(bench.dropped(1, Reason::Ipv6), 1);
}

#[test]
fn the_router_is_advertised() {
    let mut bench = bench();
    let (verdict, frame) = bench.send(1, &nd(1, &own(1), "ff02::2", 133, &[0; 4]));
    assert_eq!(verdict, Verdict::Reply);
    assert!(sum_is_right(&frame));
    assert_eq!((source(&frame), frame[21]), (ip6(ROUTER), 255));
    assert_eq!(frame[..6], mac(1));
    let body = &frame[54..];
    assert_eq!((body[0], body[5]), (134, 0xc0), "addresses and settings are by DHCPv6");
    assert_eq!(u16::from_be_bytes([body[6], body[7]]), 1800);
    assert_eq!(body[16..24], [&[1, 1][..], &ROUTER_MAC].concat());
    assert_eq!(body[24..32], [5, 1, 0, 0, 0, 0, 0x23, 0x29]);
    assert_eq!(body[32..36], [3, 4, 64, 0x80], "on the link, and no autonomous addresses");
    assert_eq!(body[48..64], ip6("fd12:3456:7801:1::").octets());
    // All ports were new; then one whose guest gets its first IPv6 address.
    assert_eq!(bench.engine.take_unadvertised().len(), 4);
    let mut port = patch6().ports.remove(0);
    let six = std::mem::take(&mut port.port.ipv6);
    bench.engine.apply(VpcPatch { ports: vec![port.clone()], ..VpcPatch::default() }, 0);
    assert!(bench.engine.take_unadvertised().is_empty());
    port.port.ipv6 = six;
    bench.engine.apply(VpcPatch { ports: vec![port], ..VpcPatch::default() }, 0);
    assert_eq!(bench.engine.take_unadvertised(), [bench.index(1)]);
    let mut buf = [0; 256];
    let mut frame = Frame { buf: &mut buf, head: 0, len: 0, partial: false, segmented: false };
    assert!(bench.engine.advertise(bench.index(1), &mut frame));
    assert_eq!(frame.bytes()[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert!(sum_is_right(frame.bytes()));
}

/// DHCPv6's options: code and value.
type Options = Vec<(u16, Vec<u8>)>;

/// The kind and options of the DHCPv6 answer to a message of port 1; none if there is no answer.
fn asked(bench: &mut Bench, message: &[u8]) -> Option<(u8, Options)> {
    let (verdict, _) = bench.send(1, message);
    assert_eq!(verdict, Verdict::Dhcp);
    let mut buf = message.to_vec();
    let len = buf.len();
    let frame = Frame { buf: &mut buf, head: len, len, partial: false, segmented: false };
    let read = Packet::parse(&frame).unwrap();
    let mut reply = Vec::new();
    let port = bench.engine.port(bench.index(1)).unwrap();
    dhcp6::answer(port, &read, message, &mut reply).ok()?;
    assert!(sum_is_right(&reply));
    assert_eq!((source(&reply), &reply[..6]), (ip6(ROUTER), &mac(1)[..]));
    let body = &reply[62..];
    assert_eq!(body[1..4], [1, 2, 3]);
    Some((body[0], split(&body[4..])))
}

fn split(mut bytes: &[u8]) -> Options {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        found.push((u16::from_be_bytes([bytes[0], bytes[1]]), bytes[4..4 + len].to_vec()));
        bytes = &bytes[4 + len..];
    }
    found
}

fn value(options: &[(u16, Vec<u8>)], code: u16) -> Option<&[u8]> {
    options.iter().find(|option| option.0 == code).map(|option| &option.1[..])
}

#[test]
fn dhcpv6_tells_the_addresses() {
    let mut bench = bench();
    let mut port = patch6().ports.remove(0);
    port.port.ipv6.push(ip6("fd12:3456:7801:1::1111"));
    bench.engine.apply(VpcPatch { ports: vec![port], ..VpcPatch::default() }, 0);
    let client = (1, b"client".to_vec());
    let association = (3, [&b"iaid"[..], &[0; 8]].concat());
    let (kind, offer) =
        asked(&mut bench, &dhcp(1, 1, &[client.clone(), association.clone()])).unwrap();
    assert_eq!((kind, value(&offer, 1)), (2, Some(&b"client"[..])));
    assert_eq!(value(&offer, 23), Some(&ip6("fd00:ec2::253").octets()[..]));
    assert_eq!(value(&offer, 24), Some(&b"\x03ec2\x08internal\0"[..]));
    let leased = |options: &[(u16, Vec<u8>)]| {
        let association = value(options, 3).unwrap();
        assert_eq!(&association[..4], b"iaid");
        split(&association[12..])
    };
    let addresses = leased(&offer);
    for (option, expected) in addresses.iter().zip([A, "fd12:3456:7801:1::1111"]) {
        assert_eq!((option.0, &option.1[..16]), (5, &ip6(expected).octets()[..]));
        assert_eq!(option.1[16..], [0, 0, 0, 140, 0, 0, 1, 194]);
    }
    assert_eq!(addresses.len(), 2);
    let server = (2, value(&offer, 2).unwrap().to_vec());
    // What the client holds and is not the port's goes.
    let stale = [&ip6("fd12:3456:7801:1::99").octets()[..], &[0; 8]].concat();
    let stale = (3, [&b"iaid"[..], &[0; 8], &[0, 5, 0, 24], &stale].concat());
    for kind in [3, 5] {
        let (kind, reply) =
            asked(&mut bench, &dhcp(1, kind, &[client.clone(), server.clone(), stale.clone()]))
                .unwrap();
        let told = leased(&reply);
        assert_eq!((kind, told.len()), (7, 3));
        assert_eq!(told[2].1[16..], [0; 8]);
    }
    let (kind, _) = asked(&mut bench, &dhcp(1, 1, &[client.clone(), (14, vec![])])).unwrap();
    assert_eq!(kind, 7, "at once, if the client likes");
    let (_, moved) = asked(&mut bench, &dhcp(1, 4, &[client.clone(), stale])).unwrap();
    assert_eq!(value(&moved, 13), Some(&[0, 4][..]), "not on this link");
    let (_, settings) = asked(&mut bench, &dhcp(1, 11, &[])).unwrap();
    assert!(value(&settings, 23).is_some() && value(&settings, 3).is_none());
    // Another server's, without an identifier, of a server, and not to the servers' group.
    let other = (2, b"other".to_vec());
    for ignored in [
        dhcp(1, 3, &[client.clone(), other]),
        dhcp(1, 3, std::slice::from_ref(&client)),
        dhcp(1, 1, &[association]),
        dhcp(1, 7, std::slice::from_ref(&client)),
    ] {
        assert_eq!(asked(&mut bench, &ignored), None);
    }
    let direct = udp(1, (&own(1), 546), (C, 547), b"\x01abc");
    assert_eq!(bench.send(1, &direct).0, Verdict::Drop);
    assert_eq!(bench.dropped(1, Reason::DhcpIgnored), 1);
}

#[test]
fn prefixes_are_delegated_and_routed() {
    const WITHIN: &str = "fd12:3456:7801:1:5::7";
    let mut bench = bench();
    let mut port = patch6().ports.remove(0);
    port.port.ipv6_prefixes = vec!["fd12:3456:7801:1:5::/80".parse().unwrap()];
    bench.engine.apply(VpcPatch { ports: vec![port], ..VpcPatch::default() }, 0);
    let wish = (25, [&b"iapd"[..], &[0; 8]].concat());
    let more = (25, [&b"more"[..], &[0; 8]].concat());
    let message = dhcp(1, 1, &[(1, b"client".to_vec()), wish, more]);
    let (_, offer) = asked(&mut bench, &message).unwrap();
    let given = value(&offer, 25).unwrap();
    let told = [&[0, 0, 0, 140, 0, 0, 1, 194, 80][..], &ip6("fd12:3456:7801:1:5::").octets()];
    assert_eq!((&given[..4], split(&given[12..])), (&b"iapd"[..], vec![(26, told.concat())]));
    assert!(
        offer.last().is_some_and(|last| last.0 != 25)
            && offer.iter().any(|option| {
                option.0 == 25
                    && option.1.starts_with(b"more")
                    && option.1.ends_with(&[0, 13, 0, 2, 0, 6])
            })
    );
    // All of its addresses are the port's: from inside, from a neighbour, and from outside.
    assert!(passes(&mut bench, 1, &ping(1, WITHIN, B), 2));
    assert!(!passes(&mut bench, 1, &ping(1, "fd12:3456:7801:1:6::7", B), 2));
    assert!(passes(&mut bench, 2, &ping(2, B, WITHIN), 1));
    let (verdict, claim) = bench.send(3, &solicit(3, C, WITHIN));
    assert_eq!((verdict, &claim[80..86]), (Verdict::Reply, &mac(1)[..]));
    assert_eq!(bench.send(1, &probe(1, WITHIN)).0, Verdict::Drop);
    assert_eq!(bench.uplink(&ping(0, BEYOND, WITHIN)).0, Verdict::Deliver(bench.index(1)));
    assert!(passes(&mut bench, 11, &ping(11, OTHER_VPC, WITHIN), 1));
}

#[test]
fn subnets_are_routed_and_vpcs_are_apart() {
    let mut bench = bench();
    assert!(passes(&mut bench, 1, &ping(1, A, C), 3));
    let (verdict, frame) = bench.send(1, &ping(1, A, B));
    assert_eq!((verdict, frame[21]), (Verdict::Deliver(bench.index(2)), 63));
    assert_eq!(frame[6..12], [0x0e, 0xfb, 10, 0, 2, 1]);
    assert_eq!(bench.send(11, &ping(11, OTHER_VPC, "fd12:3456:7802:1::13")).0, Verdict::Drop);
    assert_eq!(bench.dropped(11, Reason::NoHost), 1);
    for nowhere in ["ff02::1", "ff05::1:3", "fe80::1", "fd00:ec2::123", own(3).as_str()] {
        assert_eq!(bench.send(1, &ping(1, A, nowhere)).0, Verdict::Drop, "{nowhere}");
    }
    assert_eq!(bench.send(1, &ping(1, &own(1), C)).0, Verdict::Drop, "not beyond the link");
    for router in [ROUTER, "fe80:ec2::1", "fd12:3456:7801:1::1"] {
        let (verdict, reply) = bench.send(1, &ping(1, &own(1), router));
        assert_eq!((verdict, source(&reply), reply[54]), (Verdict::Reply, ip6(router), 129));
        assert!(sum_is_right(&reply));
    }
}

#[test]
fn rules_are_of_one_family() {
    let mut bench = bench();
    let open = vec![crate::config::rule(Traffic::All, crate::config::ANY)];
    bench.groups(vec![ingress(2, open)]);
    assert!(!passes(&mut bench, 1, &tcp(1, (A, 4000), (B, 22), SYN, b""), 2));
    bench.groups(vec![ingress(2, vec![rule6(SSH, ANY6)])]);
    assert!(passes(&mut bench, 1, &tcp(1, (A, 4000), (B, 22), SYN, b""), 2));
    assert!(!passes(&mut bench, 1, &tcp(1, (A, 4000), (B, 23), SYN, b""), 2));
    assert!(!passes(&mut bench, 1, &ping(1, A, B), 2));
    let echo = |kind| Traffic::Icmp6 { kind: Some(kind), code: None };
    bench.groups(vec![ingress(2, vec![rule6(echo(128), "fd12:3456:7801:1::/64")])]);
    assert!(passes(&mut bench, 1, &ping(1, A, B), 2));
    assert!(passes(&mut bench, 2, &pong(2, B, A), 1));
    assert!(!passes(&mut bench, 3, &pong(3, C, B), 2));
    let members = Rule { traffic: Traffic::All, peer: Peer::Group(sg(7)) };
    let group7 = Group { members: vec![ip6(C).into()], ..group(7, vec![], &[]) };
    bench.groups(vec![ingress(2, vec![members]), group7]);
    assert!(!passes(&mut bench, 1, &udp(1, (A, 9), (B, 9), b"x"), 2));
    assert!(passes(&mut bench, 3, &udp(3, (C, 9), (B, 9), b"x"), 2));
    assert!(bench.dropped(2, Reason::GroupIngress) >= 4);
}

#[test]
fn flows_are_tracked_and_errors_pass_with_them() {
    let mut bench = bench();
    bench.groups(vec![ingress(2, vec![])]);
    let question = udp(2, (B, 4000), (BEYOND, 53), b"question");
    let (verdict, out) = bench.send(2, &question);
    assert_eq!(verdict, Verdict::Uplink);
    let error = |quoted: &[u8]| icmp(0, "2001:db8::9", B, 1, 4, &[&[0; 4], quoted].concat());
    let passes_in = |bench: &mut Bench, frame: &[u8]| bench.uplink(frame).0 != Verdict::Drop;
    assert!(passes_in(&mut bench, &error(&out[14..])));
    assert!(passes_in(&mut bench, &udp(0, (BEYOND, 53), (B, 4000), b"answer")));
    assert!(!passes_in(&mut bench, &udp(0, (BEYOND, 54), (B, 4000), b"no answer")));
    let other = udp(2, (B, 4001), (BEYOND, 53), b"question");
    assert!(!passes_in(&mut bench, &error(&other[14..])));
    // An IPv4 packet quoted by ICMPv6 is about nothing.
    let four = crate::frames::udp(2, ("10.0.2.12", 4000), ("192.0.2.1", 53), b"question");
    assert_eq!(bench.send(2, &four).0, Verdict::Uplink);
    assert!(!passes_in(&mut bench, &error(&four[14..])));
    // Nor is ICMP for IPv4 in an IPv6 packet anything.
    let wrong = packet(1, 1, 64, A, B, &[3, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.send(1, &wrong).0, Verdict::Drop);
    assert_eq!(bench.dropped(1, Reason::Malformed), 1);
    bench.now += 31_000;
    assert!(!passes_in(&mut bench, &udp(0, (BEYOND, 53), (B, 4000), b"late")));
}

#[test]
fn acls_hold_between_subnets_only() {
    let mut bench = bench();
    let mut subnets = patch6().subnets;
    subnets[0].acl.push(AclEntry {
        number: 50,
        egress: false,
        allow: false,
        traffic: Traffic::Icmp6 { kind: None, code: None },
        cidr: "fd12:3456:7801::/56".parse::<types::Ipv6Net>().unwrap().into(),
    });
    bench.engine.apply(VpcPatch { subnets, ..VpcPatch::default() }, 0);
    assert!(!passes(&mut bench, 2, &ping(2, B, A), 1));
    assert_eq!(bench.dropped(1, Reason::AclIngress), 1);
    assert!(passes(&mut bench, 3, &ping(3, C, A), 1));
    assert!(passes(&mut bench, 2, &udp(2, (B, 9), (A, 9), b"x"), 1));
}

#[test]
fn the_internet_gateway_translates_nothing() {
    let mut bench = bench();
    let (verdict, out) = bench.send(1, &udp(1, (A, 4000), (BEYOND, 53), b"question"));
    assert_eq!((verdict, source(&out), out[21]), (Verdict::Uplink, ip6(A), 63));
    assert!(sum_is_right(&out));
    let (verdict, back) = bench.uplink(&udp(0, (BEYOND, 53), (A, 4000), b"answer"));
    assert_eq!((verdict, source(&back)), (Verdict::Deliver(bench.index(1)), ip6(BEYOND)));
    assert_eq!(back[..6], mac(1));
    // The other VPC is outside, and never by way of the host.
    assert!(passes(&mut bench, 1, &ping(1, A, OTHER_VPC), 11));
    assert_eq!(bench.uplink(&ping(0, OTHER_VPC, A)).0, Verdict::Drop);
    // What has no owner does not leave, nor does the host get what is none of a port's.
    assert_eq!(bench.send(1, &ping(1, A, "fd12:3456:7803::1")).0, Verdict::Drop);
    assert_eq!(bench.send(1, &ping(1, A, "fd12:3456:7800::1")).0, Verdict::Uplink);
    assert_eq!(bench.uplink(&ping(0, BEYOND, "fd12:3456:7801:1::99")).0, Verdict::Drop);
    assert_eq!(bench.uplink(&nd(0, BEYOND, A, 136, &[0; 20])).0, Verdict::Drop);
    assert_eq!(bench.uplink(&ping(0, "fe80::1", A)).0, Verdict::Drop);
    // The segment size that fits is what is offered.
    let mut syn = tcp_body(4000, 80, SYN, &[2, 4, 0x23, 0]);
    syn[12] = 6 << 4;
    let (verdict, out) = bench.send(1, &packet(1, TCP, 64, A, BEYOND, &syn));
    assert_eq!((verdict, &out[74..78]), (Verdict::Uplink, &[2, 4, 0x05, 0xa0][..]));
    assert!(sum_is_right(&out));
}

#[test]
fn the_egress_only_gateway_lets_answers_in_and_nothing_else() {
    let mut bench = bench();
    let mut subnets = patch6().subnets;
    for route in subnets.iter_mut().take(2).flat_map(|subnet| &mut subnet.routes) {
        if route.destination.to_string() == ANY6 {
            route.target = RouteTarget::EgressOnlyGateway;
        }
    }
    bench.engine.apply(VpcPatch { subnets, ..VpcPatch::default() }, 0);
    let get_in = |bench: &mut Bench, frame: &[u8]| {
        let verdict = bench.uplink(frame).0;
        assert!([Verdict::Deliver(bench.index(1)), Verdict::Drop].contains(&verdict));
        verdict != Verdict::Drop
    };
    // All rules are open, so that the filter follows nothing.
    let stranger = tcp(0, (BEYOND, 80), (A, 22), SYN, b"");
    assert!(!get_in(&mut bench, &stranger));
    assert!(!get_in(&mut bench, &ping(0, BEYOND, A)));
    assert!(!get_in(&mut bench, &tcp(0, (BEYOND, 80), (A, 4000), SYN | ACK, b"")));
    assert_eq!(bench.dropped(1, Reason::EgressOnly), 3);
    let (verdict, syn) = bench.send(1, &tcp(1, (A, 4000), (BEYOND, 80), SYN, b""));
    assert_eq!(
        (verdict, bench.engine.port(bench.index(1)).unwrap().flows.len()),
        (Verdict::Uplink, 0)
    );
    assert!(get_in(&mut bench, &tcp(0, (BEYOND, 80), (A, 4000), SYN | ACK, b"")));
    assert!(get_in(&mut bench, &tcp(0, (BEYOND, 80), (A, 4000), ACK, b"data")));
    assert!(!get_in(&mut bench, &tcp(0, (BEYOND, 80), (A, 4000), SYN, b"")));
    assert!(!get_in(&mut bench, &tcp(0, (BEYOND, 81), (A, 4000), ACK, b"data")));
    assert!(get_in(&mut bench, &icmp(0, "2001:db8::9", A, 3, 0, &[&[0; 4], &syn[14..]].concat())));
    assert_eq!(bench.send(1, &ping(1, A, BEYOND)).0, Verdict::Uplink);
    assert!(get_in(&mut bench, &pong(0, BEYOND, A)));
    assert!(!get_in(&mut bench, &ping(0, BEYOND, A)), "a question is no answer");
    // From a VPC with an internet gateway it is the same.
    assert!(!passes(&mut bench, 11, &ping(11, OTHER_VPC, A), 1));
    assert!(passes(&mut bench, 1, &ping(1, A, OTHER_VPC), 11));
    assert!(passes(&mut bench, 11, &pong(11, OTHER_VPC, A), 1));
    bench.now += 31_000;
    assert!(!get_in(&mut bench, &pong(0, BEYOND, A)), "too late");
}

#[test]
fn routes_of_both_families_live_beside_each_other() {
    let mut bench = bench();
    let mut subnets = patch6().subnets;
    for (destination, target) in [
        ("2001:db8::/32", RouteTarget::Interface(eni(2))),
        ("2001:db8:1::/48", RouteTarget::Blackhole),
    ] {
        let destination = destination.parse::<types::Ipv6Net>().unwrap().into();
        subnets[0].routes.push(Route { destination, target });
    }
    let mut port = patch6().ports.remove(1);
    port.port.source_dest_check = false;
    bench.engine.apply(VpcPatch { subnets, ports: vec![port], ..VpcPatch::default() }, 0);
    assert!(passes(&mut bench, 1, &ping(1, A, BEYOND), 2));
    assert!(!passes(&mut bench, 1, &ping(1, A, "2001:db8:1::1"), 2));
    assert_eq!(bench.send(1, &ping(1, A, "2001:db9::1")).0, Verdict::Uplink);
    let four = crate::frames::ping(1, "10.0.1.11", "192.0.2.1");
    assert_eq!(bench.send(1, &four).0, Verdict::Uplink);
}

#[test]
fn what_does_not_get_through_is_said() {
    let mut bench = bench();
    let (verdict, error) = bench.send(1, &udp(1, (A, 9), (BEYOND, 9), &[7; 2000]));
    assert_eq!(verdict, Verdict::Reply);
    assert_eq!(error[54..56], [2, 0], "too big");
    assert_eq!(error[58..62], [0, 0, 0x05, 0xdc]);
    assert!(sum_is_right(&error));
    assert!(error.len() <= 14 + 1280);
    assert_eq!(error[62..70], [0x60, 0, 0, 0, 0x07, 0xd8, UDP, 63], "as it was routed");
    let last = packet(1, UDP, 1, A, B, &udp_body(9, 9, b"x"));
    let (verdict, error) = bench.send(1, &last);
    assert_eq!((verdict, error[54], error[55]), (Verdict::Reply, 3, 0));
    assert_eq!(source(&error), ip6("fd12:3456:7801:1::1"));
    assert!(sum_is_right(&error));
    // About an error nothing is said, nor more often than a thousand times a second.
    let about = packet(1, ICMP6, 1, A, B, &[&[1, 0, 0, 0, 0, 0, 0, 0], &error[62..]].concat());
    assert_eq!(bench.send(1, &about).0, Verdict::Drop);
    let told = (0..1500).filter(|_| bench.send(1, &last).0 == Verdict::Reply).count();
    assert!((990..=1000).contains(&told), "{told}");
    bench.now += 1000;
    assert_eq!(bench.send(1, &last).0, Verdict::Reply);
}

#[test]
fn extension_headers_hide_nothing() {
    let mut bench = bench();
    bench.groups(vec![ingress(2, vec![rule6(SSH, ANY6)])]);
    let carried = |port: u16| {
        let mut body = tcp_body(4000, port, SYN, b"");
        seal(TCP, A, B, &mut body);
        body
    };
    let behind = |next: u8, headers: &[&[u8]], port: u16| {
        raw(1, next, 64, A, B, &[&headers.concat()[..], &carried(port)].concat())
    };
    let routing = |kind: u8, left: u8| [TCP, 0, kind, left, 0, 0, 0, 0];
    let atomic = fragment(TCP, 0, false, 1);
    for (next, headers) in [
        (0, vec![&options(60)[..], &options(TCP)]),
        (60, vec![&options(TCP)[..]]),
        (43, vec![&routing(4, 0)[..]]),
        (44, vec![&atomic[..]]),
    ] {
        assert!(passes(&mut bench, 1, &behind(next, &headers, 22), 2), "{next}");
        assert!(!passes(&mut bench, 1, &behind(next, &headers, 23), 2), "{next}");
    }
    let again = fragment(44, 0, true, 1);
    let many = [options(60); 9].concat();
    let mut long = options(TCP);
    long[1] = 200;
    for (next, headers) in [
        (43, vec![&routing(0, 0)[..]]),
        (43, vec![&routing(2, 1)[..]]),
        (43, vec![&routing(4, 1)[..]]),
        (60, vec![&options(0)[..], &options(TCP)]),
        (44, vec![&again[..], &atomic[..]]),
        (60, vec![&many[..], &options(TCP)]),
        (60, vec![&long[..]]),
    ] {
        assert!(!passes(&mut bench, 1, &behind(next, &headers, 22), 2), "{next} {headers:x?}");
    }
    assert!(bench.dropped(1, Reason::ExtensionHeader) >= 5);
    // What is none of TCP passes only a rule for everything.
    for next in [50, 51, 59, 135] {
        assert!(!passes(&mut bench, 1, &raw(1, next, 64, A, B, &carried(22)), 2), "{next}");
    }
}

#[test]
fn fragments_follow_their_first() {
    let mut bench = bench();
    bench.groups(vec![ingress(2, vec![rule6(SSH, ANY6)])]);
    let first = |port: u16, id: u32| {
        let body = [&fragment(TCP, 0, true, id)[..], &tcp_body(4000, port, SYN, &[7; 4])].concat();
        raw(1, 44, 64, A, B, &body)
    };
    let later = |offset: u16, next: u8, id: u32| {
        raw(1, 44, 64, A, B, &[&fragment(next, offset, false, id)[..], &[9; 16]].concat())
    };
    assert!(!passes(&mut bench, 1, &later(24, TCP, 1), 2), "no first one");
    assert!(passes(&mut bench, 1, &first(22, 1), 2));
    // What it says to be of counts in the first fragment alone.
    for next in [TCP, UDP, 60] {
        assert!(passes(&mut bench, 1, &later(24, next, 1), 2));
    }
    for offset in [8, 16] {
        assert!(!passes(&mut bench, 1, &later(offset, TCP, 1), 2), "over the first one");
    }
    assert!(!passes(&mut bench, 1, &later(24, TCP, 2), 2), "another's");
    assert!(!passes(&mut bench, 1, &first(23, 3), 2));
    assert!(!passes(&mut bench, 1, &later(24, TCP, 3), 2), "as its first");
    // A first fragment must have all headers; more follow only after eight bytes each.
    let cut = [&fragment(TCP, 0, true, 4)[..], &tcp_body(4000, 22, SYN, b"")[..16]].concat();
    assert!(!passes(&mut bench, 1, &raw(1, 44, 64, A, B, &cut), 2));
    let headers = [&fragment(60, 0, true, 4)[..], &options(TCP)].concat();
    assert!(!passes(&mut bench, 1, &raw(1, 44, 64, A, B, &headers), 2));
    let odd = [&fragment(TCP, 0, true, 4)[..], &tcp_body(4000, 22, SYN, b"abc")].concat();
    assert!(!passes(&mut bench, 1, &raw(1, 44, 64, A, B, &odd), 2));
    let beyond = [&fragment(TCP, 65_528, false, 1)[..], &[0; 16]].concat();
    assert!(!passes(&mut bench, 1, &raw(1, 44, 64, A, B, &beyond), 2));
}

#[test]
fn names_lead_to_ipv6_and_back() {
    const AAAA: u16 = 28;
    const PTR: u16 = 12;
    let mut bench = bench();
    let mut ports = patch6().ports;
    let named = |name: &str, a, aaaa| Some(ResourceName { name: name.to_owned(), a, aaaa });
    ports[0].port.resource_name = named("i-0a", false, true);
    ports[2].port.resource_name = named("i-0c", true, false);
    bench.engine.apply(VpcPatch { ports, ..VpcPatch::default() }, 0);
    let ask = |bench: &Bench, name: &str, kind: u16| {
        let port = bench.engine.port(bench.index(3)).unwrap();
        let (query, mut reply) = (query(name, kind), Vec::new());
        let answer = dns::answer(&bench.engine, port, &query, &mut reply);
        assert_eq!(answer, dns::Answer::Reply, "{name}");
        // The code, and the record's data if it is an answer.
        let data = (reply[7] == 1).then(|| reply[query.len() + 12..].to_vec());
        (reply[3] & 15, data)
    };
    let six = Some(ip6(A).octets().to_vec());
    assert_eq!(ask(&bench, "i-0a.ec2.internal", AAAA), (0, six));
    assert_eq!(ask(&bench, "i-0a.ec2.internal", 1), (0, None));
    assert_eq!(ask(&bench, "i-0c.ec2.internal", 1), (0, Some(vec![10, 0, 1, 13])));
    assert_eq!(ask(&bench, "i-0c.ec2.internal", AAAA), (0, None));
    assert_eq!(ask(&bench, "ip-10-0-1-11.ec2.internal", AAAA), (0, None));
    assert_eq!(ask(&bench, "i-0d.ec2.internal", AAAA), (3, None));
    let reverse = |address: &str| {
        let octets = ip6(address).octets();
        let digits =
            octets.iter().rev().flat_map(|b| [format!("{:x}", b & 15), format!("{:x}", b >> 4)]);
        digits.collect::<Vec<_>>().join(".") + ".ip6.arpa"
    };
    let name = b"\x04i-0a\x03ec2\x08internal\0".to_vec();
    assert_eq!(ask(&bench, &reverse(A), PTR), (0, Some(name)));
    assert_eq!(ask(&bench, &reverse("fd12:3456:7801:1::99"), PTR), (3, None));
    // The resolver is asked at its own address.
    let frame = udp(1, (A, 4000), ("fd00:ec2::253", 53), &query("i-0a.ec2.internal", AAAA));
    assert_eq!(bench.send(1, &frame).0, Verdict::Dns);
    let frame = tcp(1, (A, 4000), ("fd00:ec2::253", 53), SYN, b"");
    assert_eq!(bench.send(1, &frame).0, Verdict::Tcp);
}
