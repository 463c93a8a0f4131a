//! Hands connections over to another process: their descriptors, each with its source.

use crate::{Connection, Source, source::MAX_LINE};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream as BlockingStream},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::{io::Interest, net::UnixStream, sync::Mutex};

/// How long the other process may take to make room.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// Passes connections to the process behind a socket.
#[derive(Debug)]
pub struct Passer {
    path: PathBuf,
    link: Mutex<Option<UnixStream>>,
}

impl Passer {
    /// A passer to the socket at this path; nobody need be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, link: Mutex::default() }
    }

    /// Passes a connection: the other process has it from then on, and the caller drops it.
    ///
    /// # Errors
    /// Nobody is there, or they make no room: the connection is still the caller's.
    pub async fn pass(&self, connection: &Connection, source: &Source) -> io::Result<()> {
        let mut link = self.link.lock().await;
        if let Some(open) = &*link {
            match tokio::time::timeout(ROOM_TIMEOUT, send(open, connection, source)).await {
                Ok(Ok(())) => return Ok(()),
                // The process that was there has ended: there may be a new one.
                Ok(Err(_)) => *link = None,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let open = UnixStream::connect(&self.path).await?;
        tokio::time::timeout(ROOM_TIMEOUT, send(&open, connection, source)).await??;
        *link = Some(open);
        Ok(())
    }
}

/// Sends a line with a descriptor: the kernel keeps both together, and apart from the next.
async fn send(link: &UnixStream, connection: &Connection, source: &Source) -> io::Result<()> {
    let line = source.to_string();
    link.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [connection.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(link, &[IoSlice::new(line.as_bytes())], &mut control, flags)?;
        Ok(())
    })
    .await
}

/// Takes passed connections on a socket, on threads of its own; `take` may make them wait.
///
/// # Errors
/// The socket can't be made.
pub fn listen_for_passed(
    path: &Path,
    take: impl Fn(OwnedFd, Source) + Clone + Send + 'static,
) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let accept = move || {
        loop {
            let link = match listener.accept() {
                Ok((link, _)) => link,
                Err(error) => {
                    log::warn!("the link of passed connections: {error}");
                    // Out of descriptors, most likely: some will be closed.
                    thread::sleep(Duration::from_millis(50));
                    continue;
                }
            };
            let take = take.clone();
            let receive = move || {
                while let Ok(Some(passed)) = receive(&link) {
                    if let (Some(connection), source) = passed {
                        take(connection, source);
                    }
                }
            };
            if let Err(error) = thread::Builder::new().name("passed".to_owned()).spawn(receive) {
                log::error!("no thread for passed connections: {error}");
            }
        }
    };
    thread::Builder::new().name("accept-passed".to_owned()).spawn(accept)?;
    Ok(())
}

/// The next passed connection; none when the other process has ended.
fn receive(link: &BlockingStream) -> io::Result<Option<(Option<OwnedFd>, Source)>> {
    let mut line = [0; MAX_LINE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut slices = [IoSliceMut::new(&mut line)];
        match recvmsg(link, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    let connection = descriptors.next().and_then(|mut descriptors| descriptors.next());
    let line = String::from_utf8_lossy(line.get(..received.bytes).unwrap_or_default());
    Ok(Some((connection, line.parse().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    #[tokio::test]
    async fn a_connection_goes_over_with_its_bytes_and_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passed.sock");
        let passer = Passer::new(path.clone());
        let (_client, other) = UnixStream::pair().unwrap();
        let other = Connection::Unix(other);
        assert!(passer.pass(&other, &Source::default()).await.is_err(), "nobody is there");

        let (sender, mut receiver) = mpsc::unbounded_channel();
        listen_for_passed(&path, move |descriptor, source| {
            let _ = sender.send((descriptor, source));
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET /b HTTP/1.1\r\n\r\n").await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let ours = Connection::Tcp(stream);
        ours.sorted(Duration::from_secs(60)).await.unwrap();
        passer.pass(&ours, &from.into()).await.unwrap();
        drop(ours);
        let guest = Source {
            interface: Some("eni-1".to_owned()),
            address: SocketAddr::from(([10, 0, 0, 4], 80)),
            vpc: None,
            secure: false,
        };
        passer.pass(&other, &guest).await.unwrap();

        let (passed, source) = receiver.recv().await.unwrap();
        assert_eq!(source, from.into());
        let mut passed = Connection::from_fd(passed).unwrap();
        passed.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        let mut head = [0; 15];
        passed.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"GET /b HTTP/1.1");
        let (passed, source) = receiver.recv().await.unwrap();
        assert_eq!(source, guest);
        assert!(matches!(Connection::from_fd(passed).unwrap(), Connection::Unix(_)));
    }
}
