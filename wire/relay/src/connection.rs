//! A client's connection: over TCP, or over a Unix socket from the VPC card.

use protocol::route::{MAX_HEAD, Sorted, sort};
use rustix::net::{RecvFlags, recv};
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A client's connection.
#[derive(Debug)]
pub enum Connection {
    /// From somewhere on the network.
    Tcp(TcpStream),
    /// From a guest, by the VPC card.
    Unix(UnixStream),
}

impl Connection {
    /// Looks at the first request's head, and leaves it where it is. A head that doesn't come
    /// within the time is nobody's.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn sorted(&self, at_most: Duration) -> io::Result<Sorted> {
        let sorting = async {
            // Most heads are short.
            let mut buffer = vec![0; 2048];
            let mut seen = 0;
            loop {
                let now = self.peek(&mut buffer, seen).await?;
                let sorted = sort(buffer.get(..now).unwrap_or_default());
                if sorted != Sorted::More || now == seen || now >= MAX_HEAD {
                    return Ok(sorted);
                }
                seen = now;
                if seen == buffer.len() {
                    buffer.resize(MAX_HEAD, 0);
                }
            }
        };
        tokio::time::timeout(at_most, sorting).await.unwrap_or(Ok(Sorted::Other))
    }

    /// Waits until more is there than was seen; gives how much. As much as was seen if the client
    /// says no more.
    async fn peek(&self, buffer: &mut [u8], seen: usize) -> io::Result<usize> {
        loop {
            let ready = match self {
                Self::Tcp(stream) => stream.ready(Interest::READABLE).await?,
                Self::Unix(stream) => stream.ready(Interest::READABLE).await?,
            };
            let mut peek = |socket: BorrowedFd<'_>| {
                let (now, _) = recv(socket, &mut *buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
                // Waits for the next segment, not for what is there already.
                if now == seen && seen > 0 {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(now)
                }
            };
            let peeked = match self {
                Self::Tcp(stream) => stream.try_io(Interest::READABLE, || peek(stream.as_fd())),
                Self::Unix(stream) => stream.try_io(Interest::READABLE, || peek(stream.as_fd())),
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The client's end stays to be read for ever: waiting for more would not wait.
                    if ready.is_read_closed() {
                        return Ok(seen);
                    }
                }
                peeked => return peeked,
            }
        }
    }

    /// Takes a connection that another process passed; a TCP one answers without delay.
    ///
    /// # Errors
    /// It is no connection, or none that can be waited for.
    pub fn from_fd(descriptor: OwnedFd) -> io::Result<Self> {
        let family = rustix::net::getsockname(&descriptor)?.address_family();
        if family == rustix::net::AddressFamily::UNIX {
            let stream = std::os::unix::net::UnixStream::from(descriptor);
            stream.set_nonblocking(true)?;
            return UnixStream::from_std(stream).map(Self::Unix);
        }
        let stream = std::net::TcpStream::from(descriptor);
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LONG: Duration = Duration::from_secs(60);

    async fn pair() -> (TcpStream, Connection) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, Connection::Tcp(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn a_head_that_comes_slowly_is_sorted_and_left_there() {
        let (mut client, mut connection) = pair().await;
        let head = format!("GET /bucket/key HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(5000));
        let sent = head.clone();
        let writing = tokio::spawn(async move {
            for piece in sent.as_bytes().chunks(700) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client
        });
        assert_eq!(connection.sorted(LONG).await.unwrap(), Sorted::S3);
        drop(writing.await.unwrap());
        let mut read = String::new();
        connection.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, head);
    }

    #[tokio::test]
    async fn who_goes_in_the_midst_of_a_head_is_not_waited_for() {
        let (mut client, connection) = pair().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
        drop(client);
        assert_eq!(connection.sorted(LONG).await.unwrap(), Sorted::More);
    }

    #[tokio::test]
    async fn who_says_nothing_is_nobodys() {
        let (client, connection) = pair().await;
        drop(client);
        assert_eq!(connection.sorted(LONG).await.unwrap(), Sorted::More);
        let (mut client, connection) = pair().await;
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(connection.sorted(Duration::from_millis(20)).await.unwrap(), Sorted::Other);
    }
}
