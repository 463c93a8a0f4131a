//! IPv6 blocks of subnets.

use crate::{
    errors,
    resource::find,
    vpc::{
        ipv6,
        network_interfaces::NetworkInterface,
        subnet_reservations::{self, SubnetReservation},
        subnets::Subnet,
        vpcs::Vpc,
    },
};
use iam::Request;
use shapes::{Fault, ec2 as api, ec2::SubnetCidrBlockStateCode};
use state::{State, Tx};
use types::{IdError, IpNet, Ipv6Net, SubnetCidrAssociationId};

/// IPv6 blocks of a subnet, as on AWS.
const MAX_BLOCKS: usize = 1;

/// Gives a subnet an IPv6 block.
///
/// # Errors
/// The subnet doesn't exist or has one, or the block isn't of its VPC, overlaps another subnet's or
/// has no possible size.
pub fn associate_subnet_cidr_block(
    tx: &mut Tx,
    request: &Request,
    input: api::AssociateSubnetCidrBlockRequest,
) -> Result<api::AssociateSubnetCidrBlockResult, Fault> {
    let api::AssociateSubnetCidrBlockRequest {
        ipv6_ipam_pool_id,
        ipv6_netmask_length,
        subnet_id,
        ipv6_cidr_block,
    } = input;
    errors::refuse(&[
        ("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", ipv6_netmask_length.is_some()),
    ])?;
    let subnet = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let text = ipv6_cidr_block.ok_or_else(|| errors::missing("ipv6CidrBlock"))?;
    let subnet = find::<Subnet>(tx, &request.scope, &subnet)?;
    let vpc = find::<Vpc>(tx, &request.scope, &subnet.vpc.to_string())?;
    let block = checked(tx, &vpc, &text)?;
    if subnet.ipv6_cidr.is_some() {
        return Err(errors::cidr_limit(subnet.id, MAX_BLOCKS));
    }
    let block = (tx.new_id(), block);
    tx.update::<Subnet>(&subnet.id, |subnet| subnet.ipv6_cidr = Some(block));
    Ok(api::AssociateSubnetCidrBlockResult {
        ipv6_cidr_block_association: Some(to_api(block, SubnetCidrBlockStateCode::Associating)),
        subnet_id: Some(subnet.id.to_string()),
    })
}

/// Takes a subnet's IPv6 block away, and what is reserved of it.
///
/// # Errors
/// There is no such association, or interfaces have addresses of the block or shall be given some.
pub fn disassociate_subnet_cidr_block(
    tx: &mut Tx,
    request: &Request,
    input: api::DisassociateSubnetCidrBlockRequest,
) -> Result<api::DisassociateSubnetCidrBlockResult, Fault> {
    let api::DisassociateSubnetCidrBlockRequest { association_id } = input;
    let text = association_id.ok_or_else(|| errors::missing("associationId"))?;
    let id = text.parse::<SubnetCidrAssociationId>().map_err(|error| match error {
        IdError::Malformed => errors::subnet_block_malformed(&text),
        IdError::Foreign => errors::subnet_block_not_found(&text),
    })?;
    let mut subnets = tx.find::<Subnet>("ipv6-association", id);
    let subnet = subnets.find(|subnet| subnet.scope == request.scope).cloned();
    drop(subnets);
    let found = subnet.and_then(|subnet| Some((subnet.ipv6_cidr?, subnet)));
    let (block, subnet) = found.ok_or_else(|| errors::subnet_block_not_found(&text))?;
    if subnet.assign_ipv6_on_creation {
        return Err(errors::subnet_block_assigns(text));
    }
    if tx.find::<NetworkInterface>("subnet", subnet.id).any(|row| !row.ipv6.is_empty()) {
        return Err(errors::subnet_block_in_use(text));
    }
    let reserved = subnet_reservations::of_subnet(tx, subnet.id);
    let reserved = reserved.filter(|row| matches!(row.cidr, IpNet::V6(_)));
    for reservation in reserved.map(|row| row.id).collect::<Vec<_>>() {
        tx.delete::<SubnetReservation>(&reservation);
    }
    tx.update::<Subnet>(&subnet.id, |subnet| subnet.ipv6_cidr = None);
    Ok(api::DisassociateSubnetCidrBlockResult {
        ipv6_cidr_block_association: Some(to_api(block, SubnetCidrBlockStateCode::Disassociating)),
        subnet_id: Some(subnet.id.to_string()),
    })
}

/// A block that a subnet of the VPC may have.
///
/// # Errors
/// It isn't of the VPC, overlaps another subnet's or has no possible size.
pub(in super::super) fn checked(state: &State, vpc: &Vpc, text: &str) -> Result<Ipv6Net, Fault> {
    let block = ipv6::parse(text, "ipv6CidrBlock")?;
    let within = vpc.ipv6_cidrs.iter().any(|(_, own)| own.contains(&block));
    if !within || !ipv6::subnet_size_allowed(&block) {
        return Err(errors::ipv6_subnet_range(block));
    }
    let others = state.find::<Subnet>("vpc", vpc.id).filter_map(|subnet| subnet.ipv6_cidr);
    let mut others = others.map(|(_, other)| other);
    match others.any(|other| ipv6::overlap(&other, &block)) {
        true => Err(errors::subnet_conflict(block)),
        false => Ok(block),
    }
}

/// A subnet's IPv6 block as answers have it.
pub(in super::super) fn to_api(
    (association, block): (SubnetCidrAssociationId, Ipv6Net),
    state: SubnetCidrBlockStateCode,
) -> api::SubnetIpv6CidrBlockAssociation {
    api::SubnetIpv6CidrBlockAssociation {
        association_id: Some(association.to_string()),
        ipv6_cidr_block: Some(block.to_string()),
        ipv6_cidr_block_state: Some(api::SubnetCidrBlockState {
            state: Some(state),
            status_message: None,
        }),
        ipv6_address_attribute: Some(api::Ipv6AddressAttribute::Public),
        ip_source: Some(api::IpSource::Amazon),
    }
}
