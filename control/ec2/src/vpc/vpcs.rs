//! VPCs.

use super::{
    cidr, cidr_blocks,
    describe::{PAGE, Query, describe},
    dhcp_options,
    egress_only_internet_gateways::EgressOnlyInternetGateway,
    internet_gateways::InternetGateway,
    network_acls::{self, NetworkAcl},
    network_interfaces::NetworkInterface,
    route_tables::{self, RouteTable},
    security_groups::{self, SecurityGroup},
    subnets::Subnet,
};
use crate::{
    errors,
    filters::Wanted,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault, ec2 as api,
    ec2::{ResourceType, VpcAttributeName},
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{DhcpOptionsId, Ipv4Net, Ipv6Net, Scope, Tags, VpcCidrAssociationId, VpcId};

/// VPCs of an account in a region. AWS's first quota is 5, which whole test suites exceed.
const MAX_VPCS: usize = 100;

/// A VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    pub id: VpcId,
    pub scope: Scope,
    /// IPv4 blocks, the primary first.
    pub cidrs: Vec<(VpcCidrAssociationId, Ipv4Net)>,
    /// IPv6 blocks, all of the cloud's pool.
    #[serde(default)]
    pub ipv6_cidrs: Vec<(VpcCidrAssociationId, Ipv6Net)>,
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
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        for (_, block) in &self.ipv6_cidrs {
            add("ipv6-block", block);
        }
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

/// Makes a VPC with its main route table, default network ACL and default security group.
///
/// # Errors
/// The block can't be a VPC's, or there are too many VPCs.
pub fn create_vpc(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateVpcRequest,
) -> Result<api::CreateVpcResult, Fault> {
    let api::CreateVpcRequest {
        cidr_block,
        ipv6_pool,
        ipv6_cidr_block,
        ipv4_ipam_pool_id,
        ipv4_netmask_length,
        ipv6_ipam_pool_id,
        ipv6_netmask_length,
        ipv6_cidr_block_network_border_group,
        vpc_encryption_control,
        tag_specifications,
        dry_run: _,
        instance_tenancy,
        amazon_provided_ipv6_cidr_block,
    } = input;
    errors::refuse(&[
        ("Ipv6Pool", ipv6_pool.is_some()),
        ("Ipv6CidrBlock", ipv6_cidr_block.is_some()),
        ("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some()),
        ("Ipv4NetmaskLength", ipv4_netmask_length.is_some()),
        ("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", ipv6_netmask_length.is_some()),
        ("VpcEncryptionControl", vpc_encryption_control.is_some()),
    ])?;
    let amazon = amazon_provided_ipv6_cidr_block == Some(true);
    cidr_blocks::check_border_group(&request.scope, ipv6_cidr_block_network_border_group, amazon)?;
    let cidr_block = cidr_block.ok_or_else(|| errors::either("cidrBlock", "ipv4IpamPoolId"))?;
    let cidr = cidr::parse(&cidr_block, "cidrBlock")?;
    if !cidr::size_allowed(&cidr) || !cidr::usable(&cidr) {
        return Err(errors::vpc_range(cidr_block));
    }
    let tenancy = match instance_tenancy {
        None | Some(api::Tenancy::Default) => "default",
        Some(api::Tenancy::Dedicated) => "dedicated",
        Some(api::Tenancy::Host) => {
            let why = "A VPC's tenancy is default or dedicated.";
            return Err(errors::invalid_value("host", "instanceTenancy", why));
        }
    };
    let tags = tags::from_specifications(tag_specifications, ResourceType::Vpc)?;
    let scope = &request.scope;
    check_quota(tx, scope)?;
    let vpc = create(tx, scope, cidr, tenancy, false, tags);
    let block = match amazon {
        true => Some(cidr_blocks::add_ipv6(tx, vpc.id)?),
        false => None,
    };
    let associating = api::VpcCidrBlockStateCode::Associating;
    let blocks = block.map(|block| cidr_blocks::ipv6_to_api(scope, block, associating));
    let vpc = api::Vpc {
        state: Some(api::VpcState::Pending),
        ipv6_cidr_block_association_set: Some(blocks.into_iter().collect()),
        tags: tags::to_api(&vpc.tags),
        ..vpc.to_api()
    };
    Ok(api::CreateVpcResult { vpc: Some(vpc) })
}

/// Deletes a VPC and what was made with it.
///
/// # Errors
/// It doesn't exist, or has subnets, gateways, route tables, groups or interfaces.
pub fn delete_vpc(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteVpcRequest,
) -> Result<api::DeleteVpcResponse, Fault> {
    let api::DeleteVpcRequest { vpc_id, dry_run: _ } = input;
    let vpc_id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let id = find::<Vpc>(tx, &request.scope, &vpc_id)?.id;
    if has_dependents(tx, id) {
        return Err(errors::dependency("vpc", id));
    }
    for table in ids::<RouteTable>(tx, id) {
        tx.delete::<RouteTable>(&table);
    }
    for acl in ids::<NetworkAcl>(tx, id) {
        tx.delete::<NetworkAcl>(&acl);
    }
    for group in ids::<SecurityGroup>(tx, id) {
        tx.delete::<SecurityGroup>(&group);
    }
    tx.delete::<Vpc>(&id);
    Ok(api::DeleteVpcResponse {})
}

const FILTERS: &[&str] = &[
    "cidr",
    "cidrBlock",
    "cidr-block",
    "cidr-block-association.cidr-block",
    "cidr-block-association.association-id",
    "cidr-block-association.state",
    "dhcp-options-id",
    "dhcpOptionsId",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.ipv6-pool",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.state",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "vpc-id",
];

/// Describes VPCs.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_vpcs(
    state: &State,
    request: &Request,
    input: api::DescribeVpcsRequest,
) -> Result<api::DescribeVpcsResult, Fault> {
    let api::DescribeVpcsRequest { filters, vpc_ids: ids, next_token, max_results, dry_run: _ } =
        input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) = describe::<Vpc>(state, &request.scope, query, holds)?;
    let vpcs = Some(rows.iter().map(|vpc| vpc.to_api()).collect());
    Ok(api::DescribeVpcsResult { next_token, vpcs })
}

