"""Accounts and regions: what each has of its own, and what `--trust-any-key` means."""

import http.client
import time

from fogbank_cloud import REGION, fault, image


def vpcs(client):
    return {vpc["VpcId"] for vpc in client.describe_vpcs()["Vpcs"]}


def test_caller_identity(api_cloud):
    identity = api_cloud.client("sts").get_caller_identity()
    account = identity["Account"]
    assert len(account) == 12 and account.isdigit()
    assert identity["Arn"] == f"arn:aws:iam::{account}:root"
    assert identity["UserId"]


def test_a_12_digit_key_is_the_account(open_cloud, account):
    sts = open_cloud.client("sts", key=account, secret="whatever")
    assert sts.get_caller_identity()["Account"] == account
    other = open_cloud.client("sts", key="test", secret="test")
    assert other.get_caller_identity()["Account"] == "123456789012"


def test_accounts_do_not_see_each_other(open_cloud, account):
    mine = open_cloud.client(key=account, secret="x")
    other = open_cloud.client(key=str(int(account) + 500_000), secret="x")
    vpc = mine.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    assert vpc in vpcs(mine)
    assert vpcs(mine).isdisjoint(vpcs(other))
    with fault("InvalidVpcID.NotFound", vpc):
        other.describe_vpcs(VpcIds=[vpc])
    with fault("InvalidVpcID.NotFound", vpc):
        other.delete_vpc(VpcId=vpc)
    with fault("InvalidVpcID.NotFound", vpc):
        other.create_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "b"}])
    assert vpc in vpcs(mine)


def test_regions_do_not_see_each_other(open_cloud, account):
    here = open_cloud.client(key=account, secret="x")
    there = open_cloud.client(key=account, secret="x", region="eu-central-1")
    assert vpcs(here).isdisjoint(vpcs(there))
    zones = there.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [f"eu-central-1{at}" for at in "abc"]
    here.create_key_pair(KeyName="k", KeyType="ed25519")
    assert there.describe_key_pairs()["KeyPairs"] == []
    vpc = next(iter(vpcs(here)))
    with fault("InvalidVpcID.NotFound", vpc):
        there.describe_vpcs(VpcIds=[vpc])


def test_every_region_name_works(open_cloud, account):
    for region in ("us-gov-west-1", "cn-north-1", "ap-southeast-7", "mars-north-1"):
        client = open_cloud.client(key=account, secret="x", region=region)
        assert len(vpcs(client)) == 1
        assert image(client)


