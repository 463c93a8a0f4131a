//! The simulated driver outlives its process.

use crate::{next, spec};
use contracts::host::OffReason;
use hypervisor::{Event, Hypervisor, simulated::Simulated};
use std::{sync::mpsc, time::Duration};

#[test]
fn vms_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, events) = mpsc::channel();
    let first = Simulated::new(folder.path(), sender.clone()).unwrap();
    for number in 1..=3 {
        first.launch(&spec(number), 0).unwrap();
    }
    first.stop(spec(2).instance, Duration::ZERO);
    let off =
        Event::Off { instance: spec(2).instance, incarnation: 1, reason: OffReason::Requested };
    assert_eq!(next(&events), off);
    first.reboot(spec(1).instance, 5, Duration::ZERO);
    first.forget(spec(3).instance);
    drop(first);

    let found = Simulated::new(folder.path(), sender).unwrap().adopt();
    let seen: Vec<_> = found.iter().map(|vm| (vm.instance, vm.reboots, vm.ended.clone())).collect();
    assert_eq!(
        seen,
        [(spec(1).instance, 5, None), (spec(2).instance, 0, Some(OffReason::Requested))]
    );
}

#[test]
fn the_file_stays_short() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, _events) = mpsc::channel();
    let driver = Simulated::new(folder.path(), sender.clone()).unwrap();
    for number in 0..6000 {
        driver.launch(&spec(number), 0).unwrap();
        if number >= 10 {
            driver.forget(spec(number).instance);
        }
    }
    let text = std::fs::read_to_string(folder.path().join("simulated.jsonl")).unwrap();
    assert!(text.lines().count() <= 4100, "{}", text.lines().count());
    drop(driver);
    let found = Simulated::new(folder.path(), sender).unwrap().adopt();
    assert_eq!(found.len(), 10);
}
