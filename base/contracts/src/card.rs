//! The control sockets of the cards: JSON values, one a line; each request gets one reply.
//!
//! A card starts empty, waits for the agent, and takes its whole configuration at each
//! connection (a request with `reset`), then changes to it. Applying is idempotent: what is
//! already so is left alone, traffic and I/O under way are not disturbed.

use crate::network::{Group, NatGateway, Port, Subnet, Vpc};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};
use types::{NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId, VolumeId, VpcId};

/// To the VPC card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly all requests are the large one")]
pub enum VpcRequest {
    /// Change the configuration.
    Apply(VpcPatch),
    /// Report counters.
    Status,
}

/// From the cloud's owner to the VPC card, on a socket that only he can open: one request a
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnerRequest {
    /// Report counters, and the ports that the uplink offers.
    Status,
    /// Connect to an interface's primary address at this TCP port, from its subnet's router, as
    /// EC2 Instance Connect Endpoints do. After `Connected` the connection's bytes follow.
    OpenTunnel {
        /// The interface.
        interface: NetworkInterfaceId,
        /// The TCP port.
        port: u16,
    },
}

/// The VPC card's reply to its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnerReply {
    /// Counters by object and name. A public address has an entry for each of its ports (`tcp/22`)
    /// with the host's port, which is 0 if there is none; and `left_out` counts others.
    Status(BTreeMap<String, BTreeMap<String, u64>>),
    /// The guest has answered.
    Connected,
    /// It could not be done, and why.
    Refused(String),
}

/// The owner's socket in the run folder.
pub const OWNER_SOCKET: &str = "vpc-card-owner.sock";

/// A change to the VPC card's configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VpcPatch {
    /// What is not in this patch goes away.
    pub reset: bool,
    /// Ports that are new or differ.
    pub ports: Vec<PortConfig>,
    /// Ports that go away: the guest's interface loses its carrier.
    pub remove_ports: Vec<NetworkInterfaceId>,
    /// VPCs that are new or differ.
    pub vpcs: Vec<Vpc>,
    /// VPCs that go away.
    pub remove_vpcs: Vec<VpcId>,
    /// Subnets that are new or differ.
    pub subnets: Vec<Subnet>,
    /// Subnets that go away.
    pub remove_subnets: Vec<SubnetId>,
    /// Groups that are new or differ.
    pub groups: Vec<Group>,
    /// Groups that go away.
    pub remove_groups: Vec<SecurityGroupId>,
    /// NAT gateways that are new or differ.
    #[serde(default)]
    pub nat_gateways: Vec<NatGateway>,
    /// NAT gateways that go away.
    #[serde(default)]
    pub remove_nat_gateways: Vec<NatGatewayId>,
}

/// A port, and what the host knows of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortConfig {
    /// The port.
    pub port: Port,
    /// Where the card listens for this port's vhost-user connection.
    pub socket: PathBuf,
    /// The uid that may connect, and owns the socket.
    pub uid: Option<u32>,
    /// Link-local services of this port.
    pub services: Vec<Service>,
}

/// A TCP service that the card offers to a port's guest and hands on to a Unix socket.
///
/// The card ends the guest's TCP connection, connects to the socket, writes one line
/// (`eni-… SOURCE-ADDRESS SOURCE-PORT vpc-…\n`) and passes bytes both ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Address that the guest uses, such as 169.254.169.254.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// Where connections go.
    pub socket: PathBuf,
    /// TTL of the packets towards the guest.
    pub hop_limit: u8,
    /// Names that the resolver answers with the address. A label `*` stands for any label, and as
    /// the first one for any number of labels, but at least one.
    pub names: Vec<String>,
}

impl Service {
    /// Whether the resolver answers this name (in lower case, without a last dot) with the
    /// address.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| matches(pattern, name))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut labels = name.rsplit('.');
    let mut wanted = pattern.rsplit('.').peekable();
    while let Some(want) = wanted.next() {
        let Some(label) = labels.next().filter(|label| !label.is_empty()) else { return false };
        if want == "*" && wanted.peek().is_none() {
            return true;
        }
        if want != "*" && want != label {
            return false;
        }
    }
    labels.next().is_none()
}

/// To the EBS card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EbsRequest {
    /// Change the configuration.
    Apply(EbsPatch),
    /// Report counters.
    Status,
}

/// A change to the EBS card's configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EbsPatch {
    /// What is not in this patch is no longer served; its data stays.
    pub reset: bool,
    /// Volumes that are new or differ: made if they don't exist, then served.
    pub serve: Vec<VolumeConfig>,
    /// Volumes to close: flushed and no longer served.
    pub close: Vec<VolumeId>,
    /// Volumes whose data is deleted.
    pub delete: Vec<VolumeId>,
}

/// A volume as the EBS card serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeConfig {
    /// The volume.
    pub id: VolumeId,
    /// Size; larger than before = grown.
    pub size_bytes: u64,
    /// A raw file, never written, that holds what was not written yet; shorter than the volume
    /// reads as zeros beyond.
    pub base: Option<PathBuf>,
    /// The NBD export's name: a secret of the VM that uses it. None = made but not served.
    pub export: Option<String>,
    /// The user that may use the export, besides root and the card's own.
    pub uid: Option<u32>,
}

/// A card's reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; with what failed, by its ID, and why.
    Applied {
        /// IDs (ports, volumes) that could not be made so, with the reason.
        failed: BTreeMap<String, String>,
    },
    /// Counters by object (`eni-…`, `vol-…`, `card`) and name.
    Status(BTreeMap<String, BTreeMap<String, u64>>),
    /// The request was not understood.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_by_labels() {
        for (pattern, name, expected) in [
            ("s3.*.amazonaws.com", "s3.us-east-1.amazonaws.com", true),
            ("s3.*.amazonaws.com", "s3.amazonaws.com", false),
            ("s3.*.amazonaws.com", "b.s3.us-east-1.amazonaws.com", false),
            ("*.s3.*.amazonaws.com", "b.s3.us-east-1.amazonaws.com", true),
            ("*.s3.*.amazonaws.com", "a.b.s3.us-east-1.amazonaws.com", true),
            ("*.s3.*.amazonaws.com", "s3.us-east-1.amazonaws.com", false),
            ("fogbank.internal", "fogbank.internal", true),
            ("fogbank.internal", "a.fogbank.internal", false),
            ("fogbank.internal", "internal", false),
            ("*.internal", ".internal", false),
            ("*.internal", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
