//! The one thread that owns the agent's state: takes what happens, and makes what is wanted so.

use crate::{
    capacity::capacity,
    cards::{Ebs, VolumeWish, Vpcs},
    config::Config,
    desired::Desired,
    machines::{Local, Machines, Phase},
    metadata::Documents,
    peer::{Outbox, Peer},
    table::Standing,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::{
    card::{PortConfig, Reply},
    host::{EntryKey, Observed, OffReason, Patch, VolumeObserved, VolumeState},
    link::{Answer, FromAgent, Question, ToAgent},
    machine::{Machine, Power},
};
use hypervisor::{Event, Hypervisor, console, now, qemu};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};
use types::{InstanceId, VolumeId};

mod plug;
mod start;
#[cfg(test)]
mod tests;

/// How often logs are trimmed, failures tried again, and old folders deleted.
const TICK: Duration = Duration::from_secs(10);
/// How long an instance's folder is kept after nobody wants the instance any more: as long as
/// AWS answers `GetConsoleOutput` for a terminated instance.
const KEPT: Duration = Duration::from_secs(3600);
/// How long a guest may take to reboot itself before it is reset: AWS's few minutes.
const REBOOT_GRACE: Duration = Duration::from_secs(240);
/// How much is taken at a time before what it asks for is done.
const BATCH: usize = 1000;

/// What happens.
#[derive(Debug)]
pub enum Input {
    /// With the server.
    Server(Peer<ToAgent>),
    /// With the VPC card.
    Vpc(Peer<Reply>),
    /// With the EBS card.
    Ebs(Peer<Reply>),
    /// With a VM.
    Vm(Event),
    /// A launch is done.
    Launched {
        instance: InstanceId,
        incarnation: u64,
        /// The error is for people.
        result: Result<(), String>,
    },
}

/// The agent.
pub struct Agent {
    config: Config,
    hypervisor: Arc<dyn Hypervisor>,
    documents: Documents,
    inbox: Sender<Input>,
    server: Option<Outbox>,
    /// Whether the server said what is wanted since it is there.
    instructed: bool,
    /// Whether it was told of everything since it is there.
    complete: bool,
    /// None until the server first said what is wanted; till then nothing is changed.
    desired: Option<Desired>,
    machines: Machines,
    ebs: Ebs,
    vpcs: Vpcs,
    /// What was reported of volumes.
    volumes: BTreeMap<VolumeId, VolumeState>,
    /// Instances to be looked at.
    dirty: BTreeSet<InstanceId>,
    /// Whether the cards' configuration may differ from what is wanted.
    cards_dirty: bool,
    launching: usize,
}

impl Agent {
    /// An agent that knows nothing yet.
    pub fn new(
        config: Config,
        hypervisor: Arc<dyn Hypervisor>,
        documents: Documents,
        inbox: Sender<Input>,
    ) -> Self {
        Self {
            config,
            hypervisor,
            documents,
            inbox,
            server: None,
            instructed: false,
            complete: false,
            desired: None,
            machines: Machines::default(),
            ebs: Ebs::default(),
            vpcs: Vpcs::default(),
            volumes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            cards_dirty: false,
            launching: 0,
        }
    }

    /// The server's socket.
    pub fn server(&self) -> &Path {
        &self.config.server
    }

    /// Finds the VMs of an earlier agent.
    pub fn adopt(&mut self) {
        for found in self.hypervisor.adopt() {
            self.machines.0.insert(found.instance, Local::adopted(found));
        }
    }

