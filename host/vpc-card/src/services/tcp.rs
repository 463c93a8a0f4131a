//! TCP services: the card ends a guest's connections and hands their bytes to Unix sockets.
//!
//! Each port has a TCP stack of its own, made when its guest first needs it, so that VPCs with
//! the same addresses don't meet.

use crate::engine::{
    Port,
    packet::{ACK, ETHERNET, Packet, SYN},
};
use contracts::card::Service;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp,
    time::{Duration as StackDuration, Instant as StackInstant},
    wire::{HardwareAddress, IpAddress, IpCidr, IpListenEndpoint},
};
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Connections that one port may have.
pub const MAX_CONNECTIONS: usize = 64;
const RECEIVE_BYTES: usize = 16 * 1024;
const SEND_BYTES: usize = 32 * 1024;
/// How long a service may be away (its process is being started again), in ms.
const PATIENCE_MS: u64 = 5_000;
const RETRY_MS: u64 = 100;
/// A guest that acknowledges nothing for so long is given up.
const TIMEOUT: StackDuration = StackDuration::from_secs(60);
const KEEP_ALIVE: StackDuration = StackDuration::from_secs(30);

/// The guest's end as the stack sees it: packets in and out.
#[derive(Debug)]
struct Wire {
    mtu: usize,
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, consume: F) -> R {
        consume(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, consume: F) -> R {
        let mut packet = vec![0; len];
        let result = consume(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

enum Backend {
    /// The service is to be reached: from when on to try, and until when.
    Connecting {
        next_ms: u64,
        until_ms: u64,
    },
    Open {
        stream: UnixStream,
        preamble: Vec<u8>,
        ended: bool,
    },
}

struct Connection {
    id: u32,
    handle: SocketHandle,
    service: Service,
    guest: (Ipv4Addr, u16),
    backend: Backend,
}

/// A connection's stream that is to be waited for.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The connection.
    pub id: u32,
    /// Its stream.
    pub stream: &'a UnixStream,
}

/// One port's TCP.
pub struct Stack {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    connections: Vec<Connection>,
    next_id: u32,
    name: String,
}

impl Stack {
    /// A stack for a port.
    #[must_use]
    pub fn new(port: &Port, now: u64) -> Self {
        let mtu = usize::from(port.config.port.mtu).clamp(576, 1500);
        let mut wire = Wire { mtu, incoming: VecDeque::new(), outgoing: VecDeque::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = RandomState::new().hash_one(now);
        let mut interface = Interface::new(config, &mut wire, instant(now));
        // Any address is ours: only those of services are handed to us.
        let own = Ipv4Addr::new(169, 254, 169, 254);
        interface.update_ip_addrs(|addresses| {
            // One address fits always.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(own), 32));
        });
        interface.set_any_ip(true);
        if let Err(error) = interface.routes_mut().add_default_ipv4_route(own) {
            log::error!("route of a TCP stack: {error:?}");
        }
        let name = port.config.port.id.to_string();
        let (sockets, connections) = (SocketSet::new(Vec::new()), Vec::new());
        Self { interface, wire, sockets, connections, next_id: 0, name }
    }

    /// Takes a segment of the guest's.
    pub fn receive(&mut self, port: &Port, packet: &Packet, frame: &[u8]) {
        let guest = (packet.src, packet.ports.0);
        let mut services = port.config.services.iter();
        let service = services.find(|s| s.address == packet.dst && s.port == packet.ports.1);
        let known = self.connections.iter().any(|connection| {
            connection.guest == guest
                && connection.service.address == packet.dst
                && connection.service.port == packet.ports.1
        });
        if let Some(service) = service
            && packet.flags & (SYN | ACK) == SYN
            && !known
        {
            // The guest asks again, until others have ended.
            if self.connections.len() >= MAX_CONNECTIONS {
                return;
            }
            self.listen(service.clone(), guest);
        }
        // Without a connection the stack answers with a reset.
        self.wire.incoming.push_back(frame.get(ETHERNET..).unwrap_or_default().to_vec());
    }

    fn listen(&mut self, service: Service, guest: (Ipv4Addr, u16)) {
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; RECEIVE_BYTES]),
            tcp::SocketBuffer::new(vec![0; SEND_BYTES]),
        );
        socket.set_hop_limit(Some(service.hop_limit.max(1)));
        socket.set_timeout(Some(TIMEOUT));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_nagle_enabled(false);
        let address = Some(IpAddress::Ipv4(service.address));
        if socket.listen(IpListenEndpoint { addr: address, port: service.port }).is_err() {
            return;
        }
        let handle = self.sockets.add(socket);
        let backend = Backend::Connecting { next_ms: 0, until_ms: u64::MAX };
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.connections.push(Connection { id, handle, service, guest, backend });
    }

    /// Moves what can move; calls `opened` with streams to wait for.
    pub fn advance(&mut self, now: u64, mut opened: impl FnMut(Opened<'_>)) {
        loop {
            self.interface.poll(instant(now), &mut self.wire, &mut self.sockets);
            let mut moved = false;
            for connection in &mut self.connections {
                let socket = self.sockets.get_mut::<tcp::Socket<'_>>(connection.handle);
                moved |= connection.advance(socket, &self.name, now, &mut opened);
            }
            if !moved {
                break;
            }
        }
        let sockets = &mut self.sockets;
        self.connections.retain(|connection| {
            let state = sockets.get::<tcp::Socket<'_>>(connection.handle).state();
            // A listener whose SYN was not good is of no use to anybody.
            let over =
                matches!(state, tcp::State::Closed | tcp::State::TimeWait | tcp::State::Listen);
            if over {
                sockets.remove(connection.handle);
            }
            !over
        });
    }

    /// The next packet to the guest.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.wire.outgoing.pop_front()
    }

    /// When to call `advance` again at the latest; none if there is nothing to do.
    pub fn next_ms(&mut self, now: u64) -> Option<u64> {
        let connecting = self.connections.iter().filter_map(|c| match c.backend {
            Backend::Connecting { next_ms, until_ms } if until_ms != u64::MAX => Some(next_ms),
            Backend::Connecting { .. } | Backend::Open { .. } => None,
        });
        let stack = self.interface.poll_at(instant(now), &self.sockets);
        let stack = stack.map(|at| u64::try_from(at.total_millis()).unwrap_or_default());
        connecting.chain(stack).min()
    }

    /// Whether the port needs no stack any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.wire.outgoing.is_empty()
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }
}

