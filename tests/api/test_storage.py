"""Volumes and snapshots, as far as launches make them."""

import pytest
from fogbank_cloud import fault, image, wait_state


@pytest.fixture
def volume(ec2, ami):
    row = ec2.run_instances(ImageId=ami, InstanceType="t3.nano", MinCount=1, MaxCount=1)
    wait_state(ec2, row["Instances"][0]["InstanceId"], "running")
    return ec2.describe_volumes()["Volumes"][0]


def test_a_root_volume(ec2, volume):
    assert volume["State"] == "in-use" and volume["VolumeType"] == "gp3"
    assert (volume["Iops"], volume["Throughput"]) == (3000, 125)
    assert volume["Encrypted"] is False and volume["MultiAttachEnabled"] is False
    (attachment,) = volume["Attachments"]
    assert attachment["Device"] == "/dev/xvda" and attachment["State"] == "attached"
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[volume["SnapshotId"]])["Snapshots"]
    assert snapshot["VolumeSize"] <= volume["Size"]


def test_filters_of_volumes(ec2, volume):
    def found(**filters):
        named = [{"Name": key, "Values": [value]} for key, value in filters.items()]
        return [row["VolumeId"] for row in ec2.describe_volumes(Filters=named)["Volumes"]]

    ids = [volume["VolumeId"]]
    instance_id = volume["Attachments"][0]["InstanceId"]
    assert found(**{"attachment.instance-id": instance_id}) == ids
    assert found(**{"status": "in-use", "volume-type": "gp3"}) == ids
    assert found(**{"attachment.device": "/dev/sdz"}) == []
    assert found(**{"snapshot-id": volume["SnapshotId"]}) == ids
    with fault("InvalidParameterValue", "colour"):
        found(colour="red")
    with fault("InvalidVolume.NotFound", "vol-0123456789abcdef0"):
        ec2.describe_volumes(VolumeIds=["vol-0123456789abcdef0"])


def test_pages_of_volumes(ec2, ami):
    ec2.run_instances(ImageId=ami, InstanceType="t3.nano", MinCount=7, MaxCount=7)
    pages = ec2.get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["Volumes"]) for page in pages] == [5, 2]


def test_snapshots(ec2):
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert len(ec2.describe_snapshots(OwnerIds=["amazon"])["Snapshots"]) >= 2
    with fault("InvalidSnapshot.NotFound", "snap-0123456789abcdef0"):
        ec2.describe_snapshots(SnapshotIds=["snap-0123456789abcdef0"])


@pytest.mark.parametrize(
    ("disk", "code", "message"),
    [
        ({"VolumeType": "gp3", "VolumeSize": 70000}, "InvalidParameterValue", "65536"),
        ({"VolumeType": "io1", "VolumeSize": 10}, "MissingParameter", "iops"),
        ({"VolumeType": "gp3", "VolumeSize": 10, "Iops": 100}, "InvalidParameterValue", "3000"),
        ({"VolumeType": "gp2", "VolumeSize": 10, "Iops": 3000}, "InvalidParameterCombination",
         "gp2"),
        ({"VolumeType": "st1", "VolumeSize": 10}, "InvalidParameterValue", "125"),
        ({"VolumeType": "gp3", "VolumeSize": 10, "Encrypted": True}, "UnsupportedOperation",
         "Encrypted"),
    ],
)
def test_volumes_that_can_not_be(ec2, ami, disk, code, message):
    with fault(code, message):
        ec2.run_instances(
            ImageId=ami, InstanceType="t3.nano", MinCount=1, MaxCount=1,
            BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": disk}],
        )
    assert ec2.describe_volumes()["Volumes"] == []


def test_a_root_smaller_than_its_image(ec2):
    with fault("InvalidBlockDeviceMapping", "is smaller than snapshot"):
        ec2.run_instances(
            ImageId=image(ec2, "debian-12"), InstanceType="t3.nano", MinCount=1, MaxCount=1,
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 2}}],
        )
