//! The master key, under which all key material of the state is sealed: made at the first start, for
//! its owner's eyes only.

use crate::store::RowKey;
use anyhow::{Context as _, bail};
use kms::MasterKey;
use session::SessionKey;
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The key in this file. It is made if it isn't there, unless something is `sealed` already: that would
/// be lost.
///
/// # Errors
/// The file can't be read or made, holds no key, or is missing and needed.
pub fn provide(path: &Path, sealed: bool) -> anyhow::Result<MasterKey> {
    let context = || format!("the master key, {}", path.display());
    let key = match fs::read(path) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes)
            .map_err(|bytes| anyhow::anyhow!("{} bytes instead of 32", bytes.len()))
            .with_context(context)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if sealed {
                bail!("{} is missing, and there are keys that nothing else opens", path.display());
            }
            make(path).with_context(context)?
        }
        Err(error) => return Err(error).with_context(context),
    };
    Ok(MasterKey::new(key))
}

/// The key of session tokens, which the master key gives: with another one, all sessions end.
///
/// # Errors
/// None but the hash's own, which takes every length.
pub fn of_sessions(master: &MasterKey) -> anyhow::Result<SessionKey> {
    let bytes = master.fingerprint("session tokens", b"1");
    Ok(SessionKey::new(bytes.context("the key of session tokens")?))
}

/// The key under which the state's secret rows are stored, which the master key gives.
///
/// # Errors
/// None but the hash's own, which takes every length.
pub fn of_rows(master: &MasterKey) -> anyhow::Result<RowKey> {
    let bytes = master.fingerprint("rows of the state", b"1");
    Ok(RowKey::new(bytes.context("the key of the state's rows")?))
}

fn make(path: &Path) -> anyhow::Result<[u8; 32]> {
    let folder = path.parent().context("it is in no folder")?;
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
    use state::Effects;
    use std::os::unix::fs::PermissionsExt as _;
    use types::Timestamp;

    #[test]
    fn a_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(provide(&path, true).is_err());
        let key = provide(&path, false).unwrap();
        let mut effects = Effects::new(Timestamp::default(), [1; 32]);
        let sealed = key.seal(&mut effects, "place", b"secret").unwrap();
        let again = provide(&path, true).unwrap();
        assert_eq!(again.open("place", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert!(format!("{:#}", provide(&path, false).unwrap_err()).contains("5 bytes"));
    }
}
