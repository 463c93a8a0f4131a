//! Who a node is: `node.json`.

use crate::{checksum, disk::Disk, options::OpenFault};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, IoSlice},
    path::Path,
};

const PATH: &str = "node.json";
const DRAFT: &str = "node.json.new";
const FORMAT: u32 = 1;

/// The longest `node.json` that is read, in bytes.
const MAX_BYTES: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u32,
    /// In hexadecimal digits.
    id: String,
    /// Of the ID, in hexadecimal digits.
    checksum: String,
}

fn checksum_of(id: [u8; 16]) -> String {
    format!("{:016x}", checksum::of(&[&FORMAT.to_le_bytes(), &id]))
}

/// Whether a folder of the host holds a node.
pub fn is_in(folder: &Path) -> io::Result<bool> {
    folder.join(PATH).try_exists()
}

/// The node's ID; none if this is no node yet.
pub fn read(disk: &dyn Disk) -> Result<Option<[u8; 16]>, OpenFault> {
    let file = match disk.open(PATH) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let len = usize::try_from(file.len()?.min(MAX_BYTES)).unwrap_or(0);
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, 0)?;
    let bad = |why: &str| OpenFault::Format(format!("{PATH}: {why}"));
    let identity: Identity =
        serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?;
    if identity.format != FORMAT {
        return Err(bad(&format!("format {} isn't known", identity.format)));
    }
    let id = u128::from_str_radix(&identity.id, 16).map_err(|_| bad("no such ID"))?.to_be_bytes();
    if identity.checksum != checksum_of(id) {
        return Err(bad("its checksum fails"));
    }
    Ok(Some(id))
}

/// Makes it a node, durably.
pub fn write(disk: &dyn Disk, id: [u8; 16]) -> Result<(), OpenFault> {
    let hexadecimal = format!("{:032x}", u128::from_be_bytes(id));
    let identity = Identity { format: FORMAT, id: hexadecimal, checksum: checksum_of(id) };
    let mut text = serde_json::to_vec(&identity).map_err(io::Error::other)?;
    text.push(b'\n');
    let file = disk.create(DRAFT)?;
    file.write_at(&[IoSlice::new(&text)], 0)?;
    file.sync()?;
    disk.rename(DRAFT, PATH)?;
    disk.sync_folder("")?;
    Ok(())
}
