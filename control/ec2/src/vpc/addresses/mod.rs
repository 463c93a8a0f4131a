//! Public addresses: Elastic ones of an account, and those lent to interfaces.

mod associations;
mod attributes;
mod pool;

pub use associations::{associate_address, disassociate_address, link, unlink_by_id};
pub use attributes::{
    describe_addresses_attribute, modify_address_attribute, reset_address_attribute,
};
pub use pool::{lend_public, take_back_public};

use super::{
    describe::{Query, describe},
    network_interfaces::NetworkInterface,
};
use crate::{
    errors,
    filters::Wanted,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::{fmt::Display, net::Ipv4Addr, sync::Arc};
use types::{AllocationId, AssociationId, InstanceId, NetworkInterfaceId, Scope, Tags};

/// Elastic IP addresses of an account in a region. AWS's first quota is 5, which whole test
/// suites exceed.
const MAX_ADDRESSES: usize = 100;
/// The pool that AWS's own addresses come from.
const AMAZON_POOL: &str = "amazon";

/// An Elastic IP address of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    pub id: AllocationId,
    pub scope: Scope,
    pub ip: Ipv4Addr,
    pub association: Option<AddressAssociation>,
    /// What its reverse lookup says, with the last dot.
    #[serde(default)]
    pub domain_name: Option<String>,
    pub tags: Tags,
}

/// Where an Elastic IP address leads; the interface's row says the same of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressAssociation {
    pub id: AssociationId,
    pub interface: NetworkInterfaceId,
    pub private_ip: Ipv4Addr,
}

impl Row for Address {
    const TABLE: &'static str = "address";
    type Key = AllocationId;
    fn key(&self) -> AllocationId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("ip", &self.ip);
        if let Some(association) = &self.association {
            add("association", &association.id);
            add("interface", &association.interface);
        }
    }
}

