//! The driver that runs QEMU: one process for each VM, found again by what is in its folder.

pub mod args;
pub mod features;
mod plug;
pub mod process;
mod vm;
mod watch;

use crate::{
    Accelerator, Adopted, Event, Hypervisor, NicSpec, VmSpec, boot_id,
    cgroup::Groups,
    console, now,
    qmp::{Client, Command},
    record::{Process, VmRecord},
};
use anyhow::{Context, Result, bail};
use args::{Inherited, Tuning};
use contracts::host::OffReason;
use features::Features;
use plug::Plug;
use process::Confinement;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};
use types::InstanceId;
use vm::{Control, Plan, Vm};
use watch::Watch;

/// The serial port's log in a VM's folder.
pub const CONSOLE: &str = "console.log";
/// What QEMU itself says.
pub const LOG: &str = "qemu.log";
/// Where a VM's process writes its number before anything else.
const PID: &str = "pid";
/// How long a VM may take from its process to its first instruction.
const LAUNCH: Duration = Duration::from_secs(60);

/// Where and how QEMU runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program.
    pub binary: PathBuf,
    /// Folder with a folder for each VM.
    pub instances: PathBuf,
    /// Folder for sockets; short, for their paths may have 107 bytes.
    pub sockets: PathBuf,
    /// KVM or TCG.
    pub tuning: Tuning,
    /// A name for this cloud's control groups.
    pub cloud: String,
}

/// The driver.
#[derive(Debug)]
pub struct Qemu {
    config: Config,
    features: Features,
    watch: Arc<Watch>,
    tokens: AtomicU64,
    boot_id: String,
    root: bool,
}

impl Qemu {
    /// Asks QEMU what it can do and starts to watch.
    ///
    /// # Errors
    /// QEMU is missing, or a folder cannot be written.
    pub fn new(config: Config, events: Sender<Event>) -> Result<Self> {
        for folder in [&config.instances, &config.sockets] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let cache = config.instances.join("qemu-features.json");
        let features = features::probe(&config.binary, &cache)?;
        let groups = Groups::find(Path::new("/sys/fs/cgroup"), &config.cloud);
        if groups.is_empty() {
            log::info!("no control groups here: instances share processors without limits");
        }
        let watch = Watch::start(events, groups)?;
        let root = rustix::process::geteuid().is_root();
        Ok(Self { config, features, watch, tokens: AtomicU64::new(1), boot_id: boot_id(), root })
    }

    fn folder(&self, instance: InstanceId) -> PathBuf {
        self.config.instances.join(instance.to_string())
    }

    fn socket(&self, instance: InstanceId, kind: &str) -> PathBuf {
        self.config.sockets.join(format!("{instance}.{kind}"))
    }

