//! Ports translated, of packets and of those that ICMP errors quote.

use super::{Fragment, Frame, ICMP, Packet, Sum, TCP, UDP, replace_address};
use crate::engine::packet::ETHERNET;
use std::net::Ipv4Addr;

/// One end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

impl End {
    /// Where its port is in a header of TCP or UDP.
    const fn port_at(self) -> usize {
        match self {
            Self::Source => 0,
            Self::Destination => 2,
        }
    }

    /// Where its address is in an IPv4 header.
    const fn address_at(self) -> usize {
        match self {
            Self::Source => 12,
            Self::Destination => 16,
        }
    }
}

impl Packet {
    /// Translates one end's address and port, of ICMP its identifier.
    pub fn set_end(&mut self, frame: &mut Frame<'_>, end: End, to: (Ipv4Addr, u16)) {
        match end {
            End::Source => self.set_source(frame, to.0),
            End::Destination => self.set_destination(frame, to.0),
        }
        match (self.protocol, end) {
            (ICMP, _) => self.ports = (to.1, to.1),
            (_, End::Source) => self.ports.0 = to.1,
            (_, End::Destination) => self.ports.1 = to.1,
        }
        if self.fragment == Fragment::Later {
            return;
        }
        let (at, sum_at) = match self.protocol {
            TCP => (self.transport + end.port_at(), self.transport + 16),
            UDP => (self.transport + end.port_at(), self.transport + 6),
            ICMP => (self.transport + 4, self.transport + 2),
            _ => return,
        };
        let mut delta = Sum::default();
        delta.replace(frame.word(at), to.1);
        frame.write(at, &to.1.to_be_bytes());
        let old = frame.word(sum_at);
        let new = match (self.protocol, frame.partial, old) {
            // A partial sum is of the pseudo header, which has no ports.
            (TCP | UDP, true, _) => old,
            // A UDP packet without a checksum keeps none; a sum of 0 is sent as 0xffff.
            (UDP, false, 0) => 0,
            (UDP, false, _) => Some(delta.update(old)).filter(|&sum| sum != 0).unwrap_or(!0),
            _ => delta.update(old),
        };
        frame.write(sum_at, &new.to_be_bytes());
    }

    /// Translates one end of the packet that this ICMP error quotes.
    pub fn set_quoted_end(&self, frame: &mut Frame<'_>, end: End, to: (Ipv4Addr, u16)) {
        let Some(inner) = self.quoted(frame) else { return };
        let start = self.transport + 8;
        let addresses = replace_address(frame, start + end.address_at(), to.0);
        let port_at = match inner.protocol {
            TCP | UDP => inner.transport + end.port_at(),
            ICMP => inner.transport + 4,
            _ => return,
        };
        let old_port = frame.word(port_at);
        frame.write(port_at, &to.1.to_be_bytes());
        let (mut outer, mut covered) = (addresses, addresses);
        outer.replace(old_port, to.1);
        if inner.protocol == ICMP {
            covered = Sum::default();
        }
        covered.replace(old_port, to.1);
        let mut fix = |frame: &mut Frame<'_>, at: usize, delta: Sum| {
            let old = frame.word(at);
            let new = delta.update(old);
            frame.write(at, &new.to_be_bytes());
            outer.replace(old, new);
        };
        fix(frame, start + 10, addresses);
        let sum_at = match inner.protocol {
            ICMP => Some(inner.transport + 2),
            _ => inner.checksum_at(),
        };
        if let Some(at) = sum_at
            && at + 2 <= self.end.min(frame.head)
            && (inner.protocol != UDP || frame.word(at) != 0)
        {
            fix(frame, at, covered);
        }
        let sum = outer.update(frame.word(self.transport + 2));
        frame.write(self.transport + 2, &sum.to_be_bytes());
    }

    /// Changes the identification that a datagram's fragments share.
    pub fn set_id(&mut self, frame: &mut Frame<'_>, id: u16) {
        let mut delta = Sum::default();
        delta.replace(frame.word(ETHERNET + 4), id);
        self.id = id.into();
        let sum = delta.update(frame.word(ETHERNET + 10));
        frame.write(ETHERNET + 4, &id.to_be_bytes());
        frame.write(ETHERNET + 10, &sum.to_be_bytes());
    }
}
