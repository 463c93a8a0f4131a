//! Which operations are served: the rows of each control crate's operations.rs.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace;

/// Operations that are to be served soon, so that their functions can be written before their rows.
/// The file is gone once everything in it has a row.
const PLANNED: &str = "xtask/operations.txt";

/// The operations that the crate in this folder serves.
pub fn operations(owner: &str) -> Result<BTreeSet<String>> {
    let file = workspace::root().join(owner).join("src/operations.rs");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let planned = fs::read_to_string(workspace::root().join(PLANNED)).unwrap_or_default();
    let mut names = listed(&planned, owner);
    names.extend(text.lines().filter_map(row).map(str::to_owned));
    Ok(names)
}

/// The operation of a row such as `read DescribeVpcs => vpc::vpcs::describe_vpcs,`.
fn row(line: &str) -> Option<&str> {
    let (left, right) = line.trim().split_once("=>")?;
    let name = left.split_whitespace().next_back()?;
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    let handler = right.trim().trim_end_matches(',');
    let is_path = handler.contains("::")
        && handler
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c));
    (is_name && is_path).then_some(name)
}

fn listed(list: &str, owner: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut section = "";
    for line in list.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if section == owner {
            names.extend(line.split_whitespace().map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_nothing_else_name_operations() {
        assert_eq!(
            row("    RunInstances => compute::instances::run_instances,"),
            Some("RunInstances")
        );
        assert_eq!(row("read DescribeVpcs => vpc::vpcs::describe_vpcs,"), Some("DescribeVpcs"));
        assert_eq!(row("Some(x) => a::b,"), None);
        assert_eq!(row("Read => Kind::Read,"), None);
        assert_eq!(row("// RunInstances"), None);
    }
}
