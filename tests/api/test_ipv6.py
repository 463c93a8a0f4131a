"""IPv6 in VPCs: blocks, addresses, routes, rules, reservations."""

import ipaddress

import pytest
from fogbank_cloud import fault, instance, wait_state

ANYWHERE = "::/0"


@pytest.fixture
def vpc(ec2):
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    return made["VpcId"]


@pytest.fixture
def block(ec2, vpc):
    (row,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    (association,) = row["Ipv6CidrBlockAssociationSet"]
    return ipaddress.ip_network(association["Ipv6CidrBlock"])


@pytest.fixture
def subnet(ec2, vpc, block):
    return ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.1.0/24", Ipv6CidrBlock=str(first(block, 64)),
        AvailabilityZone="us-east-1a",
    )["Subnet"]["SubnetId"]


@pytest.fixture
def run(ec2, ami):
    def run(subnet=None, **parameters):
        where = {"SubnetId": subnet} if subnet else {}
        row = ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, **where, **parameters
        )["Instances"][0]
        wait_state(ec2, row["InstanceId"], "running")
        return instance(ec2, row["InstanceId"])

    return run


def first(block, length, skip=0):
    subnets = block.subnets(new_prefix=length)
    for _ in range(skip):
        next(subnets)
    return next(subnets)


def by(name, *values):
    return [{"Name": name, "Values": [str(value) for value in values]}]


def addresses(row):
    return [one["Ipv6Address"] for one in row["Ipv6Addresses"]]


