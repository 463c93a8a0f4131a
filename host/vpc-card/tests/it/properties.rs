//! Whatever comes: no panic, and nothing that was not checked leaves.

use crate::{
    config::{ip, mac},
    engine::Bench,
    frames::{dhcp, query, udp},
    frames6,
};
use proptest::prelude::*;
use vpc_card::{
    engine::{
        Verdict,
        packet::{Frame, Packet},
    },
    services::{dhcp as server, dns},
    vhost_user::message::{Header, Message},
};

const SIX: &str = "fd12:3456:7801:1::11";

/// Frames that are nearly right: a good one with some bytes changed and its end cut off.
fn mangled(base: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = base.len();
    (prop::collection::vec((0..len, any::<u8>()), 0..6), 0..=len).prop_map(move |(changes, cut)| {
        let mut bytes = base.clone();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes.truncate(cut);
        bytes
    })
}

proptest! {
    #[test]
    fn frames(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        mangled(udp(1, ("10.0.1.11", 9), ("10.0.1.13", 9), &[0; 40])),
        mangled(crate::frames::tcp(1, ("10.0.1.11", 9), ("192.0.2.1", 9), 2, &[2, 4, 35, 0])),
        mangled(crate::frames::arp(1, "10.0.1.11", "10.0.1.1")),
        mangled(crate::frames::icmp(1, "10.0.1.11", "10.0.2.12", 3, 4, &[69; 60])),
    ]) {
        let mut bench = Bench::new();
        let (verdict, frame) = bench.send(1, &bytes);
        if matches!(verdict, Verdict::Deliver(_) | Verdict::Uplink) {
            prop_assert_eq!(&bytes[6..12], mac(1));
            prop_assert_eq!(&bytes[26..30], ip("10.0.1.11").octets());
            prop_assert!(frame.len() <= bytes.len());
        }
    }

    #[test]
    fn ipv6_frames(bytes in prop_oneof![
        mangled(frames6::udp(1, (SIX, 9), ("fd12:3456:7801:1::13", 9), &[0; 40])),
        mangled(frames6::tcp(1, (SIX, 9), ("2001:db8::1", 9), 2, &[2, 4, 35, 0])),
        mangled(frames6::solicit(1, SIX, "fe80:ec2::1")),
        mangled(frames6::nd(1, SIX, "ff02::2", 133, &[0; 4])),
        mangled(frames6::icmp(1, SIX, "fd12:3456:7801:2::12", 1, 4, &[0x60; 60])),
        mangled(frames6::raw(1, 0, 64, SIX, "fd12:3456:7801:2::12", &[
            &frames6::options(44)[..], &frames6::fragment(60, 0, false, 7),
            &frames6::options(17), &frames6::udp_body(9, 9, b"hidden"),
        ].concat())),
    ]) {
        let mut bench = crate::ipv6::bench();
        let (verdict, frame) = bench.send(1, &bytes);
        if matches!(verdict, Verdict::Deliver(_) | Verdict::Uplink) {
            prop_assert_eq!(&bytes[6..12], mac(1));
            prop_assert_eq!(&bytes[22..38], frames6::ip6(SIX).octets());
            prop_assert!(frame.len() <= bytes.len());
            // Nothing that nodes of a link say to each other reaches another port.
            prop_assert!(frame[20] != 58 || !(133..=137).contains(&frame[54]));
        }
        bench.uplink(&bytes);
    }

    #[test]
    fn dhcpv6_messages(bytes in mangled([
        &[1, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1][..], &[0, 3, 0, 40], &[0; 12],
        &[0, 5, 0, 24], &[0; 24], &[0, 14, 0, 0],
    ].concat())) {
        vpc_card::fuzz::dhcp6(&bytes);
    }

    #[test]
    fn dhcp_messages(bytes in mangled(dhcp(1, 3, &[50, 4, 10, 0, 1, 11, 12, 3, 65, 66, 67]))) {
        let bench = Bench::new();
        let port = bench.engine.port(bench.index(1)).unwrap();
        let mut reply = Vec::new();
        if server::answer(port, &bytes, &mut reply).is_ok() {
            prop_assert!(reply.len() > 300);
        }
    }

    #[test]
    fn dns_messages(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        mangled(query("ip-10-0-1-11.ec2.internal", 1)),
    ]) {
        let bench = Bench::new();
        let port = bench.engine.port(bench.index(1)).unwrap();
        let mut reply = Vec::new();
        if dns::answer(&bench.engine, port, &bytes, &mut reply) == dns::Answer::Reply {
            prop_assert!(reply.len() >= 12);
            prop_assert_eq!(&reply[..2], &bytes[..2]);
        }
    }

    #[test]
    fn quoted_packets(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut buf = bytes.clone();
        let len = buf.len();
        let frame = Frame { buf: &mut buf, head: len, len, partial: false, segmented: false };
        if let Ok(packet) = Packet::parse(&frame) {
            let _ = packet.quoted(&frame);
        }
    }

    #[test]
    fn vhost_messages(request in 0..40_u32, payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(request, &payload);
        if let Some(bytes) = payload.first_chunk() {
            let _ = Header::parse(*bytes);
        }
    }
}
