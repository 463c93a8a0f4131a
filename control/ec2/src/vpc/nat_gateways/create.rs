//! How NAT gateways are made.

use super::{AddressStatus, Failure, GatewayAddress, NatGateway, NatGatewayState};
use crate::{
    errors, idempotency,
    resource::find,
    tags,
    vpc::{
        addresses::Address,
        internet_gateways,
        network_interfaces::{self, Ipv6Wanted, NewInterface, Requester},
        subnets::Subnet,
    },
};
use iam::Request;
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::Tx;
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};
use types::Tags;

/// AWS's quota of gateways in a zone.
const MAX_GATEWAYS: usize = 5;
/// Addresses of one gateway: AWS's limit, which its lower quota can be raised to.
pub(super) const MAX_ADDRESSES: usize = 8;

/// Makes a NAT gateway. What AWS finds out only while it makes one, the gateway says by failing.
///
/// # Errors
/// The subnet or an Elastic IP address doesn't exist, an address can't be had, or there are too many
/// gateways.
pub fn create_nat_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateNatGatewayRequest,
) -> Result<api::CreateNatGatewayResult, Fault> {
    const OPERATION: &str = "CreateNatGateway";
    let scope = &request.scope;
    let parameters = format!("{input:?}");
    let token = input.client_token.clone();
    let earlier = idempotency::earlier(tx, scope, OPERATION, token.as_deref(), &parameters)?;
    let gateway = if let Some(id) = earlier {
        super::by_id(tx, scope, &id)?
    } else {
        let made = create(tx, request, input)?;
        let id = made.id.to_string();
        idempotency::remember(tx, scope, OPERATION, token.as_deref(), &parameters, id);
        Arc::new(made)
    };
    Ok(api::CreateNatGatewayResult { client_token: token, nat_gateway: Some(gateway.to_api()) })
}

fn create(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateNatGatewayRequest,
) -> Result<NatGateway, Fault> {
    let api::CreateNatGatewayRequest {
        availability_mode,
        allocation_id,
        client_token: _, // The caller's matter.
        dry_run: _,
        subnet_id,
        vpc_id,
        availability_zone_addresses,
        tag_specifications,
        connectivity_type,
        private_ip_address,
        secondary_allocation_ids,
        secondary_private_ip_addresses,
        secondary_private_ip_address_count,
    } = input;
    let regional = availability_mode.is_some_and(|mode| mode != api::AvailabilityMode::Zonal);
    errors::refuse(&[
        ("AvailabilityMode", regional),
        ("VpcId", vpc_id.is_some()),
        ("AvailabilityZoneAddresses", availability_zone_addresses.is_some_and(|l| !l.is_empty())),
    ])?;
    let scope = &request.scope;
    let tags = tags::from_specifications(tag_specifications, ResourceType::Natgateway)?;
    let subnet_id = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let subnet = find::<Subnet>(tx, scope, &subnet_id)?;
    let public =
        connectivity_type.unwrap_or(api::ConnectivityType::Public) == api::ConnectivityType::Public;
    let asked = Asked {
        primary: private_ip_address,
        secondary: secondary_private_ip_addresses.unwrap_or_default(),
        count: secondary_private_ip_address_count,
        allocations: allocation_id.into_iter().collect(),
        more_allocations: secondary_allocation_ids.unwrap_or_default(),
    };
    let asked = asked.check(tx, request, public)?;
    check_quota(tx, request, &subnet)?;
    let (mut gateway, privates) = new_gateway(tx, request, &subnet, (public, tags), &asked)?;
    gateway.failure = failure(tx, &gateway, &asked.allocations);
    for (at, private) in privates.into_iter().enumerate() {
        match asked.allocations.get(at) {
            Some(allocation) if gateway.failure.is_none() => gateway.link(tx, private, allocation),
            Some(_) | None => gateway.addresses.push(GatewayAddress {
                private,
                elastic: None,
                status: AddressStatus::Coming,
            }),
        }
    }
    tx.put(gateway.clone());
    Ok(gateway)
}

/// Makes the gateway and its interface, without Elastic IP addresses yet.
fn new_gateway(
    tx: &mut Tx,
    request: &Request,
    subnet: &Subnet,
    (public, tags): (bool, Tags),
    asked: &Addresses,
) -> Result<(NatGateway, Vec<Ipv4Addr>), Fault> {
    let scope = &request.scope;
    let id = tx.new_id();
    let new = NewInterface {
        subnet,
        address: asked.primary,
        secondary_count: asked.any,
        ipv6: Ipv6Wanted { count: Some(0), ..Ipv6Wanted::default() },
        groups: Vec::new(),
        description: format!("Interface for NAT Gateway {id}"),
        source_dest_check: false,
        tags: Tags::new(),
    };
    let requester = Requester::NatGateway(id);
    let interface =
        network_interfaces::create_managed(tx, scope, new, &asked.secondary, requester)?;
    let privates = interface.addresses.iter().map(|own| own.ip).collect();
    let gateway = NatGateway {
        id,
        scope: scope.clone(),
        vpc: subnet.vpc,
        subnet: subnet.id,
        zone: subnet.zone.clone(),
        public,
        state: NatGatewayState::Pending,
        interface: interface.id,
        addresses: Vec::new(),
        created: tx.now(),
        deleted: None,
        failure: None,
        port_key: (tx.effects().random(), tx.effects().random()),
        tags,
    };
    Ok((gateway, privates))
}

