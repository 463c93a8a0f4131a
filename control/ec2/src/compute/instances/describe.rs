//! What Describe calls say of instances.

use super::{Instance, InstanceState};
use crate::{
    compute::{images::Image, instance_profiles},
    ebs::volumes::{self, Volume},
    filters::{Filters, Wanted},
    hosts::Host,
    page::page,
    resource::select,
    tags,
    vpc::{names, network_interfaces, security_groups::SecurityGroup, vpcs::Vpc},
};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        ArchitectureValues, BootModeValues, CapacityReservationPreference,
        CapacityReservationSpecificationResponse, CpuOptions, DescribeInstanceStatusRequest,
        DescribeInstanceStatusResult, DescribeInstancesRequest, DescribeInstancesResult,
        DeviceType, EbsStatusDetails, EbsStatusSummary, EnclaveOptions, GroupIdentifier,
        HibernationOptions, HostnameType, HttpTokensState, HypervisorType,
        InstanceAutoRecoveryState, InstanceBandwidthWeighting, InstanceBlockDeviceMapping,
        InstanceBootModeValues, InstanceMaintenanceOptions, InstanceMetadataEndpointState,
        InstanceMetadataOptionsResponse, InstanceMetadataOptionsState,
        InstanceMetadataProtocolState, InstanceMetadataTagsState,
        InstanceNetworkPerformanceOptions, InstanceRebootMigrationState, InstanceStatus,
        InstanceStatusDetails, InstanceStatusSummary, Monitoring, MonitoringState,
        OperatorResponse, Placement, PrivateDnsNameOptionsResponse, Reservation, StateReason,
        StatusName, StatusType, SummaryStatus, Tenancy, VirtualizationType,
    },
};
use state::State;
use std::sync::Arc;

const FILTERS: &[&str] = &[
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "ebs-optimized",
    "ena-support",
    "enclave-options.enabled",
    "group-id",
    "group-name",
    "hibernation-options.configured",
    "host-id",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "iam-instance-profile.name",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "key-name",
    "launch-index",
    "launch-time",
    "metadata-options.http-endpoint",
    "metadata-options.http-protocol-ipv6",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "metadata-options.state",
    "monitoring-state",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-ip-address",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.availability-zone",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-native",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.source-dest-check",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "owner-id",
    "placement-group-name",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-ip-address",
    "product-code",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tenancy",
    "usage-operation",
    "virtualization-type",
    "vpc-id",
];

/// The instances asked for, by reservation.
///
/// # Errors
/// An ID, a filter or the page is invalid.
pub fn describe_instances(
    state: &State,
    request: &Request,
    input: DescribeInstancesRequest,
) -> Result<DescribeInstancesResult, Fault> {
    let DescribeInstancesRequest {
        instance_ids,
        include_managed_resources: _,
        dry_run: _,
        filters,
        next_token,
        max_results,
    } = input;
    let filters = Filters::new(filters, FILTERS)?;
    let mut rows = select::<Instance>(state, &request.scope, instance_ids.as_deref())?;
    rows.retain(|row| accept(state, &filters, row));
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<Instance>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    Ok(DescribeInstancesResult { next_token, reservations: Some(reservations(state, &rows)) })
}

fn reservations(state: &State, rows: &[Arc<Instance>]) -> Vec<Reservation> {
    let mut order: Vec<Reservation> = Vec::new();
    let mut at = std::collections::HashMap::new();
    for row in rows {
        let instance = to_api(state, row);
        match at.get(&row.reservation) {
            Some(&index) => {
                let reservation: &mut Reservation = &mut order[index];
                reservation.instances.get_or_insert_default().push(instance);
            }
            None => {
                at.insert(row.reservation, order.len());
                order.push(reservation(row, vec![instance]));
            }
        }
    }
    order
}

/// A reservation as an answer has it; groups are of EC2-Classic and always empty.
pub(super) fn reservation(row: &Instance, instances: Vec<shapes::ec2::Instance>) -> Reservation {
    Reservation {
        reservation_id: Some(row.reservation.to_string()),
        owner_id: Some(row.scope.account.to_string()),
        requester_id: None,
        groups: Some(Vec::new()),
        instances: Some(instances),
    }
}

