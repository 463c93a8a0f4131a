//! The fast path: what the layers decided about a flow's packet is repeated for those after it.
//!
//! Kept are decisions about whole TCP segments (but those that begin or end a connection) and UDP
//! datagrams over IPv4, from a guest to another guest or to the uplink. A decision is kept only if
//! the layers that the packet passed said that it may be (`Trail`): what knows nothing of this is
//! asked each time. It holds until the configuration changes, and half a minute at most. What
//! connection tracking knows of a flow is kept up to date: a decision names the tracked flows at
//! both ports, by place, and each packet is noted there; once one of them is gone, the layers are
//! asked again.
//!
//! Each port has a cache of its own, which only its own guest's packets fill and which has a
//! largest size, so a guest that opens many flows makes nobody slower but itself.

use super::{
    Engine, PortIndex, UPLINK_MTU, Verdict,
    checksum::checksum,
    flow::Direction,
    packet::{ETHERNET, FIN, Fragment, Frame, Packet, RST, SYN, TCP, UDP, ipv4},
    seconds,
    table::Place,
};
use crate::layers::filter::{self, Standing};
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    net::Ipv4Addr,
};

/// Decisions whose keys have the same place.
const WAYS: usize = 4;
/// Decisions of a port that has few flows, and the most that one has.
const LEAST: usize = 256;
const MOST: usize = 131_072;
/// How long a decision holds, in ms.
const HOLD_MS: u64 = 30_000;
/// `Decision::to` of the uplink.
const UPLINK: u32 = u32::MAX;

/// A hop is counted.
const HOP: u8 = 1;
/// It leaves by the internet gateway: the uplink's MTU holds.
const GATEWAY: u8 = 2;
/// The source's port follows the flow.
const AT_SOURCE: u8 = 4;
/// The destination's port follows the flow.
const AT_DESTINATION: u8 = 8;

/// What the layers say of the way that a packet took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trail {
    /// Nothing: the decision is not to be kept.
    #[default]
    Unknown,
    /// From a port to another by addresses and rules alone.
    Inside,
    /// Through the internet gateway, by addresses and rules alone.
    Gateway,
}

/// What identifies a flow within a port's cache: addresses, ports and protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Key([u64; 2]);

impl Key {
    fn of(packet: &Packet) -> Option<Self> {
        let (src, dst) = (ipv4(packet.src)?, ipv4(packet.dst)?);
        let pair = |a: u32, b: u32| u64::from(a) << 32 | u64::from(b);
        let ports = u32::from(packet.ports.0) << 16 | u32::from(packet.ports.1);
        Some(Self([pair(src.into(), dst.into()), pair(ports, packet.protocol.into())]))
    }
}

/// What becomes of a flow's packets: one line of the processor's cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Decision {
    key: Key,
    /// The tracked flows at source and destination.
    flows: [Place; 2],
    /// Of the configuration that it was made by; 0 is none's.
    generation: u32,
    to: u32,
    /// The addresses that the packet leaves with.
    source: u32,
    destination: u32,
    /// The Ethernet addresses that it leaves with.
    macs: [u8; 12],
    marks: u8,
}

/// The decisions of one port.
#[derive(Debug, Default)]
pub struct Cache {
    /// A part of each decision's hash, `WAYS` a set; 0 where there is none.
    tags: Vec<[u32; WAYS]>,
    decisions: Vec<[Decision; WAYS]>,
    /// Places that are taken.
    filled: usize,
    /// The way that gives way next.
    turn: usize,
    /// It was of use since it was last looked after.
    used: bool,
}

impl Cache {
    /// The tag of a hash, and its set.
    fn place(&self, hash: u64) -> (u32, usize) {
        let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
        let set = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or_default();
        (u32::from_le_bytes([e, f, g, h]) | 1, set & self.tags.len().wrapping_sub(1))
    }

    fn find(&mut self, hash: u64, key: Key, generation: u32) -> Option<Decision> {
        let (tag, set) = self.place(hash);
        let way = self.tags.get(set)?.iter().position(|&held| held == tag)?;
        let decision = self.decisions.get(set)?.get(way)?;
        if decision.key != key || decision.generation != generation {
            return None;
        }
        self.used = true;
        Some(*decision)
    }

