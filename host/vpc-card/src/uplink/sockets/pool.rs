//! The cloud's public addresses as the host and as guests see them, and what of the world guests
//! may reach.
//!
//! On the host a public address is a loopback address. A guest's own kernel would keep packets to
//! such an address to itself, and refuse those from one: between guests and the card each has a
//! twin in 198.18.0.0/15, with the same last 17 bits.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use types::Ipv4Net;

/// The twins' network.
const TWINS: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const TWIN_PREFIX: u8 = 15;
const TWIN_MASK: u32 = u32::MAX >> TWIN_PREFIX;

/// The pool of public addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    outside: Ipv4Net,
}

/// How a guest's packets to an address go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To this address, by whichever of the host's interfaces.
    World(Ipv4Addr),
    /// To this address of the host itself: the host sees the instance's public address.
    Host(Ipv4Addr),
    /// Not at all.
    Nowhere,
}

impl Pool {
    /// The pool of these loopback addresses; none if they are none, or too many, or the host's
    /// usual ones.
    #[must_use]
    pub fn new(outside: Ipv4Net) -> Option<Self> {
        let fits = (TWIN_PREFIX..=29).contains(&outside.prefix_len());
        let usual = outside.network().octets()[1] == 0;
        (outside.network().is_loopback() && fits && !usual).then_some(Self { outside })
    }

    /// The pool's twin, as guests see it.
    #[must_use]
    pub fn inside(&self) -> Ipv4Net {
        let network = self.twin(self.outside.network());
        Ipv4Net::new(network, self.outside.prefix_len()).unwrap_or(self.outside)
    }

    /// A public address as guests see it; none if it isn't of the pool.
    #[must_use]
    pub fn twin_of(&self, public: Ipv4Addr) -> Option<Ipv4Addr> {
        self.outside.contains(&public).then(|| self.twin(public))
    }

    fn twin(&self, public: Ipv4Addr) -> Ipv4Addr {
        Ipv4Addr::from(TWINS | u32::from(public) & TWIN_MASK)
    }

    /// A twin as the host sees it; none if it isn't of the pool.
    #[must_use]
    pub fn public(&self, twin: Ipv4Addr) -> Option<Ipv4Addr> {
        let bits = u32::from(twin) & TWIN_MASK;
        let public = Ipv4Addr::from(u32::from(self.outside.network()) & !TWIN_MASK | bits);
        (self.inside().contains(&twin)).then_some(public)
    }

    /// The host's own address, as guests see it.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.inside().network()).wrapping_add(1))
    }

    /// Where a guest's packets to this address go.
    ///
    /// The pool's first address is the host: services that listen at all of its addresses answer
    /// there, those at 127.0.0.1 alone don't, and no other loopback, link-local, multicast or
    /// reserved address is ever called.
    #[must_use]
    pub fn reach(&self, destination: Ipv4Addr) -> Reach {
        let [first, ..] = destination.octets();
        if destination == self.host() {
            return self.public(destination).map_or(Reach::Nowhere, Reach::Host);
        }
        if self.inside().contains(&destination)
            || first == 0
            || first >= 224
            || destination.is_loopback()
            || destination.is_link_local()
        {
            return Reach::Nowhere;
        }
        if is_own(destination) { Reach::Host(destination) } else { Reach::World(destination) }
    }

    /// Who a caller at a public address is to the guest: the host, whoever calls.
    #[must_use]
    pub fn caller(&self, from: SocketAddr) -> SocketAddrV4 {
        SocketAddrV4::new(self.host(), from.port())
    }
}

/// Whether an address is one of the host's: then it would call itself from there.
fn is_own(address: Ipv4Addr) -> bool {
    let from = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn pool(text: &str) -> Option<Pool> {
        Pool::new(text.parse().unwrap())
    }

    #[test]
    fn each_public_address_has_a_twin() {
        let pool = pool("127.65.8.0/22").unwrap();
        assert_eq!(pool.inside(), "198.19.8.0/22".parse().unwrap());
        assert_eq!(pool.twin(ip("127.65.9.7")), ip("198.19.9.7"));
        assert_eq!(pool.public(ip("198.19.9.7")), Some(ip("127.65.9.7")));
        assert_eq!(pool.public(ip("198.19.12.0")), None);
        assert_eq!(pool.public(ip("192.0.2.1")), None);
        assert_eq!(pool.host(), ip("198.19.8.1"));
    }

    #[test]
    fn only_loopback_pools_that_nobody_uses_will_do() {
        for text in ["198.18.0.0/22", "127.0.0.0/22", "127.64.0.0/10", "127.64.0.0/30"] {
            assert_eq!(pool(text), None, "{text}");
        }
    }

    #[test]
    fn guests_reach_the_world_and_the_host_by_its_own_addresses_only() {
        let pool = pool("127.64.4.0/22").unwrap();
        assert_eq!(pool.reach(ip("192.0.2.1")), Reach::World(ip("192.0.2.1")));
        assert_eq!(pool.reach(ip("198.18.4.1")), Reach::Host(ip("127.64.4.1")));
        for text in [
            "127.0.0.1",
            "127.64.4.1",
            "127.64.4.9",
            "127.0.0.53",
            "198.18.4.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert_eq!(pool.reach(ip(text)), Reach::Nowhere, "{text}");
        }
    }
}
