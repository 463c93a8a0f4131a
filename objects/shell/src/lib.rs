//! The object store's process: storage nodes opened, connections taken, who may sign, what the
//! owner asks.
//!
//! The server hands S3 connections over with their descriptors, so that their bytes never pass
//! through it. Requests for S3 that come on a connection of the server's come one by one over a
//! second socket; those for other services that come on ours are passed to the server likewise.

mod door;
mod identities;
mod key;
mod keys;
mod owner;
mod patience;
mod register;
mod storage;
mod trail;

pub use contracts::objects::{CephPool, Foundation, StorageNode};
pub use storage::check_ceph;

use anyhow::Context as _;
use door::Listeners;
use identities::Known;
use owner::Owner;
use std::{path::PathBuf, sync::Arc, time::Duration};
use storage::Storage;

/// The process's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// What objects are kept on.
    pub foundation: Foundation,
    /// The folder of what belongs to no node: which nodes there were.
    pub folder: PathBuf,
    /// Where the key is that wraps the objects' keys; made if it isn't there.
    pub master_key: PathBuf,
    /// The file that says which web hook or file stands for which ARN of a notification's target;
    /// it need not be there.
    pub notification_targets: PathBuf,
    /// Sockets: ours, and the server's.
    pub run: PathBuf,
    /// The region that buckets are in by default.
    pub region: String,
    /// Whether the audit log hears of objects, too, and not of buckets alone.
    pub audit_objects: bool,
}

/// How long threads that block may go on at the end.
const SHUT_DOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The names under which the store is reached; `BUCKET.NAME` is a bucket's.
const DOMAINS: [&str; 4] = ["localhost", "s3.localhost", "fogbank.internal", "s3.fogbank.internal"];

/// Runs the object store until it is told to end.
///
/// # Errors
/// The nodes can't be opened, or a socket can't be had.
pub fn run(config: &Config) -> anyhow::Result<()> {
    relay::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("objects")
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ended = runtime.block_on(serve(config));
    // Ends what still holds a connection to Ceph, whose threads must not outlive this one.
    runtime.shutdown_timeout(SHUT_DOWN_TIMEOUT);
    ended
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let master_key = key::provide(&config.master_key)?;
    let refused = config.run.join(contracts::objects::REFUSED);
    let storage = match Storage::open(&config.foundation, &config.folder).await {
        Ok(storage) => storage,
        Err(error) => {
            // Whoever waits for the start reads it; the log has it, too.
            let _ = std::fs::write(&refused, format!("{error:#}"));
            return Err(error);
        }
    };
    let _ = std::fs::remove_file(&refused);
    let known = Arc::new(Known::default());
    let clock = Arc::new(s3::AdjustableClock::default());
    let settings = s3::Settings {
        region: config.region.clone(),
        domains: DOMAINS.map(str::to_owned).to_vec(),
        master_key,
        clock: clock.clone(),
    };
    let trail = Arc::new(trail::Trail::new(config.audit_objects));
    let gateway = s3::Gateway::new(storage.cluster().clone(), known.clone(), settings)
        .with_notification_targets(config.notification_targets.clone())
        .with_keys(Arc::new(keys::Kms::new(config.run.join(contracts::keys::SOCKET))))
        .with_audit(trail.clone());
    let (owner, identities) =
        (config.run.join("objects-admin.sock"), config.run.join("identities.sock"));
    let listeners = Listeners::new(s3::Service::new(gateway.clone()), known.clone(), &config.run);
    listeners.take_passed()?;
    match &config.foundation {
        Foundation::Nodes(nodes) => log::info!("serving S3 from {} storage nodes", nodes.len()),
        Foundation::Ceph(pool) => log::info!("serving S3 from {}", pool.place()),
    }
    let asked = Owner { gateway: gateway.clone(), storage: storage.clone(), clock };
    let events = config.run.join(contracts::audit::SOCKET);
    let ended = tokio::select! {
        ended = listeners.take_requests() => ended,
        ended = owner::serve(&owner, asked) => ended,
        () = known.follow(&identities) => Ok(()),
        () = trail.send_for_ever(&events) => Ok(()),
        () = gateway.run() => Ok(()),
        () = storage.look_after() => Ok(()),
        ended = terminated() => ended,
    };
    // What was acknowledged is durable; but for lines of access logs.
    listeners.close();
    gateway.finish().await;
    tokio::select! {
        () = trail.send_for_ever(&events) => {}
        () = trail.settle() => {}
    }
    storage.close().await;
    ended
}

async fn terminated() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log::info!("told to end");
    Ok(())
}
