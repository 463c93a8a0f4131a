//! Finds events: both streams from their ends, block by block, the newest first.

use super::stream::{Block, Index};
use audit::{Page, Position, Query};
use contracts::audit::Event;
use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use types::Timestamp;

/// The most that one call reads, in bytes; a further page goes on from there.
const MAX_READ_BYTES: u64 = 64 << 20;

/// An event that was found, with its line and its place.
struct Found {
    event: Event,
    text: String,
    at: Position,
}

/// A stream on its way back.
struct Cursor<'a> {
    query: &'a Query,
    needles: &'a [String],
    /// Blocks that may hold what is looked for, the newest first.
    blocks: VecDeque<(u64, PathBuf, Block)>,
    /// Of the last block that was read, in the order of the file.
    found: Vec<Found>,
    /// Nothing at or after it is left.
    before: Position,
}

/// What a stream has next.
enum Next {
    Event(String),
    End,
    /// Enough was read for one call.
    Paused,
}

/// Finds a page of events.
///
/// # Errors
/// A file can't be read.
pub fn search(indexes: &[Arc<Index>; 2], query: &Query) -> anyhow::Result<Page> {
    let needles = query.needles();
    let mut budget = MAX_READ_BYTES;
    let [changes, reads] = indexes;
    let mut cursors = [
        Cursor::new(changes, query, &needles, (0, query.only_reads() == Some(true))),
        Cursor::new(reads, query, &needles, (1, query.only_reads() == Some(false))),
    ];
    let mut page = Page::default();
    let more = loop {
        let [one, other] = &mut cursors;
        let which = match (one.next(&mut budget)?, other.next(&mut budget)?) {
            (Next::Paused, _) | (_, Next::Paused) => break true,
            (Next::End, Next::End) => break false,
            (Next::Event(_), Next::End) => 0,
            (Next::End, Next::Event(_)) => 1,
            (Next::Event(change), Next::Event(read)) => usize::from(read > change),
        };
        if page.events.len() >= query.limit {
            break true;
        }
        if let Some(found) = cursors.get_mut(which).and_then(Cursor::take) {
            page.events.push((found.event, found.text));
        }
    };
    if more {
        let [one, other] = &cursors;
        page.next = Some(query.token([one.before, other.before]));
    }
    Ok(page)
}

impl<'a> Cursor<'a> {
    /// A cursor at the newest event that the query may mean, or at the end if it can mean none.
    fn new(
        index: &Index,
        query: &'a Query,
        needles: &'a [String],
        (which, ended): (usize, bool),
    ) -> Self {
        let second = |text: &str| Timestamp::parse(text).map(|at| at.millis().div_euclid(1000));
        let from_s = second(&query.from).unwrap_or(i64::MIN);
        let to_s = second(&query.to).unwrap_or(i64::MAX);
        let given = query.before.as_ref().and_then(|before| before.get(which)).copied();
        let (blocks, end) = index.look(|parts| {
            let end = parts.last().map_or(Position { file: 0, offset: 0 }, |part| Position {
                file: part.number,
                offset: part.blocks.last().map_or(0, |block| block.offset + block.length),
            });
            let before = given.unwrap_or(end);
            let mut blocks = VecDeque::new();
            for part in parts.iter().rev().filter(|_| !ended) {
                for block in part.blocks.iter().rev() {
                    let at = Position { file: part.number, offset: block.offset };
                    let of_time = block.last_s >= from_s && block.first_s <= to_s;
                    let accounts = block.accounts.as_ref();
                    let own = accounts.is_none_or(|all| all.contains(&query.account));
                    if at < before && of_time && own {
                        blocks.push_back((part.number, part.path.clone(), block.clone()));
                    }
                }
            }
            (blocks, end)
        });
        Self { query, needles, blocks, found: Vec::new(), before: given.unwrap_or(end) }
    }

    /// The second of the next event, which stays.
    fn next(&mut self, budget: &mut u64) -> anyhow::Result<Next> {
        while self.found.is_empty() {
            let Some((file, path, block)) = self.blocks.pop_front() else { return Ok(Next::End) };
            if *budget < block.length {
                self.blocks.push_front((file, path, block));
                return Ok(Next::Paused);
            }
            *budget -= block.length;
            self.read(file, &path, &block)?;
            if self.found.is_empty() {
                self.before = Position { file, offset: block.offset };
            }
        }
        let last = self.found.last();
        Ok(last.map_or(Next::End, |found| Next::Event(found.event.event_time.clone())))
    }

    fn take(&mut self) -> Option<Found> {
        let found = self.found.pop()?;
        self.before = found.at;
        Some(found)
    }

    fn read(&mut self, number: u64, path: &Path, block: &Block) -> anyhow::Result<()> {
        let mut bytes = vec![0; usize::try_from(block.length)?];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut bytes, block.offset));
        match read {
            Ok(()) => {}
            // It was removed meanwhile: its time is over.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut offset = block.offset;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let at = Position { file: number, offset };
            offset += u64::try_from(line.len())?;
            if at >= self.before {
                break;
            }
            // What isn't text was no event.
            let Ok(text) = std::str::from_utf8(line) else { continue };
            if !self.needles.iter().all(|needle| text.contains(needle)) {
                continue;
            }
            if let Ok(event) = serde_json::from_str::<Event>(text)
                && self.query.matches(&event)
            {
                let text = text.trim_end().to_owned();
                self.found.push(Found { event, text, at });
            }
        }
        Ok(())
    }
}
