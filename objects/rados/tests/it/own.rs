//! Owners: what one leaves is there for the next, and what it left unfinished is swept.

use crate::{connect, fresh};
use bytes::Bytes;
use node::{
    Batch, BlobId, Node, NodeFault, Scan,
    contract::{self, Dice, batch},
};
use rados::{ConnectFault, OpenFault, RadosNode, Settings, Sweep};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

fn is_missing(result: Result<u64, NodeFault>) -> bool {
    matches!(result, Err(NodeFault::NotFound(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn the_next_owner_finds_all_but_what_was_never_adopted() {
    let settings = fresh();
    let node = connect(&settings).await;
    let mut dice = Dice(1);
    let [adopted, inline, repaired, finished, begun] = [(); 5].map(|()| dice.blob_id());
    let data = dice.bytes(3 << 20);
    let small = dice.bytes(5000);
    contract::write_blob(&node, adopted, &data, 1 << 20).await;
    contract::write_blob(&node, finished, &data, 1 << 20).await;
    let batch = Batch {
        blobs: vec![(inline, small.clone())],
        adopt: vec![inline, adopted],
        ..batch(&[(b"key", Some(b"value"))])
    };
    node.commit(batch.clone()).await.expect("commit");
    node.repair_blob(repaired, small.clone()).await.expect("repair");
    let mut writer = node.create_blob(begun).await.expect("create a blob");
    writer.write(data.clone()).await.expect("write to a blob");

    let next = connect(&settings).await;
    next.sweep().await.expect("sweep");
    let blobs = BTreeMap::from([(adopted, data), (inline, small.clone()), (repaired, small)]);
    let records = BTreeMap::from([(Bytes::from("key"), Bytes::from("value"))]);
    contract::same(&next, &records, &blobs).await;
    assert!(is_missing(next.blob_len(finished).await));
    assert!(is_missing(next.blob_len(begun).await));
    let again = next.sweep().await.expect("sweep");
    assert_eq!((again.blobs, again.removed), (3, 0));

    // The earlier owner is refused, and can't adopt what was swept.
    let fault = node.commit(Batch { adopt: vec![finished], ..batch.clone() }).await;
    assert!(matches!(fault, Err(NodeFault::Down(_))), "{fault:?}");
    let fault = node.commit(contract::batch(&[(b"key", Some(b"wrong"))])).await;
    assert!(matches!(fault, Err(NodeFault::Down(_))), "{fault:?}");
    let swept = next.commit(Batch { adopt: vec![finished], ..contract::batch(&[]) }).await;
    assert!(matches!(swept, Err(NodeFault::NotFound(id)) if id == finished), "{swept:?}");

    // A repaired blob that is freed isn't listed any more, by the next owner neither.
    next.commit(Batch { free: vec![repaired], ..contract::batch(&[]) }).await.expect("commit");
    let blobs: BTreeMap<BlobId, Bytes> =
        blobs.into_iter().filter(|(id, _)| *id != repaired).collect();
    let last = connect(&settings).await;
    contract::same(&last, &records, &blobs).await;
    drop(writer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_dropped_blob_leaves_no_object_and_spares_a_repaired_one() {
    let node = connect(&fresh()).await;
    let mut dice = Dice(8);
    let (dropped, repaired) = (dice.blob_id(), dice.blob_id());
    let data = dice.bytes(3 << 20);
    let mut writers = Vec::new();
    for id in [dropped, repaired] {
        let mut writer = node.create_blob(id).await.expect("create a blob");
        writer.write(data.clone()).await.expect("write to a blob");
        writers.push(writer);
    }
    node.repair_blob(repaired, data.clone()).await.expect("repair");
    drop(writers);
    let deadline = Instant::now() + Duration::from_secs(60);
    while node.sweep().await.expect("sweep") != (Sweep { blobs: 1, removed: 0 }) {
        assert!(Instant::now() < deadline, "the object of a dropped blob stays");
    }
    assert_eq!(contract::whole_blob(&node, repaired).await.expect("a blob"), data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_scan_beside_commits_shows_each_slot_as_it_was() {
    // One record moves among the keys of a slot, by batches: each scan finds it once.
    let node = connect(&fresh()).await;
    let key = |n: u64| format!("m{:04}", n % 400);
    let fixed: Vec<String> = (0..400).map(|n| format!("m{n:04}fixed")).collect();
    let changes: Vec<_> = fixed.iter().map(|k| (k.as_bytes(), Some(&b"fixed"[..]))).collect();
    node.commit(batch(&changes)).await.expect("commit");
    node.commit(batch(&[(key(0).as_bytes(), Some(b"moving"))])).await.expect("commit");
    let mover = {
        let node = node.clone();
        tokio::spawn(async move {
            let mut dice = Dice(3);
            let mut at = 0;
            loop {
                let next = dice.below(400);
                if key(next) != key(at) {
                    let (old, new) = (key(at), key(next));
                    let changes: [(&[u8], Option<&[u8]>); 2] =
                        [(old.as_bytes(), None), (new.as_bytes(), Some(b"moving"))];
                    node.commit(batch(&changes)).await.expect("commit");
                    at = next;
                }
            }
        })
    };
    for n in 0..60 {
        // Without a slot, a scan reads a part of each shard first, and then more of this one.
        let until = (n % 2 == 0).then(|| Bytes::from_static(b"n"));
        let scan = Scan { from: Bytes::from_static(b"a"), until, limit: 1000 };
        let found = node.scan(scan).await.expect("scan");
        assert_eq!(found.len(), 401);
        assert_eq!(found.iter().filter(|(_, value)| value == "moving").count(), 1);
    }
    mover.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn use_is_told() {
    let node = connect(&fresh()).await;
    let id = Dice(9).blob_id();
    let blobs = vec![(id, Bytes::from_static(b"blob"))];
    node.commit(Batch { blobs, ..batch(&[(b"a", Some(b"")), (b"a2", Some(b""))]) })
        .await
        .expect("commit");
    let usage = node.usage().await.expect("usage");
    assert_eq!((usage.records, usage.blobs), (2, 1));
    assert!(usage.available_bytes > 0);
}

#[tokio::test]
#[ignore = "needs a Ceph"]
async fn what_is_not_there_is_named() {
    let fault = |settings: Settings| async {
        RadosNode::connect(settings).await.expect_err("no such Ceph")
    };
    let pool = fault(Settings { pool: "none".to_owned(), ..fresh() }).await;
    assert_eq!(pool.to_string(), "open the Ceph pool none: No such file or directory (os error 2)");
    let conf = fault(Settings { conf: "/no/ceph.conf".into(), ..fresh() }).await;
    assert_eq!(conf.to_string(), "read /no/ceph.conf: No such file or directory (os error 2)");
    let zero = fault(Settings { pool: "fog\0bank".to_owned(), ..fresh() }).await;
    assert!(matches!(zero, ConnectFault::Open(OpenFault::Zero("the pool"))), "{zero}");
}

#[tokio::test]
#[ignore = "needs a Ceph"]
async fn what_is_too_long_is_refused() {
    let node = connect(&fresh()).await;
    let long = vec![1; node::MAX_KEY_BYTES + 1];
    let fault = node.commit(batch(&[(&long, None)])).await.expect_err("a long key");
    assert!(fault.to_string().contains("a key of 4097 bytes"), "{fault}");
    let mut writer = node.create_blob(BlobId([1; 16])).await.expect("create a blob");
    writer.write(Bytes::from(vec![0; 8 << 20])).await.expect("8 MiB");
    let fault = writer.write(Bytes::from_static(b"1")).await.expect_err("a long blob");
    assert!(fault.to_string().contains("at most 8388608"), "{fault}");
    let other = Batch { slot: 5, ..batch(&[(b"z", Some(b""))]) };
    assert!(matches!(node.commit(other).await, Err(NodeFault::Down(_))));
}
