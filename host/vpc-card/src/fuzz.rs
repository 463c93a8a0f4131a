//! What the fuzzers call, and the tests with the fuzzers' corpus: bytes in, no panic.

use crate::{
    engine::{
        Engine, PortIndex, Verdict,
        packet::{Frame, MAX_FRAME, Packet},
    },
    services::{
        Datagram, dhcp as dhcp_server, dhcp6 as dhcp6_server, dns as resolver,
        dns_stream::DnsStream,
    },
    vhost_user::{
        F_MRG_RXBUF,
        memory::{Chain, Memory, RegionSpec},
        message::{HEADER, Header, Message},
        ring::{self, Ring, RingSpec},
    },
};
use contracts::{
    card::{PortConfig, VpcPatch},
    network::{
        AclEntry, Address, Dhcp, Group, NatAddress, NatGateway, Peer, Port, Route, RouteTarget,
        Rule, Traffic,
    },
};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
};
use std::{
    fs::File,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
};
use types::{
    IpNet, Ipv4Net, Ipv6Net, Mac, NatGatewayId, NetworkInterfaceId, ResourceId as _,
    SecurityGroupId, SubnetId, VpcId,
};

/// An engine with one port, 10.0.0.10, public 198.18.0.10 and fd12:3456::a, in an open VPC; to
/// 198.51.100.0/24 it goes by a NAT gateway.
#[expect(clippy::too_many_lines, reason = "one configuration, in full")]
fn engine() -> Engine {
    let any = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
    let cidr = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 24);
    let pool = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 24);
    let any6 = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));
    let base6 = Ipv6Addr::new(0xfd12, 0x3456, 0, 0, 0, 0, 0, 0);
    let (pool6, cidr6) = (Ipv6Net::new_assert(base6, 40), Ipv6Net::new_assert(base6, 64));
    let (vpc, subnet) = (VpcId::from_number(1), SubnetId::from_number(1));
    let all = [any, any6].map(|any| Rule { traffic: Traffic::All, peer: Peer::Cidr(any) }).to_vec();
    let group = SecurityGroupId::from_number(1);
    let open =
        |egress, cidr| AclEntry { number: 1, egress, allow: true, traffic: Traffic::All, cidr };
    let public = Some(Ipv4Addr::new(198, 18, 0, 10));
    let port = Port {
        id: NetworkInterfaceId::from_number(1),
        vpc,
        subnet,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 9001,
        addresses: vec![Address { private: Ipv4Addr::new(10, 0, 0, 10), public }],
        ipv6: vec![Ipv6Addr::new(0xfd12, 0x3456, 0, 0, 0, 0, 0, 10)],
        ipv6_prefixes: Vec::new(),
        groups: vec![group],
        source_dest_check: true,
        host_name: "ip-10-0-0-10".to_owned(),
        resource_name: None,
        metadata_hop_limit: 1,
        connections: None,
        metadata_ipv6: false,
    };
    let config = PortConfig { port, socket: PathBuf::new(), uid: None, services: Vec::new() };
    let route = |destination, target| Route { destination, target };
    let subnet_of = |id, cidr, routes| contracts::network::Subnet {
        id,
        vpc,
        cidr,
        ipv6_cidr: (id == subnet).then_some(cidr6),
        routes,
        acl: vec![open(true, any), open(false, any), open(true, any6), open(false, any6)],
    };
    let gateways = SubnetId::from_number(2);
    let gateway = NatGatewayId::from_number(1);
    let behind = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24));
    let own = NatAddress {
        private: Ipv4Addr::new(10, 0, 1, 20),
        public: Some(Ipv4Addr::new(198, 18, 0, 20)),
        draining: false,
    };
    let host6 = Ipv6Addr::new(0xfd12, 0x3456, 0, 1, 0, 0, 0, 1);
    let mut engine = Engine::new(pool, Ipv4Addr::new(198, 18, 0, 1)).with_ipv6(pool6, host6);
    engine.apply(
        VpcPatch {
            ports: vec![config],
            vpcs: vec![contracts::network::Vpc {
                id: vpc,
                cidrs: vec![cidr],
                ipv6_cidrs: vec![cidr6],
                dns_support: true,
                dns_hostnames: true,
                private_domain: "ec2.internal".to_owned(),
                public_domain: "compute-1.amazonaws.com".to_owned(),
                dhcp: Dhcp::default(),
            }],
            subnets: vec![
                subnet_of(
                    subnet,
                    cidr,
                    vec![
                        route(cidr.into(), RouteTarget::Local),
                        route(any, RouteTarget::InternetGateway),
                        route(behind, RouteTarget::NatGateway(gateway)),
                        route(cidr6.into(), RouteTarget::Local),
                        route(any6, RouteTarget::EgressOnlyGateway),
                    ],
                ),
                subnet_of(
                    gateways,
                    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 1, 0), 24),
                    vec![
                        route(cidr.into(), RouteTarget::Local),
                        route(any, RouteTarget::InternetGateway),
                    ],
                ),
            ],
            groups: vec![Group {
                id: group,
                vpc,
                ingress: all.clone(),
                egress: all,
                members: Vec::new(),
            }],
            nat_gateways: vec![NatGateway {
                id: gateway,
                vpc,
                subnet: gateways,
                addresses: vec![own],
                port_key: (1, 2),
            }],
            ..VpcPatch::default()
        },
        0,
    );
    engine
}

