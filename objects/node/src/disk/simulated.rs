//! A disk in memory that fails on demand: power cuts, faults, full, flipped bits.
//!
//! A power cut keeps of each 512-byte sector written since the last sync the old or any newer
//! value, of a length any since, and of names each change or not, all by the seed.

use super::{Disk, DiskFile};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const SECTOR: usize = 512;

/// A call that may be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    Read,
    Write,
    Sync,
    /// Creating, renaming, removing.
    Name,
}

/// Xorshift: the same seed, the same history.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635_d1a3_c1e9 | 1)
    }

    /// A number below `below`.
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_shr(11) % below.max(1)
    }

    /// A number below `below`.
    pub(crate) fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.roll(below as u64)).unwrap_or(0)
    }
}

/// A file: as it is, as it surely survives, and what happened in between.
#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    stable: Vec<u8>,
    since: Vec<Since>,
}

#[derive(Clone, Debug)]
enum Since {
    Written(usize, Vec<u8>),
    /// A write that the power cut came upon.
    Torn(usize, Vec<u8>),
    Length(usize),
}

impl Inode {
    fn sync(&mut self) {
        let since = std::mem::take(&mut self.since);
        if self.stable.len() != self.now.len()
            || since.iter().any(|since| matches!(since, Since::Length(_)))
        {
            self.stable.clone_from(&self.now);
            return;
        }
        for since in since {
            if let Since::Written(at, bytes) = since {
                let end = at + bytes.len();
                self.stable[at..end].copy_from_slice(&self.now[at..end]);
            }
        }
    }

    /// `lost` of ten sectors keep what they were.
    fn lose_power(&mut self, dice: &mut Dice, lost: u64) {
        let mut kept = std::mem::take(&mut self.stable);
        for since in std::mem::take(&mut self.since) {
            if let Since::Length(len) = since {
                if dice.roll(10) >= lost {
                    kept.resize(len, 0);
                }
                continue;
            }
            let (Since::Written(at, bytes) | Since::Torn(at, bytes)) = since else { continue };
            let mut from = at;
            for sector in bytes.chunk_by_sector(at) {
                let end = from + sector.len();
                if dice.roll(10) >= lost {
                    if kept.len() < end {
                        kept.resize(end, 0);
                    }
                    kept[from..end].copy_from_slice(sector);
                }
                from = end;
            }
        }
        self.now.clone_from(&kept);
        self.stable = kept;
    }
}

/// Cuts bytes at the borders of a disk's sectors.
trait BySector {
    fn chunk_by_sector(&self, at: usize) -> Vec<&[u8]>;
}

impl BySector for Vec<u8> {
    fn chunk_by_sector(&self, at: usize) -> Vec<&[u8]> {
        let first = (SECTOR - at % SECTOR).min(self.len());
        let (head, rest) = self.split_at(first);
        std::iter::once(head).chain(rest.chunks(SECTOR)).filter(|part| !part.is_empty()).collect()
    }
}

#[derive(Clone, Debug)]
enum Naming {
    Set(String, usize),
    Renamed(String, String, usize),
    Removed(String),
}