def test_the_default_vpc(ec2):
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert (vpc["IsDefault"], vpc["CidrBlock"], vpc["State"]) == (
        True, "172.31.0.0/16", "available",
    )
    subnets = ec2.describe_subnets()["Subnets"]
    assert {subnet["AvailabilityZone"] for subnet in subnets} == {f"{REGION}{at}" for at in "abc"}
    for subnet in subnets:
        assert subnet["VpcId"] == vpc["VpcId"]
        assert subnet["DefaultForAz"] and subnet["MapPublicIpOnLaunch"]
        assert subnet["AvailableIpAddressCount"] == 4096 - 5
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"] == [{"State": "available", "VpcId": vpc["VpcId"]}]
    (table,) = ec2.describe_route_tables()["RouteTables"]
    assert table["Associations"][0]["Main"]
    routes = {at["DestinationCidrBlock"]: at["GatewayId"] for at in table["Routes"]}
    assert routes == {"172.31.0.0/16": "local", "0.0.0.0/0": gateway["InternetGatewayId"]}
    (group,) = ec2.describe_security_groups()["SecurityGroups"]
    assert (group["GroupName"], group["Description"]) == ("default", "default VPC security group")
    (ingress,) = group["IpPermissions"]
    assert ingress["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    (egress,) = group["IpPermissionsEgress"]
    assert egress["IpProtocol"] == "-1"
    assert egress["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    (acl,) = ec2.describe_network_acls()["NetworkAcls"]
    assert acl["IsDefault"] and len(acl["Associations"]) == 3
    (options,) = ec2.describe_dhcp_options()["DhcpOptions"]
    configuration = {at["Key"]: at["Values"][0]["Value"] for at in options["DhcpConfigurations"]}
    assert configuration == {
        "domain-name": "ec2.internal", "domain-name-servers": "AmazonProvidedDNS",
    }
    assert options["DhcpOptionsId"] == vpc["DhcpOptionsId"]


def test_a_default_vpc_that_was_deleted_stays_away(ec2):
    with fault("DefaultVpcAlreadyExists"):
        ec2.create_default_vpc()
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    ids = {"InternetGatewayId": gateway["InternetGatewayId"]}
    ec2.detach_internet_gateway(VpcId=vpc["VpcId"], **ids)
    ec2.delete_internet_gateway(**ids)
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    assert ec2.describe_vpcs()["Vpcs"] == []
    with fault("VPCIdNotSpecified"):
        ec2.run_instances(ImageId=image(ec2), InstanceType="t3.micro", MinCount=1, MaxCount=1)
    made = ec2.create_default_vpc()["Vpc"]
    assert made["IsDefault"]
    assert len(ec2.describe_subnets()["Subnets"]) == 3
    zone = f"{REGION}a"
    with fault("DefaultSubnetAlreadyExistsInAvailabilityZone"):
        ec2.create_default_subnet(AvailabilityZone=zone)
    filters = [{"Name": "availability-zone", "Values": [zone]}]
    (old,) = ec2.describe_subnets(Filters=filters)["Subnets"]
    ec2.delete_subnet(SubnetId=old["SubnetId"])
    subnet = ec2.create_default_subnet(AvailabilityZone=zone)["Subnet"]
    assert (subnet["DefaultForAz"], subnet["AvailabilityZone"]) == (True, zone)


def test_account_attributes(ec2):
    attributes = ec2.describe_account_attributes()["AccountAttributes"]
    values = {
        at["AttributeName"]: [value["AttributeValue"] for value in at["AttributeValues"]]
        for at in attributes
    }
    assert values["supported-platforms"] == ["VPC"]
    assert values["default-vpc"] == [ec2.describe_vpcs()["Vpcs"][0]["VpcId"]]
    (one,) = ec2.describe_account_attributes(AttributeNames=["supported-platforms"])[
        "AccountAttributes"
    ]
    assert one["AttributeName"] == "supported-platforms"


def test_regions_and_zones(ec2):
    regions = ec2.describe_regions()["Regions"]
    names = [region["RegionName"] for region in regions]
    assert {"us-east-1", "us-west-2", "eu-central-1"} <= set(names)
    assert all(region["Endpoint"] and region["OptInStatus"] for region in regions)
    assert len(ec2.describe_regions(AllRegions=True)["Regions"]) > len(names)
    (one,) = ec2.describe_regions(RegionNames=["eu-west-1"])["Regions"]
    assert one["RegionName"] == "eu-west-1"
    with fault("InvalidParameterValue", "us-moon-1"):
        ec2.describe_regions(RegionNames=["us-moon-1"])
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [f"{REGION}{at}" for at in "abc"]
    assert {zone["State"] for zone in zones} == {"available"}
    filters = [{"Name": "zone-id", "Values": [zones[1]["ZoneId"]]}]
    (one,) = ec2.describe_availability_zones(Filters=filters)["AvailabilityZones"]
    assert one["ZoneName"] == zones[1]["ZoneName"]
    with fault("InvalidParameterValue", f"{REGION}z"):
        ec2.describe_availability_zones(ZoneNames=[f"{REGION}z"])


def test_reset_by_request(open_cloud, account):
    """Wipes all accounts of the cloud within a second; the images stay."""
    ec2 = open_cloud.client(key=account, secret="x")
    ami = image(ec2)
    before = vpcs(ec2)
    ec2.run_instances(ImageId=ami, InstanceType="t3.nano", MinCount=20, MaxCount=20)
    ec2.create_key_pair(KeyName="k", KeyType="ed25519")
    ec2.allocate_address()
    connection = http.client.HTTPConnection("127.0.0.1", open_cloud.port, timeout=15)
    began = time.monotonic()
    connection.request("POST", "/_fogbank/reset")
    answer = connection.getresponse()
    took = time.monotonic() - began
    assert answer.status == 200, answer.read()
    connection.close()
    assert took < 1
    assert image(ec2) == ami
    assert vpcs(ec2).isdisjoint(before), "a new default VPC"
    assert ec2.describe_instances()["Reservations"] == []
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    assert ec2.describe_addresses()["Addresses"] == []
