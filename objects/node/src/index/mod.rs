//! The index: what the log says, by key. It can be made anew from the log.

mod backend;
mod layout;
mod sums;
mod value;

pub use value::{Kind, Location};

use crate::{
    BlobId, Scan, checksum,
    disk::DiskFile,
    group::{Item, NAMED_BYTES, Position, blob_bytes, put_bytes},
    reserve::Reserve,
};
use backend::Backend;
use bytes::Bytes;
use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
    sync::Arc,
};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const BLOBS: TableDefinition<'_, [u8; 16], [u8; 32]> = TableDefinition::new("blobs");
/// Blobs in files of their own.
const FILES: TableDefinition<'_, [u8; 16], ()> = TableDefinition::new("files");
const SEGMENTS: TableDefinition<'_, u32, [u64; 3]> = TableDefinition::new("segments");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");

/// Why the index can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexFault {
    /// It is to be made anew.
    #[error("the index is corrupt: {0}")]
    Corrupt(Arc<str>),
    #[error("the index can't be used: {0}")]
    Disk(Arc<str>),
}

fn fault(error: impl Into<redb::Error>) -> IndexFault {
    let error = error.into();
    let text = error.to_string();
    let unreadable = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    let corrupt = matches!(
        &error,
        redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableDoesNotExist(_)
    ) || matches!(&error, redb::Error::Io(error) if unreadable.contains(&error.kind()));
    if corrupt { IndexFault::Corrupt(text.into()) } else { IndexFault::Disk(text.into()) }
}

fn bad(what: &str) -> IndexFault {
    IndexFault::Corrupt(what.into())
}

type IndexResult<T> = Result<T, IndexFault>;

/// What a segment of the log holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentUse {
    /// Where its last group ends.
    pub end: u64,
    /// What the index refers to.
    pub live: u64,
    /// Removals: needed as long as an older segment may have what they remove.
    pub removals: u64,
}

/// What the index remembers of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The end of the last group that it contains.
    pub position: Position,
    /// The number of the next group.
    pub serial: u64,
    /// The cluster's batches from this sequence on can be told.
    pub floor: u64,
    /// Where those begin in the log.
    pub recent: Position,
    pub file_blob_bytes: u64,
    pub segments: BTreeMap<u32, SegmentUse>,
}

/// The index.
#[derive(Debug)]
pub struct Index {
    database: Database,
}

impl Index {
    /// Opens the index of a file, or makes one in an empty file. Its pages are verified when they
    /// are read; all of them now only if it can't be sure that the header is the newest one. What
    /// it doesn't use of the file is given back if the disk has `room`.
    pub fn open(
        file: Arc<dyn DiskFile>,
        cache_bytes: usize,
        reserve: Arc<Reserve>,
        room: bool,
    ) -> IndexResult<Self> {
        let (backend, is_sure) =
            Backend::open(file, reserve, room).map_err(redb::Error::Io).map_err(fault)?;
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(!is_sure);
        let database = builder.create_with_backend(backend).map_err(fault)?;
        let index = Self { database };
        if !index.has_tables()? {
            index.make_tables()?;
        }
        Ok(index)
    }

    /// A file whose making was cut short has none.
    fn has_tables(&self) -> IndexResult<bool> {
        match self.read()?.open_table(STATE) {
            Ok(_) => Ok(true),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
            Err(error) => Err(fault(error)),
        }
    }

    fn make_tables(&self) -> IndexResult<()> {
        let transaction = self.begin_durable()?;
        transaction.open_table(RECORDS).map_err(fault)?;
        transaction.open_table(BLOBS).map_err(fault)?;
        transaction.open_table(FILES).map_err(fault)?;
        transaction.open_table(SEGMENTS).map_err(fault)?;
        transaction.open_table(STATE).map_err(fault)?;
        transaction.commit().map_err(fault)
    }

    /// A transaction after which a start has nothing to verify or to count.
    fn begin_durable(&self) -> IndexResult<WriteTransaction> {
        let mut transaction = self.database.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::Immediate).map_err(fault)?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    fn read(&self) -> IndexResult<ReadTransaction> {
        self.database.begin_read().map_err(fault)
    }

    /// A record, and where the log has it.
    pub fn get(&self, key: &[u8]) -> IndexResult<Option<(Position, Bytes)>> {
        let records = self.read()?.open_table(RECORDS).map_err(fault)?;
        let Some(found) = records.get(key).map_err(fault)? else { return Ok(None) };
        value::decode_record(key, found.value()).map(Some).ok_or_else(|| bad("a bad record"))
    }

