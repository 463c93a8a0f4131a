//! A volume: blocks that are in its data file, zeroed, or still in its base.
//!
//! What makes it safe is an order, proved by the crash simulator (simulation.rs):
//! * a write is acknowledged when the data file and `map.live` have it (the page cache of this
//!   boot: a killed card loses nothing);
//! * a flush copies the dirty sectors of the map *first*, then syncs the data file, then writes
//!   the copies to `map`, then syncs that: `map` never says of a block what the disk does not hold;
//! * a part of a block that is not present is completed to a whole block before the map says so;
//! * space of discarded blocks is given back only when `map` says durably that they are zeros;
//! * a failed sync ends all writing: nobody knows any more what the disk holds.

pub mod file;
mod flush;
pub mod folder;
pub mod layout;
pub mod map;
#[cfg(test)]
mod simulation;

pub use flush::Flusher;

use crate::{counters::Counters, lock};
use file::{Base, BlockFile};
use layout::{BLOCK, sector_offset};
use map::{Map, State};
use std::{
    io,
    ops::Range,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Zeros to write where a block has to be completed.
const ZEROS: [u8; 4096] = [0; 4096];
const _: () = assert!(ZEROS.len() as u64 == BLOCK);

/// Blocks whose space is given back at once: writes wait for it.
const GIVEN_BACK: u64 = (64 << 20) / BLOCK;

/// An open volume. Its calls may come from any thread.
pub struct Volume {
    size: AtomicU64,
    data: Box<dyn BlockFile>,
    durable: Box<dyn BlockFile>,
    base: Option<Base>,
    map: Mutex<Map>,
    /// Shared by writes within present blocks; alone for what changes the state of blocks, so
    /// that nobody writes to a block that is being completed, zeroed or punched.
    order: RwLock<()>,
    /// Whether something was written that no flush has begun to cover.
    written: AtomicBool,
    /// Blocks that are durably zeroed, and may have space in the data file.
    unused: Mutex<Vec<Range<u64>>>,
    /// One flush at a time; whether `map` was written and not synced.
    flushing: Mutex<bool>,
    failed: AtomicBool,
    on_failure: Box<dyn Fn() + Send + Sync>,
    /// What it did.
    pub counters: Counters,
}

/// The blocks that a range of bytes touches.
fn touched(offset: u64, length: u64) -> Range<u64> {
    offset / BLOCK..(offset + length).div_ceil(BLOCK)
}

fn bytes(length: u64) -> usize {
    // Lengths here are those of buffers.
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl Volume {
    /// A volume of these files. `failed` = it may only be read; `on_failure` is called when that
    /// becomes so.
    #[must_use]
    pub fn new(
        size_bytes: u64,
        data: Box<dyn BlockFile>,
        durable: Box<dyn BlockFile>,
        base: Option<Base>,
        map: Map,
        failed: bool,
        on_failure: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            size: AtomicU64::new(size_bytes),
            data,
            durable,
            base,
            map: Mutex::new(map),
            order: RwLock::new(()),
            // An earlier card of this boot may have left anything unsynced.
            written: AtomicBool::new(true),
            unused: Mutex::default(),
            flushing: Mutex::new(true),
            failed: AtomicBool::new(failed),
            on_failure,
            counters: Counters::default(),
        }
    }

    /// Its size.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Its files were made longer.
    pub fn grown(&self, size_bytes: u64) {
        self.size.fetch_max(size_bytes, Ordering::AcqRel);
    }

    /// Whether it may only be read, because the disk failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Reads.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_with(offset, buffer, false).map(|_| ())
    }

    /// Reads if that takes no wait for a disk; false = it would.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        self.read_with(offset, buffer, true)
    }

    fn read_with(&self, offset: u64, mut buffer: &mut [u8], cached: bool) -> io::Result<bool> {
        let mut offset = offset;
        while !buffer.is_empty() {
            let blocks = touched(offset, buffer.len() as u64);
            let first = blocks.start;
            let (state, count) = lock(&self.map).run(blocks)?;
            let length = bytes((first + count) * BLOCK - offset).min(buffer.len());
            let (here, rest) = buffer.split_at_mut(length);
            let done = match (state, &self.base) {
                (State::Present, _) if cached => self.data.read_cached(here, offset)?,
                (State::Present, _) => self.data.read_at(here, offset).map(|()| true)?,
                (State::Absent, Some(base)) => base.read(here, offset, cached)?,
                (State::Absent, None) | (State::Zeroed, _) => {
                    here.fill(0);
                    true
                }
            };
            if !done {
                return Ok(false);
            }
            offset += length as u64;
            buffer = rest;
        }
        Ok(true)
    }

    /// Writes; survives this process, and after the next flush the host's power.
    ///
    /// # Errors
    /// The disk's; any part may have been written.
    pub fn write(&self, offset: u64, buffer: &[u8]) -> io::Result<()> {
        self.writable()?;
        let blocks = touched(offset, buffer.len() as u64);
        {
            let _shared = self.order.read().unwrap_or_else(PoisonError::into_inner);
            let in_place = lock(&self.map).all_present(blocks.clone())?;
            if in_place {
                let result = self.data.write_at(buffer, offset);
                self.written.store(true, Ordering::Release);
                return result;
            }
        }
        let _alone = self.order.write().unwrap_or_else(PoisonError::into_inner);
        self.write_new(offset, buffer, blocks)
    }

    /// A write to blocks of any state, by whoever holds `order` alone.
    fn write_new(&self, offset: u64, buffer: &[u8], blocks: Range<u64>) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        self.complete(blocks.start, blocks.start * BLOCK..offset)?;
        self.complete(blocks.end - 1, end..blocks.end * BLOCK)?;
        self.data.write_at(buffer, offset)?;
        let result = lock(&self.map).set(blocks, State::Present);
        self.written.store(true, Ordering::Release);
        result
    }

    /// Writes what a block that isn't present holds in this range of bytes, a part of it.
    fn complete(&self, block: u64, range: Range<u64>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut content = ZEROS;
        let content = &mut content[..bytes(range.end - range.start)];
        match lock(&self.map).run(block..block + 1)?.0 {
            State::Present => return Ok(()),
            State::Zeroed => {}
            State::Absent => {
                if let Some(base) = &self.base {
                    base.read(content, range.start, false)?;
                }
            }
        }
        self.data.write_at(content, range.start)
    }

    /// Forgets whole blocks, which read as zeros then; parts of blocks keep their content.
    ///
    /// # Errors
    /// The disk's.
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.writable()?;
        let whole = offset.div_ceil(BLOCK)..(offset + length) / BLOCK;
        if whole.is_empty() {
            return Ok(());
        }
        let _alone = self.order.write().unwrap_or_else(PoisonError::into_inner);
        self.zero_blocks(whole)
    }

    /// Makes a range zeros.
    ///
    /// # Errors
    /// The disk's.
    pub fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.writable()?;
        let end = offset + length;
        let whole = offset.div_ceil(BLOCK)..end / BLOCK;
        if whole.is_empty() {
            // Within one block, or the parts of two neighbours.
            let zeros = [ZEROS, ZEROS].concat();
            return self.write(offset, &zeros[..bytes(length)]);
        }
        for part in [offset..whole.start * BLOCK, whole.end * BLOCK..end] {
            if !part.is_empty() {
                self.write(part.start, &ZEROS[..bytes(part.end - part.start)])?;
            }
        }
        let _alone = self.order.write().unwrap_or_else(PoisonError::into_inner);
        self.zero_blocks(whole)
    }

    /// Zeroes whole blocks, by whoever holds `order` alone.
    fn zero_blocks(&self, blocks: Range<u64>) -> io::Result<()> {
        let base_end = self.base.as_ref().map_or(0, |base| base.length().div_ceil(BLOCK));
        let mut map = lock(&self.map);
        let mut at = blocks.start;
        while at < blocks.end {
            let (state, count) = map.run(at..blocks.end)?;
            let run = at..at + count;
            at = run.end;
            match state {
                State::Present => {
                    map.set(run.clone(), State::Zeroed)?;
                    map.punch_later(run);
                }
                // Where there is no base, absent blocks are zeros already.
                State::Absent if run.start < base_end => {
                    map.set(run.start..run.end.min(base_end), State::Zeroed)?;
                }
                State::Absent | State::Zeroed => {}
            }
        }
        self.written.store(true, Ordering::Release);
        Ok(())
    }

    /// Extents of a range, as (bytes, whether it is a hole that reads as zeros).
    ///
    /// # Errors
    /// The disk's.
    pub fn extents(&self, offset: u64, length: u64, max: usize) -> io::Result<Vec<(u64, bool)>> {
        let mut extents: Vec<(u64, bool)> = Vec::new();
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let blocks = touched(at, end - at);
            let first = blocks.start;
            let (state, count) = lock(&self.map).run(blocks)?;
            let mut until = ((first + count) * BLOCK).min(end);
            let base = self.base.as_ref().map_or(0, Base::length);
            let hole = match state {
                State::Present => false,
                State::Zeroed => true,
                State::Absent if at < base => {
                    until = until.min(base);
                    false
                }
                State::Absent => true,
            };
            let full = extents.len() >= max;
            match extents.last_mut() {
                Some((length, same)) if *same == hole => *length += until - at,
                Some(_) if full => break,
                Some(_) | None => extents.push((until - at, hole)),
            }
            at = until;
        }
        Ok(extents)
    }

    /// Whether a flush has something to do.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        // In this order: a flush that has begun to cover what was written may not be over.
        self.written.load(Ordering::Acquire)
            || self.flushing.try_lock().is_err()
            || self.has_failed()
    }

    /// Makes everything durable that was acknowledged before the call.
    ///
    /// # Errors
    /// The disk failed, now or before: the volume may only be read from then on.
    pub fn flush(&self) -> io::Result<()> {
        let mut map_unsynced = lock(&self.flushing);
        self.writable()?;
        if !self.written.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let punch = self.flush_in_order(&mut map_unsynced).inspect_err(|error| {
            self.failed.store(true, Ordering::Release);
            log::error!("a volume may only be read from now on: {error}");
            (self.on_failure)();
        })?;
        lock(&self.unused).extend(punch);
        Ok(())
    }

    fn flush_in_order(&self, map_unsynced: &mut bool) -> io::Result<Vec<Range<u64>>> {
        let dirty = lock(&self.map).take_dirty()?;
        self.data.sync()?;
        for (number, bytes) in &dirty.sectors {
            *map_unsynced = true;
            self.durable.write_at(bytes, sector_offset(*number))?;
        }
        if *map_unsynced {
            self.durable.sync()?;
            *map_unsynced = false;
        }
        Ok(dirty.punch)
    }

    /// Gives back some of the space of blocks that are durably zeroed; false = all is done.
    pub fn give_back(&self) -> bool {
        let blocks = {
            let mut unused = lock(&self.unused);
            let Some(last) = unused.pop() else { return false };
            let step = last.start..last.end.min(last.start + GIVEN_BACK);
            if step.end < last.end {
                unused.push(step.end..last.end);
            }
            step
        };
        // Only space is at stake: an error costs nothing else.
        if let Err(error) = self.punch(blocks) {
            log::debug!("space is not given back: {error}");
        }
        true
    }

    /// Punches holes, but for blocks that were written since.
    fn punch(&self, blocks: Range<u64>) -> io::Result<()> {
        let _alone = self.order.write().unwrap_or_else(PoisonError::into_inner);
        let mut at = blocks.start;
        while at < blocks.end {
            let (state, count) = lock(&self.map).run(at..blocks.end)?;
            if state == State::Zeroed {
                self.data.punch(at * BLOCK, count * BLOCK)?;
            }
            at += count;
        }
        Ok(())
    }

    fn writable(&self) -> io::Result<()> {
        if self.has_failed() {
            return Err(io::Error::other("the volume may only be read: its disk failed"));
        }
        Ok(())
    }
}
