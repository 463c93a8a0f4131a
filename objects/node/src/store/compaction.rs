//! Giving up segments of the log of which most is of no use any more: what is still needed is
//! written again at the log's end, a little with each group.

use super::{Store, Writer};
use crate::{
    BlobId, NodeResult, blocks,
    disk::DiskFile,
    group::{Builder, Group, Item, Place, Position},
    index::{Kind, SegmentUse},
};
use bytes::BytesMut;
use std::{collections::VecDeque, io, sync::Arc};

/// So many items are looked at for one group: most are of no use any more.
const MOST_SEEN: usize = 2048;

/// A segment on its way out.
#[derive(Debug)]
pub struct Compaction {
    segment: u32,
    file: Arc<dyn DiskFile>,
    /// Where its last group ends.
    end: u64,
    /// Where its next group begins.
    next: u64,
    /// What is left of the current group.
    items: VecDeque<Item>,
    /// No older segment is left: what it removed is nowhere any more.
    is_oldest: bool,
    /// Everything was seen.
    is_done: bool,
}

impl Store {
    /// Chooses the segment that gives back most, if there is one worth it.
    pub(super) fn choose_victim(&self, writer: &mut Writer) -> NodeResult<()> {
        if writer.compaction.is_some() {
            return Ok(());
        }
        let oldest = oldest(writer);
        let recent = super::lock(&self.recent).begin(writer.state.position).segment;
        let room = self.disk.available_bytes().unwrap_or(0) / 2;
        let dead = |segment: u32, held: &SegmentUse| {
            let removals = if Some(segment) == oldest { 0 } else { held.removals };
            held.end.saturating_sub(held.live + removals)
        };
        let victim = writer
            .state
            .segments
            .range(..writer.state.position.segment.min(recent))
            .filter(|(segment, held)| {
                !writer.immovable.contains(segment)
                    && held.live < room.max(1)
                    && (held.end == 0 || dead(**segment, held).saturating_mul(2) > held.end)
            })
            .max_by_key(|(segment, held)| dead(**segment, held));
        let Some((segment, end)) = victim.map(|(segment, held)| (*segment, held.end)) else {
            return Ok(());
        };
        match self.segments.open(&*self.disk, segment) {
            Ok(file) => {
                writer.compaction = Some(Compaction {
                    segment,
                    file,
                    end,
                    next: 0,
                    items: VecDeque::new(),
                    is_oldest: Some(segment) == oldest,
                    is_done: false,
                });
            }
            Err(error) => self.keep(writer, segment, &error),
        }
        Ok(())
    }

    fn keep(&self, writer: &mut Writer, segment: u32, why: &dyn std::fmt::Display) {
        log::error!("segment {segment} of the log can't be given up: {why}");
        writer.immovable.insert(segment);
        writer.compaction = None;
    }

    /// Adds to a group what is still needed of the segment that is given up.
    pub(super) fn move_some(&self, writer: &mut Writer, builder: &mut Builder) -> NodeResult<()> {
        let Some(mut compaction) = writer.compaction.take() else { return Ok(()) };
        let (mut moved, mut seen) = (0, 0);
        while moved < self.options.move_bytes && seen < MOST_SEEN {
            seen += 1;
            let Some(item) = compaction.items.pop_front() else {
                match compaction.read_group(self.node) {
                    Ok(Some(true)) => continue,
                    Ok(Some(false)) => break,
                    Ok(None) => self.keep(writer, compaction.segment, &"a group is corrupt"),
                    Err(error) => self.keep(writer, compaction.segment, &error),
                }
                return Ok(());
            };
            moved += self.move_item(&compaction, item, builder, moved == 0)?;
        }
        writer.compaction = Some(compaction);
        Ok(())
    }