    pub fn scan(&self, scan: &Scan) -> IndexResult<Vec<(Bytes, Bytes)>> {
        if scan.until.as_ref().is_some_and(|until| *until <= scan.from) {
            return Ok(Vec::new());
        }
        let records = self.read()?.open_table(RECORDS).map_err(fault)?;
        let until = scan.until.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(&*scan.from), until);
        let mut found = Vec::new();
        for row in records.range::<&[u8]>(range).map_err(fault)?.take(scan.limit) {
            let (key, value) = row.map_err(fault)?;
            let key = Bytes::copy_from_slice(key.value());
            let (_, value) =
                value::decode_record(&key, value.value()).ok_or_else(|| bad("a bad record"))?;
            found.push((key, value));
        }
        Ok(found)
    }

    /// Where a blob is.
    pub fn blob(&self, id: BlobId) -> IndexResult<Option<Location>> {
        let blobs = self.read()?.open_table(BLOBS).map_err(fault)?;
        let Some(found) = blobs.get(id.0).map_err(fault)? else { return Ok(None) };
        Location::decode(id, &found.value()).map(Some).ok_or_else(|| bad("a bad blob entry"))
    }

    /// IDs of blobs after one, in order.
    pub fn blobs(&self, after: Option<BlobId>, limit: usize) -> IndexResult<Vec<BlobId>> {
        let blobs = self.read()?.open_table(BLOBS).map_err(fault)?;
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.0));
        let rows = blobs.range((from, Bound::Unbounded)).map_err(fault)?.take(limit);
        rows.map(|row| Ok(BlobId(row.map_err(fault)?.0.value()))).collect()
    }

    /// IDs of the blobs in files of their own after one, in order.
    pub fn files(&self, after: Option<BlobId>, limit: usize) -> IndexResult<Vec<BlobId>> {
        let files = self.read()?.open_table(FILES).map_err(fault)?;
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.0));
        let rows = files.range((from, Bound::Unbounded)).map_err(fault)?.take(limit);
        rows.map(|row| Ok(BlobId(row.map_err(fault)?.0.value()))).collect()
    }

    /// How many records and blobs there are.
    pub fn counts(&self) -> IndexResult<(u64, u64)> {
        let read = self.read()?;
        let records = read.open_table(RECORDS).map_err(fault)?.len().map_err(fault)?;
        let blobs = read.open_table(BLOBS).map_err(fault)?.len().map_err(fault)?;
        Ok((records, blobs))
    }

    /// What it remembers of the log.
    pub fn state(&self) -> IndexResult<State> {
        let read = self.read()?;
        let rows = read.open_table(STATE).map_err(fault)?;
        let number = |name: &str| -> IndexResult<u64> {
            Ok(rows.get(name).map_err(fault)?.map_or(0, |row| row.value()))
        };
        let mut segments = BTreeMap::new();
        for row in read.open_table(SEGMENTS).map_err(fault)?.iter().map_err(fault)? {
            let (segment, numbers) = row.map_err(fault)?;
            let [end, live, removals] = numbers.value();
            segments.insert(segment.value(), SegmentUse { end, live, removals });
        }
        Ok(State {
            position: Position::from_number(number("position")?),
            serial: number("serial")?,
            floor: number("floor")?,
            recent: Position::from_number(number("recent")?),
            file_blob_bytes: number("file blob bytes")?,
            segments,
        })
    }

    /// Takes in a group that ends at `state.position`, not yet durably. Gives the blobs whose own
    /// files nothing refers to any more.
    pub fn apply(
        &self,
        segment: u32,
        items: &[Item],
        state: &mut State,
    ) -> IndexResult<Vec<BlobId>> {
        let mut transaction = self.database.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::None).map_err(fault)?;
        let mut unused = BTreeSet::new();
        {
            let mut change = Change {
                records: transaction.open_table(RECORDS).map_err(fault)?,
                blobs: transaction.open_table(BLOBS).map_err(fault)?,
                files: transaction.open_table(FILES).map_err(fault)?,
                segment,
                state,
                touched: BTreeSet::from([segment]),
                unused: &mut unused,
            };
            // In order of their keys pages are read and written once for a group. What has the
            // same key stays in its order.
            let mut ordered: Vec<&Item> = items.iter().collect();
            ordered.sort_by_key(|item| place_of(item));
            for item in ordered {
                change.item(item)?;
            }
            let touched = change.touched;
            let mut segments = transaction.open_table(SEGMENTS).map_err(fault)?;
            for segment in touched {
                let held = state.segments.entry(segment).or_default();
                let row = [held.end, held.live, held.removals];
                segments.insert(segment, row).map_err(fault)?;
            }
            let mut rows = transaction.open_table(STATE).map_err(fault)?;
            rows.insert("position", state.position.to_number()).map_err(fault)?;
            rows.insert("serial", state.serial).map_err(fault)?;
            rows.insert("file blob bytes", state.file_blob_bytes).map_err(fault)?;
        }
        transaction.commit().map_err(fault)?;
        Ok(unused.into_iter().collect())
    }

    /// Makes everything durable, and forgets the segments that `state` doesn't have.
    pub fn checkpoint(&self, state: &State) -> IndexResult<()> {
        let transaction = self.begin_durable()?;
        {
            let mut segments = transaction.open_table(SEGMENTS).map_err(fault)?;
            segments.retain(|segment, _| state.segments.contains_key(&segment)).map_err(fault)?;
            for (segment, held) in &state.segments {
                let row = [held.end, held.live, held.removals];
                let known = segments.get(segment).map_err(fault)?.map(|row| row.value());
                if known != Some(row) {
                    segments.insert(segment, row).map_err(fault)?;
                }
            }
            let mut rows = transaction.open_table(STATE).map_err(fault)?;
            rows.insert("position", state.position.to_number()).map_err(fault)?;
            rows.insert("serial", state.serial).map_err(fault)?;
            rows.insert("floor", state.floor).map_err(fault)?;
            rows.insert("recent", state.recent.to_number()).map_err(fault)?;
            rows.insert("file blob bytes", state.file_blob_bytes).map_err(fault)?;
        }
        transaction.commit().map_err(fault)
    }
}

