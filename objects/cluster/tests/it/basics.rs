//! What the cluster promises, one thing at a time.

use bytes::Bytes;
use cluster::{
    Changes, Cluster, ClusterFault, Config, Health, Limits, NodeConfig, Place, Record, Table, range,
};
use node::{Batch, Change, MemoryNode, Node, Scan};
use std::{sync::Arc, time::Duration};

/// Names of nodes.
pub const NAMES: [&str; 3] = ["node-0", "node-1", "node-2"];

pub fn config_of(name: &str, node: Arc<dyn Node>) -> NodeConfig {
    let domain = format!("disk of {name}");
    NodeConfig { name: name.to_owned(), domain, weight: 100, node: Some(node), damaged: false }
}

fn nodes(memory: &[MemoryNode]) -> Vec<NodeConfig> {
    let config = |(number, node): (usize, &MemoryNode)| {
        config_of(&format!("node-{number}"), Arc::new(node.clone()))
    };
    memory.iter().enumerate().map(config).collect()
}

fn config(memory: &[MemoryNode]) -> Config {
    let limits = Limits { round: Duration::from_millis(20), ..Limits::default() };
    Config { limits, ..Config::new(nodes(memory)) }
}

fn three() -> Vec<MemoryNode> {
    (0..3).map(|_| MemoryNode::default()).collect()
}

pub async fn put(cluster: &Arc<Cluster>, key: &str, data: &[u8]) -> Result<Record, ClusterFault> {
    let place = Place::new(1, key.as_bytes().to_vec());
    let mut body = cluster.write_body(&place);
    for piece in data.chunks(300_000) {
        body.write(Bytes::copy_from_slice(piece)).await?;
    }
    let body = body.finish().await?;
    let blobs = body.blobs.iter().map(|blob| blob.id).collect();
    let record = Record { blobs, value: Bytes::from(format!("value of {key}")) };
    let records = vec![(place.record(Table::Objects, b""), Some(record.clone()))];
    let mut update = cluster.update(place).await;
    update.commit(Changes { records, blobs: body.inline }).await?;
    Ok(record)
}

pub async fn remove(cluster: &Arc<Cluster>, key: &str) -> Result<(), ClusterFault> {
    let place = Place::new(1, key.as_bytes().to_vec());
    let records = vec![(place.record(Table::Objects, b""), None)];
    cluster.update(place).await.commit(Changes { records, blobs: Vec::new() }).await
}

pub async fn keys(cluster: &Cluster) -> Vec<Bytes> {
    let found = cluster.scan(range(Table::Objects, 1, b""), usize::MAX).await.expect("it lists");
    found.into_iter().filter_map(|(key, _)| Some(Place::of_record(&key)?.1.key)).collect()
}

async fn records(node: &MemoryNode) -> Vec<(Bytes, Bytes)> {
    let scan = Scan { from: Bytes::from_static(&[1]), until: None, limit: usize::MAX };
    node.scan(scan).await.expect("memory reads")
}