fn accept(state: &State, filters: &Filters, row: &Instance) -> bool {
    if filters.is_empty() {
        return true;
    }
    // Cheap filters are answered from the row, the others from what an answer would show.
    let mut shown: Option<shapes::ec2::Instance> = None;
    filters.accept(&row.tags, |name, wanted| {
        if let Some(holds) = row_holds(row, name, wanted) {
            return holds;
        }
        let shown = shown.get_or_insert_with(|| to_api(state, row));
        shown_holds(shown, row, name, wanted)
    })
}

fn row_holds(row: &Instance, name: &str, wanted: Wanted<'_>) -> Option<bool> {
    Some(match name {
        "availability-zone" | "network-interface.availability-zone" => wanted.is(&row.zone),
        "availability-zone-id" => wanted.is(row.zone.id()),
        "architecture" => wanted.is(&row.architecture),
        "client-token" => wanted.is(&row.client_token),
        "ebs-optimized" => wanted.is(row.ebs_optimized),
        "image-id" => wanted.is(row.image),
        "instance-id" | "network-interface.attachment.instance-id" => wanted.is(row.id),
        "instance-state-code" => wanted.is(row.state.code()),
        "instance-state-name" => wanted.is(row.state.name()),
        "instance-type" => wanted.is(&row.instance_type),
        "key-name" => row.key_name.as_ref().is_some_and(|name| wanted.is(name)),
        "launch-index" => wanted.is(row.launch_index),
        "launch-time" => wanted.is(row.launch_time),
        "owner-id" | "network-interface.owner-id" => wanted.is(row.scope.account),
        "reason" => wanted.is(&row.transition_reason),
        "reservation-id" => wanted.is(row.reservation),
        "root-device-name" => wanted.is(&row.root_device_name),
        "root-device-type" => wanted.is("ebs"),
        "state-reason-code" => row.state_reason.as_ref().is_some_and(|(code, _)| wanted.is(code)),
        "state-reason-message" => row.state_reason.as_ref().is_some_and(|(_, why)| wanted.is(why)),
        "subnet-id" => row.state != InstanceState::Terminated && wanted.is(row.subnet),
        "vpc-id" => row.state != InstanceState::Terminated && wanted.is(row.vpc),
        "tenancy" => wanted.is("default"),
        "hypervisor" => wanted.is("xen"),
        "virtualization-type" => wanted.is("hvm"),
        "platform-details" => wanted.is("Linux/UNIX"),
        "usage-operation" => wanted.is("RunInstances"),
        "ena-support" => wanted.is(true),
        "enclave-options.enabled"
        | "hibernation-options.configured"
        | "network-interface.ipv6-native" => wanted.is(false),
        "metadata-options.http-endpoint" => wanted.is(switch(row.metadata.enabled)),
        "metadata-options.http-protocol-ipv6" => wanted.is(switch(row.metadata.ipv6)),
        "metadata-options.http-put-response-hop-limit" => wanted.is(row.metadata.hop_limit),
        "metadata-options.http-tokens" => {
            wanted.is(if row.metadata.token_required { "required" } else { "optional" })
        }
        "metadata-options.instance-metadata-tags" => wanted.is(switch(row.metadata.tags)),
        "metadata-options.state" => wanted.is("applied"),
        "monitoring-state" => wanted.is(switch(row.detailed_monitoring)),
        // Instances here have none of these.
        "host-id"
        | "instance-lifecycle"
        | "network-interface.ipv6-prefixes.ipv6-prefix"
        | "placement-group-name"
        | "platform"
        | "product-code"
        | "requester-id"
        | "spot-instance-request-id" => false,
        _ => return None,
    })
}

