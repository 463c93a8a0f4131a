//! One TCP flow: the guest's end is a stack of its own, the other end a socket of the host.
//!
//! The host's connection is made before the guest's is answered, so that who refuses is heard by
//! the guest itself. Each flow's stack has one socket: packets find it by a table, not by a search.

use super::packets::{self, Packet};
use crate::engine::packet::RST;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt},
};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp,
    time::{Duration as StackDuration, Instant as StackInstant},
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

/// Bytes on their way from the guest, and to it.
const RECEIVE_BYTES: usize = 128 * 1024;
const SEND_BYTES: usize = 128 * 1024;
/// A guest that acknowledges nothing for so long is given up.
const TIMEOUT: StackDuration = StackDuration::from_secs(60);
const KEEP_ALIVE: StackDuration = StackDuration::from_secs(30);
/// How long a flow that one side has closed may be silent, in ms.
const HALF_CLOSED_MS: u64 = 300_000;
/// How long the other end may take to be reached, in ms: a little longer than guests ask for it.
const DIAL_MS: u64 = 130_000;

/// A flow as the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The guest's end.
    pub guest: SocketAddrV4,
    /// The other end.
    pub peer: SocketAddrV4,
}

/// The guest's side of a stack: packets in and out.
#[derive(Debug)]
struct Wire {
    mtu: usize,
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, consume: F) -> R {
        consume(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, consume: F) -> R {
        let mut packet = vec![0; len];
        let result = consume(&mut packet);
        self.0.push(packet);
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
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

/// A stack and its one socket.
struct Stack {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

/// What a flow waits for.
enum Stage {
    /// The other end's answer; then the guest's SYN is answered.
    Dialing { syn: Vec<u8>, until_ms: u64 },
    /// Bytes.
    Open,
    /// Nothing: it is over.
    Over,
}

/// A flow.
pub struct Flow {
    /// Who talks to whom.
    pub key: Key,
    /// When its timer rings, as its owner has noted it.
    pub scheduled: Option<u64>,
    host: TcpStream,
    stack: Option<Box<Stack>>,
    stage: Stage,
    host_ended: bool,
    guest_ended: bool,
    moved_ms: u64,
}

/// Why a connection can't be made, as the guest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// By a reset.
    Reset,
    /// By ICMP "destination unreachable" with this code.
    Unreachable(u8),
    /// Not at all: the guest asks again.
    Silence,
}

/// What the guest hears of a failed connection.
#[must_use]
pub fn refusal(error: Errno) -> Refusal {
    match error {
        Errno::CONNREFUSED | Errno::CONNRESET => Refusal::Reset,
        Errno::NETUNREACH | Errno::NETDOWN => Refusal::Unreachable(0),
        Errno::HOSTUNREACH | Errno::HOSTDOWN => Refusal::Unreachable(1),
        Errno::ACCESS | Errno::PERM => Refusal::Unreachable(13),
        _ => Refusal::Silence,
    }
}

/// Begins a connection to `to`, from this address if one is given.
///
/// # Errors
/// It fails at once.
pub fn dial(to: SocketAddrV4, from: Option<Ipv4Addr>) -> Result<TcpStream, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    if let Some(from) = from {
        bind(&socket, &SocketAddrV4::new(from, 0))?;
    }
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error),
    }
}

impl Flow {
    /// A flow that the guest begins with this SYN; `host` is being connected.
    #[must_use]
    pub fn outward(key: Key, host: TcpStream, syn: &[u8], now: u64) -> Self {
        let stage = Stage::Dialing { syn: syn.to_vec(), until_ms: now + DIAL_MS };
        Self::new(key, host, stage, now)
    }

    /// A flow that somebody else begins: `host` is connected, the guest is asked.
    #[must_use]
    pub fn inward(key: Key, host: TcpStream, now: u64) -> Option<Self> {
        let mut flow = Self::new(key, host, Stage::Open, now);
        let mut stack = Stack::new(key, now);
        let (local, remote) =
            ((key.peer.ip(), key.peer.port()), (key.guest.ip(), key.guest.port()));
        let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(stack.handle);
        let local = (IpAddress::Ipv4(*local.0), local.1);
        let remote = (IpAddress::Ipv4(*remote.0), remote.1);
        socket.connect(stack.interface.context(), remote, local).ok()?;
        flow.stack = Some(Box::new(stack));
        Some(flow)
    }

