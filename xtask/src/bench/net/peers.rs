//! The peers' packages, of Debian: fetched and unpacked into the target folder, never installed,
//! so that the machine stays as it is.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

const PACKAGES: [&str; 2] = ["dpdk-dev", "openvswitch-switch-dpdk"];

/// Where the packages are unpacked.
pub struct Packages {
    root: PathBuf,
}

impl Packages {
    /// Fetches them with all that they need, once.
    pub fn fetch() -> Result<Self> {
        let folder = workspace::target().join("peers/dpdk");
        let (root, debs) = (folder.join("root"), folder.join("debs"));
        let packages = Self { root };
        if packages.program("usr/bin/dpdk-testpmd").is_file() {
            return Ok(packages);
        }
        eprintln!("Fetching DPDK and Open vSwitch to compare with, once, 40 MB.");
        fs::create_dir_all(debs.join("partial"))?;
        let root_user = Command::new("id").arg("-u").output()?.stdout == b"0\n";
        let mut apt = Command::new(if root_user { "apt-get" } else { "sudo" });
        if !root_user {
            apt.arg("apt-get");
        }
        let status = apt
            .args(["install", "--download-only", "--yes", "--no-install-recommends", "-o"])
            .arg(format!("Dir::Cache::Archives={}", debs.display()))
            .args(PACKAGES)
            .stdout(Stdio::null())
            .status()
            .context("start apt-get")?;
        ensure!(status.success(), "apt-get can't fetch {PACKAGES:?}: `apt-get update` may help");
        for deb in fs::read_dir(&debs)? {
            let deb = deb?.path();
            if deb.extension().is_some_and(|extension| extension == "deb") {
                let unpacked =
                    Command::new("dpkg").arg("-x").args([&deb, &packages.root]).status()?;
                ensure!(unpacked.success(), "{} can't be unpacked", deb.display());
            }
        }
        fs::remove_dir_all(&debs)?;
        Ok(packages)
    }

    /// A file of the packages.
    pub fn program(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The path of their libraries.
    pub fn libraries(&self) -> OsString {
        let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        let folders = folders.map(|folder| self.root.join(folder).display().to_string());
        folders.join(":").into()
    }

    /// DPDK's drivers that are needed: Debian's default folder isn't there.
    pub fn drivers(&self) -> Result<Vec<PathBuf>> {
        let all = self.root.join("usr/lib/x86_64-linux-gnu/dpdk");
        let folder = fs::read_dir(&all)?.flatten().map(|folder| folder.path());
        let folder = folder.into_iter().find(|path| path.to_string_lossy().contains("pmds-"));
        let folder = folder.context("no folder of DPDK's drivers")?;
        let names = ["librte_mempool_ring.so", "librte_net_vhost.so"];
        Ok(names.map(|name| folder.join(name)).into())
    }
}
