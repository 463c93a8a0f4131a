//! UDP flows and echo requests: each has a socket of the host's, and ends when it is silent.

use super::packets::{self, Packet};
use crate::engine::packet::word;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with},
};
use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::Arc,
};

/// A flow that nobody answered, in ms.
const SINGLE_MS: u64 = 30_000;
/// A conversation.
const STREAM_MS: u64 = 180_000;
/// One of a service that answers once, after its answer.
const ANSWERED_MS: u64 = 10_000;
const ECHO_MS: u64 = 30_000;
/// DNS and NTP: a question, an answer.
const ANSWER_ONCE: [u16; 2] = [53, 123];
/// Bytes of the last packet that are kept to be quoted.
const QUOTE: usize = 60;

/// A flow as the guest sees it; an echo flow has the identifier as both ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whether it is of echo requests.
    pub echo: bool,
    /// The guest's end.
    pub guest: SocketAddrV4,
    /// The other end.
    pub peer: SocketAddrV4,
}

enum Socket {
    /// Of this flow alone, connected.
    Own(UdpSocket),
    /// Of this flow alone, to the host itself: who listens at all of its addresses answers from
    /// another one than was asked, namely 127.0.0.1.
    Host(UdpSocket, SocketAddrV4),
    /// A listener's, with the caller.
    Shared(Arc<UdpSocket>, SocketAddr),
}

/// A flow.
pub struct Flow {
    /// Who talks to whom.
    pub key: Key,
    /// When its timer rings, as its owner has noted it.
    pub scheduled: Option<u64>,
    socket: Socket,
    sent: u64,
    received: u64,
    seen_ms: u64,
    /// The first bytes of the guest's last packet.
    last: Vec<u8>,
    id: u16,
}

/// A socket for a flow of the guest's to `to`; of one to the host itself `from` is the source.
///
/// # Errors
/// There is no way, or no permission for echo requests.
pub fn dial(echo: bool, to: SocketAddrV4, from: Option<Ipv4Addr>) -> Result<UdpSocket, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let protocol = if echo { ipproto::ICMP } else { ipproto::UDP };
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(protocol))?;
    if let Some(from) = from {
        bind(&socket, &SocketAddrV4::new(from, 0))?;
        if !echo {
            return Ok(UdpSocket::from(socket));
        }
    }
    connect(&socket, &SocketAddrV4::new(*to.ip(), if echo { 0 } else { to.port() }))?;
    Ok(UdpSocket::from(socket))
}

impl Flow {
    /// A flow that the guest begins; `host` is the address if it is one of the host itself.
    #[must_use]
    pub fn outward(key: Key, socket: UdpSocket, host: Option<Ipv4Addr>, now: u64) -> Self {
        let socket = match host.filter(|_| !key.echo) {
            Some(host) => Socket::Host(socket, SocketAddrV4::new(host, key.peer.port())),
            None => Socket::Own(socket),
        };
        Self::new(key, socket, now)
    }

    /// A flow that somebody begins who calls a listener.
    #[must_use]
    pub fn inward(key: Key, listener: Arc<UdpSocket>, caller: SocketAddr, now: u64) -> Self {
        Self::new(key, Socket::Shared(listener, caller), now)
    }

    fn new(key: Key, socket: Socket, now: u64) -> Self {
        Self {
            key,
            scheduled: None,
            socket,
            sent: 0,
            received: 0,
            seen_ms: now,
            last: Vec::new(),
            id: 0,
        }
    }

    /// The socket to wait for, if it is the flow's own.
    #[must_use]
    pub fn own(&self) -> Option<&UdpSocket> {
        match &self.socket {
            Socket::Own(socket) | Socket::Host(socket, _) => Some(socket),
            Socket::Shared(..) => None,
        }
    }

    /// Whether it is of this caller of a listener.
    #[must_use]
    pub fn is_of(&self, listener: &Arc<UdpSocket>, by: SocketAddr) -> bool {
        match &self.socket {
            Socket::Own(_) | Socket::Host(..) => false,
            Socket::Shared(socket, caller) => Arc::ptr_eq(socket, listener) && *caller == by,
        }
    }

    /// When it ends if nothing comes.
    #[must_use]
    pub fn until_ms(&self) -> u64 {
        let once = self.sent == self.received && ANSWER_ONCE.contains(&self.key.peer.port());
        let idle = match (self.sent, self.received) {
            _ if self.key.echo => ECHO_MS,
            (1.., 1..) if once => ANSWERED_MS,
            (sent, received) if sent.min(received) > 1 => STREAM_MS,
            _ => SINGLE_MS,
        };
        self.seen_ms + idle
    }

