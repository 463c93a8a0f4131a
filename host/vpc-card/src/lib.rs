//! The instances' network: a user-space switch with one vhost-user port for each interface.
//!
//! Three threads: `datapath` moves all packets, `vhost_user::server` answers QEMU and does
//! nothing else, `control` takes the agent's requests. The engine in between is a pure machine:
//! `engine::Engine` decides about a frame by passing it through `layers`, and `services` says what
//! the card itself answers. The card knows ports, routes and rules; never an account or an
//! instance.

pub mod control;
pub mod counters;
pub mod datapath;
pub mod engine;
pub mod fuzz;
pub mod layers;
pub mod owner;
pub mod services;
mod sys;
pub mod uplink;
pub mod vhost_user;

use anyhow::Context as _;
use control::{Control, DatapathLink, ServerLink};
use datapath::{Command, Datapath};
use engine::Engine;
use services::forward::Forwarder;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::mpsc::channel,
    thread::JoinHandle,
};
use types::{Ipv4Net, Ipv6Net, NetworkInterfaceId};
use uplink::{
    Uplink,
    sockets::{Pool, Sockets},
    tun::Tun,
};
use vhost_user::{
    frontend::Switch,
    ring::Ring,
    server::{Request, Server},
};

/// How to run a card.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the agent connects.
    pub control: PathBuf,
    /// Where the cloud's owner connects.
    pub owner: PathBuf,
    /// The way out.
    pub uplink: Way,
    /// Public addresses, of which the first usable one is the host's own. With a TUN device the
    /// host routes them here; with sockets they are loopback addresses.
    pub public_pool: Ipv4Net,
    /// IPv6 addresses of VPCs: the host routes them here, and its own is the first usable one.
    pub public_pool6: Ipv6Net,
    /// Who answers DNS queries for names outside of the VPCs; none = the host's resolvers.
    pub resolvers: Vec<SocketAddr>,
}

/// A way out of the VPCs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// None: no public addresses.
    None,
    /// A TUN device of this name.
    Tun(String),
    /// Sockets of the host's, for which no privilege is needed.
    Sockets,
}

impl Config {
    /// The host's own address among the public ones.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.public_pool.network()).wrapping_add(1))
    }

    /// The host's own address among the IPv6 ones.
    #[must_use]
    pub fn host_address6(&self) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.public_pool6.network()) | 1)
    }

    /// Opens the way out. A card that can't is of use all the same, for what stays inside.
    fn open_uplink(&self) -> Option<Uplink> {
        let opened = match &self.uplink {
            Way::None => return None,
            Way::Tun(name) => Tun::open(name, self.public_pool, self.host_address()).map(|tun| {
                match tun.add_ipv6(name, self.public_pool6, self.host_address6()) {
                    Ok(()) => log::info!("uplink: {}", self.public_pool6),
                    Err(error) => log::warn!("no IPv6 beyond VPCs: {error:#}"),
                }
                Uplink::Tun(tun)
            }),
            Way::Sockets => Pool::new(self.public_pool)
                .with_context(|| format!("{} can't be public addresses", self.public_pool))
                .and_then(Sockets::start)
                .map(Uplink::Sockets),
        };
        match opened {
            Ok(uplink) => {
                log::info!("uplink: {:?}, {}", self.uplink, self.public_pool);
                Some(uplink)
            }
            Err(error) => {
                log::error!("no uplink, so no public addresses: {error:#}");
                None
            }
        }
    }
}

/// A running card; it ends when dropped.
#[derive(Debug)]
pub struct Card {
    datapath: DatapathLink,
    server: ServerLink,
    threads: Vec<JoinHandle<()>>,
}