/// Waits for a state of the cluster; time is paused, so that it costs none.
pub async fn until(cluster: &Cluster, holds: impl Fn(&cluster::Status) -> bool) -> cluster::Status {
    for _ in 0..10_000 {
        let status = cluster.status().await;
        if holds(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it doesn't come to this: {:#?}", cluster.status().await);
}

pub fn whole(status: &cluster::Status) -> bool {
    status.slots_to_heal == 0
        && status.slots_moving == 0
        && status.nodes.iter().all(|node| node.health == Health::Up)
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_found_again_with_all_that_it_had() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let record = put(&cluster, "large", &data).await.expect("it is taken");
    put(&cluster, "small", b"abc").await.expect("it is taken");
    cluster.close().await;
    drop(cluster);
    let cluster = Cluster::open(config(&memory)).await.expect("it is found");
    assert_eq!(keys(&cluster).await, ["large", "small"]);
    let place = Place::new(1, "large");
    let found = cluster.get(&place.record(Table::Objects, b"")).await.expect("it reads");
    assert_eq!(found, Some(record.clone()));
    let mut read = Vec::new();
    while read.len() < 1_500_000 {
        let (offset, left) = (1_000_001 + read.len() as u64, 1_500_000 - read.len());
        let part = cluster.read_blob(place.slot(), record.blobs[0], offset, left).await;
        read.extend_from_slice(&part.expect("it reads"));
    }
    assert!(read == data[1_000_001..2_500_001]);
    assert_eq!(cluster.status().await.session, 2);
}

#[tokio::test(start_paused = true)]
async fn writes_and_reads_go_on_without_one_node_and_not_without_two() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    put(&cluster, "kept", b"1").await.expect("it is taken");
    put(&cluster, "removed", b"1").await.expect("it is taken");
    cluster.close().await;
    drop(cluster);
    let mut without = config(&memory);
    without.nodes[1].node = None;
    let cluster = Cluster::open(without).await.expect("two of three suffice");
    put(&cluster, "new", b"2").await.expect("two of three suffice");
    remove(&cluster, "removed").await.expect("two of three suffice");
    assert_eq!(keys(&cluster).await, ["kept", "new"]);
    assert_eq!(records(&memory[1]).await.len(), 2, "the node is away");
    // It comes back with a record that was removed meanwhile.
    let node: Arc<dyn Node> = Arc::new(memory[1].clone());
    cluster.attach_node("node-1", node, false).expect("it is known");
    until(&cluster, whole).await;
    assert_eq!(keys(&cluster).await, ["kept", "new"]);
    assert_eq!(records(&memory[1]).await, records(&memory[0]).await);
    cluster.close().await;
    drop(cluster);
    let mut without = config(&memory);
    without.nodes[0].node = None;
    without.nodes[1].node = None;
    let fault = Cluster::open(without).await.expect_err("one of three isn't enough");
    assert!(matches!(fault, ClusterFault::Unavailable(_)));
}

#[tokio::test(start_paused = true)]
async fn a_lost_disk_is_filled_again() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    for n in 0..300 {
        put(&cluster, &format!("key {n}"), b"some bytes").await.expect("it is taken");
    }
    put(&cluster, "large", &vec![7; 9 << 20]).await.expect("it is taken");
    let empty = MemoryNode::default();
    cluster.attach_node("node-2", Arc::new(empty.clone()), false).expect("it is known");
    until(&cluster, |status| whole(status) && status.nodes[2].repaired >= 301).await;
    assert_eq!(records(&empty).await, records(&memory[0]).await);
    let blobs = async |node: &MemoryNode| node.blobs(None, 1000).await.expect("memory reads");
    assert_eq!(blobs(&empty).await, blobs(&memory[0]).await);
    assert_eq!(blobs(&empty).await.len(), 302);
}

