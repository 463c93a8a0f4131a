//! The processes of a cloud on one machine: each is this program in a role.

use crate::{log_file, paths::Paths, settings::Settings, uplink::Uplink};
use anyhow::Context as _;
use std::{
    fs,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{net::UnixListener, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Stdio},
};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// The AWS endpoint and the control plane.
    Server,
    /// Makes this host's desired state so.
    Agent,
    /// The instances' network.
    VpcCard,
    /// The instances' disks.
    EbsCard,
    /// The object store.
    Objects,
}

/// Sockets that the supervisor holds, too, so that those who connect while a process is started
/// again wait instead of being refused.
#[derive(Debug)]
pub struct Held {
    /// Where the EBS card serves volumes.
    pub nbd: UnixListener,
    /// Where the server serves AWS's APIs.
    pub endpoint: TcpListener,
}

impl Role {
    /// All roles that a cloud with this hypervisor has: cards first, and the object store before
    /// the server hands it connections.
    pub fn all(settings: &Settings) -> &'static [Self] {
        if settings.hypervisor == "simulated" {
            &[Self::Objects, Self::Server, Self::Agent]
        } else {
            &[Self::VpcCard, Self::EbsCard, Self::Objects, Self::Server, Self::Agent]
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
            Self::VpcCard => "vpc-card",
            Self::EbsCard => "ebs-card",
            Self::Objects => "objects",
        }
    }

    /// Starts the process, in a session of its own so that it outlives its starter.
    pub fn start(self, paths: &Paths, held: &Held) -> anyhow::Result<std::process::Child> {
        let log = paths.log(self.name());
        let log = log_file::open(&log).with_context(|| format!("open {}", log.display()))?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(format!("fogbank-{}", self.name()))
            .args(["role", self.name(), "--data"])
            .arg(&paths.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        // A listening socket goes where standard input would be.
        match self {
            Self::EbsCard => drop(command.stdin(OwnedFd::from(held.nbd.try_clone()?))),
            Self::Server => drop(command.stdin(OwnedFd::from(held.endpoint.try_clone()?))),
            Self::Agent | Self::VpcCard | Self::Objects => {}
        }
        if self == Self::Objects {
            command.envs(OBJECTS_MALLOC);
        }
        command.spawn().with_context(|| format!("start the {}", self.name()))
    }
}

/// Buffers of bodies pass from thread to thread: glibc would give each thread an arena, raise its
/// threshold to their size, and keep twice the memory that is in use.
const OBJECTS_MALLOC: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
];

/// Runs this process in a role.
pub fn run(role: Role, paths: &Paths) -> anyhow::Result<()> {
    let _ = rustix::process::setsid();
    let settings = Settings::load(paths)?.context("the cloud was never started: 'fogbank up'")?;
    match role {
        Role::Server => {
            let config = server::Config {
                data: paths.data.clone(),
                run: paths.run.clone(),
                trust_any_key: settings.trust_any_key,
                loopback_issuers: settings.loopback_issuers,
                public_pool: settings.public_pool,
                ipv6_pool: settings.ipv6_pool(paths),
                vcpu_overcommit: settings.vcpu_overcommit,
                memory_overcommit_percent: settings.memory_overcommit_percent,
                audit_days: settings.audit_days,
                api_rate: settings.api_rate.0,
            };
            server::run(config, TcpListener::from(stdin()?))
        }
        Role::Agent => agent::run(agent_config(paths, &settings)?),
        Role::VpcCard => vpc_card::run(vpc_card::Config {
            control: paths.run_file("vpc-card.sock"),
            owner: paths.run_file(contracts::card::OWNER_SOCKET),
            uplink: match settings.uplink_taken {
                Uplink::Tun => vpc_card::Way::Tun(tun_name(paths)),
                Uplink::Sockets => vpc_card::Way::Sockets,
            },
            public_pool: settings.public_pool,
            public_pool6: settings.ipv6_pool(paths),
            resolvers: settings.resolvers,
        }),
        Role::EbsCard => ebs_card::run(ebs_card::Config {
            control: paths.run_file("ebs-card.sock"),
            nbd: UnixListener::from(stdin()?),
            volumes: paths.volumes(),
        }),
        Role::Objects => objects::run(&objects::Config {
            foundation: settings.foundation(),
            folder: paths.objects(),
            master_key: paths.objects().join("master.key"),
            notification_targets: paths.objects().join("notification-targets.json"),
            run: paths.run.clone(),
            region: "us-east-1".to_owned(),
            audit_objects: settings.audit_objects,
        }),
    }
}

fn agent_config(paths: &Paths, settings: &Settings) -> anyhow::Result<agent::Config> {
    Ok(agent::Config {
        data: paths.data.clone(),
        run: paths.run.clone(),
        server: paths.run_file("link.sock"),
        vpc_control: paths.run_file("vpc-card.sock"),
        ebs_control: paths.run_file("ebs-card.sock"),
        nbd_socket: nbd_path(paths),
        imds_socket: paths.run_file("imds.sock"),
        services_socket: paths.run_file("services.sock"),
        hypervisor: settings.hypervisor.parse().map_err(anyhow::Error::msg)?,
        overcommit: if settings.hypervisor == "simulated" {
            // Nothing is really given, so there is enough for thousands of instances.
            agent::Overcommit { vcpus: 10_000.0, memory: 1000.0 }
        } else {
            // What is sold of it is the control plane's decision.
            agent::Overcommit { vcpus: 1.0, memory: 1.0 }
        },
        qemu: agent::Config::default_qemu().to_owned(),
    })
}

/// The uplink's name: at most 15 characters.
pub fn tun_name(paths: &Paths) -> String {
    format!("fog{}", paths.tag())
}

/// The socket that volumes are served on.
pub fn nbd_path(paths: &Paths) -> std::path::PathBuf {
    paths.run_file("nbd.sock")
}

/// Makes the socket that volumes are served on; the VMs' users may connect, and must then know
/// the secret name of an export.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let _ = fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    Ok(listener)
}

/// The socket that the supervisor gave.
fn stdin() -> anyhow::Result<OwnedFd> {
    let stdin = std::io::stdin();
    let copy = rustix::io::fcntl_dupfd_cloexec(&stdin, 3).context("take the socket")?;
    rustix::net::getsockname(&copy)
        .context("standard input is no socket: the supervisor starts this role")?;
    Ok(copy)
}
