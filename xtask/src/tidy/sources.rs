//! What files may hold.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::generate::HEADER;
use crate::workspace;

/// The pure control plane: no I/O, no clock, no chance, no runtime.
const PURE: &[&str] = &[
    "control/state/src",
    "control/iam/src",
    "control/ec2/src",
    "control/kms/src",
    "control/audit/src",
    "control/organizations/src",
];
/// Of std::net only the addresses are pure.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime",
    "Instant::now",
    "OsRng",
    "getrandom",
    "println",
    "tokio",
];

/// Longer files are hard to find one's way in; a resource becomes a folder well before.
const MAX_LINES: usize = 700;

const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Folders of somebody's own machine; the users of our images are none.
const HOMES: &[&str] = &[concat!("/wo", "rk"), concat!("/Us", "ers"), concat!("/ho", "me")];
const USERS_OF_IMAGES: &[&str] = &["ec2-user", "admin", "$user", "$name"];

pub fn complaints() -> Result<Vec<String>> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let names = String::from_utf8(super::output("git", &arguments)?)?;
    let mut complaints = Vec::new();
    for name in names.lines() {
        // What is deleted is listed until that is committed; what is no text is no matter of ours.
        if let Ok(text) = fs::read_to_string(workspace::root().join(name)) {
            complaints.extend(source(name, &text));
        }
    }
    Ok(complaints)
}

/// What is untidy in a file.
fn source(name: &str, text: &str) -> Vec<String> {
    let path = Path::new(name);
    let mut complaints = Vec::new();
    let is_data = path.components().any(|part| part.as_os_str() == "data")
        || path.file_name().is_some_and(|file| file == "Cargo.lock" || file == "LICENSE")
        || path.extension().is_some_and(|ending| ending == "jsonl" || ending == "json");
    let is_rust = path.extension().is_some_and(|ending| ending == "rs");
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let is_generated = first.contains(HEADER);
    if is_rust && !first.starts_with("//! ") {
        complaints.push(format!("{name}: the first line must say what the file holds, after //!"));
    }
    if is_shapes(name) && !is_generated {
        complaints.push(format!("{name}: generated files must say so in the first line"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !is_data && !is_generated && name != "docs/coverage.md" {
        complaints.push(format!("{name}: {lines} lines; split it, the limit is {MAX_LINES}"));
    }
    if is_data {
        return complaints;
    }
    let pure = is_rust && PURE.iter().any(|folder| path.starts_with(folder));
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        let impure = IMPURE.iter().filter(|word| pure && has_word(line, word));
        complaints.extend(impure.map(|word| format!("{at}: {word} in the pure control plane")));
        let leftover = LEFTOVERS.iter().filter(|word| has_word(line, word));
        complaints.extend(leftover.map(|word| format!("{at}: {word}; do it, or open an issue")));
        if has_home(line) {
            complaints.push(format!("{at}: a path of one machine"));
        }
    }
    complaints
}

/// Whether a file is of the generated modules of the shapes crate.
fn is_shapes(name: &str) -> bool {
    name.strip_prefix("wire/shapes/src/").is_some_and(|path| {
        ["cloudtrail", "ec2", "iam", "kms", "organizations", "sts"].iter().any(|module| {
            path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    })
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_word) && !line[at + word.len()..].starts_with(part_of_word)
    })
}

/// Whether a line has an absolute path into somebody's own folders.
fn has_home(line: &str) -> bool {
    HOMES.iter().any(|home| {
        line.match_indices(home).any(|(at, _)| {
            let begins =
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-./}".contains(c));
            let inside = line[at + home.len()..].strip_prefix('/');
            let of_image = |rest: &str| USERS_OF_IMAGES.iter().any(|user| rest.starts_with(user));
            begins && inside.is_some_and(|rest| !of_image(rest))
        })
    })
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
    fn long_files_are_named() {
        let long = "//! Something.\n".repeat(MAX_LINES + 1);
        assert_eq!(source("cli/src/main.rs", &long).len(), 1);
        assert_eq!(source("control/ec2/data/a.csv", &long).len(), 0);
        let generated = format!("//! Shapes, {HEADER}\n{long}");
        assert_eq!(source("wire/shapes/src/ec2/ops.rs", &generated).len(), 0);
    }

    #[test]
    fn paths_of_one_machine_are_named() {
        assert!(has_home(&format!("see {}/shared/x", HOMES[0])));
        assert!(has_home(&format!("\"{}/somebody/x\"", HOMES[2])));
        assert!(!has_home(&format!("keys={}/ec2-user/.ssh", HOMES[2])));
        assert!(!has_home(&format!("the net{}/x and ${{DIR}}{}/x", HOMES[0], HOMES[0])));
    }
}
