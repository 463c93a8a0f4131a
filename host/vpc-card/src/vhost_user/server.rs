//! The thread that answers QEMU: one listening socket a port, one connection a socket.
//!
//! It does nothing else, because a card that accepts and keeps silent freezes the whole VM.

use super::{
    frontend::{Frontend, Switch},
    message::{HEADER, Header, MAX_FILES, MAX_PAYLOAD},
};
use crate::sys::{Poller, Waker, epoll_key};
use anyhow::{Context as _, bail, ensure};
use contracts::card::PortConfig;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg, sockopt,
};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, IoSliceMut, Write as _},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt as _, chown},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender},
};
use types::NetworkInterfaceId;

/// What the server is told.
#[derive(Debug)]
pub enum Request {
    /// Listen for a port's QEMU; answers whether that could be done.
    Listen(Box<PortConfig>, Sender<anyhow::Result<()>>),
    /// Close a port's connection and its socket.
    Close(NetworkInterfaceId, Sender<()>),
    /// Close everything and end.
    End,
}

/// Makes the switch's side of a port.
pub type SwitchOf = Box<dyn Fn(NetworkInterfaceId) -> Box<dyn Switch> + Send>;

struct Port {
    id: NetworkInterfaceId,
    path: PathBuf,
    uid: Option<u32>,
    listener: UnixListener,
    switch: Box<dyn Switch>,
    connection: Option<Connection>,
}

struct Connection {
    stream: UnixStream,
    frontend: Frontend,
    header: [u8; HEADER],
    payload: [u8; MAX_PAYLOAD],
    filled: usize,
    files: Vec<OwnedFd>,
}

/// The server's state; `serve` runs it.
pub struct Server {
    poller: Poller,
    requests: Receiver<Request>,
    waker: Waker,
    switch_of: SwitchOf,
    ports: HashMap<u64, Port>,
    by_id: HashMap<NetworkInterfaceId, u64>,
    next_key: u64,
}

const WAKER: u64 = 0;
/// A port's connection has its listener's key and this bit.
const CONNECTION: u64 = 1 << 63;

impl Server {
    /// A server that is told things by `requests`, after which `waker` is woken.
    ///
    /// # Errors
    /// The system gives no epoll descriptor.
    pub fn new(
        requests: Receiver<Request>,
        waker: Waker,
        switch_of: SwitchOf,
    ) -> anyhow::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&waker, WAKER)?;
        let (ports, by_id) = (HashMap::new(), HashMap::new());
        Ok(Self { poller, requests, waker, switch_of, ports, by_id, next_key: 1 })
    }

    /// Serves until told to end.
    ///
    /// # Errors
    /// Waiting fails, which it does not.
    pub fn serve(mut self) -> anyhow::Result<()> {
        loop {
            for event in self.poller.wait(None)? {
                let key = epoll_key(&event);
                if key == WAKER {
                    self.waker.clear();
                } else if key & CONNECTION == 0 {
                    self.accept(key);
                } else {
                    self.receive(key & !CONNECTION);
                }
            }
            while let Ok(request) = self.requests.try_recv() {
                match request {
                    Request::Listen(config, done) => {
                        let result = self.listen(*config);
                        drop(done.send(result));
                    }
                    Request::Close(id, done) => {
                        self.close(id);
                        let _ = done.send(());
                    }
                    Request::End => {
                        let ids: Vec<_> = self.by_id.keys().copied().collect();
                        ids.into_iter().for_each(|id| self.close(id));
                        return Ok(());
                    }
                }
            }
        }
    }

    fn listen(&mut self, config: PortConfig) -> anyhow::Result<()> {
        let id = config.port.id;
        ensure!(!self.by_id.contains_key(&id), "the port is being served");
        let listener = bind(&config.socket, config.uid)?;
        let key = self.next_key;
        self.next_key += 1;
        self.poller.add(&listener, key)?;
        let switch = (self.switch_of)(id);
        let (path, uid) = (config.socket, config.uid);
        let port = Port { id, path, uid, listener, switch, connection: None };
        self.ports.insert(key, port);
        self.by_id.insert(id, key);
        Ok(())
    }

    fn close(&mut self, id: NetworkInterfaceId) {
        let Some(key) = self.by_id.remove(&id) else { return };
        let Some(mut port) = self.ports.remove(&key) else { return };
        port.disconnect();
        if let Err(error) = std::fs::remove_file(&port.path) {
            log::debug!("remove {}: {error}", port.path.display());
        }
    }

    fn accept(&mut self, key: u64) {
        let Some(port) = self.ports.get_mut(&key) else { return };
        match port.accept() {
            Ok(Some(connection)) => {
                // A new QEMU takes over; the old one's hang-up may not have been seen yet.
                port.disconnect();
                match self.poller.add(&connection.stream, key | CONNECTION) {
                    Ok(()) => port.connection = Some(connection),
                    Err(error) => log::warn!("{}: {error:#}", port.id),
                }
            }
            Ok(None) => {}
            Err(error) => log::warn!("{}: {error:#}", port.id),
        }
    }

    fn receive(&mut self, key: u64) {
        let Some(port) = self.ports.get_mut(&key) else { return };
        let Some(connection) = &mut port.connection else { return };
        match connection.receive(port.switch.as_mut()) {
            Ok(true) => {}
            Ok(false) => {
                log::debug!("{}: QEMU hung up", port.id);
                port.disconnect();
            }
            Err(error) => {
                log::warn!("{}: {error:#}", port.id);
                port.disconnect();
            }
        }
    }
}

