//! The thread that moves packets: all rings, the uplink, the services; it never waits for anybody
//! but in `epoll_wait`.

mod offload;
mod port;
mod service;

use crate::{
    counters::Reason,
    engine::{
        Engine, PortIndex, Verdict,
        packet::{ETHERNET, Frame, MAX_FRAME},
    },
    services::{forward::Forwarder, tcp::until},
    sys::{Poller, Waker, epoll_key},
    uplink::Uplink,
    vhost_user::{
        QUEUES, RX, TX,
        memory::Chain,
        ring::{HEADER, Ring, RingError},
    },
};
use contracts::card::{Reply, VpcPatch};
use port::PortIo;
use rustix::event::epoll::Event;
use std::{
    collections::BTreeMap,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant},
};
use types::NetworkInterfaceId;

/// Bytes of a frame that are copied out of the guest for the layers to work on.
const HEAD: usize = 512;
/// Bytes that are enough to repeat a decision.
const HEADERS: usize = 128;
/// Rounds in a row of a busy data path between looks at what else there is.
const ROUNDS: u32 = 4;

/// Room for a virtio header and a frame's head.
type Room = [u8; HEADER + HEAD];
/// Frames taken from one port before it is the next one's turn.
const BATCH: usize = 64;
/// How long an empty ring is looked at before we ask to be notified again.
const SPIN: Duration = Duration::from_micros(30);
/// How often idle flows are forgotten, in ms.
const CLEAN_MS: u64 = 30_000;

/// What the data path is told by the other threads.
#[derive(Debug)]
pub enum Command {
    /// Change the configuration; answers what failed.
    Apply(Box<VpcPatch>, Sender<BTreeMap<String, String>>),
    /// Report the counters.
    Status(Sender<Reply>),
    /// Run a ring.
    Start(NetworkInterfaceId, usize, Box<Ring>, u64, Sender<()>),
    /// Stop a ring and hand it back.
    Stop(NetworkInterfaceId, usize, Sender<Option<Box<Ring>>>),
    /// Give a ring another call.
    SetCall(NetworkInterfaceId, usize, Option<OwnedFd>),
    /// Connect an interface's guest, at a TCP port, with a stream of its owner's.
    OpenTunnel(NetworkInterfaceId, u16, UnixStream),
    /// End.
    End,
}

/// What a descriptor of the poller is; its key holds a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Commands,
    Uplink,
    /// A port's guest kicked.
    Kick(PortIndex),
    /// A DNS reply has come.
    Resolver(usize),
    /// A service's stream has room or bytes.
    Stream(PortIndex),
}

impl Source {
    fn key(self) -> u64 {
        let number = |number: usize| u64::try_from(number).unwrap_or_default() << 8;
        match self {
            Self::Commands => 0,
            Self::Uplink => 1,
            Self::Kick(port) => 2 | number(port.0),
            Self::Resolver(slot) => 3 | number(slot),
            Self::Stream(port) => 4 | number(port.0),
        }
    }

    fn of(key: u64) -> Self {
        let number = usize::try_from(key >> 8).unwrap_or_default();
        match key & 0xff {
            1 => Self::Uplink,
            2 => Self::Kick(PortIndex(number)),
            3 => Self::Resolver(number),
            4 => Self::Stream(PortIndex(number)),
            _ => Self::Commands,
        }
    }
}

/// The data path.
pub struct Datapath {
    engine: Engine,
    ports: Vec<PortIo>,
    uplink: Option<Uplink>,
    forwarder: Forwarder,
    poller: Poller,
    commands: Receiver<Command>,
    waker: Waker,
    began: Instant,
    /// Ports whose guests may have more to send.
    active: Vec<PortIndex>,
    /// Ports whose guests were given frames that they were not told of.
    delivered: Vec<PortIndex>,
    /// Ports whose TCP has something to do.
    stacks: Vec<PortIndex>,
    cleaned_ms: u64,
    /// When guests were told of the router.
    advertised_ms: u64,
    /// The frame at hand, where the whole of it is needed.
    scratch: Vec<u8>,
}

