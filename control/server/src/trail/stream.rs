//! One stream of the log: files of events, a line each, and what each part of them is about.
//!
//! `NAME-00000001.jsonl` holds events, `NAME-00000001.index` a line for each block of it: offset,
//! length, the first and last second, and the accounts in it. An index is only a help: what is
//! missing of it is made anew from the events. A last line that was torn by a crash is cut off.

use contracts::audit::Event;
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use types::{AccountId, Timestamp};

/// A block is about so long.
const BLOCK_BYTES: u64 = 256 << 10;
/// A file of this length is followed by the next.
const FILE_BYTES: u64 = 32 << 20;
/// The most of one stream that is kept.
const STREAM_BYTES: u64 = 2 << 30;
/// So much is written at once, at most.
const BUFFER_BYTES: usize = 256 << 10;
/// The most accounts that a block's entry names; one of more is of any.
const MAX_BLOCK_ACCOUNTS: usize = 16;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub block_bytes: u64,
    pub file_bytes: u64,
    pub stream_bytes: u64,
    /// How long events are kept at most.
    pub days: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_bytes: BLOCK_BYTES,
            file_bytes: FILE_BYTES,
            stream_bytes: STREAM_BYTES,
            days: 90,
        }
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub offset: u64,
    pub length: u64,
    /// The first and last second of its events since the epoch.
    pub first_s: i64,
    pub last_s: i64,
    /// Whose events it has; none if there are too many to name.
    pub accounts: Option<BTreeSet<AccountId>>,
}

impl Block {
    fn new(offset: u64) -> Self {
        Self {
            offset,
            length: 0,
            first_s: i64::MAX,
            last_s: i64::MIN,
            accounts: Some(BTreeSet::new()),
        }
    }

    fn end(&self) -> u64 {
        self.offset + self.length
    }

    fn take(&mut self, line: Line) {
        self.length += line.length;
        let Some(about) = line.about else { return };
        self.first_s = self.first_s.min(about.at_s);
        self.last_s = self.last_s.max(about.at_s);
        if let Some(accounts) = &mut self.accounts {
            accounts.insert(about.account);
            if accounts.len() > MAX_BLOCK_ACCOUNTS {
                self.accounts = None;
            }
        }
    }

    fn to_line(&self) -> String {
        let Self { offset, length, first_s, last_s, accounts } = self;
        let accounts = match accounts {
            None => "*".to_owned(),
            Some(accounts) if accounts.is_empty() => "-".to_owned(),
            Some(accounts) => {
                accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        };
        format!("{offset} {length} {first_s} {last_s} {accounts}\n")
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let offset = words.next()?.parse().ok()?;
        let length = words.next()?.parse().ok()?;
        let first_s = words.next()?.parse().ok()?;
        let last_s = words.next()?.parse().ok()?;
        let accounts = match words.next()? {
            "*" => None,
            "-" => Some(BTreeSet::new()),
            text => Some(text.split(',').map(str::parse).collect::<Result<_, _>>().ok()?),
        };
        words.next().is_none().then_some(Self { offset, length, first_s, last_s, accounts })
    }
}

/// What an event's line is about.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// When it was, in seconds since the epoch.
    pub at_s: i64,
    pub account: AccountId,
}

/// A line that is written, or will be.
#[derive(Debug, Clone, Copy)]
struct Line {
    length: u64,
    about: Option<About>,
}

/// A file with its blocks.
#[derive(Debug, Clone)]
pub struct Part {
    pub number: u64,
    pub path: PathBuf,
    pub blocks: Vec<Block>,
}

impl Part {
    fn length(&self) -> u64 {
        self.blocks.last().map_or(0, Block::end)
    }

    fn last_s(&self) -> i64 {
        self.blocks.iter().map(|block| block.last_s).max().unwrap_or(i64::MAX)
    }
}

