//! The worker's limits, with the host itself as the world.

use super::*;
use crate::engine::packet::write_ipv4;
use std::{net::TcpListener, sync::mpsc::channel};

fn worker(max_flows: usize) -> Worker {
    let pool = Pool::new("127.64.200.0/24".parse().unwrap()).unwrap();
    let queue = || Arc::new(Queue::new().unwrap());
    let (_, commands) = channel();
    let shown = Arc::new(Mutex::new(Shown::default()));
    Worker::new(pool, max_flows, queue(), queue(), commands, shown).unwrap()
}

fn packet(protocol: u8, (from, to): (u16, u16), worker: &Worker) -> Vec<u8> {
    let mut packet = vec![0; if protocol == TCP { 40 } else { 28 }];
    packet[20..22].copy_from_slice(&from.to_be_bytes());
    packet[22..24].copy_from_slice(&to.to_be_bytes());
    if protocol == TCP {
        packet[32] = 5 << 4;
        packet[33] = SYN;
    } else {
        packet[25] = 8;
    }
    write_ipv4(&mut packet, protocol, 64, [198, 18, 200, 9].into(), worker.pool.host());
    packet
}

#[test]
fn flows_have_a_limit() {
    let mut worker = worker(3);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for from in 4000..4005 {
        let syn = packet(TCP, (from, port), &worker);
        worker.take(&syn, 0);
        // The same again is no other flow.
        worker.take(&syn, 0);
    }
    assert_eq!((worker.tcp.len(), worker.tcp_keys.len()), (3, 3));
    assert_eq!(worker.counts.flows_refused, 4);
}

#[test]
fn one_guest_s_unanswered_connections_have_a_limit() {
    let mut worker = worker(10_000);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let limit = u16::try_from(DIALING_OF_ONE).unwrap();
    for from in 4000..4000 + limit + 9 {
        let syn = packet(TCP, (from, port), &worker);
        worker.take(&syn, 0);
    }
    assert_eq!((worker.tcp.len(), worker.counts.flows_refused), (DIALING_OF_ONE, 9));
}

#[test]
fn the_datagram_flow_that_was_silent_longest_makes_room_and_all_end() {
    let mut worker = worker(10_000);
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = server.local_addr().unwrap().port();
    for number in 0..300 {
        let datagram = packet(UDP, (4000 + number, port), &worker);
        worker.take(&datagram, u64::from(number));
    }
    assert_eq!(worker.datagrams.len(), DATAGRAMS_OF_ONE);
    assert_eq!(worker.timers.len(), DATAGRAMS_OF_ONE);
    let oldest = worker.datagrams.values().map(datagrams::Flow::seen_ms).min();
    assert_eq!(oldest, Some(300 - DATAGRAMS_OF_ONE as u64));
    worker.ring(29_000);
    assert_eq!(worker.datagrams.len(), DATAGRAMS_OF_ONE);
    worker.ring(31_000);
    assert!(worker.datagrams.is_empty() && worker.datagram_keys.is_empty());
    assert!(worker.usage.is_empty() && worker.timers.is_empty());
}

#[test]
fn a_dead_guest_s_flow_ends() {
    let mut worker = worker(10);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let syn = packet(TCP, (4000, port), &worker);
    worker.take(&syn, 0);
    // The guest never says another word: its flow is over in the end, whatever was sent.
    let mut now = 0;
    while !worker.tcp.is_empty() {
        worker.advance(now);
        now = worker.timers.first().map_or(now, |(at, _)| *at).max(now + 1);
        worker.ring(now);
        assert!(now < 200_000, "still there");
    }
    assert!(worker.tcp_keys.is_empty() && worker.usage.is_empty() && worker.timers.is_empty());
}
