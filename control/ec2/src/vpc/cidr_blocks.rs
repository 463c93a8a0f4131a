//! Further blocks of a VPC, beside the primary.

use super::{cidr, route_tables::RouteTable, subnets::Subnet, vpcs::Vpc};
use crate::{errors, resource::find};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::Tx;
use types::{IdError, Ipv4Net, VpcCidrAssociationId};

/// AWS's quota of a VPC's IPv4 blocks.
const MAX_BLOCKS: usize = 5;

/// Ranges that a VPC's blocks may not mix: those of the primary's range, and public ones.
const RANGES: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.19.0.0/16"];
/// Blocks of this range can't be added where the primary is of the one beside it.
const KEPT: [(&str, &str); 2] =
    [("10.0.0.0/15", "10.0.0.0/16"), ("172.16.0.0/12", "172.31.0.0/16")];

/// Adds a block to a VPC.
///
/// # Errors
/// The VPC doesn't exist or has too many blocks; the block can't be a VPC's, overlaps one of its
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
        ("Ipv6CidrBlockNetworkBorderGroup", ipv6_cidr_block_network_border_group.is_some()),
        ("Ipv6Pool", ipv6_pool.is_some()),
        ("Ipv6CidrBlock", ipv6_cidr_block.is_some()),
        ("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some()),
        ("Ipv4NetmaskLength", ipv4_netmask_length.is_some()),
        ("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", ipv6_netmask_length.is_some()),
        ("AmazonProvidedIpv6CidrBlock", amazon_provided_ipv6_cidr_block == Some(true)),
    ])?;
    let vpc = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let text = cidr_block.ok_or_else(|| errors::either("cidrBlock", "ipv4IpamPoolId"))?;
    let vpc = find::<Vpc>(tx, &request.scope, &vpc)?;
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
    if let Some(route) = routes.find(|route| block.contains(&route.destination)) {
        return Err(errors::block_of_route(text, route.destination));
    }
    drop(routes);
    if vpc.cidrs.len() >= MAX_BLOCKS {
        return Err(errors::cidr_limit(vpc.id, MAX_BLOCKS));
    }
    let association = tx.new_id();
    tx.update::<Vpc>(&vpc.id, |vpc| vpc.cidrs.push((association, block)));
    Ok(api::AssociateVpcCidrBlockResult {
        ipv6_cidr_block_association: None,
        cidr_block_association: Some(told(
            association,
            block,
            api::VpcCidrBlockStateCode::Associating,
        )),
        vpc_id: Some(vpc.id.to_string()),
    })
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
    let found = vpcs.find_map(|vpc| {
        let at = vpc.cidrs.iter().position(|(association, _)| *association == id)?;
        Some((vpc.id, at, vpc.cidrs.get(at)?.1))
    });
    drop(vpcs);
    let (vpc, at, block) = found.ok_or_else(|| errors::block_association_not_found(&text))?;
    if at == 0 {
        return Err(errors::primary_block(text));
    }
    if tx.find::<Subnet>("vpc", vpc).any(|subnet| block.contains(&subnet.cidr)) {
        return Err(errors::block_in_use(text));
    }
    tx.update::<Vpc>(&vpc, |vpc| vpc.cidrs.retain(|(association, _)| *association != id));
    let state = api::VpcCidrBlockStateCode::Disassociating;
    Ok(api::DisassociateVpcCidrBlockResult {
        ipv6_cidr_block_association: None,
        cidr_block_association: Some(told(id, block, state)),
        vpc_id: Some(vpc.to_string()),
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
