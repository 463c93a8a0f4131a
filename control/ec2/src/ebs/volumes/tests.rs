//! Tests of the volumes.

use super::*;
use crate::testing::{filter, request, request_of, tx};
use types::AccountId;

fn new(kind: VolumeType, size_gib: u32) -> NewVolume {
    NewVolume {
        zone: request().scope.region.zone('a'),
        size_gib,
        kind,
        iops: None,
        throughput: None,
        snapshot: None,
        encrypted: false,
        host: "host".to_owned(),
        tags: Tags::new(),
    }
}

#[test]
fn types_have_their_rules() {
    use VolumeType::{Gp2, Gp3, Io1, Io2, Sc1, St1, Standard};
    for (kind, size, iops, throughput, expected) in [
        (Gp3, 8, None, None, Ok((Some(3000), Some(125)))),
        (Gp3, 1, Some(3000), None, Ok((Some(3000), Some(125)))),
        (Gp3, 65_536, Some(80_000), Some(2000), Ok((Some(80_000), Some(2000)))),
        (Gp2, 8, None, None, Ok((Some(100), None))),
        (Gp2, 100, None, None, Ok((Some(300), None))),
        (Gp2, 16_384, None, None, Ok((Some(16_000), None))),
        (Io1, 4, Some(200), None, Ok((Some(200), None))),
        (Io2, 256, Some(256_000), None, Ok((Some(256_000), None))),
        (St1, 125, None, None, Ok((None, None))),
        (Standard, 1, None, None, Ok((None, None))),
        (
            Gp3,
            0,
            None,
            None,
            Err("Volume of 0GiB is too small for volume type gp3; minimum is 1GiB"),
        ),
        (
            Sc1,
            16_385,
            None,
            None,
            Err("Volume of 16385GiB is too large for volume type sc1; maximum is 16384GiB"),
        ),
        (Gp2, 8, Some(100), None, Err("The parameter iops is not supported for gp2 volumes.")),
        (
            Io2,
            8,
            Some(100),
            Some(125),
            Err("The parameter throughput is not supported for io2 volumes."),
        ),
        (Io1, 8, None, None, Err("The parameter iops must be specified for io1 volumes.")),
        (Io1, 8, Some(99), None, Err("Volume iops of 99 is too low; minimum is 100.")),
        (Gp3, 500, Some(80_001), None, Err("Volume iops of 80001 is too high; maximum is 80000.")),
        (
            Gp3,
            20,
            Some(15_000),
            None,
            Err("Iops to volume size ratio of 750.000000 is too high; maximum is 500"),
        ),
        (
            Gp3,
            20,
            None,
            Some(1000),
            Err(
                "Throughput (MiBps) to iops ratio of 0.333333 is too high; maximum is 0.250000 MiBps per iops",
            ),
        ),
        (Gp3, 20, None, Some(124), Err("Volume throughput of 124 is too low; minimum is 125.")),
    ] {
        let new = NewVolume { iops, throughput, ..new(kind, size) };
        let result = performance(&new).map_err(|fault| fault.message);
        assert_eq!(result, expected.map_err(ToOwned::to_owned));
    }
}

#[test]
fn a_volume_follows_its_snapshot() {
    let mut tx = tx();
    let scope = request().scope;
    let snapshot = Snapshot {
        id: tx.new_id(),
        scope: None,
        owner: AccountId::SYSTEM,
        volume: None,
        size_gib: 4,
        image: "tiny-1".to_owned(),
        description: String::new(),
        start_time: tx.now(),
        encrypted: true,
        tags: Tags::new(),
    };
    tx.put(snapshot.clone());
    let from = |size| NewVolume { snapshot: Some(snapshot.id), ..new(VolumeType::Gp3, size) };
    let fault = create(&mut tx, &scope, from(3)).unwrap_err();
    assert_eq!(fault.code, "InvalidBlockDeviceMapping");
    let volume = create(&mut tx, &scope, from(5)).unwrap();
    assert!(volume.encrypted);
    let desired = desired(tx.state(), volume.id).unwrap();
    assert_eq!(desired.size_bytes, 5 << 30);
    let image = "tiny-1".to_owned();
    assert_eq!(desired.source, Some(storage::Source { snapshot: snapshot.id, image }));
    assert!(!desired.delete);
    let missing = NewVolume { snapshot: Some(tx.new_id()), ..new(VolumeType::Gp3, 8) };
    assert_eq!(create(&mut tx, &scope, missing).unwrap_err().code, "InvalidSnapshot.NotFound");
}

#[test]
fn hosts_move_volumes_on() {
    let mut tx = tx();
    let scope = request().scope;
    let id = create(&mut tx, &scope, new(VolumeType::Gp3, 8)).unwrap().id;
    let mut see = |state: HostState, change: Option<VolumeState>| {
        if let Some(state) = change {
            tx.update::<Volume>(&id, |row| row.state = state);
        }
        observe(&mut tx, &VolumeObserved { volume: id, state });
        tx.get::<Volume>(&id).map(|row| row.state)
    };
    assert_eq!(see(HostState::Ready, None), Some(VolumeState::Available));
    assert_eq!(see(HostState::Failed("disk".to_owned()), None), Some(VolumeState::Error));
    assert_eq!(see(HostState::Ready, None), Some(VolumeState::Available));
    assert_eq!(see(HostState::Deleted, None), Some(VolumeState::Error));
    let deleting = Some(VolumeState::Deleting);
    assert_eq!(see(HostState::Ready, deleting), Some(VolumeState::Deleting));
    assert_eq!(see(HostState::Deleted, None), None);
    assert_eq!(see(HostState::Ready, None), None);
}

#[test]
fn answers() {
    let mut tx = tx();
    let scope = request().scope;
    let volume = create(&mut tx, &scope, new(VolumeType::Gp3, 8)).unwrap();
    create(&mut tx, &scope, new(VolumeType::St1, 125)).unwrap();
    create(&mut tx, &request_of(AccountId::SYSTEM).scope, new(VolumeType::Gp2, 8)).unwrap();
    assert_eq!(to_instance_api(&volume), None);
    let instance = tx.new_id();
    tx.update::<Volume>(&volume.id, |row| {
        row.attachment = Some(Attachment {
            instance,
            device_name: "/dev/xvda".to_owned(),
            attach_time: row.create_time,
            delete_on_termination: true,
            attached: true,
        });
    });
    let describe = |filters, volume_ids| {
        let input = DescribeVolumesRequest { filters, volume_ids, ..Default::default() };
        describe_volumes(tx.state(), &request(), input).map(|result| result.volumes.unwrap())
    };
    assert_eq!(describe(None, None).unwrap().len(), 2);
    let instance = instance.to_string();
    let filters = vec![
        filter("attachment.instance-id", &[&instance]),
        filter("attachment.status", &["attached"]),
        filter("status", &["creating"]),
        filter("size", &["8"]),
    ];
    let found = describe(Some(filters), None).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].snapshot_id.as_deref(), Some(""));
    let attachment = &found[0].attachments.as_ref().unwrap()[0];
    assert_eq!(attachment.instance_id.as_ref(), Some(&instance));
    let row = tx.get::<Volume>(&volume.id).unwrap();
    let device = to_instance_api(row).unwrap();
    assert_eq!(device.status, Some(AttachmentStatus::Attached));
    let fault = describe(None, Some(vec!["vol-00000000000000001".to_owned()])).unwrap_err();
    assert_eq!(fault.message, "The volume 'vol-00000000000000001' does not exist.");
}
