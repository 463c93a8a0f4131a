//! The thread that all flows are of: packets of guests, sockets of the host's, and timers.

use super::{
    Queue, Report, datagrams,
    fragments::Fragments,
    listeners::{Listener, Listeners},
    lock,
    packets::{self, Packet},
    pool::{Pool, Reach},
    tcp,
};
use crate::{
    engine::{
        openings::Openings,
        packet::{ACK, ICMP, MAX_FRAME, SYN, TCP, UDP, word},
    },
    services::tcp::until,
    sys::{Poller, epoll_key},
};
use rustix::{io::Errno, net::sockopt};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex, mpsc::Receiver},
    time::{Duration, Instant},
};

/// TCP flows of one public address.
const TCP_OF_ONE: usize = 1_024;
/// Of them those whose other end has not answered yet.
const DIALING_OF_ONE: usize = 256;
/// UDP and echo flows of one public address; then the one that was silent longest makes room.
const DATAGRAMS_OF_ONE: usize = 256;
/// Of them those of echo requests.
const ECHO_OF_ONE: usize = 32;
/// Datagrams taken from one socket before it is the next one's turn.
const BATCH: usize = 64;
/// Ports that are tried for a caller whose own is in use.
const PORT_TRIES: u16 = 64;

/// What the worker is told.
#[derive(Debug)]
pub enum Command {
    /// Offer these ports.
    Open(Openings),
    /// End.
    End,
}

/// What a descriptor of the poller is.
#[derive(Debug, Clone, Copy)]
enum Source {
    Inbox,
    Tcp(u64),
    Datagrams(u64),
    Listener(u64),
}

impl Source {
    fn key(self) -> u64 {
        match self {
            Self::Inbox => 0,
            Self::Tcp(id) => id << 2 | 1,
            Self::Datagrams(id) => id << 2 | 2,
            Self::Listener(id) => id << 2 | 3,
        }
    }

    fn of(key: u64) -> Self {
        match key & 3 {
            1 => Self::Tcp(key >> 2),
            2 => Self::Datagrams(key >> 2),
            3 => Self::Listener(key >> 2),
            _ => Self::Inbox,
        }
    }
}

/// What one public address uses.
#[derive(Debug, Default)]
struct Usage {
    tcp: usize,
    dialing: usize,
    datagrams: Vec<u64>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// TCP flows now.
    tcp_flows: u64,
    /// UDP and echo flows now.
    datagram_flows: u64,
    /// Flows that began.
    flows: u64,
    /// Flows that there was no room for.
    flows_refused: u64,
    /// Packets to addresses that no guest may reach.
    forbidden: u64,
    /// Packets of protocols that sockets don't carry.
    unsupported: u64,
    /// Echo requests that the kernel doesn't let us send.
    echo_refused: u64,
    /// Packets to guests that there was no room for.
    overflow: u64,
}

/// What the worker shows to who asks.
#[derive(Debug, Default)]
pub struct Shown {
    counts: Counts,
    /// By public address.
    ports: Report,
}

impl Shown {
    /// All of it, by object and name.
    #[must_use]
    pub fn report(&self) -> Report {
        let counts = self.counts;
        let counters = [
            ("tcp_flows", counts.tcp_flows),
            ("datagram_flows", counts.datagram_flows),
            ("flows_begun", counts.flows),
            ("flows_refused", counts.flows_refused),
            ("forbidden", counts.forbidden),
            ("unsupported", counts.unsupported),
            ("echo_refused", counts.echo_refused),
            ("overflow", counts.overflow),
        ];
        let counters = counters.into_iter().map(|(name, count)| (name.to_owned(), count));
        let mut report = self.ports.clone();
        report.insert("uplink".to_owned(), counters.collect());
        report
    }
}

/// The worker.
pub struct Worker {
    pool: Pool,
    max_flows: usize,
    to_world: Arc<Queue>,
    to_guests: Arc<Queue>,
    commands: Receiver<Command>,
    shown: Arc<Mutex<Shown>>,
    poller: Poller,
    began: Instant,
    next: u64,
    tcp: HashMap<u64, tcp::Flow>,
    tcp_keys: HashMap<tcp::Key, u64>,
    datagrams: HashMap<u64, datagrams::Flow>,
    datagram_keys: HashMap<datagrams::Key, u64>,
    usage: HashMap<Ipv4Addr, Usage>,
    listeners: Listeners,
    fragments: Fragments,
    /// When flows want to be looked at.
    timers: BTreeSet<(u64, u64)>,
    /// TCP flows that have something to do.
    due: HashSet<u64>,
    /// Packets to guests.
    out: Vec<Vec<u8>>,
    counts: Counts,
    buffer: Vec<u8>,
}

