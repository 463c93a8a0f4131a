"""IPv6 in guests: advertisements, rules, names, metadata and the way to the host."""

import ipaddress
from pathlib import Path

import pytest
from fogbank_cloud import until
from fogbank_guest import banner

pytestmark = pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6"
)

METADATA = "http://[fd00:ec2::254]"

class Dual:
    """The default VPC with IPv6 in one of its subnets, and two guests in it."""

    def __init__(self, guests):
        ec2 = self.ec2 = guests.ec2
        self.guests = guests
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
        self.vpc = vpc["VpcId"]
        ec2.associate_vpc_cidr_block(VpcId=self.vpc, AmazonProvidedIpv6CidrBlock=True)
        within = [{"Name": "vpc-id", "Values": [self.vpc]}]
        self.subnet = ec2.describe_subnets(Filters=within)["Subnets"][0]["SubnetId"]
        self.net = next(ipaddress.ip_network(self.vpc_block()).subnets(new_prefix=64))
        ec2.associate_subnet_cidr_block(SubnetId=self.subnet, Ipv6CidrBlock=str(self.net))
        gateway = ec2.describe_internet_gateways(
            Filters=[{"Name": "attachment.vpc-id", "Values": [self.vpc]}]
        )["InternetGateways"][0]["InternetGatewayId"]
        self.table = ec2.describe_route_tables(
            Filters=[*within, {"Name": "association.main", "Values": ["true"]}]
        )["RouteTables"][0]["RouteTableId"]
        ec2.create_route(
            RouteTableId=self.table, DestinationIpv6CidrBlock="::/0", GatewayId=gateway
        )
        self.group = guests.group("dual")
        ec2.authorize_security_group_ingress(
            GroupId=self.group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
                            "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
        self.pair = [self.launch(), self.launch()]

    def vpc_block(self):
        vpc = self.ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0]
        return vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]

    def launch(self):
        return self.guests.launch(
            SubnetId=self.subnet, Ipv6AddressCount=1, SecurityGroupIds=[self.group],
            MetadataOptions={"HttpProtocolIpv6": "enabled"},
            PrivateDnsNameOptions={"EnableResourceNameDnsAAAARecord": True},
        )

    def permission(self, protocol, port, source):
        return [{"IpProtocol": protocol, "FromPort": port, "ToPort": port if port >= 0 else -1,
                 "Ipv6Ranges": [{"CidrIpv6": source}]}]

    def open(self, protocol, port, source="::/0"):
        self.ec2.authorize_security_group_ingress(
            GroupId=self.group, IpPermissions=self.permission(protocol, port, source)
        )

    def close(self, protocol, port, source="::/0"):
        self.ec2.revoke_security_group_ingress(
            GroupId=self.group, IpPermissions=self.permission(protocol, port, source)
        )


def address(guest):
    """The IPv6 address that EC2 says the guest has."""
    interface = guest.describe()["NetworkInterfaces"][0]
    return interface["Ipv6Addresses"][0]["Ipv6Address"]


def answers(guest, target):
    """Whether somebody answers this guest's echo requests."""
    return guest.ssh(f"sudo ping -6 -c 1 -W 3 {target}", check=False).returncode == 0


@pytest.fixture(scope="module")
def dual(guests):
    return Dual(guests)


@pytest.fixture(scope="module")
def pair(dual):
    """Two guests. The image has no client of DHCPv6, so each is told its address by hand."""
    for guest in dual.pair:
        guest.ready().settled()
        guest.ssh(f"sudo ip -6 addr add {address(guest)}/128 dev eth0")
    return dual.pair


def test_the_router_is_advertised(dual, pair):
    one, _ = pair
    assert ipaddress.ip_address(address(one)) in dual.net
    until("the guest has a route", lambda: "via fe80::" in one.ssh("ip -6 route show default"))
    assert f"{dual.net} dev eth0" in one.ssh("ip -6 route")
    told = one.ssh("ip -6 addr show dev eth0")
    mac = one.describe()["NetworkInterfaces"][0]["MacAddress"].split(":")
    assert f"{mac[3]}ff:fe" not in told.replace("fe80::", ""), "no address made of the prefix"
    assert answers(one, "fe80:ec2::1%eth0"), "the router, at its well-known address"
    assert answers(one, str(dual.net[1])), "the router, at the subnet's first address"


def test_a_rule_opens_and_closes_live(dual, pair):
    one, other = pair
    target = address(other)
    assert not answers(one, target)
    dual.open("icmpv6", -1, str(dual.net))
    until("the rule holds", lambda: answers(one, target))
    dual.close("icmpv6", -1, str(dual.net))
    until("the rule is gone", lambda: not answers(one, target))


def test_the_host_reaches_guests(dual, pair):
    """Nothing is translated: the address inside is the address outside."""
    one, other = pair
    assert not banner(address(one)), "a rule for IPv4 opens nothing for IPv6"
    dual.open("tcp", 22)
    for guest in pair:
        until(f"{guest} answers", lambda guest=guest: banner(address(guest)).startswith("SSH-"))
    assert one.ssh("echo $SSH_CONNECTION", address=address(one)).split()[2] == address(one)
    dual.close("tcp", 22)
    until("the port is closed", lambda: not banner(address(other)))


def test_names_lead_to_ipv6_and_back(dual, pair):
    one, other = pair
    name = f"{other.id}.ec2.internal"
    assert address(other) in one.ssh(f"nslookup -type=aaaa {name} fd00:ec2::253")
    assert name in one.ssh(f"nslookup {address(other)} fd00:ec2::253")


def test_metadata_over_ipv6(dual, pair):
    one, _ = pair
    token = (
        f"TOKEN=$(curl -gsf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "
        f"'{METADATA}/latest/api/token')"
    )

    def told(path):
        header = '"X-aws-ec2-metadata-token: $TOKEN"'
        return one.ssh(f"{token} && curl -gsf -H {header} '{METADATA}/latest/meta-data/{path}'")

    card = f"network/interfaces/macs/{told('mac')}"
    assert told("ipv6") == told(f"{card}/ipv6s") == address(one)
    assert told(f"{card}/subnet-ipv6-cidr-blocks") == str(dual.net)
    assert told(f"{card}/vpc-ipv6-cidr-blocks") == dual.vpc_block()
    dual.ec2.modify_instance_metadata_options(InstanceId=one.id, HttpProtocolIpv6="disabled")
    gone = f"curl -gs -m 3 -o /dev/null {METADATA}/"
    until("it is gone", lambda: one.ssh(gone, check=False).returncode != 0)
