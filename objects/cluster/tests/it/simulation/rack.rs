//! Nodes that outlive the processes which use them, and are steered by the simulation.

use super::dice::Dice;
use async_trait::async_trait;
use bytes::Bytes;
use cluster::NodeConfig;
use node::{
    Batch, BlobId, BlobWriter, MemoryNode, Node, NodeFault, NodeResult, Options, Scan, SimDisk,
    SimNode, Usage,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// What a node's process was told by the simulation.
#[derive(Debug)]
struct Reins {
    dead: AtomicBool,
    hangs: watch::Sender<bool>,
    /// The most that a call takes, in microseconds.
    latency_us: u64,
    dice: Mutex<Dice>,
}

impl Reins {
    async fn pass(&self) -> NodeResult<()> {
        let micros = self.dice.lock().expect("dice").below(self.latency_us + 1);
        if micros > 0 {
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        let mut hangs = self.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.expect("the sender is here");
        if self.dead.load(Ordering::Relaxed) {
            return Err(NodeFault::Down("it was killed".into()));
        }
        Ok(())
    }
}

/// One opening of a node.
#[derive(Clone, Debug)]
pub struct Steered {
    inner: Arc<dyn Node>,
    reins: Arc<Reins>,
}

impl Steered {
    async fn call<T>(&self, call: impl Future<Output = NodeResult<T>>) -> NodeResult<T> {
        self.reins.pass().await?;
        let result = call.await;
        // The answer may be late, or lost.
        self.reins.pass().await?;
        result
    }
}

#[async_trait]
impl Node for Steered {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        self.call(self.inner.commit(batch)).await
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        self.call(self.inner.get(key)).await
    }

    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        self.call(self.inner.scan(scan)).await
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        let inner = self.call(self.inner.create_blob(id)).await?;
        Ok(Box::new(SteeredBlob { inner, reins: self.reins.clone() }))
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        self.call(self.inner.read_blob(id, offset, len)).await
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        self.call(self.inner.blob_len(id)).await
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        self.call(self.inner.repair_blob(id, data)).await
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.call(self.inner.verify_blob(id)).await
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        self.call(self.inner.blobs(after, limit)).await
    }

    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        self.call(self.inner.changed_since(sequence)).await
    }

    async fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        self.call(self.inner.forget_before(sequence)).await
    }

    async fn usage(&self) -> NodeResult<Usage> {
        self.call(self.inner.usage()).await
    }
}

#[derive(Debug)]
struct SteeredBlob {
    inner: Box<dyn BlobWriter>,
    reins: Arc<Reins>,
}

#[async_trait]
impl BlobWriter for SteeredBlob {
    async fn write(&mut self, data: Bytes) -> NodeResult<()> {
        self.reins.pass().await?;
        self.inner.write(data).await
    }

    async fn finish(self: Box<Self>) -> NodeResult<()> {
        let Self { inner, reins } = *self;
        reins.pass().await?;
        let result = inner.finish().await;
        reins.pass().await?;
        result
    }
}

/// What outlives a process.
#[derive(Clone, Debug)]
enum Disk {
    Memory(MemoryNode),
    Simulated(SimDisk),
}

/// A node of the rack.
#[derive(Debug)]
pub struct Bay {
    pub name: String,
    disk: Disk,
    simulated: bool,
    /// The most that a call takes, in microseconds.
    pub latency_us: u64,
    /// Of its node, on a simulated disk.
    pub options: Options,
    now: Option<Steered>,
    dice: Dice,
}

impl Bay {
    pub fn new(name: usize, simulated: bool, mut dice: Dice) -> Self {
        let disk = Self::blank(simulated, &mut dice);
        let latency_us = if simulated { 0 } else { 2_000 };
        Self {
            name: format!("node-{name}"),
            disk,
            simulated,
            latency_us,
            options: Options::small(),
            now: None,
            dice,
        }
    }

    fn blank(simulated: bool, dice: &mut Dice) -> Disk {
        if simulated {
            Disk::Simulated(SimDisk::new(dice.next()))
        } else {
            Disk::Memory(MemoryNode::default())
        }
    }

    /// Kills the node's process, with a power cut.
    pub fn kill(&mut self) {
        if let Some(now) = self.now.take() {
            now.reins.dead.store(true, Ordering::Relaxed);
            now.reins.hangs.send_replace(false);
        }
        if let Disk::Simulated(disk) = &self.disk {
            self.disk = Disk::Simulated(disk.crash());
        }
    }

    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    pub fn is_killed(&self) -> bool {
        self.now.is_none()
    }

    /// Puts an empty disk in the place of the old one.
    pub fn replace_disk(&mut self) {
        self.kill();
        self.disk = Self::blank(self.simulated, &mut self.dice);
    }

    /// Opens the node, and says whether it is damaged.
    pub fn open(&mut self) -> Option<(Arc<dyn Node>, bool)> {
        let (inner, damaged): (Arc<dyn Node>, bool) = match &self.disk {
            Disk::Memory(node) => (Arc::new(node.clone()), false),
            Disk::Simulated(disk) => {
                let (node, report) =
                    SimNode::open_with(disk.clone(), self.dice.next(), self.options.clone())
                        .map_err(|fault| log::warn!("{} doesn't open: {fault}", self.name))
                        .ok()?;
                (Arc::new(node), report.is_damaged())
            }
        };
        let reins = Reins {
            dead: AtomicBool::new(false),
            hangs: watch::Sender::new(false),
            latency_us: self.latency_us,
            dice: Mutex::new(Dice::new(self.dice.next())),
        };
        let steered = Steered { inner, reins: Arc::new(reins) };
        self.now = Some(steered.clone());
        Some((Arc::new(steered), damaged))
    }

    pub fn config(&mut self) -> NodeConfig {
        let opened = self.open();
        NodeConfig {
            name: self.name.clone(),
            domain: self.name.clone(),
            weight: 100,
            damaged: opened.as_ref().is_some_and(|(_, damaged)| *damaged),
            node: opened.map(|(node, _)| node),
        }
    }

    pub fn hang(&self, hangs: bool) {
        if let Some(now) = &self.now {
            now.reins.hangs.send_replace(hangs);
        }
    }

    /// Lets it have no more room than it uses, or all.
    pub fn fill(&self, full: bool) {
        if let Disk::Simulated(disk) = &self.disk {
            disk.set_capacity(if full { disk.used_bytes() + 90_000 } else { u64::MAX });
        }
    }

    /// Somebody else takes all of its room but for so many bytes.
    pub fn leave(&self, bytes: u64) {
        if let Disk::Simulated(disk) = &self.disk {
            disk.set_capacity(disk.used_bytes() + bytes);
        }
    }

    /// Flips bits in one of its files.
    pub fn rot(&mut self) {
        let Disk::Simulated(disk) = &self.disk else { return };
        let files = disk.files();
        let files: Vec<_> = files.into_iter().filter(|(_, len)| *len > 0).collect();
        if files.is_empty() {
            return;
        }
        let (path, len) = &files[self.dice.index(files.len())];
        for _ in 0..=self.dice.below(3) {
            let with = 1 << self.dice.below(8);
            disk.rot(path, self.dice.below(*len), with);
        }
    }

    /// The node without what the simulation does to it.
    pub fn inner(&self) -> Arc<dyn Node> {
        self.now.as_ref().expect("it is open").inner.clone()
    }
}
