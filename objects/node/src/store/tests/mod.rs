//! Tests of a node's state on simulated disks.

mod crash;
mod faults;
mod model;
mod rot;

use super::{Store, Work};
use crate::{Batch, BlobId, Change, OpenReport, Options, disk::SimDisk};
use bytes::Bytes;
use std::sync::Arc;

/// Opens a node with small limits.
fn open(disk: &SimDisk) -> (Arc<Store>, OpenReport) {
    try_open(disk).expect("it opens")
}

fn try_open(disk: &SimDisk) -> Result<(Arc<Store>, OpenReport), crate::OpenFault> {
    let (store, report) = Store::open(Arc::new(disk.clone()), Options::small(), [7; 16])?;
    Ok((Arc::new(store), report))
}

fn id(number: u64) -> BlobId {
    BlobId(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
}

/// Bytes that differ from those of any other seed.
fn bytes(seed: u64, len: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(len + 8);
    let mut word = seed << 20;
    while bytes.len() < len {
        bytes.extend_from_slice(&word.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        word += 1;
    }
    bytes.truncate(len);
    bytes.into()
}

fn put(key: &str, value: &Bytes) -> Change {
    Change { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(value.clone()) }
}

fn remove(key: &str) -> Change {
    Change { key: Bytes::copy_from_slice(key.as_bytes()), value: None }
}

fn commit(store: &Store, batch: Batch) -> crate::NodeResult<()> {
    let results = store.commit_group(vec![Work::Batch(batch)]);
    results.into_iter().next().expect("a result for each batch")
}

/// Writes a blob to a file and doesn't adopt it.
fn write_file(store: &Arc<Store>, id: BlobId, data: &Bytes) {
    let mut file = store.create_blob(id).expect("it begins");
    file.write(data.clone()).expect("it is written");
    file.finish().expect("it is durable");
}

/// A blob's whole content.
fn content(store: &Store, id: BlobId) -> crate::NodeResult<Bytes> {
    let len = store.blob_len(id)?;
    let mut read = Vec::new();
    while (read.len() as u64) < len {
        read.extend_from_slice(&store.read_blob(id, read.len() as u64, usize::MAX)?);
    }
    Ok(read.into())
}

/// Does all that there is to do beside batches.
fn settle(store: &Store) {
    while store.tend(true).expect("it is alive") {
        store.move_only().expect("there is room");
    }
}
