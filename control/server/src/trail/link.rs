//! Takes in the events of the object store, which answers calls by itself.
//!
//! Each line is an event; for each that was taken in, a byte goes back. What a store has heard
//! nothing of, it sends again to the next server.

use super::Trail;
use anyhow::Context as _;
use contracts::audit::{Event, MAX_EVENT_BYTES};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

impl Trail {
    /// Serves the object store's connections, for ever.
    ///
    /// # Errors
    /// The socket can't be made.
    pub async fn serve(&self, path: &Path) -> anyhow::Result<()> {
        let listener =
            relay::listen(path).with_context(|| format!("listen on {}", path.display()))?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let trail = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = trail.listen(stream).await {
                            log::warn!("the object store's events ended: {error:#}");
                        }
                    });
                }
                Err(error) => {
                    log::warn!("the object store's events: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn listen(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = u64::try_from(MAX_EVENT_BYTES)? + 1;
            let length = (&mut read).take(limit).read_until(b'\n', &mut line).await?;
            if length == 0 {
                return Ok(());
            }
            anyhow::ensure!(line.ends_with(b"\n"), "an event is too long, or broken off");
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => self.take(event, length).await,
                Err(error) => log::warn!("no event: {error}"),
            }
            write.write_all(b".").await?;
        }
    }
}
