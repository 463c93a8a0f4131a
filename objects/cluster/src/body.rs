//! A body on its way into the cluster: one small blob that travels with its record, or a row of
//! blobs that are durable before the record is.

use crate::{
    BLOB_BYTES, BlobId, ClusterFault, ClusterResult,
    core::{Core, unavailable},
    custody::Holders,
    link::Link,
};
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use node::{BlobWriter, MAX_INLINE_BLOB_BYTES, NodeFault, NodeResult};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// A blob of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRef {
    pub id: BlobId,
    pub len: u64,
}

/// A body that was taken in, to be referred to by a record. Its blobs are there for as long as it
/// is, and for some time after; then they are freed, unless a commit has adopted them.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// In order.
    pub blobs: Vec<BlobRef>,
    /// To be passed to the commit with the record.
    pub inline: Vec<(BlobId, Bytes)>,
    _hold: Option<Arc<Hold>>,
}

/// A hold on blobs that no record refers to yet.
struct Hold {
    core: Arc<Core>,
    ids: Vec<BlobId>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.ids).finish()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.core.custody.loosen(&self.ids);
    }
}

/// Takes in a body of any length, in bounded memory. Dropped early, it leaves nothing behind.
pub struct BodyWriter {
    slot: u16,
    /// What is held until it is too long to travel with the record.
    held: BytesMut,
    /// It will be too long: nothing is held.
    is_long: bool,
    open: Option<OpenBlob>,
    done: Vec<BlobRef>,
    /// The blob before the open one, which becomes durable meanwhile.
    closing: Option<oneshot::Receiver<ClusterResult<()>>>,
    hold: Hold,
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("slot", &self.slot).field("done", &self.done).finish()
    }
}

impl BodyWriter {
    pub(crate) fn new(core: Arc<Core>, slot: u16) -> Self {
        let hold = Hold { core, ids: Vec::new() };
        let held = BytesMut::new();
        Self { slot, held, is_long: false, open: None, done: Vec::new(), closing: None, hold }
    }

    /// Says how long the body will be, in bytes, as far as that is known: a long one needn't be held.
    /// Nothing depends on its being true.
    pub fn expect(&mut self, len: u64) {
        self.is_long = len > MAX_INLINE_BLOB_BYTES as u64;
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Too few replicas take it.
    pub async fn write(&mut self, data: Bytes) -> ClusterResult<()> {
        if !self.is_long && self.open.is_none() && self.done.is_empty() {
            if self.held.len() + data.len() <= MAX_INLINE_BLOB_BYTES {
                self.held.extend_from_slice(&data);
                return Ok(());
            }
            let held = std::mem::take(&mut self.held).freeze();
            self.append(held).await?;
        }
        self.append(data).await
    }

    async fn append(&mut self, mut data: Bytes) -> ClusterResult<()> {
        while !data.is_empty() {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let id = self.hold.core.new_blob_id();
                    self.hold.ids.push(id);
                    self.open.insert(OpenBlob::create(&self.hold.core, self.slot, id).await?)
                }
            };
            let room = usize::try_from(BLOB_BYTES - open.len).unwrap_or(usize::MAX);
            let now = data.split_to(room.min(data.len()));
            open.write(&self.hold.core, now).await?;
            if open.len == BLOB_BYTES {
                self.close().await?;
            }
        }
        Ok(())
    }

    /// Lets the open blob become durable, once the one before is.
    async fn close(&mut self) -> ClusterResult<()> {
        self.closed().await?;
        if let Some(open) = self.open.take() {
            self.done.push(BlobRef { id: open.id, len: open.len });
            let (answer, answered) = oneshot::channel();
            let core = self.hold.core.clone();
            self.hold.core.spawn(async move {
                // A writer that is gone needs no answer.
                let _gone = answer.send(open.finish(&core).await);
            });
            self.closing = Some(answered);
        }
        Ok(())
    }

    async fn closed(&mut self) -> ClusterResult<()> {
        match self.closing.take() {
            Some(closing) => {
                closing.await.unwrap_or_else(|_| Err(unavailable("the object store is closing")))
            }
            None => Ok(()),
        }
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
            let (id, data) = (self.hold.core.new_blob_id(), self.held.freeze());
            let blobs = vec![BlobRef { id, len: data.len() as u64 }];
            return Ok(Body { blobs, inline: vec![(id, data)], _hold: None });
        }
        self.close().await?;
        self.closed().await?;
        Ok(Body { blobs: self.done, inline: Vec::new(), _hold: Some(Arc::new(self.hold)) })
    }
}

