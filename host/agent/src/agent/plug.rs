//! Network interfaces that are attached to running instances, and detached.

use super::Agent;
use crate::{machines::Phase, table::Standing};
use contracts::{host::Observed, machine::Machine};
use types::{InstanceId, NetworkInterfaceId};

impl Agent {
    /// Brings a running VM's interfaces nearer to those wanted: one is given to the VM once its
    /// card serves it, and the card serves it until the guest has let go of it.
    pub(super) fn plug(&mut self, machine: &Machine) {
        let wanted = self.nics(machine);
        let Some(local) = self.machines.0.get_mut(&machine.instance) else { return };
        let has = |port: NetworkInterfaceId| {
            local.ports.as_ref().is_some_and(|ports| ports.contains(&port))
        };
        let mut nics = wanted.clone();
        let going = local.nics.iter().filter(|nic| !wanted.contains(nic));
        nics.extend(going.filter(|nic| local.ports.is_none() || has(nic.port)).cloned());
        let told = wanted.into_iter().filter(|nic| {
            let served = !self.hypervisor.uses_cards()
                || self.vpcs.ports.standing(nic.port) == Standing::Done;
            served || has(nic.port)
        });
        let told = told.collect::<Vec<_>>();
        if nics != local.nics {
            let left = local.nics.iter().filter(|old| !nics.iter().any(|nic| nic.port == old.port));
            self.documents.remove(left.map(|nic| nic.port));
            local.nics = nics;
            self.cards_dirty = true;
        }
        // A VM that was found keeps what it has until it is known what that is.
        let known = local.ports.is_some() || !self.hypervisor.uses_cards();
        if known && local.plugged.as_ref() != Some(&told) {
            local.plugged = Some(told.clone());
            self.hypervisor.plug(machine.instance, told);
        }
    }

    /// The hypervisor says which interfaces a VM has.
    pub(super) fn has_ports(
        &mut self,
        instance: InstanceId,
        incarnation: u64,
        ports: Vec<NetworkInterfaceId>,
    ) {
        let local = self.machines.0.get_mut(&instance);
        let Some(local) = local.filter(|local| local.incarnation == incarnation) else { return };
        local.ports = Some(ports);
        if matches!(local.phase, Phase::Running) {
            let observed = local.observed(instance);
            self.report(Observed::Machine(observed));
            self.dirty.insert(instance);
        }
    }
}
