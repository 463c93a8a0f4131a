//! Volumes as a host knows them.

use serde::{Deserialize, Serialize};
use types::{SnapshotId, VolumeId};

/// A volume on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume.
    pub id: VolumeId,
    /// Its size; it never shrinks.
    pub size_bytes: u64,
    /// What it starts as; zeros if none.
    pub source: Option<Source>,
    /// Whether its data shall be deleted. Only this deletes data.
    pub delete: bool,
}

/// The snapshot that a volume is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The built image that holds the snapshot's data: a folder's name under `images/`.
    pub image: String,
}
