//! Network interfaces.

mod answers;
mod attachments;
mod ipv6;
mod life;
mod secondary;

pub use answers::{describe_network_interfaces, to_instance_api};
pub use attachments::{attach_network_interface, detach_network_interface};
pub use ipv6::{Ipv6Wanted, assign_ipv6_addresses, unassign_ipv6_addresses};
pub use life::{
    NewInterface, add_addresses, attach, create, create_managed, delete, detach, of_instance,
    only_of, remove_address,
};
pub use secondary::{assign_private_ip_addresses, unassign_private_ip_addresses};

use super::{security_groups, subnets::Subnet};
use crate::{
    errors, idempotency,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, Tx};
use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::{
    AllocationId, AssociationId, AvailabilityZone, InstanceId, Mac, NatGatewayId,
    NetworkInterfaceAttachmentId, NetworkInterfaceId, Scope, SecurityGroupId, SubnetId, Tags,
    Timestamp, VpcId,
};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub id: NetworkInterfaceId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub zone: AvailabilityZone,
    pub mac: Mac,
    pub description: String,
    /// Addresses, the primary first.
    pub addresses: Vec<PrivateAddress>,
    /// IPv6 addresses, in the order in which they were assigned.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// Whether the first IPv6 address is the primary one, which stays.
    #[serde(default)]
    pub primary_ipv6: bool,
    pub groups: Vec<SecurityGroupId>,
    pub source_dest_check: bool,
    pub attachment: Option<Attachment>,
    /// Whose it is, if it isn't its owner's to change.
    #[serde(default)]
    pub requester: Option<Requester>,
    pub tags: Tags,
}

/// A resource that made an interface for its own use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requester {
    NatGateway(NatGatewayId),
}

/// A private address of an interface, with its public one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateAddress {
    pub ip: Ipv4Addr,
    pub public: Option<PublicAddress>,
}

/// A public address, as it is translated 1:1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublicAddress {
    pub ip: Ipv4Addr,
    /// The Elastic IP address that it is; none = lent for as long as the instance runs.
    pub elastic: Option<(AllocationId, AssociationId)>,
}

/// An interface's attachment to an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: NetworkInterfaceAttachmentId,
    pub instance: InstanceId,
    pub device_index: u32,
    pub attach_time: Timestamp,
    pub delete_on_termination: bool,
}

impl Row for NetworkInterface {
    const TABLE: &'static str = "network-interface";
    type Key = NetworkInterfaceId;
    fn key(&self) -> NetworkInterfaceId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        add("subnet", &self.subnet);
        add("mac", &self.mac);
        for group in &self.groups {
            add("group", group);
        }
        for address in &self.addresses {
            add("address", &format_args!("{}/{}", self.subnet, address.ip));
            if let Some(public) = &address.public {
                add("public", &public.ip);
            }
        }
        for address in &self.ipv6 {
            add("ipv6", address);
        }
        if let Some(attachment) = &self.attachment {
            add("instance", &attachment.instance);
            add("attachment", &attachment.id);
        }
    }
}

impl Resource for NetworkInterface {
    const TYPE: ResourceType = ResourceType::NetworkInterface;
    const NOUN: &'static str = "networkInterface ID";
    const CODE: &'static str = "InvalidNetworkInterfaceID";
    const MALFORMED: &'static str = "InvalidNetworkInterfaceId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a network interface.
///
/// # Errors
/// The subnet or a group doesn't exist, or an address can't be had.
pub fn create_network_interface(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateNetworkInterfaceRequest,
) -> Result<api::CreateNetworkInterfaceResult, Fault> {
    const OPERATION: &str = "CreateNetworkInterface";
    let scope = &request.scope;
    let parameters = format!("{input:?}");
    let token = input.client_token.clone();
    let earlier = idempotency::earlier(tx, scope, OPERATION, token.as_deref(), &parameters)?;
    let interface = if let Some(id) = earlier {
        find::<NetworkInterface>(tx, scope, &id)?
    } else {
        let made = create_from(tx, request, input)?;
        let id = made.id.to_string();
        idempotency::remember(tx, scope, OPERATION, token.as_deref(), &parameters, id);
        Arc::new(made)
    };
    let network_interface = Some(answers::to_api(tx, &interface));
    Ok(api::CreateNetworkInterfaceResult { network_interface, client_token: token })
}

fn create_from(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateNetworkInterfaceRequest,
) -> Result<NetworkInterface, Fault> {
    let api::CreateNetworkInterfaceRequest {
        ipv4_prefixes,
        ipv4_prefix_count,
        ipv6_prefixes,
        ipv6_prefix_count,
        interface_type,
        tag_specifications,
        client_token: _, // The caller's matter.
        enable_primary_ipv6,
        connection_tracking_specification,
        operator,
        subnet_id,
        description,
        private_ip_address,
        groups,
        private_ip_addresses,
        secondary_private_ip_address_count,
        ipv6_addresses,
        ipv6_address_count,
        dry_run: _,
    } = input;
    errors::refuse(&[
        ("Ipv4Prefixes", ipv4_prefixes.is_some_and(|list| !list.is_empty())),
        ("Ipv4PrefixCount", ipv4_prefix_count.is_some_and(|count| count != 0)),
        ("Ipv6Prefixes", ipv6_prefixes.is_some_and(|list| !list.is_empty())),
        ("Ipv6PrefixCount", ipv6_prefix_count.is_some_and(|count| count != 0)),
        ("InterfaceType", interface_type.is_some()),
        ("ConnectionTrackingSpecification", connection_tracking_specification.is_some()),
        ("Operator", operator.is_some()),
    ])?;
    let ipv6 = Ipv6Wanted::new(ipv6_addresses, ipv6_address_count, enable_primary_ipv6)?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::NetworkInterface)?;
    let scope = &request.scope;
    let subnet_id = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let subnet = find::<Subnet>(tx, scope, &subnet_id)?;
    let groups = security_groups::resolve(tx, scope, subnet.vpc, &groups.unwrap_or_default(), &[])?;
    let listed = private_ip_addresses.unwrap_or_default();
    let (primary, secondary) = addresses(private_ip_address, listed)?;
    let count = match secondary_private_ip_address_count {
        None => 0,
        Some(count) => u32::try_from(count).map_err(|_| {
            let why = "It must not be negative.";
            errors::invalid_value(count, "secondaryPrivateIpAddressCount", why)
        })?,
    };
    if count > 0 && !secondary.is_empty() {
        return Err(errors::exclusive("secondaryPrivateIpAddressCount", "privateIpAddresses"));
    }
    let new = NewInterface {
        subnet: &subnet,
        address: primary,
        secondary_count: count,
        ipv6,
        groups,
        description: description.unwrap_or_default(),
        source_dest_check: true,
        tags,
    };
    life::create_with(tx, scope, new, &secondary)
}

