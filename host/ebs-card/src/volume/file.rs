//! Where blocks are: a trait, so that the crash simulator can stand in for the disk.

use rustix::{
    fs::FallocateFlags,
    io::{Errno, ReadWriteFlags},
};
use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt as _,
};

/// A file of a volume. Every call is complete or an error.
pub trait BlockFile: Send + Sync {
    /// Reads; bytes beyond the end are zeros.
    ///
    /// # Errors
    /// The disk's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Reads if that takes no wait for a disk; false = it would.
    ///
    /// # Errors
    /// The disk's.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.read_at(buffer, offset).map(|()| true)
    }

    /// Writes; durable after [`BlockFile::sync`].
    ///
    /// # Errors
    /// The disk's; any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Gives the range's space back; it reads as zeros then.
    ///
    /// # Errors
    /// The disk's.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Everything written before is durable afterwards.
    ///
    /// # Errors
    /// The disk's: what was written before may be lost, and no later call can tell.
    fn sync(&self) -> io::Result<()>;
}

impl BlockFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match std::os::unix::fs::FileExt::read_at(
                self,
                &mut buffer[done..],
                offset + done as u64,
            ) {
                Ok(0) => {
                    buffer[done..].fill(0);
                    return Ok(());
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let length = buffer.len();
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::io::preadv2(self, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(count == length),
            // Not every file system can tell what it has in memory.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(self, flags, offset, length)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What a volume holds where nothing was written: a file that never changes.
pub struct Base {
    file: Box<dyn BlockFile>,
    length: u64,
}

impl Base {
    /// The first `length` bytes of a file; zeros follow.
    #[must_use]
    pub fn new(file: Box<dyn BlockFile>, length: u64) -> Self {
        Self { file, length }
    }

    /// Where its zeros begin.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads; false only if `cached` and a disk would have to be waited for.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, buffer: &mut [u8], offset: u64, cached: bool) -> io::Result<bool> {
        let there = self.length.saturating_sub(offset).min(buffer.len() as u64);
        // Not more than the buffer's length.
        let (content, zeros) = buffer.split_at_mut(usize::try_from(there).unwrap_or(usize::MAX));
        zeros.fill(0);
        match (content.is_empty(), cached) {
            (true, _) => Ok(true),
            (false, true) => self.file.read_cached(content, offset),
            (false, false) => self.file.read_at(content, offset).map(|()| true),
        }
    }
}
