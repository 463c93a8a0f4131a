"""A guest in a private subnet, and the world by its NAT gateway."""

import contextlib
import socket
import struct
import threading
from ipaddress import ip_address

import pytest
from fogbank_cloud import until
from fogbank_guest import BOOT_SECONDS

# What the guest runs: a shell for whoever listens on the host, again when it was lost.
SHELL = """#!/bin/sh
while true; do nc {host} {port} -e /bin/sh; sleep 1; done </dev/null >/dev/null 2>&1 &
"""


class Shell:
    """A shell in the guest: a connection that the guest made, through its NAT gateway."""

    def __init__(self, server):
        self.server = server
        self.stream, self.source = None, None

    def accept(self, seconds):
        self.server.settimeout(seconds)
        self.stream, (self.source, _) = self.server.accept()
        self.stream.settimeout(30)
        self.lines = self.stream.makefile("r")
        # Where jobs in the background write.
        self.stream.sendall(b"exec 3>&1\n")

    def run(self, command):
        """What a command writes."""
        self.stream.sendall(f"({command}) 2>&1 </dev/null; echo; echo done=\n".encode())
        return self.answer()

    def answer(self):
        """What the command under way writes."""
        said = []
        for line in self.lines:
            if line.startswith("done="):
                return "".join(said).strip()
            said.append(line)
        raise AssertionError(f"the guest's shell ended: {said}")

    def close(self):
        with contextlib.suppress(OSError):
            self.stream.close()


@pytest.fixture(scope="module")
def private(guests):
    """A subnet of the default VPC whose way out is a NAT gateway; the gateway."""
    ec2 = guests.ec2
    (home,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    vpc = home["VpcId"]
    first = [{"Name": "cidr-block", "Values": ["172.31.0.0/20"]}]
    public = ec2.describe_subnets(Filters=first)["Subnets"][0]
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="172.31.240.0/24", AvailabilityZone=public["AvailabilityZone"]
    )["Subnet"]["SubnetId"]
    allocation = ec2.allocate_address()
    gateway = ec2.create_nat_gateway(
        SubnetId=public["SubnetId"], AllocationId=allocation["AllocationId"]
    )["NatGateway"]["NatGatewayId"]
    waiter = ec2.get_waiter("nat_gateway_available")
    waiter.wait(NatGatewayIds=[gateway], WaiterConfig={"Delay": 1})
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    yield subnet, gateway, allocation["PublicIp"]
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    waiter = ec2.get_waiter("nat_gateway_deleted")
    waiter.wait(NatGatewayIds=[gateway], WaiterConfig={"Delay": 1})
    ec2.release_address(AllocationId=allocation["AllocationId"])


@pytest.fixture(scope="module")
def shell(guests, private):
    subnet, _, _ = private
    with socket.create_server((guests.cloud.host_address(), 0)) as server:
        host, port = server.getsockname()
        guest = guests.launch(SubnetId=subnet, UserData=SHELL.format(host=host, port=port))
        shell = Shell(server)
        shell.accept(BOOT_SECONDS)
        assert "PublicIpAddress" not in guest.describe()
        yield shell
        guest.terminate()
        shell.close()


@contextlib.contextmanager
def who_asks(address):
    """A DNS server on the host that answers every name with the address of whoever asks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))

        def serve():
            while True:
                query, (source, port) = server.recvfrom(2000)
                if query == b"end":
                    return
                head = struct.pack("!2sHHHHH", query[:2], 0x8180, 1, 1, 0, 0)
                record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + ip_address(source).packed
                server.sendto(head + query[12:] + record, (source, port))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        server.sendto(b"end", server.getsockname())
        thread.join()


def test_the_host_sees_the_gateway(private, shell):
    _, _, public = private
    assert shell.source == public
    assert shell.run("echo hello") == "hello"


def test_datagrams_and_pings(guests, private, shell):
    _, _, public = private
    host = guests.cloud.host_address()
    with who_asks(host):
        assert public in shell.run(f"nslookup -type=a me.test {host}")
    assert " 0% packet loss" in shell.run(f"ping -c 2 -W 3 {host}")


def test_another_guests_public_address(guests, private, shell, one):
    """By the gateway into the same cloud: the other guest sees the gateway's public address."""
    _, _, public = private
    guests.open(one.group, 7100, f"{public}/32")
    guests.open(one.group, -1, f"{public}/32", protocol="icmp")
    try:
        one.ssh("nohup sh -c 'echo welcome | nc -l -p 7100' >/dev/null 2>&1 </dev/null &")
        until(
            "the other answers",
            lambda: "welcome" in shell.run(f"nc -w 2 {one.public_ip} 7100"),
        )
        assert " 0% packet loss" in shell.run(f"ping -c 2 -W 3 {one.public_ip}")
    finally:
        guests.close(one.group, 7100, f"{public}/32")
        guests.close(one.group, -1, f"{public}/32", protocol="icmp")


def test_nobody_comes_in_by_the_gateway(private, shell):
    _, _, public = private
    with pytest.raises(OSError), socket.create_connection((public, 22), timeout=2):
        pass


def test_a_killed_card_goes_on_with_the_same_ports(guests, shell):
    """What the guest sends brings its connection back: the host still knows it by the same port."""
    shell.run("while true; do echo tick; sleep 1; done >&3 & echo $! >/tmp/ticking")
    until("it ticks", lambda: shell.lines.readline() == "tick\n")
    killed = guests.cloud.kill("vpc-card")
    guests.cloud.replaced(killed)
    until("it ticks again", lambda: shell.lines.readline() == "tick\n")
    # Both ways, in the same connection.
    assert "still here" in shell.run("echo still here")
    shell.run("kill $(cat /tmp/ticking)")


def test_without_its_gateway_it_is_alone(guests, private, shell):
    ec2 = guests.ec2
    _, gateway, _ = private
    by = [{"Name": "route.nat-gateway-id", "Values": [gateway]}]
    (table,) = ec2.describe_route_tables(Filters=by)["RouteTables"]
    route = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.delete_route(**route)
    shell.stream.settimeout(3)

    def is_silent():
        try:
            shell.run("echo heard")
        except TimeoutError:
            return True
        return False

    until("nothing comes back", is_silent)
    ec2.create_route(**route, NatGatewayId=gateway)
    # TCP sends again what was lost; a reader that timed out is of no more use.
    shell.stream.settimeout(60)
    shell.lines = shell.stream.makefile("r")
    shell.answer()
    assert shell.run("echo back") == "back"
