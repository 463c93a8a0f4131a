//! A driver that only pretends: for API work, tests at scale and teaching.
//!
//! It keeps one append-only file, so that simulated VMs outlive the agent as real ones do.

use crate::{Accelerator, Adopted, Event, Hypervisor, NicSpec, VmSpec, boot_id, now};
use anyhow::{Context, Result};
use contracts::host::OffReason;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc::Sender},
    time::Duration,
};
use types::{InstanceId, Timestamp};

/// Lines that the file may have whatever the number of VMs.
const MAX_LINES: usize = 4096;

/// A line of the file: the newest about an instance holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    instance: InstanceId,
    incarnation: u64,
    boot_id: String,
    reboots: u32,
    ended: Option<OffReason>,
    forgotten: bool,
    at: Timestamp,
}

/// Writes the file anew: a line for each VM.
fn compact(path: &Path, vms: &BTreeMap<InstanceId, Line>) -> Result<File> {
    let fresh = path.with_extension("new");
    let mut text = Vec::new();
    for line in vms.values() {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    fs::write(&fresh, text)
        .and_then(|()| {
            // Opened first: whatever fails, what is open is the file in use.
            let file = OpenOptions::new().append(true).open(&fresh)?;
            fs::rename(&fresh, path).map(|()| file)
        })
        .with_context(|| path.display().to_string())
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    file: File,
    /// Lines in the file.
    lines: usize,
    vms: BTreeMap<InstanceId, Line>,
}

/// The driver.
#[derive(Debug)]
pub struct Simulated {
    state: Mutex<State>,
    events: Sender<Event>,
    boot_id: String,
}

impl Simulated {
    /// Reads the VMs of an earlier process from `folder`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(folder: &Path, events: Sender<Event>) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let path = folder.join("simulated.jsonl");
        let boot_id = boot_id();
        let mut vms = BTreeMap::new();
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            // A line that was cut off by a crash is no line.
            if let Ok(line) = serde_json::from_str::<Line>(line) {
                vms.insert(line.instance, line);
            }
        }
        vms.retain(|_, line| !line.forgotten);
        for line in vms.values_mut() {
            if line.boot_id != boot_id && line.ended.is_none() {
                line.ended = Some(OffReason::HostRebooted);
                line.at = now();
            }
        }
        let file = compact(&path, &vms)?;
        let lines = vms.len();
        Ok(Self { state: Mutex::new(State { path, file, lines, vms }), events, boot_id })
    }

    fn change(&self, instance: InstanceId, change: impl FnOnce(&mut Line) -> Option<Event>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = state.vms.get_mut(&instance).filter(|line| line.ended.is_none()) else {
            return;
        };
        let event = change(line);
        let line = line.clone();
        state.write(&line);
        if let Some(event) = event {
            // Nobody listens only when the agent is about to end.
            let _ = self.events.send(event);
        }
    }
}

impl State {
    /// Takes what is new of an instance into the file.
    fn write(&mut self, line: &Line) {
        self.append(line);
        if self.lines > MAX_LINES.max(self.vms.len() * 4) {
            match compact(&self.path, &self.vms) {
                Ok(file) => self.file = file,
                Err(error) => log::warn!("the file of simulated VMs stays long: {error:#}"),
            }
            // After a failure too: it is tried again, but not at each line.
            self.lines = self.vms.len();
        }
    }

    fn append(&mut self, line: &Line) {
        self.lines += 1;
        let written =
            serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut text| {
                text.push(b'\n');
                self.file.write_all(&text)
            });
        if let Err(error) = written {
            log::error!("simulated VMs cannot be recorded: {error}");
        }
    }
}

impl Hypervisor for Simulated {
    fn accelerator(&self) -> Accelerator {
        Accelerator::Simulated
    }

    fn uses_cards(&self) -> bool {
        false
    }

    fn adopt(&self) -> Vec<Adopted> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let adopted = |line: &Line| Adopted {
            instance: line.instance,
            incarnation: line.incarnation,
            spec: None,
            reboots: line.reboots,
            ended: line.ended.clone(),
            at: line.at,
        };
        state.vms.values().map(adopted).collect()
    }

    fn launch(&self, spec: &VmSpec, reboots: u32) -> Result<()> {
        let line = Line {
            instance: spec.instance,
            incarnation: spec.incarnation,
            boot_id: self.boot_id.clone(),
            reboots,
            ended: None,
            forgotten: false,
            at: now(),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.vms.insert(spec.instance, line.clone());
        state.write(&line);
        Ok(())
    }

    fn stop(&self, instance: InstanceId, _grace: Duration) {
        self.change(instance, |line| {
            line.ended = Some(OffReason::Requested);
            line.at = now();
            Some(Event::Off {
                instance,
                incarnation: line.incarnation,
                reason: OffReason::Requested,
            })
        });
    }

    fn reboot(&self, instance: InstanceId, reboots: u32, _grace: Duration) {
        self.change(instance, |line| {
            line.reboots = reboots;
            Some(Event::Reset { instance })
        });
    }

    fn plug(&self, instance: InstanceId, nics: Vec<NicSpec>) {
        self.change(instance, |line| {
            let ports = nics.iter().map(|nic| nic.port).collect();
            Some(Event::Devices { instance, incarnation: line.incarnation, ports })
        });
    }

    fn tidy(&self) {}

    fn forget(&self, instance: InstanceId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut line) = state.vms.remove(&instance) {
            line.forgotten = true;
            state.write(&line);
        }
    }
}
