//! RunInstances.

use super::{Instance, InstanceState, MetadataOptions, attributes, describe};
use crate::{
    compute::{
        images::Image,
        instance_types::{self, InstanceType},
        key_pairs::KeyPair,
    },
    ebs::{
        snapshots::Snapshot,
        volumes::{self, Attachment, NewVolume, Volume},
    },
    errors,
    hosts::{self, Share},
    idempotency,
    resource::find,
    tags,
    vpc::{
        addresses, network_interfaces,
        network_interfaces::{NetworkInterface, NewInterface},
        security_groups, subnets,
        subnets::Subnet,
        vpcs::Vpc,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        BlockDeviceMapping, CapacityReservationPreference, CapacityReservationSpecification,
        CpuOptionsRequest, EbsBlockDevice, InstanceAutoRecoveryState,
        InstanceMaintenanceOptionsRequest, InstanceNetworkInterfaceSpecification, Placement,
        PrivateDnsNameOptionsRequest, Reservation, ResourceType, RunInstancesRequest,
        ShutdownBehavior, TagSpecification, Tenancy, VolumeType,
    },
};
use state::{State, Tx};
use std::{net::Ipv4Addr, sync::Arc};
use types::{AvailabilityZone, InstanceId, ReservationId, SecurityGroupId, Tags};

/// AWS's limit of raw user data.
const MAX_USER_DATA: usize = 16 * 1024;
/// The most instances of one call.
const MAX_COUNT: i32 = 1000;
/// EC2's type where none is named.
const DEFAULT_TYPE: &str = "m1.small";

/// All instances of one call, checked and ready to be made.
struct Launch {
    image: Arc<Image>,
    kind: &'static InstanceType,
    key: Option<Arc<KeyPair>>,
    user_data: Option<String>,
    cards: Vec<Card>,
    disks: Vec<Disk>,
    lends_public: bool,
    cores: u32,
    threads_per_core: u32,
    metadata: MetadataOptions,
    instance_tags: Tags,
    volume_tags: Tags,
    interface_tags: Tags,
    subnet: Arc<Subnet>,
    template: Template,
}

/// Plain settings that pass into the row as they are.
struct Template {
    shutdown_terminates: bool,
    termination_protection: bool,
    stop_protection: bool,
    ebs_optimized: bool,
    detailed_monitoring: bool,
    cpu_credits: String,
    auto_recovery: bool,
    hostname_type: String,
    resource_name_dns_a: bool,
    client_token: String,
}

/// A network interface to make, or one that exists.
struct Card {
    index: u32,
    existing: Option<Arc<NetworkInterface>>,
    subnet: Arc<Subnet>,
    address: Option<Ipv4Addr>,
    secondary_count: u32,
    groups: Vec<SecurityGroupId>,
    description: String,
    delete_on_termination: bool,
}

/// A volume to make.
struct Disk {
    device_name: String,
    size_gib: Option<u32>,
    kind: VolumeType,
    iops: Option<u32>,
    throughput: Option<u32>,
    snapshot: Option<Arc<Snapshot>>,
    delete_on_termination: bool,
}

/// Launches instances: between `MinCount` and `MaxCount`, as many as fit.
///
/// # Errors
/// A parameter is invalid, missing or not served, or fewer than `MinCount` fit.
pub fn run_instances(
    tx: &mut Tx,
    request: &Request,
    input: RunInstancesRequest,
) -> Result<Reservation, Fault> {
    let token = input.client_token.clone();
    let parameters = format!("{input:?}");
    let scope = &request.scope;
    let earlier = idempotency::earlier(tx, scope, "RunInstances", token.as_deref(), &parameters)?;
    if let Some(reservation) = earlier {
        return Ok(repeated(tx, &reservation));
    }
    let (min, max) = counts(input.min_count, input.max_count)?;
    let launch = check(tx, request, input, max)?;
    let vcpus = launch.cores * launch.threads_per_core;
    let each = Share { vcpus, memory_mib: launch.kind.memory_mib };
    let (host, count) = hosts::place(tx, each, min, max)?;
    let reservation = tx.new_id::<ReservationId>();
    let mut rows = Vec::new();
    for index in 0..count {
        rows.push(make(tx, request, &launch, reservation, index, &host)?);
    }
    idempotency::remember(
        tx,
        scope,
        "RunInstances",
        token.as_deref(),
        &parameters,
        reservation.to_string(),
    );
    let instances = rows.iter().map(|row| describe::to_api(tx, row)).collect();
    rows.first()
        .map(|row| describe::reservation(row, instances))
        .ok_or_else(|| errors::invalid_value(max, "maxCount", "Expecting at least 1."))
}

