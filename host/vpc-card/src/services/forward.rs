//! DNS queries that others answer: sent to the host's resolvers, each from a socket of its own.
//!
//! Socket and identifier are fresh for each query (the kernel draws the port), and a reply must
//! come from the resolver that was asked and repeat the question, so that nobody who doesn't see
//! the query can forge its reply.

use super::{Datagram, dns};
use crate::{
    counters::Reason,
    engine::{PortIndex, packet::word},
};
use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
};
use types::NetworkInterfaceId;

/// Queries of all ports that may wait for a reply.
const MAX_PENDING: usize = 512;
/// Queries of one port that may wait for a reply.
const MAX_PENDING_PORT: usize = 64;
const TRY_MS: u64 = 2_500;
const TRIES: usize = 2;
const READ_AGAIN_MS: u64 = 5_000;

/// A query that waits.
#[derive(Debug)]
pub struct Pending {
    /// The port whose guest asked.
    pub port: PortIndex,
    /// Its ID: the place may have got another port since.
    pub id: NetworkInterfaceId,
    /// The reply's addresses.
    pub back: Datagram,
    socket: UdpSocket,
    query: Vec<u8>,
    sent_id: [u8; 2],
    tries: usize,
    until: u64,
}

/// The queries that wait.
#[derive(Debug)]
pub struct Forwarder {
    pending: Vec<Option<Pending>>,
    resolvers: Vec<SocketAddr>,
    read_ms: Option<u64>,
    dice: RandomState,
    thrown: u64,
}

impl Default for Forwarder {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            resolvers: Vec::new(),
            read_ms: None,
            dice: RandomState::new(),
            thrown: 0,
        }
    }
}

impl Forwarder {
    /// Sends a query on; its slot and socket are to be waited for.
    ///
    /// # Errors
    /// Too many wait (the reason), or nobody can be asked (none: `SERVFAIL`).
    pub fn send(
        &mut self,
        port: (PortIndex, NetworkInterfaceId),
        back: Datagram,
        query: &[u8],
        now: u64,
    ) -> Result<(usize, &UdpSocket), Option<Reason>> {
        let waiting = self.pending.iter().flatten();
        let (all, own) = waiting
            .fold((0, 0), |(all, own), pending| (all + 1, own + usize::from(pending.id == port.1)));
        if all >= MAX_PENDING || own >= MAX_PENDING_PORT {
            return Err(Some(Reason::DnsIgnored));
        }
        if self.read_ms.is_none_or(|read| now >= read + READ_AGAIN_MS) {
            self.read_ms = Some(now);
            self.resolvers = resolvers(Path::new("/etc/resolv.conf"));
        }
        let (socket, sent_id) = self.ask(query, 0).ok_or(None)?;
        let pending = Pending {
            port: port.0,
            id: port.1,
            back,
            socket,
            query: query.to_vec(),
            sent_id,
            tries: 1,
            until: now + TRY_MS,
        };
        let slot = match self.pending.iter().position(Option::is_none) {
            Some(slot) => slot,
            None => {
                self.pending.push(None);
                self.pending.len() - 1
            }
        };
        let place = self.pending.get_mut(slot).ok_or(None)?;
        Ok((slot, &place.insert(pending).socket))
    }

    fn ask(&mut self, query: &[u8], attempt: usize) -> Option<(UdpSocket, [u8; 2])> {
        self.thrown += 1;
        let [a, b, ..] = self.dice.hash_one(self.thrown).to_ne_bytes();
        let mut query = query.to_vec();
        query.get_mut(..2)?.copy_from_slice(&[a, b]);
        let resolver = *self.resolvers.get(attempt % self.resolvers.len().max(1))?;
        let any: IpAddr = match resolver {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let sent = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.connect(resolver)?;
            socket.send(&query)?;
            Ok(socket)
        });
        match sent {
            Ok(socket) => Some((socket, [a, b])),
            Err(error) => {
                log::debug!("ask {resolver}: {error}");
                None
            }
        }
    }

    /// Takes a reply that has come for a slot: the query that it answers, if it does.
    pub fn receive(&mut self, slot: usize, reply: &mut Vec<u8>) -> Option<Pending> {
        let place = self.pending.get_mut(slot)?;
        let pending = place.as_ref()?;
        reply.resize(4096, 0);
        let Ok(len) = pending.socket.recv(reply) else {
            // The resolver's host refused: the next one is asked when the time is up.
            return None;
        };
        reply.truncate(len);
        // What follows the header's 12 bytes: the question, in whatever case.
        let question = dns::question_end(&pending.query)?;
        let same = pending.query.get(12..question).zip(reply.get(12..question));
        let ours = reply.starts_with(&pending.sent_id)
            && reply.get(2).is_some_and(|flags| flags & 0x80 != 0)
            && same.is_some_and(|(asked, told)| asked.eq_ignore_ascii_case(told));
        if !ours {
            return None;
        }
        let id = word(&pending.query, 0)?;
        reply.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
        place.take()
    }

    /// Asks again, or gives up, where the time is up: `again` gets sockets to wait for and
    /// `failed` queries that stay without a reply.
    pub fn expire(
        &mut self,
        now: u64,
        mut again: impl FnMut(usize, &UdpSocket),
        mut failed: impl FnMut(Pending, &[u8]),
    ) {
        for slot in 0..self.pending.len() {
            let due = |pending: &Pending| pending.until <= now;
            let Some(mut pending) = self.pending.get_mut(slot).and_then(|p| p.take_if(|p| due(p)))
            else {
                continue;
            };
            let next =
                (pending.tries < TRIES).then(|| self.ask(&pending.query, pending.tries)).flatten();
            if let Some((socket, sent_id)) = next {
                again(slot, &socket);
                let (tries, until) = (pending.tries + 1, now + TRY_MS);
                pending = Pending { socket, sent_id, tries, until, ..pending };
                if let Some(place) = self.pending.get_mut(slot) {
                    *place = Some(pending);
                }
            } else {
                let mut reply = Vec::new();
                dns::refuse(&pending.query, dns::SERVER_FAILURE, &mut reply);
                failed(pending, &reply);
            }
        }
        if self.pending.iter().all(Option::is_none) {
            self.pending.clear();
        }
    }

    /// When to call `expire`.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.pending.iter().flatten().map(|pending| pending.until).min()
    }
}

/// The host's resolvers.
fn resolvers(path: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next())??;
        address.parse::<IpAddr>().ok()
    });
    lines.map(|address| SocketAddr::new(address, 53)).collect()
}
