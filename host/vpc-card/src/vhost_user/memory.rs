//! A guest's memory, mapped: guest and QEMU addresses become pointers here or nowhere.
#![allow(unsafe_code, reason = "maps the guest's memory and copies out of it and into it")]

use anyhow::{Context as _, bail, ensure};
use rustix::{
    fs::{SealFlags, fcntl_get_seals, fstat},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};
use std::{os::fd::OwnedFd, ptr, sync::Arc};

/// Regions that a guest's memory may have.
pub const MAX_REGIONS: usize = 8;

/// A region as QEMU tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionSpec {
    /// Address as the guest knows it.
    pub guest: u64,
    /// Length.
    pub size: u64,
    /// Address as QEMU knows it.
    pub user: u64,
    /// Where it begins in its file.
    pub offset: u64,
}

#[derive(Debug)]
struct Region {
    spec: RegionSpec,
    /// Where the file's first byte is mapped.
    base: *mut u8,
    mapped: usize,
}

/// A guest's mapped memory.
#[derive(Debug)]
pub struct Memory {
    regions: Vec<Region>,
}

// SAFETY: the mapping is shared memory that is only accessed by copies through raw pointers;
// nothing of it depends on the thread.
unsafe impl Send for Memory {}
// SAFETY: as above; no method changes the table.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps a guest's regions.
    ///
    /// # Errors
    /// The regions overlap or overflow, are more than 8, or their files may shrink under us.
    pub fn new(specs: Vec<(RegionSpec, OwnedFd)>) -> anyhow::Result<Self> {
        ensure!(specs.len() <= MAX_REGIONS, "more than {MAX_REGIONS} memory regions");
        let mut memory = Self { regions: Vec::new() };
        for (spec, file) in specs {
            ensure!(spec.size > 0, "an empty memory region");
            let guest_end = spec.guest.checked_add(spec.size).context("region overflows")?;
            spec.user.checked_add(spec.size).context("region overflows")?;
            let file_end = spec.offset.checked_add(spec.size).context("region overflows")?;
            for other in memory.regions.iter().map(|region| region.spec) {
                if spec.guest < other.guest + other.size && other.guest < guest_end {
                    bail!("memory regions overlap");
                }
            }
            // A file that shrinks would kill this process, and with it everybody's network.
            let seals = fcntl_get_seals(&file).context("guest memory must be a memfd")?;
            ensure!(seals.contains(SealFlags::SHRINK), "guest memory must be sealed");
            let size = fstat(&file).context("size of guest memory")?.st_size;
            ensure!(u64::try_from(size)? >= file_end, "a region is longer than its file");
            let mapped = usize::try_from(file_end)?;
            // From the file's beginning, as huge pages need no other alignment then.
            // SAFETY: a new mapping at an address of the kernel's choice.
            let base = unsafe {
                let access = ProtFlags::READ | ProtFlags::WRITE;
                mmap(ptr::null_mut(), mapped, access, MapFlags::SHARED, &file, 0)
            };
            let base = base.context("map guest memory")?.cast();
            memory.regions.push(Region { spec, base, mapped });
        }
        Ok(memory)
    }

    /// The pointer to a guest address, and how many bytes of its region follow.
    fn at_guest(&self, address: u64) -> Option<(*mut u8, u64)> {
        self.regions.iter().find_map(|region| {
            let at = address.checked_sub(region.spec.guest)?;
            region.pointer(at)
        })
    }

    /// The pointer to bytes that QEMU knows at this address.
    #[must_use]
    pub fn at_user(&self, address: u64, len: u64) -> Option<*mut u8> {
        self.regions.iter().find_map(|region| {
            let at = address.checked_sub(region.spec.user)?;
            let (pointer, left) = region.pointer(at)?;
            (len <= left).then_some(pointer)
        })
    }

    /// The pointer to bytes of the guest that lie in one region.
    #[must_use]
    pub fn at(&self, address: u64, len: u64) -> Option<*mut u8> {
        let (pointer, left) = self.at_guest(address)?;
        (len <= left).then_some(pointer)
    }
}

