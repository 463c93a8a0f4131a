//! Instance types: AWS's catalogue, every type of it in every zone.
//!
//! Whether a host can hold a type shows only when one is launched.

mod catalogue;

use crate::{errors, filters::Filters, page::page};
use iam::Request;
use shapes::{
    Fault, Kind, Schema, Shape, Structure, View,
    ec2::{
        ArchitectureType, BootModeType, DescribeInstanceTypeOfferingsRequest,
        DescribeInstanceTypeOfferingsResult, DescribeInstanceTypesRequest,
        DescribeInstanceTypesResult, InstanceTypeHypervisor, InstanceTypeInfo,
        InstanceTypeOffering, LocationType, PlacementGroupStrategy, UsageClassType,
    },
};
use state::State;
use std::{collections::BTreeSet, sync::LazyLock};
use types::Tags;

/// An instance type: what a launch needs of it at hand, the rest in `info`.
#[derive(Debug)]
pub struct InstanceType {
    /// Such as `t3.micro`.
    pub name: String,
    pub vcpus: u32,
    pub default_cores: u32,
    pub default_threads_per_core: u32,
    pub memory_mib: u64,
    pub max_interfaces: u32,
    /// Private IPv4 addresses on each network interface.
    pub ipv4_per_interface: u32,
    pub ipv6_per_interface: u32,
    /// Volumes, or volumes and network interfaces where the limit is shared.
    pub max_ebs_attachments: u32,
    /// Of the T family: CPU credits.
    pub burstable: bool,
    pub bare_metal: bool,
    pub current_generation: bool,
    pub free_tier: bool,
    pub instance_storage: bool,
    /// None of bare metal.
    pub hypervisor: Option<InstanceTypeHypervisor>,
    /// The whole answer of DescribeInstanceTypes.
    pub info: InstanceTypeInfo,
}

impl InstanceType {
    fn new(info: InstanceTypeInfo) -> Self {
        let vcpu = info.vcpu_info.as_ref();
        let network = info.network_info.as_ref();
        let memory = info.memory_info.as_ref().and_then(|memory| memory.size_in_mib);
        let ebs = info.ebs_info.as_ref();
        let number = |value: Option<i32>| value.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Self {
            name: info.instance_type.clone().unwrap_or_default(),
            vcpus: number(vcpu.and_then(|vcpu| vcpu.default_vcpus)),
            default_cores: number(vcpu.and_then(|vcpu| vcpu.default_cores)),
            default_threads_per_core: number(vcpu.and_then(|vcpu| vcpu.default_threads_per_core)),
            memory_mib: memory.and_then(|mib| u64::try_from(mib).ok()).unwrap_or(0),
            max_interfaces: number(network.and_then(|net| net.maximum_network_interfaces)),
            ipv4_per_interface: number(network.and_then(|net| net.ipv4_addresses_per_interface)),
            ipv6_per_interface: number(network.and_then(|net| net.ipv6_addresses_per_interface)),
            max_ebs_attachments: number(ebs.and_then(|ebs| ebs.maximum_ebs_attachments)),
            burstable: info.burstable_performance_supported == Some(true),
            bare_metal: info.bare_metal == Some(true),
            current_generation: info.current_generation == Some(true),
            free_tier: info.free_tier_eligible == Some(true),
            instance_storage: info.instance_storage_supported == Some(true),
            hypervisor: info.hypervisor,
            info,
        }
    }

    /// The numbers of cores that a launch may ask for.
    #[must_use]
    pub fn valid_cores(&self) -> &[i32] {
        self.info.vcpu_info.as_ref().and_then(|vcpu| vcpu.valid_cores.as_deref()).unwrap_or(&[])
    }

    /// The threads per core that a launch may ask for.
    #[must_use]
    pub fn valid_threads_per_core(&self) -> &[i32] {
        let vcpu = self.info.vcpu_info.as_ref();
        vcpu.and_then(|vcpu| vcpu.valid_threads_per_core.as_deref()).unwrap_or(&[])
    }

    /// The architectures of the images that run on it.
    #[must_use]
    pub fn architectures(&self) -> &[ArchitectureType] {
        let processor = self.info.processor_info.as_ref();
        processor.and_then(|cpu| cpu.supported_architectures.as_deref()).unwrap_or(&[])
    }

    /// The boot modes of the images that run on it.
    #[must_use]
    pub fn boot_modes(&self) -> &[BootModeType] {
        self.info.supported_boot_modes.as_deref().unwrap_or(&[])
    }

