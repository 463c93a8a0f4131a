//! How many connections each client has: none may take all places.

use crate::Source;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The connections of each client, with a limit. A client is an address, or a guest's network
/// interface.
#[derive(Debug, Clone)]
pub struct Crowd {
    most: usize,
    /// Clients that have connections now: no more than there are connections.
    clients: Arc<Mutex<HashMap<String, usize>>>,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Crowd,
    client: String,
}

impl Crowd {
    /// So many connections of a client at most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, clients: Arc::default() }
    }

    /// A place for a connection from there; none if that client has too many.
    #[must_use]
    pub fn enter(&self, source: &Source) -> Option<Place> {
        let client = match &source.interface {
            Some(interface) => interface.clone(),
            None => network(source.address.ip()).to_string(),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let number = clients.entry(client.clone()).or_default();
        if *number >= self.most {
            return None;
        }
        *number += 1;
        Some(Place { crowd: self.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let clients = &self.crowd.clients;
        let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = clients.get_mut(&self.client) {
            *number -= 1;
            if *number == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Of IPv6 a client has a whole network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Source {
        let address: IpAddr = address.parse().unwrap();
        std::net::SocketAddr::from((address, 1)).into()
    }

    #[test]
    fn places_are_counted_by_client_and_given_back() {
        let crowd = Crowd::new(2);
        let one = crowd.enter(&at("10.0.0.1"));
        let two = crowd.enter(&at("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some() && crowd.enter(&at("10.0.0.1")).is_none());
        // Guests' addresses are those of many networks: their interfaces count.
        let guest = Source { interface: Some("eni-1".to_owned()), ..at("10.0.0.1") };
        let guests = [crowd.enter(&guest), crowd.enter(&guest), crowd.enter(&guest)];
        assert!(guests[1].is_some() && guests[2].is_none());
        drop(one);
        assert!(crowd.enter(&at("10.0.0.1")).is_some());
        let six = [crowd.enter(&at("fd00::1")), crowd.enter(&at("fd00::2"))];
        assert!(six.iter().all(Option::is_some) && crowd.enter(&at("fd00::3")).is_none());
        drop((two, guests, six));
        assert!(crowd.clients.lock().unwrap().is_empty());
    }
}
