//! A connection whose client must take what it is sent: one that reads too slowly is cut.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// How long is looked at how fast a client reads.
const WINDOW: Duration = Duration::from_secs(30);
/// The least that a client takes in that time, in bytes, while more waits for it.
const LEAST_BYTES: u64 = 16 << 10;

/// A connection whose client must take what it is sent. While writes wait, at least
/// [`LEAST_BYTES`] must go out in each [`WINDOW`].
#[derive(Debug)]
pub struct Steady<S> {
    connection: S,
    /// The end of the window, while writes wait.
    window: Option<Pin<Box<Sleep>>>,
    /// What has gone out since the window began.
    bytes: u64,
}

impl<S> Steady<S> {
    /// The connection, watched.
    pub fn new(connection: S) -> Self {
        Self { connection, window: None, bytes: 0 }
    }

    /// Counts what went out, or waits within limits.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Ok(done)) => {
                self.bytes += u64::try_from(bytes(&done)).unwrap_or_default();
                if self.bytes >= LEAST_BYTES {
                    (self.window, self.bytes) = (None, 0);
                }
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let window = self.window.get_or_insert_with(|| {
                    Box::pin(tokio::time::sleep_until(Instant::now() + WINDOW))
                });
                ready!(window.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes what it is sent too slowly",
                )))
            }
        }
    }

    /// All has gone out: no window until writes wait again.
    fn rest(&mut self) {
        (self.window, self.bytes) = (None, 0);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Steady<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Steady<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.connection).poll_write(context, bytes);
        this.watch(context, written, |length| *length)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.connection).poll_write_vectored(context, slices);
        this.watch(context, written, |length| *length)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.connection).poll_flush(context);
        let flushed = this.watch(context, flushed, |()| 0);
        if flushed.is_ready() {
            this.rest();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.connection).poll_shutdown(context);
        this.watch(context, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_cut() {
        let (_client, ours) = tokio::io::duplex(64);
        let began = Instant::now();
        let error = Steady::new(ours).write_all(&[0; 65]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), WINDOW.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_byte_now_and_then_is_cut() {
        let (mut client, ours) = tokio::io::duplex(64);
        let reading = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        let mut ours = Steady::new(ours);
        let error = ours.write_all(&[0; 100_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        reading.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_steadily_is_not_cut_however_long_it_takes() {
        let (mut client, ours) = tokio::io::duplex(4096);
        let reading = tokio::spawn(async move {
            let mut chunk = [0; 4096];
            let mut read = 0;
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                match client.read(&mut chunk).await.unwrap() {
                    0 => return read,
                    length => read += length,
                }
            }
        });
        let mut ours = Steady::new(ours);
        ours.write_all(&vec![0; 500_000]).await.unwrap();
        ours.flush().await.unwrap();
        drop(ours);
        assert_eq!(reading.await.unwrap(), 500_000);
    }
}