fn switch(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

fn shown_holds(
    shown: &shapes::ec2::Instance,
    row: &Instance,
    name: &str,
    wanted: Wanted<'_>,
) -> bool {
    let profile = shown.iam_instance_profile.as_ref();
    let groups = || shown.security_groups.iter().flatten();
    let disks = || shown.block_device_mappings.iter().flatten();
    let ebs = || disks().filter_map(|disk| disk.ebs.as_ref());
    match name {
        "block-device-mapping.attach-time" => wanted.any(ebs().filter_map(|at| at.attach_time)),
        "block-device-mapping.delete-on-termination" => {
            wanted.any(ebs().filter_map(|at| at.delete_on_termination))
        }
        "block-device-mapping.device-name" => {
            wanted.any(disks().filter_map(|disk| disk.device_name.as_ref()))
        }
        "block-device-mapping.status" => wanted.any(ebs().filter_map(|at| at.status)),
        "block-device-mapping.volume-id" => {
            wanted.any(ebs().filter_map(|at| at.volume_id.as_ref()))
        }
        "boot-mode" => wanted.any(shown.boot_mode),
        "current-instance-boot-mode" => wanted.any(shown.current_instance_boot_mode),
        "dns-name" => wanted.any(shown.public_dns_name.as_ref()),
        "group-id" | "instance.group-id" | "network-interface.group-id" => {
            wanted.any(groups().filter_map(|group| group.group_id.as_ref()))
        }
        "group-name" | "instance.group-name" => {
            wanted.any(groups().filter_map(|group| group.group_name.as_ref()))
        }
        "iam-instance-profile.arn" => wanted.any(profile.and_then(|at| at.arn.as_ref())),
        "iam-instance-profile.id" => wanted.any(profile.and_then(|at| at.id.as_ref())),
        "iam-instance-profile.name" => {
            wanted.any(profile.and_then(|at| at.arn.as_ref()?.rsplit('/').next()))
        }
        "ip-address" => wanted.any(shown.public_ip_address.as_ref()),
        "ipv6-address" => wanted.any(shown.ipv6_address.as_ref()),
        "private-dns-name" => wanted.any(shown.private_dns_name.as_ref()),
        "private-ip-address" => wanted.any(shown.private_ip_address.as_ref()),
        "source-dest-check" => wanted.any(shown.source_dest_check),
        _ => interface_holds(shown, row, name, wanted),
    }
}

fn interface_holds(
    shown: &shapes::ec2::Instance,
    row: &Instance,
    name: &str,
    wanted: Wanted<'_>,
) -> bool {
    let cards = || shown.network_interfaces.iter().flatten();
    let attachments = || cards().filter_map(|card| card.attachment.as_ref());
    let addresses = || cards().filter_map(|card| card.private_ip_addresses.as_ref()).flatten();
    let ipv6 = || cards().filter_map(|card| card.ipv6_addresses.as_ref()).flatten();
    match name {
        "network-interface.ipv6-address" | "network-interface.ipv6-addresses.ipv6-address" => {
            wanted.any(ipv6().filter_map(|at| at.ipv6_address.as_ref()))
        }
        "network-interface.ipv6-addresses.is-primary-ipv6" => {
            wanted.any(ipv6().filter_map(|at| at.is_primary_ipv6))
        }
        "network-interface.addresses.association.public-ip" => {
            wanted.any(addresses().filter_map(|at| at.association.as_ref()?.public_ip.as_ref()))
        }
        "network-interface.addresses.primary" => {
            wanted.any(addresses().filter_map(|at| at.primary))
        }
        "network-interface.addresses.private-ip-address" => {
            wanted.any(addresses().filter_map(|at| at.private_ip_address.as_ref()))
        }
        "network-interface.attachment.attachment-id" => {
            wanted.any(attachments().filter_map(|at| at.attachment_id.as_ref()))
        }
        "network-interface.attachment.delete-on-termination" => {
            wanted.any(attachments().filter_map(|at| at.delete_on_termination))
        }
        "network-interface.attachment.device-index" => {
            wanted.any(attachments().filter_map(|at| at.device_index))
        }
        "network-interface.description" => {
            wanted.any(cards().filter_map(|card| card.description.as_ref()))
        }
        "network-interface.mac-address" => {
            wanted.any(cards().filter_map(|card| card.mac_address.as_ref()))
        }
        "network-interface.network-interface-id" => {
            wanted.any(cards().filter_map(|card| card.network_interface_id.as_ref()))
        }
        "network-interface.private-dns-name" => {
            wanted.any(cards().filter_map(|card| card.private_dns_name.as_ref()))
        }
        "network-interface.source-dest-check" => {
            wanted.any(cards().filter_map(|card| card.source_dest_check))
        }
        "network-interface.subnet-id" => {
            wanted.any(cards().filter_map(|card| card.subnet_id.as_ref()))
        }
        "network-interface.vpc-id" => wanted.any(cards().filter_map(|card| card.vpc_id.as_ref())),
        _ => {
            debug_assert!(false, "filter {name} of {} is listed and not served", row.id);
            false
        }
    }
}

/// Options of the metadata service as an answer has them.
pub(super) fn metadata_to_api(row: &Instance) -> InstanceMetadataOptionsResponse {
    let options = &row.metadata;
    InstanceMetadataOptionsResponse {
        state: Some(InstanceMetadataOptionsState::Applied),
        http_tokens: Some(if options.token_required {
            HttpTokensState::Required
        } else {
            HttpTokensState::Optional
        }),
        http_put_response_hop_limit: Some(i32::from(options.hop_limit)),
        http_endpoint: Some(if options.enabled {
            InstanceMetadataEndpointState::Enabled
        } else {
            InstanceMetadataEndpointState::Disabled
        }),
        http_protocol_ipv6: Some(if options.ipv6 {
            InstanceMetadataProtocolState::Enabled
        } else {
            InstanceMetadataProtocolState::Disabled
        }),
        instance_metadata_tags: Some(if options.tags {
            InstanceMetadataTagsState::Enabled
        } else {
            InstanceMetadataTagsState::Disabled
        }),
    }
}

/// Security groups as an answer has them.
pub(super) fn groups_to_api(
    state: &State,
    groups: &[types::SecurityGroupId],
) -> Vec<GroupIdentifier> {
    groups
        .iter()
        .filter_map(|id| state.get::<SecurityGroup>(id))
        .map(|group| GroupIdentifier {
            group_id: Some(group.id.to_string()),
            group_name: Some(group.name.clone()),
        })
        .collect()
}

/// Block devices as an answer has them.
pub(super) fn disks_to_api(state: &State, row: &Instance) -> Vec<InstanceBlockDeviceMapping> {
    let mut disks = state
        .find::<Volume>("instance", row.id)
        .filter_map(|volume| {
            let attachment = volume.attachment.as_ref()?;
            Some((
                attachment.device_name != row.root_device_name,
                InstanceBlockDeviceMapping {
                    device_name: Some(attachment.device_name.clone()),
                    ebs: volumes::to_instance_api(volume),
                },
            ))
        })
        .collect::<Vec<_>>();
    disks.sort_by(|(a, disk_a), (b, disk_b)| {
        (a, &disk_a.device_name).cmp(&(b, &disk_b.device_name))
    });
    disks.into_iter().map(|(_, disk)| disk).collect()
}

/// The instance as an answer has it.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one field a line, and AWS has many")]
pub fn to_api(state: &State, row: &Instance) -> shapes::ec2::Instance {
    let gone = row.state == InstanceState::Terminated;
    let cards = network_interfaces::of_instance(state, row.id);
    let primary = cards.first();
    let address = primary.and_then(|card| card.addresses.first());
    let public = address.and_then(|address| address.public.as_ref()).map(|public| public.ip);
    let region = &row.scope.region;
    let public_names = state.get::<Vpc>(&row.vpc).is_some_and(|vpc| vpc.dns_hostnames);
    let private_name = address.map(|at| match row.hostname_type.as_str() {
        "resource-name" => format!("{}.{}", row.id, region.private_domain()),
        _ => names::private_dns(at.ip, region),
    });
    let public_name = public.filter(|_| public_names).map(|ip| names::public_dns(ip, region));
    let boot_mode = state.get::<Image>(&row.image).map(|image| image.boot_mode.clone());
    let uefi = boot_mode.as_deref() == Some("uefi");
    shapes::ec2::Instance {
        architecture: row.architecture.parse::<ArchitectureValues>().ok(),
        block_device_mappings: Some(disks_to_api(state, row)),
        client_token: Some(row.client_token.clone()),
        iam_instance_profile: instance_profiles::of_instance(state, row.id)
            .map(|association| instance_profiles::profile_to_api(association)),
        ebs_optimized: Some(row.ebs_optimized),
        ena_support: Some(true),
        // What AWS says of Nitro instances too.
        hypervisor: Some(HypervisorType::Xen),
        network_interfaces: Some(
            cards.iter().map(|card| network_interfaces::to_instance_api(state, card)).collect(),
        ),
        root_device_name: Some(row.root_device_name.clone()),
        root_device_type: Some(DeviceType::Ebs),
        security_groups: Some(
            primary.map(|card| groups_to_api(state, &card.groups)).unwrap_or_default(),
        ),
        source_dest_check: primary.map(|card| card.source_dest_check),
        state_reason: row.state_reason.as_ref().map(|(code, message)| StateReason {
            code: Some(code.clone()),
            message: Some(message.clone()),
        }),
        tags: tags::to_api(&row.tags),
        virtualization_type: Some(VirtualizationType::Hvm),
        cpu_options: Some(CpuOptions {
            core_count: i32::try_from(row.cores).ok(),
            threads_per_core: i32::try_from(row.threads_per_core).ok(),
            ..CpuOptions::default()
        }),
        capacity_reservation_specification: Some(CapacityReservationSpecificationResponse {
            capacity_reservation_preference: Some(CapacityReservationPreference::Open),
            capacity_reservation_target: None,
        }),
        hibernation_options: Some(HibernationOptions { configured: Some(false) }),
        metadata_options: Some(metadata_to_api(row)),
        enclave_options: Some(EnclaveOptions { enabled: Some(false) }),
        boot_mode: boot_mode.and_then(|mode| mode.parse::<BootModeValues>().ok()),
        platform_details: Some("Linux/UNIX".to_owned()),
        usage_operation: Some("RunInstances".to_owned()),
        usage_operation_update_time: Some(row.launch_time),
        private_dns_name_options: (!gone).then(|| PrivateDnsNameOptionsResponse {
            hostname_type: row.hostname_type.parse::<HostnameType>().ok(),
            enable_resource_name_dns_a_record: Some(row.resource_name_dns_a),
            enable_resource_name_dns_aaaa_record: Some(row.resource_name_dns_aaaa),
        }),
        maintenance_options: Some(InstanceMaintenanceOptions {
            auto_recovery: Some(if row.auto_recovery {
                InstanceAutoRecoveryState::Default
            } else {
                InstanceAutoRecoveryState::Disabled
            }),
            reboot_migration: Some(InstanceRebootMigrationState::Default),
        }),
        current_instance_boot_mode: Some(if uefi {
            InstanceBootModeValues::Uefi
        } else {
            InstanceBootModeValues::LegacyBios
        }),
        network_performance_options: Some(InstanceNetworkPerformanceOptions {
            bandwidth_weighting: Some(InstanceBandwidthWeighting::Default),
        }),
        operator: Some(OperatorResponse { managed: Some(false), ..OperatorResponse::default() }),
        instance_id: Some(row.id.to_string()),
        image_id: Some(row.image.to_string()),
        state: Some(row.state.to_api()),
        private_dns_name: Some(private_name.unwrap_or_default()),
        public_dns_name: Some(public_name.unwrap_or_default()),
        state_transition_reason: Some(row.transition_reason.clone()),
        key_name: row.key_name.clone(),
        ami_launch_index: i32::try_from(row.launch_index).ok(),
        product_codes: Some(Vec::new()),
        instance_type: Some(row.instance_type.clone()),
        launch_time: Some(row.launch_time),
        placement: Some(Placement {
            group_name: Some(String::new()),
            tenancy: Some(Tenancy::Default),
            availability_zone: Some(row.zone.to_string()),
            availability_zone_id: Some(row.zone.id()),
            ..Placement::default()
        }),
        monitoring: Some(Monitoring {
            state: Some(if row.detailed_monitoring {
                MonitoringState::Enabled
            } else {
                MonitoringState::Disabled
            }),
        }),
        subnet_id: (!gone).then(|| row.subnet.to_string()),
        vpc_id: (!gone).then(|| row.vpc.to_string()),
        private_ip_address: address.map(|at| at.ip.to_string()),
        ipv6_address: primary.and_then(|card| card.ipv6.first()).map(ToString::to_string),
        public_ip_address: public.map(|ip| ip.to_string()),
        ..shapes::ec2::Instance::default()
    }
}

const STATUS_FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "attached-ebs-status.status",
];

