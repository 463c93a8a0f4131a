"""Tags on every kind of resource."""

import pytest
from fogbank_cloud import fault, wait_state


def pairs(**tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def test_tags_of_every_kind_of_resource(ec2, ami):
    row = ec2.run_instances(ImageId=ami, InstanceType="t3.nano", MinCount=1, MaxCount=1)
    row = row["Instances"][0]
    wait_state(ec2, row["InstanceId"], "running")
    resources = {
        "instance": row["InstanceId"],
        "network-interface": row["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "volume": ec2.describe_volumes()["Volumes"][0]["VolumeId"],
        "vpc": row["VpcId"],
        "subnet": row["SubnetId"],
        "security-group": row["SecurityGroups"][0]["GroupId"],
        "security-group-rule": ec2.describe_security_group_rules()["SecurityGroupRules"][0][
            "SecurityGroupRuleId"
        ],
        "internet-gateway": ec2.describe_internet_gateways()["InternetGateways"][0][
            "InternetGatewayId"
        ],
        "route-table": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
        "network-acl": ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"],
        "dhcp-options": ec2.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"],
        "key-pair": ec2.create_key_pair(KeyName="k", KeyType="ed25519")["KeyPairId"],
        "elastic-ip": ec2.allocate_address()["AllocationId"],
    }
    ec2.create_tags(Resources=list(resources.values()), Tags=pairs(stack="test"))
    found = ec2.describe_tags()["Tags"]
    assert {at["ResourceType"]: at["ResourceId"] for at in found} == resources
    assert {(at["Key"], at["Value"]) for at in found} == {("stack", "test")}
    filters = [{"Name": "tag:stack", "Values": ["test"]}]
    assert len(ec2.describe_vpcs(Filters=filters)["Vpcs"]) == 1
    assert len(ec2.describe_addresses(Filters=filters)["Addresses"]) == 1
    assert len(ec2.describe_instances(Filters=filters)["Reservations"]) == 1
    ec2.delete_tags(Resources=list(resources.values()))
    assert ec2.describe_tags()["Tags"] == []


@pytest.fixture
def vpc(ec2):
    return ec2.describe_vpcs()["Vpcs"][0]["VpcId"]


def test_changing_and_deleting(ec2, vpc):
    ec2.create_tags(Resources=[vpc], Tags=pairs(a="1", b="2", c="3", d=""))
    ec2.create_tags(Resources=[vpc], Tags=pairs(a="9"))
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "b"}, {"Key": "c", "Value": "other"}])
    tags = {at["Key"]: at["Value"] for at in ec2.describe_vpcs()["Vpcs"][0]["Tags"]}
    assert tags == {"a": "9", "c": "3", "d": ""}


def test_pages_and_filters_of_tags(ec2, vpc):
    ec2.create_tags(Resources=[vpc], Tags=pairs(**{f"k{at}": "v" for at in range(12)}))
    paginator = ec2.get_paginator("describe_tags")
    pages = paginator.paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["Tags"]) for page in pages] == [5, 5, 2]
    filters = [{"Name": "key", "Values": ["k1*"]}, {"Name": "resource-type", "Values": ["vpc"]}]
    assert {at["Key"] for at in ec2.describe_tags(Filters=filters)["Tags"]} == {"k1", "k10", "k11"}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (pairs(**{"aws:mine": "x"}), "InvalidParameterValue"),
        (pairs(**{"k" * 129: "x"}), "InvalidParameterValue"),
        (pairs(k="x" * 257), "InvalidParameterValue"),
        (pairs(**{f"k{at}": "" for at in range(51)}), "TagLimitExceeded"),
    ],
)
def test_tags_that_can_not_be(ec2, vpc, tags, code):
    with fault(code):
        ec2.create_tags(Resources=[vpc], Tags=tags)
    assert not ec2.describe_vpcs()["Vpcs"][0].get("Tags")


def test_resources_that_do_not_exist(ec2, vpc):
    with fault("InvalidInstanceID.NotFound"):
        ec2.create_tags(Resources=[vpc, "i-0123456789abcdef0"], Tags=pairs(a="b"))
    assert ec2.describe_tags()["Tags"] == [], "all or nothing"
    with fault("InvalidID", "thing-1"):
        ec2.create_tags(Resources=["thing-1"], Tags=pairs(a="b"))
    with fault("DryRunOperation", status=412):
        ec2.create_tags(Resources=[vpc], Tags=pairs(a="b"), DryRun=True)
    assert ec2.describe_tags()["Tags"] == []
