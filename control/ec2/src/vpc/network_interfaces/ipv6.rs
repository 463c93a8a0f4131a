//! IPv6 addresses of interfaces.

use super::{NetworkInterface, life::MAX_ADDRESSES};
use crate::{
    compute::{instance_types, instances::Instance},
    errors,
    resource::find,
    vpc::{ipv6, subnets::Subnet},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::net::Ipv6Addr;

/// The IPv6 addresses that an interface shall have; by default those that its subnet gives.
#[derive(Debug, Clone, Default)]
pub struct Ipv6Wanted {
    /// Addresses that are named.
    pub addresses: Vec<Ipv6Addr>,
    /// How many addresses, any that are free; none = as the subnet says.
    pub count: Option<u32>,
    /// Whether the first address is the primary one, which stays.
    pub primary: bool,
}

impl Ipv6Wanted {
    /// What a call asks for: addresses by name or by number.
    ///
    /// # Errors
    /// It asks for both, or one is no address or no number.
    pub fn new(
        addresses: Option<Vec<api::InstanceIpv6Address>>,
        count: Option<i32>,
        primary: Option<bool>,
    ) -> Result<Self, Fault> {
        let mut primary = primary.unwrap_or(false);
        let mut named = Vec::new();
        for one in addresses.unwrap_or_default() {
            let api::InstanceIpv6Address { ipv6_address, is_primary_ipv6 } = one;
            let text = ipv6_address.ok_or_else(|| errors::missing("ipv6Address"))?;
            let address = ipv6::address(&text)?;
            if is_primary_ipv6 == Some(true) {
                primary = true;
                named.insert(0, address);
            } else {
                named.push(address);
            }
        }
        Ok(Self { primary, ..Self::by_name_or_number(named, count)? })
    }

    fn by_name_or_number(addresses: Vec<Ipv6Addr>, count: Option<i32>) -> Result<Self, Fault> {
        let count = count.map(|count| number(count, "ipv6AddressCount")).transpose()?;
        if count.is_some_and(|count| count > 0) && !addresses.is_empty() {
            return Err(errors::exclusive("ipv6AddressCount", "ipv6Addresses"));
        }
        Ok(Self { addresses, count, primary: false })
    }

    /// Whether it names addresses, which one interface only can have.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// How many addresses an interface of the subnet has then.
    #[must_use]
    pub fn total(&self, subnet: &Subnet) -> u32 {
        let named = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        named.saturating_add(self.any(subnet))
    }

    /// How many addresses that aren't named.
    fn any(&self, subnet: &Subnet) -> u32 {
        match self.count {
            Some(0) if self.primary && self.addresses.is_empty() => 1,
            Some(count) => count,
            None if !self.addresses.is_empty() => 0,
            None => u32::from(self.primary || subnet.assign_ipv6_on_creation),
        }
    }

    /// The addresses, which nobody has and nobody else gets.
    ///
    /// # Errors
    /// The subnet has no IPv6 block, they are too many, or one can't be had.
    pub(super) fn take(self, tx: &mut Tx, subnet: &Subnet) -> Result<Vec<Ipv6Addr>, Fault> {
        if usize::try_from(self.total(subnet)).unwrap_or(usize::MAX) > MAX_ADDRESSES {
            return Err(errors::ipv6_address_limit());
        }
        let any = self.any(subnet);
        let mut addresses: Vec<Ipv6Addr> = Vec::new();
        for ip in self.addresses {
            ipv6::check(tx, subnet, ip)?;
            if addresses.contains(&ip) {
                return Err(errors::address_in_use());
            }
            addresses.push(ip);
        }
        for _ in 0..any {
            let ip = ipv6::free(tx, subnet, &addresses)?;
            addresses.push(ip);
        }
        Ok(addresses)
    }
}

fn number(count: i32, parameter: &str) -> Result<u32, Fault> {
    let why = "It must not be negative.";
    u32::try_from(count).map_err(|_| errors::invalid_value(count, parameter, why))
}

/// How many IPv6 addresses an interface may have: its instance's type says it.
fn limit(state: &State, interface: &NetworkInterface) -> u32 {
    let most = u32::try_from(MAX_ADDRESSES).unwrap_or(u32::MAX);
    let attachment = interface.attachment.as_ref();
    let instance = attachment.and_then(|it| state.get::<Instance>(&it.instance));
    let kind = instance.and_then(|row| instance_types::get(&row.instance_type));
    kind.map_or(most, |kind| kind.ipv6_per_interface.min(most))
}

/// Gives an interface IPv6 addresses, named or any.
///
/// # Errors
/// The interface doesn't exist, its subnet has no IPv6, one can't be had, or they are too many.
pub fn assign_ipv6_addresses(
    tx: &mut Tx,
    request: &Request,
    input: api::AssignIpv6AddressesRequest,
) -> Result<api::AssignIpv6AddressesResult, Fault> {
    let api::AssignIpv6AddressesRequest {
        ipv6_prefix_count,
        ipv6_prefixes,
        network_interface_id,
        ipv6_addresses,
        ipv6_address_count,
    } = input;
    errors::refuse(&[
        ("Ipv6PrefixCount", ipv6_prefix_count.is_some_and(|count| count != 0)),
        ("Ipv6Prefixes", ipv6_prefixes.is_some_and(|list| !list.is_empty())),
    ])?;
    let id = network_interface_id.ok_or_else(|| errors::missing("networkInterfaceId"))?;
    let named = ipv6_addresses.unwrap_or_default();
    let named = named.iter().map(|text| ipv6::address(text)).collect::<Result<Vec<_>, _>>()?;
    let wanted = Ipv6Wanted::by_name_or_number(named, ipv6_address_count)?;
    let wanted = Ipv6Wanted { count: wanted.count.or(Some(0)), ..wanted };
    let interface = find::<NetworkInterface>(tx, &request.scope, &id)?;
    let subnet = find::<Subnet>(tx, &request.scope, &interface.subnet.to_string())?;
    let more = wanted.total(&subnet);
    if more == 0 {
        return Err(errors::either("ipv6Addresses", "ipv6AddressCount"));
    }
    if interface.ipv6_count().saturating_add(more) > limit(tx, &interface) {
        return Err(errors::ipv6_address_limit());
    }
    let addresses = wanted.take(tx, &subnet)?;
    tx.update::<NetworkInterface>(&interface.id, |row| row.ipv6.extend(&addresses));
    Ok(api::AssignIpv6AddressesResult {
        assigned_ipv6_addresses: Some(addresses.iter().map(ToString::to_string).collect()),
        assigned_ipv6_prefixes: None,
        network_interface_id: Some(id),
    })
}

/// Takes IPv6 addresses of an interface away.
///
/// # Errors
/// The interface doesn't exist, hasn't one of them, or one is its primary.
pub fn unassign_ipv6_addresses(
    tx: &mut Tx,
    request: &Request,
    input: api::UnassignIpv6AddressesRequest,
) -> Result<api::UnassignIpv6AddressesResult, Fault> {
    let api::UnassignIpv6AddressesRequest { ipv6_prefixes, network_interface_id, ipv6_addresses } =
        input;
    errors::refuse(&[("Ipv6Prefixes", ipv6_prefixes.is_some_and(|list| !list.is_empty()))])?;
    let id = network_interface_id.ok_or_else(|| errors::missing("networkInterfaceId"))?;
    let addresses = ipv6_addresses.unwrap_or_default();
    if addresses.is_empty() {
        return Err(errors::missing("ipv6Addresses"));
    }
    let parsed = addresses.iter().map(|text| ipv6::address(text));
    let addresses = parsed.collect::<Result<Vec<_>, _>>()?;
    let interface = find::<NetworkInterface>(tx, &request.scope, &id)?;
    if !addresses.iter().all(|ip| interface.ipv6.contains(ip)) {
        return Err(errors::not_assigned(id));
    }
    let primary = interface.ipv6.first().filter(|_| interface.primary_ipv6);
    if let Some(primary) = primary.filter(|primary| addresses.contains(primary)) {
        return Err(errors::primary_ipv6(primary));
    }
    tx.update::<NetworkInterface>(&interface.id, |row| {
        row.ipv6.retain(|ip| !addresses.contains(ip));
    });
    Ok(api::UnassignIpv6AddressesResult {
        network_interface_id: Some(id),
        unassigned_ipv6_addresses: Some(addresses.iter().map(ToString::to_string).collect()),
        unassigned_ipv6_prefixes: None,
    })
}

/// Makes an interface's first IPv6 address its primary one, once and for all.
pub(super) fn set_primary(interface: &mut NetworkInterface, on: bool) -> Result<(), Fault> {
    match (on, interface.primary_ipv6) {
        (false, true) => Err(errors::primary_ipv6_stays()),
        (true, _) if interface.ipv6.is_empty() => Err(errors::no_primary_ipv6(interface.id)),
        (on, _) => {
            interface.primary_ipv6 = on;
            Ok(())
        }
    }
}

impl NetworkInterface {
    /// How many IPv6 addresses it has.
    #[must_use]
    pub fn ipv6_count(&self) -> u32 {
        u32::try_from(self.ipv6.len()).unwrap_or(u32::MAX)
    }
}
