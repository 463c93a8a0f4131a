//! The one writer: groups of batches become one entry of the log, with one flush.

use super::{INDEX, Store, Writer, blob_file, lock, segments};
use crate::{
    Batch, BlobId, MAX_BATCH_BYTES, MAX_INLINE_BLOB_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES,
    NodeFault, NodeResult,
    disk::is_full,
    group::{Builder, Built, HEADER_BYTES, Item, Place, Position},
    index::Kind,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
};

/// Batches of this length in the log, without blobs, are taken although the node is full; once it
/// is nearly out of space, those alone that say so.
const SMALL_BATCH_BYTES: u64 = 16 << 10;

/// The first byte of the keys of the cluster's own records. They are few and replace each other, and
/// are taken as long as the disk takes anything: without them a full node could not even be opened
/// to remove something.
const OWN_KEYS: u8 = 0;

/// What the log takes up for an item without its key and value, at most.
const ITEM_BYTES: u64 = 64;

/// What the writer does.
#[derive(Clone, Debug)]
pub enum Work {
    Batch(Batch),
    /// A whole, right blob for a missing or corrupt one.
    RepairInLog(BlobId, Bytes),
    /// The same, of this length, in a file that is there.
    RepairInFile(BlobId, u64),
}

impl Work {
    /// What it takes up in the log, at most.
    pub fn log_bytes(&self) -> u64 {
        match self {
            Self::Batch(batch) => {
                let changes = batch.changes.iter().map(|change| {
                    let value = change.value.as_ref().map_or(0, Bytes::len);
                    ITEM_BYTES + (change.key.len() + value) as u64
                });
                let blobs = batch.blobs.iter().map(|(_, data)| inline_bytes(data));
                let named = (batch.adopt.len() + batch.free.len()) as u64;
                ITEM_BYTES * (1 + named) + changes.sum::<u64>() + blobs.sum::<u64>()
            }
            Self::RepairInLog(_, data) => inline_bytes(data),
            Self::RepairInFile(..) => ITEM_BYTES,
        }
    }
}

fn inline_bytes(data: &Bytes) -> u64 {
    ITEM_BYTES + crate::blocks::stored_bytes(data.len() as u64)
}

/// Blobs that the group so far makes (true) or frees.
type Named = BTreeMap<BlobId, bool>;

/// How much the disk lets the node take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Enough,
    /// Small changes without blobs.
    Little,
    /// Removals.
    None,
}

impl Store {
    /// Does all of the work, durably, with one flush. Each has its own result.
    pub fn commit_group(&self, works: Vec<Work>) -> Vec<NodeResult<()>> {
        let mut writer = lock(&self.writer);
        let count = works.len();
        match self.write_group(&mut writer, works) {
            Ok(results) => results,
            Err(fault) => {
                // What was to be moved wasn't: it begins again.
                writer.compaction = None;
                vec![Err(fault); count]
            }
        }
    }

    fn write_group(
        &self,
        writer: &mut Writer,
        works: Vec<Work>,
    ) -> NodeResult<Vec<NodeResult<()>>> {
        self.alive()?;
        self.disk.check().map_err(|error| self.fail_by("its folder", &error))?;
        let bytes: u64 = works.iter().map(Work::log_bytes).sum();
        // Moving copies a little more than its budget, by one item.
        let most = bytes
            + HEADER_BYTES
            + self.options.move_bytes
            + (MAX_VALUE_BYTES + MAX_INLINE_BLOB_BYTES) as u64;
        let offset = u64::from(writer.state.position.offset);
        if works.is_empty() && writer.compaction.is_none() {
            return Ok(Vec::new());
        }
        if writer.file.is_none()
            || offset > 0 && offset + bytes > self.options.segment_bytes
            || offset + most > u64::from(u32::MAX)
        {
            self.next_segment(writer)?;
        }
        let place = Place { node: self.node, at: writer.state.position };
        let mut builder = Builder::new(place, writer.state.serial);
        self.move_some(writer, &mut builder)?;
        let room = self.room();
        let mut named = Named::new();
        let results: Vec<_> =
            works.into_iter().map(|work| self.add(&mut builder, work, room, &mut named)).collect();
        if builder.is_empty() {
            self.moved_all(writer);
            return self.alive().map(|()| results);
        }
        self.append(writer, builder.finish())?;
        self.moved_all(writer);
        Ok(results)
    }

    fn room(&self) -> Room {
        if self.has_room(1) {
            Room::Enough
        } else if self.has_room(2) {
            Room::Little
        } else {
            Room::None
        }
    }

    fn add(
        &self,
        builder: &mut Builder,
        work: Work,
        room: Room,
        named: &mut Named,
    ) -> NodeResult<()> {
        let bytes = work.log_bytes();
        if bytes > MAX_BATCH_BYTES {
            return Err(NodeFault::Refused("a batch is longer than 32 MiB"));
        }
        match work {
            Work::Batch(batch) => {
                check_room(&batch, bytes, room)?;
                check_lengths(&batch)?;
                self.add_batch(builder, batch, named)
            }
            Work::RepairInLog(..) | Work::RepairInFile(..) if room != Room::Enough => {
                Err(NodeFault::Full)
            }
            Work::RepairInLog(id, data) => {
                builder.moved();
                builder.blob(id, &data);
                named.insert(id, true);
                Ok(())
            }
            Work::RepairInFile(id, len) => {
                builder.moved();
                builder.adopt(id, len);
                named.insert(id, true);
                Ok(())
            }
        }
    }

