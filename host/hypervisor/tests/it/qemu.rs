//! The QEMU driver with real QEMUs, whose guests are firmware that finds no disk.

use crate::{next, spec};
use contracts::host::OffReason;
use hypervisor::{
    Accelerator, Event, Hypervisor,
    qemu::{Config, Qemu, args::Tuning},
    record::VmRecord,
};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

const BINARY: &str = "/usr/bin/qemu-system-x86_64";

/// A driver over a folder; none where there is no QEMU.
fn driver(folder: &Path) -> Option<(Qemu, Receiver<Event>)> {
    if !Path::new(BINARY).exists() {
        return None;
    }
    let (sender, events) = mpsc::channel();
    let config = Config {
        binary: PathBuf::from(BINARY),
        instances: folder.join("instances"),
        sockets: folder.join("run"),
        tuning: Tuning { accelerator: Accelerator::Tcg, tcg_cpu: "max".to_owned() },
        cloud: format!("test-{}", std::process::id()),
    };
    Some((Qemu::new(config, sender).unwrap(), events))
}

fn folder_of(folder: &Path, number: u64) -> PathBuf {
    folder.join("instances").join(spec(number).instance.to_string())
}

fn off(number: u64, reason: OffReason) -> Event {
    Event::Off { instance: spec(number).instance, incarnation: 1, reason }
}

/// Another user, if we may choose one.
fn other_user() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(610_000)
}

#[test]
fn launch_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let Some((qemu, events)) = driver(folder.path()) else { return };
    let mut spec = spec(1);
    spec.uid = other_user();
    qemu.launch(&spec, 0).unwrap();
    assert!(qemu.launch(&spec, 0).is_err(), "an instance has one VM");

    let process = VmRecord::load(&folder_of(folder.path(), 1)).unwrap().process.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    if let Some(uid) = spec.uid {
        assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        assert!(status.contains("CapPrm:\t0000000000000000"), "{status}");
    }

    qemu.stop(spec.instance, Duration::from_secs(600));
    // The firmware hears no power button; a shorter time overrides the longer.
    qemu.stop(spec.instance, Duration::ZERO);
    assert_eq!(next(&events), off(1, OffReason::Requested));
    assert!(!process.is_alive());
    let record = VmRecord::load(&folder_of(folder.path(), 1)).unwrap();
    assert_eq!(record.ended, Some(OffReason::Requested));
    qemu.forget(spec.instance);
    assert!(!folder_of(folder.path(), 1).exists());
}

#[test]
fn a_killed_qemu_is_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let Some((qemu, events)) = driver(folder.path()) else { return };
    qemu.launch(&spec(1), 0).unwrap();
    let process = VmRecord::load(&folder_of(folder.path(), 1)).unwrap().process.unwrap();
    let pid = rustix::process::Pid::from_raw(process.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let Event::Off { reason: OffReason::Crashed(why), .. } = next(&events) else {
        panic!("not a crash");
    };
    assert!(why.contains("signal 9"), "{why}");
}

#[test]
fn a_signal_is_the_hosts_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some((qemu, events)) = driver(folder.path()) else { return };
    qemu.launch(&spec(1), 0).unwrap();
    let process = VmRecord::load(&folder_of(folder.path(), 1)).unwrap().process.unwrap();
    let pid = rustix::process::Pid::from_raw(process.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(next(&events), off(1, OffReason::HostRebooted));
}

#[test]
fn a_graceful_stop_outlives_its_driver() {
    let folder = tempfile::tempdir().unwrap();
    let Some((first, _)) = driver(folder.path()) else { return };
    first.launch(&spec(1), 0).unwrap();
    first.stop(spec(1).instance, Duration::from_secs(600));
    let (second, events) = driver(folder.path()).unwrap();
    assert_eq!(second.adopt()[0].ended, None);
    assert!(events.recv_timeout(Duration::from_secs(6)).is_err(), "it still has time");
    second.stop(spec(1).instance, Duration::ZERO);
    assert_eq!(next(&events), off(1, OffReason::Requested));
}

#[test]
fn a_reboot_resets_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let Some((qemu, events)) = driver(folder.path()) else { return };
    qemu.launch(&spec(1), 0).unwrap();
    qemu.reboot(spec(1).instance, 1, Duration::from_millis(100));
    assert_eq!(next(&events), Event::Reset { instance: spec(1).instance });
    let record = VmRecord::load(&folder_of(folder.path(), 1)).unwrap();
    assert_eq!(record.reboots, 1);
    qemu.stop(spec(1).instance, Duration::ZERO);
    assert_eq!(next(&events), off(1, OffReason::Requested));
}

#[test]
fn another_driver_adopts() {
    let folder = tempfile::tempdir().unwrap();
    let Some((first, _)) = driver(folder.path()) else { return };
    for number in 1..=3 {
        first.launch(&spec(number), 0).unwrap();
    }
    // The third was being started when the agent died; the second is of an earlier boot.
    let edit = |number, change: fn(&mut VmRecord)| {
        let path = folder_of(folder.path(), number);
        let mut record = VmRecord::load(&path).unwrap();
        change(&mut record);
        record.save(&path).unwrap();
    };
    edit(2, |record| record.boot_id = "another".to_owned());
    edit(3, |record| record.process = None);

    let (second, events) = driver(folder.path()).unwrap();
    let mut adopted = second.adopt();
    adopted.sort_by_key(|vm| vm.instance);
    let ended: Vec<_> = adopted.iter().map(|vm| vm.ended.clone()).collect();
    let rebooted = OffReason::HostRebooted;
    assert_eq!(ended, [None, Some(rebooted), None]);
    assert_eq!(adopted[0].spec, Some(spec(1)));

    // Give the first driver's connection up, so that the second's is heard.
    first.stop(spec(2).instance, Duration::ZERO);
    first.stop(spec(1).instance, Duration::ZERO);
    let Event::Off { instance, .. } = next(&events) else { panic!("still on") };
    assert_eq!(instance, spec(1).instance);
    // The second driver has no connection to the third; it is killed in the end.
    second.stop(spec(3).instance, Duration::ZERO);
    assert_eq!(next(&events), off(3, OffReason::Requested));
}

#[test]
fn a_bad_launch_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some((qemu, _events)) = driver(folder.path()) else { return };
    let mut spec = spec(1);
    spec.memory_mib = 1 << 40;
    let error = qemu.launch(&spec, 0).unwrap_err();
    assert!(format!("{error:#}").contains("memory"), "{error:#}");
    let record = VmRecord::load(&folder_of(folder.path(), 1)).unwrap();
    assert!(matches!(record.ended, Some(OffReason::LaunchFailed(_))));
    let alive = record.process.is_some_and(hypervisor::record::Process::is_alive);
    assert!(!alive);
}
