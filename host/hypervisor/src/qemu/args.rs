//! QEMU's command line for a VM.

use super::{features::Features, plug};
use crate::{
    Accelerator,
    spec::{NicSpec, VmSpec},
};
use serde_json::{Value, json};
use std::{os::fd::RawFd, path::Path};

/// How long reads and writes wait for a restarting EBS card, seconds.
const DISK_PATIENCE_S: u32 = 3600;

/// Descriptors that QEMU inherits; it opens nothing in our folders itself.
#[derive(Debug, Clone, Copy)]
pub struct Inherited {
    /// Listening socket of our QMP connection.
    pub control: RawFd,
    /// Listening socket of a QMP connection for people and tests.
    pub people: RawFd,
    /// Listening socket of the serial port.
    pub serial: RawFd,
    /// The serial port's log, append only.
    pub console: RawFd,
}

/// Choices that hold for all VMs of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// What executes the guests.
    pub accelerator: Accelerator,
    /// The processor model under TCG.
    pub tcg_cpu: String,
}

/// TCG's code cache for a VM, MiB: in proportion to its memory, since QEMU never gives back what
/// it has used of it, which soon is all. A cache that is too small is emptied in the middle of a
/// boot and filled again: with 24 instead of 32 MiB the tiny image is up a second later.
fn tcg_cache_mib(memory_mib: u64) -> u64 {
    (memory_mib / 32).clamp(16, 256)
}

/// Memory that QEMU takes for translated code, MiB.
#[must_use]
pub fn cache_mib(spec: &VmSpec, tuning: &Tuning) -> u64 {
    match tuning.accelerator {
        Accelerator::Tcg => tcg_cache_mib(spec.memory_mib),
        Accelerator::Kvm | Accelerator::Simulated => 0,
    }
}

