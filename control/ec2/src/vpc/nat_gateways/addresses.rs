//! Secondary addresses of NAT gateways: Elastic ones of public gateways, private ones of private.

use super::{
    AddressStatus, GatewayAddress, NatGateway, answers,
    create::{MAX_ADDRESSES, address_count, elastic, parse},
    named,
};
use crate::{
    errors,
    resource::find,
    vpc::{addresses as elastic_ips, network_interfaces, subnets::Subnet},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::Tx;
use std::{net::Ipv4Addr, sync::Arc};
use types::Timestamp;

/// AWS's range and default of `MaxDrainDurationSeconds`.
const DRAIN_SECONDS: std::ops::RangeInclusive<i32> = 1..=4000;
const DEFAULT_DRAIN_SECONDS: i32 = 350;

/// Gives a public gateway further Elastic IP addresses.
///
/// # Errors
/// The gateway or an address doesn't exist, the gateway isn't public and available, an address is
/// associated, or there would be too many.
pub fn associate_nat_gateway_address(
    tx: &mut Tx,
    request: &Request,
    input: api::AssociateNatGatewayAddressRequest,
) -> Result<api::AssociateNatGatewayAddressResult, Fault> {
    let api::AssociateNatGatewayAddressRequest {
        nat_gateway_id,
        allocation_ids,
        private_ip_addresses,
        dry_run: _,
        availability_zone,
        availability_zone_id,
    } = input;
    errors::refuse(&[
        ("AvailabilityZone", availability_zone.is_some()),
        ("AvailabilityZoneId", availability_zone_id.is_some()),
    ])?;
    let gateway = settled(tx, request, nat_gateway_id, true)?;
    let ids = allocation_ids.filter(|ids| !ids.is_empty());
    let allocations = elastic(tx, request, &ids.ok_or_else(|| errors::missing("AllocationIds"))?)?;
    for allocation in &allocations {
        if let Some(association) = &allocation.association {
            return Err(errors::already_associated(allocation.id, association.id));
        }
    }
    let wanted = private_ip_addresses.unwrap_or_default();
    let wanted = wanted.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    if wanted.len() > allocations.len() {
        return Err(errors::more_private_than_elastic());
    }
    let any = allocations.len() - wanted.len();
    let privates = add(tx, request, &gateway, &wanted, any)?;
    let mut changed = NatGateway::clone(&gateway);
    for (private, allocation) in privates.into_iter().zip(&allocations) {
        changed.link(tx, private, allocation);
    }
    let new = answers::addresses(&changed, |own| own.status == AddressStatus::Coming);
    tx.put(changed);
    Ok(api::AssociateNatGatewayAddressResult {
        nat_gateway_id: Some(gateway.id.to_string()),
        nat_gateway_addresses: Some(new),
    })
}

/// Takes secondary Elastic IP addresses away from a public gateway, once their connections had time to end.
///
/// # Errors
/// The gateway doesn't exist or isn't public and available, or an association isn't one of its
/// secondary ones.
pub fn disassociate_nat_gateway_address(
    tx: &mut Tx,
    request: &Request,
    input: api::DisassociateNatGatewayAddressRequest,
) -> Result<api::DisassociateNatGatewayAddressResult, Fault> {
    let api::DisassociateNatGatewayAddressRequest {
        nat_gateway_id,
        association_ids,
        max_drain_duration_seconds,
        dry_run: _,
    } = input;
    let gateway = settled(tx, request, nat_gateway_id, true)?;
    let ids = association_ids.filter(|ids| !ids.is_empty());
    let ids = ids.ok_or_else(|| errors::missing("AssociationIds"))?;
    let mut gone = Vec::new();
    for id in &ids {
        let has =
            |own: &GatewayAddress| own.elastic.is_some_and(|(_, it, _)| it.to_string() == *id);
        match gateway.addresses.iter().position(has) {
            Some(0) => return Err(errors::primary_nat_address()),
            Some(at) => gone.push(at),
            None => return Err(errors::association_not_found(id)),
        }
    }
    let addresses = drain(tx, &gateway, &gone, max_drain_duration_seconds)?;
    Ok(api::DisassociateNatGatewayAddressResult {
        nat_gateway_id: Some(gateway.id.to_string()),
        nat_gateway_addresses: Some(addresses),
    })
}

/// Gives a private gateway further private addresses.
///
/// # Errors
/// The gateway doesn't exist or isn't private and available, an address can't be had, or there would
/// be too many.
pub fn assign_private_nat_gateway_address(
    tx: &mut Tx,
    request: &Request,
    input: api::AssignPrivateNatGatewayAddressRequest,
) -> Result<api::AssignPrivateNatGatewayAddressResult, Fault> {
    let api::AssignPrivateNatGatewayAddressRequest {
        nat_gateway_id,
        private_ip_addresses,
        private_ip_address_count,
        dry_run: _,
    } = input;
    let gateway = settled(tx, request, nat_gateway_id, false)?;
    let wanted = private_ip_addresses.unwrap_or_default();
    let any = address_count(private_ip_address_count, "privateIpAddressCount")?;
    match (wanted.is_empty(), any) {
        (true, 0) => return Err(errors::either("PrivateIpAddresses", "PrivateIpAddressCount")),
        (false, 1..) => {
            return Err(errors::exclusive("PrivateIpAddresses", "PrivateIpAddressCount"));
        }
        (true, 1..) | (false, 0) => {}
    }
    let wanted = wanted.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    let any = usize::try_from(any).unwrap_or(usize::MAX);
    let privates = add(tx, request, &gateway, &wanted, any)?;
    let mut changed = NatGateway::clone(&gateway);
    changed.addresses.extend(privates.into_iter().map(|private| GatewayAddress {
        private,
        elastic: None,
        status: AddressStatus::Coming,
    }));
    let new = answers::addresses(&changed, |own| own.status == AddressStatus::Coming);
    tx.put(changed);
    Ok(api::AssignPrivateNatGatewayAddressResult {
        nat_gateway_id: Some(gateway.id.to_string()),
        nat_gateway_addresses: Some(new),
    })
}

/// Takes secondary private addresses away from a private gateway, once their connections had time to end.
///
/// # Errors
/// The gateway doesn't exist or isn't private and available, or an address isn't one of its
/// secondary ones.
pub fn unassign_private_nat_gateway_address(
    tx: &mut Tx,
    request: &Request,
    input: api::UnassignPrivateNatGatewayAddressRequest,
) -> Result<api::UnassignPrivateNatGatewayAddressResult, Fault> {
    let api::UnassignPrivateNatGatewayAddressRequest {
        nat_gateway_id,
        private_ip_addresses,
        max_drain_duration_seconds,
        dry_run: _,
    } = input;
    let gateway = settled(tx, request, nat_gateway_id, false)?;
    let texts = private_ip_addresses.filter(|texts| !texts.is_empty());
    let mut gone = Vec::new();
    for text in texts.ok_or_else(|| errors::missing("PrivateIpAddresses"))? {
        let ip = parse(&text)?;
        match gateway.addresses.iter().position(|own| own.private == ip) {
            Some(0) => return Err(errors::primary_nat_address()),
            Some(at) => gone.push(at),
            None => return Err(errors::not_an_interface_address(ip, gateway.interface)),
        }
    }
    let addresses = drain(tx, &gateway, &gone, max_drain_duration_seconds)?;
    Ok(api::UnassignPrivateNatGatewayAddressResult {
        nat_gateway_id: Some(gateway.id.to_string()),
        nat_gateway_addresses: Some(addresses),
    })
}

/// The gateway that a call changes: available, of this connectivity, and with no address on its
/// way.
fn settled(
    tx: &Tx,
    request: &Request,
    id: Option<String>,
    public: bool,
) -> Result<Arc<NatGateway>, Fault> {
    let gateway = named(tx, &request.scope, id)?;
    if !gateway.is_available() {
        return Err(errors::nat_gateway_state(gateway.id, gateway.state.to_api()));
    }
    if gateway.public != public {
        let (is, needed) = if public { ("private", "public") } else { ("public", "private") };
        return Err(errors::nat_gateway_connectivity(gateway.id, is, needed));
    }
    if gateway.addresses.iter().any(|own| own.status != AddressStatus::Succeeded) {
        return Err(errors::nat_gateway_busy(gateway.id));
    }
    Ok(gateway)
}

/// Gives a gateway's interface these private addresses and `any` further ones.
fn add(
    tx: &mut Tx,
    request: &Request,
    gateway: &NatGateway,
    wanted: &[Ipv4Addr],
    any: usize,
) -> Result<Vec<Ipv4Addr>, Fault> {
    let count = gateway.addresses.len().saturating_add(wanted.len()).saturating_add(any);
    if count > MAX_ADDRESSES {
        return Err(errors::nat_address_limit(MAX_ADDRESSES));
    }
    let subnet = find::<Subnet>(tx, &request.scope, &gateway.subnet.to_string())?;
    network_interfaces::add_addresses(tx, gateway.interface, &subnet, wanted, any)
}

/// Begins to take addresses away.
fn drain(
    tx: &mut Tx,
    gateway: &NatGateway,
    gone: &[usize],
    seconds: Option<i32>,
) -> Result<Vec<api::NatGatewayAddress>, Fault> {
    let seconds = seconds.unwrap_or(DEFAULT_DRAIN_SECONDS);
    if !DRAIN_SECONDS.contains(&seconds) {
        let why = "It must be from 1 to 4000.";
        return Err(errors::invalid_value(seconds, "maxDrainDurationSeconds", why));
    }
    let until = tx.now().plus_millis(i64::from(seconds) * 1000);
    let mut changed = gateway.clone();
    for &at in gone {
        if let Some(own) = changed.addresses.get_mut(at) {
            own.status = AddressStatus::Draining(until);
        }
    }
    let addresses =
        answers::addresses(&changed, |own| matches!(own.status, AddressStatus::Draining(_)));
    tx.put(changed);
    Ok(addresses)
}

/// Ends what is due of an available gateway's addresses.
pub(super) fn advance(tx: &mut Tx, gateway: &NatGateway, now: Timestamp) {
    let gone =
        |own: &GatewayAddress| matches!(own.status, AddressStatus::Draining(at) if at <= now);
    let moves = |own: &GatewayAddress| own.status == AddressStatus::Coming || gone(own);
    if !gateway.addresses.iter().any(moves) {
        return;
    }
    for own in gateway.addresses.iter().filter(|own| gone(own)) {
        if let Some((allocation, ..)) = own.elastic {
            elastic_ips::unlink_by_id(tx, allocation);
        }
        network_interfaces::remove_address(tx, gateway.interface, own.private);
    }
    tx.update::<NatGateway>(&gateway.id, |row| {
        row.addresses.retain(|own| !gone(own));
        for own in &mut row.addresses {
            if own.status == AddressStatus::Coming {
                own.status = AddressStatus::Succeeded;
            }
        }
    });
}
