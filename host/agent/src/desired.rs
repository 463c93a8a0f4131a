//! The desired state as the server sent it.

use contracts::{
    host::{Entry, EntryKey, Patch},
    machine::Machine,
    network::{Group, NatGateway, Port, Subnet, Vpc},
    storage::Volume,
};
use std::collections::{BTreeMap, BTreeSet};
use types::{
    InstanceId, NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId, VolumeId, VpcId,
};

/// All entries, by kind.
#[derive(Debug, Default)]
pub struct Desired {
    /// Instances.
    pub machines: BTreeMap<InstanceId, Box<Machine>>,
    /// Volumes.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// Network interfaces.
    pub ports: BTreeMap<NetworkInterfaceId, Port>,
    /// VPCs.
    pub vpcs: BTreeMap<VpcId, Vpc>,
    /// Subnets.
    pub subnets: BTreeMap<SubnetId, Subnet>,
    /// Security groups.
    pub groups: BTreeMap<SecurityGroupId, Group>,
    /// NAT gateways.
    pub nat_gateways: BTreeMap<NatGatewayId, NatGateway>,
}

/// What a patch touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Instances.
    pub machines: BTreeSet<InstanceId>,
    /// Volumes.
    pub volumes: BTreeSet<VolumeId>,
    /// Whether anything touches the network.
    pub network: bool,
}

impl Desired {
    /// Applies a patch.
    pub fn apply(&mut self, patch: Patch) -> Touched {
        let mut touched = Touched::default();
        if patch.reset {
            touched.machines.extend(self.machines.keys());
            touched.volumes.extend(self.volumes.keys());
            touched.network = true;
            *self = Self::default();
        }
        for key in patch.remove {
            touched.note(key);
            self.remove(key);
        }
        for entry in patch.put {
            touched.note(entry.key());
            self.put(entry);
        }
        touched
    }

    fn put(&mut self, entry: Entry) {
        match entry {
            Entry::Machine(machine) => drop(self.machines.insert(machine.instance, machine)),
            Entry::Volume(volume) => drop(self.volumes.insert(volume.id, volume)),
            Entry::Port(port) => drop(self.ports.insert(port.id, port)),
            Entry::Vpc(vpc) => drop(self.vpcs.insert(vpc.id, vpc)),
            Entry::Subnet(subnet) => drop(self.subnets.insert(subnet.id, subnet)),
            Entry::Group(group) => drop(self.groups.insert(group.id, group)),
            Entry::NatGateway(gateway) => drop(self.nat_gateways.insert(gateway.id, gateway)),
        }
    }

    fn remove(&mut self, key: EntryKey) {
        match key {
            EntryKey::Machine(id) => drop(self.machines.remove(&id)),
            EntryKey::Volume(id) => drop(self.volumes.remove(&id)),
            EntryKey::Port(id) => drop(self.ports.remove(&id)),
            EntryKey::Vpc(id) => drop(self.vpcs.remove(&id)),
            EntryKey::Subnet(id) => drop(self.subnets.remove(&id)),
            EntryKey::Group(id) => drop(self.groups.remove(&id)),
            EntryKey::NatGateway(id) => drop(self.nat_gateways.remove(&id)),
        }
    }
}

impl Touched {
    fn note(&mut self, key: EntryKey) {
        match key {
            EntryKey::Machine(id) => drop(self.machines.insert(id)),
            EntryKey::Volume(id) => drop(self.volumes.insert(id)),
            EntryKey::Port(_)
            | EntryKey::Vpc(_)
            | EntryKey::Subnet(_)
            | EntryKey::Group(_)
            | EntryKey::NatGateway(_) => self.network = true,
        }
    }
}
