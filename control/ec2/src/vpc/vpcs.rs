//! VPCs.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use types::{DhcpOptionsId, Ipv4Net, Scope, Tags, VpcCidrAssociationId, VpcId};

/// A VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    pub id: VpcId,
    pub scope: Scope,
    /// IPv4 blocks, the primary first.
    pub cidrs: Vec<(VpcCidrAssociationId, Ipv4Net)>,
    pub is_default: bool,
    pub dhcp_options: Option<DhcpOptionsId>,
    /// `default` or `dedicated`.
    pub tenancy: String,
    pub dns_support: bool,
    pub dns_hostnames: bool,
    pub network_address_usage_metrics: bool,
    pub tags: Tags,
}

impl Row for Vpc {
    const TABLE: &'static str = "vpc";
    type Key = VpcId;
    fn key(&self) -> VpcId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
}

impl Resource for Vpc {
    const TYPE: ResourceType = ResourceType::Vpc;
    const NOUN: &'static str = "vpc ID";
    const CODE: &'static str = "InvalidVpcID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
