//! A node in a folder: one thread writes, everybody reads.

use crate::{
    Batch, BlobId, BlobWriter, MAX_BATCH_BYTES, MAX_BLOB_BYTES, MAX_INLINE_BLOB_BYTES, Node,
    NodeFault, NodeResult, OpenFault, OpenReport, Options, Scan, Usage,
    disk::{Disk, RealDisk},
    store::{self, BlobFile, Store, Work},
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    io::{self, Read as _},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Batches that share a flush, at most.
const GROUP: usize = 256;

/// Their length together, beyond the first, in bytes.
const GROUP_BYTES: u64 = 8 << 20;

/// What may wait for the writer, in KiB.
const QUEUE_KIB: u32 = 64 << 10;

/// After so long without work, a checkpoint is made.
const IDLE: Duration = Duration::from_secs(1);

/// Between two steps of compaction without other work.
const PACE: Duration = Duration::from_millis(10);

/// A blob's bytes are written to its file in parts of at least this length.
const WRITE_BYTES: usize = 128 << 10;

/// Records that a scan reads without a thread of its own.
const QUICK_RECORDS: usize = 1000;

/// A node in a folder of this host.
#[derive(Debug)]
pub struct FolderNode {
    store: Arc<Store>,
    queue: Option<Sender<Job>>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
}

/// What waits for the writer.
struct Job {
    work: Work,
    reply: oneshot::Sender<NodeResult<()>>,
    _room: OwnedSemaphorePermit,
}

impl FolderNode {
    /// Opens the node of a folder, or makes one in an empty folder. Waits for the disk: as long as
    /// it takes to read the log since the last checkpoint, or all of it if the index is lost.
    ///
    /// # Errors
    /// Another process has it open, it isn't a node, or the disk fails.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, OpenReport), OpenFault> {
        let disk = lock(folder)?;
        let mut id = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut id)?;
        Self::over(Arc::new(disk), options, id)
    }

    /// Opens the node with this ID, and makes nothing if it isn't there: the folder of a disk that
    /// isn't mounted is left as it is.
    ///
    /// # Errors
    /// Those of [`FolderNode::open`]; the folder is empty or has another node.
    pub fn reopen(
        folder: &Path,
        options: Options,
        id: [u8; 16],
    ) -> Result<(Self, OpenReport), OpenFault> {
        if !store::is_node(folder)? {
            return Err(OpenFault::Absent);
        }
        let disk = lock(folder)?;
        match store::identity_of(&disk)? {
            Some(found) if found == id => Self::over(Arc::new(disk), options, id),
            Some(_) => Err(OpenFault::Other),
            None => Err(OpenFault::Absent),
        }
    }

    /// Its ID, made with it and never changed.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.store.id()
    }

    /// Whether it has given up, for good: only opening it again helps.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.store.alive().is_err()
    }

    fn over(
        disk: Arc<dyn Disk>,
        options: Options,
        id: [u8; 16],
    ) -> Result<(Self, OpenReport), OpenFault> {
        let (store, report) = Store::open(disk, options, id)?;
        let store = Arc::new(store);
        let (queue, jobs) = channel();
        let writing = store.clone();
        let writer = std::thread::Builder::new()
            .name("node-writer".to_owned())
            .spawn(move || write_jobs(&writing, &jobs))?;
        let node = Self {
            store,
            queue: Some(queue),
            room: Arc::new(Semaphore::new(QUEUE_KIB as usize)),
            writer: Some(writer),
        };
        Ok((node, report))
    }

    async fn submit(&self, work: Work) -> NodeResult<()> {
        let bytes = work.log_bytes();
        if bytes > MAX_BATCH_BYTES {
            return Err(NodeFault::Refused("a batch is longer than 32 MiB"));
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(QUEUE_KIB);
        let ended = |_| NodeFault::Down("its writer has ended".into());
        let room = self.room.clone().acquire_many_owned(kib).await;
        let room = room.map_err(|_| NodeFault::Down("its writer has ended".into()))?;
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(NodeFault::Down("it is closed".into()))?;
        let sent = queue.send(Job { work, reply, _room: room });
        sent.map_err(|_| NodeFault::Down("its writer has ended".into()))?;
        answer.await.map_err(ended)?
    }

    async fn wait<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Arc<Store>) -> NodeResult<T> + Send + 'static,
    ) -> NodeResult<T> {
        wait(self.store.clone(), call).await
    }
}

fn lock(folder: &Path) -> Result<RealDisk, OpenFault> {
    RealDisk::open(folder).map_err(|error| {
        let held = error.kind() == io::ErrorKind::WouldBlock;
        if held { OpenFault::InUse } else { error.into() }
    })
}

