//! CIDR blocks of IPv4 addresses, as AWS reads them.

use crate::errors;
use shapes::Fault;
use std::{net::Ipv4Addr, ops::RangeInclusive};
use types::Ipv4Net;

/// Sizes that VPCs and subnets may have.
const PREFIXES: RangeInclusive<u8> = 16..=28;

/// Reads a block; AWS takes any address of it and answers its first.
///
/// # Errors
/// The text is no block.
pub fn parse(text: &str, parameter: &str) -> Result<Ipv4Net, Fault> {
    let block = text.parse::<Ipv4Net>().map_err(|_| errors::not_a_cidr(text, parameter))?;
    Ok(block.trunc())
}

/// Whether a VPC or subnet may have this size.
pub fn size_allowed(block: &Ipv4Net) -> bool {
    PREFIXES.contains(&block.prefix_len())
}

/// Whether hosts can have addresses of this block at all.
pub fn usable(block: &Ipv4Net) -> bool {
    const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 0);
    let first = block.network().octets();
    !(first[0] == 0
        || first[0] == 127
        || first[0] >= 224
        || block.network().octets()[..2] == LINK_LOCAL.octets()[..2])
}

/// Whether two blocks share addresses.
pub fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// How many addresses a block has.
pub fn size(block: &Ipv4Net) -> u32 {
    1_u32.checked_shl(u32::from(32 - block.prefix_len())).unwrap_or(u32::MAX)
}

/// The address at this offset; the block must have it.
pub fn nth(block: &Ipv4Net, offset: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(block.network()).wrapping_add(offset))
}

/// The offset of an address that the block has.
pub fn offset(block: &Ipv4Net, address: Ipv4Addr) -> u32 {
    u32::from(address).wrapping_sub(u32::from(block.network()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let block = parse("10.0.3.7/22", "cidrBlock").unwrap();
        assert_eq!(block.to_string(), "10.0.0.0/22");
        assert_eq!(size(&block), 1024);
        assert_eq!(nth(&block, 257), Ipv4Addr::new(10, 0, 1, 1));
        assert_eq!(offset(&block, Ipv4Addr::new(10, 0, 1, 1)), 257);
        assert!(overlap(&block, &parse("10.0.1.0/24", "").unwrap()));
        assert!(!overlap(&block, &parse("10.0.4.0/24", "").unwrap()));
        for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0/24", "x", ""] {
            assert!(parse(bad, "cidrBlock").is_err(), "{bad}");
        }
        for (text, expected) in [
            ("169.254.0.0/20", false),
            ("127.0.0.0/16", false),
            ("224.0.0.0/16", false),
            ("0.0.0.0/16", false),
            ("10.0.0.0/16", true),
        ] {
            assert_eq!(usable(&parse(text, "").unwrap()), expected, "{text}");
        }
    }
}
