"""A cloud without root: guests, their ways out and in, and what survives."""

import contextlib
import ipaddress
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from fogbank_cloud import alive, image, running, started, until
from fogbank_dns import Resolver
from fogbank_guest import BOOT_SECONDS, HYPERVISOR, Guest, Guests, banner, reachable
from fogbank_rootless import Person, RootlessCloud


@pytest.fixture(scope="module")
def person():
    person = Person()
    yield person
    person.gone()


@pytest.fixture(scope="module")
def names():
    resolver = Resolver()
    yield resolver
    resolver.close()


@pytest.fixture(scope="module")
def cloud(person, names):
    yield from started(
        RootlessCloud(person, "--resolver", names.address, hypervisor=HYPERVISOR)
    )


@pytest.fixture(scope="module")
def guests(cloud):
    guests = Guests(cloud)
    entry = cloud.person.entry
    os.chown(guests.key, entry.pw_uid, entry.pw_gid)
    return guests


@pytest.fixture(scope="module")
def open_group(guests):
    return guests.group("changing")


@pytest.fixture(scope="module")
def guest(cloud, guests, open_group):
    """A guest with port 22 open; nothing of these tests logs in there but one."""
    guest = guests.launch(SecurityGroupIds=[guests.login, open_group])
    lets_in(guest)
    return guest


def run(guest, command):
    """Runs a command in the guest by `fogbank ssh`."""
    words = ("ssh", "-i", str(guest.key), guest.id, command)
    return guest_cloud(guest).fogbank(*words, check=False, seconds=120)


