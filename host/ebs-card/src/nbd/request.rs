//! Requests: finding them in a stream of bytes, and checking what they ask.

use super::{Broken, Errno, MAX_PAYLOAD, MIN_BLOCK, Reader};

const MAGIC: u32 = 0x2560_9513;
const HEADER: usize = 28;
/// Bytes read at once; a payload that does not fit gets a buffer of its own.
const BUFFER: usize = 64 * 1024;

mod command {
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const DISCONNECT: u16 = 2;
    pub const FLUSH: u16 = 3;
    pub const TRIM: u16 = 4;
    pub const WRITE_ZEROES: u16 = 6;
    pub const BLOCK_STATUS: u16 = 7;
}

mod flag {
    pub const FUA: u16 = 1;
    pub const NO_HOLE: u16 = 2;
    pub const DF: u16 = 4;
    pub const REQ_ONE: u16 = 8;
    pub const FAST_ZERO: u16 = 16;
}

/// A request's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Command flags.
    pub flags: u16,
    /// The command.
    pub command: u16,
    /// The client's name for it, sent back with the reply.
    pub cookie: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
}

/// What a request asks, checked against the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Send these bytes.
    Read,
    /// Write the payload; `durable` = reply when it is on the disk.
    Write {
        /// FUA
        durable: bool,
    },
    /// Everything replied to so far reaches the disk.
    Flush,
    /// The bytes are no longer needed.
    Trim {
        /// FUA
        durable: bool,
    },
    /// The bytes become zeros.
    Zero {
        /// FUA
        durable: bool,
    },
    /// Say which bytes are allocated.
    Status {
        /// One extent only.
        one: bool,
    },
    /// The client leaves.
    Disconnect,
}

/// What a request asks, or the error to reply with.
///
/// # Errors
/// The command or its flags are unknown, or the range is not one of the export's.
pub fn check(request: &Request, size_bytes: u64, allocation: bool) -> Result<Work, Errno> {
    let durable = request.flags & flag::FUA != 0;
    let (work, flags) = match request.command {
        command::READ => (Work::Read, flag::FUA | flag::DF),
        command::WRITE => (Work::Write { durable }, flag::FUA),
        command::TRIM => (Work::Trim { durable }, flag::FUA),
        command::WRITE_ZEROES => {
            (Work::Zero { durable }, flag::FUA | flag::NO_HOLE | flag::FAST_ZERO)
        }
        command::BLOCK_STATUS if allocation => {
            (Work::Status { one: request.flags & flag::REQ_ONE != 0 }, flag::FUA | flag::REQ_ONE)
        }
        command::FLUSH => return Ok(Work::Flush),
        command::DISCONNECT => return Ok(Work::Disconnect),
        _ => return Err(Errno::Invalid),
    };
    if request.flags & !flags != 0
        || request.length == 0
        || !request.offset.is_multiple_of(u64::from(MIN_BLOCK))
        || !request.length.is_multiple_of(MIN_BLOCK)
        || (work == Work::Read && request.length > MAX_PAYLOAD)
    {
        return Err(Errno::Invalid);
    }
    match request.offset.checked_add(u64::from(request.length)) {
        Some(end) if end <= size_bytes => Ok(work),
        _ if matches!(work, Work::Write { .. } | Work::Zero { .. }) => Err(Errno::NoSpace),
        _ => Err(Errno::Invalid),
    }
}

/// Finds requests and their payloads in what a client sends.
///
/// The caller fills [`Decoder::space`], tells how much with [`Decoder::filled`], and takes
/// requests with [`Decoder::advance`] until there is none. Large payloads are never copied.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// A write whose payload is larger than the buffer, and how much of it is there.
    large: Option<(Request, Vec<u8>, usize)>,
    /// The large payload that was handed out last; the next one takes its place.
    handed: Vec<u8>,
}

