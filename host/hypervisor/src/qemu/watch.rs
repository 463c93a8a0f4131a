//! One thread that watches all QEMU processes and their control sockets, and sleeps otherwise.

use super::vm::{Control, Vm};
use crate::{Event, cgroup::Groups, console, now};
use anyhow::{Context, Result};
use contracts::host::OffReason;
use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    process::{WaitId, WaitIdOptions, waitid},
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Sender},
    time::{Duration, Instant},
};
use types::InstanceId;

/// The token of the watcher's own wake-ups.
const WAKE: u64 = 0;

/// The VMs, and what wakes the thread.
#[derive(Debug)]
pub struct Watch {
    vms: Mutex<BTreeMap<InstanceId, Vm>>,
    epoll: OwnedFd,
    wake: OwnedFd,
    events: Sender<Event>,
    groups: Groups,
}

/// A VM has two tokens: an even one for its control socket, an odd one for its process.
fn token_of(vm: u64, process: bool) -> epoll::EventData {
    epoll::EventData::new_u64(vm * 2 + u64::from(process))
}

impl Watch {
    /// Starts the thread; it lives as long as the program.
    ///
    /// # Errors
    /// The kernel gives no more descriptors.
    pub fn start(events: Sender<Event>, groups: Groups) -> Result<Arc<Self>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let watch =
            Arc::new(Self { vms: Mutex::new(BTreeMap::new()), epoll, wake, events, groups });
        let thread = Arc::clone(&watch);
        std::thread::Builder::new()
            .name("qemu-watch".to_owned())
            .spawn(move || thread.run())
            .context("no thread")?;
        Ok(watch)
    }

    /// The groups that VMs run in.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Vm>> {
        self.vms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a VM from now on.
    ///
    /// # Errors
    /// The kernel gives no more descriptors.
    pub fn add(&self, vm: Vm) -> Result<()> {
        let mut vms = self.lock();
        epoll::add(&self.epoll, &vm.process, token_of(vm.token, true), epoll::EventFlags::IN)?;
        self.watch_control(&vm)?;
        vms.insert(vm.record.spec.instance, vm);
        drop(vms);
        self.wake();
        Ok(())
    }

    fn watch_control(&self, vm: &Vm) -> Result<()> {
        if let Some(control) = &vm.control {
            let stream = control.stream().as_fd();
            epoll::add(&self.epoll, stream, token_of(vm.token, false), epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Does something with a VM that is watched; whether there is one.
    pub fn with(&self, instance: InstanceId, what: impl FnOnce(&mut Vm, Instant)) -> bool {
        let mut vms = self.lock();
        let vm = vms.get_mut(&instance);
        let found = vm.is_some();
        if let Some(vm) = vm {
            what(vm, Instant::now());
        }
        drop(vms);
        self.wake();
        found
    }

    /// Whether this instance's VM is watched.
    pub fn has(&self, instance: InstanceId) -> bool {
        self.lock().contains_key(&instance)
    }

    /// Keeps the logs of all VMs within their limits.
    pub fn trim_logs(&self) {
        let folders: Vec<_> = self.lock().values().map(|vm| vm.folder.clone()).collect();
        for folder in folders {
            for name in [super::CONSOLE, super::LOG] {
                if let Err(error) = console::trim(&folder.join(name)) {
                    log::debug!("{}: {error:#}", folder.display());
                }
            }
        }
    }

    fn wake(&self) {
        // It fails only if a wake-up is already due.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn run(&self) {
        let mut ready = Vec::with_capacity(64);
        loop {
            let due = self.lock().values().filter_map(Vm::due).min();
            let timeout = due.map(|due| {
                // Rounded up, so that it is due when we wake.
                let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(left.subsec_nanos()),
                }
            });
            ready.clear();
            let spare = rustix::buffer::spare_capacity(&mut ready);
            if let Err(error) = epoll::wait(&self.epoll, spare, timeout.as_ref())
                && error != rustix::io::Errno::INTR
            {
                log::error!("epoll: {error}");
                return;
            }
            self.turn(&ready);
        }
    }

    fn turn(&self, ready: &[epoll::Event]) {
        let mut vms = self.lock();
        let now = Instant::now();
        for event in ready {
            let token = event.data.u64();
            if token == WAKE {
                let _ = rustix::io::read(&self.wake, &mut [0; 8]);
                continue;
            }
            let found = vms.iter_mut().find(|(_, vm)| vm.token == token / 2);
            let Some((&instance, vm)) = found else {
                continue;
            };
            let heard = vm.receive(now);
            if heard.reset {
                let _ = self.events.send(Event::Reset { instance });
            }
            if heard.devices {
                let ports = vm.plug.present().into_iter().flatten().copied().collect();
                let incarnation = vm.record.spec.incarnation;
                let _ = self.events.send(Event::Devices { instance, incarnation, ports });
            }
            if !token.is_multiple_of(2)
                && let Some(vm) = vms.remove(&instance)
            {
                self.end(vm);
            }
        }
        for vm in vms.values_mut() {
            if vm.due().is_some_and(|due| due <= now) {
                vm.act(now);
                self.reconnect(vm, now);
            }
        }
    }

    fn reconnect(&self, vm: &mut Vm, now: Instant) {
        if vm.reconnect.is_some_and(|at| at <= now) {
            vm.reconnect = None;
            match Control::connect(&vm.socket) {
                Ok(control) => {
                    vm.control = Some(control);
                    if let Err(error) = self.watch_control(vm) {
                        log::error!("{}: {error:#}", vm.record.spec.instance);
                    }
                }
                Err(_) => vm.reconnect = Some(now + Duration::from_secs(5)),
            }
        }
    }

    /// A process is gone: says why, and clears up after it.
    fn end(&self, vm: Vm) {
        let Vm { mut record, folder, process, .. } = vm;
        // Only our own child has a status, and must be waited for.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(process.as_fd()), options).ok().flatten();
        let instance = record.spec.instance;
        let reason = record.ending.clone().unwrap_or_else(|| {
            let how = status.map_or_else(
                || "QEMU ended while nobody watched".to_owned(),
                |status| match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("QEMU ended with code {code}"),
                    (_, Some(signal)) => format!("QEMU was killed by signal {signal}"),
                    (None, None) => "QEMU ended".to_owned(),
                },
            );
            OffReason::Crashed(match super::last_line(&folder) {
                Some(line) => format!("{how}: {line}"),
                None => how,
            })
        });
        log::info!("{instance}: off: {reason:?}");
        record.ended = Some(reason.clone());
        record.at = now();
        if let Err(error) = record.save(&folder) {
            log::error!("{instance}: {error:#}");
        }
        self.groups.remove(&instance.to_string());
        let incarnation = record.spec.incarnation;
        // Nobody listens only when the agent is about to end.
        let _ = self.events.send(Event::Off { instance, incarnation, reason });
    }
}
