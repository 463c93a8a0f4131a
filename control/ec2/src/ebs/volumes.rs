//! Volumes.
//!
//! ```text
//!  create           observed: ready           attach
//!  ──────▶ creating ──────────────▶ available ──────▶ in-use
//!                                     │    ▲            │
//!                              delete │    └────────────┘ detach
//!                                     ▼
//!                                 deleting ── observed: deleted ──▶ (no row)
//!
//!  any ── observed: failed ──▶ error ── observed: ready ──▶ available or in-use
//! ```

use super::snapshots::Snapshot;
use crate::{
    errors,
    filters::{Filters, Wanted},
    page::page,
    resource::{Resource, not_found, select},
    tags,
};
use contracts::{
    host::{VolumeObserved, VolumeState as HostState},
    storage,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    ec2::{
        self as api, AttachmentStatus, DescribeVolumesRequest, DescribeVolumesResult,
        EbsInstanceBlockDevice, OperatorResponse, ResourceType, VolumeAttachmentState, VolumeType,
    },
};
use state::{Row, State, Tx};
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
    const STOP: &'static str = ".";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// A volume to be made.
#[derive(Debug, Clone)]
pub struct NewVolume {
    pub zone: AvailabilityZone,
    pub size_gib: u32,
    pub kind: VolumeType,
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    /// What it starts as; zeros if none.
    pub snapshot: Option<SnapshotId>,
    pub encrypted: bool,
    /// The host that will hold its data.
    pub host: String,
    pub tags: Tags,
}

/// What AWS allows of a volume type.
struct Rules {
    size_gib: (u32, u32),
    performance: Performance,
}

/// How a volume type's IOPS and throughput come about.
enum Performance {
    /// The owner may choose both.
    Chosen {
        iops: (u32, u32),
        /// What it has where none are asked for; none where they must be.
        default_iops: Option<u32>,
        iops_per_gib: u32,
        /// MiB/s; none where the owner can't choose.
        throughput: Option<(u32, u32)>,
    },
    /// 3 IOPS for each GiB, between these.
    BySize { iops: (u32, u32) },
    /// As the hardware gives.
    None,
}

fn rules(kind: VolumeType) -> Rules {
    use Performance::{BySize, Chosen, None as Given};
    let chosen =
        |iops, iops_per_gib| Chosen { iops, default_iops: None, iops_per_gib, throughput: None };
    let (size_gib, performance) = match kind {
        VolumeType::Gp3 => {
            let gp3 = Chosen {
                iops: (3_000, 80_000),
                default_iops: Some(3_000),
                iops_per_gib: 500,
                throughput: Some((125, 2_000)),
            };
            ((1, 65_536), gp3)
        }
        VolumeType::Gp2 => ((1, 16_384), BySize { iops: (100, 16_000) }),
        VolumeType::Io1 => ((4, 16_384), chosen((100, 64_000), 50)),
        VolumeType::Io2 => ((4, 65_536), chosen((100, 256_000), 1_000)),
        VolumeType::St1 | VolumeType::Sc1 => ((125, 16_384), Given),
        VolumeType::Standard => ((1, 1_024), Given),
    };
    Rules { size_gib, performance }
}

/// A new volume's IOPS and throughput.
fn performance(new: &NewVolume) -> Result<(Option<u32>, Option<u32>), Fault> {
    let Rules { size_gib: (low, high), performance } = rules(new.kind);
    if new.size_gib < low {
        return Err(errors::volume_too_small(new.size_gib, new.kind, low));
    }
    if new.size_gib > high {
        return Err(errors::volume_too_large(new.size_gib, new.kind, high));
    }
    let (range, default, per_gib, range_of_throughput) = match performance {
        Performance::Chosen { iops, default_iops, iops_per_gib, throughput } => {
            (iops, default_iops, iops_per_gib, throughput)
        }
        Performance::BySize { .. } | Performance::None if new.iops.is_some() => {
            return Err(errors::not_of_volume_type("iops", new.kind));
        }
        Performance::BySize { .. } | Performance::None if new.throughput.is_some() => {
            return Err(errors::not_of_volume_type("throughput", new.kind));
        }
        Performance::BySize { iops: (low, high) } => {
            return Ok((Some(new.size_gib.saturating_mul(3).clamp(low, high)), None));
        }
        Performance::None => return Ok((None, None)),
    };
    let iops = new.iops.or(default).ok_or_else(|| errors::volume_type_needs("iops", new.kind))?;
    within("iops", iops, range)?;
    let allowed = new.size_gib.saturating_mul(per_gib);
    if Some(iops) != default && iops > allowed {
        let ratio = f64::from(iops) / f64::from(new.size_gib);
        return Err(errors::iops_ratio(format_args!("{ratio:.6}"), per_gib));
    }
    let Some(range) = range_of_throughput else {
        return match new.throughput {
            None => Ok((Some(iops), None)),
            Some(_) => Err(errors::not_of_volume_type("throughput", new.kind)),
        };
    };
    let throughput = new.throughput.unwrap_or(range.0);
    within("throughput", throughput, range)?;
    if throughput.saturating_mul(4) > iops {
        let ratio = f64::from(throughput) / f64::from(iops);
        return Err(errors::throughput_ratio(format_args!("{ratio:.6}")));
    }
    Ok((Some(iops), Some(throughput)))
}

