//! Which crates of ours may depend on which; see ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::Deserialize;

const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("policy", &["types"]),
    ("session", &["types"]),
    ("contracts", &["types"]),
    ("shapes", &["types"]),
    ("protocol", &["types", "shapes"]),
    ("state", &["types"]),
    ("iam", &["types", "policy", "session", "state", "shapes"]),
    ("ec2", &["types", "policy", "state", "shapes", "iam", "contracts"]),
    ("kms", &["types", "policy", "state", "shapes", "iam"]),
    ("audit", &["types", "session", "state", "shapes", "iam", "contracts"]),
    ("organizations", &["types", "state", "shapes", "iam"]),
    ("relay", &["protocol"]),
    (
        "server",
        &[
            "types",
            "policy",
            "session",
            "state",
            "shapes",
            "iam",
            "kms",
            "organizations",
            "audit",
            "contracts",
            "ec2",
            "protocol",
            "relay",
        ],
    ),
    ("node", &[]),
    ("rados", &["node"]),
    ("cluster", &["node"]),
    ("s3", &["types", "policy", "node", "cluster"]),
    (
        "objects",
        &["types", "contracts", "policy", "session", "relay", "node", "rados", "cluster", "s3"],
    ),
    ("hypervisor", &["types", "contracts"]),
    ("imds", &["types", "contracts"]),
    ("agent", &["types", "contracts", "hypervisor", "imds"]),
    ("vpc-card", &["types", "contracts"]),
    ("ebs-card", &["types", "contracts"]),
    // Every role, and no private way into EC2: neither its rows nor its shapes. It signs its calls by `protocol`.
    (
        "fogbank",
        &[
            "types",
            "contracts",
            "protocol",
            "server",
            "objects",
            "agent",
            "hypervisor",
            "vpc-card",
            "ebs-card",
        ],
    ),
    ("xtask", &["types", "shapes", "protocol"]),
];

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

pub fn complaints() -> Result<Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--format-version=1", "--offline"];
    Ok(arrows(&serde_json::from_slice(&super::output(env!("CARGO"), &arguments)?)?))
}

/// Tests may depend on what they like; the rest follows the arrows.
fn arrows(metadata: &Metadata) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let Some(targets) = allowed.get(package.name.as_str()) else {
            complaints.push(format!("{}: xtask/src/tidy/arrows.rs lacks this crate", package.name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_arrows_are_named() {
        let json = r#"{"packages": [
            {"name": "ec2", "dependencies": [
                {"name": "types", "path": "/types", "kind": null},
                {"name": "protocol", "path": "/protocol", "kind": "dev"},
                {"name": "server", "path": "/server", "kind": null},
                {"name": "serde", "path": null, "kind": null}]},
            {"name": "fogbank", "dependencies": [{"name": "ec2", "path": "/ec2", "kind": null}]}
        ]}"#;
        let metadata: Metadata = serde_json::from_str(json).unwrap();
        assert_eq!(
            arrows(&metadata),
            ["ec2 must not depend on server", "fogbank must not depend on ec2"]
        );
    }
}