impl Resource for Address {
    const TYPE: ResourceType = ResourceType::ElasticIp;
    const NOUN: &'static str = "allocation ID";
    const CODE: &'static str = "InvalidAllocationID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Gives the account a public address.
///
/// # Errors
/// There are too many, the one asked for is taken, or the pool is empty.
pub fn allocate_address(
    tx: &mut Tx,
    request: &Request,
    input: api::AllocateAddressRequest,
) -> Result<api::AllocateAddressResult, Fault> {
    let api::AllocateAddressRequest {
        domain,
        address,
        public_ipv4_pool,
        network_border_group,
        customer_owned_ipv4_pool,
        tag_specifications,
        ipam_pool_id,
        dry_run: _,
    } = input;
    errors::refuse(&[
        ("CustomerOwnedIpv4Pool", customer_owned_ipv4_pool.is_some()),
        ("IpamPoolId", ipam_pool_id.is_some()),
        ("PublicIpv4Pool", public_ipv4_pool.is_some_and(|pool| pool != AMAZON_POOL)),
    ])?;
    check_border_group(request, network_border_group.as_deref())?;
    if domain == Some(api::DomainType::Standard) {
        let why = "Addresses are for use in a VPC.";
        return Err(errors::invalid_value("standard", "domain", why));
    }
    let tags = tags::from_specifications(tag_specifications, ResourceType::ElasticIp)?;
    let scope = &request.scope;
    if tx.count_in_scope::<Address>(scope) >= MAX_ADDRESSES {
        return Err(errors::address_limit());
    }
    let ip = match address {
        Some(text) => pool::take(tx, parse_ip(&text)?)?,
        None => pool::any(tx)?,
    };
    let id = tx.new_id();
    let association = None;
    tx.put(Address { id, scope: scope.clone(), ip, association, domain_name: None, tags });
    Ok(api::AllocateAddressResult {
        allocation_id: Some(id.to_string()),
        public_ipv4_pool: Some(AMAZON_POOL.to_owned()),
        network_border_group: Some(scope.region.to_string()),
        domain: Some(api::DomainType::Vpc),
        customer_owned_ip: None,
        customer_owned_ipv4_pool: None,
        carrier_ip: None,
        public_ip: Some(ip.to_string()),
    })
}

/// Gives a public address back to the pool.
///
/// # Errors
/// It isn't the account's, or is associated.
pub fn release_address(
    tx: &mut Tx,
    request: &Request,
    input: api::ReleaseAddressRequest,
) -> Result<api::ReleaseAddressResponse, Fault> {
    let api::ReleaseAddressRequest { allocation_id, public_ip, network_border_group, dry_run: _ } =
        input;
    check_border_group(request, network_border_group.as_deref())?;
    let address = named(tx, &request.scope, allocation_id, public_ip)?;
    if address.association.is_some() {
        return Err(errors::address_taken(address.ip));
    }
    tx.delete::<Address>(&address.id);
    Ok(api::ReleaseAddressResponse {})
}

const FILTERS: &[&str] = &[
    "allocation-id",
    "association-id",
    "domain",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
];

/// Describes Elastic IP addresses.
///
/// # Errors
/// An ID or address doesn't exist, or a filter is unknown.
pub fn describe_addresses(
    state: &State,
    request: &Request,
    input: api::DescribeAddressesRequest,
) -> Result<api::DescribeAddressesResult, Fault> {
    let api::DescribeAddressesRequest { public_ips, dry_run: _, filters, allocation_ids } = input;
    let mut ids = allocation_ids.unwrap_or_default();
    for ip in public_ips.unwrap_or_default() {
        ids.push(by_ip(state, &request.scope, &ip)?.id.to_string());
    }
    let query = Query {
        ids: Some(ids),
        filters,
        names: FILTERS,
        max_results: None,
        range: 1..=1000,
        next_token: None,
    };
    let (rows, _) = describe::<Address>(state, &request.scope, query, |row, name, wanted| {
        holds(state, row, name, wanted)
    })?;
    let addresses = Some(rows.iter().map(|row| row.to_api(state)).collect());
    Ok(api::DescribeAddressesResult { addresses })
}

fn holds(state: &State, row: &Address, name: &str, wanted: Wanted<'_>) -> bool {
    let association = row.association.as_ref();
    match name {
        "allocation-id" => wanted.is(row.id),
        "association-id" => wanted.any(association.map(|it| it.id)),
        "domain" => wanted.is(api::DomainType::Vpc),
        "instance-id" => wanted.any(row.instance(state)),
        "network-border-group" => wanted.is(&row.scope.region),
        "network-interface-id" => wanted.any(association.map(|it| it.interface)),
        "network-interface-owner-id" => wanted.any(association.map(|_| row.scope.account)),
        "private-ip-address" => wanted.any(association.map(|it| it.private_ip)),
        "public-ip" => wanted.is(row.ip),
        _ => false,
    }
}

fn parse_ip(text: &str) -> Result<Ipv4Addr, Fault> {
    text.parse().map_err(|_| errors::not_an_address(text))
}

fn by_ip(state: &State, scope: &Scope, text: &str) -> Result<Arc<Address>, Fault> {
    let ip = parse_ip(text)?;
    let mut rows = state.find::<Address>("ip", ip);
    let row = rows.find(|row| row.scope == *scope).cloned();
    row.ok_or_else(|| errors::address_not_found(ip))
}

/// The address that a call names by its ID, or by itself.
fn named(
    state: &State,
    scope: &Scope,
    id: Option<String>,
    ip: Option<String>,
) -> Result<Arc<Address>, Fault> {
    match (id, ip) {
        (Some(id), None) => find::<Address>(state, scope, &id),
        (None, Some(ip)) => by_ip(state, scope, &ip),
        (Some(_), Some(_)) => Err(errors::exclusive("AllocationId", "PublicIp")),
        (None, None) => Err(errors::either("AllocationId", "PublicIp")),
    }
}

/// A region has one network border group, of its own name.
fn check_border_group(request: &Request, name: Option<&str>) -> Result<(), Fault> {
    match name {
        Some(name) if name != request.scope.region.as_str() => {
            let why = "The region has no such network border group.";
            Err(errors::invalid_value(name, "networkBorderGroup", why))
        }
        Some(_) | None => Ok(()),
    }
}

impl Address {
    /// The instance that it leads to.
    fn instance(&self, state: &State) -> Option<InstanceId> {
        let association = self.association.as_ref()?;
        let interface = state.get::<NetworkInterface>(&association.interface)?;
        Some(interface.attachment.as_ref()?.instance)
    }

    fn to_api(&self, state: &State) -> api::Address {
        let association = self.association.as_ref();
        api::Address {
            allocation_id: Some(self.id.to_string()),
            association_id: association.map(|it| it.id.to_string()),
            domain: Some(api::DomainType::Vpc),
            network_interface_id: association.map(|it| it.interface.to_string()),
            network_interface_owner_id: association.map(|_| self.scope.account.to_string()),
            private_ip_address: association.map(|it| it.private_ip.to_string()),
            tags: tags::if_any(&self.tags),
            public_ipv4_pool: Some(AMAZON_POOL.to_owned()),
            network_border_group: Some(self.scope.region.to_string()),
            customer_owned_ip: None,
            customer_owned_ipv4_pool: None,
            carrier_ip: None,
            subnet_id: None,
            service_managed: None,
            instance_id: self.instance(state).map(|instance| instance.to_string()),
            public_ip: Some(self.ip.to_string()),
        }
    }
}
