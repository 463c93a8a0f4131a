//! The shell of the metadata service: connections from the VPC card, answered by crate `imds`.

use crate::config::Config;
use anyhow::{Context, Result};
use contracts::{instance_identity::InstanceIdentity, metadata::Metadata};
use hypervisor::now;
use imds::{Connection, Response, Service, Throttle};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        fs::OpenOptionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use types::{InstanceId, NetworkInterfaceId};

/// Connections at a time, of all guests together.
const MAX_CONNECTIONS: usize = 512;
/// How long a guest may say nothing.
const IDLE: Duration = Duration::from_secs(30);
/// The longest first line, which the card writes.
const MAX_HEADER: usize = 128;
/// Instances whose rate is remembered.
const MAX_THROTTLES: usize = 10_000;

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Documents(Arc<RwLock<Held>>);

/// The documents by the interface that asks, and what instances prove their identity by: in memory
/// alone, since it holds secrets.
#[derive(Debug, Default)]
struct Held {
    metadata: BTreeMap<NetworkInterfaceId, Arc<Metadata>>,
    identities: BTreeMap<InstanceId, Arc<InstanceIdentity>>,
}

impl Documents {
    /// Replaces the document of an instance's interfaces.
    pub fn put(&self, ports: impl Iterator<Item = NetworkInterfaceId>, metadata: &Metadata) {
        let document = Arc::new(metadata.clone());
        self.write().metadata.extend(ports.map(|port| (port, Arc::clone(&document))));
    }

    /// Forgets interfaces.
    pub fn remove(&self, ports: impl Iterator<Item = NetworkInterfaceId>) {
        let mut held = self.write();
        for port in ports {
            held.metadata.remove(&port);
        }
    }

    /// Replaces what an instance proves its identity by.
    pub fn prove(&self, identity: InstanceIdentity) {
        self.write().identities.insert(identity.instance, Arc::new(identity));
    }

    /// Forgets what instances prove their identity by, but for those that are still there.
    pub fn forget_identities(&self, is_there: impl Fn(InstanceId) -> bool) {
        self.write().identities.retain(|instance, _| is_there(*instance));
    }

    /// The document of an interface.
    #[cfg(test)]
    pub fn get(&self, port: NetworkInterfaceId) -> Option<Arc<Metadata>> {
        self.of(port).map(|(metadata, _)| metadata)
    }

    /// The document of an interface, and what its instance proves its identity by.
    pub fn of(
        &self,
        port: NetworkInterfaceId,
    ) -> Option<(Arc<Metadata>, Option<Arc<InstanceIdentity>>)> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let metadata = held.metadata.get(&port)?;
        Some((Arc::clone(metadata), held.identities.get(&metadata.instance).cloned()))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all connections share.
struct Shell {
    documents: Documents,
    service: Service,
    throttles: Mutex<BTreeMap<NetworkInterfaceId, Throttle>>,
    connections: AtomicUsize,
}

/// Serves metadata on the configured socket, on threads of its own.
///
/// # Errors
/// The socket cannot be made.
pub fn serve(config: &Config, documents: Documents) -> Result<()> {
    let path = &config.imds_socket;
    let context = || format!("cannot listen on {}", path.display());
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(context);
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    let shell = Arc::new(Shell {
        documents,
        service: Service::new(secret(&config.data.join("imds.key"))?),
        throttles: Mutex::default(),
        connections: AtomicUsize::new(0),
    });
    let accept = move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => accept(&shell, stream),
                Err(error) => {
                    log::warn!("metadata service: {error}");
                    // Out of descriptors, most likely: some will be closed.
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    };
    thread::Builder::new().name("imds".to_owned()).spawn(accept).context("no thread")?;
    Ok(())
}

/// The key of the session tokens: kept, so that tokens outlive us.
fn secret(path: &Path) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    if let Ok(mut file) = File::open(path)
        && file.read_exact(&mut key).is_ok()
    {
        return Ok(key);
    }
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(&key))
        .with_context(|| path.display().to_string())?;
    Ok(key)
}

fn accept(shell: &Arc<Shell>, stream: UnixStream) {
    if shell.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
        shell.connections.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let mine = Arc::clone(shell);
    let talk = move || {
        if let Err(error) = mine.talk(stream) {
            log::debug!("metadata connection: {error:#}");
        }
        mine.connections.fetch_sub(1, Ordering::Relaxed);
    };
    if thread::Builder::new().stack_size(256 << 10).spawn(talk).is_err() {
        shell.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shell {
    fn talk(&self, mut stream: UnixStream) -> Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        let mut buffer = [0; 4096];
        let mut start = Vec::new();
        let end = loop {
            if let Some(end) = start.iter().position(|byte| *byte == b'\n') {
                break end;
            }
            let count = stream.read(&mut buffer)?;
            if count == 0 || start.len() > MAX_HEADER {
                return Ok(());
            }
            start.extend_from_slice(buffer.get(..count).unwrap_or_default());
        };
        let rest = start.split_off(end + 1);
        let header = std::str::from_utf8(&start)?;
        let port = header.split_ascii_whitespace().next().context("no interface")?;
        let port: NetworkInterfaceId = port.parse()?;

        let mut connection = Connection::new();
        let mut bytes = rest;
        loop {
            let output = connection.feed(&bytes, now(), |request| self.respond(port, request));
            stream.write_all(&output.bytes)?;
            if output.close {
                return Ok(());
            }
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            bytes = buffer.get(..count).unwrap_or_default().to_vec();
        }
    }

    fn respond(&self, port: NetworkInterfaceId, request: &imds::Request<'_>) -> Response {
        let now = now();
        let Some((metadata, identity)) = self.documents.of(port) else {
            // After a restart, until the server has said what the instance's metadata is.
            return Response::error(500);
        };
        let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        if throttles.len() >= MAX_THROTTLES {
            throttles.clear();
        }
        let throttle = throttles.entry(port).or_insert_with(|| Throttle::new(now));
        if !throttle.admit(now) {
            return Response::throttled();
        }
        drop(throttles);
        let documents = imds::Documents { metadata: &metadata, identity: identity.as_deref() };
        self.service.respond(documents, request, now)
    }
}
