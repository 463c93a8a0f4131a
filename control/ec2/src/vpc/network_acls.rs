//! Network ACLs.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{Ipv4Net, NetworkAclAssociationId, NetworkAclId, Scope, SubnetId, Tags, VpcId};

/// A network ACL: a stateless, numbered list in front of subnets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkAcl {
    pub id: NetworkAclId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub is_default: bool,
    /// Entries besides the last, which denies all.
    pub entries: Vec<Entry>,
    pub associations: Vec<(NetworkAclAssociationId, SubnetId)>,
    pub tags: Tags,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub number: u16,
    pub egress: bool,
    pub allow: bool,
    /// IP protocol number; none = all.
    pub protocol: Option<u8>,
    pub ports: Option<(u16, u16)>,
    pub cidr: Ipv4Net,
}

impl Row for NetworkAcl {
    const TABLE: &'static str = "network-acl";
    type Key = NetworkAclId;
    fn key(&self) -> NetworkAclId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        for (_, subnet) in &self.associations {
            add("subnet", subnet);
        }
    }
}

impl Resource for NetworkAcl {
    const TYPE: ResourceType = ResourceType::NetworkAcl;
    const NOUN: &'static str = "networkAcl ID";
    const CODE: &'static str = "InvalidNetworkAclID";
    const MALFORMED: &'static str = "InvalidNetworkAclId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