fn holds(vpc: &Vpc, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "cidr" | "cidrBlock" | "cidr-block" => wanted.any(vpc.cidrs.first().map(|(_, cidr)| cidr)),
        "cidr-block-association.cidr-block" => wanted.any(vpc.cidrs.iter().map(|(_, cidr)| cidr)),
        "cidr-block-association.association-id" => {
            wanted.any(vpc.cidrs.iter().map(|(association, _)| association))
        }
        "cidr-block-association.state" => wanted.is("associated"),
        "dhcp-options-id" | "dhcpOptionsId" => wanted.is(dhcp_options_id(vpc)),
        "ipv6-cidr-block-association.ipv6-cidr-block" => {
            wanted.any(vpc.ipv6_cidrs.iter().map(|(_, cidr)| cidr))
        }
        "ipv6-cidr-block-association.association-id" => {
            wanted.any(vpc.ipv6_cidrs.iter().map(|(association, _)| association))
        }
        "ipv6-cidr-block-association.ipv6-pool" => {
            wanted.any(vpc.ipv6_cidrs.iter().map(|_| cidr_blocks::IPV6_POOL))
        }
        "ipv6-cidr-block-association.state" => {
            wanted.any(vpc.ipv6_cidrs.iter().map(|_| api::VpcCidrBlockStateCode::Associated))
        }
        "is-default" | "isDefault" => wanted.is(vpc.is_default),
        "owner-id" => wanted.is(vpc.scope.account),
        "state" => wanted.is(api::VpcState::Available),
        "vpc-id" => wanted.is(vpc.id),
        _ => false,
    }
}