/// The files of a stream, for who searches; what is not written yet isn't there.
#[derive(Debug, Default)]
pub struct Index(RwLock<Vec<Part>>);

impl Index {
    /// Looks at the files, the oldest first.
    pub fn look<T>(&self, look: impl FnOnce(&[Part]) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Part>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The writer's side of a stream.
#[derive(Debug)]
pub struct Stream {
    folder: PathBuf,
    name: String,
    limits: Limits,
    index: Arc<Index>,
    file: File,
    entries: File,
    /// Lines that are not written yet.
    buffer: Vec<u8>,
    waiting: Vec<Line>,
    /// Whether the file may end with a part of a line.
    torn: bool,
    /// Whether the disk doesn't have all.
    dirty: bool,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

impl Stream {
    /// Opens a stream, and mends what a crash left of it.
    ///
    /// # Errors
    /// The folder can't be read or written.
    pub fn open(folder: &Path, name: &str, limits: Limits) -> io::Result<Self> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let file = entry?.file_name();
            let number: Option<u64> = file.to_str().and_then(|file| {
                file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".jsonl")?.parse().ok()
            });
            numbers.extend(number);
        }
        numbers.sort_unstable();
        let mut parts = Vec::new();
        for number in &numbers {
            parts.push(mended(&at(folder, name, *number), *number, limits)?);
        }
        if parts.is_empty() {
            parts.push(Part { number: 1, path: at(folder, name, 1), blocks: Vec::new() });
        }
        let path = parts.last().map(|part| part.path.clone()).unwrap_or_default();
        let stream = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            limits,
            index: Arc::new(Index(RwLock::new(parts))),
            file: open(&path)?,
            entries: open(&path.with_extension("index"))?,
            buffer: Vec::new(),
            waiting: Vec::new(),
            torn: false,
            dirty: false,
        };
        Ok(stream)
    }

    /// The files, for who searches.
    pub fn index(&self) -> Arc<Index> {
        self.index.clone()
    }

    /// Takes a line, with its end; the number of events that were lost, if it could not be written.
    pub fn append(&mut self, line: &[u8], about: Option<About>) -> Result<(), u64> {
        self.buffer.extend_from_slice(line);
        let length = u64::try_from(line.len()).unwrap_or_default();
        self.waiting.push(Line { length, about });
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what waits; the number of events that were lost, if that failed.
    pub fn flush(&mut self) -> Result<(), u64> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.write();
        self.buffer.clear();
        let lines = std::mem::take(&mut self.waiting);
        if let Err(error) = written {
            self.torn = true;
            log::error!("the audit log can't be written: {error}");
            return Err(u64::try_from(lines.len()).unwrap_or_default());
        }
        self.dirty = true;
        let sealed = self.index.change(|parts| {
            let mut sealed = String::new();
            let Some(part) = parts.last_mut() else { return sealed };
            for line in lines {
                add(part, line, self.limits.block_bytes, &mut sealed);
            }
            sealed
        });
        // What is missing of it is made anew at the next start.
        let _ = self.entries.write_all(sealed.as_bytes());
        if self.index.look(|parts| parts.last().map_or(0, Part::length)) >= self.limits.file_bytes
            && let Err(error) = self.next_file()
        {
            log::warn!("the audit log's next file can't be made: {error}");
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.index.look(|parts| parts.last().map_or(0, Part::length)))?;
            self.torn = false;
        }
        self.file.write_all(&self.buffer)
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.sync()?;
        let last = self.index.look(|parts| parts.last().cloned());
        let number = last.as_ref().map_or(1, |part| part.number + 1);
        if let Some(block) = last.as_ref().and_then(|part| part.blocks.last()) {
            let _ = self.entries.write_all(block.to_line().as_bytes());
        }
        let path = at(&self.folder, &self.name, number);
        let (file, entries) = (open(&path)?, open(&path.with_extension("index"))?);
        (self.file, self.entries) = (file, entries);
        self.index.change(|parts| parts.push(Part { number, path, blocks: Vec::new() }));
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) { self.file.sync_data() } else { Ok(()) }
    }

    /// Writes to another file from now on, one that fails.
    #[cfg(test)]
    pub fn fail_with(&mut self, file: File) {
        self.file = file;
    }

    /// Removes files that are too old, or too much; the last one stays.
    pub fn forget(&mut self, now: Timestamp) {
        let oldest_s = now.millis() / 1000 - i64::from(self.limits.days) * 24 * 3600;
        let removed = self.index.change(|parts| {
            let mut total: u64 = parts.iter().map(Part::length).sum();
            let mut removed = Vec::new();
            while let [first, _, ..] = parts.as_slice()
                && (total > self.limits.stream_bytes || first.last_s() < oldest_s)
            {
                total -= first.length();
                removed.push(parts.remove(0));
            }
            removed
        });
        for part in removed {
            let gone = fs::remove_file(&part.path);
            if let Err(error) = gone.and(fs::remove_file(part.path.with_extension("index"))) {
                log::warn!("{} can't be removed: {error}", part.path.display());
            }
        }
    }
}

