//! IPv6 blocks and addresses: their sizes, the cloud's pool, and what AWS keeps for itself.

use super::{
    network_interfaces::NetworkInterface, subnet_reservations, subnets::Subnet, vpcs::Vpc,
};
use crate::{errors, settings::Settings};
use shapes::Fault;
use state::{State, Tx};
use std::net::Ipv6Addr;
use types::{IpNet, Ipv6Net};

/// The size of the blocks that VPCs are given from the cloud's pool, as from Amazon's.
const VPC_PREFIX: u8 = 56;
/// How many random blocks or addresses are tried before one is looked for in order.
const TRIES: usize = 16;
/// Addresses at a subnet's begin that AWS keeps; the last one it keeps, too.
const RESERVED: u128 = 4;

/// Reads a block; any address of it stands for it.
///
/// # Errors
/// The text is no block.
pub fn parse(text: &str, parameter: &str) -> Result<Ipv6Net, Fault> {
    let block = text.parse::<Ipv6Net>().map_err(|_| errors::not_a_cidr(text, parameter))?;
    Ok(block.trunc())
}

/// Reads an address.
///
/// # Errors
/// The text is none.
pub fn address(text: &str) -> Result<Ipv6Addr, Fault> {
    text.parse().map_err(|_| errors::not_an_address(text))
}

/// Whether a subnet may have this size: /44 to /64 in steps of four.
pub fn subnet_size_allowed(block: &Ipv6Net) -> bool {
    let length = block.prefix_len();
    (44..=64).contains(&length) && length.is_multiple_of(4)
}

