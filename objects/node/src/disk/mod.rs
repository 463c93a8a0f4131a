//! The disk below a node, as a trait: so that a simulated one can fail anywhere.

mod real;
#[cfg(any(test, feature = "simulation"))]
mod simulated;

pub use real::RealDisk;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use simulated::Dice;
#[cfg(any(test, feature = "simulation"))]
pub use simulated::{DiskCall, SimDisk};

use std::{
    fmt,
    io::{self, IoSlice},
    sync::Arc,
};

/// A folder on a disk. Paths are relative to it, with `/` between their parts.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Whether the folder is still there, and still the one that was opened.
    ///
    /// # Errors
    /// It isn't.
    fn check(&self) -> io::Result<()>;

    /// Opens a file to read and write.
    ///
    /// # Errors
    /// The disk's; `NotFound` if there is no such file.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a file, empty; one that is there loses its content.
    ///
    /// # Errors
    /// The disk's.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing what has the name.
    ///
    /// # Errors
    /// The disk's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// The disk's; `NotFound` if there is no such file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names in a folder, in no order.
    ///
    /// # Errors
    /// The disk's.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder, unless it is there.
    ///
    /// # Errors
    /// The disk's.
    fn create_folder(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a folder durable; an empty path is the root.
    ///
    /// # Errors
    /// The disk's.
    fn sync_folder(&self, path: &str) -> io::Result<()>;

    /// What may still be written, in bytes.
    ///
    /// # Errors
    /// The disk's.
    fn available_bytes(&self) -> io::Result<u64>;
}

/// A file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills the buffer.
    ///
    /// # Errors
    /// The disk's; `UnexpectedEof` if the file is shorter.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes the parts one after the other; durable after [`DiskFile::sync`].
    ///
    /// # Errors
    /// The disk's; any part may have been written.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes durable what was written before, and the length.
    ///
    /// # Errors
    /// The disk's: what was written before may be lost, and no later call can tell.
    fn sync(&self) -> io::Result<()>;

    /// The length, in bytes.
    ///
    /// # Errors
    /// The disk's.
    fn len(&self) -> io::Result<u64>;

    /// Cuts it off, or lengthens it by zeros.
    ///
    /// # Errors
    /// The disk's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves space for its first `len` bytes.
    ///
    /// # Errors
    /// The disk's.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Asks that the next read of this part comes from the disk itself, as far as that is possible.
    fn forget_cached(&self, offset: u64, len: u64);
}

/// Whether an error says that there is no space.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