fn repeated(state: &State, reservation: &str) -> Reservation {
    let rows = state.find::<Instance>("reservation", reservation).collect::<Vec<_>>();
    let mut instances = rows.iter().map(|row| describe::to_api(state, row)).collect::<Vec<_>>();
    instances.sort_by_key(|row| row.ami_launch_index);
    match rows.first() {
        Some(row) => describe::reservation(row, instances),
        None => Reservation {
            reservation_id: Some(reservation.to_owned()),
            groups: Some(Vec::new()),
            instances: Some(Vec::new()),
            ..Reservation::default()
        },
    }
}

fn counts(min: Option<i32>, max: Option<i32>) -> Result<(u32, u32), Fault> {
    let min = min.ok_or_else(|| errors::missing("MinCount"))?;
    let max = max.ok_or_else(|| errors::missing("MaxCount"))?;
    if max < 1 {
        return Err(errors::invalid_value(max, "maxCount", "Expecting at least 1."));
    }
    if min < 1 || min > max {
        let why = "The minimum count must be at least 1 and not exceed the maximum count.";
        return Err(errors::invalid_value(min, "minCount", why));
    }
    if max > MAX_COUNT {
        return Err(Fault::sender(
            "InstanceLimitExceeded",
            format!(
                "You have requested more instances ({max}) than one call may launch ({MAX_COUNT})."
            ),
        ));
    }
    Ok((min.unsigned_abs(), max.unsigned_abs()))
}

