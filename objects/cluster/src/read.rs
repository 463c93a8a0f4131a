//! Reading records and blobs from replicas in sync, and mending what turns out to be bad.

use crate::{
    BlobId, ClusterFault, ClusterResult,
    core::{Core, unavailable},
    link::{Link, Write},
    place::{SLOTS, slot_of},
};
use bytes::{Bytes, BytesMut};
use node::{NodeFault, NodeResult};
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::RwLockReadGuard;

impl Core {
    /// Waits for the commit of a slot that may be on some replicas only.
    pub async fn shared(&self, slot: u16) -> ClusterResult<RwLockReadGuard<'_, ()>> {
        let lock = &self.commits[usize::from(slot % SLOTS)];
        if let Ok(guard) = lock.try_read() {
            return Ok(guard);
        }
        tokio::time::timeout(self.limits.wait, lock.read())
            .await
            .map_err(|_| unavailable("a commit before this one isn't decided"))
    }

    /// A record's bytes, as of the last commit.
    pub async fn get(&self, key: &[u8]) -> ClusterResult<Option<Bytes>> {
        let Some(slot) = slot_of(key) else { return Ok(None) };
        let _shared = self.shared(slot).await?;
        self.get_unlocked(slot, key).await
    }

    /// The same for those who hold the slot's lock.
    pub async fn get_unlocked(&self, slot: u16, key: &[u8]) -> ClusterResult<Option<Bytes>> {
        for link in self.readers(slot) {
            let Ok(node) = link.node() else { continue };
            match link.within(self.limits.read, node.get(key)).await {
                Ok(value) => return Ok(value),
                Err(fault) => self.distrust(&link, &fault),
            }
        }
        Err(unavailable("no replica in sync takes part"))
    }

    /// After a fault that isn't known to end the node, its records are compared with the others'.
    pub fn distrust(&self, link: &Link, fault: &NodeFault) {
        if !matches!(fault, NodeFault::Down(_)) {
            link.counts.corrupt.fetch_add(1, Ordering::Relaxed);
            log::warn!("storage node {}: a record can't be read: {fault}", link.id);
            self.request_walk();
        }
    }

    /// The nodes that may have a slot's blobs: those in sync first, starting with one that the
    /// blob's name chooses.
    pub fn sources(&self, slot: u16, id: BlobId) -> Vec<Arc<Link>> {
        let mut links = self.readers(slot);
        if !links.is_empty() {
            let first = usize::from(id.0[0]) % links.len();
            links.rotate_left(first);
        }
        let all = self.links();
        let map = self.map();
        // Also those that are down: what they may have isn't lost.
        let others = map.members(slot).iter().filter_map(|member| all.get(&member.node));
        let others: Vec<_> =
            others.filter(|other| links.iter().all(|link| link.id != other.id)).cloned().collect();
        links.extend(others);
        links
    }

    /// A part of a blob, from the first replica that has it whole; the others are mended.
    pub async fn read_blob(
        self: &Arc<Self>,
        slot: u16,
        id: BlobId,
        offset: u64,
        len: usize,
    ) -> ClusterResult<Bytes> {
        let mut bad = Vec::new();
        let mut away = None;
        for link in self.sources(slot, id) {
            let answer = match link.node() {
                Ok(node) => link.within(self.limits.read, node.read_blob(id, offset, len)).await,
                Err(fault) => Err(fault),
            };
            match answer {
                Ok(data) => {
                    self.mend(slot, id, bad);
                    return Ok(data);
                }
                Err(NodeFault::NotFound(_) | NodeFault::CorruptBlob(_)) => bad.push(link),
                Err(NodeFault::Down(why)) => away = Some(why),
                Err(NodeFault::Full | NodeFault::Refused(_)) => (),
            }
        }
        Err(away.map_or(ClusterFault::Lost(id), ClusterFault::Unavailable))
    }

    /// Mends bad replicas of a blob in the background.
    fn mend(self: &Arc<Self>, slot: u16, id: BlobId, bad: Vec<Arc<Link>>) {
        let in_sync: Vec<_> = self.map().in_sync(slot).collect();
        let bad: Vec<_> = bad.into_iter().filter(|link| in_sync.contains(&link.id)).collect();
        if bad.is_empty() || self.custody.is_doomed(id) || self.custody.is_pending(id) {
            return;
        }
        let core = self.clone();
        self.spawn(async move {
            for link in bad {
                link.counts.corrupt.fetch_add(1, Ordering::Relaxed);
                let sources = core.sources(slot, id);
                if let Err(fault) = core.copy_blob(id, &sources, &link).await {
                    log::warn!("blob {id:?} isn't mended on storage node {}: {fault}", link.id);
                }
            }
        });
    }

    /// A whole blob from any of the nodes.
    pub async fn whole_blob(&self, id: BlobId, from: &[Arc<Link>]) -> NodeResult<Bytes> {
        let mut worst = NodeFault::NotFound(id);
        if from.is_empty() {
            worst = NodeFault::Down("no other replica takes part".into());
        }
        for link in from {
            match self.fetch(id, link).await {
                Ok(data) => return Ok(data),
                Err(fault @ NodeFault::Down(_)) => worst = fault,
                Err(
                    NodeFault::Full
                    | NodeFault::NotFound(_)
                    | NodeFault::CorruptBlob(_)
                    | NodeFault::Refused(_),
                ) => (),
            }
        }
        Err(worst)
    }

    async fn fetch(&self, id: BlobId, link: &Link) -> NodeResult<Bytes> {
        let node = link.node()?;
        let whole = async {
            let len = usize::try_from(node.blob_len(id).await?).unwrap_or(usize::MAX);
            let mut data = BytesMut::new();
            while data.len() < len {
                let more = node.read_blob(id, data.len() as u64, len - data.len()).await?;
                if more.is_empty() {
                    return Err(NodeFault::CorruptBlob(id));
                }
                if data.is_empty() && more.len() == len {
                    return Ok(more);
                }
                data.extend_from_slice(&more);
            }
            Ok(data.freeze())
        };
        link.within(self.limits.read, whole).await
    }

    /// Copies a blob from any of the nodes to another.
    pub async fn copy_blob(
        &self,
        id: BlobId,
        from: &[Arc<Link>],
        to: &Arc<Link>,
    ) -> NodeResult<()> {
        let others: Vec<_> = from.iter().filter(|link| link.id != to.id).cloned().collect();
        let data = self.whole_blob(id, &others).await?;
        self.write_one(to, Write::Blob(id, data)).await?;
        to.counts.repaired.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
