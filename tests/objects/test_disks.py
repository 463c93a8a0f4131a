"""Disks of the object store that fill up, go away, turn read-only or are lost, with the real program.

Each node has a file system of its own in a file, which the test mounts: it needs root.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import botocore.exceptions
import pytest
from fogbank_cloud import Cloud, running, until

SEED = int(os.environ.get("FOGBANK_TEST_SEED", "1"))
MIB = 1 << 20
DISK = 420 * MIB

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


class Disk:
    """A file system in a file, which goes read-only at the first error."""

    def __init__(self, folder, number):
        self.image = folder / f"image-{number}"
        self.path = folder / f"disk-{number}"
        self.path.mkdir()
        self.make()

    def make(self):
        """Makes it anew, empty, and mounts it."""
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(DISK)
        run("mkfs.ext4", "-q", "-m", "0", "-J", "size=8", "-e", "remount-ro", str(self.image))
        self.mount()

    def mount(self):
        run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.path))

    def device(self):
        return Path(run("findmnt", "-n", "-o", "SOURCE", str(self.path)).stdout.strip())

    def unmount(self):
        # A process that still has it open for a moment is no obstacle.
        until("it is unmounted", lambda: run("umount", str(self.path), check=False).returncode == 0)

    def fail(self):
        """The kernel finds an error on it, and takes no more writes."""
        (Path("/sys/fs/ext4") / self.device().name / "trigger_fs_error").write_text("1\n")

    def repair(self):
        """What its owner does: unmounts it, checks it, mounts it."""
        self.unmount()
        assert run("e2fsck", "-fy", str(self.image), check=False).returncode in (0, 1)
        self.mount()

    def free(self):
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, left):
        """Somebody else takes all but so many bytes."""
        with (self.path / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(self.free() - left, 1))

    def make_room(self):
        (self.path / "filler").unlink()

    def destroy(self):
        run("umount", "-l", str(self.path), check=False)


@pytest.fixture
def disks():
    folder = Path(tempfile.mkdtemp(prefix="fogbank-disks-", dir="/dev/shm"))
    made = []
    try:
        for number in 1, 2, 3:
            made.append(Disk(folder, number))
        yield made
    finally:
        for disk in made:
            disk.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cloud(disks):
    made = Cloud("--nodes", *(str(disk.path) for disk in disks))
    running.append(made)
    try:
        made.up()
        made.client("s3").create_bucket(Bucket="bbb")
        yield made
    finally:
        running.remove(made)
        made.destroy()


def status(cloud):
    return json.loads(cloud.fogbank("objects", "status", "--json", check=False).stdout)


def node(cloud, number):
    return next(row for row in status(cloud)["nodes"] if row["name"] == f"node-{number}")


def settled(cloud, seconds=120):
    """All replicas are there and in sync."""

    def whole():
        now = status(cloud)
        return not now["slots_missing_copies"] and not now["activities"] and all(
            row["state"] == "up" and row["slots_in_sync"] == row["slots"] for row in now["nodes"]
        )

    try:
        until("all replicas are whole", whole, seconds, 0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}: {status(cloud)}") from None


class Objects:
    """Objects that were written, and what they hold."""

    def __init__(self, cloud):
        self.client, self.chooser, self.bodies = cloud.client("s3"), random.Random(SEED), {}

    def put(self, key, size):
        body = self.chooser.randbytes(size)
        self.client.put_object(Bucket="bbb", Key=key, Body=body)
        self.bodies[key] = hashlib.sha256(body).hexdigest()

    def delete(self, key):
        self.client.delete_object(Bucket="bbb", Key=key)
        del self.bodies[key]

    def some(self, prefix, count=20):
        for at in range(count):
            self.put(f"{prefix}-{at}", self.chooser.choice([10, 5000, 200_000, 1_500_000]))

    def check(self):
        for key, digest in self.bodies.items():
            body = self.client.get_object(Bucket="bbb", Key=key)["Body"].read()
            assert hashlib.sha256(body).hexdigest() == digest, key
        listed = self.client.list_objects_v2(Bucket="bbb").get("Contents", [])
        assert [row["Key"] for row in listed] == sorted(self.bodies)


@pytest.fixture
def objects(cloud):
    return Objects(cloud)


class Load(threading.Thread):
    """Writes, reads and removes keys of its own; each call succeeds, or asks for another try."""

    def __init__(self, cloud, number):
        super().__init__(daemon=True)
        self.client, self.number = cloud.client("s3"), number
        self.chooser = random.Random(SEED * 100 + number)
        self.stop, self.wrong, self.calls, self.tries = threading.Event(), None, 0, 0
        self.bodies = {}

    def run(self):
        try:
            while not self.stop.is_set():
                key = f"load-{self.number}/{self.chooser.randrange(30)}"
                self.step(key)
        except BaseException as error:
            self.wrong = error

    def step(self, key):
        body = self.chooser.randbytes(self.chooser.choice([100, 20_000, 1_200_000]))
        # What isn't answered may or may not have happened.
        self.bodies.pop(key, None)
        try:
            if self.chooser.random() < 0.3:
                self.client.delete_object(Bucket="bbb", Key=key)
            else:
                self.client.put_object(Bucket="bbb", Key=key, Body=body)
                self.bodies[key] = hashlib.sha256(body).hexdigest()
            self.calls += 1
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            answer = getattr(error, "response", None) or {}
            code = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
            assert code in (503, 507), error
            self.tries += 1
            time.sleep(0.02)

    def finish(self):
        self.stop.set()
        self.join(120)
        assert not self.is_alive()
        assert self.wrong is None, repr(self.wrong)
        for key, digest in self.bodies.items():
            body = self.client.get_object(Bucket="bbb", Key=key)["Body"].read()
            assert hashlib.sha256(body).hexdigest() == digest, key


@contextlib.contextmanager
def under_load(cloud, count=4):
    group = [Load(cloud, at) for at in range(count)]
    for load in group:
        load.start()
    try:
        until("the load runs", lambda: all(load.calls > 5 for load in group), 60)
        yield group
    finally:
        for load in group:
            load.stop.set()
    for load in group:
        load.finish()


def goes_on(group, calls=10):
    """So many more calls of each succeed."""
    goals = [load.calls + calls for load in group]
    until(
        "the load goes on",
        lambda: all(load.wrong or load.calls >= goal for load, goal in zip(group, goals)),
        60,
    )


def codes(call, *args, **more):
    try:
        return call(*args, **more)["ResponseMetadata"]["HTTPStatusCode"], ""
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def test_one_disk_is_full(cloud, disks, objects):
    objects.some("before")
    disks[1].fill(40 * MIB)
    objects.some("meanwhile")
    objects.delete("before-3")
    objects.check()
    assert node(cloud, 2)["state"] == "full"
    disks[1].make_room()
    settled(cloud)
    assert node(cloud, 2)["records"] >= len(objects.bodies)
    objects.check()


def test_all_disks_are_full(cloud, disks, objects):
    client = objects.client
    objects.some("before")
    for disk in disks:
        disk.fill(40 * MIB)
    for size in 0, 10, 3_000_000:
        put = codes(client.put_object, Bucket="bbb", Key="new", Body=bytes(size))
        assert put == (507, "InsufficientStorage"), size
    objects.check()
    objects.delete("before-0")
    objects.check()
    # It starts so, too, and still removes.
    cloud.down()
    cloud.up()
    objects.check()
    objects.delete("before-1")
    assert codes(client.put_object, Bucket="bbb", Key="new", Body=b"1")[0] == 507
    for disk in disks:
        disk.make_room()
    until(
        "writes are taken",
        lambda: codes(client.put_object, Bucket="bbb", Key="new", Body=b"1")[0] == 200,
    )
    objects.put("new", 5)
    objects.some("after")
    settled(cloud)
    objects.check()


def test_disks_fill_up_one_after_the_other(cloud, disks, objects):
    objects.some("before")
    with under_load(cloud) as group:
        for disk in disks:
            disk.fill(40 * MIB)
            time.sleep(0.5)
        until("nothing is taken any more", lambda: all(load.tries > 5 for load in group), 60)
        # Whatever its size: what frees space is taken all the time.
        for at in range(5):
            objects.delete(f"before-{at}")
        for disk in disks:
            disk.make_room()
        goes_on(group)
    for load in group:
        for key in objects.client.list_objects_v2(Bucket="bbb", Prefix="load-").get("Contents", []):
            objects.client.delete_object(Bucket="bbb", Key=key["Key"])
    settled(cloud)
    objects.check()


def test_a_disk_turns_read_only_under_load(cloud, disks, objects):
    objects.some("before")
    with under_load(cloud) as group:
        disks[1].fail()
        goes_on(group)
        until("it is noticed", lambda: node(cloud, 2)["state"] == "down")
        assert "ead-only" in node(cloud, 2)["reason"]
        goes_on(group)
        # No restart is needed: the store lets go of a disk that has failed.
        disks[1].repair()
        until("it takes part", lambda: node(cloud, 2)["state"] == "up", 90)
        goes_on(group)
    settled(cloud)
    for load in group:
        objects.bodies |= load.bodies
    wanted = set(objects.bodies)
    for row in objects.client.list_objects_v2(Bucket="bbb")["Contents"]:
        if row["Key"] not in wanted:
            objects.client.delete_object(Bucket="bbb", Key=row["Key"])
    objects.check()


def test_files_may_not_be_written_any_more(cloud, disks, objects):
    objects.some("before")
    run("chattr", "-R", "+i", str(disks[2].path))
    try:
        objects.some("meanwhile", 5)
        until("it is noticed", lambda: node(cloud, 3)["state"] == "down")
        assert "not permitted" in node(cloud, 3)["reason"]
        objects.check()
        cloud.down()
        cloud.up()
        assert node(cloud, 3)["state"] == "down"
        objects.some("restarted", 5)
    finally:
        run("chattr", "-R", "-i", str(disks[2].path))
    settled(cloud)
    objects.check()


def test_a_disk_is_not_mounted_at_the_start(cloud, disks, objects):
    objects.some("before")
    cloud.down()
    disks[1].unmount()
    said = cloud.up()
    assert "node-2" in said.stderr and "mounted" in said.stderr
    lost = node(cloud, 2)
    assert lost["state"] == "lost" and "mounted" in lost["reason"]
    assert "lost" in cloud.fogbank("status", check=False).stdout
    objects.some("meanwhile")
    objects.delete("before-0")
    objects.check()
    assert not list(disks[1].path.iterdir()), "something was made where the disk belongs"
    disks[1].mount()
    settled(cloud)
    objects.check()


def test_a_lost_disk_is_replaced_when_asked_for(cloud, disks, objects):
    objects.some("before")
    refused = cloud.fogbank("objects", "node", "replace", "node-2", check=False)
    assert refused.returncode != 0 and "in use" in refused.stderr
    cloud.down()
    disks[1].unmount()
    disks[1].make()
    cloud.up()
    objects.some("meanwhile", 5)
    assert node(cloud, 2)["state"] == "lost"
    cloud.fogbank("objects", "node", "replace", str(disks[1].path))
    settled(cloud)
    # Beside those of objects, each node has a few records of its own.
    assert node(cloud, 2)["records"] >= len(objects.bodies)
    # In another folder, while it runs.
    run("umount", "-l", str(disks[0].path))
    elsewhere = disks[0].path / "elsewhere"
    until("it is missed", lambda: node(cloud, 1)["state"] == "lost")
    objects.some("later", 5)
    cloud.fogbank("objects", "node", "replace", "node-1", "--folder", elsewhere)
    settled(cloud)
    cloud.down()
    cloud.options = ()
    cloud.up()
    settled(cloud)
    assert node(cloud, 1)["folder"] == str(elsewhere)
    objects.check()


def test_two_of_three_disks_are_lost(cloud, disks, objects):
    objects.some("before")
    refused = cloud.fogbank("objects", "accept-loss", "--yes", "node-2", check=False)
    assert refused.returncode != 0 and "replace" in refused.stderr
    cloud.down()
    for disk in disks[1:]:
        disk.unmount()
    started = time.monotonic()
    with pytest.raises(AssertionError) as failed:
        cloud.up()
    assert time.monotonic() - started < 40, "it says so soon"
    said = str(failed.value)
    assert "accept-loss node-2 node-3" in said and "mounted" in said
    # One of them comes back: that is enough.
    disks[1].mount()
    cloud.up()
    objects.check()
    objects.some("with-two", 5)
    cloud.down()
    disks[1].unmount()
    for disk in disks[1:]:
        disk.make()
    with pytest.raises(AssertionError):
        cloud.up()
    asked = cloud.fogbank("objects", "accept-loss", "node-2", "node-3", check=False)
    assert asked.returncode != 0 and "LOST" in asked.stderr
    cloud.fogbank("objects", "accept-loss", "--yes", "node-2", "node-3")
    cloud.up()
    settled(cloud)
    # The one that was left had everything.
    objects.check()
    objects.some("after", 5)
    objects.check()
    cloud.down()
    cloud.up()
    settled(cloud)


def test_a_node_is_removed_under_load(cloud, disks, objects):
    folder = disks[0].path.parent / "disk-4"
    objects.some("before", 60)
    cloud.fogbank("objects", "node", "add", str(folder))
    with under_load(cloud, 6) as group:
        cloud.fogbank("objects", "node", "remove", "node-2", "--patience", "60", seconds=300)
        goes_on(group)
    assert "node-2" not in [row["name"] for row in status(cloud)["nodes"]]
    settled(cloud)


def test_a_removal_that_cannot_go_on_says_why_and_ends(cloud, disks, objects):
    objects.some("before")
    cloud.fogbank("objects", "node", "add", str(disks[0].path.parent / "disk-4"))
    settled(cloud)
    run("umount", "-l", str(disks[2].path))
    until("it is missed", lambda: node(cloud, 3)["state"] in ("lost", "down"))
    ended = cloud.fogbank(
        "objects", "node", "remove", "node-2", "--patience", "5", check=False, seconds=120
    )
    assert ended.returncode != 0
    assert "nothing has moved" in ended.stderr and "node-3 is down" in ended.stderr
    assert node(cloud, 2)["state"] == "leaving"
    objects.check()
    disks[2].mount()
    cloud.fogbank("objects", "node", "remove", "node-2", "--patience", "60", seconds=300)
    settled(cloud)
    objects.check()
