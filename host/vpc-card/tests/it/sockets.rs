//! The uplink by sockets: guests reach the host and the host reaches them, without privileges.

use crate::{
    card::Rig,
    config::{ANY, eni, group, ip, port, rule},
    frames::{ping, sums_are_right, tcp, udp},
    guest::Guest,
};
use contracts::{
    card::{OwnerReply, OwnerRequest, VpcPatch},
    network::Traffic,
};
use smoltcp::socket::tcp::State;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};
use vpc_card::{
    Way,
    engine::packet::{ACK, RST, SYN},
};

/// Guest 1's public address on the host, and the host's as guests see it.
fn addresses(rig: &Rig) -> (Ipv4Addr, String) {
    let base = u32::from(rig.pool.network());
    let twin = u32::from(ip("198.18.0.0")) | base & 0x1_ffff;
    (Ipv4Addr::from(base + 11), Ipv4Addr::from(twin + 1).to_string())
}

fn start() -> (Rig, Guest, Ipv4Addr, String) {
    let rig = Rig::with(Way::Sockets, Vec::new());
    let guest = Guest::new(rig.boot(1), 1, "10.0.1.11");
    let (public, host) = addresses(&rig);
    (rig, guest, public, host)
}

/// Only this TCP port of guest 1 is open, and this UDP port.
fn only(port: u16) -> VpcPatch {
    let tcp = rule(Traffic::Tcp { from: port, to: port }, ANY);
    let udp = rule(Traffic::Udp { from: port, to: port }, ANY);
    VpcPatch { groups: vec![group(1, vec![tcp, udp], &[])], ..VpcPatch::default() }
}

fn status(rig: &Rig) -> BTreeMap<String, BTreeMap<String, u64>> {
    match ask(rig, &OwnerRequest::Status).1 {
        OwnerReply::Status(report) => report,
        other @ (OwnerReply::Connected | OwnerReply::Refused(_)) => panic!("{other:?}"),
    }
}

fn ask(rig: &Rig, request: &OwnerRequest) -> (UnixStream, OwnerReply) {
    let stream = begin(rig, request);
    let mut line = Vec::new();
    BufReader::with_capacity(1, &stream).read_until(b'\n', &mut line).unwrap();
    (stream, serde_json::from_slice(&line).unwrap())
}

