//! The VMs of this host as they are: made, running, ending, ended.
//!
//! ```text
//! (none) ─▶ Preparing ─▶ Launching ─▶ Running ─▶ Releasing ─▶ Off ─▶ Preparing (next incarnation)
//!               └─────────────┴──────────────────────▲
//! ```
//! An incarnation that is off stays off; only a higher one starts again.

use contracts::{
    host::{MachineObserved, MachineState, OffReason},
    machine::Machine,
};
use hypervisor::{Adopted, DiskSpec, NicSpec, now};
use std::{collections::BTreeMap, ops::Range, time::Instant};
use types::{InstanceId, NetworkInterfaceId, Timestamp, VolumeId};

/// Where a VM's life is.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// The cards are making its disks and ports.
    Preparing,
    /// The hypervisor is starting it.
    Launching,
    /// It runs.
    Running,
    /// It ended; the cards are releasing its disks and ports.
    Releasing(OffReason),
    /// It ended, and nothing is left of it.
    Off(OffReason),
}

/// One VM.
#[derive(Debug, Clone)]
pub struct Local {
    /// Which start of the instance.
    pub incarnation: u64,
    /// Where its life is.
    pub phase: Phase,
    /// Since when, as it is reported.
    pub at: Timestamp,
    /// Its user.
    pub uid: Option<u32>,
    /// Its disks, with the secrets that they are exported by.
    pub disks: Vec<DiskSpec>,
    /// The interfaces that it has, gets or is to let go of.
    pub nics: Vec<NicSpec>,
    /// What the hypervisor was last told that it shall have.
    pub plugged: Option<Vec<NicSpec>>,
    /// The interfaces that it has, as the hypervisor says.
    pub ports: Option<Vec<NetworkInterfaceId>>,
    /// Reboots that were asked for and begun.
    pub reboots: u32,
    /// The grace time of the stop that was begun, milliseconds.
    pub stopping: Option<u32>,
    /// When it was seen that nobody wants the instance any more.
    pub unwanted: Option<Instant>,
}

impl Local {
    /// A VM that is about to be made.
    pub fn new(machine: &Machine, phase: Phase) -> Self {
        Self {
            incarnation: machine.incarnation,
            phase,
            at: now(),
            uid: None,
            disks: Vec::new(),
            nics: Vec::new(),
            plugged: None,
            ports: None,
            reboots: machine.reboots,
            stopping: None,
            unwanted: None,
        }
    }

    /// A VM that was found.
    pub fn adopted(found: Adopted) -> Self {
        let phase = match found.ended {
            // What it held is released by the cards' first configuration, which lacks it.
            Some(reason) => Phase::Off(reason),
            None => Phase::Running,
        };
        let (uid, disks, nics) =
            found.spec.map_or_else(Default::default, |spec| (spec.uid, spec.disks, spec.nics));
        Self {
            incarnation: found.incarnation,
            phase,
            at: found.at,
            uid,
            disks,
            nics,
            plugged: None,
            ports: None,
            reboots: found.reboots,
            stopping: None,
            unwanted: None,
        }
    }

    /// What the server is told.
    pub fn observed(&self, instance: InstanceId) -> MachineObserved {
        let state = match &self.phase {
            Phase::Preparing | Phase::Launching | Phase::Releasing(OffReason::LaunchFailed(_)) => {
                MachineState::Starting
            }
            Phase::Running | Phase::Releasing(_) => MachineState::Running,
            Phase::Off(reason) => MachineState::Off(reason.clone()),
        };
        let ports = self.ports.clone().filter(|_| matches!(self.phase, Phase::Running));
        MachineObserved { instance, incarnation: self.incarnation, state, at: self.at, ports }
    }

    /// Whether what the cards do may bring it further.
    pub fn waits(&self) -> bool {
        matches!(self.phase, Phase::Preparing | Phase::Releasing(_)) || self.changes_ports()
    }

    /// Whether it runs and gets an interface, or is to let go of one.
    pub fn changes_ports(&self) -> bool {
        matches!(self.phase, Phase::Running) && self.plugged.as_ref() != Some(&self.nics)
    }

    /// Whether the cards serve it.
    pub fn holds(&self) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Launching | Phase::Running => true,
            Phase::Releasing(_) | Phase::Off(_) => false,
        }
    }
}

/// All VMs.
#[derive(Debug, Default)]
pub struct Machines(pub BTreeMap<InstanceId, Local>);

impl Machines {
    /// The names that volumes are exported by, and their users.
    pub fn exports(&self) -> BTreeMap<VolumeId, (String, Option<u32>)> {
        let holders = self.0.values().filter(|local| local.holds());
        let disks = holders.flat_map(|local| local.disks.iter().map(|disk| (disk, local.uid)));
        disks.map(|(disk, uid)| (disk.volume, (disk.export.clone(), uid))).collect()
    }

    /// The ports that are in use, and their users.
    pub fn ports(&self) -> Vec<(NetworkInterfaceId, Option<u32>)> {
        let holders = self.0.values().filter(|local| local.holds());
        let ports = holders.flat_map(|local| local.nics.iter().map(|nic| (nic.port, local.uid)));
        ports.collect()
    }

    /// A user that no VM has.
    pub fn free_uid(&self, uids: Range<u32>) -> Option<u32> {
        let used = self.0.values().filter(|local| !matches!(local.phase, Phase::Off(_)));
        let used: Vec<u32> = used.filter_map(|local| local.uid).collect();
        uids.into_iter().find(|uid| !used.contains(uid))
    }
}
