//! DNS names that follow from addresses.

use std::net::Ipv4Addr;
use types::Region;

/// The host name of a private address, without domain.
#[must_use]
pub fn host_name(ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("ip-{a}-{b}-{c}-{d}")
}

/// The DNS name of a private address.
#[must_use]
pub fn private_dns(ip: Ipv4Addr, region: &Region) -> String {
    format!("{}.{}", host_name(ip), region.private_domain())
}

/// The DNS name of a public address.
#[must_use]
pub fn public_dns(ip: Ipv4Addr, region: &Region) -> String {
    let [a, b, c, d] = ip.octets();
    format!("ec2-{a}-{b}-{c}-{d}.{}", region.public_domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_addresses() {
        let east: Region = "us-east-1".parse().unwrap();
        let west: Region = "eu-west-1".parse().unwrap();
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(private_dns(ip, &east), "ip-10-0-0-1.ec2.internal");
        assert_eq!(private_dns(ip, &west), "ip-10-0-0-1.eu-west-1.compute.internal");
        assert_eq!(public_dns(ip, &east), "ec2-10-0-0-1.compute-1.amazonaws.com");
        assert_eq!(public_dns(ip, &west), "ec2-10-0-0-1.eu-west-1.compute.amazonaws.com");
    }
}
