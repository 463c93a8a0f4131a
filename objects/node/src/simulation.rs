//! A node on a simulated disk, with latencies by a seed: for the simulation of clusters.

use crate::{
    Batch, BlobId, BlobWriter, MAX_BLOB_BYTES, MAX_INLINE_BLOB_BYTES, Node, NodeFault, NodeResult,
    OpenFault, OpenReport, Options, Scan, Usage,
    disk::{Dice, SimDisk},
    store::{BlobFile, Store, Work},
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The longest that a call takes, in microseconds of tokio's clock.
const LATENCY_US: u64 = 2_000;

/// A node on a simulated disk. Each call takes a time by the seed; with tokio's clock paused, a
/// seed is a history. Batches are committed one by one.
#[derive(Debug)]
pub struct SimNode {
    store: Arc<Store>,
    disk: SimDisk,
    dice: Arc<Mutex<Dice>>,
}

impl SimNode {
    /// Opens the node of a disk, or makes one on an empty disk, with small limits.
    ///
    /// # Errors
    /// It isn't a node, or the disk fails.
    pub fn open(disk: SimDisk, seed: u64) -> Result<(Self, OpenReport), OpenFault> {
        Self::open_with(disk, seed, Options::small())
    }

    /// The same, with other limits.
    ///
    /// # Errors
    /// It isn't a node, or the disk fails.
    pub fn open_with(
        disk: SimDisk,
        seed: u64,
        options: Options,
    ) -> Result<(Self, OpenReport), OpenFault> {
        let mut dice = Dice::new(seed);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&dice.roll(u64::MAX).to_le_bytes());
        let (store, report) = Store::open(Arc::new(disk.clone()), options, id)?;
        let dice = Arc::new(Mutex::new(dice));
        Ok((Self { store: Arc::new(store), disk, dice }, report))
    }

    /// Its disk, to inject faults.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Cuts the power: the node is down from now on. Gives the disk as it is after.
    #[must_use]
    pub fn crash(&self) -> SimDisk {
        self.disk.crash()
    }

    /// Does now what a node does when it has nothing else to do: a checkpoint, and one step of
    /// compaction.
    ///
    /// # Errors
    /// The node is down or full.
    pub fn tend(&self) -> NodeResult<()> {
        if self.store.tend(true)? { self.store.move_only() } else { Ok(()) }
    }

    async fn submit(&self, work: Work) -> NodeResult<()> {
        latency(&self.dice).await;
        let results = self.store.commit_group(vec![work]);
        let result = results.into_iter().next().unwrap_or(Ok(()));
        // What a real node does after its answer.
        let _ = self.store.tend(false);
        // The answer may be lost with the power, as a call may be before it is made.
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        result
    }
}

async fn latency(dice: &Mutex<Dice>) {
    let micros = dice.lock().unwrap_or_else(PoisonError::into_inner).roll(LATENCY_US);
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

impl Store {
    /// Whether the power is still there.
    fn alive_on(&self, disk: &SimDisk) -> NodeResult<()> {
        self.alive()?;
        crate::disk::Disk::check(disk).map_err(|error| NodeFault::Down(error.to_string().into()))
    }
}

#[async_trait]
impl Node for SimNode {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        self.submit(Work::Batch(batch)).await
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.get(key)
    }

    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.scan(&scan)
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        latency(&self.dice).await;
        let file = self.store.create_blob(id)?;
        Ok(Box::new(SimBlob { file, dice: self.dice.clone() }))
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.read_blob(id, offset, len)
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.blob_len(id)
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        if data.len() as u64 > MAX_BLOB_BYTES {
            return Err(NodeFault::Refused("a blob is longer than 8 MiB"));
        }
        if data.len() <= MAX_INLINE_BLOB_BYTES {
            return self.submit(Work::RepairInLog(id, data)).await;
        }
        let mut file = self.store.create_blob(id)?;
        file.write(data)?;
        let len = file.finish()?;
        self.submit(Work::RepairInFile(id, len)).await
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.verify_blob(id)
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.blobs(after, limit)
    }

    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.changed_since(sequence)
    }

    async fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.forget_before(sequence)
    }

    async fn usage(&self) -> NodeResult<Usage> {
        latency(&self.dice).await;
        self.store.alive_on(&self.disk)?;
        self.store.usage()
    }
}

#[derive(Debug)]
struct SimBlob {
    file: BlobFile,
    dice: Arc<Mutex<Dice>>,
}

#[async_trait]
impl BlobWriter for SimBlob {
    async fn write(&mut self, data: Bytes) -> NodeResult<()> {
        latency(&self.dice).await;
        self.file.write(data)
    }

    async fn finish(self: Box<Self>) -> NodeResult<()> {
        latency(&self.dice).await;
        self.file.finish().map(|_| ())
    }
}
