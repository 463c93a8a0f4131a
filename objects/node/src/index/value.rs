//! The rows of the index: each names its place in the log, and has a checksum.

use super::{checksum, put_bytes};
use crate::{BlobId, group::Position};
use bytes::Bytes;

const POSITION: usize = 8;
const PREFIX: usize = 16;

/// Where a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub kind: Kind,
    /// Of the blob, in bytes.
    pub len: u64,
    /// Of its first block in the log, or of the item that names it.
    pub at: Position,
}

/// How a blob is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Log,
    /// A file of its own.
    File,
    /// Its bytes are known to be corrupt.
    Lost,
}

impl Location {
    pub fn encode(&self, id: BlobId) -> [u8; 32] {
        let kind: u64 = match self.kind {
            Kind::Log => 1,
            Kind::File => 2,
            Kind::Lost => 3,
        };
        let mut row = [0; 32];
        row[..8].copy_from_slice(&kind.to_le_bytes());
        row[8..16].copy_from_slice(&self.len.to_le_bytes());
        row[16..24].copy_from_slice(&self.at.to_number().to_le_bytes());
        let checksum = checksum::of(&[&id.0, &row[..24]]);
        row[24..].copy_from_slice(&checksum.to_le_bytes());
        row
    }

    /// None if the row isn't as it was written.
    pub fn decode(id: BlobId, row: &[u8; 32]) -> Option<Self> {
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(row.get(at..at + 8)?.try_into().ok()?))
        };
        if number(24)? != checksum::of(&[&id.0, &row[..24]]) {
            return None;
        }
        let kind = match number(0)? {
            1 => Kind::Log,
            2 => Kind::File,
            3 => Kind::Lost,
            _ => return None,
        };
        Some(Self { kind, len: number(8)?, at: Position::from_number(number(16)?) })
    }
}

/// A record's row.
pub fn encode_record(position: Position, key: &[u8], value: &[u8]) -> Vec<u8> {
    let position = position.to_number().to_le_bytes();
    let checksum = checksum::of(&[&(key.len() as u64).to_le_bytes(), key, &position, value]);
    let mut row = Vec::with_capacity(PREFIX + value.len());
    row.extend_from_slice(&position);
    row.extend_from_slice(&checksum.to_le_bytes());
    row.extend_from_slice(value);
    row
}

/// A record's place in the log and its value; none if the row isn't as it was written.
pub fn decode_record(key: &[u8], row: &[u8]) -> Option<(Position, Bytes)> {
    let (position, rest) = row.split_at_checked(POSITION)?;
    let (checksum, value) = rest.split_at_checked(PREFIX - POSITION)?;
    let found = checksum::of(&[&(key.len() as u64).to_le_bytes(), key, position, value]);
    if found.to_le_bytes()[..] != *checksum {
        return None;
    }
    let position = Position::from_number(u64::from_le_bytes(position.try_into().ok()?));
    Some((position, Bytes::copy_from_slice(value)))
}

/// The segment that has a record, and the bytes that it takes up there.
pub fn record_log(row: &[u8], key_len: usize) -> Option<(u32, u64)> {
    let position = u64::from_le_bytes(row.get(..POSITION)?.try_into().ok()?);
    let value_len = row.len().checked_sub(PREFIX)?;
    Some((Position::from_number(position).segment, put_bytes(key_len, value_len)))
}
