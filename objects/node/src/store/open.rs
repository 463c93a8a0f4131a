//! A start: what the log has beyond the index is taken in.

use super::{
    INDEX, INDEX_IS_BAD, Store, Writer, blob_file, identity,
    recent::Recent,
    segments::{self, Segments},
};
use crate::{
    OpenFault, OpenReport, Options,
    disk::{Disk, DiskFile, is_full},
    group::{self, Group, Item, Place, Position},
    index::{Index, IndexFault, State},
    reserve::Reserve,
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicU64},
};

/// Blobs of the index that are looked at together.
const PAGE: usize = 1024;

/// How much is looked at together for bytes that aren't zero.
const WINDOW: u64 = 64 << 10;

impl Store {
    /// Opens a node, or makes one with the ID `new_id` in an empty folder.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        new_id: [u8; 16],
    ) -> Result<(Self, OpenReport), OpenFault> {
        let node = match identity::read(&*disk)? {
            Some(node) => node,
            None => make(&*disk, new_id)?,
        };
        // What a killed process had named may not be durable: it is seen, and must stay.
        disk.sync_folder("")?;
        disk.sync_folder(segments::FOLDER)?;
        let mut report = OpenReport::default();
        let names = disk.list(segments::FOLDER)?;
        let files: BTreeSet<u32> = names.iter().filter_map(|name| segments::number(name)).collect();
        let reserve = Arc::new(Reserve::new(disk.clone(), options.reserve_bytes));
        let index = open_index(&disk, &options, &reserve, !files.is_empty(), &mut report)?;
        let state = index.state()?;
        let recent = Recent::new(state.floor, options.recent_bytes);
        let mut replay = Replay {
            disk: &*disk,
            node,
            index: &index,
            scanned: state.recent.min(state.position),
            state,
            recent,
            report,
            file: None,
            short: BTreeSet::new(),
            changed: false,
        };
        replay.run(files)?;
        let Replay { state, recent, mut report, file, changed, .. } = replay;
        report.missing_blobs = missing_blobs(&*disk, &index, &mut report.dropped_blobs)?;
        let store = Self {
            options,
            node,
            index,
            segments: Segments::default(),
            writer: Mutex::new(Writer {
                prefilled: 0,
                since_checkpoint: 0,
                items_since_checkpoint: 0,
                changed: changed || report.index_rebuilt,
                compaction: None,
                immovable: BTreeSet::new(),
                condemned: BTreeSet::new(),
                state,
                file,
            }),
            recent: Mutex::new(recent),
            pending: Mutex::new(HashMap::new()),
            drafts: AtomicU64::new(0),
            reserve,
            failed: OnceLock::new(),
            disk,
        };
        store.settle(&report)?;
        Ok((store, report))
    }

    /// Makes durable what the start found.
    fn settle(&self, report: &OpenReport) -> Result<(), OpenFault> {
        let closed = self.close();
        closed.map_err(|fault| io::Error::other(fault.to_string()))?;
        if let Err(error) = self.reserve.hold(self.options.low_water_bytes)
            && !is_full(&error)
        {
            return Err(error.into());
        }
        if report.index_rebuilt {
            match self.disk.remove(INDEX_IS_BAD) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => self.disk.sync_folder("")?,
            }
        }
        Ok(())
    }
}

/// Makes the folders of a node, and then its identity.
fn make(disk: &dyn Disk, id: [u8; 16]) -> Result<[u8; 16], OpenFault> {
    disk.create_folder(segments::FOLDER)?;
    if !disk.list(segments::FOLDER)?.is_empty() {
        return Err(OpenFault::Format("node.json is missing, and there is a log".to_owned()));
    }
    disk.create_folder(blob_file::FOLDER)?;
    for first in 0..=u8::MAX {
        disk.create_folder(&blob_file::folder(first))?;
    }
    disk.sync_folder(blob_file::FOLDER)?;
    disk.sync_folder("")?;
    identity::write(disk, id)?;
    Ok(id)
}

