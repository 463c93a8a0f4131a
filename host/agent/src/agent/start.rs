//! How a VM is started: its disks and ports first, then its process.

use super::{Agent, Input};
use crate::{
    cards::Vpcs,
    machines::{Local, Phase},
    table::Standing,
};
use anyhow::{Context, Result};
use contracts::{
    host::{Observed, OffReason},
    machine::{Machine, Nic},
};
use hypervisor::{DiskSpec, NicSpec, VmSpec, now};
use std::{fs::File, io::Read, sync::Arc, thread};
use types::InstanceId;

/// Launches at a time; the others wait.
const MAX_LAUNCHES: usize = 8;

/// A new name for an export: who knows it may use the disk.
fn secret() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes).context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Agent {
    /// Begins a new incarnation: says what its disks and ports are to be.
    pub(super) fn prepare(&mut self, machine: &Machine) {
        let mut local = Local::new(machine, Phase::Preparing);
        local.nics = self.nics(machine);
        if self.hypervisor.uses_cards() {
            if let Some(uids) = self.config.uids() {
                local.uid = self.machines.free_uid(uids);
                if local.uid.is_none() {
                    // Never as root.
                    let reason = "all users for instances are taken".to_owned();
                    local.phase = Phase::Off(OffReason::LaunchFailed(reason));
                    self.set(machine.instance, local);
                    return;
                }
            }
            for disk in &machine.disks {
                match secret() {
                    Ok(export) => local.disks.push(DiskSpec {
                        volume: disk.volume,
                        socket: self.config.nbd_socket.clone(),
                        export,
                    }),
                    Err(error) => {
                        local.phase = Phase::Off(OffReason::LaunchFailed(format!("{error:#}")));
                        self.set(machine.instance, local);
                        return;
                    }
                }
            }
            let ports = machine.nics.iter().map(|nic| nic.port);
            self.documents.put(ports, &machine.metadata);
        }
        self.set(machine.instance, local);
        self.dirty.insert(machine.instance);
        self.cards_dirty = true;
    }

    /// A machine's interfaces as the hypervisor is told of them.
    pub(super) fn nics(&self, machine: &Machine) -> Vec<NicSpec> {
        let nic = |nic: &Nic| NicSpec {
            port: nic.port,
            socket: Vpcs::socket(&self.config, nic.port),
            mac: nic.mac,
            mtu: nic.mtu,
        };
        machine.nics.iter().map(nic).collect()
    }

    /// Launches a VM if the cards serve what it needs.
    pub(super) fn launch_if_ready(&mut self, machine: &Machine) {
        let instance = machine.instance;
        let Some(local) = self.machines.0.get(&instance) else {
            return;
        };
        for standing in self.standings(local) {
            match standing {
                Standing::Done => {}
                Standing::Waiting => return,
                Standing::Failed(reason) => {
                    self.release(instance, OffReason::LaunchFailed(reason));
                    return;
                }
            }
        }
        let mut spec = VmSpec::new(machine, local.uid);
        spec.disks.clone_from(&local.disks);
        spec.nics.clone_from(&local.nics);
        let reboots = local.reboots;
        if !self.hypervisor.uses_cards() {
            // Such a launch takes no time.
            let result = self.hypervisor.launch(&spec, reboots);
            self.launched(instance, spec.incarnation, result.map_err(|error| format!("{error:#}")));
            return;
        }
        if self.launching >= MAX_LAUNCHES {
            return;
        }
        self.launch_on_thread(spec, reboots);
    }

    fn launch_on_thread(&mut self, spec: VmSpec, reboots: u32) {
        let (instance, incarnation) = (spec.instance, spec.incarnation);
        let hypervisor = Arc::clone(&self.hypervisor);
        let inbox = self.inbox.clone();
        let launch = move || {
            let result = hypervisor.launch(&spec, reboots).map_err(|error| format!("{error:#}"));
            // Nobody listens only when the agent is about to end.
            let _ = inbox.send(Input::Launched { instance, incarnation, result });
        };
        match thread::Builder::new().name(instance.to_string()).spawn(launch) {
            Ok(_) => {
                self.launching += 1;
                if let Some(local) = self.machines.0.get_mut(&instance) {
                    local.phase = Phase::Launching;
                }
            }
            Err(error) => self.release(instance, OffReason::LaunchFailed(error.to_string())),
        }
    }

    /// How the cards stand with what a VM needs.
    fn standings(&self, local: &Local) -> Vec<Standing> {
        if !self.hypervisor.uses_cards() {
            return Vec::new();
        }
        let disks = local.disks.iter().map(|disk| self.ebs.standing(disk.volume, &disk.export));
        let ports = local.nics.iter().map(|nic| self.vpcs.ports.standing(nic.port));
        disks.chain(ports).collect()
    }

    pub(super) fn launched(
        &mut self,
        instance: InstanceId,
        incarnation: u64,
        result: Result<(), String>,
    ) {
        let local = self.machines.0.get_mut(&instance);
        let Some(local) = local.filter(|local| local.incarnation == incarnation) else {
            return;
        };
        match (result, &local.phase) {
            (Ok(()), Phase::Preparing | Phase::Launching) => {
                local.phase = Phase::Running;
                local.at = now();
                // It has what it was started with; what was attached meanwhile follows.
                local.plugged = Some(local.nics.clone());
                local.ports = Some(local.nics.iter().map(|nic| nic.port).collect());
                let observed = local.observed(instance);
                self.report(Observed::Machine(observed));
                // It may have been stopped meanwhile.
                self.dirty.insert(instance);
            }
            // It ended before we heard that it ran.
            (Ok(()), Phase::Running | Phase::Releasing(_) | Phase::Off(_)) => {}
            (Err(reason), _) => {
                log::warn!("{instance} could not be started: {reason}");
                self.release(instance, OffReason::LaunchFailed(reason));
            }
        }
    }
}
