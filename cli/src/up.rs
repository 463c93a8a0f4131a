//! `fogbank up` and `fogbank down`.

use crate::{
    admin, client, egress, image, log_file,
    paths::{Paths, is_root},
    process::Process,
    roles::Role,
    settings::{self, ApiRate, Resolver, Settings},
    store, supervisor,
    uplink::{self, Choice},
};
use anyhow::Context as _;
use objects::{CephPool, StorageNode};
use server::AdminRequest;
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};
use types::{Ipv4Net, Ipv6Net};

/// How long a start may take before it has failed.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long guests may take to shut down.
const DOWN_TIMEOUT: Duration = Duration::from_secs(180);

/// What `up` may be told; the rest is as at the last start.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the AWS endpoint listens [default: 127.0.0.1:4566, or as at the last start]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Return once the endpoint answers and the images are registered
    #[arg(long)]
    detach: bool,
    /// How VMs run: KVM where a test guest really runs, else QEMU's emulation (tcg); simulated runs
    /// no VMs, for work on the API alone [default: auto, or as at the last start]
    #[arg(long, value_parser = ["auto", "kvm", "tcg", "simulated"])]
    hypervisor: Option<String>,
    /// UNSAFE: accept any secret; a 12-digit access key ID is the account. For test suites and
    /// classrooms on one machine
    #[arg(long)]
    trust_any_key: bool,
    /// Let issuers of web identities be at loopback addresses of this machine
    #[arg(long)]
    loopback_issuers: bool,
    /// How instances reach the world, and are reached: by a TUN device, which needs root, or by
    /// sockets; auto takes the first where it can [default: auto, or as at the last start]
    #[arg(long, value_enum)]
    uplink: Option<Choice>,
    /// Where public IP addresses come from [default: a free /22 of 198.18.0.0/15, with sockets of
    /// 127.64.0.0/10]
    #[arg(long, value_name = "CIDR")]
    public_pool: Option<Ipv4Net>,
    /// Where IPv6 blocks of VPCs come from, a /48 or more [default: a /40 of fd00::/8 that follows
    /// from the data folder]
    #[arg(long, value_name = "CIDR", value_parser = ipv6_pool)]
    ipv6_pool: Option<Ipv6Net>,
    /// Who is asked for names outside of the VPCs, once for each [default: host, which is whoever
    /// the host's /etc/resolv.conf names]
    #[arg(long, value_name = "ADDR[:PORT]|host")]
    resolver: Vec<Resolver>,
    /// vCPUs to sell for each processor [default: 16]
    #[arg(long, value_name = "N")]
    vcpu_overcommit: Option<u32>,
    /// Memory to sell, in percent of the host's [default: 100]
    #[arg(long, value_name = "PERCENT")]
    memory_overcommit: Option<u32>,
    /// Folders (best: a disk each) that objects are kept in, at the first start; later 'fogbank
    /// objects node add' [default: three folders of the data folder]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    nodes: Vec<PathBuf>,
    /// Keep objects in a Ceph cluster instead, at the first start: its ceph.conf, such as
    /// /etc/ceph/ceph.conf
    #[arg(long, value_name = "CONF", requires = "ceph_pool", conflicts_with = "nodes")]
    ceph: Option<PathBuf>,
    /// The pool of that cluster, a replicated one
    #[arg(long, value_name = "POOL", requires = "ceph")]
    ceph_pool: Option<String>,
    /// Who to be there, without 'client.' [default: admin]
    #[arg(long, value_name = "NAME", requires = "ceph")]
    ceph_user: Option<String>,
    /// The namespace in the pool, of this cloud alone [default: one that is made up]
    #[arg(long, value_name = "NAME", requires = "ceph")]
    ceph_namespace: Option<String>,
    /// How often each account may call: AWS's own limits times this; 1 is AWS, 'off' is without
    /// limits [default: 2000]
    #[arg(long, value_name = "FACTOR|off")]
    api_rate: Option<ApiRate>,
    /// How long the audit log keeps events [default: 90]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    audit_days: Option<u32>,
    /// Whether the audit log has calls about S3's objects, too [default: false]
    #[arg(long, value_name = "true|false")]
    audit_objects: Option<bool>,
    /// Start without building images that are missing
    #[arg(long)]
    no_images: bool,
}

