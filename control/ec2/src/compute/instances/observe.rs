//! What hosts report of instances' VMs.

use super::{Instance, InstanceState, MAX_RECOVERIES, TERMINATED_VISIBLE_MS};
use crate::{
    compute::instance_profiles,
    ebs::volumes::{Volume, VolumeState},
    hosts::{self, Host},
    vpc::{addresses, network_interfaces},
};
use contracts::host::{MachineObserved, MachineState, OffReason};
use state::Tx;
use types::{InstanceId, Timestamp};

const DAY_MS: i64 = 86_400_000;

/// Takes a fact about an instance's VM. Facts about another host's or another incarnation's VM
/// are old news.
pub fn machine_observed(tx: &mut Tx, host: &str, seen: &MachineObserved) {
    let Some(row) = tx.get::<Instance>(&seen.instance) else { return };
    if row.host != host || row.incarnation != seen.incarnation {
        return;
    }
    let mut instance = Instance::clone(row);
    match &seen.state {
        MachineState::Starting => {}
        MachineState::Running => {
            running(tx, &mut instance);
            if let Some(ports) = &seen.ports {
                network_interfaces::observed(tx, instance.id, ports);
            }
        }
        MachineState::Off(reason) => off(tx, &mut instance, reason),
    }
    tx.put(instance);
}

fn running(tx: &mut Tx, instance: &mut Instance) {
    if !instance.vm_running {
        instance.vm_running = true;
        attach_volumes(tx, instance.id);
    }
    match instance.state {
        InstanceState::Pending => {
            hosts::set_state(tx, instance, InstanceState::Running);
            instance.has_run = true;
            instance.state_reason = None;
        }
        InstanceState::Running
        | InstanceState::ShuttingDown
        | InstanceState::Terminated
        | InstanceState::Stopping
        | InstanceState::Stopped => {}
    }
}

fn attach_volumes(tx: &mut Tx, instance: InstanceId) {
    let volumes = tx.find::<Volume>("instance", instance).map(|row| row.id).collect::<Vec<_>>();
    for volume in volumes {
        tx.update::<Volume>(&volume, |row| {
            row.state = VolumeState::InUse;
            if let Some(attachment) = &mut row.attachment {
                attachment.attached = true;
            }
        });
    }
}

fn off(tx: &mut Tx, instance: &mut Instance, reason: &OffReason) {
    instance.vm_running = false;
    instance.ended = true;
    match instance.state {
        InstanceState::Stopping => stopped(tx, instance),
        InstanceState::ShuttingDown => terminated(tx, instance),
        InstanceState::Pending | InstanceState::Running => ended_by_itself(tx, instance, reason),
        InstanceState::Terminated | InstanceState::Stopped => {}
    }
}

/// The VM of an instance that should run has ended.
fn ended_by_itself(tx: &mut Tx, instance: &mut Instance, reason: &OffReason) {
    match reason {
        // While the cloud is shut down it stays off, and starts with it again.
        OffReason::Requested => {
            let down = tx.get::<Host>(&instance.host).is_some_and(|host| host.down.is_some());
            if !down {
                start_again(instance);
            }
        }
        OffReason::Guest => {
            reason_of(
                instance,
                "Client.InstanceInitiatedShutdown",
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
            );
            if instance.shutdown_terminates {
                terminated(tx, instance);
            } else {
                stopped(tx, instance);
            }
        }
        OffReason::LaunchFailed(why) => {
            let message = format!("Server.InternalError: Internal error on launch: {why}");
            reason_of(instance, "Server.InternalError", &message);
            if instance.has_run {
                stopped(tx, instance);
            } else {
                terminated(tx, instance);
            }
        }
        OffReason::HostRebooted => start_again(instance),
        OffReason::Crashed(why) => {
            let now = tx.now();
            instance.recoveries.retain(|at| at.millis() > now.millis() - DAY_MS);
            if instance.auto_recovery && instance.recoveries.len() < MAX_RECOVERIES {
                instance.recoveries.push(now);
                start_again(instance);
            } else {
                let message = format!("Server.InternalError: the instance's VM ended: {why}");
                reason_of(instance, "Server.InternalError", &message);
                stopped(tx, instance);
            }
        }
    }
}

fn reason_of(instance: &mut Instance, code: &str, message: &str) {
    instance.state_reason = Some((code.to_owned(), message.to_owned()));
}

/// A new incarnation: the host starts it since it is wanted and hasn't ended.
fn start_again(instance: &mut Instance) {
    instance.incarnation += 1;
    instance.reboots = 0;
    instance.ended = false;
}

/// Starts the instances again that should run on a host but whose VMs ended with the cloud.
pub fn restart_ended(tx: &mut Tx, host: &str) {
    let ended = |row: &Instance| {
        row.ended && matches!(row.state, InstanceState::Pending | InstanceState::Running)
    };
    let rows = tx.find::<Instance>("host", host).filter(|row| ended(row)).cloned();
    for row in rows.collect::<Vec<_>>() {
        let mut row = Instance::clone(&row);
        start_again(&mut row);
        tx.put(row);
    }
}

/// The instance is off; it keeps its private addresses and volumes.
pub(super) fn stopped(tx: &mut Tx, instance: &mut Instance) {
    network_interfaces::settle(tx, instance.id);
    for interface in network_interfaces::of_instance(tx, instance.id) {
        addresses::take_back_public(tx, interface.id);
    }
    hosts::set_state(tx, instance, InstanceState::Stopped);
}

/// The instance is gone: what was made for it goes too, the rest is set free.
pub(super) fn terminated(tx: &mut Tx, instance: &mut Instance) {
    for interface in network_interfaces::of_instance(tx, instance.id) {
        addresses::take_back_public(tx, interface.id);
        let delete = interface.attachment.as_ref().is_some_and(|at| at.delete_on_termination);
        network_interfaces::detach(tx, interface.id);
        if delete {
            network_interfaces::delete(tx, interface.id);
        }
    }
    let volumes = tx.find::<Volume>("instance", instance.id).cloned().collect::<Vec<_>>();
    for volume in volumes {
        let delete = volume.attachment.as_ref().is_some_and(|at| at.delete_on_termination);
        tx.update::<Volume>(&volume.id, |row| {
            row.attachment = None;
            row.state = if delete { VolumeState::Deleting } else { VolumeState::Available };
        });
    }
    instance_profiles::forget(tx, instance.id);
    hosts::set_state(tx, instance, InstanceState::Terminated);
    instance.terminated_at = Some(tx.now());
}

/// Forgets the instances that were terminated an hour ago; gives when the next will be due.
pub fn forget_terminated(tx: &mut Tx) -> Option<Timestamp> {
    let now = tx.now();
    let due = |row: &Instance| row.terminated_at.map(|at| at.plus_millis(TERMINATED_VISIBLE_MS));
    let rows = tx.find::<Instance>("state", "terminated");
    let rows = rows.filter_map(|row| Some((row.id, due(row)?))).collect::<Vec<_>>();
    let mut next = None;
    for (id, at) in rows {
        if at <= now {
            tx.delete::<Instance>(&id);
        } else {
            next = Some(next.map_or(at, |next: Timestamp| next.min(at)));
        }
    }
    next
}
