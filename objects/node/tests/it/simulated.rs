//! A node on a simulated disk.

use crate::folder::put;
use node::{Batch, BlobId, Node, NodeFault, SimDisk, SimNode};

#[tokio::test(start_paused = true)]
async fn a_power_cut_ends_the_node_and_keeps_what_was_acknowledged() {
    let (node, _) = SimNode::open(SimDisk::new(1), 1).expect("it opens");
    let blobs = vec![(BlobId([1; 16]), vec![3; 3000].into())];
    node.commit(Batch { blobs, ..put(1, "key", b"value") }).await.expect("it is taken");
    let mut writer = node.create_blob(BlobId([2; 16])).await.expect("it begins");
    writer.write(vec![4; 100_000].into()).await.expect("it is written");
    writer.finish().await.expect("it is durable");
    let disk = node.crash();
    assert!(matches!(node.get(b"key").await, Err(NodeFault::Down(_))));
    assert!(matches!(node.commit(put(2, "key", b"lost")).await, Err(NodeFault::Down(_))));
    let (node, report) = SimNode::open(disk, 2).expect("it opens");
    assert!(!report.is_damaged());
    assert_eq!(node.get(b"key").await.expect("read").as_deref(), Some(&b"value"[..]));
    assert_eq!(*node.read_blob(BlobId([1; 16]), 0, 9000).await.expect("read"), [3; 3000]);
    assert!(matches!(node.blob_len(BlobId([2; 16])).await, Err(NodeFault::NotFound(_))));
    assert_eq!(report.dropped_blobs, 1);
}

/// What happens, and when by the paused clock.
async fn history(seed: u64) -> Vec<(std::time::Duration, bool)> {
    let start = tokio::time::Instant::now();
    let disk = SimDisk::new(seed);
    let (node, _) = SimNode::open(disk.clone(), seed).expect("it opens");
    disk.cut_power_after(100);
    let mut events = Vec::new();
    for number in 0..100 {
        let result = node.commit(put(number, &number.to_string(), b"value")).await;
        events.push((start.elapsed(), result.is_ok()));
    }
    events
}

#[tokio::test(start_paused = true)]
async fn a_seed_is_a_history() {
    let first = history(7).await;
    assert_eq!(first, history(7).await);
    assert_ne!(first, history(8).await);
    assert!(first.iter().any(|(_, done)| *done) && first.iter().any(|(_, done)| !*done));
}
