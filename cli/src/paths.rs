//! Where a cloud keeps its things.

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The folders of one cloud.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Durable: state, volumes, images, logs.
    pub data: PathBuf,
    /// Sockets and process IDs: short, and gone after a reboot of the host.
    pub run: PathBuf,
}

/// The longest path of a run folder: the names of sockets in it take up to 40 bytes of 108.
const MAX_RUN_PATH: usize = 64;

/// Whether this is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Paths {
    /// The folders of the cloud whose data is at `data`, or at the default place.
    pub fn new(data: Option<PathBuf>) -> anyhow::Result<Self> {
        let data = match data {
            Some(data) => std::path::absolute(data)?,
            None if is_root() => PathBuf::from("/var/lib/fogbank"),
            None => {
                let home =
                    || std::env::var_os("HOME").map(|at| PathBuf::from(at).join(".local/share"));
                let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
                xdg.context("there is neither HOME nor XDG_DATA_HOME: use --data DIR")?
                    .join("fogbank")
            }
        };
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let run = Self::run_folder(&data, is_root(), runtime);
        Ok(Self { data, run })
    }

    /// Unix socket paths are short (108 bytes), and root's VMs' users must reach them. An ordinary
    /// user's are in the data folder: `XDG_RUNTIME_DIR` goes with the user's last session, and
    /// cron and su don't know it.
    fn run_folder(data: &Path, root: bool, runtime: Option<PathBuf>) -> PathBuf {
        let name = Self::hash(data);
        if root {
            return PathBuf::from("/run/fogbank").join(name);
        }
        let own = data.join("run");
        if own.as_os_str().len() <= MAX_RUN_PATH {
            return own;
        }
        let base = runtime.unwrap_or_else(std::env::temp_dir);
        base.join(format!("fogbank-{}-{name}", rustix::process::geteuid().as_raw()))
    }

    fn hash(data: &Path) -> String {
        let sum = Sha256::digest(data.as_os_str().as_encoded_bytes());
        hex::encode(&sum[..4])
    }

    /// Eight hexadecimal digits that tell this cloud from others on the machine.
    pub fn tag(&self) -> String {
        Self::hash(&self.data)
    }

    /// Makes the folders.
    pub fn make(&self) -> anyhow::Result<()> {
        for path in [&self.data, &self.run, &self.logs(), &self.images(), &self.volumes()] {
            let context = || format!("make the folder {}", path.display());
            fs::DirBuilder::new().recursive(true).mode(0o711).create(path).with_context(context)?;
        }
        self.forget_other_boots().context("clean the run folder")?;
        for path in [&self.data, &self.run] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o711))?;
        }
        Ok(())
    }

    /// What a run folder within the data folder had before the host's last boot means nothing.
    fn forget_other_boots(&self) -> anyhow::Result<()> {
        if !self.run.starts_with(&self.data) {
            return Ok(());
        }
        let note = self.run.join("boot_id");
        let now = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        if fs::read_to_string(&note).is_ok_and(|then| then == now) {
            return Ok(());
        }
        for entry in fs::read_dir(&self.run)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        fs::write(note, now)?;
        Ok(())
    }

    /// Logs of the processes.
    pub fn logs(&self) -> PathBuf {
        self.data.join("log")
    }

    /// The log of a process: a role's name, or `supervisor`.
    pub fn log(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    /// Built images.
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// Volumes.
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// The object store's key, and its nodes if they are nowhere else.
    pub fn objects(&self) -> PathBuf {
        self.data.join("objects")
    }

    /// The certificate of the cloud's own authority.
    pub fn authority(&self) -> PathBuf {
        self.data.join("tls/ca.pem")
    }

    /// A socket or process ID file.
    pub fn run_file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_s_sockets_are_in_the_data_folder_if_their_paths_fit() {
        let runtime = || Some(PathBuf::from("/run/user/1000"));
        let short = Path::new("/srv/me/fogbank");
        assert_eq!(Paths::run_folder(short, false, runtime()), short.join("run"));
        assert!(Paths::run_folder(short, true, runtime()).starts_with("/run/fogbank"));
        let long = Path::new("/srv/me").join("x".repeat(80));
        assert!(Paths::run_folder(&long, false, runtime()).starts_with("/run/user/1000"));
        assert!(Paths::run_folder(&long, false, None).starts_with(std::env::temp_dir()));
    }
}
