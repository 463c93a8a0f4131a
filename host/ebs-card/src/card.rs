//! The card's configuration: which volumes there are, and which are served under which name.

use crate::{
    lock,
    nbd::ExportInfo,
    serve::{connection::Export, pool::Pool},
    volume::folder::Folder,
};
use anyhow::{Context as _, Result, bail, ensure};
use contracts::card::{EbsPatch, Reply, VolumeConfig};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use types::VolumeId;

/// How long requests under way may take when their volume is closed.
const CLOSE: Duration = Duration::from_secs(30);

/// A volume that is served.
struct Served {
    id: VolumeId,
    name: String,
    /// Who may use it, besides root and us.
    uid: Option<u32>,
    export: Export,
    clients: Mutex<Clients>,
    left: Condvar,
}

#[derive(Default)]
struct Clients {
    streams: BTreeMap<u64, Arc<UnixStream>>,
    next: u64,
    closed: bool,
}

/// A client's hold on a volume, which is not closed before it is dropped.
pub struct Attached {
    served: Arc<Served>,
    number: u64,
}

impl Attached {
    /// The volume's ID.
    #[must_use]
    pub fn id(&self) -> VolumeId {
        self.served.id
    }

    /// What to serve.
    #[must_use]
    pub fn export(&self) -> Export {
        self.served.export.clone()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        lock(&self.served.clients).streams.remove(&self.number);
        self.served.left.notify_all();
    }
}

/// Whether a user may use every export: root, and our own.
fn is_master(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::getuid().as_raw()
}

impl Served {
    fn admits(&self, uid: u32) -> bool {
        is_master(uid) || self.uid == Some(uid)
    }

    /// Sends its clients away and waits for them; nobody can come again.
    fn close(&self) -> Result<()> {
        let mut clients = lock(&self.clients);
        clients.closed = true;
        for stream in clients.streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let (_clients, timeout) = self
            .left
            .wait_timeout_while(clients, CLOSE, |clients| !clients.streams.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(!timeout.timed_out(), "requests are under way for longer than {CLOSE:?}");
        Ok(())
    }
}

/// The card.
pub struct Card {
    folder: Folder,
    pool: Pool,
    /// One change at a time.
    applying: Mutex<()>,
    served: Mutex<BTreeMap<VolumeId, Arc<Served>>>,
    connections: AtomicU64,
    refused: AtomicU64,
}

impl Card {
    /// A card that serves nothing yet.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self {
            folder,
            pool: Pool::default(),
            applying: Mutex::default(),
            served: Mutex::default(),
            connections: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Where to wait for disks.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether a user may use anything.
    #[must_use]
    pub fn admits(&self, uid: u32) -> bool {
        is_master(uid) || lock(&self.served).values().any(|served| served.admits(uid))
    }

    /// What a client may know of an export: nothing of another user's.
    #[must_use]
    pub fn info(&self, name: &str, uid: u32) -> Option<ExportInfo> {
        let Some(served) = self.named(name).filter(|served| served.admits(uid)) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(ExportInfo { size_bytes: served.export.volume.size_bytes() })
    }

    /// Gives a client a hold on an export, unless it was closed meanwhile.
    #[must_use]
    pub fn attach(&self, name: &str, uid: u32, stream: &Arc<UnixStream>) -> Option<Attached> {
        let served = self.named(name).filter(|served| served.admits(uid))?;
        let number = {
            let mut clients = lock(&served.clients);
            if clients.closed {
                return None;
            }
            clients.next += 1;
            let number = clients.next;
            clients.streams.insert(number, stream.clone());
            number
        };
        self.connections.fetch_add(1, Ordering::Relaxed);
        Some(Attached { served, number })
    }

    fn named(&self, name: &str) -> Option<Arc<Served>> {
        lock(&self.served).values().find(|served| served.name == name).cloned()
    }

    /// Changes the configuration; what fails is reported by its ID, the rest is done.
    #[must_use]
    pub fn apply(&self, patch: &EbsPatch) -> Reply {
        let _applying = lock(&self.applying);
        let mut failed = BTreeMap::new();
        let mut note = |id: VolumeId, result: Result<()>| {
            if let Err(error) = result {
                log::warn!("{id}: {error:#}");
                failed.insert(id.to_string(), format!("{error:#}"));
            }
        };
        let mut close = patch.close.iter().copied().collect::<BTreeSet<_>>();
        if patch.reset {
            let kept = patch.serve.iter().map(|config| config.id).collect::<BTreeSet<_>>();
            close.extend(lock(&self.served).keys().filter(|id| !kept.contains(id)));
        }
        for id in close {
            note(id, self.close(id));
        }
        for id in &patch.delete {
            // What is deleted need not be durable.
            if let Err(error) = self.end(*id, |_| Ok(())) {
                log::warn!("{id}: {error:#}");
            }
            let open = lock(&self.served).contains_key(id);
            note(
                *id,
                if open { Err(anyhow::anyhow!("still in use")) } else { self.folder.delete(*id) },
            );
        }
        for config in &patch.serve {
            note(config.id, self.serve(config));
        }
        Reply::Applied { failed }
    }

