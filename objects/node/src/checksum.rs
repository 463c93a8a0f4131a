//! Checksums: CRC-64/NVME, bound to what the bytes are, so that right bytes in a wrong place fail.

use crate::BlobId;
use crc_fast::{CrcAlgorithm, Digest};

/// Of bytes in parts.
pub fn of(parts: &[&[u8]]) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// Of a blob's block.
pub fn of_block(id: BlobId, index: u64, data: &[u8]) -> u64 {
    of(&[&id.0, &index.to_le_bytes(), &(data.len() as u64).to_le_bytes(), data])
}