/// In QEMU's comma-separated options a comma is written twice.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The arguments, without the program's own name.
#[must_use]
pub fn arguments(
    spec: &VmSpec,
    tuning: &Tuning,
    features: &Features,
    fds: Inherited,
) -> Vec<String> {
    let mut args = Args(Vec::new());
    args.option("-name", format!("guest={},debug-threads=on", spec.instance));
    for flag in ["-nodefaults", "-no-user-config", "-no-shutdown"] {
        args.0.push(flag.to_owned());
    }
    args.option("-display", "none");
    args.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    args.processor(spec, tuning);
    args.identity(spec);
    args.monitors(fds);
    args.option("-boot", "strict=on,menu=off");
    args.option("-device", "virtio-rng-pci");
    for slot in 0..plug::slots(spec).len() {
        args.device(&json!({
            "driver": "pcie-root-port", "id": format!("slot{slot}"), "bus": "pcie.0",
            "chassis": slot + 1, "slot": slot + 1,
        }));
    }
    for (index, disk) in spec.disks.iter().enumerate() {
        let node = disk.volume.to_string();
        args.json(
            "-blockdev",
            &json!({
                "driver": "nbd", "node-name": node, "export": disk.export,
                "server": { "type": "unix", "path": disk.socket },
                "reconnect-delay": DISK_PATIENCE_S, "discard": "unmap",
                "cache": { "direct": true, "no-flush": false },
            }),
        );
        let mut device = json!({
            "driver": "nvme", "id": format!("disk-{node}"), "drive": node,
            "serial": node.replace('-', ""), "bus": format!("slot{index}"),
            "bootindex": index + 1,
            // The device would ignore FUA: what a guest writes with it must not wait for a flush.
            "write-cache": "off",
        });
        if features.nvme_model {
            put(&mut device, "model", json!("Amazon Elastic Block Store"));
        }
        args.device(&device);
    }
    args.interfaces(spec, tuning, features);
    args.0
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

struct Args(Vec<String>);

impl Args {
    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }

    fn json(&mut self, name: &str, value: &Value) {
        self.option(name, value.to_string());
    }

    fn device(&mut self, value: &Value) {
        self.json("-device", value);
    }

    fn processor(&mut self, spec: &VmSpec, tuning: &Tuning) {
        // Without what an EC2 instance doesn't have: each device costs memory and boot time.
        self.option(
            "-machine",
            "q35,memory-backend=memory,usb=off,vmport=off,smbus=off,sata=off,smm=off,hpet=off,\
             dump-guest-core=off",
        );
        if tuning.accelerator == Accelerator::Kvm {
            self.option("-accel", "kvm");
            self.option("-cpu", "host");
        } else {
            let cache = cache_mib(spec, tuning);
            self.option("-accel", format!("tcg,thread=multi,tb-size={cache}"));
            self.option("-cpu", tuning.tcg_cpu.clone());
        }
        // TCG's processor models know no threads, and QEMU complains if there are any.
        let kvm = tuning.accelerator == Accelerator::Kvm;
        let threads = if kvm { spec.threads_per_core.max(1) } else { 1 };
        // A type with an odd number of vCPUs has no threads.
        let threads = if spec.vcpus.is_multiple_of(threads) { threads } else { 1 };
        let cores = (spec.vcpus / threads).max(1);
        self.option(
            "-smp",
            format!("{},sockets=1,cores={cores},threads={threads}", cores * threads),
        );
        self.option("-m", format!("{}M", spec.memory_mib));
        // The VPC card maps the guest's memory, hence shared.
        self.option(
            "-object",
            format!("memory-backend-memfd,id=memory,size={}M,share=on", spec.memory_mib),
        );
        self.option("-rtc", "base=utc");
        self.option("-global", "ICH9-LPC.disable_s3=1");
        self.option("-global", "ICH9-LPC.disable_s4=1");
    }

    fn identity(&mut self, spec: &VmSpec) {
        let uuid = spec.uuid();
        self.option("-uuid", uuid.clone());
        self.option("-smbios", "type=0,vendor=Amazon EC2,version=1.0");
        self.option(
            "-smbios",
            format!(
                "type=1,manufacturer=Amazon EC2,product={},serial={uuid},uuid={uuid}",
                spec.instance_type
            ),
        );
        self.option("-smbios", format!("type=2,manufacturer=Amazon EC2,asset={}", spec.instance));
        self.option("-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2");
    }

    fn monitors(&mut self, fds: Inherited) {
        for (id, fd) in [("control", fds.control), ("people", fds.people)] {
            self.option("-chardev", format!("socket,id={id},fd={fd},server=on,wait=off"));
            self.option("-mon", format!("chardev={id},mode=control"));
        }
        self.option("-add-fd", format!("fd={},set=1", fds.console));
        self.option(
            "-chardev",
            format!(
                "socket,id=serial,fd={},server=on,wait=off,logfile=/dev/fdset/1,logappend=on",
                fds.serial
            ),
        );
        self.option("-serial", "chardev:serial");
    }

    fn interfaces(&mut self, spec: &VmSpec, tuning: &Tuning, features: &Features) {
        for (index, nic) in spec.nics.iter().enumerate() {
            let id = nic.port.to_string();
            let reconnect = if features.reconnect_ms { "reconnect-ms=500" } else { "reconnect=1" };
            self.option(
                "-chardev",
                format!("socket,id=wire-{id},path={},{reconnect}", escape(&nic.socket)),
            );
            self.option("-netdev", format!("vhost-user,id=net-{id},chardev=wire-{id}"));
            let legacy = legacy_interrupts(tuning, features);
            self.device(&interface_device(nic, spec.disks.len() + index, legacy));
        }
    }
}

/// Whether interfaces must use legacy interrupts: QEMU before 10.0 crashes when a guest unmasks
/// MSI-X of a vhost-user interface without KVM's irqfd.
#[must_use]
pub fn legacy_interrupts(tuning: &Tuning, features: &Features) -> bool {
    tuning.accelerator != Accelerator::Kvm && features.version < (10, 0)
}

/// An interface as QEMU's device, in a slot.
#[must_use]
pub fn interface_device(nic: &NicSpec, slot: usize, legacy_interrupts: bool) -> Value {
    let id = nic.port.to_string();
    let mut device = json!({
        "driver": "virtio-net-pci", "id": id, "netdev": format!("net-{id}"),
        "mac": nic.mac, "host_mtu": nic.mtu, "romfile": "", "bus": format!("slot{slot}"),
    });
    if legacy_interrupts {
        put(&mut device, "vectors", json!(0));
    }
    device
}
