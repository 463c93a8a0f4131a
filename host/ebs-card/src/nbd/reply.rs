//! Replies, simple or structured, as bytes.

use super::{Errno, handshake::ALLOCATION_CONTEXT};

const SIMPLE_MAGIC: u32 = 0x6744_6698;
const CHUNK_MAGIC: u32 = 0x668e_33ef;
const DONE: u16 = 1;

mod chunk {
    pub const NONE: u16 = 0;
    pub const OFFSET_DATA: u16 = 1;
    pub const OFFSET_HOLE: u16 = 2;
    pub const BLOCK_STATUS: u16 = 5;
    pub const ERROR: u16 = 0x8001;
}

/// An extent's flags in a `base:allocation` answer: a hole that reads as zeros.
pub const HOLE_AND_ZERO: u32 = 3;

fn simple(out: &mut Vec<u8>, cookie: u64, errno: u32) {
    out.extend(SIMPLE_MAGIC.to_be_bytes());
    out.extend(errno.to_be_bytes());
    out.extend(cookie.to_be_bytes());
}

fn chunk(out: &mut Vec<u8>, cookie: u64, kind: u16, length: u32) {
    out.extend(CHUNK_MAGIC.to_be_bytes());
    out.extend(DONE.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(cookie.to_be_bytes());
    out.extend(length.to_be_bytes());
}

/// Done, without data.
pub fn done(out: &mut Vec<u8>, structured: bool, cookie: u64) {
    if structured {
        chunk(out, cookie, chunk::NONE, 0);
    } else {
        simple(out, cookie, 0);
    }
}

/// An error.
pub fn error(out: &mut Vec<u8>, structured: bool, cookie: u64, errno: Errno) {
    if structured {
        chunk(out, cookie, chunk::ERROR, 6);
        out.extend((errno as u32).to_be_bytes());
        out.extend(0_u16.to_be_bytes());
    } else {
        simple(out, cookie, errno as u32);
    }
}

/// What precedes the data of a read; `length` bytes of it follow.
pub fn read_header(out: &mut Vec<u8>, structured: bool, cookie: u64, offset: u64, length: u32) {
    if structured {
        chunk(out, cookie, chunk::OFFSET_DATA, 8 + length);
        out.extend(offset.to_be_bytes());
    } else {
        simple(out, cookie, 0);
    }
}

/// A read of nothing but zeros; for structured replies only.
pub fn read_hole(out: &mut Vec<u8>, cookie: u64, offset: u64, length: u32) {
    chunk(out, cookie, chunk::OFFSET_HOLE, 12);
    out.extend(offset.to_be_bytes());
    out.extend(length.to_be_bytes());
}

/// The allocation of a range, as (bytes, flags).
pub fn block_status(out: &mut Vec<u8>, cookie: u64, extents: &[(u32, u32)]) {
    // At most MAX_EXTENTS of them.
    let length = u32::try_from(4 + 8 * extents.len()).unwrap_or(u32::MAX);
    chunk(out, cookie, chunk::BLOCK_STATUS, length);
    out.extend(ALLOCATION_CONTEXT.to_be_bytes());
    for (length, flags) in extents {
        out.extend(length.to_be_bytes());
        out.extend(flags.to_be_bytes());
    }
}
