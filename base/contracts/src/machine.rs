//! A machine: what an instance's VM is made of.

use crate::metadata::Metadata;
use serde::{Deserialize, Serialize};
use types::{InstanceId, Mac, NetworkInterfaceId, VolumeId};

/// Places for devices that may be attached while a VM runs, where nobody says how many.
pub const SPARE_SLOTS: u8 = 4;

/// An instance as its host shall run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The instance.
    pub instance: InstanceId,
    /// Counts the instance's starts; a VM of another incarnation is not this one.
    pub incarnation: u64,
    /// On or off.
    pub power: Power,
    /// Counts the reboots asked for in this incarnation: the agent resets the guest once for each.
    pub reboots: u32,
    /// Virtual processors.
    pub vcpus: u32,
    /// Threads of each core.
    pub threads_per_core: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// For SMBIOS, such as `t3.micro`.
    pub instance_type: String,
    /// Its disks, the boot disk first.
    pub disks: Vec<Disk>,
    /// Its network interfaces by device index.
    pub nics: Vec<Nic>,
    /// Places for devices that may be attached while it runs.
    #[serde(default)]
    pub spare_slots: Option<u8>,
    /// What its metadata service answers.
    pub metadata: Box<Metadata>,
}

/// Whether a machine shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// Shall run; started if it doesn't. An incarnation that ended is not started again.
    On,
    /// Shall not run: asked to shut down, and powered off after the grace time.
    Off {
        /// How long the guest may take, milliseconds; 0 = off at once.
        grace_ms: u32,
    },
}

/// A volume attached to a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// The volume; its ID without the hyphen is the device's serial.
    pub volume: VolumeId,
    /// The name asked for, such as `/dev/xvda`.
    pub device_name: String,
}

/// A network interface attached to a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    /// The interface.
    pub port: NetworkInterfaceId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u16,
}
