//! A guest with a TCP of its own, behind the rings of a port.

use crate::{config::ip, frames::ethernet, frontend::Frontend};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use std::time::Duration;

/// Fewer packets than the rings have places.
const BUFFER: usize = 32 * 1024;

pub struct Guest {
    pub front: Frontend,
    number: u8,
    interface: Interface,
    sockets: SocketSet<'static>,
}

struct Wire<'a>(&'a mut Frontend, u8);
struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut Frontend, u8);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, consume: F) -> R {
        consume(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, consume: F) -> R {
        let mut packet = vec![0; len];
        let result = consume(&mut packet);
        self.0.transmit(&ethernet(self.1, 0x0800, &packet));
        result
    }
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Incoming
    where
        Self: 'a;
    type TxToken<'a>
        = Outgoing<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let mut frame = self.0.receive(Duration::ZERO)?;
        Some((Incoming(frame.split_off(14)), Outgoing(self.0, self.1)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(self.0, self.1))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

impl Guest {
    pub fn new(mut front: Frontend, number: u8, address: &str) -> Self {
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut Wire(&mut front, number), Instant::now());
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::Ipv4(ip(address)), 24)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(ip("10.0.1.1")).unwrap();
        Self { front, number, interface, sockets: SocketSet::new(Vec::new()) }
    }

    fn socket() -> Socket<'static> {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        Socket::new(buffer(), buffer())
    }

    pub fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = Self::socket();
        socket.listen(port).unwrap();
        self.sockets.add(socket)
    }

    pub fn connect(&mut self, to: (&str, u16), from: u16) -> SocketHandle {
        let handle = self.sockets.add(Self::socket());
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        let to = (IpAddress::Ipv4(ip(to.0)), to.1);
        socket.connect(self.interface.context(), to, from).unwrap();
        handle
    }

    pub fn get(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Runs the guest until its socket says so.
    pub fn until<T>(
        &mut self,
        what: &str,
        handle: SocketHandle,
        mut condition: impl FnMut(&mut Socket<'static>) -> Option<T>,
    ) -> T {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let mut wire = Wire(&mut self.front, self.number);
            self.interface.poll(Instant::now(), &mut wire, &mut self.sockets);
            let found = condition(self.sockets.get_mut(handle));
            self.interface.poll(
                Instant::now(),
                &mut Wire(&mut self.front, self.number),
                &mut self.sockets,
            );
            if let Some(found) = found {
                return found;
            }
            assert!(std::time::Instant::now() < end, "not in time: {what}");
            std::thread::yield_now();
        }
    }

    pub fn until_open(&mut self, handle: SocketHandle) {
        self.until("connected", handle, |socket| socket.may_send().then_some(()));
    }

    /// Sends bytes.
    pub fn send(&mut self, handle: SocketHandle, bytes: &[u8]) {
        let mut sent = 0;
        self.until("all is sent", handle, |socket| {
            sent += socket.send_slice(&bytes[sent..]).unwrap();
            (sent == bytes.len()).then_some(())
        });
    }

    /// Reads so many bytes.
    pub fn read(&mut self, handle: SocketHandle, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.until("all has come", handle, |socket| {
            while socket.can_recv() {
                socket.recv(|part| (part.len(), bytes.extend_from_slice(part))).unwrap();
            }
            (bytes.len() >= len).then_some(())
        });
        bytes
    }
}
