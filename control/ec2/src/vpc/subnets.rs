//! Subnets.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{AvailabilityZone, Ipv4Net, Scope, SubnetId, Tags, VpcId};

/// A subnet: a block of a VPC in one zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: SubnetId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub zone: AvailabilityZone,
    pub cidr: Ipv4Net,
    pub default_for_zone: bool,
    pub map_public_ip_on_launch: bool,
    /// `ip-name` or `resource-name`.
    pub hostname_type: String,
    pub resource_name_dns_a: bool,
    pub tags: Tags,
}

impl Row for Subnet {
    const TABLE: &'static str = "subnet";
    type Key = SubnetId;
    fn key(&self) -> SubnetId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
    }
}

impl Resource for Subnet {
    const TYPE: ResourceType = ResourceType::Subnet;
    const NOUN: &'static str = "subnet ID";
    const CODE: &'static str = "InvalidSubnetID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
