//! Hosts: what they have, what of it is sold, and which one an instance goes to.

use crate::{
    Settings,
    compute::instances::{self, Instance, InstanceState},
    ebs::volumes,
    errors,
};
use contracts::host::{Capacity, Observed};
use serde::{Deserialize, Serialize};
use shapes::Fault;
use state::{Row, State, Tx};
use std::fmt::Write as _;
use types::{Scope, Timestamp};

/// A host that runs instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name in the cloud.
    pub name: String,
    /// What it has, as it last reported.
    pub capacity: Capacity,
    /// Whether its agent is connected.
    pub connected: bool,
    /// Whether its VMs shall be off because the cloud is shut down, and how long their guests may
    /// take, milliseconds. The instances stay `running`: they start again with the cloud.
    pub down: Option<u32>,
    /// Since when the above holds.
    pub since: Timestamp,
    /// What instances hold.
    pub used: Share,
}

/// A share of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// vCPUs.
    pub vcpus: u32,
    /// MiB.
    pub memory_mib: u64,
}

impl Row for Host {
    const TABLE: &'static str = "host";
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
}

/// What the instance holds of its host while it is not off.
#[must_use]
pub fn share(instance: &Instance) -> Share {
    Share { vcpus: instance.vcpus(), memory_mib: instance.memory_mib }
}

/// Moves an instance to a state: the only way to change it, since its host's share follows.
pub fn set_state(tx: &mut Tx, instance: &mut Instance, state: InstanceState) {
    let held = instance.state.holds_capacity();
    instance.state = state;
    match (held, state.holds_capacity()) {
        (true, false) => release(tx, instance),
        (false, true) => take(tx, instance),
        (true, true) | (false, false) => {}
    }
}

/// Books an instance's share on its host.
pub fn take(tx: &mut Tx, instance: &Instance) {
    let share = share(instance);
    tx.update::<Host>(&instance.host, |host| {
        host.used.vcpus += share.vcpus;
        host.used.memory_mib += share.memory_mib;
    });
}

fn release(tx: &mut Tx, instance: &Instance) {
    let share = share(instance);
    tx.update::<Host>(&instance.host, |host| {
        host.used.vcpus = host.used.vcpus.saturating_sub(share.vcpus);
        host.used.memory_mib = host.used.memory_mib.saturating_sub(share.memory_mib);
    });
}

/// What a host may sell.
fn for_sale(host: &Host, settings: &Settings) -> Share {
    Share {
        vcpus: host.capacity.vcpus.saturating_mul(settings.vcpu_overcommit),
        memory_mib: host.capacity.memory_mib * u64::from(settings.memory_overcommit_percent) / 100,
    }
}

/// How many of the wanted instances fit on one host, and which: the one with most memory left.
///
/// # Errors
/// Not even `min` fit: `InsufficientInstanceCapacity`, saying what is free and what to do.
pub fn place(state: &State, each: Share, min: u32, max: u32) -> Result<(String, u32), Fault> {
    let settings = Settings::of(state);
    let mut best: Option<(u32, u64, &Host)> = None;
    let mut offers = String::new();
    for host in state.iter::<Host>() {
        let sale = for_sale(host, &settings);
        let vcpus = sale.vcpus.saturating_sub(host.used.vcpus);
        let memory_mib = sale.memory_mib.saturating_sub(host.used.memory_mib);
        let fit = u64::from(vcpus / each.vcpus.max(1)).min(memory_mib / each.memory_mib.max(1));
        let fit = u32::try_from(fit).unwrap_or(u32::MAX).min(max);
        // A type with more vCPUs than the host has processors would only wait for itself.
        let fit = if each.vcpus > sale.vcpus { 0 } else { fit };
        let _ = write!(
            offers,
            " Host {} has {vcpus} of {} vCPUs ({} processors, sold {} times) and {memory_mib} of \
             {} MiB free.",
            host.name, sale.vcpus, host.capacity.vcpus, settings.vcpu_overcommit, sale.memory_mib
        );
        if best.is_none_or(|(most, free, _)| (fit, memory_mib) > (most, free)) {
            best = Some((fit, memory_mib, host));
        }
    }
    match best {
        Some((fit, _, host)) if fit >= min => Ok((host.name.clone(), fit)),
        Some(_) => Err(errors::insufficient_capacity(format!(
            "We currently do not have sufficient capacity for {min} instance(s) of {} vCPUs and {} \
             MiB.{offers} Choose a smaller instance type, or stop or terminate other instances.",
            each.vcpus, each.memory_mib
        ))),
        None => Err(errors::insufficient_capacity(
            "No host has joined the cloud yet. Wait a moment, or look at 'fogbank status'.",
        )),
    }
}

/// Whether one more instance of this size fits on the host.
///
/// # Errors
/// It doesn't: `InsufficientInstanceCapacity`.
pub fn place_again(state: &State, instance: &Instance) -> Result<(), Fault> {
    let settings = Settings::of(state);
    let share = share(instance);
    let fits = state.get::<Host>(&instance.host).is_some_and(|host| {
        let sale = for_sale(host, &settings);
        host.used.vcpus + share.vcpus <= sale.vcpus
            && host.used.memory_mib + share.memory_mib <= sale.memory_mib
    });
    if fits { Ok(()) } else { place(state, share, 1, 1).map(|_| ()) }
}

/// Takes a fact that a host reports.
pub fn observe(tx: &mut Tx, host: &str, observed: Observed) {
    match observed {
        Observed::Host(capacity) => joined(tx, host, capacity),
        Observed::Machine(machine) => instances::machine_observed(tx, host, &machine),
        Observed::Volume(volume) => volumes::observe(tx, &volume),
        Observed::Complete => {}
    }
}

fn joined(tx: &mut Tx, name: &str, capacity: Capacity) {
    let since = tx.now();
    let known = tx.get::<Host>(&name.to_owned());
    let used = known.map(|host| host.used).unwrap_or_default();
    // A cloud that is being shut down goes on with that if its agent comes back meanwhile.
    let down = known.and_then(|host| host.down);
    tx.put(Host { name: name.to_owned(), capacity, connected: true, down, since, used });
}

/// Notes that a host's agent is gone. Its instances run on.
pub fn left(tx: &mut Tx, name: &str) {
    let since = tx.now();
    tx.update::<Host>(&name.to_owned(), |host| {
        host.connected = false;
        host.since = since;
    });
}

fn set_down(tx: &mut Tx, down: Option<u32>) -> Vec<String> {
    let names = tx.iter::<Host>().map(|host| host.name.clone()).collect::<Vec<_>>();
    for name in &names {
        tx.update::<Host>(name, |host| host.down = down);
    }
    names
}

/// Shuts all VMs of all hosts down; the instances stay `running`, until [`start_up`].
pub fn shut_down(tx: &mut Tx) {
    set_down(tx, Some(instances::STOP_GRACE_MS));
}

/// As [`shut_down`], for guests that did not follow: their VMs are powered off.
pub fn power_off(tx: &mut Tx) {
    set_down(tx, Some(0));
}

/// Ends a shut-down: the instances that should run start again.
pub fn start_up(tx: &mut Tx) {
    for name in set_down(tx, None) {
        instances::restart_ended(tx, &name);
    }
}

/// The instances whose VMs have not ended yet.
#[must_use]
pub fn vms_left(state: &State) -> usize {
    state.iter::<Instance>().filter(|row| row.state.holds_capacity() && !row.ended).count()
}
