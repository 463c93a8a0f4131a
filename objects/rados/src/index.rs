//! The index objects: who owns them, batches, and single records.

use crate::{
    Inner,
    ffi::{Errno, Keys, Pool, Read, WriteStep},
    keys, sums,
};
use bytes::Bytes;
use node::{Batch, BlobId, NodeFault, NodeResult};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{CStr, CString},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::RwLock, task::JoinSet};

const HEAD: &CStr = c"head";
pub const EPOCH: &CStr = c"epoch";
const FORMAT: &CStr = c"format";
const SHARDS: &CStr = c"shards";

/// The format that is written, and the only one that is read.
const FORMAT_1: Bytes = Bytes::from_static(b"1");

/// How many index objects a new namespace gets. A batch writes to one; a scan reads all.
const NEW_SHARDS: u16 = 64;
const MAX_SHARDS: u16 = 4096;

/// How often to try to become the owner when others do, too.
const TAKE_OVER_ATTEMPTS: usize = 8;

/// An index object.
#[derive(Debug)]
pub struct Shard {
    pub object: CString,
    /// Shared by the commits in progress; a scan that needs several reads keeps them out.
    pub writers: Arc<RwLock<()>>,
    /// How many commits have begun and ended.
    pub commits: AtomicU64,
}

/// A namespace that is this process's now.
#[derive(Debug)]
pub struct Owned {
    pub epoch: Bytes,
    /// Those of slots, and the one of repaired blobs.
    pub shards: Vec<Arc<Shard>>,
}

/// An epoch as it stands in attributes: it sorts as its number.
fn epoch_value(epoch: u64) -> Bytes {
    format!("{epoch:016x}").into()
}

fn number(value: Option<&Bytes>) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(value?).ok()?, 16).ok()
}

