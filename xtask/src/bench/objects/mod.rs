//! The object store's speed, beside Garage: both flush before they answer, ours on three replicas.

mod client;
mod peers;

use super::cloud::Cloud;
use anyhow::{Context as _, Result};
use client::{Access, Client};
use peers::{Garage, forget_peak, garage, peak_bytes};
use std::{
    fmt::Write as _,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const BUCKET: &str = "bench";
const TIME: Duration = Duration::from_secs(4);
/// Keys of the listing: 100 folders of 1,000.
const KEYS: usize = 100_000;
/// Garage with three nodes takes minutes for more.
const KEYS_OF_SLOW_PEERS: usize = 5_000;

/// One server.
struct Side {
    name: &'static str,
    access: Access,
    keys: usize,
    processes: Vec<u32>,
}

/// A measurement: how to do it once, with the number of the call, and what to print.
struct Case {
    name: &'static str,
    connections: usize,
    /// Bytes that one call moves; 0 if calls are what counts.
    bytes: u64,
    call: fn(&mut Client, u64, &Bodies) -> Result<()>,
}

/// Bodies, made once.
struct Bodies {
    small: Vec<u8>,
    medium: Vec<u8>,
    large: Vec<u8>,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// How many small objects the reads choose from.
const SMALL_OBJECTS: u64 = 1000;
const MEDIUM_OBJECTS: u64 = 32;
const LARGE_OBJECTS: u64 = 2;

fn put(client: &mut Client, key: &str, body: &[u8]) -> Result<()> {
    client.send(("PUT", &format!("/{BUCKET}/{key}"), ""), body, false).map(|_| ())
}

fn get(client: &mut Client, key: &str, bytes: usize) -> Result<()> {
    let answer = client.send(("GET", &format!("/{BUCKET}/{key}"), ""), &[], false)?;
    anyhow::ensure!(answer.len == bytes as u64, "{key} has {} bytes", answer.len);
    Ok(())
}

fn put_small(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    put(client, &format!("small-{}", at % SMALL_OBJECTS), &bodies.small)
}

fn get_small(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    get(client, &format!("small-{}", at * 7919 % SMALL_OBJECTS), bodies.small.len())
}

fn mixed(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    if at.is_multiple_of(4) { put_small(client, at, bodies) } else { get_small(client, at, bodies) }
}

fn put_medium(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    put(client, &format!("medium-{}", at % MEDIUM_OBJECTS), &bodies.medium)
}

fn get_medium(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    get(client, &format!("medium-{}", at % MEDIUM_OBJECTS), bodies.medium.len())
}

fn put_large(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    put(client, &format!("large-{}", at % LARGE_OBJECTS), &bodies.large)
}

fn get_large(client: &mut Client, at: u64, bodies: &Bodies) -> Result<()> {
    get(client, &format!("large-{}", at % LARGE_OBJECTS), bodies.large.len())
}

fn list(client: &mut Client, at: u64, _: &Bodies) -> Result<()> {
    let after =
        format!("list-type=2&max-keys=1000&prefix=list%2F&start-after=list%2Ffolder-{:03}", at % 4);
    let path = format!("/{BUCKET}");
    let answer = client.send(("GET", &path, &sorted(&after)), &[], true)?;
    let keys = String::from_utf8(answer.body)?.matches("<Key>").count();
    anyhow::ensure!(keys == 1000, "a page of {keys} keys");
    Ok(())
}

fn list_folders(client: &mut Client, _: u64, _: &Bodies) -> Result<()> {
    let query = "list-type=2&delimiter=%2F&prefix=list%2F";
    let answer = client.send(("GET", &format!("/{BUCKET}"), &sorted(query)), &[], true)?;
    let folders = String::from_utf8(answer.body)?.matches("<CommonPrefixes>").count();
    anyhow::ensure!(folders > 1, "{folders} folders");
    Ok(())
}

/// A query in the order in which it is signed.
fn sorted(query: &str) -> String {
    let mut parts: Vec<&str> = query.split('&').collect();
    parts.sort_unstable();
    parts.join("&")
}

/// One gibibyte in parts of 64 MiB.
fn multipart(client: &mut Client, _: u64, bodies: &Bodies) -> Result<()> {
    let path = format!("/{BUCKET}/multipart");
    let begun = client.send(("POST", &path, "uploads="), &[], true)?;
    let begun = String::from_utf8(begun.body)?;
    let id = begun.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<'));
    let (id, _) = id.context("no upload ID")?;
    let mut parts = String::from("<CompleteMultipartUpload>");
    for number in 1..=16 {
        let query = format!("partNumber={number}&uploadId={id}");
        let done = client.send(("PUT", &path, &query), &bodies.large, false)?;
        let etag = done.etag;
        write!(parts, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")?;
    }
    parts += "</CompleteMultipartUpload>";
    let answer = client.send(("POST", &path, &format!("uploadId={id}")), parts.as_bytes(), true)?;
    let answer = String::from_utf8(answer.body)?;
    anyhow::ensure!(answer.contains("<ETag>"), "not completed: {answer}");
    Ok(())
}

const fn case(
    name: &'static str,
    connections: usize,
    bytes: u64,
    call: fn(&mut Client, u64, &Bodies) -> Result<()>,
) -> Case {
    Case { name, connections, bytes, call }
}

const CASES: [Case; 18] = [
    case("PUT 4 KiB", 1, 0, put_small),
    case("PUT 4 KiB", 16, 0, put_small),
    case("PUT 4 KiB", 32, 0, put_small),
    case("GET 4 KiB", 1, 0, get_small),
    case("GET 4 KiB", 16, 0, get_small),
    case("GET 4 KiB", 32, 0, get_small),
    case("GET 3, PUT 1 of 4 KiB", 16, 0, mixed),
    case("PUT 1 MiB", 1, MIB, put_medium),
    case("PUT 1 MiB", 32, MIB, put_medium),
    case("GET 1 MiB", 1, MIB, get_medium),
    case("GET 1 MiB", 32, MIB, get_medium),
    case("PUT 64 MiB", 1, 64 * MIB, put_large),
    case("PUT 64 MiB", 32, 64 * MIB, put_large),
    case("GET 64 MiB", 1, 64 * MIB, get_large),
    case("GET 64 MiB", 32, 64 * MIB, get_large),
    case("multipart of 1 GiB", 1, KIB * MIB, multipart),
    case("LIST 1,000 keys", 1, 0, list),
    case("LIST by delimiter", 1, 0, list_folders),
];

/// Calls each second, and the median time of one in ms.
#[derive(Clone, Copy)]
struct Speed {
    rate: f64,
    p50_ms: f64,
}

/// Calls on some connections for a time; at least once on each.
fn speed(access: &Access, case: &Case, bodies: &Bodies) -> Result<Speed> {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let times = std::thread::scope(|scope| {
        let workers = (0..case.connections).map(|_| {
            scope.spawn(|| -> Result<Vec<f64>> {
                let mut client = Client::connect(access)?;
                let mut times = Vec::new();
                while times.is_empty() || began.elapsed() < TIME && !failed.load(Ordering::Relaxed)
                {
                    let sent = Instant::now();
                    let done =
                        (case.call)(&mut client, next.fetch_add(1, Ordering::Relaxed), bodies);
                    failed.fetch_or(done.is_err(), Ordering::Relaxed);
                    done?;
                    times.push(sent.elapsed().as_secs_f64() * 1000.0);
                }
                Ok(times)
            })
        });
        let workers: Vec<_> = workers.collect();
        let mut times = Vec::new();
        for worker in workers {
            times.extend(worker.join().ok().context("a worker panicked")??);
        }
        Ok::<_, anyhow::Error>(times)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count of calls is small")]
    let rate = times.len() as f64 / seconds;
    Ok(Speed { rate, p50_ms: super::median(times) })
}

/// Puts the objects that are read and listed.
fn fill(side: &Side, bodies: &Bodies) -> Result<()> {
    let mut client = Client::connect(&side.access)?;
    (0..MEDIUM_OBJECTS).try_for_each(|at| put_medium(&mut client, at, bodies))?;
    (0..LARGE_OBJECTS).try_for_each(|at| put_large(&mut client, at, bodies))?;
    let (next, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = Client::connect(&side.access)?;
                    loop {
                        let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed))?;
                        if at < usize::try_from(SMALL_OBJECTS)? {
                            put_small(&mut client, at as u64, bodies)?;
                        } else if at - 1000 < side.keys {
                            let at = at - 1000;
                            put(
                                &mut client,
                                &format!("list/folder-{:03}/{at:06}", at % 100),
                                b"x",
                            )?;
                        } else {
                            return Ok(());
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().ok().context("a worker panicked")??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{}: {} keys in {seconds:.1} s", side.name, side.keys);
    Ok(())
}

fn objects_process(cloud: &Cloud) -> Result<u32> {
    let status = Command::new(crate::workspace::target().join("release/fogbank"))
        .args(["status", "--data"])
        .arg(cloud.data.path())
        .output()?;
    let text = String::from_utf8(status.stdout)?;
    let line = text.lines().find(|line| line.trim_start().starts_with("objects"));
    let pid = line.and_then(|line| line.split_whitespace().nth(2)).context("no objects role")?;
    Ok(pid.parse()?)
}

/// Runs the benchmark and prints its table; `alone` without the peers.
pub fn run(root: &Path, alone: bool) -> Result<()> {
    let program = if alone { None } else { Some(garage(root)?) };
    let cloud = Cloud::start(root, "simulated")?;
    let ours = Access {
        address: cloud.listen,
        key: cloud.key.0.clone(),
        secret: cloud.key.1.clone(),
        region: "us-east-1".into(),
    };
    Client::connect(&ours)?.send(("PUT", &format!("/{BUCKET}"), ""), &[], false)?;
    let mut peers = Vec::new();
    for nodes in [1, 3] {
        peers.extend(program.iter().map(|program| Garage::start(program, nodes, BUCKET)));
    }
    let peers = peers.into_iter().collect::<Result<Vec<_>>>()?;
    let names = ["Garage, 1 node", "Garage, 3 nodes"];
    let mut sides = vec![Side {
        name: "Fogbank, 3 replicas",
        access: ours,
        keys: KEYS,
        processes: vec![objects_process(&cloud)?],
    }];
    sides.extend(peers.iter().zip(names).zip([KEYS, KEYS_OF_SLOW_PEERS]).map(
        |((peer, name), keys)| Side {
            name,
            access: peer.access(),
            keys,
            processes: peer.processes(),
        },
    ));
    let bodies = Bodies { small: random(4 * KIB)?, medium: random(MIB)?, large: random(64 * MIB)? };
    for side in &sides {
        fill(side, &bodies)?;
    }
    measure(&sides, &bodies)
}

fn measure(sides: &[Side], bodies: &Bodies) -> Result<()> {
    println!("All flush to the disk before they answer. Calls/s or MB/s, and the most memory");
    println!("that was resident meanwhile. Ratio: to the first peer.\n");
    let columns: Vec<String> = sides.iter().map(|side| format!("{:>32}", side.name)).collect();
    println!("{:<26}{}{:>8}", "", columns.concat(), "ratio");
    for case in &CASES {
        let mut row = format!("{:<22}{:>4}", case.name, format!("c{}", case.connections));
        let mut rates = Vec::new();
        for side in sides {
            side.processes.iter().try_for_each(|process| forget_peak(*process))?;
            let speed = speed(&side.access, case, bodies)?;
            let peaks = side.processes.iter().map(|process| peak_bytes(*process));
            let peak = peaks.sum::<Result<u64>>()?;
            rates.push(speed.rate);
            write!(row, "{:>32}", format!("{}, {:>3} MiB", shown(case, speed), peak >> 20))?;
        }
        match rates[..] {
            [ours, peer, ..] => println!("{row}{:>8.2}", ours / peer),
            _ => println!("{row}"),
        }
    }
    Ok(())
}

fn shown(case: &Case, speed: Speed) -> String {
    if case.bytes == 0 {
        return format!("{:.0}/s, {:.2} ms", speed.rate, speed.p50_ms);
    }
    #[expect(clippy::cast_precision_loss, reason = "at most a few gibibytes")]
    let megabytes = speed.rate * case.bytes as f64 / 1e6;
    format!("{megabytes:.0} MB/s")
}

fn random(bytes: u64) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut body = vec![0; usize::try_from(bytes)?];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut body)?;
    Ok(body)
}