    fn insert(&mut self, hash: u64, decision: Decision) {
        if self.decisions.is_empty() || (self.filled > self.len() / 2 && self.len() < MOST) {
            self.grow();
        }
        let (tag, set) = self.place(hash);
        let (Some(tags), Some(decisions)) = (self.tags.get_mut(set), self.decisions.get_mut(set))
        else {
            return;
        };
        let old = |at: &usize| decisions[*at].generation != decision.generation;
        let way = tags.iter().position(|&held| held == tag || held == 0);
        let way = way.or_else(|| (0..WAYS).find(old)).unwrap_or_else(|| {
            self.turn = (self.turn + 1) % WAYS;
            self.turn
        });
        self.filled += usize::from(tags[way] == 0);
        tags[way] = tag;
        decisions[way] = decision;
    }

    fn len(&self) -> usize {
        self.decisions.len() * WAYS
    }

    /// Begins anew with more room: decisions are quickly made again.
    fn grow(&mut self) {
        let sets = (self.len() * 4).clamp(LEAST, MOST) / WAYS;
        self.tags = vec![[0; WAYS]; sets];
        self.decisions = vec![[Decision::default(); WAYS]; sets];
        self.filled = 0;
    }

    /// Gives the memory back if it was of no use for a while.
    pub fn rest(&mut self) {
        if !std::mem::take(&mut self.used) {
            *self = Self::default();
        }
    }
}

/// What all caches have in common.
#[derive(Debug)]
pub struct Keeper {
    /// Secrets of the hash: nobody can choose flows that have the same place.
    seeds: [u64; 4],
    generation: u32,
    /// When the generation began, in ms.
    began: u64,
}

impl Default for Keeper {
    fn default() -> Self {
        let seed = || RandomState::new().build_hasher().finish();
        Self { seeds: [seed(), seed(), seed(), seed()], generation: 1, began: 0 }
    }
}

impl Keeper {
    /// Lets no decision hold any longer.
    pub fn forget(&mut self, now: u64) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.began = now;
    }

    fn hash(&self, Key([a, b]): Key) -> u64 {
        let [s, t, u, v] = self.seeds;
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            let [low, high] = [product, product >> 64].map(|half| half & u128::from(u64::MAX));
            u64::try_from(low ^ high).unwrap_or_default()
        };
        fold(fold(a ^ s, b ^ t) ^ u, a.rotate_left(32) ^ b ^ v)
    }
}

/// Reads a packet that a decision may be kept of, as `Packet::parse` does.
fn plain(frame: &Frame<'_>) -> Option<Packet> {
    let bytes = frame.bytes();
    let head: &[u8; 42] = bytes.first_chunk()?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // IPv4 without options, and no fragment.
    if head[12..15] != [8, 0, 0x45] || word(20) & 0x3fff != 0 {
        return None;
    }
    let (transport, end) = (ETHERNET + 20, ETHERNET + usize::from(word(16)));
    let (protocol, mut flags) = (head[23], super::packet::ACK);
    let enough = match protocol {
        TCP => {
            let size = usize::from(*bytes.get(46)? >> 4) * 4;
            flags = *bytes.get(47)?;
            let plain = flags & (SYN | FIN | RST) == 0 && bytes.len() >= transport + size;
            plain && size >= 20 && transport + size <= end
        }
        UDP => word(38) >= 8 && transport + usize::from(word(38)) <= end,
        _ => false,
    };
    if !enough || end > frame.len || checksum(&head[ETHERNET..transport]) != 0 {
        return None;
    }
    let address =
        |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]).into();
    Some(Packet {
        src: address(26),
        dst: address(30),
        protocol,
        ttl: head[22],
        id: word(18).into(),
        dont_fragment: head[20] & 0x40 != 0,
        fragment: Fragment::Whole,
        part: (0, 0),
        transport,
        end,
        ports: (word(34), word(36)),
        icmp: (0, 0),
        flags,
    })
}

/// A packet before the layers had it, if a decision about it may be kept.
#[derive(Debug, Clone, Copy)]
pub struct Asked(Packet);

impl Asked {
    /// The packet of a frame.
    pub fn of(frame: &Frame<'_>) -> Option<Self> {
        plain(frame).map(Self)
    }
}

