//! The document behind an instance's metadata service (IMDS).

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use types::{
    AccountId, AvailabilityZone, ImageId, InstanceId, Mac, NetworkInterfaceId, ReservationId,
    SecurityGroupId, SubnetId, Tags, Timestamp, VpcId,
};

/// What the metadata service of one instance answers from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Instance ID.
    pub instance: InstanceId,
    /// Owner.
    pub account: AccountId,
    /// The image that it was launched from.
    pub image: ImageId,
    /// Reservation.
    pub reservation: ReservationId,
    /// Position in its launch.
    pub launch_index: u32,
    /// Instance type.
    pub instance_type: String,
    /// `x86_64`, `arm64` …
    pub architecture: String,
    /// Zone.
    pub zone: AvailabilityZone,
    /// Launch (last start) time.
    pub launch_time: Timestamp,
    /// Key pair: name and OpenSSH public key.
    pub public_key: Option<(String, String)>,
    /// User data, raw bytes as base64.
    pub user_data: Option<String>,
    /// Interfaces by device index.
    pub interfaces: Vec<Interface>,
    /// Block devices: (`root` or `ami` or `ebs1` …, device name).
    pub block_devices: Vec<(String, String)>,
    /// `none`, `shutdown` …: the instance action that is planned.
    pub instance_action: String,
    /// `on-demand`, `spot` …
    pub life_cycle: String,
    /// Tags, where metadata may show them.
    pub tags: Option<Tags>,
    /// Options of the service.
    pub options: Options,
    /// Domain of private host names, such as `ec2.internal`.
    pub private_domain: String,
    /// Domain of public host names, such as `compute-1.amazonaws.com`; none where the VPC gives none.
    pub public_domain: Option<String>,
}

impl Metadata {
    /// The instance identity document in EC2's own layout: programs compare its text.
    #[must_use]
    pub fn identity_document(&self) -> String {
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let null = || "null".to_owned();
        let private = self.interfaces.first().and_then(|i| i.addresses.first());
        let pending = self.launch_time.to_string();
        let pending = pending.split('.').next().unwrap_or_default();
        let members = [
            ("accountId", quoted(&self.account.to_string())),
            ("architecture", quoted(&self.architecture)),
            ("availabilityZone", quoted(&self.zone.to_string())),
            ("billingProducts", null()),
            ("devpayProductCodes", null()),
            ("marketplaceProductCodes", null()),
            ("imageId", quoted(&self.image.to_string())),
            ("instanceId", quoted(&self.instance.to_string())),
            ("instanceType", quoted(&self.instance_type)),
            ("kernelId", null()),
            ("pendingTime", quoted(&format!("{pending}Z"))),
            ("privateIp", private.map_or_else(null, |(address, _)| quoted(&address.to_string()))),
            ("ramdiskId", null()),
            ("region", quoted(self.zone.region().as_str())),
            ("version", quoted("2017-09-30")),
        ];
        let members = members.map(|(name, value)| format!("  \"{name}\" : {value}"));
        format!("{{\n{}\n}}", members.join(",\n"))
    }
}

/// One network interface in the metadata tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Interface ID.
    pub id: NetworkInterfaceId,
    /// Ethernet address.
    pub mac: Mac,
    /// Device index on the instance.
    pub device_number: u32,
    /// Private addresses with the public address of each, primary first.
    pub addresses: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
    /// Security groups: ID and name.
    pub groups: Vec<(SecurityGroupId, String)>,
    /// Subnet and its block.
    pub subnet: (SubnetId, types::Ipv4Net),
    /// VPC and its blocks, the primary first.
    pub vpc: (VpcId, Vec<types::Ipv4Net>),
    /// IPv6 addresses, the primary first.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// The subnet's IPv6 blocks.
    #[serde(default)]
    pub subnet_ipv6: Vec<types::Ipv6Net>,
    /// The VPC's IPv6 blocks.
    #[serde(default)]
    pub vpc_ipv6: Vec<types::Ipv6Net>,
    /// Prefixes that are delegated to the interface.
    #[serde(default)]
    pub ipv6_prefixes: Vec<types::Ipv6Net>,
}

/// Options of an instance's metadata service, which may change while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Whether it answers at all.
    pub enabled: bool,
    /// Whether each request needs a session token (IMDSv2 only).
    pub token_required: bool,
    /// TTL of the answers' packets, 1 to 64.
    pub hop_limit: u8,
}
