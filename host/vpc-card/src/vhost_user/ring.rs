//! A split virtqueue, read and written in place (virtio 1.1, section 2.6).
//!
//! Indexes wrap at 2^16. `next` is the next entry of the available ring to take; `used` is the
//! next entry of the used ring to fill, told to the guest by `publish`.
#![allow(unsafe_code, reason = "reads and writes the rings in the guest's memory")]

use super::{
    F_EVENT_IDX, F_MRG_RXBUF,
    memory::{Chain, Memory},
};
use anyhow::{Context as _, ensure};
use std::{
    os::fd::OwnedFd,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering, fence},
    },
};

/// Length of the header before each frame (`virtio_net_hdr_v1`).
pub const HEADER: usize = 12;
/// Entries of the largest ring.
pub const MAX_SIZE: u16 = 32_768;
/// Descriptors that a chain may have.
const MAX_CHAIN: usize = 1024;
/// The guest's buffers that one frame may fill.
const MAX_MERGED: usize = 128;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const NO_INTERRUPT: u16 = 1;
const NO_NOTIFY: u16 = 1;

/// A ring as QEMU tells it; the addresses are QEMU's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingSpec {
    /// Entries.
    pub size: u16,
    /// Address of the descriptor table.
    pub descriptors: u64,
    /// Address of the available ring.
    pub available: u64,
    /// Address of the used ring.
    pub used: u64,
    /// The next entry to take and to fill.
    pub base: u16,
}

/// Why a ring gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingError {
    /// The indexes or heads make no sense: the ring is to be stopped.
    Broken,
    /// This chain breaks the rules; it was given back.
    BadChain,
}

/// Why a frame was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushError {
    /// The guest has not enough buffers on offer.
    NoBuffer,
    /// The ring makes no sense: it is to be stopped.
    Broken,
}

/// A running ring.
#[derive(Debug)]
pub struct Ring {
    memory: Arc<Memory>,
    descriptors: *mut u8,
    available: *mut u8,
    used_ring: *mut u8,
    size: u16,
    next: u16,
    used: u16,
    /// What the guest was last told of `used`.
    published: u16,
    event_idx: bool,
    merge: bool,
    /// The guest's notifications come here.
    pub kick: OwnedFd,
    call: Option<OwnedFd>,
    /// Chains taken by `push` for one frame: head and room.
    taken: Vec<(u16, u32)>,
    buffers: Chain,
}

