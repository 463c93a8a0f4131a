"""NAT gateways: their states, addresses, routes, filters, pages and faults."""

import pytest
from fogbank_cloud import fault, until


@pytest.fixture
def vpc(ec2):
    """A VPC with an internet gateway."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return vpc


@pytest.fixture
def subnet(ec2, vpc):
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]


@pytest.fixture
def allocation(ec2):
    return ec2.allocate_address()["AllocationId"]


def state(ec2, gateway):
    (row,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
    return row["State"]


def settled(ec2, gateway, *states):
    until(f"{gateway} is {states}", lambda: state(ec2, gateway) in states)
    (row,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
    return row


def test_a_public_gateway_from_its_making_to_its_end(ec2, vpc, subnet, allocation):
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "Name", "Value": "out"}]}]
    call = {
        "SubnetId": subnet, "AllocationId": allocation, "TagSpecifications": tags,
        "ClientToken": "once",
    }
    with fault("DryRunOperation", status=412):
        ec2.create_nat_gateway(**call, DryRun=True)
    made = ec2.create_nat_gateway(**call)
    assert made["ClientToken"] == "once"
    gateway = made["NatGateway"]["NatGatewayId"]
    assert made["NatGateway"]["State"] == "pending"
    assert ec2.create_nat_gateway(**call)["NatGateway"]["NatGatewayId"] == gateway
    waiter = ec2.get_waiter("nat_gateway_available")
    waiter.wait(NatGatewayIds=[gateway], WaiterConfig={"Delay": 1})
    (row,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
    assert (row["VpcId"], row["ConnectivityType"]) == (vpc, "public")
    assert row["Tags"] == [{"Key": "Name", "Value": "out"}]
    (own,) = row["NatGatewayAddresses"]
    assert own["IsPrimary"] and own["Status"] == "succeeded"

    (address,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert address["NetworkInterfaceId"] == own["NetworkInterfaceId"]
    assert (address["PublicIp"], address["PrivateIpAddress"]) == (own["PublicIp"], own["PrivateIp"])
    assert "InstanceId" not in address or not address["InstanceId"]
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[own["NetworkInterfaceId"]])
    (interface,) = found["NetworkInterfaces"]
    assert interface["Description"] == f"Interface for NAT Gateway {gateway}"
    assert (interface["InterfaceType"], interface["Status"]) == ("natGateway", "in-use")
    assert interface["RequesterManaged"] and interface["SubnetId"] == subnet
    with fault("InvalidParameterValue", "in use"):
        ec2.delete_network_interface(NetworkInterfaceId=own["NetworkInterfaceId"])
    with fault("AuthFailure", status=403):
        ec2.disassociate_address(AssociationId=own["AssociationId"])
    with fault("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)

    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway
    )

    def route():
        by = [{"Name": "route.nat-gateway-id", "Values": [gateway]}]
        (row,) = ec2.describe_route_tables(Filters=by)["RouteTables"]
        return next(each for each in row["Routes"] if "NatGatewayId" in each)

    assert (route()["NatGatewayId"], route()["State"]) == (gateway, "active")
    ec2.create_tags(Resources=[gateway], Tags=[{"Key": "Step", "Value": "2"}])
    by = [{"Name": "tag:Step", "Values": ["2"]}, {"Name": "state", "Values": ["available"]}]
    (row,) = ec2.describe_nat_gateways(Filter=by)["NatGateways"]
    assert row["NatGatewayId"] == gateway

    assert ec2.delete_nat_gateway(NatGatewayId=gateway)["NatGatewayId"] == gateway
    assert route()["State"] == "blackhole"
    waiter = ec2.get_waiter("nat_gateway_deleted")
    waiter.wait(NatGatewayIds=[gateway], WaiterConfig={"Delay": 1})
    row = settled(ec2, gateway, "deleted")
    assert row["DeleteTime"] >= row["CreateTime"]
    (address,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert "AssociationId" not in address
    ec2.release_address(AllocationId=allocation)
    ec2.delete_subnet(SubnetId=subnet)
    with fault("InvalidNatGatewayID.NotFound"):
        ec2.replace_route(
            RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway
        )


def test_a_gateway_that_fails_says_why(ec2, allocation):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation)["NatGateway"]
    row = settled(ec2, made["NatGatewayId"], "failed")
    assert row["FailureCode"] == "Gateway.NotAttached"
    assert row["FailureMessage"] == f"Network {vpc} has no Internet gateway attached"
    (address,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert "AssociationId" not in address


def test_more_elastic_addresses(ec2, subnet, allocation):
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation)["NatGateway"]
    gateway = made["NatGatewayId"]
    settled(ec2, gateway, "available")
    second = ec2.allocate_address()["AllocationId"]
    with fault("InvalidAllocationID.NotFound"):
        ec2.associate_nat_gateway_address(
            NatGatewayId=gateway, AllocationIds=["eipalloc-00000000000000000"]
        )
    answer = ec2.associate_nat_gateway_address(NatGatewayId=gateway, AllocationIds=[second])
    (new,) = answer["NatGatewayAddresses"]
    assert (new["AllocationId"], new["Status"], new["IsPrimary"]) == (second, "associating", False)

    def addresses():
        (row,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
        return {own["AllocationId"]: own for own in row["NatGatewayAddresses"]}

    until("it is associated", lambda: addresses()[second]["Status"] == "succeeded")
    with fault("Resource.AlreadyAssociated"):
        ec2.associate_nat_gateway_address(NatGatewayId=gateway, AllocationIds=[second])
    with fault("InvalidParameterValue", "primary"):
        ec2.disassociate_nat_gateway_address(
            NatGatewayId=gateway, AssociationIds=[addresses()[allocation]["AssociationId"]]
        )
    answer = ec2.disassociate_nat_gateway_address(
        NatGatewayId=gateway, AssociationIds=[new["AssociationId"]], MaxDrainDurationSeconds=1
    )
    assert answer["NatGatewayAddresses"][0]["Status"] == "disassociating"
    until("it is gone", lambda: second not in addresses())
    ec2.release_address(AllocationId=second)
    with fault("InvalidParameterValue", "public"):
        ec2.assign_private_nat_gateway_address(NatGatewayId=gateway, PrivateIpAddressCount=1)


def test_a_private_gateway(ec2, subnet):
    made = ec2.create_nat_gateway(
        SubnetId=subnet, ConnectivityType="private", PrivateIpAddress="10.0.1.9",
        SecondaryPrivateIpAddressCount=1,
    )
    gateway = made["NatGateway"]["NatGatewayId"]
    row = settled(ec2, gateway, "available")
    assert [own["IsPrimary"] for own in row["NatGatewayAddresses"]] == [True, False]
    assert row["NatGatewayAddresses"][0]["PrivateIp"] == "10.0.1.9"
    assert "AllocationId" not in row["NatGatewayAddresses"][0]
    answer = ec2.assign_private_nat_gateway_address(
        NatGatewayId=gateway, PrivateIpAddresses=["10.0.1.77"]
    )
    assert answer["NatGatewayAddresses"][0]["Status"] == "assigning"

    def privates():
        (row,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
        return {own["PrivateIp"]: own["Status"] for own in row["NatGatewayAddresses"]}

    until("it is assigned", lambda: privates().get("10.0.1.77") == "succeeded")
    answer = ec2.unassign_private_nat_gateway_address(
        NatGatewayId=gateway, PrivateIpAddresses=["10.0.1.77"], MaxDrainDurationSeconds=1
    )
    assert answer["NatGatewayAddresses"][0]["Status"] == "unassigning"
    until("it is gone", lambda: "10.0.1.77" not in privates())
    with fault("InvalidParameterCombination"):
        ec2.create_nat_gateway(
            SubnetId=subnet, ConnectivityType="private", AllocationId="eipalloc-1"
        )


def test_pages_and_faults(ec2, subnet):
    made = {
        ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"][
            "NatGatewayId"
        ]
        for _ in range(5)
    }
    with fault("NatGatewayLimitExceeded"):
        ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")
    pages = ec2.get_paginator("describe_nat_gateways").paginate(
        Filter=[{"Name": "subnet-id", "Values": [subnet]}], PaginationConfig={"PageSize": 5}
    )
    found = [row["NatGatewayId"] for page in pages for row in page["NatGateways"]]
    assert set(found) == made and len(found) == 5
    with fault("NatGatewayNotFound"):
        ec2.describe_nat_gateways(NatGatewayIds=["nat-00000000000000000"])
    with fault("NatGatewayMalformed"):
        ec2.describe_nat_gateways(NatGatewayIds=["nat"])
    with fault("InvalidParameterValue"):
        ec2.describe_nat_gateways(Filter=[{"Name": "color", "Values": ["red"]}])
    with fault("MissingParameter"):
        ec2.create_nat_gateway(SubnetId=subnet)