fn check_quota(tx: &Tx, request: &Request, subnet: &Subnet) -> Result<(), Fault> {
    let of_zone = tx
        .in_scope::<NatGateway>(&request.scope)
        .filter(|row| row.zone == subnet.zone)
        .filter(|row| row.is_alive() || row.state == NatGatewayState::Deleting);
    if of_zone.count() >= MAX_GATEWAYS {
        return Err(errors::nat_gateway_limit(&subnet.zone));
    }
    Ok(())
}

/// What will make the gateway fail.
fn failure(tx: &Tx, gateway: &NatGateway, allocations: &[Arc<Address>]) -> Option<Failure> {
    let fail = |code: &str, message| Some(Failure { code: code.to_owned(), message });
    if gateway.public && internet_gateways::of_vpc(tx, gateway.vpc).is_none() {
        let message = format!("Network {} has no Internet gateway attached", gateway.vpc);
        return fail("Gateway.NotAttached", message);
    }
    let taken = allocations.iter().find(|allocation| allocation.association.is_some())?;
    let message = format!("Elastic IP address [{}] is already associated", taken.id);
    fail("Resource.AlreadyAssociated", message)
}

/// What a call says of a gateway's addresses.
struct Asked {
    primary: Option<String>,
    secondary: Vec<String>,
    count: Option<i32>,
    allocations: Vec<String>,
    more_allocations: Vec<String>,
}

/// The same, checked.
struct Addresses {
    primary: Option<Ipv4Addr>,
    secondary: Vec<Ipv4Addr>,
    /// How many further ones, any that are free.
    any: u32,
    /// Of a public gateway, in the order of the private ones.
    allocations: Vec<Arc<Address>>,
}

impl Asked {
    fn check(self, tx: &Tx, request: &Request, public: bool) -> Result<Addresses, Fault> {
        let Self { primary, secondary, count, mut allocations, more_allocations } = self;
        let given = !allocations.is_empty() || !more_allocations.is_empty();
        match (public, given) {
            (true, _) if allocations.is_empty() => return Err(errors::missing("AllocationId")),
            (false, true) => return Err(errors::private_nat_with_elastic()),
            (true, _) | (false, false) => {}
        }
        let count = match count {
            Some(_) if public => return Err(errors::public_nat_with_count()),
            Some(_) if !secondary.is_empty() => {
                let (one, other) =
                    ("SecondaryPrivateIpAddressCount", "SecondaryPrivateIpAddresses");
                return Err(errors::exclusive(one, other));
            }
            count => address_count(count, "SecondaryPrivateIpAddressCount")?,
        };
        allocations.extend(more_allocations);
        let allocations = elastic(tx, request, &allocations)?;
        let primary = primary.as_deref().map(parse).transpose()?;
        let secondary = secondary.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let named = secondary.len() + 1;
        if public && named > allocations.len() {
            return Err(errors::more_private_than_elastic());
        }
        // Each Elastic IP address needs a private one.
        let more = allocations.len().saturating_sub(named);
        let any = if public { u32::try_from(more).unwrap_or(u32::MAX) } else { count };
        if named.saturating_add(usize::try_from(any).unwrap_or(usize::MAX)) > MAX_ADDRESSES {
            return Err(errors::nat_address_limit(MAX_ADDRESSES));
        }
        Ok(Addresses { primary, secondary, any, allocations })
    }
}

/// The Elastic IP addresses of these allocations, each once.
pub(super) fn elastic(
    tx: &Tx,
    request: &Request,
    ids: &[String],
) -> Result<Vec<Arc<Address>>, Fault> {
    let mut seen = BTreeSet::new();
    let mut rows = Vec::with_capacity(ids.len().min(MAX_ADDRESSES));
    for id in ids {
        let row = find::<Address>(tx, &request.scope, id)?;
        if !seen.insert(row.id) {
            return Err(errors::invalid_value(id, "allocationId", "It is given twice."));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// A text of a call as an address.
pub(super) fn parse(text: &str) -> Result<Ipv4Addr, Fault> {
    text.parse().map_err(|_| errors::not_an_address(text))
}

/// How many addresses a call asks for.
pub(super) fn address_count(count: Option<i32>, parameter: &str) -> Result<u32, Fault> {
    let most = i32::try_from(MAX_ADDRESSES).unwrap_or(i32::MAX);
    match count {
        None => Ok(0),
        Some(count) if (1..most).contains(&count) => Ok(u32::try_from(count).unwrap_or_default()),
        Some(count) => {
            let why = format!("It must be from 1 to {}.", most - 1);
            Err(errors::invalid_value(count, parameter, why))
        }
    }
}
