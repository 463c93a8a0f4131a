//! The files of the log, opened when they are read.

use super::lock;
use crate::disk::{Disk, DiskFile};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

/// The folder of the log.
pub const FOLDER: &str = "log";

/// Files of the log that are kept open.
const OPEN: usize = 64;

/// Open files of the log.
#[derive(Debug, Default)]
pub struct Segments(Mutex<BTreeMap<u32, Arc<dyn DiskFile>>>);

/// A segment's file.
pub fn path(segment: u32) -> String {
    format!("{FOLDER}/{segment:08}")
}

/// The segment of a file's name.
pub fn number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number| format!("{number:08}") == name)
}

impl Segments {
    /// A segment's file, opened if it isn't.
    pub fn open(&self, disk: &dyn Disk, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = lock(&self.0).get(&segment) {
            return Ok(file.clone());
        }
        let file = disk.open(&path(segment))?;
        self.keep(segment, file.clone());
        Ok(file)
    }

    /// Keeps an open file.
    pub fn keep(&self, segment: u32, file: Arc<dyn DiskFile>) {
        let mut open = lock(&self.0);
        if open.len() >= OPEN {
            open.pop_first();
        }
        open.insert(segment, file);
    }

    /// Closes a file.
    pub fn close(&self, segment: u32) {
        lock(&self.0).remove(&segment);
    }
}
