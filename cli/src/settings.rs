//! What a cloud was last started with: `config.json` in its data folder.

use crate::{
    paths::Paths,
    uplink::{self, Choice, Uplink},
};
use anyhow::Context as _;
use objects::{CephPool, Foundation, StorageNode};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    net::{AddrParseError, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};
use types::{Ipv4Net, Ipv6Net};

/// The default endpoint.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:4566";

/// Settings that stay from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the AWS endpoint listens.
    pub listen: SocketAddr,
    /// `auto`, `kvm`, `tcg` or `simulated`.
    pub hypervisor: String,
    /// Whether any secret is accepted.
    pub trust_any_key: bool,
    /// Whether issuers of web identities may be on this machine.
    #[serde(default)]
    pub loopback_issuers: bool,
    /// Which way out instances shall have.
    #[serde(default)]
    pub uplink: Choice,
    /// Which they have.
    #[serde(default)]
    pub uplink_taken: Uplink,
    /// Where public addresses come from.
    pub public_pool: Ipv4Net,
    /// Where IPv6 blocks of VPCs come from, if it was said; see `Settings::ipv6_pool`.
    #[serde(default)]
    pub ipv6_pool: Option<Ipv6Net>,
    /// Who is asked for names outside of the VPCs; the host's resolvers if there are none.
    #[serde(default)]
    pub resolvers: Vec<SocketAddr>,
    /// vCPUs sold for each processor.
    pub vcpu_overcommit: u32,
    /// Memory sold, in percent.
    pub memory_overcommit_percent: u32,
    /// How long events of the audit log are kept, in days.
    #[serde(default = "default_audit_days")]
    pub audit_days: u32,
    /// Whether the audit log has calls about objects, too.
    #[serde(default)]
    pub audit_objects: bool,
    /// How often accounts may call.
    #[serde(default)]
    pub api_rate: ApiRate,
    /// The object store's nodes; none before its first start, and with Ceph.
    #[serde(default)]
    pub nodes: Vec<StorageNode>,
    /// The pool of Ceph that objects are in instead.
    #[serde(default)]
    pub ceph: Option<CephPool>,
}

/// How many storage nodes a cloud has at first, as folders of its data folder.
const FIRST_NODES: usize = 3;
/// Bits of the prefix of the pool that IPv6 blocks, of 56, come from.
const IPV6_POOL_PREFIX: u8 = 40;
/// A storage node's share, if none is given.
pub const DEFAULT_WEIGHT: u32 = 100;

/// The storage nodes in these folders, each of a failure domain of its own.
pub fn storage_nodes(folders: &[PathBuf]) -> anyhow::Result<Vec<StorageNode>> {
    let mut nodes: Vec<StorageNode> = Vec::new();
    for folder in folders {
        let folder = std::path::absolute(folder)?;
        anyhow::ensure!(
            nodes.iter().all(|node| node.folder != folder),
            "two storage nodes can't share the folder {}",
            folder.display()
        );
        let name = free_name(&nodes);
        nodes.push(StorageNode { domain: name.clone(), name, folder, weight: DEFAULT_WEIGHT });
    }
    Ok(nodes)
}

/// A namespace in a pool of Ceph that no other cloud has: two clouds in one would take it from each
/// other.
pub fn new_namespace() -> anyhow::Result<String> {
    let random = "/proc/sys/kernel/random/uuid";
    let uuid = fs::read_to_string(random).with_context(|| format!("read {random}"))?;
    Ok(format!("fogbank-{}", uuid.chars().take(8).collect::<String>()))
}

/// A name that no node has yet: `node-1`, `node-2` …
pub fn free_name(nodes: &[StorageNode]) -> String {
    let taken = |name: &String| nodes.iter().any(|node| node.name == *name);
    let mut number = nodes.len() + 1;
    let mut name = format!("node-{number}");
    while taken(&name) {
        number += 1;
        name = format!("node-{number}");
    }
    name
}

