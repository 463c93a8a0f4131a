//! How interfaces come, are attached, and go: for calls and launches alike.

use super::{Attachment, Ipv6Wanted, NetworkInterface, PrivateAddress, Requester};
use crate::{
    errors,
    vpc::{addresses, cidr, subnet_reservations, subnets::Subnet},
};
use shapes::Fault;
use state::{State, Tx};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use types::{InstanceId, Mac, NetworkInterfaceId, Scope, SecurityGroupId, SubnetId, Tags};

/// Addresses of one interface; AWS's largest types have 50.
pub(super) const MAX_ADDRESSES: usize = 50;
/// Interfaces of an account in a region. AWS's first quota is 5,000, which is also how many
/// instances one server is made for.
const MAX_INTERFACES: usize = 20_000;
/// How many random addresses are tried before the subnet's are counted.
const TRIES: usize = 16;

/// What an interface shall be.
#[derive(Debug)]
pub struct NewInterface<'a> {
    pub subnet: &'a Subnet,
    /// The primary address; none = any free one.
    pub address: Option<Ipv4Addr>,
    /// How many further addresses, any that are free.
    pub secondary_count: u32,
    pub ipv6: Ipv6Wanted,
    pub groups: Vec<SecurityGroupId>,
    pub description: String,
    pub source_dest_check: bool,
    pub tags: Tags,
}

/// Makes an interface, attached to nothing.
///
/// # Errors
/// The address can't be had, or no address is free.
pub fn create(
    tx: &mut Tx,
    scope: &Scope,
    new: NewInterface<'_>,
) -> Result<NetworkInterface, Fault> {
    create_with(tx, scope, new, &[])
}

/// Makes an interface that another resource uses.
///
/// # Errors
/// As [`create`].
pub fn create_managed(
    tx: &mut Tx,
    scope: &Scope,
    new: NewInterface<'_>,
    secondary: &[Ipv4Addr],
    requester: Requester,
) -> Result<NetworkInterface, Fault> {
    let mut interface = create_with(tx, scope, new, secondary)?;
    interface.requester = Some(requester);
    tx.put(interface.clone());
    Ok(interface)
}

/// Makes an interface with these further addresses.
pub(super) fn create_with(
    tx: &mut Tx,
    scope: &Scope,
    new: NewInterface<'_>,
    secondary: &[Ipv4Addr],
) -> Result<NetworkInterface, Fault> {
    let NewInterface {
        subnet,
        address,
        secondary_count,
        ipv6,
        groups,
        description,
        source_dest_check,
        tags,
    } = new;
    if tx.count_in_scope::<NetworkInterface>(scope) >= MAX_INTERFACES {
        return Err(errors::interface_limit());
    }
    let any = usize::try_from(secondary_count).unwrap_or(usize::MAX);
    if any.saturating_add(secondary.len()) >= MAX_ADDRESSES {
        return Err(errors::secondary_address_limit());
    }
    // Named addresses come first, so that no other of this interface takes them.
    let named = address.iter().chain(secondary).copied().collect::<Vec<_>>();
    let mut taken = checked(tx, subnet, &named)?;
    if address.is_none() {
        let primary = free(tx, subnet, &taken)?;
        taken.insert(0, primary);
    }
    for _ in 0..any {
        let ip = free(tx, subnet, &taken)?;
        taken.push(ip);
    }
    let primary_ipv6 = ipv6.primary;
    let ipv6 = ipv6.take(tx, subnet)?;
    let interface = NetworkInterface {
        id: tx.new_id(),
        scope: scope.clone(),
        vpc: subnet.vpc,
        subnet: subnet.id,
        zone: subnet.zone.clone(),
        mac: new_mac(tx),
        description,
        addresses: taken.into_iter().map(|ip| PrivateAddress { ip, public: None }).collect(),
        ipv6,
        primary_ipv6,
        groups,
        source_dest_check,
        attachment: None,
        requester: None,
        tags,
    };
    tx.put(interface.clone());
    Ok(interface)
}

/// Gives an interface these addresses and `any` further ones; answers them.
///
/// # Errors
/// An address can't be had, or none is free.
pub fn add_addresses(
    tx: &mut Tx,
    interface: NetworkInterfaceId,
    subnet: &Subnet,
    wanted: &[Ipv4Addr],
    any: usize,
) -> Result<Vec<Ipv4Addr>, Fault> {
    let count = tx.get::<NetworkInterface>(&interface).map_or(0, |row| row.addresses.len());
    if count.saturating_add(wanted.len()).saturating_add(any) > MAX_ADDRESSES {
        return Err(errors::secondary_address_limit());
    }
    let mut new = checked(tx, subnet, wanted)?;
    for _ in 0..any {
        let ip = free(tx, subnet, &new)?;
        new.push(ip);
    }
    tx.update::<NetworkInterface>(&interface, |row| {
        row.addresses.extend(new.iter().map(|&ip| PrivateAddress { ip, public: None }));
    });
    Ok(new)
}

/// Takes an address away from an interface.
pub fn remove_address(tx: &mut Tx, interface: NetworkInterfaceId, ip: Ipv4Addr) {
    tx.update::<NetworkInterface>(&interface, |row| row.addresses.retain(|own| own.ip != ip));
}

