"""An instance with a guest in it: reached from the host as its owner reaches it."""

import contextlib
import os
import socket
import struct
import subprocess

from fogbank_cloud import image, instance, state, until

# `auto` unless told: KVM where it truly works, else QEMU's emulation.
HYPERVISOR = os.environ.get("FOGBANK_TEST_HYPERVISOR", "auto")
# How long a guest may take from its launch to its login under emulation on a busy machine.
BOOT_SECONDS = 120
# The metadata service, and what asks it for a token.
URL = "http://169.254.169.254"
TOKEN = (
    "TOKEN=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "
    f"{URL}/latest/api/token)"
)


def banner(address, port=22, seconds=2):
    """What a service says first; nothing if it can't be reached."""
    with contextlib.suppress(OSError):
        with socket.create_connection((address, port), timeout=seconds) as stream:
            return stream.recv(64).decode(errors="replace")
    return ""


def reachable(address, port, seconds=2):
    """Whether a TCP connection can be made."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def ping(address, seconds=2):
    """Whether an address answers an echo request."""
    payload = os.urandom(16)
    # Its own identifier each time: what is tracked goes on after its rule is gone.
    identifier = int.from_bytes(os.urandom(2), "big")
    head = struct.pack("!BBHHH", 8, 0, 0, identifier, 1)
    total = sum(struct.unpack("!12H", head + payload))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    head = struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, identifier, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(seconds)
        raw.sendto(head + payload, (address, 0))
        with contextlib.suppress(TimeoutError):
            while True:
                packet, (source, _) = raw.recvfrom(2048)
                if source == address and packet.endswith(payload) and packet[20] == 0:
                    return True
    return False


def imds(guest, path, check=True, address=None):
    """A path of the metadata service, asked from inside with a token."""
    command = f"{TOKEN} && curl -sf -H \"X-aws-ec2-metadata-token: $TOKEN\" {URL}/latest/{path}"
    return guest.ssh(command, check, address=address)


class Guest:
    """An instance that somebody can log in to."""

    def __init__(self, ec2, instance_id, key, user="ec2-user"):
        self.ec2 = ec2
        self.id = instance_id
        self.key = key
        self.user = user

    def __repr__(self):
        return self.id

    def describe(self):
        return instance(self.ec2, self.id)

    @property
    def state(self):
        return state(self.ec2, self.id)

    @property
    def public_ip(self):
        return self.describe()["PublicIpAddress"]

    @property
    def private_ip(self):
        return self.describe()["PrivateIpAddress"]

    def ready(self, seconds=BOOT_SECONDS):
        """Waits until the guest's SSH server answers."""

        def answers():
            row = self.describe()
            assert row["State"]["Name"] in ("pending", "running"), row.get("StateReason")
            address = row.get("PublicIpAddress")
            return row["State"]["Name"] == "running" and address and (
                banner(address).startswith("SSH-")
            )

        until(f"{self.id} lets one log in", answers, seconds)
        return self

    def ssh_words(self, address=None):
        return [
            "ssh", "-i", str(self.key), "-l", self.user,
            "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5",
            "-o", "ServerAliveCountMax=12",
            address or self.public_ip,
        ]

    def ssh(self, command, check=True, seconds=90, address=None, text=None):
        """Runs a command in the guest and gives what it wrote."""
        done = subprocess.run(
            [*self.ssh_words(address), command], capture_output=True, text=True, input=text or "",
            timeout=seconds, check=False,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            return done.stdout.strip()
        return done

    def session(self, command, address=None):
        """A command that goes on: a Popen with pipes of text."""
        return subprocess.Popen(
            [*self.ssh_words(address), command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )

    def settled(self, seconds=90):
        """Waits until the tiny image's boot is over: user data ran, the disk grew."""
        until(
            f"the boot of {self.id} is over",
            lambda: self.ssh("pgrep -f /usr/lib/fogbank/agent", check=False).returncode == 1,
            seconds,
            pause=0.3,
        )
        return self

    def power_off(self):
        """From inside; the session may end before its command does."""
        self.ssh("sudo poweroff", check=False)

    def stop(self, seconds=90):
        self.ec2.stop_instances(InstanceIds=[self.id])
        until(f"{self.id} is stopped", lambda: self.state == "stopped", seconds)

    def start(self):
        self.ec2.start_instances(InstanceIds=[self.id])
        return self.ready()

    def terminate(self, seconds=90):
        self.ec2.terminate_instances(InstanceIds=[self.id])
        until(f"{self.id} is terminated", lambda: self.state == "terminated", seconds)


class Guests:
    """Launches guests in one cloud, with a key of its own."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.ec2 = cloud.client()
        self.key = cloud.data / "test.pem"
        made = self.ec2.create_key_pair(KeyName="test", KeyType="ed25519")
        self.key.write_text(made["KeyMaterial"])
        self.key.chmod(0o600)
        self.login = self.group("login")
        self.open(self.login, 22)

    def launch(self, name="tiny", user="ec2-user", **parameters):
        """Starts a launch; `ready` waits for its end."""
        parameters = {
            "ImageId": image(self.ec2, name), "InstanceType": "t3.nano", "KeyName": "test",
            "SecurityGroupIds": [self.login],
        } | parameters
        row = self.ec2.run_instances(MinCount=1, MaxCount=1, **parameters)["Instances"][0]
        return Guest(self.ec2, row["InstanceId"], self.key, user)

    def group(self, name):
        """A security group of the default VPC."""
        return self.ec2.create_security_group(GroupName=name, Description=name)["GroupId"]

    def permission(self, port, source, protocol="tcp"):
        peer = (
            {"UserIdGroupPairs": [{"GroupId": source}]} if source.startswith("sg-")
            else {"IpRanges": [{"CidrIp": source}]}
        )
        return [{"IpProtocol": protocol, "FromPort": port, "ToPort": port} | peer]

    def open(self, group, port, source="0.0.0.0/0", protocol="tcp"):
        self.ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=self.permission(port, source, protocol)
        )

    def close(self, group, port, source="0.0.0.0/0", protocol="tcp"):
        answer = self.ec2.revoke_security_group_ingress(
            GroupId=group, IpPermissions=self.permission(port, source, protocol)
        )
        assert "UnknownIpPermissions" not in answer or not answer["UnknownIpPermissions"]