/// As long as `LookupEvents` reaches back.
const DEFAULT_AUDIT_DAYS: u32 = 90;

fn default_audit_days() -> u32 {
    DEFAULT_AUDIT_DAYS
}

/// How often accounts may call: AWS's limits times a factor; none: without limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ApiRate(pub Option<f64>);

impl Default for ApiRate {
    fn default() -> Self {
        Self(Some(server::DEFAULT_API_RATE))
    }
}

impl FromStr for ApiRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let factor = |text: &str| text.parse::<f64>().ok().filter(|it| (0.01..=1e9).contains(it));
        match text {
            "off" => Ok(Self(None)),
            _ => factor(text)
                .map(|factor| Self(Some(factor)))
                .ok_or_else(|| format!("'{text}' is neither a number from 0.01 to 1e9, nor 'off'")),
        }
    }
}

/// What `--resolver` takes.
#[derive(Debug, Clone, Copy)]
pub enum Resolver {
    /// Those of the host, whichever they are.
    Host,
    At(SocketAddr),
}

impl FromStr for Resolver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = || text.parse().or_else(|_| Ok(SocketAddr::new(text.parse()?, 53)));
        match text {
            "host" => Ok(Self::Host),
            _ => address().map(Self::At).map_err(|_: AddrParseError| {
                format!("'{text}' is neither an address, nor an address and a port, nor 'host'")
            }),
        }
    }
}

impl Settings {
    /// The settings of the last start, if there was one.
    pub fn load(paths: &Paths) -> anyhow::Result<Option<Self>> {
        let path = paths.data.join("config.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("read {}", path.display()))
                .map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Keeps the settings.
    pub fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        let path = paths.data.join("config.json");
        let new = path.with_extension("json.new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Gives the object store its first nodes, if it has none yet.
    pub fn provide_nodes(&mut self, paths: &Paths) -> anyhow::Result<()> {
        if self.nodes.is_empty() && self.ceph.is_none() {
            let folder = |number| paths.objects().join(format!("node-{number}"));
            self.nodes = storage_nodes(&(1..=FIRST_NODES).map(folder).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Where IPv6 blocks of VPCs come from: what was said, or a /40 of fd00::/8 (RFC 4193) that
    /// follows from the data folder.
    pub fn ipv6_pool(&self, paths: &Paths) -> Ipv6Net {
        self.ipv6_pool.unwrap_or_else(|| {
            let tag = u32::from_str_radix(&paths.tag(), 16).unwrap_or_default();
            // Amazon's own local addresses, fd00:ec2::/32, are in the lower half.
            let global = 0xfd00_0000_0000_u64 | (u64::from(tag | 0x8000_0000) << 8);
            let base = Ipv6Addr::from(u128::from(global) << 80);
            Ipv6Net::new(base, IPV6_POOL_PREFIX).unwrap_or_default()
        })
    }

    /// What objects are kept on.
    pub fn foundation(&self) -> Foundation {
        match &self.ceph {
            Some(pool) => Foundation::Ceph(pool.clone()),
            None => Foundation::Nodes(self.nodes.clone()),
        }
    }

    /// The first settings of a cloud.
    pub fn first(paths: &Paths) -> anyhow::Result<Self> {
        Ok(Self {
            listen: DEFAULT_LISTEN.parse()?,
            hypervisor: "auto".to_owned(),
            trust_any_key: false,
            loopback_issuers: false,
            uplink: Choice::Auto,
            uplink_taken: Uplink::Tun,
            public_pool: uplink::free_pool(paths, Uplink::Tun)?,
            ipv6_pool: None,
            resolvers: Vec::new(),
            vcpu_overcommit: 16,
            memory_overcommit_percent: 100,
            audit_days: DEFAULT_AUDIT_DAYS,
            audit_objects: false,
            api_rate: ApiRate::default(),
            nodes: Vec::new(),
            ceph: None,
        })
    }
}
