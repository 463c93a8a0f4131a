//! Fills a node with many small records, as S3 has them, and measures openings and lists:
//! `cargo run --release -p node --example many_records FOLDER RECORDS [sorted] [kill]`.
//!
//! `sorted` fills in the order of the keys, which is faster. Run again on the same folder it only
//! opens and lists; after `kill`, as after a `kill -9` under load. Keys are `NNN/NNNNNNNN` below a bucket's prefix: a thousand common prefixes, so that lists
//! with a delimiter leap. "Cold" is without what the host has cached of the files.

use bytes::Bytes;
use node::{Batch, BlobId, Change, FolderNode, Node, Options, Scan};
use rustix::fs::{Advice, fadvise};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Records that share a batch.
const BATCH: u64 = 1000;
/// Batches under way at once.
const FLIGHT: usize = 16;
/// The longest page of a list.
const PAGE: usize = 1000;
/// Pages that are timed.
const PAGES: u64 = 300;
/// What S3 keeps of a small object.
const VALUE_BYTES: usize = 180;
/// Common prefixes.
const PREFIXES: u64 = 1000;

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    number ^ (number >> 27)
}

/// A key: table, bucket, name, end, version.
fn key(number: u64) -> Bytes {
    let mut key = vec![3, 0, 0, 0, 0, 0, 0, 0, 1];
    let name = format!("{:03}/{:010}", number % PREFIXES, number / PREFIXES);
    key.extend_from_slice(name.as_bytes());
    key.extend_from_slice(&[0, 1]);
    key.extend_from_slice(&[255; 16]);
    key.into()
}

fn id(number: u64, order: Order) -> BlobId {
    let mut id = [0; 16];
    if order == Order::Mixed {
        id[..8].copy_from_slice(&mix(number + 1).to_le_bytes());
    }
    id[8..].copy_from_slice(&number.to_be_bytes());
    BlobId(id)
}

/// In which order records and blobs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// In none: each is written to a page of its own, which is read before.
    Mixed,
    /// By their keys and IDs: each page is written once.
    Sorted,
}

impl Order {
    /// The number of what is written as this one of so many.
    fn number(self, at: u64, records: u64) -> u64 {
        let each = records / PREFIXES;
        match self {
            // A stride that shares no divisor steps through all of them.
            Self::Mixed => at * 7_368_787 % records,
            Self::Sorted => at % each * PREFIXES + at / each,
        }
    }
}

fn batch(from: u64, records: u64, order: Order) -> Batch {
    let mut batch = Batch { slot: 1, sequence: from + 1, ..Batch::default() };
    for at in from..(from + BATCH).min(records) {
        let value = Some(Bytes::from(vec![7; VALUE_BYTES]));
        batch.changes.push(Change { key: key(order.number(at, records)), value });
        batch.blobs.push((id(at, order), Bytes::from_static(b"0123456789")));
    }
    batch
}

async fn fill(node: &std::sync::Arc<FolderNode>, records: u64, order: Order) {
    let start = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for from in (0..records).step_by(usize::try_from(BATCH).expect("small")) {
        if set.len() >= FLIGHT {
            set.join_next().await.expect("one").expect("no panic");
        }
        let node = node.clone();
        set.spawn(async move {
            node.commit(batch(from, records, order)).await.expect("taken");
            node.forget_before(from).await.expect("alive");
        });
        if from % 1_000_000 == 0 {
            println!("  {from} records after {:.0?}, {}", start.elapsed(), memory());
        }
    }
    set.join_all().await;
    println!("filled with {records} records in {:.1?}", start.elapsed());
}

/// The process's memory: now, and at most. Files that are mapped or cached aren't part of it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let lines =
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).copied();
    println!(
        "| {what} | {:.2?} | {:.2?} | {:.2?} |",
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        at(100).unwrap_or_default()
    );
}

/// Asks the host to forget what it has cached of the files.
fn forget(folder: &Path) {
    let log = std::fs::read_dir(folder.join("log")).into_iter().flatten();
    let log = log.map(|entry| entry.expect("a file").path());
    for path in log.chain([folder.join("index.redb")]) {
        let Ok(file) = std::fs::File::open(path) else { continue };
        file.sync_all().expect("synced");
        fadvise(&file, 0, None, Advice::DontNeed).expect("forgotten");
    }
}

