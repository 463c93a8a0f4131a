//! Network ACLs.

mod entries;

pub use entries::{create_network_acl_entry, delete_network_acl_entry, replace_network_acl_entry};

use super::{
    describe::{PAGE, Query, describe},
    traffic::{ICMP, ICMPV6, TCP, UDP},
    vpcs::Vpc,
};
use crate::{
    errors,
    filters::Wanted,
    idempotency,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::{
    fmt::Display,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::{
    IdError, IpNet, Ipv4Net, Ipv6Net, NetworkAclAssociationId, NetworkAclId, Scope, SubnetId, Tags,
    VpcId,
};

/// AWS's quota of network ACLs in a VPC.
const MAX_ACLS: usize = 200;

/// The number of a default ACL's entries that allow all.
const DEFAULT_NUMBER: u16 = 100;
/// The number of those that allow all IPv6, where the VPC has it.
const DEFAULT_IPV6_NUMBER: u16 = 101;
/// The number under which AWS shows the entries that deny the rest.
const LAST_NUMBER: u16 = 32_767;
/// The number under which AWS shows those that deny the rest of IPv6.
const LAST_IPV6_NUMBER: u16 = 32_768;

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
    /// The first port, or the ICMP type; none = all.
    #[serde(default)]
    pub from: Option<u16>,
    /// The last port, or the ICMP code; none = all.
    #[serde(default)]
    pub to: Option<u16>,
    pub cidr: IpNet,
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
        for (association, subnet) in &self.associations {
            add("association", association);
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

/// Makes a network ACL that lets nothing through.
///
/// # Errors
/// The VPC doesn't exist, or has too many ACLs.
pub fn create_network_acl(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateNetworkAclRequest,
) -> Result<api::CreateNetworkAclResult, Fault> {
    const OPERATION: &str = "CreateNetworkAcl";
    let parameters = format!("{input:?}");
    let api::CreateNetworkAclRequest { tag_specifications, client_token, dry_run: _, vpc_id } =
        input;
    let scope = &request.scope;
    let token = client_token.as_deref();
    let acl = match idempotency::earlier(tx, scope, OPERATION, token, &parameters)? {
        Some(id) => find::<NetworkAcl>(tx, scope, &id)?,
        None => {
            let tags = tags::from_specifications(tag_specifications, ResourceType::NetworkAcl)?;
            let vpc_id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
            let vpc = find::<Vpc>(tx, scope, &vpc_id)?;
            if tx.find::<NetworkAcl>("vpc", vpc.id).count() >= MAX_ACLS {
                return Err(errors::acl_limit());
            }
            let acl = NetworkAcl { tags, ..NetworkAcl::new(tx, &vpc) };
            tx.put(acl.clone());
            idempotency::remember(tx, scope, OPERATION, token, &parameters, acl.id.to_string());
            Arc::new(acl)
        }
    };
    Ok(api::CreateNetworkAclResult { network_acl: Some(acl.to_api(tx)), client_token })
}

/// Deletes a network ACL.
///
/// # Errors
/// It doesn't exist, is its VPC's default one, or stands in front of a subnet.
pub fn delete_network_acl(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteNetworkAclRequest,
) -> Result<api::DeleteNetworkAclResponse, Fault> {
    let api::DeleteNetworkAclRequest { dry_run: _, network_acl_id } = input;
    let id = network_acl_id.ok_or_else(|| errors::missing("networkAclId"))?;
    let acl = find::<NetworkAcl>(tx, &request.scope, &id)?;
    if acl.is_default {
        return Err(errors::default_acl(id));
    }
    if !acl.associations.is_empty() {
        return Err(errors::dependency("networkAcl", id));
    }
    tx.delete::<NetworkAcl>(&acl.id);
    Ok(api::DeleteNetworkAclResponse {})
}

/// Puts a subnet behind another ACL. The association's ID changes.
///
/// # Errors
/// The association or the ACL doesn't exist, or they are of different VPCs.
pub fn replace_network_acl_association(
    tx: &mut Tx,
    request: &Request,
    input: api::ReplaceNetworkAclAssociationRequest,
) -> Result<api::ReplaceNetworkAclAssociationResult, Fault> {
    let api::ReplaceNetworkAclAssociationRequest { dry_run: _, association_id, network_acl_id } =
        input;
    let text = association_id.ok_or_else(|| errors::missing("associationId"))?;
    let new = network_acl_id.ok_or_else(|| errors::missing("networkAclId"))?;
    let id = text.parse::<NetworkAclAssociationId>().map_err(|error| match error {
        IdError::Malformed => errors::association_malformed(&text),
        IdError::Foreign => errors::association_not_found(&text),
    })?;
    let found = tx
        .find::<NetworkAcl>("association", id)
        .find(|acl| acl.scope == request.scope)
        .and_then(|acl| {
            let (_, subnet) = acl.associations.iter().find(|(other, _)| *other == id)?;
            Some((acl.clone(), *subnet))
        });
    let (old, subnet) = found.ok_or_else(|| errors::association_not_found(&text))?;
    let new = find::<NetworkAcl>(tx, &request.scope, &new)?;
    if new.vpc != old.vpc {
        return Err(errors::different_networks("Network ACL", new.id, "subnet", subnet));
    }
    let replaced = tx.new_id();
    tx.update::<NetworkAcl>(&old.id, |acl| acl.associations.retain(|(other, _)| *other != id));
    tx.update::<NetworkAcl>(&new.id, |acl| acl.associations.push((replaced, subnet)));
    let new_association_id = Some(replaced.to_string());
    Ok(api::ReplaceNetworkAclAssociationResult { new_association_id })
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
    let (rows, next_token) =
        describe::<NetworkAcl>(state, &request.scope, query, |acl, name, wanted| {
            holds(state, acl, name, wanted)
        })?;
    let network_acls = Some(rows.iter().map(|acl| acl.to_api(state)).collect());
    Ok(api::DescribeNetworkAclsResult { network_acls, next_token })
}

fn holds(state: &State, acl: &NetworkAcl, name: &str, wanted: Wanted<'_>) -> bool {
    let associations = || acl.associations.iter();
    match name {
        "association.association-id" => wanted.any(associations().map(|(id, _)| id)),
        "association.network-acl-id" => !acl.associations.is_empty() && wanted.is(acl.id),
        "association.subnet-id" => wanted.any(associations().map(|(_, subnet)| subnet)),
        "default" => wanted.is(acl.is_default),
        "network-acl-id" => wanted.is(acl.id),
        "owner-id" => wanted.is(acl.scope.account),
        "vpc-id" => wanted.is(acl.vpc),
        name => acl.all_entries(state).iter().any(|entry| entry_holds(entry, name, wanted)),
    }
}

fn entry_holds(entry: &Entry, name: &str, wanted: Wanted<'_>) -> bool {
    let (ports, icmp) = (entry.ports(), entry.icmp());
    match name {
        "entry.cidr" => wanted.any(entry.blocks().0),
        "entry.ipv6-cidr" => wanted.any(entry.blocks().1),
        "entry.icmp.type" => wanted.any(icmp.and_then(|icmp| icmp.r#type)),
        "entry.icmp.code" => wanted.any(icmp.and_then(|icmp| icmp.code)),
        "entry.port-range.from" => wanted.any(ports.and_then(|ports| ports.from)),
        "entry.port-range.to" => wanted.any(ports.and_then(|ports| ports.to)),
        "entry.protocol" => wanted.is(entry.protocol_text()),
        "entry.rule-action" => wanted.is(entry.action()),
        "entry.egress" => wanted.is(entry.egress),
        "entry.rule-number" => wanted.is(entry.number),
        _ => false,
    }
}

/// Makes a VPC's default ACL, which allows everything.
pub(super) fn create_default(tx: &mut Tx, vpc: &Vpc) {
    let entries = [true, false].map(|egress| Entry::allow_all(egress, IPV4));
    let acl =
        NetworkAcl { is_default: true, entries: entries.to_vec(), ..NetworkAcl::new(tx, vpc) };
    tx.put(acl);
}

/// Lets IPv6 through a VPC's default ACL, as far as its owner has left that as it was made.
pub(super) fn allow_ipv6(tx: &mut Tx, vpc: VpcId) {
    let default = tx.find::<NetworkAcl>("vpc", vpc).find(|acl| acl.is_default).cloned();
    let Some(acl) = default else { return };
    let mut changed = NetworkAcl::clone(&acl);
    for egress in [true, false] {
        let entries = acl.entries.iter().filter(|entry| entry.egress == egress);
        if entries.eq([&Entry::allow_all(egress, IPV4)]) {
            changed.entries.push(Entry::allow_all(egress, IPV6));
        }
    }
    tx.put(changed);
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
    /// One without entries and subnets.
    fn new(tx: &mut Tx, vpc: &Vpc) -> Self {
        Self {
            id: tx.new_id(),
            scope: vpc.scope.clone(),
            vpc: vpc.id,
            is_default: false,
            entries: Vec::new(),
            associations: Vec::new(),
            tags: Tags::new(),
        }
    }

    /// The entries as AWS lists them: egress first, by number, each direction ending in the entry
    /// that denies the rest.
    fn all_entries(&self, state: &State) -> Vec<Entry> {
        let last = |egress, (number, cidr)| Entry {
            number,
            allow: false,
            ..Entry::allow_all(egress, (number, cidr))
        };
        let mut entries = self.entries.clone();
        let last_of_ipv4 = (LAST_NUMBER, IPV4.1);
        entries.extend([true, false].map(|egress| last(egress, last_of_ipv4)));
        if state.get::<Vpc>(&self.vpc).is_some_and(|vpc| !vpc.ipv6_cidrs.is_empty()) {
            let last_of_ipv6 = (LAST_IPV6_NUMBER, IPV6.1);
            entries.extend([true, false].map(|egress| last(egress, last_of_ipv6)));
        }
        entries.sort_by_key(|entry| (!entry.egress, entry.number));
        entries
    }

    fn to_api(&self, state: &State) -> api::NetworkAcl {
        let association =
            |(id, subnet): &(NetworkAclAssociationId, SubnetId)| api::NetworkAclAssociation {
                network_acl_association_id: Some(id.to_string()),
                network_acl_id: Some(self.id.to_string()),
                subnet_id: Some(subnet.to_string()),
            };
        api::NetworkAcl {
            associations: Some(self.associations.iter().map(association).collect()),
            entries: Some(self.all_entries(state).iter().map(Entry::to_api).collect()),
            is_default: Some(self.is_default),
            network_acl_id: Some(self.id.to_string()),
            tags: tags::to_api(&self.tags),
            vpc_id: Some(self.vpc.to_string()),
            owner_id: Some(self.scope.account.to_string()),
        }
    }
}

/// All addresses of a family, with the number of the entry that allows them by default.
const IPV4: (u16, IpNet) =
    (DEFAULT_NUMBER, IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));
const IPV6: (u16, IpNet) =
    (DEFAULT_IPV6_NUMBER, IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)));

impl Entry {
    fn allow_all(egress: bool, (number, cidr): (u16, IpNet)) -> Self {
        Self { number, egress, allow: true, protocol: None, from: None, to: None, cidr }
    }

    /// Its block, as the IPv4 or the IPv6 one.
    fn blocks(&self) -> (Option<Ipv4Net>, Option<Ipv6Net>) {
        match self.cidr {
            IpNet::V4(block) => (Some(block), None),
            IpNet::V6(block) => (None, Some(block)),
        }
    }

    fn protocol_text(&self) -> String {
        self.protocol.map_or_else(|| "-1".to_owned(), |number| number.to_string())
    }

    fn ports(&self) -> Option<api::PortRange> {
        let whole = matches!(self.protocol, Some(TCP | UDP)).then_some((self.from?, self.to?));
        whole.map(|(from, to)| api::PortRange { from: Some(from.into()), to: Some(to.into()) })
    }

    fn icmp(&self) -> Option<api::IcmpTypeCode> {
        let shown = |value: Option<u16>| Some(value.map_or(-1, i32::from));
        matches!(self.protocol, Some(ICMP | ICMPV6))
            .then(|| api::IcmpTypeCode { r#type: shown(self.from), code: shown(self.to) })
    }

    fn action(&self) -> api::RuleAction {
        if self.allow { api::RuleAction::Allow } else { api::RuleAction::Deny }
    }

    fn to_api(&self) -> api::NetworkAclEntry {
        let (ipv4, ipv6) = self.blocks();
        api::NetworkAclEntry {
            cidr_block: ipv4.map(|block| block.to_string()),
            egress: Some(self.egress),
            icmp_type_code: self.icmp(),
            ipv6_cidr_block: ipv6.map(|block| block.to_string()),
            port_range: self.ports(),
            protocol: Some(self.protocol_text()),
            rule_action: Some(self.action()),
            rule_number: Some(i32::from(self.number)),
        }
    }
}
