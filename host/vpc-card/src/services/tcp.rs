//! TCP services: the card ends a guest's connections and hands their bytes to Unix sockets, or
//! takes DNS queries from them.
//!
//! Each port has a TCP stack of its own, made when its guest first needs it, so that VPCs with
//! the same addresses don't meet.

use super::dns_stream::DnsStream;
use crate::{
    engine::{
        Port,
        packet::{ACK, ETHERNET, Packet, SYN},
    },
    owner,
};
use contracts::card::{OwnerReply, Service};
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
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown},
    ops::RangeInclusive,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Connections that one port may have.
pub const MAX_CONNECTIONS: usize = 64;
/// Those of them that may be to the resolver.
pub const MAX_RESOLVER_CONNECTIONS: usize = 16;
/// Those of them that may be tunnels of the cloud's owner.
pub const MAX_TUNNELS: usize = 16;
const DNS: u16 = 53;
/// The router's ports that tunnels come from.
const TUNNEL_PORTS: RangeInclusive<u16> = 49_152..=65_535;
/// How long a guest may take to answer a call of its owner's, in ms.
const CALL_MS: u64 = 10_000;
const ROUTER_HOPS: u8 = 64;
const RECEIVE_BYTES: usize = 16 * 1024;
const SEND_BYTES: usize = 32 * 1024;
/// The hop limit of the resolver's answers.
const RESOLVER_HOPS: u8 = 64;
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
        service: Service,
        next_ms: u64,
        until_ms: u64,
    },
    Open {
        service: Service,
        stream: UnixStream,
        preamble: Vec<u8>,
        ended: bool,
    },
    /// The card's own resolver, once the connection is made.
    Resolver(Option<DnsStream>),
    /// The owner of the cloud waits for the guest's answer.
    Calling {
        owner: UnixStream,
        until_ms: u64,
    },
    /// The owner of the cloud talks to the guest.
    Tunnel {
        owner: UnixStream,
        reply: Vec<u8>,
        ended: bool,
    },
}

struct Connection {
    id: u64,
    handle: SocketHandle,
    own: (IpAddr, u16),
    guest: (IpAddr, u16),
    backend: Backend,
}

