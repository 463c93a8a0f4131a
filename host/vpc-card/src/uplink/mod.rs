//! The way out of the VPCs: to the host, and by it to the rest of the world.

pub mod sockets;
pub mod tun;

use crate::{engine::openings::Openings, vhost_user::memory::Chain};
use sockets::Sockets;
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
};
use tun::Tun;

/// An uplink: a device of IPv4 packets.
#[derive(Debug)]
pub enum Uplink {
    /// A TUN device: the host's kernel takes it from there.
    Tun(Tun),
    /// Sockets, without privileges.
    Sockets(Sockets),
}

impl Uplink {
    /// Reads a packet; none if there is none.
    ///
    /// # Errors
    /// The device is gone.
    pub fn read(&self, packet: &mut [u8]) -> anyhow::Result<Option<usize>> {
        match self {
            Self::Tun(tun) => tun.read(packet),
            Self::Sockets(sockets) => Ok(sockets.read(packet)),
        }
    }

    /// Writes a packet: its head, and `len` bytes from `from` on of a guest's buffers; false if
    /// the device didn't take it.
    #[must_use]
    pub fn write(&self, head: &[u8], body: &Chain, from: usize, len: usize) -> bool {
        match self {
            Self::Tun(tun) => tun.write(head, body, from, len),
            Self::Sockets(sockets) => sockets.write(head, body, from, len),
        }
    }

    /// Whether it has to know which ports are open to the host.
    #[must_use]
    pub fn wants_openings(&self) -> bool {
        matches!(self, Self::Sockets(_))
    }

    /// Tells it which ports are open to the host.
    pub fn open(&self, openings: Openings) {
        if let Self::Sockets(sockets) = self {
            sockets.open(openings);
        }
    }

    /// What it counts and offers, by object and name.
    #[must_use]
    pub fn report(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        match self {
            Self::Tun(_) => BTreeMap::new(),
            Self::Sockets(sockets) => sockets.report(),
        }
    }
}

impl AsFd for Uplink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tun(tun) => tun.as_fd(),
            Self::Sockets(sockets) => sockets.as_fd(),
        }
    }
}
