//! Which addresses an issuer may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the server may connect to an address that a customer chose: no metadata service, nothing but
/// this link's, nobody in particular; and this machine itself only if its owner allows it.
pub fn may_be_issuers(address: IpAddr, loopback: bool) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => v4(address, loopback),
        IpAddr::V6(address) => v6(address, loopback),
    }
}

fn v4(address: Ipv4Addr, loopback: bool) -> bool {
    if address.is_loopback() {
        return loopback;
    }
    let [first, ..] = address.octets();
    // From 224 on: multicast, reserved, broadcast.
    first != 0 && first < 224 && !address.is_link_local()
}

fn v6(address: Ipv6Addr, loopback: bool) -> bool {
    if address.is_loopback() {
        return loopback;
    }
    let [first, second, ..] = address.segments();
    // Amazon's own services on the link, by IPv6.
    let of_amazon = first == 0xfd00 && second == 0x0ec2;
    !(address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || of_amazon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_or_link_reaches_is_no_issuers() {
        let may = |text: &str, loopback| may_be_issuers(text.parse().unwrap(), loopback);
        for good in ["10.1.2.3", "192.168.0.9", "93.184.216.34", "198.18.0.4", "2606:2800::1"] {
            assert!(may(good, false), "{good}");
        }
        for bad in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
        ] {
            assert!(!may(bad, true), "{bad}");
        }
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!may(own, false) && may(own, true), "{own}");
        }
    }
}