const ECHO: [u8; 42] = [
    0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 1, 0x06, 0xa3, 10,
    0, 0, 10, 198, 51, 100, 1, 8, 0, 0xf7, 0xf8, 0, 7, 0, 0,
];

/// Packets that a guest sends out, each behind its length, to the uplink by sockets.
pub fn uplink(bytes: &[u8]) {
    let mut rest = bytes;
    crate::uplink::sockets::examine(std::iter::from_fn(|| {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (packet, after) = behind.split_at_checked(len)?;
        rest = after;
        Some(packet)
    }));
}

/// A frame, from the guest, again, and from the uplink. An echo to 198.51.100.1 is under way,
/// identifier 7. What is decided again is the same.
pub fn frame(bytes: &[u8]) {
    let (mut engine, mut layers) = (engine(), engine());
    for engine in [&mut engine, &mut layers] {
        let mut echo = ECHO;
        let len = echo.len();
        let mut first = Frame { buf: &mut echo, head: len, len, partial: false, segmented: false };
        assert_eq!(engine.from_port(PortIndex(0), &mut first, 1000), Verdict::Uplink);
    }
    for uplink in [false, false, false, true] {
        let run = |engine: &mut Engine, repeat: bool| {
            let mut buf = bytes.to_vec();
            let len = buf.len();
            buf.resize(len.max(512), 0);
            let mut frame =
                Frame { buf: &mut buf, head: len, len, partial: false, segmented: false };
            let verdict = match (uplink, repeat) {
                (true, _) => engine.from_uplink(&mut frame, 1000),
                (false, true) => engine.from_port(PortIndex(0), &mut frame, 1000),
                (false, false) => engine.pass_layers(PortIndex(0), &mut frame, 1000),
            };
            assert!(frame.head <= frame.len && frame.head <= frame.buf.len());
            if let Ok(packet) = Packet::parse(&frame) {
                let _ = packet.quoted(&frame);
            }
            verdict
        };
        // A NAT gateway's ports are each engine's own chance.
        let verdicts = [run(&mut engine, true), run(&mut layers, false)];
        assert!(uplink || verdicts[0] == verdicts[1], "{verdicts:?}");
    }
}

/// A DHCP message.
pub fn dhcp(bytes: &[u8]) {
    let engine = engine();
    let mut frame = vec![0; 42];
    frame[14] = 0x45;
    frame.extend_from_slice(bytes);
    if let Some(port) = engine.port(PortIndex(0)) {
        let _ = dhcp_server::answer(port, &frame, &mut Vec::new());
    }
}

