//! Measures a node in a folder: `cargo run --release -p node --example measure FOLDER`.

use bytes::Bytes;
use node::{Batch, BlobId, Change, FolderNode, Node, Options};
use std::{
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const TIME: Duration = Duration::from_secs(5);
const BLOB_BYTES: usize = 4096;

fn key(number: u64) -> Bytes {
    // Keys come in no order.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("bucket/{mixed:016x}/some/name/of/an/object").into()
}

fn id(number: u64) -> BlobId {
    BlobId(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
}

fn put(number: u64) -> Batch {
    let value = Some(Bytes::from(vec![7; 250]));
    Batch {
        slot: 1,
        sequence: number,
        changes: vec![Change { key: key(number), value }],
        blobs: vec![(id(number), Bytes::from(vec![3; BLOB_BYTES]))],
        ..Batch::default()
    }
}

/// Runs `call` with numbers of a counter in so many tasks, and prints how often and how long.
async fn run<F>(what: &str, tasks: usize, counter: &Arc<AtomicU64>, call: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    let mut times = Vec::new();
    let mut running = 0;
    while start.elapsed() < TIME || running > 0 {
        while running < tasks && start.elapsed() < TIME {
            let future = call(counter.fetch_add(1, Ordering::Relaxed));
            set.spawn(async move {
                let start = Instant::now();
                future.await;
                start.elapsed()
            });
            running += 1;
        }
        if let Some(Ok(time)) = set.join_next().await {
            times.push(time);
            running -= 1;
        }
    }
    let took = start.elapsed().as_secs_f64();
    times.sort();
    let rate = f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX)) / took;
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    println!(
        "{what}, {tasks} at a time: {rate:.0}/s, p50 {:?}, p99 {:?}, p99.9 {:?}",
        at(500),
        at(990),
        at(999)
    );
}

/// What the disk itself does: appends of the same length to a file written with zeros.
fn bare_flushes(folder: &Path) {
    let path = folder.join("bare");
    let file = std::fs::File::create(&path).expect("a file");
    (&file).write_all(&vec![0; 64 << 20]).expect("zeros");
    file.sync_all().expect("durable");
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < TIME / 2 && count < 12_000 {
        let offset = u64::from(count) * 4608;
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4608], offset).expect("written");
        file.sync_data().expect("durable");
        count += 1;
    }
    println!("bare pwrite + fdatasync: {:.0}/s", f64::from(count) / start.elapsed().as_secs_f64());
    std::fs::remove_file(path).expect("removed");
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).expect("the folder to measure in");
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).expect("the folder");
    let counter = Arc::new(AtomicU64::new(1));
    for tasks in [1, 16, 32, 128] {
        bare_flushes(folder);
        let (node, _) = FolderNode::open(&folder.join("node"), Options::default()).expect("open");
        let node = Arc::new(node);
        run("durable 4 KiB batches", tasks, &counter, |number| {
            let node = node.clone();
            async move { node.commit(put(number)).await.expect("taken") }
        })
        .await;
    }
    let start = Instant::now();
    let (node, report) = FolderNode::open(&folder.join("node"), Options::default()).expect("open");
    println!("open: {:?}, {report:?}", start.elapsed());
    println!("{:?}", node.usage().await.expect("alive"));
    let node = Arc::new(node);
    let count = counter.load(Ordering::Relaxed);
    for tasks in [1, 16] {
        let reads = Arc::new(AtomicU64::new(0));
        run("get + read of 4 KiB", tasks, &reads, |number| {
            let node = node.clone();
            async move {
                let number = 1 + number.wrapping_mul(0x2545_f491_4f6c_dd1d) % (count - 1);
                node.get(&key(number)).await.expect("read").expect("there");
                let data = node.read_blob(id(number), 0, BLOB_BYTES).await.expect("read");
                assert_eq!(data.len(), BLOB_BYTES);
            }
        })
        .await;
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
}
