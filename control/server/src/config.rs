//! What the server is started with, and the files it leaves for the command line.

use crate::cloud::Cloud;
use ec2::Settings;
use iam::AccessKey;
use shapes::Fault;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use types::{Ipv4Net, Ipv6Net};

/// The server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cloud's data: `state.db`, `images/`, `credentials`.
    pub data: PathBuf,
    /// Sockets: `link.sock` for agents, `admin.sock` for the owner, `identities.sock` and
    /// `server.sock` for the object store, `services.sock` for guests.
    pub run: PathBuf,
    /// Whether any secret is accepted.
    pub trust_any_key: bool,
    /// Whether issuers of web identities may be on this machine.
    pub loopback_issuers: bool,
    /// Where public addresses come from.
    pub public_pool: Ipv4Net,
    /// Where Amazon-provided IPv6 blocks of VPCs come from.
    pub ipv6_pool: Ipv6Net,
    /// vCPUs sold for each processor.
    pub vcpu_overcommit: u32,
    /// Memory sold, in percent.
    pub memory_overcommit_percent: u32,
    /// How long events of the audit log are kept.
    pub audit_days: u32,
    /// How often accounts may call: AWS's figures times this; none without limits.
    pub api_rate: Option<f64>,
}

impl Config {
    pub(crate) async fn apply(&self, cloud: &Cloud) -> Result<(), Fault> {
        let settings = Settings {
            public_pool: self.public_pool,
            ipv6_pool: self.ipv6_pool,
            vcpu_overcommit: self.vcpu_overcommit,
            memory_overcommit_percent: self.memory_overcommit_percent,
        };
        let applied = cloud.mutate(false, move |tx| {
            tx.put(settings);
            Ok(())
        });
        applied.await
    }
}

/// Writes the administrator's key where `fogbank env` finds it, for its owner's eyes only.
pub(crate) fn write_credentials(data: &Path, key: &AccessKey) -> std::io::Result<()> {
    let (path, new) = (data.join("credentials"), data.join("credentials.new"));
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "AWS_ACCESS_KEY_ID={}", key.id)?;
    writeln!(file, "AWS_SECRET_ACCESS_KEY={}", key.secret)?;
    file.sync_all()?;
    fs::rename(new, path)
}
