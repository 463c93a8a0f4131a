//! Benchmarks: each beside its best peer, in the same run on the same machine.

mod api;
mod client;
mod cloud;
mod density;
mod keys;
mod launch;
mod net;
mod objects;

use crate::{test, workspace};
use anyhow::{Result, bail};
use std::path::Path;

/// Runs a benchmark.
pub fn run(name: &str) -> Result<bool> {
    let root = workspace::root();
    match name {
        "policy" => return policy(&root).map(|()| true),
        "keys" => return keys::run(&root).map(|()| true),
        "net" => return net::run(&root, false).map(|()| true),
        "net-alone" => return net::run(&root, true).map(|()| true),
        _ => {}
    }
    test::command(&root, "cargo", &["build", "--release", "--quiet", "--package", "fogbank"])?;
    match name {
        "api" => api::run(&root)?,
        "launch" => launch::run(&root)?,
        "density" => density::run(&root)?,
        "objects" => objects::run(&root, false)?,
        "objects-alone" => objects::run(&root, true)?,
        _ => bail!(
            "there is no benchmark {name}; there are: api, launch, density, policy, keys, net, \
             objects, and net-alone and objects-alone without their peers"
        ),
    }
    Ok(true)
}

/// Decisions about calls, beside Cedar's: a workspace of its own, since its peer is long to build.
fn policy(root: &Path) -> Result<()> {
    let folder = root.join("base/policy/bench");
    let target = root.join("target").display().to_string();
    let arguments = ["run", "--release", "--quiet", "--locked", "--target-dir", &target];
    test::command(&folder, "cargo", &arguments)
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
