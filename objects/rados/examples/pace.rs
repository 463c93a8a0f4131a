//! How fast a Ceph does what a storage node has to: `pace CEPH_CONF POOL`.

use bytes::Bytes;
use node::{
    Batch, BlobId, Node, Scan,
    contract::{self, Dice, batch},
};
use rados::{RadosNode, Settings};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How long each figure is taken.
const SPAN: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
enum Work {
    /// A record with a blob of so many bytes in the same batch.
    Put(usize),
    /// A record alone.
    Record,
    /// A record, and a blob of 4 KiB.
    Get,
    /// A blob of 8 MiB, written before its record.
    Large,
    /// 1,000 records.
    Scan,
}

async fn work(node: &RadosNode, blobs: &[BlobId], dice: &mut Dice, work: Work) {
    let key = [&[b'a' + u8::try_from(dice.below(26)).expect("a letter")][..], &dice.bytes(8)];
    let key = key.concat();
    let put = batch(&[(&key, Some(&[7; 300]))]);
    match work {
        Work::Put(len) => {
            let blobs = vec![(dice.blob_id(), dice.bytes(len))];
            node.commit(Batch { blobs, ..put }).await.expect("commit");
        }
        Work::Record => node.commit(put).await.expect("commit"),
        Work::Get => {
            let at = usize::try_from(dice.below(blobs.len() as u64)).expect("a place");
            node.get(&blobs[at].0).await.expect("get").expect("a record");
            assert_eq!(node.read_blob(blobs[at], 0, 4096).await.expect("a blob").len(), 4096);
        }
        Work::Large => {
            let id = dice.blob_id();
            let data = Bytes::from(vec![5; 8 << 20]);
            contract::write_blob(node, id, &data, 1 << 20).await;
            node.commit(Batch { adopt: vec![id], ..put }).await.expect("commit");
        }
        Work::Scan => {
            let scan = Scan { from: key.into(), until: None, limit: 1000 };
            node.scan(scan).await.expect("scan");
        }
    }
}

async fn figure(node: &RadosNode, blobs: &Arc<Vec<BlobId>>, what: Work, at_once: u64) {
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..at_once {
        let (node, blobs) = (node.clone(), blobs.clone());
        let seed = std::process::id();
        workers.spawn(async move {
            let mut dice = Dice((u64::from(seed) << 32) | (at_once << 16) | worker);
            let mut count = 0_u32;
            while began.elapsed() < SPAN {
                work(&node, &blobs, &mut dice, what).await;
                count += 1;
            }
            count
        });
    }
    let total: u32 = workers.join_all().await.into_iter().sum();
    let seconds = began.elapsed().as_secs_f64();
    println!("{what:?}, {at_once} at once: {:.0}/s", f64::from(total) / seconds);
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let conf = arguments.next().expect("a ceph.conf").into();
    let pool = arguments.next().expect("a pool");
    let namespace = format!("pace-{}", std::process::id());
    let user = "admin".to_owned();
    let settings =
        Settings { conf, pool, user, namespace, timeout_s: 60, slot_of: contract::slot_of };
    let node = RadosNode::connect(settings).await.expect("connect");
    let (mut dice, mut ids) = (Dice(7), Vec::new());
    for _ in 0..500 {
        let (id, data) = (dice.blob_id(), dice.bytes(4096));
        let put = batch(&[(&id.0, Some(&[7; 300]))]);
        node.commit(Batch { blobs: vec![(id, data)], ..put }).await.expect("commit");
        ids.push(id);
    }
    let ids = Arc::new(ids);
    let (small, middle) = (Work::Put(4096), Work::Put(1 << 20));
    for what in [Work::Record, small, Work::Get, Work::Scan, middle, Work::Large] {
        for at_once in [1, 16, 32] {
            figure(&node, &ids, what, at_once).await;
        }
    }
}