/// Makes this process the owner: all index objects refuse the batches of earlier ones.
pub async fn take_over(pool: &Arc<Pool>) -> Result<Owned, crate::ConnectFault> {
    let refused = |why: &str| crate::ConnectFault::Namespace(why.into());
    for _ in 0..TAKE_OVER_ATTEMPTS {
        let read = Read { attributes: true, ..Read::default() };
        let attributes = match pool.read(HEAD, &read).await {
            Ok(answer) => answer.attributes,
            Err(Errno::NOT_FOUND) => {
                make(pool).await?;
                continue;
            }
            Err(errno) => return Err(errno.into()),
        };
        if attributes.get(FORMAT) != Some(&FORMAT_1) {
            return Err(refused("it has another format, or isn't Fogbank's"));
        }
        let (old, shards) = (number(attributes.get(EPOCH)), number(attributes.get(SHARDS)));
        let shards = shards.and_then(|n| u16::try_from(n).ok()).filter(|n| *n <= MAX_SHARDS);
        let (Some(old), Some(shards @ 1..)) = (old, shards) else {
            return Err(refused("its head object is damaged"));
        };
        let epoch = epoch_value(old.saturating_add(1));
        let steps = [
            WriteStep::AssertAttribute(EPOCH, epoch_value(old)),
            WriteStep::SetAttribute(EPOCH, epoch.clone()),
        ];
        match pool.write(HEAD, &steps).await {
            Ok(()) => {
                // The last one is for blobs that were repaired, whose slot isn't told.
                stamp(pool, &epoch, shards + 1).await?;
                let shards = (0..=shards).map(|n| Arc::new(Shard::new(n))).collect();
                return Ok(Owned { epoch, shards });
            }
            Err(Errno::CANCELED) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(refused("other processes keep taking it over"))
}

impl Shard {
    fn new(number: u16) -> Self {
        Self {
            object: keys::index_object(number),
            writers: Arc::default(),
            commits: AtomicU64::new(0),
        }
    }
}

/// Makes the objects of a new namespace, the head last.
async fn make(pool: &Arc<Pool>) -> Result<(), Errno> {
    let create = WriteStep::Create { exclusive: false };
    each(pool, NEW_SHARDS + 1, &[create]).await?;
    let steps = [
        WriteStep::Create { exclusive: true },
        WriteStep::SetAttribute(FORMAT, FORMAT_1),
        WriteStep::SetAttribute(SHARDS, format!("{NEW_SHARDS:x}").into()),
        WriteStep::SetAttribute(EPOCH, epoch_value(0)),
    ];
    match pool.write(HEAD, &steps).await {
        Ok(()) | Err(Errno::EXISTS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Writes the epoch to all index objects, unless a later owner has.
async fn stamp(pool: &Arc<Pool>, epoch: &Bytes, shards: u16) -> Result<(), Errno> {
    let less = WriteStep::AssertAttributeLess(EPOCH, epoch.clone());
    each(pool, shards, &[less, WriteStep::SetAttribute(EPOCH, epoch.clone())]).await
}

async fn each(pool: &Arc<Pool>, shards: u16, steps: &[WriteStep]) -> Result<(), Errno> {
    let mut running = Vec::with_capacity(usize::from(shards));
    for number in 0..shards {
        running.push(pool.submit(&keys::index_object(number), steps).await);
    }
    for write in running {
        write.done().await?;
    }
    Ok(())
}

impl Inner {
    /// The shards of slots, without the one of repaired blobs.
    pub fn slot_shards(&self) -> &[Arc<Shard>] {
        &self.shards[..self.shards.len() - 1]
    }

    pub fn repaired_shard(&self) -> &Arc<Shard> {
        &self.shards[self.shards.len() - 1]
    }

    pub fn shard(&self, slot: u16) -> &Arc<Shard> {
        let shards = self.slot_shards();
        &shards[usize::from(slot) % shards.len()]
    }

    /// Changes an index object, as one, if it is still ours.
    pub async fn change(
        &self,
        shard: &Arc<Shard>,
        set: Vec<(Bytes, Bytes)>,
        remove: Vec<Bytes>,
    ) -> NodeResult<()> {
        let mut steps = vec![WriteStep::AssertAttribute(EPOCH, self.epoch.clone())];
        if !remove.is_empty() {
            steps.push(WriteStep::RemoveKeys(remove));
        }
        if !set.is_empty() {
            steps.push(WriteStep::SetKeys(set));
        }
        let _shared = shard.writers.read().await;
        shard.commits.fetch_add(1, Ordering::AcqRel);
        let written = self.pool.write(&shard.object, &steps).await;
        shard.commits.fetch_add(1, Ordering::AcqRel);
        written.map_err(|errno| self.fault(errno))
    }

    pub async fn commit(self: Arc<Self>, batch: Batch) -> NodeResult<()> {
        let shard = self.shard(batch.slot).clone();
        for change in &batch.changes {
            let slot = (self.settings.slot_of)(&change.key, Some(&after(&change.key)));
            if slot.is_some_and(|slot| self.shard(slot).object != shard.object) {
                let why = format!("a batch of slot {} with a key of another", batch.slot);
                return Err(NodeFault::Down(why.into()));
            }
        }
        // Of several changes of one key, the last one holds.
        let mut changes = BTreeMap::new();
        for change in &batch.changes {
            let value = change.value.as_ref().map(|value| sums::sealed(&change.key, value));
            changes.insert(keys::record(&change.key), value);
        }
        let free: BTreeSet<BlobId> = batch.free.iter().copied().collect();
        let inline: BTreeMap<BlobId, Bytes> =
            batch.blobs.into_iter().filter(|(id, _)| !free.contains(id)).collect();
        let before: BTreeSet<BlobId> = batch
            .adopt
            .into_iter()
            .filter(|id| !free.contains(id) && !inline.contains_key(id))
            .collect();
        self.write_inline(&inline).await?;
        self.adopt(&before).await?;
        let kept = inline.keys().chain(&before);
        changes.extend(kept.map(|id| (keys::blob(*id), Some(Bytes::new()))));
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for (key, value) in changes {
            match value {
                Some(value) => set.push((key, value)),
                None => remove.push(key),
            }
        }
        if !set.is_empty() || !remove.is_empty() {
            let changed = self.change(&shard, set, remove).await;
            if matches!(changed, Err(NodeFault::Full)) {
                self.forget(inline.into_keys()).await;
            }
            changed?;
        }
        self.blobs.adopted(&before);
        self.free(free).await
    }

    /// Lets all index objects that keep any of these blobs forget them.
    pub async fn unlist(self: &Arc<Self>, ids: &BTreeSet<BlobId>) -> NodeResult<()> {
        let wanted: Vec<Bytes> = ids.iter().map(|id| keys::blob(*id)).collect();
        let mut changes = JoinSet::new();
        for (number, found) in self.found_in(&self.shards, wanted).await? {
            let names: Vec<Bytes> = found.into_iter().map(|(name, _)| name).collect();
            if !names.is_empty() {
                let (inner, shard) = (self.clone(), self.shards[number].clone());
                changes.spawn(async move { inner.change(&shard, Vec::new(), names).await });
            }
        }
        while let Some(change) = changes.join_next().await {
            change.map_err(|error| NodeFault::Down(error.to_string().into()))??;
        }
        Ok(())
    }

    pub async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        let stored = keys::record(key);
        let shards = match (self.settings.slot_of)(key, Some(&after(key))) {
            Some(slot) => vec![self.shard(slot).clone()],
            None => self.slot_shards().to_vec(),
        };
        let mut found = self.find(&shards, vec![stored]).await?;
        match found.pop() {
            None => Ok(None),
            Some((_, value)) => sums::unsealed(key, value).map(Some).ok_or_else(corrupt_record),
        }
    }

    /// Those of these stored keys that any of these shards has.
    pub async fn find(
        &self,
        shards: &[Arc<Shard>],
        wanted: Vec<Bytes>,
    ) -> NodeResult<Vec<(Bytes, Bytes)>> {
        let found = self.found_in(shards, wanted).await?;
        Ok(found.into_iter().flat_map(|(_, found)| found).collect())
    }

    /// The same for each shard, by its place among these.
    async fn found_in(
        &self,
        shards: &[Arc<Shard>],
        wanted: Vec<Bytes>,
    ) -> NodeResult<Vec<(usize, Vec<(Bytes, Bytes)>)>> {
        let read = Arc::new(Read { keys: Some(Keys::Each(wanted)), ..Read::default() });
        let mut reads = JoinSet::new();
        for (number, shard) in shards.iter().enumerate() {
            let (pool, shard, read) = (self.pool.clone(), shard.clone(), read.clone());
            reads.spawn(async move { (number, pool.read(&shard.object, &read).await) });
        }
        let mut found = Vec::new();
        while let Some(read) = reads.join_next().await {
            let (number, read) = read.map_err(|error| NodeFault::Down(error.to_string().into()))?;
            found.push((number, read.map_err(|errno| self.fault(errno))?.keys));
        }
        Ok(found)
    }
}

pub fn corrupt_record() -> NodeFault {
    NodeFault::Down("a record in the Ceph pool is corrupt".into())
}

/// The least key after a key.
fn after(key: &[u8]) -> Vec<u8> {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after
}
