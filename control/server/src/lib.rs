//! The control plane's shell: HTTP, dispatch, store, hosts.
//!
//! Everything that the pure control plane may not do happens here: sockets, the clock, chance,
//! durable commits.

mod admin;
mod cloud;
mod config;
mod dispatch;
mod hosts;
mod http;
mod identities;
mod images;
mod instance_identity;
mod issuers;
mod master_key;
mod object_keys;
mod objects;
mod rates;
mod record;
mod store;
mod tls;
mod trail;
mod uses;

pub use admin::{AccountStatus, AdminReply, AdminRequest, HostStatus, RootKey};
pub use config::Config;
pub use images::BuiltImage;
pub use rates::DEFAULT_FACTOR as DEFAULT_API_RATE;
pub use trail::TrailStatus;

use anyhow::Context as _;
use cloud::Cloud;
use dispatch::Dispatcher;
use hosts::Hosts;
use http::Front;
use objects::Objects;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// How often what is due by the clock is done.
const TICK: Duration = Duration::from_secs(30);
/// How long states last that come and go by themselves.
const MOMENT: Duration = Duration::from_secs(1);

/// Runs the server until it is told to end; the AWS endpoint is at `listener`.
///
/// # Errors
/// The state can't be loaded, or a socket can't be had.
pub fn run(config: Config, listener: std::net::TcpListener) -> anyhow::Result<()> {
    relay::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("server")
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(config, listener))
}

async fn serve(config: Config, listener: std::net::TcpListener) -> anyhow::Result<()> {
    let store = store::Sqlite::open(&config.data.join("state.db")).context("open the state")?;
    let master = master_key::provide(&config.data.join("master.key"), store.is_sealed()?)?;
    let store = store.sealing(master_key::of_rows(&master)?);
    let cloud = Cloud::start(Box::new(store))?;
    config.apply(&cloud).await?;
    images::register(&cloud, &config.data).await?;
    let key = dispatch::first_account(&cloud).await?;
    config::write_credentials(&config.data, &key).context("write the administrator's key")?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener).context("listen")?;
    let sessions = master_key::of_sessions(&master)?;
    let links = Arc::new(identities::Links::default());
    let uses = uses::Uses::default();
    let teller = identities::Teller {
        cloud: cloud.clone(),
        trust_any_key: config.trust_any_key,
        sessions: sessions.clone(),
        links: links.clone(),
        uses: uses.clone(),
    };
    let hosts = Arc::new(Hosts::default());
    let trail = trail::Trail::open(&config.data.join("audit"), config.audit_days)
        .context("open the audit log")?;
    let dispatcher = Arc::new(Dispatcher {
        cloud: cloud.clone(),
        hosts: hosts.clone(),
        trust_any_key: config.trust_any_key,
        master: master.clone(),
        sessions: sessions.clone(),
        links: links.clone(),
        issuers: issuers::Issuers::new(config.loopback_issuers),
        uses,
        verifier: protocol::sigv4::Verifier::new(),
        codes: iam::UsedCodes::default(),
        trail: trail.clone(),
        rates: rates::Rates::new(config.api_rate),
    });
    let identity = config.data.join("identity");
    let maker = Arc::new(instance_identity::Maker::new(identity, master.clone(), sessions));
    let objects = Arc::new(Objects::new(&config.run));
    let authority = tls::Authority::open(&config.data.join("tls")).context("the cloud's own CA")?;
    let front = Front::new(dispatcher.clone(), objects.clone(), Arc::new(authority));
    let at = |name: &str| config.run.join(name);
    let (link, owner, identities) = (at("link.sock"), at("admin.sock"), at("identities.sock"));
    let owner_of = admin::Owned { cloud: cloud.clone(), objects, links, trail: trail.clone() };
    let (guests, passed_on) = (at("services.sock"), at("server.sock"));
    let keys = at(contracts::keys::SOCKET);
    log::info!("listening on http:// and https://{}", listener.local_addr()?);
    let events = at(contracts::audit::SOCKET);
    let ended = tokio::select! {
        ended = front.serve_clients(listener) => ended,
        ended = front.serve_guests(&guests) => ended,
        ended = front.serve_objects(&passed_on) => ended,
        ended = hosts::serve(&link, cloud.clone(), hosts, maker) => ended,
        ended = admin::serve(&owner, owner_of) => ended,
        ended = trail.serve(&events) => ended,
        ended = teller.serve(&identities) => ended,
        ended = object_keys::serve(&keys, dispatcher) => ended,
        ended = clock(cloud.clone(), config.data, master) => ended,
        ended = moments(cloud) => ended,
        ended = terminated() => ended,
    };
    trail.close().await;
    ended
}

/// Does what is due by the clock, and takes note of images that were built meanwhile.
async fn clock(
    cloud: Arc<Cloud>,
    data: std::path::PathBuf,
    master: kms::MasterKey,
) -> anyhow::Result<()> {
    let mut seen = images::found(&data);
    loop {
        tokio::time::sleep(TICK).await;
        let master = master.clone();
        let due = cloud.mutate(false, move |tx| {
            ec2::tick(tx);
            kms::tick(tx, &master);
            Ok(())
        });
        if let Err(fault) = due.await {
            log::error!("what is due by the clock was not done: {fault}");
        }
        let now = images::found(&data);
        if now != seen {
            images::register(&cloud, &data).await?;
            seen = now;
        }
    }
}

/// Ends what lasts for a moment only, such as the state `pending` of what takes no time here.
async fn moments(cloud: Arc<Cloud>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(MOMENT).await;
        if !ec2::is_in_transition(&cloud.state()) {
            continue;
        }
        let ended = cloud.mutate(false, |tx| {
            ec2::advance(tx);
            Ok(())
        });
        if let Err(fault) = ended.await {
            log::error!("what lasts for a moment did not end: {fault}");
        }
    }
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
