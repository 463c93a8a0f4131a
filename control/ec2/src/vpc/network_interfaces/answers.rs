//! Interfaces as answers show them, and the filters that look at the same.

use super::{Attachment, NetworkInterface, PrivateAddress, PublicAddress, Requester};
use crate::{
    compute::instances::{Instance, InstanceState},
    filters::Wanted,
    tags,
    vpc::{
        describe::{PAGE, Query, describe},
        names,
        security_groups::{self, SecurityGroup},
        vpcs::Vpc,
    },
};
use iam::Request;
use shapes::{
    Fault, ec2 as api,
    ec2::{AttachmentStatus, NetworkInterfaceStatus},
};
use state::State;
use std::net::Ipv6Addr;
use types::ResourceId as _;

/// The network border group's and address pool's owner of lent addresses, as AWS names itself.
const AMAZON: &str = "amazon";
/// What AWS names the owner of what its services make.
const AMAZON_SERVICE: &str = "amazon-aws";

const FILTERS: &[&str] = &[
    "association.allocation-id",
    "association.association-id",
    "addresses.association.owner-id",
    "addresses.association.public-ip",
    "addresses.primary",
    "addresses.private-ip-address",
    "association.ip-owner-id",
    "association.public-ip",
    "association.public-dns-name",
    "attachment.attach-time",
    "attachment.attachment-id",
    "attachment.delete-on-termination",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.instance-owner-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "description",
    "group-id",
    "group-name",
    "ipv6-addresses.ipv6-address",
    "interface-type",
    "mac-address",
    "network-interface-id",
    "operator.managed",
    "operator.principal",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "requester-id",
    "requester-managed",
    "source-dest-check",
    "status",
    "subnet-id",
    "vpc-id",
];

/// Describes network interfaces.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_network_interfaces(
    state: &State,
    request: &Request,
    input: api::DescribeNetworkInterfacesRequest,
) -> Result<api::DescribeNetworkInterfacesResult, Fault> {
    let api::DescribeNetworkInterfacesRequest {
        next_token,
        max_results,
        include_managed_resources: _, // There are none.
        dry_run: _,
        network_interface_ids: ids,
        filters,
    } = input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) =
        describe::<NetworkInterface>(state, &request.scope, query, |row, name, wanted| {
            holds(state, row, name, wanted)
        })?;
    let network_interfaces = Some(rows.iter().map(|row| to_api(state, row)).collect());
    Ok(api::DescribeNetworkInterfacesResult { network_interfaces, next_token })
}

fn holds(state: &State, row: &NetworkInterface, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "availability-zone" => wanted.is(&row.zone),
        "availability-zone-id" => wanted.is(row.zone.id()),
        "description" => wanted.is(&row.description),
        "group-id" => wanted.any(&row.groups),
        "group-name" => wanted
            .any(row.groups.iter().filter_map(|id| Some(&state.get::<SecurityGroup>(id)?.name))),
        "interface-type" => match row.requester {
            // The filter's word isn't the answer's.
            Some(Requester::NatGateway(_)) => wanted.any(["nat_gateway", "natGateway"]),
            None => wanted.is(kind(row)),
        },
        "mac-address" => wanted.is(row.mac),
        "network-interface-id" => wanted.is(row.id),
        "operator.managed" => wanted.is(false),
        "requester-managed" => wanted.is(row.requester.is_some()),
        "owner-id" => wanted.is(row.scope.account),
        "requester-id" => wanted.is(requester_id(row)),
        "private-dns-name" => {
            let shown = row.primary_ip().filter(|_| has_names(state, row));
            wanted.any(shown.map(|ip| names::private_dns(ip, &row.scope.region)))
        }
        "source-dest-check" => wanted.is(row.source_dest_check),
        "status" => wanted.is(status(state, row)),
        "subnet-id" => wanted.is(row.subnet),
        "vpc-id" => wanted.is(row.vpc),
        name if name.starts_with("attachment.") => {
            let attachment = row.attachment.as_ref();
            attachment.is_some_and(|it| attachment_holds(state, row, it, name, wanted))
        }
        name => address_holds(state, row, name, wanted),
    }
}

