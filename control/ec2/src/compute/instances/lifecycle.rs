//! Start, stop, reboot, terminate: what owners ask.

use super::{Ask, Asked, Instance, InstanceState, STOP_GRACE_MS, observe};
use crate::{
    errors, hosts,
    operations::InPart,
    resource::{find_all, parse_id},
    vpc::{addresses, network_interfaces},
};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        InstanceMonitoring, InstanceStateChange, MonitorInstancesRequest, MonitorInstancesResult,
        Monitoring, MonitoringState, RebootInstancesRequest, RebootInstancesResponse,
        StartInstancesRequest, StartInstancesResult, StopInstancesRequest, StopInstancesResult,
        TerminateInstancesRequest, TerminateInstancesResult, UnmonitorInstancesRequest,
        UnmonitorInstancesResult,
    },
};
use state::Tx;
use std::collections::BTreeSet;
use types::Timestamp;

/// The instances named; at least one must be.
fn named(tx: &Tx, request: &Request, ids: Option<Vec<String>>) -> Result<Vec<Instance>, Fault> {
    let ids = ids.filter(|ids| !ids.is_empty()).ok_or_else(|| errors::missing("InstanceId"))?;
    for id in &ids {
        if let Err(fault) = parse_id::<Instance>(id)
            && fault.code.ends_with(".Malformed")
        {
            return Err(fault);
        }
    }
    let rows = find_all::<Instance>(tx, &request.scope, &ids)?;
    Ok(rows.iter().map(|row| Instance::clone(row)).collect())
}

fn change(instance: &Instance, before: InstanceState) -> InstanceStateChange {
    InstanceStateChange {
        instance_id: Some(instance.id.to_string()),
        current_state: Some(instance.state.to_api()),
        previous_state: Some(before.to_api()),
    }
}

fn refused(instance: &Instance, verb: &str) -> Fault {
    let id = instance.id;
    errors::incorrect_instance_state(format!(
        "The instance '{id}' is not in a state from which it can be {verb}."
    ))
}

fn user_initiated(now: Timestamp) -> String {
    let text = now.to_string();
    // 2026-11-22T13:37:00.000Z as AWS writes it here.
    let (date, time) = (text.get(..10).unwrap_or(""), text.get(11..19).unwrap_or(""));
    format!("User initiated ({date} {time} GMT)")
}

/// Starts stopped instances.
///
/// # Errors
/// One can't be started from its state, or its host has no room: then none is.
pub fn start_instances(
    tx: &mut Tx,
    request: &Request,
    input: StartInstancesRequest,
) -> Result<StartInstancesResult, Fault> {
    let StartInstancesRequest { instance_ids, additional_info: _, dry_run: _ } = input;
    let mut changes = Vec::new();
    for mut instance in named(tx, request, instance_ids)? {
        let before = instance.state;
        match before.request(Ask::Start) {
            Asked::Becomes(state) => start(tx, &mut instance, state)?,
            Asked::Already => {}
            Asked::Refused => return Err(refused(&instance, "started")),
        }
        changes.push(change(&instance, before));
        tx.put(instance);
    }
    Ok(StartInstancesResult { starting_instances: Some(changes) })
}

fn start(tx: &mut Tx, instance: &mut Instance, state: InstanceState) -> Result<(), Fault> {
    hosts::place_again(tx, instance)?;
    hosts::set_state(tx, instance, state);
    instance.incarnation += 1;
    instance.reboots = 0;
    instance.ended = false;
    instance.launch_time = tx.now();
    instance.transition_reason = String::new();
    instance.state_reason = None;
    if instance.lends_public
        && let Some(interface) = network_interfaces::of_instance(tx, instance.id).first()
    {
        addresses::lend_public(tx, interface.id)?;
    }
    Ok(())
}

