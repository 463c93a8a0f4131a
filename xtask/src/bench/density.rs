//! What an idle tiny instance costs beyond its own memory: our processes and QEMU.

use super::launch::Ready;
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const INSTANCES: u32 = 8;
/// Guests are left alone for so long before they are looked at.
const REST: Duration = Duration::from_secs(20);
/// How long processor time is watched.
const WATCH: Duration = Duration::from_secs(20);

/// A process's memory without the guest's own, KiB: what is its own, and its share of the rest.
///
/// The guest's memory is a memfd that QEMU and the VPC card map: it is left out wherever it is
/// mapped.
fn memory_kib(pid: u32) -> Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).context("read smaps")?;
    let (mut total, mut guest) = (0, false);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        if !first.ends_with(':') {
            guest = line.contains("memfd:memory");
        } else if first == "Pss:" && !guest {
            total += words.next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(total)
}

/// Processor time of a process, in clock ticks.
fn ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(") ").context("odd stat")?.1.split(' ').collect::<Vec<_>>();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(field(11) + field(12))
}

fn pid_of(path: &Path) -> Result<u32> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.split_whitespace().next().and_then(|pid| pid.parse().ok()).context("no process ID")
}

/// Runs the benchmark and prints its table.
pub fn run(root: &Path) -> Result<()> {
    let ready = Ready::new(root)?;
    let roles = ready.roles()?;
    let mut instances = Vec::new();
    for number in 1..=INSTANCES {
        let began = Instant::now();
        let instance = ready.run_instance("t3.nano")?;
        ready.wait(&instance, began)?;
        eprintln!("instance {number} of {INSTANCES} is up");
        instances.push(instance);
    }
    thread::sleep(REST);
    let guests = instances
        .iter()
        .map(|instance| pid_of(&ready.pid_file(instance)))
        .collect::<Result<Vec<_>>>()?;
    let mut before = 0;
    for pid in roles.iter().map(|(_, pid)| pid) {
        before += ticks(*pid)?;
    }
    let guests_before = guests.iter().map(|pid| ticks(*pid)).sum::<Result<u64>>()?;
    thread::sleep(WATCH);
    let mut after = 0;
    for pid in roles.iter().map(|(_, pid)| pid) {
        after += ticks(*pid)?;
    }
    let guests_after = guests.iter().map(|pid| ticks(*pid)).sum::<Result<u64>>()?;
    #[expect(clippy::cast_precision_loss, reason = "small numbers, for people")]
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!("{INSTANCES} idle tiny instances (t3.nano), memory beyond the guests' own (PSS)");
    let mut total = 0;
    for (role, pid) in &roles {
        let memory = memory_kib(*pid)?;
        total += memory;
        println!("{role:<12} {:>8.1} MiB", mib(memory));
    }
    let qemu = guests.iter().map(|pid| memory_kib(*pid)).sum::<Result<u64>>()?;
    total += qemu;
    println!("QEMU         {:>8.1} MiB each", mib(qemu) / f64::from(INSTANCES));
    println!("together     {:>8.1} MiB for each instance", mib(total) / f64::from(INSTANCES));
    // A tick is a hundredth of a second.
    #[expect(clippy::cast_precision_loss, reason = "small numbers, for people")]
    let percent = |ticks: u64| ticks as f64 / WATCH.as_secs_f64();
    println!("processor    {:>8.2} % of one, all our processes", percent(after - before));
    println!(
        "             {:>8.2} % of one, each QEMU with its idle guest",
        percent(guests_after - guests_before) / f64::from(INSTANCES)
    );
    Ok(())
}
