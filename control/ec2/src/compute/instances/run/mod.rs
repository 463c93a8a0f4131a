//! RunInstances: what is launched, checked as a whole before anything is made.

mod disks;
mod make;
mod network;
mod settings;

pub(super) use settings::{check_user_data, default_credits, instance_type, malformed_user_data};

use super::{Instance, MetadataOptions, attributes, describe};
use crate::{
    compute::{
        images::Image, instance_profiles, instance_types::InstanceType, key_pairs::KeyPair,
        metadata_defaults,
    },
    errors,
    hosts::{self, Share},
    idempotency,
    resource::find,
    vpc::{network_interfaces::Ipv6Wanted, subnets::Subnet},
};
use disks::{Disk, disks};
use iam::{InstanceProfile, Request};
use make::make;
use network::{Card, Net, cards};
use settings::{
    auto_recovery, cpu, credits, decode_user_data, find_key, launch_tags, names, reserves_capacity,
    zone_of,
};
use shapes::{
    Fault,
    ec2::{Reservation, RunInstancesRequest, ShutdownBehavior},
};
use state::{State, Tx};
use std::sync::Arc;
use types::{ReservationId, Tags};

/// The most instances of one call.
const MAX_COUNT: i32 = 1000;
/// EC2's type where none is named.
const DEFAULT_TYPE: &str = "m1.small";

/// All instances of one call, checked and ready to be made.
struct Launch {
    image: Arc<Image>,
    kind: &'static InstanceType,
    key: Option<Arc<KeyPair>>,
    profile: Option<Arc<InstanceProfile>>,
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
    resource_name_dns_aaaa: bool,
    client_token: String,
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
    errors::refuse(&[
        ("KernelId", kernel_id.is_some()),
        ("RamdiskId", ramdisk_id.is_some()),
        ("ElasticGpuSpecification", elastic_gpu_specification.is_some()),
        ("ElasticInferenceAccelerator", elastic_inference_accelerators.is_some()),
        ("LaunchTemplate", launch_template.is_some()),
        ("InstanceMarketOptions", instance_market_options.is_some()),
        ("HibernationOptions", hibernation_options.is_some_and(|at| at.configured == Some(true))),
        ("LicenseSpecification", license_specifications.is_some()),
        ("EnclaveOptions", enclave_options.is_some_and(|at| at.enabled == Some(true))),
        ("NetworkPerformanceOptions", network_performance_options.is_some()),
        ("Operator", operator.is_some()),
        ("SecondaryInterface", secondary_interfaces.is_some()),
        ("CapacityReservationSpecification", reserves_capacity(capacity_reservation_specification)),
    ])?;
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
        ipv6: Ipv6Wanted::new(ipv6_addresses, ipv6_address_count, enable_primary_ipv6)?,
    };
    let (cards, public) = cards(tx, request, net, network_interfaces, zone.as_ref(), kind, max)?;
    let subnet = cards.first().map(|card| card.subnet.clone());
    let subnet = subnet.ok_or_else(|| errors::missing("SubnetId"))?;
    let disks = disks(tx, request, &image, block_device_mappings.unwrap_or_default())?;
    let (cores, threads_per_core) = cpu(cpu_options, kind)?;
    let profile = iam_instance_profile.unwrap_or_default();
    let profile = instance_profiles::specified_profile(tx, scope.account, profile)?;
    let defaults = metadata_defaults::options(tx, scope);
    let metadata = attributes::metadata_options(defaults, metadata_options.unwrap_or_default())?;
    let [instance_tags, volume_tags, interface_tags] = launch_tags(tag_specifications)?;
    let auto_recovery = auto_recovery(maintenance_options);
    let (hostname_type, resource_name_dns_a, resource_name_dns_aaaa) =
        names(private_dns_name_options, &subnet);
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
            resource_name_dns_aaaa,
            client_token: client_token.unwrap_or_default(),
        },
        image,
        kind,
        key,
        profile,
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