    fn new(key: Key, host: TcpStream, stage: Stage, now: u64) -> Self {
        // Whoever writes in small pieces has his reasons.
        if let Err(error) = host.set_nodelay(true) {
            log::debug!("{error}");
        }
        Self {
            key,
            scheduled: None,
            host,
            stack: None,
            stage,
            host_ended: false,
            guest_ended: false,
            moved_ms: now,
        }
    }

    /// Whether the other end has not answered yet.
    #[must_use]
    pub fn is_dialing(&self) -> bool {
        matches!(self.stage, Stage::Dialing { .. })
    }

    /// Takes a segment of the guest's.
    pub fn take(&mut self, packet: &Packet<'_>) {
        match &mut self.stage {
            Stage::Dialing { .. } if packet.flags() & RST != 0 => self.stage = Stage::Over,
            // The SYN again: the other end's answer is still to come.
            Stage::Dialing { .. } | Stage::Over => {}
            Stage::Open => {
                if let Some(stack) = &mut self.stack {
                    stack.wire.incoming.push_back(packet.bytes.to_vec());
                }
            }
        }
    }

    /// Looks whether the other end has answered; packets for the guest go to `out`.
    pub fn connected(&mut self, now: u64, router: Ipv4Addr, out: &mut Vec<Vec<u8>>) {
        let Stage::Dialing { syn, .. } = &mut self.stage else { return };
        let syn = std::mem::take(syn);
        match sockopt::socket_error(&self.host) {
            Ok(Ok(())) if self.host.peer_addr().is_ok() => {
                let mut stack = Stack::new(self.key, now);
                let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(stack.handle);
                let peer = (IpAddress::Ipv4(*self.key.peer.ip()), self.key.peer.port());
                self.stage = if socket.listen(peer).is_ok() { Stage::Open } else { Stage::Over };
                stack.wire.incoming.push_back(syn);
                self.stack = Some(Box::new(stack));
            }
            // An event of something else.
            Ok(Ok(())) => self.stage = Stage::Dialing { syn, until_ms: self.moved_ms + DIAL_MS },
            Ok(Err(error)) | Err(error) => {
                refuse(refusal(error), &syn, router, out);
                self.stage = Stage::Over;
            }
        }
    }

    /// Moves what can move; packets for the guest go to `out`. The flow is over if this says so.
    pub fn advance(&mut self, now: u64, out: &mut Vec<Vec<u8>>) -> bool {
        if let Stage::Dialing { until_ms, .. } = self.stage {
            if now >= until_ms {
                self.stage = Stage::Over;
            }
            return now >= until_ms;
        }
        let Some(stack) = &mut self.stack else { return true };
        loop {
            stack.interface.poll(instant(now), &mut stack.wire, &mut stack.sockets);
            let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(stack.handle);
            let moved = transfer(socket, &self.host, &mut self.host_ended, &mut self.guest_ended);
            match moved {
                Ok(true) => self.moved_ms = now,
                Ok(false) => break,
                Err(error) => {
                    log::debug!("{}: {error}", self.key.peer);
                    socket.abort();
                    stack.interface.poll(instant(now), &mut stack.wire, &mut stack.sockets);
                    break;
                }
            }
        }
        let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(stack.handle);
        let half = (self.host_ended || self.guest_ended) && now >= self.moved_ms + HALF_CLOSED_MS;
        if half && socket.is_open() {
            socket.abort();
            stack.interface.poll(instant(now), &mut stack.wire, &mut stack.sockets);
        }
        out.append(&mut stack.wire.outgoing);
        let state = stack.sockets.get::<tcp::Socket<'_>>(stack.handle).state();
        // A listener whose SYN was not good is of no use to anybody.
        let over = matches!(state, tcp::State::Closed | tcp::State::TimeWait | tcp::State::Listen);
        if over && !(self.host_ended && self.guest_ended) {
            // The guest's reset, or its silence, is passed on as a reset.
            if let Err(error) = sockopt::set_socket_linger(&self.host, Some(Duration::ZERO)) {
                log::debug!("{error}");
            }
        }
        over
    }

