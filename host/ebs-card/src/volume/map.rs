//! The state of each block, as the running card sees it.
//!
//! ```text
//! absent ──write──▶ present ◀──write── zeroed
//!    └────discard─────▶└─────discard─────▲
//! ```
//! Every change is written to `map.live` before it is acknowledged, so that the next card of the
//! same boot sees it; memory holds only a cache of that file. Sectors that `map`, the durable
//! copy, does not have yet are dirty.

use super::{
    file::BlockFile,
    layout::{
        self, BLOCKS_PER_CHUNK, BLOCKS_PER_SECTOR, Chunk, HEADER, SECTOR, Sector, sector_offset,
    },
};
use anyhow::{Context as _, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
};

/// Sectors of the map that a volume keeps in memory; each describes 6 MiB.
const MAX_CACHED: usize = 128;
/// Bytes of the map that are compared or copied at once.
const STEP: usize = 64 * 1024;

/// Where a block's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In the base; zeros if there is none.
    Absent,
    /// In the data file.
    Present,
    /// Nowhere: zeros.
    Zeroed,
}

/// What a flush has to write.
pub struct Dirty {
    /// Sectors that the durable map lacks, by number.
    pub sectors: Vec<(u32, [u8; SECTOR])>,
    /// Blocks whose space can be given back afterwards.
    pub punch: Vec<Range<u64>>,
}

/// The map of a volume.
pub struct Map {
    live: Box<dyn BlockFile>,
    cache: BTreeMap<u32, Box<Sector>>,
    dirty: BTreeSet<u32>,
    /// Blocks whose space can be given back once their state is durable.
    punch: Vec<Range<u64>>,
}

impl Map {
    /// The map as another card of this boot left it in `live`.
    ///
    /// # Errors
    /// The disk's, or a sector is damaged.
    pub fn adopt(live: Box<dyn BlockFile>, durable: &dyn BlockFile, sectors: u64) -> Result<Self> {
        let mut dirty = BTreeSet::new();
        each_sector(sectors, |from, count| {
            let (mut ours, mut theirs) = (vec![0; count], vec![0; count]);
            live.read_at(&mut ours, from).context("reading map.live")?;
            durable.read_at(&mut theirs, from).context("reading map")?;
            if ours != theirs {
                let pairs = ours.chunks_exact(SECTOR).zip(theirs.chunks_exact(SECTOR));
                let first = (from - HEADER) / SECTOR as u64;
                let differ = (first..).zip(pairs).filter(|(_, (a, b))| a != b);
                dirty.extend(differ.filter_map(|(sector, _)| u32::try_from(sector).ok()));
            }
            Ok(())
        })?;
        Ok(Self { live, cache: BTreeMap::new(), dirty, punch: Vec::new() })
    }

    /// The map as it was durable, after a boot of the host: `live` is empty and takes a copy.
    ///
    /// # Errors
    /// The disk's, or a sector is damaged.
    pub fn restore(
        live: Box<dyn BlockFile>,
        durable: &dyn BlockFile,
        sectors: u64,
    ) -> Result<Self> {
        each_sector(sectors, |from, count| {
            let mut bytes = vec![0; count];
            durable.read_at(&mut bytes, from).context("reading map")?;
            for (at, sector) in (from..).step_by(SECTOR).zip(bytes.chunks_exact(SECTOR)) {
                if sector.iter().any(|byte| *byte != 0) {
                    parse(sector).with_context(|| format!("sector of map at byte {at}"))?;
                    live.write_at(sector, at).context("writing map.live")?;
                }
            }
            Ok(())
        })?;
        Ok(Self { live, cache: BTreeMap::new(), dirty: BTreeSet::new(), punch: Vec::new() })
    }

