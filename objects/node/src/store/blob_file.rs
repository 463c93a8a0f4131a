//! Blobs in files of their own.

use super::{Store, lock};
use crate::{
    BlobId, MAX_BLOB_BYTES, NodeFault, NodeResult, blocks,
    disk::{DiskFile, is_full},
};
use bytes::{Bytes, BytesMut};
use std::{
    io::{self, IoSlice},
    sync::Arc,
};

/// The folder of the folders of blobs.
pub const FOLDER: &str = "blobs";

/// A blob's folder.
pub fn folder(first: u8) -> String {
    format!("{FOLDER}/{first:02x}")
}

/// A blob's file.
pub fn path(id: BlobId) -> String {
    format!("{}/{id:?}", folder(id.0[0]))
}

/// The blob of a file's name.
pub fn id_of(name: &str) -> Option<BlobId> {
    let id = BlobId(u128::from_str_radix(name, 16).ok()?.to_be_bytes());
    (format!("{id:?}") == name).then_some(id)
}

/// A blob that is being written. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub struct BlobFile {
    store: Arc<Store>,
    id: BlobId,
    draft: String,
    /// None once it has its name.
    file: Option<Arc<dyn DiskFile>>,
    /// Less than a block.
    rest: BytesMut,
    /// Written, without `rest`.
    len: u64,
}

impl BlobFile {
    pub(super) fn create(store: Arc<Store>, id: BlobId, number: u64) -> NodeResult<Self> {
        let draft = format!("{}.{number}.new", path(id));
        let file = store.disk.create(&draft).map_err(|error| store.write_fault(&error))?;
        Ok(Self { store, id, draft, file: Some(file), rest: BytesMut::new(), len: 0 })
    }

    /// Takes the next bytes.
    pub fn write(&mut self, mut data: Bytes) -> NodeResult<()> {
        self.store.alive()?;
        let block = usize::try_from(blocks::BLOCK_BYTES).unwrap_or(usize::MAX);
        let total = self.len + (self.rest.len() + data.len()) as u64;
        if total > MAX_BLOB_BYTES {
            return Err(NodeFault::Refused("a blob is longer than 8 MiB"));
        }
        if !self.rest.is_empty() {
            let wanted = (block - self.rest.len()).min(data.len());
            self.rest.extend_from_slice(&data.split_to(wanted));
            if self.rest.len() == block {
                let whole = self.rest.split().freeze();
                self.append(&whole)?;
            }
        }
        let whole = data.split_to(data.len() / block * block);
        self.append(&whole)?;
        self.rest.extend_from_slice(&data);
        Ok(())
    }

    fn append(&mut self, data: &Bytes) -> NodeResult<()> {
        let Some(file) = self.file.as_ref().filter(|_| !data.is_empty()) else { return Ok(()) };
        let parts = blocks::encode(self.id, self.len / blocks::BLOCK_BYTES, data);
        let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let written = file.write_at(&parts, blocks::stored_bytes(self.len));
        written.map_err(|error| self.store.write_fault(&error))?;
        self.len += data.len() as u64;
        Ok(())
    }

    /// Makes it durable under its name, awaiting its adoption. Gives its length.
    pub fn finish(mut self) -> NodeResult<u64> {
        let rest = self.rest.split().freeze();
        self.append(&rest)?;
        let store = self.store.clone();
        store.alive()?;
        if let Some(file) = &self.file {
            file.sync().map_err(|error| store.fail_by("a blob's flush", &error))?;
            // Together, so that a removal of what had the name before doesn't take this one.
            let mut pending = lock(&store.pending);
            let renamed = store.disk.rename(&self.draft, &path(self.id));
            renamed.map_err(|error| store.fail_by("a blob's name", &error))?;
            self.file = None;
            pending.insert(self.id, self.len);
        }
        let synced = store.disk.sync_folder(&folder(self.id.0[0]));
        synced.map_err(|error| store.fail_by("a blob's folder", &error))?;
        Ok(self.len)
    }
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // If this fails, the next start removes it.
            let _ = self.store.disk.remove(&self.draft);
        }
    }
}

impl Store {
    /// What a failed write means: a full disk is no reason to give up.
    pub(super) fn write_fault(&self, error: &io::Error) -> NodeFault {
        if is_full(error) { NodeFault::Full } else { self.fail_by("a write", error) }
    }
}
