//! DNS queries that others answer: sent to the resolvers, each from a socket of its own, by UDP
//! or TCP as the guest sent it.
//!
//! Socket and identifier are fresh for each query (the kernel draws the port), and a reply must
//! come from the resolver that was asked and repeat the question, so that nobody who doesn't see
//! the query can forge its reply.

mod asked;

pub use asked::Asked;

use super::{Datagram, dns};
use crate::{
    counters::Reason,
    engine::{PortIndex, packet::word},
};
use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
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

/// Where a query came from and its reply goes.
#[derive(Debug, Clone, Copy)]
pub enum Back {
    /// To a UDP client that takes so many bytes.
    Datagram(Datagram, usize),
    /// To a connection of the port's TCP.
    Stream(u64),
}

/// A query that waits.
#[derive(Debug)]
pub struct Pending {
    /// The port whose guest asked.
    pub port: PortIndex,
    /// Its ID: the place may have got another port since.
    pub id: NetworkInterfaceId,
    /// Where the reply goes.
    pub back: Back,
    /// The guest's query.
    pub query: Vec<u8>,
    asked: Asked,
    sent_id: [u8; 2],
    tries: usize,
    until: u64,
}

/// The queries that wait.
#[derive(Debug)]
pub struct Forwarder {
    pending: Vec<Option<Pending>>,
    resolvers: Vec<SocketAddr>,
    /// When the host's resolvers were read; they are not where others were named.
    read_ms: Option<u64>,
    named: bool,
    dice: RandomState,
    thrown: u64,
}

impl Forwarder {
    /// Asks these resolvers, or the host's if there are none.
    #[must_use]
    pub fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self {
            pending: Vec::new(),
            named: !resolvers.is_empty(),
            resolvers,
            read_ms: None,
            dice: RandomState::new(),
            thrown: 0,
        }
    }

    /// Sends a query on; its slot and socket are to be waited for.
    ///
    /// # Errors
    /// Too many wait (the reason), or nobody can be asked (none: `SERVFAIL`).
    pub fn send(
        &mut self,
        port: (PortIndex, NetworkInterfaceId),
        back: Back,
        query: &[u8],
        now: u64,
    ) -> Result<(usize, &Asked), Option<Reason>> {
        let waiting = self.pending.iter().flatten();
        let (all, own) = waiting
            .fold((0, 0), |(all, own), pending| (all + 1, own + usize::from(pending.id == port.1)));
        if all >= MAX_PENDING || own >= MAX_PENDING_PORT {
            return Err(Some(Reason::DnsIgnored));
        }
        if !self.named && self.read_ms.is_none_or(|read| now >= read + READ_AGAIN_MS) {
            self.read_ms = Some(now);
            self.resolvers = resolvers(Path::new("/etc/resolv.conf"));
        }
        let (asked, sent_id) = self.ask(back, query, 0).ok_or(None)?;
        let pending = Pending {
            port: port.0,
            id: port.1,
            back,
            asked,
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
        Ok((slot, &place.insert(pending).asked))
    }

    fn ask(&mut self, back: Back, query: &[u8], attempt: usize) -> Option<(Asked, [u8; 2])> {
        self.thrown += 1;
        let [a, b, ..] = self.dice.hash_one(self.thrown).to_ne_bytes();
        let mut query = query.to_vec();
        query.get_mut(..2)?.copy_from_slice(&[a, b]);
        let resolver = *self.resolvers.get(attempt % self.resolvers.len().max(1))?;
        let sent = match back {
            Back::Datagram(..) => Asked::by_datagram(resolver, &query),
            Back::Stream(_) => Asked::by_stream(resolver, &query),
        };
        match sent {
            Ok(asked) => Some((asked, [a, b])),
            Err(error) => {
                log::debug!("ask {resolver}: {error}");
                None
            }
        }
    }

    /// Takes a reply that has come for a slot: the query that it answers, if it does.
    pub fn receive(&mut self, slot: usize, reply: &mut Vec<u8>) -> Option<Pending> {
        let place = self.pending.get_mut(slot)?;
        let pending = place.as_mut()?;
        match pending.asked.receive(reply) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                log::debug!("a resolver: {error}");
                // Whoever holds a connection says so at once; a datagram's error may be forged.
                if pending.asked.is_stream() {
                    pending.until = 0;
                }
                return None;
            }
        }
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
        mut again: impl FnMut(usize, &Asked),
        mut failed: impl FnMut(Pending, &[u8]),
    ) {
        for slot in 0..self.pending.len() {
            let due = |pending: &Pending| pending.until <= now;
            let Some(mut pending) = self.pending.get_mut(slot).and_then(|p| p.take_if(|p| due(p)))
            else {
                continue;
            };
            let next = (pending.tries < TRIES)
                .then(|| self.ask(pending.back, &pending.query, pending.tries))
                .flatten();
            if let Some((asked, sent_id)) = next {
                again(slot, &asked);
                let (tries, until) = (pending.tries + 1, now + TRY_MS);
                pending = Pending { asked, sent_id, tries, until, ..pending };
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
