//! A volume's folder: making, opening, growing and deleting it; FORMAT.md is the description.

use super::{
    Volume,
    file::{Base, BlockFile},
    layout::{self, BLOCK, HEADER, SECTOR},
    map::Map,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};
use types::{ResourceId as _, VolumeId};

/// The largest volume: AWS's 64 TiB.
pub const MAX_SIZE: u64 = 64 << 40;
/// Maps up to this size are written in full when they are made, so that a flush never has to wait
/// for space of the map to be found; larger ones are allocated only.
const MAX_PREWRITTEN: u64 = 64 << 20;
/// The ending of a folder that is being made.
const MAKING: &str = ".making";
/// The ending of a folder that is being deleted.
const DELETING: &str = ".deleting";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// `vol.json`: who the volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The format's version.
    pub version: u32,
    /// The volume.
    pub id: VolumeId,
    /// Its size.
    pub size_bytes: u64,
    /// What it starts as.
    pub base: Option<BaseIdentity>,
}

/// The base of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseIdentity {
    /// Where it is.
    pub path: PathBuf,
    /// Its length, by which another file in its place is noticed.
    pub length_bytes: u64,
}

/// The folder of volumes.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    boot: [u8; 16],
}

impl Folder {
    /// Opens the folder, makes it if needed, and finishes what a crash left half done.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
        for entry in fs::read_dir(root).with_context(|| format!("reading {}", root.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(MAKING) || name.ends_with(DELETING) {
                log::info!("removing {}", path.display());
                fs::remove_dir_all(&path)
                    .with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(Self { root: root.to_owned(), boot: boot_id()? })
    }

    fn path(&self, id: VolumeId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Whether the volume is there.
    #[must_use]
    pub fn exists(&self, id: VolumeId) -> bool {
        self.path(id).exists()
    }

    /// Makes a volume; all of it is durable afterwards, or nothing is there.
    ///
    /// # Errors
    /// The size is no volume's, the base is not there, or the disk's.
    pub fn make(&self, id: VolumeId, size_bytes: u64, base: Option<&Path>) -> Result<()> {
        check_size(size_bytes)?;
        let base = base.map(identify_base).transpose()?;
        // Or growth would bring to light what was never part of the volume.
        ensure!(
            base.as_ref().is_none_or(|base| base.length_bytes <= size_bytes),
            "the volume is smaller than its base"
        );
        let making = self.root.join(format!("{id}{MAKING}"));
        if making.exists() {
            fs::remove_dir_all(&making).context("removing what was half made")?;
        }
        let made = (|| {
            DirBuilder::new().mode(0o700).create(&making)?;
            let data = File::create_new(making.join("data"))?;
            data.set_len(size_bytes)?;
            data.sync_all()?;
            let map = File::create_new(making.join("map"))?;
            BlockFile::write_at(&map, &layout::encode_header(id.number(), [0; 16]), 0)?;
            lengthen_map(&map, SECTOR as u64, layout::map_bytes(size_bytes))?;
            let identity = Identity { version: layout::VERSION, id, size_bytes, base };
            write_identity(&making, &identity)?;
            fs::rename(&making, self.path(id))?;
            sync_folder(&self.root)
        })();
        if made.is_err() {
            // The reason is reported; what can't be removed goes at the next start.
            let _ = fs::remove_dir_all(&making);
        }
        made.with_context(|| format!("making {id}"))
    }

    /// Opens a volume; where its base has moved, notes the new place.
    ///
    /// # Errors
    /// It is not there, damaged, or of another format; the base is not there; the disk's.
    pub fn open_volume(&self, id: VolumeId, base: Option<&Path>) -> Result<Volume> {
        let folder = self.path(id);
        let identity = self.settle_base(id, base)?;
        let base = identity.base.as_ref().map(open_base).transpose()?;
        let open = |name: &str| {
            let path = folder.join(name);
            let file = OpenOptions::new().read(true).write(true).open(&path);
            file.with_context(|| format!("opening {}", path.display()))
        };
        let data = open("data")?;
        ensure!(data.metadata()?.len() >= identity.size_bytes, "the data file is too short");
        let durable = open("map")?;
        let mut header = [0; SECTOR];
        BlockFile::read_at(&durable, &mut header, 0)?;
        layout::decode_header(&header, id.number()).context("map")?;
        let map = self.open_map(&folder, &identity, &durable)?;
        let failed = folder.join("failed").exists();
        if failed {
            log::error!("{id} may only be read: a sync failed earlier (remove `failed` to accept)");
        }
        Ok(Volume::new(
            identity.size_bytes,
            Box::new(data),
            Box::new(durable),
            base,
            map,
            failed,
            Box::new(move || note_failure(&folder, id)),
        ))
    }

    /// The map: of this boot, `map.live` is right; of another, only `map` is.
    fn open_map(&self, folder: &Path, identity: &Identity, durable: &File) -> Result<Map> {
        let path = folder.join("map.live");
        let live =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let live = live.with_context(|| format!("opening {}", path.display()))?;
        let sectors = layout::sectors(identity.size_bytes);
        let number = identity.id.number();
        let mut header = [0; SECTOR];
        BlockFile::read_at(&live, &mut header, 0)?;
        if matches!(layout::decode_header(&header, number), Ok(boot) if boot == self.boot) {
            return Map::adopt(Box::new(live), durable, sectors);
        }
        live.set_len(0)?;
        let copy = Box::new(live.try_clone()?);
        let map = Map::restore(copy, durable, sectors)?;
        // Only with this is the copy complete.
        live.write_at(&layout::encode_header(number, self.boot), 0)?;
        Ok(map)
    }

    /// Makes a volume larger.
    ///
    /// # Errors
    /// The size is no volume's or smaller, or the disk's.
    pub fn grow(&self, id: VolumeId, size_bytes: u64) -> Result<()> {
        check_size(size_bytes)?;
        let folder = self.path(id);
        let mut identity = read_identity(&folder)?;
        ensure!(size_bytes >= identity.size_bytes, "a volume never shrinks");
        let map = OpenOptions::new().write(true).open(folder.join("map"))?;
        // What lies beyond the end is of an earlier growth that was cut short: zeros.
        lengthen_map(&map, layout::map_bytes(identity.size_bytes), layout::map_bytes(size_bytes))?;
        let data = OpenOptions::new().write(true).open(folder.join("data"))?;
        data.set_len(size_bytes)?;
        data.sync_all()?;
        identity.size_bytes = size_bytes;
        write_identity(&folder, &identity)
    }

    /// A volume's size.
    ///
    /// # Errors
    /// It is not there or damaged.
    pub fn size(&self, id: VolumeId) -> Result<u64> {
        Ok(read_identity(&self.path(id))?.size_bytes)
    }

    /// Deletes a volume's data; one that is not there is deleted already.
    ///
    /// # Errors
    /// The disk's.
    pub fn delete(&self, id: VolumeId) -> Result<()> {
        let deleting = self.root.join(format!("{id}{DELETING}"));
        if self.exists(id) {
            fs::rename(self.path(id), &deleting).with_context(|| format!("deleting {id}"))?;
            sync_folder(&self.root)?;
        }
        if deleting.exists() {
            fs::remove_dir_all(&deleting).with_context(|| format!("deleting {id}"))?;
        }
        Ok(())
    }

    fn settle_base(&self, id: VolumeId, base: Option<&Path>) -> Result<Identity> {
        let folder = self.path(id);
        let mut identity = read_identity(&folder)?;
        ensure!(identity.id == id, "the folder holds another volume: {}", identity.id);
        let wanted = base.map(identify_base).transpose()?;
        if wanted == identity.base {
            return Ok(identity);
        }
        match (&identity.base, &wanted) {
            (Some(was), Some(is)) if was.length_bytes == is.length_bytes => {}
            _ => bail!("the volume was made from another base: {:?}", identity.base),
        }
        identity.base = wanted;
        write_identity(&folder, &identity)?;
        Ok(identity)
    }
}

/// Notes that a volume's disk failed, for cards to come.
fn note_failure(folder: &Path, id: VolumeId) {
    let path = folder.join("failed");
    if let Err(error) = fs::write(&path, "A sync of this volume failed: it is read-only.\n") {
        log::error!("{id}: writing {}: {error}", path.display());
    }
}

fn check_size(size_bytes: u64) -> Result<()> {
    ensure!(
        size_bytes > 0 && size_bytes.is_multiple_of(BLOCK) && size_bytes <= MAX_SIZE,
        "a volume's size is a multiple of {BLOCK} bytes, up to 64 TiB"
    );
    Ok(())
}

fn identify_base(path: &Path) -> Result<BaseIdentity> {
    let length = fs::metadata(path).with_context(|| format!("the base {}", path.display()))?;
    Ok(BaseIdentity { path: path.to_owned(), length_bytes: length.len() })
}

fn open_base(base: &BaseIdentity) -> Result<Base> {
    let file =
        File::open(&base.path).with_context(|| format!("the base {}", base.path.display()))?;
    Ok(Base::new(Box::new(file), base.length_bytes))
}

/// Makes a map longer by zeros, durably.
fn lengthen_map(map: &File, from: u64, to: u64) -> Result<()> {
    if to > from {
        if to - from <= MAX_PREWRITTEN {
            let zeros = vec![0; 256 * 1024];
            let mut at = from;
            while at < to {
                let count = usize::try_from(to - at).unwrap_or(usize::MAX).min(zeros.len());
                map.write_at(&zeros[..count], at)?;
                at += count as u64;
            }
        } else {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(map, flags, from, to - from)?;
        }
    }
    map.sync_all()?;
    Ok(())
}

fn read_identity(folder: &Path) -> Result<Identity> {
    let path = folder.join("vol.json");
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let identity: Identity =
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        identity.version == layout::VERSION,
        "the volume's format is version {}; this program knows version {}",
        identity.version,
        layout::VERSION
    );
    check_size(identity.size_bytes)?;
    Ok(identity)
}

/// Writes `vol.json` so that a crash leaves the old or the new one.
fn write_identity(folder: &Path, identity: &Identity) -> Result<()> {
    let new = folder.join("vol.json.new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(identity)?)?;
    file.sync_all()?;
    fs::rename(&new, folder.join("vol.json"))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all().with_context(|| format!("syncing {}", folder.display()))
}

/// What differs after each boot of the host.
fn boot_id() -> Result<[u8; 16]> {
    let text = fs::read_to_string(BOOT_ID).with_context(|| format!("reading {BOOT_ID}"))?;
    let digits = text.trim().replace('-', "");
    let number = u128::from_str_radix(&digits, 16).context("the boot ID")?;
    Ok(number.to_be_bytes())
}

const _: () = assert!(HEADER.is_multiple_of(SECTOR as u64));
