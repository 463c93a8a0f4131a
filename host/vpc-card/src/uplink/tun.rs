//! A TUN device: packets to the pool of public addresses come in here, and others go out.
//!
//! The device is persistent: a card that was started again finds it as it was, with its address
//! and its routes, so that the host's connections to instances live on.
#![allow(unsafe_code, reason = "ioctls on network devices and writes of guest memory")]

use crate::vhost_user::memory::Chain;
use anyhow::{Context as _, bail, ensure};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};
use types::{Ipv4Net, Ipv6Net};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;

/// Pieces of a packet that is written.
const MAX_PIECES: usize = 64;

/// The open device.
#[derive(Debug)]
pub struct Tun {
    file: OwnedFd,
}

impl Tun {
    /// Opens the device of this name, made if need be, as the host's way to a pool of addresses
    /// with `host` as the host's own.
    ///
    /// # Errors
    /// The device cannot be made or set up, for want of permission for example.
    pub fn open(name: &str, pool: Ipv4Net, host: Ipv4Addr) -> anyhow::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open("/dev/net/tun", flags, Mode::empty()).context("open /dev/net/tun")?;
        let mut request = Request::new(name)?;
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        request.0.ifr_ifru.ifru_flags = libc::c_short::try_from(flags)?;
        request.ioctl(file.as_fd(), TUNSETIFF).with_context(|| format!("make {name}"))?;
        // SAFETY: the argument is a number.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETPERSIST, 1) };
        ensure!(result == 0, "keep {name}: {}", io::Error::last_os_error());
        // Quiet: no link-local address, and nothing learnt from the guests' side.
        set_ipv6(name, "addr_gen_mode", "1");
        set_ipv6(name, "accept_ra", "0");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("control socket")?;
        let control = socket.as_fd();
        request.set_address(host);
        request.ioctl(control, libc::SIOCSIFADDR).context("set the host's address")?;
        request.set_address(pool.netmask());
        request.ioctl(control, libc::SIOCSIFNETMASK).context("route the pool")?;
        request.0.ifr_ifru.ifru_mtu = i32::try_from(crate::engine::UPLINK_MTU)?;
        request.ioctl(control, libc::SIOCSIFMTU).context("set the MTU")?;
        request.ioctl(control, libc::SIOCGIFFLAGS).context("read the flags")?;
        // SAFETY: the kernel has just filled in this member.
        let flags = unsafe { request.0.ifr_ifru.ifru_flags };
        request.0.ifr_ifru.ifru_flags = flags | libc::c_short::try_from(libc::IFF_UP)?;
        request.ioctl(control, libc::SIOCSIFFLAGS).with_context(|| format!("bring {name} up"))?;
        Ok(Self { file })
    }

    /// Whether such a device can be made here, seen by making one; it is gone again.
    ///
    /// # Errors
    /// Why not.
    pub fn probe() -> anyhow::Result<()> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open("/dev/net/tun", flags, Mode::empty()).context("open /dev/net/tun")?;
        let mut request = Request::new("fogprobe%d")?;
        request.0.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
        request.ioctl(file.as_fd(), TUNSETIFF).context("make a TUN device")
    }

    /// Makes the device the host's way to a pool of IPv6 addresses too, with `host` as the host's
    /// own.
    ///
    /// # Errors
    /// The host has no IPv6, or does not let us.
    pub fn add_ipv6(&self, name: &str, pool: Ipv6Net, host: Ipv6Addr) -> anyhow::Result<()> {
        // As cards before, which had no IPv6, left it.
        set_ipv6(name, "disable_ipv6", "0");
        let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).context("control socket")?;
        let mut request = Request::new(name)?;
        request.ioctl(socket.as_fd(), libc::SIOCGIFINDEX).context("find the device")?;
        let address = libc::in6_ifreq {
            ifr6_addr: libc::in6_addr { s6_addr: host.octets() },
            ifr6_prefixlen: u32::from(pool.prefix_len()),
            // SAFETY: the kernel has just filled in this member.
            ifr6_ifindex: unsafe { request.0.ifr_ifru.ifru_ifindex },
        };
        // SAFETY: the request takes this structure.
        let result =
            unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw const address) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // It is as the card before left it.
        let there = error.raw_os_error() == Some(libc::EEXIST);
        if there { Ok(()) } else { Err(error).context("set the host's IPv6 address") }
    }

    /// Reads a packet; none if there is none.
    ///
    /// # Errors
    /// The device is gone.
    pub fn read(&self, packet: &mut [u8]) -> anyhow::Result<Option<usize>> {
        match rustix::io::read(&self.file, packet) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error).context("read the uplink"),
        }
    }

    /// Writes a packet: its head, and `len` bytes from `from` on of a guest's buffers; false if
    /// the device didn't take it.
    #[must_use]
    pub fn write(&self, head: &[u8], body: &Chain, from: usize, len: usize) -> bool {
        let first = libc::iovec { iov_base: head.as_ptr().cast_mut().cast(), iov_len: head.len() };
        let mut vectors = [first; MAX_PIECES];
        let mut count = 1;
        body.parts(from, len, |pointer, len| {
            if let Some(vector) = vectors.get_mut(count) {
                *vector = libc::iovec { iov_base: pointer.cast(), iov_len: len };
            }
            count += 1;
        });
        let Some(vectors) = vectors.get(..count) else { return false };
        let Ok(count) = libc::c_int::try_from(count) else { return false };
        // SAFETY: the pieces are `head` and of a mapping that `body` holds; the kernel only reads
        // them, and the guest may change its own meanwhile.
        unsafe { libc::writev(self.file.as_raw_fd(), vectors.as_ptr(), count) >= 0 }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Sets how the kernel treats a device's IPv6, if it has any.
fn set_ipv6(name: &str, setting: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/{setting}");
    if let Err(error) = std::fs::write(&path, value) {
        log::debug!("{path}: {error}");
    }
}

/// The kernel's structure for what is asked about a network device.
struct Request(libc::ifreq);

impl Request {
    fn new(name: &str) -> anyhow::Result<Self> {
        // SAFETY: the structure is of integers, for which zeros are values.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.is_empty() || name.len() >= request.ifr_name.len() {
            bail!("{name:?} is no name of a network device");
        }
        for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        Ok(Self(request))
    }

    fn set_address(&mut self, address: Ipv4Addr) {
        let [a, b, c, d] = address.octets().map(|byte| libc::c_char::from_ne_bytes([byte]));
        self.0.ifr_ifru.ifru_addr = libc::sockaddr {
            sa_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
            // Port, address, padding.
            sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0],
        };
    }

    fn ioctl(&mut self, file: BorrowedFd<'_>, request: libc::c_ulong) -> io::Result<()> {
        // SAFETY: all requests used here take this structure.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut self.0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