def test_blocks_of_a_vpc(ec2):
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    (association,) = made["Ipv6CidrBlockAssociationSet"]
    assert association["Ipv6CidrBlockState"]["State"] == "associating"
    assert association["NetworkBorderGroup"] == "us-east-1"
    vpc = made["VpcId"]
    (row,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    (association,) = row["Ipv6CidrBlockAssociationSet"]
    assert association["Ipv6CidrBlockState"]["State"] == "associated"
    block = ipaddress.ip_network(association["Ipv6CidrBlock"])
    assert block.prefixlen == 56 and block.is_private

    second = ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    second = second["Ipv6CidrBlockAssociation"]
    for name, value in [
        ("ipv6-cidr-block-association.ipv6-cidr-block", block),
        ("ipv6-cidr-block-association.association-id", second["AssociationId"]),
        ("ipv6-cidr-block-association.state", "associated"),
        ("ipv6-cidr-block-association.ipv6-pool", "Amazon"),
    ]:
        (found,) = ec2.describe_vpcs(Filters=by(name, value))["Vpcs"]
        assert found["VpcId"] == vpc, name
    gone = ec2.disassociate_vpc_cidr_block(AssociationId=second["AssociationId"])
    assert gone["Ipv6CidrBlockAssociation"]["Ipv6CidrBlockState"]["State"] == "disassociating"
    with fault("InvalidVpcCidrBlockAssociationID.NotFound", second["AssociationId"]):
        ec2.disassociate_vpc_cidr_block(AssociationId=second["AssociationId"])
    for _ in range(4):
        ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    with fault("CidrLimitExceeded"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    with fault("UnsupportedOperation", "Ipv6Pool"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", Ipv6Pool="ipv6pool-ec2-012345")
    with fault("DryRunOperation", status=412):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True, DryRun=True)


def test_accounts_have_blocks_of_their_own(open_cloud):
    seen = set()
    for account in ("111111111111", "222222222222", "333333333333"):
        client = open_cloud.client("ec2", key=account, secret="x")
        for _ in range(3):
            made = client.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)
            (association,) = made["Vpc"]["Ipv6CidrBlockAssociationSet"]
            seen.add(association["Ipv6CidrBlock"])
    assert len(seen) == 9


def test_blocks_of_subnets(ec2, vpc, block):
    outside = "2001:db8::/64"
    for cidr, code in [
        (outside, "InvalidSubnet.Range"),
        (str(first(block, 62)), "InvalidSubnet.Range"),
        (str(first(block, 68)), "InvalidSubnet.Range"),
        ("hello", "InvalidParameterValue"),
    ]:
        with fault(code):
            ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", Ipv6CidrBlock=cidr)
    with fault("MissingParameter"):
        ec2.create_subnet(VpcId=vpc, Ipv6CidrBlock=str(first(block, 64)))
    with fault("UnsupportedOperation", "Ipv6Native"):
        ec2.create_subnet(VpcId=vpc, Ipv6CidrBlock=str(first(block, 64)), Ipv6Native=True)
    made = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.1.0/24", Ipv6CidrBlock=str(first(block, 64))
    )["Subnet"]
    (association,) = made["Ipv6CidrBlockAssociationSet"]
    assert association["Ipv6CidrBlock"] == str(first(block, 64))
    with fault("InvalidSubnet.Conflict"):
        ec2.create_subnet(
            VpcId=vpc, CidrBlock="10.0.2.0/24", Ipv6CidrBlock=str(first(block, 60))
        )
    plain = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
    wide = str(first(block, 60, skip=1))
    given = ec2.associate_subnet_cidr_block(SubnetId=plain, Ipv6CidrBlock=wide)
    given = given["Ipv6CidrBlockAssociation"]
    assert given["Ipv6CidrBlockState"]["State"] == "associating"
    with fault("CidrLimitExceeded"):
        ec2.associate_subnet_cidr_block(
            SubnetId=plain, Ipv6CidrBlock=str(first(block, 60, skip=2))
        )
    for name, value in [("ipv6-cidr-block", wide), ("association-id", given["AssociationId"])]:
        filters = by(f"ipv6-cidr-block-association.{name}", value)
        (found,) = ec2.describe_subnets(Filters=filters)["Subnets"]
        assert found["SubnetId"] == plain
    filters = by("ipv6-cidr-block-association.state", "associated")
    assert len(ec2.describe_subnets(Filters=filters)["Subnets"]) == 2
    (row,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    with fault("InvalidCidrBlock.InUse"):
        ec2.disassociate_vpc_cidr_block(
            AssociationId=row["Ipv6CidrBlockAssociationSet"][0]["AssociationId"]
        )
    ec2.disassociate_subnet_cidr_block(AssociationId=given["AssociationId"])
    with fault("InvalidSubnetCidrBlockAssociationID.NotFound"):
        ec2.disassociate_subnet_cidr_block(AssociationId=given["AssociationId"])
    with fault("InvalidSubnetCidrBlockAssociationId.Malformed"):
        ec2.disassociate_subnet_cidr_block(AssociationId="subnet-cidr-1")
    with fault("InvalidParameterValue", "unless the subnet"):
        ec2.modify_subnet_attribute(
            SubnetId=plain, AssignIpv6AddressOnCreation={"Value": True}
        )
    with fault("UnsupportedOperation", "EnableDns64"):
        ec2.modify_subnet_attribute(SubnetId=plain, EnableDns64={"Value": True})


def test_default_subnets_have_none(ec2):
    assert all(row["Ipv6CidrBlockAssociationSet"] == [] for row in ec2.describe_subnets()["Subnets"])


def test_an_instance_with_ipv6(ec2, vpc, block, subnet, run):
    plain = run(subnet)
    assert "Ipv6Address" not in plain
    assert addresses(plain["NetworkInterfaces"][0]) == []
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    ec2.modify_subnet_attribute(
        SubnetId=subnet, EnableResourceNameDnsAAAARecordOnLaunch={"Value": True}
    )
    (row,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert row["AssignIpv6AddressOnCreation"] is True
    launched = run(subnet, MetadataOptions={"HttpProtocolIpv6": "enabled"}, EnablePrimaryIpv6=True)
    (card,) = launched["NetworkInterfaces"]
    address = launched["Ipv6Address"]
    assert card["Ipv6Addresses"] == [{"Ipv6Address": address, "IsPrimaryIpv6": True}]
    assert ipaddress.ip_address(address) in first(block, 64)
    assert launched["MetadataOptions"]["HttpProtocolIpv6"] == "enabled"
    assert launched["PrivateDnsNameOptions"]["EnableResourceNameDnsAAAARecord"] is True
    for name, value in [
        ("ipv6-address", address),
        ("network-interface.ipv6-address", address),
        ("network-interface.ipv6-addresses.ipv6-address", address),
        ("network-interface.ipv6-addresses.is-primary-ipv6", "true"),
        ("metadata-options.http-protocol-ipv6", "enabled"),
    ]:
        (reservation,) = ec2.describe_instances(Filters=by(name, value))["Reservations"]
        assert reservation["Instances"][0]["InstanceId"] == launched["InstanceId"], name
    filters = by("ipv6-addresses.ipv6-address", address)
    (found,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert found["Ipv6Address"] == address and not found.get("Ipv6Native")
    changed = ec2.modify_instance_metadata_options(
        InstanceId=launched["InstanceId"], HttpProtocolIpv6="disabled"
    )
    assert changed["InstanceMetadataOptions"]["HttpProtocolIpv6"] == "disabled"
    assert run(subnet, Ipv6AddressCount=0).get("Ipv6Address") is None


def test_addresses_of_a_launch(ec2, ami, block, subnet, run):
    wanted = str(first(block, 64)[0x1234])
    launched = run(subnet, Ipv6Addresses=[{"Ipv6Address": wanted}])
    assert launched["Ipv6Address"] == wanted
    card = {"DeviceIndex": 0, "SubnetId": subnet}
    launched = run(NetworkInterfaces=[card | {"Ipv6AddressCount": 2}])
    assert len(addresses(launched["NetworkInterfaces"][0])) == 2
    base = {"ImageId": ami, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    with fault("InvalidIPAddress.InUse"):
        ec2.run_instances(**base, SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": wanted}])
    with fault("InvalidParameterCombination"):
        other = [{"Ipv6Address": str(first(block, 64)[99])}]
        ec2.run_instances(**base | {"MaxCount": 2}, SubnetId=subnet, Ipv6Addresses=other)
    with fault("InvalidParameterCombination"):
        ec2.run_instances(**base, NetworkInterfaces=[card], Ipv6AddressCount=1)
    # A t3.micro may have two.
    with fault("PrivateIpAddressLimitExceeded"):
        ec2.run_instances(**base, SubnetId=subnet, Ipv6AddressCount=3)
    with fault("InvalidParameterValue", "IPv6 CIDR block"):
        ec2.run_instances(**base, Ipv6AddressCount=1)
    with fault("PrivateIpAddressLimitExceeded"):
        ec2.run_instances(**base | {"InstanceType": "m1.small"}, SubnetId=subnet,
                          Ipv6AddressCount=1)
    several = ec2.run_instances(
        **base | {"MinCount": 3, "MaxCount": 3}, SubnetId=subnet, Ipv6AddressCount=1
    )["Instances"]
    assert len({row["Ipv6Address"] for row in several}) == 3


def test_addresses_of_an_interface(ec2, block, subnet):
    network = first(block, 64)
    named = [str(network[4]), str(network[0xFFFF])]
    made = ec2.create_network_interface(
        SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": one} for one in named]
    )["NetworkInterface"]
    assert addresses(made) == named
    card = made["NetworkInterfaceId"]
    for address, code in [
        (named[0], "InvalidIPAddress.InUse"),
        (str(network[3]), "InvalidParameterValue"),
        (str(network[-1]), "InvalidParameterValue"),
        ("2001:db8::1", "InvalidParameterValue"),
        ("10.0.1.7", "InvalidParameterValue"),
    ]:
        with fault(code):
            ec2.assign_ipv6_addresses(NetworkInterfaceId=card, Ipv6Addresses=[address])
    given = ec2.assign_ipv6_addresses(NetworkInterfaceId=card, Ipv6AddressCount=2)
    given = given["AssignedIpv6Addresses"]
    assert len(given) == 2
    (row,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[card])["NetworkInterfaces"]
    assert addresses(row) == named + given
    gone = ec2.unassign_ipv6_addresses(NetworkInterfaceId=card, Ipv6Addresses=given[:1])
    assert gone["UnassignedIpv6Addresses"] == given[:1]
    with fault("InvalidParameterValue", "not assigned"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=card, Ipv6Addresses=given[:1])
    with fault("MissingParameter"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=card)
    with fault("PrivateIpAddressLimitExceeded"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=card, Ipv6AddressCount=50)
    ec2.modify_network_interface_attribute(NetworkInterfaceId=card, EnablePrimaryIpv6=True)
    with fault("InvalidParameterValue", "primary IPv6 address"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=card, Ipv6Addresses=named[:1])
    (row,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[card])["NetworkInterfaces"]
    assert [one["IsPrimaryIpv6"] for one in row["Ipv6Addresses"]] == [True, False, False]
    (described,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    association = described["Ipv6CidrBlockAssociationSet"][0]["AssociationId"]
    with fault("InvalidCidrBlock.InUse"):
        ec2.disassociate_subnet_cidr_block(AssociationId=association)
    ec2.delete_network_interface(NetworkInterfaceId=card)
    ec2.disassociate_subnet_cidr_block(AssociationId=association)
    with fault("InvalidParameterValue", "IPv6 CIDR block"):
        ec2.create_network_interface(SubnetId=subnet, Ipv6AddressCount=1)


def test_reservations(ec2, block, subnet):
    network = first(block, 64)
    kept, prefixed = str(first(network, 68, skip=3)), str(first(network, 79, skip=77))
    tags = [{"ResourceType": "subnet-cidr-reservation", "Tags": [{"Key": "a", "Value": "b"}]}]
    explicit = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet, Cidr=kept, ReservationType="explicit", Description="by hand",
        TagSpecifications=tags,
    )["SubnetCidrReservation"]
    assert (explicit["Cidr"], explicit["Description"]) == (kept, "by hand")
    assert explicit["Tags"] == [{"Key": "a", "Value": "b"}]
    ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr=prefixed, ReservationType="prefix")
    v4 = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet, Cidr="10.0.1.16/28", ReservationType="explicit"
    )["SubnetCidrReservation"]
    for cidr, message in [
        (kept, "has overlap with existing reserved CIDR block"),
        ("10.0.1.16/30", "has overlap with existing reserved CIDR block"),
        ("10.0.2.0/28", "within subnet CIDR block (10.0.1.0/24)"),
        ("2001:db8::/80", f"within subnet CIDR block ({network})"),
    ]:
        with fault("InvalidParameterValue", message):
            ec2.create_subnet_cidr_reservation(
                SubnetId=subnet, Cidr=cidr, ReservationType="explicit"
            )
    listed = ec2.get_subnet_cidr_reservations(SubnetId=subnet)
    assert [row["Cidr"] for row in listed["SubnetIpv4CidrReservations"]] == ["10.0.1.16/28"]
    assert {row["Cidr"] for row in listed["SubnetIpv6CidrReservations"]} == {kept, prefixed}
    listed = ec2.get_subnet_cidr_reservations(
        SubnetId=subnet, Filters=by("reservationType", "prefix")
    )
    assert [row["Cidr"] for row in listed["SubnetIpv6CidrReservations"]] == [prefixed]
    listed = ec2.get_subnet_cidr_reservations(SubnetId=subnet, Filters=by("tag:a", "b"))
    (found,) = listed["SubnetIpv6CidrReservations"]
    assert found["SubnetCidrReservationId"] == explicit["SubnetCidrReservationId"]
    id = v4["SubnetCidrReservationId"]
    gone = ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=id)
    assert gone["DeletedSubnetCidrReservation"]["Cidr"] == "10.0.1.16/28"
    with fault("InvalidSubnetCidrReservationID.NotFound", id):
        ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=id)

    with fault("UnsupportedOperation", "Ipv6PrefixCount"):
        ec2.create_network_interface(SubnetId=subnet, Ipv6PrefixCount=2)
    for at in range(7):
        ec2.create_subnet_cidr_reservation(
            SubnetId=subnet, Cidr=f"10.0.1.{32 + 16 * at}/28", ReservationType="explicit"
        )
    token, counts = None, []
    while token or not counts:
        page = ec2.get_subnet_cidr_reservations(
            SubnetId=subnet, MaxResults=5, **({"NextToken": token} if token else {})
        )
        token = page.get("NextToken")
        counts.append(
            len(page["SubnetIpv4CidrReservations"]) + len(page["SubnetIpv6CidrReservations"])
        )
    assert counts == [5, 4]


def test_routes(ec2, vpc, block, subnet):
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]
    assert [route.get("DestinationIpv6CidrBlock") for route in table["Routes"]] == [
        None, str(block),
    ]
    assert {route["GatewayId"] for route in table["Routes"]} == {"local"}
    table = table["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    out = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    assert out["Attachments"] == [{"State": "attached", "VpcId": vpc}]
    out = out["EgressOnlyInternetGatewayId"]
    assert out.startswith("eigw-")
    card = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]

    def route(**target):
        ec2.create_route(RouteTableId=table, **target)

    def shown(destination):
        (row,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        rows = [r for r in row["Routes"] if r.get("DestinationIpv6CidrBlock") == destination]
        return rows[0] if rows else None

    route(DestinationIpv6CidrBlock=ANYWHERE, GatewayId=gateway)
    assert shown(ANYWHERE)["GatewayId"] == gateway and shown(ANYWHERE)["State"] == "active"
    with fault("RouteAlreadyExists", ANYWHERE):
        route(DestinationIpv6CidrBlock=ANYWHERE, EgressOnlyInternetGatewayId=out)
    ec2.replace_route(
        RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE, EgressOnlyInternetGatewayId=out
    )
    assert shown(ANYWHERE)["EgressOnlyInternetGatewayId"] == out
    route(DestinationIpv6CidrBlock="2001:db8::/32", NetworkInterfaceId=card)
    assert shown("2001:db8::/32")["State"] == "blackhole"
    with fault("InvalidParameterValue", "IPv6 only"):
        route(DestinationCidrBlock="0.0.0.0/0", EgressOnlyInternetGatewayId=out)
    with fault("InvalidParameterCombination"):
        route(DestinationIpv6CidrBlock="2001:db9::/32", GatewayId=gateway,
              EgressOnlyInternetGatewayId=out)
    with fault("InvalidParameterCombination"):
        route(DestinationCidrBlock="0.0.0.0/0", DestinationIpv6CidrBlock=ANYWHERE,
              GatewayId=gateway)
    with fault("InvalidParameterValue", str(first(block, 60))):
        route(DestinationIpv6CidrBlock=str(first(block, 60)), EgressOnlyInternetGatewayId=out)
    with fault("InvalidGatewayID.NotFound"):
        route(DestinationIpv6CidrBlock="2001:db9::/32",
              EgressOnlyInternetGatewayId="eigw-00000000000000001")
    for name, value in [
        ("route.destination-ipv6-cidr-block", "2001:db8::/32"),
        ("route.egress-only-internet-gateway-id", out),
    ]:
        (found,) = ec2.describe_route_tables(Filters=by(name, value))["RouteTables"]
        assert found["RouteTableId"] == table
    with fault("InvalidParameterValue", "local route"):
        ec2.delete_route(RouteTableId=table, DestinationIpv6CidrBlock=str(block))
    ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=out)
    assert shown(ANYWHERE)["State"] == "blackhole"
    ec2.delete_route(RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE)
    with fault("InvalidRoute.NotFound"):
        ec2.delete_route(RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE)


