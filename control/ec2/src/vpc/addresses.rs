//! Elastic IP addresses.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use std::net::Ipv4Addr;
use types::{AllocationId, AssociationId, NetworkInterfaceId, Scope, Tags};

/// An Elastic IP address of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    pub id: AllocationId,
    pub scope: Scope,
    pub ip: Ipv4Addr,
    pub association: Option<AddressAssociation>,
    pub tags: Tags,
}

/// Where an Elastic IP address leads; the interface's row says the same of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressAssociation {
    pub id: AssociationId,
    pub interface: NetworkInterfaceId,
    pub private_ip: Ipv4Addr,
}

impl Row for Address {
    const TABLE: &'static str = "address";
    type Key = AllocationId;
    fn key(&self) -> AllocationId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("ip", &self.ip);
        if let Some(association) = &self.association {
            add("association", &association.id);
            add("interface", &association.interface);
        }
    }
}

impl Resource for Address {
    const TYPE: ResourceType = ResourceType::ElasticIp;
    const NOUN: &'static str = "allocation ID";
    const CODE: &'static str = "InvalidAllocationID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
