//! The owner's own socket: what is not a matter of any account, for the command line.

mod accounts;

pub use accounts::{AccountStatus, RootKey};

use crate::{
    cloud::{self, Cloud},
    identities::Links,
    objects::Objects,
    trail::{Trail, TrailStatus},
};
use anyhow::Context as _;
use contracts::objects::ObjectsRequest;
use serde::{Deserialize, Serialize};
use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

/// What the owner may ask; one JSON value a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AdminRequest {
    /// How things are.
    Status,
    /// End a shut-down: the instances that should run start.
    StartUp,
    /// Shut all VMs down; instances stay `running`, until [`Self::StartUp`].
    ShutDown,
    /// As [`Self::ShutDown`], for guests that did not follow.
    PowerOff,
    /// Wipe everything but the images.
    Reset,
    /// Make an account.
    CreateAccount {
        /// For people.
        name: String,
        /// Its own among all accounts.
        email: Option<String>,
    },
    /// Give a key of an account's root user, which is made if there is none.
    AccountKey {
        /// Its ID or its name.
        account: String,
    },
    /// Close an account, or open it again.
    CloseAccount {
        /// Its ID or its name.
        account: String,
        /// Whether it shall be closed.
        closed: bool,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdminReply {
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// Hosts that are connected, with their capacity.
    pub hosts: Vec<HostStatus>,
    /// VMs that have not ended.
    pub vms: usize,
    /// Instances by state.
    pub instances: std::collections::BTreeMap<String, usize>,
    /// Names of the quick-start images.
    pub images: Vec<String>,
    /// How the audit log is.
    pub audit: TrailStatus,
    /// All accounts, by their IDs.
    #[serde(default)]
    pub accounts: Vec<AccountStatus>,
    /// The key that was asked for.
    #[serde(default)]
    pub key: Option<RootKey>,
}

/// What the owner's requests are about.
#[derive(Debug, Clone)]
pub struct Owned {
    /// The state.
    pub cloud: Arc<Cloud>,
    /// The object store.
    pub objects: Arc<Objects>,
    /// Who is told of what changes of accounts.
    pub links: Arc<Links>,
    /// The audit log.
    pub trail: Trail,
}

/// A host for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Whether its agent is connected.
    pub connected: bool,
    /// `kvm`, `tcg` or `simulated`.
    pub hypervisor: String,
    /// Processors.
    pub vcpus: u32,
    /// Sold vCPUs.
    pub used_vcpus: u32,
    /// Memory for guests, MiB.
    pub memory_mib: u64,
    /// Sold memory, MiB.
    pub used_memory_mib: u64,
}

/// Serves the owner's socket, for ever.
///
/// # Errors
/// The socket can't be made.
pub async fn serve(path: &Path, owned: Owned) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("the owner's connection was lost: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let owned = owned.clone();
        tokio::spawn(async move {
            if let Err(error) = talk(stream, &owned).await {
                log::warn!("the owner's connection ended: {error:#}");
            }
        });
    }
}

async fn talk(stream: UnixStream, owned: &Owned) -> anyhow::Result<()> {
    let Owned { cloud, objects, links, trail } = owned;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).take(1 << 20).lines();
    while let Some(line) = lines.next_line().await? {
        let mut key = None;
        let error = match serde_json::from_str(&line).context("read the request") {
            Ok(AdminRequest::Status) => None,
            Ok(AdminRequest::StartUp) => change(cloud, ec2::hosts::start_up).await,
            Ok(AdminRequest::ShutDown) => change(cloud, ec2::hosts::shut_down).await,
            Ok(AdminRequest::PowerOff) => change(cloud, ec2::hosts::power_off).await,
            Ok(AdminRequest::Reset) => reset(cloud, objects).await,
            Ok(AdminRequest::CreateAccount { name, email }) => {
                accounts::create(cloud, name, email).await.err()
            }
            Ok(AdminRequest::AccountKey { account }) => match accounts::key(cloud, account).await {
                Ok(found) => {
                    key = Some(found);
                    None
                }
                Err(error) => Some(error),
            },
            Ok(AdminRequest::CloseAccount { account, closed }) => {
                accounts::close(cloud, account, closed).await.err()
            }
            Err(error) => Some(format!("{error:#}")),
        };
        // What the owner has done counts with every service from now on.
        links.settled().await;
        let mut reply = serde_json::to_vec(&AdminReply { key, ..status(cloud, trail, error) })?;
        reply.push(b'\n');
        write.write_all(&reply).await?;
    }
    Ok(())
}

async fn reset(cloud: &Arc<Cloud>, objects: &Objects) -> Option<String> {
    if let Some(error) = change(cloud, cloud::reset).await {
        return Some(error);
    }
    objects.ask(&ObjectsRequest::Reset).await.err().map(|error| format!("{error:#}"))
}

async fn change(cloud: &Arc<Cloud>, run: fn(&mut state::Tx)) -> Option<String> {
    let done = cloud.mutate(false, move |tx| {
        run(tx);
        Ok(())
    });
    done.await.err().map(|fault| fault.to_string())
}

fn status(cloud: &Arc<Cloud>, trail: &Trail, error: Option<String>) -> AdminReply {
    use ec2::{compute::images::Image, compute::instances::Instance, hosts::Host};
    let state = cloud.state();
    let mut instances = std::collections::BTreeMap::new();
    for row in state.iter::<Instance>() {
        *instances.entry(row.state.name().to_string()).or_default() += 1;
    }
    AdminReply {
        error,
        hosts: state
            .iter::<Host>()
            .map(|host| HostStatus {
                name: host.name.clone(),
                connected: host.connected,
                hypervisor: host.capacity.hypervisor.clone(),
                vcpus: host.capacity.vcpus,
                used_vcpus: host.used.vcpus,
                memory_mib: host.capacity.memory_mib,
                used_memory_mib: host.used.memory_mib,
            })
            .collect(),
        vms: ec2::hosts::vms_left(&state),
        instances,
        images: state
            .iter::<Image>()
            .filter(|image| image.scope.is_none())
            .map(|image| image.name.clone())
            .collect(),
        audit: trail.status(),
        accounts: accounts::all(&state),
        key: None,
    }
}