impl Engine {
    /// Decides about a frame from a port's guest as the layers did about its flow; none if they
    /// have to be asked: then nothing has changed. The head needs to have all headers, no more.
    pub fn repeat(&mut self, index: PortIndex, frame: &mut Frame<'_>, now: u64) -> Option<Verdict> {
        let mut packet = plain(frame)?;
        let key = Key::of(&packet)?;
        if now.saturating_sub(self.keeper.began) >= HOLD_MS {
            self.keeper.forget(now);
        }
        let hash = self.keeper.hash(key);
        let port = self.ports.get_mut(index.0)?.as_mut()?;
        if frame.bytes().get(6..12)? != port.mac() {
            return None;
        }
        let decision = port.cache.find(hash, key, self.keeper.generation)?;
        let is = |mark: u8| decision.marks & mark != 0;
        let large = packet.end - ETHERNET > UPLINK_MTU && packet.dont_fragment && !frame.segmented;
        if (is(HOP) && packet.ttl <= 1) || (is(GATEWAY) && large) {
            return None;
        }
        let (now_ms, now, len) = (now, seconds(now), frame.len as u64);
        if is(AT_SOURCE) && !port.flows.pass(decision.flows[0], &packet, Direction::Egress, now) {
            return None;
        }
        let verdict = if decision.to == UPLINK {
            Verdict::Uplink
        } else {
            let to = PortIndex(usize::try_from(decision.to).ok()?);
            let target = self.ports.get_mut(to.0)?.as_mut()?;
            let place = decision.flows[1];
            if is(AT_DESTINATION) && !target.flows.pass(place, &packet, Direction::Ingress, now) {
                return None;
            }
            frame.write(0, &decision.macs);
            Verdict::Deliver(to)
        };
        frame.truncate(packet.end);
        if is(HOP) {
            packet.decrement_ttl(frame);
        }
        let Key([addresses, _]) = key;
        let wanted = u64::from(decision.source) << 32 | u64::from(decision.destination);
        if wanted != addresses {
            translate(&mut packet, frame, decision.source.into(), decision.destination.into());
        }
        let port = self.ports.get_mut(index.0)?.as_mut()?;
        port.sent_ms = now_ms;
        port.counters.tx_packets += 1;
        port.counters.tx_bytes += len;
        self.repeated += 1;
        Some(verdict)
    }

    /// Keeps what the layers decided about a packet, if they say that it may be kept.
    pub(super) fn remember(
        &mut self,
        index: PortIndex,
        Asked(before): &Asked,
        frame: &Frame<'_>,
        verdict: Verdict,
    ) -> Option<()> {
        let mut marks = match std::mem::take(&mut self.trail) {
            Trail::Unknown => return None,
            Trail::Inside => 0,
            Trail::Gateway => GATEWAY,
        };
        let after = plain(frame)?;
        match before.ttl.checked_sub(after.ttl)? {
            0 => {}
            1 => marks |= HOP,
            _ => return None,
        }
        if after.ports != before.ports || after.protocol != before.protocol {
            return None;
        }
        // The internet gateway's translations follow from the configuration; others have a state.
        let public = self.port(index)?.public_of(ipv4(before.src)?);
        let private = self.by_public(before.dst).map(|(_, private)| private);
        let source = after.src == before.src || public.is_some_and(|public| after.src == public);
        let destination =
            after.dst == before.dst || private.is_some_and(|private| after.dst == private);
        if !source || !destination {
            return None;
        }
        let mut flows = [Place::default(); 2];
        let mut stand = |port: PortIndex, packet: &Packet, direction| {
            let (at, mark) = match direction {
                Direction::Egress => (0, AT_SOURCE),
                Direction::Ingress => (1, AT_DESTINATION),
            };
            match filter::standing(self.port(port)?, direction, packet)? {
                Standing::Tracked(place) => {
                    flows[at] = place;
                    marks |= mark;
                }
                Standing::Untracked => {}
            }
            Some(())
        };
        stand(index, before, Direction::Egress)?;
        let to = match verdict {
            Verdict::Deliver(to) => {
                stand(to, &after, Direction::Ingress)?;
                u32::try_from(to.0).ok().filter(|&to| to != UPLINK)?
            }
            Verdict::Uplink => UPLINK,
            Verdict::Drop | Verdict::Reply | Verdict::Dhcp | Verdict::Dns | Verdict::Tcp => {
                return None;
            }
        };
        let key = Key::of(before)?;
        let decision = Decision {
            key,
            flows,
            generation: self.keeper.generation,
            to,
            source: ipv4(after.src)?.into(),
            destination: ipv4(after.dst)?.into(),
            macs: frame.bytes().get(..12)?.try_into().ok()?,
            marks,
        };
        let hash = self.keeper.hash(key);
        self.port_mut(index)?.cache.insert(hash, decision);
        Some(())
    }
}

/// Translates as the gateway does: the source first.
fn translate(packet: &mut Packet, frame: &mut Frame<'_>, source: Ipv4Addr, destination: Ipv4Addr) {
    if packet.src != source {
        packet.set_source(frame, source);
    }
    if packet.dst != destination {
        packet.set_destination(frame, destination);
    }
}