/// A blob that is being written to the members of its slot.
struct OpenBlob {
    id: BlobId,
    slot: u16,
    len: u64,
    writers: Vec<Writer>,
}

struct Writer {
    link: Arc<Link>,
    /// The link's when the blob began.
    generation: u64,
    writer: Box<dyn BlobWriter>,
}

async fn within<T>(
    link: &Link,
    limit: Duration,
    answer: impl Future<Output = NodeResult<T>>,
) -> NodeResult<T> {
    let result = tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(NodeFault::Down("it takes too long to write".into())));
    link.note(&result);
    result
}

impl OpenBlob {
    async fn create(core: &Core, slot: u16, id: BlobId) -> ClusterResult<Self> {
        core.custody.expect(slot, id);
        let links = core.links();
        let members = core.map();
        let links = members.members(slot).iter().filter_map(|member| links.get(&member.node));
        let created = links.filter(|link| link.is_usable()).map(async |link| {
            let generation = link.generation();
            let node = link.node()?;
            let writer = within(link, core.limits.write, node.create_blob(id)).await?;
            Ok(Writer { link: link.clone(), generation, writer })
        });
        let mut blob = Self { id, slot, len: 0, writers: Vec::new() };
        let faults = blob.keep(join_all(created).await);
        blob.enough(core, &faults)?;
        Ok(blob)
    }

    /// Keeps the writers that go on, and gives the faults of the others.
    fn keep(&mut self, results: Vec<NodeResult<Writer>>) -> Vec<NodeFault> {
        let mut faults = Vec::new();
        self.writers = results
            .into_iter()
            .filter_map(|result| result.map_err(|fault| faults.push(fault)).ok())
            .collect();
        faults
    }

    /// Whether enough members in sync take it.
    fn enough(&self, core: &Core, faults: &[NodeFault]) -> ClusterResult<()> {
        let map = core.map();
        let in_sync: BTreeSet<_> = map.in_sync(self.slot).collect();
        let taking = self.writers.iter().filter(|writer| in_sync.contains(&writer.link.id));
        if taking.count() >= map.enough() {
            Ok(())
        } else if faults.iter().any(|fault| matches!(fault, NodeFault::Full)) {
            Err(ClusterFault::Full)
        } else {
            Err(unavailable("too few replicas in sync take part"))
        }
    }

    async fn write(&mut self, core: &Core, data: Bytes) -> ClusterResult<()> {
        self.len += data.len() as u64;
        let writers = std::mem::take(&mut self.writers);
        let written = writers.into_iter().map(|mut writer| {
            let data = data.clone();
            async move {
                let write = writer.writer.write(data);
                within(&writer.link, core.limits.write, write).await?;
                Ok(writer)
            }
        });
        let faults = self.keep(join_all(written).await);
        self.enough(core, &faults)
    }

    async fn finish(mut self, core: &Core) -> ClusterResult<()> {
        let writers = std::mem::take(&mut self.writers);
        let finished = writers.into_iter().map(async |Writer { link, generation, writer }| {
            within(&link, core.limits.write, writer.finish()).await?;
            Ok((link, generation))
        });
        let finished: Vec<NodeResult<_>> = join_all(finished).await;
        let in_sync: BTreeSet<_> = core.map().in_sync(self.slot).collect();
        let full = finished.iter().any(|result| matches!(result, Err(NodeFault::Full)));
        let holders: Holders =
            finished.iter().flatten().map(|(link, generation)| (link.id, *generation)).collect();
        let good = holders.iter().filter(|(node, _)| in_sync.contains(node)).count();
        core.custody.written(self.id, holders);
        match (good >= core.map().enough(), full) {
            (true, _) => Ok(()),
            (false, true) => Err(ClusterFault::Full),
            (false, false) => Err(unavailable("too few replicas in sync take part")),
        }
    }
}