    /// How long it has been silent: the time of its last packet.
    #[must_use]
    pub fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// Sends a guest's packet on.
    ///
    /// # Errors
    /// The host can't send it.
    pub fn send(&mut self, packet: &Packet<'_>, now: u64) -> io::Result<()> {
        self.seen_ms = now;
        self.sent += 1;
        self.last.clear();
        let quote = packet.bytes.len().min(QUOTE);
        self.last.extend_from_slice(packet.bytes.get(..quote).unwrap_or_default());
        let payload = if self.key.echo { Some(packet.body) } else { packet.datagram() };
        let payload = payload.unwrap_or_default();
        let sent = match &self.socket {
            Socket::Own(socket) => socket.send(payload),
            Socket::Host(socket, to) => socket.send_to(payload, *to),
            Socket::Shared(socket, caller) => socket.send_to(payload, caller),
        };
        match sent {
            Ok(_) => Ok(()),
            // As on any full link.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes one datagram from the flow's own socket; none if there is none.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        now: u64,
        router: Ipv4Addr,
        out: &mut Vec<Vec<u8>>,
    ) -> bool {
        let received = match &self.socket {
            Socket::Own(socket) => socket.recv(bytes).map(|len| (len, true)),
            Socket::Host(socket, to) => socket.recv_from(bytes).map(|(len, from)| {
                let ip = from.ip() == *to.ip() || from.ip() == Ipv4Addr::LOCALHOST;
                (len, ip && from.port() == to.port())
            }),
            Socket::Shared(..) => return false,
        };
        match received {
            Ok((len, expected)) => {
                if expected {
                    self.deliver(bytes.get(..len).unwrap_or_default(), now, out);
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => {
                self.complain(&error, router, out);
                true
            }
        }
    }

    /// Makes packets of what came from the other end.
    pub fn deliver(&mut self, bytes: &[u8], now: u64, out: &mut Vec<Vec<u8>>) {
        self.seen_ms = now;
        self.received += 1;
        self.id = self.id.wrapping_add(1);
        let Key { echo, guest, peer } = self.key;
        if !echo {
            out.extend(packets::udp(peer, guest, self.id, bytes));
            return;
        }
        // The kernel's identifier is its own; the guest knows its own.
        if let (Some([0, 0]), Some(sequence)) = (bytes.get(..2), word(bytes, 6)) {
            let [a, b] = guest.port().to_be_bytes();
            let [c, d] = sequence.to_be_bytes();
            let rest = bytes.get(8..).unwrap_or_default();
            out.extend(packets::icmp(*peer.ip(), *guest.ip(), (0, 0), [a, b, c, d], rest));
        }
    }

    /// Tells the guest what the host was told of its packets; `router` tells it but for a closed
    /// port.
    pub fn complain(&self, error: &io::Error, router: Ipv4Addr, out: &mut Vec<Vec<u8>>) {
        let code = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::CONNREFUSED) => 3,
            Some(Errno::NETUNREACH | Errno::NETDOWN) => 0,
            Some(Errno::HOSTUNREACH | Errno::HOSTDOWN) => 1,
            Some(Errno::ACCESS | Errno::PERM) => 13,
            _ => return,
        };
        let Key { guest, peer, .. } = self.key;
        let from = if code == 3 { *peer.ip() } else { router };
        out.extend(packets::unreachable(from, *guest.ip(), code, &self.last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_said() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(to) = closed.local_addr().unwrap() else { panic!() };
        drop(closed);
        let guest = "198.18.0.9:4000".parse().unwrap();
        let key = Key { echo: false, guest, peer: to };
        let mut flow = Flow::outward(key, dial(false, to, None).unwrap(), None, 0);
        let sent = packets::udp(guest, to, 1, b"hello");
        flow.send(&Packet::parse(&sent[0]).unwrap(), 0).unwrap();
        let mut out = Vec::new();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !flow.receive(&mut [0; 64], 0, Ipv4Addr::LOCALHOST, &mut out) {
            assert!(std::time::Instant::now() < end);
        }
        let told = Packet::parse(&out[0]).unwrap();
        assert_eq!((told.src, told.dst, &told.body[..2]), (*to.ip(), *guest.ip(), &[3, 3][..]));
        assert_eq!(&told.body[8..], &sent[0][..]);
    }

    #[test]
    fn questions_end_soon_and_conversations_later() {
        let to: SocketAddrV4 = "127.0.0.1:53".parse().unwrap();
        let guest = "198.18.0.9:4000".parse().unwrap();
        let flow = |peer| {
            let key = Key { echo: false, guest, peer };
            Flow::outward(key, dial(false, to, None).unwrap(), None, 0)
        };
        let mut dns = flow(to);
        let packet = packets::udp(guest, to, 1, b"?");
        let packet = Packet::parse(&packet[0]).unwrap();
        drop(dns.send(&packet, 0));
        assert_eq!(dns.until_ms(), SINGLE_MS);
        dns.deliver(b"!", 100, &mut Vec::new());
        assert_eq!(dns.until_ms(), 100 + ANSWERED_MS);
        let mut other = flow("127.0.0.1:5000".parse().unwrap());
        for _ in 0..2 {
            drop(other.send(&packet, 0));
            other.deliver(b"!", 0, &mut Vec::new());
        }
        assert_eq!(other.until_ms(), STREAM_MS);
    }
}
