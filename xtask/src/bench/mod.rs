//! Benchmarks: each beside its best peer, in the same run on the same machine.

mod api;
mod client;
mod cloud;
mod density;
mod keys;
mod launch;
mod objects;

use crate::{test, workspace};
use anyhow::{Result, bail};

/// Runs a benchmark.
pub fn run(name: &str) -> Result<bool> {
    let root = workspace::root();
    if name == "keys" {
        return keys::run(&root).map(|()| true);
    }
    test::command(&root, "cargo", &["build", "--release", "--quiet", "--package", "fogbank"])?;
    match name {
        "api" => api::run(&root)?,
        "launch" => launch::run(&root)?,
        "density" => density::run(&root)?,
        "objects" => objects::run(&root, false)?,
        "objects-alone" => objects::run(&root, true)?,
        _ => bail!(
            "there is no benchmark {name}; there are: api, launch, density, keys, objects, and \
             objects-alone without its peers"
        ),
    }
    Ok(true)
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
