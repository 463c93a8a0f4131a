//! Two guests without a VM: each sends frames to the other over vhost-user as fast as its port
//! takes them, and what arrives is counted: `packets SOCKET-A SOCKET-B BYTES FLOWS SECONDS`.
//!
//! Prints the frames that arrived each second, both ways together. The frames are UDP datagrams
//! between 10.0.0.10 and 10.0.0.11, ports 10,000 and up to 5001 and back, written once; buffers
//! and rings lie in a memfd, as a guest's do.
#![allow(unsafe_code, reason = "rings in shared memory, read and written in place")]

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use std::{
    io::{IoSlice, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    ptr,
    sync::atomic::{AtomicU16, Ordering, fence},
    time::{Duration, Instant},
};

/// Entries of each ring, as QEMU's.
const SIZE: u16 = 256;
/// Where the memory is for the guest and for QEMU.
const GUEST: u64 = 0x4000_0000;
const USER: u64 = 0x7000_0000_0000;
/// Places of a queue from its beginning, and of the queues and buffers.
const AVAILABLE: usize = 0x4000;
const USED: usize = 0x8000;
const QUEUE: [usize; 2] = [0, 0x1_0000];
const RX_BUFFERS: usize = 0x10_0000;
const RX_BUFFER: usize = 2048;
const TX_BUFFERS: usize = 0x40_0000;
const HEADER: usize = 12;
/// `VIRTIO_F_VERSION_1`, `VHOST_USER_F_PROTOCOL_FEATURES`, `VIRTIO_NET_F_MRG_RXBUF`.
const FEATURES: u64 = 1 << 32 | 1 << 30 | 1 << 15;
/// How long a switch may take until it forwards.
const READY: Duration = Duration::from_secs(20);
/// Time from there until the count begins.
const WARM_UP: Duration = Duration::from_millis(700);

/// A guest and its driver.
struct Guest {
    stream: UnixStream,
    base: *mut u8,
    kicks: [OwnedFd; 2],
    calls: [OwnedFd; 2],
    memory: OwnedFd,
    bytes: u64,
    /// Next entries of the available rings to fill, and of the used rings to look at.
    available: [u16; 2],
    used: [u16; 2],
    /// Frames to send: how many, how far apart, and the next one.
    frames: usize,
    stride: usize,
    next: usize,
    len: u32,
    received: u64,
}

impl Guest {
    fn connect(path: &Path, frames: &[Vec<u8>]) -> Result<Self> {
        let size = frames.first().context("no frames")?.len();
        let stride = (HEADER + size).next_multiple_of(64);
        let bytes = (TX_BUFFERS + stride * frames.len()).next_multiple_of(1 << 20);
        let memory = memfd_create("guest", MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, bytes as u64)?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, &memory, 0)? };
        let event = || eventfd(0, EventfdFlags::NONBLOCK);
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if began.elapsed() > Duration::from_secs(20) => {
                    return Err(error).with_context(|| format!("connect to {}", path.display()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut guest = Self {
            stream,
            base: base.cast(),
            kicks: [event()?, event()?],
            calls: [event()?, event()?],
            memory,
            bytes: bytes as u64,
            available: [0; 2],
            used: [0; 2],
            frames: frames.len(),
            stride,
            next: 0,
            len: u32::try_from(HEADER + size)?,
            received: 0,
        };
        for (at, frame) in frames.iter().enumerate() {
            guest.write(TX_BUFFERS + at * stride + HEADER, frame);
        }
        for slot in 0..SIZE {
            let at = RX_BUFFERS + usize::from(slot) * RX_BUFFER;
            guest.descriptor(0, slot, at, 2048, 2);
            guest.write(AVAILABLE + 4 + 2 * usize::from(slot), &slot.to_le_bytes());
        }
        for slot in 0..SIZE {
            guest.write(QUEUE[1] + AVAILABLE + 4 + 2 * usize::from(slot), &slot.to_le_bytes());
        }
        // No interrupts: both queues are looked at all the time.
        for queue in QUEUE {
            guest.write(queue + AVAILABLE, &1_u16.to_le_bytes());
        }
        guest.available[0] = SIZE;
        guest.index(QUEUE[0] + AVAILABLE + 2).store(SIZE, Ordering::Release);
        guest.handshake().context("handshake")?;
        Ok(guest)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        // SAFETY: all places are within the mapping, by the layout above.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(at), bytes.len()) };
    }

    fn descriptor(&mut self, queue: usize, slot: u16, at: usize, len: u32, flags: u16) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(GUEST + at as u64).to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&flags.to_le_bytes());
        self.write(QUEUE[queue] + 16 * usize::from(slot), &bytes);
    }

    fn index(&self, at: usize) -> &AtomicU16 {
        // SAFETY: within the mapping, which lives as long as the process, and 2-aligned.
        unsafe { AtomicU16::from_ptr(self.base.add(at).cast()) }
    }

    fn handshake(&mut self) -> Result<()> {
        let offered = self.ask(1)?;
        ensure!(offered & FEATURES == FEATURES, "features {offered:#x}");
        let protocol = self.ask(15)?;
        ensure!(protocol & 8 != 0, "no acknowledgements: {protocol:#x}");
        self.send_message(16, 1, &8_u64.to_ne_bytes(), &[])?;
        self.send_message(3, 1, &[], &[])?;
        self.tell(2, &FEATURES.to_ne_bytes(), &[])?;
        let region = [GUEST, self.bytes, USER, 0].map(u64::to_ne_bytes).concat();
        let table = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &region].concat();
        let memory = self.memory.try_clone()?;
        self.tell(5, &table, &[memory.as_fd()])?;
        for (queue, place) in QUEUE.into_iter().enumerate() {
            self.state(8, queue, u32::from(SIZE))?;
            self.state(10, queue, 0)?;
            let base = USER + place as u64;
            let head = [u32::try_from(queue)?.to_ne_bytes(), [0; 4]].concat();
            let places = [base, base + USED as u64, base + AVAILABLE as u64, 0];
            self.tell(9, &[head, places.map(u64::to_ne_bytes).concat()].concat(), &[])?;
            let number = (queue as u64).to_ne_bytes();
            let (kick, call) = (self.kicks[queue].try_clone()?, self.calls[queue].try_clone()?);
            self.tell(13, &number, &[call.as_fd()])?;
            self.tell(12, &number, &[kick.as_fd()])?;
        }
        (0..2).try_for_each(|queue| self.state(18, queue, 1))
    }

    fn state(&mut self, request: u32, queue: usize, value: u32) -> Result<()> {
        let queue = u32::try_from(queue)?;
        self.tell(request, &[queue.to_ne_bytes(), value.to_ne_bytes()].concat(), &[])
    }

    /// Sends a message and waits until it was obeyed.
    fn tell(&mut self, request: u32, payload: &[u8], files: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_message(request, 1 | 8, payload, files)?;
        let answer = self.reply()?;
        ensure!(answer == 0, "message {request} was refused");
        Ok(())
    }

    fn ask(&mut self, request: u32) -> Result<u64> {
        self.send_message(request, 1, &[], &[])?;
        self.reply()
    }

    fn send_message(
        &mut self,
        request: u32,
        flags: u32,
        payload: &[u8],
        files: &[BorrowedFd<'_>],
    ) -> Result<()> {
        let size = u32::try_from(payload.len())?;
        let header = [request, flags, size].map(u32::to_ne_bytes).concat();
        let message = [&header, payload].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            ensure!(control.push(SendAncillaryMessage::ScmRights(files)), "too many files");
        }
        sendmsg(&self.stream, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn reply(&mut self) -> Result<u64> {
        let mut reply = [0; 20];
        self.stream.read_exact(&mut reply)?;
        Ok(u64::from_ne_bytes(reply[12..].try_into()?))
    }

    /// Tells of what is new in an available ring.
    fn offer(&mut self, queue: usize) -> Result<()> {
        let place = QUEUE[queue];
        self.index(place + AVAILABLE + 2).store(self.available[queue], Ordering::Release);
        fence(Ordering::SeqCst);
        if self.index(place + USED).load(Ordering::Relaxed) & 1 == 0 {
            rustix::io::write(&self.kicks[queue], &1_u64.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Sends as much as there is room for.
    fn send(&mut self) -> Result<()> {
        let used = self.index(QUEUE[1] + USED + 2).load(Ordering::Acquire);
        let free = SIZE - self.available[1].wrapping_sub(used);
        if free < 32 {
            return Ok(());
        }
        for _ in 0..free {
            let slot = self.available[1] % SIZE;
            self.descriptor(1, slot, TX_BUFFERS + self.next * self.stride, self.len, 0);
            self.next = if self.next + 1 == self.frames { 0 } else { self.next + 1 };
            self.available[1] = self.available[1].wrapping_add(1);
        }
        self.offer(1)
    }

    /// Takes what has come, and gives the buffers back.
    fn receive(&mut self) -> Result<()> {
        let used = self.index(QUEUE[0] + USED + 2).load(Ordering::Acquire);
        let count = used.wrapping_sub(self.used[0]);
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            let entry = QUEUE[0] + USED + 4 + 8 * usize::from(self.used[0] % SIZE);
            let mut bytes = [0; 8];
            // SAFETY: the entry is within the used ring.
            unsafe { ptr::copy_nonoverlapping(self.base.add(entry), bytes.as_mut_ptr(), 8) };
            let [a, b, _, _, len @ ..] = bytes;
            if u32::from_le_bytes(len) != self.len {
                bail!("a frame of {} bytes arrived", u32::from_le_bytes(len));
            }
            let slot = usize::from(self.available[0] % SIZE);
            self.write(AVAILABLE + 4 + 2 * slot, &[a, b]);
            self.available[0] = self.available[0].wrapping_add(1);
            self.used[0] = self.used[0].wrapping_add(1);
        }
        self.received += u64::from(count);
        self.offer(0)
    }

    /// The destination's last byte and the UDP ports of the frame that came last.
    fn last(&self) -> [u8; 5] {
        let entry = QUEUE[0] + USED + 4 + 8 * usize::from(self.used[0].wrapping_sub(1) % SIZE);
        let mut id = [0; 2];
        let mut bytes = [0; 5];
        // SAFETY: the entry and the buffer are within the mapping.
        unsafe {
            ptr::copy_nonoverlapping(self.base.add(entry), id.as_mut_ptr(), 2);
            let slot = usize::from(u16::from_le_bytes(id) % SIZE);
            let frame = self.base.add(RX_BUFFERS + slot * RX_BUFFER + HEADER);
            ptr::copy_nonoverlapping(frame.add(33), bytes.as_mut_ptr(), 5);
        }
        bytes
    }
}

/// One guest's frames: `from` and `to` are the addresses' last bytes.
fn frames(from: u8, to: u8, size: usize, flows: u16) -> Vec<Vec<u8>> {
    let frame = |flow: u16| {
        let mut frame = vec![0; size];
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, to]);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, from]);
        frame[12..14].copy_from_slice(&[8, 0]);
        let (a, b) = ([10, 0, 0, from].into(), [10, 0, 0, to].into());
        vpc_card::engine::packet::write_ipv4(&mut frame[14..], 17, 64, a, b);
        let (near, far) = (10_000 + flow, 5001_u16);
        let ports = if from < to { (near, far) } else { (far, near) };
        frame[34..36].copy_from_slice(&ports.0.to_be_bytes());
        frame[36..38].copy_from_slice(&ports.1.to_be_bytes());
        let len = u16::try_from(size - 34).unwrap_or(u16::MAX);
        frame[38..40].copy_from_slice(&len.to_be_bytes());
        frame
    };
    (0..flows).map(frame).collect()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, size, flows, seconds] = &arguments[..] else {
        bail!("usage: packets SOCKET-A SOCKET-B BYTES FLOWS SECONDS");
    };
    let (size, flows) = (size.parse()?, flows.parse()?);
    ensure!((60..=1514).contains(&size), "frames have 60 to 1514 bytes");
    let time = Duration::from_secs_f64(seconds.parse()?);
    let mut guests = [
        Guest::connect(Path::new(a), &frames(10, 11, size, flows))?,
        Guest::connect(Path::new(b), &frames(11, 10, size, flows))?,
    ];
    let connected = Instant::now();
    let mut began = connected;
    let (mut flowing, mut warm) = (false, false);
    loop {
        // The clock is looked at seldom.
        for _ in 0..1000 {
            for guest in &mut guests {
                guest.send()?;
                guest.receive()?;
            }
        }
        if !flowing {
            // A switch may need a while to look at new ports.
            ensure!(connected.elapsed() < READY, "no frames arrive");
            flowing = guests.iter().all(|guest| guest.received > 0);
            began = Instant::now();
        } else if !warm && began.elapsed() > WARM_UP {
            warm = true;
            began = Instant::now();
            guests.iter_mut().for_each(|guest| guest.received = 0);
        }
        if warm && began.elapsed() > time {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let [a, b] = &guests;
    ensure!(a.received > 0 && b.received > 0, "nothing arrived: {} and {}", a.received, b.received);
    ensure!(a.last()[..3] == [10, 19, 137] && b.last()[..1] == [11], "another's frames arrived");
    #[expect(clippy::cast_precision_loss, reason = "counts of frames are small")]
    let rate = (a.received + b.received) as f64 / seconds;
    println!("{rate:.0}");
    Ok(())
}
