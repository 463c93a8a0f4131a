//! Network interfaces that come and go while a VM runs.
//!
//! What the VM shall have is said as a whole, and what it has is asked of QEMU at each connection,
//! so that an agent that died in between does no harm. One interface is added at a time; one that
//! is to go is asked of the guest again and again, since a guest that boots does not hear it.

use super::args::interface_device;
use crate::{qmp::Command, record::VmRecord, spec::NicSpec};
use contracts::machine::SPARE_SLOTS;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use types::NetworkInterfaceId;

/// When a guest is asked again to let go of a device.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// When a device that QEMU refused is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// How QEMU is told of interfaces.
#[derive(Debug, Clone, Copy)]
pub struct Wiring {
    /// It takes `reconnect-ms`, and no longer `reconnect`.
    pub reconnect_ms: bool,
    /// Interfaces must use legacy interrupts.
    pub legacy_interrupts: bool,
}

/// What an answer of QEMU's is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The list of devices.
    Devices,
    /// An interface was to be added.
    Added(NetworkInterfaceId),
    /// Its answer doesn't matter: a failure shows in what follows.
    Nothing,
}

/// The interfaces of a running VM.
#[derive(Debug)]
pub struct Plug {
    wiring: Wiring,
    /// What the VM shall have; none = nobody has said.
    wanted: Option<Vec<NicSpec>>,
    /// What QEMU says it has; none = it was not asked yet.
    present: Option<BTreeSet<NetworkInterfaceId>>,
    /// The one that is being added.
    adding: Option<NetworkInterfaceId>,
    /// When the guest is asked again to let go.
    going: BTreeMap<NetworkInterfaceId, Instant>,
    /// When one that QEMU refused is tried again.
    refused: BTreeMap<NetworkInterfaceId, Instant>,
}

impl Plug {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(wiring: Wiring) -> Self {
        Self {
            wiring,
            wanted: None,
            present: None,
            adding: None,
            going: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Says what the VM shall have.
    pub fn want(&mut self, nics: Vec<NicSpec>) {
        self.wanted = Some(nics);
        self.refused.clear();
    }

    /// A new connection: what was asked on the last one may never be answered.
    pub fn connected(&mut self) -> (Command, Asked) {
        self.present = None;
        self.adding = None;
        self.going.clear();
        (Command::Devices, Asked::Devices)
    }

    /// When there is something to do.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.wanted.as_ref()?;
        self.present.as_ref()?;
        self.going.values().chain(self.refused.values()).min().copied()
    }

    /// What the VM has, once that is known.
    #[must_use]
    pub fn present(&self) -> Option<&BTreeSet<NetworkInterfaceId>> {
        self.present.as_ref()
    }

    /// Takes QEMU's list of devices; whether it is news.
    pub fn heed_devices(&mut self, names: &[&str], record: &mut VmRecord) -> bool {
        let present = names.iter().filter_map(|name| name.parse().ok());
        let present: BTreeSet<NetworkInterfaceId> = present.collect();
        for nic in self.wanted.iter().flatten() {
            if present.contains(&nic.port) && !record.spec.nics.iter().any(|n| n.port == nic.port) {
                record.spec.nics.push(nic.clone());
            }
        }
        self.adding = self.adding.filter(|port| !present.contains(port));
        record.spec.nics.retain(|nic| present.contains(&nic.port));
        let news = self.present.as_ref() != Some(&present);
        self.present = Some(present);
        news
    }

    /// Takes QEMU's answer about an interface that was to be added; what to ask next.
    pub fn heed_added(
        &mut self,
        port: NetworkInterfaceId,
        refused: bool,
        record: &mut VmRecord,
        now: Instant,
    ) -> Vec<(Command, Asked)> {
        if !refused {
            return vec![(Command::Devices, Asked::Devices)];
        }
        if self.adding == Some(port) {
            self.adding = None;
        }
        record.free_slot(&port.to_string());
        self.refused.insert(port, now + TRY_AGAIN);
        remove_backend(port)
    }

    /// The guest has let go of a device; what to ask next.
    pub fn heed_deleted(&mut self, name: &str, record: &mut VmRecord) -> Vec<(Command, Asked)> {
        let Ok(port) = name.parse::<NetworkInterfaceId>() else { return Vec::new() };
        self.going.remove(&port);
        record.free_slot(name);
        let mut commands = remove_backend(port);
        commands.push((Command::Devices, Asked::Devices));
        commands
    }