async fn pages(node: &FolderNode, records: u64, what: &str) {
    let until = Some(Bytes::from_static(&[4]));
    let mut times = Vec::new();
    for page in 0..PAGES {
        let from = key(mix(page) % records);
        let start = Instant::now();
        let scan = Scan { from, until: until.clone(), limit: PAGE };
        let found = node.scan(scan).await.expect("read");
        times.push(start.elapsed());
        assert!(!found.is_empty());
    }
    report(&format!("a page of 1,000 keys, anywhere, {what}"), times);
}

/// What a list with a delimiter does: a few records, then behind all that begin like the first.
async fn prefixes(node: &FolderNode, records: u64, what: &str, rounds: usize) {
    let until = Some(Bytes::from_static(&[4]));
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let (mut from, mut prefixes) = (key(0), 0);
        loop {
            let scan = Scan { from, until: until.clone(), limit: 16 };
            let found = node.scan(scan).await.expect("read");
            let Some((first, _)) = found.first() else { break };
            prefixes += 1;
            let mut next = first[..12].to_vec();
            next.push(b'/' + 1);
            from = next.into();
        }
        assert_eq!(prefixes, PREFIXES.min(records));
        times.push(start.elapsed());
    }
    report(&format!("1,000 common prefixes of {} keys, {what}", records / PREFIXES), times);
}

async fn gets(node: &FolderNode, records: u64, what: &str) {
    let mut times = Vec::new();
    for number in 0..PAGES * 10 {
        let start = Instant::now();
        let found = node.get(&key(mix(number) % records)).await.expect("read");
        times.push(start.elapsed());
        assert!(found.is_some());
    }
    report(&format!("a record, anywhere, {what}"), times);
}

/// Batches without an end; the process dies amid them.
async fn be_killed(node: std::sync::Arc<FolderNode>, records: u64) {
    let mut set = tokio::task::JoinSet::new();
    for number in 0..100 {
        let node = node.clone();
        set.spawn(async move { node.commit(batch(number * BATCH, records, Order::Mixed)).await });
    }
    for _ in 0..90 {
        set.join_next().await.expect("one").expect("no panic").expect("taken");
    }
    println!("killed");
    std::process::abort();
}

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let folder = words.next().expect("the folder to measure in");
    let records: u64 = words.next().and_then(|text| text.parse().ok()).expect("how many records");
    assert!(records > 0 && records.is_multiple_of(PREFIXES), "a multiple of {PREFIXES}");
    let words: Vec<String> = words.collect();
    let is_said = |word: &str| words.iter().any(|said| said == word);
    let order = if is_said("sorted") { Order::Sorted } else { Order::Mixed };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).expect("the folder");
    forget(folder);
    let start = Instant::now();
    let (node, found) = FolderNode::open(folder, Options::default()).expect("open");
    println!("opened in {:.2?}, {}: {found:?}", start.elapsed(), memory());
    let node = std::sync::Arc::new(node);
    let has = node.usage().await.expect("alive").records;
    if has < records {
        fill(&node, records, order).await;
    }
    println!("| what | p50 | p99 | most |\n|---|---|---|---|");
    forget(folder);
    pages(&node, records, "cold").await;
    pages(&node, records, "warm").await;
    forget(folder);
    prefixes(&node, records, "cold", 1).await;
    prefixes(&node, records, "warm", 20).await;
    forget(folder);
    gets(&node, records, "cold").await;
    gets(&node, records, "warm").await;
    println!("{:?}, {}", node.usage().await.expect("alive"), memory());
    let index = std::fs::metadata(folder.join("index.redb")).expect("an index").len();
    println!("the index is {} MiB", index >> 20);
    if is_said("kill") {
        be_killed(node, records).await;
        return;
    }
    let start = Instant::now();
    drop(node);
    println!("closed in {:.2?}", start.elapsed());
}