/// Tells one attribute of a VPC.
///
/// # Errors
/// The VPC doesn't exist, or no attribute is asked for.
pub fn describe_vpc_attribute(
    state: &State,
    request: &Request,
    input: api::DescribeVpcAttributeRequest,
) -> Result<api::DescribeVpcAttributeResult, Fault> {
    let api::DescribeVpcAttributeRequest { attribute, vpc_id, dry_run: _ } = input;
    let vpc_id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let attribute = attribute.ok_or_else(|| errors::missing("attribute"))?;
    let vpc = find::<Vpc>(state, &request.scope, &vpc_id)?;
    let mut result = api::DescribeVpcAttributeResult { vpc_id: Some(vpc_id), ..Default::default() };
    let value = |value| Some(api::AttributeBooleanValue { value: Some(value) });
    match attribute {
        VpcAttributeName::EnableDnsSupport => result.enable_dns_support = value(vpc.dns_support),
        VpcAttributeName::EnableDnsHostnames => {
            result.enable_dns_hostnames = value(vpc.dns_hostnames);
        }
        VpcAttributeName::EnableNetworkAddressUsageMetrics => {
            result.enable_network_address_usage_metrics = value(vpc.network_address_usage_metrics);
        }
    }
    Ok(result)
}

/// Changes one attribute of a VPC.
///
/// # Errors
/// The VPC doesn't exist, not exactly one attribute is given, or DNS host names would be without
/// DNS.
pub fn modify_vpc_attribute(
    tx: &mut Tx,
    request: &Request,
    input: api::ModifyVpcAttributeRequest,
) -> Result<api::ModifyVpcAttributeResponse, Fault> {
    let api::ModifyVpcAttributeRequest {
        enable_dns_hostnames,
        enable_dns_support,
        vpc_id,
        enable_network_address_usage_metrics,
    } = input;
    let vpc_id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let vpc = find::<Vpc>(tx, &request.scope, &vpc_id)?;
    let mut changed = Vpc::clone(&vpc);
    let hostnames = enable_dns_hostnames.and_then(|attribute| attribute.value);
    let support = enable_dns_support.and_then(|attribute| attribute.value);
    let metrics = enable_network_address_usage_metrics.and_then(|attribute| attribute.value);
    match (hostnames, support, metrics) {
        (None, None, None) => return Err(errors::missing("attribute")),
        (Some(true), None, None) if !vpc.dns_support => {
            return Err(errors::dns_hostnames_without_support());
        }
        (Some(value), None, None) => changed.dns_hostnames = value,
        (None, Some(value), None) => changed.dns_support = value,
        (None, None, Some(value)) => changed.network_address_usage_metrics = value,
        (_, _, _) => return Err(errors::multiple_attributes()),
    }
    tx.put(changed);
    Ok(api::ModifyVpcAttributeResponse {})
}

/// Gives a VPC the default tenancy: the only change that there is.
///
/// # Errors
/// It doesn't exist.
pub fn modify_vpc_tenancy(
    tx: &mut Tx,
    request: &Request,
    input: api::ModifyVpcTenancyRequest,
) -> Result<api::ModifyVpcTenancyResult, Fault> {
    let api::ModifyVpcTenancyRequest { vpc_id, instance_tenancy, dry_run: _ } = input;
    let id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let tenancy = instance_tenancy.ok_or_else(|| errors::missing("instanceTenancy"))?;
    let vpc = find::<Vpc>(tx, &request.scope, &id)?;
    tx.update::<Vpc>(&vpc.id, |vpc| vpc.tenancy = tenancy.to_string());
    Ok(api::ModifyVpcTenancyResult { return_value: Some(true) })
}

/// Makes a VPC and what every VPC has.
pub(super) fn create(
    tx: &mut Tx,
    scope: &Scope,
    cidr: Ipv4Net,
    tenancy: &str,
    is_default: bool,
    tags: Tags,
) -> Vpc {
    let vpc = Vpc {
        id: tx.new_id(),
        scope: scope.clone(),
        cidrs: vec![(tx.new_id(), cidr)],
        ipv6_cidrs: Vec::new(),
        is_default,
        dhcp_options: Some(dhcp_options::ensure_default(tx, scope)),
        tenancy: tenancy.to_owned(),
        dns_support: true,
        dns_hostnames: is_default,
        network_address_usage_metrics: false,
        tags,
    };
    tx.put(vpc.clone());
    route_tables::create_main(tx, &vpc);
    network_acls::create_default(tx, &vpc);
    security_groups::create_default(tx, &vpc);
    vpc
}

