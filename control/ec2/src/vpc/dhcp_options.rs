//! DHCP option sets.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use types::{DhcpOptionsId, Scope, Tags};

/// A DHCP option set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DhcpOptions {
    pub id: DhcpOptionsId,
    pub scope: Scope,
    /// Options by name, such as `domain-name-servers`, with their values.
    pub options: Vec<(String, Vec<String>)>,
    pub tags: Tags,
}

impl Row for DhcpOptions {
    const TABLE: &'static str = "dhcp-options";
    type Key = DhcpOptionsId;
    fn key(&self) -> DhcpOptionsId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
}

impl Resource for DhcpOptions {
    const TYPE: ResourceType = ResourceType::DhcpOptions;
    const NOUN: &'static str = "dhcpOption ID";
    const CODE: &'static str = "InvalidDhcpOptionID";
    const MALFORMED: &'static str = "InvalidDhcpOptionsId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
