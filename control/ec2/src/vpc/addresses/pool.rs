//! The cloud's pool of public addresses, which Elastic ones and lent ones come from.

use super::Address;
use crate::{
    errors,
    settings::Settings,
    vpc::{
        cidr,
        network_interfaces::{NetworkInterface, PublicAddress},
    },
};
use shapes::Fault;
use state::{State, Tx};
use std::net::Ipv4Addr;
use types::{Ipv4Net, NetworkInterfaceId};

/// How many random addresses are tried before the pool is searched.
const TRIES: usize = 16;
/// Addresses at the pool's begin that nobody gets: the network's and the host's own.
const FIRST: u32 = 2;

/// Gives an interface's primary address a public one, if it has none.
///
/// # Errors
/// The pool is empty.
pub fn lend_public(tx: &mut Tx, interface: NetworkInterfaceId) -> Result<(), Fault> {
    let row = tx.get::<NetworkInterface>(&interface);
    let Some(primary) = row.and_then(|row| row.addresses.first()) else { return Ok(()) };
    let public = match &primary.public {
        Some(public) => public.clone(),
        None => PublicAddress { ip: any(tx)?, elastic: None },
    };
    tx.update::<NetworkInterface>(&interface, |row| {
        if let Some(primary) = row.addresses.first_mut() {
            primary.public = Some(public);
        }
    });
    Ok(())
}

/// Takes an interface's lent address back; Elastic ones stay.
pub fn take_back_public(tx: &mut Tx, interface: NetworkInterfaceId) {
    let lent = |public: &PublicAddress| public.elastic.is_none();
    let Some(row) = tx.get::<NetworkInterface>(&interface) else { return };
    if !row.addresses.iter().any(|address| address.public.as_ref().is_some_and(lent)) {
        return;
    }
    tx.update::<NetworkInterface>(&interface, |row| {
        for address in &mut row.addresses {
            address.public = address.public.take().filter(|public| !lent(public));
        }
    });
}

/// Any address that nobody in the cloud has.
pub(super) fn any(tx: &mut Tx) -> Result<Ipv4Addr, Fault> {
    let pool = Settings::of(tx).public_pool;
    let Some(count) = usable(&pool) else { return Err(errors::address_limit()) };
    let at = |offset: u64| {
        let offset = u32::try_from(offset % u64::from(count)).unwrap_or_default();
        cidr::nth(&pool, FIRST + offset)
    };
    let mut start = 0;
    for _ in 0..TRIES {
        start = tx.effects().random();
        let ip = at(start);
        if !is_taken(tx, ip) {
            return Ok(ip);
        }
    }
    let start = start % u64::from(count);
    let mut rest = (start..start + u64::from(count)).map(at);
    rest.find(|ip| !is_taken(tx, *ip)).ok_or_else(errors::address_limit)
}

/// This address, if it is of the pool and nobody has it.
pub(super) fn take(state: &State, ip: Ipv4Addr) -> Result<Ipv4Addr, Fault> {
    let pool = Settings::of(state).public_pool;
    let offset = cidr::offset(&pool, ip);
    let last = FIRST + usable(&pool).unwrap_or_default();
    if !pool.contains(&ip) || !(FIRST..last).contains(&offset) {
        return Err(errors::address_not_found(ip));
    }
    if is_taken(state, ip) { Err(errors::address_taken(ip)) } else { Ok(ip) }
}

/// How many addresses the pool has besides the first two and the last.
fn usable(pool: &Ipv4Net) -> Option<u32> {
    cidr::size(pool).checked_sub(FIRST + 1).filter(|count| *count > 0)
}

fn is_taken(state: &State, ip: Ipv4Addr) -> bool {
    state.find::<NetworkInterface>("public", ip).next().is_some()
        || state.find::<Address>("ip", ip).next().is_some()
}
