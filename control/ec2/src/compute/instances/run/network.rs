//! The network interfaces of a launch.

use crate::{
    compute::instance_types::InstanceType,
    errors,
    resource::find,
    vpc::{
        network_interfaces::{Ipv6Wanted, NetworkInterface},
        security_groups, subnets,
        subnets::Subnet,
    },
};
use iam::Request;
use shapes::{Fault, ec2::InstanceNetworkInterfaceSpecification};
use state::{State, Tx};
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};
use types::{AvailabilityZone, SecurityGroupId};

/// A network interface to make, or one that exists.
pub(super) struct Card {
    pub(super) index: u32,
    pub(super) existing: Option<Arc<NetworkInterface>>,
    pub(super) subnet: Arc<Subnet>,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) secondary_count: u32,
    pub(super) ipv6: Ipv6Wanted,
    pub(super) groups: Vec<SecurityGroupId>,
    pub(super) description: String,
    pub(super) delete_on_termination: bool,
}

/// The network parameters of the call itself, which stand for one interface.
pub(super) struct Net {
    pub(super) subnet: Option<String>,
    pub(super) address: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) group_names: Vec<String>,
    pub(super) ipv6: Ipv6Wanted,
}

fn find_subnet(
    state: &State,
    request: &Request,
    id: Option<&str>,
    zone: Option<&AvailabilityZone>,
) -> Result<Arc<Subnet>, Fault> {
    let scope = &request.scope;
    let subnet = match id {
        Some(id) => find::<Subnet>(state, scope, id)?,
        None => subnets::default_in(state, scope, zone).ok_or_else(|| match zone {
            Some(zone) => errors::no_default_subnet(zone),
            None => errors::no_default_vpc(),
        })?,
    };
    match zone.filter(|zone| **zone != subnet.zone) {
        None => Ok(subnet),
        Some(zone) => Err(other_zone(zone, &subnet)),
    }
}

fn other_zone(zone: &AvailabilityZone, subnet: &Subnet) -> Fault {
    errors::invalid_parameter_value(format!(
        "The availability zone '{zone}' is not the availability zone '{}' of the subnet '{}'.",
        subnet.zone, subnet.id
    ))
}

fn address_of(text: &str) -> Result<Ipv4Addr, Fault> {
    text.parse().map_err(|_| {
        errors::invalid_parameter_value(format!("invalid value for parameter address: [{text}]"))
    })
}

/// The interfaces to attach, and whether the first is lent a public address, where the call says.
pub(super) fn cards(
    tx: &Tx,
    request: &Request,
    net: Net,
    specifications: Option<Vec<InstanceNetworkInterfaceSpecification>>,
    zone: Option<&AvailabilityZone>,
    kind: &InstanceType,
    max: u32,
) -> Result<(Vec<Card>, Option<bool>), Fault> {
    let specifications = specifications.unwrap_or_default();
    if specifications.is_empty() {
        return Ok((vec![only_card(tx, request, &net, zone, kind, max)?], None));
    }
    if net.subnet.is_some() || !net.groups.is_empty() || !net.group_names.is_empty() {
        return Err(errors::combination(
            "Network interfaces and an instance-level subnet ID or security groups may not be \
             specified on the same request",
        ));
    }
    if net.ipv6.is_named() || net.ipv6.count.is_some_and(|count| count > 0) {
        return Err(errors::combination(
            "Network interfaces and instance-level IPv6 addresses may not be specified on the same \
             request",
        ));
    }
    if net.address.is_some() {
        return Err(errors::combination(
            "Network interfaces and an instance-level private IP address may not be specified on \
             the same request",
        ));
    }
    if specifications.len() > usize::try_from(kind.max_interfaces).unwrap_or(usize::MAX) {
        return Err(Fault::sender(
            "AttachmentLimitExceeded",
            format!("Interface count {} exceeds the limit for {}", specifications.len(), kind.name),
        ));
    }
    let mut cards = Vec::new();
    let mut public = None;
    for specification in specifications {
        let (mut card, wants_public) = card(tx, request, specification, zone, max)?;
        if card.index == 0 {
            public = wants_public;
            card.ipv6.primary |= net.ipv6.primary;
        }
        check_ipv6(&card, kind)?;
        cards.push(card);
    }
    cards.sort_by_key(|card| card.index);
    check_together(&cards, zone)?;
    Ok((cards, public))
}

/// The interface of a call that specifies none.
fn only_card(
    tx: &Tx,
    request: &Request,
    net: &Net,
    zone: Option<&AvailabilityZone>,
    kind: &InstanceType,
    max: u32,
) -> Result<Card, Fault> {
    let subnet = find_subnet(tx, request, net.subnet.as_deref(), zone)?;
    let scope = &request.scope;
    let groups = security_groups::resolve(tx, scope, subnet.vpc, &net.groups, &net.group_names)?;
    let address = net.address.as_deref().map(address_of).transpose()?;
    one_address_for_one(max, address.is_some() || net.ipv6.is_named())?;
    let card = Card {
        index: 0,
        existing: None,
        subnet,
        address,
        secondary_count: 0,
        ipv6: net.ipv6.clone(),
        groups,
        description: String::new(),
        delete_on_termination: true,
    };
    check_ipv6(&card, kind)?;
    Ok(card)
}

/// Whether an instance of this type may have the interface's IPv6 addresses.
fn check_ipv6(card: &Card, kind: &InstanceType) -> Result<(), Fault> {
    let count = match &card.existing {
        Some(existing) => existing.ipv6_count(),
        None => card.ipv6.total(&card.subnet),
    };
    if count > kind.ipv6_per_interface { Err(errors::ipv6_address_limit()) } else { Ok(()) }
}