/// Checks that one more VPC may be made.
pub(super) fn check_quota(state: &State, scope: &Scope) -> Result<(), Fault> {
    if state.count_in_scope::<Vpc>(scope) < MAX_VPCS { Ok(()) } else { Err(errors::vpc_limit()) }
}

/// The default VPC, if there is one.
#[must_use]
pub fn default_of(state: &State, scope: &Scope) -> Option<Arc<Vpc>> {
    state.in_scope::<Vpc>(scope).find(|vpc| vpc.is_default).cloned()
}

fn ids<R: Row>(state: &State, vpc: VpcId) -> Vec<R::Key> {
    state.find::<R>("vpc", vpc).map(|row| row.key()).collect()
}

fn has_dependents(state: &State, vpc: VpcId) -> bool {
    state.find::<Subnet>("vpc", vpc).next().is_some()
        || state.find::<InternetGateway>("vpc", vpc).next().is_some()
        || state.find::<EgressOnlyInternetGateway>("vpc", vpc).next().is_some()
        || state.find::<NetworkInterface>("vpc", vpc).next().is_some()
        || state.find::<SecurityGroup>("vpc", vpc).any(|group| !group.is_default())
        || state.find::<RouteTable>("vpc", vpc).any(|table| !table.is_main())
        || state.find::<NetworkAcl>("vpc", vpc).any(|acl| !acl.is_default)
}

/// AWS says `default` of a VPC without a DHCP option set.
fn dhcp_options_id(vpc: &Vpc) -> String {
    vpc.dhcp_options.map_or_else(|| "default".to_owned(), |id| id.to_string())
}

impl Vpc {
    /// The associations of all its blocks.
    pub fn block_associations(&self) -> impl Iterator<Item = VpcCidrAssociationId> {
        let v4 = self.cidrs.iter().map(|(association, _)| *association);
        v4.chain(self.ipv6_cidrs.iter().map(|(association, _)| *association))
    }

    pub(super) fn to_api(&self) -> api::Vpc {
        let block = |(association, cidr): &(VpcCidrAssociationId, Ipv4Net)| {
            let state = Some(api::VpcCidrBlockStateCode::Associated);
            api::VpcCidrBlockAssociation {
                association_id: Some(association.to_string()),
                cidr_block: Some(cidr.to_string()),
                cidr_block_state: Some(api::VpcCidrBlockState { state, status_message: None }),
            }
        };
        let associated = api::VpcCidrBlockStateCode::Associated;
        let ipv6 = self.ipv6_cidrs.iter();
        let ipv6 = ipv6.map(|block| cidr_blocks::ipv6_to_api(&self.scope, *block, associated));
        let ipv6 = ipv6.collect::<Vec<_>>();
        api::Vpc {
            owner_id: Some(self.scope.account.to_string()),
            instance_tenancy: self.tenancy.parse().ok(),
            ipv6_cidr_block_association_set: (!ipv6.is_empty()).then_some(ipv6),
            cidr_block_association_set: Some(self.cidrs.iter().map(block).collect()),
            is_default: Some(self.is_default),
            encryption_control: None,
            tags: tags::if_any(&self.tags),
            block_public_access_states: Some(block_public_access_states()),
            vpc_id: Some(self.id.to_string()),
            state: Some(api::VpcState::Available),
            cidr_block: self.cidrs.first().map(|(_, cidr)| cidr.to_string()),
            dhcp_options_id: Some(dhcp_options_id(self)),
        }
    }
}

/// Nothing is blocked: block public access is not served.
pub(super) fn block_public_access_states() -> api::BlockPublicAccessStates {
    api::BlockPublicAccessStates {
        internet_gateway_block_mode: Some(api::BlockPublicAccessMode::Off),
    }
}
