//! How a blob's bytes are stored, in the log and in files: blocks of 64 KiB, each after its
//! checksum.

use crate::{BlobId, checksum, disk::DiskFile};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::io;

/// The bytes of a blob under one checksum.
pub const BLOCK_BYTES: u64 = 64 << 10;

/// The most that one read gives, in bytes.
pub const MAX_READ_BYTES: u64 = 1 << 20;

const BLOCK: usize = 64 << 10;
const CHECKSUM: usize = 8;
const STORED_BLOCK: u64 = BLOCK_BYTES + CHECKSUM as u64;

/// What so many bytes of a blob take up, in bytes.
pub fn stored_bytes(len: u64) -> u64 {
    len.saturating_add(len.div_ceil(BLOCK_BYTES).saturating_mul(CHECKSUM as u64))
}

/// The stored form, in parts, of bytes of a blob that begin with a block.
pub fn encode(id: BlobId, first_block: u64, data: &Bytes) -> Vec<Bytes> {
    let mut parts = Vec::new();
    for (index, block) in (first_block..).zip(data.chunks(BLOCK)) {
        let checksum = checksum::of_block(id, index, block).to_le_bytes();
        if block.len() < BLOCK / 4 {
            let mut part = BytesMut::with_capacity(CHECKSUM + block.len());
            part.put_slice(&checksum);
            part.put_slice(block);
            parts.push(part.freeze());
        } else {
            parts.push(Bytes::copy_from_slice(&checksum));
            parts.push(data.slice_ref(block));
        }
    }
    parts
}

/// Reads and verifies a part of a blob whose first block is at `base`; none if it is corrupt.
/// Gives at most [`MAX_READ_BYTES`], and nothing beyond the blob's end.
///
/// # Errors
/// The disk's.
pub fn read(
    file: &dyn DiskFile,
    base: u64,
    (id, len): (BlobId, u64),
    offset: u64,
    wanted: usize,
) -> io::Result<Option<Bytes>> {
    let first = offset / BLOCK_BYTES;
    let end =
        len.min(offset.saturating_add(wanted as u64)).min(first * BLOCK_BYTES + MAX_READ_BYTES);
    if end <= offset {
        return Ok(Some(Bytes::new()));
    }
    let whole_end = len.min(end.next_multiple_of(BLOCK_BYTES));
    let start = first * STORED_BLOCK;
    // Not more than the longest read and its checksums.
    let size = usize::try_from(stored_bytes(whole_end) - start).unwrap_or(0);
    let mut stored = vec![0; size];
    file.read_at(&mut stored, base.saturating_add(start))?;
    let mut filled = 0;
    let mut at = 0;
    for index in first.. {
        let block_end = size.min(at + CHECKSUM + BLOCK);
        let Some(block) = stored.get(at + CHECKSUM..block_end).filter(|block| !block.is_empty())
        else {
            break;
        };
        if stored[at..at + CHECKSUM] != checksum::of_block(id, index, block).to_le_bytes()[..] {
            return Ok(None);
        }
        let block_len = block.len();
        stored.copy_within(at + CHECKSUM..block_end, filled);
        filled += block_len;
        at = block_end;
    }
    stored.truncate(filled);
    let skipped = usize::try_from(offset - first * BLOCK_BYTES).unwrap_or(0);
    let given = usize::try_from(end - offset).unwrap_or(0);
    Ok(Some(Bytes::from(stored).slice(skipped..skipped + given)))
}

/// Whether a whole blob is as it was written.
///
/// # Errors
/// The disk's.
pub fn verify(file: &dyn DiskFile, base: u64, id: BlobId, len: u64) -> io::Result<bool> {
    let mut offset = 0;
    while offset < len {
        let Some(part) = read(file, base, (id, len), offset, BLOCK * 16)? else {
            return Ok(false);
        };
        offset += part.len() as u64;
    }
    Ok(true)
}
