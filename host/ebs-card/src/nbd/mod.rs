//! The NBD protocol as the card speaks it, without I/O.
//!
//! ```text
//! Handshake (fixed newstyle) ──GO or EXPORT_NAME──▶ Decoder: requests ─▶ check ─▶ Work ─▶ reply
//! ```
//! Export names are secrets: a name that is not known is refused, and no listing shows one.

pub mod handshake;
pub mod reply;
pub mod request;

/// The unit of offsets and lengths that clients may use: an NVMe logical block.
pub const MIN_BLOCK: u32 = 512;
/// The unit of volumes, which clients do best to use.
pub const PREFERRED_BLOCK: u32 = 4096;
/// The longest read or write; the protocol's customary limit.
pub const MAX_PAYLOAD: u32 = 32 << 20;
/// The longest option's data that is read; an export's name has at most 4,096 bytes.
pub const MAX_OPTION: u32 = 8 * 1024;
/// Options a client may send before it is dropped.
pub const MAX_OPTIONS: u32 = 64;
/// Extents in one answer to a block status request.
pub const MAX_EXTENTS: usize = 1024;

/// What a client learns of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportInfo {
    /// Its size.
    pub size_bytes: u64,
}

/// Errors as the protocol numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// EIO
    Io = 5,
    /// EINVAL
    Invalid = 22,
    /// ENOSPC
    NoSpace = 28,
}

/// The client broke the protocol: drop the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// Transmission flags.
pub(crate) mod flag {
    pub const HAS_FLAGS: u16 = 1;
    pub const SEND_FLUSH: u16 = 1 << 2;
    pub const SEND_FUA: u16 = 1 << 3;
    pub const SEND_TRIM: u16 = 1 << 5;
    pub const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub const SEND_DF: u16 = 1 << 7;
    pub const CAN_MULTI_CONN: u16 = 1 << 8;
    pub const SEND_FAST_ZERO: u16 = 1 << 11;
}

/// Reads big-endian numbers off the front of a slice.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes behind a 32-bit length.
    pub fn counted(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.u32()?).ok()?;
        self.bytes(count)
    }
}
