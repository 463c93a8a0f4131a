//! Interfaces of instances, attached and detached by their owner.

use super::{NetworkInterface, attach, detach, of_instance, secondary};
use crate::{
    compute::{
        instance_types,
        instances::{Instance, InstanceState},
    },
    errors,
    resource::find,
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::Tx;
use types::{IdError, NetworkInterfaceAttachmentId};

/// Attaches an interface to a stopped instance.
///
/// # Errors
/// One doesn't exist, they are of different zones, the interface or the index is taken, or the
/// instance isn't stopped.
pub fn attach_network_interface(
    tx: &mut Tx,
    request: &Request,
    input: api::AttachNetworkInterfaceRequest,
) -> Result<api::AttachNetworkInterfaceResult, Fault> {
    let api::AttachNetworkInterfaceRequest {
        network_card_index,
        ena_srd_specification,
        ena_queue_count,
        dry_run: _,
        network_interface_id,
        instance_id,
        device_index,
    } = input;
    errors::refuse(&[
        ("EnaSrdSpecification", ena_srd_specification.is_some()),
        ("EnaQueueCount", ena_queue_count.is_some()),
    ])?;
    if let Some(card) = network_card_index.filter(|card| *card != 0) {
        let why = "The instance has one network card.";
        return Err(errors::invalid_value(card, "networkCardIndex", why));
    }
    let id = network_interface_id.ok_or_else(|| errors::missing("networkInterfaceId"))?;
    let instance = instance_id.ok_or_else(|| errors::missing("instanceId"))?;
    let index = device_index.ok_or_else(|| errors::missing("deviceIndex"))?;
    let interface = find::<NetworkInterface>(tx, &request.scope, &id)?;
    let instance = find::<Instance>(tx, &request.scope, &instance)?;
    let index = u32::try_from(index)
        .map_err(|_| errors::invalid_value(index, "deviceIndex", "Device indexes begin at 0."))?;
    if interface.attachment.is_some() || interface.requester.is_some() {
        return Err(errors::interface_attached(interface.id));
    }
    if interface.zone != instance.zone {
        return Err(errors::interface_of_other_zone());
    }
    check_stopped(&instance)?;
    let others = of_instance(tx, instance.id);
    let limit = instance_types::get(&instance.instance_type).map(|kind| kind.max_interfaces);
    let count = u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1);
    if limit.is_some_and(|limit| count > limit) {
        return Err(errors::attachment_limit(count, &instance.instance_type));
    }
    secondary::check_type(&instance.instance_type, &interface, 0)?;
    let mut taken = others.iter().filter_map(|other| other.attachment.as_ref());
    if taken.any(|attachment| attachment.device_index == index) {
        return Err(errors::device_index_taken(instance.id, index));
    }
    let kind = instance_types::get(&instance.instance_type);
    if kind.is_some_and(|kind| interface.ipv6_count() > kind.ipv6_per_interface) {
        return Err(errors::ipv6_address_limit());
    }
    attach(tx, interface.id, instance.id, index, false);
    let attached = tx.get::<NetworkInterface>(&interface.id);
    let attachment = attached.and_then(|interface| interface.attachment.as_ref());
    Ok(api::AttachNetworkInterfaceResult {
        attachment_id: attachment.map(|attachment| attachment.id.to_string()),
        network_card_index: Some(0),
    })
}

/// Detaches an interface from a stopped instance.
///
/// # Errors
/// There is no such attachment, it is the primary one, or the instance isn't stopped.
pub fn detach_network_interface(
    tx: &mut Tx,
    request: &Request,
    input: api::DetachNetworkInterfaceRequest,
) -> Result<api::DetachNetworkInterfaceResponse, Fault> {
    // A stopped instance has nothing to be forced.
    let api::DetachNetworkInterfaceRequest { dry_run: _, attachment_id, force: _ } = input;
    let text = attachment_id.ok_or_else(|| errors::missing("attachmentId"))?;
    let id = text.parse::<NetworkInterfaceAttachmentId>().map_err(|error| match error {
        IdError::Malformed => errors::attachment_malformed(&text),
        IdError::Foreign => errors::attachment_not_found(&text),
    })?;
    let mut found = tx.find::<NetworkInterface>("attachment", id);
    let interface = found.find(|row| row.scope == request.scope).cloned();
    drop(found);
    let attached = interface.and_then(|row| Some((row.id, row.attachment.clone()?)));
    let (interface, attachment) = attached.ok_or_else(|| errors::attachment_not_found(&text))?;
    if attachment.device_index == 0 {
        return Err(errors::primary_interface());
    }
    if let Some(instance) = tx.get::<Instance>(&attachment.instance) {
        check_stopped(instance)?;
    }
    detach(tx, interface);
    Ok(api::DetachNetworkInterfaceResponse {})
}

/// Changes an interface's attachment.
pub(super) fn modify(
    interface: &mut NetworkInterface,
    changes: api::NetworkInterfaceAttachmentChanges,
) -> Result<(), Fault> {
    let api::NetworkInterfaceAttachmentChanges {
        default_ena_queue_count,
        ena_queue_count,
        attachment_id,
        delete_on_termination,
    } = changes;
    errors::refuse(&[
        ("Attachment.DefaultEnaQueueCount", default_ena_queue_count == Some(true)),
        ("Attachment.EnaQueueCount", ena_queue_count.is_some()),
    ])?;
    let id = attachment_id.ok_or_else(|| errors::missing("attachment.attachmentId"))?;
    let delete =
        delete_on_termination.ok_or_else(|| errors::missing("attachment.deleteOnTermination"))?;
    match &mut interface.attachment {
        Some(attachment) if attachment.id.to_string() == id => {
            attachment.delete_on_termination = delete;
            Ok(())
        }
        Some(_) | None => Err(errors::attachment_not_found(id)),
    }
}

/// A VM's devices are those that it was started with, so the instance must be stopped.
fn check_stopped(instance: &Instance) -> Result<(), Fault> {
    match instance.state {
        InstanceState::Stopped => Ok(()),
        InstanceState::Pending | InstanceState::Running | InstanceState::Stopping => {
            Err(errors::interface_hot_plug(instance.id))
        }
        InstanceState::ShuttingDown | InstanceState::Terminated => {
            let (id, state) = (instance.id, instance.state.name());
            let why = format!("Instance '{id}' is {state}, which is not a valid state.");
            Err(errors::incorrect_instance_state(why))
        }
    }
}
