//! Subnets.

use super::{
    cidr,
    cidr_blocks::subnets as blocks,
    describe::{PAGE, Query, describe},
    network_acls::{self, NetworkAcl},
    network_interfaces::NetworkInterface,
    route_tables::RouteTable,
    subnet_reservations::{self, SubnetReservation},
    vpcs::{self, Vpc},
};
use crate::{
    errors,
    filters::Wanted,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault, ec2 as api,
    ec2::{HostnameType, ResourceType},
};
use state::{Row, State, Tx};
use std::{fmt::Display, net::Ipv4Addr, sync::Arc};
use types::{
    AvailabilityZone, Ipv4Net, Ipv6Net, Region, Scope, SubnetCidrAssociationId, SubnetId, Tags,
    VpcId,
};

/// AWS's quota of subnets in a VPC.
const MAX_SUBNETS: usize = 200;
/// Addresses of each subnet that AWS keeps.
const RESERVED: u32 = 5;
/// The size of default subnets.
pub(super) const DEFAULT_PREFIX: u8 = 20;

/// A subnet: a block of a VPC in one zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: SubnetId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub zone: AvailabilityZone,
    pub cidr: Ipv4Net,
    /// Its IPv6 block.
    #[serde(default)]
    pub ipv6_cidr: Option<(SubnetCidrAssociationId, Ipv6Net)>,
    pub default_for_zone: bool,
    pub map_public_ip_on_launch: bool,
    /// Whether new interfaces are given an IPv6 address.
    #[serde(default)]
    pub assign_ipv6_on_creation: bool,
    /// `ip-name` or `resource-name`.
    pub hostname_type: String,
    pub resource_name_dns_a: bool,
    #[serde(default)]
    pub resource_name_dns_aaaa: bool,
    pub tags: Tags,
}

impl Row for Subnet {
    const TABLE: &'static str = "subnet";
    type Key = SubnetId;
    fn key(&self) -> SubnetId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        if let Some((association, _)) = &self.ipv6_cidr {
            add("ipv6-association", association);
        }
    }
}