/// Starts a cloud.
pub fn up(paths: &Paths, options: &Options) -> anyhow::Result<()> {
    let began = Instant::now();
    paths.make()?;
    if let Some(process) = Process::noted(&paths.run_file("supervisor.pid")) {
        eprintln!("This cloud is running already (process {}).", process.pid);
        return wait_and_show(paths, began);
    }
    let settings = settle(paths, options)?;
    if settings.trust_any_key {
        eprintln!(
            "WARNING: --trust-any-key: every caller who reaches {} is let in, whatever the secret.",
            settings.listen
        );
    }
    if !options.no_images && settings.hypervisor != "simulated" {
        provide_images(paths)?;
    } else if settings.hypervisor == "simulated" {
        image::pretend(paths)?;
    }
    end_left_over(paths, &[Role::Agent, Role::Server, Role::Objects, Role::EbsCard]);
    start_supervisor(paths)?;
    wait_and_show(paths, began)?;
    if options.detach { Ok(()) } else { stay(paths) }
}

/// Provides the images. Who isn't root can't build them, and starts with those that there are.
fn provide_images(paths: &Paths) -> anyhow::Result<()> {
    let mut lacking = None;
    for recipe in &image::ALL {
        match recipe.provide(paths) {
            Err(error) if !is_root() => {
                eprintln!("WARNING: {error:#}");
                lacking = Some(error);
            }
            provided => provided?,
        }
    }
    match lacking {
        Some(error) if !image::ALL.iter().any(|recipe| recipe.is_built(paths)) => Err(error),
        _ => Ok(()),
    }
}

fn ipv6_pool(text: &str) -> Result<Ipv6Net, String> {
    let pool = text.parse::<Ipv6Net>().map_err(|error| error.to_string())?;
    if pool.prefix_len() > 48 {
        return Err("VPCs get a /56 each: a pool is a /48 or more".to_owned());
    }
    Ok(pool.trunc())
}

fn settle(paths: &Paths, options: &Options) -> anyhow::Result<Settings> {
    let known = Settings::load(paths)?;
    let fresh = known.is_none();
    let mut settings = match known {
        Some(settings) => settings,
        None => Settings::first(paths)?,
    };
    settings.listen = options.listen.unwrap_or(settings.listen);
    if let Some(hypervisor) = &options.hypervisor {
        settings.hypervisor.clone_from(hypervisor);
    }
    // Never kept from an earlier start: it must be said each time.
    settings.trust_any_key = options.trust_any_key;
    settings.loopback_issuers = options.loopback_issuers;
    settings.uplink = options.uplink.unwrap_or(settings.uplink);
    uplink::settle(&mut settings, paths, options.public_pool, fresh)?;
    settings.ipv6_pool = options.ipv6_pool.or(settings.ipv6_pool);
    if !options.resolver.is_empty() {
        let named = options.resolver.iter().filter_map(|resolver| match resolver {
            Resolver::Host => None,
            Resolver::At(address) => Some(*address),
        });
        settings.resolvers = named.collect();
    }
    settings.vcpu_overcommit = options.vcpu_overcommit.unwrap_or(settings.vcpu_overcommit);
    settings.memory_overcommit_percent =
        options.memory_overcommit.unwrap_or(settings.memory_overcommit_percent);
    settings.api_rate = options.api_rate.unwrap_or(settings.api_rate);
    settings.audit_days = options.audit_days.unwrap_or(settings.audit_days);
    settings.audit_objects = options.audit_objects.unwrap_or(settings.audit_objects);
    choose_foundation(&mut settings, options)?;
    settings.provide_nodes(paths)?;
    // A server that outlived its supervisor makes room for the new one.
    end_left_over(paths, &[Role::Server]);
    std::net::TcpListener::bind(settings.listen).with_context(|| {
        format!(
            "listen on {}: another program has it. Stop that, or choose with --listen ADDR:PORT",
            settings.listen
        )
    })?;
    settings.save(paths)?;
    Ok(settings)
}

