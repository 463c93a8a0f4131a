//! Runs virtual machines: the seam between the agent and what executes guests.
//!
//! A driver runs VMs and reports what becomes of them as [`Event`]s. It keeps on disk what it
//! needs to find its VMs again, because they outlive the process that started them.

pub mod cgroup;
pub mod console;
pub mod probe;
pub mod qemu;
pub mod qmp;
pub mod record;
pub mod simulated;
mod spec;

use anyhow::Result;
use contracts::host::OffReason;
use std::time::Duration;
use types::{InstanceId, NetworkInterfaceId, Timestamp};

pub use spec::{DiskSpec, NicSpec, VmSpec};

/// What executes the guests' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, by the kernel's KVM.
    Kvm,
    /// QEMU's translator: works everywhere, ten to thirty times slower.
    Tcg,
    /// Nothing: the VMs are only pretended.
    Simulated,
}

impl Accelerator {
    /// The name in commands and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Simulated => "simulated",
        }
    }
}

/// What became of a VM.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Its process is gone.
    Off {
        /// The instance.
        instance: InstanceId,
        /// Which start of it.
        incarnation: u64,
        /// Why.
        reason: OffReason,
    },
    /// It has these network interfaces now; said at first, and when they change.
    Devices {
        /// The instance.
        instance: InstanceId,
        /// Which start of it.
        incarnation: u64,
        /// The interfaces.
        ports: Vec<NetworkInterfaceId>,
    },
    /// It was reset, by its guest or by us, and runs on.
    Reset {
        /// The instance.
        instance: InstanceId,
    },
}

/// A VM that an earlier process started.
#[derive(Debug, Clone, PartialEq)]
pub struct Adopted {
    /// The instance.
    pub instance: InstanceId,
    /// Which start of it.
    pub incarnation: u64,
    /// The devices it has; none if the driver keeps no specification.
    pub spec: Option<VmSpec>,
    /// Reboots that were asked for so far.
    pub reboots: u32,
    /// Why it ended, if it did.
    pub ended: Option<OffReason>,
    /// Since when that is so.
    pub at: Timestamp,
}

/// Something that runs VMs. All calls are by instance: an instance has one VM at most.
pub trait Hypervisor: Send + Sync {
    /// What executes the guests.
    fn accelerator(&self) -> Accelerator;

    /// Whether VMs have disks and interfaces that cards must serve first.
    fn uses_cards(&self) -> bool;

    /// Finds the VMs of earlier processes, running or ended; call once, before anything else.
    fn adopt(&self) -> Vec<Adopted>;

    /// Starts a VM; returns when its vCPUs run.
    ///
    /// # Errors
    /// It could not be started; nothing is left of it. The reason is for people.
    fn launch(&self, spec: &VmSpec, reboots: u32) -> Result<()>;

    /// Asks the guest to shut down, and ends the VM after the grace time; zero = at once.
    /// [`Event::Off`] follows. Another call may shorten the time.
    fn stop(&self, instance: InstanceId, grace: Duration);

    /// Asks the guest to reboot, and resets it after the grace time. `reboots` is recorded.
    fn reboot(&self, instance: InstanceId, reboots: u32, grace: Duration);

    /// Gives a running VM these network interfaces, and takes others from it as soon as its guest
    /// lets go of them. [`Event::Devices`] follows each change.
    fn plug(&self, instance: InstanceId, nics: Vec<NicSpec>);

    /// Keeps logs within their limits; call every few seconds while VMs run.
    fn tidy(&self);

    /// Forgets an ended VM and deletes its traces.
    fn forget(&self, instance: InstanceId);
}

/// The current time.
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    Timestamp::from_millis(since)
}

/// An identifier that differs after each boot of the host.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
