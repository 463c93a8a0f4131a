//! The licences and sources of dependencies, as deny.toml allows them.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
    /// None for crates of this workspace.
    source: Option<String>,
}

pub fn complaints() -> Result<Vec<String>> {
    let deny = fs::read_to_string(workspace::root().join("deny.toml")).context("read deny.toml")?;
    let allowed = allowed(&deny);
    // Only what a build here has fetched: no network is needed.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments =
        ["metadata", "--format-version=1", "--offline", "--filter-platform", platform.as_str()];
    let metadata: Metadata = serde_json::from_slice(&super::output(env!("CARGO"), &arguments)?)?;
    Ok(metadata.packages.iter().filter_map(|package| complaint(package, &allowed)).collect())
}

fn complaint(package: &Package, allowed: &BTreeSet<&str>) -> Option<String> {
    let name = &package.name;
    if package.source.as_ref().is_some_and(|source| source != CRATES_IO) {
        return Some(format!("{name} is not from crates.io"));
    }
    match &package.license {
        Some(licence) if may(licence, allowed) => None,
        Some(licence) => Some(format!("{name}: deny.toml does not allow {licence}")),
        None => Some(format!("{name} names no licence")),
    }
}

/// The list `allow` of the section `licenses`.
fn allowed(deny: &str) -> BTreeSet<&str> {
    let section = deny.split_once("[licenses]").map_or("", |(_, rest)| rest);
    let list = section.split_once("allow = [").map_or("", |(_, rest)| rest);
    let list = list.split_once(']').map_or("", |(list, _)| list);
    // Between quotes, every second piece is a name.
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether an SPDX expression can be satisfied with allowed licences. An older form separates
/// alternatives by a slash.
fn may(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', "( ").replace(')', " )");
    let words: Vec<&str> = expression.split_whitespace().collect();
    any(&mut words.as_slice(), allowed)
}

fn any(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut may = all(words, allowed);
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        may |= all(words, allowed);
    }
    may
}

fn all(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut may = one(words, allowed);
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        may &= one(words, allowed);
    }
    may
}

fn one(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let may = any(words, allowed);
        // The closing parenthesis.
        *words = words.get(1..).unwrap_or_default();
        return may;
    }
    if let Some((&"WITH", rest)) = words.split_first() {
        let exception = rest.first().copied().unwrap_or_default();
        *words = rest.get(1..).unwrap_or_default();
        return allowed.contains(format!("{first} WITH {exception}").as_str());
    }
    allowed.contains(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        let deny = "[licenses]\nallow = [\n    \"MIT\",\n    \"Zlib\",\n]\n[bans]\n";
        let allowed = allowed(deny);
        assert_eq!(allowed, BTreeSet::from(["MIT", "Zlib"]));
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("Apache-2.0 OR MIT", true),
            ("Apache-2.0/MIT", true),
            ("MIT AND Unicode-3.0", false),
            ("(MIT OR Apache-2.0) AND Zlib", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("MIT WITH some-exception", false),
        ] {
            assert_eq!(may(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn other_sources_are_named() {
        let source = Some("git+https://example.com/a".to_owned());
        let package = Package { name: "a".to_owned(), license: Some("MIT".to_owned()), source };
        assert!(complaint(&package, &BTreeSet::from(["MIT"])).is_some());
    }
}
