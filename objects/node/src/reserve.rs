//! Space held back, so that what frees space can be written on a disk that is full.

use crate::disk::Disk;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const PATH: &str = "reserve";

/// A file that only takes up space.
#[derive(Debug)]
pub struct Reserve {
    disk: Arc<dyn Disk>,
    bytes: u64,
    held: AtomicBool,
}

impl Reserve {
    /// Holds what was held at the last start: on a full disk it may be needed to open the node.
    pub fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        let held = disk.open(PATH).and_then(|file| file.len()).is_ok_and(|len| len == bytes);
        Self { disk, bytes, held: AtomicBool::new(held) }
    }

    /// Takes the space if it isn't held and so much more is left.
    pub fn hold(&self, low_water_bytes: u64) -> io::Result<()> {
        let wanted = low_water_bytes.saturating_add(self.bytes);
        if self.held.load(Ordering::Relaxed) || self.disk.available_bytes()? < wanted {
            return Ok(());
        }
        let file = self.disk.create(PATH)?;
        file.allocate(self.bytes)?;
        file.set_len(self.bytes)?;
        file.sync()?;
        self.held.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the space away; false if there was none.
    pub fn release(&self) -> bool {
        if !self.held.swap(false, Ordering::Relaxed) {
            return false;
        }
        log::warn!("the disk is full: the storage node's reserve is used");
        self.disk.remove(PATH).is_ok()
    }
}
