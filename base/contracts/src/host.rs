//! The control plane and one host's agent: what the host shall have, and what it reports.
//!
//! Desired state is a set of entries with keys. The server sends patches to it: the first of a
//! connection replaces the whole set, later ones carry what changed. An entry that goes away is
//! forgotten by the agent; nothing durable is ever deleted because an entry is missing (a volume
//! is deleted by an entry that says so).

use crate::{machine, network, storage};
use serde::{Deserialize, Serialize};
use types::{
    InstanceId, NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId, Timestamp, VolumeId,
    VpcId,
};

/// One thing that the host shall have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// An instance, on or off.
    Machine(Box<machine::Machine>),
    /// A volume on this host.
    Volume(storage::Volume),
    /// A network interface attached to one of this host's instances.
    Port(network::Port),
    /// A VPC that has ports.
    Vpc(network::Vpc),
    /// A subnet of such a VPC.
    Subnet(network::Subnet),
    /// A security group of such a VPC.
    Group(network::Group),
    /// A NAT gateway of such a VPC.
    NatGateway(network::NatGateway),
}

/// An entry's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntryKey {
    /// Of [`Entry::Machine`].
    Machine(InstanceId),
    /// Of [`Entry::Volume`].
    Volume(VolumeId),
    /// Of [`Entry::Port`].
    Port(NetworkInterfaceId),
    /// Of [`Entry::Vpc`].
    Vpc(VpcId),
    /// Of [`Entry::Subnet`].
    Subnet(SubnetId),
    /// Of [`Entry::Group`].
    Group(SecurityGroupId),
    /// Of [`Entry::NatGateway`].
    NatGateway(NatGatewayId),
}

impl EntryKey {
    /// Whether this is an instance's.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        matches!(self, Self::Machine(_))
    }
}

impl Entry {
    /// The entry's key.
    #[must_use]
    pub fn key(&self) -> EntryKey {
        match self {
            Self::Machine(machine) => EntryKey::Machine(machine.instance),
            Self::Volume(volume) => EntryKey::Volume(volume.id),
            Self::Port(port) => EntryKey::Port(port.id),
            Self::Vpc(vpc) => EntryKey::Vpc(vpc.id),
            Self::Subnet(subnet) => EntryKey::Subnet(subnet.id),
            Self::Group(group) => EntryKey::Group(group.id),
            Self::NatGateway(gateway) => EntryKey::NatGateway(gateway.id),
        }
    }
}

/// A change to a host's desired state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// The control state's revision that this brings the host to.
    pub revision: u64,
    /// Forget everything first.
    pub reset: bool,
    /// Entries that are new or differ.
    pub put: Vec<Entry>,
    /// Entries that are no longer wanted.
    pub remove: Vec<EntryKey>,
}

/// What a host has to give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Logical processors.
    pub vcpus: u32,
    /// Memory for guests, MiB.
    pub memory_mib: u64,
    /// How VMs run: `kvm`, `tcg` or `simulated`.
    pub hypervisor: String,
    /// Differs after each boot of the host.
    pub boot_id: String,
}

/// What the agent reports; each is a fact at the time, and may be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Observed {
    /// The first of a connection.
    Host(Capacity),
    /// An instance's VM changed, or after a reconnection: is.
    Machine(MachineObserved),
    /// A volume changed, or after a reconnection: is.
    Volume(VolumeObserved),
    /// Everything known was reported since the connection began: what is missing isn't there.
    Complete,
}

/// The state of an instance's VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineObserved {
    /// The instance.
    pub instance: InstanceId,
    /// Which start of the instance this is about: [`machine::Machine::incarnation`].
    pub incarnation: u64,
    /// What is so.
    pub state: MachineState,
    /// Since when.
    pub at: Timestamp,
}

/// A VM's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MachineState {
    /// Being made; not running yet.
    Starting,
    /// Its vCPUs run.
    Running,
    /// Ended, and all that it held is released.
    Off(OffReason),
}

/// Why a VM ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OffReason {
    /// The owner asked: the desired power was off.
    Requested,
    /// The guest powered itself off.
    Guest,
    /// The VM could not be started.
    LaunchFailed(String),
    /// The VM died: QEMU crashed or was killed.
    Crashed(String),
    /// The host was rebooted, and the VM with it.
    HostRebooted,
}

/// The state of a volume on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeObserved {
    /// The volume.
    pub volume: VolumeId,
    /// What is so.
    pub state: VolumeState,
}

/// A volume's life on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum VolumeState {
    /// Made, durable and servable.
    Ready,
    /// Its data is gone.
    Deleted,
    /// It cannot be served; the reason is for people.
    Failed(String),
}