/// Addresses that a call names, if an interface may have them.
fn checked(state: &State, subnet: &Subnet, named: &[Ipv4Addr]) -> Result<Vec<Ipv4Addr>, Fault> {
    let mut taken: Vec<Ipv4Addr> = Vec::with_capacity(named.len());
    for ip in named {
        check(state, subnet, *ip)?;
        if taken.contains(ip) {
            return Err(errors::address_in_use());
        }
        taken.push(*ip);
    }
    Ok(taken)
}

fn is_taken(state: &State, subnet: SubnetId, ip: Ipv4Addr) -> bool {
    state.find::<NetworkInterface>("address", format_args!("{subnet}/{ip}")).next().is_some()
}

/// Checks that an interface may have this address.
fn check(state: &State, subnet: &Subnet, ip: Ipv4Addr) -> Result<(), Fault> {
    let (first, last) = subnet.usable();
    if !subnet.cidr.contains(&ip) {
        return Err(errors::address_out_of_subnet());
    }
    if !(first..=last).contains(&ip) {
        return Err(errors::address_reserved());
    }
    if is_taken(state, subnet.id, ip) { Err(errors::address_in_use()) } else { Ok(()) }
}

/// A free address: a random one if the subnet has room, else whatever is left.
fn free(tx: &mut Tx, subnet: &Subnet, taken: &[Ipv4Addr]) -> Result<Ipv4Addr, Fault> {
    let (first, last) = subnet.usable();
    let low = cidr::offset(&subnet.cidr, first);
    let count = cidr::offset(&subnet.cidr, last) - low + 1;
    let at = |offset: u64| {
        let offset = u32::try_from(offset % u64::from(count)).unwrap_or_default();
        cidr::nth(&subnet.cidr, low + offset)
    };
    let reservations = subnet_reservations::of_subnet(tx, subnet.id);
    let reserved = reservations.map(|row| row.cidr).collect::<Vec<_>>();
    let is_reserved = |ip: &Ipv4Addr| reserved.iter().any(|block| block.contains(&IpAddr::V4(*ip)));
    let mut start = 0;
    for _ in 0..TRIES {
        start = tx.effects().random();
        let ip = at(start);
        if !taken.contains(&ip) && !is_taken(tx, subnet.id, ip) && !is_reserved(&ip) {
            return Ok(ip);
        }
    }
    let interfaces = tx.find::<NetworkInterface>("subnet", subnet.id);
    let mut used = interfaces
        .flat_map(|interface| interface.addresses.iter().map(|address| address.ip))
        .collect::<BTreeSet<_>>();
    used.extend(taken);
    let start = start % u64::from(count);
    (start..start + u64::from(count))
        .map(at)
        .find(|ip| !used.contains(ip) && !is_reserved(ip))
        .ok_or_else(|| errors::insufficient_addresses(subnet.id))
}

/// An Ethernet address that nobody has: locally administered, as AWS's begin with 0a.
fn new_mac(tx: &mut Tx) -> Mac {
    loop {
        let mut bytes = [0; 6];
        tx.effects().fill(&mut bytes);
        bytes[0] = 0x0a;
        let mac = Mac(bytes);
        if tx.find::<NetworkInterface>("mac", mac).next().is_none() {
            return mac;
        }
    }
}

/// Attaches an interface to an instance; both must have been checked.
pub fn attach(
    tx: &mut Tx,
    interface: NetworkInterfaceId,
    instance: InstanceId,
    device_index: u32,
    delete_on_termination: bool,
) {
    let id = tx.new_id();
    let attach_time = tx.now();
    tx.update::<NetworkInterface>(&interface, |interface| {
        interface.attachment =
            Some(Attachment { id, instance, device_index, attach_time, delete_on_termination });
    });
}

/// Detaches an interface: it loses a lent public address and keeps Elastic ones.
pub fn detach(tx: &mut Tx, interface: NetworkInterfaceId) {
    addresses::take_back_public(tx, interface);
    tx.update::<NetworkInterface>(&interface, |interface| interface.attachment = None);
}

/// Deletes an interface; its Elastic IP addresses lead nowhere then.
pub fn delete(tx: &mut Tx, interface: NetworkInterfaceId) {
    let elastic = tx.find::<addresses::Address>("interface", interface).map(|row| row.id);
    for address in elastic.collect::<Vec<_>>() {
        tx.update::<addresses::Address>(&address, |address| address.association = None);
    }
    tx.delete::<NetworkInterface>(&interface);
}

/// An instance's interfaces by device index.
#[must_use]
pub fn of_instance(state: &State, instance: InstanceId) -> Vec<Arc<NetworkInterface>> {
    let rows = state.find::<NetworkInterface>("instance", instance);
    let mut rows = rows.cloned().collect::<Vec<_>>();
    rows.sort_by_key(|row| row.attachment.as_ref().map(|attachment| attachment.device_index));
    rows
}

/// The only interface of an instance, where a call names the instance instead.
///
/// # Errors
/// It has none or several.
pub fn only_of(state: &State, instance: InstanceId) -> Result<Arc<NetworkInterface>, Fault> {
    let mut interfaces = of_instance(state, instance);
    match (interfaces.pop(), interfaces.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(errors::many_interfaces(instance)),
        (None, _) => Err(errors::no_interface(instance)),
    }
}
