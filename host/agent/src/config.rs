//! What an agent is told when it starts.

use anyhow::{Result, bail};
use hypervisor::{
    Accelerator, Event, Hypervisor, probe,
    qemu::{self, Qemu, args::Tuning},
    simulated::Simulated,
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, mpsc::Sender},
};

/// The processor model under TCG: everything that the translator can do, but four-level page
/// tables, which it walks faster than five.
const TCG_CPU: &str = "max,la57=off";
/// The users that VMs run as, if we are root: a block of them for each cloud on a host.
const UIDS: u32 = 610_000;
const UIDS_OF_CLOUD: u32 = 4096;
const CLOUDS: u32 = 256;

/// How VMs are to be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// By KVM if that works, else by TCG.
    #[default]
    Auto,
    /// By KVM.
    Kvm,
    /// By TCG.
    Tcg,
    /// Not at all.
    Simulated,
}

impl FromStr for Choice {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            "simulated" => Ok(Self::Simulated),
            _ => Err("a hypervisor is auto, kvm, tcg or simulated"),
        }
    }
}

/// How much more than it has the host gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overcommit {
    /// Virtual processors for each logical one.
    pub vcpus: f64,
    /// Guest memory for each byte of free memory.
    pub memory: f64,
}

impl Default for Overcommit {
    /// Processors are shared well; memory is not.
    fn default() -> Self {
        Self { vcpus: 8.0, memory: 1.0 }
    }
}

/// An agent's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `instances/`, `images/<image>/disk.raw`, `volumes/`.
    pub data: PathBuf,
    /// Folder for sockets, with a short path.
    pub run: PathBuf,
    /// The server's socket for agents.
    pub server: PathBuf,
    /// The VPC card's control socket.
    pub vpc_control: PathBuf,
    /// The EBS card's control socket.
    pub ebs_control: PathBuf,
    /// The EBS card's NBD socket; VMs' users must be able to connect.
    pub nbd_socket: PathBuf,
    /// Where we serve metadata to the VPC card.
    pub imds_socket: PathBuf,
    /// Where the server takes guests' connections to AWS's services from the VPC card.
    pub services_socket: PathBuf,
    /// How VMs are run.
    pub hypervisor: Choice,
    /// How much is given.
    pub overcommit: Overcommit,
    /// QEMU's program.
    pub qemu: PathBuf,
}

impl Config {
    /// The folder with a folder for each instance.
    pub(crate) fn instances(&self) -> PathBuf {
        self.data.join("instances")
    }

    /// The folder for the interfaces' sockets.
    pub(crate) fn ports(&self) -> PathBuf {
        self.run.join("ports")
    }

    /// A built image's disk.
    pub(crate) fn image(&self, image: &str) -> PathBuf {
        self.data.join("images").join(image).join("disk.raw")
    }

    /// A number that differs between the clouds of a host.
    fn cloud(&self) -> u64 {
        let path = std::fs::canonicalize(&self.data).unwrap_or_else(|_| self.data.clone());
        // FNV-1a.
        path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The users that VMs run as; none if we may not choose.
    pub(crate) fn uids(&self) -> Option<std::ops::Range<u32>> {
        let block = u32::try_from(self.cloud() % u64::from(CLOUDS)).unwrap_or(0);
        let first = UIDS + block * UIDS_OF_CLOUD;
        rustix::process::geteuid().is_root().then_some(first..first + UIDS_OF_CLOUD)
    }

    fn accelerator(&self) -> Result<Accelerator> {
        let insist = match self.hypervisor {
            Choice::Simulated => return Ok(Accelerator::Simulated),
            Choice::Tcg => return Ok(Accelerator::Tcg),
            Choice::Kvm => true,
            Choice::Auto => false,
        };
        match probe::kvm() {
            Ok(()) => Ok(Accelerator::Kvm),
            Err(error) if insist => bail!("KVM does not work here: {error}"),
            Err(error) => {
                log::warn!("instances run by TCG, ten to thirty times slower than KVM: {error}");
                Ok(Accelerator::Tcg)
            }
        }
    }

    pub(crate) fn start_hypervisor(&self, events: Sender<Event>) -> Result<Arc<dyn Hypervisor>> {
        let accelerator = self.accelerator()?;
        if accelerator == Accelerator::Simulated {
            return Ok(Arc::new(Simulated::new(&self.instances(), events)?));
        }
        let config = qemu::Config {
            binary: self.qemu.clone(),
            instances: self.instances(),
            sockets: self.run.join("vm"),
            tuning: Tuning { accelerator, tcg_cpu: TCG_CPU.to_owned() },
            cloud: format!("{:016x}", self.cloud()),
        };
        Ok(Arc::new(Qemu::new(config, events)?))
    }

    /// The program on Debian.
    #[must_use]
    pub fn default_qemu() -> &'static Path {
        Path::new("/usr/bin/qemu-system-x86_64")
    }
}
