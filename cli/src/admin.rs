//! The owner's socket of a running cloud.

use crate::paths::Paths;
use anyhow::Context as _;
use server::{AdminReply, AdminRequest};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

/// Asks the cloud's server.
pub fn ask(paths: &Paths, request: &AdminRequest) -> anyhow::Result<AdminReply> {
    let path = paths.run_file("admin.sock");
    let mut stream = UnixStream::connect(&path).with_context(|| {
        format!(
            "no cloud is running on the data folder {}: start one with 'fogbank up'",
            paths.data.display()
        )
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    let reply: AdminReply = serde_json::from_str(&reply).context("read the server's answer")?;
    match reply.error {
        Some(error) => anyhow::bail!("{error}"),
        None => Ok(reply),
    }
}
