//! A record: what its writer puts in, and the blobs that it keeps.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use node::BlobId;

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The blobs that live as long as this record.
    pub blobs: Vec<BlobId>,
    pub value: Bytes,
}

const LIVE: u8 = 1;

impl Record {
    /// The length of its bytes on a node.
    pub(crate) fn encoded_len(&self) -> usize {
        13 + 16 * self.blobs.len() + self.value.len()
    }

    /// Its bytes on a node: kind, sequence of the commit, blobs, value.
    pub(crate) fn encode(&self, sequence: u64) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.encoded_len());
        bytes.put_u8(LIVE);
        bytes.put_u64(sequence);
        bytes.put_u32(u32::try_from(self.blobs.len()).unwrap_or(u32::MAX));
        self.blobs.iter().for_each(|id| bytes.put_slice(&id.0));
        bytes.put_slice(&self.value);
        bytes.freeze()
    }

    /// The sequence of the commit that made it; 0 if these aren't a live record's bytes.
    pub(crate) fn sequence(bytes: &Bytes) -> u64 {
        match bytes.split_first_chunk::<9>() {
            Some(([LIVE, sequence @ ..], _)) => u64::from_be_bytes(*sequence),
            Some(_) | None => 0,
        }
    }

    /// The blobs of a record's bytes.
    pub(crate) fn blobs_of(bytes: &Bytes) -> Vec<BlobId> {
        Self::decode(bytes.clone()).map(|record| record.blobs).unwrap_or_default()
    }

    /// None if these aren't a live record's bytes.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < 13 || bytes.get_u8() != LIVE {
            return None;
        }
        let _sequence = bytes.get_u64();
        let count = usize::try_from(bytes.get_u32()).ok()?;
        if bytes.len() / 16 < count {
            return None;
        }
        let mut blobs = Vec::with_capacity(count);
        for _ in 0..count {
            let mut id = [0; 16];
            bytes.copy_to_slice(&mut id);
            blobs.push(BlobId(id));
        }
        Some(Self { blobs, value: bytes })
    }
}
