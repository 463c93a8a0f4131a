"""Security groups, addresses and routes, seen from the host and from guests."""

import contextlib
import hashlib
import queue
import socket
import threading

import pytest
from fogbank_cloud import until
from fogbank_guest import banner, imds, ping, reachable


@pytest.fixture(scope="module")
def servers(one, other):
    """Both guests serve HTTP on 8080 and echo on 7000; `one` streams 24 MiB on 7001."""
    for guest in (one, other):
        guest.ssh(
            "mkdir -p /tmp/www && hostname >/tmp/www/name && httpd -p 8080 -h /tmp/www; "
            "nohup nc -ll -p 7000 -e cat >/dev/null 2>&1 </dev/null & "
        )


def http(guest, address, port=8080, seconds=3):
    """What another host's web server says to this guest; nothing if it can't be reached."""
    command = f"curl -s -m {seconds} http://{address}:{port}/name || true"
    return guest.ssh(command)


@contextlib.contextmanager
def listening(address):
    """A TCP server on the host: its port, and a queue of (who called, what they said)."""
    heard = queue.Queue()
    with socket.create_server((address, 0)) as server:

        def serve():
            while True:
                try:
                    stream, (source, _) = server.accept()
                except OSError:
                    return
                with stream:
                    stream.settimeout(10)
                    with contextlib.suppress(OSError):
                        heard.put((source, stream.recv(1000).decode().strip()))
                        stream.sendall(b"heard\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def echo(stream, text):
    """Sends a line to an echo server; whether it came back."""
    try:
        stream.sendall(text + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = stream.recv(100)
            if not part:
                return False
            answer += part
    except OSError:
        return False
    return answer == text + b"\n"


def test_a_port_opens_and_closes_live(guests, one, servers):
    address = one.public_ip
    assert not reachable(address, 8080)
    guests.open(one.group, 8080)
    until("the port is open", lambda: reachable(address, 8080))
    guests.close(one.group, 8080)
    until("the port is closed", lambda: not reachable(address, 8080))


def test_an_established_connection_that_is_tracked_goes_on(guests, one, servers):
    """AWS tracks flows of rules that don't allow all; they outlive their rule."""
    source = f"{guests.cloud.host_address()}/32"
    guests.open(one.group, 7000, source)
    address = one.public_ip
    until("the port is open", lambda: reachable(address, 7000))
    with socket.create_connection((address, 7000), timeout=15) as stream:
        assert echo(stream, b"before")
        guests.close(one.group, 7000, source)
        until("new connections are dropped", lambda: not reachable(address, 7000))
        assert echo(stream, b"after")


def test_an_established_connection_that_is_untracked_ends(guests, one, servers):
    """A flow of a rule for 0.0.0.0/0 whose answers may go to 0.0.0.0/0 is cut with its rule."""
    guests.open(one.group, 7000)
    address = one.public_ip
    until("the port is open", lambda: reachable(address, 7000))
    with socket.create_connection((address, 7000), timeout=15) as stream:
        assert echo(stream, b"before")
        guests.close(one.group, 7000)
        until("new connections are dropped", lambda: not reachable(address, 7000))
        stream.settimeout(3)
        assert not echo(stream, b"after")


def test_a_network_acl_filters_what_crosses_its_subnets_border(guests, one, servers):
    """By number, both ways, whatever flows there are."""
    ec2, address = guests.ec2, one.public_ip
    subnet = one.describe()["SubnetId"]
    behind = [{"Name": "association.subnet-id", "Values": [subnet]}]
    default = ec2.describe_network_acls(Filters=behind)["NetworkAcls"][0]
    acl = ec2.create_network_acl(VpcId=default["VpcId"])["NetworkAcl"]["NetworkAclId"]

    def entry(number, action, egress=False, protocol="-1", **more):
        ec2.create_network_acl_entry(
            NetworkAclId=acl, RuleNumber=number, RuleAction=action, Egress=egress,
            Protocol=protocol, CidrBlock="0.0.0.0/0", **more,
        )

    def drop(number, egress=False):
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=number, Egress=egress)

    def stand(chosen):
        found = ec2.describe_network_acls(Filters=behind)["NetworkAcls"][0]["Associations"]
        association = next(each for each in found if each["SubnetId"] == subnet)
        ec2.replace_network_acl_association(
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=chosen
        )

    echoes = {"PortRange": {"From": 7000, "To": 7000}}
    guests.open(one.group, 7000)
    guests.open(one.group, 8080)
    try:
        until("the port is open", lambda: reachable(address, 8080))
        stand(acl)
        until("nothing comes in", lambda: not reachable(address, 8080))
        entry(100, "allow")
        entry(100, "allow", egress=True)
        until("all comes in", lambda: reachable(address, 8080))
        with socket.create_connection((address, 7000), timeout=20) as stream:
            assert echo(stream, b"before")
            entry(50, "deny", protocol="tcp", **echoes)
            until("new connections are dropped", lambda: not reachable(address, 7000))
            assert reachable(address, 8080)
            stream.settimeout(2)
            assert not echo(stream, b"during")
            # What a flow lost meanwhile, TCP sends again.
            drop(50)
            stream.settimeout(20)
            stream.sendall(b"after\n")
            heard = b""
            while not heard.endswith(b"after\n"):
                heard += stream.recv(100)
            assert heard == b"during\nafter\n"
        # The answers' ports are the client's: there is no state that would let them through.
        answers = {"PortRange": {"From": 1024, "To": 65535}}
        entry(50, "deny", egress=True, protocol="6", **answers)
        until("answers are dropped", lambda: not reachable(address, 8080))
    finally:
        stand(default["NetworkAclId"])
        guests.close(one.group, 7000)
        guests.close(one.group, 8080)
        ec2.delete_network_acl(NetworkAclId=acl)


def test_ping(guests, one):
    address = one.public_ip
    assert not ping(address, 1)
    guests.open(one.group, -1, protocol="icmp")
    until("ping works", lambda: ping(address))
    guests.close(one.group, -1, protocol="icmp")
    until("ping is dropped", lambda: not ping(address, 1))


def test_group_to_group(guests, one, other, servers):
    """A rule with a group as its source follows the group's members."""
    address = other.private_ip
    assert http(one, address) == ""
    guests.open(other.group, 8080, one.group)
    until("members may", lambda: http(one, address) == other.ssh("hostname"))
    one.ec2.modify_instance_attribute(InstanceId=one.id, Groups=[guests.login])
    until("who left may not", lambda: http(one, address) == "")
    groups = [guests.login, one.group]
    one.ec2.modify_instance_attribute(InstanceId=one.id, Groups=groups)
    until("who came back may", lambda: http(one, address) != "")
    guests.close(other.group, 8080, one.group)
    until("without the rule nobody may", lambda: http(one, address) == "")


def test_the_default_group_is_open_among_its_members(guests, one, other, servers):
    (group,) = guests.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    for guest in (one, other):
        guest.ec2.modify_instance_attribute(
            InstanceId=guest.id, Groups=[guests.login, guest.group, group["GroupId"]]
        )
    until("both are members", lambda: http(one, other.private_ip) != "")
    for guest in (one, other):
        guest.ec2.modify_instance_attribute(
            InstanceId=guest.id, Groups=[guests.login, guest.group]
        )
    until("neither is a member", lambda: http(one, other.private_ip) == "")


def test_public_addresses_between_instances(guests, one, other, servers):
    guests.open(other.group, 8080)
    until("the other's public address", lambda: http(one, other.public_ip) != "")
    guests.close(other.group, 8080)


def test_egress_to_the_host(guests, one):
    """The guest reaches the host's networks; its address there is its public one."""
    with listening(guests.cloud.host_address()) as (port, heard):
        out = one.ssh(f"echo hello | nc -w 5 {guests.cloud.host_address()} {port}")
        assert out == "heard"
        assert heard.get(timeout=5) == (one.public_ip, "hello")


def test_names_outside_the_vpc(guests, one, resolver):
    """Others are asked: by UDP, and by TCP where the guest asks so or the answer is too long."""
    host = guests.cloud.host_address()
    resolver.names |= {"short.test": [host], "tcp.test": [host], "long.test": [host] * 60}
    assert host in one.ssh("nslookup short.test | tail -n +3")
    assert one.ssh("nslookup nobody.test", check=False).returncode != 0
    with listening(host) as (port, heard):
        fetch = "curl -s -m 10 --http0.9 http://{}.test:{}/{}"
        assert one.ssh("RES_OPTIONS=use-vc " + fetch.format("tcp", port, 1)) == "heard"
        assert one.ssh(fetch.format("long", port, 2)) == "heard"
        assert [heard.get(timeout=5)[1].split()[1] for _ in range(2)] == ["/1", "/2"]
    asked = {name: {how for how, at in resolver.asked if at == name} for name in resolver.names}
    assert asked == {"short.test": {"udp"}, "tcp.test": {"tcp"}, "long.test": {"udp", "tcp"}}


def test_names_inside_the_vpc_by_tcp(one, other):
    """The card's own names, too: a name of another instance leads to its SSH server."""
    name = other.describe()["PrivateDnsName"]
    for server in ("172.31.0.2", "169.254.169.253"):
        assert one.ssh(f"nc -w 3 {server} 53 </dev/null; echo $?") == "0"
    curl = "RES_OPTIONS=use-vc curl -s -m 5 -o /dev/null -w '%{remote_ip}'"
    assert one.ssh(f"{curl} http://{name}:22/ || true") == other.private_ip


def test_egress_rules(guests, one):
    """Without the group's outbound rule no new connection leaves."""
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    groups = {"GroupId": guests.login}, {"GroupId": one.group}
    host = guests.cloud.host_address()
    with listening(host) as (port, heard):
        command = f"echo hello | nc -w 2 {host} {port} || true"
        for group in groups:
            one.ec2.revoke_security_group_egress(IpPermissions=everything, **group)
        try:
            until("egress is dropped", lambda: one.ssh(command) == "")
            # What the security group can't block: the resolver and the metadata service.
            one.ssh(f"nslookup {one.describe()['PrivateDnsName']}")
            one.ssh("ec2-metadata latest/meta-data/instance-id")
        finally:
            for group in groups:
                one.ec2.authorize_security_group_egress(IpPermissions=everything, **group)
        until("egress passes", lambda: one.ssh(command) == "heard")
        assert heard.get(timeout=5)[1] == "hello"


def test_a_spoofed_source_is_dropped(guests, one):
    host = guests.cloud.host_address()
    with listening(host) as (port, heard):
        one.ssh("sudo ip addr add 10.66.66.66/32 dev eth0")
        try:
            done = one.ssh(f"echo spoofed | nc -s 10.66.66.66 -w 3 {host} {port}", check=False)
            assert done.stdout == ""
            assert one.ssh(f"echo true | nc -w 5 {host} {port}") == "heard"
        finally:
            one.ssh("sudo ip addr del 10.66.66.66/32 dev eth0")
        assert heard.get(timeout=5)[1] == "true"
        assert heard.empty()


def test_a_spoofed_mac_is_dropped(guests, one):
    """While the guest uses another MAC nothing of it is let through; then it is as before."""
    host = guests.cloud.host_address()
    real = one.describe()["NetworkInterfaces"][0]["MacAddress"]
    with listening(host) as (port, heard):
        script = (
            f"gw=$(ip route show default | awk '{{print $3; exit}}'); "
            f"ip link set eth0 address 0a:11:22:33:44:55; "
            f"echo spoofed | nc -w 2 {host} {port} >/tmp/answer; "
            f"ip link set eth0 address {real}; ip route replace default via $gw dev eth0 metric 100"
        )
        script = script.replace("$", "\\$")
        one.ssh(f"sudo nohup sh -c \"{script}\" >/dev/null 2>&1 </dev/null &")
        until("the guest is back", lambda: banner(one.public_ip).startswith("SSH-"))
        until("its script is over", lambda: one.ssh("pgrep -f 0a:11:22", False).returncode == 1)
        assert one.ssh("cat /tmp/answer") == ""
        assert heard.empty()


def test_an_elastic_address_moves_live(guests, one, other):
    names = {guest: guest.ssh("hostname") for guest in (one, other)}
    made = guests.ec2.allocate_address()
    address, allocation = made["PublicIp"], made["AllocationId"]

    def leads_to(guest):
        if not banner(address).startswith("SSH-"):
            return False
        return guest.ssh("hostname", check=False, address=address).stdout.strip() == names[guest]

    for guest in (one, other):
        guests.ec2.associate_address(AllocationId=allocation, InstanceId=guest.id)
        until(f"{address} leads to {guest}", lambda guest=guest: leads_to(guest))
        assert guest.public_ip == address
        assert guest.ssh("ec2-metadata latest/meta-data/public-ipv4", address=address) == address
    (row,) = guests.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    guests.ec2.disassociate_address(AssociationId=row["AssociationId"])
    guests.ec2.release_address(AllocationId=allocation)
    until("the address leads nowhere", lambda: not reachable(address, 22))
    for guest in (one, other):
        # A running instance that lost an Elastic IP address is lent another.
        until(f"{guest} has a public address", lambda g=guest: g.describe().get("PublicIpAddress"))
        guest.ready()


def test_a_large_transfer(guests, one, servers):
    """24 MiB through the public address, whole and in order."""
    one.ssh("head -c 25165824 /dev/urandom >/tmp/large")
    expected = one.ssh("sha256sum /tmp/large").split()[0]
    done = one.ssh("cat /tmp/large | sha256sum; wc -c </tmp/large")
    assert done.split()[0] == expected
    guests.open(one.group, 8080)
    try:
        one.ssh("ln -sf /tmp/large /tmp/www/large")
        until("the port is open", lambda: reachable(one.public_ip, 8080))
        digest = hashlib.sha256()
        with socket.create_connection((one.public_ip, 8080), timeout=30) as stream:
            stream.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            file = stream.makefile("rb")
            while file.readline() not in (b"\r\n", b""):
                pass
            while part := file.read(1 << 16):
                digest.update(part)
        assert digest.hexdigest() == expected
    finally:
        guests.close(one.group, 8080)


def test_an_interface_comes_and_goes_live(guests, one, other):
    """The guest gets a device while it runs, uses it, and loses it."""
    ec2 = guests.ec2
    subnet = one.describe()["SubnetId"]
    made = ec2.create_network_interface(SubnetId=subnet, Groups=[one.group])["NetworkInterface"]
    card, address = made["NetworkInterfaceId"], made["PrivateIpAddress"]

    def attachment():
        (row,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[card])["NetworkInterfaces"]
        return row.get("Attachment", {})

    def device():
        grep = f"grep -l {made['MacAddress']} /sys/class/net/*/address || true"
        path = one.ssh(grep)
        return path.split("/")[4] if path else None

    ec2.attach_network_interface(NetworkInterfaceId=card, InstanceId=one.id, DeviceIndex=1)
    until("it is attached", lambda: attachment()["Status"] == "attached", 30)
    until("the guest has it", device, 30)
    name = device()
    # The image asks DHCP on every interface that it finds.
    until("it has its address", lambda: address in one.ssh(f"ip address show dev {name}"), 30)
    assert made["MacAddress"] in imds(one, "meta-data/network/interfaces/macs/")
    # What leaves by it has its address, and the answers come back by it.
    call = f"sudo ping -c 1 -W 2 -I {name} {other.private_ip}"
    assert one.ssh(call, check=False).returncode != 0
    guests.open(other.group, -1, f"{address}/32", "icmp")
    until("it is answered", lambda: one.ssh(call, check=False).returncode == 0, 30)
    guests.close(other.group, -1, f"{address}/32", "icmp")

    ec2.detach_network_interface(AttachmentId=attachment()["AttachmentId"])
    until("it is detached", lambda: not attachment(), 60)
    assert device() is None
    assert one.ssh("echo well").strip() == "well"
    ec2.delete_network_interface(NetworkInterfaceId=card)
