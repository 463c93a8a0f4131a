//! Which operations are served: the rows of each control crate's operations.rs.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace;

/// What a row may begin with: a method of the crate's visitor.
const KINDS: &[&str] =
    &["read", "mutate", "mutate_in_part", "prepare", "ask", "compute", "issue", "search", "vouch"];

/// The operations that the crate in this folder serves, each with the path of its function.
pub fn operations(owner: &str) -> Result<BTreeMap<String, String>> {
    let file = workspace::root().join(owner).join("src/operations.rs");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let rows = text.lines().filter_map(row);
    Ok(rows.map(|(name, function)| (name.to_owned(), function.to_owned())).collect())
}

/// The operation and the function of a row such as `read DescribeVpcs => vpc::vpcs::describe_vpcs,`.
fn row(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.trim().split_once(" => ")?;
    let (kind, name) = left.split_once(' ')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    let function = right.strip_suffix(',')?;
    (KINDS.contains(&kind) && is_name && function.contains("::")).then_some((name, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_nothing_else_name_operations() {
        assert_eq!(
            row("    mutate RunInstances => instances::run_instances,"),
            Some(("RunInstances", "instances::run_instances"))
        );
        assert_eq!(row("Some(x) => a::b,"), None);
        assert_eq!(row("Read => Kind::Read,"), None);
        assert_eq!(row("($($kind:ident $name:ident => $($run:ident)::+,)*) => {"), None);
        assert_eq!(row("// RunInstances"), None);
    }
}