def test_egress_only_gateways(ec2):
    vpcs = [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(7)]
    tags = [
        {"ResourceType": "egress-only-internet-gateway", "Tags": [{"Key": "a", "Value": "b"}]}
    ]
    made = [
        ec2.create_egress_only_internet_gateway(
            VpcId=vpc, ClientToken=vpc, **({"TagSpecifications": tags} if vpc == vpcs[0] else {})
        )["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]
        for vpc in vpcs
    ]
    again = ec2.create_egress_only_internet_gateway(
        VpcId=vpcs[0], ClientToken=vpcs[0], TagSpecifications=tags
    )
    assert again["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"] == made[0]
    assert again["ClientToken"] == vpcs[0]
    with fault("InvalidParameterValue", vpcs[1]):
        ec2.create_egress_only_internet_gateway(VpcId=vpcs[1])
    with fault("InvalidVpcID.NotFound"):
        ec2.create_egress_only_internet_gateway(VpcId="vpc-00000000000000001")
    with fault("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpcs[0])
    pages = ec2.get_paginator("describe_egress_only_internet_gateways").paginate(
        PaginationConfig={"PageSize": 5}
    )
    assert [len(page["EgressOnlyInternetGateways"]) for page in pages] == [5, 2]
    (found,) = ec2.describe_egress_only_internet_gateways(Filters=by("tag:a", "b"))[
        "EgressOnlyInternetGateways"
    ]
    assert found["EgressOnlyInternetGatewayId"] == made[0]
    ec2.create_tags(Resources=[made[1]], Tags=[{"Key": "late", "Value": "1"}])
    (found,) = ec2.describe_tags(Filters=by("key", "late"))["Tags"]
    assert found["ResourceType"] == "egress-only-internet-gateway"
    assert ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=made[0])[
        "ReturnCode"
    ]
    with fault("InvalidGatewayID.NotFound", made[0]):
        ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=[made[0]])
    ec2.delete_vpc(VpcId=vpcs[0])


