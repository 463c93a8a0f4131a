"""A cloud whose objects are in Ceph: that of FOGBANK_CEPH_CONF, which ceph.sh has started."""

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import botocore.exceptions
import pytest
from fogbank_cloud import Cloud, alive, fault, program, started, until

SCRIPT = Path(__file__).with_name("ceph.sh")
CONF = os.environ.get("FOGBANK_CEPH_CONF", "")
POOL = ("--ceph", CONF, "--ceph-pool", "fogbank")


@pytest.fixture
def cloud():
    assert CONF, "FOGBANK_CEPH_CONF names the ceph.conf of a Ceph for tests"
    yield from started(Cloud(*POOL))


def ceph(*words):
    done = subprocess.run(
        ["ceph", "--conf", CONF, *words], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def names_in_ceph(cloud):
    """The names of all blobs that Ceph has of a cloud, by its settings' namespace."""
    namespace = json.loads((cloud.data / "config.json").read_text())["ceph"]["namespace"]
    done = subprocess.run(
        ["rados", "--conf", CONF, "--pool", "fogbank", "--namespace", namespace, "ls"],
        capture_output=True, text=True, timeout=120, check=True,
    )
    return [name for name in done.stdout.split() if name.startswith("blob.")]


def answers(cloud):
    try:
        cloud.client("s3").list_buckets()
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        return False
    return True


def status(cloud):
    return json.loads(cloud.fogbank("objects", "status", "--json").stdout)


def read(client, key, **more):
    return client.get_object(Bucket="bbb", Key=key, **more)["Body"].read()


def listed(client, **more):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bbb", **more)
    return [row["Key"] for page in pages for row in page.get("Contents", [])]


def test_objects_are_in_ceph(cloud):
    client, chooser = cloud.client("s3"), random.Random(1)
    client.create_bucket(Bucket="bbb")
    bodies = {
        f"folder-{at % 3}/key-{at}": chooser.randbytes(size)
        for at, size in enumerate([0, 1, 1000, 70_000, 1_048_577, 9_000_000] * 4)
    }
    for key, body in bodies.items():
        client.put_object(Bucket="bbb", Key=key, Body=body)
    for key, body in bodies.items():
        assert read(client, key) == body
    assert read(client, "folder-2/key-5", Range="bytes=8388000-8389000") == bodies[
        "folder-2/key-5"][8_388_000:8_389_001]
    assert listed(client) == sorted(bodies)
    assert listed(client, PaginationConfig={"PageSize": 5}) == sorted(bodies)
    page = client.list_objects_v2(Bucket="bbb", Delimiter="/")
    assert [row["Prefix"] for row in page["CommonPrefixes"]] == [
        "folder-0/", "folder-1/", "folder-2/"]

    target = {"Bucket": "bbb", "Key": "parts"}
    target["UploadId"] = client.create_multipart_upload(**target)["UploadId"]
    parts = [chooser.randbytes(6 << 20), chooser.randbytes(5 << 20), b"end"]
    made = [
        {"PartNumber": at, "ETag": client.upload_part(**target, PartNumber=at, Body=body)["ETag"]}
        for at, body in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(**target, MultipartUpload={"Parts": made})
    assert read(client, "parts") == b"".join(parts)

    client.put_bucket_versioning(Bucket="bbb", VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket="bbb", Key="versions", Body=b"old" * 1000)["VersionId"]
    new = client.put_object(Bucket="bbb", Key="versions", Body=b"new" * 1000)["VersionId"]
    client.delete_object(Bucket="bbb", Key="versions")
    with fault("NoSuchKey", status=404):
        read(client, "versions")
    assert read(client, "versions", VersionId=old) == b"old" * 1000
    assert read(client, "versions", VersionId=new) == b"new" * 1000
    rows = client.list_object_versions(Bucket="bbb", Prefix="versions")
    assert [row["VersionId"] for row in rows["Versions"]] == [new, old]
    assert len(rows["DeleteMarkers"]) == 1

    assert len(names_in_ceph(cloud)) >= len(bodies)
    assert not list((cloud.data / "objects").glob("node-*")), "nothing is kept elsewhere"
    bodies["parts"] = b"".join(parts)
    cloud.down()
    cloud.up()
    client = cloud.client("s3")
    for key, body in bodies.items():
        assert read(client, key) == body
    assert listed(client) == sorted(bodies)
    assert read(client, "versions", VersionId=old) == b"old" * 1000


def test_what_is_deleted_is_gone_from_ceph(cloud):
    client = cloud.client("s3")
    client.create_bucket(Bucket="bbb")
    for at in range(40):
        client.put_object(Bucket="bbb", Key=f"key-{at}", Body=b"x" * 50_000)
    client.put_object(Bucket="bbb", Key="large", Body=b"x" * 20_000_000)
    assert len(names_in_ceph(cloud)) == 43
    for at in range(40):
        client.delete_object(Bucket="bbb", Key=f"key-{at}")
    client.put_object(Bucket="bbb", Key="large", Body=b"small now")
    until("the blobs are gone", lambda: len(names_in_ceph(cloud)) == 1, 60, 0.5)
    assert read(client, "large") == b"small now"


def test_the_owner_sees_where_objects_are(cloud):
    client = cloud.client("s3")
    client.create_bucket(Bucket="bbb")
    client.put_object(Bucket="bbb", Key="key", Body=b"x")
    now = status(cloud)
    assert now["ceph"].startswith("ceph:fogbank/fogbank-"), now
    [node] = now["nodes"]
    assert (node["name"], node["state"], node["folder"]) == ("ceph", "up", now["ceph"]), node
    assert node["available_bytes"] > 0
    assert (now["buckets"], now["objects"], now["slots_unavailable"]) == (1, 1, 0), now
    said = cloud.fogbank("objects", "status").stdout
    assert "copies are Ceph's: all whole" in said and now["ceph"] in said, said
    said = cloud.fogbank("objects", "locate", "s3://bbb/key").stdout
    assert "ceph " in said and "in sync, 1 version" in said, said
    cloud.fogbank("objects", "scrub")
    until("a scrub ends", lambda: status(cloud)["scrubs"] > 0, 60, 0.2)
    for words in ("node", "add", "/tmp/other"), ("node", "remove", "ceph"):
        done = cloud.fogbank("objects", *words, check=False)
        assert done.returncode == 1 and "add OSDs to Ceph" in done.stderr, done


def test_contradictions_are_refused(cloud, tmp_path):
    def refused(*options, data=None):
        words = [str(program()), "up", "--detach", "--data", str(data or tmp_path / "other")]
        words += ["--hypervisor", "simulated", "--listen", "127.0.0.1:1", *options]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode != 0, done
        assert not (tmp_path / "other" / "config.json").exists()
        return done.stderr

    assert "--ceph-pool" in refused("--ceph", CONF)
    assert "--ceph <CONF>" in refused("--ceph-pool", "fogbank")
    assert "cannot be used with" in refused(*POOL, "--nodes", "/tmp/a")
    assert "/no/ceph.conf" in refused("--ceph", "/no/ceph.conf", "--ceph-pool", "fogbank")
    assert "open the Ceph pool none" in refused("--ceph", CONF, "--ceph-pool", "none")
    cloud.down()
    said = refused("--nodes", str(tmp_path), data=cloud.data)
    assert "keeps its objects in ceph:fogbank/" in said
    said = refused(*POOL, "--ceph-namespace", "another", data=cloud.data)
    assert "keeps its objects in ceph:fogbank/fogbank-" in said
    cloud.up()


def test_without_librados(tmp_path):
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    [line] = [line for line in known.splitlines() if "librados.so.2 " in line]
    library = Path(line.split(" => ")[1]).resolve()
    up = f"{program()} up --detach --data {tmp_path} --hypervisor simulated --listen 127.0.0.1:1"
    hide = f"mount --bind /dev/null {library} && exec {up} {' '.join(POOL)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide], capture_output=True, text=True, check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "the package librados2" in done.stderr, done
    assert not (tmp_path / "config.json").exists()


class Writer(threading.Thread):
    """Writes, replaces and removes keys of its own; knows what was acknowledged."""

    def __init__(self, cloud, number):
        super().__init__(daemon=True)
        self.client, self.chooser = cloud.client("s3"), random.Random(number)
        self.keys = [f"writer-{number}/{at}" for at in range(6)]
        # What a key may hold: more than one where a call was not answered.
        self.holds = {key: {None} for key in self.keys}
        self.stop, self.calls, self.wrong = threading.Event(), 0, None

    def run(self):
        try:
            while not self.stop.is_set():
                self.step(self.chooser.choice(self.keys))
        except BaseException as error:
            self.wrong = error

    def step(self, key):
        size = self.chooser.choice([None, 10, 5000, 200_000, 3_000_000])
        body = None if size is None else self.chooser.randbytes(size)
        digest = None if body is None else hashlib.sha256(body).digest()
        before, self.holds[key] = self.holds[key], self.holds[key] | {digest}
        try:
            if body is None:
                self.client.delete_object(Bucket="bbb", Key=key)
            else:
                self.client.put_object(Bucket="bbb", Key=key, Body=body)
            self.holds[key] = {digest}
            self.calls += 1
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            answer = getattr(error, "response", None) or {}
            code = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
            assert code in (500, 503), error
            time.sleep(0.02)

    def check(self, client):
        assert self.wrong is None, repr(self.wrong)
        there = set(listed(client, Prefix=self.keys[0].split("/")[0] + "/"))
        for key in self.keys:
            found = hashlib.sha256(read(client, key)).digest() if key in there else None
            assert found in self.holds[key], key


def writing(cloud, count):
    cloud.client("s3").create_bucket(Bucket="bbb")
    group = [Writer(cloud, number) for number in range(count)]
    for writer in group:
        writer.start()
    return group


def calls(group):
    return sum(writer.calls for writer in group)


def ended(cloud, group):
    for writer in group:
        writer.stop.set()
    for writer in group:
        writer.join(120)
        assert not writer.is_alive()
        writer.check(cloud.client("s3"))


def test_killed_again_and_again(cloud):
    group, chooser = writing(cloud, 4), random.Random(1)
    for _ in range(6):
        before = calls(group)
        until("they write", lambda: calls(group) >= before + 10, 60)
        time.sleep(chooser.uniform(0, 0.3))
        pid = cloud.processes()["objects"]
        os.kill(pid, signal.SIGKILL)
        until("the objects role is gone", lambda: not alive(pid))
        until("the store answers again", lambda: answers(cloud), 60)
    ended(cloud, group)
    # Each key has one blob at most; what the kills left behind is found by a scrub.
    cloud.fogbank("objects", "scrub")
    until("the scrub ends", lambda: status(cloud)["scrubs"] > 0, 60, 0.2)
    keys = len(listed(cloud.client("s3")))
    until("nothing else is left", lambda: len(names_in_ceph(cloud)) <= keys, 60, 0.5)


def test_an_osd_dies_while_clients_write(cloud):
    group, folder = writing(cloud, 4), Path(CONF).parent
    until("they write", lambda: calls(group) >= 20, 60)
    os.kill(int((folder / "pid/osd2").read_text()), signal.SIGKILL)
    before = calls(group)
    until("they write without it", lambda: calls(group) >= before + 40, 120)
    subprocess.run([SCRIPT, "osd", str(folder), "2"], check=True, timeout=60)
    until("the OSD is back", lambda: "3 up" in ceph("osd", "stat"), 120, 0.5)
    before = calls(group)
    until("they write with it", lambda: calls(group) >= before + 20, 120)
    ended(cloud, group)
    assert status(cloud)["nodes"][0]["state"] == "up"
