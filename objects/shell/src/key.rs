//! The master key: made at the first start, for its owner's eyes only.

use anyhow::Context as _;
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The key in this file, which is made if it isn't there.
///
/// # Errors
/// The file can't be read or made, or holds no key. It is never made anew in the place of one
/// that can't be read: what it wrapped would be lost.
pub fn provide(path: &Path) -> anyhow::Result<[u8; 32]> {
    let context = || format!("the object store's master key, {}", path.display());
    match fs::read(path) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes)
            .map_err(|bytes| anyhow::anyhow!("{} bytes instead of 32", bytes.len()))
            .with_context(context),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path).with_context(context),
        Err(error) => Err(error).with_context(context),
    }
}

fn make(path: &Path) -> anyhow::Result<[u8; 32]> {
    let folder = path.parent().context("it is in no folder")?;
    fs::create_dir_all(folder)?;
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    // Whole and durable before it has its name, and its name durable before it is used.
    let new = path.with_extension("key.new");
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects/master.key");
        let key = provide(&path).unwrap();
        assert_ne!(key, [0; 32]);
        assert_eq!(provide(&path).unwrap(), key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert!(format!("{:#}", provide(&path).unwrap_err()).contains("5 bytes instead of 32"));
    }
}
