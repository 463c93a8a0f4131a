//! The owner's socket: counters, and tunnels into the VPCs.

use crate::{control::DatapathLink, datapath::Command};
use anyhow::Context as _;
use contracts::card::{OwnerReply, OwnerRequest, Reply};
use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Longest request.
const MAX_REQUEST: u64 = 4096;
/// How long an owner may take to say what he wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Owners who may be heard at once.
const MAX_ASKING: usize = 32;

/// Serves the owner's socket.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(path: &Path, datapath: DatapathLink) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let asking = Arc::new(AtomicUsize::new(0));
    std::thread::Builder::new().name("owner".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if asking.fetch_add(1, Ordering::Relaxed) >= MAX_ASKING {
                asking.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (datapath, asking) = (datapath.clone(), Arc::clone(&asking));
            let serve = move || {
                if let Err(error) = serve(stream, &datapath) {
                    log::debug!("the owner's connection: {error:#}");
                }
                asking.fetch_sub(1, Ordering::Relaxed);
            };
            if let Err(error) = std::thread::Builder::new().spawn(serve) {
                log::error!("the owner's connection: {error}");
            }
        }
    })?;
    Ok(())
}

fn serve(stream: UnixStream, datapath: &DatapathLink) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    // What follows the line is the tunnel's, so no more than that may be read.
    let mut reader = BufReader::with_capacity(1, &stream).take(MAX_REQUEST);
    reader.read_until(b'\n', &mut line)?;
    let reply = match serde_json::from_slice(&line) {
        Ok(OwnerRequest::Status) => match datapath.ask(Command::Status)? {
            Reply::Status(report) => OwnerReply::Status(report),
            Reply::Applied { .. } | Reply::Refused(_) => {
                OwnerReply::Refused("the data path gave no counters".to_owned())
            }
        },
        Ok(OwnerRequest::OpenTunnel { interface, port }) => {
            stream.set_nonblocking(true)?;
            return datapath.tell(Command::OpenTunnel(interface, port, stream));
        }
        Err(error) => OwnerReply::Refused(error.to_string()),
    };
    (&stream).write_all(&line_of(&reply))?;
    Ok(())
}

/// A reply as a line.
#[must_use]
pub fn line_of(reply: &OwnerReply) -> Vec<u8> {
    // Strings and numbers can always be written.
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line
}