/// A DHCPv6 message.
pub fn dhcp6(bytes: &[u8]) {
    let engine = engine();
    let Some(port) = engine.port(PortIndex(0)) else { return };
    let body = bytes.get(..bytes.len().min(MAX_FRAME - 62)).unwrap_or_default();
    let from = (port.link_local().into(), dhcp6_server::PORTS.1);
    let to = (dhcp6_server::SERVERS.into(), dhcp6_server::PORTS.0);
    let mut frame = Vec::new();
    Datagram { macs: ([0x33; 6], port.mac()), src: from, dst: to }.frame(body, &mut frame);
    let whole = frame.clone();
    let len = frame.len();
    let read = Frame { buf: &mut frame, head: len, len, partial: false, segmented: false };
    if let Ok(packet) = Packet::parse(&read) {
        let _ = dhcp6_server::answer(port, &packet, &whole, &mut Vec::new());
    }
}

/// A DNS query by UDP, its limit, and its answer cut to the smallest one.
pub fn dns(bytes: &[u8]) {
    let engine = engine();
    if let Some(port) = engine.port(PortIndex(0)) {
        let mut reply = Vec::new();
        resolver::answer(&engine, port, bytes, &mut reply);
        assert!(resolver::udp_limit(bytes) >= 512);
        reply.resize(reply.len().max(600), 0);
        resolver::truncate(bytes, &mut reply, 512);
        assert!(reply.len() <= 512);
    }
}

/// A guest's bytes on a TCP connection to the resolver: the first says how they are cut.
pub fn dns_stream(bytes: &[u8]) {
    let engine = engine();
    let (Some(port), Some((piece, bytes))) = (engine.port(PortIndex(0)), bytes.split_first())
    else {
        return;
    };
    let mut stream = DnsStream::new(0);
    for mut bytes in bytes.chunks(usize::from(*piece) + 1) {
        while !bytes.is_empty() {
            let taken = stream.take(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            loop {
                let Ok(query) = stream.query(0) else { return };
                let Some(query) = query else { break };
                let mut reply = Vec::new();
                resolver::answer(&engine, port, &query, &mut reply);
                stream.answer(&reply);
                stream.sent(stream.output().len(), 0);
            }
            assert!(taken > 0 || bytes.is_empty(), "it takes no more, and has no query");
        }
    }
}

/// A vhost-user message.
pub fn message(bytes: &[u8]) {
    if let Some((header, payload)) = bytes.split_first_chunk::<HEADER>()
        && let Some(header) = Header::parse(*header)
    {
        let _ = Message::parse(header.request, payload);
    }
}

/// A queue's descriptors and rings, from the guest's first byte on: both directions.
pub fn chain(bytes: &[u8]) {
    const SIZE: u64 = 1 << 16;
    let run = || -> Option<()> {
        let file: File = memfd_create("fuzz", MemfdFlags::ALLOW_SEALING).ok()?.into();
        file.set_len(SIZE).ok()?;
        fcntl_add_seals(&file, SealFlags::SHRINK).ok()?;
        file.write_all_at(bytes.get(..bytes.len().min(1 << 16))?, 0).ok()?;
        let spec = RegionSpec { guest: 0, size: SIZE, user: 0, offset: 0 };
        let memory = Arc::new(Memory::new(vec![(spec, file.into())]).ok()?);
        let ring = |features| {
            let kick = eventfd(0, EventfdFlags::NONBLOCK).ok()?;
            let (available, used) = (256, 512);
            let spec = RingSpec { size: 16, descriptors: 0, available, used, base: 0 };
            Ring::new(Arc::clone(&memory), spec, features, kick, None).ok()
        };
        let mut source = Chain::default();
        let mut read = [0; 512];
        let mut transmit = ring(0)?;
        for _ in 0..32 {
            if let Ok(Some(head)) = transmit.pop(&mut source) {
                source.read(ring::HEADER, &mut read);
                transmit.complete(head, 0);
            }
        }
        let mut receive = ring(F_MRG_RXBUF)?;
        for _ in 0..32 {
            let rest = source.len().saturating_sub(64).min(4096);
            let _ = receive.push([0; ring::HEADER], &read, &source, 64, rest);
            receive.publish();
        }
        Some(())
    };
    let _ = run();
}
