//! Logs that a VM writes without end: the newest part is kept, on disk and in answers.

use anyhow::Result;
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};
use types::Timestamp;

/// How much of a console's output is kept: AWS's own limit.
pub const KEPT: u64 = 64 << 10;
/// How much disk a log may take before its older part is given back.
const LIMIT: u64 = 512 << 10;

/// Opens a log for a VM to append to.
///
/// # Errors
/// The folder cannot be written.
pub fn open(path: &Path) -> Result<File> {
    Ok(OpenOptions::new().create(true).append(true).mode(0o600).open(path)?)
}

/// The last [`KEPT`] bytes, and when the last one came.
///
/// # Errors
/// There is no such log.
pub fn tail(path: &Path) -> Result<(Vec<u8>, Timestamp)> {
    let mut file = File::open(path)?;
    let status = file.metadata()?;
    file.seek(SeekFrom::Start(status.len().saturating_sub(KEPT)))?;
    let mut bytes = Vec::new();
    file.take(KEPT).read_to_end(&mut bytes)?;
    let at = status.mtime().saturating_mul(1000) + status.mtime_nsec() / 1_000_000;
    Ok((bytes, Timestamp::from_millis(at)))
}

/// Gives back the disk space of a log's older part if that has become large.
///
/// It is done by a hole, not by cutting: QEMU goes on appending meanwhile and no byte is lost.
///
/// # Errors
/// The file system has no holes.
pub fn trim(path: &Path) -> Result<()> {
    let Ok(file) = OpenOptions::new().write(true).open(path) else {
        return Ok(());
    };
    let status = file.metadata()?;
    if status.blocks() * 512 > LIMIT {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, flags, 0, status.len().saturating_sub(KEPT))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_newest_part_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut log = open(&path).unwrap();
        for number in 0..200_000 {
            writeln!(log, "line {number}").unwrap();
        }
        let before = tail(&path).unwrap().0;
        assert_eq!(before.len() as u64, KEPT);
        assert!(before.ends_with(b"line 199999\n"));
        trim(&path).unwrap();
        assert_eq!(tail(&path).unwrap().0, before);
        assert!(log.metadata().unwrap().blocks() * 512 <= 128 << 10);
        writeln!(log, "more").unwrap();
        assert!(tail(&path).unwrap().0.ends_with(b"line 199999\nmore\n"));
    }
}
