//! QEMU's and the guest driver's side of a port: the protocol, and rings in a memfd.
//!
//! The memory is read and written as a file, so that the test shares no mapping with the card.

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use std::{
    fs::File,
    io::{IoSlice, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::FileExt as _, net::UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

pub const SIZE: u16 = 64;
const MEMORY: u64 = 4 << 20;
/// Where the guest and where QEMU have the memory.
pub const GUEST: u64 = 0x4000_0000;
const USER: u64 = 0x7000_0000_0000;
/// Descriptors, available and used ring of a queue, from the queue's place.
const QUEUE: [u64; 2] = [0, 0x8000];
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x4000;
/// Each descriptor has a buffer.
const BUFFERS: [u64; 2] = [0x10_0000, 0x20_0000];
const BUFFER: u64 = 2048;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// A virtio feature set as Linux would agree to, without event indexes.
pub const FEATURES: u64 = 1 << 32 | 1 << 30 | 1 << 28 | 1 << 15;

pub struct Frontend {
    stream: UnixStream,
    memory: File,
    kicks: [OwnedFd; 2],
    calls: [OwnedFd; 2],
    available: [u16; 2],
    used: [u16; 2],
}

impl Frontend {
    /// Connects to a port as a guest that has just booted.
    pub fn boot(path: &Path) -> Self {
        Self::boot_with(path, FEATURES)
    }

    /// As `boot`, with these features agreed.
    pub fn boot_with(path: &Path, features: u64) -> Self {
        let memory = memfd_create("guest", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&memory, MEMORY).unwrap();
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        let event = || eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let mut front = Self {
            stream: connect(path),
            memory: memory.into(),
            kicks: [event(), event()],
            calls: [event(), event()],
            available: [0; 2],
            used: [0; 2],
        };
        for index in 0..SIZE {
            let at = BUFFERS[0] + u64::from(index) * BUFFER;
            front.descriptor(0, index, GUEST + at, 2048, WRITE, 0);
            front.offer(0, index);
        }
        front.handshake(features);
        front
    }

    /// Connects again as QEMU does: the guest goes on where it was.
    pub fn reconnect(&mut self, path: &Path) {
        self.stream = connect(path);
        self.handshake(FEATURES);
    }

    fn handshake(&mut self, features: u64) {
        assert_ne!(self.ask(1, &[]) & 1 << 32, 0);
        assert_eq!(self.ask(15, &[]), 8);
        self.tell(16, &8_u64.to_ne_bytes(), &[]);
        self.tell(3, &[], &[]);
        for queue in 0..2 {
            // Before the features, as QEMU does.
            self.state(18, queue, 1);
        }
        self.tell(2, &features.to_ne_bytes(), &[]);
        let region = [GUEST, MEMORY, USER, 0].map(u64::to_ne_bytes).concat();
        let table = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &region].concat();
        let memory = self.memory.try_clone().unwrap();
        assert!(self.tell(5, &table, &[memory.as_fd()]));
        for (queue, place) in QUEUE.into_iter().enumerate() {
            self.state(8, queue, u32::from(SIZE));
            let used = self.read_u16(place + USED + 2);
            self.state(10, queue, u32::from(used));
            let base = USER + place;
            let head = [u32::try_from(queue).unwrap().to_ne_bytes(), [0; 4]].concat();
            let addresses = [base, base + USED, base + AVAILABLE, 0].map(u64::to_ne_bytes).concat();
            assert!(self.tell(9, &[head, addresses].concat(), &[]));
            let number = (queue as u64).to_ne_bytes();
            let (kick, call) = (clone(&self.kicks[queue]), clone(&self.calls[queue]));
            assert!(self.tell(12, &number, &[kick.as_fd()]));
            assert!(self.tell(13, &number, &[call.as_fd()]));
        }
    }

    fn state(&mut self, request: u32, queue: usize, value: u32) {
        let queue = u32::try_from(queue).unwrap();
        self.tell(request, &[queue.to_ne_bytes(), value.to_ne_bytes()].concat(), &[]);
    }

    /// Sends a message that wants an answer; whether it was accepted.
    pub fn tell(&mut self, request: u32, payload: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        // Before the protocol's features are agreed, nothing is acknowledged.
        let ack = !matches!(request, 3 | 16);
        self.send(request, 1 | if ack { 8 } else { 0 }, payload, files);
        if ack { self.reply() == 0 } else { true }
    }

    fn ask(&mut self, request: u32, payload: &[u8]) -> u64 {
        self.send(request, 1, payload, &[]);
        self.reply()
    }

    pub fn send(&mut self, request: u32, flags: u32, payload: &[u8], files: &[BorrowedFd<'_>]) {
        let size = u32::try_from(payload.len()).unwrap();
        let header = [request, flags, size].map(u32::to_ne_bytes).concat();
        let message = [&header, payload].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        let slices = [IoSlice::new(&message)];
        sendmsg(&self.stream, &slices, &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    fn reply(&mut self) -> u64 {
        let mut reply = [0; 20];
        self.stream.read_exact(&mut reply).unwrap();
        u64::from_ne_bytes(reply[12..].try_into().unwrap())
    }

    /// Whether the card has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }

    fn read_u16(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.memory.read_exact_at(&mut bytes, at).unwrap();
        u16::from_le_bytes(bytes)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, at).unwrap();
    }

    pub fn descriptor(
        &self,
        queue: usize,
        index: u16,
        address: u64,
        len: u32,
        flags: u16,
        next: u16,
    ) {
        let at = QUEUE[queue] + 16 * u64::from(index);
        self.write(at, &descriptor(address, len, flags, next));
    }

    /// Puts a chain's head into the available ring.
    pub fn offer(&mut self, queue: usize, head: u16) {
        let slot = u64::from(self.available[queue] % SIZE);
        self.write(QUEUE[queue] + AVAILABLE + 4 + 2 * slot, &head.to_le_bytes());
        self.available[queue] = self.available[queue].wrapping_add(1);
        self.set_available(queue, self.available[queue]);
    }

    pub fn set_available(&self, queue: usize, index: u16) {
        self.write(QUEUE[queue] + AVAILABLE + 2, &index.to_le_bytes());
    }

    pub fn kick(&self) {
        rustix::io::write(&self.kicks[1], &1_u64.to_ne_bytes()).unwrap();
    }

    /// Sends a frame, in two descriptors.
    pub fn transmit(&mut self, frame: &[u8]) {
        self.transmit_with(&[0; 12], frame);
    }

    /// Sends a frame with a virtio header.
    pub fn transmit_with(&mut self, header: &[u8; 12], frame: &[u8]) {
        let head = (self.available[1] % (SIZE / 2)) * 2;
        let at = BUFFERS[1] + u64::from(head) * BUFFER;
        self.write(at, &[header, frame].concat());
        let len = u32::try_from(frame.len()).unwrap();
        self.descriptor(1, head, GUEST + at, 12, NEXT, head + 1);
        self.descriptor(1, head + 1, GUEST + at + 12, len, 0, 0);
        self.offer(1, head);
        self.kick();
        self.wait_transmitted();
    }

    /// Waits until the card has given back all that was sent.
    pub fn wait_transmitted(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        while self.read_u16(QUEUE[1] + USED + 2) != self.available[1] {
            assert!(Instant::now() < end, "the card does not take what was sent");
            std::thread::yield_now();
        }
    }

    /// The next frame from the card, if one comes soon.
    pub fn receive(&mut self, wait: Duration) -> Option<Vec<u8>> {
        self.receive_with(wait).map(|(_, frame)| frame)
    }

    /// The next frame and its virtio header.
    pub fn receive_with(&mut self, wait: Duration) -> Option<(Vec<u8>, Vec<u8>)> {
        let end = Instant::now() + wait;
        while self.read_u16(QUEUE[0] + USED + 2) == self.used[0] {
            let left = end.checked_duration_since(Instant::now())?;
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [PollFd::new(&self.calls[0], PollFlags::IN)];
            poll(&mut fds, Some(&left)).unwrap();
            let _ = rustix::io::read(&self.calls[0], &mut [0; 8]);
        }
        let mut frame = Vec::new();
        let mut buffers = 1;
        while buffers > 0 {
            let slot = u64::from(self.used[0] % SIZE);
            let mut entry = [0; 8];
            self.memory.read_exact_at(&mut entry, QUEUE[0] + USED + 4 + 8 * slot).unwrap();
            let id = u16::from_le_bytes([entry[0], entry[1]]);
            let len = usize::from(u16::from_le_bytes([entry[4], entry[5]]));
            let mut bytes = vec![0; len];
            let at = BUFFERS[0] + u64::from(id) * BUFFER;
            self.memory.read_exact_at(&mut bytes, at).unwrap();
            if frame.is_empty() {
                buffers = u16::from_le_bytes([bytes[10], bytes[11]]);
            }
            frame.extend(bytes);
            self.used[0] = self.used[0].wrapping_add(1);
            self.offer(0, id);
            buffers -= 1;
        }
        let body = frame.split_off(12);
        Some((frame, body))
    }

    pub fn expect(&mut self) -> Vec<u8> {
        self.receive(Duration::from_secs(5)).expect("a frame")
    }

    pub fn expect_nothing(&mut self) {
        assert_eq!(self.receive(Duration::from_millis(50)), None);
    }
}

pub fn descriptor(address: u64, len: u32, flags: u16, next: u16) -> Vec<u8> {
    let (address, len) = (address.to_le_bytes(), len.to_le_bytes());
    [&address[..], &len, &flags.to_le_bytes(), &next.to_le_bytes()].concat()
}

fn clone(file: &OwnedFd) -> OwnedFd {
    file.try_clone().unwrap()
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}
