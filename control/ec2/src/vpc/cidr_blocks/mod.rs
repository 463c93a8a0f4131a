//! Further blocks of a VPC, beside the primary: IPv4 and IPv6.

pub mod subnets;

use super::{
    cidr, ipv6, network_acls, route_tables::RouteTable, security_groups, subnets::Subnet, vpcs::Vpc,
};
use crate::{errors, resource::find};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::Tx;
use types::{IdError, IpNet, Ipv4Net, Ipv6Net, Scope, VpcCidrAssociationId, VpcId};

/// AWS's quota of a VPC's IPv4 blocks.
const MAX_BLOCKS: usize = 5;

/// AWS's quota of a VPC's IPv6 blocks.
const MAX_IPV6_BLOCKS: usize = 5;
/// What AWS calls its own pool of IPv6 addresses.
pub(super) const IPV6_POOL: &str = "Amazon";

/// Ranges that a VPC's blocks may not mix: those of the primary's range, and public ones.
const RANGES: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.19.0.0/16"];
/// Blocks of this range can't be added where the primary is of the one beside it.
const KEPT: [(&str, &str); 2] =
    [("10.0.0.0/15", "10.0.0.0/16"), ("172.16.0.0/12", "172.31.0.0/16")];

/// Adds a block to a VPC: the one that is named, or an IPv6 block of the cloud's pool.
///
/// # Errors
/// The VPC doesn't exist or has too many blocks, or the pool is used up; the block can't be a VPC's, overlaps one of its
/// blocks, is of a range that its primary block excludes, or holds the destination of a route.
pub fn associate_vpc_cidr_block(
    tx: &mut Tx,
    request: &Request,
    input: api::AssociateVpcCidrBlockRequest,
) -> Result<api::AssociateVpcCidrBlockResult, Fault> {
    let api::AssociateVpcCidrBlockRequest {
        cidr_block,
        ipv6_cidr_block_network_border_group,
        ipv6_pool,
        ipv6_cidr_block,
        ipv4_ipam_pool_id,
        ipv4_netmask_length,
        ipv6_ipam_pool_id,
        ipv6_netmask_length,
        vpc_id,
        amazon_provided_ipv6_cidr_block,
    } = input;
    errors::refuse(&[
        ("Ipv6Pool", ipv6_pool.is_some()),
        ("Ipv6CidrBlock", ipv6_cidr_block.is_some()),
        ("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some()),
        ("Ipv4NetmaskLength", ipv4_netmask_length.is_some()),
        ("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", ipv6_netmask_length.is_some()),
    ])?;
    let amazon = amazon_provided_ipv6_cidr_block == Some(true);
    check_border_group(&request.scope, ipv6_cidr_block_network_border_group, amazon)?;
    let vpc = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let text = match (cidr_block, amazon) {
        (Some(_), true) => {
            return Err(errors::exclusive("cidrBlock", "amazonProvidedIpv6CidrBlock"));
        }
        (Some(text), false) => Some(text),
        (None, true) => None,
        (None, false) => return Err(errors::either("cidrBlock", "amazonProvidedIpv6CidrBlock")),
    };
    let vpc = find::<Vpc>(tx, &request.scope, &vpc)?;
    let mut answer = api::AssociateVpcCidrBlockResult {
        ipv6_cidr_block_association: None,
        cidr_block_association: None,
        vpc_id: Some(vpc.id.to_string()),
    };
    let state = api::VpcCidrBlockStateCode::Associating;
    match text {
        Some(text) => {
            let (association, block) = add(tx, &vpc, text)?;
            answer.cidr_block_association = Some(told(association, block, state));
        }
        None => {
            let block = add_ipv6(tx, vpc.id)?;
            answer.ipv6_cidr_block_association = Some(ipv6_to_api(&vpc.scope, block, state));
        }
    }
    Ok(answer)
}

/// Adds an IPv4 block to a VPC.
fn add(tx: &mut Tx, vpc: &Vpc, text: String) -> Result<(VpcCidrAssociationId, Ipv4Net), Fault> {
    let block = cidr::parse(&text, "cidrBlock")?;
    if !cidr::size_allowed(&block)
        || !cidr::usable(&block)
        || vpc.cidrs.iter().any(|(_, other)| cidr::overlap(other, &block))
    {
        return Err(errors::vpc_range(text));
    }
    if vpc.cidrs.first().is_some_and(|(_, primary)| excludes(*primary, block)) {
        return Err(errors::restricted_range(text));
    }
    let mut routes = tx.find::<RouteTable>("vpc", vpc.id).flat_map(|table| &table.routes);
    let within = IpNet::V4(block);
    if let Some(route) = routes.find(|route| within.contains(&route.destination)) {
        return Err(errors::block_of_route(text, route.destination));
    }
    drop(routes);
    if vpc.cidrs.len() >= MAX_BLOCKS {
        return Err(errors::cidr_limit(vpc.id, MAX_BLOCKS));
    }
    let association = tx.new_id();
    tx.update::<Vpc>(&vpc.id, |vpc| vpc.cidrs.push((association, block)));
    Ok((association, block))
}

/// Gives a VPC an IPv6 block of the cloud's pool. With the first, what lets all IPv4 traffic
/// through by default does so with IPv6.
pub(super) fn add_ipv6(tx: &mut Tx, id: VpcId) -> Result<(VpcCidrAssociationId, Ipv6Net), Fault> {
    let count = tx.get::<Vpc>(&id).map_or(0, |vpc| vpc.ipv6_cidrs.len());
    if count >= MAX_IPV6_BLOCKS {
        return Err(errors::cidr_limit(id, MAX_IPV6_BLOCKS));
    }
    let block = (tx.new_id(), ipv6::free_vpc_block(tx)?);
    tx.update::<Vpc>(&id, |vpc| vpc.ipv6_cidrs.push(block));
    if count == 0 {
        network_acls::allow_ipv6(tx, id);
        security_groups::allow_ipv6(tx, id);
    }
    Ok(block)
}

/// Checks what a call says of where a block is announced: there is one place, the region.
pub(super) fn check_border_group(
    scope: &Scope,
    group: Option<String>,
    amazon: bool,
) -> Result<(), Fault> {
    match group {
        None => Ok(()),
        Some(_) if !amazon => Err(errors::missing("amazonProvidedIpv6CidrBlock")),
        Some(group) if group == scope.region.as_str() => Ok(()),
        Some(group) => {
            let why = format!("The region's network border group is {}.", scope.region);
            Err(errors::invalid_value(group, "ipv6CidrBlockNetworkBorderGroup", why))
        }
    }
}

/// Takes a block away from a VPC.
///
/// # Errors
/// There is no such association, it is the primary block's, or subnets are in the block.
pub fn disassociate_vpc_cidr_block(
    tx: &mut Tx,
    request: &Request,
    input: api::DisassociateVpcCidrBlockRequest,
) -> Result<api::DisassociateVpcCidrBlockResult, Fault> {
    let api::DisassociateVpcCidrBlockRequest { association_id } = input;
    let text = association_id.ok_or_else(|| errors::missing("associationId"))?;
    let id = text.parse::<VpcCidrAssociationId>().map_err(|error| match error {
        IdError::Malformed => errors::association_malformed(&text),
        IdError::Foreign => errors::block_association_not_found(&text),
    })?;
    let mut vpcs = tx.in_scope::<Vpc>(&request.scope);
    let found = vpcs.find(|vpc| vpc.block_associations().any(|own| own == id)).cloned();
    drop(vpcs);
    let vpc = found.ok_or_else(|| errors::block_association_not_found(&text))?;
    if vpc.cidrs.first().is_some_and(|(association, _)| *association == id) {
        return Err(errors::primary_block(text));
    }
    let state = api::VpcCidrBlockStateCode::Disassociating;
    let v4 = vpc.cidrs.iter().find(|(association, _)| *association == id).copied();
    let v6 = vpc.ipv6_cidrs.iter().find(|(association, _)| *association == id).copied();
    let mut subnets = tx.find::<Subnet>("vpc", vpc.id);
    let in_use = subnets.any(|subnet| {
        let own = subnet.ipv6_cidr.map(|(_, block)| block);
        v4.is_some_and(|(_, block)| block.contains(&subnet.cidr))
            || v6.zip(own).is_some_and(|((_, block), own)| block.contains(&own))
    });
    drop(subnets);
    if in_use {
        return Err(errors::block_in_use(text));
    }
    tx.update::<Vpc>(&vpc.id, |vpc| {
        vpc.cidrs.retain(|(association, _)| *association != id);
        vpc.ipv6_cidrs.retain(|(association, _)| *association != id);
    });
    Ok(api::DisassociateVpcCidrBlockResult {
        ipv6_cidr_block_association: v6.map(|block| ipv6_to_api(&vpc.scope, block, state)),
        cidr_block_association: v4.map(|(id, block)| told(id, block, state)),
        vpc_id: Some(vpc.id.to_string()),
    })
}

/// Whether a VPC with this primary block can't have the other.
fn excludes(primary: Ipv4Net, block: Ipv4Net) -> bool {
    let within = |range: &str, block: Ipv4Net| {
        range.parse::<Ipv4Net>().is_ok_and(|range| range.contains(&block))
    };
    let range = |block| RANGES.iter().find(|range| within(range, block));
    let mixed = range(block).is_some() && range(block) != range(primary);
    mixed || KEPT.iter().any(|(of, kept)| within(of, primary) && within(kept, block))
}

fn told(
    association: VpcCidrAssociationId,
    block: Ipv4Net,
    state: api::VpcCidrBlockStateCode,
) -> api::VpcCidrBlockAssociation {
    api::VpcCidrBlockAssociation {
        association_id: Some(association.to_string()),
        cidr_block: Some(block.to_string()),
        cidr_block_state: Some(api::VpcCidrBlockState { state: Some(state), status_message: None }),
    }
}

/// An IPv6 block as answers have it.
pub(super) fn ipv6_to_api(
    scope: &Scope,
    (association, block): (VpcCidrAssociationId, Ipv6Net),
    state: api::VpcCidrBlockStateCode,
) -> api::VpcIpv6CidrBlockAssociation {
    api::VpcIpv6CidrBlockAssociation {
        association_id: Some(association.to_string()),
        ipv6_cidr_block: Some(block.to_string()),
        ipv6_cidr_block_state: Some(api::VpcCidrBlockState {
            state: Some(state),
            status_message: None,
        }),
        network_border_group: Some(scope.region.to_string()),
        ipv6_pool: Some(IPV6_POOL.to_owned()),
        ipv6_address_attribute: Some(api::Ipv6AddressAttribute::Public),
        ip_source: Some(api::IpSource::Amazon),
    }
}
