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
        // Unix socket paths are short (108 bytes), and the VMs' users must reach them.
        let name = Self::hash(&data);
        let run = if is_root() {
            PathBuf::from("/run/fogbank").join(name)
        } else {
            let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
            let base = base.unwrap_or_else(std::env::temp_dir);
            base.join(format!("fogbank-{}-{name}", rustix::process::geteuid().as_raw()))
        };
        Ok(Self { data, run })
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
        for path in [&self.data, &self.run] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o711))?;
        }
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
