//! One QEMU process that is watched: its control connection, and what is planned for it.

use super::plug::{Asked, Plug};
use crate::{
    qmp::{Command, EndedBy, Event, Message, Session},
    record::VmRecord,
    spec::NicSpec,
};
use anyhow::{Result, bail};
use contracts::host::OffReason;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// When a request to the guest is repeated: one that boots loses the first.
const REPEAT: Duration = Duration::from_secs(10);
/// How long QEMU may take to quit before it is killed.
const QUIT: Duration = Duration::from_secs(5);
/// How often a lost control connection is tried again.
const RECONNECT: Duration = Duration::from_secs(5);
/// How much may wait to be sent to a QEMU that does not listen.
const MAX_UNSENT: usize = 64 << 10;

/// What is being done with a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Run,
    /// The guest is asked to shut down, until the deadline.
    Stop { ask: Instant, deadline: Instant },
    /// The guest is asked to reboot, until the deadline.
    Reboot { ask: Instant, deadline: Instant },
    /// QEMU was told to quit, and is killed at the deadline.
    Quit { deadline: Instant },
    /// QEMU was killed.
    Killed,
}

/// A control connection.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    session: Session,
    unsent: Vec<u8>,
    /// The number of our `query-status`, until it is answered.
    status: Option<u64>,
    /// The numbers of our commands about devices, until they are answered.
    devices: BTreeMap<u64, Asked>,
}

/// What QEMU has said that others want to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// The VM was reset.
    pub reset: bool,
    /// It has other devices than before.
    pub devices: bool,
}

impl Control {
    /// Takes a connection that is past its greeting.
    ///
    /// # Errors
    /// The socket is of no use.
    pub fn new(stream: UnixStream, session: Session) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, session, unsent: Vec::new(), status: None, devices: BTreeMap::new() })
    }

    /// Connects; the greeting is dealt with as it comes.
    ///
    /// # Errors
    /// QEMU is not there.
    pub fn connect(path: &Path) -> Result<Self> {
        Self::new(UnixStream::connect(path)?, Session::default())
    }

    /// The socket, to be watched.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    fn send(&mut self, command: &Command) -> u64 {
        let (number, bytes) = self.session.command(command);
        if self.unsent.len() < MAX_UNSENT {
            self.unsent.extend(bytes);
        }
        self.flush();
        number
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) if count > 0 => drop(self.unsent.drain(..count)),
                // It is sent with the next command; a broken connection shows when it is read.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Takes what QEMU said, which may be followed by an error or the end.
    fn receive(&mut self, messages: &mut Vec<Message>) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("QEMU closed its control socket"),
                Ok(count) => self.session.feed(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(message) = self.session.message()? {
                messages.push(message);
            }
        }
    }
}

/// A QEMU process.
#[derive(Debug)]
pub struct Vm {
    /// What is on disk of it.
    pub record: VmRecord,
    /// Where.
    pub folder: PathBuf,
    /// Its control socket's path.
    pub socket: PathBuf,
    /// The process.
    pub process: OwnedFd,
    /// The connection, while there is one.
    pub control: Option<Control>,
    /// What is being done.
    pub plan: Plan,
    /// Its interfaces.
    pub plug: Plug,
    /// When a lost connection is tried again.
    pub reconnect: Option<Instant>,
    /// By which the watcher knows its sockets.
    pub token: u64,
}

impl Vm {
    fn send(&mut self, command: &Command) {
        if let Some(control) = &mut self.control {
            control.send(command);
        }
    }

    fn save(&self) {
        if let Err(error) = self.record.save(&self.folder) {
            log::error!("{}: {error:#}", self.record.spec.instance);
        }
    }

    fn set_ending(&mut self, reason: OffReason) {
        if self.record.ending.is_none() {
            self.record.ending = Some(reason);
            self.save();
        }
    }

