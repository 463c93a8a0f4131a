//! A folder of the host.

use super::{Disk, DiskFile};
use rustix::{
    fs::{Advice, FallocateFlags, FlockOperation},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    num::NonZeroU64,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Parts written by one call: the system's limit is 1,024.
const PARTS: usize = 1024;

/// A folder of the host that no other process has open as a node.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    lock: File,
    identity: (u64, u64),
}

impl RealDisk {
    /// Opens the folder, making it if it isn't there, and locks it.
    ///
    /// # Errors
    /// The folder can't be used, or another process has it (`WouldBlock`).
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let path = root.join("lock");
        let lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let found = lock.metadata()?;
        Ok(Self { root: root.to_owned(), identity: (found.dev(), found.ino()), lock })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Disk for RealDisk {
    fn check(&self) -> io::Result<()> {
        let found = fs::metadata(self.root.join("lock"))?;
        if (found.dev(), found.ino()) != self.identity {
            return Err(io::Error::other("the folder was replaced by another"));
        }
        if self.lock.metadata()?.nlink() == 0 {
            return Err(io::Error::other("the folder was removed"));
        }
        Ok(())
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(path))?;
        Ok(Arc::new(file))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(options.open(self.path(path))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        // Names that aren't text are none of ours.
        fs::read_dir(self.path(folder))?
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(path))
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        File::open(self.path(path))?.sync_all()
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(&self.lock)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        let mut parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).copied().collect();
        let mut left = &mut parts[..];
        while !left.is_empty() {
            match rustix::io::pwritev(self, &left[..left.len().min(PARTS)], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::KEEP_SIZE, 0, len) {
            // Not every file system can.
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        // Advice: where it isn't taken, the cached pages are verified.
        let _ = rustix::fs::fadvise(self, offset, NonZeroU64::new(len), Advice::DontNeed);
    }
}
