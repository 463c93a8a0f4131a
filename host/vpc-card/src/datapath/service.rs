//! Frames for the card itself: handed to its services, and their answers to the guest.

use super::{Datapath, Source};
use crate::{
    counters::Reason,
    engine::{
        Engine, PortIndex, Verdict, ipv6,
        packet::{ETHERNET, Frame, Packet, mac},
    },
    owner,
    services::{
        Datagram, dhcp, dhcp6,
        dns::{self, Answer},
        forward::{Asked, Back, Pending},
        tcp::Stack,
    },
    sys::Poller,
    vhost_user::{RX, memory::Chain},
};
use contracts::card::OwnerReply;
use std::{io::Write as _, os::unix::net::UnixStream};
use types::NetworkInterfaceId;

/// How often guests are told of the router, in ms: well within the time for which they believe it.
pub(super) const ADVERTISE_MS: u64 = 300_000;
/// Room for an advertisement.
const ADVERTISEMENT: usize = 256;

impl Datapath {
    /// Serves a guest's frame, of which `whole` has all.
    pub(super) fn serve(&mut self, index: PortIndex, verdict: Verdict, whole: &mut [u8], now: u64) {
        let len = whole.len();
        let frame = Frame { buf: whole, head: len, len, partial: false, segmented: false };
        let Ok(packet) = Packet::parse(&frame) else { return };
        let served = match verdict {
            Verdict::Dhcp => self.serve_dhcp(index, &packet, frame.bytes()),
            Verdict::Dns => self.serve_dns(index, &packet, frame.bytes(), now),
            Verdict::Tcp => self.serve_tcp(index, &packet, frame.bytes(), now),
            Verdict::Drop | Verdict::Deliver(_) | Verdict::Uplink | Verdict::Reply => Ok(()),
        };
        if let Err(reason) = served {
            self.engine.count(index, reason);
        }
    }

    fn serve_dhcp(
        &mut self,
        index: PortIndex,
        packet: &Packet,
        frame: &[u8],
    ) -> Result<(), Reason> {
        let port = self.engine.port(index).ok_or(Reason::Unconfigured)?;
        let mut reply = Vec::new();
        if packet.src.is_ipv6() {
            dhcp6::answer(port, packet, frame, &mut reply)?;
        } else {
            dhcp::answer(port, frame, &mut reply)?;
        }
        self.deliver_bytes(index, &mut reply);
        Ok(())
    }

    fn serve_dns(
        &mut self,
        index: PortIndex,
        packet: &Packet,
        frame: &[u8],
        now: u64,
    ) -> Result<(), Reason> {
        let port = self.engine.port(index).ok_or(Reason::Unconfigured)?;
        let query = frame.get(packet.transport + 8..packet.end).ok_or(Reason::Malformed)?;
        let back = Datagram {
            macs: (port.mac(), mac(frame, 0).unwrap_or_default()),
            src: (packet.dst, packet.ports.1),
            dst: (packet.src, packet.ports.0),
        };
        // No answer is cut into fragments.
        let most = usize::from(port.config.port.mtu).saturating_sub(back.header_len());
        let limit = dns::udp_limit(query).min(most);
        let answered = self.resolve(index, Back::Datagram(back, limit), query, now)?;
        if let Some(reply) = answered {
            self.answer_datagram(index, &back, limit, query, reply);
        }
        Ok(())
    }

    /// Answers a query; none if another resolver was asked.
    fn resolve(
        &mut self,
        index: PortIndex,
        back: Back,
        query: &[u8],
        now: u64,
    ) -> Result<Option<Vec<u8>>, Reason> {
        let port = self.engine.port(index).ok_or(Reason::Unconfigured)?;
        let mut reply = Vec::new();
        match dns::answer(&self.engine, port, query, &mut reply) {
            Answer::Ignore => return Err(Reason::DnsIgnored),
            Answer::Reply => {}
            Answer::Forward => {
                match self.forwarder.send((index, port.config.port.id), back, query, now) {
                    Ok((slot, asked)) => {
                        if await_reply(&self.poller, slot, asked) {
                            return Ok(None);
                        }
                    }
                    Err(Some(reason)) => return Err(reason),
                    Err(None) => {}
                }
                dns::refuse(query, dns::SERVER_FAILURE, &mut reply);
            }
        }
        Ok(Some(reply))
    }