/// The status checks of instances: computed from what hosts report at this moment.
///
/// # Errors
/// An ID, a filter or the page is invalid.
pub fn describe_instance_status(
    state: &State,
    request: &Request,
    input: DescribeInstanceStatusRequest,
) -> Result<DescribeInstanceStatusResult, Fault> {
    let DescribeInstanceStatusRequest {
        instance_ids,
        max_results,
        next_token,
        include_managed_resources: _,
        dry_run: _,
        filters,
        include_all_instances,
    } = input;
    let filters = Filters::new(filters, STATUS_FILTERS)?;
    let all = include_all_instances.unwrap_or(false);
    let mut rows = select::<Instance>(state, &request.scope, instance_ids.as_deref())?;
    rows.retain(|row| {
        (all || row.state == InstanceState::Running) && status_accept(state, &filters, row)
    });
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<Instance>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    let instance_statuses = Some(rows.iter().map(|row| status(state, row)).collect());
    Ok(DescribeInstanceStatusResult { instance_statuses, next_token })
}

fn status_accept(state: &State, filters: &Filters, row: &Instance) -> bool {
    let [system, instance] = checks(state, row);
    filters.accept(&row.tags, |name, wanted| match name {
        "availability-zone" => wanted.is(&row.zone),
        "availability-zone-id" => wanted.is(row.zone.id()),
        "instance-state-code" => wanted.is(row.state.code()),
        "instance-state-name" => wanted.is(row.state.name()),
        "instance-status.reachability" => wanted.is(reachability(instance)),
        "instance-status.status" | "attached-ebs-status.status" => wanted.is(instance),
        "system-status.reachability" => wanted.is(reachability(system)),
        "system-status.status" => wanted.is(system),
        // No events are scheduled.
        _ => false,
    })
}