/// Whether two blocks share addresses.
pub fn overlap(one: &Ipv6Net, other: &Ipv6Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// A block of the cloud's pool that no VPC has. The pool's first is the host's own.
///
/// # Errors
/// The pool is used up.
pub(super) fn free_vpc_block(tx: &mut Tx) -> Result<Ipv6Net, Fault> {
    let pool = Settings::of(tx).ipv6_pool;
    let bits = VPC_PREFIX.saturating_sub(pool.prefix_len());
    let count = 1_u64.checked_shl(u32::from(bits)).unwrap_or(u64::MAX) - 1;
    if count == 0 {
        return Err(errors::ipv6_pool_empty());
    }
    let at = |offset: u64| {
        let number = u128::from(offset % count) + 1;
        let first = u128::from(pool.network()) + (number << (128 - u32::from(VPC_PREFIX)));
        Ipv6Net::new(Ipv6Addr::from(first), VPC_PREFIX).unwrap_or_default()
    };
    let is_free =
        |state: &State, block: &Ipv6Net| state.find::<Vpc>("ipv6-block", block).next().is_none();
    let mut start = 0;
    for _ in 0..TRIES {
        start = tx.effects().random();
        let block = at(start);
        if is_free(tx, &block) {
            return Ok(block);
        }
    }
    let start = start % count;
    let mut rest = (start..start + count).map(at);
    rest.find(|block| is_free(tx, block)).ok_or_else(errors::ipv6_pool_empty)
}

/// Ranges of numbers, both ends included, in order.
type Ranges = Vec<(u128, u128)>;

/// What is left of a range without these.
fn without(range: (u128, u128), mut taken: Ranges) -> Ranges {
    taken.sort_unstable();
    let mut left = Ranges::new();
    let mut from = Some(range.0);
    for (first, last) in taken {
        let Some(start) = from else { break };
        if first > start {
            left.push((start, range.1.min(first - 1)));
        }
        from = last.checked_add(1).map(|next| next.max(start));
    }
    left.extend(from.map(|start| (start, range.1)));
    left.retain(|(first, last)| first <= last && *last <= range.1);
    left
}

fn ends(block: &Ipv6Net) -> (u128, u128) {
    (u128::from(block.network()), u128::from(block.broadcast()))
}

/// The addresses of a block that interfaces may have.
fn usable(block: &Ipv6Net) -> (u128, u128) {
    let (first, last) = ends(block);
    (first + RESERVED, last - 1)
}

/// Whether an interface has the address; no two VPCs share one.
fn is_taken(state: &State, address: Ipv6Addr) -> bool {
    state.find::<NetworkInterface>("ipv6", address).next().is_some()
}

/// Checks that an interface of the subnet may have this address.
///
/// # Errors
/// The subnet has no IPv6 block or not this address, or AWS or another interface has it.
pub(super) fn check(state: &State, subnet: &Subnet, address: Ipv6Addr) -> Result<(), Fault> {
    let block = block_of(subnet)?;
    if !block.contains(&address) {
        return Err(errors::address_out_of_subnet());
    }
    let (first, last) = usable(&block);
    if !(first..=last).contains(&u128::from(address)) {
        return Err(errors::address_reserved());
    }
    if is_taken(state, address) { Err(errors::address_in_use()) } else { Ok(()) }
}

/// The subnet's IPv6 block.
///
/// # Errors
/// It has none.
pub(super) fn block_of(subnet: &Subnet) -> Result<Ipv6Net, Fault> {
    subnet.ipv6_cidr.map(|(_, block)| block).ok_or_else(|| errors::no_ipv6_block(subnet.id))
}

/// An address that nobody has and nobody reserved: a random one, so that none can be guessed.
/// `taken` are the caller's own, which no row has yet.
///
/// # Errors
/// The subnet has no IPv6 block, or no address is left.
pub(super) fn free(tx: &mut Tx, subnet: &Subnet, taken: &[Ipv6Addr]) -> Result<Ipv6Addr, Fault> {
    let block = block_of(subnet)?;
    let reservations = subnet_reservations::of_subnet(tx, subnet.id);
    let kept = reservations.filter_map(|row| v6(row.cidr)).map(|block| ends(&block)).collect();
    let left = without(usable(&block), kept);
    let is_free = |state: &State, at: u128| {
        let ip = Ipv6Addr::from(at);
        !taken.contains(&ip) && !is_taken(state, ip)
    };
    let found = choose(tx, &left, is_free).map(Ipv6Addr::from);
    found.ok_or_else(|| errors::insufficient_addresses(subnet.id))
}

/// A number of these ranges, a random one if luck has it.
fn choose(
    tx: &mut Tx,
    ranges: &[(u128, u128)],
    is_free: impl Fn(&State, u128) -> bool,
) -> Option<u128> {
    let count = ranges.iter().map(|(first, last)| last - first + 1).sum::<u128>();
    let nth = |mut offset: u128| {
        for (first, last) in ranges {
            let size = last - first + 1;
            if offset < size {
                return Some(first + offset);
            }
            offset -= size;
        }
        None
    };
    let mut start = 0;
    for _ in 0..TRIES {
        start = random(tx).checked_rem(count)?;
        if let Some(number) = nth(start).filter(|number| is_free(tx, *number)) {
            return Some(number);
        }
    }
    (start..count).chain(0..start).filter_map(nth).find(|number| is_free(tx, *number))
}

fn v6(block: IpNet) -> Option<Ipv6Net> {
    match block {
        IpNet::V4(_) => None,
        IpNet::V6(block) => Some(block),
    }
}

fn random(tx: &mut Tx) -> u128 {
    let mut bytes = [0; 16];
    tx.effects().fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_range() {
        assert_eq!(without((4, 20), vec![]), [(4, 20)]);
        assert_eq!(without((4, 20), vec![(10, 12), (0, 5)]), [(6, 9), (13, 20)]);
        assert_eq!(without((4, 20), vec![(10, 12), (11, 30)]), [(4, 9)]);
        assert_eq!(without((4, 20), vec![(0, u128::MAX)]), []);
        assert_eq!(without((4, 20), vec![(21, 30)]), [(4, 20)]);
        assert_eq!(without((4, 20), vec![(0, 2)]), [(4, 20)]);
        assert_eq!(without((4, 20), vec![(4, 10), (5, 6), (15, 20)]), [(11, 14)]);
    }

    #[test]
    fn sizes() {
        for (text, allowed) in
            [("fd00::/64", true), ("fd00::/60", true), ("fd00::/62", false), ("fd00::/68", false)]
        {
            assert_eq!(subnet_size_allowed(&parse(text, "").unwrap()), allowed, "{text}");
        }
        assert_eq!(parse("fd00::7/64", "").unwrap().to_string(), "fd00::/64");
        for bad in ["fd00::/129", "fd00::", "10.0.0.0/8", ""] {
            assert!(parse(bad, "").is_err(), "{bad}");
        }
    }
}
