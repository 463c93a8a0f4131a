//! Connections that are made again whenever they break: JSON values, one a line, both ways.

use crate::agent::Input;
use anyhow::{Context, Result, bail};
use contracts::link::MAX_LINE;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// How many values may wait for a peer that does not read; then the connection is given up.
const MAX_UNSENT: usize = 100_000;
/// The pauses between attempts: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What happens with a peer.
#[derive(Debug)]
pub enum Peer<Received> {
    /// It is there; this sends to it.
    Up(Outbox),
    /// It said something.
    Said(Box<Received>),
    /// It is gone.
    Down,
}

/// Sends to a peer. Once all clones are dropped the connection is closed.
#[derive(Debug, Clone)]
pub struct Outbox(SyncSender<Vec<u8>>);

impl Outbox {
    /// Sends a value; false if the connection is of no use any more.
    #[must_use]
    pub fn send(&self, value: &impl Serialize) -> bool {
        match serde_json::to_vec(value) {
            Ok(mut line) => {
                line.push(b'\n');
                self.0.try_send(line).is_ok()
            }
            Err(error) => {
                log::error!("cannot be sent: {error}");
                false
            }
        }
    }

    /// An outbox and its other end, without a connection.
    #[cfg(test)]
    pub fn pair() -> (Self, Receiver<Vec<u8>>) {
        let (sender, receiver) = sync_channel(MAX_UNSENT);
        (Self(sender), receiver)
    }
}

/// Keeps a connection to the socket at `path` for ever, and reports what happens with it.
///
/// # Errors
/// There are no more threads.
pub fn connect<Received: DeserializeOwned + Send + 'static>(
    path: &Path,
    inbox: Sender<Input>,
    report: fn(Peer<Received>) -> Input,
) -> Result<()> {
    let path = path.to_owned();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let run = move || while keep(&path, &inbox, report).is_some() {};
    thread::Builder::new().name(name).spawn(run).context("no thread")?;
    Ok(())
}

/// One connection, from its first attempt to its end; none when nobody listens to us any more.
fn keep<Received: DeserializeOwned>(
    path: &PathBuf,
    inbox: &Sender<Input>,
    report: fn(Peer<Received>) -> Input,
) -> Option<()> {
    let mut pause = PAUSES.0;
    let stream = loop {
        match UnixStream::connect(path) {
            Ok(stream) => break stream,
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(PAUSES.1);
    };
    let (sender, receiver) = sync_channel(MAX_UNSENT);
    match stream.try_clone() {
        Ok(writing) => {
            thread::Builder::new().spawn(move || write(writing, &receiver)).ok()?;
        }
        Err(error) => {
            log::error!("{}: {error}", path.display());
            return Some(());
        }
    }
    log::debug!("connected to {}", path.display());
    inbox.send(report(Peer::Up(Outbox(sender)))).ok()?;
    let mut lines = BufReader::new(&stream);
    loop {
        match read(&mut lines) {
            Ok(Some(value)) => inbox.send(report(Peer::Said(Box::new(value)))).ok()?,
            Ok(None) => break,
            Err(error) => {
                log::warn!("{}: {error:#}", path.display());
                break;
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    inbox.send(report(Peer::Down)).ok()?;
    // A peer that hangs up on us at once shall not keep us busy.
    thread::sleep(PAUSES.0);
    Some(())
}

fn write(mut stream: UnixStream, lines: &Receiver<Vec<u8>>) {
    for line in lines {
        if stream.write_all(&line).is_err() {
            break;
        }
    }
    // Wakes the reader, if it is us who give up.
    let _ = stream.shutdown(Shutdown::Both);
}

/// The next value; none at the end.
fn read<Received: DeserializeOwned>(lines: &mut impl BufRead) -> Result<Option<Received>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE)?;
    lines.take(limit).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        if line.len() >= MAX_LINE {
            bail!("a line of more than {MAX_LINE} bytes");
        }
        // The end; an unfinished line is no line.
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).context("not what was expected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::link::ToAgent;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[{}\\[\\]\":,a-zAP0-9\n]{0,200}") {
            for input in [bytes, text.into_bytes()] {
                let mut lines = input.as_slice();
                while let Ok(Some(_)) = read::<ToAgent>(&mut lines) {}
            }
        }
    }

    #[test]
    fn unfinished_lines_are_dropped() {
        let mut lines: &[u8] =
            b"{\"Patch\":{\"revision\":1,\"reset\":true,\"put\":[],\"remove\":[]}}\n{\"Pat";
        assert!(read::<ToAgent>(&mut lines).unwrap().is_some());
        assert!(read::<ToAgent>(&mut lines).unwrap().is_none());
    }
}
