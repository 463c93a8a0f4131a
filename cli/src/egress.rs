//! The host's part of egress: packets of instances with public addresses that leave this machine
//! take the host's own address, as behind any home router.

use crate::{paths::Paths, roles, settings::Settings, uplink::Uplink};
use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

fn table(paths: &Paths) -> String {
    format!("fogbank_{}", paths.tag())
}

/// Sets forwarding up; a host that can't is told of in the log, and reaches its instances all the
/// same.
pub fn open(paths: &Paths, settings: &Settings) {
    if settings.hypervisor == "simulated" || settings.uplink_taken == Uplink::Sockets {
        return;
    }
    let (table, tun, pool) = (table(paths), roles::tun_name(paths), settings.public_pool);
    // The uplink is not there yet when this runs, so it is named and not looked up.
    let rules = format!(
        "table ip {table} {{\n chain post {{\n  type nat hook postrouting priority srcnat;\n  ip saddr \
         {pool} oifname != {{ \"{tun}\", \"lo\" }} masquerade\n }}\n}}\n"
    );
    if let Err(error) = nft(&format!("table ip {table} {{}}\ndelete table ip {table}\n{rules}")) {
        log::warn!("instances do not reach beyond this host: {error}");
        return;
    }
    if let Err(error) = open_ipv6(paths, settings) {
        log::info!("instances do not reach beyond this host by IPv6: {error}");
    }
    let forwarding = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(forwarding).is_ok_and(|on| on.trim() == "1") {
        return;
    }
    match fs::write(forwarding, "1") {
        Ok(()) => log::info!("switched IPv4 forwarding on, for the instances' traffic"),
        Err(error) => log::warn!("instances do not reach beyond this host: {forwarding}: {error}"),
    }
}

/// The same for IPv6, where this machine has a way out by it.
fn open_ipv6(paths: &Paths, settings: &Settings) -> Result<(), String> {
    const SETTINGS: &str = "/proc/sys/net/ipv6/conf";
    // Destination and its prefix, source and its prefix, next hop, ...; the last is the device.
    let routes = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let leads_out = |line: &&str| {
        let words = line.split_whitespace().collect::<Vec<_>>();
        words.get(1) == Some(&"00") && words.last().is_some_and(|device| *device != "lo")
    };
    if !routes.lines().any(|line| leads_out(&line)) {
        return Err("this machine has no way out by it".to_owned());
    }
    let (table, tun, pool) = (table(paths), roles::tun_name(paths), settings.ipv6_pool(paths));
    let rules = format!(
        "table ip6 {table} {{\n chain post {{\n  type nat hook postrouting priority srcnat;\n  ip6 \
         saddr {pool} oifname != {{ \"{tun}\", \"lo\" }} masquerade\n }}\n}}\n"
    );
    nft(&format!("table ip6 {table} {{}}\ndelete table ip6 {table}\n{rules}"))?;
    let forwarding = format!("{SETTINGS}/all/forwarding");
    if fs::read_to_string(&forwarding).is_ok_and(|on| on.trim() == "1") {
        return Ok(());
    }
    // A machine that forwards stops heeding its own router, unless it is told to.
    for device in fs::read_dir(SETTINGS).map_err(|error| error.to_string())?.flatten() {
        let heeds = device.path().join("accept_ra");
        if fs::read_to_string(&heeds).is_ok_and(|value| value.trim() == "1") {
            fs::write(&heeds, "2").map_err(|error| format!("{}: {error}", heeds.display()))?;
        }
    }
    fs::write(&forwarding, "1").map_err(|error| format!("{forwarding}: {error}"))?;
    log::info!("switched IPv6 forwarding on, for the instances' traffic");
    Ok(())
}

/// Takes the rules back.
pub fn close(paths: &Paths) {
    let by_sockets = |settings: Settings| settings.uplink_taken == Uplink::Sockets;
    if Settings::load(paths).ok().flatten().is_some_and(by_sockets) {
        return;
    }
    let _ = nft(&format!("delete table ip {}\n", table(paths)));
    let _ = nft(&format!("delete table ip6 {}\n", table(paths)));
    let _ = Command::new("ip").args(["link", "delete", &roles::tun_name(paths)]).output();
}

fn nft(script: &str) -> Result<(), String> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("nft (package nftables): {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).map_err(|error| error.to_string())?;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let why = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(why.lines().next().unwrap_or("nft failed").to_owned())
    }
}