impl Datapath {
    /// A data path that is told things by `commands`, after which `waker` is woken.
    ///
    /// # Errors
    /// The system gives no epoll descriptor.
    pub fn new(
        engine: Engine,
        uplink: Option<Uplink>,
        forwarder: Forwarder,
        commands: Receiver<Command>,
        waker: Waker,
    ) -> anyhow::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&waker, Source::Commands.key())?;
        if let Some(uplink) = &uplink {
            poller.add(uplink, Source::Uplink.key())?;
        }
        Ok(Self {
            engine,
            ports: Vec::new(),
            uplink,
            forwarder,
            poller,
            commands,
            waker,
            began: Instant::now(),
            active: Vec::new(),
            delivered: Vec::new(),
            stacks: Vec::new(),
            cleaned_ms: 0,
            advertised_ms: 0,
            scratch: Vec::new(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Moves packets until told to end.
    ///
    /// # Errors
    /// Waiting fails, which it does not.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        let mut chain = Chain::default();
        let mut packet = vec![0; MAX_FRAME];
        let mut room: Room = [0; HEADER + HEAD];
        let mut rounds = 0;
        loop {
            let mut now = self.now();
            // Guests that send all the time need no system call for each round.
            rounds = if self.active.is_empty() || rounds >= ROUNDS { 0 } else { rounds + 1 };
            events.clear();
            if rounds == 0 {
                let timeout = self.timeout(now);
                self.poller.wait_into(timeout, &mut events)?;
                now = self.now();
            }
            for event in &events {
                match Source::of(epoll_key(event)) {
                    Source::Commands => {
                        self.waker.clear();
                        while let Ok(command) = self.commands.try_recv() {
                            if matches!(command, Command::End) {
                                return Ok(());
                            }
                            self.obey(command, now);
                        }
                    }
                    Source::Uplink => self.receive_uplink(&mut packet, now),
                    Source::Kick(port) => self.activate(port),
                    Source::Resolver(slot) => self.receive_dns(slot),
                    Source::Stream(port) => self.wake_stack(port),
                }
            }
            self.transmit_all(&mut chain, &mut room, now);
            self.run_timers(now);
            self.publish();
        }
    }

    fn timeout(&mut self, now: u64) -> Option<Duration> {
        if !self.active.is_empty() {
            return Some(Duration::ZERO);
        }
        let mut next = self.forwarder.next_ms();
        for index in &self.stacks {
            let stack = self.ports.get_mut(index.0).and_then(|io| io.stack.as_mut());
            let at = stack.and_then(|stack| stack.next_ms(now));
            next = next.into_iter().chain(at).min();
        }
        let flows = self.engine.has_flows().then_some(self.cleaned_ms + CLEAN_MS);
        let told = self.engine.tells_ipv6().then_some(self.advertised_ms + service::ADVERTISE_MS);
        next.into_iter().chain(flows).chain(told).min().map(|at| until(now, at))
    }

    fn run_timers(&mut self, now: u64) {
        self.expire_dns(now);
        self.run_stacks(now);
        self.advertise(now);
        if now >= self.cleaned_ms + CLEAN_MS {
            self.cleaned_ms = now;
            self.engine.clean(now);
        }
    }

    fn obey(&mut self, command: Command, now: u64) {
        match command {
            Command::Apply(patch, done) => {
                let failed = self.engine.apply(*patch, now);
                if let Some(uplink) = self.uplink.as_ref().filter(|it| it.wants_openings()) {
                    uplink.open(self.engine.openings());
                }
                self.forget_ports();
                // Before the reply: a guest that comes up after it asks by itself.
                self.advertise(now);
                drop(done.send(failed));
            }
            Command::Status(done) => drop(done.send(Reply::Status(self.report()))),
            Command::Start(id, queue, ring, features, done) => {
                self.start(id, queue, *ring, features);
                let _ = done.send(());
            }
            Command::Stop(id, queue, done) => {
                let ring = self.engine.find(id).and_then(|index| self.take_ring(index, queue));
                drop(done.send(ring.map(Box::new)));
            }
            Command::SetCall(id, queue, call) => {
                let index = self.engine.find(id);
                if let Some(ring) = index.and_then(|index| self.ring(index, queue)) {
                    ring.set_call(call);
                }
            }
            Command::OpenTunnel(id, port, stream) => self.open_tunnel(id, port, stream, now),
            Command::End => {}
        }
    }

    fn ring(&mut self, index: PortIndex, queue: usize) -> Option<&mut Ring> {
        self.ports.get_mut(index.0)?.rings.get_mut(queue)?.as_mut()
    }

    fn start(&mut self, id: NetworkInterfaceId, queue: usize, mut ring: Ring, features: u64) {
        let Some(index) = self.engine.find(id) else { return };
        if self.ports.len() <= index.0 {
            self.ports.resize_with(index.0 + 1, PortIo::default);
        }
        ring.ignore();
        if queue == TX
            && let Err(error) = self.poller.add_edge(&ring.kick, Source::Kick(index).key())
        {
            log::error!("{id}: {error:#}");
            return;
        }
        if let Some(io) = self.ports.get_mut(index.0) {
            io.id = Some(id);
            io.features = features;
            if let Some(place) = io.rings.get_mut(queue) {
                *place = Some(ring);
            }
        }
        // What the guest has sent before needs no kick.
        if queue == TX {
            self.activate(index);
        }
    }

    fn take_ring(&mut self, index: PortIndex, queue: usize) -> Option<Ring> {
        let mut ring = self.ports.get_mut(index.0)?.rings.get_mut(queue)?.take()?;
        if queue == TX {
            self.poller.remove(&ring.kick);
        }
        ring.publish();
        Some(ring)
    }

    /// Lets go of what ports had that are no more.
    fn forget_ports(&mut self) {
        for at in 0..self.ports.len() {
            let index = PortIndex(at);
            let held = self.ports.get(at).and_then(|io| io.id);
            let now = self.engine.port(index).map(|port| port.config.port.id);
            if held.is_some() && held != now {
                (0..QUEUES).for_each(|queue| drop(self.take_ring(index, queue)));
                if let Some(io) = self.ports.get_mut(at) {
                    *io = PortIo::default();
                }
                self.active.retain(|&port| port != index);
                self.stacks.retain(|&port| port != index);
            }
        }
    }

    fn activate(&mut self, index: PortIndex) {
        let Some(io) = self.ports.get_mut(index.0) else { return };
        if !io.active && io.rings[TX].is_some() {
            io.active = true;
            io.worked = Instant::now();
            if let Some(ring) = &mut io.rings[TX] {
                ring.ignore();
            }
            self.active.push(index);
        }
    }

    /// Gives each active port a turn.
    fn transmit_all(&mut self, chain: &mut Chain, room: &mut Room, now: u64) {
        let mut at = 0;
        while let Some(&index) = self.active.get(at) {
            if self.transmit(index, chain, room, now) {
                at += 1;
            } else {
                self.active.swap_remove(at);
                if let Some(io) = self.ports.get_mut(index.0) {
                    io.active = false;
                }
            }
        }
    }

    /// Takes a batch of a guest's frames; whether the port stays active.
    fn transmit(&mut self, index: PortIndex, chain: &mut Chain, room: &mut Room, now: u64) -> bool {
        let mut count = 0;
        while count < BATCH {
            let Some(ring) = self.ring(index, TX) else { return false };
            match ring.pop(chain) {
                Ok(Some(head)) => {
                    self.switch(index, chain, room, now);
                    if let Some(ring) = self.ring(index, TX) {
                        ring.complete(head, 0);
                    }
                }
                Ok(None) => break,
                Err(RingError::BadChain) => self.engine.count(index, Reason::BadChain),
                Err(RingError::Broken) => {
                    self.break_ring(index, TX);
                    return false;
                }
            }
            count += 1;
        }
        let Some(io) = self.ports.get_mut(index.0) else { return false };
        let Some(ring) = &mut io.rings[TX] else { return false };
        if count > 0 {
            ring.publish();
            io.worked = Instant::now();
            return true;
        }
        if io.worked.elapsed() < SPIN {
            return true;
        }
        if ring.wait() {
            ring.ignore();
            return true;
        }
        false
    }

    /// Stops a ring that makes no sense; QEMU may start it again.
    fn break_ring(&mut self, index: PortIndex, queue: usize) {
        let Some(port) = self.engine.port_mut(index) else { return };
        port.counters.broken_rings += 1;
        log::warn!("{}: queue {queue} makes no sense and was stopped", port.config.port.id);
        drop(self.take_ring(index, queue));
    }

    /// Sends a guest's frame where it belongs.
    fn switch(&mut self, index: PortIndex, chain: &Chain, room: &mut Room, now: u64) {
        let len = chain.len().saturating_sub(HEADER);
        if !(ETHERNET..=MAX_FRAME).contains(&len) {
            self.engine.count(index, Reason::Malformed);
            return;
        }
        let head = len.min(HEADERS);
        chain.read(0, &mut room[..HEADER + head]);
        let Some((header, buf)) = room.split_first_chunk_mut::<HEADER>() else { return };
        let features = self.ports.get(index.0).map_or(0, |io| io.features);
        let partial = offload::is_partial(*header, features);
        let mut frame = Frame { buf, head, len, partial, segmented: false };
        let verdict = self.engine.repeat(index, &mut frame, now).unwrap_or_else(|| {
            let more = len.min(HEAD);
            chain.read(HEADER + head, frame.buf.get_mut(head..more).unwrap_or_default());
            frame.head = more;
            self.engine.pass_layers(index, &mut frame, now)
        });
        match verdict {
            Verdict::Drop => {}
            Verdict::Deliver(to) => self.deliver(to, &mut frame, chain),
            Verdict::Reply => self.deliver(index, &mut frame, chain),
            Verdict::Uplink => {
                offload::complete(&mut frame, chain);
                self.send_uplink(index, &frame, chain);
            }
            Verdict::Dhcp | Verdict::Dns | Verdict::Tcp => {
                offload::complete(&mut frame, chain);
                let mut whole = std::mem::take(&mut self.scratch);
                whole.clear();
                whole.extend_from_slice(frame.bytes());
                whole.resize(frame.len, 0);
                if let Some(rest) = whole.get_mut(frame.head..) {
                    chain.read(HEADER + frame.head, rest);
                }
                self.serve(index, verdict, &mut whole, now);
                self.scratch = whole;
            }
        }
    }

    /// Puts a frame into a guest's buffers.
    fn deliver(&mut self, to: PortIndex, frame: &mut Frame<'_>, body: &Chain) {
        use crate::vhost_user::ring::PushError;
        let io = self.ports.get_mut(to.0);
        let features = io.as_ref().map_or(0, |io| io.features);
        let Some(ring) = io.and_then(|io| io.rings[RX].as_mut()) else {
            self.engine.count(to, Reason::LinkDown);
            return;
        };
        let header = offload::header(frame, body, features);
        let rest = frame.len - frame.head;
        match ring.push(header, frame.bytes(), body, HEADER + frame.head, rest) {
            Ok(()) => {
                if let Some(port) = self.engine.port_mut(to) {
                    port.counters.rx_packets += 1;
                    port.counters.rx_bytes += frame.len as u64;
                }
                if let Some(io) = self.ports.get_mut(to.0)
                    && !std::mem::replace(&mut io.delivered, true)
                {
                    self.delivered.push(to);
                }
            }
            Err(PushError::NoBuffer) => self.engine.count(to, Reason::NoBuffer),
            Err(PushError::Broken) => self.break_ring(to, RX),
        }
    }

    /// Tells guests of the frames that they were given.
    fn publish(&mut self) {
        while let Some(index) = self.delivered.pop() {
            if let Some(io) = self.ports.get_mut(index.0) {
                io.delivered = false;
                if let Some(ring) = &mut io.rings[RX] {
                    ring.publish();
                }
            }
        }
    }

    fn send_uplink(&mut self, from: PortIndex, frame: &Frame<'_>, body: &Chain) {
        let Some(uplink) = &self.uplink else {
            self.engine.count(from, Reason::Uplink);
            return;
        };
        let packet = frame.bytes().get(ETHERNET..).unwrap_or_default();
        let rest = frame.len - frame.head;
        if uplink.write(packet, body, HEADER + frame.head, rest) {
            self.engine.uplink_tx_packets += 1;
        } else {
            self.engine.count(from, Reason::Uplink);
        }
    }

    /// Takes a batch of packets from the uplink.
    fn receive_uplink(&mut self, packet: &mut [u8], now: u64) {
        let nothing = Chain::default();
        for _ in 0..BATCH {
            let Some(uplink) = &self.uplink else { return };
            let len = match uplink.read(packet.get_mut(ETHERNET..).unwrap_or_default()) {
                Ok(Some(len)) => len + ETHERNET,
                Ok(None) => return,
                Err(error) => {
                    log::error!("{error:#}: going on without an uplink");
                    self.poller.remove(uplink);
                    self.uplink = None;
                    return;
                }
            };
            self.engine.uplink_rx_packets += 1;
            let mut frame = Frame { buf: packet, head: len, len, partial: false, segmented: false };
            if let Verdict::Deliver(to) = self.engine.from_uplink(&mut frame, now) {
                self.deliver(to, &mut frame, &nothing);
            }
        }
    }

    fn report(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut report = BTreeMap::new();
        for (index, port) in self.engine.ports() {
            let mut counters = port.counters.report();
            let io = self.ports.get(index.0);
            let up = io.is_some_and(|io| io.rings.iter().all(Option::is_some));
            let stack = io.and_then(|io| io.stack.as_ref());
            let connections = stack.map_or(0, crate::services::tcp::Stack::connections);
            counters.insert("link_up".to_owned(), u64::from(up));
            counters.insert("flows".to_owned(), port.flows.len() as u64);
            counters.insert("service_connections".to_owned(), connections as u64);
            report.insert(port.config.port.id.to_string(), counters);
        }
        for gateway in self.engine.nat_gateways.iter() {
            report.insert(gateway.config.id.to_string(), gateway.report());
        }
        let mut card = self.engine.counters.report();
        card.retain(|name, _| name.starts_with("drop_"));
        card.insert("uplink".to_owned(), u64::from(self.uplink.is_some()));
        card.insert("uplink_rx_packets".to_owned(), self.engine.uplink_rx_packets);
        card.insert("uplink_tx_packets".to_owned(), self.engine.uplink_tx_packets);
        card.insert("repeated_decisions".to_owned(), self.engine.repeated);
        report.insert("card".to_owned(), card);
        report.extend(self.uplink.as_ref().map(Uplink::report).unwrap_or_default());
        report
    }
}