fn attachment_holds(
    state: &State,
    row: &NetworkInterface,
    attachment: &Attachment,
    name: &str,
    wanted: Wanted<'_>,
) -> bool {
    match name {
        "attachment.attach-time" => wanted.is(attachment.attach_time),
        "attachment.attachment-id" => wanted.is(attachment.id),
        "attachment.delete-on-termination" => wanted.is(attachment.delete_on_termination),
        "attachment.device-index" => wanted.is(attachment.device_index),
        "attachment.instance-id" => wanted.is(attachment.instance),
        "attachment.instance-owner-id" => wanted.is(row.scope.account),
        "attachment.status" => wanted.is(attachment_status(state, attachment)),
        _ => false,
    }
}

fn address_holds(state: &State, row: &NetworkInterface, name: &str, wanted: Wanted<'_>) -> bool {
    let public = || row.addresses.iter().filter_map(|address| address.public.as_ref());
    match name {
        "association.allocation-id" => {
            wanted.any(public().filter_map(|public| Some(public.elastic?.0)))
        }
        "association.association-id" => {
            wanted.any(public().filter_map(|public| Some(public.elastic?.1)))
        }
        "association.ip-owner-id" | "addresses.association.owner-id" => {
            wanted.any(public().map(|public| ip_owner(row, public)))
        }
        "association.public-ip" | "addresses.association.public-ip" => {
            wanted.any(public().map(|public| public.ip))
        }
        "association.public-dns-name" => {
            let shown = public().filter(|_| has_names(state, row));
            wanted.any(shown.map(|public| names::public_dns(public.ip, &row.scope.region)))
        }
        "addresses.primary" => wanted.any(row.addresses.iter().enumerate().map(|(at, _)| at == 0)),
        "ipv6-addresses.ipv6-address" => wanted.any(&row.ipv6),
        "addresses.private-ip-address" | "private-ip-address" => {
            wanted.any(row.addresses.iter().map(|address| address.ip))
        }
        _ => false,
    }
}

/// Whether the VPC gives host names.
fn has_names(state: &State, row: &NetworkInterface) -> bool {
    state.get::<Vpc>(&row.vpc).is_some_and(|vpc| vpc.dns_support && vpc.dns_hostnames)
}

fn ip_owner(row: &NetworkInterface, public: &PublicAddress) -> String {
    match public.elastic {
        Some(_) => row.scope.account.to_string(),
        None => AMAZON.to_owned(),
    }
}

/// The name of a public address; AWS says an empty one where the VPC gives none.
fn public_name(row: &NetworkInterface, public: &PublicAddress, named: bool) -> String {
    if named { names::public_dns(public.ip, &row.scope.region) } else { String::new() }
}

fn attachment_status(state: &State, attachment: &Attachment) -> AttachmentStatus {
    match state.get::<Instance>(&attachment.instance).map(|row| row.state) {
        Some(InstanceState::Pending) => AttachmentStatus::Attaching,
        Some(InstanceState::ShuttingDown) => AttachmentStatus::Detaching,
        Some(
            InstanceState::Running
            | InstanceState::Stopping
            | InstanceState::Stopped
            | InstanceState::Terminated,
        )
        | None => AttachmentStatus::Attached,
    }
}

fn status(state: &State, row: &NetworkInterface) -> NetworkInterfaceStatus {
    if row.requester.is_some() {
        return NetworkInterfaceStatus::InUse;
    }
    let attached = row.attachment.as_ref().map(|attachment| attachment_status(state, attachment));
    match attached {
        None | Some(AttachmentStatus::Detached) => NetworkInterfaceStatus::Available,
        Some(_) => NetworkInterfaceStatus::InUse,
    }
}

fn kind(row: &NetworkInterface) -> api::NetworkInterfaceType {
    match row.requester {
        None => api::NetworkInterfaceType::Interface,
        Some(Requester::NatGateway(_)) => api::NetworkInterfaceType::NatGateway,
    }
}

