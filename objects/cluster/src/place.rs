//! Where a key belongs: its place in the index, and its slot.

use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;

/// How many slots there are. The number can't change: a key's slot decides where its data lies.
pub const SLOTS: u16 = 4096;

/// Tables of records. Their numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Of the whole store: its accounts' settings and the like.
    Settings = 1,
    /// Buckets, by name.
    Buckets = 2,
    /// Versions of objects and delete markers.
    Objects = 3,
    /// Multipart uploads in progress.
    Uploads = 4,
    /// Parts of uploads, in progress and complete.
    Parts = 5,
    /// What waits to be removed in the background.
    Garbage = 6,
    /// What waits to be told of a bucket's keys.
    Events = 7,
    /// Versions that wait to be copied to other buckets.
    Replication = 8,
}

impl Table {
    const ALL: [Self; 8] = [
        Self::Settings,
        Self::Buckets,
        Self::Objects,
        Self::Uploads,
        Self::Parts,
        Self::Garbage,
        Self::Events,
        Self::Replication,
    ];
}

/// Records of the cluster itself, on each node; before all tables, and in no slot.
pub(crate) mod internal {
    /// Whose node this is: the cluster's ID and the node's number.
    pub const IDENTITY: &[u8] = b"\0identity";
    /// The map.
    pub const MAP: &[u8] = b"\0map";
    /// The last session that this node has promised to take part in.
    pub const SESSION: &[u8] = b"\0session";
    /// All batches with lower sequence numbers are on all replicas in sync.
    pub const SETTLED: &[u8] = b"\0settled";
    /// Where the scrubber is.
    pub const SCRUB: &[u8] = b"\0scrub";
    /// The first key after them.
    pub const END: &[u8] = b"\x01";
}

/// A bucket's number and a key in it. All records of one place share a slot and can change as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// 0 for what is in no bucket.
    pub bucket: u64,
    pub key: Bytes,
}

/// The end of an escaped key; within it, a zero byte is followed by [`ESCAPED`].
const END: [u8; 2] = [0, 1];
const ESCAPED: u8 = 0xff;

impl Place {
    /// A place.
    pub fn new(bucket: u64, key: impl Into<Bytes>) -> Self {
        Self { bucket, key: key.into() }
    }

    /// The slot: `BLAKE3(bucket, key)` modulo [`SLOTS`].
    #[must_use]
    pub fn slot(&self) -> u16 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.bucket.to_be_bytes()).update(&self.key);
        let hash = hasher.finalize();
        u16::from_be_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]) % SLOTS
    }

    /// The key of a record: they sort by table, bucket, key (as bytes), and suffix.
    #[must_use]
    pub fn record(&self, table: Table, suffix: &[u8]) -> Bytes {
        let mut record = prefix(table, self.bucket, &self.key, suffix.len() + END.len());
        record.put_slice(&END);
        record.put_slice(suffix);
        record.freeze()
    }

    /// The place, table and suffix of a record's key; none if it isn't one.
    #[must_use]
    pub fn of_record(record: &[u8]) -> Option<(Table, Self, &[u8])> {
        let (&number, rest) = record.split_first()?;
        let table = Table::ALL.into_iter().find(|table| *table as u8 == number)?;
        let (bucket, mut rest) = rest.split_first_chunk::<8>()?;
        let mut key = BytesMut::with_capacity(rest.len());
        loop {
            let zero = rest.iter().position(|byte| *byte == 0)?;
            key.put_slice(&rest[..zero]);
            let after = *rest.get(zero + 1)?;
            rest = &rest[zero + 2..];
            match after {
                1 => break,
                ESCAPED => key.put_u8(0),
                _ => return None,
            }
        }
        let bucket = u64::from_be_bytes(*bucket);
        Some((table, Self { bucket, key: key.freeze() }, rest))
    }
}

/// The slot that all records from `from`, inclusive, to `until`, exclusive, belong to; none if they
/// may be of several.
#[must_use]
pub fn slot_of_part(from: &[u8], until: Option<&[u8]>) -> Option<u16> {
    let (table, place, _) = Place::of_record(from)?;
    let end = after_key(table, place.bucket, &place.key);
    until.is_some_and(|until| until <= &end[..]).then(|| place.slot())
}