/// Checks the whole call and resolves all that it names.
#[expect(clippy::too_many_lines, reason = "every parameter of the call is decided on here")]
fn check(
    tx: &Tx,
    request: &Request,
    input: RunInstancesRequest,
    max: u32,
) -> Result<Launch, Fault> {
    let RunInstancesRequest {
        block_device_mappings,
        image_id,
        instance_type: type_name,
        ipv6_address_count,
        ipv6_addresses,
        kernel_id,
        key_name,
        max_count: _,
        min_count: _,
        monitoring,
        placement,
        ramdisk_id,
        security_group_ids,
        security_groups,
        subnet_id,
        user_data,
        elastic_gpu_specification,
        elastic_inference_accelerators,
        tag_specifications,
        launch_template,
        instance_market_options,
        credit_specification,
        cpu_options,
        capacity_reservation_specification,
        hibernation_options,
        license_specifications,
        metadata_options,
        enclave_options,
        private_dns_name_options,
        maintenance_options,
        disable_api_stop,
        enable_primary_ipv6,
        network_performance_options,
        operator,
        secondary_interfaces,
        dry_run: _,
        disable_api_termination,
        instance_initiated_shutdown_behavior,
        private_ip_address,
        client_token,
        additional_info: _,
        network_interfaces,
        iam_instance_profile,
        ebs_optimized,
    } = input;
    for (given, name) in [
        (ipv6_address_count.is_some_and(|count| count != 0), "Ipv6AddressCount"),
        (ipv6_addresses.is_some_and(|list| !list.is_empty()), "Ipv6Address"),
        (kernel_id.is_some(), "KernelId"),
        (ramdisk_id.is_some(), "RamdiskId"),
        (elastic_gpu_specification.is_some(), "ElasticGpuSpecification"),
        (elastic_inference_accelerators.is_some(), "ElasticInferenceAccelerator"),
        (launch_template.is_some(), "LaunchTemplate"),
        (instance_market_options.is_some(), "InstanceMarketOptions"),
        (hibernation_options.is_some_and(|at| at.configured == Some(true)), "HibernationOptions"),
        (license_specifications.is_some(), "LicenseSpecification"),
        (enclave_options.is_some_and(|at| at.enabled == Some(true)), "EnclaveOptions"),
        (enable_primary_ipv6 == Some(true), "EnablePrimaryIpv6"),
        (network_performance_options.is_some(), "NetworkPerformanceOptions"),
        (operator.is_some(), "Operator"),
        (secondary_interfaces.is_some(), "SecondaryInterface"),
        (iam_instance_profile.is_some(), "IamInstanceProfile"),
        (reserves_capacity(capacity_reservation_specification), "CapacityReservationSpecification"),
    ] {
        if given {
            return Err(errors::unsupported(name));
        }
    }
    let scope = &request.scope;
    let image_id = image_id.ok_or_else(|| errors::missing("ImageId"))?;
    let image = find::<Image>(tx, scope, &image_id)?;
    let kind = instance_type(type_name.as_deref().unwrap_or(DEFAULT_TYPE), &image.architecture)?;
    let key = key_name.map(|name| find_key(tx, request, &name)).transpose()?;
    let user_data = user_data.map(|text| decode_user_data(&text)).transpose()?.flatten();
    let zone = placement.map(|at| zone_of(request, at)).transpose()?.flatten();
    let net = Net {
        subnet: subnet_id,
        address: private_ip_address,
        groups: security_group_ids.unwrap_or_default(),
        group_names: security_groups.unwrap_or_default(),
    };
    let (cards, public) = cards(tx, request, net, network_interfaces, zone.as_ref(), kind, max)?;
    let subnet = cards.first().map(|card| card.subnet.clone());
    let subnet = subnet.ok_or_else(|| errors::missing("SubnetId"))?;
    let disks = disks(tx, request, &image, block_device_mappings.unwrap_or_default())?;
    let (cores, threads_per_core) = cpu(cpu_options, kind)?;
    let defaults =
        MetadataOptions { enabled: true, token_required: true, hop_limit: 2, tags: false };
    let metadata = attributes::metadata_options(defaults, metadata_options.unwrap_or_default())?;
    let [instance_tags, volume_tags, interface_tags] = launch_tags(tag_specifications)?;
    let auto_recovery = auto_recovery(maintenance_options);
    let (hostname_type, resource_name_dns_a) = names(private_dns_name_options, &subnet)?;
    let cpu_credits = credit_specification.and_then(|at| at.cpu_credits);
    Ok(Launch {
        lends_public: public.unwrap_or(subnet.map_public_ip_on_launch),
        template: Template {
            shutdown_terminates: instance_initiated_shutdown_behavior
                == Some(ShutdownBehavior::Terminate),
            termination_protection: disable_api_termination.unwrap_or(false),
            stop_protection: disable_api_stop.unwrap_or(false),
            ebs_optimized: ebs_optimized.unwrap_or(false),
            detailed_monitoring: monitoring.and_then(|at| at.enabled).unwrap_or(false),
            cpu_credits: credits(kind, cpu_credits)?,
            auto_recovery,
            hostname_type,
            resource_name_dns_a,
            client_token: client_token.unwrap_or_default(),
        },
        image,
        kind,
        key,
        user_data,
        cards,
        disks,
        cores,
        threads_per_core,
        metadata,
        instance_tags,
        volume_tags,
        interface_tags,
        subnet,
    })
}

fn reserves_capacity(given: Option<CapacityReservationSpecification>) -> bool {
    given.is_some_and(|given| {
        given.capacity_reservation_target.is_some()
            || given.capacity_reservation_preference
                == Some(CapacityReservationPreference::CapacityReservationsOnly)
    })
}

/// The type with this name, for an image of this architecture.
///
/// # Errors
/// There is no such type, or it can't run the image.
pub(super) fn instance_type(
    name: &str,
    architecture: &str,
) -> Result<&'static InstanceType, Fault> {
    let kind = instance_types::get(name)
        .ok_or_else(|| errors::invalid_value(name, "InstanceType", "There is no such type."))?;
    if !kind.architectures().iter().any(|known| known.as_str() == architecture) {
        let known = kind.architectures().iter().map(|known| known.as_str()).collect::<Vec<_>>();
        return Err(errors::invalid_parameter_value(format!(
            "The architecture '{}' of the specified instance type does not match the architecture \
             '{architecture}' of the specified AMI. Specify an instance type and an AMI that have \
             matching architectures, and try again.",
            known.join(",")
        )));
    }
    Ok(kind)
}