impl Resource for Subnet {
    const TYPE: ResourceType = ResourceType::Subnet;
    const NOUN: &'static str = "subnet ID";
    const CODE: &'static str = "InvalidSubnetID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a subnet.
///
/// # Errors
/// The VPC or zone doesn't exist, or a block can't be this VPC's subnet.
pub fn create_subnet(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateSubnetRequest,
) -> Result<api::CreateSubnetResult, Fault> {
    let api::CreateSubnetRequest {
        tag_specifications,
        availability_zone,
        availability_zone_id,
        cidr_block,
        ipv6_cidr_block,
        outpost_arn,
        vpc_id,
        ipv6_native,
        ipv4_ipam_pool_id,
        ipv4_netmask_length,
        ipv6_ipam_pool_id,
        ipv6_netmask_length,
        dry_run: _,
    } = input;
    errors::refuse(&[
        ("OutpostArn", outpost_arn.is_some()),
        ("Ipv6Native", ipv6_native == Some(true)),
        ("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some()),
        ("Ipv4NetmaskLength", ipv4_netmask_length.is_some()),
        ("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", ipv6_netmask_length.is_some()),
    ])?;
    let vpc_id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let cidr_block = cidr_block.ok_or_else(|| errors::either("cidrBlock", "ipv6CidrBlock"))?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::Subnet)?;
    let vpc = find::<Vpc>(tx, &request.scope, &vpc_id)?;
    let zone = zone(&request.scope.region, availability_zone, availability_zone_id)?;
    let zone = zone.unwrap_or_else(|| request.scope.region.zone('a'));
    let cidr = cidr::parse(&cidr_block, "cidrBlock")?;
    if !cidr::size_allowed(&cidr) || !vpc.cidrs.iter().any(|(_, block)| block.contains(&cidr)) {
        return Err(errors::subnet_range(cidr_block));
    }
    if is_taken(tx, vpc.id, &cidr) {
        return Err(errors::subnet_conflict(cidr_block));
    }
    let ipv6_cidr = ipv6_cidr_block.map(|text| blocks::checked(tx, &vpc, &text)).transpose()?;
    check_quota(tx, vpc.id)?;
    let mut subnet = create(tx, &vpc, zone, cidr, false, tags);
    if let Some(block) = ipv6_cidr {
        subnet.ipv6_cidr = Some((tx.new_id(), block));
        tx.put(subnet.clone());
    }
    Ok(api::CreateSubnetResult { subnet: Some(subnet.to_api(tx)) })
}

/// Makes the default subnet of a zone, which has lost or never had it.
///
/// # Errors
/// There is no default VPC, the zone has its default subnet, or no block is free.
pub fn create_default_subnet(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateDefaultSubnetRequest,
) -> Result<api::CreateDefaultSubnetResult, Fault> {
    let api::CreateDefaultSubnetRequest {
        availability_zone,
        dry_run: _,
        ipv6_native,
        availability_zone_id,
    } = input;
    errors::refuse(&[("Ipv6Native", ipv6_native == Some(true))])?;
    let scope = &request.scope;
    let zone = zone(&scope.region, availability_zone, availability_zone_id)?;
    let zone = zone.ok_or_else(|| errors::either("availabilityZone", "availabilityZoneId"))?;
    let vpc = vpcs::default_of(tx, scope).ok_or_else(errors::default_vpc_missing)?;
    if let Some(subnet) = default_in(tx, scope, Some(&zone)) {
        return Err(errors::default_subnet_exists(subnet.id, zone));
    }
    let mut blocks =
        vpc.cidrs.iter().flat_map(|(_, block)| block.subnets(DEFAULT_PREFIX).into_iter().flatten());
    let cidr = blocks.find(|block| !is_taken(tx, vpc.id, block));
    let cidr = cidr.ok_or_else(errors::no_default_subnet_block)?;
    check_quota(tx, vpc.id)?;
    let subnet = create(tx, &vpc, zone, cidr, true, Tags::new());
    Ok(api::CreateDefaultSubnetResult { subnet: Some(subnet.to_api(tx)) })
}

/// Deletes a subnet and its associations.
///
/// # Errors
/// It doesn't exist, or has network interfaces.
pub fn delete_subnet(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteSubnetRequest,
) -> Result<api::DeleteSubnetResponse, Fault> {
    let api::DeleteSubnetRequest { subnet_id, dry_run: _ } = input;
    let subnet_id = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let id = find::<Subnet>(tx, &request.scope, &subnet_id)?.id;
    if tx.find::<NetworkInterface>("subnet", id).next().is_some() {
        return Err(errors::dependency("subnet", id));
    }
    let tables = tx.find::<RouteTable>("subnet", id).map(|table| table.id).collect::<Vec<_>>();
    for table in tables {
        tx.update::<RouteTable>(&table, |table| {
            table.associations.retain(|association| association.subnet != Some(id));
        });
    }
    let acls = tx.find::<NetworkAcl>("subnet", id).map(|acl| acl.id).collect::<Vec<_>>();
    for acl in acls {
        tx.update::<NetworkAcl>(&acl, |acl| acl.associations.retain(|(_, subnet)| *subnet != id));
    }
    let reserved = subnet_reservations::of_subnet(tx, id).map(|row| row.id).collect::<Vec<_>>();
    for reservation in reserved {
        tx.delete::<SubnetReservation>(&reservation);
    }
    tx.delete::<Subnet>(&id);
    Ok(api::DeleteSubnetResponse {})
}

const FILTERS: &[&str] = &[
    "availability-zone",
    "availabilityZone",
    "availability-zone-id",
    "availabilityZoneId",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "customer-owned-ipv4-pool",
    "default-for-az",
    "defaultForAz",
    "enable-dns64",
    "enable-lni-at-device-index",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.state",
    "ipv6-native",
    "map-customer-owned-ip-on-launch",
    "map-public-ip-on-launch",
    "outpost-arn",
    "owner-id",
    "private-dns-name-options-on-launch.hostname-type",
    "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
    "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];

/// Describes subnets.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_subnets(
    state: &State,
    request: &Request,
    input: api::DescribeSubnetsRequest,
) -> Result<api::DescribeSubnetsResult, Fault> {
    let api::DescribeSubnetsRequest {
        filters,
        subnet_ids: ids,
        next_token,
        max_results,
        dry_run: _,
    } = input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) =
        describe::<Subnet>(state, &request.scope, query, |subnet, name, wanted| {
            holds(state, subnet, name, wanted)
        })?;
    let subnets = Some(rows.iter().map(|subnet| subnet.to_api(state)).collect());
    Ok(api::DescribeSubnetsResult { next_token, subnets })
}

