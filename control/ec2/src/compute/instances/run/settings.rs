//! The settings of a launch: type, CPU, credits, key, user data, names, tags.

use crate::{
    compute::{
        instance_types::{self, InstanceType},
        key_pairs::KeyPair,
    },
    errors, tags,
    vpc::subnets::Subnet,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        CapacityReservationPreference, CapacityReservationSpecification, CpuOptionsRequest,
        InstanceAutoRecoveryState, InstanceMaintenanceOptionsRequest, Placement,
        PrivateDnsNameOptionsRequest, ResourceType, TagSpecification, Tenancy,
    },
};
use state::State;
use std::sync::Arc;
use types::{AvailabilityZone, Tags};

/// AWS's limit of raw user data.
const MAX_USER_DATA: usize = 16 * 1024;

pub(super) fn reserves_capacity(given: Option<CapacityReservationSpecification>) -> bool {
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
pub(in super::super) fn instance_type(
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

pub(super) fn find_key(
    state: &State,
    request: &Request,
    name: &str,
) -> Result<Arc<KeyPair>, Fault> {
    let (account, region) = (request.scope.account, &request.scope.region);
    let found = state.find::<KeyPair>("name", format_args!("{account}/{region}/{name}")).next();
    found.cloned().ok_or_else(|| errors::key_pair_not_found(name))
}

/// The fault for user data that isn't base64.
pub(in super::super) fn malformed_user_data() -> Fault {
    Fault::sender("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data")
}

/// Whether user data has a size that AWS takes.
///
/// # Errors
/// It is too long.
pub(in super::super) fn check_user_data(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() <= MAX_USER_DATA {
        return Ok(());
    }
    Err(Fault::sender(
        "InvalidParameterValue",
        format!("User data is limited to {MAX_USER_DATA} bytes"),
    ))
}

pub(super) fn decode_user_data(text: &str) -> Result<Option<String>, Fault> {
    let plain = text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
    let bytes = STANDARD.decode(plain).map_err(|_| malformed_user_data())?;
    check_user_data(&bytes)?;
    Ok((!bytes.is_empty()).then(|| STANDARD.encode(bytes)))
}

pub(super) fn zone_of(
    request: &Request,
    placement: Placement,
) -> Result<Option<AvailabilityZone>, Fault> {
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
    errors::refuse(&[
        ("Placement.Affinity", affinity.is_some()),
        ("Placement.GroupName", group_name.is_some_and(|name| !name.is_empty())),
        ("Placement.PartitionNumber", partition_number.is_some()),
        ("Placement.HostId", host_id.is_some()),
        ("Placement.Tenancy", tenancy.is_some_and(|tenancy| tenancy != Tenancy::Default)),
        ("Placement.SpreadDomain", spread_domain.is_some()),
        ("Placement.HostResourceGroupArn", host_resource_group_arn.is_some()),
        ("Placement.GroupId", group_id.is_some_and(|id| !id.is_empty())),
    ])?;
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

pub(super) fn positive(value: Option<i32>, name: &str) -> Result<Option<u32>, Fault> {
    value
        .map(|value| {
            u32::try_from(value).ok().filter(|value| *value > 0).ok_or_else(|| {
                errors::invalid_value(value, name, "Expecting a value greater than 0.")
            })
        })
        .transpose()
}

fn allows(valid: &[i32], wanted: u32) -> bool {
    i32::try_from(wanted).is_ok_and(|wanted| valid.contains(&wanted))
}

pub(super) fn cpu(
    options: Option<CpuOptionsRequest>,
    kind: &InstanceType,
) -> Result<(u32, u32), Fault> {
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

pub(super) fn credits(kind: &InstanceType, given: Option<String>) -> Result<String, Fault> {
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
pub(in super::super) fn default_credits(name: &str, burstable: bool) -> String {
    match (burstable, name.starts_with("t2.")) {
        (false, _) => String::new(),
        (true, true) => "standard".to_owned(),
        (true, false) => "unlimited".to_owned(),
    }
}

pub(super) fn auto_recovery(options: Option<InstanceMaintenanceOptionsRequest>) -> bool {
    options.and_then(|at| at.auto_recovery) != Some(InstanceAutoRecoveryState::Disabled)
}

/// The kind of the host name, and whether the resource name has an A and an AAAA record.
pub(super) fn names(
    options: Option<PrivateDnsNameOptionsRequest>,
    subnet: &Subnet,
) -> (String, bool, bool) {
    let PrivateDnsNameOptionsRequest {
        hostname_type,
        enable_resource_name_dns_a_record,
        enable_resource_name_dns_aaaa_record,
    } = options.unwrap_or_default();
    let kind = hostname_type.map_or(subnet.hostname_type.as_str(), |kind| kind.as_str());
    (
        kind.to_owned(),
        enable_resource_name_dns_a_record.unwrap_or(subnet.resource_name_dns_a),
        enable_resource_name_dns_aaaa_record.unwrap_or(subnet.resource_name_dns_aaaa),
    )
}

/// The tags of the instances, their volumes and their interfaces.
pub(super) fn launch_tags(
    specifications: Option<Vec<TagSpecification>>,
) -> Result<[Tags; 3], Fault> {
    let kinds = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
    let mut tags = tags::by_resource(specifications, &kinds)?;
    Ok(kinds.map(|kind| tags.remove(&kind).unwrap_or_default()))
}
