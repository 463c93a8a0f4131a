//! The drivers against fake and real QEMUs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arguments;
mod qemu;
mod qmp;
mod simulated;

use hypervisor::{Event, VmSpec};
use std::{sync::mpsc::Receiver, time::Duration};
use types::{InstanceId, ResourceId};

fn spec(number: u64) -> VmSpec {
    VmSpec {
        instance: InstanceId::from_number(number),
        incarnation: 1,
        instance_type: "t3.micro".to_owned(),
        vcpus: 2,
        threads_per_core: 2,
        memory_mib: 64,
        disks: Vec::new(),
        nics: Vec::new(),
        spare_slots: None,
        uid: None,
    }
}

fn next(events: &Receiver<Event>) -> Event {
    loop {
        let event = events.recv_timeout(Duration::from_secs(60)).expect("an event within a minute");
        // What a VM was started with is said at once, and nobody here asks for more.
        if !matches!(event, Event::Devices { .. }) {
            return event;
        }
    }
}