/// What objects are kept on is decided at the first start.
fn choose_foundation(settings: &mut Settings, options: &Options) -> anyhow::Result<()> {
    if !options.nodes.is_empty() {
        let nodes = settings::storage_nodes(&options.nodes)?;
        let folders = |nodes: &[StorageNode]| {
            nodes.iter().map(|node| node.folder.clone()).collect::<BTreeSet<_>>()
        };
        if let Some(pool) = &settings.ceph {
            anyhow::bail!("this cloud keeps its objects in {}", pool.place());
        }
        anyhow::ensure!(
            settings.nodes.is_empty() || folders(&settings.nodes) == folders(&nodes),
            "this cloud keeps its objects elsewhere; once it is up, use 'fogbank objects node add' \
             and 'fogbank objects node remove'"
        );
        if settings.nodes.is_empty() {
            settings.nodes = nodes;
        }
    }
    if let (Some(conf), Some(pool)) = (&options.ceph, &options.ceph_pool) {
        anyhow::ensure!(
            settings.nodes.is_empty(),
            "this cloud keeps its objects in {} folders already: Ceph can only be chosen at the \
             first start, so take another --data for a cloud in Ceph",
            settings.nodes.len()
        );
        let known = settings.ceph.take();
        let chosen = CephPool {
            conf: std::path::absolute(conf)?,
            pool: pool.clone(),
            user: options.ceph_user.clone().unwrap_or_else(|| "admin".to_owned()),
            namespace: match (&options.ceph_namespace, &known) {
                (Some(namespace), _) => namespace.clone(),
                (None, Some(known)) => known.namespace.clone(),
                (None, None) => settings::new_namespace()?,
            },
        };
        if let Some(known) = known {
            anyhow::ensure!(
                (&known.pool, &known.namespace) == (&chosen.pool, &chosen.namespace),
                "this cloud keeps its objects in {}",
                known.place()
            );
        }
        objects::check_ceph(&chosen)?;
        settings.ceph = Some(chosen);
    }
    Ok(())
}

fn start_supervisor(paths: &Paths) -> anyhow::Result<()> {
    let log = log_file::open(&paths.log("supervisor"))?;
    Command::new("/proc/self/exe")
        .arg0("fogbank-supervisor")
        .args(["supervise", "--data"])
        .arg(&paths.data)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("start the supervisor")?;
    Ok(())
}

/// The supervisor's own process.
pub fn supervise(paths: &Paths) -> anyhow::Result<()> {
    let _ = rustix::process::setsid();
    let lock = supervisor::lock(paths)?.context("another supervisor has this data folder")?;
    supervisor::run(paths, &lock)
}