/// Stops running instances: the guest is asked, and powered off after a grace time.
///
/// # Errors
/// One can't be stopped from its state, or is protected: then none is.
pub fn stop_instances(
    tx: &mut Tx,
    request: &Request,
    input: StopInstancesRequest,
) -> Result<StopInstancesResult, Fault> {
    let StopInstancesRequest { instance_ids, hibernate, skip_os_shutdown, dry_run: _, force } =
        input;
    let at_once = force.unwrap_or(false) || skip_os_shutdown.unwrap_or(false);
    let mut changes = Vec::new();
    for mut instance in named(tx, request, instance_ids)? {
        let (id, before) = (instance.id, instance.state);
        if hibernate.unwrap_or(false) {
            return Err(Fault::sender(
                "UnsupportedHibernationConfiguration",
                format!("The instance {id} is not configured for hibernation."),
            ));
        }
        if instance.stop_protection && before.request(Ask::Stop) != Asked::Refused {
            return Err(protected(&instance, "stopped", "disableApiStop"));
        }
        match before.request(Ask::Stop) {
            Asked::Becomes(state) => {
                hosts::set_state(tx, &mut instance, state);
                by_user(tx, &mut instance);
                instance.grace_ms = if at_once { 0 } else { STOP_GRACE_MS };
                if instance.ended {
                    observe::stopped(tx, &mut instance);
                }
            }
            Asked::Already => {
                if at_once {
                    instance.grace_ms = 0;
                }
            }
            Asked::Refused if !instance.has_run && before == InstanceState::Pending => {
                return Err(errors::incorrect_instance_state(format!(
                    "The instance '{id}' cannot be stopped as it has never reached the 'running' \
                     state."
                )));
            }
            Asked::Refused => return Err(refused(&instance, "stopped")),
        }
        changes.push(change(&instance, before));
        tx.put(instance);
    }
    Ok(StopInstancesResult { stopping_instances: Some(changes) })
}

/// Stops what runs in accounts that were closed: nobody could any more.
pub fn stop_closed(tx: &mut Tx) {
    let closed = tx.iter::<iam::Account>().filter(|account| account.closed.is_some());
    let closed = closed.map(|account| account.id).collect::<BTreeSet<_>>();
    if closed.is_empty() {
        return;
    }
    let running = tx.iter::<Instance>().filter(|row| row.state == InstanceState::Running);
    let running = running.filter(|row| closed.contains(&row.scope.account));
    for mut instance in running.map(|row| Instance::clone(row)).collect::<Vec<_>>() {
        if let Asked::Becomes(state) = instance.state.request(Ask::Stop) {
            hosts::set_state(tx, &mut instance, state);
            by_user(tx, &mut instance);
            instance.grace_ms = STOP_GRACE_MS;
            if instance.ended {
                observe::stopped(tx, &mut instance);
            }
            tx.put(instance);
        }
    }
}

fn by_user(tx: &Tx, instance: &mut Instance) {
    instance.transition_reason = user_initiated(tx.now());
    instance.state_reason = Some((
        "Client.UserInitiatedShutdown".to_owned(),
        "Client.UserInitiatedShutdown: User initiated shutdown".to_owned(),
    ));
}

fn protected(instance: &Instance, verb: &str, attribute: &str) -> Fault {
    let id = instance.id;
    Fault::sender(
        "OperationNotPermitted",
        format!(
            "The instance '{id}' may not be {verb}. Modify its '{attribute}' instance attribute \
             and try again."
        ),
    )
}

/// Reboots running instances; asked of a terminated one, nothing happens.
///
/// # Errors
/// One is stopped: then none is rebooted.
pub fn reboot_instances(
    tx: &mut Tx,
    request: &Request,
    input: RebootInstancesRequest,
) -> Result<RebootInstancesResponse, Fault> {
    let RebootInstancesRequest { instance_ids, dry_run: _ } = input;
    for mut instance in named(tx, request, instance_ids)? {
        match instance.state.request(Ask::Reboot) {
            Asked::Becomes(_) => instance.reboots += 1,
            Asked::Already => {}
            Asked::Refused => return Err(refused(&instance, "rebooted")),
        }
        tx.put(instance);
    }
    Ok(RebootInstancesResponse {})
}

