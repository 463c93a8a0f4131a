//! The protocol byte by byte, through the card.

use crate::{
    client::{Client, FUA, READ, TRIM, WRITE, ZERO, go, option, request},
    host::{Host, MIB, volume},
};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

/// A connection after the greeting and the client's flags.
fn greeted(host: &Host) -> Client {
    let mut stream = UnixStream::connect(host.nbd()).unwrap();
    stream.read_exact(&mut [0; 18]).unwrap();
    stream.write_all(&3_u32.to_be_bytes()).unwrap();
    Client { stream, size: 0, flags: 0 }
}

fn named(name: &str, rest: &[u8]) -> Vec<u8> {
    let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
    data.extend(name.as_bytes());
    data.extend(rest);
    data
}

#[test]
fn options() {
    let host = Host::new();
    host.reset(vec![volume(1, 4 * MIB, None, "one")]);
    let mut client = greeted(&host);
    let query = [&[0, 0, 0, 1, 0, 0, 0, 15][..], b"base:allocation"].concat();
    for (bytes, kinds) in [
        (option(3, b""), vec![1]),
        (option(3, b"x"), vec![0x8000_0003]),
        (option(5, b""), vec![0x8000_0001]),
        (option(11, b""), vec![0x8000_0001]),
        (option(99, b"abc"), vec![0x8000_0001]),
        (option(6, &named("one", &[0, 0])), vec![3, 3, 1]),
        (option(6, &named("one", &[0, 1, 0, 3])), vec![3, 3, 1]),
        (option(6, &named("two", &[0, 0])), vec![0x8000_0006]),
        (option(6, &named("one", &[0, 9])), vec![0x8000_0003]),
        (option(6, b""), vec![0x8000_0003]),
        (option(7, &named("two", &[0, 0])), vec![0x8000_0006]),
        (option(10, &named("one", &query)), vec![0x8000_0003]),
        (option(8, b"x"), vec![0x8000_0003]),
        (option(8, b""), vec![1]),
        (option(9, &named("one", &[0, 0, 0, 0])), vec![4, 1]),
        (option(10, &named("two", &query)), vec![0x8000_0006]),
        (option(10, &named("one", &[0, 0, 0, 9])), vec![0x8000_0003]),
        (option(10, &named("one", &query)), vec![4, 1]),
        (go("one"), vec![3, 3, 1]),
    ] {
        client.stream.write_all(&bytes).unwrap();
        for kind in kinds {
            assert_eq!(client.option_reply().unwrap().0, kind, "{bytes:?}");
        }
    }
    // Open, with structured replies: block status, a hole, an error.
    client.send(&request(7, 0, 9, 0, 8192), &[]).unwrap();
    assert_eq!(chunk(&mut client), (5, 9, [0, 0, 0, 1, 0, 0, 0x20, 0, 0, 0, 0, 3].to_vec()));
    client.send(&request(READ, 4, 9, 4096, 512), &[]).unwrap();
    assert_eq!(chunk(&mut client), (2, 9, [0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0].to_vec()));
    client.send(&request(WRITE, 0, 9, 0, 512), &[1; 512]).unwrap();
    assert_eq!(chunk(&mut client), (0, 9, vec![]));
    client.send(&request(READ, 0, 9, 0, 512), &[]).unwrap();
    assert_eq!(chunk(&mut client), (1, 9, [vec![0; 8], vec![1; 512]].concat()));
    client.send(&request(READ, 0, 9, 4 * MIB, 512), &[]).unwrap();
    assert_eq!(chunk(&mut client), (0x8001, 9, vec![0, 0, 0, 22, 0, 0]));
}

/// The next chunk of a structured reply, which is its last: kind, cookie, payload.
fn chunk(client: &mut Client) -> (u16, u64, Vec<u8>) {
    let mut header = [0; 20];
    client.stream.read_exact(&mut header).unwrap();
    assert_eq!(header[..6], [0x66, 0x8e, 0x33, 0xef, 0, 1]);
    let length = u32::from_be_bytes(header[16..].try_into().unwrap());
    let mut payload = vec![0; length as usize];
    client.stream.read_exact(&mut payload).unwrap();
    let kind = u16::from_be_bytes(header[6..8].try_into().unwrap());
    (kind, u64::from_be_bytes(header[8..16].try_into().unwrap()), payload)
}

#[test]
fn the_old_way_to_open() {
    let host = Host::new();
    host.reset(vec![volume(1, 4 * MIB, None, "one")]);
    for (flags, zeroes) in [(3_u32, 0), (1, 124)] {
        let mut stream = UnixStream::connect(host.nbd()).unwrap();
        stream.read_exact(&mut [0; 18]).unwrap();
        stream.write_all(&flags.to_be_bytes()).unwrap();
        stream.write_all(&option(1, b"one")).unwrap();
        let mut export = vec![0; 10 + zeroes];
        stream.read_exact(&mut export).unwrap();
        assert_eq!(export[..8], (4 * MIB).to_be_bytes());
        let mut client = Client { stream, size: 0, flags: 0 };
        assert_eq!(client.read(0, 512).unwrap(), [0; 512]);
    }
}

