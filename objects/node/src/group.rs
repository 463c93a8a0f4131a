//! An entry of the log: the batches that share one flush, with the blobs that came with them.

use crate::{BlobId, MAX_KEY_BYTES, MAX_VALUE_BYTES, blocks, checksum, disk::DiskFile};
use bytes::{BufMut as _, Bytes};
use std::io::{self, IoSlice};

/// The length of a group's header.
pub const HEADER_BYTES: u64 = 40;

/// Groups begin at multiples of this.
pub const ALIGNMENT: u64 = 8;

const MAGIC: [u8; 4] = *b"FGB1";

/// The longest description of a group that is believed, in bytes.
const MAX_META_BYTES: u32 = 1 << 30;

/// Where in the log something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u32,
    pub offset: u32,
}

impl Position {
    /// As one number, in order.
    pub fn to_number(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.offset)
    }

    /// Back from [`Position::to_number`].
    pub fn from_number(number: u64) -> Self {
        let low = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { segment: low(number >> 32), offset: low(number) }
    }
}

/// Where a group begins; its checksum is bound to it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The node's.
    pub node: [u8; 16],
    pub at: Position,
}

/// What a group says. `at` is the offset in the segment of the item itself; a blob's that of its
/// first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The items that follow are a batch of the cluster.
    Batch {
        slot: u16,
        sequence: u64,
    },
    /// The items that follow were copied from older segments, or repair what was lost.
    Moved,
    Put {
        key: Bytes,
        value: Bytes,
        at: u32,
    },
    Remove {
        key: Bytes,
    },
    Blob {
        id: BlobId,
        len: u64,
        at: u32,
    },
    /// A blob in a file of its own.
    Adopt {
        id: BlobId,
        len: u64,
        at: u32,
    },
    Free {
        id: BlobId,
    },
    /// A blob whose bytes were found corrupt when its segment was given up.
    Lost {
        id: BlobId,
        len: u64,
        at: u32,
    },
}

impl Item {
    /// What it takes up in the log, in bytes, with the blob that belongs to it.
    pub fn log_bytes(&self) -> u64 {
        match self {
            Self::Batch { .. } => 11,
            Self::Moved => 1,
            Self::Put { key, value, .. } => put_bytes(key.len(), value.len()),
            Self::Remove { key } => 3 + key.len() as u64,
            Self::Blob { len, .. } => blob_bytes(*len),
            Self::Adopt { .. } | Self::Lost { .. } => NAMED_BYTES,
            Self::Free { .. } => 17,
        }
    }
}

/// What an item about a blob elsewhere takes up, in bytes.
pub const NAMED_BYTES: u64 = 25;

/// What a put takes up, in bytes.
pub fn put_bytes(key_len: usize, value_len: usize) -> u64 {
    (7 + key_len + value_len) as u64
}

/// What a blob in the log takes up, in bytes.
pub fn blob_bytes(len: u64) -> u64 {
    33 + blocks::stored_bytes(len)
}

/// A header, as read.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    meta_bytes: u32,
    data_bytes: u64,
    pub serial: u64,
    meta_checksum: u64,
}

