//! The resolver by UDP and TCP: names of the VPC, and names that others know.

use crate::{
    card::Rig,
    config::{POOL, eni, ip, net, patch},
    frames::{ipv4, query, sums_are_right, tcp, udp},
    frontend::Frontend,
};
use contracts::card::VpcPatch;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use vpc_card::{
    engine::{
        Engine,
        packet::{ACK, FIN, Frame, Packet, SYN},
    },
    services::{dns_stream::IDLE_MS, tcp::Stack},
};

const GUEST: &str = "10.0.1.11";
const RESOLVER: &str = "10.0.0.2";
const RST: u8 = 4;

/// A guest's TCP connection, as simple as can be.
struct Tcp {
    port: u16,
    to: &'static str,
    ours: u32,
    theirs: u32,
    /// What has come and was not read yet.
    data: Vec<u8>,
    ended: bool,
}

impl Tcp {
    fn connect(guest: &mut Frontend, port: u16, to: &'static str) -> Self {
        guest.transmit(&tcp(1, (GUEST, port), (to, 53), SYN, b""));
        let mut connection = Self { port, to, ours: 1, theirs: 0, data: Vec::new(), ended: false };
        let answer = connection.receive(guest);
        assert_eq!(answer, SYN | ACK);
        connection.send(guest, ACK, b"");
        connection
    }

    fn send(&mut self, guest: &mut Frontend, flags: u8, payload: &[u8]) {
        let mut frame = tcp(1, (GUEST, self.port), (self.to, 53), flags, payload);
        frame[38..42].copy_from_slice(&self.ours.to_be_bytes());
        frame[42..46].copy_from_slice(&self.theirs.to_be_bytes());
        frame[48..50].copy_from_slice(&u16::MAX.to_be_bytes());
        frame[50..52].copy_from_slice(&[0, 0]);
        guest.transmit(&ipv4(1, 6, GUEST, self.to, &frame[34..]));
        self.ours += u32::try_from(payload.len()).unwrap() + u32::from(flags & FIN);
    }

    /// Takes a segment of this connection's and gives its flags.
    fn receive(&mut self, guest: &mut Frontend) -> u8 {
        loop {
            let frame = guest.expect();
            assert!(sums_are_right(&frame));
            if frame[23] != 6 || frame[36..38] != self.port.to_be_bytes() {
                continue;
            }
            let flags = frame[47];
            let at = u32::from_be_bytes(frame[38..42].try_into().unwrap());
            let payload = &frame[34 + usize::from(frame[46] >> 4) * 4..];
            if flags & SYN != 0 {
                self.theirs = at.wrapping_add(1);
            } else if at == self.theirs {
                self.data.extend_from_slice(payload);
                self.theirs = self.theirs.wrapping_add(u32::try_from(payload.len()).unwrap());
                if flags & FIN != 0 {
                    self.theirs = self.theirs.wrapping_add(1);
                }
                self.ended |= flags & (FIN | RST) != 0;
            }
            return flags;
        }
    }

    fn ask(&mut self, guest: &mut Frontend, query: &[u8]) {
        self.send(guest, ACK, &message(query));
    }

    /// The next message.
    fn message(&mut self, guest: &mut Frontend) -> Vec<u8> {
        loop {
            if let Some((length, rest)) = self.data.split_first_chunk::<2>()
                && let Some(whole) = rest.get(..usize::from(u16::from_be_bytes(*length)))
            {
                let whole = whole.to_vec();
                self.data.drain(..2 + whole.len());
                return whole;
            }
            assert!(!self.ended, "the connection ended");
            self.receive(guest);
            self.send(guest, ACK, b"");
        }
    }
}

fn message(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// A reply with so many bytes of TXT records.
fn long_reply(query: &[u8], bytes: usize) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2..4].copy_from_slice(&[0x81, 0x80]);
    reply[11] = 0;
    reply.truncate(12 + query[12..].iter().position(|&byte| byte == 0).unwrap() + 5);
    let mut count = 0_u16;
    while reply.len() < bytes {
        reply.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 201, 200]);
        reply.extend_from_slice(&[b'x'; 200]);
        count += 1;
    }
    reply[6..8].copy_from_slice(&count.to_be_bytes());
    reply
}

