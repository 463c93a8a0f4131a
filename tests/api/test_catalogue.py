"""Images and instance types: what there is to launch."""

import pytest
from fogbank_cloud import fault


def names(page):
    return [row["InstanceType"] for row in page["InstanceTypes"]]


def test_the_whole_catalogue_of_types(ec2):
    pages = list(ec2.get_paginator("describe_instance_types").paginate())
    found = [name for page in pages for name in names(page)]
    assert len(found) == len(set(found)) > 1390
    assert {"t3.micro", "m5.large", "m7g.medium", "c7i.metal-24xl", "p5.48xlarge"} <= set(found)


def test_attributes_of_a_type(ec2):
    (row,) = ec2.describe_instance_types(InstanceTypes=["t3.micro"])["InstanceTypes"]
    assert row["VCpuInfo"]["DefaultVCpus"] == 2
    assert row["MemoryInfo"]["SizeInMiB"] == 1024
    assert row["BurstablePerformanceSupported"] and row["CurrentGeneration"]
    assert row["Hypervisor"] == "nitro" and not row["BareMetal"]
    assert row["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    network = row["NetworkInfo"]
    assert (network["MaximumNetworkInterfaces"], network["Ipv4AddressesPerInterface"]) == (2, 2)
    (metal,) = ec2.describe_instance_types(InstanceTypes=["m5.metal"])["InstanceTypes"]
    assert metal["BareMetal"] and "Hypervisor" not in metal
    with fault("InvalidInstanceType", "[t3.gigantic]"):
        ec2.describe_instance_types(InstanceTypes=["t3.micro", "t3.gigantic"])


def test_filters_of_types(ec2):
    def found(**filters):
        named = [{"Name": key, "Values": [value]} for key, value in filters.items()]
        pages = ec2.get_paginator("describe_instance_types").paginate(Filters=named)
        return {name for page in pages for name in names(page)}

    assert found(**{"instance-type": "t3.*"}) == {
        f"t3.{size}"
        for size in ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge")
    }
    assert "m7g.medium" in found(**{"processor-info.supported-architecture": "arm64"})
    assert "m5.metal" in found(**{"bare-metal": "true"})
    assert found(**{"instance-type": "t3.*", "vcpu-info.default-vcpus": "8"}) == {"t3.2xlarge"}
    with fault("InvalidParameterValue", "colour"):
        found(colour="red")


def test_pages_of_types(ec2):
    paginator = ec2.get_paginator("describe_instance_types")
    config = {"PageSize": 50, "MaxItems": 120}
    sizes = [len(names(page)) for page in paginator.paginate(PaginationConfig=config)]
    assert sizes == [50, 50, 20]
    with fault("InvalidParameterValue"):
        ec2.describe_instance_types(MaxResults=101)


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("region", {"us-east-1"}),
        ("availability-zone", {"us-east-1a", "us-east-1b", "us-east-1c"}),
        ("availability-zone-id", {"use1-az1", "use1-az2", "use1-az3"}),
    ],
)
def test_offerings(ec2, kind, places):
    answer = ec2.describe_instance_type_offerings(
        LocationType=kind, Filters=[{"Name": "instance-type", "Values": ["t3.micro"]}]
    )
    rows = answer["InstanceTypeOfferings"]
    assert {row["Location"] for row in rows} == places
    assert {(row["InstanceType"], row["LocationType"]) for row in rows} == {("t3.micro", kind)}


def test_quick_start_images(ec2):
    images = ec2.describe_images(Owners=["amazon"])["Images"]
    assert {row["Name"].rpartition("-")[0] for row in images} == {
        "fogbank-tiny", "fogbank-debian-12",
    }
    for row in images:
        assert row["State"] == "available" and row["Public"]
        assert row["Architecture"] == "x86_64" and row["VirtualizationType"] == "hvm"
        assert row["ImageOwnerAlias"] == "amazon"
        (disk,) = row["BlockDeviceMappings"]
        assert disk["DeviceName"] == row["RootDeviceName"]
        snapshot = disk["Ebs"]["SnapshotId"]
        (found,) = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
        assert (found["State"], found["VolumeSize"]) == ("completed", disk["Ebs"]["VolumeSize"])


def test_filters_of_images(ec2, ami):
    def found(**parameters):
        return [row["ImageId"] for row in ec2.describe_images(**parameters)["Images"]]

    assert found(ImageIds=[ami]) == [ami]
    assert found(Owners=["self"]) == []
    assert found(ExecutableUsers=["all"], ImageIds=[ami]) == [ami]
    assert ami in found(Filters=[{"Name": "root-device-type", "Values": ["ebs"]}])
    assert found(Filters=[{"Name": "name", "Values": ["fogbank-tiny-*", "nothing"]}]) == [ami]
    assert found(Filters=[{"Name": "architecture", "Values": ["arm64"]}]) == []
    with fault("InvalidAMIID.NotFound", "ami-0123456789abcdef0"):
        found(ImageIds=[ami, "ami-0123456789abcdef0"])
    with fault("InvalidAMIID.Malformed"):
        found(ImageIds=["ami-x"])
    pages = ec2.get_paginator("describe_images").paginate(
        Owners=["amazon"], PaginationConfig={"PageSize": 1}
    )
    assert [len(page["Images"]) for page in pages] == [1, 1]


def test_attributes_of_anothers_image_are_refused(ec2, ami):
    with fault("AuthFailure", ami, 403):
        ec2.describe_image_attribute(ImageId=ami, Attribute="description")


def test_the_image_of_one_account_is_the_same_in_all(open_cloud, ec2, ami):
    other = open_cloud.client(key="999999999999", secret="x", region="eu-west-1")
    (row,) = other.describe_images(ImageIds=[ami])["Images"]
    assert row["ImageId"] == ami
