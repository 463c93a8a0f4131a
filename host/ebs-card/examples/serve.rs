//! Runs a card by hand, for measurements: `serve FOLDER`, with the NBD listener as standard input,
//! or at FOLDER/nbd if that is no socket. Its control socket is FOLDER/control.

use anyhow::{Context as _, Result};
use std::{
    os::{fd::AsFd as _, unix::net::UnixListener},
    path::PathBuf,
};

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}", record.level(), record.args());
    }
    fn flush(&self) {}
}

fn main() -> Result<()> {
    log::set_logger(&Stderr).map_err(|error| anyhow::anyhow!("{error}"))?;
    log::set_max_level(log::LevelFilter::Info);
    let folder = PathBuf::from(std::env::args_os().nth(1).context("which folder?")?);
    let inherited = UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let nbd = if inherited.local_addr().is_ok() {
        inherited
    } else {
        let path = folder.join("nbd");
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path)?
    };
    ebs_card::run(ebs_card::Config {
        control: folder.join("control"),
        nbd,
        volumes: folder.join("volumes"),
    })
}