    /// Adds an item if it is still needed. Gives the bytes that it takes up.
    fn move_item(
        &self,
        from: &Compaction,
        item: Item,
        builder: &mut Builder,
        is_first: bool,
    ) -> NodeResult<u64> {
        let is_needed = match &item {
            Item::Batch { .. } | Item::Moved => false,
            Item::Put { key, at, .. } => {
                let found = self.checked(self.index.get(key))?;
                found.is_some_and(|(position, _)| position == from.position(*at))
            }
            Item::Blob { id, at, .. } => self.is_there(*id, Kind::Log, from.position(*at))?,
            Item::Adopt { id, at, .. } => self.is_there(*id, Kind::File, from.position(*at))?,
            Item::Lost { id, at, .. } => self.is_there(*id, Kind::Lost, from.position(*at))?,
            Item::Remove { key } => !from.is_oldest && self.checked(self.index.get(key))?.is_none(),
            Item::Free { id } => !from.is_oldest && self.checked(self.index.blob(*id))?.is_none(),
        };
        if !is_needed {
            return Ok(0);
        }
        if is_first {
            builder.moved();
        }
        let bytes = item.log_bytes();
        match item {
            Item::Batch { .. } | Item::Moved => {}
            Item::Put { key, value, .. } => builder.put(key, value),
            Item::Remove { key } => builder.remove(key),
            Item::Free { id } => builder.free(id),
            Item::Adopt { id, len, .. } => builder.adopt(id, len),
            Item::Lost { id, len, .. } => builder.lost(id, len),
            Item::Blob { id, len, at } => from.move_blob(builder, id, len, at),
        }
        Ok(bytes)
    }

    fn is_there(&self, id: BlobId, kind: Kind, at: Position) -> NodeResult<bool> {
        let found = self.checked(self.index.blob(id))?;
        Ok(found.is_some_and(|found| found.kind == kind && found.at == at))
    }

    /// After a group: if all of a segment was moved, it is removed at the next checkpoint.
    pub(super) fn moved_all(&self, writer: &mut Writer) {
        let Some(done) = writer.compaction.take_if(|compaction| compaction.is_done) else { return };
        let live = writer.state.segments.get(&done.segment).map_or(0, |held| held.live);
        if live > 0 {
            let why = format!("{live} bytes are in use that aren't in it");
            self.keep(writer, done.segment, &why);
        } else {
            writer.state.segments.remove(&done.segment);
            writer.condemned.insert(done.segment);
            writer.changed = true;
        }
    }
}

/// The oldest segment that is still there.
fn oldest(writer: &Writer) -> Option<u32> {
    let first = writer.state.segments.keys().next();
    first.into_iter().chain(writer.condemned.first()).min().copied()
}

impl Compaction {
    fn position(&self, offset: u32) -> Position {
        Position { segment: self.segment, offset }
    }

    /// Takes up the next group: true; false if there is none; none if it can't be read.
    fn read_group(&mut self, node: [u8; 16]) -> io::Result<Option<bool>> {
        if self.next >= self.end {
            self.is_done = true;
            return Ok(Some(false));
        }
        let Ok(offset) = u32::try_from(self.next) else { return Ok(None) };
        let place = Place { node, at: self.position(offset) };
        let Some(group) = Group::read(&*self.file, place, self.end)? else { return Ok(None) };
        self.next += group.header.group_bytes();
        self.items = group.items.into();
        Ok(Some(true))
    }

    fn move_blob(&self, builder: &mut Builder, id: BlobId, len: u64, at: u32) {
        let mut data = BytesMut::new();
        while (data.len() as u64) < len {
            let offset = data.len() as u64;
            let wanted = usize::try_from(len - offset).unwrap_or(usize::MAX);
            match blocks::read(&*self.file, u64::from(at), (id, len), offset, wanted) {
                Ok(Some(part)) => data.extend_from_slice(&part),
                Ok(None) | Err(_) => {
                    log::error!("blob {id:?} is corrupt: found when its segment was given up");
                    builder.lost(id, len);
                    return;
                }
            }
        }
        builder.blob(id, &data.freeze());
    }
}
