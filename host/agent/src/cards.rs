//! What the two cards shall have, computed from the desired state and the VMs, and sent to them.

use crate::{
    config::Config,
    desired::Desired,
    machines::Machines,
    peer::{Outbox, Peer},
    table::{Standing, Table},
};
use contracts::{
    card::{EbsPatch, EbsRequest, PortConfig, Reply, Service, VolumeConfig, VpcPatch, VpcRequest},
    network::{Group, NatGateway, Subnet, Vpc},
    storage::Volume,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};
use types::{NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId, VolumeId, VpcId};

/// Where guests find their metadata.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const METADATA6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
const METADATA_PORT: u16 = 80;
/// Where a guest reaches AWS's services, without TLS and with it.
const SERVICES: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 250));
const SERVICE_PORTS: [u16; 2] = [80, 443];
/// The names under which it does: AWS's own, and one for all of them.
const SERVICE_NAMES: [&str; 14] = [
    "s3.amazonaws.com",
    "*.s3.amazonaws.com",
    "s3.*.amazonaws.com",
    "*.s3.*.amazonaws.com",
    "s3.fogbank.internal",
    "*.s3.fogbank.internal",
    "fogbank.internal",
    "ec2.amazonaws.com",
    "ec2.*.amazonaws.com",
    "iam.amazonaws.com",
    "iam.*.amazonaws.com",
    "kms.*.amazonaws.com",
    "sts.amazonaws.com",
    "sts.*.amazonaws.com",
];
const SERVICES_HOP_LIMIT: u8 = 64;

/// A card's connection.
#[derive(Debug, Default)]
struct Line {
    outbox: Option<Outbox>,
    /// Whether a request waits for its reply.
    busy: bool,
    /// Whether the card has had a whole configuration since it is there.
    configured: bool,
}

impl Line {
    fn is_free(&self) -> bool {
        self.outbox.is_some() && !self.busy
    }

    fn send(&mut self, request: &impl serde::Serialize) {
        self.busy = self.outbox.as_ref().is_some_and(|outbox| outbox.send(request));
        if !self.busy {
            self.outbox = None;
        }
        self.configured = true;
    }
}

/// What the EBS card does with a volume.
#[derive(Debug, Clone, PartialEq)]
pub enum VolumeWish {
    /// Keeps it, and serves it if it is exported.
    Serve(VolumeConfig),
    /// Deletes its data.
    Delete(VolumeId),
}

/// The EBS card as we know it.
#[derive(Debug, Default)]
pub struct Ebs {
    line: Line,
    /// The volumes.
    pub volumes: Table<VolumeId, VolumeWish>,
}

/// The VPC card as we know it.
#[derive(Debug, Default)]
pub struct Vpcs {
    line: Line,
    /// The ports of VMs.
    pub ports: Table<NetworkInterfaceId, PortConfig>,
    vpcs: Table<VpcId, Vpc>,
    subnets: Table<SubnetId, Subnet>,
    groups: Table<SecurityGroupId, Group>,
    nat_gateways: Table<NatGatewayId, NatGateway>,
}

/// Why something failed, by a card's reply.
fn reason(reply: &Reply, key: &impl ToString) -> Option<String> {
    match reply {
        Reply::Applied { failed } => failed.get(&key.to_string()).cloned(),
        Reply::Refused(reason) => Some(format!("the card refused: {reason}")),
        Reply::Status(_) => None,
    }
}

impl Ebs {
    /// Takes what happened with the card; the volumes that it answered about.
    pub fn heed(&mut self, peer: Peer<Reply>) -> Vec<VolumeId> {
        match peer {
            Peer::Up(outbox) => self.line = Line { outbox: Some(outbox), ..Line::default() },
            Peer::Down => {
                log::warn!("the EBS card is away; its volumes wait");
                self.line = Line::default();
                self.volumes.lost();
            }
            Peer::Said(reply) => {
                self.line.busy = false;
                return self.volumes.answer(|volume| reason(&reply, &volume));
            }
        }
        Vec::new()
    }

    /// Whether the card has answered to a whole configuration.
    pub fn is_settled(&self) -> bool {
        self.line.configured && self.line.is_free()
    }

    /// Says what is wanted from now on, and sends the difference if the card is ready for it.
    pub fn sync(&mut self, config: &Config, desired: &Desired, machines: &Machines) {
        let exports = machines.exports();
        let mut wanted = BTreeMap::new();
        for volume in desired.volumes.values() {
            let holder = exports.get(&volume.id).cloned();
            let wish = match (volume.delete, holder) {
                (true, None) => VolumeWish::Delete(volume.id),
                // A volume in use is deleted when its VM is gone.
                (_, holder) => VolumeWish::Serve(volume_config(config, volume, holder)),
            };
            wanted.insert(volume.id, wish);
        }
        for volume in exports.keys() {
            // An entry may go before its VM does; the VM keeps its disk.
            if let (false, Some(wish)) = (wanted.contains_key(volume), self.volumes.acked(*volume))
            {
                wanted.insert(*volume, wish.clone());
            }
        }
        self.volumes.want(wanted);
        if !self.line.is_free() {
            return;
        }
        let changes = self.volumes.take();
        let mut patch = EbsPatch { reset: !self.line.configured, ..EbsPatch::default() };
        for wish in changes.put {
            match wish {
                VolumeWish::Serve(volume) => patch.serve.push(volume),
                VolumeWish::Delete(volume) => patch.delete.push(volume),
            }
        }
        for (volume, had) in changes.remove {
            match had {
                VolumeWish::Serve(_) => patch.close.push(volume),
                VolumeWish::Delete(_) => {}
            }
        }
        if patch == EbsPatch::default() {
            // Only deleted volumes were forgotten: the card has nothing to do with that.
            self.volumes.answer(|_| None);
        } else {
            self.line.send(&EbsRequest::Apply(patch));
        }
    }

