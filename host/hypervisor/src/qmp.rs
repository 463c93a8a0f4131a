//! QMP, QEMU's control protocol: commands we use, events we heed, a session without I/O, and a
//! blocking client around it.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The longest line that is accepted; QEMU's own schema, the longest answer, is 300 KB.
pub const MAX_LINE: usize = 8 << 20;

/// What we ask of QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Leaves the greeting phase; must be the first.
    Capabilities,
    /// Version of the program.
    QueryVersion,
    /// Whether the vCPUs run.
    QueryStatus,
    /// The schema of all commands.
    QuerySchema,
    /// The properties of a kind of device.
    DeviceProperties(&'static str),
    /// Presses the power button.
    Powerdown,
    /// Presses the reset button.
    Reset,
    /// Presses Ctrl, Alt and Delete.
    CtrlAltDelete,
    /// Ends QEMU at once.
    Quit,
    /// The names of the devices that have one.
    Devices,
    /// Makes a connection to a Unix socket that is made again whenever it is lost.
    AddSocket {
        /// Its name.
        id: String,
        /// The socket's path.
        path: PathBuf,
        /// Whether the time between attempts is said in milliseconds.
        reconnect_ms: bool,
    },
    /// Closes such a connection.
    RemoveSocket(String),
    /// Makes a vhost-user network of a connection.
    AddNetdev {
        /// Its name.
        id: String,
        /// The connection's name.
        socket: String,
    },
    /// Removes a network.
    RemoveNetdev(String),
    /// Plugs a device in.
    AddDevice(Value),
    /// Asks the guest to let go of a device.
    RemoveDevice(String),
}

impl Command {
    fn to_json(&self, id: u64) -> Value {
        let (name, arguments) = match self {
            Self::Capabilities => ("qmp_capabilities", None),
            Self::QueryVersion => ("query-version", None),
            Self::QueryStatus => ("query-status", None),
            Self::QuerySchema => ("query-qmp-schema", None),
            Self::DeviceProperties(kind) => {
                ("device-list-properties", Some(json!({ "typename": kind })))
            }
            Self::Powerdown => ("system_powerdown", None),
            Self::Reset => ("system_reset", None),
            Self::CtrlAltDelete => {
                let key = |code: &str| json!({ "type": "qcode", "data": code });
                ("send-key", Some(json!({ "keys": [key("ctrl"), key("alt"), key("delete")] })))
            }
            Self::Quit => ("quit", None),
            Self::Devices => ("qom-list", Some(json!({ "path": "/machine/peripheral" }))),
            Self::AddSocket { id, path, reconnect_ms } => {
                let mut backend = json!({
                    "addr": { "type": "unix", "data": { "path": path } }, "server": false,
                });
                let (name, value) =
                    if *reconnect_ms { ("reconnect-ms", 500) } else { ("reconnect", 1) };
                if let Some(members) = backend.as_object_mut() {
                    members.insert(name.to_owned(), json!(value));
                }
                let backend = json!({ "type": "socket", "data": backend });
                ("chardev-add", Some(json!({ "id": id, "backend": backend })))
            }
            Self::RemoveSocket(id) => ("chardev-remove", Some(json!({ "id": id }))),
            Self::AddNetdev { id, socket } => {
                let netdev = json!({ "type": "vhost-user", "id": id, "chardev": socket });
                ("netdev_add", Some(netdev))
            }
            Self::RemoveNetdev(id) => ("netdev_del", Some(json!({ "id": id }))),
            Self::AddDevice(device) => ("device_add", Some(device.clone())),
            Self::RemoveDevice(id) => ("device_del", Some(json!({ "id": id }))),
        };
        let mut value = json!({ "execute": name, "id": id });
        if let (Some(arguments), Some(object)) = (arguments, value.as_object_mut()) {
            object.insert("arguments".to_owned(), arguments);
        }
        value
    }
}

/// Who ended a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The guest.
    Guest,
    /// A signal to QEMU: the host is shutting down.
    Signal,
    /// Something else, such as a command.
    Other,
}

/// What QEMU says unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The VM ends: by its guest, or from outside.
    Shutdown {
        /// Who did it.
        by: EndedBy,
    },
    /// The VM was reset.
    Reset {
        /// Whether the guest did it.
        guest: bool,
    },
    /// The guest has let go of a device that has a name.
    DeviceDeleted(String),
    /// Another event, by its name.
    Other(String),
}

/// A line from QEMU.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first of a connection.
    Greeting,
    /// A command succeeded.
    Return {
        /// The command's number.
        id: u64,
        /// What it answered.
        value: Value,
    },
    /// A command failed.
    Error {
        /// The command's number, if QEMU could tell.
        id: Option<u64>,
        /// Why, for people.
        description: String,
    },
    /// An event.
    Event(Event),
}