impl Naming {
    fn is_in(&self, folder: &str) -> bool {
        match self {
            Self::Set(path, _) | Self::Removed(path) => folder_of(path) == folder,
            Self::Renamed(from, to, _) => folder_of(from) == folder || folder_of(to) == folder,
        }
    }

    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(path, inode) => {
                names.insert(path, inode);
            }
            Self::Renamed(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Self::Removed(path) => {
                names.remove(&path);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Contents {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    stable_names: BTreeMap<String, usize>,
    naming: Vec<Naming>,
    dice: Dice,
    /// Rises at a power cut: what was opened before it works no more.
    boot: u64,
    /// Calls until the power fails.
    calls_left: Option<u64>,
    calls: u64,
    off: bool,
    capacity_bytes: u64,
    faults: Vec<(DiskCall, String, io::ErrorKind)>,
    gone: bool,
}

/// A simulated disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    contents: Arc<Mutex<Contents>>,
    boot: u64,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("boot", &self.boot).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// By which it was opened; names faults.
    path: String,
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn without_power() -> io::Error {
    io::Error::other("the simulated disk has no power")
}

impl SimDisk {
    /// An empty disk without a limit. The same seed and the same calls give the same history.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let contents = Contents {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            stable_names: BTreeMap::new(),
            naming: Vec::new(),
            dice: Dice::new(seed),
            boot: 0,
            calls_left: None,
            calls: 0,
            off: false,
            capacity_bytes: u64::MAX,
            faults: Vec::new(),
            gone: false,
        };
        Self { contents: Arc::new(Mutex::new(contents)), boot: 0 }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power after so many more calls.
    pub fn cut_power_after(&self, calls: u64) {
        self.contents().calls_left = Some(calls);
    }

    /// How many calls were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.contents().calls
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.contents().off
    }

    /// Cuts the power now, if it wasn't, and gives the disk as it is after: all files opened
    /// before work no more.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut contents = self.contents();
        let Contents { inodes, dice, .. } = &mut *contents;
        let lost = [0, 3, 5, 7, 10][dice.index(5)];
        for inode in inodes {
            inode.lose_power(dice, lost);
        }
        let mut names = std::mem::take(&mut contents.stable_names);
        for naming in std::mem::take(&mut contents.naming) {
            if contents.dice.roll(10) >= lost {
                naming.apply(&mut names);
            }
        }
        contents.names.clone_from(&names);
        contents.stable_names = names;
        let named: BTreeSet<usize> = contents.names.values().copied().collect();
        for (index, inode) in contents.inodes.iter_mut().enumerate() {
            if !named.contains(&index) {
                *inode = Inode::default();
            }
        }
        contents.calls_left = None;
        contents.off = false;
        contents.boot += 1;
        Self { contents: self.contents.clone(), boot: contents.boot }
    }

    /// Ends the process, and not the power: what was written stays in the cache, not durable yet.
    /// All files opened before work no more.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut contents = self.contents();
        for inode in &mut contents.inodes {
            inode.since.retain(|since| !matches!(since, Since::Torn(..)));
        }
        contents.calls_left = None;
        contents.off = false;
        contents.boot += 1;
        Self { contents: self.contents.clone(), boot: contents.boot }
    }

    /// All calls of the kind on paths with this part fail from now on.
    pub fn fail(&self, call: DiskCall, path: &str, with: io::ErrorKind) {
        self.contents().faults.push((call, path.to_owned(), with));
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.contents().faults.clear();
    }

    /// Sets how many bytes files may have in all.
    pub fn set_capacity(&self, bytes: u64) {
        self.contents().capacity_bytes = bytes;
    }

    /// The files' lengths together, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.contents().used()
    }

    /// Its folder is removed under the node's feet, or comes back.
    pub fn set_gone(&self, gone: bool) {
        self.contents().gone = gone;
    }

    /// The files and their lengths.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let contents = self.contents();
        let len = |inode: usize| contents.inodes[inode].now.len() as u64;
        contents.names.iter().map(|(path, inode)| (path.clone(), len(*inode))).collect()
    }

    /// Changes a byte of a file, as rot does; false if there is none.
    pub fn rot(&self, path: &str, offset: u64, with: u8) -> bool {
        let mut contents = self.contents();
        let Some(inode) = contents.names.get(path).copied() else { return false };
        let inode = &mut contents.inodes[inode];
        let Ok(at) = usize::try_from(offset) else { return false };
        let (Some(now), stable) = (inode.now.get_mut(at), inode.stable.get_mut(at)) else {
            return false;
        };
        *now ^= with;
        if let Some(stable) = stable {
            *stable = *now;
        }
        true
    }

    /// Cuts a file off, as a broken file system does; false if there is none.
    #[must_use]
    pub fn shorten(&self, path: &str, len: u64) -> bool {
        let mut contents = self.contents();
        let Some(inode) = contents.names.get(path).copied() else { return false };
        let inode = &mut contents.inodes[inode];
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        inode.now.truncate(len);
        inode.stable.truncate(len);
        inode.since.clear();
        true
    }

    /// Removes a file, as nobody should; false if there is none.
    #[must_use]
    pub fn lose(&self, path: &str) -> bool {
        let mut contents = self.contents();
        contents.stable_names.remove(path);
        contents.names.remove(path).is_some()
    }

    /// Another disk with the same content.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { contents: Arc::new(Mutex::new(self.contents().clone())), boot: self.boot }
    }

    fn call(&self, call: DiskCall, path: &str) -> io::Result<MutexGuard<'_, Contents>> {
        let mut contents = self.contents();
        if contents.off || self.boot != contents.boot {
            return Err(without_power());
        }
        contents.calls += 1;
        match &mut contents.calls_left {
            Some(0) => {
                contents.off = true;
                return Err(without_power());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let fault =
            contents.faults.iter().find(|(of, part, _)| *of == call && path.contains(&**part));
        match fault {
            Some((_, _, kind)) => Err((*kind).into()),
            None => Ok(contents),
        }
    }
}