fn find_key(state: &State, request: &Request, name: &str) -> Result<Arc<KeyPair>, Fault> {
    let (account, region) = (request.scope.account, &request.scope.region);
    let found = state.find::<KeyPair>("name", format_args!("{account}/{region}/{name}")).next();
    found.cloned().ok_or_else(|| errors::key_pair_not_found(name))
}

/// The fault for user data that isn't base64.
pub(super) fn malformed_user_data() -> Fault {
    Fault::sender("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data")
}

/// Whether user data has a size that AWS takes.
///
/// # Errors
/// It is too long.
pub(super) fn check_user_data(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() <= MAX_USER_DATA {
        return Ok(());
    }
    Err(Fault::sender(
        "InvalidParameterValue",
        format!("User data is limited to {MAX_USER_DATA} bytes"),
    ))
}

fn decode_user_data(text: &str) -> Result<Option<String>, Fault> {
    let plain = text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
    let bytes = STANDARD.decode(plain).map_err(|_| malformed_user_data())?;
    check_user_data(&bytes)?;
    Ok((!bytes.is_empty()).then(|| STANDARD.encode(bytes)))
}

fn zone_of(request: &Request, placement: Placement) -> Result<Option<AvailabilityZone>, Fault> {
    let Placement {
        availability_zone_id,
        affinity,
        group_name,
        partition_number,
        host_id,
        tenancy,
        spread_domain,
        host_resource_group_arn,
        group_id,
        availability_zone,
    } = placement;
    for (given, name) in [
        (affinity.is_some(), "Placement.Affinity"),
        (group_name.is_some_and(|name| !name.is_empty()), "Placement.GroupName"),
        (partition_number.is_some(), "Placement.PartitionNumber"),
        (host_id.is_some(), "Placement.HostId"),
        (tenancy.is_some_and(|tenancy| tenancy != Tenancy::Default), "Placement.Tenancy"),
        (spread_domain.is_some(), "Placement.SpreadDomain"),
        (host_resource_group_arn.is_some(), "Placement.HostResourceGroupArn"),
        (group_id.is_some_and(|id| !id.is_empty()), "Placement.GroupId"),
    ] {
        if given {
            return Err(errors::unsupported(name));
        }
    }
    let zones = request.scope.region.zones();
    if availability_zone.is_some() && availability_zone_id.is_some() {
        return Err(errors::combination(
            "The parameters AvailabilityZone and AvailabilityZoneId may not be used together.",
        ));
    }
    match (availability_zone, availability_zone_id) {
        (Some(name), _) if !name.is_empty() => {
            let zone = zones.into_iter().find(|zone| zone.to_string() == name);
            zone.map(Some).ok_or_else(|| {
                errors::invalid_parameter_value(format!("Invalid availability zone: [{name}]"))
            })
        }
        (_, Some(id)) if !id.is_empty() => {
            let zone = zones.into_iter().find(|zone| zone.id() == id);
            zone.map(Some).ok_or_else(|| {
                errors::invalid_parameter_value(format!("Invalid availability zone id: [{id}]"))
            })
        }
        _ => Ok(None),
    }
}

/// The network parameters of the call itself, which stand for one interface.
struct Net {
    subnet: Option<String>,
    address: Option<String>,
    groups: Vec<String>,
    group_names: Vec<String>,
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
        Some(zone) => Err(errors::invalid_parameter_value(format!(
            "The availability zone '{zone}' is not the availability zone '{}' of the subnet '{}'.",
            subnet.zone, subnet.id
        ))),
    }
}

fn address_of(text: &str) -> Result<Ipv4Addr, Fault> {
    text.parse().map_err(|_| {
        errors::invalid_parameter_value(format!("invalid value for parameter address: [{text}]"))
    })
}