    fn answer_datagram(
        &mut self,
        index: PortIndex,
        back: &Datagram,
        limit: usize,
        query: &[u8],
        mut reply: Vec<u8>,
    ) {
        dns::truncate(query, &mut reply, limit);
        let mut frame = Vec::new();
        back.frame(&reply, &mut frame);
        self.deliver_bytes(index, &mut frame);
    }

    pub(super) fn receive_dns(&mut self, slot: usize) {
        let mut reply = Vec::new();
        if let Some(pending) = self.forwarder.receive(slot, &mut reply) {
            self.answer_dns(&pending, reply);
        }
    }

    fn answer_dns(&mut self, pending: &Pending, reply: Vec<u8>) {
        let index = pending.port;
        if self.engine.find(pending.id) != Some(index) {
            return;
        }
        match pending.back {
            Back::Datagram(back, limit) => {
                self.answer_datagram(index, &back, limit, &pending.query, reply);
            }
            Back::Stream(connection) => {
                let stack = self.ports.get_mut(index.0).and_then(|io| io.stack.as_mut());
                if let Some(stack) = stack {
                    stack.answer(connection, &reply);
                    self.wake_stack(index);
                }
            }
        }
    }

    pub(super) fn expire_dns(&mut self, now: u64) {
        if self.forwarder.next_ms().is_none_or(|next| next > now) {
            return;
        }
        let mut failed = Vec::new();
        let poller = &self.poller;
        let again = |slot: usize, asked: &Asked| {
            await_reply(poller, slot, asked);
        };
        self.forwarder.expire(now, again, |pending, reply| failed.push((pending, reply.to_vec())));
        for (pending, reply) in failed {
            self.answer_dns(&pending, reply);
        }
    }

    fn serve_tcp(
        &mut self,
        index: PortIndex,
        packet: &Packet,
        frame: &[u8],
        now: u64,
    ) -> Result<(), Reason> {
        let port = self.engine.port(index).ok_or(Reason::Unconfigured)?;
        let io = self.ports.get_mut(index.0).ok_or(Reason::LinkDown)?;
        let router = port.subnet.as_ref().map(|subnet| subnet.router);
        let tunnel = router.is_some_and(|router| packet.dst == router);
        if tunnel && !io.stack.as_ref().is_some_and(|stack| stack.knows(packet)) {
            return Err(Reason::NoService);
        }
        let stack = io.stack.get_or_insert_with(|| Stack::new(port, now));
        stack.receive(port, packet, frame);
        self.wake_stack(index);
        Ok(())
    }

    /// Connects an interface's guest with a stream of its owner's.
    pub(super) fn open_tunnel(
        &mut self,
        id: NetworkInterfaceId,
        to: u16,
        stream: UnixStream,
        now: u64,
    ) {
        let opened = self.engine.find(id).and_then(|index| {
            let port = self.engine.port(index)?;
            let io = self.ports.get_mut(index.0)?;
            let stack = io.stack.get_or_insert_with(|| Stack::new(port, now));
            Some((index, stack.open_tunnel(port, to, stream.try_clone().ok()?)))
        });
        let refused = match opened {
            Some((index, Ok(()))) => return self.wake_stack(index),
            Some((index, Err(why))) => {
                self.wake_stack(index);
                why
            }
            None => "no guest has its interface up yet",
        };
        let reply = owner::line_of(&OwnerReply::Refused(refused.to_owned()));
        if let Err(error) = (&stream).write_all(&reply) {
            log::debug!("a tunnel to {id}: {error}");
        }
    }

    pub(super) fn wake_stack(&mut self, index: PortIndex) {
        let Some(io) = self.ports.get_mut(index.0) else { return };
        if io.stack.is_some() {
            io.stack_due = true;
            if !self.stacks.contains(&index) {
                self.stacks.push(index);
            }
        }
    }

