//! Makes its host's desired state so and reports what it observes.
//!
//! One thread, [`agent`], owns all state and takes [`agent::Input`]s; the others only wait: for
//! the server, the cards, QEMU, or a guest that asks for its metadata. What the thread does is
//! level-triggered: it compares what is wanted with what is, so that any step may be repeated.

mod agent;
mod capacity;
mod cards;
mod config;
mod desired;
mod machines;
mod metadata;
mod peer;
mod table;

pub use config::{Choice, Config, Overcommit};

use agent::{Agent, Input};
use anyhow::{Context, Result};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::mpsc,
    thread,
};

/// Runs the agent; it returns only if it cannot start.
///
/// # Errors
/// A folder cannot be written, or no hypervisor works.
pub fn run(config: Config) -> Result<()> {
    make_folder(&config.data, 0o711)?;
    let _alone = lock(&config.data.join("agent.lock"))?;
    raise_file_limit();
    make_folder(&config.instances(), 0o700)?;
    // The VMs' users must reach their sockets.
    make_folder(&config.run, 0o711)?;
    make_folder(&config.ports(), 0o711)?;

    let (inbox, inputs) = mpsc::channel();
    let (events, happened) = mpsc::channel();
    let hypervisor = config.start_hypervisor(events)?;
    let forward = inbox.clone();
    thread::Builder::new().name("vm-events".to_owned()).spawn(move || {
        for event in happened {
            if forward.send(Input::Vm(event)).is_err() {
                return;
            }
        }
    })?;

    let documents = metadata::Documents::default();
    if hypervisor.uses_cards() {
        metadata::serve(&config, documents.clone())?;
        peer::connect(&config.vpc_control, inbox.clone(), Input::Vpc)?;
        peer::connect(&config.ebs_control, inbox.clone(), Input::Ebs)?;
    }
    let mut agent = Agent::new(config, hypervisor, documents, inbox.clone());
    // Before the server is told anything: what runs already.
    agent.adopt();
    peer::connect(agent.server(), inbox, Input::Server)?;
    agent.run(&inputs);
    Ok(())
}

/// Two agents must never run the same instances: the second waits until the first is gone.
fn lock(path: &Path) -> Result<fs::File> {
    let file = fs::File::create(path).with_context(|| path.display().to_string())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        log::warn!("another agent has {}: waiting", path.display());
        flock(&file, FlockOperation::LockExclusive)?;
    }
    Ok(file)
}

/// A VM takes two descriptors: as many as the system allows.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::debug!("the limit of open files stays: {error}");
    }
}

/// Makes a folder with exactly this mode.
fn make_folder(path: &Path, mode: u32) -> Result<()> {
    let context = || format!("cannot make {}", path.display());
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(context)
}
