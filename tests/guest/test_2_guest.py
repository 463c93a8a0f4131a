"""What a guest finds in its machine: name, disk, network, metadata."""

import json

from fogbank_cloud import REGION, until
from fogbank_guest import TOKEN, URL, imds


def status(guest, options, path="latest/meta-data/"):
    """The HTTP status of a request from inside."""
    return int(guest.ssh(f"curl -s -o /dev/null -w '%{{http_code}}' {options} {URL}/{path}"))


def test_user_data_ran_once(one):
    one.settled()
    assert one.ssh("cat /var/lib/user-data-runs") == "ran"
    expected = one.describe()["PrivateDnsName"]
    assert one.ssh("cat /var/lib/user-data-hostname") == expected


def test_the_host_name(one):
    assert one.ssh("hostname") == one.describe()["PrivateDnsName"]


def test_the_type_decides_processors_and_memory(one, other):
    assert one.ssh("nproc") == "2"
    for guest, mib in ((one, 1024), (other, 512)):
        total = int(guest.ssh("awk '/MemTotal/ {print $2}' /proc/meminfo")) // 1024
        assert mib * 0.75 < total <= mib


def test_the_root_volume(one):
    """It has the size of the launch, which the guest grew into, and the volume's ID as serial."""
    one.settled()
    size = int(one.ssh("df -m / | awk 'END {print $2}'"))
    assert 2700 < size <= 3072
    volume = one.describe()["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert one.ssh("cat /sys/block/nvme0n1/device/serial") == volume.replace("-", "")
    assert int(one.ssh("cat /sys/block/nvme0n1/size")) * 512 == 3 << 30


def test_the_network_interface(one):
    (card,) = one.describe()["NetworkInterfaces"]
    assert one.ssh("cat /sys/class/net/eth0/address") == card["MacAddress"]
    assert one.ssh("cat /sys/class/net/eth0/mtu") == "9001"
    address = one.ssh("ip -4 -o addr show dev eth0")
    assert f" {card['PrivateIpAddress']}/20 " in address
    assert " via 172.31." in one.ssh("ip route show default")


def test_the_machine_says_that_it_is_ec2(one):
    assert "Amazon EC2" in one.ssh("cat /sys/class/dmi/id/sys_vendor")
    assert one.ssh("cat /sys/class/dmi/id/board_asset_tag") == one.id


def test_names_inside_the_vpc(one, other):
    row = other.describe()
    server = one.ssh("awk '/nameserver/ {print $2; exit}' /etc/resolv.conf")
    assert server == "172.31.0.2"
    for name in (row["PrivateDnsName"], row["PublicDnsName"]):
        for via in (server, "169.254.169.253"):
            assert row["PrivateIpAddress"] in one.ssh(f"nslookup {name} {via} | tail -n +3"), name
    back = ".".join(reversed(row["PrivateIpAddress"].split("."))) + ".in-addr.arpa"
    assert row["PrivateDnsName"] in one.ssh(f"nslookup {row['PrivateIpAddress']} {server}"), back
    done = one.ssh(f"nslookup ip-172-31-255-1.ec2.internal {server}", check=False)
    assert done.returncode != 0, "a name of no instance"


def test_metadata_needs_a_token(one):
    assert status(one, "") == 401
    assert status(one, "-H 'X-aws-ec2-metadata-token: made-up'") == 401
    assert status(one, "-X PUT", "latest/api/token") == 400
    for seconds in (0, 21601, "many"):
        header = f"-X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: {seconds}'"
        assert status(one, header, "latest/api/token") == 400
    good = "-X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600'"
    assert status(one, good, "latest/api/token") == 200
    assert status(one, f"{good} -H 'X-Forwarded-For: 1.2.3.4'", "latest/api/token") == 403


def test_metadata_of_an_instance(one):
    row = one.describe()
    (card,) = row["NetworkInterfaces"]
    mac = card["MacAddress"]
    expected = {
        "ami-id": row["ImageId"],
        "instance-id": one.id,
        "instance-type": "t3.micro",
        "local-ipv4": row["PrivateIpAddress"],
        "local-hostname": row["PrivateDnsName"],
        "public-ipv4": row["PublicIpAddress"],
        "public-hostname": row["PublicDnsName"],
        "mac": mac,
        "reservation-id": one.ec2.describe_instances(InstanceIds=[one.id])["Reservations"][0][
            "ReservationId"
        ],
        "security-groups": "login\nweb",
        "placement/availability-zone": row["Placement"]["AvailabilityZone"],
        "placement/region": REGION,
        "public-keys/": "0=test",
        "block-device-mapping/root": "/dev/xvda",
        f"network/interfaces/macs/{mac}/interface-id": card["NetworkInterfaceId"],
        f"network/interfaces/macs/{mac}/subnet-id": card["SubnetId"],
        f"network/interfaces/macs/{mac}/vpc-id": card["VpcId"],
        f"network/interfaces/macs/{mac}/vpc-ipv4-cidr-block": "172.31.0.0/16",
    }
    paths = " ".join(expected)
    command = (
        f"{TOKEN}; for path in {paths}; do curl -sf -H \"X-aws-ec2-metadata-token: $TOKEN\" "
        f"{URL}/latest/meta-data/$path; printf '\\n--\\n'; done"
    )
    found = [part.strip() for part in one.ssh(command).split("\n--")]
    found = dict(zip(expected, found, strict=False))
    found["security-groups"] = "\n".join(sorted(found["security-groups"].split()))
    assert found == expected
    public = one.ssh("cat /home/ec2-user/.ssh/authorized_keys").split()[:2]
    assert imds(one, "meta-data/public-keys/0/openssh-key").split()[:2] == public
    assert imds(one, "user-data").startswith("#!/bin/sh\n# Counts its runs")
    assert imds(one, "meta-data/no-such-thing", check=False).returncode != 0


def test_the_identity_document(one):
    row = one.describe()
    document = json.loads(imds(one, "dynamic/instance-identity/document"))
    assert document["instanceId"] == one.id
    assert document["imageId"] == row["ImageId"]
    assert document["privateIp"] == row["PrivateIpAddress"]
    assert document["region"] == REGION
    assert document["availabilityZone"] == row["Placement"]["AvailabilityZone"]
    assert document["instanceType"] == "t3.micro"
    assert document["architecture"] == "x86_64"
    assert len(document["accountId"]) == 12


def test_metadata_options_hold_at_once(one):
    def options(**changes):
        one.ec2.modify_instance_metadata_options(InstanceId=one.id, **changes)

    try:
        options(HttpTokens="optional")
        until("no token is needed", lambda: status(one, "") == 200)
        options(HttpEndpoint="disabled")
        until("the service is off", lambda: status(one, "") == 403)
        options(HttpEndpoint="enabled", HttpTokens="required", InstanceMetadataTags="enabled")
        until("a token is needed", lambda: status(one, "") == 401)
        until(
            "tags are shown",
            lambda: imds(one, "meta-data/tags/instance/Name", check=False).stdout == "one",
        )
    finally:
        options(HttpEndpoint="enabled", HttpTokens="required", InstanceMetadataTags="disabled")


def test_console_output(one):
    one.settled()

    def console():
        return one.ec2.get_console_output(InstanceId=one.id)["Output"]

    until("the console has the boot's end", lambda: "fogbank: ready after" in console())
    assert "Linux version" in console()
    assert "BEGIN SSH HOST KEY KEYS" in console()
    one.ssh("echo said-by-the-guest | sudo tee /dev/console")
    until("the console has what the guest says", lambda: "said-by-the-guest" in console())