/// Listens at a path, in place of whatever is there, for one user.
fn bind(path: &Path, uid: Option<u32>) -> anyhow::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    if let Some(uid) = uid {
        chown(path, Some(uid), None).with_context(|| format!("chown {}", path.display()))?;
    }
    Ok(listener)
}

impl Port {
    fn accept(&self) -> anyhow::Result<Option<Connection>> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("accept"),
        };
        stream.set_nonblocking(true)?;
        let peer = sockopt::socket_peercred(&stream)?.uid.as_raw();
        let own = rustix::process::getuid().as_raw();
        if peer != own && self.uid != Some(peer) {
            bail!("uid {peer} may not connect");
        }
        log::debug!("{}: QEMU connected", self.id);
        Ok(Some(Connection {
            stream,
            frontend: Frontend::default(),
            header: [0; HEADER],
            payload: [0; MAX_PAYLOAD],
            filled: 0,
            files: Vec::new(),
        }))
    }

    fn disconnect(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && let Err(error) = connection.frontend.rest_all(self.switch.as_mut())
        {
            log::warn!("{}: {error:#}", self.id);
        }
    }
}

impl Connection {
    /// Takes what has come; false once the peer hung up.
    fn receive(&mut self, switch: &mut dyn Switch) -> anyhow::Result<bool> {
        // Not for ever: other ports' QEMUs wait too.
        for _ in 0..64 {
            match self.read() {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error).context("receive"),
            }
            if self.filled < HEADER {
                continue;
            }
            let header = Header::parse(self.header).context("a message of a wrong form")?;
            if self.filled < HEADER + header.size {
                continue;
            }
            self.filled = 0;
            let files = std::mem::take(&mut self.files);
            let payload = &self.payload[..header.size];
            if let Some(reply) = self.frontend.receive(header, payload, files, switch)? {
                self.stream.write_all(&reply).context("reply")?;
            }
        }
        Ok(true)
    }

    /// Reads more of the current message, and no more: files belong to their message.
    fn read(&mut self) -> io::Result<usize> {
        let target = if self.filled < HEADER {
            &mut self.header[self.filled..]
        } else {
            let size = Header::parse(self.header).map_or(0, |header| header.size);
            &mut self.payload[self.filled - HEADER..size]
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let mut vectors = [IoSliceMut::new(target)];
        let received = recvmsg(&self.stream, &mut vectors, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || self.files.len() > MAX_FILES {
            return Err(io::Error::other("too many files"));
        }
        self.filled += received.bytes;
        Ok(received.bytes)
    }
}