fn holds(state: &State, subnet: &Subnet, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "availability-zone" | "availabilityZone" => wanted.is(&subnet.zone),
        "availability-zone-id" | "availabilityZoneId" => wanted.is(subnet.zone.id()),
        "available-ip-address-count" => wanted.is(subnet.available(state)),
        "cidr" | "cidr-block" | "cidrBlock" => wanted.is(subnet.cidr),
        "default-for-az" | "defaultForAz" => wanted.is(subnet.default_for_zone),
        "enable-dns64" | "ipv6-native" | "map-customer-owned-ip-on-launch" => wanted.is(false),
        "ipv6-cidr-block-association.ipv6-cidr-block" => {
            wanted.any(subnet.ipv6_cidr.map(|(_, block)| block))
        }
        "ipv6-cidr-block-association.association-id" => {
            wanted.any(subnet.ipv6_cidr.map(|(association, _)| association))
        }
        "ipv6-cidr-block-association.state" => {
            wanted.any(subnet.ipv6_cidr.map(|_| api::SubnetCidrBlockStateCode::Associated))
        }
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
            wanted.is(subnet.resource_name_dns_aaaa)
        }
        "map-public-ip-on-launch" => wanted.is(subnet.map_public_ip_on_launch),
        "owner-id" => wanted.is(subnet.scope.account),
        "private-dns-name-options-on-launch.hostname-type" => wanted.is(&subnet.hostname_type),
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record" => {
            wanted.is(subnet.resource_name_dns_a)
        }
        "state" => wanted.is(api::SubnetState::Available),
        "subnet-arn" => wanted.is(subnet.arn()),
        "subnet-id" => wanted.is(subnet.id),
        "vpc-id" => wanted.is(subnet.vpc),
        _ => false,
    }
}

/// Changes one attribute of a subnet.
///
/// # Errors
/// The subnet doesn't exist, or not exactly one attribute is given.
pub fn modify_subnet_attribute(
    tx: &mut Tx,
    request: &Request,
    input: api::ModifySubnetAttributeRequest,
) -> Result<api::ModifySubnetAttributeResponse, Fault> {
    let api::ModifySubnetAttributeRequest {
        assign_ipv6_address_on_creation,
        map_public_ip_on_launch,
        subnet_id,
        map_customer_owned_ip_on_launch,
        customer_owned_ipv4_pool,
        enable_dns64,
        private_dns_hostname_type_on_launch,
        enable_resource_name_dns_a_record_on_launch,
        enable_resource_name_dns_aaaa_record_on_launch,
        enable_lni_at_device_index,
        disable_lni_at_device_index,
    } = input;
    let value = |attribute: Option<api::AttributeBooleanValue>| attribute.and_then(|a| a.value);
    // What is off here may be turned off; only turning it on is refused.
    let off = [
        ("MapCustomerOwnedIpOnLaunch", value(map_customer_owned_ip_on_launch)),
        ("EnableDns64", value(enable_dns64)),
        ("DisableLniAtDeviceIndex", value(disable_lni_at_device_index)),
    ];
    errors::refuse(&off.map(|(name, value)| (name, value == Some(true))))?;
    errors::refuse(&[
        ("CustomerOwnedIpv4Pool", customer_owned_ipv4_pool.is_some()),
        ("EnableLniAtDeviceIndex", enable_lni_at_device_index.is_some()),
    ])?;
    let map_public = value(map_public_ip_on_launch);
    let assign_ipv6 = value(assign_ipv6_address_on_creation);
    let dns_a = value(enable_resource_name_dns_a_record_on_launch);
    let dns_aaaa = value(enable_resource_name_dns_aaaa_record_on_launch);
    let subnet_id = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let subnet = find::<Subnet>(tx, &request.scope, &subnet_id)?;
    let given = off.iter().filter(|(_, value)| value.is_some()).count()
        + [map_public, assign_ipv6, dns_a, dns_aaaa].into_iter().flatten().count()
        + usize::from(private_dns_hostname_type_on_launch.is_some());
    match given {
        0 => return Err(errors::missing("attribute")),
        1 => {}
        _ => return Err(errors::multiple_attributes()),
    }
    if assign_ipv6 == Some(true) && subnet.ipv6_cidr.is_none() {
        return Err(errors::no_ipv6_to_assign(subnet.id));
    }
    tx.update::<Subnet>(&subnet.id, |subnet| {
        subnet.assign_ipv6_on_creation = assign_ipv6.unwrap_or(subnet.assign_ipv6_on_creation);
        subnet.resource_name_dns_aaaa = dns_aaaa.unwrap_or(subnet.resource_name_dns_aaaa);
        subnet.map_public_ip_on_launch = map_public.unwrap_or(subnet.map_public_ip_on_launch);
        subnet.resource_name_dns_a = dns_a.unwrap_or(subnet.resource_name_dns_a);
        if let Some(hostname_type) = private_dns_hostname_type_on_launch {
            subnet.hostname_type = hostname_type.to_string();
        }
    });
    Ok(api::ModifySubnetAttributeResponse {})
}

/// Makes a subnet; its block must have been checked.
pub(super) fn create(
    tx: &mut Tx,
    vpc: &Vpc,
    zone: AvailabilityZone,
    cidr: Ipv4Net,
    default_for_zone: bool,
    tags: Tags,
) -> Subnet {
    let subnet = Subnet {
        id: tx.new_id(),
        scope: vpc.scope.clone(),
        vpc: vpc.id,
        zone,
        cidr,
        ipv6_cidr: None,
        default_for_zone,
        map_public_ip_on_launch: default_for_zone,
        assign_ipv6_on_creation: false,
        hostname_type: HostnameType::IpName.to_string(),
        resource_name_dns_a: false,
        resource_name_dns_aaaa: false,
        tags,
    };
    tx.put(subnet.clone());
    network_acls::associate_default(tx, vpc.id, subnet.id);
    subnet
}

