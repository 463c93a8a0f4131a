//! The bytes of the map files; FORMAT.md is the description.

use anyhow::{Result, bail, ensure};

/// The unit of a volume's state.
pub const BLOCK: u64 = 4096;
/// Blocks a chunk: the unit of snapshots, 512 KiB.
pub const BLOCKS_PER_CHUNK: u64 = 128;
/// Chunks described by one sector of the map.
pub const CHUNKS_PER_SECTOR: u64 = 12;
/// Blocks described by one sector of the map: 6 MiB.
pub const BLOCKS_PER_SECTOR: u64 = BLOCKS_PER_CHUNK * CHUNKS_PER_SECTOR;
/// A sector: what a disk writes whole or not at all.
pub const SECTOR: usize = 512;
/// Where the map's sectors begin, after the header.
pub const HEADER: u64 = 4096;
/// The version of the format that this code writes, and the only one it reads.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"FOGVMAP\n";
const RECORDS: usize = 8;
const RECORD: usize = 40;

/// A chunk's record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Blocks whose content is in the data file.
    pub present: u128,
    /// Blocks that are zeros whatever the data file holds.
    pub zeroed: u128,
    /// The epoch of the last change; for snapshots.
    pub epoch: u32,
    /// None yet.
    pub flags: u32,
}

/// A sector of the map.
pub type Sector = [Chunk; 12];

const _: () = assert!(size_of::<Sector>() as u64 == CHUNKS_PER_SECTOR * size_of::<Chunk>() as u64);

/// The length of the map of a volume.
#[must_use]
pub fn map_bytes(size_bytes: u64) -> u64 {
    HEADER + sectors(size_bytes) * SECTOR as u64
}

/// The sectors that describe a volume.
#[must_use]
pub fn sectors(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(BLOCK * BLOCKS_PER_SECTOR)
}

/// Where a sector of the map is.
#[must_use]
pub fn sector_offset(sector: u32) -> u64 {
    HEADER + u64::from(sector) * SECTOR as u64
}

/// A sector's bytes.
#[must_use]
pub fn encode(sector: &Sector) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    if sector.iter().all(|chunk| *chunk == Chunk::default()) {
        return bytes;
    }
    for (record, chunk) in bytes[RECORDS..].chunks_exact_mut(RECORD).zip(sector) {
        record[..16].copy_from_slice(&chunk.present.to_le_bytes());
        record[16..32].copy_from_slice(&chunk.zeroed.to_le_bytes());
        record[32..36].copy_from_slice(&chunk.epoch.to_le_bytes());
        record[36..40].copy_from_slice(&chunk.flags.to_le_bytes());
    }
    seal(&mut bytes);
    bytes
}

/// A sector from its bytes; all zeros is a sector of nothing written.
///
/// # Errors
/// The checksum is wrong, or a block is both present and zeroed.
pub fn decode(bytes: &[u8; SECTOR]) -> Result<Sector> {
    let mut sector = Sector::default();
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(sector);
    }
    ensure!(sealed(bytes), "wrong checksum");
    for (record, chunk) in bytes[RECORDS..].chunks_exact(RECORD).zip(&mut sector) {
        let mut fields = record.chunks_exact(8).map(|b| u64::from_le_bytes(fixed(b)));
        let mut next = || fields.next().unwrap_or_default();
        let mut wide = || u128::from(next()) | u128::from(next()) << 64;
        (chunk.present, chunk.zeroed) = (wide(), wide());
        chunk.epoch = u32::from_le_bytes(fixed(&record[32..36]));
        chunk.flags = u32::from_le_bytes(fixed(&record[36..40]));
        ensure!(chunk.present & chunk.zeroed == 0, "a block is both present and zeroed");
    }
    Ok(sector)
}

/// The header of a map: whose it is, and for `map.live`, of which boot of the host.
#[must_use]
pub fn encode_header(volume: u64, boot: [u8; 16]) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    bytes[8..16].copy_from_slice(&MAGIC);
    bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
    bytes[24..32].copy_from_slice(&volume.to_le_bytes());
    bytes[32..48].copy_from_slice(&boot);
    seal(&mut bytes);
    bytes
}

/// Checks a map's header; returns the boot ID in it.
///
/// # Errors
/// It is no header, of another version, or another volume's.
pub fn decode_header(bytes: &[u8; SECTOR], volume: u64) -> Result<[u8; 16]> {
    ensure!(sealed(bytes) && bytes[8..16] == MAGIC, "not a volume's map, or damaged");
    let version = u32::from_le_bytes(fixed(&bytes[16..20]));
    if version != VERSION {
        bail!("the map's format is version {version}; this program knows version {VERSION}");
    }
    let number = u64::from_le_bytes(fixed(&bytes[24..32]));
    ensure!(number == volume, "the map of another volume ({number:#x})");
    Ok(fixed(&bytes[32..48]))
}

fn seal(bytes: &mut [u8; SECTOR]) {
    let sum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
}

fn sealed(bytes: &[u8; SECTOR]) -> bool {
    u32::from_le_bytes(fixed(&bytes[..4])) == crc32fast::hash(&bytes[4..])
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_round_trip_and_notice_damage() {
        let mut sector = Sector::default();
        assert_eq!(encode(&sector), [0; SECTOR]);
        sector[0] = Chunk { present: 1, zeroed: 1 << 127, epoch: 7, flags: 0 };
        sector[11] = Chunk { present: u128::MAX << 64, zeroed: 5, epoch: 0, flags: 9 };
        let bytes = encode(&sector);
        assert_eq!(decode(&bytes).unwrap(), sector);
        for at in 0..SECTOR {
            let mut bad = bytes;
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "{at}");
        }
        sector[3] = Chunk { present: 1, zeroed: 1, ..Chunk::default() };
        assert!(decode(&encode(&sector)).is_err());
    }

    #[test]
    fn headers() {
        let header = encode_header(0x12, [3; 16]);
        assert_eq!(decode_header(&header, 0x12).unwrap(), [3; 16]);
        assert!(decode_header(&header, 0x13).is_err());
        assert!(decode_header(&[0; SECTOR], 0x12).is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(sectors(4096), 1);
        assert_eq!(sectors(6 << 20), 1);
        assert_eq!(sectors((6 << 20) + 4096), 2);
        assert_eq!(map_bytes(8 << 30), 4096 + 1366 * 512);
    }
}
