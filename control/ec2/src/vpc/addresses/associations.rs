//! Where Elastic IP addresses lead.

use super::{Address, AddressAssociation, lend_public, named};
use crate::{
    compute::instances::{Instance, InstanceState},
    errors,
    resource::find,
    vpc::{
        internet_gateways,
        network_interfaces::{NetworkInterface, PublicAddress, of_instance, only_of},
    },
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::{net::Ipv4Addr, sync::Arc};
use types::{AllocationId, AssociationId, IdError, NetworkInterfaceId};

/// Leads an address to an interface's private address, away from where it led before.
///
/// # Errors
/// The address, instance or interface doesn't exist, the VPC has no internet gateway, or
/// reassociation is needed and not allowed.
pub fn associate_address(
    tx: &mut Tx,
    request: &Request,
    input: api::AssociateAddressRequest,
) -> Result<api::AssociateAddressResult, Fault> {
    let api::AssociateAddressRequest {
        allocation_id,
        instance_id,
        public_ip,
        dry_run: _,
        network_interface_id,
        private_ip_address,
        allow_reassociation,
    } = input;
    let address = named(tx, &request.scope, allocation_id, public_ip)?;
    let interface = target(tx, request, instance_id, network_interface_id)?;
    if interface.requester.is_some() {
        return Err(errors::managed_interface(interface.id));
    }
    let private_ip = private_ip(&interface, private_ip_address)?;
    if internet_gateways::of_vpc(tx, interface.vpc).is_none() {
        return Err(errors::no_gateway(interface.vpc));
    }
    let led_to = address.association.as_ref();
    if let Some(same) =
        led_to.filter(|to| to.interface == interface.id && to.private_ip == private_ip)
    {
        return Ok(api::AssociateAddressResult { association_id: Some(same.id.to_string()) });
    }
    let there = interface.addresses.iter().find(|private| private.ip == private_ip);
    let other = there.and_then(|private| private.public.as_ref()?.elastic);
    check_own(tx, &address)?;
    // AWS moves addresses unless the call forbids it.
    if allow_reassociation == Some(false) {
        if let Some(association) = led_to {
            return Err(errors::already_associated(address.id, association.id));
        }
        if let Some((_, association)) = other {
            return Err(errors::already_associated(interface.id, association));
        }
    }
    if let Some((other, _)) = other {
        tx.update::<Address>(&other, |other| other.association = None);
    }
    let moved_from = led_to.map(|association| association.interface);
    unlink(tx, &address);
    let id = link(tx, &address, interface.id, private_ip);
    if let Some(from) = moved_from.filter(|from| *from != interface.id) {
        lend_again(tx, from);
    }
    Ok(api::AssociateAddressResult { association_id: Some(id.to_string()) })
}

/// Leads an address nowhere.
///
/// # Errors
/// There is no such association.
pub fn disassociate_address(
    tx: &mut Tx,
    request: &Request,
    input: api::DisassociateAddressRequest,
) -> Result<api::DisassociateAddressResponse, Fault> {
    let api::DisassociateAddressRequest { association_id, public_ip, dry_run: _ } = input;
    let (address, name) = match (association_id, public_ip) {
        (Some(id), None) => (by_association(tx, request, &id)?, id),
        (None, Some(ip)) => (named(tx, &request.scope, None, Some(ip.clone()))?, ip),
        (Some(_), Some(_)) => return Err(errors::exclusive("AssociationId", "PublicIp")),
        (None, None) => return Err(errors::either("AssociationId", "PublicIp")),
    };
    let Some(association) = &address.association else {
        return Err(errors::association_not_found(name));
    };
    check_own(tx, &address)?;
    unlink(tx, &address);
    lend_again(tx, association.interface);
    Ok(api::DisassociateAddressResponse {})
}

/// Checks that an address leads to no interface that is another resource's.
fn check_own(state: &State, address: &Address) -> Result<(), Fault> {
    let interface = address.association.as_ref().map(|association| association.interface);
    let row = interface.and_then(|id| state.get::<NetworkInterface>(&id));
    match row.is_some_and(|row| row.requester.is_some()) {
        true => Err(errors::not_permitted_to_access()),
        false => Ok(()),
    }
}

fn by_association(state: &State, request: &Request, text: &str) -> Result<Arc<Address>, Fault> {
    let id = text.parse::<AssociationId>().map_err(|error| match error {
        IdError::Malformed => errors::association_malformed(text),
        IdError::Foreign => errors::association_not_found(text),
    })?;
    let mut rows = state.find::<Address>("association", id);
    let row = rows.find(|row| row.scope == request.scope).cloned();
    row.ok_or_else(|| errors::association_not_found(text))
}

/// The interface that a call names, by itself or by its instance.
fn target(
    state: &State,
    request: &Request,
    instance: Option<String>,
    interface: Option<String>,
) -> Result<Arc<NetworkInterface>, Fault> {
    let Some(id) = instance else {
        let id = interface.ok_or_else(|| errors::either("InstanceId", "NetworkInterfaceId"))?;
        return find::<NetworkInterface>(state, &request.scope, &id);
    };
    if interface.is_some() {
        return Err(errors::exclusive("InstanceId", "NetworkInterfaceId"));
    }
    let instance = find::<Instance>(state, &request.scope, &id)?;
    match instance.state {
        InstanceState::Running | InstanceState::Stopping | InstanceState::Stopped => {}
        InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Terminated => {
            return Err(errors::invalid_instance_state(instance.state.name(), instance.id));
        }
    }
    only_of(state, instance.id)
}

fn private_ip(row: &NetworkInterface, given: Option<String>) -> Result<Ipv4Addr, Fault> {
    let Some(text) = given else {
        return row.primary_ip().ok_or_else(|| errors::not_an_interface_address("", row.id));
    };
    let ip = super::parse_ip(&text)?;
    if row.addresses.iter().any(|address| address.ip == ip) {
        Ok(ip)
    } else {
        Err(errors::not_an_interface_address(ip, row.id))
    }
}

fn set_public(
    tx: &mut Tx,
    interface: NetworkInterfaceId,
    private_ip: Ipv4Addr,
    public: Option<PublicAddress>,
) {
    tx.update::<NetworkInterface>(&interface, |row| {
        if let Some(address) = row.addresses.iter_mut().find(|address| address.ip == private_ip) {
            address.public = public;
        }
    });
}

/// Leads an address to an interface's private one, on both sides.
pub fn link(
    tx: &mut Tx,
    address: &Address,
    interface: NetworkInterfaceId,
    private_ip: Ipv4Addr,
) -> AssociationId {
    let id: AssociationId = tx.new_id();
    let elastic = Some((address.id, id));
    set_public(tx, interface, private_ip, Some(PublicAddress { ip: address.ip, elastic }));
    tx.update::<Address>(&address.id, |address| {
        address.association = Some(AddressAssociation { id, interface, private_ip });
    });
    id
}

/// Ends the association of the address with this ID.
pub fn unlink_by_id(tx: &mut Tx, address: AllocationId) {
    if let Some(address) = tx.get::<Address>(&address).cloned() {
        unlink(tx, &address);
    }
}

/// Ends an address's association on both sides.
fn unlink(tx: &mut Tx, address: &Address) {
    if let Some(association) = &address.association {
        set_public(tx, association.interface, association.private_ip, None);
        tx.update::<Address>(&address.id, |address| address.association = None);
    }
}

/// The first interface of an instance that is lent an address at each start gets another when its
/// Elastic one leaves, while the instance runs and has no other interface.
fn lend_again(tx: &mut Tx, interface: NetworkInterfaceId) {
    let row = tx.get::<NetworkInterface>(&interface);
    let attachment = row.and_then(|row| row.attachment.as_ref());
    let Some(instance) = attachment.and_then(|it| tx.get::<Instance>(&it.instance)) else { return };
    let runs = match instance.state {
        InstanceState::Pending | InstanceState::Running => true,
        InstanceState::ShuttingDown
        | InstanceState::Terminated
        | InstanceState::Stopping
        | InstanceState::Stopped => false,
    };
    if runs && instance.lends_public && of_instance(tx, instance.id).len() == 1 {
        // An empty pool is no reason to keep the Elastic address.
        let _ = lend_public(tx, interface);
    }
}
