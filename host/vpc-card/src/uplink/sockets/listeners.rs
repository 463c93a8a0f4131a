//! Where the host is called for guests: the ports of public addresses that are open to it.

use super::pool::Pool;
use crate::{
    engine::{openings::Openings, packet::TCP},
    sys::Poller,
};
use rustix::io::Errno;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    sync::Arc,
};

/// A port that isn't free is offered so many ports further on.
const STEP: u16 = 10_000;

/// Where a guest offers something: its public address as it knows it, protocol, port.
pub type Place = (Ipv4Addr, u8, u16);

/// A listening socket.
#[derive(Debug, Clone)]
pub enum Listener {
    /// Of connections.
    Tcp(Arc<TcpListener>),
    /// Of datagrams.
    Udp(Arc<UdpSocket>),
}

/// All listening sockets.
#[derive(Debug, Default)]
pub struct Listeners {
    open: HashMap<u64, (Place, Listener)>,
    /// Which socket is a place's, and the port that it has on the host.
    places: BTreeMap<Place, (u64, u16)>,
    refused: BTreeMap<Place, String>,
    left_out: BTreeMap<Ipv4Addr, u32>,
    next: u64,
}

impl Listeners {
    /// A listening socket and what it is for.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<(Place, Listener)> {
        self.open.get(&id).cloned()
    }

    /// Opens and closes sockets, so that there is one for each open port.
    pub fn change(
        &mut self,
        openings: &Openings,
        pool: &Pool,
        poller: &Poller,
        key: fn(u64) -> u64,
    ) {
        let gone: Vec<Place> =
            self.places.keys().filter(|place| !openings.ports.contains(place)).copied().collect();
        for place in gone {
            if let Some((id, _)) = self.places.remove(&place) {
                self.open.remove(&id);
            }
        }
        self.refused.clear();
        self.left_out.clone_from(&openings.left_out);
        for &place in &openings.ports {
            if self.places.contains_key(&place) {
                continue;
            }
            match open(place, pool, openings).and_then(|(listener, port)| {
                let id = self.next;
                watch(&listener, poller, key(id))?;
                Ok((id, listener, port))
            }) {
                Ok((id, listener, port)) => {
                    self.next += 1;
                    self.open.insert(id, (place, listener));
                    self.places.insert(place, (id, port));
                }
                Err(error) => {
                    log::warn!("port {} can't be offered at its address: {error}", place.2);
                    self.refused.insert(place, error.to_string());
                }
            }
        }
    }

    /// The ports of each public address, as `tcp/22`, and where the host has them; 0 = nowhere.
    #[must_use]
    pub fn report(&self, pool: &Pool) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut report: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        let mut note = |address: Ipv4Addr, name: String, value: u64| {
            let address = pool.public(address).unwrap_or(address).to_string();
            report.entry(address).or_default().insert(name, value);
        };
        let name = |(_, protocol, port): &Place| {
            format!("{}/{port}", if *protocol == TCP { "tcp" } else { "udp" })
        };
        for (place, (_, port)) in &self.places {
            note(place.0, name(place), u64::from(*port));
        }
        for place in self.refused.keys() {
            note(place.0, name(place), 0);
        }
        for (address, count) in &self.left_out {
            note(*address, "left_out".to_owned(), u64::from(*count));
        }
        report
    }
}

fn watch(listener: &Listener, poller: &Poller, key: u64) -> io::Result<()> {
    let added = match listener {
        Listener::Tcp(socket) => poller.add_stream(&**socket, key),
        Listener::Udp(socket) => poller.add(&**socket, key),
    };
    added.map_err(io::Error::other)
}

/// Listens at the port itself or, where that is not to be had, further on.
fn open(place: Place, pool: &Pool, openings: &Openings) -> io::Result<(Listener, u16)> {
    let (twin, protocol, port) = place;
    let address = pool.public(twin).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut at = port;
    loop {
        let found = listen(protocol, SocketAddrV4::new(address, at));
        let why = match found {
            Ok(listener) => return Ok((listener, at)),
            Err(error) => error,
        };
        let taken = [Errno::ACCESS, Errno::PERM, Errno::ADDRINUSE].map(Errno::raw_os_error);
        if !why.raw_os_error().is_some_and(|code| taken.contains(&code)) {
            return Err(why);
        }
        loop {
            at = at.checked_add(STEP).ok_or(why.kind())?;
            if !openings.ports.contains(&(twin, protocol, at)) {
                break;
            }
        }
    }
}

fn listen(protocol: u8, at: SocketAddrV4) -> io::Result<Listener> {
    if protocol == TCP {
        let socket = TcpListener::bind(at)?;
        socket.set_nonblocking(true)?;
        return Ok(Listener::Tcp(Arc::new(socket)));
    }
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    Ok(Listener::Udp(Arc::new(socket)))
}
