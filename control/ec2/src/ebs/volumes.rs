//! Volumes.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{AvailabilityZone, InstanceId, Scope, SnapshotId, Tags, Timestamp, VolumeId};

/// A volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    pub id: VolumeId,
    pub scope: Scope,
    pub zone: AvailabilityZone,
    pub size_gib: u32,
    /// `gp3`, `io2` …
    pub kind: String,
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    pub snapshot: Option<SnapshotId>,
    pub encrypted: bool,
    pub state: VolumeState,
    pub create_time: Timestamp,
    pub attachment: Option<Attachment>,
    /// The host that holds its data.
    pub host: String,
    pub tags: Tags,
}

/// A volume's life: `Creating → Available ⇄ InUse`, then `Deleting` until its data is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeState {
    Creating,
    Available,
    InUse,
    Deleting,
    Error,
}

/// A volume's attachment to an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    pub instance: InstanceId,
    /// As asked for, such as `/dev/xvda`.
    pub device_name: String,
    pub attach_time: Timestamp,
    pub delete_on_termination: bool,
    /// Attached to a VM that holds it; until then `attaching`.
    pub attached: bool,
}

impl Row for Volume {
    const TABLE: &'static str = "volume";
    type Key = VolumeId;
    fn key(&self) -> VolumeId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if let Some(attachment) = &self.attachment {
            add("instance", &attachment.instance);
        }
        add("host", &self.host);
    }
}

impl Resource for Volume {
    const TYPE: ResourceType = ResourceType::Volume;
    const NOUN: &'static str = "volume";
    const CODE: &'static str = "InvalidVolume";
    const MALFORMED: &'static str = "InvalidVolumeID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