/// The system's and the instance's own status.
fn checks(state: &State, row: &Instance) -> [SummaryStatus; 2] {
    if row.state != InstanceState::Running {
        return [SummaryStatus::NotApplicable; 2];
    }
    let connected =
        state.get::<Host>(&row.host).is_some_and(|host| host.connected && host.down.is_none());
    let system = if connected { SummaryStatus::Ok } else { SummaryStatus::Impaired };
    let instance = if row.vm_running { SummaryStatus::Ok } else { SummaryStatus::Initializing };
    [system, instance]
}

fn reachability(status: SummaryStatus) -> StatusType {
    match status {
        SummaryStatus::Ok => StatusType::Passed,
        SummaryStatus::Initializing => StatusType::Initializing,
        SummaryStatus::Impaired => StatusType::Failed,
        SummaryStatus::InsufficientData | SummaryStatus::NotApplicable => {
            StatusType::InsufficientData
        }
    }
}

fn status(state: &State, row: &Instance) -> InstanceStatus {
    let [system, instance] = checks(state, row);
    let applies = row.state == InstanceState::Running;
    let summary = |status: SummaryStatus| InstanceStatusSummary {
        details: applies.then(|| {
            vec![InstanceStatusDetails {
                impaired_since: None,
                name: Some(StatusName::Reachability),
                status: Some(reachability(status)),
            }]
        }),
        status: Some(status),
    };
    InstanceStatus {
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: Some(row.zone.id()),
        events: Some(Vec::new()),
        instance_id: Some(row.id.to_string()),
        instance_state: Some(row.state.to_api()),
        instance_status: Some(summary(instance)),
        system_status: Some(summary(system)),
        attached_ebs_status: Some(EbsStatusSummary {
            details: applies.then(|| {
                vec![EbsStatusDetails {
                    impaired_since: None,
                    name: Some(StatusName::Reachability),
                    status: Some(reachability(instance)),
                }]
            }),
            status: Some(instance),
        }),
        ..InstanceStatus::default()
    }
}