    /// On demand, spot, capacity blocks.
    #[must_use]
    pub fn usage_classes(&self) -> &[UsageClassType] {
        self.info.supported_usage_classes.as_deref().unwrap_or(&[])
    }

    /// The placement strategies that take it.
    #[must_use]
    pub fn placement_strategies(&self) -> &[PlacementGroupStrategy] {
        let placement = self.info.placement_group_info.as_ref();
        placement.and_then(|placement| placement.supported_strategies.as_deref()).unwrap_or(&[])
    }
}

static CATALOGUE: LazyLock<Vec<InstanceType>> =
    LazyLock::new(|| catalogue::load().into_iter().map(InstanceType::new).collect());

/// All instance types, in the order of their names.
#[must_use]
pub fn all() -> &'static [InstanceType] {
    &CATALOGUE
}

/// The instance type with this name.
#[must_use]
pub fn get(name: &str) -> Option<&'static InstanceType> {
    let at = CATALOGUE.binary_search_by(|row| row.name.as_str().cmp(name)).ok()?;
    CATALOGUE.get(at)
}

/// AWS's limit of types named in one call, and of a page.
const MAX_TYPES: usize = 100;

/// The filters of DescribeInstanceTypes: each is a path of members of its answer.
const FILTERS: &[&str] = &[
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.attachment-limit-type",
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.baseline-iops",
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-iops",
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.maximum-ebs-attachments",
    "ebs-info.nvme-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-info.disk.count",
    "instance-storage-info.disk.size-in-gb",
    "instance-storage-info.disk.type",
    "instance-storage-info.encryption-support",
    "instance-storage-info.nvme-support",
    "instance-storage-info.total-size-in-gb",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.bandwidth-weightings",
    "network-info.efa-info.maximum-efa-interfaces",
    "network-info.efa-supported",
    "network-info.ena-support",
    "network-info.encryption-in-transit-supported",
    "network-info.flexible-ena-queues-support",
    "network-info.ipv4-addresses-per-interface",
    "network-info.ipv6-addresses-per-interface",
    "network-info.ipv6-supported",
    "network-info.maximum-network-cards",
    "network-info.maximum-network-interfaces",
    "network-info.network-performance",
    "nitro-enclaves-support",
    "nitro-tpm-info.supported-versions",
    "nitro-tpm-support",
    "processor-info.supported-architecture",
    "processor-info.supported-features",
    "processor-info.sustained-clock-speed-in-ghz",
    "reboot-migration-support",
    "supported-boot-mode",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
    "vcpu-info.valid-cores",
    "vcpu-info.valid-threads-per-core",
];

/// The instance types named, or all.
///
/// # Errors
/// A name is no type's, or a filter or the page is invalid.
pub fn describe_instance_types(
    _: &State,
    _: &Request,
    input: DescribeInstanceTypesRequest,
) -> Result<DescribeInstanceTypesResult, Fault> {
    let DescribeInstanceTypesRequest {
        dry_run: _,
        instance_types,
        filters,
        max_results,
        next_token,
        include_unsupported_in_region,
    } = input;
    let filters = Filters::new(filters, FILTERS)?;
    let named = instance_types.unwrap_or_default();
    let types = if named.is_empty() { all().iter().collect() } else { find_all(&named)? };
    let wanted = types.into_iter().filter(|row| {
        filters.accept(&Tags::new(), |name, wanted| {
            let mut values = Vec::new();
            collect(InstanceTypeInfo::SCHEMA, row.info.view(), name, &mut values);
            wanted.any(values)
        })
    });
    // AWS's page is 100 types where none is asked for.
    let max_results = max_results.or(Some(100));
    let (rows, next_token) = page(
        wanted.collect(),
        |row| row.name.clone(),
        max_results,
        5..=100,
        next_token.as_deref(),
    )?;
    // Every type is in every region; the member comes only where it was asked for.
    let supported = include_unsupported_in_region.filter(|&include| include);
    let to_api = |row: &InstanceType| InstanceTypeInfo {
        supported_in_region: supported,
        ..row.info.clone()
    };
    Ok(DescribeInstanceTypesResult {
        instance_types: Some(rows.into_iter().map(to_api).collect()),
        next_token,
    })
}

