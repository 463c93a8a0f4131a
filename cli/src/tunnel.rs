//! `fogbank open-tunnel`: a TCP connection to an instance that needs no public address, as EC2
//! Instance Connect Endpoint gives one. The VPC card makes it, for the cloud's owner alone.

use crate::{
    client::{Client, element},
    paths::Paths,
};
use anyhow::Context as _;
use contracts::card::{OWNER_SOCKET, OwnerReply, OwnerRequest};
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
};

/// What `open-tunnel` may be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The instance's ID
    instance: String,
    /// The instance's TCP port
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    remote_port: u16,
}

/// Connects standard input and output with an instance's port.
pub fn open(paths: &Paths, options: &Options) -> anyhow::Result<()> {
    let description = describe(&Client::new(paths)?, &options.instance)?;
    let interface = element(&description, "networkInterfaceId").with_context(|| {
        format!("{} has no network interface now: is it running?", options.instance)
    })?;
    let interface = interface.parse().ok().context("the interface's ID can't be read")?;
    let port = options.remote_port;
    let (stream, reply) = ask(paths, &OwnerRequest::OpenTunnel { interface, port })?;
    match reply {
        OwnerReply::Connected => {}
        OwnerReply::Refused(why) => anyhow::bail!("{}: {why}", options.instance),
        OwnerReply::Status(_) => anyhow::bail!("the VPC card gave another answer"),
    }
    let mut inward = stream.try_clone()?;
    thread::spawn(move || {
        // Whoever has no more to say may still listen.
        let _ = io::copy(&mut io::stdin().lock(), &mut inward);
        let _ = inward.shutdown(Shutdown::Write);
    });
    let mut outward = &stream;
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let len = match outward.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("the tunnel"),
        };
        let mut output = io::stdout().lock();
        output.write_all(bytes.get(..len).unwrap_or_default())?;
        output.flush()?;
    }
}

/// The instance's description, as the API has it.
pub fn describe(client: &Client, instance: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        instance.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
        "'{instance}' is no instance ID"
    );
    client.ec2(&format!("Action=DescribeInstances&Version=2016-11-15&InstanceId.1={instance}"))
}

/// Counters of the VPC card, and the ports that its uplink offers.
pub fn card_status(paths: &Paths) -> anyhow::Result<BTreeMap<String, BTreeMap<String, u64>>> {
    match ask(paths, &OwnerRequest::Status)? {
        (_, OwnerReply::Status(report)) => Ok(report),
        (_, OwnerReply::Refused(why)) => anyhow::bail!("{why}"),
        (_, OwnerReply::Connected) => anyhow::bail!("the VPC card gave another answer"),
    }
}

fn ask(paths: &Paths, request: &OwnerRequest) -> anyhow::Result<(UnixStream, OwnerReply)> {
    let path = paths.run_file(OWNER_SOCKET);
    let mut stream = UnixStream::connect(&path)
        .with_context(|| format!("the VPC card can't be reached ({})", path.display()))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    // What follows the line is the tunnel's.
    BufReader::with_capacity(1, &stream).read_until(b'\n', &mut reply)?;
    let reply = serde_json::from_slice(&reply).context("the VPC card's answer can't be read")?;
    Ok((stream, reply))
}
