//! A running card: its control socket, and guests by real rings.

use crate::{
    config::{ANY, POOL, POOL6, eni, group, ip, net, patch, rule, sg, vpc},
    frames::{arp, dhcp, ping, sums_are_right, tcp, udp},
    frontend::{FEATURES, Frontend, GUEST, INDIRECT, NEXT, WRITE, descriptor},
};
use contracts::{
    card::{Reply, Service, VpcPatch, VpcRequest},
    network::{Dhcp, Peer, Rule, Traffic, Vpc},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};
use types::Ipv4Net;
use vpc_card::{
    Card, Config, Way,
    engine::packet::{ACK, FIN, SYN},
};

pub struct Rig {
    folder: PathBuf,
    /// Public addresses.
    pub pool: Ipv4Net,
    uplink: Way,
    resolvers: Vec<SocketAddr>,
    card: Option<Card>,
    control: BufReader<UnixStream>,
}

impl Rig {
    pub fn new() -> Self {
        Self::asking(Vec::new())
    }

    /// With resolvers of the test's own.
    pub fn asking(resolvers: Vec<SocketAddr>) -> Self {
        Self::with(Way::None, resolvers)
    }

    pub fn with(uplink: Way, resolvers: Vec<SocketAddr>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vpc-card-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let pool = match uplink {
            Way::None | Way::Tun(_) => net(POOL),
            // Of this rig alone, whatever runs beside it.
            Way::Sockets => {
                let place = (std::process::id() ^ number << 13) % 16_384;
                net(&format!("127.{}.{}.0/24", 64 + place / 256, place % 256))
            }
        };
        let (card, control) = start(&folder, &uplink, pool, &resolvers);
        let mut rig = Self { folder, pool, uplink, resolvers, card: Some(card), control };
        rig.configure();
        rig
    }

    pub fn patch(&self) -> VpcPatch {
        let mut patch = patch();
        for config in &mut patch.ports {
            if self.uplink == Way::Sockets {
                for public in config.port.addresses.iter_mut().filter_map(|it| it.public.as_mut()) {
                    let own = u32::from(*public) & 0xff;
                    *public = (u32::from(self.pool.network()) | own).into();
                }
            }
            config.socket = self.folder.join(config.port.id.to_string());
            let socket = self.folder.join("service");
            let address = ip("169.254.169.254").into();
            config.services.push(Service {
                address,
                port: 80,
                socket,
                hop_limit: 1,
                names: vec!["*.services.internal".to_owned()],
            });
        }
        patch
    }

    fn configure(&mut self) {
        let patch = self.patch();
        assert_eq!(self.apply(patch), BTreeMap::new());
    }

    fn ask(&mut self, request: &VpcRequest) -> Reply {
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        self.control.get_mut().write_all(&line).unwrap();
        let mut reply = String::new();
        self.control.read_line(&mut reply).unwrap();
        serde_json::from_str(&reply).unwrap()
    }

