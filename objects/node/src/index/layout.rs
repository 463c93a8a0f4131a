//! Where the index's file has what: two copies of redb's header, then groups of pages, each after
//! a page of their checksums.

use crate::checksum;
use std::{io, ops::Range};

/// Of redb, in bytes.
pub const PAGE: u64 = 4096;
pub const PAGE_BYTES: usize = 4096;

/// Of a page's checksum.
pub const CHECKSUM_BYTES: usize = 8;

/// Pages whose checksums fill a page.
const GROUP: u64 = 512;

/// A copy of the header is one sector, so that a power cut doesn't tear it on most disks.
pub const COPY_BYTES: usize = 512;

/// What a copy has before redb's header.
pub const HEAD_PREFIX: usize = 32;

/// What is kept of redb's first page: it uses 320 bytes.
pub const HEAD_BYTES: usize = COPY_BYTES - HEAD_PREFIX;

const MAGIC: [u8; 8] = *b"FGBINDX1";

/// redb's header, and what is written with it.
#[derive(Clone, Debug)]
pub struct Head {
    /// Of the copy: each is newer than those of lower numbers. Zero if none was written.
    pub number: u64,
    /// How long the file is at least, as redb sees it.
    pub len: u64,
    pub bytes: [u8; HEAD_BYTES],
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, len: 0, bytes: [0; HEAD_BYTES] }
    }
}

impl Head {
    pub fn encode(&self) -> [u8; COPY_BYTES] {
        let mut copy = [0; COPY_BYTES];
        copy[..8].copy_from_slice(&MAGIC);
        copy[8..16].copy_from_slice(&self.number.to_le_bytes());
        copy[16..24].copy_from_slice(&self.len.to_le_bytes());
        copy[HEAD_PREFIX..].copy_from_slice(&self.bytes);
        let checksum = checksum::of(&[&copy[..24], &self.bytes]);
        copy[24..HEAD_PREFIX].copy_from_slice(&checksum.to_le_bytes());
        copy
    }

    /// None if the copy isn't as it was written, or not in its place.
    pub fn decode(copy: &[u8; COPY_BYTES], place: u64) -> Option<Self> {
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(copy.get(at..at + 8)?.try_into().ok()?))
        };
        let bytes: [u8; HEAD_BYTES] = copy[HEAD_PREFIX..].try_into().ok()?;
        let is_whole = copy[..8] == MAGIC
            && number(24)? == checksum::of(&[&copy[..24], &bytes])
            && number(8)? % 2 == place % 2;
        is_whole.then_some(Self { number: number(8)?, len: number(16)?, bytes })
    }
}

/// Where a copy is that has this number.
pub fn head_offset(number: u64) -> u64 {
    number % 2 * PAGE
}

/// A part of the header; an error if it isn't kept.
pub fn head_part(offset: u64, len: usize) -> io::Result<Range<usize>> {
    let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let end = start.checked_add(len).filter(|end| *end <= HEAD_BYTES);
    Ok(start..end.ok_or(io::ErrorKind::InvalidInput)?)
}

/// Pages that follow each other in the file, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first page's number, as redb counts them.
    pub first: u64,
    pub pages: usize,
    /// Offsets in the file.
    pub at: u64,
    pub checksums_at: u64,
}

/// Where whole pages are, from an offset on that isn't the header's.
pub fn runs(offset: u64, len: usize) -> io::Result<impl Iterator<Item = Run>> {
    if !offset.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE_BYTES) || offset < PAGE {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (mut page, mut left) = (offset / PAGE, (len / PAGE_BYTES) as u64);
    Ok(std::iter::from_fn(move || {
        let (group, slot) = ((page - 1) / GROUP, (page - 1) % GROUP);
        let pages = left.min(GROUP - slot);
        let start = (2 + group * (GROUP + 1)) * PAGE;
        let run = Run {
            first: page,
            pages: usize::try_from(pages).ok()?,
            at: start + (1 + slot) * PAGE,
            checksums_at: start + slot * CHECKSUM_BYTES as u64,
        };
        page += pages;
        left -= pages;
        (pages > 0).then_some(run)
    }))
}

/// The file's length for what redb sees as this one.
pub fn physical_len(len: u64) -> io::Result<u64> {
    if !len.is_multiple_of(PAGE) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let pages = (len / PAGE).saturating_sub(1);
    Ok((2 + pages + pages.div_ceil(GROUP)) * PAGE)
}

/// The length as redb sees it; none if the file can't have become so.
pub fn logical_len(len: u64) -> Option<u64> {
    if len == 0 {
        return Some(0);
    }
    let pages = (len / PAGE).checked_sub(2).filter(|_| len.is_multiple_of(PAGE))?;
    let (groups, rest) = (pages / (GROUP + 1), pages % (GROUP + 1));
    (rest != 1).then(|| (1 + groups * GROUP + rest.saturating_sub(1)) * PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_pages_share_a_place() {
        let mut taken = BTreeSet::from([0, 1]);
        for page in 1..3000 {
            let run = runs(page * PAGE, PAGE_BYTES).expect("aligned").next().expect("a page");
            assert_eq!((run.first, run.pages), (page, 1));
            assert!(taken.insert(run.at / PAGE), "page {page}");
            let len = physical_len((page + 1) * PAGE).expect("aligned");
            assert_eq!(len, run.at + PAGE, "the file ends with its last page");
            assert_eq!(logical_len(len), Some((page + 1) * PAGE));
            assert!(run.checksums_at + 8 <= run.at);
        }
        let checksums: BTreeSet<u64> = (1..3000)
            .map(|page| {
                let run = runs(page * PAGE, PAGE_BYTES).expect("aligned").next().expect("a page");
                assert!(!taken.contains(&(run.checksums_at / PAGE)));
                run.checksums_at
            })
            .collect();
        assert_eq!(checksums.len(), 2999);
    }

    #[test]
    fn long_pages_are_cut_at_groups() {
        let long = usize::try_from(PAGE * 1024).expect("small");
        let found: Vec<Run> = runs(500 * PAGE, long).expect("aligned").collect();
        assert_eq!(found.iter().map(|run| run.pages).collect::<Vec<_>>(), [13, 512, 499]);
        for run in found {
            let single = runs(run.first * PAGE, PAGE_BYTES).expect("aligned").next();
            let single = single.expect("a page");
            assert_eq!((single.at, single.checksums_at), (run.at, run.checksums_at));
        }
        assert!(runs(PAGE + 1, PAGE_BYTES).is_err());
        assert!(runs(PAGE, 100).is_err());
    }

    #[test]
    fn a_length_that_cannot_be_is_none() {
        for (len, expected) in
            [(0, Some(0)), (1, None), (PAGE, None), (2 * PAGE, Some(PAGE)), (3 * PAGE, None)]
        {
            assert_eq!(logical_len(len), expected, "{len}");
        }
        assert_eq!(logical_len((2 + 513) * PAGE), Some(513 * PAGE));
        assert_eq!(logical_len((2 + 514) * PAGE), None);
    }

    #[test]
    fn a_header_counts_in_its_place_only() {
        let head = Head { number: 7, len: 8192, bytes: [5; HEAD_BYTES] };
        let copy = head.encode();
        let read = Head::decode(&copy, 1).expect("it is whole");
        assert_eq!((read.number, read.len, read.bytes), (7, 8192, head.bytes));
        assert!(Head::decode(&copy, 0).is_none());
        for at in 0..COPY_BYTES {
            let mut rotten = copy;
            rotten[at] ^= 4;
            assert!(Head::decode(&rotten, 1).is_none(), "{at}");
        }
    }
}
