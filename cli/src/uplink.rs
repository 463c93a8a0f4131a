//! Which way out the instances have: a TUN device where one can be made, else sockets.

use crate::{paths::Paths, settings::Settings};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{fs, net::Ipv4Addr};
use types::Ipv4Net;
use vpc_card::uplink::{
    sockets::{self, Pool},
    tun::Tun,
};

/// What the owner asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// A TUN device if one can be made.
    #[default]
    Auto,
    /// A TUN device.
    Tun,
    /// Sockets, without any privilege.
    Sockets,
}

/// What it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uplink {
    /// A TUN device.
    #[default]
    Tun,
    /// Sockets.
    Sockets,
}

/// Where sockets' public addresses come from: loopback addresses that no program has by itself.
const LOOPBACK: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 64, 0, 0), 10);
/// A cloud's share of either range.
const POOL_PREFIX: u8 = 22;

/// Decides, and sees to it that the public addresses are of the right kind.
pub fn settle(
    settings: &mut Settings,
    paths: &Paths,
    pool: Option<Ipv4Net>,
    fresh: bool,
) -> anyhow::Result<()> {
    if settings.hypervisor == "simulated" {
        settings.public_pool = pool.unwrap_or(settings.public_pool);
        return Ok(());
    }
    settings.uplink_taken = match settings.uplink {
        Choice::Sockets => Uplink::Sockets,
        Choice::Tun => {
            Tun::probe().context("--uplink tun")?;
            Uplink::Tun
        }
        Choice::Auto if Tun::probe().is_ok() => Uplink::Tun,
        Choice::Auto => Uplink::Sockets,
    };
    let by_sockets = settings.uplink_taken == Uplink::Sockets;
    let fits = |pool: Ipv4Net| {
        if by_sockets { Pool::new(pool).is_some() } else { !pool.network().is_loopback() }
    };
    if let Some(pool) = pool {
        let kind =
            if by_sockets { "loopback addresses, but not of 127.0.0.0/16" } else { "routable" };
        anyhow::ensure!(fits(pool), "--public-pool {pool}: with this uplink they must be {kind}");
        settings.public_pool = pool;
    }
    if !fits(settings.public_pool) {
        let old = settings.public_pool;
        settings.public_pool = free_pool(paths, settings.uplink_taken)?;
        if !fresh {
            eprintln!(
                "WARNING: public IP addresses come from {} now, as the uplink is another; Elastic \
                 ones of {old} lead nowhere: release them.",
                settings.public_pool
            );
        }
    }
    Ok(())
}

/// What a user of the cloud should know about its uplink.
pub fn words(settings: &Settings) -> Vec<String> {
    if settings.hypervisor == "simulated" {
        return Vec::new();
    }
    if settings.uplink_taken == Uplink::Tun {
        return vec![format!(
            "Uplink: a TUN device; this host reaches public IP addresses ({}) at any port.",
            settings.public_pool
        )];
    }
    let why = match Tun::probe() {
        Ok(()) => "as asked for".to_owned(),
        Err(error) => format!("as there is no TUN device for us ({error:#})"),
    };
    let ping = if sockets::can_ping() {
        ""
    } else {
        "\n  Instances can't ping beyond their VPCs: your group is not in net.ipv4.ping_group_range."
    };
    vec![format!(
        "Uplink: sockets, without root, {why}. What differs:
  Public IP addresses ({}) are loopback addresses of this machine, and no other reaches them.
  They have the TCP and UDP ports that security groups open to them; those that are taken, or that
  only root may bind, are 10000 further on: 'fogbank status' lists them.
  Instances share the processors without weights or limits, and their QEMUs run as you.{ping}",
        settings.public_pool
    )]
}

/// A pool that this machine doesn't use yet.
pub fn free_pool(paths: &Paths, uplink: Uplink) -> anyhow::Result<Ipv4Net> {
    let (base, taken) = match uplink {
        // Set aside by RFC 2544, so no real network has it.
        Uplink::Tun => ((Ipv4Addr::new(198, 18, 0, 0), 15), routed()),
        Uplink::Sockets => (LOOPBACK, listening()),
    };
    let count = 1_u32 << (POOL_PREFIX - base.1);
    let start = u32::from_str_radix(&paths.tag(), 16).unwrap_or(0);
    for step in 0..count {
        let offset = (start.wrapping_add(step) % count) << (32 - POOL_PREFIX);
        let pool = Ipv4Net::new(Ipv4Addr::from(u32::from(base.0) + offset), POOL_PREFIX)?;
        if !taken.iter().any(|other| other.contains(&pool) || pool.contains(other)) {
            return Ok(pool);
        }
    }
    anyhow::bail!("all of {}/{} is in use on this machine: use --public-pool", base.0, base.1)
}

/// The networks in the kernel's routing table, but for the default route.
fn routed() -> Vec<Ipv4Net> {
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let hex = |word: Option<&str>| u32::from_str_radix(word?, 16).ok().map(u32::swap_bytes);
            let destination = hex(words.next())?;
            let mask = hex(words.nth(5))?;
            let prefix = u8::try_from(mask.leading_ones()).ok()?;
            Ipv4Net::new(Ipv4Addr::from(destination), prefix).ok().filter(|_| prefix > 0)
        })
        .collect()
}

/// The addresses that programs have sockets at.
fn listening() -> Vec<Ipv4Net> {
    let tables = ["/proc/net/tcp", "/proc/net/udp"].map(fs::read_to_string);
    let lines = |table: &String| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let all = tables.iter().flatten().flat_map(lines).collect::<Vec<_>>();
    all.iter()
        .filter_map(|line| {
            let (address, _) = line.split_whitespace().nth(1)?.split_once(':')?;
            let address = u32::from_str_radix(address, 16).ok()?.swap_bytes();
            Ipv4Net::new(Ipv4Addr::from(address), 32).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_a_pool_of_its_uplinks_kind() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(folder.path().to_owned())).unwrap();
        let tun = free_pool(&paths, Uplink::Tun).unwrap();
        assert!("198.18.0.0/15".parse::<Ipv4Net>().unwrap().contains(&tun));
        let sockets = free_pool(&paths, Uplink::Sockets).unwrap();
        assert!("127.64.0.0/10".parse::<Ipv4Net>().unwrap().contains(&sockets));
        assert!(Pool::new(sockets).is_some());
    }

    #[test]
    fn an_address_in_use_is_no_cloud_s() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(folder.path().to_owned())).unwrap();
        let first = free_pool(&paths, Uplink::Sockets).unwrap();
        let used = Ipv4Addr::from(u32::from(first.network()) + 9);
        let _listener = std::net::TcpListener::bind((used, 0)).unwrap();
        let second = free_pool(&paths, Uplink::Sockets).unwrap();
        assert!(!second.contains(&used));
    }
}