/// A resolver on the host, by UDP and TCP: names `bytes-N` have answers of at least N bytes. Counts
/// what it was asked by UDP and by TCP.
fn resolver() -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().unwrap();
    let asked: Arc<[AtomicUsize; 2]> = Arc::default();
    let wanted = |query: &[u8]| {
        let name = String::from_utf8_lossy(&query[13..13 + usize::from(query[12])]).into_owned();
        name.strip_prefix("bytes-").and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
    };
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut query) {
            counted[0].fetch_add(1, Ordering::SeqCst);
            let reply = long_reply(&query[..len], wanted(&query[..len]));
            socket.send_to(&reply, from).unwrap();
        }
    });
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted[1].fetch_add(1, Ordering::SeqCst);
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            // In pieces: what is read is not always a whole message.
            let reply = message(&long_reply(&query, wanted(&query)));
            for piece in reply.chunks(1000) {
                stream.write_all(piece).unwrap();
                stream.flush().unwrap();
            }
        }
    });
    (address, asked)
}

fn by_udp(guest: &mut Frontend, query: &[u8]) -> Vec<u8> {
    guest.transmit(&udp(1, (GUEST, 999), (RESOLVER, 53), query));
    let reply = guest.expect();
    assert!(sums_are_right(&reply));
    reply[42..].to_vec()
}

fn with_opt(mut query: Vec<u8>, size: u16) -> Vec<u8> {
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&size.to_be_bytes());
    query.extend_from_slice(&[0; 6]);
    query
}

#[test]
fn names_resolve_by_tcp() {
    let rig = Rig::new();
    let mut a = rig.boot(1);
    let known = query("ip-10-0-2-12.ec2.internal", 1);
    for (port, to) in [(4001, RESOLVER), (4002, "169.254.169.253")] {
        let mut connection = Tcp::connect(&mut a, port, to);
        connection.ask(&mut a, &known);
        assert!(connection.message(&mut a).ends_with(&[10, 0, 2, 12]));
        // Many at once, and one in pieces.
        let many = message(&known).repeat(9);
        connection.send(&mut a, ACK, &many);
        for _ in 0..9 {
            assert!(connection.message(&mut a).ends_with(&[10, 0, 2, 12]));
        }
        let (start, end) = many.split_at(7);
        connection.send(&mut a, ACK, start);
        connection.send(&mut a, ACK, &end[..message(&known).len() - 7]);
        assert!(connection.message(&mut a).ends_with(&[10, 0, 2, 12]));
        // A guest that asks and ends gets its answer, and then the end.
        connection.send(&mut a, ACK | FIN, &message(&known));
        assert!(connection.message(&mut a).ends_with(&[10, 0, 2, 12]));
        while !connection.ended {
            connection.receive(&mut a);
        }
    }
}

#[test]
fn connections_to_the_resolver_have_a_limit() {
    let mut rig = Rig::new();
    let mut a = rig.boot(1);
    let most = u16::try_from(vpc_card::services::tcp::MAX_RESOLVER_CONNECTIONS).unwrap();
    let mut all =
        (0..most).map(|port| Tcp::connect(&mut a, 5000 + port, RESOLVER)).collect::<Vec<_>>();
    assert_eq!(rig.count(1, "service_connections"), u64::from(most));
    a.transmit(&tcp(1, (GUEST, 6000), (RESOLVER, 53), SYN, b""));
    a.expect_nothing();
    // A length that makes no sense ends one, which makes room.
    let first = all.first_mut().unwrap();
    first.send(&mut a, ACK, &[0, 0]);
    while !first.ended {
        first.receive(&mut a);
    }
    let mut last = Tcp::connect(&mut a, 6000, RESOLVER);
    last.ask(&mut a, &query("ip-10-0-2-12.ec2.internal", 1));
    assert!(last.message(&mut a).ends_with(&[10, 0, 2, 12]));
}