    /// What is to be asked of QEMU now.
    pub fn act(&mut self, record: &mut VmRecord, now: Instant) -> Vec<(Command, Asked)> {
        let (Some(wanted), Some(present)) = (&self.wanted, &self.present) else {
            return Vec::new();
        };
        let mut commands = Vec::new();
        // A device that went while nobody listened has left its backend.
        let held = record.slots.iter().flatten().filter_map(|name| name.parse().ok());
        let left = held.filter(|port| !present.contains(port) && self.adding != Some(*port));
        for port in left.collect::<Vec<NetworkInterfaceId>>() {
            record.free_slot(&port.to_string());
            commands.extend(remove_backend(port));
        }
        let gone = present.iter().filter(|port| !wanted.iter().any(|nic| nic.port == **port));
        for port in gone.copied().collect::<Vec<_>>() {
            if self.going.get(&port).is_none_or(|again| *again <= now) {
                self.going.insert(port, now + ASK_AGAIN);
                commands.push((Command::RemoveDevice(port.to_string()), Asked::Nothing));
            }
        }
        self.going.retain(|port, _| !wanted.iter().any(|nic| nic.port == *port));
        self.refused
            .retain(|port, again| *again > now && wanted.iter().any(|nic| nic.port == *port));
        if self.adding.is_some() {
            return commands;
        }
        let missing =
            |nic: &&NicSpec| !present.contains(&nic.port) && !self.refused.contains_key(&nic.port);
        let Some(nic) = wanted.iter().find(missing) else { return commands };
        let id = nic.port.to_string();
        let Some(slot) = record.take_slot(&id) else {
            log::warn!("{}: no slot is free for {id}", record.spec.instance);
            self.refused.insert(nic.port, now + TRY_AGAIN);
            return commands;
        };
        self.adding = Some(nic.port);
        commands.push((
            Command::AddSocket {
                id: format!("wire-{id}"),
                path: nic.socket.clone(),
                reconnect_ms: self.wiring.reconnect_ms,
            },
            Asked::Nothing,
        ));
        let netdev = Command::AddNetdev { id: format!("net-{id}"), socket: format!("wire-{id}") };
        commands.push((netdev, Asked::Nothing));
        let device = interface_device(nic, slot, self.wiring.legacy_interrupts);
        commands.push((Command::AddDevice(device), Asked::Added(nic.port)));
        commands
    }
}

/// A slot for each device that a VM starts with, and spare ones.
#[must_use]
pub fn slots(spec: &crate::VmSpec) -> Vec<Option<String>> {
    let disks = spec.disks.iter().map(|disk| Some(format!("disk-{}", disk.volume)));
    let nics = spec.nics.iter().map(|nic| Some(nic.port.to_string()));
    let spare = usize::from(spec.spare_slots.unwrap_or(SPARE_SLOTS));
    disks.chain(nics).chain(std::iter::repeat_n(None, spare)).collect()
}

/// `netdev_del` takes the socket along in newer versions; that it is gone then is no harm.
fn remove_backend(port: NetworkInterfaceId) -> Vec<(Command, Asked)> {
    vec![
        (Command::RemoveNetdev(format!("net-{port}")), Asked::Nothing),
        (Command::RemoveSocket(format!("wire-{port}")), Asked::Nothing),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmSpec;
    use contracts::host::OffReason;
    use types::{InstanceId, Mac, ResourceId as _, Timestamp};

    const WIRING: Wiring = Wiring { reconnect_ms: false, legacy_interrupts: true };

    fn nic(number: u64) -> NicSpec {
        let port = NetworkInterfaceId::from_number(number);
        NicSpec { port, socket: format!("/run/{number}").into(), mac: Mac([2; 6]), mtu: 9001 }
    }

    fn name(number: u64) -> String {
        nic(number).port.to_string()
    }

    /// A VM that was started with interface 1.
    fn record() -> VmRecord {
        let spec = VmSpec {
            instance: InstanceId::from_number(1),
            incarnation: 1,
            instance_type: "t3.micro".to_owned(),
            vcpus: 1,
            threads_per_core: 1,
            memory_mib: 512,
            disks: Vec::new(),
            nics: vec![nic(1)],
            spare_slots: Some(1),
            uid: None,
        };
        VmRecord {
            slots: slots(&spec),
            spec,
            process: None,
            boot_id: String::new(),
            reboots: 0,
            ending: None,
            ended: None::<OffReason>,
            at: Timestamp::from_millis(0),
        }
    }

    fn about(commands: &[(Command, Asked)]) -> Vec<Asked> {
        commands.iter().map(|(_, asked)| *asked).collect()
    }

    #[test]
    fn one_comes_and_goes() {
        let (mut plug, mut record, now) = (Plug::new(WIRING), record(), Instant::now());
        plug.want(vec![nic(1), nic(2)]);
        assert_eq!(plug.act(&mut record, now), [], "nobody knows what it has");
        assert_eq!(plug.connected(), (Command::Devices, Asked::Devices));
        assert!(plug.heed_devices(&[&name(1), "disk-vol-1"], &mut record));
        let commands = plug.act(&mut record, now);
        let added = Asked::Added(nic(2).port);
        assert_eq!(about(&commands), [Asked::Nothing, Asked::Nothing, added]);
        let (Command::AddDevice(device), _) = &commands[2] else { panic!("{commands:?}") };
        assert_eq!((&device["bus"], &device["vectors"]), (&"slot1".into(), &0.into()));
        assert_eq!(plug.act(&mut record, now), [], "it is under way");
        assert_eq!(about(&plug.heed_added(nic(2).port, false, &mut record, now)), [Asked::Devices]);
        assert_eq!(plug.act(&mut record, now), [], "QEMU has not said yet that it is there");
        assert!(plug.heed_devices(&[&name(1), &name(2)], &mut record));
        assert_eq!(record.spec.nics, [nic(1), nic(2)]);
        assert_eq!(plug.act(&mut record, now), []);

        plug.want(vec![nic(1)]);
        let remove = [(Command::RemoveDevice(name(2)), Asked::Nothing)];
        assert_eq!(plug.act(&mut record, now), remove);
        assert_eq!(plug.act(&mut record, now), [], "the guest is given time");
        assert_eq!(plug.due(), Some(now + ASK_AGAIN));
        assert_eq!(plug.act(&mut record, now + ASK_AGAIN), remove, "it did not hear");
        let gone = plug.heed_deleted(&name(2), &mut record);
        assert_eq!(about(&gone), [Asked::Nothing, Asked::Nothing, Asked::Devices]);
        assert!(plug.heed_devices(&[&name(1)], &mut record));
        assert_eq!(record.spec.nics, [nic(1)]);
        assert_eq!(record.slots, [Some(name(1)), None], "the slot is free again");
        assert_eq!(plug.act(&mut record, now), []);
    }

    #[test]
    fn what_qemu_refuses_is_tried_again() {
        let (mut plug, mut record, now) = (Plug::new(WIRING), record(), Instant::now());
        plug.heed_devices(&[&name(1)], &mut record);
        plug.want(vec![nic(1), nic(2), nic(3)]);
        plug.act(&mut record, now);
        let undo = plug.heed_added(nic(2).port, true, &mut record, now);
        assert_eq!(undo.len(), 2, "its network and its socket");
        let commands = plug.act(&mut record, now);
        assert_eq!(commands.last().map(|(_, asked)| *asked), Some(Asked::Added(nic(3).port)));
        plug.heed_added(nic(3).port, false, &mut record, now);
        plug.heed_devices(&[&name(1), &name(3)], &mut record);
        let later = plug.due().unwrap();
        assert_eq!(plug.act(&mut record, later), [], "no slot is left");
        plug.want(vec![nic(1), nic(2)]);
        assert_eq!(plug.act(&mut record, later).len(), 1, "3 is to go first");
        plug.heed_deleted(&name(3), &mut record);
        plug.heed_devices(&[&name(1)], &mut record);
        let commands = plug.act(&mut record, later + TRY_AGAIN);
        assert_eq!(commands.last().map(|(_, asked)| *asked), Some(Asked::Added(nic(2).port)));
    }

    #[test]
    fn after_a_crash_of_ours_qemu_is_asked() {
        let (mut plug, mut record, now) = (Plug::new(WIRING), record(), Instant::now());
        // 2 was added, and nobody lived to hear of it; or it went.
        record.take_slot(&name(2)).unwrap();
        plug.want(vec![nic(1), nic(2)]);
        plug.heed_devices(&[&name(1), &name(2)], &mut record);
        assert_eq!(plug.act(&mut record, now), []);
        assert_eq!(record.spec.nics, [nic(1), nic(2)]);
        plug.connected();
        plug.want(vec![nic(1)]);
        plug.heed_devices(&[&name(1)], &mut record);
        assert_eq!(plug.act(&mut record, now), remove_backend(nic(2).port));
        assert_eq!(record.slots, [Some(name(1)), None]);
    }
}
