//! What is kept on disk of a VM, so that another process finds it again: `vm.json`.

use crate::spec::VmSpec;
use anyhow::{Context, Result};
use contracts::host::OffReason;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use types::Timestamp;

/// The file's name in a VM's folder.
pub const FILE: &str = "vm.json";

/// A process: its number is reused, its start time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Clock ticks from boot to its start: field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

impl Process {
    /// Looks a running process up.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        start_time(&stat).map(|start_time| Self { pid, start_time })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }
}

/// The start time in a line of `/proc/PID/stat`; none for a process that has ended (a zombie).
fn start_time(stat: &str) -> Option<u64> {
    // The program's name, in parentheses, may itself hold parentheses and spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18)?.parse().ok()).flatten()
}

/// A VM's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmRecord {
    /// What it is made of.
    pub spec: VmSpec,
    /// The device in each slot, by QEMU's name; empty in records of old.
    #[serde(default)]
    pub slots: Vec<Option<String>>,
    /// Its process, once it has one.
    pub process: Option<Process>,
    /// The host's boot in which it was started.
    pub boot_id: String,
    /// Reboots that were asked for.
    pub reboots: u32,
    /// Why it is about to end, where that is known beforehand.
    pub ending: Option<OffReason>,
    /// Why it ended.
    pub ended: Option<OffReason>,
    /// When it was started, or ended.
    pub at: Timestamp,
}

impl VmRecord {
    /// A free slot's number, taken for a device; none if there is none.
    pub fn take_slot(&mut self, device: &str) -> Option<usize> {
        let at = self.slots.iter().position(|slot| slot.as_deref() == Some(device));
        let at = at.or_else(|| self.slots.iter().position(Option::is_none))?;
        *self.slots.get_mut(at)? = Some(device.to_owned());
        Some(at)
    }

    /// Frees a device's slot.
    pub fn free_slot(&mut self, device: &str) {
        self.slots
            .iter_mut()
            .filter(|slot| slot.as_deref() == Some(device))
            .for_each(|slot| *slot = None);
    }

    /// Reads a folder's record.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
    }

    /// Writes the record, all or nothing.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let fresh = folder.join("vm.json.new");
        fs::write(&fresh, serde_json::to_vec(self)?)
            .and_then(|()| fs::rename(&fresh, &path))
            .with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_of_odd_names() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_time(&format!("12 (qemu) {rest}")), Some(4711));
        assert_eq!(start_time(&format!("12 (a) b (c d)) {rest}")), Some(4711));
        assert_eq!(start_time("12 (qemu) Z 1"), None);
        assert_eq!(start_time(""), None);
        let me = Process::find(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        assert!(!Process { start_time: me.start_time + 1, ..me }.is_alive());
    }
}
