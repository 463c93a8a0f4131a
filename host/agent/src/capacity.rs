//! What this host has to give.

use crate::config::Overcommit;
use contracts::host::Capacity;
use hypervisor::Accelerator;
use std::{fs, thread};

/// Memory that is kept for the host itself: so much, and one part in so many.
const RESERVE_MIB: u64 = 1024;
const RESERVE_PART: u64 = 20;
/// What a host that only pretends has: enough for any test.
const SIMULATED: (u32, u64) = (1 << 24, 1 << 36);

/// The capacity of this host.
pub fn capacity(accelerator: Accelerator, overcommit: Overcommit) -> Capacity {
    let (vcpus, memory_mib) = if accelerator == Accelerator::Simulated {
        SIMULATED
    } else {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let total = fs::read_to_string("/proc/meminfo").map_or(0, |text| total_mib(&text));
        let free = total.saturating_sub(RESERVE_MIB + total / RESERVE_PART);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "float to integer saturates, and hosts are small beside 2^52"
        )]
        let given =
            (processors as f64 * overcommit.vcpus, (free as f64 * overcommit.memory) as u64);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "float to integer saturates"
        )]
        let vcpus = given.0 as u32;
        (vcpus, given.1)
    };
    Capacity {
        vcpus,
        memory_mib,
        hypervisor: accelerator.name().to_owned(),
        boot_id: hypervisor::boot_id(),
    }
}

/// `MemTotal` of `/proc/meminfo`, in MiB.
fn total_mib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_host() {
        assert_eq!(total_mib("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), 24105);
        let once = capacity(Accelerator::Tcg, Overcommit { vcpus: 1.0, memory: 1.0 });
        let twice = capacity(Accelerator::Tcg, Overcommit { vcpus: 2.0, memory: 1.0 });
        assert!(once.vcpus > 0);
        assert_eq!(twice.vcpus, once.vcpus * 2);
    }
}