    fn add_batch(&self, builder: &mut Builder, batch: Batch, named: &mut Named) -> NodeResult<()> {
        let mut adopted = Vec::new();
        for id in batch.adopt {
            let is_inline = batch.blobs.iter().any(|(inline, _)| *inline == id);
            if is_inline || named.get(&id) == Some(&true) {
                continue;
            }
            let pending = lock(&self.pending).get(&id).copied();
            let known = self.checked(self.index.blob(id))?;
            match (pending, known.map(|known| known.kind)) {
                (_, Some(Kind::Log | Kind::File)) => {}
                (Some(len), _) => adopted.push((id, len)),
                (None, Some(Kind::Lost) | None) => return Err(NodeFault::NotFound(id)),
            }
        }
        builder.batch(batch.slot, batch.sequence);
        for change in batch.changes {
            match change.value {
                Some(value) => builder.put(change.key, value),
                None => builder.remove(change.key),
            }
        }
        for (id, data) in &batch.blobs {
            builder.blob(*id, data);
            named.insert(*id, true);
        }
        for (id, len) in adopted {
            builder.adopt(id, len);
            named.insert(id, true);
        }
        for id in batch.free {
            let is_here = match named.get(&id) {
                Some(is_here) => *is_here,
                None => self.checked(self.index.blob(id))?.is_some(),
            };
            if is_here {
                builder.free(id);
                named.insert(id, false);
            } else {
                let was_pending = lock(&self.pending).remove(&id).is_some();
                if was_pending {
                    self.remove_file(id);
                }
            }
        }
        Ok(())
    }

    /// Ends the log's last segment and begins one.
    fn next_segment(&self, writer: &mut Writer) -> NodeResult<()> {
        let end = writer.state.position;
        if let Some(file) = &writer.file {
            let cut = file.set_len(u64::from(end.offset)).and_then(|()| file.sync());
            cut.map_err(|error| self.fail_by("the log", &error))?;
            writer.prefilled = 0;
        }
        let Some(segment) = end.segment.checked_add(1) else {
            return Err(self.fail("the log has no numbers left"));
        };
        let made = self.disk.create(&segments::path(segment)).and_then(|file| {
            self.disk.sync_folder(segments::FOLDER)?;
            Ok(file)
        });
        let file = made.map_err(|error| self.write_fault(&error))?;
        self.segments.keep(segment, file.clone());
        writer.file = Some(file);
        writer.prefilled = 0;
        writer.state.position = Position { segment, offset: 0 };
        writer.state.segments.insert(segment, Default::default());
        Ok(())
    }

    /// Writes a group, makes it durable, and takes it into the index.
    fn append(&self, writer: &mut Writer, built: Built) -> NodeResult<()> {
        let Some(file) = writer.file.clone() else { return Err(self.fail("the log has no end")) };
        let at = writer.state.position;
        let offset = u64::from(at.offset);
        let end = offset + built.bytes;
        self.prefill(writer, end)?;
        let mut written = built.write(&*file, offset);
        // Nothing of the group counts before its flush: it may be written again.
        if written.as_ref().is_err_and(is_full) && self.reserve.release() {
            written = built.write(&*file, offset);
        }
        written.map_err(|error| self.write_fault(&error))?;
        file.sync().map_err(|error| self.fail_by("the log's flush", &error))?;
        writer.state.position.offset = u32::try_from(end).unwrap_or(u32::MAX);
        writer.state.serial += 1;
        writer.state.segments.entry(at.segment).or_default().end = end;
        writer.since_checkpoint += built.bytes;
        writer.items_since_checkpoint += built.items.len();
        writer.changed = true;
        let unused = self.index.apply(at.segment, &built.items, &mut writer.state);
        let unused = self.checked(unused)?;
        self.remember(&built.items, at);
        for id in unused {
            self.remove_file(id);
        }
        Ok(())
    }

    /// Writes zeros ahead of small groups: their flushes are faster where the file doesn't grow.
    fn prefill(&self, writer: &mut Writer, end: u64) -> NodeResult<()> {
        let ahead = self.options.prefill_bytes;
        let offset = u64::from(writer.state.position.offset);
        if end <= writer.prefilled || (end - offset) * 4 > ahead {
            return Ok(());
        }
        let Some(file) = &writer.file else { return Ok(()) };
        let from = offset.max(writer.prefilled);
        let until = (end + ahead).min(self.options.segment_bytes.max(end));
        let zeros = vec![0; usize::try_from(until - from).unwrap_or(0)];
        match file.write_at(&[IoSlice::new(&zeros)], from) {
            Ok(()) => writer.prefilled = until,
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(self.fail_by("the log", &error)),
        }
        Ok(())
    }