/// Terminates instances; asked again, nothing happens. A protected instance keeps those of its zone
/// that are named with it, and the call answers so; those of other zones are terminated all the same.
///
/// # Errors
/// An instance doesn't exist: then none is terminated.
pub fn terminate_instances(
    tx: &mut Tx,
    request: &Request,
    input: TerminateInstancesRequest,
) -> Result<InPart<TerminateInstancesResult>, Fault> {
    let TerminateInstancesRequest { instance_ids, force, skip_os_shutdown, dry_run: _ } = input;
    let grace_ms =
        if force.unwrap_or(false) || skip_os_shutdown.unwrap_or(false) { 0 } else { STOP_GRACE_MS };
    let instances = named(tx, request, instance_ids)?;
    let kept = instances.iter().filter(|instance| {
        instance.termination_protection && instance.state != InstanceState::Terminated
    });
    let fault = kept.clone().next().map(|at| protected(at, "terminated", "disableApiTermination"));
    let zones = kept.map(|instance| instance.zone.clone()).collect::<BTreeSet<_>>();
    let mut changes = Vec::new();
    for mut instance in instances.into_iter().filter(|instance| !zones.contains(&instance.zone)) {
        let before = instance.state;
        terminate(tx, &mut instance, grace_ms);
        changes.push(change(&instance, before));
        tx.put(instance);
    }
    match fault {
        Some(fault) => Ok(Err(fault)),
        None => Ok(Ok(TerminateInstancesResult { terminating_instances: Some(changes) })),
    }
}

fn terminate(tx: &mut Tx, instance: &mut Instance, grace_ms: u32) {
    match instance.state.request(Ask::Terminate) {
        Asked::Becomes(InstanceState::Terminated) => {
            by_user(tx, instance);
            observe::terminated(tx, instance);
        }
        Asked::Becomes(state) => {
            hosts::set_state(tx, instance, state);
            by_user(tx, instance);
            instance.grace_ms = grace_ms;
            // Its VM had ended, and would not be reported again.
            if instance.ended {
                observe::terminated(tx, instance);
            }
        }
        Asked::Already | Asked::Refused => {}
    }
}

fn monitor(
    tx: &mut Tx,
    request: &Request,
    ids: Option<Vec<String>>,
    detailed: bool,
) -> Result<Vec<InstanceMonitoring>, Fault> {
    let state = if detailed { MonitoringState::Pending } else { MonitoringState::Disabling };
    let mut all = Vec::new();
    for mut instance in named(tx, request, ids)? {
        instance.detailed_monitoring = detailed;
        all.push(InstanceMonitoring {
            instance_id: Some(instance.id.to_string()),
            monitoring: Some(Monitoring { state: Some(state) }),
        });
        tx.put(instance);
    }
    Ok(all)
}

/// Switches detailed monitoring on.
///
/// # Errors
/// An instance doesn't exist.
pub fn monitor_instances(
    tx: &mut Tx,
    request: &Request,
    input: MonitorInstancesRequest,
) -> Result<MonitorInstancesResult, Fault> {
    let MonitorInstancesRequest { instance_ids, dry_run: _ } = input;
    let all = monitor(tx, request, instance_ids, true)?;
    Ok(MonitorInstancesResult { instance_monitorings: Some(all) })
}

/// Switches detailed monitoring off.
///
/// # Errors
/// An instance doesn't exist.
pub fn unmonitor_instances(
    tx: &mut Tx,
    request: &Request,
    input: UnmonitorInstancesRequest,
) -> Result<UnmonitorInstancesResult, Fault> {
    let UnmonitorInstancesRequest { instance_ids, dry_run: _ } = input;
    let all = monitor(tx, request, instance_ids, false)?;
    Ok(UnmonitorInstancesResult { instance_monitorings: Some(all) })
}
