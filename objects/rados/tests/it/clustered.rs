//! The node as the only one of a cluster, as the object store has it.

use crate::{connect, fresh};
use bytes::Bytes;
use cluster::{Changes, Cluster, ClusterFault, Config, Limits, NodeConfig, Place, Record, Table};
use node::{Node, contract::Dice};
use rados::{RadosNode, Settings};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn settings() -> Settings {
    Settings { slot_of: cluster::slot_of_part, ..fresh() }
}

async fn open(node: &RadosNode) -> Arc<Cluster> {
    let limits =
        Limits { free_after: Duration::from_millis(50), scrub_reads: false, ..Limits::default() };
    let node: Arc<dyn Node> = Arc::new(node.clone());
    let name = || "ceph".to_owned();
    let only =
        NodeConfig { name: name(), domain: name(), weight: 1, node: Some(node), damaged: false };
    Cluster::open(Config { limits, ..Config::new(vec![only]) }).await.expect("open a cluster")
}

fn place(key: u64) -> Place {
    Place::new(7, format!("key-{key:04}"))
}

async fn put(cluster: &Arc<Cluster>, key: u64, data: &Bytes) -> Result<(), ClusterFault> {
    let place = place(key);
    let mut writer = cluster.write_body(&place);
    for piece in data.chunks(300_000) {
        writer.write(data.slice_ref(piece)).await?;
    }
    let body = writer.finish().await?;
    let lens = body.blobs.iter().flat_map(|blob| blob.len.to_be_bytes()).collect();
    let record = Record { blobs: body.blobs.iter().map(|blob| blob.id).collect(), value: lens };
    let records = vec![(place.record(Table::Objects, b"v"), Some(record))];
    let mut update = cluster.update(place).await;
    update.commit(Changes { records, blobs: body.inline.clone() }).await
}

async fn read(cluster: &Arc<Cluster>, key: u64) -> Option<Vec<u8>> {
    let record = cluster.get(&place(key).record(Table::Objects, b"v")).await.expect("get")?;
    let mut all = Vec::new();
    for (id, len) in record.blobs.iter().zip(record.value.chunks(8)) {
        let len = u64::from_be_bytes(len.try_into().expect("a length"));
        let mut offset = 0;
        while offset < len {
            let most = usize::try_from(len - offset).expect("short");
            let slot = place(key).slot();
            let part = cluster.read_blob(slot, *id, offset, most).await.expect("a blob");
            assert!(!part.is_empty(), "a blob is too short");
            offset += part.len() as u64;
            all.extend_from_slice(&part);
        }
    }
    Some(all)
}

async fn listed(cluster: &Cluster) -> Vec<u64> {
    let part = cluster::range(Table::Objects, 7, b"key-");
    let found = cluster.scan(part, 10_000).await.expect("scan");
    found
        .iter()
        .map(|(key, _)| {
            let (_, place, _) = Place::of_record(key).expect("a record");
            let text = std::str::from_utf8(&place.key[4..]).expect("text").to_owned();
            text.parse().expect("a number")
        })
        .collect()
}

async fn kept(node: &RadosNode, expected: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let blobs = node.blobs(None, 10_000).await.expect("blobs");
        if blobs.len() == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{} blobs instead of {expected}", blobs.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_cluster_keeps_all_in_ceph_and_finds_it_again() {
    let (settings, mut dice) = (settings(), Dice(1));
    let node = connect(&settings).await;
    let cluster = open(&node).await;
    let bodies: Vec<Bytes> = (0..200)
        .map(|key| {
            dice.bytes([0, 10, 5_000, 1_200_000][key % 4] + usize::from(key == 99) * 9_000_000)
        })
        .collect();
    for (key, body) in (0..).zip(&bodies) {
        put(&cluster, key, body).await.expect("put");
    }
    // Half of them are replaced, of all slots; what they had is freed and forgotten.
    let second: Vec<Bytes> = bodies.iter().map(|body| dice.bytes(body.len().min(2_000))).collect();
    for (key, body) in (0..).zip(&second).take(100) {
        put(&cluster, key, body).await.expect("put");
    }
    let expected = |key: usize| if key < 100 { &second[key] } else { &bodies[key] };
    let blobs = (0..200).filter(|key| !expected(*key).is_empty()).count();
    kept(&node, blobs).await;
    cluster.close().await;
    drop((cluster, node));

    let node = connect(&settings).await;
    let cluster = open(&node).await;
    assert_eq!(listed(&cluster).await, (0..200).collect::<Vec<u64>>());
    for key in 0..200 {
        let index = usize::try_from(key).expect("small");
        assert_eq!(read(&cluster, key).await.as_deref(), Some(&expected(index)[..]), "{key}");
    }
    let status = cluster.status().await;
    assert_eq!((status.session, status.slots_to_heal, status.slots_unwritable), (2, 0, 0));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn a_cluster_that_was_taken_over_writes_no_more() {
    let settings = settings();
    let first = open(&connect(&settings).await).await;
    put(&first, 1, &Bytes::from_static(b"one")).await.expect("put");
    let second = open(&connect(&settings).await).await;
    put(&second, 1, &Bytes::from_static(b"two")).await.expect("put");
    let late = put(&first, 1, &Bytes::from_static(b"three")).await;
    assert!(matches!(late, Err(ClusterFault::Unavailable(_))), "{late:?}");
    assert_eq!(read(&second, 1).await.as_deref(), Some(&b"two"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn what_a_killed_cluster_was_about_to_free_is_an_orphan() {
    let settings = settings();
    let node = connect(&settings).await;
    let cluster = open(&node).await;
    for key in 0..30 {
        put(&cluster, key, &Bytes::from(vec![1; 3_000])).await.expect("put");
        put(&cluster, key, &Bytes::from(vec![2; 4_000])).await.expect("put");
    }
    drop(cluster);
    drop(node);
    let node = connect(&settings).await;
    let cluster = open(&node).await;
    cluster.sweep_orphans().await.expect("sweep");
    kept(&node, 30).await;
    assert_eq!(read(&cluster, 3).await, Some(vec![2; 4_000]));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn updates_of_a_place_come_one_after_the_other() {
    let cluster = open(&connect(&settings()).await).await;
    let count = |record: Option<Record>| {
        record.map_or(0, |record| {
            u64::from_be_bytes(record.value.as_ref().try_into().expect("a number"))
        })
    };
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let cluster = cluster.clone();
        tasks.spawn(async move {
            for step in 0..10 {
                let place = place((task + step) % 4);
                let mut update = cluster.update(place.clone()).await;
                let now = count(update.get(Table::Objects, b"n").await.expect("get"));
                let value = Bytes::copy_from_slice(&(now + 1).to_be_bytes());
                let record = Record { value, ..Record::default() };
                let records = vec![(place.record(Table::Objects, b"n"), Some(record))];
                let changes = Changes { records, blobs: Vec::new() };
                update.commit(changes).await.expect("commit");
            }
        });
    }
    tasks.join_all().await;
    let mut total = 0;
    for key in 0..4 {
        let record = cluster.get(&place(key).record(Table::Objects, b"n")).await.expect("get");
        total += count(record);
    }
    assert_eq!(total, 80);
    cluster.close().await;
}