#[test]
fn who_breaks_the_protocol_is_dropped() {
    let host = Host::new();
    host.reset(vec![volume(1, 4 * MIB, None, "one")]);
    let mut long = b"IHAVEOPT".to_vec();
    long.extend([0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff]);
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        option(1, b"two"),
        option(2, b""),
        long,
        option(3, b"").repeat(65),
    ] {
        let mut client = greeted(&host);
        client.stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        // The rest may be lost with the connection.
        let _ = client.stream.read_to_end(&mut rest);
    }
    for bytes in [b"nonsense".to_vec(), request(WRITE, 0, 1, 0, u32::MAX), request(2, 0, 1, 0, 0)] {
        let mut client = Client::open(&host.nbd(), "one").unwrap();
        client.stream.write_all(&bytes).unwrap();
        assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
    }
    // The card is still there.
    assert!(Client::open(&host.nbd(), "one").is_ok());
}

#[test]
fn every_command_and_its_errors() {
    let host = Host::new();
    host.reset(vec![volume(1, 4 * MIB, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.flags & 0b1_0110_1101, 0b1_0110_1101, "{:#b}", client.flags);
    for (bytes, payload, error) in [
        (request(WRITE, FUA, 1, 0, 1024), vec![3; 1024], 0),
        (request(TRIM, FUA, 1, 0, 4096), vec![], 0),
        (request(ZERO, FUA, 1, 512, 512), vec![], 0),
        (request(ZERO, 2 | 16, 1, 0, 65_536), vec![], 0),
        (request(3, 0, 1, 0, 0), vec![], 0),
        (request(WRITE, 0, 1, 4 * MIB, 512), vec![3; 512], 28),
        (request(WRITE, 0, 1, 1, 512), vec![3; 512], 22),
        (request(WRITE, 64, 1, 0, 512), vec![3; 512], 22),
        (request(READ, 0, 1, u64::MAX - 511, 512), vec![], 22),
        (request(TRIM, 0, 1, 4 * MIB - 512, 1024), vec![], 22),
        (request(5, 0, 1, 0, 512), vec![], 22),
        (request(7, 0, 1, 0, 512), vec![], 22),
        (request(1000, 0, 1, 0, 512), vec![], 22),
    ] {
        assert_eq!(client.ask(&bytes, &payload).unwrap(), error, "{bytes:?}");
    }
    assert_eq!(client.read(0, 4096).unwrap(), [0; 4096]);
    // Two clients of one volume see each other's writes.
    let mut other = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(other.write(8192, &[8; 512]), 0);
    assert_eq!(client.read(8192, 512).unwrap(), [8; 512]);
}

#[test]
fn a_client_that_does_not_read_hurts_nobody() {
    let host = Host::new();
    host.reset(vec![volume(1, 64 * MIB, None, "one"), volume(2, 4 * MIB, None, "two")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.write(0, &vec![1; 32 << 20]), 0);
    client.stream.set_write_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let read = request(READ, 0, 1, 0, 32 << 20);
    while client.stream.write_all(&read.repeat(100)).is_ok() {}
    let mut other = Client::open(&host.nbd(), "two").unwrap();
    assert_eq!(other.write(0, &[2; 512]), 0);
    assert_eq!(other.flush(), 0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 200 << 10, "{kib} KiB");
    // Closing it does not wait for what it never takes.
    host.reset(vec![volume(2, 4 * MIB, None, "two")]);
}

#[test]
fn clients_complete_each_others_blocks() {
    let host = Host::new();
    let base = host.folder.join("base.raw");
    std::fs::write(&base, vec![9; 1 << 20]).unwrap();
    host.reset(vec![volume(1, MIB, Some(&base), "one")]);
    // Each client writes another sector of every block, while others discard blocks and flush.
    let clients = (0..7_u8).map(|number| {
        let mut client = Client::open(&host.nbd(), "one").unwrap();
        std::thread::spawn(move || {
            for block in 0..MIB / 4096 {
                let at = block * 4096 + u64::from(number) * 512;
                match (number, block % 16) {
                    (0, 15) => assert_eq!(client.flush(), 0),
                    _ if block % 2 == 1 => {}
                    _ => assert_eq!(client.write(at, &[number; 512]), 0),
                }
                if number == 1 && block % 2 == 1 {
                    let header = request(TRIM, 0, 1, block * 4096, 4096);
                    assert_eq!(client.ask(&header, &[]).unwrap(), 0);
                }
            }
        })
    });
    for thread in clients.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    let mut block = (0..7).flat_map(|number| [number; 512]).collect::<Vec<u8>>();
    block.extend([9; 512]);
    for (number, content) in client.read(0, 1 << 20).unwrap().chunks_exact(4096).enumerate() {
        let expected = if number % 2 == 1 { &[0; 4096] } else { &block[..] };
        assert!(content == expected, "block {number}");
    }
}