/// Whether interfaces, in the order of their indexes, can be of one instance.
fn check_together(cards: &[Card], zone: Option<&AvailabilityZone>) -> Result<(), Fault> {
    let indexes = cards.iter().map(|card| card.index).collect::<Vec<_>>();
    if indexes.first() != Some(&0) || indexes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(errors::combination(
            "Each network interface requires a device index of its own, and one must be 0.",
        ));
    }
    let mut existing = BTreeSet::new();
    if let Some(twice) =
        cards.iter().filter_map(|card| card.existing.as_ref()).find(|row| !existing.insert(row.id))
    {
        return Err(Fault::sender(
            "InvalidNetworkInterface.InUse",
            format!("Interface: [{}] in use.", twice.id),
        ));
    }
    if let Some(zone) = zone
        && let Some(card) = cards.iter().find(|card| card.subnet.zone != *zone)
    {
        return Err(other_zone(zone, &card.subnet));
    }
    let (vpc, home) = (cards[0].subnet.vpc, cards[0].subnet.zone.clone());
    if cards.iter().any(|card| card.subnet.vpc != vpc || card.subnet.zone != home) {
        return Err(errors::combination(
            "All network interfaces must be in one VPC and availability zone.",
        ));
    }
    Ok(())
}

fn one_address_for_one(max: u32, fixed: bool) -> Result<(), Fault> {
    if fixed && max > 1 {
        return Err(errors::combination(
            "You may only launch one instance when a private IP address or network interface is \
             specified.",
        ));
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "every parameter of an interface is decided on here")]
fn card(
    tx: &Tx,
    request: &Request,
    specification: InstanceNetworkInterfaceSpecification,
    zone: Option<&AvailabilityZone>,
    max: u32,
) -> Result<(Card, Option<bool>), Fault> {
    let InstanceNetworkInterfaceSpecification {
        associate_public_ip_address,
        delete_on_termination,
        description,
        device_index,
        groups,
        ipv6_address_count,
        ipv6_addresses,
        network_interface_id,
        private_ip_address,
        private_ip_addresses,
        secondary_private_ip_address_count,
        subnet_id,
        associate_carrier_ip_address,
        interface_type,
        network_card_index,
        ipv4_prefixes,
        ipv4_prefix_count,
        ipv6_prefixes,
        ipv6_prefix_count,
        primary_ipv6,
        ena_srd_specification,
        connection_tracking_specification,
        ena_queue_count,
    } = specification;
    errors::refuse(&[
        ("NetworkInterface.AssociateCarrierIpAddress", associate_carrier_ip_address.is_some()),
        ("NetworkInterface.InterfaceType", interface_type.is_some_and(|kind| kind != "interface")),
        ("NetworkInterface.NetworkCardIndex", network_card_index.is_some_and(|at| at != 0)),
        ("NetworkInterface.Ipv4Prefix", ipv4_prefixes.is_some() || ipv4_prefix_count.is_some()),
        ("NetworkInterface.Ipv6Prefix", ipv6_prefixes.is_some() || ipv6_prefix_count.is_some()),
        ("NetworkInterface.EnaSrdSpecification", ena_srd_specification.is_some()),
        (
            "NetworkInterface.ConnectionTrackingSpecification",
            connection_tracking_specification.is_some(),
        ),
        ("NetworkInterface.EnaQueueCount", ena_queue_count.is_some()),
        (
            "NetworkInterface.PrivateIpAddresses",
            private_ip_addresses.as_ref().is_some_and(|list| list.len() > 1),
        ),
    ])?;
    let ipv6 = Ipv6Wanted::new(ipv6_addresses, ipv6_address_count, primary_ipv6)?;
    let index = device_index.map_or(Ok(0), u32::try_from).map_err(|_| {
        errors::invalid_value(
            device_index.unwrap_or_default(),
            "deviceIndex",
            "Expecting 0 or more.",
        )
    })?;
    if let Some(id) = network_interface_id {
        let row = find::<NetworkInterface>(tx, &request.scope, &id)?;
        if row.attachment.is_some() || row.requester.is_some() {
            return Err(Fault::sender(
                "InvalidNetworkInterface.InUse",
                format!("Interface: [{id}] in use."),
            ));
        }
        one_address_for_one(max, true)?;
        let subnet = find::<Subnet>(tx, &request.scope, &row.subnet.to_string())?;
        let card = Card {
            index,
            subnet,
            address: None,
            secondary_count: 0,
            ipv6: Ipv6Wanted::default(),
            groups: row.groups.clone(),
            description: row.description.clone(),
            existing: Some(row),
            delete_on_termination: delete_on_termination.unwrap_or(false),
        };
        return Ok((card, Some(false)));
    }
    let listed = private_ip_addresses.and_then(|list| list.into_iter().next());
    let address = private_ip_address.or(listed.and_then(|at| at.private_ip_address));
    let address = address.as_deref().map(address_of).transpose()?;
    one_address_for_one(max, address.is_some() || ipv6.is_named())?;
    let subnet = find_subnet(tx, request, subnet_id.as_deref(), zone)?;
    let groups = groups.unwrap_or_default();
    let groups = security_groups::resolve(tx, &request.scope, subnet.vpc, &groups, &[])?;
    let secondary = secondary_private_ip_address_count.unwrap_or(0);
    let card = Card {
        index,
        existing: None,
        subnet,
        address,
        secondary_count: u32::try_from(secondary).map_err(|_| {
            errors::invalid_value(secondary, "secondaryPrivateIpAddressCount", "It is negative.")
        })?,
        ipv6,
        groups,
        description: description.unwrap_or_default(),
        delete_on_termination: delete_on_termination.unwrap_or(true),
    };
    Ok((card, associate_public_ip_address))
}