    /// When to call `advance` again at the latest; none if nothing but packets and bytes matter.
    pub fn next_ms(&mut self, now: u64) -> Option<u64> {
        if let Stage::Dialing { until_ms, .. } = self.stage {
            return Some(until_ms);
        }
        let half = (self.host_ended || self.guest_ended).then_some(self.moved_ms + HALF_CLOSED_MS);
        let stack = self.stack.as_mut()?;
        let at = stack.interface.poll_at(instant(now), &stack.sockets);
        let at = at.map(|at| u64::try_from(at.total_millis()).unwrap_or_default());
        at.into_iter().chain(half).min()
    }
}

impl AsFd for Flow {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }
}

impl Stack {
    fn new(key: Key, now: u64) -> Self {
        let mtu = crate::engine::UPLINK_MTU;
        let mut wire = Wire { mtu, incoming: VecDeque::new(), outgoing: Vec::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = RandomState::new().hash_one(key);
        let mut interface = Interface::new(config, &mut wire, instant(now));
        interface.update_ip_addrs(|addresses| {
            // One address fits always.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(*key.peer.ip()), 32));
        });
        if let Err(error) = interface.routes_mut().add_default_ipv4_route(*key.peer.ip()) {
            log::error!("route of a TCP stack: {error:?}");
        }
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; RECEIVE_BYTES]),
            tcp::SocketBuffer::new(vec![0; SEND_BYTES]),
        );
        socket.set_timeout(Some(TIMEOUT));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self { interface, wire, sockets, handle }
    }
}

/// Gives a segment to a stack that waits for a connection.
pub fn examine(packet: &Packet<'_>) {
    let Some((from, to)) = packet.ports() else { return };
    let (guest, peer) = (SocketAddrV4::new(packet.src, from), SocketAddrV4::new(packet.dst, to));
    let mut stack = Stack::new(Key { guest, peer }, 0);
    let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(stack.handle);
    if socket.listen((IpAddress::Ipv4(*peer.ip()), to)).is_ok() {
        stack.wire.incoming.push_back(packet.bytes.to_vec());
        stack.interface.poll(instant(0), &mut stack.wire, &mut stack.sockets);
    }
}

/// Tells a guest that its packet came to nothing; of what can't be reached, `router` tells.
pub fn refuse(refusal: Refusal, packet: &[u8], router: Ipv4Addr, out: &mut Vec<Vec<u8>>) {
    let Some(packet) = Packet::parse(packet) else { return };
    match refusal {
        Refusal::Reset => out.extend(packets::reset(&packet)),
        Refusal::Unreachable(code) => {
            out.extend(packets::unreachable(router, packet.src, code, packet.bytes));
        }
        Refusal::Silence => {}
    }
}

/// Moves bytes both ways; whether the stack has something new to do.
fn transfer(
    socket: &mut tcp::Socket<'_>,
    mut host: &TcpStream,
    host_ended: &mut bool,
    guest_ended: &mut bool,
) -> std::io::Result<bool> {
    let mut moved = false;
    while socket.can_recv() {
        let sent = socket.recv(|bytes| match host.write(bytes) {
            Ok(len) => (len, Ok(())),
            Err(error) => (0, Err(error)),
        });
        match sent {
            Ok(Ok(())) => moved = true,
            Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => break,
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    let no_more = matches!(
        socket.state(),
        tcp::State::CloseWait | tcp::State::LastAck | tcp::State::Closing | tcp::State::TimeWait
    );
    if no_more && !socket.can_recv() && !*guest_ended {
        *guest_ended = true;
        moved = true;
        host.shutdown(Shutdown::Write)?;
    }
    while socket.can_send() && !*host_ended {
        let got = socket.send(|space| match host.read(space) {
            Ok(len) => (len, Ok(len)),
            Err(error) => (0, Err(error)),
        });
        match got {
            Ok(Ok(0)) => {
                *host_ended = true;
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

fn instant(now: u64) -> StackInstant {
    StackInstant::from_millis(i64::try_from(now).unwrap_or(i64::MAX))
}
