//! A body on its way into the cluster: one small blob that travels with its record, or a row of
//! blobs that are durable before the record is.

use crate::{BLOB_BYTES, BlobId, Cluster, ClusterResult, new_blob_id};
use bytes::{Bytes, BytesMut};
use node::{BlobWriter, MAX_INLINE_BLOB_BYTES};
use std::{fmt, sync::Arc};

/// A blob of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRef {
    pub id: BlobId,
    pub len: u64,
}

/// A body that was taken in, to be referred to by a record.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// In order.
    pub blobs: Vec<BlobRef>,
    /// To be passed to the commit with the record.
    pub inline: Vec<(BlobId, Bytes)>,
}

/// Takes in a body of any length, in bounded memory. Dropped early, it leaves nothing behind.
pub struct BodyWriter {
    cluster: Arc<Cluster>,
    slot: u16,
    /// What is held until it is too long to travel with the record.
    held: BytesMut,
    open: Option<OpenBlob>,
    done: Vec<BlobRef>,
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("slot", &self.slot).field("done", &self.done).finish()
    }
}

struct OpenBlob {
    id: BlobId,
    len: u64,
    writers: Vec<Box<dyn BlobWriter>>,
}

impl BodyWriter {
    pub(crate) fn new(cluster: Arc<Cluster>, slot: u16) -> Self {
        Self { cluster, slot, held: BytesMut::new(), open: None, done: Vec::new() }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Too few replicas take it.
    pub async fn write(&mut self, data: Bytes) -> ClusterResult<()> {
        if self.open.is_none() && self.done.is_empty() {
            if self.held.len() + data.len() <= MAX_INLINE_BLOB_BYTES {
                self.held.extend_from_slice(&data);
                return Ok(());
            }
            let held = self.held.split().freeze();
            self.append(held).await?;
        }
        self.append(data).await
    }

    async fn append(&mut self, mut data: Bytes) -> ClusterResult<()> {
        while !data.is_empty() {
            let open = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(create(&self.cluster).await?),
            };
            let room = usize::try_from(BLOB_BYTES - open.len).unwrap_or(usize::MAX);
            let now = data.split_to(room.min(data.len()));
            open.len += now.len() as u64;
            for writer in &mut open.writers {
                writer.write(now.clone()).await?;
            }
            if open.len == BLOB_BYTES {
                self.close().await?;
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> ClusterResult<()> {
        if let Some(open) = self.open.take() {
            for writer in open.writers {
                writer.finish().await?;
            }
            self.done.push(BlobRef { id: open.id, len: open.len });
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// Too few replicas have it durably.
    pub async fn finish(mut self) -> ClusterResult<Body> {
        if self.open.is_none() && self.done.is_empty() {
            if self.held.is_empty() {
                return Ok(Body::default());
            }
            let (id, data) = (new_blob_id(), self.held.freeze());
            let blobs = vec![BlobRef { id, len: data.len() as u64 }];
            return Ok(Body { blobs, inline: vec![(id, data)] });
        }
        self.close().await?;
        Ok(Body { blobs: self.done, inline: Vec::new() })
    }
}

async fn create(cluster: &Cluster) -> ClusterResult<OpenBlob> {
    let id = new_blob_id();
    let mut writers = Vec::with_capacity(cluster.nodes.len());
    for node in &cluster.nodes {
        writers.push(node.create_blob(id).await?);
    }
    Ok(OpenBlob { id, len: 0, writers })
}
