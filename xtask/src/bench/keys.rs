//! Ten million keys in one storage node: openings, pages of lists, memory. It takes 7 GB of disk.

use crate::{test, workspace};
use anyhow::{Context as _, Result, ensure};
use std::{path::Path, process::Command};

const RECORDS: &str = "10000000";

pub fn run(root: &Path) -> Result<()> {
    let example = ["build", "--release", "--quiet", "-p", "node", "--example", "many_records"];
    test::command(root, "cargo", &example)?;
    let program = workspace::target().join("release/examples/many_records");
    let folder = tempfile::Builder::new().prefix("bench-keys-").tempdir_in(workspace::target())?;
    let node = folder.path().to_str().context("the folder's name is not text")?;
    println!("## Filled in order, and killed amid {RECORDS} keys and more");
    let killed = Command::new(&program).args([node, RECORDS, "sorted", "kill"]).status()?;
    ensure!(killed.code().is_none(), "it should have died: {killed}");
    println!("\n## Opened after that");
    test::command(root, &program, &[node, RECORDS])?;
    println!("\n## Opened after a clean end");
    test::command(root, &program, &[node, RECORDS])?;
    std::fs::remove_file(folder.path().join("index.redb"))?;
    println!("\n## Opened without its index, which is made anew");
    test::command(root, &program, &[node, RECORDS])
}
