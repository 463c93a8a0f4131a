//! Desired state: what each host shall have, computed from the rows and never stored.

use crate::{
    compute::{
        instance_profiles,
        instances::{self, Instance, InstanceState},
    },
    ebs::volumes::{self, Volume, VolumeState},
    hosts::Host,
    vpc::{self, nat_gateways::NatGateway, network_interfaces::NetworkInterface},
};
use contracts::host::{Entry, EntryKey};
use state::{ChangeSet, State};
use std::collections::BTreeSet;
use types::InstanceId;

/// All entries of a host.
#[must_use]
pub fn all(state: &State, host: &str) -> Vec<Entry> {
    let mut keys = BTreeSet::new();
    for instance in state.find::<Instance>("host", host) {
        with_network(state, instance.id, &mut |key| {
            keys.insert(key);
        });
    }
    for volume in state.find::<Volume>("host", host) {
        keys.insert(EntryKey::Volume(volume.id));
    }
    keys.into_iter().filter_map(|key| entry(state, host, key)).collect()
}

/// One entry of a host, if it shall have it.
#[must_use]
pub fn entry(state: &State, host: &str, key: EntryKey) -> Option<Entry> {
    match key {
        EntryKey::Machine(id) => {
            let instance = state.get::<Instance>(&id).filter(|row| row.host == host)?;
            let down = state.get::<Host>(&instance.host).and_then(|host| host.down);
            instances::machine(state, instance, down).map(Box::new).map(Entry::Machine)
        }
        EntryKey::Volume(id) => {
            state.get::<Volume>(&id).filter(|row| row.host == host)?;
            volumes::desired(state, id).map(Entry::Volume)
        }
        EntryKey::Port(id) => {
            let interface = state.get::<NetworkInterface>(&id)?;
            let instance = interface.attachment.as_ref()?.instance;
            on_host(state, instance, host)
                .then(|| vpc::desired::port(state, id))
                .flatten()
                .map(Entry::Port)
        }
        EntryKey::Vpc(id) => vpc::desired::vpc(state, id).map(Entry::Vpc),
        EntryKey::Subnet(id) => vpc::desired::subnet(state, id).map(Entry::Subnet),
        EntryKey::Group(id) => vpc::desired::group(state, id).map(Entry::Group),
        EntryKey::NatGateway(id) => vpc::nat_gateways::desired(state, id).map(Entry::NatGateway),
    }
}

fn on_host(state: &State, instance: InstanceId, host: &str) -> bool {
    state
        .get::<Instance>(&instance)
        .is_some_and(|row| row.host == host && row.state.holds_capacity())
}

/// The keys of an instance's machine and ports, and of the network that those need.
fn with_network(state: &State, id: InstanceId, add: &mut dyn FnMut(EntryKey)) {
    add(EntryKey::Machine(id));
    for interface in state.find::<NetworkInterface>("instance", id) {
        add(EntryKey::Port(interface.id));
        add(EntryKey::Vpc(interface.vpc));
        add(EntryKey::Subnet(interface.subnet));
        interface.groups.iter().for_each(|group| add(EntryKey::Group(*group)));
        for gateway in state.find::<NatGateway>("vpc", interface.vpc) {
            add(EntryKey::NatGateway(gateway.id));
            add(EntryKey::Subnet(gateway.subnet));
        }
    }
}

/// The entries that a change may have changed, on any host.
#[must_use]
pub fn affected(before: &State, after: &State, changes: &ChangeSet) -> BTreeSet<EntryKey> {
    let mut keys = BTreeSet::new();
    let mut add = |key| {
        keys.insert(key);
    };
    for change in changes.of::<Instance>() {
        let state = |row: Option<&std::sync::Arc<Instance>>| row.map(|row| row.state);
        if state(change.before.as_ref()) == state(change.after.as_ref()) {
            add(EntryKey::Machine(change.key));
        } else {
            with_network(after, change.key, &mut add);
            for volume in after.find::<Volume>("instance", change.key) {
                add(EntryKey::Volume(volume.id));
            }
        }
    }
    for change in changes.of::<Volume>() {
        add(EntryKey::Volume(change.key));
        for row in [&change.before, &change.after].into_iter().flatten() {
            if let Some(attachment) = &row.attachment {
                add(EntryKey::Machine(attachment.instance));
            }
        }
    }
    for change in changes.of::<NetworkInterface>() {
        for row in [&change.before, &change.after].into_iter().flatten() {
            if let Some(attachment) = &row.attachment {
                add(EntryKey::Machine(attachment.instance));
            }
        }
    }
    for change in changes.of::<Host>() {
        let down = |row: Option<&std::sync::Arc<Host>>| row.and_then(|row| row.down);
        if down(change.before.as_ref()) != down(change.after.as_ref()) {
            for instance in after.find::<Instance>("host", &change.key) {
                add(EntryKey::Machine(instance.id));
            }
        }
    }
    instance_profiles::affected(after, changes, &mut |id| add(EntryKey::Machine(id)));
    // What the metadata service says of names and blocks.
    for change in changes.of::<vpc::vpcs::Vpc>() {
        for instance in after.find::<Instance>("vpc", change.key) {
            add(EntryKey::Machine(instance.id));
        }
    }
    for change in changes.of::<vpc::subnets::Subnet>() {
        let block = |row: Option<&std::sync::Arc<vpc::subnets::Subnet>>| row?.ipv6_cidr;
        if block(change.before.as_ref()) != block(change.after.as_ref()) {
            let interfaces = after.find::<NetworkInterface>("subnet", change.key);
            let instances = interfaces.filter_map(|row| Some(row.attachment.as_ref()?.instance));
            instances.for_each(|instance| add(EntryKey::Machine(instance)));
        }
    }
    vpc::desired::affected(before, changes, &mut add);
    keys
}

/// Whether what is desired is observed: nothing is on its way.
#[must_use]
pub fn quiescent(state: &State) -> bool {
    let instances = state.iter::<Instance>().all(|row| match row.state {
        InstanceState::Running => {
            let down = state.get::<Host>(&row.host).is_some_and(|host| host.down.is_some());
            row.vm_running || (row.ended && down)
        }
        InstanceState::Stopped | InstanceState::Terminated => !row.vm_running,
        InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Stopping => false,
    });
    let volumes = state.iter::<Volume>().all(|row| match row.state {
        VolumeState::Available | VolumeState::InUse | VolumeState::Error => true,
        VolumeState::Creating | VolumeState::Deleting => false,
    });
    instances && volumes
}