#[test]
fn idle_connections_end() {
    let mut engine = Engine::new(net(POOL), ip("198.18.0.1"));
    assert!(engine.apply(patch(), 0).is_empty());
    let port = engine.port(engine.find(eni(1)).unwrap()).unwrap();
    let mut stack = Stack::new(port, 0);
    let send = |stack: &mut Stack, flags, theirs: u32, now| {
        let mut segment = tcp(1, (GUEST, 4000), (RESOLVER, 53), flags, b"");
        segment[38..42].copy_from_slice(&u32::from(flags & SYN == 0).to_be_bytes());
        segment[42..46].copy_from_slice(&theirs.to_be_bytes());
        segment[48..52].copy_from_slice(&[255, 255, 0, 0]);
        let mut bytes = ipv4(1, 6, GUEST, RESOLVER, &segment[34..]);
        let len = bytes.len();
        let frame = Frame { buf: &mut bytes, head: len, len, partial: false, segmented: false };
        let packet = Packet::parse(&frame).unwrap();
        stack.receive(port, &packet, frame.bytes());
        stack.advance(now, |_| panic!("no service"));
    };
    send(&mut stack, SYN, 0, 0);
    let answer = stack.transmit().unwrap();
    let theirs = u32::from_be_bytes(answer[24..28].try_into().unwrap()).wrapping_add(1);
    send(&mut stack, ACK, theirs, 100);
    assert_eq!(stack.next_ms(100), Some(100 + IDLE_MS));
    stack.advance(99 + IDLE_MS, |_| panic!("no service"));
    assert_eq!(stack.connections(), 1);
    stack.advance(100 + IDLE_MS, |_| panic!("no service"));
    assert_eq!(stack.connections(), 0);
    assert_eq!(stack.transmit().unwrap()[33] & RST, RST);
}

#[test]
fn without_dns_support_nobody_listens() {
    let mut rig = Rig::new();
    let mut a = rig.boot(1);
    let mut vpcs = rig.patch().vpcs;
    vpcs.iter_mut().for_each(|vpc| vpc.dns_support = false);
    rig.apply(VpcPatch { vpcs, ..VpcPatch::default() });
    a.transmit(&tcp(1, (GUEST, 4000), (RESOLVER, 53), SYN, b""));
    a.expect_nothing();
    assert_eq!(rig.count(1, "drop_no_service"), 1);
}

#[test]
fn names_of_others_are_asked_as_the_guest_asks() {
    let (address, asked) = resolver();
    let rig = Rig::asking(vec![address]);
    let mut a = rig.boot(1);
    let short = query("bytes-100.example.com", 16);
    let whole = by_udp(&mut a, &short);
    assert_eq!(whole, long_reply(&short, 100));
    let mut connection = Tcp::connect(&mut a, 4000, RESOLVER);
    for bytes in [100, 20_000, 64_000] {
        let query = query(&format!("bytes-{bytes}.example.com"), 16);
        connection.ask(&mut a, &query);
        assert_eq!(connection.message(&mut a), long_reply(&query, bytes));
    }
    let asked = [asked[0].load(Ordering::SeqCst), asked[1].load(Ordering::SeqCst)];
    assert_eq!(asked, [1, 3]);
}

#[test]
fn answers_that_are_too_long_for_udp_say_so() {
    let (address, _) = resolver();
    let rig = Rig::asking(vec![address]);
    let mut a = rig.boot(1);
    let name = |bytes: usize| query(&format!("bytes-{bytes}.example.com"), 16);
    let truncated = |query: &[u8], reply: &[u8]| {
        assert_eq!(reply[..2], query[..2]);
        assert_eq!(reply[2..12], [0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply[12..], query[12..reply.len()]);
    };
    truncated(&name(513), &by_udp(&mut a, &name(513)));
    // A client may take more, but no more than a frame does.
    let larger = with_opt(name(3000), 4096);
    assert_eq!(by_udp(&mut a, &larger), long_reply(&larger, 3000));
    let larger = with_opt(name(4000), 1232);
    truncated(&larger, &by_udp(&mut a, &larger));
    let larger = with_opt(name(20_000), u16::MAX);
    truncated(&larger, &by_udp(&mut a, &larger));
    // One that says less than 512 takes 512 all the same.
    let smaller = with_opt(name(300), 100);
    assert_eq!(by_udp(&mut a, &smaller), long_reply(&smaller, 300));
}

#[test]
fn a_resolver_that_refuses_tcp_is_told_at_once() {
    // Bound and closed again: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::asking(vec![address]);
    let mut a = rig.boot(1);
    let mut connection = Tcp::connect(&mut a, 4000, RESOLVER);
    connection.ask(&mut a, &query("example.com", 1));
    assert_eq!(connection.message(&mut a)[3] & 15, 2, "SERVFAIL");
}