impl Worker {
    /// A worker without flows.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn new(
        pool: Pool,
        max_flows: usize,
        to_world: Arc<Queue>,
        to_guests: Arc<Queue>,
        commands: Receiver<Command>,
        shown: Arc<Mutex<Shown>>,
    ) -> anyhow::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&to_world.waker, Source::Inbox.key())?;
        Ok(Self {
            pool,
            max_flows,
            to_world,
            to_guests,
            commands,
            shown,
            poller,
            began: Instant::now(),
            next: 0,
            tcp: HashMap::new(),
            tcp_keys: HashMap::new(),
            datagrams: HashMap::new(),
            datagram_keys: HashMap::new(),
            usage: HashMap::new(),
            listeners: Listeners::default(),
            fragments: Fragments::default(),
            timers: BTreeSet::new(),
            due: HashSet::new(),
            out: Vec::new(),
            counts: Counts::default(),
            buffer: vec![0; MAX_FRAME],
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Works until told to end.
    ///
    /// # Errors
    /// Waiting fails, which it does not.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut events = Vec::new();
        loop {
            let timeout = self.timers.first().map(|(at, _)| until(self.now(), *at));
            self.poller.wait_into(timeout, &mut events)?;
            let now = self.now();
            for event in &events {
                match Source::of(epoll_key(event)) {
                    Source::Inbox => self.to_world.waker.clear(),
                    Source::Tcp(id) => drop(self.due.insert(id)),
                    Source::Datagrams(id) => self.receive(id, now),
                    Source::Listener(id) => self.called(id, now),
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Open(openings) => {
                        let key = |id| Source::Listener(id).key();
                        self.listeners.change(&openings, &self.pool, &self.poller, key);
                        lock(&self.shown).ports = self.listeners.report(&self.pool);
                    }
                    Command::End => return Ok(()),
                }
            }
            for packet in self.to_world.take() {
                self.take(&packet, now);
            }
            self.ring(now);
            self.advance(now);
            let out = std::mem::take(&mut self.out);
            self.counts.overflow += self.to_guests.push(out) as u64;
            self.publish();
        }
    }

    /// Takes a guest's packet.
    fn take(&mut self, bytes: &[u8], now: u64) {
        let Some(packet) = Packet::parse(bytes) else {
            self.counts.unsupported += 1;
            return;
        };
        if packet.is_whole() {
            self.forward(&packet, now);
        } else if let Some(whole) = self.fragments.take(&packet, now)
            && let Some(packet) = Packet::parse(&whole)
        {
            self.forward(&packet, now);
        }
    }

    fn forward(&mut self, packet: &Packet<'_>, now: u64) {
        match packet.protocol {
            TCP => self.forward_segment(packet, now),
            UDP => {
                if let Some((from, to)) = packet.ports() {
                    let guest = SocketAddrV4::new(packet.src, from);
                    let peer = SocketAddrV4::new(packet.dst, to);
                    self.forward_datagram(datagrams::Key { echo: false, guest, peer }, packet, now);
                }
            }
            ICMP if packet.body.first() == Some(&8) => {
                if let Some(id) = word(packet.body, 4) {
                    let guest = SocketAddrV4::new(packet.src, id);
                    let peer = SocketAddrV4::new(packet.dst, id);
                    self.forward_datagram(datagrams::Key { echo: true, guest, peer }, packet, now);
                }
            }
            // Errors about flows that end here, and answers to nobody's questions.
            ICMP => {}
            _ => self.counts.unsupported += 1,
        }
    }

    fn forward_segment(&mut self, packet: &Packet<'_>, now: u64) {
        let Some((from, to)) = packet.ports() else { return };
        let guest = SocketAddrV4::new(packet.src, from);
        let key = tcp::Key { guest, peer: SocketAddrV4::new(packet.dst, to) };
        if let Some(&id) = self.tcp_keys.get(&key) {
            if let Some(flow) = self.tcp.get_mut(&id) {
                flow.take(packet);
                self.due.insert(id);
            }
            return;
        }
        if packet.flags() & (SYN | ACK) != SYN {
            // The card was started again, or the flow has ended here.
            self.out.extend(packets::reset(packet));
            return;
        }
        let (to, from) = match self.pool.reach(*key.peer.ip()) {
            Reach::World(to) => (to, None),
            Reach::Host(to) => (to, self.pool.public(*guest.ip())),
            Reach::Nowhere => {
                self.counts.forbidden += 1;
                tcp::refuse(
                    tcp::Refusal::Unreachable(13),
                    packet.bytes,
                    self.pool.host(),
                    &mut self.out,
                );
                return;
            }
        };
        if !self.has_room(*guest.ip(), true) {
            return;
        }
        match tcp::dial(SocketAddrV4::new(to, key.peer.port()), from) {
            Ok(host) => self.begin(tcp::Flow::outward(key, host, packet.bytes, now)),
            Err(error) => {
                tcp::refuse(tcp::refusal(error), packet.bytes, self.pool.host(), &mut self.out)
            }
        }
    }

    /// Whether a public address may have one more TCP flow.
    fn has_room(&mut self, guest: Ipv4Addr, dialing: bool) -> bool {
        let full = self.tcp.len() + self.datagrams.len() >= self.max_flows;
        let usage = self.usage.entry(guest).or_default();
        let room = usage.tcp < TCP_OF_ONE && (!dialing || usage.dialing < DIALING_OF_ONE);
        if full || !room {
            self.counts.flows_refused += 1;
        }
        room && !full
    }

    fn begin(&mut self, flow: tcp::Flow) {
        let id = self.number();
        if let Err(error) = self.poller.add_stream(&flow, Source::Tcp(id).key()) {
            log::error!("{error:#}");
            return;
        }
        let usage = self.usage.entry(*flow.key.guest.ip()).or_default();
        usage.tcp += 1;
        usage.dialing += usize::from(flow.is_dialing());
        self.tcp_keys.insert(flow.key, id);
        self.tcp.insert(id, flow);
        self.due.insert(id);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.counts.flows += 1;
        self.next
    }

    /// Moves what can move in all TCP flows that have something to do.
    fn advance(&mut self, now: u64) {
        for id in std::mem::take(&mut self.due) {
            let Some(flow) = self.tcp.get_mut(&id) else { continue };
            let dialing = flow.is_dialing();
            flow.connected(now, self.pool.host(), &mut self.out);
            let over = flow.advance(now, &mut self.out);
            let (key, dialed) = (flow.key, dialing && !flow.is_dialing());
            if !over {
                let at = flow.next_ms(now);
                schedule(&mut self.timers, &mut flow.scheduled, id, at);
            }
            if (dialed || (over && dialing))
                && let Some(usage) = self.usage.get_mut(key.guest.ip())
            {
                usage.dialing = usage.dialing.saturating_sub(1);
            }
            if over {
                let flow = self.tcp.remove(&id);
                let timer = flow.and_then(|flow| flow.scheduled);
                timer.map(|at| self.timers.remove(&(at, id)));
                self.tcp_keys.remove(&key);
                self.release(*key.guest.ip(), |usage| usage.tcp = usage.tcp.saturating_sub(1));
            }
        }
    }

    /// Takes something off a public address's account.
    fn release(&mut self, guest: Ipv4Addr, change: impl FnOnce(&mut Usage)) {
        if let Some(usage) = self.usage.get_mut(&guest) {
            change(usage);
            if usage.tcp == 0 && usage.datagrams.is_empty() {
                self.usage.remove(&guest);
            }
        }
    }

    fn forward_datagram(&mut self, key: datagrams::Key, packet: &Packet<'_>, now: u64) {
        let id = match self.datagram_keys.get(&key) {
            Some(&id) => id,
            None => match self.open_datagrams(key, packet, now) {
                Some(id) => id,
                None => return,
            },
        };
        let Some(flow) = self.datagrams.get_mut(&id) else { return };
        if let Err(error) = flow.send(packet, now) {
            flow.complain(&error, self.pool.host(), &mut self.out);
        }
        let at = Some(flow.until_ms());
        schedule(&mut self.timers, &mut flow.scheduled, id, at);
    }

    fn open_datagrams(
        &mut self,
        key: datagrams::Key,
        packet: &Packet<'_>,
        now: u64,
    ) -> Option<u64> {
        let (to, from) = match self.pool.reach(*key.peer.ip()) {
            Reach::World(to) => (to, None),
            Reach::Host(to) => (to, self.pool.public(*key.guest.ip())),
            Reach::Nowhere => {
                self.counts.forbidden += 1;
                tcp::refuse(
                    tcp::Refusal::Unreachable(13),
                    packet.bytes,
                    self.pool.host(),
                    &mut self.out,
                );
                return None;
            }
        };
        match datagrams::dial(key.echo, SocketAddrV4::new(to, key.peer.port()), from) {
            Ok(socket) => {
                let host = from.map(|_| to);
                self.begin_datagrams(datagrams::Flow::outward(key, socket, host, now))
            }
            Err(Errno::ACCESS | Errno::PERM) if key.echo => {
                if self.counts.echo_refused == 0 {
                    log::warn!(
                        "guests can't ping beyond their VPCs: this user's group is not in \
                         net.ipv4.ping_group_range"
                    );
                }
                self.counts.echo_refused += 1;
                None
            }
            Err(error) => {
                tcp::refuse(tcp::refusal(error), packet.bytes, self.pool.host(), &mut self.out);
                None
            }
        }
    }

    /// Takes a new flow in; where its guest has too many, another ends.
    fn begin_datagrams(&mut self, flow: datagrams::Flow) -> Option<u64> {
        let guest = *flow.key.guest.ip();
        let all = self.usage.get(&guest).map(|usage| usage.datagrams.clone()).unwrap_or_default();
        let echo = |id: &&u64| self.datagrams.get(id).is_some_and(|flow| flow.key.echo);
        let crowded = flow.key.echo && all.iter().filter(echo).count() >= ECHO_OF_ONE;
        if all.len() >= DATAGRAMS_OF_ONE || crowded {
            let rivals = all.iter().filter(|id| !crowded || echo(id));
            let oldest =
                rivals.min_by_key(|id| self.datagrams.get(id).map(datagrams::Flow::seen_ms));
            if let Some(&oldest) = oldest {
                self.end_datagrams(oldest);
            }
        }
        if self.tcp.len() + self.datagrams.len() >= self.max_flows {
            self.counts.flows_refused += 1;
            return None;
        }
        let id = self.number();
        if let Some(socket) = flow.own()
            && let Err(error) = self.poller.add(socket, Source::Datagrams(id).key())
        {
            log::error!("{error:#}");
            return None;
        }
        self.usage.entry(guest).or_default().datagrams.push(id);
        self.datagram_keys.insert(flow.key, id);
        self.datagrams.insert(id, flow);
        Some(id)
    }

    fn end_datagrams(&mut self, id: u64) {
        let Some(flow) = self.datagrams.remove(&id) else { return };
        self.datagram_keys.remove(&flow.key);
        flow.scheduled.map(|at| self.timers.remove(&(at, id)));
        self.release(*flow.key.guest.ip(), |usage| usage.datagrams.retain(|at| *at != id));
    }

    /// Takes what has come for a flow.
    fn receive(&mut self, id: u64, now: u64) {
        let Some(flow) = self.datagrams.get_mut(&id) else { return };
        let mut taken = 0;
        let router = self.pool.host();
        while taken < BATCH && flow.receive(&mut self.buffer, now, router, &mut self.out) {
            taken += 1;
        }
        let at = Some(flow.until_ms());
        schedule(&mut self.timers, &mut flow.scheduled, id, at);
    }

    /// Somebody calls a guest.
    fn called(&mut self, id: u64, now: u64) {
        let Some(((twin, _, port), listener)) = self.listeners.get(id) else { return };
        let guest = SocketAddrV4::new(twin, port);
        match listener {
            Listener::Tcp(listener) => self.accept(&listener, guest, now),
            Listener::Udp(listener) => self.receive_calls(&listener, guest, now),
        }
    }

    fn accept(&mut self, listener: &TcpListener, guest: SocketAddrV4, now: u64) {
        loop {
            let (stream, caller) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    log::warn!("calls to {guest}: {error}");
                    return;
                }
            };
            let taken = |peer| self.tcp_keys.contains_key(&tcp::Key { guest, peer });
            let peer = free(self.pool.caller(caller), taken);
            let flow = peer.filter(|_| self.has_room(*guest.ip(), false)).and_then(|peer| {
                let stream = nonblocking(stream.try_clone().ok()?)?;
                tcp::Flow::inward(tcp::Key { guest, peer }, stream, now)
            });
            match flow {
                Some(flow) => self.begin(flow),
                None => drop(sockopt::set_socket_linger(&stream, Some(Duration::ZERO))),
            }
        }
    }

    fn receive_calls(&mut self, listener: &Arc<UdpSocket>, guest: SocketAddrV4, now: u64) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..BATCH {
            let Ok((len, caller)) = listener.recv_from(&mut buffer) else { break };
            let Some(id) = self.called_by(listener, guest, caller, now) else { continue };
            if let Some(flow) = self.datagrams.get_mut(&id) {
                flow.deliver(buffer.get(..len).unwrap_or_default(), now, &mut self.out);
                let at = Some(flow.until_ms());
                schedule(&mut self.timers, &mut flow.scheduled, id, at);
            }
        }
        self.buffer = buffer;
    }

    /// The flow of a caller, perhaps a new one.
    fn called_by(
        &mut self,
        listener: &Arc<UdpSocket>,
        guest: SocketAddrV4,
        caller: SocketAddr,
        now: u64,
    ) -> Option<u64> {
        let key = |peer| datagrams::Key { echo: false, guest, peer };
        let IpAddr::V4(_) = caller.ip() else { return None };
        let known = |peer| {
            let id = self.datagram_keys.get(&key(peer))?;
            self.datagrams.get(id)?.is_of(listener, caller).then_some(*id)
        };
        let first = self.pool.caller(caller);
        if let Some(id) = candidates(first).find_map(known) {
            return Some(id);
        }
        let peer = free(first, |peer| self.datagram_keys.contains_key(&key(peer)))?;
        self.begin_datagrams(datagrams::Flow::inward(key(peer), Arc::clone(listener), caller, now))
    }

    /// Looks after flows whose timers ring.
    fn ring(&mut self, now: u64) {
        while let Some(&(at, id)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(flow) = self.tcp.get_mut(&id) {
                if flow.scheduled == Some(at) {
                    flow.scheduled = None;
                    self.due.insert(id);
                }
            } else if let Some(flow) = self.datagrams.get_mut(&id)
                && flow.scheduled == Some(at)
            {
                flow.scheduled = None;
                let end = flow.until_ms();
                if end > now {
                    schedule(&mut self.timers, &mut flow.scheduled, id, Some(end));
                } else {
                    self.end_datagrams(id);
                }
            }
        }
    }

    /// Shows the counters to who asks.
    fn publish(&mut self) {
        self.counts.tcp_flows = self.tcp.len() as u64;
        self.counts.datagram_flows = self.datagrams.len() as u64;
        lock(&self.shown).counts = self.counts;
    }
}

/// Notes when a flow wants to be looked at, unless that is noted already.
fn schedule(
    timers: &mut BTreeSet<(u64, u64)>,
    scheduled: &mut Option<u64>,
    id: u64,
    at: Option<u64>,
) {
    if let Some(at) = at
        && scheduled.is_none_or(|before| at < before)
    {
        if let Some(before) = scheduled.replace(at) {
            timers.remove(&(before, id));
        }
        timers.insert((at, id));
    }
}

/// Addresses for a caller: its own port, and others if that is in use.
fn candidates(first: SocketAddrV4) -> impl Iterator<Item = SocketAddrV4> {
    let port = move |step: u16| first.port().wrapping_add(step).max(1);
    (0..PORT_TRIES).map(move |step| SocketAddrV4::new(*first.ip(), port(step)))
}

fn free(first: SocketAddrV4, taken: impl Fn(SocketAddrV4) -> bool) -> Option<SocketAddrV4> {
    candidates(first).find(|peer| !taken(*peer))
}

fn nonblocking(stream: TcpStream) -> Option<TcpStream> {
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests;