    fn listen(&self, instance: InstanceId, kind: &str) -> Result<UnixListener> {
        let path = self.socket(instance, kind);
        remove(&path)?;
        UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))
    }

    /// The group of `/dev/kvm`, if KVM is used.
    fn kvm_group(&self) -> Option<u32> {
        let device = fs::metadata("/dev/kvm").ok()?;
        // Where the device is root's alone, nobody else's QEMU could open it.
        (self.accelerator() == Accelerator::Kvm).then(|| device.gid())
    }

    fn start(&self, record: &mut VmRecord, folder: &Path) -> Result<Vm> {
        let instance = record.spec.instance;
        let listeners = [
            self.listen(instance, "qmp")?,
            self.listen(instance, "people")?,
            self.listen(instance, "serial")?,
        ];
        let console = console::open(&folder.join(CONSOLE))?;
        let log = console::open(&folder.join(LOG))?;
        log.set_len(0)?;
        let [control, people, serial] = listeners.each_ref().map(AsRawFd::as_raw_fd);
        let fds = Inherited { control, people, serial, console: console.as_raw_fd() };
        let args = args::arguments(&record.spec, &self.config.tuning, &self.features, fds);
        let groups = self.watch.groups();
        let name = instance.to_string();
        let memory = record.spec.memory_mib + args::cache_mib(&record.spec, &self.config.tuning);
        let confinement = Confinement {
            uid: record.spec.uid,
            group: self.kvm_group(),
            namespaces: self.root,
            groups: groups.make(&name, record.spec.vcpus, memory),
            pid_file: Some(OwnedFd::from(fs::File::create(folder.join(PID))?)),
            inherit: vec![control, people, serial, console.as_raw_fd()],
        };
        record.save(folder)?;
        let mut child = process::spawn(&self.config.binary, &args, &confinement, Some(&log))?;
        drop(listeners);
        self.greet(record, folder, child.id()).inspect_err(|_| {
            // Nothing may be left of it; that it has ended already is the usual case.
            let _ = child.kill();
            let _ = child.wait();
            groups.remove(&name);
        })
    }

    /// Waits until a new process runs its guest.
    fn greet(&self, record: &mut VmRecord, folder: &Path, pid: u32) -> Result<Vm> {
        let pid = i32::try_from(pid)?;
        record.process = Process::find(pid);
        record.save(folder)?;
        let process = open_process(pid)?;
        let socket = self.socket(record.spec.instance, "qmp");
        let mut client = Client::connect(&socket, LAUNCH)?;
        let status = client.execute(&Command::QueryStatus, LAUNCH)?;
        if status.get("running") != Some(&serde_json::Value::Bool(true)) {
            bail!("QEMU does not run its guest: {status}");
        }
        let (stream, session, events) = client.into_parts();
        let mut vm = self.vm(record.clone(), folder, process);
        vm.control = Some(Control::new(stream, session)?);
        vm.ask_devices();
        for event in events {
            vm.heed_event(&event, std::time::Instant::now());
        }
        Ok(vm)
    }

    fn vm(&self, record: VmRecord, folder: &Path, process: OwnedFd) -> Vm {
        Vm {
            socket: self.socket(record.spec.instance, "qmp"),
            record,
            folder: folder.to_owned(),
            process,
            control: None,
            plan: Plan::Run,
            plug: Plug::new(plug::Wiring {
                reconnect_ms: self.features.reconnect_ms,
                legacy_interrupts: args::legacy_interrupts(&self.config.tuning, &self.features),
            }),
            reconnect: None,
            token: self.tokens.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn adopt_folder(&self, folder: &Path) -> Result<Adopted> {
        let mut record = VmRecord::load(folder)?;
        if record.slots.is_empty() {
            record.slots = plug::slots(&record.spec);
        }
        if record.ended.is_none() {
            match self.adopt_process(&mut record, folder) {
                Ok(vm) => {
                    self.watch.add(vm)?;
                    log::info!("{}: found running", record.spec.instance);
                }
                Err(error) => {
                    let why = if record.boot_id == self.boot_id {
                        OffReason::Crashed(format!("{error:#}"))
                    } else {
                        OffReason::HostRebooted
                    };
                    let reason = record.ending.clone().unwrap_or(why);
                    log::info!("{}: found off: {reason:?}", record.spec.instance);
                    record.ended = Some(reason);
                    record.at = now();
                    record.save(folder)?;
                    self.watch.groups().remove(&record.spec.instance.to_string());
                }
            }
        }
        Ok(Adopted {
            instance: record.spec.instance,
            incarnation: record.spec.incarnation,
            reboots: record.reboots,
            ended: record.ended,
            at: record.at,
            spec: Some(record.spec),
        })
    }

    fn adopt_process(&self, record: &mut VmRecord, folder: &Path) -> Result<Vm> {
        if record.boot_id != self.boot_id {
            bail!("it ran before the host was rebooted");
        }
        if record.process.is_none() {
            record.process = find_process(record, folder);
            record.save(folder)?;
        }
        let process = record.process.context("it was being started when its agent ended")?;
        let pidfd = open_process(process.pid).context("QEMU ended while nobody watched")?;
        if !process.is_alive() {
            bail!(match last_line(folder) {
                Some(line) => format!("QEMU ended while nobody watched: {line}"),
                None => "QEMU ended while nobody watched".to_owned(),
            });
        }
        let mut vm = self.vm(record.clone(), folder, pidfd);
        // A QEMU that does not listen right now still runs its guest.
        vm.reconnect = Some(std::time::Instant::now());
        // A guest that powered off has no more to do; one that was asked to is asked again, with
        // the time that it has.
        if record.ending == Some(OffReason::Guest) {
            vm.stop(Duration::ZERO, std::time::Instant::now());
        }
        Ok(vm)
    }
}

/// A process that was started by an agent that did not live to record it.
fn find_process(record: &VmRecord, folder: &Path) -> Option<Process> {
    let pid: i32 = fs::read_to_string(folder.join(PID)).ok()?.trim().parse().ok()?;
    let process = Process::find(pid)?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let uuid = record.spec.uuid();
    // The number may be another process's by now.
    command.windows(uuid.len()).any(|part| part == uuid.as_bytes()).then_some(process)
}

fn open_process(pid: i32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid).context("no process number")?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The last thing that QEMU said, for people.
fn last_line(folder: &Path) -> Option<String> {
    let (bytes, _) = console::tail(&folder.join(LOG)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.watch.groups().close();
    }
}

impl Hypervisor for Qemu {
    fn accelerator(&self) -> Accelerator {
        self.config.tuning.accelerator
    }

    fn uses_cards(&self) -> bool {
        true
    }

    fn adopt(&self) -> Vec<Adopted> {
        let mut adopted = Vec::new();
        let Ok(entries) = fs::read_dir(&self.config.instances) else {
            return adopted;
        };
        for folder in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            match self.adopt_folder(&folder) {
                Ok(found) => adopted.push(found),
                // A folder without a record is one whose launch had not begun.
                Err(error) => log::warn!("left alone: {error:#}"),
            }
        }
        adopted
    }

    fn launch(&self, spec: &VmSpec, reboots: u32) -> Result<()> {
        if self.watch.has(spec.instance) {
            bail!("{} is running", spec.instance);
        }
        let folder = self.folder(spec.instance);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut record = VmRecord {
            spec: spec.clone(),
            slots: plug::slots(spec),
            process: None,
            boot_id: self.boot_id.clone(),
            reboots,
            ending: None,
            ended: None,
            at: now(),
        };
        let started = self.start(&mut record, &folder).and_then(|vm| self.watch.add(vm));
        started.map_err(|error| {
            let error = match last_line(&folder) {
                Some(line) => error.context(line),
                None => error,
            };
            record.ended = Some(OffReason::LaunchFailed(format!("{error:#}")));
            record.at = now();
            if let Err(error) = record.save(&folder) {
                log::error!("{}: {error:#}", spec.instance);
            }
            error
        })
    }

    fn stop(&self, instance: InstanceId, grace: Duration) {
        self.watch.with(instance, |vm, now| vm.stop(grace, now));
    }

    fn reboot(&self, instance: InstanceId, reboots: u32, grace: Duration) {
        self.watch.with(instance, |vm, now| vm.reboot(reboots, grace, now));
    }

    fn plug(&self, instance: InstanceId, nics: Vec<NicSpec>) {
        self.watch.with(instance, |vm, now| vm.plug(nics, now));
    }

    fn tidy(&self) {
        self.watch.trim_logs();
    }

    fn forget(&self, instance: InstanceId) {
        if self.watch.has(instance) {
            return;
        }
        for kind in ["qmp", "people", "serial"] {
            if let Err(error) = remove(&self.socket(instance, kind)) {
                log::warn!("{error:#}");
            }
        }
        if let Err(error) = fs::remove_dir_all(self.folder(instance))
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{instance}: {error}");
        }
    }
}
