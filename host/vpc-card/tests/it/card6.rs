//! A running card with IPv6: guests by real rings.

use crate::{
    card::Rig,
    config::{eni, mac, patch6},
    frames::query,
    frames6::{dhcp, ip6, nd, own, packet, ping, solicit, source, sum_is_right, tcp_body, udp},
    frontend::FEATURES,
};
use contracts::{
    card::{Service, VpcPatch},
    network::ResourceName,
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
};
use vpc_card::engine::packet::{ACK, FIN, SYN, TCP};

const A: &str = "fd12:3456:7801:1::11";
const B: &str = "fd12:3456:7801:2::12";
const C: &str = "fd12:3456:7801:1::13";
const METADATA: &str = "fd00:ec2::254";
const ROUTER: &str = "fe80::cfb:aff:fe00:101";

/// A card whose ports have IPv6 too, and whose first one has the metadata service there.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let mut patch = rig.patch();
    let six = patch6();
    let ports = patch.ports.iter_mut().zip(&six.ports);
    for (config, six) in ports {
        config.port.ipv6.clone_from(&six.port.ipv6);
        let at_four = config.services[0].clone();
        config.services.push(Service { address: ip6(METADATA).into(), ..at_four });
    }
    let name = ResourceName { name: "i-02".to_owned(), a: true, aaaa: true };
    patch.ports[1].port.resource_name = Some(name);
    let patch = VpcPatch { ports: patch.ports, ..six };
    assert!(rig.apply(patch).is_empty());
    rig
}

#[test]
fn a_guest_finds_its_way_and_talks() {
    let mut rig = rig();
    let (mut a, mut b) = (rig.boot(1), rig.boot(2));
    a.transmit(&nd(1, &own(1), "ff02::2", 133, &[0; 4]));
    let advertisement = a.expect();
    assert_eq!((advertisement[54], source(&advertisement)), (134, ip6(ROUTER)));
    a.transmit(&solicit(1, &own(1), ROUTER));
    assert_eq!(a.expect()[54], 136);
    let association = (3, [&b"iaid"[..], &[0; 8]].concat());
    a.transmit(&dhcp(1, 1, &[(1, b"client".to_vec()), association]));
    let offer = a.expect();
    assert!(sum_is_right(&offer));
    assert!(offer.windows(16).any(|window| window == ip6(A).octets()));
    a.transmit(&ping(1, A, B));
    let arrived = b.expect();
    assert_eq!((source(&arrived), arrived[54]), (ip6(A), 128));
    assert!(sum_is_right(&arrived));
    // A frame of many buffers.
    b.transmit(&udp(2, (B, 1), (A, 2), &[5; 1900]));
    let long = a.expect();
    assert_eq!(long.len(), 1962);
    assert!(sum_is_right(&long));
    a.transmit(&solicit(1, C, ROUTER));
    a.expect_nothing();
    assert_eq!(rig.count(1, "drop_spoofed_nd"), 1);
}

#[test]
fn a_guest_is_told_when_it_gets_ipv6() {
    let mut rig = Rig::new();
    let mut a = rig.boot(1);
    let mut patch = VpcPatch { reset: false, ..patch6() };
    for (config, socket) in patch.ports.iter_mut().zip(rig.patch().ports) {
        config.socket = socket.socket;
    }
    rig.apply(patch);
    let advertisement = a.expect();
    assert_eq!((advertisement[54], &advertisement[..6]), (134, &[0x33, 0x33, 0, 0, 0, 1][..]));
    assert!(sum_is_right(&advertisement));
}

#[test]
fn services_end_the_guests_tcp() {
    let rig = rig();
    let mut a = rig.boot(1);
    let listener = UnixListener::bind(rig.service()).unwrap();
    let segment = |port: u16, ours: u32, theirs: u32, flags, payload: &[u8]| {
        let mut body = tcp_body(4000, port, flags, payload);
        body[4..8].copy_from_slice(&ours.to_be_bytes());
        body[8..12].copy_from_slice(&theirs.to_be_bytes());
        body[14..16].copy_from_slice(&8192_u16.to_be_bytes());
        packet(1, TCP, 64, A, METADATA, &body)
    };
    a.transmit(&segment(80, 0, 0, SYN, b""));
    let answer = a.expect();
    assert!(sum_is_right(&answer));
    assert_eq!((answer[67], answer[21], &answer[..6]), (SYN | ACK, 1, &mac(1)[..]));
    let theirs = u32::from_be_bytes(answer[58..62].try_into().unwrap()).wrapping_add(1);
    a.transmit(&segment(80, 1, theirs, ACK, b"GET / HTTP/1.0\r\n\r\n"));
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let vpc = rig.patch().ports[0].port.vpc;
    assert_eq!(line, format!("{} {A} 4000 {vpc}\n", eni(1)));
    stream.write_all(b"hello").unwrap();
    let mut data = a.expect();
    while data.len() == 74 {
        data = a.expect();
    }
    assert_eq!(&data[74..], b"hello");
    drop((stream, reader));
    while a.expect()[67] & (FIN | 4) == 0 {}
    // Where nothing is offered, the guest is told.
    a.transmit(&segment(81, 0, 0, SYN, b""));
    while a.expect()[67] & 4 == 0 {}
}

#[test]
fn names_resolve_over_ipv6() {
    let rig = rig();
    let mut a = rig.boot(1);
    a.transmit(&udp(1, (A, 999), ("fd00:ec2::253", 53), &query("i-02.ec2.internal", 28)));
    let reply = a.expect();
    assert!(sum_is_right(&reply));
    assert_eq!(source(&reply), ip6("fd00:ec2::253"));
    assert!(reply.ends_with(&ip6(B).octets()));
}

#[test]
fn partial_checksums_are_passed_on_or_completed() {
    let rig = rig();
    // Port 3 takes partial checksums, port 2 does not.
    let (mut a, mut b) = (rig.boot_with(1, FEATURES | 1), rig.boot(2));
    let mut c = rig.boot_with(3, FEATURES | 2);
    let partial = |to: &str| {
        let mut frame = udp(1, (A, 7), (to, 8), &[3; 1300]);
        // The sum of the pseudo header, not complemented.
        let pseudo = vpc_card::engine::ipv6::pseudo(ip6(A), ip6(to), 17, 1308);
        frame[60..62].copy_from_slice(&pseudo.fold().to_be_bytes());
        frame
    };
    let header = [1, 0, 0, 0, 0, 0, 54, 0, 6, 0, 0, 0];
    a.transmit_with(&header, &partial(B));
    assert!(sum_is_right(&b.expect()));
    a.transmit_with(&header, &partial(C));
    let (told, frame) = c.receive_with(std::time::Duration::from_secs(5)).unwrap();
    assert_eq!((told[0], told[6], told[8]), (1, 54, 6));
    assert_eq!(frame[60..62], partial(C)[60..62]);
}
