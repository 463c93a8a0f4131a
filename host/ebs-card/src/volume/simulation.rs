//! A simulated host whose power and whose cards fail anywhere, to prove the volume's order.
//!
//! Files have 512-byte sectors and a volatile cache. A *kill* ends the card at any call of a file
//! and keeps the cache. A *power cut* also loses the cache: each sector written since the last
//! sync holds its old value or any value written since. The model knows what each sector may hold
//! then. `FOGBANK_SEEDS=100000 cargo nextest run -p ebs-card simulation` runs more.

use super::{
    Volume,
    file::{Base, BlockFile},
    layout::{self, BLOCK, SECTOR},
    map::Map,
};
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, Weak},
};

/// Sectors of the volume: a chunk and a half, so that the map has more than one record.
const SECTORS: u64 = 1536;
const SIZE: u64 = SECTORS * SECTOR as u64;
/// The base ends within a block.
const BASE_SECTORS: u64 = 1301;
const SEEDS: u64 = 800;
const CRASHES: usize = 4;

type Content = [u8; SECTOR];
const NOTHING: Content = [0; SECTOR];

/// Xorshift: the same seed, the same history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below
    }
}

/// A file: what the disk has, and what was written since the last sync, oldest first.
#[derive(Default)]
struct Disk {
    stable: BTreeMap<u64, Content>,
    cache: BTreeMap<u64, Vec<Content>>,
}

impl Disk {
    fn get(&self, sector: u64) -> Content {
        let cached = self.cache.get(&sector).and_then(|values| values.last());
        *cached.or_else(|| self.stable.get(&sector)).unwrap_or(&NOTHING)
    }

    fn sync(&mut self) {
        for (sector, values) in std::mem::take(&mut self.cache) {
            self.stable.extend(values.last().map(|value| (sector, *value)));
        }
    }

    fn lose_power(&mut self, dice: &mut Dice) {
        for (sector, values) in std::mem::take(&mut self.cache) {
            let choice = dice.roll(values.len() as u64 + 1);
            if let Some(value) = usize::try_from(choice).ok().and_then(|at| values.get(at)) {
                self.stable.insert(sector, *value);
            }
        }
    }
}

/// The host: its files by name, and when it fails.
struct Host {
    disks: BTreeMap<&'static str, Disk>,
    dice: Dice,
    /// Calls until the card is dead; all calls fail from then on.
    left: u64,
    /// Fails the next sync of this file.
    broken: Option<&'static str>,
    /// Written to by others while a flush waits for the disk.
    meanwhile: Option<Weak<World>>,
}

#[derive(Clone)]
struct SimFile {
    name: &'static str,
    host: Arc<Mutex<Host>>,
}

fn dead() -> io::Error {
    io::Error::other("the card is dead")
}

impl SimFile {
    /// Counts a call. A dying card's last write may be done in part.
    fn call(&self, host: &mut Host, writing: Option<(&[u8], u64)>) -> io::Result<()> {
        if host.left > 1 {
            host.left -= 1;
            return Ok(());
        }
        if let (1, Some((bytes, offset))) = (host.left, writing) {
            let sectors = host.dice.roll(bytes.len() as u64 / SECTOR as u64 + 1);
            self.store(host, &bytes[..usize::try_from(sectors).unwrap() * SECTOR], offset);
        }
        host.left = 0;
        Err(dead())
    }

    fn store(&self, host: &mut Host, bytes: &[u8], offset: u64) {
        assert!(offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR));
        let disk = host.disks.entry(self.name).or_default();
        for (sector, content) in (offset / SECTOR as u64..).zip(bytes.chunks_exact(SECTOR)) {
            disk.cache.entry(sector).or_default().push(content.try_into().unwrap());
        }
    }
}

impl BlockFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut host = self.host.lock().unwrap();
        self.call(&mut host, None)?;
        let disk = host.disks.entry(self.name).or_default();
        for (sector, content) in (offset / SECTOR as u64..).zip(buffer.chunks_mut(SECTOR)) {
            content.copy_from_slice(&disk.get(sector)[..content.len()]);
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut host = self.host.lock().unwrap();
        self.call(&mut host, Some((bytes, offset)))?;
        self.store(&mut host, bytes, offset);
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.write_at(&vec![0; usize::try_from(length).unwrap()], offset)
    }

    fn sync(&self) -> io::Result<()> {
        let world = self.host.lock().unwrap().meanwhile.as_ref().and_then(Weak::upgrade);
        let others = || world.iter().for_each(|world| world.random_writes());
        others();
        {
            let mut host = self.host.lock().unwrap();
            self.call(&mut host, None)?;
            if host.broken == Some(self.name) {
                return Err(io::Error::other("the disk is broken"));
            }
            host.disks.entry(self.name).or_default().sync();
        }
        others();
        Ok(())
    }
}

