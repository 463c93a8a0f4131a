//! The VPC card's forwarding rate by vhost-user, beside DPDK's testpmd and Open vSwitch with DPDK,
//! and what its engine costs by itself.
//!
//! One program plays the guests for all of them (`host/vpc-card/examples/packets.rs`): one core
//! is the switch's, the other the guests'. The switches take turns; those that wait are stopped.

mod peers;
mod switches;

use super::median;
use crate::{test, workspace};
use anyhow::{Context as _, Result};
use std::{path::Path, process::Command};
use switches::{OpenVSwitch, OurCard, Switch, Testpmd};

const ROUNDS: usize = 3;
const SECONDS: &str = "1.0";
/// Where the guests run; the switches have core 0.
const GUESTS: &str = "1";

/// How a switch decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// All passes, and nothing is followed.
    Open,
    /// Connections are followed, and this many rules say which may begin; the last one matches.
    Rules(usize),
}

/// Frames of a size, by flows.
const LOADS: [(usize, usize); 4] = [(64, 1), (64, 10_000), (1500, 1), (1500, 10_000)];
const POLICIES: [Policy; 3] = [Policy::Open, Policy::Rules(1), Policy::Rules(500)];

/// Frames a second that a switch passes, both ways together.
fn rate(switch: &dyn Switch, (size, flows): (usize, usize)) -> Result<f64> {
    let [a, b] = switch.sockets();
    let output = Command::new("taskset")
        .args(["-c", GUESTS])
        .arg(workspace::target().join("release/examples/packets"))
        .args([&a, &b])
        .args([&size.to_string(), &flows.to_string(), SECONDS])
        .output()
        .context("start the guests")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = || format!("{}: {}", switch.name(), String::from_utf8_lossy(&output.stderr));
    said.trim().parse::<f64>().with_context(failed)
}

/// Runs the benchmark and prints its tables.
pub fn run(root: &Path, alone: bool) -> Result<()> {
    let build = ["build", "--release", "--quiet", "--package", "vpc-card", "--examples"];
    test::command(root, "cargo", &build)?;
    forwarding(alone)?;
    println!();
    let engine = workspace::target().join("release/examples/engine");
    test::command(root, engine, &[])
}

fn forwarding(alone: bool) -> Result<()> {
    let mut switches: Vec<Box<dyn Switch>> = vec![Box::new(OurCard::start()?)];
    if !alone {
        let packages = peers::Packages::fetch()?;
        switches.push(Box::new(Testpmd::start(&packages)?));
        switches.push(Box::new(OpenVSwitch::start(&packages)?));
    }
    println!("Million frames a second, both ways together, one core; medians of {ROUNDS} rounds");
    println!("in turns. Ratio: Fogbank's to the peer's.\n");
    let head = |switch: &dyn Switch, at: usize| match at {
        0 => format!("{:>12}", switch.name()),
        _ => format!("{:>20}{:>8}", switch.name(), "ratio"),
    };
    let heads: Vec<String> =
        switches.iter().enumerate().map(|(at, switch)| head(&**switch, at)).collect();
    println!("{:<34}{}", "", heads.concat());
    for load in LOADS {
        for policy in POLICIES {
            println!("{}", row(&mut switches, load, policy)?);
        }
    }
    Ok(())
}

/// One line of the table.
fn row(switches: &mut [Box<dyn Switch>], load: (usize, usize), policy: Policy) -> Result<String> {
    let mut rates = vec![Vec::new(); switches.len()];
    for _ in 0..ROUNDS {
        for (switch, rates) in switches.iter_mut().zip(&mut rates) {
            switch.go_on()?;
            if switch.decide(policy)? {
                rates.push(rate(&**switch, load)? / 1e6);
            }
            switch.pause()?;
        }
    }
    let rules = match policy {
        Policy::Open => "no rules".to_owned(),
        Policy::Rules(1) => "1 rule".to_owned(),
        Policy::Rules(rules) => format!("{rules} rules"),
    };
    let flows = if load.1 == 1 { "1 flow".to_owned() } else { format!("{} flows", load.1) };
    let mut line = format!("{:<34}", format!("{} bytes, {flows}, {rules}", load.0));
    let medians: Vec<Option<f64>> =
        rates.into_iter().map(|rates| (!rates.is_empty()).then(|| median(rates))).collect();
    let ours = medians.first().copied().flatten().unwrap_or(f64::NAN);
    line += &format!("{ours:>12.2}");
    for peer in medians.iter().skip(1) {
        line += &match peer {
            Some(peer) => format!("{peer:>20.2}{:>8.2}", ours / peer),
            None => format!("{:>20}{:>8}", "", ""),
        };
    }
    Ok(line)
}
