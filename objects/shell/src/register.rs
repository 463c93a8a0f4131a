//! Which storage nodes there were: `nodes.json`. A node that it names is never made anew by itself,
//! since its disk may only be unmounted; `accept-loss.json` names those that their owner has given
//! up.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// A node's own ID.
pub type NodeId = [u8; 16];

const FILE: &str = "nodes.json";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The IDs of the nodes, in hexadecimal digits, by their names.
    nodes: BTreeMap<String, String>,
    /// Nodes that were given up: what they have is old, should they come back.
    #[serde(default)]
    given_up: BTreeSet<String>,
}

/// The nodes that were made or taken in, durable.
#[derive(Debug)]
pub struct Register {
    path: PathBuf,
    content: Content,
}

fn digits(id: NodeId) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

impl Register {
    /// The register in this folder, empty if there is none.
    ///
    /// # Errors
    /// It can't be read.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let content: Content = read(&path)?.unwrap_or_default();
        let odd = content.nodes.values().find(|id| u128::from_str_radix(id, 16).is_err());
        if let Some(id) = odd {
            anyhow::bail!("read {}: {id} is no ID", path.display());
        }
        Ok(Self { path, content })
    }

    /// The ID of a node that was there before.
    pub fn id(&self, name: &str) -> Option<NodeId> {
        let id = self.content.nodes.get(name)?;
        u128::from_str_radix(id, 16).ok().map(u128::to_be_bytes)
    }

    /// Whether this node was given up, and is not to come back.
    pub fn is_given_up(&self, id: NodeId) -> bool {
        self.content.given_up.contains(&digits(id))
    }

    /// Notes that a node is there.
    ///
    /// # Errors
    /// That can't be made durable.
    pub fn note(&mut self, name: &str, id: NodeId) -> anyhow::Result<()> {
        if self.id(name) == Some(id) {
            return Ok(());
        }
        self.content.nodes.insert(name.to_owned(), digits(id));
        write(&self.path, &self.content)
    }

    /// Notes that nodes are gone for good.
    ///
    /// # Errors
    /// That can't be made durable.
    pub fn give_up(&mut self, names: &BTreeSet<String>) -> anyhow::Result<()> {
        for name in names {
            if let Some(id) = self.content.nodes.remove(name) {
                self.content.given_up.insert(id);
            }
        }
        write(&self.path, &self.content)
    }
}

/// The nodes whose loss their owner has accepted.
///
/// # Errors
/// The file can't be read.
pub fn accepted(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    Ok(read(&folder.join(contracts::objects::ACCEPT_LOSS))?.unwrap_or_default())
}

/// What was accepted has been done.
///
/// # Errors
/// The file can't be removed.
pub fn forget_accepted(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(contracts::objects::ACCEPT_LOSS);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<Option<T>> {
    let context = || format!("read {}", path.display());
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).with_context(context),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(context),
    }
}

fn write(path: &Path, content: &Content) -> anyhow::Result<()> {
    let context = || format!("write {}", path.display());
    let folder = path.parent().context("it is in no folder")?;
    let new = path.with_extension("json.new");
    let written = || {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    written().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_noted_and_given_up_for_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut register = Register::load(folder.path()).expect("there is none yet");
        assert_eq!(register.id("node-1"), None);
        register.note("node-1", [1; 16]).expect("durable");
        register.note("node-2", [0; 16]).expect("durable");
        let mut register = Register::load(folder.path()).expect("it is read");
        assert_eq!((register.id("node-1"), register.id("node-2")), (Some([1; 16]), Some([0; 16])));
        register.give_up(&BTreeSet::from(["node-1".to_owned()])).expect("durable");
        register.note("node-1", [3; 16]).expect("durable");
        let register = Register::load(folder.path()).expect("it is read");
        assert_eq!(register.id("node-1"), Some([3; 16]));
        assert!(register.is_given_up([1; 16]) && !register.is_given_up([3; 16]));
        fs::write(folder.path().join(FILE), b"{\"nodes\": {\"a\": \"x\"}}").expect("written");
        assert!(Register::load(folder.path()).is_err(), "what can't be read isn't made anew");
    }
}