fn requester_id(row: &NetworkInterface) -> String {
    match row.requester {
        None => row.scope.account.to_string(),
        Some(Requester::NatGateway(_)) => AMAZON_SERVICE.to_owned(),
    }
}

/// How AWS shows the attachment of an interface to a resource of its own.
fn managed_attachment(requester: Requester) -> api::NetworkInterfaceAttachment {
    let Requester::NatGateway(gateway) = requester;
    api::NetworkInterfaceAttachment {
        attachment_id: Some(format!("ela-attach-0{:016x}", gateway.number())),
        delete_on_termination: Some(false),
        device_index: Some(1),
        instance_owner_id: Some(AMAZON_SERVICE.to_owned()),
        status: Some(AttachmentStatus::Attached),
        ..Default::default()
    }
}

fn association(
    row: &NetworkInterface,
    public: &PublicAddress,
    named: bool,
) -> api::NetworkInterfaceAssociation {
    api::NetworkInterfaceAssociation {
        allocation_id: public.elastic.map(|(allocation, _)| allocation.to_string()),
        association_id: public.elastic.map(|(_, association)| association.to_string()),
        ip_owner_id: Some(ip_owner(row, public)),
        public_dns_name: Some(public_name(row, public, named)),
        public_ip: Some(public.ip.to_string()),
        customer_owned_ip: None,
        carrier_ip: None,
    }
}

fn attachment_to_api(
    state: &State,
    row: &NetworkInterface,
    attachment: &Attachment,
) -> api::NetworkInterfaceAttachment {
    api::NetworkInterfaceAttachment {
        attach_time: Some(attachment.attach_time),
        attachment_id: Some(attachment.id.to_string()),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: i32::try_from(attachment.device_index).ok(),
        network_card_index: Some(0),
        instance_id: Some(attachment.instance.to_string()),
        instance_owner_id: Some(row.scope.account.to_string()),
        status: Some(attachment_status(state, attachment)),
        ena_srd_specification: None,
        ena_queue_count: None,
    }
}

/// The interface as DescribeNetworkInterfaces has it.
pub(super) fn to_api(state: &State, row: &NetworkInterface) -> api::NetworkInterface {
    let named = has_names(state, row);
    let region = &row.scope.region;
    let name = |address: &PrivateAddress| named.then(|| names::private_dns(address.ip, region));
    let primary = row.addresses.first();
    let public = primary.and_then(|address| address.public.as_ref());
    let public_name = public.filter(|_| named).map(|public| names::public_dns(public.ip, region));
    let private = |(at, address): (usize, &PrivateAddress)| {
        let public = address.public.as_ref();
        api::NetworkInterfacePrivateIpAddress {
            association: public.map(|public| association(row, public, named)),
            primary: Some(at == 0),
            private_dns_name: name(address),
            private_ip_address: Some(address.ip.to_string()),
        }
    };
    let ipv6 = |(at, address): (usize, &Ipv6Addr)| api::NetworkInterfaceIpv6Address {
        ipv6_address: Some(address.to_string()),
        public_ipv6_dns_name: None,
        is_primary_ipv6: Some(at == 0 && row.primary_ipv6),
    };
    let dns_options = |name: &String| api::PublicIpDnsNameOptions {
        dns_hostname_type: Some("public-ipv4-dns-name".to_owned()),
        public_ipv4_dns_name: Some(name.clone()),
        ..Default::default()
    };
    let attachment = row.attachment.as_ref();
    api::NetworkInterface {
        association: public.map(|public| association(row, public, named)),
        attachment: match row.requester {
            Some(requester) => Some(managed_attachment(requester)),
            None => attachment.map(|it| attachment_to_api(state, row, it)),
        },
        availability_zone: Some(row.zone.to_string()),
        connection_tracking_configuration: None,
        description: Some(row.description.clone()),
        groups: Some(security_groups::identifiers(state, &row.groups)),
        interface_type: Some(kind(row)),
        ipv6_addresses: Some(row.ipv6.iter().enumerate().map(ipv6).collect()),
        mac_address: Some(row.mac.to_string()),
        network_interface_id: Some(row.id.to_string()),
        outpost_arn: None,
        owner_id: Some(row.scope.account.to_string()),
        private_dns_name: primary.and_then(name),
        public_ip_dns_name_options: public_name.as_ref().map(dns_options),
        public_dns_name: public_name,
        private_ip_address: primary.map(|address| address.ip.to_string()),
        private_ip_addresses: Some(row.addresses.iter().enumerate().map(private).collect()),
        ipv4_prefixes: None,
        ipv6_prefixes: None,
        requester_id: Some(requester_id(row)),
        requester_managed: Some(row.requester.is_some()),
        source_dest_check: Some(row.source_dest_check),
        status: Some(status(state, row)),
        subnet_id: Some(row.subnet.to_string()),
        tag_set: tags::to_api(&row.tags),
        vpc_id: Some(row.vpc.to_string()),
        deny_all_igw_traffic: Some(false),
        ipv6_native: None,
        ipv6_address: row.ipv6.first().map(ToString::to_string),
        operator: Some(operator()),
        associated_subnets: None,
        availability_zone_id: Some(row.zone.id()),
    }
}