#[tokio::test(start_paused = true)]
async fn foreign_and_rolled_back_nodes_are_noticed() {
    let (memory, others) = (three(), three());
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    let other = Cluster::open(config(&others)).await.expect("it is made");
    put(&cluster, "here", b"1").await.expect("it is taken");
    put(&other, "there", b"1").await.expect("it is taken");
    cluster.attach_node("node-0", Arc::new(others[0].clone()), false).expect("it is known");
    let why = |status: &cluster::Status| match &status.nodes[0].health {
        Health::Down(why) => why.to_string(),
        Health::Up | Health::Full => String::new(),
    };
    until(&cluster, |status| why(status).contains("another cluster")).await;
    assert_eq!(keys(&cluster).await, ["here"]);
    put(&cluster, "here too", b"1").await.expect("two of three suffice");
    // A copy of a folder from before the last opening.
    let copy = MemoryNode::default();
    let scan = Scan { from: Bytes::new(), until: None, limit: usize::MAX };
    for (key, value) in memory[1].scan(scan).await.expect("memory reads") {
        let changes = vec![Change { key, value: Some(value) }];
        copy.commit(Batch { changes, ..Batch::default() }).await.expect("memory writes");
    }
    cluster.attach_node("node-0", Arc::new(memory[0].clone()), false).expect("it is known");
    until(&cluster, whole).await;
    cluster.close().await;
    drop(cluster);
    let cluster = Cluster::open(config(&memory)).await.expect("it is found");
    put(&cluster, "newer", b"2").await.expect("it is taken");
    cluster.close().await;
    drop(cluster);
    let mut rolled_back = config(&memory);
    rolled_back.nodes[1].node = Some(Arc::new(copy.clone()));
    let cluster = Cluster::open(rolled_back).await.expect("it is found");
    assert_eq!(cluster.status().await.nodes[1].slots_in_sync, 0);
    until(&cluster, whole).await;
    assert_eq!(records(&copy).await, records(&memory[0]).await);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_added_gets_its_share_and_a_removed_one_gives_its_own() {
    let mut memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    for n in 0..200 {
        put(&cluster, &format!("key {n}"), b"some bytes").await.expect("it is taken");
    }
    assert!(cluster.remove_node("node-0").await.is_err(), "two nodes can't hold three replicas");
    memory.extend([MemoryNode::default(), MemoryNode::default()]);
    for config in nodes(&memory).split_off(3) {
        cluster.add_node(config).await.expect("it is taken in");
    }
    until(&cluster, |status| status.nodes.len() == 5 && whole(status)).await;
    // Records that moved away are removed from where they were.
    let total = async || {
        let mut total = 0;
        for node in &memory {
            total += records(node).await.len();
        }
        total
    };
    for _ in 0..1000 {
        if total().await == 600 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(total().await, 600);
    assert_eq!(keys(&cluster).await.len(), 200);
    let share = records(&memory[4]).await.len();
    assert!((60..180).contains(&share), "{share}");
    cluster.remove_node("node-0").await.expect("four are left");
    until(&cluster, |status| status.nodes.len() == 4 && whole(status)).await;
    assert_eq!(keys(&cluster).await.len(), 200);
    let located = cluster.locate(&Place::new(1, "key 7"), Table::Objects).await.expect("it tells");
    assert_eq!(located.len(), 3);
    assert!(located.iter().all(|at| at.in_sync && at.records == Some(1) && at.node != "node-0"));
}

#[tokio::test(start_paused = true)]
async fn missing_blobs_are_read_elsewhere_and_mended() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    let record = put(&cluster, "a", b"twelve bytes").await.expect("it is taken");
    let id = record.blobs[0];
    let lose = async |node: &MemoryNode| {
        let batch = Batch { free: vec![id], ..Batch::default() };
        node.commit(batch).await.expect("memory writes");
    };
    let slot = Place::new(1, "a").slot();
    let mut mended = 0;
    for node in &memory {
        // One of them is the one that is read first.
        lose(node).await;
        let read = cluster.read_blob(slot, id, 3, 100).await.expect("others have it");
        assert_eq!(read, "lve bytes");
        tokio::time::sleep(Duration::from_secs(1)).await;
        mended += usize::from(node.verify_blob(id).await.is_ok());
        let batch = Batch { blobs: vec![(id, Bytes::from("twelve bytes"))], ..Batch::default() };
        node.commit(batch).await.expect("memory writes");
    }
    assert_eq!(mended, 1);
    lose(&memory[1]).await;
    lose(&memory[2]).await;
    cluster.scrub();
    until(&cluster, |status| status.scrubs == 1 && whole(status)).await;
    for node in &memory {
        node.verify_blob(id).await.expect("the scrub has mended it");
        lose(node).await;
    }
    let fault = cluster.read_blob(slot, id, 0, 1).await.expect_err("nobody has it");
    assert!(matches!(fault, ClusterFault::Lost(lost) if lost == id));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_committed_leave_nothing() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    let place = Place::new(1, "a");
    let mut dropped = cluster.write_body(&place);
    dropped.write(Bytes::from(vec![1; 20 << 20])).await.expect("it is taken");
    drop(dropped);
    let mut finished = cluster.write_body(&place);
    finished.write(Bytes::from(vec![2; 9 << 20])).await.expect("it is taken");
    let finished = finished.finish().await.expect("it is taken");
    assert_eq!(finished.blobs.len(), 2);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(memory[0].usage().await.expect("memory counts").blobs, 2, "the body is held");
    drop(finished);
    tokio::time::sleep(Duration::from_secs(600)).await;
    for node in &memory {
        assert_eq!(node.usage().await.expect("memory counts").blobs, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_replica_is_enough_where_one_is_asked_for() {
    let memory = [MemoryNode::default()];
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    put(&cluster, "a", b"1").await.expect("it is taken");
    assert_eq!(keys(&cluster).await, ["a"]);
    let record = Record { value: Bytes::from(vec![0; 5 << 20]), ..Record::default() };
    let place = Place::new(1, "a");
    let records = vec![(place.record(Table::Objects, b""), Some(record))];
    let mut update = cluster.update(place).await;
    let result = update.commit(Changes { records, blobs: Vec::new() }).await;
    assert!(result.is_err(), "a record can't be so long");
    drop(update);
    put(&cluster, "a", b"2").await.expect("no node was harmed");
}

#[tokio::test(start_paused = true)]
async fn more_than_half_are_given_up_only_when_their_loss_is_accepted() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    for n in 0..40 {
        put(&cluster, &format!("key {n:02}"), b"some bytes").await.expect("it is taken");
    }
    let before = keys(&cluster).await;
    cluster.close().await;
    drop(cluster);
    let alone = |accepted: &[&str]| {
        let mut config = config(&memory);
        config.nodes[1].node = None;
        config.nodes[2].node = None;
        config.accept_loss = accepted.iter().map(|name| (*name).to_owned()).collect();
        config
    };
    for accepted in [&[][..], &["node-1"], &["node-0", "node-5"]] {
        let fault = Cluster::open(alone(accepted)).await.expect_err("one of three isn't enough");
        assert!(matches!(fault, ClusterFault::Unavailable(_)), "{accepted:?}");
    }
    let cluster = Cluster::open(alone(&["node-1", "node-2"])).await.expect("it was accepted");
    assert_eq!(keys(&cluster).await, before);
    assert!(put(&cluster, "new", b"2").await.is_err(), "one copy isn't enough for a write");
    for name in ["node-1", "node-2"] {
        let empty = MemoryNode::default();
        cluster.add_node(config_of(name, Arc::new(empty))).await.expect("it is taken in");
    }
    until(&cluster, |status| whole(status) && status.nodes.len() == 3).await;
    put(&cluster, "new", b"2").await.expect("all are there");
    // The old disks are none of the cluster's any more.
    let fault = cluster.add_node(config_of("node-1", Arc::new(memory[1].clone()))).await;
    assert!(fault.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_down_can_be_let_go_of() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    put(&cluster, "kept", b"1").await.expect("it is taken");
    cluster.detach_node("node-1");
    put(&cluster, "more", b"1").await.expect("one that is up is kept");
    assert!(whole(&cluster.status().await));
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_lost_something_at_once_are_let_in_again() {
    let memory = three();
    let cluster = Cluster::open(config(&memory)).await.expect("it is made");
    for n in 0..20 {
        put(&cluster, &format!("key {n:02}"), b"some bytes").await.expect("it is taken");
    }
    let before = keys(&cluster).await;
    // Neither alone is a majority with the one that is left.
    for (name, damaged) in [("node-1", false), ("node-2", false)] {
        let empty: Arc<dyn Node> = Arc::new(MemoryNode::default());
        cluster.attach_node(name, empty, damaged).expect("it is known");
    }
    until(&cluster, whole).await;
    assert_eq!(keys(&cluster).await, before);
    // One is empty, the other has found that it lost something.
    let damaged: Arc<dyn Node> = Arc::new(memory[0].clone());
    cluster.attach_node("node-0", damaged, true).expect("it is known");
    let empty: Arc<dyn Node> = Arc::new(MemoryNode::default());
    cluster.attach_node("node-1", empty, false).expect("it is known");
    until(&cluster, whole).await;
    assert_eq!(keys(&cluster).await, before);
    put(&cluster, "new", b"2").await.expect("all are there");
}
