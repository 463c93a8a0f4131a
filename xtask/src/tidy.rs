//! `tidy`: the rules that neither the compiler nor clippy checks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::generate::HEADER;
use crate::workspace;

/// Which crates of ours a crate may depend on; see ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("contracts", &["types"]),
    ("shapes", &["types"]),
    ("protocol", &["types", "shapes"]),
    ("state", &["types"]),
    ("iam", &["types", "state", "shapes"]),
    ("ec2", &["types", "state", "shapes", "iam", "contracts"]),
    ("server", &["types", "state", "shapes", "iam", "contracts", "ec2", "protocol"]),
    ("objects", &["types", "shapes", "protocol"]),
    ("hypervisor", &["types", "contracts"]),
    ("imds", &["types", "contracts"]),
    ("agent", &["types", "contracts", "hypervisor", "imds"]),
    ("vpc-card", &["types", "contracts"]),
    ("ebs-card", &["types", "contracts"]),
    ("xtask", &["types", "shapes", "protocol"]),
];

/// Crates that put the roles together and may depend on all others.
const ROOTS: &[&str] = &["cli", "fogbank"];

/// The pure control plane: no I/O, no clock, no runtime.
const PURE: &[&str] = &["control/state", "control/iam", "control/ec2"];
/// Of std::net only the addresses are pure.
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "SystemTime",
    "Instant::now",
    "tokio",
];

const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Whether nothing is untidy; what is, is printed.
pub fn check() -> Result<bool> {
    let mut complaints = arrows(&metadata()?);
    for path in sources()? {
        let text = fs::read_to_string(&path)?;
        let name = path.strip_prefix(workspace::root()).unwrap_or(&path);
        complaints.extend(source(&name.to_string_lossy(), &text));
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    Ok(complaints.is_empty())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Of crates in this workspace.
    path: Option<PathBuf>,
    /// `dev` or `build`; none for an ordinary dependency.
    kind: Option<String>,
}

fn metadata() -> Result<Metadata> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(workspace::root())
        .output()
        .context("starting cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Tests may depend on what they like; the rest follows the arrows.
fn arrows(metadata: &Metadata) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut complaints = Vec::new();
    for package in metadata.packages.iter().filter(|p| !ROOTS.contains(&p.name.as_str())) {
        let Some(targets) = allowed.get(package.name.as_str()) else {
            complaints
                .push(format!("{}: the arrows of xtask/src/tidy.rs lack this crate", package.name));
            continue;
        };
        let ours = package.dependencies.iter().filter(|dependency| {
            dependency.path.is_some() && dependency.kind.as_deref() != Some("dev")
        });
        for dependency in ours.filter(|dependency| !targets.contains(&dependency.name.as_str())) {
            complaints.push(format!("{} must not depend on {}", package.name, dependency.name));
        }
    }
    complaints
}

/// What is untidy in a Rust file.
fn source(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    if !first.starts_with("//! ") {
        complaints.push(format!("{name}: the first line must say what the file holds, after //!"));
    }
    let generated = name.strip_prefix("wire/shapes/src/").is_some_and(|path| {
        ["ec2", "sts"].iter().any(|module| {
            path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    });
    if generated && !first.contains(HEADER) {
        complaints.push(format!("{name}: generated files must say so in the first line"));
    }
    let pure = PURE.iter().any(|folder| Path::new(name).starts_with(Path::new(folder).join("src")));
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        let impure = IMPURE_WORDS.iter().filter(|word| pure && has_word(line, word));
        complaints.extend(impure.map(|word| format!("{at}: {word} in the pure control plane")));
        let leftover = LEFTOVERS.iter().filter(|word| has_word(line, word));
        complaints.extend(leftover.map(|word| format!("{at}: {word}; do it, or open an issue")));
    }
    complaints
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_word) && !line[at + word.len()..].starts_with(part_of_word)
    })
}

/// The Rust files that are committed or about to be.
fn sources() -> Result<Vec<PathBuf>> {
    let root = workspace::root();
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs"])
        .current_dir(&root)
        .output()
        .context("starting git")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().map(|name| root.join(name)).filter(|path| path.exists()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untidy_sources_are_named() {
        let impure = "//! Something.\nuse std::fs;\nlet stdfs = 1;\n";
        assert_eq!(source("control/ec2/src/a.rs", impure).len(), 1);
        assert_eq!(source("host/agent/src/a.rs", impure).len(), 0);
        assert_eq!(source("cli/src/main.rs", "fn main() {}\n").len(), 1);
        assert_eq!(source("wire/shapes/src/ec2/ops.rs", "//! Operations.\n").len(), 1);
        let leftover = format!("//! Something.\n// {}: more\n", LEFTOVERS[0]);
        assert_eq!(source("cli/src/main.rs", &leftover).len(), 1);
    }

    #[test]
    fn forbidden_arrows_are_named() {
        let json = r#"{"packages": [{"name": "ec2", "dependencies": [
            {"name": "types", "path": "/types", "kind": null},
            {"name": "protocol", "path": "/protocol", "kind": "dev"},
            {"name": "server", "path": "/server", "kind": null},
            {"name": "serde", "path": null, "kind": null}]}]}"#;
        let metadata: Metadata = serde_json::from_str(json).unwrap();
        assert_eq!(arrows(&metadata), ["ec2 must not depend on server"]);
    }

    #[test]
    fn the_workspace_is_tidy() {
        assert!(check().unwrap());
    }
}