/// The primary address and the others that a call gives.
fn addresses(
    primary: Option<String>,
    listed: Vec<api::PrivateIpAddressSpecification>,
) -> Result<(Option<Ipv4Addr>, Vec<Ipv4Addr>), Fault> {
    let parse = |text: &str| text.parse::<Ipv4Addr>().map_err(|_| errors::not_an_address(text));
    let mut first = primary.as_deref().map(parse).transpose()?;
    let mut others = Vec::new();
    for api::PrivateIpAddressSpecification { primary, private_ip_address } in listed {
        let text = private_ip_address.ok_or_else(|| errors::missing("privateIpAddress"))?;
        let address = parse(&text)?;
        match (primary, first) {
            (Some(true), None) => first = Some(address),
            (Some(true), Some(_)) => {
                let why = "Only one primary private IP address can be specified.";
                return Err(errors::combination(why));
            }
            (_, _) => others.push(address),
        }
    }
    Ok((first, others))
}

/// Deletes a network interface.
///
/// # Errors
/// It doesn't exist, or is attached.
pub fn delete_network_interface(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteNetworkInterfaceRequest,
) -> Result<api::DeleteNetworkInterfaceResponse, Fault> {
    let api::DeleteNetworkInterfaceRequest { dry_run: _, network_interface_id } = input;
    let id = network_interface_id.ok_or_else(|| errors::missing("networkInterfaceId"))?;
    let interface = find::<NetworkInterface>(tx, &request.scope, &id)?;
    if interface.attachment.is_some() || interface.requester.is_some() {
        return Err(errors::interface_in_use(interface.id));
    }
    delete(tx, interface.id);
    Ok(api::DeleteNetworkInterfaceResponse {})
}

/// Changes one attribute of an interface.
///
/// # Errors
/// The interface, attachment or a group doesn't exist, or not exactly one attribute is given.
pub fn modify_network_interface_attribute(
    tx: &mut Tx,
    request: &Request,
    input: api::ModifyNetworkInterfaceAttributeRequest,
) -> Result<api::ModifyNetworkInterfaceAttributeResponse, Fault> {
    let api::ModifyNetworkInterfaceAttributeRequest {
        ena_srd_specification,
        enable_primary_ipv6,
        connection_tracking_specification,
        associate_public_ip_address,
        associated_subnet_ids,
        dry_run: _,
        network_interface_id,
        description,
        source_dest_check,
        groups,
        attachment,
    } = input;
    errors::refuse(&[
        ("EnaSrdSpecification", ena_srd_specification.is_some()),
        ("ConnectionTrackingSpecification", connection_tracking_specification.is_some()),
        ("AssociatePublicIpAddress", associate_public_ip_address.is_some()),
        ("AssociatedSubnetIds", associated_subnet_ids.is_some_and(|list| !list.is_empty())),
    ])?;
    let id = network_interface_id.ok_or_else(|| errors::missing("networkInterfaceId"))?;
    let interface = find::<NetworkInterface>(tx, &request.scope, &id)?;
    if interface.requester.is_some() {
        return Err(errors::managed_interface(interface.id));
    }
    let mut changed = NetworkInterface::clone(&interface);
    let description = description.and_then(|attribute| attribute.value);
    let check = source_dest_check.and_then(|attribute| attribute.value);
    let groups = groups.filter(|groups| !groups.is_empty());
    match (description, check, groups, attachment, enable_primary_ipv6) {
        (Some(text), None, None, None, None) => changed.description = text,
        (None, Some(check), None, None, None) => changed.source_dest_check = check,
        (None, None, Some(ids), None, None) => {
            changed.groups =
                security_groups::resolve(tx, &request.scope, interface.vpc, &ids, &[])?;
        }
        (None, None, None, Some(changes), None) => attachments::modify(&mut changed, changes)?,
        (None, None, None, None, Some(on)) => ipv6::set_primary(&mut changed, on)?,
        (None, None, None, None, None) => return Err(errors::missing("attribute")),
        (_, _, _, _, _) => return Err(errors::multiple_attributes()),
    }
    tx.put(changed);
    Ok(api::ModifyNetworkInterfaceAttributeResponse {})
}

impl NetworkInterface {
    /// All its addresses, as rules that name its groups mean them.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.addresses.iter().map(|address| IpAddr::V4(address.ip));
        v4.chain(self.ipv6.iter().map(|ip| IpAddr::V6(*ip)))
    }

    /// The primary private address.
    #[must_use]
    pub fn primary_ip(&self) -> Option<Ipv4Addr> {
        self.addresses.first().map(|address| address.ip)
    }
}