/// The slot of a record's key; none if it isn't one.
pub(crate) fn slot_of(record: &[u8]) -> Option<u16> {
    Place::of_record(record).map(|(_, place, _)| place.slot())
}

fn prefix(table: Table, bucket: u64, key: &[u8], more: usize) -> BytesMut {
    let mut record = BytesMut::with_capacity(9 + key.len() + more + 8);
    record.put_u8(table as u8);
    record.put_u64(bucket);
    for byte in key {
        record.put_u8(*byte);
        if *byte == 0 {
            record.put_u8(ESCAPED);
        }
    }
    record
}

/// The records of a table and bucket whose keys begin with `key_prefix`.
#[must_use]
pub fn range(table: Table, bucket: u64, key_prefix: &[u8]) -> Range<Bytes> {
    let from = prefix(table, bucket, key_prefix, 0).freeze();
    let until = after_prefix(&from);
    from..until
}

/// The first possible record after all those of a key: where to go on after it.
#[must_use]
pub fn after_key(table: Table, bucket: u64, key: &[u8]) -> Bytes {
    let mut record = prefix(table, bucket, key, 2);
    record.put_slice(&[END[0], END[1] + 1]);
    record.freeze()
}

/// The first possible record after all keys that begin with `key_prefix`.
#[must_use]
pub fn after_keys(table: Table, bucket: u64, key_prefix: &[u8]) -> Bytes {
    range(table, bucket, key_prefix).end
}

/// The least string greater than all that begin with `prefix`. A table's number is never 255, so
/// there is one.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_back_its_place() {
        for key in ["", "a", "a/b", "a\0b", "\0", "\0\u{1}", "ключ"] {
            let place = Place::new(7, key.as_bytes().to_vec());
            let record = place.record(Table::Uploads, b"\0suffix");
            let expected = Some((Table::Uploads, place, b"\0suffix".as_slice()));
            assert_eq!(Place::of_record(&record), expected);
        }
        for bad in [&b""[..], b"\x03", b"\x03\0\0\0\0\0\0\0\0abc", b"\x63\0\0\0\0\0\0\0\0\0\x01"] {
            assert_eq!(Place::of_record(bad), None);
        }
    }

    #[test]
    fn a_part_has_a_slot_if_all_its_records_do() {
        let place = Place::new(7, "a\0b");
        let (from, end) = (place.record(Table::Parts, b"x"), after_key(Table::Parts, 7, b"a\0b"));
        let next = [&from[..], b"\0"].concat();
        assert_eq!(slot_of_part(&from, Some(&next)), Some(place.slot()));
        assert_eq!(slot_of_part(&from, Some(&end)), Some(place.slot()));
        assert_eq!(slot_of_part(&from, Some(&[&end[..], b"\0"].concat())), None);
        assert_eq!(slot_of_part(&from, None), None);
        let range = range(Table::Parts, 7, b"a");
        assert_eq!(slot_of_part(&range.start, Some(&range.end)), None);
        assert_eq!(slot_of_part(internal::MAP, Some(b"\0map\0")), None);
    }

    #[test]
    fn records_sort_as_their_keys() {
        let keys = ["", "\0", "\0\0", "\0a", "a", "a\0", "a\0b", "a\u{1}", "a/", "aa", "b"];
        let records: Vec<_> = keys
            .iter()
            .map(|key| Place::new(1, key.as_bytes()).record(Table::Objects, &[0xff; 8]))
            .collect();
        assert!(records.is_sorted());
        for (key, record) in keys.iter().zip(&records) {
            let after = after_key(Table::Objects, 1, key.as_bytes());
            assert!(record < &after);
            assert!(records.iter().all(|other| other <= record || other >= &after));
            let range = range(Table::Objects, 1, key.as_bytes());
            for (other, record) in keys.iter().zip(&records) {
                assert_eq!(range.contains(record), other.starts_with(key), "{other:?} {key:?}");
            }
        }
    }
}