    pub fn apply(&mut self, patch: VpcPatch) -> BTreeMap<String, String> {
        match self.ask(&VpcRequest::Apply(patch)) {
            Reply::Applied { failed } => failed,
            other @ (Reply::Status(_) | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }

    pub fn count(&mut self, port: u8, name: &str) -> u64 {
        match self.ask(&VpcRequest::Status) {
            Reply::Status(all) => {
                all[&eni(port).to_string()].get(name).copied().unwrap_or_default()
            }
            other @ (Reply::Applied { .. } | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }

    pub fn boot(&self, port: u8) -> Frontend {
        Frontend::boot(&self.socket(port))
    }

    /// The owner's socket.
    pub fn owner(&self) -> PathBuf {
        self.folder.join("owner.sock")
    }

    pub fn boot_with(&self, port: u8, features: u64) -> Frontend {
        Frontend::boot_with(&self.socket(port), features)
    }

    /// Where services' connections go.
    pub fn service(&self) -> PathBuf {
        self.folder.join("service")
    }

    fn socket(&self, port: u8) -> PathBuf {
        self.folder.join(eni(port).to_string())
    }

    fn restart(&mut self) {
        self.card = None;
        let (card, control) = start(&self.folder, &self.uplink, self.pool, &self.resolvers);
        (self.card, self.control) = (Some(card), control);
        self.configure();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.card = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn start(
    folder: &Path,
    uplink: &Way,
    pool: Ipv4Net,
    resolvers: &[SocketAddr],
) -> (Card, BufReader<UnixStream>) {
    let control = folder.join("card.sock");
    let config = Config {
        control: control.clone(),
        owner: folder.join("owner.sock"),
        uplink: uplink.clone(),
        public_pool: pool,
        public_pool6: POOL6.parse().unwrap(),
        resolvers: resolvers.to_vec(),
    };
    let card = Card::start(&config).unwrap();
    (card, BufReader::new(UnixStream::connect(control).unwrap()))
}

#[test]
fn a_guest_gets_its_lease_and_talks() {
    let mut rig = Rig::new();
    let (mut a, mut b) = (rig.boot(1), rig.boot(2));
    a.transmit(&dhcp(1, 1, &[]));
    let offer = a.expect();
    assert!(sums_are_right(&offer));
    assert_eq!(offer[58..62], ip("10.0.1.11").octets());
    a.transmit(&dhcp(1, 3, &[50, 4, 10, 0, 1, 11, 54, 4, 10, 0, 1, 1]));
    let ack = a.expect();
    assert_eq!(ack[282..285], [53, 1, 5]);
    let has = |option: &[u8]| ack.windows(option.len()).any(|window| window == option);
    assert!(has(&[26, 2, 0x23, 0x29]), "MTU");
    assert!(has(&[6, 4, 10, 0, 0, 2]), "resolver");
    assert!(has(b"\x0c\x0cip-10-0-1-11"), "host name");
    a.transmit(&dhcp(1, 3, &[50, 4, 10, 0, 1, 99, 54, 4, 10, 0, 1, 1]));
    assert_eq!(a.expect()[282..285], [53, 1, 6]);
    a.transmit(&arp(1, "10.0.1.11", "10.0.1.1"));
    assert_eq!(a.expect()[20..22], [0, 2]);
    a.transmit(&ping(1, "10.0.1.11", "10.0.2.12"));
    let arrived = b.expect();
    assert!(sums_are_right(&arrived));
    // A frame of many buffers.
    b.transmit(&udp(2, ("10.0.2.12", 1), ("10.0.1.11", 2), &[5; 1900]));
    let long = a.expect();
    assert_eq!(long.len(), 1942);
    assert!(sums_are_right(&long));
    assert_eq!(rig.count(1, "tx_packets"), 5);
    assert_eq!(rig.count(2, "link_up"), 1);
}

#[test]
fn a_lease_carries_the_vpcs_options() {
    let mut rig = Rig::new();
    let mut a = rig.boot(1);
    let dhcp_options = Dhcp {
        domain_name: Some("corp.example".to_owned()),
        no_name_servers: true,
        ntp_servers: vec![ip("10.0.0.8"), ip("10.0.0.9")],
        netbios_servers: vec![ip("10.0.0.7")],
        netbios_node_type: Some(2),
        ..Dhcp::default()
    };
    let own = Vpc { dhcp: dhcp_options.clone(), ..vpc(1) };
    rig.apply(VpcPatch { vpcs: vec![own], ..VpcPatch::default() });
    let has =
        |frame: &[u8], option: &[u8]| frame.windows(option.len()).any(|window| window == option);
    a.transmit(&dhcp(1, 1, &[]));
    let offer = a.expect();
    assert!(has(&offer, b"\x0f\x0ccorp.example"), "domain name");
    assert!(has(&offer, &[42, 8, 10, 0, 0, 8, 10, 0, 0, 9]), "NTP servers");
    assert!(has(&offer, &[44, 4, 10, 0, 0, 7, 46, 1, 2]), "NetBIOS");
    assert!(!has(&offer, &[6, 4, 10, 0, 0, 2]), "no resolver");
    let servers =
        Dhcp { name_servers: vec![ip("10.0.0.6")], no_name_servers: false, ..dhcp_options };
    let own = Vpc { dhcp: servers, ..vpc(1) };
    rig.apply(VpcPatch { vpcs: vec![own], ..VpcPatch::default() });
    a.transmit(&dhcp(1, 1, &[]));
    assert!(has(&a.expect(), &[6, 4, 10, 0, 0, 6]), "name server");
}

#[test]
fn groups_change_live() {
    let mut rig = Rig::new();
    let (mut a, mut b) = (rig.boot(1), rig.boot(2));
    let syn = |port| tcp(1, ("10.0.1.11", port), ("10.0.2.12", 22), SYN, b"");
    let groups = |groups| VpcPatch { groups, ..VpcPatch::default() };
    rig.apply(groups(vec![group(2, vec![], &[])]));
    a.transmit(&syn(1));
    b.expect_nothing();
    assert_eq!(rig.count(2, "drop_group_ingress"), 1);
    let ssh = rule(Traffic::Tcp { from: 22, to: 22 }, ANY);
    rig.apply(groups(vec![group(2, vec![ssh], &[])]));
    a.transmit(&syn(2));
    b.expect();
    let members = Rule { traffic: Traffic::All, peer: Peer::Group(sg(1)) };
    rig.apply(groups(vec![group(2, vec![members], &[])]));
    a.transmit(&syn(3));
    b.expect_nothing();
    rig.apply(groups(vec![group(1, vec![], &["10.0.1.11"])]));
    a.transmit(&syn(4));
    b.expect();
}

#[test]
fn a_restarted_card_goes_on() {
    let mut rig = Rig::new();
    let (mut a, mut b) = (rig.boot(1), rig.boot(2));
    let data = tcp(1, ("10.0.1.11", 1), ("10.0.2.12", 22), ACK, b"data");
    a.transmit(&data);
    b.expect();
    for _ in 0..3 {
        rig.restart();
        a.reconnect(&rig.socket(1));
        b.reconnect(&rig.socket(2));
        for _ in 0..100 {
            a.transmit(&data);
            assert_eq!(b.expect().len(), data.len());
        }
    }
}

#[test]
fn ports_come_and_go() {
    let mut rig = Rig::new();
    let mut a = rig.boot(1);
    let patch = VpcPatch { remove_ports: vec![eni(1)], ..VpcPatch::default() };
    rig.apply(patch);
    assert!(a.is_closed());
    assert!(!rig.socket(1).exists());
    rig.configure();
    let mut a = rig.boot(1);
    a.transmit(&arp(1, "10.0.1.11", "10.0.1.1"));
    a.expect();
    // The same again disturbs nothing.
    rig.configure();
    a.transmit(&arp(1, "10.0.1.11", "10.0.1.1"));
    a.expect();
    let mut lost = rig.patch().ports.remove(0);
    lost.port.id = eni(9);
    lost.socket = PathBuf::from("/nonexistent/socket");
    let failed = rig.apply(VpcPatch { ports: vec![lost], ..VpcPatch::default() });
    assert!(failed[&eni(9).to_string()].contains("bind"));
    assert!(matches!(rig.ask(&VpcRequest::Status), Reply::Status(_)));
}

#[test]
fn services_end_the_guests_tcp() {
    let rig = Rig::new();
    let mut a = rig.boot(1);
    let listener = UnixListener::bind(rig.folder.join("service")).unwrap();
    let (guest, service) = (("10.0.1.11", 4000), ("169.254.169.254", 80));
    a.transmit(&tcp(1, guest, service, SYN, b""));
    let answer = a.expect();
    assert!(sums_are_right(&answer));
    assert_eq!((answer[47], answer[22]), (SYN | ACK, 1));
    let theirs = u32::from_be_bytes(answer[38..42].try_into().unwrap()).wrapping_add(1);
    let segment = |ours: u32, theirs: u32, flags, payload: &[u8]| {
        let mut frame = tcp(1, guest, service, flags, payload);
        frame[38..42].copy_from_slice(&ours.to_be_bytes());
        frame[42..46].copy_from_slice(&theirs.to_be_bytes());
        frame[48..50].copy_from_slice(&8192_u16.to_be_bytes());
        crate::frames::ipv4(1, 6, guest.0, service.0, &{
            frame[50..52].copy_from_slice(&[0, 0]);
            frame[34..].to_vec()
        })
    };
    a.transmit(&segment(1, theirs, ACK, b"GET / HTTP/1.0\r\n\r\n"));
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let vpc = rig.patch().ports[0].port.vpc;
    assert_eq!(line, format!("{} 10.0.1.11 4000 {vpc}\n", eni(1)));
    line.clear();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "GET / HTTP/1.0\r\n");
    stream.write_all(b"hello").unwrap();
    let mut data = a.expect();
    while data.len() == 54 {
        data = a.expect();
    }
    assert_eq!(&data[54..], b"hello");
    drop((stream, reader));
    while a.expect()[47] & (FIN | 4) == 0 {}
    // Where nothing is offered, the guest is told.
    a.transmit(&tcp(1, guest, ("169.254.169.254", 81), SYN, b""));
    while a.expect()[47] & 4 == 0 {}
}

#[test]
fn names_resolve() {
    let rig = Rig::new();
    let mut a = rig.boot(1);
    let mut ask = |name: &str, kind| {
        let query = crate::frames::query(name, kind);
        a.transmit(&udp(1, ("10.0.1.11", 999), ("10.0.0.2", 53), &query));
        let reply = a.expect();
        assert!(sums_are_right(&reply));
        reply[42..].to_vec()
    };
    assert!(ask("ip-10-0-2-12.ec2.internal", 1).ends_with(&[10, 0, 2, 12]));
    let public = "ec2-198-18-0-12.compute-1.amazonaws.com";
    assert!(ask(public, 1).ends_with(&[10, 0, 2, 12]));
    let name = ask("12.2.0.10.in-addr.arpa", 12);
    assert!(name.windows(12).any(|window| window == b"ip-10-0-2-12"));
    assert_eq!(ask("nope.ec2.internal", 1)[3] & 15, 3);
    assert!(ask("Bucket.Services.internal", 1).ends_with(&[169, 254, 169, 254]));
    let six = ask("bucket.services.internal", 28);
    assert_eq!((six[3] & 15, &six[6..8]), (0, &[0, 0][..]), "the name exists, without an AAAA");
    assert_eq!(ask("ip-10-0-2-12.ec2.internal", 28)[3] & 15, 0);
}

#[test]
fn hostile_chains_harm_only_their_guest() {
    let mut rig = Rig::new();
    let (mut a, mut b, mut c) = (rig.boot(1), rig.boot(2), rig.boot(3));
    let buffer = GUEST + 0x20_0000;
    // A circle; beyond memory; huge; writable; past the table; bad indirect tables.
    a.descriptor(1, 0, buffer, 64, NEXT, 0);
    a.descriptor(1, 1, 0xffff_ffff_ffff_fff0, 64, 0, 0);
    a.descriptor(1, 2, buffer, u32::MAX, 0, 0);
    a.descriptor(1, 3, buffer, 64, WRITE, 0);
    a.descriptor(1, 4, buffer, 64, NEXT, 999);
    a.descriptor(1, 5, buffer, 17, INDIRECT, 0);
    a.descriptor(1, 6, buffer, 16, INDIRECT, 0);
    a.write(0x20_0000, &descriptor(buffer, 16, INDIRECT, 0));
    a.descriptor(1, 7, buffer, 5, 0, 0);
    for head in 0..8 {
        a.offer(1, head);
    }
    a.kick();
    a.wait_transmitted();
    assert_eq!(rig.count(1, "drop_bad_chain"), 7);
    assert_eq!(rig.count(1, "drop_malformed"), 1);
    a.transmit(&ping(1, "10.0.1.11", "10.0.2.12"));
    b.expect();
    // An index far ahead breaks the ring.
    a.set_available(1, 30_000);
    a.kick();
    c.transmit(&ping(3, "10.0.1.13", "10.0.2.12"));
    b.expect();
    assert_eq!(rig.count(1, "broken_rings"), 1);
    // Messages that make no sense end the connection, and no other.
    b.send(9, 1, &[7; 40], &[]);
    assert!(b.is_closed());
    c.transmit(&arp(3, "10.0.1.13", "10.0.1.1"));
    c.expect();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_chains(chains in prop::collection::vec(
        (0..64_u16, any::<(u64, u32, u16, u16)>(), any::<bool>()), 1..40,
    )) {
        let mut rig = Rig::new();
        let (mut a, mut b) = (rig.boot(1), rig.boot(3));
        for (index, (address, len, flags, next), near) in chains {
            let address = if near { GUEST + address % (4 << 20) } else { address };
            let len = if near { len % 5000 } else { len };
            a.descriptor(1, index, address, len, flags & 7, next % 80);
            a.offer(1, index);
        }
        a.kick();
        b.transmit(&arp(3, "10.0.1.13", "10.0.1.1"));
        b.expect();
        prop_assert_eq!(rig.count(3, "broken_rings"), 0);
    }
}

#[test]
fn partial_checksums_are_passed_on_or_completed() {
    use std::time::Duration;
    let rig = Rig::new();
    let mut a = Frontend::boot_with(&rig.socket(1), FEATURES | 3);
    let mut b = Frontend::boot_with(&rig.socket(2), FEATURES | 3);
    let mut c = rig.boot(3);
    let partial = |to: &str| {
        let mut frame = udp(1, ("10.0.1.11", 1), (to, 2), &[9; 1501]);
        // The sum of the pseudo header, not complemented.
        let mut pseudo = vpc_card::engine::checksum::Sum::default();
        pseudo.bytes(&frame[26..34]);
        pseudo.word(17);
        pseudo.word(1509);
        frame[40..42].copy_from_slice(&pseudo.fold().to_be_bytes());
        frame
    };
    let header = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];
    a.transmit_with(&header, &partial("10.0.1.13"));
    assert!(sums_are_right(&c.expect()));
    a.transmit_with(&header, &partial("10.0.2.12"));
    let (header, frame) = b.receive_with(Duration::from_secs(5)).unwrap();
    assert_eq!(header[..10], [1, 0, 0, 0, 0, 0, 34, 0, 6, 0]);
    assert_eq!(frame[40..42], partial("10.0.2.12")[40..42]);
    // By public addresses the sum goes along.
    a.transmit_with(&[1, 0, 0, 0, 0, 0, 99, 0, 99, 0, 0, 0], &partial("198.18.0.12")[..1400]);
    a.transmit_with(&[1, 0, 0, 0, 0, 0, 99, 0, 99, 0, 0, 0], &{
        let mut ping = ping(1, "10.0.1.11", "10.0.1.13");
        ping[20] = 0x40;
        ping
    });
    b.expect_nothing();
    c.expect_nothing();
}

#[test]
fn memory_that_may_shrink_is_refused() {
    use std::os::fd::AsFd as _;
    let rig = Rig::new();
    let mut a = rig.boot(1);
    let file = std::fs::File::open("/dev/zero").unwrap();
    let region = [GUEST, 4096, 0, 0].map(u64::to_ne_bytes).concat();
    let table = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &region].concat();
    assert!(!a.tell(5, &table, &[file.as_fd()]));
    let overflow = [u64::MAX - 4, 4096, 0, 0].map(u64::to_ne_bytes).concat();
    let table = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &overflow].concat();
    assert!(!a.tell(5, &table, &[file.as_fd()]));
}