impl Header {
    fn encode(&self, place: Place) -> [u8; 40] {
        let mut bytes = [0; 40];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_u32_le(self.meta_bytes);
        out.put_u64_le(self.data_bytes);
        out.put_u64_le(self.serial);
        out.put_u64_le(self.meta_checksum);
        let checksum = Self::checksum(&bytes[..32], place);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn checksum(bytes: &[u8], place: Place) -> u64 {
        checksum::of(&[&place.node, &place.at.to_number().to_le_bytes(), bytes])
    }

    /// Reads a header; none if this isn't one of this place.
    pub fn decode(bytes: &[u8; 40], place: Place) -> Option<Self> {
        if bytes[..4] != MAGIC
            || bytes[32..] != Self::checksum(&bytes[..32], place).to_le_bytes()[..]
        {
            return None;
        }
        let mut input = Input(&bytes[4..32]);
        let header = Self {
            meta_bytes: input.u32()?,
            data_bytes: input.u64()?,
            serial: input.u64()?,
            meta_checksum: input.u64()?,
        };
        (header.meta_bytes <= MAX_META_BYTES).then_some(header)
    }

    /// The length of the whole group, in bytes.
    pub fn group_bytes(&self) -> u64 {
        HEADER_BYTES
            + (u64::from(self.meta_bytes).saturating_add(self.data_bytes))
                .next_multiple_of(ALIGNMENT)
    }
}

/// Makes a group.
#[derive(Debug)]
pub struct Builder {
    place: Place,
    serial: u64,
    meta: Vec<u8>,
    items: Vec<Item>,
    data: Vec<Bytes>,
    data_bytes: u64,
}

/// A group, ready to be written.
#[derive(Debug)]
pub struct Built {
    head: Vec<u8>,
    data: Vec<Bytes>,
    pub items: Vec<Item>,
    /// In all.
    pub bytes: u64,
}

impl Builder {
    /// An empty group for a place.
    pub fn new(place: Place, serial: u64) -> Self {
        let (meta, items, data) = (Vec::new(), Vec::new(), Vec::new());
        Self { place, serial, meta, items, data, data_bytes: 0 }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn here(&self) -> u32 {
        let here = u64::from(self.place.at.offset) + HEADER_BYTES + self.meta.len() as u64;
        // Groups are far shorter than what a segment may have.
        u32::try_from(here).unwrap_or(u32::MAX)
    }

    pub fn batch(&mut self, slot: u16, sequence: u64) {
        self.meta.put_u8(1);
        self.meta.put_u16_le(slot);
        self.meta.put_u64_le(sequence);
        self.items.push(Item::Batch { slot, sequence });
    }

    pub fn moved(&mut self) {
        self.meta.put_u8(2);
        self.items.push(Item::Moved);
    }

    /// The lengths were checked before.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        let at = self.here();
        self.meta.put_u8(3);
        self.meta.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
        self.meta.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.meta.put_slice(&key);
        self.meta.put_slice(&value);
        self.items.push(Item::Put { key, value, at });
    }

    pub fn remove(&mut self, key: Bytes) {
        self.meta.put_u8(4);
        self.meta.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
        self.meta.put_slice(&key);
        self.items.push(Item::Remove { key });
    }

    pub fn blob(&mut self, id: BlobId, data: &Bytes) {
        let len = data.len() as u64;
        self.named(5, id);
        self.meta.put_u64_le(len);
        self.meta.put_u64_le(self.data_bytes);
        // Relative until the description's length is known.
        let at = u32::try_from(self.data_bytes).unwrap_or(u32::MAX);
        self.items.push(Item::Blob { id, len, at });
        self.data.extend(blocks::encode(id, 0, data));
        self.data_bytes += blocks::stored_bytes(len);
    }

    pub fn adopt(&mut self, id: BlobId, len: u64) {
        let at = self.here();
        self.named(6, id);
        self.meta.put_u64_le(len);
        self.items.push(Item::Adopt { id, len, at });
    }

    pub fn free(&mut self, id: BlobId) {
        self.named(7, id);
        self.items.push(Item::Free { id });
    }

    pub fn lost(&mut self, id: BlobId, len: u64) {
        let at = self.here();
        self.named(8, id);
        self.meta.put_u64_le(len);
        self.items.push(Item::Lost { id, len, at });
    }

    fn named(&mut self, tag: u8, id: BlobId) {
        self.meta.put_u8(tag);
        self.meta.put_slice(&id.0);
    }

    pub fn finish(mut self) -> Built {
        let header = Header {
            meta_bytes: u32::try_from(self.meta.len()).unwrap_or(u32::MAX),
            data_bytes: self.data_bytes,
            serial: self.serial,
            meta_checksum: checksum::of(&[&self.meta]),
        };
        let data_at = self.here();
        for item in &mut self.items {
            if let Item::Blob { at, .. } = item {
                *at += data_at;
            }
        }
        let mut head = header.encode(self.place).to_vec();
        head.append(&mut self.meta);
        let bytes = header.group_bytes();
        let padding = bytes - head.len() as u64 - self.data_bytes;
        self.data.push(Bytes::from_static(&[0; 8][..usize::try_from(padding).unwrap_or(0)]));
        Built { head, data: self.data, items: self.items, bytes }
    }
}

impl Built {
    /// Writes it, without making it durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, file: &dyn DiskFile, offset: u64) -> io::Result<()> {
        let mut parts = vec![IoSlice::new(&self.head)];
        parts.extend(self.data.iter().map(|part| IoSlice::new(part)));
        file.write_at(&parts, offset)
    }
}