/// The default subnet of a zone, or of any zone.
#[must_use]
pub fn default_in(
    state: &State,
    scope: &Scope,
    zone: Option<&AvailabilityZone>,
) -> Option<Arc<Subnet>> {
    let vpc = vpcs::default_of(state, scope)?;
    state
        .find::<Subnet>("vpc", vpc.id)
        .filter(|subnet| subnet.default_for_zone && zone.is_none_or(|zone| subnet.zone == *zone))
        .min_by_key(|subnet| &subnet.zone)
        .cloned()
}

/// The zone that a call names, by name or by ID.
fn zone(
    region: &Region,
    name: Option<String>,
    id: Option<String>,
) -> Result<Option<AvailabilityZone>, Fault> {
    let zones = region.zones();
    let (text, parameter, found) = match (name, id) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(errors::exclusive("availabilityZone", "availabilityZoneId"));
        }
        (Some(name), None) => {
            let found = zones.iter().find(|zone| zone.to_string() == name).cloned();
            (name, "availabilityZone", found)
        }
        (None, Some(id)) => {
            let found = zones.iter().find(|zone| zone.id() == id).cloned();
            (id, "availabilityZoneId", found)
        }
    };
    match found {
        Some(zone) => Ok(Some(zone)),
        None => {
            let all = zones.map(|zone| zone.to_string()).join(", ");
            Err(errors::subnet_zone(text, parameter, all))
        }
    }
}

fn is_taken(state: &State, vpc: VpcId, block: &Ipv4Net) -> bool {
    state.find::<Subnet>("vpc", vpc).any(|subnet| cidr::overlap(&subnet.cidr, block))
}

fn check_quota(state: &State, vpc: VpcId) -> Result<(), Fault> {
    let count = state.find::<Subnet>("vpc", vpc).count();
    if count < MAX_SUBNETS { Ok(()) } else { Err(errors::subnet_limit()) }
}

impl Subnet {
    /// The first and last address that interfaces may have: AWS keeps the first four (network,
    /// router, resolver, future use) and the last (broadcast).
    #[must_use]
    pub fn usable(&self) -> (Ipv4Addr, Ipv4Addr) {
        (cidr::nth(&self.cidr, 4), cidr::nth(&self.cidr, cidr::size(&self.cidr) - 2))
    }

    /// How many addresses are free.
    #[must_use]
    pub fn available(&self, state: &State) -> u32 {
        let interfaces = state.find::<NetworkInterface>("subnet", self.id);
        let taken = interfaces.map(|interface| interface.addresses.len()).sum::<usize>();
        let usable = cidr::size(&self.cidr) - RESERVED;
        usable.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    fn arn(&self) -> String {
        super::describe::arn(&self.scope, "subnet", self.id)
    }

    pub(super) fn to_api(&self, state: &State) -> api::Subnet {
        api::Subnet {
            availability_zone_id: Some(self.zone.id()),
            enable_lni_at_device_index: None,
            map_customer_owned_ip_on_launch: Some(false),
            customer_owned_ipv4_pool: None,
            owner_id: Some(self.scope.account.to_string()),
            assign_ipv6_address_on_creation: Some(self.assign_ipv6_on_creation),
            ipv6_cidr_block_association_set: Some(
                self.ipv6_cidr
                    .map(|block| blocks::to_api(block, api::SubnetCidrBlockStateCode::Associated))
                    .into_iter()
                    .collect(),
            ),
            tags: tags::if_any(&self.tags),
            subnet_arn: Some(self.arn()),
            outpost_arn: None,
            enable_dns64: Some(false),
            ipv6_native: Some(false),
            private_dns_name_options_on_launch: Some(api::PrivateDnsNameOptionsOnLaunch {
                hostname_type: self.hostname_type.parse().ok(),
                enable_resource_name_dns_a_record: Some(self.resource_name_dns_a),
                enable_resource_name_dns_aaaa_record: Some(self.resource_name_dns_aaaa),
            }),
            block_public_access_states: Some(vpcs::block_public_access_states()),
            r#type: None,
            subnet_id: Some(self.id.to_string()),
            state: Some(api::SubnetState::Available),
            vpc_id: Some(self.vpc.to_string()),
            cidr_block: Some(self.cidr.to_string()),
            available_ip_address_count: i32::try_from(self.available(state)).ok(),
            availability_zone: Some(self.zone.to_string()),
            default_for_az: Some(self.default_for_zone),
            map_public_ip_on_launch: Some(self.map_public_ip_on_launch),
        }
    }
}