def test_rules_and_entries(ec2, vpc):
    plain = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]

    def out(name, group):
        (row,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        (permission,) = row["IpPermissionsEgress"]
        return [one[name] for one in permission["Ipv6Ranges" if "6" in name else "IpRanges"]]

    def default(of):
        filters = by("vpc-id", of) + by("group-name", "default")
        return ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]

    assert out("CidrIpv6", default(vpc)) == [ANYWHERE]
    assert out("CidrIpv6", default(plain)) == []
    ec2.associate_vpc_cidr_block(VpcId=plain, AmazonProvidedIpv6CidrBlock=True)
    assert out("CidrIpv6", default(plain)) == [ANYWHERE]
    assert out("CidrIp", default(plain)) == ["0.0.0.0/0"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    assert out("CidrIpv6", group) == [ANYWHERE]
    rule = {
        "IpProtocol": "icmpv6", "FromPort": 128, "ToPort": -1,
        "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32", "Description": "ping"}],
    }
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    (row,) = made["SecurityGroupRules"]
    assert (row["CidrIpv6"], row["IpProtocol"]) == ("2001:db8::/32", "icmpv6")
    assert (row["FromPort"], row["ToPort"]) == (128, -1)
    with fault("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    for name, value in [
        ("ip-permission.ipv6-cidr", "2001:db8::/32"), ("ip-permission.protocol", "icmpv6"),
    ]:
        (found,) = ec2.describe_security_groups(Filters=by(name, value))["SecurityGroups"]
        assert found["GroupId"] == group
    # 60 of IPv6 beside 60 of IPv4.
    for family, key, block in [
        ("Ipv6Ranges", "CidrIpv6", "2001:db8:{}::/48"), ("IpRanges", "CidrIp", "10.{}.0.0/16"),
    ]:
        count = 59 if family == "Ipv6Ranges" else 60
        ranges = [{key: block.format(at)} for at in range(count)]
        more = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, family: ranges}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[more])
        with fault("RulesPerSecurityGroupLimitExceeded"):
            one = more | {family: [{key: block.format(99)}]}
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[one])
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])

    def entries(of):
        (acl,) = ec2.describe_network_acls(Filters=by("vpc-id", of) + by("default", "true"))[
            "NetworkAcls"
        ]
        return [
            (e["RuleNumber"], e["RuleAction"], e.get("Ipv6CidrBlock"))
            for e in acl["Entries"] if not e["Egress"]
        ]

    assert entries(vpc) == [
        (100, "allow", None), (101, "allow", ANYWHERE), (32767, "deny", None),
        (32768, "deny", ANYWHERE),
    ]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]
    assert [entry["RuleNumber"] for entry in acl["Entries"]] == [32767, 32768] * 2
    acl = acl["NetworkAclId"]
    entry = {"NetworkAclId": acl, "RuleNumber": 7, "Egress": False, "RuleAction": "allow"}
    icmp = {"Protocol": "58", "IcmpTypeCode": {"Type": 128, "Code": -1}}
    ec2.create_network_acl_entry(**entry, **icmp, Ipv6CidrBlock="2001:db8::/32")
    with fault("InvalidParameterCombination"):
        ec2.create_network_acl_entry(
            **entry | {"RuleNumber": 8}, **icmp, Ipv6CidrBlock=ANYWHERE, CidrBlock="0.0.0.0/0"
        )
    with fault("InvalidParameterValue"):
        ec2.create_network_acl_entry(**entry | {"RuleNumber": 8}, **icmp, Ipv6CidrBlock="2001::/129")
    (found,) = ec2.describe_network_acls(Filters=by("entry.ipv6-cidr", "2001:db8::/32"))[
        "NetworkAcls"
    ]
    assert found["NetworkAclId"] == acl
    (shown,) = [one for one in found["Entries"] if one["RuleNumber"] == 7]
    assert shown["Ipv6CidrBlock"] == "2001:db8::/32" and "CidrBlock" not in shown
    assert shown["IcmpTypeCode"] == {"Type": 128, "Code": -1}
    ec2.replace_network_acl_entry(**entry, Protocol="-1", Ipv6CidrBlock=ANYWHERE)
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=7, Egress=False)
