"""Network interfaces and public addresses."""

import pytest
from fogbank_cloud import fault, instance, until, wait_state


@pytest.fixture
def subnet(ec2):
    filters = [{"Name": "availability-zone", "Values": ["us-east-1a"]}]
    return ec2.describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]


@pytest.fixture
def run(ec2, ami, subnet):
    def run(**parameters):
        row = ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1,
            **({"SubnetId": subnet} | parameters),
        )["Instances"][0]
        wait_state(ec2, row["InstanceId"], "running")
        return instance(ec2, row["InstanceId"])

    return run


def test_an_interface(ec2, subnet):
    made = ec2.create_network_interface(
        SubnetId=subnet, Description="spare", PrivateIpAddress="172.31.5.5",
        TagSpecifications=[
            {"ResourceType": "network-interface", "Tags": [{"Key": "a", "Value": "b"}]}
        ],
    )["NetworkInterface"]
    assert made["PrivateIpAddress"] == "172.31.5.5"
    assert made["MacAddress"].startswith("0a:")
    assert made["TagSet"] == [{"Key": "a", "Value": "b"}]
    interface = made["NetworkInterfaceId"]
    ec2.get_waiter("network_interface_available").wait(
        NetworkInterfaceIds=[interface], WaiterConfig={"Delay": 1}
    )
    filters = [{"Name": "addresses.private-ip-address", "Values": ["172.31.5.5"]}]
    (row,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert (row["Status"], row["Description"]) == ("available", "spare")
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface, Description={"Value": "changed"}
    )
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface, SourceDestCheck={"Value": False}
    )
    (row,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    assert (row["Description"], row["SourceDestCheck"]) == ("changed", False)
    with fault("InvalidIPAddress.InUse"):
        ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="172.31.5.5")
    with fault("InvalidParameterValue"):
        ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.0.1")
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    with fault("InvalidNetworkInterfaceID.NotFound", interface):
        ec2.delete_network_interface(NetworkInterfaceId=interface)


def test_a_token_makes_an_interface_once(ec2, subnet):
    first = ec2.create_network_interface(SubnetId=subnet, ClientToken="t")["NetworkInterface"]
    second = ec2.create_network_interface(SubnetId=subnet, ClientToken="t")["NetworkInterface"]
    assert first["NetworkInterfaceId"] == second["NetworkInterfaceId"]
    with fault("IdempotentParameterMismatch"):
        ec2.create_network_interface(SubnetId=subnet, ClientToken="t", Description="x")


def attachment_status(ec2, card):
    (row,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[card])["NetworkInterfaces"]
    return row.get("Attachment", {}).get("Status")


