//! A cloud for one benchmark, in a folder of its own.

use anyhow::{Context as _, Result, ensure};
use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

/// A running cloud; shut down and deleted when dropped.
pub struct Cloud {
    program: PathBuf,
    /// Its data folder.
    pub data: tempfile::TempDir,
    /// Its endpoint.
    pub listen: SocketAddr,
    /// The administrator's key and secret.
    pub key: (String, String),
}

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Cloud {
    /// Starts a cloud.
    pub fn start(root: &Path, hypervisor: &str) -> Result<Self> {
        let program = crate::workspace::target().join("release/fogbank");
        let data = tempfile::Builder::new().prefix("fogbank-bench-").tempdir()?;
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let status = Command::new(&program)
            .current_dir(root)
            .args(["up", "--detach", "--hypervisor", hypervisor, "--listen", &listen.to_string()])
            .args(if hypervisor == "simulated" {
                // Addresses for all; nothing is routed.
                &["--public-pool", "198.18.0.0/15"][..]
            } else {
                &[]
            })
            .arg("--data")
            .arg(data.path())
            .stdout(std::process::Stdio::null())
            .status()
            .with_context(|| format!("start {}", program.display()))?;
        ensure!(status.success(), "the cloud did not start");
        let text = std::fs::read_to_string(data.path().join("credentials"))?;
        let values =
            text.lines().filter_map(|line| line.split_once('=')).collect::<HashMap<_, _>>();
        let value =
            |name: &str| values.get(name).map(|value| (*value).to_owned()).context("no key");
        let key = (value("AWS_ACCESS_KEY_ID")?, value("AWS_SECRET_ACCESS_KEY")?);
        Ok(Self { program, data, listen, key })
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let down = Command::new(&self.program)
            .args(["down", "--data"])
            .arg(self.data.path())
            .stdout(std::process::Stdio::null())
            .status();
        if !down.is_ok_and(|status| status.success()) {
            eprintln!("the benchmark's cloud did not shut down: {}", self.data.path().display());
        }
    }
}