fn within(what: &str, value: u32, (low, high): (u32, u32)) -> Result<(), Fault> {
    match value {
        _ if value < low => Err(errors::volume_too_low(what, value, low)),
        _ if value > high => Err(errors::volume_too_high(what, value, high)),
        _ => Ok(()),
    }
}

/// Makes a volume, which its host then has to make.
///
/// # Errors
/// Its size, IOPS or throughput are not what its type allows, or the snapshot doesn't exist or is
/// larger.
pub fn create(tx: &mut Tx, scope: &Scope, new: NewVolume) -> Result<Volume, Fault> {
    let mut encrypted = new.encrypted;
    if let Some(id) = new.snapshot {
        let snapshot = tx.get::<Snapshot>(&id).filter(|row| row.visible(scope));
        let snapshot = snapshot.ok_or_else(|| not_found::<Snapshot>(&[&id.to_string()]))?;
        if new.size_gib < snapshot.size_gib {
            return Err(errors::smaller_than_snapshot(new.size_gib, id, snapshot.size_gib));
        }
        encrypted |= snapshot.encrypted;
    }
    let (iops, throughput) = performance(&new)?;
    let NewVolume { zone, size_gib, kind, snapshot, host, tags, .. } = new;
    let volume = Volume {
        id: tx.new_id(),
        scope: scope.clone(),
        zone,
        size_gib,
        kind: kind.as_str().to_owned(),
        iops,
        throughput,
        snapshot,
        encrypted,
        state: VolumeState::Creating,
        create_time: tx.now(),
        attachment: None,
        host,
        tags,
    };
    tx.put(volume.clone());
    Ok(volume)
}

/// The volume as its host shall have it.
#[must_use]
pub fn desired(state: &State, id: VolumeId) -> Option<storage::Volume> {
    let volume = state.get::<Volume>(&id)?;
    let snapshot = volume.snapshot.and_then(|id| state.get::<Snapshot>(&id));
    Some(storage::Volume {
        id,
        size_bytes: u64::from(volume.size_gib) << 30,
        source: snapshot.map(|row| storage::Source { snapshot: row.id, image: row.image.clone() }),
        delete: volume.state == VolumeState::Deleting,
    })
}

/// Takes in what the host says of a volume.
pub fn observe(tx: &mut Tx, observed: &VolumeObserved) {
    let VolumeObserved { volume: id, state: seen } = observed;
    let Some(volume) = tx.get::<Volume>(id) else { return };
    let held =
        if volume.attachment.is_some() { VolumeState::InUse } else { VolumeState::Available };
    let next = match (volume.state, seen) {
        (VolumeState::Deleting, HostState::Deleted) => {
            tx.delete::<Volume>(id);
            return;
        }
        (VolumeState::Creating | VolumeState::Error, HostState::Ready) => held,
        // Nobody asked for the data to go.
        (
            VolumeState::Creating
            | VolumeState::Available
            | VolumeState::InUse
            | VolumeState::Error,
            HostState::Deleted | HostState::Failed(_),
        ) => VolumeState::Error,
        (VolumeState::Available | VolumeState::InUse, HostState::Ready)
        | (VolumeState::Deleting, HostState::Ready | HostState::Failed(_)) => return,
    };
    if volume.state != next {
        tx.update::<Volume>(id, |row| row.state = next);
    }
}

const FILTERS: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

