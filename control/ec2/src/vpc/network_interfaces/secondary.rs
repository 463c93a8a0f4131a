//! Secondary private addresses of interfaces, which come, move and go while the interface is used.

use super::{NetworkInterface, add_addresses, remove_address};
use crate::{
    compute::{instance_types, instances::Instance},
    errors,
    resource::find,
    vpc::{addresses::Address, subnets::Subnet},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::{net::Ipv4Addr, sync::Arc};

/// Gives an interface further private addresses: these, or so many that are free.
///
/// # Errors
/// The interface doesn't exist or isn't the caller's to change, an address can't be had, or there would
/// be more than its instance's type allows.
pub fn assign_private_ip_addresses(
    tx: &mut Tx,
    request: &Request,
    input: api::AssignPrivateIpAddressesRequest,
) -> Result<api::AssignPrivateIpAddressesResult, Fault> {
    let api::AssignPrivateIpAddressesRequest {
        ipv4_prefixes,
        ipv4_prefix_count,
        network_interface_id,
        private_ip_addresses,
        secondary_private_ip_address_count,
        allow_reassignment,
    } = input;
    errors::refuse(&[
        ("Ipv4Prefixes", ipv4_prefixes.is_some_and(|list| !list.is_empty())),
        ("Ipv4PrefixCount", ipv4_prefix_count.is_some_and(|count| count != 0)),
    ])?;
    let interface = changeable(tx, request, network_interface_id)?;
    let wanted = parse(&private_ip_addresses.unwrap_or_default())?;
    let (one, other) = ("PrivateIpAddresses", "SecondaryPrivateIpAddressCount");
    let any = match (wanted.is_empty(), secondary_private_ip_address_count) {
        (false, None | Some(0)) => 0,
        (false, Some(_)) => return Err(errors::exclusive(one, other)),
        (true, Some(count)) if count > 0 => usize::try_from(count).unwrap_or(usize::MAX),
        (true, Some(count)) => {
            let why = "It must be positive.";
            return Err(errors::invalid_value(count, "secondaryPrivateIpAddressCount", why));
        }
        (true, None) => return Err(errors::either(one, other)),
    };
    let owns = |ip: &Ipv4Addr| interface.addresses.iter().any(|own| own.ip == *ip);
    // What it has already it keeps.
    let new = wanted.iter().copied().filter(|ip| !owns(ip)).collect::<Vec<_>>();
    check_limit(tx, &interface, new.len().saturating_add(any))?;
    let subnet = find::<Subnet>(tx, &request.scope, &interface.subnet.to_string())?;
    let mut moved = Vec::new();
    if allow_reassignment == Some(true) {
        for ip in &new {
            moved.extend(take_over(tx, &interface, *ip)?);
        }
    }
    let added = add_addresses(tx, interface.id, &subnet, &new, any)?;
    for (ip, public) in moved {
        if let Some((address, _)) = public.as_ref().and_then(|public| public.elastic) {
            tx.update::<Address>(&address, |row| {
                if let Some(association) = &mut row.association {
                    association.interface = interface.id;
                }
            });
        }
        tx.update::<NetworkInterface>(&interface.id, |row| {
            if let Some(own) = row.addresses.iter_mut().find(|own| own.ip == ip) {
                own.public = public;
            }
        });
    }
    let assigned = if wanted.is_empty() { added } else { wanted };
    let assigned = assigned
        .into_iter()
        .map(|ip| api::AssignedPrivateIpAddress { private_ip_address: Some(ip.to_string()) });
    Ok(api::AssignPrivateIpAddressesResult {
        network_interface_id: Some(interface.id.to_string()),
        assigned_private_ip_addresses: Some(assigned.collect()),
        assigned_ipv4_prefixes: None,
    })
}

/// Takes secondary private addresses away from an interface; Elastic IP addresses that lead there lead
/// nowhere then.
///
/// # Errors
/// The interface doesn't exist or isn't the caller's to change, or an address isn't one of its secondary
/// ones.
pub fn unassign_private_ip_addresses(
    tx: &mut Tx,
    request: &Request,
    input: api::UnassignPrivateIpAddressesRequest,
) -> Result<api::UnassignPrivateIpAddressesResponse, Fault> {
    let api::UnassignPrivateIpAddressesRequest {
        ipv4_prefixes,
        network_interface_id,
        private_ip_addresses,
    } = input;
    errors::refuse(&[("Ipv4Prefixes", ipv4_prefixes.is_some_and(|list| !list.is_empty()))])?;
    let interface = changeable(tx, request, network_interface_id)?;
    let gone = parse(&private_ip_addresses.unwrap_or_default())?;
    if gone.is_empty() {
        return Err(errors::missing("PrivateIpAddresses"));
    }
    for ip in &gone {
        match interface.addresses.iter().position(|own| own.ip == *ip) {
            Some(0) => return Err(errors::primary_address(ip)),
            Some(_) => {}
            None => return Err(errors::addresses_not_assigned(interface.id)),
        }
    }
    for ip in gone {
        let own = interface.addresses.iter().find(|own| own.ip == ip);
        let elastic = own.and_then(|own| own.public.as_ref()?.elastic);
        if let Some((address, _)) = elastic {
            tx.update::<Address>(&address, |row| row.association = None);
        }
        remove_address(tx, interface.id, ip);
    }
    Ok(api::UnassignPrivateIpAddressesResponse {})
}

/// Checks that an interface may have so many more addresses: its instance's type says how many.
///
/// # Errors
/// They are too many.
pub(super) fn check_limit(
    state: &State,
    interface: &NetworkInterface,
    more: usize,
) -> Result<(), Fault> {
    let attachment = interface.attachment.as_ref();
    let instance = attachment.and_then(|it| state.get::<Instance>(&it.instance));
    match instance {
        Some(instance) => check_type(&instance.instance_type, interface, more),
        None => Ok(()),
    }
}

/// Checks that an instance of this type may have the interface with so many more addresses.
///
/// # Errors
/// They are too many.
pub(super) fn check_type(
    instance_type: &str,
    interface: &NetworkInterface,
    more: usize,
) -> Result<(), Fault> {
    let limit = instance_types::get(instance_type).map(|kind| kind.ipv4_per_interface);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    if interface.addresses.len().saturating_add(more) > limit {
        return Err(errors::secondary_address_limit());
    }
    Ok(())
}

/// An address that was taken over, with the public one that leads there.
type Moved = (Ipv4Addr, Option<super::PublicAddress>);

/// Takes a secondary address from the interface of the subnet that has it; its Elastic IP address comes
/// along.
fn take_over(
    tx: &mut Tx,
    interface: &NetworkInterface,
    ip: Ipv4Addr,
) -> Result<Option<Moved>, Fault> {
    let key = format!("{}/{ip}", interface.subnet);
    let holder = tx.find::<NetworkInterface>("address", key).next().cloned();
    let Some(holder) = holder else { return Ok(None) };
    let at = holder.addresses.iter().position(|own| own.ip == ip);
    if at == Some(0) || holder.requester.is_some() || holder.scope != interface.scope {
        return Err(errors::address_in_use());
    }
    let own = at.and_then(|at| holder.addresses.get(at)).and_then(|own| own.public.clone());
    remove_address(tx, holder.id, ip);
    Ok(Some((ip, own)))
}

fn changeable(
    state: &State,
    request: &Request,
    id: Option<String>,
) -> Result<Arc<NetworkInterface>, Fault> {
    let id = id.ok_or_else(|| errors::missing("networkInterfaceId"))?;
    let interface = find::<NetworkInterface>(state, &request.scope, &id)?;
    match interface.requester {
        Some(_) => Err(errors::managed_interface(interface.id)),
        None => Ok(interface),
    }
}

/// The addresses of a call, each once.
fn parse(texts: &[String]) -> Result<Vec<Ipv4Addr>, Fault> {
    let mut read = Vec::with_capacity(texts.len());
    for text in texts {
        let ip = text.parse().map_err(|_| errors::not_an_address(text))?;
        if !read.contains(&ip) {
            read.push(ip);
        }
    }
    Ok(read)
}
