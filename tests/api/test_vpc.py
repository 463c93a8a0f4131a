"""VPCs, subnets, gateways and route tables."""

import pytest
from fogbank_cloud import REGION, fault


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture
def subnet(ec2, vpc):
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]


def of(vpc):
    return [{"Name": "vpc-id", "Values": [vpc]}]


def test_a_vpc_and_what_comes_with_it(ec2):
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "lab"}]}]
    made = ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=tags)["Vpc"]
    assert made["State"] == "pending"
    assert not made["IsDefault"] and made["InstanceTenancy"] == "default"
    vpc = made["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc], WaiterConfig={"Delay": 1})
    (row,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert (row["State"], row["CidrBlock"]) == ("available", "10.7.0.0/16")
    assert row["Tags"] == [{"Key": "Name", "Value": "lab"}]
    assert len(ec2.describe_route_tables(Filters=of(vpc))["RouteTables"]) == 1
    assert len(ec2.describe_network_acls(Filters=of(vpc))["NetworkAcls"]) == 1
    (group,) = ec2.describe_security_groups(Filters=of(vpc))["SecurityGroups"]
    assert group["GroupName"] == "default"
    ec2.delete_vpc(VpcId=vpc)
    with fault("InvalidVpcID.NotFound", vpc):
        ec2.describe_vpcs(VpcIds=[vpc])
    assert ec2.describe_route_tables(Filters=of(vpc))["RouteTables"] == []


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("10.0.0.0/33", "InvalidParameterValue"),
        ("10.0.0/16", "InvalidParameterValue"),
        ("hello", "InvalidParameterValue"),
    ],
)
def test_blocks_that_can_not_be_a_vpcs(ec2, cidr, code):
    with fault(code, cidr):
        ec2.create_vpc(CidrBlock=cidr)


def test_a_block_is_aligned(ec2):
    assert ec2.create_vpc(CidrBlock="10.0.3.7/16")["Vpc"]["CidrBlock"] == "10.0.0.0/16"


def test_attributes_of_a_vpc(ec2, vpc):
    def attribute(name, key):
        return ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)[key]["Value"]

    assert attribute("enableDnsSupport", "EnableDnsSupport") is True
    assert attribute("enableDnsHostnames", "EnableDnsHostnames") is False
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert attribute("enableDnsHostnames", "EnableDnsHostnames") is True
    with fault("InvalidParameterCombination"):
        ec2.modify_vpc_attribute(
            VpcId=vpc, EnableDnsSupport={"Value": True}, EnableDnsHostnames={"Value": True}
        )


def test_a_vpc_that_others_depend_on(ec2, vpc, subnet):
    with fault("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted."):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_pages_and_filters_of_vpcs(ec2):
    for at in range(11):
        ec2.create_vpc(CidrBlock=f"10.{at}.0.0/16")
    paginator = ec2.get_paginator("describe_vpcs")
    pages = paginator.paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["Vpcs"]) for page in pages] == [5, 5, 2]
    (default,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert default["CidrBlock"] == "172.31.0.0/16"
    filters = [{"Name": "cidr", "Values": ["10.1*.0.0/16"]}]
    assert len(ec2.describe_vpcs(Filters=filters)["Vpcs"]) == 2


def test_a_subnet(ec2, vpc):
    made = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.1.0/28", AvailabilityZone=f"{REGION}b"
    )["Subnet"]
    assert made["AvailabilityZone"] == f"{REGION}b"
    assert made["AvailableIpAddressCount"] == 11
    assert made["MapPublicIpOnLaunch"] is False and made["DefaultForAz"] is False
    assert made["SubnetArn"].endswith(f":subnet/{made['SubnetId']}")
    waiter = ec2.get_waiter("subnet_available")
    waiter.wait(SubnetIds=[made["SubnetId"]], WaiterConfig={"Delay": 1})
    ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    (row,) = ec2.describe_subnets(SubnetIds=[made["SubnetId"]])["Subnets"]
    assert row["MapPublicIpOnLaunch"] is True


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.9.0/29", "InvalidSubnet.Range"),
        ("10.0.9.0", "InvalidParameterValue"),
    ],
)
def test_blocks_that_can_not_be_a_subnets(ec2, vpc, subnet, cidr, code):
    with fault(code, cidr):
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)


