//! An instance as its host shall run it, and the document behind its metadata service.

use super::{Instance, InstanceState};
use crate::{
    ebs::volumes::Volume,
    vpc::{
        network_interfaces, network_interfaces::NetworkInterface, security_groups::SecurityGroup,
        subnets::Subnet, vpcs::Vpc,
    },
};
use contracts::{
    machine::{Disk, Machine, Nic, Power},
    metadata::{Interface, Metadata, Options},
};
use state::State;
use std::sync::Arc;

/// The MTU inside a VPC.
const MTU: u16 = 9001;

/// The machine of an instance; none if it shall have none. `down`: its host is being shut
/// down, and guests have so many milliseconds.
pub fn machine(state: &State, row: &Instance, down: Option<u32>) -> Option<Machine> {
    let power = match (row.state.power(row.grace_ms)?, down) {
        (Power::On, Some(grace_ms)) => Power::Off { grace_ms },
        (Power::Off { grace_ms }, Some(most)) => Power::Off { grace_ms: grace_ms.min(most) },
        (power, None) => power,
    };
    let cards = network_interfaces::of_instance(state, row.id);
    let disks = disks(state, row);
    Some(Machine {
        instance: row.id,
        incarnation: row.incarnation,
        power,
        reboots: row.reboots,
        vcpus: row.vcpus(),
        threads_per_core: row.threads_per_core,
        memory_mib: row.memory_mib,
        instance_type: row.instance_type.clone(),
        nics: cards.iter().map(|card| Nic { port: card.id, mac: card.mac, mtu: MTU }).collect(),
        metadata: Box::new(metadata(state, row, &cards, &disks)),
        disks,
    })
}

fn disks(state: &State, row: &Instance) -> Vec<Disk> {
    let mut disks = state
        .find::<Volume>("instance", row.id)
        .filter_map(|volume| {
            let device_name = volume.attachment.as_ref()?.device_name.clone();
            Some(Disk { volume: volume.id, device_name })
        })
        .collect::<Vec<_>>();
    let root = |disk: &Disk| disk.device_name != row.root_device_name;
    disks.sort_by(|a, b| (root(a), &a.device_name).cmp(&(root(b), &b.device_name)));
    disks
}

fn metadata(
    state: &State,
    row: &Instance,
    cards: &[Arc<NetworkInterface>],
    disks: &[Disk],
) -> Metadata {
    let region = &row.scope.region;
    let public_names = state.get::<Vpc>(&row.vpc).is_some_and(|vpc| vpc.dns_hostnames);
    let mut block_devices = vec![("ami".to_owned(), row.root_device_name.clone())];
    let data = disks.iter().filter(|disk| disk.device_name != row.root_device_name);
    for (at, disk) in data.enumerate() {
        block_devices.push((format!("ebs{}", at + 1), disk.device_name.clone()));
    }
    block_devices.push(("root".to_owned(), row.root_device_name.clone()));
    let key = row.key_name.clone().zip(row.public_key.clone());
    Metadata {
        instance: row.id,
        account: row.scope.account,
        image: row.image,
        reservation: row.reservation,
        launch_index: row.launch_index,
        instance_type: row.instance_type.clone(),
        architecture: row.architecture.clone(),
        zone: row.zone.clone(),
        launch_time: row.launch_time,
        public_key: key,
        user_data: row.user_data.clone(),
        interfaces: cards.iter().filter_map(|card| interface(state, card)).collect(),
        block_devices,
        instance_action: match row.state {
            InstanceState::ShuttingDown => "shutdown".to_owned(),
            InstanceState::Pending
            | InstanceState::Running
            | InstanceState::Terminated
            | InstanceState::Stopping
            | InstanceState::Stopped => "none".to_owned(),
        },
        life_cycle: "on-demand".to_owned(),
        tags: row.metadata.tags.then(|| row.tags.clone()),
        options: Options {
            enabled: row.metadata.enabled,
            token_required: row.metadata.token_required,
            hop_limit: row.metadata.hop_limit,
        },
        private_domain: region.private_domain(),
        public_domain: public_names.then(|| region.public_domain()),
    }
}

fn interface(state: &State, card: &NetworkInterface) -> Option<Interface> {
    let subnet = state.get::<Subnet>(&card.subnet)?;
    let vpc = state.get::<Vpc>(&card.vpc)?;
    let groups = card.groups.iter().filter_map(|id| state.get::<SecurityGroup>(id));
    let public = |at: &crate::vpc::network_interfaces::PrivateAddress| {
        at.public.as_ref().map(|public| public.ip)
    };
    Some(Interface {
        id: card.id,
        mac: card.mac,
        device_number: card.attachment.as_ref()?.device_index,
        addresses: card.addresses.iter().map(|at| (at.ip, public(at))).collect(),
        groups: groups.map(|group| (group.id, group.name.clone())).collect(),
        subnet: (subnet.id, subnet.cidr),
        vpc: (vpc.id, vpc.cidrs.iter().map(|(_, cidr)| *cidr).collect()),
        ipv6: card.ipv6.clone(),
        subnet_ipv6: subnet.ipv6_cidr.iter().map(|(_, block)| *block).collect(),
        vpc_ipv6: vpc.ipv6_cidrs.iter().map(|(_, block)| *block).collect(),
        ipv6_prefixes: Vec::new(),
    })
}
