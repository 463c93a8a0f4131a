//! The fixed newstyle handshake: options until one opens an export.
//!
//! ```text
//! Greeted ──flags──▶ Options ──GO, EXPORT_NAME──▶ Opened
//!                      └─ ABORT, nonsense, too many ──▶ Closed
//! ```

use super::{
    Broken, ExportInfo, MAX_OPTION, MAX_OPTIONS, MAX_PAYLOAD, MIN_BLOCK, PREFERRED_BLOCK, Reader,
    flag,
};

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

/// The number of the one metadata context, `base:allocation`.
pub const ALLOCATION_CONTEXT: u32 = 1;
const ALLOCATION: &[u8] = b"base:allocation";

mod option {
    pub const EXPORT_NAME: u32 = 1;
    pub const ABORT: u32 = 2;
    pub const LIST: u32 = 3;
    pub const INFO: u32 = 6;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const LIST_META_CONTEXT: u32 = 9;
    pub const SET_META_CONTEXT: u32 = 10;
}

mod answer {
    pub const ACK: u32 = 1;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    pub const UNSUPPORTED: u32 = 0x8000_0001;
    pub const INVALID: u32 = 0x8000_0003;
    pub const UNKNOWN: u32 = 0x8000_0006;
    pub const TOO_BIG: u32 = 0x8000_0009;
}

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The export's name.
    pub name: String,
    /// Whether replies are structured.
    pub structured: bool,
    /// Whether block status may be asked.
    pub allocation: bool,
}

/// The server's side of a handshake.
#[derive(Debug, Default)]
pub struct Handshake {
    input: Vec<u8>,
    flags: Option<u16>,
    options: u32,
    structured: bool,
    /// The export that `base:allocation` was chosen for.
    context_of: Option<Vec<u8>>,
}

impl Handshake {
    /// A handshake, and the server's greeting.
    #[must_use]
    pub fn new() -> (Self, Vec<u8>) {
        let mut out = Vec::with_capacity(18);
        out.extend(MAGIC.to_be_bytes());
        out.extend(OPTION_MAGIC.to_be_bytes());
        out.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
        (Self::default(), out)
    }

    /// Bytes that came after the handshake: the first requests.
    #[must_use]
    pub fn rest(self) -> Vec<u8> {
        self.input
    }