/// What a sector of the volume may hold, by the numbers of contents.
struct Allowed {
    /// As of the last successful flush.
    stable: u64,
    /// Acknowledged since.
    later: Vec<u64>,
    /// Asked for, and not acknowledged.
    asked: Vec<u64>,
}

#[derive(Default)]
struct Model {
    sectors: Vec<Allowed>,
    tag: u64,
}

/// A card's volume on the host, and the model of it.
struct World {
    host: Arc<Mutex<Host>>,
    volume: Volume,
    model: Mutex<Model>,
}

/// The content with a number; number 0 is zeros.
fn tagged(tag: u64) -> Content {
    let mut content = NOTHING;
    content.copy_from_slice(&tag.to_le_bytes().repeat(SECTOR / 8));
    content
}

/// The number of a content.
fn tag_of(content: &[u8]) -> u64 {
    let tag = u64::from_le_bytes(content[..8].try_into().unwrap());
    assert!(content[8..] == content[..SECTOR - 8], "a torn sector");
    tag
}

impl Model {
    fn new() -> Self {
        let sectors = (0..SECTORS)
            .map(|sector| {
                let stable = if sector < BASE_SECTORS { 1 << 40 | sector } else { 0 };
                Allowed { stable, later: Vec::new(), asked: Vec::new() }
            })
            .collect();
        Self { sectors, tag: 0 }
    }

    fn range(&mut self, range: Range<u64>) -> &mut [Allowed] {
        &mut self.sectors
            [usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    }
}

impl World {
    fn dice(&self, below: u64) -> u64 {
        self.host.lock().unwrap().dice.roll(below)
    }

    fn random_range(&self) -> Range<u64> {
        let start = self.dice(SECTORS);
        let length = if self.dice(4) == 0 { 1 + self.dice(200) } else { 1 + self.dice(20) };
        start..(start + length).min(SECTORS)
    }

    fn random_writes(&self) {
        for _ in 0..self.dice(3) {
            self.change();
        }
    }

    /// One write, discard or zeroing, in the volume and in the model.
    fn change(&self) {
        let range = self.random_range();
        let (offset, length) =
            (range.start * SECTOR as u64, (range.end - range.start) * SECTOR as u64);
        let per_block = BLOCK / SECTOR as u64;
        let kind = self.dice(8);
        let (range, bytes) = {
            let mut model = self.model.lock().unwrap();
            let range = match kind {
                // Only whole blocks are discarded.
                0 => {
                    let start = range.start.next_multiple_of(per_block);
                    start..(range.end / per_block * per_block).max(start)
                }
                _ => range,
            };
            let count = usize::try_from(range.end - range.start).unwrap();
            model.tag += 1;
            let tag = if kind < 2 { 0 } else { model.tag };
            for allowed in model.range(range.start.min(SECTORS)..range.end.min(SECTORS)) {
                allowed.asked.push(tag);
            }
            (range, tagged(tag).repeat(count))
        };
        let result = match kind {
            0 => self.volume.discard(offset, length),
            1 => self.volume.zero(offset, length),
            _ => self.volume.write(offset, &bytes),
        };
        if result.is_ok() {
            let mut model = self.model.lock().unwrap();
            for allowed in model.range(range.start.min(SECTORS)..range.end.min(SECTORS)) {
                allowed.later.extend(allowed.asked.pop());
            }
        }
    }

    fn flush(self: &Arc<Self>) {
        let covered = {
            let model = self.model.lock().unwrap();
            model.sectors.iter().map(|allowed| allowed.later.len()).collect::<Vec<_>>()
        };
        self.host.lock().unwrap().meanwhile = Some(Arc::downgrade(self));
        let flushed = self.volume.flush();
        self.host.lock().unwrap().meanwhile = None;
        if flushed.is_ok() {
            let mut model = self.model.lock().unwrap();
            for (allowed, covered) in model.sectors.iter_mut().zip(covered) {
                if let Some(stable) = allowed.later.drain(..covered).next_back() {
                    allowed.stable = stable;
                }
            }
        }
    }