    /// How the export of a VM's disk stands.
    pub fn standing(&self, volume: VolumeId, export: &str) -> Standing {
        match self.volumes.acked(volume) {
            Some(VolumeWish::Serve(config)) if config.export.as_deref() == Some(export) => {
                Standing::Done
            }
            Some(_) | None => match self.volumes.standing(volume) {
                Standing::Done => Standing::Waiting,
                other @ (Standing::Waiting | Standing::Failed(_)) => other,
            },
        }
    }

    /// Whether a VM's disk is or may be served under this name.
    pub fn serves(&self, volume: VolumeId, export: &str) -> bool {
        self.volumes.touches(volume, |wish| match wish {
            VolumeWish::Serve(config) => config.export.as_deref() == Some(export),
            VolumeWish::Delete(_) => false,
        })
    }
}

fn volume_config(
    config: &Config,
    volume: &Volume,
    holder: Option<(String, Option<u32>)>,
) -> VolumeConfig {
    let (export, uid) = holder.map_or((None, None), |(export, uid)| (Some(export), uid));
    VolumeConfig {
        id: volume.id,
        size_bytes: volume.size_bytes,
        base: volume.source.as_ref().map(|source| config.image(&source.image)),
        export,
        uid,
    }
}

impl Vpcs {
    /// Takes what happened with the card.
    pub fn heed(&mut self, peer: Peer<Reply>) {
        match peer {
            Peer::Up(outbox) => self.line = Line { outbox: Some(outbox), ..Line::default() },
            Peer::Down => {
                log::warn!("the VPC card is away; its ports wait");
                self.line = Line::default();
                self.ports.lost();
                self.vpcs.lost();
                self.subnets.lost();
                self.groups.lost();
                self.nat_gateways.lost();
            }
            Peer::Said(reply) => {
                self.line.busy = false;
                self.ports.answer(|key| reason(&reply, &key));
                self.vpcs.answer(|key| reason(&reply, &key));
                self.subnets.answer(|key| reason(&reply, &key));
                self.groups.answer(|key| reason(&reply, &key));
                self.nat_gateways.answer(|key| reason(&reply, &key));
            }
        }
    }

    /// Where a port's vhost-user socket is.
    pub fn socket(config: &Config, port: NetworkInterfaceId) -> PathBuf {
        config.ports().join(format!("{port}.sock"))
    }

    /// Says what is wanted from now on, and sends the difference if the card is ready for it.
    pub fn sync(&mut self, config: &Config, desired: &Desired, machines: &Machines) {
        let mut wanted = BTreeMap::new();
        for (id, uid) in machines.ports() {
            let port = match (desired.ports.get(&id), self.ports.acked(id)) {
                (Some(port), _) => port.clone(),
                // An entry may go before its VM does.
                (None, Some(had)) => had.port.clone(),
                (None, None) => continue,
            };
            let metadata = |address| Service {
                address,
                port: METADATA_PORT,
                socket: config.imds_socket.clone(),
                hop_limit: port.metadata_hop_limit,
                names: Vec::new(),
            };
            let metadata6 = port.metadata_ipv6.then(|| metadata(METADATA6));
            let aws = SERVICE_PORTS.map(|port| Service {
                address: SERVICES,
                port,
                socket: config.services_socket.clone(),
                hop_limit: SERVICES_HOP_LIMIT,
                names: SERVICE_NAMES.map(str::to_owned).to_vec(),
            });
            let services = [metadata(METADATA)].into_iter().chain(metadata6).chain(aws).collect();
            let socket = Self::socket(config, id);
            wanted.insert(id, PortConfig { port, socket, uid, services });
        }
        self.ports.want(wanted);
        self.vpcs.want(desired.vpcs.clone());
        self.subnets.want(desired.subnets.clone());
        self.groups.want(desired.groups.clone());
        self.nat_gateways.want(desired.nat_gateways.clone());
        if !self.line.is_free() {
            return;
        }
        let (ports, vpcs) = (self.ports.take(), self.vpcs.take());
        let (subnets, groups) = (self.subnets.take(), self.groups.take());
        let gateways = self.nat_gateways.take();
        let patch = VpcPatch {
            reset: !self.line.configured,
            ports: ports.put,
            remove_ports: ports.remove.into_iter().map(|(key, _)| key).collect(),
            vpcs: vpcs.put,
            remove_vpcs: vpcs.remove.into_iter().map(|(key, _)| key).collect(),
            subnets: subnets.put,
            remove_subnets: subnets.remove.into_iter().map(|(key, _)| key).collect(),
            groups: groups.put,
            remove_groups: groups.remove.into_iter().map(|(key, _)| key).collect(),
            nat_gateways: gateways.put,
            remove_nat_gateways: gateways.remove.into_iter().map(|(key, _)| key).collect(),
        };
        if patch != VpcPatch::default() {
            self.line.send(&VpcRequest::Apply(patch));
        }
    }

    /// Whether failures are to be tried again.
    pub fn retry(&mut self) -> bool {
        self.ports.retry()
            | self.vpcs.retry()
            | self.subnets.retry()
            | self.groups.retry()
            | self.nat_gateways.retry()
    }
}