fn at(folder: &Path, name: &str, number: u64) -> PathBuf {
    folder.join(format!("{name}-{number:08}.jsonl"))
}

/// Adds a line to the last block, or to a new one; entries of blocks that are full are put out.
fn add(part: &mut Part, line: Line, block_bytes: u64, sealed: &mut String) {
    let end = part.length();
    let full = part
        .blocks
        .last()
        .is_none_or(|block| block.length > 0 && block.length + line.length > block_bytes);
    if full {
        if let Some(block) = part.blocks.last() {
            sealed.push_str(&block.to_line());
        }
        part.blocks.push(Block::new(end));
    }
    if let Some(block) = part.blocks.last_mut() {
        block.take(line);
    }
}

/// A file with its blocks; what is missing of its index is made from the events, and what is torn is
/// cut off.
fn mended(path: &Path, number: u64, limits: Limits) -> io::Result<Part> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let mut part = Part { number, path: path.to_owned(), blocks: Vec::new() };
    let mut entries = open(&path.with_extension("index"))?;
    let text = fs::read(path.with_extension("index"))?;
    let mut good = 0;
    for line in String::from_utf8_lossy(&text).split_inclusive('\n') {
        let block = line.strip_suffix('\n').and_then(Block::from_line);
        let fits = |block: &Block| block.offset == part.length() && block.end() <= length;
        let Some(block) = block.filter(fits) else { break };
        part.blocks.push(block);
        good += line.len();
    }
    entries.set_len(u64::try_from(good).unwrap_or_default())?;
    let from = part.length();
    let mut tail = vec![0; usize::try_from(length - from).map_err(io::Error::other)?];
    file.read_exact_at(&mut tail, from)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        log::warn!("{} ended in the midst of an event, which is lost", path.display());
        tail.truncate(whole);
        file.set_len(from + u64::try_from(whole).unwrap_or_default())?;
    }
    // A block that is closed already gets no more lines: its entry is written.
    if !part.blocks.is_empty() && !tail.is_empty() {
        part.blocks.push(Block::new(from));
    }
    let mut sealed = String::new();
    for line in tail.split_inclusive(|byte| *byte == b'\n') {
        let event = serde_json::from_slice::<Event>(line).ok();
        let about = event.and_then(|event| about(&event));
        let length = u64::try_from(line.len()).unwrap_or_default();
        add(&mut part, Line { length, about }, limits.block_bytes, &mut sealed);
    }
    entries.write_all(sealed.as_bytes())?;
    Ok(part)
}

/// What an event is about; none if it says so in no form that is known.
pub fn about(event: &Event) -> Option<About> {
    let at = Timestamp::parse(&event.event_time).ok()?;
    let account = event.recipient_account_id.parse().ok()?;
    Some(About { at_s: at.millis().div_euclid(1000), account })
}