    /// Takes bytes from the client; appends answers to `out`; Some once an export is open.
    ///
    /// # Errors
    /// The client broke the protocol or went away; what is in `out` may still be sent.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        find: &mut dyn FnMut(&str) -> Option<ExportInfo>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Opened>, Broken> {
        self.input.extend_from_slice(bytes);
        let mut used = 0;
        let opened = loop {
            let mut reader = Reader(&self.input[used..]);
            let Some(flags) = self.flags else {
                let Some(flags) = reader.u32() else { break None };
                used += 4;
                self.flags = Some(client_flags(flags)?);
                continue;
            };
            let (Some(magic), Some(option), Some(length)) =
                (reader.u64(), reader.u32(), reader.u32())
            else {
                break None;
            };
            if magic != OPTION_MAGIC {
                return Err(Broken("wrong option magic"));
            }
            if length > MAX_OPTION {
                put(out, option, answer::TOO_BIG, b"");
                return Err(Broken("option too long"));
            }
            let Some(data) = reader.bytes(length as usize) else { break None };
            let data = data.to_vec();
            used += 16 + data.len();
            self.options += 1;
            if self.options > MAX_OPTIONS {
                return Err(Broken("too many options"));
            }
            if let Some(opened) = self.option(option, &data, flags, find, out)? {
                break Some(opened);
            }
        };
        self.input.drain(..used);
        Ok(opened)
    }

    fn option(
        &mut self,
        option: u32,
        data: &[u8],
        flags: u16,
        find: &mut dyn FnMut(&str) -> Option<ExportInfo>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Opened>, Broken> {
        match option {
            option::EXPORT_NAME => {
                // This old option has no error reply: an unknown name ends the connection.
                let (name, info) = known(data, find).ok_or(Broken("unknown export"))?;
                out.extend(info.size_bytes.to_be_bytes());
                out.extend(self.transmission_flags().to_be_bytes());
                if flags & NO_ZEROES == 0 {
                    out.extend([0; 124]);
                }
                return Ok(Some(self.opened(name)));
            }
            option::ABORT => {
                put(out, option, answer::ACK, b"");
                return Err(Broken("aborted by the client"));
            }
            option::LIST if data.is_empty() => put(out, option, answer::ACK, b""),
            option::INFO | option::GO => return Ok(self.info(option, data, find, out)),
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                put(out, option, answer::ACK, b"");
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => {
                self.meta_context(option, data, find, out);
            }
            option::LIST | option::STRUCTURED_REPLY => put(out, option, answer::INVALID, b""),
            _ => put(out, option, answer::UNSUPPORTED, b""),
        }
        Ok(None)
    }

    fn info(
        &mut self,
        option: u32,
        data: &[u8],
        find: &mut dyn FnMut(&str) -> Option<ExportInfo>,
        out: &mut Vec<u8>,
    ) -> Option<Opened> {
        let mut reader = Reader(data);
        let parsed = (|| {
            let name = reader.counted()?;
            let count = usize::from(reader.u16()?);
            reader.bytes(2 * count)?;
            reader.0.is_empty().then_some(name)
        })();
        let Some(name) = parsed else {
            put(out, option, answer::INVALID, b"");
            return None;
        };
        let Some((name, info)) = known(name, find) else {
            put(out, option, answer::UNKNOWN, b"");
            return None;
        };
        let mut export = INFO_EXPORT.to_be_bytes().to_vec();
        export.extend(info.size_bytes.to_be_bytes());
        export.extend(self.transmission_flags().to_be_bytes());
        put(out, option, answer::INFO, &export);
        // Sent whether asked for or not: a client that goes on accepts it.
        let mut sizes = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
        for size in [MIN_BLOCK, PREFERRED_BLOCK, MAX_PAYLOAD] {
            sizes.extend(size.to_be_bytes());
        }
        put(out, option, answer::INFO, &sizes);
        put(out, option, answer::ACK, b"");
        (option == option::GO).then(|| self.opened(name))
    }

    fn meta_context(
        &mut self,
        option: u32,
        data: &[u8],
        find: &mut dyn FnMut(&str) -> Option<ExportInfo>,
        out: &mut Vec<u8>,
    ) {
        let mut reader = Reader(data);
        let parsed = (|| {
            let name = reader.counted()?;
            let count = reader.u32()?;
            // Each query has at least a length, so that the count is bounded by the data.
            let queries = (0..count).map(|_| reader.counted()).collect::<Option<Vec<_>>>()?;
            reader.0.is_empty().then_some((name, queries))
        })();
        let Some((name, queries)) = parsed.filter(|_| self.structured) else {
            put(out, option, answer::INVALID, b"");
            return;
        };
        if known(name, find).is_none() {
            put(out, option, answer::UNKNOWN, b"");
            return;
        }
        let listing = option == option::LIST_META_CONTEXT;
        let wanted = queries.iter().any(|query| {
            *query == ALLOCATION
                || (listing && ALLOCATION.starts_with(query) && query.ends_with(b":"))
        }) || (listing && queries.is_empty());
        if !listing {
            self.context_of = wanted.then(|| name.to_vec());
        }
        if wanted {
            let number = if listing { 0 } else { ALLOCATION_CONTEXT };
            let mut context = number.to_be_bytes().to_vec();
            context.extend(ALLOCATION);
            put(out, option, answer::META_CONTEXT, &context);
        }
        put(out, option, answer::ACK, b"");
    }

    fn opened(&self, name: String) -> Opened {
        let allocation = self.structured && self.context_of.as_deref() == Some(name.as_bytes());
        Opened { name, structured: self.structured, allocation }
    }

    fn transmission_flags(&self) -> u16 {
        let structured = if self.structured { flag::SEND_DF } else { 0 };
        structured
            | flag::HAS_FLAGS
            | flag::SEND_FLUSH
            | flag::SEND_FUA
            | flag::SEND_TRIM
            | flag::SEND_WRITE_ZEROES
            | flag::CAN_MULTI_CONN
            | flag::SEND_FAST_ZERO
    }
}

fn client_flags(flags: u32) -> Result<u16, Broken> {
    let flags = u16::try_from(flags).map_err(|_| Broken("unknown client flags"))?;
    if flags & FIXED_NEWSTYLE == 0 || flags & !(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
        return Err(Broken("unknown client flags"));
    }
    Ok(flags)
}

fn known(
    name: &[u8],
    find: &mut dyn FnMut(&str) -> Option<ExportInfo>,
) -> Option<(String, ExportInfo)> {
    // The empty name asks for a default export; there is none.
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), find(name)?))
}

fn put(out: &mut Vec<u8>, option: u32, kind: u32, data: &[u8]) {
    out.extend(REPLY_MAGIC.to_be_bytes());
    out.extend(option.to_be_bytes());
    out.extend(kind.to_be_bytes());
    // Our own answers are short.
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(data);
}
