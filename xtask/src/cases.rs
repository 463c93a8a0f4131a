//! `protocol-cases`: runs a file of protocol cases.

use anyhow::{Context, Result, bail};
use protocol::cases::{self, PROTOCOLS};

/// Whether all cases of these protocols pass; of all that we implement if none is named.
pub fn run(file: &str, protocols: &[&str]) -> Result<bool> {
    let lines = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    if let Some(unknown) = protocols.iter().find(|name| !PROTOCOLS.contains(name)) {
        bail!("the protocol {unknown} is not implemented; those that are: {}", PROTOCOLS.join(" "));
    }
    let chosen = if protocols.is_empty() { PROTOCOLS } else { protocols };
    let report = cases::run(&lines, chosen);
    for (id, reason) in &report.failed {
        println!("{id}: {reason}");
    }
    if report.left_out > 0 {
        println!("{} cases of other protocols than {} left out", report.left_out, chosen.join(" "));
    }
    println!("{} passed, {} failed", report.passed, report.failed.len());
    Ok(report.failed.is_empty())
}