impl Decoder {
    /// A decoder; these bytes came already.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { buffer: bytes, end, ..Self::default() }
    }

    /// Where the next bytes go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if let Some((_, payload, filled)) = &mut self.large
            && *filled < payload.len()
        {
            return &mut payload[*filled..];
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = BUFFER.max(self.end + HEADER);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes of the space were filled.
    pub fn filled(&mut self, count: usize) {
        match &mut self.large {
            Some((_, payload, filled)) if *filled < payload.len() => *filled += count,
            Some(_) | None => self.end += count,
        }
    }

    /// Whether no request has begun; then memory is given back.
    pub fn rest(&mut self) -> bool {
        if self.large.is_some() || self.start != self.end {
            return false;
        }
        *self = Self::default();
        true
    }

    /// The next request with its payload (empty for all but writes), if it is there in full.
    ///
    /// # Errors
    /// What came is no request; the connection cannot go on.
    pub fn advance(&mut self) -> Result<Option<(Request, &[u8])>, Broken> {
        if let Some((request, payload, _)) =
            self.large.take_if(|(_, payload, filled)| *filled == payload.len())
        {
            self.handed = payload;
            return Ok(Some((request, &self.handed)));
        }
        if self.large.is_some() {
            return Ok(None);
        }
        let Some(request) = parse(&self.buffer[self.start..self.end])? else { return Ok(None) };
        if request.command != command::WRITE {
            self.start += HEADER;
            return Ok(Some((request, &[])));
        }
        if request.length > MAX_PAYLOAD {
            return Err(Broken("payload too long"));
        }
        let length = request.length as usize;
        let there = (self.start + HEADER)..self.end.min(self.start + HEADER + length);
        if there.len() == length {
            self.start = there.end;
            return Ok(Some((request, &self.buffer[there])));
        }
        if length + HEADER > BUFFER {
            let mut payload = std::mem::take(&mut self.handed);
            payload.resize(length, 0);
            payload[..there.len()].copy_from_slice(&self.buffer[there.clone()]);
            self.start = there.end;
            self.large = Some((request, payload, there.len()));
        }
        Ok(None)
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Request>, Broken> {
    let mut reader = Reader(bytes);
    match reader.u32() {
        Some(MAGIC) => {}
        Some(_) => return Err(Broken("wrong request magic")),
        None => return Ok(None),
    }
    Ok((|| {
        Some(Request {
            flags: reader.u16()?,
            command: reader.u16()?,
            cookie: reader.u64()?,
            offset: reader.u64()?,
            length: reader.u32()?,
        })
    })())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes
    }

    /// Requests as (cookie, payload), the stream coming in pieces of this size.
    fn decode(stream: &[u8], piece: usize) -> Vec<(u64, Vec<u8>)> {
        let mut decoder = Decoder::new(Vec::new());
        let (mut left, mut found) = (stream, Vec::new());
        while !left.is_empty() {
            let space = decoder.space();
            let count = left.len().min(space.len()).min(piece);
            space[..count].copy_from_slice(&left[..count]);
            left = &left[count..];
            decoder.filled(count);
            while let Some((request, payload)) = decoder.advance().unwrap() {
                found.push((request.cookie, payload.to_vec()));
            }
        }
        assert!(decoder.rest());
        found
    }

    #[test]
    fn requests_in_any_pieces() {
        let mut stream = header(command::READ, 0, 1, 0, 4096);
        let mut expected = vec![(1, Vec::new())];
        for (cookie, length) in [(2, 512_u32), (3, 65_536), (4, 200_000), (5, 65_508), (6, 4096)] {
            stream.extend(header(command::WRITE, 0, cookie, 0, length));
            let payload =
                (0..length).map(|n| u8::try_from((n + 7) % 251).unwrap()).collect::<Vec<_>>();
            stream.extend(&payload);
            expected.push((cookie, payload));
        }
        stream.extend(header(command::FLUSH, 0, 7, 0, 0));
        expected.push((7, Vec::new()));
        for piece in [1, 27, 28, 29, 4096, 65_535, 65_536, usize::MAX] {
            assert_eq!(decode(&stream, piece), expected, "{piece}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut decoder = Decoder::new(vec![0x25, 0x60, 0x95, 0x14]);
        assert_eq!(decoder.advance(), Err(Broken("wrong request magic")));
        let mut decoder = Decoder::new(header(command::WRITE, 0, 1, 0, MAX_PAYLOAD + 1));
        assert_eq!(decoder.advance(), Err(Broken("payload too long")));
    }

    #[test]
    fn ranges_and_flags() {
        const SIZE: u64 = 1 << 20;
        for (command, flags, offset, length, expected) in [
            (command::READ, 0, 0, 4096, Ok(Work::Read)),
            (command::READ, flag::DF, SIZE - 512, 512, Ok(Work::Read)),
            (command::READ, 0, SIZE - 512, 1024, Err(Errno::Invalid)),
            (command::READ, 0, u64::MAX - 511, 1024, Err(Errno::Invalid)),
            (command::READ, 0, 0, 0, Err(Errno::Invalid)),
            (command::READ, 0, 1, 512, Err(Errno::Invalid)),
            (command::READ, 0, 0, MAX_PAYLOAD + 512, Err(Errno::Invalid)),
            (command::WRITE, flag::FUA, 0, 512, Ok(Work::Write { durable: true })),
            (command::WRITE, flag::DF, 0, 512, Err(Errno::Invalid)),
            (command::WRITE, 0, SIZE, 512, Err(Errno::NoSpace)),
            (command::WRITE_ZEROES, flag::NO_HOLE, 0, 512, Ok(Work::Zero { durable: false })),
            (command::WRITE_ZEROES, 0, SIZE, 512, Err(Errno::NoSpace)),
            (command::TRIM, 0, 0, 1 << 20, Ok(Work::Trim { durable: false })),
            (command::TRIM, 0, 512, 1 << 20, Err(Errno::Invalid)),
            (command::FLUSH, 0, 0, 0, Ok(Work::Flush)),
            (command::BLOCK_STATUS, flag::REQ_ONE, 0, 512, Ok(Work::Status { one: true })),
            (5, 0, 0, 512, Err(Errno::Invalid)),
            (999, 0, 0, 512, Err(Errno::Invalid)),
        ] {
            let request = Request { flags, command, cookie: 0, offset, length };
            assert_eq!(check(&request, SIZE, true), expected, "{request:?}");
        }
        let request =
            Request { flags: 0, command: command::BLOCK_STATUS, cookie: 0, offset: 0, length: 512 };
        assert_eq!(check(&request, SIZE, false), Err(Errno::Invalid));
    }
}