impl Card {
    /// Starts a card's threads.
    ///
    /// # Errors
    /// The control socket cannot be made, or the system is out of resources.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let uplink = config.open_uplink();
        let (commands, receiver) = channel();
        let datapath = DatapathLink { commands, waker: sys::Waker::new()? };
        let engine = match &uplink {
            Some(Uplink::Sockets(sockets)) => Engine::with_twins(sockets.pool()),
            Some(Uplink::Tun(_)) | None => Engine::new(config.public_pool, config.host_address()),
        };
        let engine = engine.with_ipv6(config.public_pool6, config.host_address6());
        let forwarder = Forwarder::new(config.resolvers.clone());
        let moving = Datapath::new(engine, uplink, forwarder, receiver, datapath.waker.clone())?;
        let mut threads = vec![spawn("datapath", move || moving.run())?];
        let (requests, receiver) = channel();
        let server = ServerLink { requests, waker: sys::Waker::new()? };
        let link = datapath.clone();
        let switch_of = Box::new(move |id| -> Box<dyn Switch> {
            Box::new(PortSwitch { id, datapath: link.clone() })
        });
        let serving = Server::new(receiver, server.waker.clone(), switch_of)?;
        threads.push(spawn("vhost-user", move || serving.serve())?);
        let control = Control::new(datapath.clone(), server.clone());
        control::listen(&config.control, control)?;
        owner::listen(&config.owner, datapath.clone())?;
        Ok(Self { datapath, server, threads })
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // Those who have ended already don't need to be told. The server ends first: it hands the
        // rings back to the data path.
        drop(self.server.tell(Request::End));
        self.threads.pop().map(JoinHandle::join);
        drop(self.datapath.tell(Command::End));
        self.threads.pop().map(JoinHandle::join);
    }
}

/// A thread without which the card is of no use: if it ends by an error, so does the process,
/// and the supervisor starts the card again.
fn spawn(
    name: &'static str,
    body: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::error!("{name}: {error:#}");
                std::process::abort();
            }
            Err(_) => std::process::abort(),
        }
    };
    thread.spawn(run).with_context(|| format!("thread {name}"))
}

/// A port's rings, by way of the data path.
struct PortSwitch {
    id: NetworkInterfaceId,
    datapath: DatapathLink,
}

impl Switch for PortSwitch {
    fn start(&mut self, queue: usize, ring: Ring, features: u64) -> anyhow::Result<()> {
        let ring = Box::new(ring);
        self.datapath.ask(|done| Command::Start(self.id, queue, ring, features, done))
    }

    fn stop(&mut self, queue: usize) -> anyhow::Result<Option<Ring>> {
        let ring = self.datapath.ask(|done| Command::Stop(self.id, queue, done))?;
        Ok(ring.map(|ring| *ring))
    }

    fn set_call(&mut self, queue: usize, call: Option<OwnedFd>) -> anyhow::Result<()> {
        self.datapath.tell(Command::SetCall(self.id, queue, call))
    }
}

/// Runs a card until SIGTERM or SIGINT.
///
/// # Errors
/// The card cannot be started.
pub fn run(config: Config) -> anyhow::Result<()> {
    let signals = signals::Signals::block()?;
    let sockets = [config.control.clone(), config.owner.clone()];
    let card = Card::start(&config)?;
    log::info!("the VPC card listens at {}", config.control.display());
    signals.wait();
    drop(card);
    // The agent finds nobody at a socket that is not there, and need not try.
    sockets.iter().for_each(|path| drop(std::fs::remove_file(path)));
    Ok(())
}

mod signals {
    //! Waiting for the signals that end a process.
    #![allow(unsafe_code, reason = "the signal mask is the C library's")]

    use anyhow::ensure;

    /// The signals that end the card, blocked in all its threads.
    pub struct Signals(libc::sigset_t);

    impl Signals {
        /// Blocks them; to be called before other threads are started.
        ///
        /// # Errors
        /// The system refuses, which it does not.
        pub fn block() -> anyhow::Result<Self> {
            // SAFETY: the set is initialized by the first call, and of this function.
            unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGTERM);
                libc::sigaddset(&raw mut set, libc::SIGINT);
                let result =
                    libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                ensure!(result == 0, "block signals: error {result}");
                Ok(Self(set))
            }
        }

        /// Waits for one of them.
        pub fn wait(&self) {
            let mut signal = 0;
            // SAFETY: both pointers are to values that live.
            unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
        }
    }
}