/// The interfaces to attach, and whether the first is lent a public address, where the call says.
fn cards(
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
        let subnet = find_subnet(tx, request, net.subnet.as_deref(), zone)?;
        let groups = security_groups::resolve(
            tx,
            &request.scope,
            subnet.vpc,
            &net.groups,
            &net.group_names,
        )?;
        let address = net.address.as_deref().map(address_of).transpose()?;
        let card = Card {
            index: 0,
            existing: None,
            subnet,
            address,
            secondary_count: 0,
            groups,
            description: String::new(),
            delete_on_termination: true,
        };
        one_address_for_one(max, card.address.is_some())?;
        return Ok((vec![card], None));
    }
    if net.subnet.is_some() || !net.groups.is_empty() || !net.group_names.is_empty() {
        return Err(errors::combination(
            "Network interfaces and an instance-level subnet ID or security groups may not be \
             specified on the same request",
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
        let (card, wants_public) = card(tx, request, specification, zone, max)?;
        if card.index == 0 {
            public = wants_public;
        }
        cards.push(card);
    }
    cards.sort_by_key(|card| card.index);
    let indexes = cards.iter().map(|card| card.index).collect::<Vec<_>>();
    if indexes.first() != Some(&0) || indexes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(errors::combination(
            "Each network interface requires a device index of its own, and one must be 0.",
        ));
    }
    let (vpc, home) = (cards[0].subnet.vpc, cards[0].subnet.zone.clone());
    if cards.iter().any(|card| card.subnet.vpc != vpc || card.subnet.zone != home) {
        return Err(errors::combination(
            "All network interfaces must be in one VPC and availability zone.",
        ));
    }
    Ok((cards, public))
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
    for (given, name) in [
        (ipv6_address_count.is_some_and(|count| count != 0), "NetworkInterface.Ipv6AddressCount"),
        (ipv6_addresses.is_some_and(|list| !list.is_empty()), "NetworkInterface.Ipv6Addresses"),
        (associate_carrier_ip_address.is_some(), "NetworkInterface.AssociateCarrierIpAddress"),
        (interface_type.is_some_and(|kind| kind != "interface"), "NetworkInterface.InterfaceType"),
        (network_card_index.is_some_and(|at| at != 0), "NetworkInterface.NetworkCardIndex"),
        (ipv4_prefixes.is_some() || ipv4_prefix_count.is_some(), "NetworkInterface.Ipv4Prefix"),
        (ipv6_prefixes.is_some() || ipv6_prefix_count.is_some(), "NetworkInterface.Ipv6Prefix"),
        (primary_ipv6 == Some(true), "NetworkInterface.PrimaryIpv6"),
        (ena_srd_specification.is_some(), "NetworkInterface.EnaSrdSpecification"),
        (
            connection_tracking_specification.is_some(),
            "NetworkInterface.ConnectionTrackingSpecification",
        ),
        (ena_queue_count.is_some(), "NetworkInterface.EnaQueueCount"),
        (
            private_ip_addresses.as_ref().is_some_and(|list| list.len() > 1),
            "NetworkInterface.PrivateIpAddresses",
        ),
    ] {
        if given {
            return Err(errors::unsupported(name));
        }
    }
    let index = device_index.map_or(Ok(0), u32::try_from).map_err(|_| {
        errors::invalid_value(
            device_index.unwrap_or_default(),
            "deviceIndex",
            "Expecting 0 or more.",
        )
    })?;
    if let Some(id) = network_interface_id {
        let row = find::<NetworkInterface>(tx, &request.scope, &id)?;
        if row.attachment.is_some() {
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
    one_address_for_one(max, address.is_some())?;
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
        groups,
        description: description.unwrap_or_default(),
        delete_on_termination: delete_on_termination.unwrap_or(true),
    };
    Ok((card, associate_public_ip_address))
}

fn positive(value: Option<i32>, name: &str) -> Result<Option<u32>, Fault> {
    value
        .map(|value| {
            u32::try_from(value).ok().filter(|value| *value > 0).ok_or_else(|| {
                errors::invalid_value(value, name, "Expecting a value greater than 0.")
            })
        })
        .transpose()
}

/// The volumes to make: the image's, changed and added to as the call says; the root first.
fn disks(
    tx: &Tx,
    request: &Request,
    image: &Image,
    mappings: Vec<BlockDeviceMapping>,
) -> Result<Vec<Disk>, Fault> {
    let root_snapshot = tx.get::<Snapshot>(&image.root_snapshot).cloned();
    let mut disks = vec![Disk {
        device_name: image.root_device_name.clone(),
        size_gib: Some(image.root_size_gib),
        kind: VolumeType::Gp3,
        iops: None,
        throughput: None,
        snapshot: root_snapshot,
        delete_on_termination: true,
    }];
    let mut seen = std::collections::BTreeSet::new();
    for mapping in mappings {
        let BlockDeviceMapping { ebs, no_device, device_name, virtual_name } = mapping;
        let name = device_name.ok_or_else(|| errors::missing("BlockDeviceMapping.DeviceName"))?;
        if !name.starts_with("/dev/") && !name.starts_with("sd") && !name.starts_with("xvd") {
            return Err(errors::invalid_value(
                name,
                "BlockDeviceMapping.DeviceName",
                "It is no device.",
            ));
        }
        if !seen.insert(name.clone()) {
            return Err(Fault::sender(
                "InvalidBlockDeviceMapping",
                format!("The device '{name}' is used in more than one block-device mapping"),
            ));
        }
        let root = name == image.root_device_name;
        if no_device.is_some() && root {
            return Err(errors::unsupported("BlockDeviceMapping.NoDevice of the root device"));
        }
        // Instance store volumes are given by the type on Nitro, whatever the mapping says.
        let Some(ebs) = ebs.filter(|_| no_device.is_none() && virtual_name.is_none()) else {
            continue;
        };
        let given = disk(tx, request, name, ebs, root)?;
        if root {
            root_from(&mut disks[0], given, image)?;
        } else if given.size_gib.is_none() && given.snapshot.is_none() {
            return Err(errors::missing("size or snapshotId"));
        } else {
            disks.push(given);
        }
    }
    Ok(disks)
}

fn root_from(root: &mut Disk, given: Disk, image: &Image) -> Result<(), Fault> {
    let size = given.size_gib.unwrap_or(image.root_size_gib);
    if size < image.root_size_gib {
        return Err(Fault::sender(
            "InvalidBlockDeviceMapping",
            format!(
                "Volume of size {size}GB is smaller than snapshot '{}', expect size>= {}GB",
                image.root_snapshot, image.root_size_gib
            ),
        ));
    }
    let snapshot = root.snapshot.take();
    if given.snapshot.as_ref().is_some_and(|other| other.id != image.root_snapshot) {
        return Err(errors::unsupported("BlockDeviceMapping.Ebs.SnapshotId of the root device"));
    }
    *root = Disk { size_gib: Some(size), snapshot, ..given };
    Ok(())
}

fn disk(
    tx: &Tx,
    request: &Request,
    device_name: String,
    ebs: EbsBlockDevice,
    root: bool,
) -> Result<Disk, Fault> {
    let EbsBlockDevice {
        delete_on_termination,
        iops,
        snapshot_id,
        volume_size,
        volume_type,
        kms_key_id,
        throughput,
        outpost_arn,
        availability_zone,
        encrypted,
        volume_initialization_rate,
        availability_zone_id,
        ebs_card_index,
    } = ebs;
    for (given, name) in [
        (kms_key_id.is_some(), "BlockDeviceMapping.Ebs.KmsKeyId"),
        (outpost_arn.is_some(), "BlockDeviceMapping.Ebs.OutpostArn"),
        (availability_zone.is_some(), "BlockDeviceMapping.Ebs.AvailabilityZone"),
        (availability_zone_id.is_some(), "BlockDeviceMapping.Ebs.AvailabilityZoneId"),
        (encrypted == Some(true), "BlockDeviceMapping.Ebs.Encrypted"),
        (volume_initialization_rate.is_some(), "BlockDeviceMapping.Ebs.VolumeInitializationRate"),
        (ebs_card_index.is_some_and(|at| at != 0), "BlockDeviceMapping.Ebs.EbsCardIndex"),
    ] {
        if given {
            return Err(errors::unsupported(name));
        }
    }
    let snapshot = snapshot_id.map(|id| find::<Snapshot>(tx, &request.scope, &id)).transpose()?;
    let default = if root { VolumeType::Gp3 } else { VolumeType::Gp2 };
    Ok(Disk {
        device_name,
        size_gib: positive(volume_size, "volumeSize")?,
        kind: volume_type.unwrap_or(default),
        iops: positive(iops, "iops")?,
        throughput: positive(throughput, "throughput")?,
        snapshot,
        delete_on_termination: delete_on_termination.unwrap_or(true),
    })
}

fn allows(valid: &[i32], wanted: u32) -> bool {
    i32::try_from(wanted).is_ok_and(|wanted| valid.contains(&wanted))
}

fn cpu(options: Option<CpuOptionsRequest>, kind: &InstanceType) -> Result<(u32, u32), Fault> {
    let Some(options) = options else {
        return Ok((kind.default_cores, kind.default_threads_per_core));
    };
    let CpuOptionsRequest { core_count, threads_per_core, amd_sev_snp, nested_virtualization } =
        options;
    if amd_sev_snp.is_some() {
        return Err(errors::unsupported("CpuOptions.AmdSevSnp"));
    }
    if nested_virtualization.is_some() {
        return Err(errors::unsupported("CpuOptions.NestedVirtualization"));
    }
    let cores = positive(core_count, "coreCount")?.unwrap_or(kind.default_cores);
    let threads =
        positive(threads_per_core, "threadsPerCore")?.unwrap_or(kind.default_threads_per_core);
    if !allows(kind.valid_cores(), cores) && cores != kind.default_cores {
        return Err(errors::invalid_value(
            cores,
            "coreCount",
            format!("{} can't have it.", kind.name),
        ));
    }
    if !allows(kind.valid_threads_per_core(), threads) && threads != kind.default_threads_per_core {
        let why = format!("{} can't have it.", kind.name);
        return Err(errors::invalid_value(threads, "threadsPerCore", why));
    }
    Ok((cores, threads))
}

fn credits(kind: &InstanceType, given: Option<String>) -> Result<String, Fault> {
    match given {
        None => Ok(default_credits(&kind.name, kind.burstable)),
        Some(_) if !kind.burstable => Err(Fault::sender(
            "InvalidParameterCombination",
            format!("The instance type {} does not support CPU credits.", kind.name),
        )),
        Some(given) if given == "standard" || given == "unlimited" => Ok(given),
        Some(given) => {
            Err(errors::invalid_value(given, "CpuCredits", "Expecting standard or unlimited."))
        }
    }
}

/// The credit mode that EC2 gives a type: T2 standard, later ones unlimited.
pub(super) fn default_credits(name: &str, burstable: bool) -> String {
    match (burstable, name.starts_with("t2.")) {
        (false, _) => String::new(),
        (true, true) => "standard".to_owned(),
        (true, false) => "unlimited".to_owned(),
    }
}

fn auto_recovery(options: Option<InstanceMaintenanceOptionsRequest>) -> bool {
    options.and_then(|at| at.auto_recovery) != Some(InstanceAutoRecoveryState::Disabled)
}

fn names(
    options: Option<PrivateDnsNameOptionsRequest>,
    subnet: &Subnet,
) -> Result<(String, bool), Fault> {
    let PrivateDnsNameOptionsRequest {
        hostname_type,
        enable_resource_name_dns_a_record,
        enable_resource_name_dns_aaaa_record,
    } = options.unwrap_or_default();
    if enable_resource_name_dns_aaaa_record == Some(true) {
        return Err(errors::unsupported("PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord"));
    }
    let kind = hostname_type.map_or(subnet.hostname_type.as_str(), |kind| kind.as_str());
    Ok((kind.to_owned(), enable_resource_name_dns_a_record.unwrap_or(subnet.resource_name_dns_a)))
}

/// The tags of the instances, their volumes and their interfaces.
fn launch_tags(specifications: Option<Vec<TagSpecification>>) -> Result<[Tags; 3], Fault> {
    let kinds = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
    let mut tags = tags::by_resource(specifications, &kinds)?;
    Ok(kinds.map(|kind| tags.remove(&kind).unwrap_or_default()))
}

fn make(
    tx: &mut Tx,
    request: &Request,
    launch: &Launch,
    reservation: ReservationId,
    index: u32,
    host: &str,
) -> Result<Instance, Fault> {
    let id = tx.new_id::<InstanceId>();
    let instance = row(tx, request, launch, (id, reservation, index), host);
    hosts::take(tx, &instance);
    for disk in &launch.disks {
        attach_disk(tx, launch, disk, &instance)?;
    }
    for card in &launch.cards {
        let interface = match &card.existing {
            Some(existing) => existing.id,
            None => {
                let interface = NewInterface {
                    subnet: &card.subnet,
                    address: card.address,
                    secondary_count: card.secondary_count,
                    groups: card.groups.clone(),
                    description: card.description.clone(),
                    source_dest_check: true,
                    tags: launch.interface_tags.clone(),
                };
                network_interfaces::create(tx, &request.scope, interface)?.id
            }
        };
        network_interfaces::attach(tx, interface, id, card.index, card.delete_on_termination);
        if card.index == 0 && launch.lends_public {
            addresses::lend_public(tx, interface)?;
        }
    }
    tx.put(instance.clone());
    Ok(instance)
}

fn attach_disk(tx: &mut Tx, launch: &Launch, disk: &Disk, to: &Instance) -> Result<(), Fault> {
    let size = disk.size_gib.or(disk.snapshot.as_ref().map(|snapshot| snapshot.size_gib));
    let volume = NewVolume {
        zone: to.zone.clone(),
        size_gib: size.ok_or_else(|| errors::missing("size"))?,
        kind: disk.kind,
        iops: disk.iops,
        throughput: disk.throughput,
        snapshot: disk.snapshot.as_ref().map(|snapshot| snapshot.id),
        encrypted: false,
        host: to.host.clone(),
        tags: launch.volume_tags.clone(),
    };
    let attach_time = tx.now();
    let volume = volumes::create(tx, &to.scope, volume)?;
    tx.update::<Volume>(&volume.id, |row| {
        row.attachment = Some(Attachment {
            instance: to.id,
            device_name: disk.device_name.clone(),
            attach_time,
            delete_on_termination: disk.delete_on_termination,
            attached: false,
        });
    });
    Ok(())
}

fn row(
    tx: &Tx,
    request: &Request,
    launch: &Launch,
    (id, reservation, launch_index): (InstanceId, ReservationId, u32),
    host: &str,
) -> Instance {
    let template = &launch.template;
    debug_assert!(tx.get::<Vpc>(&launch.subnet.vpc).is_some(), "a subnet's VPC exists");
    Instance {
        id,
        scope: request.scope.clone(),
        reservation,
        launch_index,
        image: launch.image.id,
        instance_type: launch.kind.name.clone(),
        architecture: launch.image.architecture.clone(),
        key_name: launch.key.as_ref().map(|key| key.name.clone()),
        public_key: launch.key.as_ref().map(|key| key.public_key.clone()),
        state: InstanceState::Pending,
        state_reason: Some(("pending".to_owned(), "pending".to_owned())),
        transition_reason: String::new(),
        launch_time: tx.now(),
        has_run: false,
        vm_running: false,
        ended: false,
        lends_public: launch.lends_public,
        terminated_at: None,
        zone: launch.subnet.zone.clone(),
        vpc: launch.subnet.vpc,
        subnet: launch.subnet.id,
        host: host.to_owned(),
        incarnation: 1,
        reboots: 0,
        recoveries: Vec::new(),
        grace_ms: super::STOP_GRACE_MS,
        root_device_name: launch.image.root_device_name.clone(),
        user_data: launch.user_data.clone(),
        shutdown_terminates: template.shutdown_terminates,
        termination_protection: template.termination_protection,
        stop_protection: template.stop_protection,
        ebs_optimized: template.ebs_optimized,
        detailed_monitoring: template.detailed_monitoring,
        metadata: launch.metadata.clone(),
        cpu_credits: template.cpu_credits.clone(),
        cores: launch.cores,
        threads_per_core: launch.threads_per_core,
        memory_mib: launch.kind.memory_mib,
        auto_recovery: template.auto_recovery,
        hostname_type: template.hostname_type.clone(),
        resource_name_dns_a: template.resource_name_dns_a,
        client_token: template.client_token.clone(),
        tags: launch.instance_tags.clone(),
    }
}
