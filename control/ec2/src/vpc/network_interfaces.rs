//! Network interfaces.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use std::net::Ipv4Addr;
use types::{
    AllocationId, AssociationId, AvailabilityZone, InstanceId, Mac, NetworkInterfaceAttachmentId,
    NetworkInterfaceId, Scope, SecurityGroupId, SubnetId, Tags, Timestamp, VpcId,
};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub id: NetworkInterfaceId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub zone: AvailabilityZone,
    pub mac: Mac,
    pub description: String,
    /// Addresses, the primary first.
    pub addresses: Vec<PrivateAddress>,
    pub groups: Vec<SecurityGroupId>,
    pub source_dest_check: bool,
    pub attachment: Option<Attachment>,
    pub tags: Tags,
}

/// A private address of an interface, with its public one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateAddress {
    pub ip: Ipv4Addr,
    pub public: Option<PublicAddress>,
}

/// A public address, as it is translated 1:1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublicAddress {
    pub ip: Ipv4Addr,
    /// The Elastic IP address that it is; none = lent for as long as the instance runs.
    pub elastic: Option<(AllocationId, AssociationId)>,
}

/// An interface's attachment to an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: NetworkInterfaceAttachmentId,
    pub instance: InstanceId,
    pub device_index: u32,
    pub attach_time: Timestamp,
    pub delete_on_termination: bool,
}

impl Row for NetworkInterface {
    const TABLE: &'static str = "network-interface";
    type Key = NetworkInterfaceId;
    fn key(&self) -> NetworkInterfaceId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        add("subnet", &self.subnet);
        for group in &self.groups {
            add("group", group);
        }
        for address in &self.addresses {
            add("address", &format_args!("{}/{}", self.subnet, address.ip));
            if let Some(public) = &address.public {
                add("public", &public.ip);
            }
        }
        if let Some(attachment) = &self.attachment {
            add("instance", &attachment.instance);
            add("attachment", &attachment.id);
        }
    }
}

impl Resource for NetworkInterface {
    const TYPE: ResourceType = ResourceType::NetworkInterface;
    const NOUN: &'static str = "networkInterface ID";
    const CODE: &'static str = "InvalidNetworkInterfaceID";
    const MALFORMED: &'static str = "InvalidNetworkInterfaceId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