    /// Takes what happens, for ever.
    pub fn run(&mut self, inputs: &Receiver<Input>) {
        let mut tick = Instant::now() + TICK;
        loop {
            let left = tick.saturating_duration_since(Instant::now());
            match inputs.recv_timeout(left) {
                Ok(input) => {
                    self.take(input);
                    for input in inputs.try_iter().take(BATCH) {
                        self.take(input);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.tick();
                    tick = Instant::now() + TICK;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.reconcile();
        }
    }

    fn tick(&mut self) {
        self.hypervisor.tidy();
        self.cards_dirty |= self.vpcs.retry() | self.ebs.volumes.retry();
        let old: Vec<_> = self
            .machines
            .0
            .iter()
            .filter(|(_, local)| matches!(local.phase, Phase::Off(_)))
            .filter(|(_, local)| local.unwanted.is_some_and(|since| since.elapsed() >= KEPT))
            .map(|(instance, _)| *instance)
            .collect();
        for instance in old {
            self.hypervisor.forget(instance);
            self.machines.0.remove(&instance);
        }
    }

    /// Takes one thing that happened.
    pub fn take(&mut self, input: Input) {
        match input {
            Input::Server(Peer::Up(outbox)) => self.greet(outbox),
            Input::Server(Peer::Down) => self.server = None,
            Input::Server(Peer::Said(said)) => match *said {
                ToAgent::Patch(patch) => self.apply(patch),
                ToAgent::Identity(identity) => self.documents.prove(*identity),
                ToAgent::Ask(number, Question::Console(instance)) => {
                    let answer = self.console(instance);
                    self.send(&FromAgent::Answer(number, answer));
                }
            },
            Input::Vpc(peer) => {
                self.vpcs.heed(peer);
                self.cards_changed();
            }
            Input::Ebs(peer) => {
                for volume in self.ebs.heed(peer) {
                    self.observe_volume(volume);
                }
                self.cards_changed();
            }
            Input::Vm(Event::Reset { instance }) => log::info!("{instance}: reset"),
            Input::Vm(Event::Devices { instance, incarnation, ports }) => {
                self.has_ports(instance, incarnation, ports);
            }
            Input::Vm(Event::Off { instance, incarnation, reason }) => {
                self.ended(instance, incarnation, reason);
            }
            Input::Launched { instance, incarnation, result } => {
                self.launching = self.launching.saturating_sub(1);
                self.launched(instance, incarnation, result);
                self.cards_changed();
            }
        }
    }

    /// The cards' state changed: whoever waits for them is looked at again.
    fn cards_changed(&mut self) {
        if !self.hypervisor.uses_cards() {
            return;
        }
        self.cards_dirty = true;
        let waiting = self.machines.0.iter().filter(|(_, local)| local.waits());
        self.dirty.extend(waiting.map(|(instance, _)| *instance));
    }

    fn send(&mut self, message: &FromAgent) {
        if self.server.as_ref().is_some_and(|server| !server.send(message)) {
            // It is connected again, and told everything.
            self.server = None;
        }
    }

    fn report(&mut self, observed: Observed) {
        self.send(&FromAgent::Observed(observed));
    }

    /// The server is there: it is told everything.
    fn greet(&mut self, outbox: Outbox) {
        self.server = Some(outbox);
        self.instructed = false;
        self.complete = false;
        let capacity = capacity(self.hypervisor.accelerator(), self.config.overcommit);
        self.report(Observed::Host(capacity));
        let machines: Vec<_> =
            self.machines.0.iter().map(|(instance, local)| local.observed(*instance)).collect();
        for machine in machines {
            self.report(Observed::Machine(machine));
        }
        for (volume, state) in self.volumes.clone() {
            self.report(Observed::Volume(VolumeObserved { volume, state }));
        }
    }

    /// Says that everything was told, once that is true: after a start of ours, volumes are
    /// known only when the server has named them and the card has answered.
    fn finish_greeting(&mut self) {
        let known = !self.hypervisor.uses_cards() || self.ebs.is_settled();
        if !self.complete && self.server.is_some() && self.instructed && known {
            self.complete = true;
            self.report(Observed::Complete);
        }
    }

    fn apply(&mut self, patch: Patch) {
        if self.desired.is_none() && !patch.reset {
            log::error!("the server's first patch is not a whole one; it is ignored");
            return;
        }
        self.instructed |= patch.reset;
        let forgets = patch.reset || patch.remove.iter().any(EntryKey::is_machine);
        let touched = self.desired.get_or_insert_default().apply(patch);
        if touched.network || !touched.volumes.is_empty() {
            self.cards_changed();
        }
        for volume in touched.volumes {
            self.observe_volume(volume);
        }
        if let Some(desired) = &self.desired
            && self.hypervisor.uses_cards()
        {
            // One that is not on gets its document when it is prepared.
            let on = |id: &&InstanceId| self.machines.0.get(*id).is_some_and(Local::holds);
            let on = touched.machines.iter().filter(on);
            for machine in on.filter_map(|id| desired.machines.get(id)) {
                let ports = machine.nics.iter().map(|nic| nic.port);
                self.documents.put(ports, &machine.metadata);
            }
        }
        if forgets && let Some(desired) = &self.desired {
            let wanted = |instance| desired.machines.contains_key(&instance);
            self.documents.forget_identities(wanted);
        }
        self.dirty.extend(touched.machines);
        if !self.complete {
            // VMs that were found, and that nobody wants.
            self.dirty.extend(self.machines.0.keys());
        }
    }

    /// Reports a volume if its state is news.
    fn observe_volume(&mut self, volume: VolumeId) {
        let Some(desired) = &self.desired else {
            return;
        };
        let state = match desired.volumes.get(&volume) {
            None => {
                self.volumes.remove(&volume);
                return;
            }
            Some(wanted) if !self.hypervisor.uses_cards() => {
                Some(if wanted.delete { VolumeState::Deleted } else { VolumeState::Ready })
            }
            Some(wanted) => match (self.ebs.volumes.standing(volume), wanted.delete) {
                (Standing::Failed(reason), _) => Some(VolumeState::Failed(reason)),
                (Standing::Waiting | Standing::Done, delete) => {
                    match (self.ebs.volumes.acked(volume), delete) {
                        (Some(VolumeWish::Serve(_)), false) => Some(VolumeState::Ready),
                        (Some(VolumeWish::Delete(_)), true) => Some(VolumeState::Deleted),
                        _ => None,
                    }
                }
            },
        };
        if let Some(state) = state
            && self.volumes.get(&volume) != Some(&state)
        {
            self.volumes.insert(volume, state.clone());
            self.report(Observed::Volume(VolumeObserved { volume, state }));
        }
    }

    fn console(&self, instance: InstanceId) -> Result<Answer, String> {
        let folder = self.config.instances().join(instance.to_string());
        match console::tail(&folder.join(qemu::CONSOLE)) {
            Ok((bytes, at)) => Ok(Answer::Console { output: STANDARD.encode(bytes), at }),
            // It wrote nothing yet, or nothing that is kept.
            Err(_) => Ok(Answer::Console { output: String::new(), at: now() }),
        }
    }

    /// Brings what is nearer to what is wanted.
    pub fn reconcile(&mut self) {
        if self.desired.is_none() {
            return;
        }
        loop {
            let dirty = std::mem::take(&mut self.dirty);
            for instance in dirty {
                self.step(instance);
            }
            if self.cards_dirty && self.hypervisor.uses_cards() {
                self.cards_dirty = false;
                if let Some(desired) = &self.desired {
                    self.vpcs.sync(&self.config, desired, &self.machines);
                    self.ebs.sync(&self.config, desired, &self.machines);
                }
            }
            if self.dirty.is_empty() {
                break;
            }
        }
        self.finish_greeting();
    }

    /// Brings one instance a step nearer to what is wanted of it.
    fn step(&mut self, instance: InstanceId) {
        let wanted = self.desired.as_ref().and_then(|desired| desired.machines.get(&instance));
        let wanted = wanted.cloned();
        let Some(local) = self.machines.0.get_mut(&instance) else {
            if let Some(machine) = wanted {
                self.begin(&machine);
            }
            return;
        };
        local.unwanted = match (&wanted, local.unwanted) {
            (None, None) => Some(Instant::now()),
            (None, since) => since,
            (Some(_), _) => None,
        };
        // What holds for this VM: nobody wants another incarnation's, or one without an entry.
        let power = match &wanted {
            Some(machine) if machine.incarnation == local.incarnation => machine.power,
            Some(_) | None => Power::Off { grace_ms: 0 },
        };
        match (local.phase.clone(), power) {
            (Phase::Preparing, Power::Off { .. }) => self.release(instance, OffReason::Requested),
            (Phase::Preparing, Power::On) => {
                if let Some(machine) = wanted {
                    self.launch_if_ready(&machine);
                }
            }
            (Phase::Launching, _) => {}
            (Phase::Running, Power::Off { grace_ms }) => {
                if local.stopping.is_none_or(|begun| grace_ms < begun) {
                    local.stopping = Some(grace_ms);
                    let grace = Duration::from_millis(u64::from(grace_ms));
                    self.hypervisor.stop(instance, grace);
                }
            }
            (Phase::Running, Power::On) => {
                let reboots = wanted.as_ref().map_or(0, |machine| machine.reboots);
                if reboots > local.reboots && local.stopping.is_none() {
                    local.reboots = reboots;
                    self.hypervisor.reboot(instance, reboots, REBOOT_GRACE);
                }
                if let Some(machine) = &wanted {
                    self.plug(machine);
                }
            }
            (Phase::Releasing(reason), _) => self.finish_release(instance, reason),
            (Phase::Off(_), _) => {
                if let Some(machine) =
                    wanted.filter(|machine| machine.incarnation > local.incarnation)
                {
                    self.begin(&machine);
                }
            }
        }
    }

    fn begin(&mut self, machine: &Machine) {
        match machine.power {
            Power::On => self.prepare(machine),
            // It was stopped before it was started.
            Power::Off { .. } => {
                let local = Local::new(machine, Phase::Off(OffReason::Requested));
                self.set(machine.instance, local);
            }
        }
    }

    /// Puts an instance's VM, and reports it.
    fn set(&mut self, instance: InstanceId, local: Local) {
        let observed = local.observed(instance);
        self.machines.0.insert(instance, local);
        self.report(Observed::Machine(observed));
    }

    /// The VM's process is gone, or was never there: the cards let go of what it held.
    fn release(&mut self, instance: InstanceId, reason: OffReason) {
        if let Some(local) = self.machines.0.get_mut(&instance) {
            local.phase = Phase::Releasing(reason);
            self.dirty.insert(instance);
            self.cards_dirty = true;
        }
    }

    fn finish_release(&mut self, instance: InstanceId, reason: OffReason) {
        let Some(local) = self.machines.0.get(&instance) else {
            return;
        };
        // An interface may be another VM's by now, and is then served for that one's user.
        let ports = self.machines.ports();
        let moved = |port| ports.iter().any(|(other, _)| *other == port);
        let serves = |port| {
            let old = |config: &PortConfig| {
                !moved(port) || (config.uid.is_some() && config.uid == local.uid)
            };
            self.vpcs.ports.touches(port, old)
        };
        let held = local.disks.iter().any(|disk| self.ebs.serves(disk.volume, &disk.export))
            || local.nics.iter().any(|nic| serves(nic.port));
        if !held {
            let left = local.nics.iter().map(|nic| nic.port).filter(|port| !moved(*port));
            self.documents.remove(left);
            let mut local = local.clone();
            local.phase = Phase::Off(reason);
            local.at = now();
            self.set(instance, local);
            // The next incarnation may be wanted already.
            self.dirty.insert(instance);
        }
    }

    fn ended(&mut self, instance: InstanceId, incarnation: u64, reason: OffReason) {
        let local = self.machines.0.get(&instance);
        let running = |local: &Local| matches!(local.phase, Phase::Running | Phase::Launching);
        if local.is_some_and(|local| local.incarnation == incarnation && running(local)) {
            self.release(instance, reason);
        }
    }
}