/// The caller's volumes.
///
/// # Errors
/// A volume doesn't exist, or a filter or the page is invalid.
pub fn describe_volumes(
    state: &State,
    request: &Request,
    input: DescribeVolumesRequest,
) -> Result<DescribeVolumesResult, Fault> {
    let DescribeVolumesRequest {
        volume_ids,
        // No volume here is managed by a service.
        include_managed_resources: _,
        dry_run: _,
        filters,
        next_token,
        max_results,
    } = input;
    let filters = Filters::new(filters, FILTERS)?;
    let mut rows = select::<Volume>(state, &request.scope, volume_ids.as_deref())?;
    rows.retain(|row| filters.accept(&row.tags, |name, wanted| holds(row, name, wanted)));
    rows.sort_by_key(|row| row.id);
    let key = |row: &std::sync::Arc<Volume>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 1..=1000, next_token.as_deref())?;
    let volumes = rows.iter().map(|row| to_api(row)).collect();
    Ok(DescribeVolumesResult { next_token, volumes: Some(volumes) })
}

fn holds(row: &Volume, name: &str, wanted: Wanted<'_>) -> bool {
    let attached = row.attachment.as_ref();
    match name {
        "attachment.attach-time" => attached.is_some_and(|a| wanted.is(a.attach_time)),
        "attachment.delete-on-termination" => {
            attached.is_some_and(|a| wanted.is(a.delete_on_termination))
        }
        "attachment.device" => attached.is_some_and(|a| wanted.is(&a.device_name)),
        "attachment.instance-id" => attached.is_some_and(|a| wanted.is(a.instance)),
        "attachment.status" => attached.is_some_and(|a| wanted.is(a.state())),
        "availability-zone" => wanted.is(&row.zone),
        "availability-zone-id" => wanted.is(row.zone.id()),
        "create-time" => wanted.is(row.create_time),
        "encrypted" => wanted.is(row.encrypted),
        "fast-restored" | "multi-attach-enabled" | "operator.managed" => wanted.is(false),
        "size" => wanted.is(row.size_gib),
        "snapshot-id" => row.snapshot.is_some_and(|id| wanted.is(id)),
        "status" => wanted.is(row.state.to_api()),
        "volume-id" => wanted.is(row.id),
        "volume-type" => wanted.is(&row.kind),
        _ => false,
    }
}

impl Attachment {
    fn state(&self) -> VolumeAttachmentState {
        match self.attached {
            true => VolumeAttachmentState::Attached,
            false => VolumeAttachmentState::Attaching,
        }
    }
}

impl VolumeState {
    fn to_api(self) -> api::VolumeState {
        match self {
            Self::Creating => api::VolumeState::Creating,
            Self::Available => api::VolumeState::Available,
            Self::InUse => api::VolumeState::InUse,
            Self::Deleting => api::VolumeState::Deleting,
            Self::Error => api::VolumeState::Error,
        }
    }
}

fn operator() -> Option<OperatorResponse> {
    Some(OperatorResponse { managed: Some(false), ..Default::default() })
}

/// The volume as DescribeVolumes answers it.
#[must_use]
pub fn to_api(row: &Volume) -> api::Volume {
    let number = |value: u32| i32::try_from(value).ok();
    let attachment = row.attachment.as_ref().map(|attachment| api::VolumeAttachment {
        delete_on_termination: Some(attachment.delete_on_termination),
        volume_id: Some(row.id.to_string()),
        instance_id: Some(attachment.instance.to_string()),
        device: Some(attachment.device_name.clone()),
        state: Some(attachment.state()),
        attach_time: Some(attachment.attach_time),
        ..Default::default()
    });
    api::Volume {
        availability_zone_id: Some(row.zone.id()),
        iops: row.iops.and_then(number),
        // AWS has no list where there are no tags.
        tags: tags::to_api(&row.tags).filter(|tags| !tags.is_empty()),
        volume_type: row.kind.parse().ok(),
        multi_attach_enabled: Some(false),
        throughput: row.throughput.and_then(number),
        operator: operator(),
        volume_id: Some(row.id.to_string()),
        size: number(row.size_gib),
        snapshot_id: Some(row.snapshot.map(|id| id.to_string()).unwrap_or_default()),
        availability_zone: Some(row.zone.to_string()),
        state: Some(row.state.to_api()),
        create_time: Some(row.create_time),
        attachments: Some(attachment.into_iter().collect()),
        encrypted: Some(row.encrypted),
        ..Default::default()
    }
}

/// The volume as DescribeInstances answers it; none if it is not attached.
#[must_use]
pub fn to_instance_api(row: &Volume) -> Option<EbsInstanceBlockDevice> {
    let attachment = row.attachment.as_ref()?;
    Some(EbsInstanceBlockDevice {
        attach_time: Some(attachment.attach_time),
        delete_on_termination: Some(attachment.delete_on_termination),
        status: Some(match attachment.attached {
            true => AttachmentStatus::Attached,
            false => AttachmentStatus::Attaching,
        }),
        volume_id: Some(row.id.to_string()),
        operator: operator(),
        ebs_card_index: Some(0),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
