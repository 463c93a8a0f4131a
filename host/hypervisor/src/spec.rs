//! What a driver needs to start a VM.

use contracts::machine::Machine;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use types::{InstanceId, Mac, NetworkInterfaceId, ResourceId, VolumeId};

/// A VM: the machine wanted, and where on this host its parts are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmSpec {
    /// The instance.
    pub instance: InstanceId,
    /// Which start of it.
    pub incarnation: u64,
    /// For SMBIOS.
    pub instance_type: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// Threads of each core.
    pub threads_per_core: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disks, the boot disk first.
    pub disks: Vec<DiskSpec>,
    /// Network interfaces by device index.
    pub nics: Vec<NicSpec>,
    /// Places for devices that may be attached while it runs; none = [`contracts::machine::SPARE_SLOTS`].
    #[serde(default)]
    pub spare_slots: Option<u8>,
    /// The user that its process runs as; none = ours.
    pub uid: Option<u32>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// The volume.
    pub volume: VolumeId,
    /// The NBD server's socket.
    pub socket: PathBuf,
    /// The NBD export's name, a secret.
    pub export: String,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NicSpec {
    /// The interface.
    pub port: NetworkInterfaceId,
    /// The vhost-user socket that the VPC card listens on.
    pub socket: PathBuf,
    /// Ethernet address.
    pub mac: Mac,
    /// MTU.
    pub mtu: u16,
}

impl VmSpec {
    /// A VM for a machine, without devices yet.
    #[must_use]
    pub fn new(machine: &Machine, uid: Option<u32>) -> Self {
        Self {
            instance: machine.instance,
            incarnation: machine.incarnation,
            instance_type: machine.instance_type.clone(),
            vcpus: machine.vcpus,
            threads_per_core: machine.threads_per_core,
            memory_mib: machine.memory_mib,
            disks: Vec::new(),
            nics: Vec::new(),
            spare_slots: machine.spare_slots,
            uid,
        }
    }

    /// The SMBIOS UUID: the same at each start. It begins with `ec2`, by which guests know EC2.
    #[must_use]
    pub fn uuid(&self) -> String {
        let number = self.instance.number();
        // The finalizer of splitmix64: fills the digits that the ID has no bits for.
        let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!(
            "ec2{:05x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            mixed & 0xf_ffff,
            number >> 48,
            (mixed >> 20) & 0xfff,
            (mixed >> 32) & 0xfff,
            number & 0xffff_ffff_ffff
        )
    }
}