    /// Begins to end the VM, or shortens the time that it has.
    pub fn stop(&mut self, grace: Duration, now: Instant) {
        self.set_ending(OffReason::Requested);
        match self.plan {
            Plan::Quit { .. } | Plan::Killed => {}
            Plan::Run | Plan::Stop { .. } | Plan::Reboot { .. } if grace.is_zero() => {
                self.quit(now);
            }
            Plan::Stop { ask, deadline } => {
                self.plan = Plan::Stop { ask, deadline: deadline.min(now + grace) };
            }
            Plan::Run | Plan::Reboot { .. } => {
                self.plan = Plan::Stop { ask: now, deadline: now + grace };
                self.act(now);
            }
        }
    }

    /// Begins to reboot the guest.
    pub fn reboot(&mut self, reboots: u32, grace: Duration, now: Instant) {
        self.record.reboots = reboots;
        self.save();
        if self.plan == Plan::Run {
            self.plan = Plan::Reboot { ask: now, deadline: now + grace };
            self.act(now);
        }
    }

    fn quit(&mut self, now: Instant) {
        self.plan = Plan::Quit { deadline: now + QUIT };
        self.send(&Command::Quit);
    }

    fn ask(&mut self, commands: Vec<(Command, Asked)>) {
        let Some(control) = &mut self.control else { return };
        for (command, about) in commands {
            let number = control.send(&command);
            control.devices.insert(number, about);
        }
    }

    /// Says which interfaces the VM shall have.
    pub fn plug(&mut self, nics: Vec<NicSpec>, now: Instant) {
        self.plug.want(nics);
        self.act_on_devices(now);
    }

    fn act_on_devices(&mut self, now: Instant) {
        if self.plan == Plan::Run && self.control.is_some() {
            let before = self.record.slots.clone();
            let commands = self.plug.act(&mut self.record, now);
            // What is in a slot must be known to who comes after a crash of ours.
            if self.record.slots != before {
                self.save();
            }
            self.ask(commands);
        }
    }

    /// What it is to ask at the start of a connection about its devices.
    pub fn ask_devices(&mut self) {
        let command = self.plug.connected();
        self.ask(vec![command]);
    }

    /// Does what is due.
    pub fn act(&mut self, now: Instant) {
        self.act_on_devices(now);
        match self.plan {
            Plan::Run | Plan::Killed => {}
            Plan::Stop { ask, deadline } => {
                if now >= deadline {
                    self.quit(now);
                } else if now >= ask {
                    self.send(&Command::Powerdown);
                    self.plan = Plan::Stop { ask: now + REPEAT, deadline };
                }
            }
            Plan::Reboot { ask, deadline } => {
                if now >= deadline {
                    log::info!("{}: reset, its guest did not reboot", self.record.spec.instance);
                    self.send(&Command::Reset);
                    self.plan = Plan::Run;
                } else if now >= ask {
                    self.send(&Command::CtrlAltDelete);
                    self.plan = Plan::Reboot { ask: now + REPEAT, deadline };
                }
            }
            Plan::Quit { deadline } => {
                if now >= deadline {
                    self.kill();
                }
            }
        }
    }

    /// Ends the process whatever it does.
    pub fn kill(&mut self) {
        self.plan = Plan::Killed;
        let signal = rustix::process::Signal::KILL;
        if let Err(error) = rustix::process::pidfd_send_signal(&self.process, signal) {
            log::warn!("{}: QEMU cannot be killed: {error}", self.record.spec.instance);
        }
    }

