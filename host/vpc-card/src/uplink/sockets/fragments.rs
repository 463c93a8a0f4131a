//! Puts fragmented datagrams of guests together, within narrow limits.

use super::packets::Packet;
use std::net::Ipv4Addr;

/// Datagrams that may wait for more fragments, of all guests.
const MAX_WAITING: usize = 64;
/// Of one guest.
const MAX_WAITING_OF_ONE: usize = 8;
/// How long one waits, in ms.
const PATIENCE_MS: u64 = 5_000;
/// The longest datagram.
const MAX_LEN: usize = 65_515;
const HEADER: usize = 20;

#[derive(Debug)]
struct Waiting {
    key: (Ipv4Addr, Ipv4Addr, u8, u16),
    /// An IP header, then the datagram's bytes.
    packet: Vec<u8>,
    /// Which bytes are there, sorted.
    parts: Vec<(usize, usize)>,
    /// How long the datagram is, once its end has come.
    len: Option<usize>,
    until_ms: u64,
}

/// Datagrams of which fragments have come.
#[derive(Debug, Default)]
pub struct Fragments(Vec<Waiting>);

impl Fragments {
    /// Takes a fragment; gives the whole packet once it is complete.
    pub fn take(&mut self, packet: &Packet<'_>, now: u64) -> Option<Vec<u8>> {
        self.0.retain(|waiting| waiting.until_ms > now);
        let key = (packet.src, packet.dst, packet.protocol, packet.id);
        let (start, more) = packet.fragment;
        let end = start + packet.body.len();
        if end > MAX_LEN || packet.body.is_empty() {
            return None;
        }
        let at = match self.0.iter().position(|waiting| waiting.key == key) {
            Some(at) => at,
            None => self.begin(key, now),
        };
        let waiting = self.0.get_mut(at)?;
        let overlaps = waiting.parts.iter().any(|&(from, to)| start < to && from < end);
        let beyond = waiting.len.is_some_and(|len| end > len || !more);
        if overlaps || beyond {
            // Nobody honest sends those.
            self.0.swap_remove(at);
            return None;
        }
        if !more {
            waiting.len = Some(end);
        }
        if waiting.packet.len() < HEADER + end {
            waiting.packet.resize(HEADER + end, 0);
        }
        waiting.packet.get_mut(HEADER + start..HEADER + end)?.copy_from_slice(packet.body);
        waiting.parts.push((start, end));
        let there: usize = waiting.parts.iter().map(|(from, to)| to - from).sum();
        if waiting.len != Some(there) {
            return None;
        }
        let mut whole = self.0.swap_remove(at).packet;
        crate::engine::packet::write_ipv4(&mut whole, key.2, 64, key.0, key.1);
        Some(whole)
    }

    fn begin(&mut self, key: (Ipv4Addr, Ipv4Addr, u8, u16), now: u64) -> usize {
        let of_one = |waiting: &&Waiting| waiting.key.0 == key.0;
        let full = self.0.len() >= MAX_WAITING;
        if full || self.0.iter().filter(of_one).count() >= MAX_WAITING_OF_ONE {
            let oldest = self.0.iter().position(|at| full || at.key.0 == key.0);
            oldest.map(|at| self.0.remove(at));
        }
        let until_ms = now + PATIENCE_MS;
        let packet = vec![0; HEADER];
        self.0.push(Waiting { key, packet, parts: Vec::new(), len: None, until_ms });
        self.0.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::sockets::packets::udp;

    fn pieces(id: u16) -> (Vec<u8>, Vec<Vec<u8>>) {
        let payload: Vec<u8> = (0..5000).map(|at: u32| u8::try_from(at % 241).unwrap()).collect();
        let from = "10.0.0.1:53".parse().unwrap();
        let to = "10.0.0.2:4000".parse().unwrap();
        let packets = udp(from, to, id, &payload);
        (payload, packets)
    }

    fn take(fragments: &mut Fragments, packet: &[u8], now: u64) -> Option<Vec<u8>> {
        fragments.take(&Packet::parse(packet).unwrap(), now)
    }

    #[test]
    fn fragments_in_any_order_make_the_datagram() {
        let (payload, mut packets) = pieces(9);
        packets.reverse();
        let last = packets.pop().unwrap();
        let mut fragments = Fragments::default();
        for packet in &packets {
            assert!(take(&mut fragments, packet, 0).is_none());
        }
        let whole = take(&mut fragments, &last, 0).unwrap();
        let whole = Packet::parse(&whole).unwrap();
        assert_eq!(whole.datagram(), Some(&payload[..]));
        assert!(fragments.0.is_empty());
    }

    #[test]
    fn overlapping_or_late_fragments_come_to_nothing() {
        let (_, packets) = pieces(9);
        let mut fragments = Fragments::default();
        assert!(take(&mut fragments, &packets[0], 0).is_none());
        assert!(take(&mut fragments, &packets[0], 0).is_none());
        assert!(fragments.0.is_empty());
        assert!(take(&mut fragments, &packets[0], 0).is_none());
        for packet in &packets[1..] {
            assert!(take(&mut fragments, packet, PATIENCE_MS).is_none());
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut fragments = Fragments::default();
        for id in 0..1000 {
            let (_, packets) = pieces(id);
            assert!(take(&mut fragments, &packets[0], 0).is_none());
        }
        assert_eq!(fragments.0.len(), MAX_WAITING_OF_ONE);
    }
}
