//! The checksums of the index's pages: a page of them for each group, of which some are kept in
//! memory and written when they have to be durable.

use super::layout::PAGE_BYTES;
use crate::disk::DiskFile;
use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Parts with a lock of their own.
const SHARDS: usize = 16;

/// Pages of a shard: 4 MiB in all, for 2 GiB of the index.
const KEPT: usize = 64;

/// The checksums. No more than [`KEPT`] × [`SHARDS`] pages of them are in memory.
#[derive(Debug, Default)]
pub struct Sums {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// By their offsets in the file.
    pages: BTreeMap<u64, Sheet>,
    clock: u64,
}

/// A page of checksums.
#[derive(Debug)]
struct Sheet {
    bytes: Box<[u8]>,
    is_dirty: bool,
    used: u64,
}

impl Shard {
    /// The page at an offset, read if it isn't here. The one that wasn't used for longest goes.
    fn sheet(&mut self, file: &dyn DiskFile, at: u64) -> io::Result<&mut Sheet> {
        self.clock += 1;
        if !self.pages.contains_key(&at) {
            let oldest = self.pages.iter().min_by_key(|(_, sheet)| sheet.used);
            if let Some((oldest, _)) = oldest.filter(|_| self.pages.len() >= KEPT) {
                let oldest = *oldest;
                // On a full disk it stays until the next flush, whose failing is told.
                if self.write(file, oldest).is_ok() {
                    self.pages.remove(&oldest);
                }
            }
            let mut bytes = vec![0; PAGE_BYTES].into_boxed_slice();
            file.read_at(&mut bytes, at)?;
            self.pages.insert(at, Sheet { bytes, is_dirty: false, used: 0 });
        }
        let sheet = self.pages.get_mut(&at).ok_or(io::ErrorKind::NotFound)?;
        sheet.used = self.clock;
        Ok(sheet)
    }

    fn write(&mut self, file: &dyn DiskFile, at: u64) -> io::Result<()> {
        if let Some(sheet) = self.pages.get_mut(&at).filter(|sheet| sheet.is_dirty) {
            file.write_at(&[IoSlice::new(&sheet.bytes)], at)?;
            sheet.is_dirty = false;
        }
        Ok(())
    }
}

impl Sums {
    fn shard(&self, sheet: u64) -> MutexGuard<'_, Shard> {
        // Groups lie 513 pages apart.
        let number = usize::try_from(sheet / PAGE_BYTES as u64).unwrap_or(0) % SHARDS;
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `out` with the checksums at an offset of the file; all are of one group.
    pub fn read(&self, file: &dyn DiskFile, at: u64, out: &mut [u8]) -> io::Result<()> {
        let (sheet, within) = place(at);
        let mut shard = self.shard(sheet);
        let found = shard.sheet(file, sheet)?.bytes.get(within..within + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }

    /// Takes the checksums at an offset of the file, which are written later.
    pub fn set(&self, file: &dyn DiskFile, at: u64, sums: &[u8]) -> io::Result<()> {
        let (sheet, within) = place(at);
        let mut shard = self.shard(sheet);
        let sheet = shard.sheet(file, sheet)?;
        let place = sheet.bytes.get_mut(within..within + sums.len());
        place.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(sums);
        sheet.is_dirty = true;
        Ok(())
    }

    /// Writes all that was taken and isn't written yet.
    pub fn write(&self, file: &dyn DiskFile) -> io::Result<()> {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let dirty = shard.pages.iter().filter(|(_, sheet)| sheet.is_dirty);
            for at in dirty.map(|(at, _)| *at).collect::<Vec<_>>() {
                shard.write(file, at)?;
            }
        }
        Ok(())
    }
}

/// The page that has the checksums at an offset, and where.
fn place(at: u64) -> (u64, usize) {
    let within = at % PAGE_BYTES as u64;
    (at - within, usize::try_from(within).unwrap_or(PAGE_BYTES))
}