    /// When [`Vm::act`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        let plan = match self.plan {
            Plan::Run | Plan::Killed => None,
            Plan::Stop { ask, deadline } | Plan::Reboot { ask, deadline } => {
                Some(ask.min(deadline))
            }
            Plan::Quit { deadline } => Some(deadline),
        };
        let plug = (self.plan == Plan::Run && self.control.is_some()).then(|| self.plug.due());
        plan.into_iter().chain(self.reconnect).chain(plug.flatten()).min()
    }

    /// Reads what QEMU says.
    pub fn receive(&mut self, now: Instant) -> Heard {
        let mut heard = Heard::default();
        let Some(control) = &mut self.control else {
            return heard;
        };
        let mut messages = Vec::new();
        if let Err(error) = control.receive(&mut messages) {
            // Usually the process ends next; its last words say why.
            log::debug!("{}: {error:#}", self.record.spec.instance);
            self.control = None;
            self.reconnect = Some(now + RECONNECT);
        }
        for message in messages {
            self.heed(message, now, &mut heard);
        }
        self.act_on_devices(now);
        heard
    }

    fn heed(&mut self, message: Message, now: Instant, heard: &mut Heard) {
        match message {
            Message::Greeting => {
                if let Some(control) = &mut self.control {
                    control.send(&Command::Capabilities);
                    // What happened while nobody was connected shows in the status.
                    control.status = Some(control.send(&Command::QueryStatus));
                }
                match self.plan {
                    Plan::Quit { .. } => self.send(&Command::Quit),
                    Plan::Run | Plan::Stop { .. } | Plan::Reboot { .. } | Plan::Killed => {}
                }
                self.ask_devices();
            }
            Message::Return { id, value } => {
                if let Some(about) = self.answered(id) {
                    heard.devices |= self.heed_about_devices(about, Some(&value), now);
                    return;
                }
                let asked = self.control.as_mut().and_then(|control| control.status);
                if asked == Some(id) {
                    let status = value.get("status").and_then(Value::as_str);
                    if status == Some("shutdown") {
                        self.guest_is_off(now);
                    }
                }
            }
            Message::Error { id, description } => {
                let about = id.and_then(|id| self.answered(id));
                if about != Some(Asked::Nothing) {
                    log::warn!("{}: QEMU refused: {description}", self.record.spec.instance);
                }
                if let Some(about) = about {
                    heard.devices |= self.heed_about_devices(about, None, now);
                }
            }
            Message::Event(event) => heard.reset |= self.heed_event(&event, now),
        }
    }

    fn answered(&mut self, number: u64) -> Option<Asked> {
        self.control.as_mut()?.devices.remove(&number)
    }

    /// Takes an answer about devices, none if QEMU refused; whether it has others than before.
    fn heed_about_devices(&mut self, about: Asked, value: Option<&Value>, now: Instant) -> bool {
        match (about, value) {
            (Asked::Nothing, _) | (Asked::Devices, None) => false,
            (Asked::Added(port), value) => {
                let record = &mut self.record;
                let next = self.plug.heed_added(port, value.is_none(), record, now);
                self.ask(next);
                false
            }
            (Asked::Devices, Some(value)) => {
                let names = value.as_array().into_iter().flatten();
                let names = names.filter_map(|device| device.get("name")?.as_str());
                let news = self.plug.heed_devices(&names.collect::<Vec<_>>(), &mut self.record);
                if news {
                    self.save();
                }
                news
            }
        }
    }

    /// Takes an event; whether the VM was reset.
    pub fn heed_event(&mut self, event: &Event, now: Instant) -> bool {
        match event {
            Event::Shutdown { by: EndedBy::Guest } => {
                self.guest_is_off(now);
                false
            }
            Event::Shutdown { by: EndedBy::Signal } => {
                // QEMU goes by itself.
                self.set_ending(OffReason::HostRebooted);
                false
            }
            Event::Reset { .. } => {
                if matches!(self.plan, Plan::Reboot { .. }) {
                    self.plan = Plan::Run;
                }
                true
            }
            Event::DeviceDeleted(name) => {
                let next = self.plug.heed_deleted(name, &mut self.record);
                self.ask(next);
                false
            }
            Event::Shutdown { by: EndedBy::Other } | Event::Other(_) => false,
        }
    }

    /// The guest powered off; QEMU stays (`-no-shutdown`) until it is told to quit, so that this
    /// is seen even if nobody was connected at the time.
    fn guest_is_off(&mut self, now: Instant) {
        self.set_ending(OffReason::Guest);
        if !matches!(self.plan, Plan::Quit { .. } | Plan::Killed) {
            self.quit(now);
        }
    }
}