fn wait_and_show(paths: &Paths, began: Instant) -> anyhow::Result<()> {
    let settings = Settings::load(paths)?.context("the settings are gone")?;
    let waiting = Instant::now();
    let since = SystemTime::now();
    let mut said = waiting;
    let wanted = if settings.hypervisor == "simulated" { 1 } else { image::ALL.len() };
    let built = image::ALL.iter().filter(|recipe| recipe.is_built(paths)).count();
    loop {
        let ready = admin::ask(paths, &AdminRequest::Status).is_ok_and(|status| {
            status.images.len() >= wanted.min(built)
                && status.hosts.iter().any(|host| host.connected)
        }) && store::status(paths).is_ok();
        if ready && answers(settings.listen) {
            break;
        }
        if let Some(why) = refused(paths, since) {
            anyhow::bail!("the object store can't be opened: {why}");
        }
        if waiting.elapsed() > START_TIMEOUT {
            anyhow::bail!(
                "the cloud did not start within {} s.{} Look at {}/*.log, or run 'fogbank doctor'",
                START_TIMEOUT.as_secs(),
                complaints(paths),
                paths.logs().display()
            );
        }
        if said.elapsed() > Duration::from_secs(3) {
            eprintln!("Starting: waiting for the endpoint and the host …");
            said = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    admin::ask(paths, &AdminRequest::StartUp)?;
    show(paths, &settings, began)
}

/// Why the object store couldn't be opened since then.
fn refused(paths: &Paths, since: SystemTime) -> Option<String> {
    let path = paths.run_file(contracts::objects::REFUSED);
    let written = fs::metadata(&path).and_then(|found| found.modified()).ok()?;
    if written < since {
        return None;
    }
    fs::read_to_string(path).ok().filter(|why| !why.is_empty())
}

/// The last error in each process's log.
fn complaints(paths: &Paths) -> String {
    let mut all = String::new();
    for name in ALL_ROLES.map(Role::name).into_iter().chain(["supervisor"]) {
        let text = fs::read_to_string(paths.log(name)).unwrap_or_default();
        if let Some(line) = text.lines().rev().find(|line| line.contains(" ERROR ")) {
            all.push_str(&format!("\n  {name}: {line}"));
        }
    }
    if all.is_empty() { all } else { all + "\n" }
}

fn answers(listen: SocketAddr) -> bool {
    let request = b"GET /_fogbank/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client::exchange(listen, request).is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
}

fn show(paths: &Paths, settings: &Settings, began: Instant) -> anyhow::Result<()> {
    let status = admin::ask(paths, &AdminRequest::Status)?;
    out!("Fogbank is up after {:.1} s: http://{}", began.elapsed().as_secs_f32(), settings.listen);
    for host in &status.hosts {
        let how = match host.hypervisor.as_str() {
            "kvm" => "KVM runs the guests",
            "tcg" => {
                "no usable KVM here, so QEMU emulates the guests' processors: slower, but all works"
            }
            _ => "VMs are only simulated",
        };
        out!(
            "Host {}: {} processors, {} MiB for guests; {how}.",
            host.name,
            host.vcpus,
            host.memory_mib
        );
    }
    for line in uplink::words(settings) {
        out!("{line}");
    }
    for line in store::status(paths).map(|store| store::complaints(&store)).unwrap_or_default() {
        eprintln!("WARNING: the storage node {line}");
    }
    let tiny = image::Recipe::named("tiny")?.ami_name();
    out!(
        "\nNext:
  eval \"$(fogbank env{data})\"
  aws ec2 create-key-pair --key-name me --query KeyMaterial --output text > me.pem; chmod 600 me.pem
  AMI=$(aws ec2 describe-images --owners amazon --filters Name=name,Values={tiny} --query 'Images[0].ImageId' --output text)
  aws ec2 authorize-security-group-ingress --group-name default --protocol tcp --port 22 --cidr 0.0.0.0/0
  aws ec2 run-instances --image-id $AMI --instance-type t3.micro --key-name me
  fogbank ssh{data} -i me.pem INSTANCE-ID",
        data = data_argument(paths),
    );
    Ok(())
}

/// ` --data DIR` where it isn't the default, so that what we print can be typed.
fn data_argument(paths: &Paths) -> String {
    let default = Paths::new(None).is_ok_and(|default| default.data == paths.data);
    if default { String::new() } else { format!(" --data {}", paths.data.display()) }
}

/// Stays in the foreground; an interrupt shuts the cloud down.
fn stay(paths: &Paths) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    out!("\nPress Ctrl-C to shut the cloud down ('up --detach' returns at once instead).");
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    signals.forever().next();
    down(paths)
}

/// Shuts a cloud down: guests first, cleanly. The instances that ran start again with the next
/// `up`.
pub fn down(paths: &Paths) -> anyhow::Result<()> {
    let supervisor = Process::noted(&paths.run_file("supervisor.pid"));
    let began = Instant::now();
    match admin::ask(paths, &AdminRequest::ShutDown) {
        Ok(_) => wait_for_guests(paths, began)?,
        Err(error) if supervisor.is_none() => {
            eprintln!("{error:#}");
            end_left_over(paths, &ALL_ROLES);
            egress::close(paths);
            return Ok(());
        }
        Err(error) => {
            eprintln!("The server does not answer ({error:#}); guests are left as they are.")
        }
    }
    if let Some(supervisor) = supervisor {
        supervisor.signal(rustix::process::Signal::TERM);
        anyhow::ensure!(
            supervisor.wait(Duration::from_secs(60)),
            "the supervisor (process {}) did not end; see {}",
            supervisor.pid,
            paths.logs().display()
        );
    }
    end_left_over(paths, &ALL_ROLES);
    egress::close(paths);
    let _ = fs::remove_dir_all(&paths.run);
    out!("Fogbank is down. 'fogbank up' starts it again, with the instances that ran.");
    Ok(())
}

fn wait_for_guests(paths: &Paths, began: Instant) -> anyhow::Result<()> {
    let mut said: Option<Instant> = None;
    let mut forced = false;
    loop {
        let left = admin::ask(paths, &AdminRequest::Status)?.vms;
        if left == 0 {
            return Ok(());
        }
        if began.elapsed() > DOWN_TIMEOUT && !forced {
            eprintln!("{left} guests did not shut down in time; they are powered off.");
            admin::ask(paths, &AdminRequest::PowerOff)?;
            forced = true;
        }
        anyhow::ensure!(
            began.elapsed() < DOWN_TIMEOUT * 2,
            "{left} VMs can't be ended: is the agent well? Look at {}/agent.log; nothing else was \
             stopped",
            paths.logs().display()
        );
        if said.is_none_or(|at| at.elapsed() > Duration::from_secs(3)) {
            eprintln!("Shutting down: {left} guests left …");
            said = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

const ALL_ROLES: [Role; 5] =
    [Role::Agent, Role::Server, Role::Objects, Role::EbsCard, Role::VpcCard];

/// Ends processes whose supervisor was killed. Guests wait for their disks meanwhile: a new EBS
/// card takes the new supervisor's socket.
fn end_left_over(paths: &Paths, roles: &[Role]) {
    for role in roles {
        let file = paths.run_file(&format!("{}.pid", role.name()));
        if let Some(process) = Process::noted(&file) {
            process.end(Duration::from_secs(10));
        }
        let _ = fs::remove_file(file);
    }
}
