//! The command line, word for word.

use crate::spec;
use hypervisor::{
    Accelerator, DiskSpec, NicSpec, VmSpec,
    qemu::{
        args::{Inherited, Tuning, arguments},
        features::Features,
    },
};
use types::{Mac, NetworkInterfaceId, ResourceId, VolumeId};

const FDS: Inherited = Inherited { control: 10, people: 11, serial: 12, console: 13 };

fn full() -> VmSpec {
    let mut spec = spec(0x1234_5678_9abc_def0);
    spec.disks.push(DiskSpec {
        volume: VolumeId::from_number(0x11),
        socket: "/run/fb/nbd.sock".into(),
        export: "secret".to_owned(),
    });
    spec.nics.push(NicSpec {
        port: NetworkInterfaceId::from_number(0x22),
        socket: "/run/fb/ports/a,b.sock".into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 9001,
    });
    spec
}

fn lines(spec: &VmSpec, accelerator: Accelerator, features: &Features) -> String {
    let tuning = Tuning { accelerator, tcg_cpu: "max".to_owned() };
    let mut text = String::new();
    for argument in arguments(spec, &tuning, features, FDS) {
        let option = argument.starts_with('-');
        text.push_str(if option && !text.is_empty() { "\n" } else { "" });
        text.push_str(if option { "" } else { " " });
        text.push_str(&argument);
    }
    text + "\n"
}

#[test]
fn tcg_on_debian_12() {
    let features = Features { version: (7, 2), reconnect_ms: false, nvme_model: false };
    let text = lines(&full(), Accelerator::Tcg, &features);
    assert_eq!(text, include_str!("arguments.txt"));
}

#[test]
fn kvm_on_newer_qemu() {
    let features = Features { version: (11, 1), reconnect_ms: true, nvme_model: true };
    let text = lines(&full(), Accelerator::Kvm, &features);
    assert!(text.contains("-accel kvm\n-cpu host\n-smp 2,sockets=1,cores=1,threads=2\n"), "{text}");
    assert!(text.contains("reconnect-ms=500"), "{text}");
    assert!(text.contains("Amazon Elastic Block Store"), "{text}");
    assert!(!text.contains("vectors"), "{text}");
}

#[test]
fn threads_divide_the_vcpus() {
    let features = Features { version: (7, 2), reconnect_ms: false, nvme_model: false };
    let mut spec = full();
    spec.vcpus = 3;
    let text = lines(&spec, Accelerator::Kvm, &features);
    assert!(text.contains("-smp 3,sockets=1,cores=3,threads=1\n"), "{text}");
}
