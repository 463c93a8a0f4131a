//! The control socket: one agent at a time sends requests, a JSON value on each line.

use crate::{card::Card, lock};
use anyhow::{Context as _, Result, bail};
use contracts::{
    card::{EbsRequest, Reply},
    link::MAX_LINE,
};
use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::Shutdown,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

/// Binds the socket, in place of a dead card's.
///
/// # Errors
/// The system's.
pub fn bind(path: &Path) -> Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("binding {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers agents on a thread of its own; the receiver learns of the first whole configuration.
///
/// # Errors
/// No thread can be made.
pub fn spawn(listener: UnixListener, card: Arc<Card>) -> Result<Receiver<()>> {
    let (configured, receiver) = channel();
    let configured = Arc::new(Mutex::new(Some(configured)));
    thread::Builder::new().name("control".into()).spawn(move || {
        let mut current: Option<Arc<UnixStream>> = None;
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => Arc::new(stream),
                Err(error) => {
                    log::error!("the control socket: {error}");
                    thread::sleep(std::time::Duration::from_millis(100));
                    continue;
                }
            };
            if let Some(old) = current.replace(stream.clone()) {
                let _ = old.shutdown(Shutdown::Both);
            }
            let (card, configured) = (card.clone(), configured.clone());
            let spawned = thread::Builder::new().name("agent".into()).spawn(move || {
                if let Err(error) = serve(&stream, &card, &configured) {
                    log::warn!("the control connection: {error:#}");
                }
                let _ = stream.shutdown(Shutdown::Both);
            });
            if let Err(error) = spawned {
                log::error!("no thread for the control connection: {error}");
            }
        }
    })?;
    Ok(receiver)
}

fn serve(stream: &UnixStream, card: &Card, first: &Mutex<Option<Sender<()>>>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.pop() != Some(b'\n') {
            bail!("a line is too long or cut off");
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(EbsRequest::Status) => card.status(),
            Ok(EbsRequest::Apply(patch)) => {
                if !patch.reset && lock(first).is_some() {
                    Reply::Refused("the first request brings the whole configuration".into())
                } else {
                    let reply = card.apply(&patch);
                    if let Some(configured) = lock(first).take() {
                        // Nobody listens any more if the card is ending.
                        let _ = configured.send(());
                    }
                    reply
                }
            }
            Err(error) => Reply::Refused(format!("not a request: {error}")),
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        (&*stream).write_all(&line)?;
    }
}