impl Contents {
    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].now.len() as u64).sum()
    }

    fn inode_of(&self, path: &str) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes a change of a name; made durable by a sync of its folder.
    fn name(&mut self, naming: Naming) {
        naming.clone().apply(&mut self.names);
        self.naming.push(naming);
    }

    fn grow(&mut self, inode: usize, len: usize) -> io::Result<()> {
        let more = len.saturating_sub(self.inodes[inode].now.len()) as u64;
        if more > 0 && self.used() + more > self.capacity_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl Disk for SimDisk {
    fn check(&self) -> io::Result<()> {
        let contents = self.contents();
        if contents.off || self.boot != contents.boot {
            return Err(without_power());
        }
        if contents.gone {
            return Err(io::Error::other("the folder was removed"));
        }
        Ok(())
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.call(DiskCall::Read, path)?.inode_of(path)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut contents = self.call(DiskCall::Name, path)?;
        let inode = contents.inodes.len();
        contents.inodes.push(Inode::default());
        contents.name(Naming::Set(path.to_owned(), inode));
        drop(contents);
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut contents = self.call(DiskCall::Name, from)?;
        let inode = contents.inode_of(from)?;
        contents.name(Naming::Renamed(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut contents = self.call(DiskCall::Name, path)?;
        contents.inode_of(path)?;
        contents.name(Naming::Removed(path.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let contents = self.call(DiskCall::Read, folder)?;
        let there = contents.names.keys().filter(|path| folder_of(path) == folder);
        Ok(there.filter_map(|path| path.rsplit('/').next().map(str::to_owned)).collect())
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.call(DiskCall::Name, path).map(|_| ())
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        let mut contents = self.call(DiskCall::Sync, path)?;
        let all = std::mem::take(&mut contents.naming);
        for naming in all {
            if naming.is_in(path) {
                naming.apply(&mut contents.stable_names);
            } else {
                contents.naming.push(naming);
            }
        }
        Ok(())
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let contents = self.contents();
        Ok(contents.capacity_bytes.saturating_sub(contents.used()))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let contents = self.disk.call(DiskCall::Read, &self.path)?;
        let at = index(offset)?;
        let there = contents.inodes[self.inode].now.get(at..at.saturating_add(buffer.len()));
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes = parts.iter().map(|part| &**part).collect::<Vec<_>>().concat();
        let at = index(offset)?;
        let was_off = self.disk.is_off();
        let mut contents = match self.disk.call(DiskCall::Write, &self.path) {
            Ok(contents) => contents,
            Err(error) => {
                // The write that the power cut came upon may reach the disk in parts.
                let mut contents = self.disk.contents();
                if contents.off && !was_off && self.disk.boot == contents.boot {
                    contents.inodes[self.inode].since.push(Since::Torn(at, bytes));
                }
                return Err(error);
            }
        };
        contents.grow(self.inode, at + bytes.len())?;
        let inode = &mut contents.inodes[self.inode];
        if inode.now.len() < at + bytes.len() {
            inode.now.resize(at + bytes.len(), 0);
        }
        inode.now[at..at + bytes.len()].copy_from_slice(&bytes);
        inode.since.push(Since::Written(at, bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(DiskCall::Sync, &self.path)?.inodes[self.inode].sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let contents = self.disk.call(DiskCall::Read, &self.path)?;
        Ok(contents.inodes[self.inode].now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut contents = self.disk.call(DiskCall::Write, &self.path)?;
        let len = index(len)?;
        contents.grow(self.inode, len)?;
        let inode = &mut contents.inodes[self.inode];
        inode.now.resize(len, 0);
        inode.since.push(Since::Length(len));
        Ok(())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn forget_cached(&self, _offset: u64, _len: u64) {}
}