/// What an item is about: the table and the key.
fn place_of(item: &Item) -> (u8, &[u8]) {
    match item {
        Item::Batch { .. } | Item::Moved => (0, &[]),
        Item::Put { key, .. } | Item::Remove { key } => (1, key),
        Item::Blob { id, .. }
        | Item::Adopt { id, .. }
        | Item::Free { id }
        | Item::Lost { id, .. } => (2, &id.0),
    }
}

/// A group on its way into the tables.
struct Change<'a, 't> {
    records: Table<'t, &'static [u8], &'static [u8]>,
    blobs: Table<'t, [u8; 16], [u8; 32]>,
    files: Table<'t, [u8; 16], ()>,
    segment: u32,
    state: &'a mut State,
    touched: BTreeSet<u32>,
    /// Blobs whose files nothing refers to.
    unused: &'a mut BTreeSet<BlobId>,
}

impl Change<'_, '_> {
    fn item(&mut self, item: &Item) -> IndexResult<()> {
        match item {
            Item::Batch { .. } | Item::Moved => {}
            Item::Put { key, value, at } => {
                let position = Position { segment: self.segment, offset: *at };
                let row = value::encode_record(position, key, value);
                let old = self.records.insert(&**key, &*row).map_err(fault)?;
                let old = old.map(|old| value::record_log(old.value(), key.len()));
                self.lives(item.log_bytes());
                self.dies(old.flatten());
            }
            Item::Remove { key } => {
                let old = self.records.remove(&**key).map_err(fault)?;
                let old = old.map(|old| value::record_log(old.value(), key.len()));
                self.held(self.segment).removals += item.log_bytes();
                self.dies(old.flatten());
            }
            Item::Blob { id, len, at } => self.place(*id, Kind::Log, *len, *at, item)?,
            Item::Adopt { id, len, at } => self.place(*id, Kind::File, *len, *at, item)?,
            Item::Lost { id, len, at } => self.place(*id, Kind::Lost, *len, *at, item)?,
            Item::Free { id } => {
                let old = self.blobs.remove(id.0).map_err(fault)?.map(|old| old.value());
                self.held(self.segment).removals += item.log_bytes();
                self.replaced(*id, old, None)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, id: BlobId, kind: Kind, len: u64, at: u32, item: &Item) -> IndexResult<()> {
        let at = Position { segment: self.segment, offset: at };
        let row = Location { kind, len, at }.encode(id);
        let old = self.blobs.insert(id.0, row).map_err(fault)?.map(|old| old.value());
        self.lives(item.log_bytes());
        if kind == Kind::File {
            self.state.file_blob_bytes += len;
            self.files.insert(id.0, ()).map_err(fault)?;
        }
        self.replaced(id, old, Some(kind))
    }

    fn replaced(&mut self, id: BlobId, old: Option<[u8; 32]>, by: Option<Kind>) -> IndexResult<()> {
        let old = old.and_then(|old| Location::decode(id, &old));
        if by == Some(Kind::File) {
            self.unused.remove(&id);
        }
        let Some(old) = old else { return Ok(()) };
        self.dies(Some((old.at.segment, old.log_bytes())));
        if old.kind == Kind::File {
            self.state.file_blob_bytes = self.state.file_blob_bytes.saturating_sub(old.len);
            if by != Some(Kind::File) {
                self.unused.insert(id);
                self.files.remove(id.0).map_err(fault)?;
            }
        }
        Ok(())
    }

    fn held(&mut self, segment: u32) -> &mut SegmentUse {
        self.touched.insert(segment);
        self.state.segments.entry(segment).or_default()
    }

    fn lives(&mut self, bytes: u64) {
        self.held(self.segment).live += bytes;
    }

    /// What an older item takes up is of no use any more.
    fn dies(&mut self, old: Option<(u32, u64)>) {
        let Some((segment, bytes)) = old else { return };
        // A segment that was lost isn't made again.
        if let Some(held) = self.state.segments.get_mut(&segment) {
            held.live = held.live.saturating_sub(bytes);
            self.touched.insert(segment);
        }
    }
}

impl Location {
    /// The bytes of the log that it keeps alive.
    pub fn log_bytes(&self) -> u64 {
        match self.kind {
            Kind::Log => blob_bytes(self.len),
            Kind::File | Kind::Lost => NAMED_BYTES,
        }
    }
}