fn operator() -> api::OperatorResponse {
    api::OperatorResponse { managed: Some(false), principal: None, hidden_by_default: None }
}

/// The interface as DescribeInstances has it.
#[must_use]
pub fn to_instance_api(state: &State, row: &NetworkInterface) -> api::InstanceNetworkInterface {
    let named = has_names(state, row);
    let association = |public: &PublicAddress| api::InstanceNetworkInterfaceAssociation {
        carrier_ip: None,
        customer_owned_ip: None,
        ip_owner_id: Some(ip_owner(row, public)),
        public_dns_name: Some(public_name(row, public, named)),
        public_ip: Some(public.ip.to_string()),
    };
    let name =
        |address: &PrivateAddress| named.then(|| names::private_dns(address.ip, &row.scope.region));
    let private = |(at, address): (usize, &PrivateAddress)| api::InstancePrivateIpAddress {
        association: address.public.as_ref().map(association),
        primary: Some(at == 0),
        private_dns_name: name(address),
        private_ip_address: Some(address.ip.to_string()),
    };
    let attachment = |attachment: &Attachment| api::InstanceNetworkInterfaceAttachment {
        attach_time: Some(attachment.attach_time),
        attachment_id: Some(attachment.id.to_string()),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: i32::try_from(attachment.device_index).ok(),
        status: Some(attachment_status(state, attachment)),
        network_card_index: Some(0),
        ena_srd_specification: None,
        ena_queue_count: None,
    };
    let ipv6 = |(at, address): (usize, &Ipv6Addr)| api::InstanceIpv6Address {
        ipv6_address: Some(address.to_string()),
        is_primary_ipv6: Some(at == 0 && row.primary_ipv6),
    };
    let primary = row.addresses.first();
    api::InstanceNetworkInterface {
        association: primary.and_then(|address| address.public.as_ref()).map(association),
        attachment: row.attachment.as_ref().map(attachment),
        description: Some(row.description.clone()),
        groups: Some(security_groups::identifiers(state, &row.groups)),
        ipv6_addresses: Some(row.ipv6.iter().enumerate().map(ipv6).collect()),
        mac_address: Some(row.mac.to_string()),
        network_interface_id: Some(row.id.to_string()),
        owner_id: Some(row.scope.account.to_string()),
        private_dns_name: primary.and_then(name),
        private_ip_address: primary.map(|address| address.ip.to_string()),
        private_ip_addresses: Some(row.addresses.iter().enumerate().map(private).collect()),
        source_dest_check: Some(row.source_dest_check),
        status: Some(status(state, row)),
        subnet_id: Some(row.subnet.to_string()),
        vpc_id: Some(row.vpc.to_string()),
        interface_type: Some(api::NetworkInterfaceType::Interface.to_string()),
        ipv4_prefixes: None,
        ipv6_prefixes: None,
        connection_tracking_configuration: None,
        operator: Some(operator()),
    }
}
