//! Nodes that fill up one after the other.

use crate::basics::{NAMES, config_of, keys, put, remove, until, whole};
use async_trait::async_trait;
use bytes::Bytes;
use cluster::{Cluster, ClusterFault, Config, Health};
use node::{Batch, BlobId, BlobWriter, MemoryNode, Node, NodeFault, NodeResult, Scan, Usage};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A node in memory that takes no blobs while it is full.
#[derive(Clone, Debug, Default)]
struct Narrow {
    inner: MemoryNode,
    full: Arc<AtomicBool>,
}

impl Narrow {
    fn room(&self) -> NodeResult<()> {
        if self.full.load(Ordering::Relaxed) { Err(NodeFault::Full) } else { Ok(()) }
    }
}

#[async_trait]
impl Node for Narrow {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        if !batch.blobs.is_empty() || !batch.adopt.is_empty() {
            self.room()?;
        }
        self.inner.commit(batch).await
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        self.inner.get(key).await
    }

    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        self.inner.scan(scan).await
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        self.room()?;
        self.inner.create_blob(id).await
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        self.inner.read_blob(id, offset, len).await
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        self.inner.blob_len(id).await
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        self.room()?;
        self.inner.repair_blob(id, data).await
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.inner.verify_blob(id).await
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        self.inner.blobs(after, limit).await
    }

    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        self.inner.changed_since(sequence).await
    }

    async fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        self.inner.forget_before(sequence).await
    }

    async fn usage(&self) -> NodeResult<Usage> {
        let usage = self.inner.usage().await?;
        let available_bytes = if self.room().is_ok() { usage.available_bytes } else { 0 };
        Ok(Usage { available_bytes, ..usage })
    }
}

async fn three() -> (Vec<Narrow>, Arc<Cluster>) {
    let nodes: Vec<_> = (0..3).map(|_| Narrow::default()).collect();
    let configs =
        nodes.iter().zip(NAMES).map(|(node, name)| config_of(name, Arc::new(node.clone())));
    let cluster = Cluster::open(Config::new(configs.collect())).await.expect("it is made");
    (nodes, cluster)
}

#[tokio::test(start_paused = true)]
async fn what_frees_space_is_taken_when_nodes_have_filled_up_one_after_the_other() {
    let (nodes, cluster) = three().await;
    put(&cluster, "kept", b"1").await.expect("it is taken");
    put(&cluster, "replaced", b"1").await.expect("it is taken");
    for (count, node) in nodes.iter().enumerate() {
        node.full.store(true, Ordering::Relaxed);
        let result = put(&cluster, "replaced", &[9; 100]).await;
        match count {
            0 => drop(result.expect("two of three suffice")),
            _ => assert!(matches!(result, Err(ClusterFault::Full)), "{result:?}"),
        }
        assert_eq!(keys(&cluster).await, ["kept", "replaced"]);
    }
    remove(&cluster, "replaced").await.expect("it frees space");
    assert_eq!(keys(&cluster).await, ["kept"]);
    let status = until(&cluster, |status| status.nodes[0].health == Health::Full).await;
    assert_eq!(status.slots_unwritable, 0);
    for node in &nodes {
        node.full.store(false, Ordering::Relaxed);
    }
    until(&cluster, whole).await;
    put(&cluster, "replaced", b"2").await.expect("there is room");
    assert_eq!(keys(&cluster).await, ["kept", "replaced"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_too_few_took_is_not_seen_and_leaves_nothing() {
    let (nodes, cluster) = three().await;
    put(&cluster, "there", b"before").await.expect("it is taken");
    for node in &nodes[..2] {
        node.full.store(true, Ordering::Relaxed);
    }
    for (key, data) in [("there", &[7; 50][..]), ("new", &[8; 50]), ("large", &[9; 3_000_000])] {
        let result = put(&cluster, key, data).await;
        assert!(matches!(result, Err(ClusterFault::Full)), "{key}: {result:?}");
    }
    assert_eq!(keys(&cluster).await, ["there"]);
    for node in &nodes {
        node.full.store(false, Ordering::Relaxed);
    }
    until(&cluster, whole).await;
    cluster.sweep_orphans().await.expect("all are there");
    until(&cluster, whole).await;
    cluster.close().await;
    for node in &nodes {
        let scan = Scan { from: Bytes::from_static(&[1]), until: None, limit: usize::MAX };
        let found = node.scan(scan.clone()).await.expect("memory reads");
        assert_eq!(found, nodes[0].scan(scan).await.expect("memory reads"));
        assert_eq!(node.blobs(None, 10).await.expect("memory reads").len(), 1);
    }
}