    fn sector(&mut self, number: u32) -> io::Result<&mut Box<Sector>> {
        if !self.cache.contains_key(&number) {
            if self.cache.len() >= MAX_CACHED {
                // All of it is in map.live, and most accesses are near each other.
                self.cache.clear();
            }
            let mut bytes = [0; SECTOR];
            self.live.read_at(&mut bytes, sector_offset(number))?;
            let sector = parse(&bytes).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("map.live: {error:#}"))
            })?;
            self.cache.insert(number, Box::new(sector));
        }
        self.cache.get_mut(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The state of the first of these blocks, and how many have the same.
    ///
    /// # Errors
    /// The disk's, or the sector is damaged.
    pub fn run(&mut self, blocks: Range<u64>) -> io::Result<(State, u64)> {
        let mut state = None;
        let mut at = blocks.start;
        while at < blocks.end {
            let (number, chunk, bit) = place(at);
            let chunk = self.sector(number)?[chunk];
            let here = state_of(&chunk, bit);
            if *state.get_or_insert(here) != here {
                break;
            }
            let bits = match here {
                State::Present => chunk.present,
                State::Zeroed => chunk.zeroed,
                State::Absent => !(chunk.present | chunk.zeroed),
            };
            let run = u64::from((!(bits >> bit)).trailing_zeros()).min(BLOCKS_PER_CHUNK - bit);
            at += run;
            if bit + run < BLOCKS_PER_CHUNK {
                break;
            }
        }
        let count = at.min(blocks.end) - blocks.start;
        Ok((state.unwrap_or(State::Absent), count))
    }

    /// Whether all of these blocks are present.
    ///
    /// # Errors
    /// As [`Map::run`].
    pub fn all_present(&mut self, blocks: Range<u64>) -> io::Result<bool> {
        let count = blocks.end - blocks.start;
        Ok(self.run(blocks)? == (State::Present, count))
    }

    /// Gives blocks a state, in `map.live` too.
    ///
    /// # Errors
    /// The disk's; some of the blocks may have the state then.
    pub fn set(&mut self, blocks: Range<u64>, state: State) -> io::Result<()> {
        let mut at = blocks.start;
        while at < blocks.end {
            let (number, _, _) = place(at);
            let end = ((at / BLOCKS_PER_SECTOR + 1) * BLOCKS_PER_SECTOR).min(blocks.end);
            let mut sector = self.sector(number)?.clone();
            let before = sector.clone();
            while at < end {
                let (_, chunk, bit) = place(at);
                let count = (BLOCKS_PER_CHUNK - bit).min(end - at);
                let mask = (u128::MAX >> (BLOCKS_PER_CHUNK - count)) << bit;
                let chunk = &mut sector[chunk];
                chunk.present &= !mask;
                chunk.zeroed &= !mask;
                match state {
                    State::Present => chunk.present |= mask,
                    State::Zeroed => chunk.zeroed |= mask,
                    State::Absent => {}
                }
                at += count;
            }
            if sector != before {
                self.live.write_at(&layout::encode(&sector), sector_offset(number))?;
                self.cache.insert(number, sector);
                self.dirty.insert(number);
            }
        }
        Ok(())
    }

    /// Remembers that the space of these blocks, zeroed now, can be given back.
    pub fn punch_later(&mut self, blocks: Range<u64>) {
        match self.punch.last_mut() {
            Some(last) if last.end == blocks.start => last.end = blocks.end,
            Some(_) | None => self.punch.push(blocks),
        }
    }

    /// What the durable map lacks now; what comes later is the next flush's.
    ///
    /// # Errors
    /// The disk's; nothing is taken then.
    pub fn take_dirty(&mut self) -> io::Result<Dirty> {
        let mut sectors = Vec::with_capacity(self.dirty.len());
        for number in self.dirty.clone() {
            sectors.push((number, layout::encode(self.sector(number)?)));
        }
        self.dirty.clear();
        Ok(Dirty { sectors, punch: std::mem::take(&mut self.punch) })
    }
}

fn place(block: u64) -> (u32, usize, u64) {
    let within = block % BLOCKS_PER_SECTOR;
    // The largest volume has far fewer than 2^32 sectors; a chunk's number is below 12.
    let sector = u32::try_from(block / BLOCKS_PER_SECTOR).unwrap_or(u32::MAX);
    let chunk = usize::try_from(within / BLOCKS_PER_CHUNK).unwrap_or_default();
    (sector, chunk, within % BLOCKS_PER_CHUNK)
}

fn state_of(chunk: &Chunk, bit: u64) -> State {
    match (chunk.present >> bit & 1, chunk.zeroed >> bit & 1) {
        (1, _) => State::Present,
        (_, 1) => State::Zeroed,
        _ => State::Absent,
    }
}

fn parse(bytes: &[u8]) -> Result<Sector> {
    layout::decode(bytes.try_into().context("a sector's length")?)
}

/// Calls with (offset, length) of pieces that cover all sectors.
fn each_sector(sectors: u64, mut with: impl FnMut(u64, usize) -> Result<()>) -> Result<()> {
    let end = HEADER + sectors * SECTOR as u64;
    let mut from = HEADER;
    while from < end {
        let count = usize::try_from(end - from).unwrap_or(usize::MAX).min(STEP);
        with(from, count)?;
        from += count as u64;
    }
    Ok(())
}