impl Connection {
    /// Moves bytes both ways; whether the stack has something new to do.
    fn advance(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        name: &str,
        now: u64,
        opened: &mut impl FnMut(Opened<'_>),
    ) -> bool {
        match &mut self.backend {
            Backend::Connecting { next_ms, until_ms } => {
                if !socket.may_send() || now < *next_ms {
                    return false;
                }
                if *until_ms == u64::MAX {
                    *until_ms = now + PATIENCE_MS;
                }
                match reach(&self.service.socket) {
                    Ok(stream) => {
                        let (address, port) = self.guest;
                        let preamble = format!("{name} {address} {port}\n").into_bytes();
                        opened(Opened { id: self.id, stream: &stream });
                        self.backend = Backend::Open { stream, preamble, ended: false };
                        true
                    }
                    Err(error) if now >= *until_ms => {
                        log::warn!("{}: {error}", self.service.socket.display());
                        socket.abort();
                        true
                    }
                    Err(_) => {
                        *next_ms = now + RETRY_MS;
                        false
                    }
                }
            }
            Backend::Open { stream, preamble, ended } => transfer(socket, stream, preamble, ended)
                .unwrap_or_else(|error| {
                    log::debug!("{}: {error}", self.service.socket.display());
                    socket.abort();
                    true
                }),
        }
    }
}

fn transfer(
    socket: &mut tcp::Socket<'_>,
    stream: &mut UnixStream,
    preamble: &mut Vec<u8>,
    ended: &mut bool,
) -> std::io::Result<bool> {
    let mut moved = false;
    let mut blocked = false;
    while !preamble.is_empty() && !blocked {
        match stream.write(preamble) {
            Ok(len) => drop(preamble.drain(..len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => blocked = true,
            Err(error) => return Err(error),
        }
    }
    while socket.can_recv() && !blocked {
        let sent = socket.recv(|bytes| match stream.write(bytes) {
            Ok(len) => (len, Ok(len)),
            Err(error) => (0, Err(error)),
        });
        match sent {
            Ok(Ok(_)) => moved = true,
            Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => blocked = true,
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    let no_more = matches!(
        socket.state(),
        tcp::State::CloseWait | tcp::State::LastAck | tcp::State::Closing | tcp::State::Closed
    );
    if no_more && !socket.can_recv() && !*ended {
        *ended = true;
        stream.shutdown(Shutdown::Write)?;
    }
    while socket.can_send() {
        let got = socket.send(|space| match stream.read(space) {
            Ok(len) => (len, Ok(len)),
            Err(error) => (0, Err(error)),
        });
        match got {
            Ok(Ok(0)) => {
                socket.close();
                return Ok(true);
            }
            Ok(Ok(_)) => moved = true,
            Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => break,
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    Ok(moved)
}

/// Connects without waiting: a full backlog is as good as nobody there.
fn reach(path: &Path) -> Result<UnixStream, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn instant(now: u64) -> StackInstant {
    StackInstant::from_millis(i64::try_from(now).unwrap_or(i64::MAX))
}

/// A time to wait, from one point to another.
#[must_use]
pub fn until(now: u64, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(now))
}
