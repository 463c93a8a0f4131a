//! The file of the index: redb's pages, each with a checksum beside it that is compared whenever
//! the page is read; and redb's header, of which there are two copies.

use super::{
    layout::{self, Head, PAGE, Run},
    sums::Sums,
};
use crate::{
    checksum,
    disk::{DiskFile, is_full},
    reserve::Reserve,
};
use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So much of the file is there from the beginning, and taken from the disk: what a small index
/// writes for a checkpoint has room, however full the disk is. As redb sees it, in bytes.
const LEAST_LEN: u64 = 512 << 10;

/// How the error begins that says that a page is not as it was.
pub const ROTTEN: &str = "a page of the index is not as it was written";

/// The file. What it says about its pages is in the file, too: memory doesn't grow with it.
///
/// Checksums are written before a flush: what redb refers to after a crash was flushed.
#[derive(Debug)]
pub struct Backend {
    file: Arc<dyn DiskFile>,
    heads: Mutex<Heads>,
    sums: Sums,
    reserve: Arc<Reserve>,
}

/// The header, of which two copies are written in turn: the one that is surely durable is never
/// written over.
#[derive(Debug, Default)]
struct Heads {
    now: Head,
    /// The file's length as redb sees it; the file itself may be longer.
    len: u64,
    /// The number of the copy that the last flush made durable.
    durable: u64,
}

fn rotten() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, ROTTEN)
}

impl Backend {
    /// Opens the file, which may be empty; gives back to the disk what isn't used of it, if that
    /// has `room`. False if one of the header's copies can't be used: then the other one may be
    /// from before, and all has to be verified.
    pub fn open(
        file: Arc<dyn DiskFile>,
        reserve: Arc<Reserve>,
        room: bool,
    ) -> io::Result<(Self, bool)> {
        let mut heads = Heads::default();
        let mut is_sure = true;
        let physical = file.len()?;
        if physical > 0 {
            // What a killed process has written may not be durable: it is read, and must stay.
            file.sync()?;
            let copies = [read_head(&*file, 0)?, read_head(&*file, 1)?];
            is_sure = copies.iter().all(Option::is_some);
            let newest = copies.into_iter().flatten().max_by_key(|head| head.number);
            let newest = newest.ok_or_else(rotten)?;
            if layout::logical_len(physical).ok_or_else(rotten)? < newest.len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let needed = layout::physical_len(newest.len.max(LEAST_LEN))?;
            if needed < physical && is_sure && room {
                file.set_len(needed)?;
            }
            heads = Heads { durable: newest.number, len: newest.len, now: newest };
        }
        let sums = Sums::default();
        Ok((Self { file, heads: Mutex::new(heads), sums, reserve }, is_sure))
    }

    /// Tries again with the reserve given away if the disk is full: redb doesn't go on after an
    /// error.
    fn with_reserve(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match write() {
            Err(error) if is_full(&error) && self.reserve.release() => write(),
            result => result,
        }
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the header as it is now, in the place of the copy that isn't surely durable: whether
    /// the number is even tells the place.
    fn write_head(&self, heads: &mut Heads) -> io::Result<()> {
        if heads.now.number == 0 {
            // Both places have a copy from the first time on.
            heads.now.number = 1;
            self.write_copy(&heads.now)?;
            heads.now.number = 2;
        } else {
            heads.now.number += if heads.now.number == heads.durable { 1 } else { 2 };
        }
        self.write_copy(&heads.now)
    }

    fn write_copy(&self, head: &Head) -> io::Result<()> {
        let copy = head.encode();
        let offset = layout::head_offset(head.number);
        self.with_reserve(|| self.file.write_at(&[IoSlice::new(&copy)], offset))
    }
}

fn read_head(file: &dyn DiskFile, place: u64) -> io::Result<Option<Head>> {
    let mut copy = [0; layout::COPY_BYTES];
    match file.read_at(&mut copy, layout::head_offset(place)) {
        Ok(()) => Ok(Head::decode(&copy, place)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn checksum_of(page: u64, bytes: &[u8]) -> [u8; 8] {
    checksum::of(&[&page.to_le_bytes(), bytes]).to_le_bytes()
}

/// The checksums of pages that follow each other, from this one on.
fn checksums(first: u64, bytes: &[u8]) -> Vec<u8> {
    let pages = (first..).zip(bytes.chunks(layout::PAGE_BYTES));
    pages.flat_map(|(page, bytes)| checksum_of(page, bytes)).collect()
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.heads().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset < PAGE {
            let heads = self.heads();
            let part = layout::head_part(offset, out.len())?;
            out.copy_from_slice(&heads.now.bytes[part]);
            return Ok(());
        }
        let mut left = out;
        for run in layout::runs(offset, left.len())? {
            let Run { first, pages, at, checksums_at } = run;
            let (bytes, rest) = left.split_at_mut(pages * layout::PAGE_BYTES);
            left = rest;
            self.file.read_at(bytes, at)?;
            let mut known = vec![0; pages * layout::CHECKSUM_BYTES];
            self.sums.read(&*self.file, checksums_at, &mut known)?;
            if known != checksums(first, bytes) {
                return Err(rotten());
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let physical = layout::physical_len(len.max(LEAST_LEN))?;
        let mut heads = self.heads();
        // It isn't cut off before the next start: on a full disk it couldn't grow again.
        if self.file.len()? < physical {
            self.with_reserve(|| {
                self.file.allocate(layout::physical_len(LEAST_LEN)?)?;
                self.file.set_len(physical)
            })?;
        }
        heads.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut heads = self.heads();
        self.with_reserve(|| self.sums.write(&*self.file))?;
        self.file.sync()?;
        heads.durable = heads.now.number;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset < PAGE {
            let mut heads = self.heads();
            let part = layout::head_part(offset, data.len())?;
            heads.now.bytes[part].copy_from_slice(data);
            heads.now.len = heads.len;
            return self.write_head(&mut heads);
        }
        let mut left = data;
        for run in layout::runs(offset, data.len())? {
            let Run { first, pages, at, checksums_at } = run;
            let (bytes, rest) = left.split_at(pages * layout::PAGE_BYTES);
            left = rest;
            let checksums = checksums(first, bytes);
            self.with_reserve(|| {
                self.file.write_at(&[IoSlice::new(bytes)], at)?;
                self.sums.set(&*self.file, checksums_at, &checksums)
            })?;
        }
        Ok(())
    }
}
