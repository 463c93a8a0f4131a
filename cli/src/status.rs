//! `fogbank env`, `fogbank status` and `fogbank reset`.

use crate::{
    admin, client, paths::Paths, process::Process, roles::Role, settings::Settings, store, tunnel,
    uplink::Uplink,
};
use anyhow::Context as _;
use server::AdminRequest;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    net::Ipv4Addr,
    process::ExitCode,
};
use vpc_card::uplink::sockets::Pool;

/// Prints what points AWS tools at the cloud.
pub fn env(paths: &Paths, tls: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        Settings::load(paths)?.is_some(),
        "no cloud here yet: start one with 'fogbank up'"
    );
    let (key, secret) = client::credentials(paths)?;
    print_env(paths, tls, &key, &secret)
}

/// Prints what points AWS tools at the cloud with this key.
pub fn print_env(paths: &Paths, tls: bool, key: &str, secret: &str) -> anyhow::Result<()> {
    let settings =
        Settings::load(paths)?.context("no cloud here yet: start one with 'fogbank up'")?;
    let scheme = if tls { "https" } else { "http" };
    out!("export AWS_ENDPOINT_URL={scheme}://{}", settings.listen);
    out!("export AWS_CA_BUNDLE={}", quoted(&paths.authority().display().to_string()));
    out!("export AWS_ACCESS_KEY_ID={key}");
    out!("export AWS_SECRET_ACCESS_KEY={secret}");
    out!("export AWS_DEFAULT_REGION=us-east-1");
    out!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(())
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Shows how the cloud is; fails if it isn't up.
pub fn status(paths: &Paths) -> anyhow::Result<ExitCode> {
    out!("Data      {}", paths.data.display());
    let Some(settings) = Settings::load(paths)? else {
        out!("State     never started: 'fogbank up'");
        return Ok(ExitCode::FAILURE);
    };
    out!("Endpoint  http://{}", settings.listen);
    if settings.trust_any_key {
        out!("          WARNING: any key is trusted");
    }
    show_uplink(&settings);
    out!("IPv6 blocks from {}", settings.ipv6_pool(paths));
    let mut well = true;
    let mut line = |name: &str, file: String| {
        let process = Process::noted(&paths.run_file(&file));
        well &= process.is_some();
        let state = process.map_or("not running".to_owned(), |at| format!("process {}", at.pid));
        out!("{name:<11}{state}");
    };
    line("supervisor", "supervisor.pid".to_owned());
    for role in Role::all(&settings) {
        line(role.name(), format!("{}.pid", role.name()));
    }
    match admin::ask(paths, &AdminRequest::Status) {
        Ok(status) => {
            for host in status.hosts {
                out!(
                    "Host      {} ({}, {}): {} vCPUs and {} of {} MiB in use, {} processors",
                    host.name,
                    host.hypervisor,
                    if host.connected { "connected" } else { "not connected" },
                    host.used_vcpus,
                    host.used_memory_mib,
                    host.memory_mib,
                    host.vcpus
                );
            }
            for (state, count) in status.instances {
                out!("Instances {count} {state}");
            }
            for image in status.images {
                out!("Image     {image}");
            }
            let server::TrailStatus { written, dropped, refused } = status.audit;
            out!("Audit     {written} events, {dropped} lost; {refused} requests of nobody's");
        }
        Err(error) => {
            out!("{error:#}");
            well = false;
        }
    }
    if settings.uplink_taken == Uplink::Sockets && settings.hypervisor != "simulated" {
        show_ports(paths);
    }
    match store::status(paths) {
        Ok(store) => {
            well &= store::is_well(&store);
            out!("Objects   {}", store::summary(&store));
            for line in store::complaints(&store) {
                out!("          {line}");
            }
        }
        Err(error) => {
            out!("Objects   {error:#}");
            well = false;
        }
    }
    out!("Logs      {}", paths.logs().display());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows how instances reach the world.
fn show_uplink(settings: &Settings) {
    let pool = settings.public_pool;
    if settings.hypervisor == "simulated" || settings.uplink_taken == Uplink::Tun {
        out!("Public IP addresses from {pool}");
    } else if let Some(inside) = Pool::new(pool).map(|pool| pool.inside()) {
        out!("Public IP addresses from {pool} (which instances know as {inside})");
    }
    match settings.uplink_taken {
        _ if settings.hypervisor == "simulated" => {}
        Uplink::Tun => out!("Uplink    a TUN device"),
        Uplink::Sockets => out!("Uplink    sockets, without root"),
    }
}

/// Shows where the ports of public addresses are.
fn show_ports(paths: &Paths) {
    let report = match tunnel::card_status(paths) {
        Ok(report) => report,
        Err(error) => {
            out!("Ports     {error:#}");
            return;
        }
    };
    for (address, ports) in report {
        if address.parse::<Ipv4Addr>().is_ok() {
            out!("Ports     {address}: {}", port_words(&address, &ports).join(", "));
        }
    }
}

/// The ports of an address, neighbours together.
fn port_words(address: &str, ports: &BTreeMap<String, u64>) -> Vec<String> {
    let mut sorted = ports
        .iter()
        .filter_map(|(name, at)| {
            let (protocol, port) = name.split_once('/')?;
            Some((protocol, port.parse::<u64>().ok()?, *at))
        })
        .collect::<Vec<_>>();
    sorted.sort_unstable();
    let alike = |one: &(&str, u64, u64), next: &(&str, u64, u64)| {
        one.0 == next.0 && one.1 == one.2 && next.1 == next.2 && one.1 + 1 == next.1
    };
    let mut words = Vec::new();
    for group in sorted.chunk_by(alike) {
        match group {
            [(protocol, port, 0)] => words.push(format!("{protocol} {port} can't be had")),
            [(protocol, port, at)] if port == at => words.push(format!("{protocol} {port}")),
            [(protocol, port, at)] => words.push(format!("{protocol} {port} at {address}:{at}")),
            [(protocol, first, _), .., (_, last, _)] => {
                words.push(format!("{protocol} {first}-{last}"));
            }
            [] => {}
        }
    }
    if let Some(count) = ports.get("left_out") {
        words.push(format!("and {count} more that are open, but too many to be offered"));
    }
    words
}

/// Wipes everything but the images.
pub fn reset(paths: &Paths, yes: bool) -> anyhow::Result<()> {
    if !yes {
        print!(
            "This deletes all instances, volumes, networks, buckets and objects of the cloud in {}. \
             Type 'reset': ",
            paths.data.display()
        );
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        anyhow::ensure!(answer.trim() == "reset", "nothing was deleted");
    }
    admin::ask(paths, &AdminRequest::Reset)?;
    out!("The cloud is empty.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ports_are_told_together() {
        let ports = [
            ("tcp/22", 10_022),
            ("tcp/80", 0),
            ("tcp/8080", 8080),
            ("tcp/8081", 8081),
            ("tcp/8083", 8083),
            ("tcp/10000", 10_000),
            ("udp/8084", 8084),
            ("left_out", 7),
        ];
        let ports = ports.map(|(name, at)| (name.to_owned(), at)).into();
        let words = [
            "tcp 22 at 127.64.0.9:10022",
            "tcp 80 can't be had",
            "tcp 8080-8081",
            "tcp 8083",
            "tcp 10000",
            "udp 8084",
            "and 7 more that are open, but too many to be offered",
        ];
        assert_eq!(port_words("127.64.0.9", &ports), words);
    }
}
