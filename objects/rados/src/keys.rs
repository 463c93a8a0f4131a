//! Names of objects, and keys of their ordered maps: in order, and without zero bytes, since
//! librados takes the start of a page as a C string.

use bytes::{BufMut, Bytes, BytesMut};
use node::BlobId;
use std::{ffi::CString, fmt::Write};

/// The kind of a key of an index object, its first byte.
const RECORD: u8 = b'r';
const BLOB: u8 = b'b';

/// Ends a record's key; less than all that may follow within one.
const END: u8 = 1;
/// Goes before what stands for one of the bytes 0, 1 and 2.
const ESCAPE: u8 = 2;

/// What is before the kinds' first key and begins all of them.
pub const RECORDS: &[u8] = &[RECORD];
pub const BLOBS: &[u8] = &[BLOB];

fn start_of(key: &[u8]) -> BytesMut {
    let mut stored = BytesMut::with_capacity(key.len() + key.len() / 4 + 8);
    stored.put_u8(RECORD);
    for byte in key {
        if *byte <= ESCAPE {
            stored.put_u8(ESCAPE);
            stored.put_u8(*byte + 1);
        } else {
            stored.put_u8(*byte);
        }
    }
    stored
}

/// A record's key.
pub fn record(key: &[u8]) -> Bytes {
    let mut stored = start_of(key);
    stored.put_u8(END);
    stored.freeze()
}

/// What is less than a record's key and all after it, and greater than all before it.
pub fn before_record(key: &[u8]) -> Bytes {
    start_of(key).freeze()
}

/// The key that a record's key stands for; none if it isn't one.
pub fn record_key(stored: &[u8]) -> Option<Bytes> {
    let inner = stored.strip_prefix(RECORDS)?.strip_suffix(&[END])?;
    let mut key = BytesMut::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match *byte {
            0 | END => return None,
            ESCAPE => key.put_u8(bytes.next()?.checked_sub(1).filter(|byte| *byte <= ESCAPE)?),
            other => key.put_u8(other),
        }
    }
    Some(key.freeze())
}

fn hex(start: &str, id: BlobId) -> String {
    let mut name = String::with_capacity(start.len() + 32);
    name.push_str(start);
    // Writing to a string can't fail.
    let _written = write!(name, "{id:?}");
    name
}

fn id_of(hex: &[u8]) -> Option<BlobId> {
    let digits = hex.first_chunk::<32>().filter(|_| hex.len() == 32)?;
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16)
        .ok()
        .map(|number| BlobId(number.to_be_bytes()))
}

/// The key that keeps a blob.
pub fn blob(id: BlobId) -> Bytes {
    hex("b", id).into()
}

/// The blob that a key keeps.
pub fn blob_id(stored: &[u8]) -> Option<BlobId> {
    id_of(stored.strip_prefix(BLOBS)?)
}

/// The name of a blob's object.
pub fn blob_object(id: BlobId) -> CString {
    name(&hex("blob.", id))
}

/// The blob of an object's name; none if it isn't one.
pub fn blob_of_object(name: &[u8]) -> Option<BlobId> {
    id_of(name.strip_prefix(b"blob.")?)
}

/// The name of an index object.
pub fn index_object(number: u16) -> CString {
    name(&format!("index.{number:04}"))
}

/// Without zero bytes.
fn name(text: &str) -> CString {
    c_string(text.as_bytes())
}

/// Up to the first zero byte, of which there is none in keys and names.
pub fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_else(|error| {
        let end = error.nul_position();
        CString::new(&bytes[..end]).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_order_and_have_no_zeros() {
        let mut keys: Vec<Vec<u8>> = vec![vec![], vec![0xff; 4096]];
        for first in [0, 1, 2, 3, b'r', 0xff] {
            keys.push(vec![first]);
            for second in [0, 1, 2, 3, 4, 0xff] {
                keys.push(vec![first, second]);
                keys.push(vec![first, second, 0]);
            }
        }
        keys.sort();
        let stored: Vec<Bytes> = keys.iter().map(|key| record(key)).collect();
        assert!(stored.is_sorted());
        for (key, stored_key) in keys.iter().zip(&stored) {
            assert!(!stored_key.contains(&0));
            assert_eq!(record_key(stored_key).as_deref(), Some(key.as_slice()));
            let before = before_record(key);
            for (other, stored_other) in keys.iter().zip(&stored) {
                assert_eq!(stored_other > &before, other >= key, "{other:?} {key:?}");
            }
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in
            [&b""[..], b"r", b"rabc", b"b\x01", b"r\x02\x01", b"r\x02\x09\x01", b"ra\x01b\x01"]
        {
            assert_eq!(record_key(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn blobs_have_names() {
        let id = BlobId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(blob_id(&blob(id)), Some(id));
        assert_eq!(blob_of_object(blob_object(id).as_bytes()), Some(id));
        assert_eq!(blob_of_object(b"blob.12"), None);
        assert_eq!(blob_of_object(index_object(7).as_bytes()), None);
    }
}