/// Runs what waits for the disk on a thread made for that.
async fn wait<T: Send + 'static>(
    store: Arc<Store>,
    call: impl FnOnce(&Arc<Store>) -> NodeResult<T> + Send + 'static,
) -> NodeResult<T> {
    tokio::task::spawn_blocking(move || call(&store))
        .await
        .unwrap_or_else(|error| Err(NodeFault::Down(error.to_string().into())))
}

impl Drop for FolderNode {
    /// Ends the writer, after what was submitted and a last checkpoint.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            log::error!("a storage node's writer has panicked");
        }
    }
}

fn write_jobs(store: &Store, jobs: &Receiver<Job>) {
    let mut has_more = false;
    loop {
        let wait = if has_more { PACE } else { IDLE };
        let is_idle = match jobs.recv_timeout(wait) {
            Ok(first) => {
                write_group(store, jobs, first);
                false
            }
            Err(RecvTimeoutError::Timeout) if has_more => {
                // Full or down: there is no use in trying at once again.
                has_more = store.move_only().is_ok();
                false
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        // A fault is told to whoever comes next.
        let more = store.tend(is_idle).unwrap_or(false);
        has_more = more && (has_more || is_idle);
    }
    if let Err(fault) = store.close() {
        log::error!("a storage node closes without a checkpoint: {fault}");
    }
}

fn write_group(store: &Store, jobs: &Receiver<Job>, first: Job) {
    let mut bytes = first.work.log_bytes();
    let mut works = vec![first.work];
    let mut replies = vec![(first.reply, first._room)];
    while works.len() < GROUP && bytes < GROUP_BYTES {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += job.work.log_bytes();
        works.push(job.work);
        replies.push((job.reply, job._room));
    }
    for ((reply, _), result) in replies.into_iter().zip(store.commit_group(works)) {
        // Whoever asked may have gone.
        let _ = reply.send(result);
    }
}

#[async_trait]
impl Node for FolderNode {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        self.submit(Work::Batch(batch)).await
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        self.store.get(key)
    }

    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        if scan.limit <= QUICK_RECORDS {
            return self.store.scan(&scan);
        }
        self.wait(move |store| store.scan(&scan)).await
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        let file = self.wait(move |store| store.create_blob(id)).await?;
        Ok(Box::new(FolderBlob { file: Some(file), held: Vec::new(), held_bytes: 0 }))
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        if self.store.is_quick(id, len)? {
            return self.store.read_blob(id, offset, len);
        }
        self.wait(move |store| store.read_blob(id, offset, len)).await
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        self.store.blob_len(id)
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        if data.len() as u64 > MAX_BLOB_BYTES {
            return Err(NodeFault::Refused("a blob is longer than 8 MiB"));
        }
        if data.len() <= MAX_INLINE_BLOB_BYTES {
            return self.submit(Work::RepairInLog(id, data)).await;
        }
        let write = move |store: &Arc<Store>| {
            let mut file = store.create_blob(id)?;
            file.write(data)?;
            file.finish()
        };
        let len = self.wait(write).await?;
        self.submit(Work::RepairInFile(id, len)).await
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.wait(move |store| store.verify_blob(id)).await
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        self.wait(move |store| store.blobs(after, limit)).await
    }

    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        self.store.changed_since(sequence)
    }

    async fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        self.store.forget_before(sequence)
    }

    async fn usage(&self) -> NodeResult<Usage> {
        self.store.usage()
    }
}

/// A blob on its way to a file.
#[derive(Debug)]
struct FolderBlob {
    /// None once a write has failed.
    file: Option<BlobFile>,
    held: Vec<Bytes>,
    held_bytes: usize,
}

impl FolderBlob {
    async fn flush(&mut self) -> NodeResult<()> {
        self.held_bytes = 0;
        let held = std::mem::take(&mut self.held);
        let Some(mut file) = self.file.take() else {
            return Err(NodeFault::Down("an earlier write of this blob has failed".into()));
        };
        let write = tokio::task::spawn_blocking(move || {
            held.into_iter().try_for_each(|data| file.write(data)).map(|()| file)
        });
        let file = write.await;
        self.file =
            Some(file.unwrap_or_else(|error| Err(NodeFault::Down(error.to_string().into())))?);
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for FolderBlob {
    async fn write(&mut self, data: Bytes) -> NodeResult<()> {
        self.held_bytes += data.len();
        self.held.push(data);
        if self.held_bytes >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> NodeResult<()> {
        self.flush().await?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let finish = tokio::task::spawn_blocking(move || file.finish().map(|_| ()));
        finish.await.unwrap_or_else(|error| Err(NodeFault::Down(error.to_string().into())))
    }
}
