"""A cloud for tests: started by the fogbank program, called by boto3, the aws CLI and ssh."""

import contextlib
import hashlib
import ipaddress
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import botocore.config
import botocore.session
import pytest
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"


def program():
    """The fogbank program under test."""
    path = Path(os.environ.get("FOGBANK", ROOT / "target/release/fogbank")).resolve()
    assert path.is_file(), f"{path} is missing: build it, or set FOGBANK"
    return path


def until(what, condition, seconds=30, pause=0.05):
    """Waits for a condition and gives its value; what it waits for is in the failure's message."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


@contextlib.contextmanager
def fault(code, message="", status=400):
    """The calls in this block fail with AWS's code, status and (part of the) message."""
    with pytest.raises(ClientError) as caught:
        yield caught
    answer = caught.value.response
    found = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
    assert found == (code, status), answer["Error"]
    assert message in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"], "a fault carries its request's ID"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def alive(pid):
    """Whether a process runs, with any of its threads; one that only waits to be reaped doesn't."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # A killed process can be a zombie by its first thread while others of it still run.
        return not select.select([ended], [], [], 0)[0]
    finally:
        os.close(ended)


class Cloud:
    """One cloud with its data in a folder of its own."""

    def __init__(self, *options, hypervisor="simulated"):
        self.data = Path(tempfile.mkdtemp(prefix="fogbank-test-"))
        self.port = free_port()
        self.hypervisor = hypervisor
        self.options = options
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.session = botocore.session.get_session()
        self.key = self.secret = None

    # The program

    def fogbank(self, *words, check=True, seconds=600, within=()):
        """Runs the program on this cloud, by another command if one is named; gives what it said."""
        command = [*within, str(program()), *map(str, words[:1]), "--data", str(self.data)]
        command += map(str, words[1:])
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def up(self, *more, within=()):
        done = self.fogbank(
            "up", "--detach", "--hypervisor", self.hypervisor, "--listen",
            f"127.0.0.1:{self.port}", *self.options, *more, within=within,
        )
        self.key, self.secret = self.credentials()
        return done

    def down(self):
        return self.fogbank("down")

    def destroy(self):
        """Ends the cloud, whatever state it is in, and removes its data."""
        done = self.fogbank("down", check=False)
        left = self.processes()
        for pid in left.values():
            os.kill(pid, signal.SIGKILL)
        for pid in self.guests():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.data, ignore_errors=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not left, f"'down' left processes: {left}"

    def variables(self):
        """What `fogbank env` exports."""
        lines = self.fogbank("env").stdout.splitlines()
        exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
        return dict(line.split("=", 1) for line in exports)

    def credentials(self):
        variables = self.variables()
        return variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]

    def processes(self):
        """The process of each role that runs, as `fogbank status` shows them."""
        words = [line.split() for line in self.fogbank("status", check=False).stdout.splitlines()]
        return {line[0]: int(line[2]) for line in words if len(line) == 3 and line[1] == "process"}

    def kill(self, *roles):
        """Kills processes of the cloud with -9 and gives their IDs."""
        processes = self.processes()
        killed = {role: processes[role] for role in roles}
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        for role, pid in killed.items():
            until(f"the {role} is gone", lambda pid=pid: not alive(pid))
        return killed

    def lose_power(self):
        """What a power cut does: every process of the cloud is gone, and so is /run."""
        lost = [*self.processes().values(), *self.guests()]
        # The supervisor first, which would start others again.
        for pid in lost:
            os.kill(pid, signal.SIGKILL)
        for pid in lost:
            until(f"process {pid} is gone", lambda pid=pid: not alive(pid))
        left = self.processes()
        assert not left, f"killed, and still there: {left}"
        assert self.guests() == []
        shutil.rmtree(self.run_folder)

    def up_after_boot(self):
        """Starts the cloud as after a boot of the host: its processes see another boot ID."""
        boot = self.data / "boot_id"
        boot.write_text(f"{uuid.uuid4()}\n")
        mount = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
        return self.up(within=["unshare", "--mount", "sh", "-c", mount, str(boot)])

    def replaced(self, killed, seconds=30):
        """Waits until other processes have the killed ones' roles."""

        def back():
            now = self.processes()
            return all(now.get(role, pid) != pid for role, pid in killed.items())

        until(f"{', '.join(killed)} started again", back, seconds)

    def guests(self):
        """QEMU's processes by instance, told from others' by this cloud's folders."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"qemu" in words[0] and any(self.run_folder.encode() in at for at in words):
                    found.append(int(entry.name))
        return found

    @property
    def run_folder(self):
        return f"/run/fogbank/{self.tag}"

    @property
    def tag(self):
        return hashlib.sha256(str(self.data).encode()).hexdigest()[:8]

    def logs(self):
        parts = []
        for log in sorted((self.data / "log").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-60:]
            parts.append(f"--- {log.name}\n" + "\n".join(lines))
        return "\n".join(parts)

    # AWS's clients

    def client(self, service="ec2", region=REGION, key=None, secret=None, **config):
        return self.session.create_client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=key or self.key,
            aws_secret_access_key=secret or self.secret,
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60, **config
            ),
        )

    def environment(self):
        """An environment in which the aws CLI calls this cloud."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{keep.get('PATH', '')}"
        nowhere = str(self.data / "none")
        files = {"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere}
        return keep | {"PATH": path, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"} | files | (
            self.variables()
        )

    def aws(self, *words, check=True):
        """Runs the aws CLI; gives its JSON, or the text of another --output."""
        done = subprocess.run(
            ["aws", *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=300,
            check=False,
        )
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        if "--output" in words:
            return done.stdout.strip()
        return json.loads(done.stdout) if done.stdout.strip() else None

    # Guests

    def pool(self):
        """The network of the cloud's public addresses."""
        text = self.fogbank("status", check=False).stdout
        return ipaddress.ip_network(text.partition("Public IP addresses from ")[2].split()[0])

    def host_address(self):
        """The host's own address among the public ones."""
        return str(self.pool()[1])


# The clouds that tests have up now: a failure shows their logs.
running = []


def started(cloud):
    """A fixture's body: the cloud runs until the fixture ends."""
    running.append(cloud)
    try:
        cloud.up()
        yield cloud
    finally:
        running.remove(cloud)
        cloud.destroy()


def image(ec2, name="tiny"):
    """The ID of a quick-start image."""
    filters = [{"Name": "name", "Values": [f"fogbank-{name}-*"]}]
    images = ec2.describe_images(Owners=["amazon"], Filters=filters)["Images"]
    assert len(images) == 1, images
    return images[0]["ImageId"]


def instance(ec2, instance_id):
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    return answer["Reservations"][0]["Instances"][0]


def state(ec2, instance_id):
    return instance(ec2, instance_id)["State"]["Name"]


def wait_state(ec2, instance_id, name, seconds=60):
    until(f"{instance_id} is {name}", lambda: state(ec2, instance_id) == name, seconds)