/// One port's TCP.
pub struct Stack {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    connections: Vec<Connection>,
    /// DNS queries that came, each with its connection.
    queries: Vec<(u64, Vec<u8>)>,
    next_id: u64,
    /// Whose connections these are: the port and its VPC.
    name: String,
    vpc: String,
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
        let own6 = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
        interface.update_ip_addrs(|addresses| {
            // Two addresses fit always.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(own), 32));
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv6(own6), 128));
        });
        interface.set_any_ip(true);
        let routes = interface.routes_mut();
        let routed = routes.add_default_ipv4_route(own).map(|_| ());
        if let Err(error) = routed.and(routes.add_default_ipv6_route(own6)) {
            log::error!("routes of a TCP stack: {error:?}");
        }
        let name = port.config.port.id.to_string();
        let vpc = port.config.port.vpc.to_string();
        Self {
            interface,
            wire,
            sockets: SocketSet::new(Vec::new()),
            connections: Vec::new(),
            queries: Vec::new(),
            // An answer that comes late is not for a connection of a later stack.
            next_id: RandomState::new().hash_one(now),
            name,
            vpc,
        }
    }

    /// Takes a segment of the guest's.
    pub fn receive(&mut self, port: &Port, packet: &Packet, frame: &[u8]) {
        let guest = (packet.src, packet.ports.0);
        let own = (packet.dst, packet.ports.1);
        let mut connections = self.connections.iter();
        let known = connections.any(|at| (at.guest, at.own) == (guest, own));
        if packet.flags & (SYN | ACK) == SYN && !known {
            let mut services = port.config.services.iter();
            let service =
                services.find(|service| service.address == own.0 && service.port == own.1);
            if let Some(service) = service {
                let service = service.clone();
                // The guest asks again, until others have ended.
                if self.connections.len() >= MAX_CONNECTIONS {
                    return;
                }
                let hop_limit = service.hop_limit.max(1);
                let backend = Backend::Connecting { service, next_ms: 0, until_ms: u64::MAX };
                self.listen(own, guest, hop_limit, backend);
            } else if port.is_resolver(own.0) && own.1 == DNS {
                if self.connections.len() >= MAX_CONNECTIONS || self.resolved() {
                    return;
                }
                self.listen(own, guest, RESOLVER_HOPS, Backend::Resolver(None));
            }
        }
        // Without a connection the stack answers with a reset.
        self.wire.incoming.push_back(frame.get(ETHERNET..).unwrap_or_default().to_vec());
    }

    /// Whether a segment is of a connection that there is.
    #[must_use]
    pub fn knows(&self, packet: &Packet) -> bool {
        let ends = ((packet.src, packet.ports.0), (packet.dst, packet.ports.1));
        self.connections.iter().any(|at| (at.guest, at.own) == ends)
    }

    /// Connects the guest, at this port of its primary address, with a stream of the owner's, who
    /// is told of the outcome there.
    ///
    /// # Errors
    /// Why that can't be.
    pub fn open_tunnel(
        &mut self,
        port: &Port,
        to: u16,
        owner: UnixStream,
    ) -> Result<(), &'static str> {
        let router = port.subnet.as_ref().ok_or("the interface has no subnet")?.router;
        let guest = port.config.port.addresses.first().ok_or("the interface has no address")?;
        let (guest, router) = (IpAddr::V4(guest.private), IpAddr::V4(router));
        let tunnels = self.connections.iter().filter(|at| at.own.0 == router);
        if tunnels.count() >= MAX_TUNNELS || self.connections.len() >= MAX_CONNECTIONS {
            return Err("the interface has too many tunnels");
        }
        let taken = |at: u16| self.connections.iter().any(|other| other.own == (router, at));
        let mut source = TUNNEL_PORTS.start() + u16::try_from(self.next_id % 10_000).unwrap_or(0);
        while taken(source) {
            source = if source == *TUNNEL_PORTS.end() { *TUNNEL_PORTS.start() } else { source + 1 };
        }
        let mut socket = new_socket(ROUTER_HOPS);
        let (remote, local) = ((IpAddress::from(guest), to), (IpAddress::from(router), source));
        let context = self.interface.context();
        socket.connect(context, remote, local).map_err(|_| "there is no such port")?;
        // The first call of `advance` knows the time.
        let backend = Backend::Calling { owner, until_ms: u64::MAX };
        self.keep(socket, (router, source), (guest, to), backend);
        Ok(())
    }

    /// Whether the resolver has as many connections as it may.
    fn resolved(&self) -> bool {
        let resolver = |at: &&Connection| matches!(at.backend, Backend::Resolver(_));
        self.connections.iter().filter(resolver).count() >= MAX_RESOLVER_CONNECTIONS
    }

    fn listen(
        &mut self,
        own: (IpAddr, u16),
        guest: (IpAddr, u16),
        hop_limit: u8,
        backend: Backend,
    ) {
        let mut socket = new_socket(hop_limit);
        let address = Some(IpAddress::from(own.0));
        if socket.listen(IpListenEndpoint { addr: address, port: own.1 }).is_err() {
            return;
        }
        self.keep(socket, own, guest, backend);
    }

    fn keep(
        &mut self,
        socket: tcp::Socket<'static>,
        own: (IpAddr, u16),
        guest: (IpAddr, u16),
        backend: Backend,
    ) {
        let handle = self.sockets.add(socket);
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.connections.push(Connection { id, handle, own, guest, backend });
    }

    /// The DNS queries that have come, each with its connection: all are to be answered or refused.
    pub fn take_queries(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.queries)
    }

    /// Answers a DNS query, if its connection is still there.
    pub fn answer(&mut self, connection: u64, reply: &[u8]) {
        let mut connections = self.connections.iter_mut().filter(|at| at.id == connection);
        if let Some(Connection { backend: Backend::Resolver(Some(stream)), .. }) =
            connections.next()
        {
            stream.answer(reply);
        }
    }

    /// Ends a connection whose query gets no answer.
    pub fn refuse(&mut self, connection: u64) {
        if let Some(connection) = self.connections.iter().find(|at| at.id == connection) {
            self.sockets.get_mut::<tcp::Socket<'_>>(connection.handle).abort();
        }
    }

    /// Moves what can move; calls `opened` with streams to wait for.
    pub fn advance(&mut self, now: u64, mut opened: impl FnMut(&UnixStream)) {
        loop {
            self.interface.poll(instant(now), &mut self.wire, &mut self.sockets);
            let mut moved = false;
            for connection in &mut self.connections {
                let socket = self.sockets.get_mut::<tcp::Socket<'_>>(connection.handle);
                moved |= match &mut connection.backend {
                    Backend::Resolver(stream) => {
                        let queries = |query| self.queries.push((connection.id, query));
                        resolve(socket, stream, now, queries)
                    }
                    Backend::Connecting { .. }
                    | Backend::Open { .. }
                    | Backend::Calling { .. }
                    | Backend::Tunnel { .. } => {
                        connection.advance(socket, (&self.name, &self.vpc), now, &mut opened)
                    }
                };
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
                connection.apologize();
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
        let connecting = self.connections.iter().filter_map(|c| match &c.backend {
            Backend::Connecting { next_ms, until_ms, .. } if *until_ms != u64::MAX => {
                Some(*next_ms)
            }
            Backend::Resolver(stream) => stream.as_ref().map(DnsStream::until_ms),
            Backend::Calling { until_ms, .. } => Some(*until_ms),
            Backend::Connecting { .. } | Backend::Open { .. } | Backend::Tunnel { .. } => None,
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
        (name, vpc): (&str, &str),
        now: u64,
        opened: &mut impl FnMut(&UnixStream),
    ) -> bool {
        match &mut self.backend {
            Backend::Connecting { service, next_ms, until_ms } => {
                if !socket.may_send() || now < *next_ms {
                    return false;
                }
                if *until_ms == u64::MAX {
                    *until_ms = now + PATIENCE_MS;
                }
                match reach(&service.socket) {
                    Ok(stream) => {
                        let (address, port) = self.guest;
                        let preamble = format!("{name} {address} {port} {vpc}\n").into_bytes();
                        opened(&stream);
                        let service = service.clone();
                        self.backend = Backend::Open { service, stream, preamble, ended: false };
                        true
                    }
                    Err(error) if now >= *until_ms => {
                        log::warn!("{}: {error}", service.socket.display());
                        socket.abort();
                        true
                    }
                    Err(_) => {
                        *next_ms = now + RETRY_MS;
                        false
                    }
                }
            }
            Backend::Open { service, stream, preamble, ended } => {
                transfer(socket, stream, preamble, ended).unwrap_or_else(|error| {
                    log::debug!("{}: {error}", service.socket.display());
                    socket.abort();
                    true
                })
            }
            Backend::Calling { owner, until_ms } => {
                if *until_ms == u64::MAX {
                    *until_ms = now + CALL_MS;
                }
                if socket.may_send() {
                    // The same open socket, with a descriptor that this connection keeps.
                    let Ok(owner) = owner.try_clone() else {
                        socket.abort();
                        return true;
                    };
                    opened(&owner);
                    let reply = owner::line_of(&OwnerReply::Connected);
                    self.backend = Backend::Tunnel { owner, reply, ended: false };
                    return true;
                }
                let late = now >= *until_ms && socket.is_open();
                if late {
                    socket.abort();
                }
                late
            }
            Backend::Tunnel { owner, reply, ended } => transfer(socket, owner, reply, ended)
                .unwrap_or_else(|error| {
                    log::debug!("{name}: a tunnel: {error}");
                    socket.abort();
                    true
                }),
            Backend::Resolver(_) => false,
        }
    }

    /// Tells an owner who waits that his call has failed.
    fn apologize(&self) {
        let Backend::Calling { owner, .. } = &self.backend else { return };
        let why = format!("the instance does not answer at port {}", self.guest.1);
        if let Err(error) = (&*owner).write_all(&owner::line_of(&OwnerReply::Refused(why))) {
            log::debug!("a tunnel: {error}");
        }
    }
}

fn new_socket(hop_limit: u8) -> tcp::Socket<'static> {
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(vec![0; RECEIVE_BYTES]),
        tcp::SocketBuffer::new(vec![0; SEND_BYTES]),
    );
    socket.set_hop_limit(Some(hop_limit));
    socket.set_timeout(Some(TIMEOUT));
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.set_nagle_enabled(false);
    socket
}

/// Takes DNS queries and sends answers; whether the stack has something new to do.
fn resolve(
    socket: &mut tcp::Socket<'_>,
    place: &mut Option<DnsStream>,
    now: u64,
    mut asked: impl FnMut(Vec<u8>),
) -> bool {
    if !socket.may_send() {
        return false;
    }
    let stream = place.get_or_insert_with(|| DnsStream::new(now));
    if now >= stream.until_ms() {
        socket.abort();
        return true;
    }
    let mut moved = false;
    while socket.can_recv() {
        let taken = socket.recv(|bytes| {
            let taken = stream.take(bytes);
            (taken, taken)
        });
        if !taken.is_ok_and(|taken| taken > 0) {
            break;
        }
        moved = true;
    }
    loop {
        match stream.query(now) {
            Ok(Some(query)) => {
                moved = true;
                asked(query);
            }
            Ok(None) => break,
            Err(_) => {
                socket.abort();
                return true;
            }
        }
    }
    let sent = socket.send_slice(stream.output()).unwrap_or(0);
    if sent > 0 {
        stream.sent(sent, now);
        moved = true;
    }
    if !socket.may_recv() && !moved && stream.is_done() {
        socket.close();
        *place = None;
        return true;
    }
    moved
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
