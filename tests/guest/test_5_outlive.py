"""Nothing dies with its starter: kill -9 of each process, and what guests notice of it."""

import hashlib
import os
import socket
import subprocess

import pytest
from fogbank_cloud import Cloud, alive, started, until
from fogbank_guest import HYPERVISOR, Guests, banner, reachable


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud(hypervisor=HYPERVISOR))


@pytest.fixture(scope="module")
def own_guests(cloud):
    return Guests(cloud)


@pytest.fixture(scope="module")
def guest(own_guests):
    guest = own_guests.launch(PrivateIpAddress="172.31.0.50", SubnetId=first_subnet(own_guests.ec2))
    return guest.ready().settled()


def first_subnet(ec2):
    filters = [{"Name": "cidr-block", "Values": ["172.31.0.0/20"]}]
    return ec2.describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]


class Session:
    """An SSH session that is held open while processes are killed."""

    def __init__(self, guest):
        self.process = guest.session("while read line; do echo \"got $line\"; done")
        self.count = 0

    def goes_on(self):
        self.count += 1
        self.process.stdin.write(f"{self.count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"got {self.count}\n"

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def session(guest):
    session = Session(guest)
    session.goes_on()
    yield session
    session.end()


def answers(guest):
    try:
        return guest.state == "running"
    except Exception:  # noqa: BLE001 - whatever it is, it isn't an answer
        return False


def boot_id(guest):
    return guest.ssh("cat /proc/sys/kernel/random/boot_id")


@pytest.mark.parametrize("roles", [("server",), ("agent",), ("server", "agent")])
def test_control_processes_killed(cloud, own_guests, guest, session, roles):
    vms, boot = cloud.guests(), boot_id(guest)
    killed = cloud.kill(*roles)
    session.goes_on()
    cloud.replaced(killed)
    until("the endpoint answers", lambda: answers(guest))
    session.goes_on()
    assert cloud.guests() == vms, "the VM was adopted"
    assert boot_id(guest) == boot
    # The adopted VM is under control: a change of its rules reaches it.
    own_guests.open(own_guests.login, 8080)
    guest.ssh("mkdir -p /tmp/www; httpd -p 8080 -h /tmp/www || true")
    until("the port is open", lambda: reachable(guest.public_ip, 8080))
    own_guests.close(own_guests.login, 8080)
    until("the port is closed", lambda: not reachable(guest.public_ip, 8080))


def test_the_vpc_card_killed_under_traffic(cloud, own_guests, guest, session):
    """A transfer that runs goes on and ends whole."""
    guest.ssh("mkdir -p /tmp/www; head -c 33554432 /dev/urandom >/tmp/www/large")
    expected = guest.ssh("sha256sum /tmp/www/large").split()[0]
    guest.ssh("pgrep httpd >/dev/null || httpd -p 8080 -h /tmp/www")
    own_guests.open(own_guests.login, 8080)
    until("the port is open", lambda: reachable(guest.public_ip, 8080))
    digest, killed = hashlib.sha256(), None
    with socket.create_connection((guest.public_ip, 8080), timeout=60) as stream:
        stream.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        file = stream.makefile("rb")
        while file.readline() not in (b"\r\n", b""):
            pass
        total = 0
        while part := file.read(1 << 16):
            digest.update(part)
            total += len(part)
            if killed is None and total > 4 << 20:
                killed = cloud.kill("vpc-card")
    assert (total, digest.hexdigest()) == (32 << 20, expected)
    cloud.replaced(killed)
    session.goes_on()
    own_guests.close(own_guests.login, 8080)
    until("the new card has the rules", lambda: not reachable(guest.public_ip, 8080))
    until("new sessions begin", lambda: banner(guest.public_ip).startswith("SSH-"))


def test_the_ebs_card_killed_under_load(cloud, guest, session):
    """No error in the guest, and nothing lost that a sync acknowledged."""
    guest.ssh("sudo dmesg -c >/dev/null; mkdir -p /home/ec2-user/load")
    writer = guest.session(
        "cd load; for i in 1 2 3 4 5 6 7 8; do "
        "dd if=/dev/urandom bs=1M count=3 2>/dev/null | tee part$i | sha256sum >sum$i; "
        "sync; echo $i; done"
    )
    assert writer.stdout.readline() == "1\n"
    killed = cloud.kill("ebs-card")
    written = [line.strip() for line in writer.stdout]
    assert written == [str(at) for at in range(2, 9)]
    assert writer.wait(timeout=30) == 0
    writer.stdin.close()
    writer.stdout.close()
    cloud.replaced(killed)
    guest.ssh("sudo sh -c 'sync; echo 3 >/proc/sys/vm/drop_caches'")
    for at in range(1, 9):
        digest = guest.ssh(f"cd load; sha256sum <part{at}; cat sum{at}").splitlines()
        assert digest[0] == digest[1], f"part {at}"
    errors = guest.ssh("dmesg 2>/dev/null || sudo dmesg")
    assert "error" not in errors.lower(), errors
    session.goes_on()


def test_two_clouds_at_once(cloud, guest, guest_cloud, one):
    """The same private network in both, and neither sees the other's guests."""
    assert not cloud.pool().overlaps(guest_cloud.pool())
    assert guest.private_ip == "172.31.0.50"
    assert guest.ssh("hostname") == "ip-172-31-0-50.ec2.internal"
    assert one.ssh("hostname") == one.describe()["PrivateDnsName"]
    assert one.ssh("nc -w 3 172.31.0.50 22 </dev/null | head -c 4 || true") == ""


def test_down_and_up(cloud, guest):
    """What ran runs again, with its data and private address."""
    guest.ready().ssh("echo kept >/home/ec2-user/kept")
    boot, private = boot_id(guest), guest.private_ip
    cloud.down()
    assert cloud.processes() == {}
    assert cloud.guests() == []
    cloud.up()
    guest.ready()
    assert guest.private_ip == private
    assert boot_id(guest) != boot
    assert guest.ssh("cat /home/ec2-user/kept") == "kept"


def test_a_vm_that_crashes_is_recovered(cloud, guest):
    """The process of a VM is killed: the instance recovers with its ID, addresses and data."""
    before = guest.ready().describe()
    boot = boot_id(guest)
    (vm,) = cloud.guests()
    os.kill(vm, 9)
    until("another VM runs", lambda: cloud.guests() not in ([], [vm]), 60)
    guest.ready()
    assert boot_id(guest) != boot
    after = guest.describe()
    for name in ("InstanceId", "PrivateIpAddress", "PublicIpAddress"):
        assert after[name] == before[name]
    assert guest.ssh("cat /home/ec2-user/kept") == "kept"


def test_the_supervisor_killed_and_up_again(cloud, guest):
    """The guest and its open sessions go on under the next supervisor."""
    guest.ready()
    session, vms = Session(guest), cloud.guests()
    session.goes_on()
    cloud.kill("supervisor")
    session.goes_on()
    cloud.up()
    session.goes_on()
    assert cloud.guests() == vms
    assert guest.state == "running"
    guest.ssh("head -c 1000000 /dev/urandom >/home/ec2-user/after && sync")
    session.end()


def test_a_power_off_that_nobody_saw(cloud, guest):
    """The supervisor and the agent are dead while the guest powers off; `up` finds out."""
    before = cloud.processes()
    cloud.kill("supervisor")
    for role in ("server", "vpc-card", "ebs-card", "agent"):
        assert alive(before[role]), f"the {role} outlives the supervisor"
    cloud.kill("agent")
    guest_address = guest.public_ip
    guest.power_off()
    until("the guest is gone", lambda: not reachable(guest_address, 22, 1), 60)
    assert guest.state == "running", "nobody could tell yet"
    cloud.up()
    until("the power-off is seen", lambda: guest.state == "stopped")
    assert guest.describe()["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    guest.start()


def test_a_power_cut_and_a_boot_of_the_host(cloud, guest):
    """What ran runs again with what it had synced; what was stopped stays so."""
    guest.ready().ssh("head -c 5000000 /dev/urandom >/home/ec2-user/synced && sync")
    expected = guest.ssh("sha256sum /home/ec2-user/synced")
    before, boot = guest.describe(), boot_id(guest)
    cloud.lose_power()
    cloud.up_after_boot()
    guest.ready()
    assert boot_id(guest) != boot
    assert guest.ssh("sha256sum /home/ec2-user/synced") == expected
    after = guest.describe()
    for name in ("InstanceId", "PrivateIpAddress", "PublicIpAddress", "LaunchTime"):
        assert after[name] == before[name], name
    log = (cloud.data / "log" / "agent.log").read_text()
    assert f"{guest.id}: found off: HostRebooted" in log, "the agent takes it for a boot"
