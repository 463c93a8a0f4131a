//! A process that is killed while it writes: what it had acknowledged is there.

use crate::folder::{open, put};
use node::{Batch, BlobId, Node};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const FOLDER: &str = "FOGBANK_NODE_TO_BE_KILLED";
const TASKS: u64 = 8;
const ROUNDS: usize = 4;

fn blob_id(number: u64) -> BlobId {
    BlobId((u128::from(number) << 64).to_be_bytes())
}

fn content(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + usize::try_from(number % 700).expect("small"))
}

/// Writes and says what is durable, until it is killed.
fn write_for_ever(folder: &Path) -> ! {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let node = Arc::new(open(folder));
        let begin = node.usage().await.expect("alive").records;
        for task in 0..TASKS {
            let node = node.clone();
            tokio::spawn(async move {
                for round in 0.. {
                    let number = (begin + round) * TASKS + task;
                    let blobs = vec![(blob_id(number), content(number).into())];
                    let batch = put(number, &format!("{number:09}"), &content(number));
                    node.commit(Batch { blobs, ..batch }).await.expect("it is taken");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "durable {number}").expect("somebody reads");
                }
            });
        }
        std::future::pending().await
    })
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_for_ever(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut durable = Vec::new();
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "killed::a_killed_process_loses_nothing_that_it_acknowledged"])
            .arg("--nocapture")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let lines = output.lines().map(|line| line.expect("text"));
        // A line of the test harness may stand before the first.
        let mut numbers =
            lines.filter_map(|line| line.split_once("durable ")?.1.parse::<u64>().ok());
        durable.extend(numbers.by_ref().take(150 * round));
        child.kill().expect("it is killed");
        // What it said before it died counts, too.
        durable.extend(numbers);
        child.wait().expect("it is dead");
        check(folder.path(), &durable);
    }
    assert!(durable.len() >= 150, "{}", durable.len());
}

fn check(folder: &Path, durable: &[u64]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let node = open(folder);
        for number in durable {
            let record = node.get(format!("{number:09}").as_bytes()).await.expect("read");
            assert_eq!(record.as_deref(), Some(&*content(*number)), "record {number}");
            let blob = node.read_blob(blob_id(*number), 0, 1 << 20).await.expect("read");
            assert!(*blob == *content(*number), "blob {number}");
        }
    });
}