def test_attaching(ec2, subnet, run):
    instance_id = run()["InstanceId"]
    card = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    attach = {"NetworkInterfaceId": card, "InstanceId": instance_id, "DeviceIndex": 1}
    with fault("InvalidParameterValue", "device index '0'"):
        ec2.attach_network_interface(**attach | {"DeviceIndex": 0})
    live = ec2.attach_network_interface(**attach)["AttachmentId"]
    until("it is attached", lambda: attachment_status(ec2, card) == "attached")
    ec2.detach_network_interface(AttachmentId=live)
    until("it is detached", lambda: attachment_status(ec2, card) is None)
    ec2.stop_instances(InstanceIds=[instance_id])
    wait_state(ec2, instance_id, "stopped")
    with fault("InvalidParameterValue", "device index '0'"):
        ec2.attach_network_interface(**attach | {"DeviceIndex": 0})
    attachment = ec2.attach_network_interface(**attach)["AttachmentId"]
    with fault("InvalidNetworkInterface.InUse"):
        ec2.attach_network_interface(**attach | {"DeviceIndex": 2})
    with fault("InvalidParameterValue", "currently in use"):
        ec2.delete_network_interface(NetworkInterfaceId=card)
    cards = instance(ec2, instance_id)["NetworkInterfaces"]
    assert [at["Attachment"]["DeviceIndex"] for at in cards] == [0, 1]
    with fault("OperationNotPermitted"):
        ec2.detach_network_interface(AttachmentId=cards[0]["Attachment"]["AttachmentId"])
    ec2.detach_network_interface(AttachmentId=attachment)
    with fault("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId=attachment)
    ec2.delete_network_interface(NetworkInterfaceId=card)


def test_an_elastic_address_moves(ec2, run):
    one, other = run(), run()
    made = ec2.allocate_address(Domain="vpc")
    allocation = made["AllocationId"]
    assert made["Domain"] == "vpc" and made["PublicIp"].startswith("198.1")
    first = ec2.associate_address(AllocationId=allocation, InstanceId=one["InstanceId"])
    row = instance(ec2, one["InstanceId"])
    assert row["PublicIpAddress"] == made["PublicIp"] != one["PublicIpAddress"]
    (address,) = ec2.describe_addresses()["Addresses"]
    assert address["AssociationId"] == first["AssociationId"]
    assert address["InstanceId"] == one["InstanceId"]
    with fault("Resource.AlreadyAssociated"):
        ec2.associate_address(
            AllocationId=allocation, InstanceId=other["InstanceId"], AllowReassociation=False
        )
    ec2.associate_address(AllocationId=allocation, InstanceId=other["InstanceId"])
    assert instance(ec2, other["InstanceId"])["PublicIpAddress"] == made["PublicIp"]
    assert instance(ec2, one["InstanceId"]).get("PublicIpAddress") != made["PublicIp"]
    with fault("InvalidIPAddress.InUse"):
        ec2.release_address(AllocationId=allocation)
    # It stays over a stop, and is set free at the end.
    ec2.stop_instances(InstanceIds=[other["InstanceId"]])
    wait_state(ec2, other["InstanceId"], "stopped")
    assert instance(ec2, other["InstanceId"])["PublicIpAddress"] == made["PublicIp"]
    ec2.terminate_instances(InstanceIds=[other["InstanceId"]])
    wait_state(ec2, other["InstanceId"], "terminated")
    (address,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert "AssociationId" not in address
    with fault("InvalidAssociationID.NotFound"):
        ec2.disassociate_address(AssociationId=first["AssociationId"])
    ec2.release_address(AllocationId=allocation)
    with fault("InvalidAllocationID.NotFound", allocation):
        ec2.release_address(AllocationId=allocation)


def test_addresses_that_can_not_be(ec2):
    with fault("InvalidAllocationID.NotFound"):
        ec2.describe_addresses(AllocationIds=["eipalloc-0123456789abcdef0"])
    with fault("InvalidAddress.NotFound"):
        ec2.describe_addresses(PublicIps=["203.0.113.1"])
    made = ec2.allocate_address()
    with fault("InvalidInstanceID.NotFound"):
        ec2.associate_address(
            AllocationId=made["AllocationId"], InstanceId="i-0123456789abcdef0"
        )
    with fault("InvalidIPAddress.InUse"):
        ec2.allocate_address(Address=made["PublicIp"])
    answer = ec2.describe_addresses_attribute(Attribute="domain-name")
    assert [at["AllocationId"] for at in answer["Addresses"]] == [made["AllocationId"]]


def test_an_elastic_address_needs_a_gateway(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    card = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    allocation = ec2.allocate_address()["AllocationId"]
    with fault("Gateway.NotAttached", vpc):
        ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=card)


def test_pages_of_interfaces(ec2, subnet):
    for _ in range(7):
        ec2.create_network_interface(SubnetId=subnet)
    paginator = ec2.get_paginator("describe_network_interfaces")
    pages = paginator.paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["NetworkInterfaces"]) for page in pages] == [5, 2]


def test_a_full_subnet(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/28")["Subnet"]["SubnetId"]
    taken = {
        ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["PrivateIpAddress"]
        for _ in range(11)
    }
    assert taken == {f"10.0.0.{at}" for at in range(4, 15)}
    with fault("InsufficientFreeAddressesInSubnet", subnet):
        ec2.create_network_interface(SubnetId=subnet)
