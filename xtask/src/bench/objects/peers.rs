//! The servers that are measured: ours, and Garage with its durable settings.

use super::client::Access;
use crate::{bench::cloud::free_port, workspace};
use anyhow::{Context as _, Result, ensure};
use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The version that the figures are about.
const GARAGE_VERSION: &str = "2.5.0";
const REGION: &str = "us-east-1";
const KEY: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Garage, from the PATH or built once into the target folder.
pub fn garage(root: &Path) -> Result<PathBuf> {
    if Command::new("garage").arg("--version").output().is_ok() {
        return Ok("garage".into());
    }
    let folder = workspace::target().join("peers");
    let program = folder.join("bin/garage");
    if !program.is_file() {
        eprintln!("Building Garage {GARAGE_VERSION} to compare with, once, about 12 minutes.");
        let status = Command::new("cargo")
            .current_dir(root)
            .args(["install", "--locked", "--quiet", "garage", "--version", GARAGE_VERSION])
            .arg("--root")
            .arg(&folder)
            .status()?;
        ensure!(status.success(), "Garage can't be built here");
    }
    Ok(program)
}

struct GarageNode {
    config: PathBuf,
    child: Child,
    rpc: SocketAddr,
    s3: SocketAddr,
}

impl Drop for GarageNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One or more nodes of Garage, metadata and data flushed before they answer.
pub struct Garage {
    program: PathBuf,
    nodes: Vec<GarageNode>,
    _folder: tempfile::TempDir,
}

impl Garage {
    /// Starts nodes that replicate to each other, and makes a bucket.
    pub fn start(program: &Path, nodes: usize, bucket: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("fogbank-bench-garage-").tempdir()?;
        let mut garage = Self { program: program.to_owned(), nodes: Vec::new(), _folder: folder };
        for at in 0..nodes {
            let node = garage.start_node(at, nodes)?;
            garage.nodes.push(node);
        }
        let mut ids = Vec::new();
        for at in 0..nodes {
            let id = garage.until_answered(at, &["node", "id", "-q"])?;
            ids.push(id.trim().to_owned());
        }
        for id in ids.iter().skip(1) {
            garage.until_answered(0, &["node", "connect", id])?;
        }
        for id in &ids {
            let id = id.split('@').next().unwrap_or(id);
            garage.until_answered(0, &["layout", "assign", "-z", "here", "-c", "20G", id])?;
        }
        for words in [
            &["layout", "apply", "--version", "1"][..],
            &["key", "import", "--yes", KEY, SECRET],
            &["bucket", "create", bucket],
            &["bucket", "allow", "--read", "--write", "--owner", bucket, "--key", KEY],
        ] {
            garage.until_answered(0, words)?;
        }
        Ok(garage)
    }

    /// Its first node.
    pub fn access(&self) -> Access {
        let address = self.nodes[0].s3;
        Access { address, key: KEY.into(), secret: SECRET.into(), region: REGION.into() }
    }

    /// The processes of its nodes.
    pub fn processes(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.child.id()).collect()
    }

    fn start_node(&self, at: usize, replicas: usize) -> Result<GarageNode> {
        let folder = self._folder.path().join(format!("node-{at}"));
        std::fs::create_dir_all(&folder)?;
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (rpc, s3) = (local(free_port()?), local(free_port()?));
        let mut text = String::new();
        let place = folder.display();
        writeln!(text, "metadata_dir = \"{place}/meta\"\ndata_dir = \"{place}/data\"")?;
        writeln!(text, "db_engine = \"lmdb\"\nmetadata_fsync = true\ndata_fsync = true")?;
        writeln!(text, "replication_factor = {replicas}\nrpc_bind_addr = \"{rpc}\"")?;
        writeln!(text, "rpc_public_addr = \"{rpc}\"\nrpc_secret = \"{SECRET}\"")?;
        writeln!(text, "[s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{s3}\"")?;
        let config = folder.join("garage.toml");
        std::fs::write(&config, text)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(&config)
            .arg("server")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start garage")?;
        let node = GarageNode { config, child, rpc, s3 };
        let began = Instant::now();
        while TcpStream::connect(node.rpc).is_err() || TcpStream::connect(node.s3).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(60), "a node of Garage did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(node)
    }

    /// Runs a command of its tool until it succeeds: nodes need a while to find each other.
    fn until_answered(&self, at: usize, words: &[&str]) -> Result<String> {
        let began = Instant::now();
        loop {
            let config = &self.nodes[at].config;
            let output = Command::new(&self.program).arg("-c").arg(config).args(words).output()?;
            if output.status.success() {
                return Ok(String::from_utf8(output.stdout)?);
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(began.elapsed() < Duration::from_secs(60), "garage {words:?}: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Lets a process's highest resident memory count from now on.
pub fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset the peak of memory")
}

/// The highest resident memory of a process, in bytes.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