fn begin(rig: &Rig, request: &OwnerRequest) -> UnixStream {
    let mut stream = UnixStream::connect(rig.owner()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut line = serde_json::to_vec(request).unwrap();
    line.push(b'\n');
    stream.write_all(&line).unwrap();
    stream
}

/// Waits until the card says so of a public address.
fn until(rig: &Rig, what: &str, condition: impl Fn(&BTreeMap<String, u64>) -> bool) {
    let (public, _) = addresses(rig);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let report = status(rig);
        if condition(report.get(&public.to_string()).unwrap_or(&BTreeMap::new())) {
            return;
        }
        assert!(Instant::now() < end, "{what}: {report:?}");
        std::thread::yield_now();
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn a_guest_s_tcp_reaches_the_host_and_ends_both_ways() {
    let (_rig, mut guest, public, host) = start();
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let at = listener.local_addr().unwrap().port();
    let socket = guest.connect((&host, at), 4000);
    let server = std::thread::spawn(move || {
        let (mut stream, caller) = listener.accept().unwrap();
        let mut all = Vec::new();
        // Reads to the guest's end, and answers after it.
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
        caller.ip()
    });
    guest.until_open(socket);
    let bytes = pattern(600_000);
    guest.send(socket, &bytes);
    guest.get(socket).close();
    assert_eq!(guest.read(socket, bytes.len()), bytes);
    guest.until("closed", socket, |socket| {
        matches!(socket.state(), State::TimeWait | State::Closed).then_some(())
    });
    // The host sees the instance's public address.
    assert_eq!(server.join().unwrap(), IpAddr::V4(public));
}

#[test]
fn refusals_are_the_guest_s_to_hear() {
    let (mut rig, mut guest, _, host) = start();
    let loopback = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let private = loopback.local_addr().unwrap().port();
    // A service at 127.0.0.1 alone is none of a guest's business.
    let socket = guest.connect((&host, private), 4001);
    guest.until("refused", socket, |socket| (socket.state() == State::Closed).then_some(()));
    // No other loopback, link-local or reserved address is called at all: "prohibited".
    for (number, forbidden) in ["127.0.0.1", "240.0.0.1"].into_iter().enumerate() {
        let from = 4100 + u16::try_from(number).unwrap();
        guest.front.transmit(&tcp(1, ("10.0.1.11", from), (forbidden, private), SYN, b""));
        let told = guest.front.expect();
        assert!(sums_are_right(&told));
        assert_eq!((told[23], &told[34..36]), (1, &[3, 13][..]), "{forbidden}");
    }
    loopback.set_nonblocking(true).unwrap();
    assert!(loopback.accept().is_err());
    // A segment of a connection that a card before this one had.
    guest.front.transmit(&tcp(1, ("10.0.1.11", 4200), (&host, 80), ACK, b"more"));
    let reset = guest.front.expect();
    assert!(sums_are_right(&reset));
    assert_eq!((reset[23], reset[47] & RST), (6, RST));
    assert!(rig.count(1, "tx_packets") > 0);
    assert_eq!(status(&rig)["uplink"]["forbidden"], 2);
}

#[test]
fn datagrams_go_and_come_whole_and_in_fragments() {
    let (rig, mut guest, public, host) = start();
    let server = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let at = server.local_addr().unwrap().port();
    guest.front.transmit(&udp(1, ("10.0.1.11", 5000), (&host, at), b"hello"));
    let mut bytes = vec![0; 65_536];
    let (len, caller) = server.recv_from(&mut bytes).unwrap();
    assert_eq!((&bytes[..len], caller.ip()), (&b"hello"[..], IpAddr::V4(public)));
    server.send_to(b"and you", caller).unwrap();
    let reply = guest.front.expect();
    assert!(sums_are_right(&reply));
    assert_eq!(&reply[42..], b"and you");
    // What doesn't fit the way out comes in fragments.
    let long = pattern(3000);
    server.send_to(&long, caller).unwrap();
    let mut whole = Vec::new();
    for number in 0..3 {
        let part = guest.front.receive(Duration::from_secs(5));
        let part = part.unwrap_or_else(|| panic!("fragment {number}: {:?}", status(&rig)));
        assert!(part.len() <= 1514);
        let offset = usize::from(u16::from_be_bytes([part[20] & 0x1f, part[21]])) * 8;
        assert_eq!(offset, whole.len());
        whole.extend_from_slice(&part[34..]);
    }
    assert_eq!(whole[8..], long);
}

#[test]
fn echo_requests_are_answered_or_counted() {
    let (rig, mut guest, ..) = start();
    let (_, host) = addresses(&rig);
    guest.front.transmit(&ping(1, "10.0.1.11", &host));
    if vpc_card::uplink::sockets::can_ping() {
        let reply = guest.front.expect();
        assert!(sums_are_right(&reply));
        assert_eq!((reply[23], reply[34]), (1, 0));
    } else {
        let end = Instant::now() + Duration::from_secs(10);
        while status(&rig)["uplink"]["echo_refused"] != 1 {
            assert!(Instant::now() < end);
        }
    }
}

#[test]
fn callers_reach_open_ports_as_groups_change() {
    let (mut rig, mut guest, public, host) = start();
    rig.apply(only(8080));
    until(&rig, "only one port", |ports| {
        ports.keys().eq(["tcp/8080", "udp/8080"]) && ports["tcp/8080"] == 8080
    });
    let socket = guest.listen(8080);
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect((public, 8080)).unwrap();
        stream.write_all(&pattern(200_000)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    guest.until_open(socket);
    let from = guest.get(socket).remote_endpoint().unwrap();
    assert_eq!(from.addr.to_string(), host, "callers are the host");
    let got = guest.read(socket, 200_000);
    assert_eq!(got, pattern(200_000));
    guest.send(socket, b"thanks");
    guest.get(socket).close();
    guest.until("closed", socket, |socket| {
        matches!(socket.state(), State::TimeWait | State::Closed).then_some(())
    });
    assert_eq!(client.join().unwrap(), b"thanks");
    rig.apply(only(8081));
    until(&rig, "another port", |ports| ports.keys().eq(["tcp/8081", "udp/8081"]));
    assert!(TcpStream::connect((public, 8080)).is_err());
}

#[test]
fn a_caller_s_datagrams_are_answered_by_the_same_port() {
    let (mut rig, mut guest, public, host) = start();
    rig.apply(only(8082));
    until(&rig, "the port", |ports| ports.contains_key("udp/8082"));
    let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.connect((public, 8082)).unwrap();
    client.send(b"question").unwrap();
    let asked = guest.front.expect();
    assert!(sums_are_right(&asked));
    assert_eq!(asked[26..30], ip(&host).octets());
    let from = u16::from_be_bytes([asked[34], asked[35]]);
    guest.front.transmit(&udp(1, ("10.0.1.11", 8082), (&host, from), b"answer"));
    let mut bytes = [0; 64];
    let len = client.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], b"answer");
}

#[test]
fn a_port_that_is_taken_is_offered_further_on() {
    let mut rig = Rig::with(Way::Sockets, Vec::new());
    rig.apply(only(8083));
    let (public, _) = addresses(&rig);
    until(&rig, "the port", |ports| ports.get("tcp/8083") == Some(&8083));
    let taken = TcpListener::bind((public, 8084)).unwrap();
    rig.apply(only(8084));
    until(&rig, "the port further on", |ports| ports.get("tcp/8084") == Some(&18_084));
    drop(taken);
    // An open port isn't taken away from itself.
    let range = |from, to| VpcPatch {
        groups: vec![group(1, vec![rule(Traffic::Tcp { from, to }, ANY)], &[])],
        ..VpcPatch::default()
    };
    rig.apply(range(1000, 60_000));
    until(&rig, "as many as there may be", |ports| {
        ports.keys().filter(|name| name.starts_with("tcp/")).count() == 256
            && ports["left_out"] == 59_001 - 256
            && ports["tcp/8080"] == 8080
    });
}

#[test]
fn guests_reach_each_other_by_public_addresses() {
    let rig = Rig::with(Way::Sockets, Vec::new());
    let (mut one, mut two) = (rig.boot(1), rig.boot(2));
    let base = u32::from(rig.pool.network());
    let twin = Ipv4Addr::from(u32::from(ip("198.18.0.0")) | base & 0x1_ffff | 12).to_string();
    one.transmit(&udp(1, ("10.0.1.11", 7), (&twin, 9), b"by public address"));
    let arrived = two.expect();
    assert!(sums_are_right(&arrived));
    assert_eq!(&arrived[42..], b"by public address");
    assert_eq!(arrived[30..34], ip("10.0.2.12").octets());
}

#[test]
fn the_owner_s_tunnel_needs_no_address_and_no_rule() {
    let mut rig = Rig::new();
    rig.apply(VpcPatch { groups: vec![group(3, vec![], &[])], ..VpcPatch::default() });
    let mut guest = Guest::new(rig.boot(3), 3, "10.0.1.13");
    let socket = guest.listen(22);
    let request = OwnerRequest::OpenTunnel { interface: eni(3), port: 22 };
    let stream = begin(&rig, &request);
    guest.until_open(socket);
    let from = guest.get(socket).remote_endpoint().unwrap();
    assert_eq!(from.addr.to_string(), "10.0.1.1", "the router calls");
    guest.send(socket, b"SSH-2.0-test\r\n");
    let mut lines = BufReader::new(&stream).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "\"Connected\"");
    assert_eq!(lines.next().unwrap().unwrap(), "SSH-2.0-test");
    (&stream).write_all(b"hello").unwrap();
    assert_eq!(guest.read(socket, 5), b"hello");
    drop(lines);
    drop(stream);
    guest.until("the owner hung up", socket, |socket| (!socket.may_recv()).then_some(()));
    // Nobody listens there.
    let other = guest.listen(80);
    let closed = OwnerRequest::OpenTunnel { interface: eni(3), port: 23 };
    let stream = begin(&rig, &closed);
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    });
    guest.until("refused", other, |_| reader.is_finished().then_some(()));
    assert!(reader.join().unwrap().contains("does not answer at port 23"));
    let nobody = OwnerRequest::OpenTunnel { interface: eni(99), port: 22 };
    assert!(matches!(ask(&rig, &nobody).1, OwnerReply::Refused(_)));
}

#[test]
fn an_address_of_another_pool_is_nobody_s() {
    let mut rig = Rig::with(Way::Sockets, Vec::new());
    let mut stray = rig.patch().ports.remove(0);
    stray.port.addresses = port(1, 1, "10.0.1.11", Some("198.18.0.11")).port.addresses;
    rig.apply(VpcPatch { ports: vec![stray], ..VpcPatch::default() });
    until(&rig, "no ports", BTreeMap::is_empty);
    let mut guest = rig.boot(1);
    guest.transmit(&udp(1, ("10.0.1.11", 1), ("192.0.2.1", 2), b"out"));
    assert_eq!(rig.count(1, "drop_no_public_address"), 1);
}
