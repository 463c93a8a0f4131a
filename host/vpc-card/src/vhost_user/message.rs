//! The messages of the vhost-user protocol that QEMU's network device sends.

use super::memory::RegionSpec;

/// Length of a message's header.
pub const HEADER: usize = 12;
/// Longest payload of a message that we know.
pub const MAX_PAYLOAD: usize = 8 + 32 * super::memory::MAX_REGIONS;
/// Descriptors that come with one message.
pub const MAX_FILES: usize = super::memory::MAX_REGIONS;

/// `VHOST_USER_PROTOCOL_F_REPLY_ACK`: each message is answered if QEMU asks for it.
pub const PROTOCOL_REPLY_ACK: u64 = 1 << 3;

const VERSION: u32 = 1;
const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What is asked.
    pub request: u32,
    /// The sender waits for an answer to a message that has none.
    pub need_reply: bool,
    /// Length of the payload.
    pub size: usize,
}

impl Header {
    /// Reads a header; none if it is no request, or too long.
    #[must_use]
    pub fn parse(bytes: [u8; HEADER]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        let flags = u32::from_ne_bytes([e, f, g, h]);
        let size = usize::try_from(u32::from_ne_bytes([i, j, k, l])).ok()?;
        (flags & 3 == VERSION && flags & REPLY == 0 && size <= MAX_PAYLOAD).then_some(Self {
            request: u32::from_ne_bytes([a, b, c, d]),
            need_reply: flags & NEED_REPLY != 0,
            size,
        })
    }

    /// The reply to this message.
    #[must_use]
    pub fn reply(self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(&self.request.to_ne_bytes());
        bytes.extend_from_slice(&(VERSION | REPLY).to_ne_bytes());
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or_default().to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }
}

/// A message, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Which features are there?
    GetFeatures,
    /// These are agreed.
    SetFeatures(u64),
    /// The connection's first word.
    SetOwner,
    /// Its last, of old.
    ResetOwner,
    /// The guest's memory; a file comes with each region.
    SetMemTable(Vec<RegionSpec>),
    /// A ring's size.
    SetVringNum(usize, u16),
    /// A ring's descriptor table, used ring and available ring.
    SetVringAddr(usize, [u64; 3]),
    /// Where a ring goes on.
    SetVringBase(usize, u16),
    /// Stop a ring; where was it?
    GetVringBase(usize),
    /// A ring's kick, in the file if there comes one.
    SetVringKick(usize),
    /// A ring's call.
    SetVringCall(usize),
    /// A ring's error descriptor: not used.
    SetVringErr,
    /// Which protocol features are there?
    GetProtocolFeatures,
    /// These are agreed.
    SetProtocolFeatures(u64),
    /// How many queues are there?
    GetQueueNum,
    /// Run a ring, or let it rest.
    SetVringEnable(usize, bool),
    /// Announce the guest after it moved here: nobody needs to hear.
    SendRarp,
    /// Not of this list.
    Unknown,
}

impl Message {
    /// Reads a message; none if its payload is not of its kind's form.
    #[must_use]
    pub fn parse(request: u32, payload: &[u8]) -> Option<Self> {
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_ne_bytes(payload.get(at..at.checked_add(8)?)?.try_into().ok()?))
        };
        let half = |at: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(payload.get(at..at.checked_add(4)?)?.try_into().ok()?))
        };
        let ring = || -> Option<usize> {
            usize::try_from(half(0)?).ok().filter(|&ring| ring < super::QUEUES)
        };
        let file = || -> Option<usize> {
            usize::try_from(number(0)? & 0xff).ok().filter(|&ring| ring < super::QUEUES)
        };
        let state = || u16::try_from(half(4)?).ok();
        Some(match request {
            1 => Self::GetFeatures,
            2 => Self::SetFeatures(number(0)?),
            3 => Self::SetOwner,
            4 => Self::ResetOwner,
            5 => {
                let count = usize::try_from(half(0)?).ok()?;
                let regions = (0..count.min(super::memory::MAX_REGIONS + 1)).map(|index| {
                    let at = 8 + 32 * index;
                    Some(RegionSpec {
                        guest: number(at)?,
                        size: number(at + 8)?,
                        user: number(at + 16)?,
                        offset: number(at + 24)?,
                    })
                });
                Self::SetMemTable(regions.collect::<Option<_>>()?)
            }
            8 => Self::SetVringNum(ring()?, state()?),
            9 => Self::SetVringAddr(ring()?, [number(8)?, number(16)?, number(24)?]),
            10 => Self::SetVringBase(ring()?, state()?),
            11 => Self::GetVringBase(ring()?),
            12 => Self::SetVringKick(file()?),
            13 => Self::SetVringCall(file()?),
            14 => Self::SetVringErr,
            15 => Self::GetProtocolFeatures,
            16 => Self::SetProtocolFeatures(number(0)?),
            17 => Self::GetQueueNum,
            18 => Self::SetVringEnable(ring()?, half(4)? != 0),
            19 => Self::SendRarp,
            _ => Self::Unknown,
        })
    }
}
