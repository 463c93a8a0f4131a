//! Cards that are killed, and cards that end.

use crate::{
    client::{Client, FLUSH, FUA, WRITE, request},
    host::{Host, MIB, volume},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{Sender, channel},
    thread,
};

const SIZE: u64 = 64 * MIB;
const DEPTH: usize = 8;
const WRITES: u64 = 20_000;

/// Writes and flushes, several at once, through as many connections as it takes; each write's
/// content is its number. Returns what each place shall hold.
fn write_through_crashes(socket: &Path, progress: &Sender<()>) -> BTreeMap<u64, u64> {
    let mut expected = BTreeMap::new();
    let mut under_way: BTreeMap<u64, (u64, u16, u16)> = BTreeMap::new();
    let (mut next, mut seed) = (1_u64, 88_172_645_463_325_252_u64);
    'connection: loop {
        let Ok(mut client) = Client::open(socket, "one") else { continue };
        // As QEMU does: what was not answered is asked again.
        let again = under_way.clone();
        for (number, (offset, command, flags)) in again {
            if send(&mut client, number, offset, command, flags).is_err() {
                continue 'connection;
            }
        }
        loop {
            while under_way.len() < DEPTH && next <= WRITES {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let offset = seed % (SIZE / 512 - 8) * 512;
                // Places are written by one request at a time, so that the newest is known.
                let near = |(other, ..): &(u64, u16, u16)| other.abs_diff(offset) < 4096;
                if under_way.values().any(near) {
                    continue;
                }
                let (command, flags) = match next % 50 {
                    0 => (FLUSH, 0),
                    1 => (WRITE, FUA),
                    _ => (WRITE, 0),
                };
                // Its number is taken even if it cannot be sent: then it is asked again.
                let number = next;
                next += 1;
                under_way.insert(number, (offset, command, flags));
                if send(&mut client, number, offset, command, flags).is_err() {
                    continue 'connection;
                }
            }
            if under_way.is_empty() {
                return expected;
            }
            let Ok((number, error)) = client.reply() else { continue 'connection };
            assert_eq!(error, 0, "a guest would see this error");
            let (offset, command, _) = under_way.remove(&number).unwrap();
            if command == WRITE {
                for sector in 0..length(number) / 512 {
                    expected.insert(offset + u64::from(sector) * 512, number);
                }
            }
            if number.is_multiple_of(WRITES / 8) {
                progress.send(()).unwrap();
            }
        }
    }
}

fn length(number: u64) -> u32 {
    if number.is_multiple_of(3) { 4096 } else { 512 }
}

fn send(c: &mut Client, number: u64, offset: u64, command: u16, flags: u16) -> std::io::Result<()> {
    if command == FLUSH {
        return c.send(&request(FLUSH, 0, number, 0, 0), &[]);
    }
    let count = length(number);
    let payload = number.to_le_bytes().repeat(usize::try_from(count / 8).unwrap());
    c.send(&request(WRITE, flags, number, offset, count), &payload)
}

fn verify(client: &mut Client, expected: &BTreeMap<u64, u64>) {
    for (offset, number) in expected {
        let content = client.read(*offset, 512).unwrap();
        assert_eq!(content, number.to_le_bytes().repeat(64), "at {offset}");
    }
}

#[test]
fn killed_under_load() {
    let mut host = Host::new();
    let base: PathBuf = host.folder.join("base.raw");
    fs::write(&base, vec![9; 40 << 20]).unwrap();
    let config = || vec![volume(1, SIZE, Some(&base), "one")];
    host.reset(config());
    let (progress, eighths) = channel();
    let socket = host.nbd();
    let writer = thread::spawn(move || write_through_crashes(&socket, &progress));
    for _ in 1..=6 {
        // An error means that the writer has ended: its own assertion tells.
        let _ = eighths.recv();
        host.kill();
        host.start();
        host.reset(config());
    }
    let expected = writer.join().unwrap();
    assert!(expected.len() > 10_000);
    verify(&mut Client::open(&host.nbd(), "one").unwrap(), &expected);
    // What was never written is the base's still.
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    let whole = client.read(0, 32 << 20).unwrap();
    for (offset, content) in (0..).step_by(512).zip(whole.chunks_exact(512)) {
        if !expected.contains_key(&offset) {
            assert_eq!(content, [9; 512], "at {offset}");
        }
    }
    // As after a boot of the host: what was flushed is in the durable map alone.
    assert_eq!(client.flush(), 0);
    host.kill();
    fs::remove_file(host.volume_folder(1).join("map.live")).unwrap();
    host.start();
    host.reset(config());
    verify(&mut Client::open(&host.nbd(), "one").unwrap(), &expected);
}

#[test]
fn ends_in_order_and_cleans_up() {
    let mut host = Host::new();
    host.reset(vec![volume(1, SIZE, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.write(0, &[5; 512]), 0);
    assert!(host.end());
    fs::remove_file(host.volume_folder(1).join("map.live")).unwrap();
    for half in ["vol-00000000000000007.making", "vol-00000000000000008.deleting"] {
        fs::create_dir(host.folder.join("volumes").join(half)).unwrap();
    }
    host.start();
    host.reset(vec![volume(1, SIZE, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.read(0, 512).unwrap(), [5; 512]);
    let folders = fs::read_dir(host.folder.join("volumes")).unwrap().count();
    assert_eq!(folders, 2, "the lock and one volume");
}

#[test]
fn damage_is_noticed() {
    let mut host = Host::new();
    host.reset(vec![volume(1, SIZE, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    client.write(0, &[5; 512]);
    client.flush();
    assert!(host.end());
    let folder = host.volume_folder(1);
    fs::remove_file(folder.join("map.live")).unwrap();
    let mut map = fs::read(folder.join("map")).unwrap();
    map[4096 + 20] ^= 1;
    fs::write(folder.join("map"), map).unwrap();
    host.start();
    let serve = vec![volume(1, SIZE, None, "one")];
    let patch = contracts::card::EbsPatch { reset: true, serve, ..Default::default() };
    let failed = host.agent().apply(patch);
    assert!(failed[0].1.contains("checksum"), "{failed:?}");
}

#[test]
fn an_idle_volume_is_small() {
    const COUNT: u64 = 64;
    let host = Host::new();
    let rss = || {
        let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let serve = (1..=COUNT).map(|n| volume(n, 8 << 30, None, &format!("name-{n}")));
    host.reset(serve.collect());
    let before = rss();
    let mut clients = (1..=COUNT)
        .map(|n| Client::open(&host.nbd(), &format!("name-{n}")).unwrap())
        .collect::<Vec<_>>();
    for client in &mut clients {
        for at in 0..40 {
            assert_eq!(client.write(at * 200 * MIB, &[1; 4096]), 0);
        }
        assert_eq!(client.flush(), 0);
        client.read(0, 512 << 10).unwrap();
    }
    // Longer than the card waits before it calls a connection quiet.
    thread::sleep(std::time::Duration::from_secs(3));
    let each = rss().saturating_sub(before) / COUNT;
    println!("{each} KiB each");
    assert!(each < 200, "{each} KiB for each idle volume");
}
