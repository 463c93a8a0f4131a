//! Security groups and their rules.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{AccountId, IpNet, Scope, SecurityGroupId, SecurityGroupRuleId, Tags, VpcId};

/// A security group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
    pub tags: Tags,
}

/// One rule: one protocol, port range and peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub id: SecurityGroupRuleId,
    pub egress: bool,
    pub protocol: Protocol,
    /// First port, or ICMP type; none = all.
    pub from: Option<i32>,
    /// Last port, or ICMP code; none = all.
    pub to: Option<i32>,
    pub peer: Peer,
    pub description: Option<String>,
    pub tags: Tags,
}

/// An IP protocol; AWS writes `-1`, `tcp`, `udp`, `icmp`, `icmpv6` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    All,
    Number(u8),
}

/// The other end of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Cidr(IpNet),
    Group(SecurityGroupId, AccountId),
}

impl Row for SecurityGroup {
    const TABLE: &'static str = "security-group";
    type Key = SecurityGroupId;
    fn key(&self) -> SecurityGroupId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        for rule in &self.rules {
            add("rule", &rule.id);
            if let Peer::Group(group, _) = rule.peer {
                add("peer", &group);
            }
        }
    }
}

impl Resource for SecurityGroup {
    const TYPE: ResourceType = ResourceType::SecurityGroup;
    const NOUN: &'static str = "security group";
    const CODE: &'static str = "InvalidGroup";
    const MALFORMED: &'static str = "InvalidGroupId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
