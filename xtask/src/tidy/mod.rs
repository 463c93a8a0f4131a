//! `tidy`: the rules that neither the compiler nor clippy checks.

mod arrows;
mod licences;
mod sources;

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// Whether nothing is untidy; what is, is printed.
pub fn check() -> Result<bool> {
    let mut complaints = arrows::complaints()?;
    complaints.extend(licences::complaints()?);
    complaints.extend(sources::complaints()?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    Ok(complaints.is_empty())
}

/// What a command prints, run in the workspace.
fn output(program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace::root())
        .output()
        .with_context(|| format!("starting {program}"))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_workspace_is_tidy() {
        assert!(super::check().unwrap());
    }
}
