//! The volumes of a launch.

use super::settings::positive;
use crate::{compute::images::Image, ebs::snapshots::Snapshot, errors, resource::find};
use iam::Request;
use shapes::{
    Fault,
    ec2::{BlockDeviceMapping, EbsBlockDevice, VolumeType},
};
use state::Tx;
use std::{collections::BTreeSet, sync::Arc};

/// A volume to make.
pub(super) struct Disk {
    pub(super) device_name: String,
    pub(super) size_gib: Option<u32>,
    pub(super) kind: VolumeType,
    pub(super) iops: Option<u32>,
    pub(super) throughput: Option<u32>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) delete_on_termination: bool,
}

/// The volumes to make: the image's, changed and added to as the call says; the root first.
pub(super) fn disks(
    tx: &Tx,
    request: &Request,
    image: &Image,
    mappings: Vec<BlockDeviceMapping>,
) -> Result<Vec<Disk>, Fault> {
    let root_snapshot = tx.get::<Snapshot>(&image.root_snapshot).cloned();
    let mut disks = vec![Disk {
        device_name: image.root_device_name.clone(),
        size_gib: Some(image.root_size_gib),
        kind: VolumeType::Gp3,
        iops: None,
        throughput: None,
        snapshot: root_snapshot,
        delete_on_termination: true,
    }];
    let mut seen = BTreeSet::new();
    for mapping in mappings {
        let BlockDeviceMapping { ebs, no_device, device_name, virtual_name } = mapping;
        let name = device_name.ok_or_else(|| errors::missing("BlockDeviceMapping.DeviceName"))?;
        if !name.starts_with("/dev/") && !name.starts_with("sd") && !name.starts_with("xvd") {
            return Err(errors::invalid_value(
                name,
                "BlockDeviceMapping.DeviceName",
                "It is no device.",
            ));
        }
        if !seen.insert(name.clone()) {
            return Err(Fault::sender(
                "InvalidBlockDeviceMapping",
                format!("The device '{name}' is used in more than one block-device mapping"),
            ));
        }
        let root = name == image.root_device_name;
        if no_device.is_some() && root {
            return Err(errors::unsupported("BlockDeviceMapping.NoDevice of the root device"));
        }
        // Instance store volumes are given by the type on Nitro, whatever the mapping says.
        let Some(ebs) = ebs.filter(|_| no_device.is_none() && virtual_name.is_none()) else {
            continue;
        };
        let given = disk(tx, request, name, ebs, root)?;
        if root {
            root_from(&mut disks[0], given, image)?;
        } else if given.size_gib.is_none() && given.snapshot.is_none() {
            return Err(errors::missing("size or snapshotId"));
        } else {
            disks.push(given);
        }
    }
    Ok(disks)
}

fn root_from(root: &mut Disk, given: Disk, image: &Image) -> Result<(), Fault> {
    let size = given.size_gib.unwrap_or(image.root_size_gib);
    if size < image.root_size_gib {
        return Err(Fault::sender(
            "InvalidBlockDeviceMapping",
            format!(
                "Volume of size {size}GB is smaller than snapshot '{}', expect size>= {}GB",
                image.root_snapshot, image.root_size_gib
            ),
        ));
    }
    let snapshot = root.snapshot.take();
    if given.snapshot.as_ref().is_some_and(|other| other.id != image.root_snapshot) {
        return Err(errors::unsupported("BlockDeviceMapping.Ebs.SnapshotId of the root device"));
    }
    *root = Disk { size_gib: Some(size), snapshot, ..given };
    Ok(())
}

fn disk(
    tx: &Tx,
    request: &Request,
    device_name: String,
    ebs: EbsBlockDevice,
    root: bool,
) -> Result<Disk, Fault> {
    let EbsBlockDevice {
        delete_on_termination,
        iops,
        snapshot_id,
        volume_size,
        volume_type,
        kms_key_id,
        throughput,
        outpost_arn,
        availability_zone,
        encrypted,
        volume_initialization_rate,
        availability_zone_id,
        ebs_card_index,
    } = ebs;
    errors::refuse(&[
        ("BlockDeviceMapping.Ebs.KmsKeyId", kms_key_id.is_some()),
        ("BlockDeviceMapping.Ebs.OutpostArn", outpost_arn.is_some()),
        ("BlockDeviceMapping.Ebs.AvailabilityZone", availability_zone.is_some()),
        ("BlockDeviceMapping.Ebs.AvailabilityZoneId", availability_zone_id.is_some()),
        ("BlockDeviceMapping.Ebs.Encrypted", encrypted == Some(true)),
        ("BlockDeviceMapping.Ebs.VolumeInitializationRate", volume_initialization_rate.is_some()),
        ("BlockDeviceMapping.Ebs.EbsCardIndex", ebs_card_index.is_some_and(|at| at != 0)),
    ])?;
    let snapshot = snapshot_id.map(|id| find::<Snapshot>(tx, &request.scope, &id)).transpose()?;
    let default = if root { VolumeType::Gp3 } else { VolumeType::Gp2 };
    Ok(Disk {
        device_name,
        size_gib: positive(volume_size, "volumeSize")?,
        kind: volume_type.unwrap_or(default),
        iops: positive(iops, "iops")?,
        throughput: positive(throughput, "throughput")?,
        snapshot,
        delete_on_termination: delete_on_termination.unwrap_or(true),
    })
}
