//! The audit log: every call of an account as an event of CloudTrail's form, in `audit/` of the data
//! folder.
//!
//! A call's task only queues what was asked and answered; one thread makes the event and writes it.
//! There are two streams, of changes and of reads: a flood of reads can't push out what changed.
//! Within some milliseconds what was written goes to the kernel, so that a killed server loses what
//! was under way and no more; once a second it goes to the disk. Calls go on while the log can't
//! be written: what is lost is counted, and the log says so once it can.

mod link;
mod refused;
mod search;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use refused::Refusal;

use anyhow::Context as _;
use audit::{Identity, Output, Page, Query};
use contracts::audit::Event;
use protocol::form::Form;
use shapes::{Fault, Service};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};
use stream::{Index, Limits, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use types::{Region, Timestamp};

/// The most that waits to be written, in KiB; an event takes at least one.
const MAX_QUEUED_KIB: u32 = 64 << 10;
/// How long the answer of a call that changed something waits for room in the queue.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// The parameters of a call, as they came.
#[derive(Debug)]
pub enum Parameters {
    /// Of the query protocols.
    Form(Form),
    /// Of a JSON service: the operation's target, and the body.
    Json(String, Vec<u8>),
}

/// A call that was answered.
#[derive(Debug)]
pub struct Answered {
    /// Who called.
    pub identity: Identity,
    /// The service called.
    pub service: &'static Service,
    /// The operation called.
    pub operation: String,
    /// The region called.
    pub region: Region,
    /// What was asked.
    pub parameters: Parameters,
    /// What was answered, if the event shows it.
    pub output: Option<Output>,
    /// The error answered.
    pub fault: Option<Fault>,
    /// Whether the client was there to be answered.
    pub was_sent: bool,
    /// The host that the client asked for.
    pub host: Option<String>,
    /// The ID in the answer.
    pub request_id: String,
    /// When the call was done.
    pub at: Timestamp,
    /// About how much memory it takes, in bytes.
    pub size_bytes: usize,
}

/// What the writer is told; each holds its place in the queue.
#[derive(Debug)]
enum Message {
    Answered(Box<Answered>, OwnedSemaphorePermit),
    Event(Box<Event>, OwnedSemaphorePermit),
    Refused(Refusal, OwnedSemaphorePermit),
    /// All that was told before is in the files.
    Flush(oneshot::Sender<()>),
    /// And on the disk; nothing follows.
    Close(oneshot::Sender<()>),
}

/// How the log is.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

/// How the log is: numbers since the server's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TrailStatus {
    /// Events written.
    pub written: u64,
    /// Events lost: the disk was full, or too slow.
    pub dropped: u64,
    /// Requests that named no caller, or not rightly.
    pub refused: u64,
}

/// The way to the log.
#[derive(Debug, Clone)]
pub struct Trail {
    sender: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    /// Of changes and of reads.
    indexes: [Arc<Index>; 2],
    counts: Arc<Counts>,
}

impl Trail {
    /// Opens the log in a folder, which is made if it isn't there; days are how long events are
    /// kept.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn open(folder: &Path, days: u32) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("make {}", folder.display()))?;
        let limits = Limits { days, ..Limits::default() };
        let open = |name: &str| {
            Stream::open(folder, name, limits).with_context(|| format!("open the {name}"))
        };
        let streams = [open("changes")?, open("reads")?];
        let indexes = [streams[0].index(), streams[1].index()];
        let refused = refused::RefusedLog::open(folder)?;
        let (sender, receiver) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let writer = writer::Writer::new(streams, refused, counts.clone());
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(receiver))
            .context("start the audit log's writer")?;
        let room = Arc::new(Semaphore::new(usize::try_from(MAX_QUEUED_KIB)?));
        Ok(Self { sender, room, indexes, counts })
    }

    /// Queues a call's event. Of calls that change something, the answer waits for room for a while;
    /// the others leave half of the queue to them.
    pub async fn note(&self, answered: Answered) {
        let reads = audit::is_read_only(answered.service.name, &answered.operation);
        let size = answered.size_bytes;
        let place = if reads { self.place(size, true) } else { self.wait(size).await };
        match place {
            Some(place) => self.send(Message::Answered(Box::new(answered), place)),
            None => self.drop_one(),
        }
    }

    /// Queues the event of a call whose client has gone.
    pub fn note_now(&self, answered: Answered) {
        match self.place(answered.size_bytes, false) {
            Some(place) => self.send(Message::Answered(Box::new(answered), place)),
            None => self.drop_one(),
        }
    }

    /// Queues an event of another process; waits for room.
    async fn take(&self, event: Event, size_bytes: usize) {
        match self.wait(size_bytes).await {
            Some(place) => self.send(Message::Event(Box::new(event), place)),
            None => self.drop_one(),
        }
    }

    /// Queues a note of a request that named no caller.
    pub fn refuse(&self, refusal: Refusal) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = self.place(0, true) {
            self.send(Message::Refused(refusal, place));
        }
    }

    /// A place in the queue, if there is one; for what is less important, in one half only.
    fn place(&self, size_bytes: usize, half: bool) -> Option<OwnedSemaphorePermit> {
        let kept = if half { MAX_QUEUED_KIB / 2 } else { 0 };
        let free = u32::try_from(self.room.available_permits()).unwrap_or(u32::MAX);
        let wanted = kib(size_bytes);
        if free < kept.saturating_add(wanted) {
            return None;
        }
        self.room.clone().try_acquire_many_owned(wanted).ok()
    }

    async fn wait(&self, size_bytes: usize) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.place(size_bytes, false) {
            return Some(place);
        }
        let waiting = self.room.clone().acquire_many_owned(kib(size_bytes));
        tokio::time::timeout(ROOM_TIMEOUT, waiting).await.ok()?.ok()
    }

    fn send(&self, message: Message) {
        if self.sender.send(message).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How the log is.
    #[must_use]
    pub fn status(&self) -> TrailStatus {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let Counts { written, dropped, refused } = &*self.counts;
        TrailStatus { written: count(written), dropped: count(dropped), refused: count(refused) }
    }

    /// Finds events; those of calls that were answered before are there.
    ///
    /// # Errors
    /// The log can't be read: for people.
    pub async fn search(&self, query: Query) -> anyhow::Result<Page> {
        if query.nothing {
            return Ok(Page::default());
        }
        let (done, flushed) = oneshot::channel();
        self.send(Message::Flush(done));
        // A writer that has ended leaves what is in the files.
        let _ = flushed.await;
        let indexes = self.indexes.clone();
        tokio::task::spawn_blocking(move || search::search(&indexes, &query)).await?
    }

    /// Writes all that waits, durably.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.send(Message::Close(done));
        let _ = closed.await;
    }
}

fn kib(size_bytes: usize) -> u32 {
    u32::try_from(size_bytes / 1024 + 1).unwrap_or(MAX_QUEUED_KIB).min(MAX_QUEUED_KIB / 2)
}
