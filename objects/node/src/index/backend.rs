//! The file of the index, checked: redb verifies its pages when it opens and not when it reads, so
//! each page is compared with what it was when it was written or verified.

use crate::{
    checksum,
    disk::{DiskFile, is_full},
    reserve::Reserve,
};
use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const PAGE: usize = 4096;

/// How the error begins that says that a page is not as it was.
pub const ROTTEN: &str = "a page of the index is not as it was written";

/// The file, and four bytes of memory for each page: zero until the page was seen.
#[derive(Debug)]
pub struct Backend {
    file: Arc<dyn DiskFile>,
    pages: Mutex<Vec<u32>>,
    reserve: Arc<Reserve>,
}

impl Backend {
    pub fn new(file: Arc<dyn DiskFile>, reserve: Arc<Reserve>) -> Self {
        Self { file, pages: Mutex::default(), reserve }
    }

    /// Tries again with the reserve given away if the disk is full: redb doesn't go on after an
    /// error.
    fn with_reserve(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match write() {
            Err(error) if is_full(&error) && self.reserve.release() => write(),
            result => result,
        }
    }

    fn pages(&self) -> MutexGuard<'_, Vec<u32>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn page_checksum(page: &[u8]) -> u32 {
    // Its low half, and never the mark of a page that wasn't seen.
    u32::try_from(checksum::of(&[page]) & u64::from(u32::MAX)).unwrap_or(1).max(1)
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(out, offset)?;
        let offset = index(offset)?;
        let first = offset.div_ceil(PAGE);
        let Some(aligned) = out.get(first * PAGE - offset..) else { return Ok(()) };
        let checksums: Vec<_> = aligned.chunks_exact(PAGE).map(page_checksum).collect();
        let mut pages = self.pages();
        if pages.len() < first + checksums.len() {
            pages.resize(first + checksums.len(), 0);
        }
        for (known, found) in pages[first..].iter_mut().zip(checksums) {
            match *known {
                0 => *known = found,
                known if known == found => {}
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, ROTTEN)),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let whole = index(len)? / PAGE;
        self.pages().truncate(whole);
        self.with_reserve(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = index(offset)?;
        let end = start + data.len();
        let checksums: Vec<_> = (start / PAGE..end.div_ceil(PAGE))
            .map(|page| {
                let from = (page * PAGE).checked_sub(start);
                let whole = from.and_then(|from| data.get(from..from + PAGE));
                whole.map_or(0, page_checksum)
            })
            .collect();
        {
            let mut pages = self.pages();
            if pages.len() < end.div_ceil(PAGE) {
                pages.resize(end.div_ceil(PAGE), 0);
            }
            pages[start / PAGE..][..checksums.len()].copy_from_slice(&checksums);
        }
        self.with_reserve(|| self.file.write_at(&[IoSlice::new(data)], offset))
    }
}