fn open_index(
    disk: &Arc<dyn Disk>,
    options: &Options,
    reserve: &Arc<Reserve>,
    has_log: bool,
    report: &mut OpenReport,
) -> Result<Index, OpenFault> {
    let room = disk.available_bytes()? >= options.low_water_bytes;
    let open = |file| Index::open(file, options.cache_bytes, reserve.clone(), room);
    let is_bad = exists(&**disk, INDEX_IS_BAD)?;
    match disk.open(INDEX) {
        Ok(file) if !is_bad => match open(file) {
            Ok(index) => return Ok(index),
            Err(IndexFault::Corrupt(why)) => log::error!("the index is made anew: {why}"),
            Err(fault @ IndexFault::Disk(_)) => return Err(fault.into()),
        },
        Ok(_) => log::error!("the index was found corrupt: it is made anew"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    report.index_rebuilt = has_log || is_bad;
    let file = disk.create(INDEX)?;
    disk.sync_folder("")?;
    Ok(open(file)?)
}

fn exists(disk: &dyn Disk, path: &str) -> io::Result<bool> {
    match disk.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reading the log again.
struct Replay<'a> {
    disk: &'a dyn Disk,
    node: [u8; 16],
    index: &'a Index,
    state: State,
    /// Where reading goes on: before `state.position`, only for what changed recently.
    scanned: Position,
    recent: Recent,
    report: OpenReport,
    /// The segment at the log's end.
    file: Option<Arc<dyn DiskFile>>,
    /// Segments that have lost their ends.
    short: BTreeSet<u32>,
    changed: bool,
}

/// What is at an offset of a segment.
enum Found {
    Group(Box<Group>),
    /// Nothing more, after so many bytes that mean nothing.
    End {
        torn_bytes: u64,
    },
    /// Something that can't be read, and a group after it.
    Corrupt {
        next: u64,
    },
}

impl Replay<'_> {
    fn run(&mut self, mut files: BTreeSet<u32>) -> Result<(), OpenFault> {
        let began_at_zero = self.state.serial == 0;
        self.compare(&mut files)?;
        let last = files.last().copied();
        for segment in files.range(self.scanned.segment..).copied().collect::<Vec<_>>() {
            if segment > self.scanned.segment {
                self.scanned = Position { segment, offset: 0 };
            }
            self.segment(segment, Some(segment) == last)?;
        }
        let is_whole = files.iter().copied().eq(1..=last.unwrap_or(0));
        if self.report.corrupt_entries + self.report.missing_segments > 0
            || began_at_zero && !is_whole
        {
            self.recent.forget_all();
            self.changed = true;
        }
        Ok(())
    }

    /// Compares the segments that are there with those that the index knows.
    fn compare(&mut self, files: &mut BTreeSet<u32>) -> Result<(), OpenFault> {
        let known = &mut self.state.segments;
        let stale: Vec<u32> = files
            .range(..self.state.position.segment)
            .filter(|segment| !known.contains_key(segment))
            .copied()
            .collect();
        for segment in stale {
            self.disk.remove(&segments::path(segment))?;
            self.disk.sync_folder(segments::FOLDER)?;
            files.remove(&segment);
        }
        let mut lost = Vec::new();
        for (segment, held) in &*known {
            if !files.contains(segment) {
                log::error!("segment {segment} of the log is missing");
                lost.push(*segment);
            } else if self.disk.open(&segments::path(*segment))?.len()? < held.end {
                log::error!("segment {segment} of the log has lost its end");
                self.short.insert(*segment);
            }
        }
        for segment in &lost {
            known.remove(segment);
        }
        self.report.missing_segments += lost.len() as u64;
        self.report.corrupt_entries += self.short.len() as u64;
        self.changed |= !lost.is_empty();
        Ok(())
    }

    fn segment(&mut self, segment: u32, is_last: bool) -> Result<(), OpenFault> {
        let file = self.disk.open(&segments::path(segment))?;
        let len = file.len()?;
        let mut offset = u64::from(self.scanned.offset);
        let mut serial = None;
        loop {
            // Segments are shorter than 4 GiB.
            let here = Position { segment, offset: u32::try_from(offset).unwrap_or(u32::MAX) };
            match self.look(&*file, here, len, is_last)? {
                Found::Group(group) => {
                    if let Some(lost) =
                        serial.and_then(|last| group.header.serial.checked_sub(last))
                    {
                        self.report.corrupt_entries += lost;
                    }
                    serial = Some(group.header.serial + 1);
                    offset += group.header.group_bytes();
                    self.take(*group, here, offset)?;
                }
                Found::Corrupt { next } => {
                    log::error!("the log is corrupt at {here:?}");
                    self.report.corrupt_entries += u64::from(serial.is_none());
                    offset = next;
                }
                Found::End { torn_bytes } => {
                    if !is_last {
                        self.report.corrupt_entries += u64::from(torn_bytes > 0);
                    } else {
                        self.end(file, here, torn_bytes)?;
                    }
                    return Ok(());
                }
            }
        }
    }

    fn look(
        &self,
        file: &dyn DiskFile,
        here: Position,
        len: u64,
        is_last: bool,
    ) -> Result<Found, OpenFault> {
        let place = Place { node: self.node, at: here };
        let group = Group::read(file, place, len)?;
        if let Some(group) = group {
            let end = u64::from(here.offset) + group.header.group_bytes();
            // What is before the checkpoint was flushed.
            let is_sure = here < self.state.position
                || !is_last
                || group.has_whole_blobs(file)?
                || find_after(file, place, end, len)?.is_some();
            if is_sure {
                return Ok(Found::Group(Box::new(group)));
            }
        } else if let Some(next) =
            find_after(file, place, u64::from(here.offset) + group::ALIGNMENT, len)?
        {
            return Ok(Found::Corrupt { next });
        }
        let torn_bytes = last_byte(file, u64::from(here.offset), len)? - u64::from(here.offset);
        Ok(Found::End { torn_bytes })
    }

    fn take(&mut self, group: Group, here: Position, end: u64) -> Result<(), OpenFault> {
        self.remember(&group.items, here);
        if here < self.state.position {
            return Ok(());
        }
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        self.state.position = Position { segment: here.segment, offset: end };
        self.state.serial = group.header.serial + 1;
        let held = self.state.segments.entry(here.segment).or_default();
        held.end = u64::from(end);
        // Files that nothing refers to any more are removed below.
        self.index.apply(here.segment, &group.items, &mut self.state)?;
        self.report.replayed_groups += 1;
        self.changed = true;
        Ok(())
    }

    fn remember(&mut self, items: &[Item], at: Position) {
        let mut current = None;
        for item in items {
            match item {
                Item::Batch { sequence, .. } => current = Some(*sequence),
                Item::Moved => current = None,
                Item::Put { key, .. } | Item::Remove { key } => {
                    if let Some(sequence) = current {
                        self.recent.push(sequence, key, at);
                    }
                }
                Item::Blob { .. } | Item::Adopt { .. } | Item::Free { .. } | Item::Lost { .. } => {}
            }
        }
    }

    /// The log's end: what is torn is cut off, and what is there is made sure of.
    fn end(
        &mut self,
        file: Arc<dyn DiskFile>,
        here: Position,
        torn_bytes: u64,
    ) -> Result<(), OpenFault> {
        if self.short.contains(&here.segment) {
            // What is written next must not take the place of what was there.
            return Ok(());
        }
        if here < self.state.position {
            self.report.corrupt_entries += 1;
            file.set_len(u64::from(self.state.position.offset))?;
            file.sync()?;
            self.file = Some(file);
            return Ok(());
        }
        if torn_bytes > 0 {
            log::warn!("{torn_bytes} bytes of a torn group are cut off the log at {here:?}");
        }
        self.report.torn_bytes += torn_bytes;
        file.set_len(u64::from(here.offset))?;
        file.sync()?;
        if here > self.state.position {
            self.state.position = here;
            self.state.segments.entry(here.segment).or_default();
        }
        self.file = Some(file);
        Ok(())
    }
}

fn find_after(
    file: &dyn DiskFile,
    place: Place,
    from: u64,
    len: u64,
) -> Result<Option<u64>, OpenFault> {
    let Ok(offset) = u32::try_from(from) else { return Ok(None) };
    let place = Place { at: Position { offset, ..place.at }, ..place };
    Ok(group::find_next(file, place, len)?.map(|at| u64::from(at.offset)))
}

/// The end of the last byte from an offset on that isn't zero; the offset if there is none.
fn last_byte(file: &dyn DiskFile, from: u64, len: u64) -> io::Result<u64> {
    let mut end = len;
    while end > from {
        let start = end.saturating_sub(WINDOW).max(from);
        let mut window = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_at(&mut window, start)?;
        if let Some(last) = window.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(from)
}

/// Compares the files of blobs with the index. Removes what nothing refers to, and counts what
/// isn't there.
fn missing_blobs(disk: &dyn Disk, index: &Index, dropped: &mut u64) -> Result<u64, OpenFault> {
    let mut missing = 0;
    let mut known = VecDeque::from(index.files(None, PAGE)?);
    for first in 0..=u8::MAX {
        let folder = blob_file::folder(first);
        let (mut files, mut unused) = (BTreeSet::new(), Vec::new());
        for name in disk.list(&folder)? {
            match blob_file::id_of(&name) {
                Some(id) => drop(files.insert(id)),
                None if name.ends_with(".new") => unused.push(name),
                None => log::warn!("{folder}/{name} is none of the storage node's files"),
            }
        }
        while let Some(id) = known.front().copied().filter(|id| id.0[0] == first) {
            if !files.remove(&id) {
                log::error!("the file of blob {id:?} is missing");
                missing += 1;
            }
            known.pop_front();
            if known.is_empty() {
                known = index.files(Some(id), PAGE)?.into();
            }
        }
        unused.extend(files.into_iter().map(|id| format!("{id:?}")));
        for name in unused {
            disk.remove(&format!("{folder}/{name}"))?;
            *dropped += 1;
        }
    }
    Ok(missing)
}