    /// Keeps which keys changed, and forgets that adopted blobs were pending.
    fn remember(&self, items: &[Item], at: Position) {
        let mut pending = lock(&self.pending);
        let mut recent = lock(&self.recent);
        let mut current = None;
        for item in items {
            match item {
                Item::Batch { sequence, .. } => current = Some(*sequence),
                Item::Moved => current = None,
                Item::Put { key, .. } | Item::Remove { key } => {
                    if let Some(sequence) = current {
                        recent.push(sequence, key, at);
                    }
                }
                Item::Adopt { id, .. } => {
                    pending.remove(id);
                }
                Item::Blob { .. } | Item::Free { .. } | Item::Lost { .. } => {}
            }
        }
    }

    /// Removes the file of a blob, unless it was just written anew.
    fn remove_file(&self, id: BlobId) {
        let pending = lock(&self.pending);
        if pending.contains_key(&id) {
            return;
        }
        match self.disk.remove(&blob_file::path(id)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The next start does it.
            Err(error) => log::warn!("the file of blob {id:?} can't be removed: {error}"),
        }
    }

    /// Work beside the batches: checkpoints, and choosing what to compact. True if an empty group
    /// would do more.
    pub fn tend(&self, is_idle: bool) -> NodeResult<bool> {
        self.alive()?;
        let mut writer = lock(&self.writer);
        let is_due = writer.since_checkpoint >= self.options.checkpoint_bytes
            || writer.items_since_checkpoint >= self.options.checkpoint_items
            || is_idle && writer.changed
            || !writer.condemned.is_empty() && !self.has_room(1);
        if is_due {
            self.checkpoint(&mut writer)?;
        }
        if is_idle {
            self.disk.check().map_err(|error| self.fail_by("its folder", &error))?;
            let held = self.reserve.hold(self.options.low_water_bytes);
            if let Err(error) = held {
                log::warn!("the storage node's reserve can't be held: {error}");
            }
        }
        self.choose_victim(&mut writer)?;
        Ok(writer.compaction.is_some())
    }

    /// One step of compaction, without batches.
    pub fn move_only(&self) -> NodeResult<()> {
        let mut writer = lock(&self.writer);
        let moved = self.write_group(&mut writer, Vec::new());
        if moved.is_err() {
            writer.compaction = None;
        }
        moved.map(|_| ())
    }

    /// Makes the index durable, and removes the segments that it doesn't need.
    pub(super) fn checkpoint(&self, writer: &mut Writer) -> NodeResult<()> {
        {
            let recent = lock(&self.recent);
            writer.state.floor = recent.floor();
            writer.state.recent = recent.begin(writer.state.position);
        }
        self.checked(self.index.checkpoint(&writer.state))?;
        writer.since_checkpoint = 0;
        writer.items_since_checkpoint = 0;
        writer.changed = false;
        for segment in std::mem::take(&mut writer.condemned) {
            self.segments.close(segment);
            let removed = self
                .disk
                .remove(&segments::path(segment))
                .and_then(|()| self.disk.sync_folder(segments::FOLDER));
            if let Err(error) = removed {
                return Err(self.fail_by("a segment that isn't needed", &error));
            }
        }
        log::trace!("{INDEX} is durable up to {:?}", writer.state.position);
        Ok(())
    }

    /// A last checkpoint, so that the next start has nothing to read again.
    pub fn close(&self) -> NodeResult<()> {
        self.alive()?;
        let mut writer = lock(&self.writer);
        if writer.changed { self.checkpoint(&mut writer) } else { Ok(()) }
    }
}

fn check_room(batch: &Batch, bytes: u64, room: Room) -> NodeResult<()> {
    let has_blobs = !batch.blobs.is_empty() || !batch.adopt.is_empty();
    let puts = batch.changes.iter().any(|change| change.value.is_some());
    let is_own = !batch.changes.is_empty()
        && batch.changes.iter().all(|change| change.key.first() == Some(&OWN_KEYS));
    let is_small = bytes <= SMALL_BATCH_BYTES;
    let is_needed = batch.although_full && batch.blobs.is_empty() && is_small;
    match room {
        Room::Enough => Ok(()),
        Room::Little | Room::None if is_needed => Ok(()),
        Room::Little | Room::None if !has_blobs && is_own => Ok(()),
        Room::Little if !has_blobs && is_small => Ok(()),
        Room::Little | Room::None if !has_blobs && !puts => Ok(()),
        Room::Little | Room::None => Err(NodeFault::Full),
    }
}

fn check_lengths(batch: &Batch) -> NodeResult<()> {
    let is_long = |value: &Bytes| value.len() > MAX_VALUE_BYTES;
    for change in &batch.changes {
        if change.key.len() > MAX_KEY_BYTES {
            return Err(NodeFault::Refused("a record's key is longer than 4 KiB"));
        }
        if change.value.as_ref().is_some_and(is_long) {
            return Err(NodeFault::Refused("a record's value is longer than 4 MiB"));
        }
    }
    if batch.blobs.iter().any(|(_, data)| data.len() > MAX_INLINE_BLOB_BYTES) {
        return Err(NodeFault::Refused("a blob in a batch is longer than 1 MiB"));
    }
    Ok(())
}
