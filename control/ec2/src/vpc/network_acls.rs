//! Network ACLs.

use super::{
    describe::{PAGE, Query, describe},
    vpcs::Vpc,
};
use crate::{filters::Wanted, resource::Resource, tags};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{Ipv4Net, NetworkAclAssociationId, NetworkAclId, Scope, SubnetId, Tags, VpcId};

/// The number of a default ACL's entries that allow all.
const DEFAULT_NUMBER: u16 = 100;
/// The number under which AWS shows the entries that deny the rest.
const LAST_NUMBER: u16 = 32_767;

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

const FILTERS: &[&str] = &[
    "association.association-id",
    "association.network-acl-id",
    "association.subnet-id",
    "default",
    "entry.cidr",
    "entry.icmp.code",
    "entry.icmp.type",
    "entry.ipv6-cidr",
    "entry.port-range.from",
    "entry.port-range.to",
    "entry.protocol",
    "entry.rule-action",
    "entry.egress",
    "entry.rule-number",
    "network-acl-id",
    "owner-id",
    "vpc-id",
];

/// Describes network ACLs.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_network_acls(
    state: &State,
    request: &Request,
    input: api::DescribeNetworkAclsRequest,
) -> Result<api::DescribeNetworkAclsResult, Fault> {
    let api::DescribeNetworkAclsRequest {
        next_token,
        max_results,
        dry_run: _,
        network_acl_ids: ids,
        filters,
    } = input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) = describe::<NetworkAcl>(state, &request.scope, query, holds)?;
    let network_acls = Some(rows.iter().map(|acl| acl.to_api()).collect());
    Ok(api::DescribeNetworkAclsResult { network_acls, next_token })
}

fn holds(acl: &NetworkAcl, name: &str, wanted: Wanted<'_>) -> bool {
    let associations = || acl.associations.iter();
    match name {
        "association.association-id" => wanted.any(associations().map(|(id, _)| id)),
        "association.network-acl-id" => !acl.associations.is_empty() && wanted.is(acl.id),
        "association.subnet-id" => wanted.any(associations().map(|(_, subnet)| subnet)),
        "default" => wanted.is(acl.is_default),
        "network-acl-id" => wanted.is(acl.id),
        "owner-id" => wanted.is(acl.scope.account),
        "vpc-id" => wanted.is(acl.vpc),
        name => acl.all_entries().iter().any(|entry| entry_holds(entry, name, wanted)),
    }
}

fn entry_holds(entry: &Entry, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "entry.cidr" => wanted.is(entry.cidr),
        "entry.port-range.from" => wanted.any(entry.ports.map(|(from, _)| from)),
        "entry.port-range.to" => wanted.any(entry.ports.map(|(_, to)| to)),
        "entry.protocol" => wanted.is(entry.protocol_text()),
        "entry.rule-action" => wanted.is(entry.action()),
        "entry.egress" => wanted.is(entry.egress),
        "entry.rule-number" => wanted.is(entry.number),
        _ => false,
    }
}

/// Makes a VPC's default ACL, which allows everything.
pub(super) fn create_default(tx: &mut Tx, vpc: &Vpc) {
    let entries = [true, false].map(|egress| Entry {
        number: DEFAULT_NUMBER,
        egress,
        allow: true,
        protocol: None,
        ports: None,
        cidr: Ipv4Net::default(),
    });
    let acl = NetworkAcl {
        id: tx.new_id(),
        scope: vpc.scope.clone(),
        vpc: vpc.id,
        is_default: true,
        entries: entries.to_vec(),
        associations: Vec::new(),
        tags: Tags::new(),
    };
    tx.put(acl);
}

/// Puts a new subnet behind its VPC's default ACL.
pub(super) fn associate_default(tx: &mut Tx, vpc: VpcId, subnet: SubnetId) {
    let default = tx.find::<NetworkAcl>("vpc", vpc).find(|acl| acl.is_default).map(|acl| acl.id);
    let association = tx.new_id();
    if let Some(acl) = default {
        tx.update::<NetworkAcl>(&acl, |acl| acl.associations.push((association, subnet)));
    }
}

/// The ACL in front of a subnet.
#[must_use]
pub fn of_subnet(state: &State, subnet: SubnetId) -> Option<&Arc<NetworkAcl>> {
    state.find::<NetworkAcl>("subnet", subnet).next()
}

impl NetworkAcl {
    /// The entries as AWS lists them: egress first, by number, each direction ending in the entry
    /// that denies the rest.
    fn all_entries(&self) -> Vec<Entry> {
        let last = |egress| Entry {
            number: LAST_NUMBER,
            egress,
            allow: false,
            protocol: None,
            ports: None,
            cidr: Ipv4Net::default(),
        };
        let mut entries = self.entries.clone();
        entries.extend([last(true), last(false)]);
        entries.sort_by_key(|entry| (!entry.egress, entry.number));
        entries
    }

    fn to_api(&self) -> api::NetworkAcl {
        let association =
            |(id, subnet): &(NetworkAclAssociationId, SubnetId)| api::NetworkAclAssociation {
                network_acl_association_id: Some(id.to_string()),
                network_acl_id: Some(self.id.to_string()),
                subnet_id: Some(subnet.to_string()),
            };
        api::NetworkAcl {
            associations: Some(self.associations.iter().map(association).collect()),
            entries: Some(self.all_entries().iter().map(Entry::to_api).collect()),
            is_default: Some(self.is_default),
            network_acl_id: Some(self.id.to_string()),
            tags: tags::to_api(&self.tags),
            vpc_id: Some(self.vpc.to_string()),
            owner_id: Some(self.scope.account.to_string()),
        }
    }
}

impl Entry {
    fn protocol_text(&self) -> String {
        self.protocol.map_or_else(|| "-1".to_owned(), |number| number.to_string())
    }

    fn action(&self) -> api::RuleAction {
        if self.allow { api::RuleAction::Allow } else { api::RuleAction::Deny }
    }

    fn to_api(&self) -> api::NetworkAclEntry {
        let ports = self.ports.map(|(from, to)| api::PortRange {
            from: Some(i32::from(from)),
            to: Some(i32::from(to)),
        });
        api::NetworkAclEntry {
            cidr_block: Some(self.cidr.to_string()),
            egress: Some(self.egress),
            icmp_type_code: None,
            ipv6_cidr_block: None,
            port_range: ports,
            protocol: Some(self.protocol_text()),
            rule_action: Some(self.action()),
            rule_number: Some(i32::from(self.number)),
        }
    }
}
