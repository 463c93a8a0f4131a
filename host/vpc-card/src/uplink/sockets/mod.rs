//! An uplink without privileges: what guests send out ends here and goes on by sockets of the
//! host's, and who calls a public address is handed to its guest.
//!
//! To the data path this is a device of packets, as the TUN device is. A thread of its own does
//! the work, so that guests that talk to each other don't wait for the host's sockets.

mod datagrams;
mod fragments;
mod listeners;
mod packets;
mod pool;
mod tcp;
mod worker;

use crate::{engine::openings::Openings, sys::Waker, vhost_user::memory::Chain};
use anyhow::Context as _;
pub use pool::{Pool, Reach};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};
use worker::{Command, Shown, Worker};

/// Packets that wait in one direction.
const MAX_QUEUED: usize = 16_384;
/// Descriptors that are not for flows: rings, listening sockets, files.
const RESERVED: u64 = 4_096;
/// Flows in all, where the system has room for more.
const MAX_FLOWS: u64 = 65_536;

/// Counters and ports, by object and name.
type Report = BTreeMap<String, BTreeMap<String, u64>>;

/// Packets on their way from one thread to the other.
#[derive(Debug)]
struct Queue {
    packets: Mutex<VecDeque<Vec<u8>>>,
    waker: Waker,
}

impl Queue {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { packets: Mutex::new(VecDeque::new()), waker: Waker::new()? })
    }

    /// Puts packets in; says how many there was no room for.
    fn push(&self, packets: impl IntoIterator<Item = Vec<u8>>) -> usize {
        let mut queue = lock(&self.packets);
        let idle = queue.is_empty();
        let mut lost = 0;
        for packet in packets {
            if queue.len() < MAX_QUEUED {
                queue.push_back(packet);
            } else {
                lost += 1;
            }
        }
        let wake = idle && !queue.is_empty();
        drop(queue);
        if wake {
            self.waker.wake();
        }
        lost
    }

    fn pop(&self) -> Option<Vec<u8>> {
        lock(&self.packets).pop_front()
    }

    fn take(&self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut *lock(&self.packets))
    }
}

/// The uplink as the data path has it.
#[derive(Debug)]
pub struct Sockets {
    to_world: Arc<Queue>,
    to_guests: Arc<Queue>,
    commands: Sender<Command>,
    shown: Arc<Mutex<Shown>>,
    pool: Pool,
    thread: Option<JoinHandle<()>>,
}

impl Sockets {
    /// Starts the uplink's thread.
    ///
    /// # Errors
    /// The system is out of resources.
    pub fn start(pool: Pool) -> anyhow::Result<Self> {
        let (to_world, to_guests) = (Arc::new(Queue::new()?), Arc::new(Queue::new()?));
        let (commands, receiver) = channel();
        let shown = Arc::new(Mutex::new(Shown::default()));
        let worker = Worker::new(
            pool,
            max_flows(),
            Arc::clone(&to_world),
            Arc::clone(&to_guests),
            receiver,
            Arc::clone(&shown),
        )?;
        let thread = crate::spawn("uplink", move || worker.run())?;
        Ok(Self { to_world, to_guests, commands, shown, pool, thread: Some(thread) })
    }

    /// Its pool of addresses.
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// Offers these ports on the host.
    pub fn open(&self, openings: Openings) {
        if self.commands.send(Command::Open(openings)).is_ok() {
            self.to_world.waker.wake();
        }
    }

    /// Takes the next packet for a guest.
    pub fn read(&self, packet: &mut [u8]) -> Option<usize> {
        let next = self.to_guests.pop().or_else(|| {
            self.to_guests.waker.clear();
            // What came before it was cleared was not told again.
            self.to_guests.pop()
        })?;
        packet.get_mut(..next.len())?.copy_from_slice(&next);
        Some(next.len())
    }

    /// Takes a guest's packet: its head, and `len` bytes from `from` on of a guest's buffers; false
    /// if there is no room.
    #[must_use]
    pub fn write(&self, head: &[u8], body: &Chain, from: usize, len: usize) -> bool {
        let mut packet = vec![0; head.len() + len];
        let Some((start, rest)) = packet.split_at_mut_checked(head.len()) else { return false };
        start.copy_from_slice(head);
        body.read(from, rest);
        self.to_world.push([packet]) == 0
    }

    /// Its counters, and the ports that it offers.
    #[must_use]
    pub fn report(&self) -> Report {
        lock(&self.shown).report()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // A worker that has ended already needs not be told.
        let _ = self.commands.send(Command::End);
        self.to_world.waker.wake();
        self.thread.take().map(JoinHandle::join);
    }
}

impl AsFd for Sockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.to_guests.waker.as_fd()
    }
}

/// Reads a guest's packets as the uplink does, without any socket of the host's: for fuzzers.
pub fn examine<'a>(bytes: impl Iterator<Item = &'a [u8]>) {
    let mut fragments = fragments::Fragments::default();
    for bytes in bytes {
        let Some(packet) = packets::Packet::parse(bytes) else { continue };
        if packet.is_whole() {
            drop(packets::reset(&packet));
            tcp::examine(&packet);
        } else if let Some(whole) = fragments.take(&packet, 0) {
            packets::Packet::parse(&whole).and_then(|packet| packet.datagram().map(<[u8]>::len));
        }
    }
}

/// Whether the kernel lets this user send echo requests.
#[must_use]
pub fn can_ping() -> bool {
    datagrams::dial(true, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many flows there is room for: as many descriptors as we may have are asked for.
fn max_flows() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(MAX_FLOWS + RESERVED);
    let wanted = Rlimit { current: Some(most), maximum: limit.maximum };
    let more = limit.current.is_some_and(|current| current < most);
    let raised = more && setrlimit(Resource::Nofile, wanted).context("more descriptors").is_ok();
    let have = if raised { most } else { limit.current.unwrap_or(most).min(most) };
    let flows = have.saturating_sub(RESERVED).max(have / 2);
    usize::try_from(flows).unwrap_or_default()
}
