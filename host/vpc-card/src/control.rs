//! The card's control socket: one request a line, one reply a line.

use crate::{datapath::Command, sys::Waker, vhost_user::server};
use anyhow::Context as _;
use contracts::card::{PortConfig, Reply, VpcPatch, VpcRequest};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
};
use types::NetworkInterfaceId;

/// Longest request.
const MAX_REQUEST: u64 = 256 << 20;

/// Sends commands to the data path.
#[derive(Debug, Clone)]
pub struct DatapathLink {
    /// Where commands go.
    pub commands: Sender<Command>,
    /// Who is woken for them.
    pub waker: Waker,
}

impl DatapathLink {
    /// Tells the data path something.
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&self, command: Command) -> anyhow::Result<()> {
        self.commands.send(command).ok().context("the data path has ended")?;
        self.waker.wake();
        Ok(())
    }

    /// Asks the data path something.
    ///
    /// # Errors
    /// It is gone.
    pub fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> anyhow::Result<T> {
        let (sender, receiver) = channel();
        self.tell(command(sender))?;
        receiver.recv().context("the data path has ended")
    }
}

/// Sends requests to the vhost-user server.
#[derive(Debug, Clone)]
pub struct ServerLink {
    /// Where requests go.
    pub requests: Sender<server::Request>,
    /// Who is woken for them.
    pub waker: Waker,
}

impl ServerLink {
    /// Tells the server something.
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&self, request: server::Request) -> anyhow::Result<()> {
        self.requests.send(request).ok().context("the vhost-user server has ended")?;
        self.waker.wake();
        Ok(())
    }

    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> server::Request) -> anyhow::Result<T> {
        let (sender, receiver) = channel();
        self.tell(request(sender))?;
        receiver.recv().context("the vhost-user server has ended")
    }
}

/// Applies requests: what is true of the whole card, whoever asks.
#[derive(Debug)]
pub struct Control {
    datapath: DatapathLink,
    server: ServerLink,
    /// Ports that are served.
    ports: HashMap<NetworkInterfaceId, PortConfig>,
}

impl Control {
    /// A card without ports.
    #[must_use]
    pub fn new(datapath: DatapathLink, server: ServerLink) -> Self {
        Self { datapath, server, ports: HashMap::new() }
    }

    /// Does what a request asks.
    pub fn obey(&mut self, request: VpcRequest) -> Reply {
        let result = match request {
            VpcRequest::Apply(patch) => self.apply(patch).map(|failed| Reply::Applied { failed }),
            VpcRequest::Status => self.datapath.ask(Command::Status),
        };
        result.unwrap_or_else(|error| Reply::Refused(format!("{error:#}")))
    }

    /// Sockets close before their ports go, and open once their ports are there.
    fn apply(&mut self, patch: VpcPatch) -> anyhow::Result<BTreeMap<String, String>> {
        let mut gone: HashSet<_> = patch.remove_ports.iter().copied().collect();
        if patch.reset {
            gone.extend(self.ports.keys());
            let kept: HashSet<_> = patch.ports.iter().map(|config| config.port.id).collect();
            gone.retain(|id| !kept.contains(id));
        }
        let moved = |new: &&PortConfig| {
            let old = self.ports.get(&new.port.id);
            old.is_some_and(|old| old.socket != new.socket || old.uid != new.uid)
        };
        let moved: Vec<_> = patch.ports.iter().filter(moved).map(|new| new.port.id).collect();
        for id in gone.into_iter().chain(moved) {
            if self.ports.remove(&id).is_some() {
                self.server.ask(|done| server::Request::Close(id, done))?;
            }
        }
        let configs = patch.ports.clone();
        let mut failed = self.datapath.ask(|done| Command::Apply(Box::new(patch), done))?;
        for config in configs {
            let id = config.port.id;
            if let Some(served) = self.ports.get_mut(&id) {
                *served = config;
                continue;
            }
            let request = Box::new(config.clone());
            let listening = self.server.ask(|done| server::Request::Listen(request, done))?;
            match listening {
                Ok(()) => drop(self.ports.insert(id, config)),
                Err(error) => drop(failed.insert(id.to_string(), format!("{error:#}"))),
            }
        }
        Ok(failed)
    }
}

/// Serves the control socket; a new connection takes the place of the one before.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(path: &Path, control: Control) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        let control = Arc::new(Mutex::new(control));
        let mut before: Option<UnixStream> = None;
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    log::warn!("control socket: {error}");
                    continue;
                }
            };
            if let Some(before) = before.take() {
                // It may have hung up itself.
                drop(before.shutdown(std::net::Shutdown::Both));
            }
            before = stream.try_clone().ok();
            let control = Arc::clone(&control);
            let serve = move || {
                if let Err(error) = serve(&stream, &control) {
                    log::debug!("control connection: {error:#}");
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn(serve) {
                log::error!("control connection: {error}");
            }
        }
    })?;
    Ok(())
}

/// Serves one connection.
fn serve(stream: &UnixStream, control: &Mutex<Control>) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_REQUEST).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(request) => control.lock().unwrap_or_else(PoisonError::into_inner).obey(request),
            Err(error) => Reply::Refused(error.to_string()),
        };
        let mut bytes = serde_json::to_vec(&reply)?;
        bytes.push(b'\n');
        (&*stream).write_all(&bytes)?;
    }
}