// SAFETY: the pointers are into `memory`, which the ring holds and which any thread may use.
unsafe impl Send for Ring {}

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Ring {
    /// A ring of a guest's memory.
    ///
    /// # Errors
    /// Its size or its addresses are impossible.
    pub fn new(
        memory: Arc<Memory>,
        spec: RingSpec,
        features: u64,
        kick: OwnedFd,
        call: Option<OwnedFd>,
    ) -> anyhow::Result<Self> {
        let size = spec.size;
        ensure!(size.is_power_of_two() && size <= MAX_SIZE, "a ring of {size} entries");
        let entries = u64::from(size);
        let place = |address, len, align: usize| {
            let pointer = memory.at_user(address, len).context("a ring outside of memory")?;
            ensure!(pointer.addr() % align == 0, "a ring that is not aligned");
            Ok(pointer)
        };
        let descriptors = place(spec.descriptors, 16 * entries, 16)?;
        let available = place(spec.available, 6 + 2 * entries, 2)?;
        let used_ring = place(spec.used, 6 + 8 * entries, 4)?;
        let mut ring = Self {
            memory,
            descriptors,
            available,
            used_ring,
            size,
            next: spec.base,
            used: spec.base,
            published: spec.base,
            event_idx: features & F_EVENT_IDX != 0,
            merge: features & F_MRG_RXBUF != 0,
            kick,
            call,
            taken: Vec::new(),
            buffers: Chain::default(),
        };
        // What was used is in the guest's memory: it tells more than the base after a crash.
        ring.used = ring.load(ring.used_ring, 2);
        ring.published = ring.used;
        Ok(ring)
    }

    /// The next entry that would be taken.
    #[must_use]
    pub fn base(&self) -> u16 {
        self.next
    }

    /// Where calls go from now on.
    pub fn set_call(&mut self, call: Option<OwnedFd>) {
        self.call = call;
        self.signal();
    }

    /// Takes a ring's last resources apart: kick and call.
    #[must_use]
    pub fn into_files(self) -> (OwnedFd, Option<OwnedFd>) {
        (self.kick, self.call)
    }

    fn load(&self, ring: *mut u8, at: usize) -> u16 {
        // SAFETY: callers stay within the ring's checked length, and the ring is 2-aligned.
        let index = unsafe { AtomicU16::from_ptr(ring.add(at).cast()) };
        u16::from_le(index.load(Ordering::Acquire))
    }

    fn store(&self, ring: *mut u8, at: usize, value: u16) {
        // SAFETY: as in `load`.
        let index = unsafe { AtomicU16::from_ptr(ring.add(at).cast()) };
        index.store(value.to_le(), Ordering::Release);
    }

    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.size - 1))
    }

    /// Where the event index of a ring is: behind its entries.
    fn event_at(&self, entry: usize) -> usize {
        4 + usize::from(self.size) * entry
    }

    /// Reads entry `index` of a descriptor table that has it.
    fn descriptor(table: *mut u8, index: usize) -> Descriptor {
        let mut bytes = [0; 16];
        // SAFETY: callers checked that the table has this entry.
        unsafe { ptr::copy_nonoverlapping(table.add(16 * index), bytes.as_mut_ptr(), 16) };
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Descriptor {
            address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from_le_bytes([i, j, k, l]),
            flags: u16::from_le_bytes([m, n]),
            next: u16::from_le_bytes([o, p]),
        }
    }

    /// The head of the next available chain.
    fn take(&mut self) -> Result<Option<u16>, RingError> {
        let offered = self.load(self.available, 2).wrapping_sub(self.next);
        if offered == 0 {
            return Ok(None);
        }
        let head = self.load(self.available, 4 + 2 * self.slot(self.next));
        if offered > self.size || head >= self.size {
            return Err(RingError::Broken);
        }
        self.next = self.next.wrapping_add(1);
        Ok(Some(head))
    }

    /// Appends the buffers of a chain to `chain`; false if the chain breaks the rules.
    fn walk(&self, head: u16, chain: &mut Chain, writable: bool) -> bool {
        let mut table = self.descriptors;
        let mut entries = usize::from(self.size);
        let mut index = usize::from(head);
        let mut indirect = false;
        // No honest chain is longer: whoever goes on runs in a circle, or wants to waste our time.
        for _ in 0..MAX_CHAIN {
            if index >= entries {
                return false;
            }
            let descriptor = Self::descriptor(table, index);
            if descriptor.flags & INDIRECT != 0 {
                let len = u64::from(descriptor.len);
                if indirect || descriptor.flags & NEXT != 0 || len == 0 || len % 16 != 0 {
                    return false;
                }
                let Some(at) = self.memory.at(descriptor.address, len) else { return false };
                entries = usize::try_from(len / 16).unwrap_or_default();
                if entries > usize::from(self.size) {
                    return false;
                }
                (table, index, indirect) = (at, 0, true);
                continue;
            }
            if (descriptor.flags & WRITE != 0) != writable
                || !chain.push(descriptor.address, descriptor.len)
            {
                return false;
            }
            if descriptor.flags & NEXT == 0 {
                return true;
            }
            index = usize::from(descriptor.next);
        }
        false
    }

    /// Takes the next chain that the guest sends: its buffers are put in `chain`, and its head
    /// is to be given to `complete` when they were read.
    pub fn pop(&mut self, chain: &mut Chain) -> Result<Option<u16>, RingError> {
        let Some(head) = self.take()? else { return Ok(None) };
        chain.restart(&self.memory);
        if self.walk(head, chain, false) {
            return Ok(Some(head));
        }
        self.complete(head, 0);
        Err(RingError::BadChain)
    }

    /// Gives a chain back with so many bytes written into it; `publish` tells the guest.
    pub fn complete(&mut self, head: u16, len: u32) {
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        entry[4..].copy_from_slice(&len.to_le_bytes());
        let at = 4 + 8 * self.slot(self.used);
        // SAFETY: the slot is within the used ring, whose length was checked.
        unsafe { ptr::copy_nonoverlapping(entry.as_ptr(), self.used_ring.add(at), 8) };
        self.used = self.used.wrapping_add(1);
    }

    /// Puts a frame into the guest's buffers: its virtio header, its head, and what follows in
    /// the sender's buffers from `from` on, `rest` bytes.
    pub fn push(
        &mut self,
        mut header: [u8; HEADER],
        head: &[u8],
        body: &Chain,
        from: usize,
        rest: usize,
    ) -> Result<(), PushError> {
        let total = HEADER + head.len() + rest;
        let start = self.next;
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.restart(&self.memory);
        self.taken.clear();
        let result = self.gather(&mut buffers, total);
        if result.is_ok() {
            let merged = u16::try_from(self.taken.len()).unwrap_or_default();
            header[10..].copy_from_slice(&merged.to_le_bytes());
            buffers.write(0, &header);
            buffers.write(HEADER, head);
            buffers.copy(HEADER + head.len(), body, from, rest);
            let mut left = u32::try_from(total).unwrap_or_default();
            for at in 0..self.taken.len() {
                let (id, room) = self.taken[at];
                let len = left.min(room);
                left -= len;
                self.complete(id, len);
            }
        } else {
            self.next = start;
        }
        self.buffers = buffers;
        result
    }

    /// Takes chains until there is room for so many bytes.
    fn gather(&mut self, buffers: &mut Chain, total: usize) -> Result<(), PushError> {
        while buffers.len() < total {
            let most = if self.merge { MAX_MERGED } else { 1 };
            if self.taken.len() >= most || buffers.pieces() >= MAX_CHAIN {
                return Err(PushError::NoBuffer);
            }
            let head = self.take().map_err(|_| PushError::Broken)?.ok_or(PushError::NoBuffer)?;
            let before = buffers.len();
            if !self.walk(head, buffers, true) || buffers.len() == before {
                return Err(PushError::Broken);
            }
            let room = u32::try_from(buffers.len() - before).map_err(|_| PushError::Broken)?;
            self.taken.push((head, room));
        }
        Ok(())
    }

    /// Tells the guest what was given back since the last time, with an interrupt if it wants.
    pub fn publish(&mut self) {
        if self.used == self.published {
            return;
        }
        self.store(self.used_ring, 2, self.used);
        let (old, new) = (self.published, self.used);
        self.published = new;
        // The guest writes what it wants to hear of, then reads the index; we the other way.
        fence(Ordering::SeqCst);
        let wanted = if self.event_idx {
            let event = self.load(self.available, self.event_at(2));
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            self.load(self.available, 0) & NO_INTERRUPT == 0
        };
        if wanted {
            self.signal();
        }
    }

    fn signal(&self) {
        if let Some(call) = &self.call
            && let Err(error) = rustix::io::write(call, &1_u64.to_ne_bytes())
        {
            log::debug!("signal a guest: {error}");
        }
    }

    /// Asks the guest to notify us of the next chain; true if there is one already.
    pub fn wait(&mut self) -> bool {
        if self.event_idx {
            self.store(self.used_ring, self.event_at(8), self.next);
        } else {
            self.store(self.used_ring, 0, 0);
        }
        fence(Ordering::SeqCst);
        self.load(self.available, 2) != self.next
    }

    /// Asks the guest not to notify us: somebody looks anyway, or nobody needs to.
    pub fn ignore(&mut self) {
        if self.event_idx {
            // Never reached again before the indexes come round.
            self.store(self.used_ring, self.event_at(8), self.next.wrapping_sub(1));
        } else {
            self.store(self.used_ring, 0, NO_NOTIFY);
        }
    }
}