    /// Gives each port's TCP its turn.
    pub(super) fn run_stacks(&mut self, now: u64) {
        let mut at = 0;
        while let Some(&index) = self.stacks.get(at) {
            let (packets, idle) = self.run_stack(index, now);
            for packet in packets {
                self.deliver_packet(index, &packet);
            }
            if idle {
                if let Some(io) = self.ports.get_mut(index.0) {
                    io.stack = None;
                }
                self.stacks.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn run_stack(&mut self, index: PortIndex, now: u64) -> (Vec<Vec<u8>>, bool) {
        let Some(io) = self.ports.get_mut(index.0) else { return (Vec::new(), true) };
        let Some(mut stack) = io.stack.take() else { return (Vec::new(), true) };
        let timer = stack.next_ms(now).is_some_and(|next| next <= now);
        let due = std::mem::take(&mut io.stack_due) || timer;
        if due {
            self.advance_stack(index, &mut stack, now);
        }
        let packets = std::iter::from_fn(|| stack.transmit()).collect();
        let idle = due && stack.is_idle();
        if let Some(io) = self.ports.get_mut(index.0) {
            io.stack = Some(stack);
        }
        (packets, idle)
    }

    fn advance_stack(&mut self, index: PortIndex, stack: &mut Stack, now: u64) {
        loop {
            let poller = &self.poller;
            stack.advance(now, |stream| {
                if let Err(error) = poller.add_stream(stream, Source::Stream(index).key()) {
                    log::error!("{error:#}");
                }
            });
            let queries = stack.take_queries();
            if queries.is_empty() {
                return;
            }
            for (connection, query) in queries {
                match self.resolve(index, Back::Stream(connection), &query, now) {
                    Ok(Some(reply)) => stack.answer(connection, &reply),
                    Ok(None) => {}
                    Err(reason) => {
                        self.engine.count(index, reason);
                        stack.refuse(connection);
                    }
                }
            }
        }
    }

    /// Delivers a packet of the card's own to a port's guest.
    fn deliver_packet(&mut self, index: PortIndex, packet: &[u8]) {
        let Some((mac, router)) = macs(&self.engine, index) else { return };
        let mut frame = Vec::with_capacity(ETHERNET + packet.len());
        frame.extend_from_slice(&mac);
        frame.extend_from_slice(&router);
        let six = packet.first().is_some_and(|first| first >> 4 == 6);
        let ethertype = if six { ipv6::ETHERTYPE } else { 0x0800 };
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame.extend_from_slice(packet);
        self.deliver_bytes(index, &mut frame);
    }

    /// Tells guests of the router: those to whom it is new, and from time to time all.
    pub(super) fn advertise(&mut self, now: u64) {
        let mut ports = self.engine.take_unadvertised();
        if now >= self.advertised_ms + ADVERTISE_MS {
            self.advertised_ms = now;
            ports = self.engine.ports().map(|(index, _)| index).collect();
        }
        for index in ports {
            // A guest that comes up asks by itself.
            if self.ring(index, RX).is_none() {
                continue;
            }
            let mut bytes = [0; ADVERTISEMENT];
            let mut frame =
                Frame { buf: &mut bytes, head: 0, len: 0, partial: false, segmented: false };
            if self.engine.advertise(index, &mut frame) {
                self.deliver(index, &mut frame, &Chain::default());
            }
        }
    }

    fn deliver_bytes(&mut self, index: PortIndex, bytes: &mut [u8]) {
        let len = bytes.len();
        let mut frame = Frame { buf: bytes, head: len, len, partial: false, segmented: false };
        self.deliver(index, &mut frame, &Chain::default());
    }
}

/// Waits for a resolver's reply; whether that can be.
fn await_reply(poller: &Poller, slot: usize, asked: &Asked) -> bool {
    let key = Source::Resolver(slot).key();
    let added =
        if asked.is_stream() { poller.add_stream(asked, key) } else { poller.add(asked, key) };
    if let Err(error) = &added {
        log::error!("{error:#}");
    }
    added.is_ok()
}

/// The Ethernet addresses of a port's guest and of its router.
fn macs(engine: &Engine, index: PortIndex) -> Option<([u8; 6], [u8; 6])> {
    let port = engine.port(index)?;
    Some((port.mac(), port.subnet.as_ref()?.router_mac))
}