/// A group, as read.
#[derive(Debug)]
pub struct Group {
    pub header: Header,
    pub items: Vec<Item>,
}

impl Group {
    /// Reads the group that begins at a place of a segment with so many bytes; none if there is
    /// no whole one. The blobs aren't verified.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(file: &dyn DiskFile, place: Place, segment_bytes: u64) -> io::Result<Option<Self>> {
        let offset = u64::from(place.at.offset);
        if offset + HEADER_BYTES > segment_bytes {
            return Ok(None);
        }
        let mut bytes = [0; 40];
        file.read_at(&mut bytes, offset)?;
        let Some(header) = Header::decode(&bytes, place) else { return Ok(None) };
        if offset.saturating_add(header.group_bytes()) > segment_bytes {
            return Ok(None);
        }
        let mut meta = vec![0; header.meta_bytes as usize];
        file.read_at(&mut meta, offset + HEADER_BYTES)?;
        if checksum::of(&[&meta]) != header.meta_checksum {
            return Ok(None);
        }
        let start = place.at.offset.saturating_add(40);
        Ok(decode(meta.into(), start, header.data_bytes).map(|items| Self { header, items }))
    }

    /// Whether its blobs are whole.
    ///
    /// # Errors
    /// The disk's.
    pub fn has_whole_blobs(&self, file: &dyn DiskFile) -> io::Result<bool> {
        for item in &self.items {
            if let Item::Blob { id, len, at } = item
                && !blocks::verify(file, u64::from(*at), *id, *len)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads items; none if they are not as we write them.
fn decode(meta: Bytes, start: u32, data_bytes: u64) -> Option<Vec<Item>> {
    let total = meta.len();
    let data_at = u64::from(start) + total as u64;
    let mut items = Vec::new();
    let mut input = Input(&meta);
    while !input.0.is_empty() {
        let at = start.checked_add(u32::try_from(total - input.0.len()).ok()?)?;
        let item = match input.u8()? {
            1 => Item::Batch { slot: input.u16()?, sequence: input.u64()? },
            2 => Item::Moved,
            3 => {
                let (key_len, value_len) = (usize::from(input.u16()?), input.u32()? as usize);
                if key_len > MAX_KEY_BYTES || value_len > MAX_VALUE_BYTES {
                    return None;
                }
                let key = meta.slice_ref(input.take(key_len)?);
                Item::Put { key, value: meta.slice_ref(input.take(value_len)?), at }
            }
            4 => {
                let key_len = usize::from(input.u16()?);
                Item::Remove { key: meta.slice_ref(input.take(key_len)?) }
            }
            5 => {
                let (id, len, relative) = (input.id()?, input.u64()?, input.u64()?);
                if relative.checked_add(blocks::stored_bytes(len))? > data_bytes {
                    return None;
                }
                Item::Blob { id, len, at: u32::try_from(data_at + relative).ok()? }
            }
            6 => Item::Adopt { id: input.id()?, len: input.u64()?, at },
            7 => Item::Free { id: input.id()? },
            8 => Item::Lost { id: input.id()?, len: input.u64()?, at },
            _ => return None,
        };
        items.push(item);
    }
    Some(items)
}

/// Looks for the next group from an offset on, beginning anywhere.
///
/// # Errors
/// The disk's.
pub fn find_next(
    file: &dyn DiskFile,
    place: Place,
    segment_bytes: u64,
) -> io::Result<Option<Position>> {
    const WINDOW: u64 = 1 << 20;
    let mut at = u64::from(place.at.offset).next_multiple_of(ALIGNMENT);
    while at + HEADER_BYTES <= segment_bytes {
        let len = (segment_bytes - at).min(WINDOW);
        let mut window = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(&mut window, at)?;
        for (index, start) in window.chunks_exact(8).enumerate() {
            let Ok(offset) = u32::try_from(at + index as u64 * ALIGNMENT) else { break };
            if start[..4] != MAGIC {
                continue;
            }
            let here = Place { at: Position { offset, ..place.at }, ..place };
            if Group::read(file, here, segment_bytes)?.is_some() {
                return Ok(Some(here.at));
            }
        }
        at += len.next_multiple_of(ALIGNMENT);
    }
    Ok(None)
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn id(&mut self) -> Option<BlobId> {
        self.array().map(BlobId)
    }
}