    /// Compares the whole volume with what it may hold; then that is all it may hold.
    fn check(&self, after_power_cut: bool, seed: u64) {
        let mut model = self.model.lock().unwrap();
        let mut bytes = vec![0; usize::try_from(SIZE).unwrap()];
        self.volume.read(0, &mut bytes).unwrap();
        for (at, (allowed, content)) in
            model.sectors.iter_mut().zip(bytes.chunks_exact(SECTOR)).enumerate()
        {
            let tag = tag_of(content);
            let fits = tag == *allowed.later.last().unwrap_or(&allowed.stable)
                || allowed.asked.contains(&tag)
                || after_power_cut && (tag == allowed.stable || allowed.later.contains(&tag));
            assert!(fits, "seed {seed}: sector {at} holds {tag:#x}");
            if after_power_cut {
                *allowed = Allowed { stable: tag, later: Vec::new(), asked: Vec::new() };
            } else {
                // A later power cut may bring back any of those before.
                allowed.later.append(&mut allowed.asked);
                allowed.later.push(tag);
            }
        }
    }
}

fn file(host: &Arc<Mutex<Host>>, name: &'static str) -> SimFile {
    SimFile { name, host: host.clone() }
}

/// A card's start: `map.live` is adopted if it is of this boot.
fn start(host: &Arc<Mutex<Host>>, same_boot: bool, model: Model) -> Arc<World> {
    let (live, durable) = (Box::new(file(host, "live")), file(host, "map"));
    let sectors = layout::sectors(SIZE);
    let map = if same_boot {
        Map::adopt(live, &durable, sectors)
    } else {
        host.lock().unwrap().disks.insert("live", Disk::default());
        Map::restore(live, &durable, sectors)
    };
    let base = Base::new(Box::new(file(host, "base")), BASE_SECTORS * SECTOR as u64);
    let volume = Volume::new(
        SIZE,
        Box::new(file(host, "data")),
        Box::new(durable),
        Some(base),
        map.unwrap(),
        false,
        Box::new(|| {}),
    );
    Arc::new(World { host: host.clone(), volume, model: Mutex::new(model) })
}

fn new_host(seed: u64) -> Arc<Mutex<Host>> {
    let mut base = Disk::default();
    for (sector, allowed) in (0..BASE_SECTORS).zip(&Model::new().sectors) {
        base.stable.insert(sector, tagged(allowed.stable));
    }
    // What lies behind the base's end must never be seen.
    base.stable.insert(BASE_SECTORS, tagged(99));
    let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let disks = [("base", base)].into();
    let host = Host { disks, dice, left: u64::MAX, broken: None, meanwhile: None };
    Arc::new(Mutex::new(host))
}

fn run(seed: u64) {
    let host = new_host(seed);
    let mut world = start(&host, false, Model::new());
    for _ in 0..CRASHES {
        let life = 1 + world.dice(80);
        host.lock().unwrap().left = life;
        while host.lock().unwrap().left > 0 {
            match world.dice(6) {
                0 => world.flush(),
                5 => drop(world.volume.give_back()),
                1 => {
                    let range = world.random_range();
                    let mut bytes =
                        vec![0; usize::try_from(range.end - range.start).unwrap() * SECTOR];
                    let _ = world.volume.read(range.start * SECTOR as u64, &mut bytes);
                }
                _ => world.change(),
            }
        }
        let power_cut = world.dice(2) == 0;
        {
            let mut host = host.lock().unwrap();
            host.left = u64::MAX;
            if power_cut {
                let Host { disks, dice, .. } = &mut *host;
                for disk in disks.values_mut() {
                    disk.lose_power(dice);
                }
            }
        }
        let model = std::mem::take(&mut *world.model.lock().unwrap());
        world = start(&host, !power_cut, model);
        world.check(power_cut, seed);
    }
}

#[test]
fn nothing_is_lost_at_any_crash() {
    let seeds = std::env::var("FOGBANK_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 1..=seeds.unwrap_or(SEEDS) {
        run(seed);
    }
}

#[test]
fn a_failed_sync_ends_writing() {
    for name in ["data", "map"] {
        let host = new_host(1);
        let world = start(&host, false, Model::new());
        world.volume.write(0, &tagged(1)).unwrap();
        host.lock().unwrap().broken = Some(name);
        assert!(world.volume.flush().is_err(), "{name}");
        host.lock().unwrap().broken = None;
        assert!(world.volume.flush().is_err(), "a sync is never tried again");
        assert!(world.volume.write(0, &tagged(2)).is_err());
        assert!(world.volume.discard(0, 4096).is_err());
        let mut bytes = NOTHING;
        world.volume.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, tagged(1));
    }
}

#[test]
fn space_comes_back_after_the_flush() {
    let host = new_host(1);
    let world = start(&host, false, Model::new());
    let stored = || host.lock().unwrap().disks["data"].get(8) != NOTHING;
    world.volume.write(0, &[7; 8192]).unwrap();
    world.volume.flush().unwrap();
    world.volume.discard(4096, 4096).unwrap();
    assert!(stored(), "not before the map says so");
    world.volume.flush().unwrap();
    while world.volume.give_back() {}
    assert!(!stored());
    let extents = world.volume.extents(0, 16384, 10).unwrap();
    assert_eq!(extents, [(4096, false), (4096, true), (8192, false)]);
}