def lets_in(guest):
    """Waits until one can log in."""
    last = []

    def in_now():
        last[:] = [run(guest, "true")]
        return last[0].returncode == 0

    try:
        until("one can log in", in_now, BOOT_SECONDS, pause=1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {last[0].stderr}") from None


def guest_cloud(guest):
    return next(cloud for cloud in running if guest.key.is_relative_to(cloud.data))


def said(guest, command):
    done = run(guest, command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def heard(kind, answer):
    """A service at all of the host's addresses; gives its port and who called."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("0.0.0.0", 0))
        server.settimeout(60)
        callers = []

        def serve():
            with contextlib.suppress(OSError):
                if kind == socket.SOCK_DGRAM:
                    data, caller = server.recvfrom(65536)
                    callers.append(caller[0])
                    server.sendto(answer(data), caller)
                    return
                server.listen()
                stream, caller = server.accept()
                callers.append(caller[0])
                with stream:
                    stream.sendall(answer(stream.recv(65536)))

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], callers
        thread.join()


def test_up_says_what_differs(cloud):
    said = cloud.fogbank("up", "--detach").stdout
    assert "Uplink: sockets, without root" in said
    assert "127." in said and "fogbank status" in said
    assert cloud.pool().subnet_of(ipaddress.ip_network("127.64.0.0/10"))
    doctor = cloud.fogbank("doctor", check=False)
    assert doctor.returncode == 0, doctor.stdout
    assert "sockets" in doctor.stdout


def test_no_process_has_privileges(cloud, guest):
    pids = [*cloud.processes().values(), *cloud.guests()]
    assert len(pids) >= 7
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert found["Uid"].split() == [str(cloud.person.entry.pw_uid)] * 4
        assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0
    for pid in cloud.guests():
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status


def test_ssh_reaches_a_guest_without_address_and_rule(cloud, guests):
    closed = guests.group("closed")
    subnet = guests.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    hidden = launch_hidden(guests, subnet, closed)
    assert "PublicIpAddress" not in hidden.describe()
    lets_in(hidden)
    assert said(hidden, "id -un") == "ec2-user"
    # By ssh itself, with what ssh-config says.
    config = cloud.data / "ssh_config"
    config.write_text(cloud.fogbank("ssh-config").stdout)
    done = subprocess.run(
        [*cloud.person.within(), "ssh", "-F", str(config), "-i", str(guests.key), "-o",
         "BatchMode=yes", hidden.id, "cat", "/proc/sys/kernel/ostype"],
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )
    assert done.stdout.strip() == "Linux", done.stderr
    # A port that nobody listens at.
    done = cloud.fogbank("open-tunnel", "--remote-port", "23", hidden.id, check=False)
    assert done.returncode != 0
    assert "does not answer at port 23" in done.stderr
    hidden.terminate()


def launch_hidden(guests, subnet, group):
    row = guests.ec2.run_instances(
        MinCount=1, MaxCount=1, ImageId=image(guests.ec2), InstanceType="t3.nano", KeyName="test",
        NetworkInterfaces=[{
            "DeviceIndex": 0, "SubnetId": subnet, "Groups": [group],
            "AssociatePublicIpAddress": False,
        }],
    )["Instances"][0]
    return Guest(guests.ec2, row["InstanceId"], guests.key)


def test_ssh_by_the_public_address(cloud, guest):
    address, port = until(
        "port 22 is offered", lambda: cloud.place(guest.public_ip, 22)
    )
    assert address == guest.public_ip
    assert address.startswith("127.")
    done = subprocess.run(
        ["ssh", "-p", str(port), *guest.ssh_words(address)[1:], "hostname"],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.stdout.strip() == guest.describe()["PrivateDnsName"], done.stderr


def test_a_guest_reaches_the_host_by_tcp(cloud, guest):
    with heard(socket.SOCK_STREAM, lambda data: b"heard " + data) as (port, callers):
        out = said(guest, f"echo hello | nc -w 10 {cloud.inside()} {port}")
    assert out == "heard hello"
    # The host sees who it is.
    assert callers == [guest.public_ip]


def test_a_guest_reaches_the_host_by_udp(cloud, guest):
    # TFTP's first and last block.
    with heard(socket.SOCK_DGRAM, lambda data: b"\0\3\0\1heard " + data[2:7]) as (port, callers):
        out = said(guest, f"curl -s --max-time 20 tftp://{cloud.inside()}:{port}/hello")
    assert out == "heard hello"
    assert callers == [guest.public_ip]


def test_a_guest_does_not_reach_what_listens_at_127_0_0_1(cloud, guest):
    with socket.socket() as private:
        private.bind(("127.0.0.1", 0))
        private.listen()
        port = private.getsockname()[1]
        assert reachable("127.0.0.1", port)
        command = f"nc -w 5 {cloud.inside()} {port} </dev/null; echo $?"
        assert said(guest, command) != "0"


def test_a_guest_pings_the_host(cloud, guest):
    assert ", 0% packet loss" in said(guest, f"sudo ping -c 2 -W 5 {cloud.inside()}")


def test_names_are_asked_of_the_hosts_resolver(cloud, guest, names):
    names.names["rootless.test"] = ["192.0.2.77"]
    assert "192.0.2.77" in said(guest, "nslookup rootless.test | tail -n +3")


def test_a_group_s_change_opens_and_closes_a_port(cloud, guests, guest, open_group):
    said(guest, "mkdir -p /tmp/www && echo page >/tmp/www/index.html")
    server = "nohup sh -c 'while :; do echo page | nc -l -p 8080; done' >/dev/null 2>&1 &"
    said(guest, server)
    assert cloud.place(guest.public_ip, 8080) is None
    assert not reachable(guest.public_ip, 8080)
    guests.open(open_group, 8080)
    until("the port is open", lambda: banner(guest.public_ip, 8080) == "page\n")
    assert cloud.place(guest.public_ip, 8080) == (guest.public_ip, 8080)
    guests.close(open_group, 8080)
    until("the port is closed", lambda: cloud.place(guest.public_ip, 8080) is None)
    assert not reachable(guest.public_ip, 8080)


def test_a_killed_card_loses_flows_through_sockets_and_no_more(cloud, guest):
    address, port = cloud.place(guest.public_ip, 22)
    with socket.create_connection((address, port), timeout=30) as stream:
        stream.settimeout(60)
        assert stream.recv(64).startswith(b"SSH-")
        killed = cloud.kill("vpc-card")
        # The flow ended in the card: it can't outlive it, and both ends hear so.
        with contextlib.suppress(ConnectionError):
            while stream.recv(4096):
                pass
    cloud.replaced(killed)
    until("the port is offered again", lambda: banner(address, port).startswith("SSH-"))
    assert said(guest, "echo well") == "well"
    assert all(alive(pid) for pid in cloud.guests())


def test_stop_and_start(cloud, guests, guest):
    before = guest.public_ip
    guest.stop()
    until("its ports are gone", lambda: cloud.place(before, 22) is None)
    guest.ec2.start_instances(InstanceIds=[guest.id])
    lets_in(guest)
    place = until("port 22 is offered", lambda: cloud.place(guest.public_ip, 22))
    assert banner(*place).startswith("SSH-")


def test_the_cloud_goes_down_and_comes_up(cloud, guest):
    cloud.down()
    assert not cloud.processes()
    cloud.up()
    lets_in(guest)