impl Region {
    /// The pointer to a byte of the region, and how many there are from there.
    fn pointer(&self, at: u64) -> Option<(*mut u8, u64)> {
        let left = self.spec.size.checked_sub(at).filter(|&left| left > 0)?;
        let offset = usize::try_from(self.spec.offset + at).ok()?;
        // SAFETY: offset + at lies within the mapping, which is offset + size long.
        Some((unsafe { self.base.add(offset) }, left))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and who has pointers into it holds the memory.
        let result = unsafe { munmap(self.base.cast(), self.mapped) };
        if let Err(error) = result {
            log::error!("unmap guest memory: {error}");
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    pointer: *mut u8,
    len: usize,
}

/// Buffers of a guest, one after the other: what a descriptor chain names.
#[derive(Debug, Default)]
pub struct Chain {
    /// Keeps the segments' mapping.
    memory: Option<Arc<Memory>>,
    segments: Vec<Segment>,
    len: usize,
}

impl Chain {
    /// Empties the chain; what comes lies in this memory.
    pub fn restart(&mut self, memory: &Arc<Memory>) {
        self.segments.clear();
        self.len = 0;
        if !self.memory.as_ref().is_some_and(|held| Arc::ptr_eq(held, memory)) {
            self.memory = Some(Arc::clone(memory));
        }
    }

    /// Appends a buffer; false if it is not in the guest's memory.
    pub fn push(&mut self, address: u64, len: u32) -> bool {
        let Some(memory) = &self.memory else { return false };
        let (mut address, mut left) = (address, u64::from(len));
        while left > 0 {
            let Some((pointer, room)) = memory.at_guest(address) else { return false };
            let part = left.min(room);
            let Ok(len) = usize::try_from(part) else { return false };
            self.segments.push(Segment { pointer, len });
            self.len += len;
            left -= part;
            let Some(next) = address.checked_add(part) else { return left == 0 };
            address = next;
        }
        true
    }

    /// Pieces that the bytes are in.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.segments.len()
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes from `at` on out of the guest; says how many there were.
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        self.parts(at, bytes.len(), |source, len| {
            let target = &mut bytes[done..done + len];
            // SAFETY: the segment is `len` bytes of a mapping that this chain holds; the guest
            // may write there meanwhile, which changes what is read and no more.
            unsafe { ptr::copy_nonoverlapping(source, target.as_mut_ptr(), len) };
            done += len;
        });
        done
    }

    /// Copies bytes into the guest from `at` on; says how many there was room for.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> usize {
        let mut done = 0;
        self.parts(at, bytes.len(), |target, len| {
            let source = &bytes[done..done + len];
            // SAFETY: as in `read`.
            unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target, len) };
            done += len;
        });
        done
    }

    /// Copies bytes of another guest's buffers into these.
    pub fn copy(&mut self, mut at: usize, source: &Self, from: usize, len: usize) {
        source.parts(from, len, |source, len| {
            let mut done = 0;
            self.parts(at, len, |target, part| {
                // SAFETY: both are within mappings that the chains hold; they may overlap, if a
                // guest sends to itself and names the same buffers.
                unsafe { ptr::copy(source.add(done), target, part) };
                done += part;
            });
            at += len;
        });
    }

    /// Calls with each piece of the bytes from `at` on.
    pub fn parts(&self, at: usize, len: usize, mut each: impl FnMut(*mut u8, usize)) {
        let (mut skip, mut left) = (at, len);
        for segment in &self.segments {
            if left == 0 {
                break;
            }
            if skip >= segment.len {
                skip -= segment.len;
                continue;
            }
            let part = left.min(segment.len - skip);
            // SAFETY: `skip` is less than the segment's length.
            each(unsafe { segment.pointer.add(skip) }, part);
            left -= part;
            skip = 0;
        }
    }
}
