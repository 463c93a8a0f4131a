//! Faults: an OSD that is killed under load, a pool that is full, bytes that rot.

use crate::{conf, connect, fresh};
use bytes::Bytes;
use node::{
    Batch, BlobId, Node, NodeFault,
    contract::{self, Dice, batch},
};
use rados::{RadosNode, Settings};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("start a program");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ceph(arguments: &[&str]) -> String {
    let conf = conf();
    run("ceph", &[&["--conf", conf.to_str().expect("a path")], arguments].concat())
}

/// The folder that `ceph.sh` has made.
fn folder() -> PathBuf {
    conf().parent().expect("a folder").to_path_buf()
}

/// What each writer had acknowledged.
type Acknowledged = (BTreeMap<Bytes, Bytes>, BTreeMap<BlobId, Bytes>);

async fn write(
    node: RadosNode,
    writer: u8,
    count: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
) -> Acknowledged {
    let mut dice = Dice(u64::from(writer));
    let (mut records, mut blobs) = (BTreeMap::new(), BTreeMap::new());
    while !ended.load(Ordering::Relaxed) {
        let key: Bytes = [&[b'a' + writer][..], &dice.bytes(1)].concat().into();
        let value = dice.bytes(40);
        let old = records.get(&key).map(|_| blobs.keys().next().copied()).unwrap_or_default();
        let (id, len) = (dice.blob_id(), usize::try_from(dice.below(100_000)).expect("a length"));
        let data = dice.bytes(len);
        let mut batch = Batch {
            free: old.into_iter().collect(),
            adopt: vec![id],
            ..batch(&[(&key, Some(&value))])
        };
        if writer.is_multiple_of(2) {
            batch.blobs.push((id, data.clone()));
        } else {
            contract::write_blob(&node, id, &data, 1 << 20).await;
        }
        node.commit(batch).await.expect("a commit is late, but done");
        records.insert(key, value);
        blobs.insert(id, data);
        old.and_then(|old| blobs.remove(&old));
        count.fetch_add(1, Ordering::Relaxed);
    }
    (records, blobs)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn an_osd_is_killed_under_load_and_nothing_is_lost() {
    let settings = fresh();
    let node = connect(&settings).await;
    let (count, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..8)
        .map(|n| tokio::spawn(write(node.clone(), n, count.clone(), ended.clone())))
        .collect();
    until("commits", || count.load(Ordering::Relaxed) >= 100).await;

    let pid = std::fs::read_to_string(folder().join("pid/osd1")).expect("the OSD's pid");
    run("kill", &["-KILL", pid.trim()]);
    let killed = Instant::now();
    let before = count.load(Ordering::Relaxed);
    until("commits without an OSD", || count.load(Ordering::Relaxed) >= before + 8).await;
    println!("8 commits {:?} after the kill", killed.elapsed());
    until("more of them", || count.load(Ordering::Relaxed) >= before + 200).await;

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/ceph/ceph.sh");
    run(script, &["osd", folder().to_str().expect("a path"), "1"]);
    until("the OSD", || ceph(&["osd", "stat"]).contains("3 up")).await;
    let before = count.load(Ordering::Relaxed);
    until("commits with the OSD", || count.load(Ordering::Relaxed) >= before + 100).await;
    ended.store(true, Ordering::Relaxed);

    let (mut records, mut blobs) = (BTreeMap::new(), BTreeMap::new());
    for writer in writers {
        let (more_records, more_blobs) = writer.await.expect("a writer");
        records.extend(more_records);
        blobs.extend(more_blobs);
    }
    println!("{} commits", count.load(Ordering::Relaxed));
    contract::same(&node, &records, &blobs).await;
    let next = connect(&settings).await;
    let swept = next.sweep().await.expect("sweep");
    assert_eq!(swept.removed, 0, "each blob was adopted or freed");
    contract::same(&next, &records, &blobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_full_pool_still_reads_and_frees() {
    let mut settings = fresh();
    settings.pool = "small".to_owned();
    ceph(&["osd", "pool", "create", "small", "4"]);
    let node = connect(&settings).await;
    let (mut dice, mut kept) = (Dice(4), BTreeMap::new());
    ceph(&["osd", "pool", "set-quota", "small", "max_bytes", "4000000"]);
    // The monitors find out some time after the fact.
    let deadline = Instant::now() + Duration::from_secs(120);
    let fault = loop {
        assert!(Instant::now() < deadline, "the pool is never full");
        let (id, data) = (dice.blob_id(), dice.bytes(200_000));
        let commit = Batch { blobs: vec![(id, data.clone())], ..batch(&[(b"a", Some(b""))]) };
        match node.commit(commit).await {
            Ok(()) => kept.insert(id, data),
            Err(fault) => break fault,
        };
        // Enough; now only the monitors have to see it.
        if kept.len() > 40 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(matches!(fault, NodeFault::Full), "{fault}");
    assert_eq!(node.get(b"a").await.expect("get").as_deref(), Some(&b""[..]));
    for (id, data) in &kept {
        assert_eq!(contract::whole_blob(&node, *id).await.expect("a blob"), *data);
    }
    let free = kept.keys().copied().collect();
    node.commit(Batch { free, ..batch(&[(b"a", None)]) }).await.expect("free");
    assert_eq!(node.blobs(None, 10).await.expect("blobs"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_ceph_that_does_not_answer_is_down_and_comes_back() {
    let node = connect(&Settings { timeout_s: 2, ..fresh() }).await;
    node.commit(batch(&[(b"a", Some(b"1"))])).await.expect("commit");
    // Other tests wait meanwhile. The client hears of it some time later.
    ceph(&["osd", "pause"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut commit = Ok(());
    while commit.is_ok() && Instant::now() < deadline {
        commit = node.commit(batch(&[(b"a", Some(b"2"))])).await;
    }
    let get = node.get(b"a").await;
    ceph(&["osd", "unpause"]);
    for fault in [get.map(|_| ()), commit] {
        let fault = fault.expect_err("Ceph is paused");
        assert_eq!(
            fault.to_string(),
            "the storage node is down: Ceph: Connection timed out (os error 110)"
        );
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    // An operation that timed out may be done or not; the next one is.
    while let Err(fault) = node.commit(batch(&[(b"a", Some(b"3"))])).await {
        assert!(Instant::now() < deadline, "{fault}");
    }
    assert_eq!(node.get(b"a").await.expect("get").as_deref(), Some(&b"3"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_blob_that_rots_is_not_given_out() {
    let settings = fresh();
    let node = connect(&settings).await;
    let (id, data) = (Dice(5).blob_id(), Dice(6).bytes(300_000));
    let commit = Batch { blobs: vec![(id, data.clone())], ..batch(&[(b"a", Some(b""))]) };
    node.commit(commit).await.expect("commit");
    let object = format!("blob.{id:?}");
    let part = std::env::temp_dir().join(&settings.namespace);
    let rados = |arguments: &[&str]| {
        let conf = conf();
        let conf = conf.to_str().expect("a path");
        let common = ["--conf", conf, "--pool", "fogbank", "--namespace", &settings.namespace];
        run("rados", &[&common, arguments].concat());
    };
    let file = part.to_str().expect("a path");
    // One bit of the third block, by the rules of Ceph: its own checksums don't see it.
    std::fs::write(&part, [data[150_000] ^ 1]).expect("write a file");
    rados(&["put", &object, file, "--offset", "150000"]);
    let is_corrupt = |fault: NodeFault| matches!(fault, NodeFault::CorruptBlob(bad) if bad == id);
    assert!(is_corrupt(node.read_blob(id, 140_000, 20_000).await.expect_err("a bad block")));
    assert!(is_corrupt(node.verify_blob(id).await.expect_err("a bad block")));
    assert_eq!(node.read_blob(id, 0, 65_536).await.expect("a good block"), data[..65_536]);
    node.repair_blob(id, data.clone()).await.expect("repair");
    node.verify_blob(id).await.expect("a repaired blob");
    rados(&["truncate", &object, "100000"]);
    assert!(is_corrupt(node.read_blob(id, 131_072, 10).await.expect_err("a missing block")));
    assert!(is_corrupt(node.verify_blob(id).await.expect_err("a missing block")));
    std::fs::remove_file(&part).expect("remove the file");
}