    fn serve(&self, config: &VolumeConfig) -> Result<()> {
        let id = config.id;
        let base = config.base.as_deref();
        if !self.folder.exists(id) {
            self.folder.make(id, config.size_bytes, base)?;
            log::info!("{id}: made, {} bytes", config.size_bytes);
        }
        let current = lock(&self.served).get(&id).cloned();
        let size = self.folder.size(id)?;
        ensure!(
            config.size_bytes >= size,
            "a volume never shrinks: it has {size} bytes, not {}",
            config.size_bytes
        );
        if config.size_bytes > size {
            self.folder.grow(id, config.size_bytes)?;
            log::info!("{id}: grown to {} bytes", config.size_bytes);
        }
        if let Some(served) = &current {
            let closed = lock(&served.clients).closed;
            let same = Some(&served.name) == config.export.as_ref() && served.uid == config.uid;
            if same && !closed {
                served.export.volume.grown(config.size_bytes);
                return Ok(());
            }
            let closed = self.close(id);
            if lock(&self.served).contains_key(&id) {
                return closed.context("closing it under its old name");
            }
            if let Err(error) = closed {
                // It is closed all the same; what its guest wanted durable was answered so.
                log::error!("{id}: {error:#}");
            }
        }
        let Some(name) = &config.export else { return Ok(()) };
        if name.is_empty() || self.named(name).is_some() {
            bail!("the export's name is empty or another volume's");
        }
        let volume = Arc::new(self.folder.open_volume(id, base)?);
        let export = Export { volume, flusher: Arc::default() };
        let served = Served {
            id,
            name: name.clone(),
            uid: config.uid,
            export,
            clients: Mutex::default(),
            left: Condvar::new(),
        };
        lock(&self.served).insert(id, Arc::new(served));
        log::info!("{id}: served");
        Ok(())
    }

    /// Closes a volume and flushes it; one that is not served is closed already.
    fn close(&self, id: VolumeId) -> Result<()> {
        self.end(id, |served| served.export.volume.flush().context("flushing"))
    }

    /// Closes a volume and does what is `last` before it may be opened again.
    fn end(&self, id: VolumeId, last: impl FnOnce(&Served) -> Result<()>) -> Result<()> {
        let Some(served) = lock(&self.served).get(&id).cloned() else { return Ok(()) };
        let closed = served.close().and_then(|()| last(&served));
        // While clients hold it, it must not be opened a second time: it stays, closed.
        if lock(&served.clients).streams.is_empty() {
            lock(&self.served).remove(&id);
            log::info!("{id}: closed");
        }
        closed
    }

    /// Flushes every volume.
    pub fn flush_all(&self) {
        let all = lock(&self.served).values().cloned().collect::<Vec<_>>();
        for served in all {
            if let Err(error) = served.export.volume.flush() {
                log::error!("{}: flushing: {error}", served.id);
            }
        }
    }

    /// Counters by volume, and of the card.
    #[must_use]
    pub fn status(&self) -> Reply {
        let served = lock(&self.served).values().cloned().collect::<Vec<_>>();
        let mut status = BTreeMap::new();
        let mut total = BTreeMap::<String, u64>::new();
        for served in &served {
            let volume = &served.export.volume;
            let mut counters = volume.counters.snapshot();
            counters.insert("connections".into(), lock(&served.clients).streams.len() as u64);
            counters.insert("read_only".into(), u64::from(volume.has_failed()));
            for (name, count) in &counters {
                *total.entry(name.clone()).or_default() += count;
            }
            counters.insert("size_bytes".into(), volume.size_bytes());
            status.insert(served.id.to_string(), counters);
        }
        total.insert("volumes".into(), served.len() as u64);
        total.insert("accepted".into(), self.connections.load(Ordering::Relaxed));
        total.insert("refused_names".into(), self.refused.load(Ordering::Relaxed));
        status.insert("card".into(), total);
        Reply::Status(status)
    }
}
