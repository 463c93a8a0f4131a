//! A control group for each VM, in version 1 and 2 hierarchies: its share of the processors, and
//! limits.

use std::{
    fs::{self, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// The period of the processor quota, microseconds.
const PERIOD_US: u64 = 100_000;
/// Memory that a VM's process may use beyond the guest's and that of translated code, MiB.
const ALLOWANCE_MIB: u64 = 256;
/// Threads that a VM's process may have beyond its vCPUs.
const THREADS: u32 = 128;
/// Controllers of version 1 that we use, each a hierarchy of its own.
const V1: [&str; 3] = ["cpu", "memory", "pids"];

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Parent folders, one in each hierarchy.
    parents: Vec<PathBuf>,
    v2: bool,
}

impl Groups {
    /// Looks for hierarchies that we may write to; `cloud` is a name for all our groups.
    #[must_use]
    pub fn find(root: &Path, cloud: &str) -> Self {
        if root.join("cgroup.controllers").exists() {
            let slice = root.join("fogbank.slice");
            let parent = slice.join(cloud);
            let usable = fs::create_dir_all(&parent).is_ok();
            for folder in [root, &slice, &parent] {
                // A controller that is not delegated to us is one that we do without.
                for controller in ["+cpu", "+memory", "+pids"] {
                    let _ = fs::write(folder.join("cgroup.subtree_control"), controller);
                }
            }
            return Self { parents: usable.then_some(parent).into_iter().collect(), v2: true };
        }
        let parents = V1
            .iter()
            .map(|controller| root.join(controller).join("fogbank").join(cloud))
            .filter(|parent| fs::create_dir_all(parent).is_ok())
            .collect();
        Self { parents, v2: false }
    }

    /// Whether no group can be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Makes a VM's group with its limits, of the memory that is accounted for; the files that a process joins it by.
    #[must_use]
    pub fn make(&self, name: &str, vcpus: u32, memory_mib: u64) -> Vec<OwnedFd> {
        let quota = u64::from(vcpus) * PERIOD_US;
        // Weights follow the vCPUs within what the kernel takes.
        let weight = (u64::from(vcpus) * 100).min(10_000);
        let memory = (memory_mib + ALLOWANCE_MIB) << 20;
        let threads = vcpus + THREADS;
        let limits: [(&str, String); 7] = [
            ("cpu.weight", weight.to_string()),
            ("cpu.max", format!("{quota} {PERIOD_US}")),
            ("cpu.shares", (u64::from(vcpus) * 1024).min(262_144).to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
            ("memory.max", memory.to_string()),
            ("memory.limit_in_bytes", memory.to_string()),
            ("pids.max", threads.to_string()),
        ];
        let mut files = Vec::new();
        for parent in &self.parents {
            let group = parent.join(name);
            if let Err(error) = fs::create_dir(&group)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                continue;
            }
            for (file, value) in &limits {
                let path = group.join(file);
                if path.exists() {
                    let _ = fs::write(path, value);
                }
            }
            files.extend(
                OpenOptions::new().write(true).open(group.join("cgroup.procs")).map(OwnedFd::from),
            );
        }
        files
    }

    /// Removes a VM's group; its process must be gone.
    pub fn remove(&self, name: &str) {
        for parent in &self.parents {
            let _ = fs::remove_dir(parent.join(name));
        }
    }

    /// Removes the parents if no VM is left.
    pub fn close(&self) {
        for parent in &self.parents {
            let _ = fs::remove_dir(parent);
        }
    }

    /// Which version the host has, for people.
    #[must_use]
    pub fn version(&self) -> u8 {
        if self.v2 { 2 } else { 1 }
    }
}
