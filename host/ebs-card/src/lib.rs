//! The instances' disks: volumes served as block devices over NBD.
//!
//! ```text
//! agent ──control socket──▶ control ─▶ card ─▶ volume/folder: make, open, grow, delete
//! QEMU ──NBD socket──▶ serve/listener ─▶ nbd/handshake ─▶ serve/connection ─▶ nbd/request
//!                                             volume (map, order of flushes) ◀──┘
//! ```
//! FORMAT.md describes the files. Nothing that was acknowledged lives in this process alone: it
//! may be killed at any time, and the next one goes on with the same files and the same socket.

mod card;
mod control;
pub mod counters;
mod memory;
pub mod nbd;
mod serve;
mod signals;
pub mod volume;

use anyhow::{Context as _, Result};
use card::Card;
use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs::File,
    os::unix::net::UnixListener,
    path::PathBuf,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use volume::folder::Folder;

/// How a card is started.
#[derive(Debug)]
pub struct Config {
    /// Where its control socket is made.
    pub control: PathBuf,
    /// Where NBD clients connect; whoever starts the card keeps a copy, so that clients wait
    /// while a card is started again.
    pub nbd: UnixListener,
    /// The folder that has a folder for each volume.
    pub volumes: PathBuf,
}

/// Runs the card until a signal ends the process.
///
/// # Errors
/// Its files or sockets can't be opened, or accepting clients fails.
pub fn run(config: Config) -> Result<()> {
    raise_file_limit();
    memory::give_back_early();
    std::fs::create_dir_all(&config.volumes)
        .with_context(|| format!("making {}", config.volumes.display()))?;
    let _alone = lock_folder(&config.volumes)?;
    let card = Arc::new(Card::new(Folder::open(&config.volumes)?));
    let ending = card.clone();
    signals::on_end(move || {
        ending.flush_all();
        process::exit(0);
    })?;
    let configured = control::spawn(control::bind(&config.control)?, card.clone())?;
    // Until the volumes are known, clients wait in the listener's backlog.
    configured.recv().context("the control thread ended")?;
    config.nbd.set_nonblocking(false)?;
    serve::listener::accept(&config.nbd, &card)
}

/// Two cards must never write the same volumes: the second waits until the first is gone.
fn lock_folder(folder: &std::path::Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        log::warn!("another card has {}: waiting", path.display());
        flock(&file, FlockOperation::LockExclusive)?;
    }
    Ok(file)
}

/// A volume takes five files: as many as the system allows.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("the limit of open files stays {:?}: {error}", limit.current);
    }
}

/// Locks whatever a panicking thread may have left: states are changed in whole steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