/// One connection's state, without its I/O.
#[derive(Debug, Default)]
pub struct Session {
    input: Vec<u8>,
    searched: usize,
    last_id: u64,
}

impl Session {
    /// A command's number and bytes.
    pub fn command(&mut self, command: &Command) -> (u64, Vec<u8>) {
        self.last_id += 1;
        let mut bytes = command.to_json(self.last_id).to_string().into_bytes();
        bytes.push(b'\n');
        (self.last_id, bytes)
    }

    /// Takes bytes from QEMU.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// What came is not QMP.
    pub fn message(&mut self) -> Result<Option<Message>> {
        loop {
            let rest = self.input.get(self.searched..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.input.len();
                if self.searched > MAX_LINE {
                    bail!("a line of more than {MAX_LINE} bytes");
                }
                return Ok(None);
            };
            let line: Vec<u8> = self.input.drain(..=self.searched + end).collect();
            self.searched = 0;
            let line = line.trim_ascii();
            if !line.is_empty() {
                return parse(line).map(Some);
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Message> {
    let mut value: Value = serde_json::from_slice(line).context("not JSON")?;
    let id = value.get("id").and_then(Value::as_u64);
    if let Some(event) = value.get("event").and_then(Value::as_str) {
        let guest = value.pointer("/data/guest").and_then(Value::as_bool).unwrap_or(false);
        return Ok(Message::Event(match event {
            "SHUTDOWN" => {
                let reason = value.pointer("/data/reason").and_then(Value::as_str);
                let by = match reason {
                    _ if guest => EndedBy::Guest,
                    Some("host-signal") => EndedBy::Signal,
                    _ => EndedBy::Other,
                };
                Event::Shutdown { by }
            }
            "RESET" => Event::Reset { guest },
            "DEVICE_DELETED" => match value.pointer("/data/device").and_then(Value::as_str) {
                Some(device) => Event::DeviceDeleted(device.to_owned()),
                None => Event::Other("DEVICE_DELETED".to_owned()),
            },
            other => Event::Other(other.to_owned()),
        }));
    }
    if let Some(error) = value.get("error") {
        let description = error.get("desc").and_then(Value::as_str).unwrap_or("no description");
        return Ok(Message::Error { id, description: description.to_owned() });
    }
    if value.get("QMP").is_some() {
        return Ok(Message::Greeting);
    }
    match (id, value.get_mut("return")) {
        (Some(id), Some(returned)) => Ok(Message::Return { id, value: returned.take() }),
        _ => bail!("neither an answer nor an event"),
    }
}

/// A blocking connection, past its greeting.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    session: Session,
    events: Vec<Event>,
}

impl Client {
    /// Connects to a socket and waits for QEMU's greeting.
    ///
    /// # Errors
    /// QEMU is not there, or says nothing in time.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to QEMU at {}", path.display()))?;
        Self::new(stream, limit)
    }

    /// Takes a fresh connection and waits for QEMU's greeting.
    ///
    /// # Errors
    /// QEMU says nothing in time.
    pub fn new(stream: UnixStream, limit: Duration) -> Result<Self> {
        let deadline = Instant::now() + limit;
        let mut client = Self { stream, session: Session::default(), events: Vec::new() };
        while client.receive(deadline)? != Message::Greeting {}
        client
            .execute(&Command::Capabilities, deadline.saturating_duration_since(Instant::now()))?;
        Ok(client)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// QEMU refused, is gone, or said nothing in time.
    pub fn execute(&mut self, command: &Command, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        let (number, bytes) = self.session.command(command);
        self.stream.set_write_timeout(Some(limit.max(Duration::from_millis(1))))?;
        self.stream.write_all(&bytes).context("QEMU's control socket")?;
        loop {
            match self.receive(deadline)? {
                Message::Return { id, value } if id == number => return Ok(value),
                Message::Error { id, description } if id == Some(number) => {
                    bail!("QEMU refused {command:?}: {description}")
                }
                Message::Event(event) => self.events.push(event),
                Message::Return { .. } | Message::Error { .. } | Message::Greeting => {}
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Message> {
        loop {
            if let Some(message) = self.session.message()? {
                return Ok(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("QEMU did not answer in time");
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 16 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("QEMU closed its control socket"),
                Ok(count) => self.session.feed(buffer.get(..count).unwrap_or_default()),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error).context("QEMU's control socket"),
            }
        }
    }

    /// The connection, its session, and the events that came meanwhile.
    #[must_use]
    pub fn into_parts(self) -> (UnixStream, Session, Vec<Event>) {
        (self.stream, self.session, self.events)
    }
}