def test_a_subnet_of_no_zone_or_vpc(ec2, vpc):
    with fault("InvalidParameterValue", "us-east-1z"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1z")
    with fault("InvalidVpcID.NotFound"):
        ec2.create_subnet(VpcId="vpc-0123456789abcdef0", CidrBlock="10.0.1.0/24")


def test_a_subnet_in_use(ec2, subnet):
    card = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    with fault("DependencyViolation", subnet):
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_network_interface(NetworkInterfaceId=card)
    ec2.delete_subnet(SubnetId=subnet)
    with fault("InvalidSubnetID.NotFound", subnet):
        ec2.delete_subnet(SubnetId=subnet)


def test_an_internet_gateway(ec2, vpc):
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ids = {"InternetGatewayId": gateway, "VpcId": vpc}
    with fault("Gateway.NotAttached", gateway):
        ec2.detach_internet_gateway(**ids)
    ec2.attach_internet_gateway(**ids)
    with fault("Resource.AlreadyAssociated", gateway):
        ec2.attach_internet_gateway(**ids)
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with fault("InvalidParameterValue", vpc):
        ec2.attach_internet_gateway(InternetGatewayId=other, VpcId=vpc)
    filters = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    (row,) = ec2.describe_internet_gateways(Filters=filters)["InternetGateways"]
    assert row["InternetGatewayId"] == gateway
    with fault("DependencyViolation", gateway):
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.detach_internet_gateway(**ids)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    with fault("InvalidInternetGatewayID.NotFound", gateway):
        ec2.delete_internet_gateway(InternetGatewayId=gateway)


def test_routes(ec2, vpc, subnet):
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    card = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    anywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    with fault("InvalidParameterValue", gateway):
        ec2.create_route(GatewayId=gateway, **anywhere)
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert ec2.create_route(GatewayId=gateway, **anywhere)["Return"]
    with fault("RouteAlreadyExists", "0.0.0.0/0"):
        ec2.create_route(NetworkInterfaceId=card, **anywhere)
    with fault("RouteAlreadyExists", "10.0.0.0/16"):
        ec2.create_route(
            RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", GatewayId=gateway
        )
    with fault("InvalidParameterCombination"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="192.168.0.0/16")
    ec2.replace_route(NetworkInterfaceId=card, **anywhere)
    (row,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    found = {at["DestinationCidrBlock"]: at for at in row["Routes"]}
    assert found["10.0.0.0/16"]["GatewayId"] == "local"
    assert found["10.0.0.0/16"]["Origin"] == "CreateRouteTable"
    assert found["0.0.0.0/0"]["NetworkInterfaceId"] == card
    with fault("InvalidParameterValue", "CreateRoute"):
        ec2.replace_route(
            RouteTableId=table, DestinationCidrBlock="192.168.0.0/16", NetworkInterfaceId=card
        )
    with fault("InvalidParameterValue", "local route"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16")
    ec2.delete_route(**anywhere)
    with fault("InvalidRoute.NotFound", table):
        ec2.delete_route(**anywhere)


def test_associations_of_route_tables(ec2, vpc, subnet):
    (main,) = ec2.describe_route_tables(Filters=of(vpc))["RouteTables"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    answer = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert answer["AssociationState"]["State"] == "associated"
    association = answer["AssociationId"]
    other = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    with fault("Resource.AlreadyAssociated"):
        ec2.associate_route_table(RouteTableId=other, SubnetId=subnet)
    with fault("DependencyViolation", table):
        ec2.delete_route_table(RouteTableId=table)
    replaced = ec2.replace_route_table_association(
        AssociationId=association, RouteTableId=other
    )["NewAssociationId"]
    assert replaced != association
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (row,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    assert row["RouteTableId"] == other
    ec2.disassociate_route_table(AssociationId=replaced)
    with fault("InvalidAssociationID.NotFound"):
        ec2.disassociate_route_table(AssociationId=replaced)
    main_association = main["Associations"][0]["RouteTableAssociationId"]
    with fault("InvalidParameterValue", main_association):
        ec2.disassociate_route_table(AssociationId=main_association)
    ec2.replace_route_table_association(AssociationId=main_association, RouteTableId=table)
    filters = [*of(vpc), {"Name": "association.main", "Values": ["true"]}]
    (row,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    assert row["RouteTableId"] == table
    ec2.delete_route_table(RouteTableId=main["RouteTableId"])


def test_pages_of_subnets_and_tables(ec2, vpc):
    for at in range(7):
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{at}.0/24")
        ec2.create_route_table(VpcId=vpc)
    for operation, key, count in (
        ("describe_subnets", "Subnets", 7), ("describe_route_tables", "RouteTables", 8),
    ):
        pages = ec2.get_paginator(operation).paginate(
            Filters=of(vpc), PaginationConfig={"PageSize": 5}
        )
        assert [len(page[key]) for page in pages] == [5, count - 5]


def test_dry_runs(ec2, vpc):
    for call, parameters in (
        (ec2.create_vpc, {"CidrBlock": "10.9.0.0/16"}),
        (ec2.delete_vpc, {"VpcId": vpc}),
        (ec2.create_subnet, {"VpcId": vpc, "CidrBlock": "10.0.0.0/24"}),
        (ec2.create_internet_gateway, {}),
        (ec2.create_route_table, {"VpcId": vpc}),
    ):
        with fault("DryRunOperation", status=412):
            call(DryRun=True, **parameters)
    assert len(ec2.describe_vpcs()["Vpcs"]) == 2
    assert ec2.describe_subnets(Filters=of(vpc))["Subnets"] == []


def test_prefix_lists(ec2):
    assert ec2.describe_prefix_lists()["PrefixLists"] == []
