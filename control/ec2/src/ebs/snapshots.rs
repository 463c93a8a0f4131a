//! Snapshots of volumes.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use types::{AccountId, Scope, SnapshotId, Tags, Timestamp, VolumeId};

/// A snapshot; those of the quick-start images belong to the cloud itself and all may read them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: SnapshotId,
    /// None of the quick-start images' snapshots, which are in every region.
    pub scope: Option<Scope>,
    pub owner: AccountId,
    pub volume: Option<VolumeId>,
    pub size_gib: u32,
    /// The built image that holds the data: a folder's name on the hosts.
    pub image: String,
    pub description: String,
    pub start_time: Timestamp,
    pub encrypted: bool,
    pub tags: Tags,
}

impl Row for Snapshot {
    const TABLE: &'static str = "snapshot";
    type Key = SnapshotId;
    fn key(&self) -> SnapshotId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }
}

impl Resource for Snapshot {
    const TYPE: ResourceType = ResourceType::Snapshot;
    const NOUN: &'static str = "snapshot";
    const CODE: &'static str = "InvalidSnapshot";
    const MALFORMED: &'static str = "InvalidSnapshotID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
    fn visible(&self, scope: &Scope) -> bool {
        self.scope.as_ref().is_none_or(|own| own == scope)
    }
}
