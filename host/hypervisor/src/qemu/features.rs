//! What a QEMU binary can do: asked of it once and kept until the binary changes.

use super::process::{self, Confinement};
use crate::qmp::{Client, Command};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    os::{fd::AsRawFd, unix::fs::MetadataExt, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);

/// A binary's features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Major and minor version.
    pub version: (u64, u64),
    /// Socket chardevs take `reconnect-ms` rather than `reconnect`.
    pub reconnect_ms: bool,
    /// The NVMe device has `model`.
    pub nvme_model: bool,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    binary: PathBuf,
    changed: (i64, i64, u64),
    features: Features,
}

/// The features of `binary`, from `cache` if that is up to date.
///
/// # Errors
/// The binary is missing or does not work.
pub fn probe(binary: &Path, cache: &Path) -> Result<Features> {
    let file = fs::metadata(binary).with_context(|| {
        format!("QEMU is missing: {} (on Debian: apt install qemu-system-x86)", binary.display())
    })?;
    let changed = (file.mtime(), file.mtime_nsec(), file.size());
    if let Some(cached) = fs::read(cache)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Cached>(&bytes).ok())
        .filter(|cached| cached.binary == binary && cached.changed == changed)
    {
        return Ok(cached.features);
    }
    let features = ask(binary).with_context(|| format!("{} does not work", binary.display()))?;
    let cached = Cached { binary: binary.to_owned(), changed, features };
    fs::write(cache, serde_json::to_vec(&cached)?).with_context(|| cache.display().to_string())?;
    Ok(cached.features)
}

fn ask(binary: &Path) -> Result<Features> {
    let (ours, theirs) = UnixStream::pair()?;
    let fd = theirs.as_raw_fd();
    let args = [
        "-machine",
        "none",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-chardev",
        &format!("socket,id=control,fd={fd}"),
        "-mon",
        "chardev=control,mode=control",
    ]
    .map(str::to_owned);
    let mut child = process::spawn(
        binary,
        &args,
        &Confinement { inherit: vec![fd], ..Confinement::default() },
        None,
    )?;
    drop(theirs);
    let features = converse(ours);
    if features.is_err() {
        // It may hang; the error is reported below, not this one.
        let _ = child.kill();
    }
    child.wait()?;
    process::release_memory();
    features
}

fn converse(stream: UnixStream) -> Result<Features> {
    let mut client = Client::new(stream, LIMIT)?;
    let version = client.execute(&Command::QueryVersion, LIMIT)?;
    let number =
        |name| version.pointer(&format!("/qemu/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let schema = client.execute(&Command::QuerySchema, LIMIT)?.to_string();
    let nvme = client.execute(&Command::DeviceProperties("nvme"), LIMIT)?;
    let has = |name: &str| {
        nvme.as_array().is_some_and(|list| {
            list.iter().any(|property| property.get("name").and_then(Value::as_str) == Some(name))
        })
    };
    client.execute(&Command::Quit, LIMIT)?;
    Ok(Features {
        version: (number("major"), number("minor")),
        reconnect_ms: schema.contains("\"reconnect-ms\""),
        nvme_model: has("model"),
    })
}