fn find_all(names: &[String]) -> Result<Vec<&'static InstanceType>, Fault> {
    if names.len() > MAX_TYPES {
        let why = format!("The limit of instance types in one request is {MAX_TYPES}.");
        return Err(errors::invalid_value(names.len(), "InstanceType", why));
    }
    let names = names.iter().map(String::as_str).collect::<BTreeSet<_>>();
    let (found, missing): (Vec<_>, Vec<_>) =
        names.into_iter().map(|name| get(name).ok_or(name)).partition(Result::is_ok);
    let missing = missing.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    match missing.is_empty() {
        true => Ok(found.into_iter().filter_map(Result::ok).collect()),
        false => Err(errors::instance_types_not_found(missing.join(", "))),
    }
}

/// The member that a filter's word means: the same letters, and the plural for a list's.
fn member(schema: &Schema, word: &str) -> Option<usize> {
    let letters = word.replace('-', "");
    schema.members().iter().position(|member| {
        let name = member.name.to_ascii_lowercase();
        name.strip_prefix(&letters).is_some_and(|end| matches!(end, "" | "s" | "es"))
    })
}

/// Adds the texts at the end of a path to `values`; of a list the elements, and all of them
/// together as AWS writes them, such as `1,2`.
fn collect(schema: &Schema, view: View<'_>, path: &str, values: &mut Vec<String>) {
    match view {
        View::Structure(structure) => {
            let (word, rest) = path.split_once('.').unwrap_or((path, ""));
            let Some(at) = member(schema, word) else { return };
            if let Some(view) = structure.member(at) {
                collect(schema.members()[at].schema, view, rest, values);
            }
        }
        View::List(list) => {
            let Kind::List { element, .. } = schema.kind else { return };
            let mut inner = Vec::new();
            for view in (0..list.len()).filter_map(|at| list.get(at)) {
                collect(element.schema, view, path, &mut inner);
            }
            if path.is_empty() && inner.len() > 1 {
                values.push(inner.join(","));
            }
            values.append(&mut inner);
        }
        View::Boolean(value) => values.push(value.to_string()),
        View::Integer(value) => values.push(value.to_string()),
        View::Long(value) => values.push(value.to_string()),
        View::Float(value) => values.push(value.to_string()),
        // `3` and `3.0` are both found.
        View::Double(value) => values.extend([value.to_string(), format!("{value:?}")]),
        View::String(value) => values.push(value.to_owned()),
        View::Blob(_) | View::Timestamp(_) | View::Map(_) | View::Document(_) => {}
    }
}

/// Where the instance types are offered: everywhere.
///
/// # Errors
/// A filter or the page is invalid.
pub fn describe_instance_type_offerings(
    _: &State,
    request: &Request,
    input: DescribeInstanceTypeOfferingsRequest,
) -> Result<DescribeInstanceTypeOfferingsResult, Fault> {
    let DescribeInstanceTypeOfferingsRequest {
        dry_run: _,
        location_type,
        filters,
        max_results,
        next_token,
    } = input;
    let filters = Filters::new(filters, &["instance-type", "location"])?;
    let region = &request.scope.region;
    let location_type = location_type.unwrap_or(LocationType::Region);
    let locations = match location_type {
        LocationType::Region => vec![region.to_string()],
        LocationType::AvailabilityZone => region.zones().map(|zone| zone.to_string()).to_vec(),
        LocationType::AvailabilityZoneId => region.zones().map(|zone| zone.id()).to_vec(),
        LocationType::Outpost => Vec::new(),
    };
    let mut rows = Vec::new();
    for row in all() {
        rows.extend(
            locations.iter().map(|location| (row.name.as_str(), location.as_str())).filter(
                |(name, location)| {
                    filters.accept(&Tags::new(), |filter, wanted| match filter {
                        "instance-type" => wanted.is(name),
                        _ => wanted.is(location),
                    })
                },
            ),
        );
    }
    // The separator sorts before all that names have, so the keys are in the rows' order.
    let key = |(name, location): &(&str, &str)| format!("{name}\0{location}");
    let max_results = max_results.or(Some(1000));
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    let offerings = rows.into_iter().map(|(name, location)| InstanceTypeOffering {
        instance_type: Some(name.to_owned()),
        location_type: Some(location_type),
        location: Some(location.to_owned()),
    });
    Ok(DescribeInstanceTypeOfferingsResult {
        instance_type_offerings: Some(offerings.collect()),
        next_token,
    })
}

#[cfg(test)]
mod tests;
