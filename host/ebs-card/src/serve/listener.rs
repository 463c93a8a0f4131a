//! Accepts clients and takes them through the handshake.

use super::{connection::Connection, pool::STACK_BYTES};
use crate::{card::Card, nbd::handshake::Handshake};
use anyhow::{Context as _, Result, bail};
use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Clients at once.
pub const MAX_CONNECTIONS: usize = 2048;
/// The socket's buffer for replies: a few large reads.
const SEND_BUFFER: usize = 1 << 20;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts clients for ever.
///
/// # Errors
/// The listener's.
pub fn accept(listener: &UnixListener, card: &Arc<Card>) -> Result<()> {
    let count = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => continue,
                Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                    log::error!("no file descriptor for a client");
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
                _ => return Err(error).context("accepting NBD clients"),
            },
        };
        // Names of exports show in QEMU's command line: they are no use to other users.
        let uid = match rustix::net::sockopt::socket_peercred(&stream) {
            Ok(peer) => peer.uid.as_raw(),
            Err(error) => {
                log::warn!("a client without a user: {error}");
                continue;
            }
        };
        if !card.admits(uid) {
            log::debug!("uid {uid} may use nothing: a client is refused");
            continue;
        }
        if count.load(Ordering::Acquire) >= MAX_CONNECTIONS {
            log::warn!("too many clients: one is refused");
            continue;
        }
        let one = Counted::new(&count);
        let card = card.clone();
        let thread = thread::Builder::new().name("nbd".into()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            let _one = one;
            if let Err(error) = serve(stream, uid, &card) {
                log::info!("an NBD client is gone: {error:#}");
            }
        });
        if let Err(error) = spawned {
            log::error!("no thread for a client: {error}");
        }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn serve(mut stream: UnixStream, uid: u32, card: &Card) -> Result<()> {
    let deadline = Instant::now() + HANDSHAKE;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    // A smaller buffer, where the system allows no more, only costs time.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
    let (mut handshake, greeting) = Handshake::new();
    stream.write_all(&greeting)?;
    let opened = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("its handshake took too long");
        }
        stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            bail!("it left during the handshake");
        }
        let mut answers = Vec::new();
        let fed = handshake.feed(&bytes[..count], &mut |name| card.info(name, uid), &mut answers);
        stream.write_all(&answers)?;
        if let Some(opened) = fed? {
            break opened;
        }
    };
    stream.set_read_timeout(None)?;
    let stream = Arc::new(stream);
    let Some(attached) = card.attach(&opened.name, uid, &stream) else {
        bail!("its export is gone")
    };
    log::info!("{}: a client is connected", attached.id());
    let connection = Connection {
        stream: stream.clone(),
        export: attached.export(),
        structured: opened.structured,
        allocation: opened.allocation,
        pool: card.pool().clone(),
    };
    let result = connection.serve(handshake.rest());
    let _ = stream.shutdown(Shutdown::Both);
    log::info!("{}: a client has left", attached.id());
    result
}
