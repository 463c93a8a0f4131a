"""What is acknowledged stays: kill -9 in the midst of writing, lost and damaged nodes."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import threading
import time

import botocore.exceptions
import pytest
from fogbank_cloud import Cloud, alive, started, until

# 1,000 of them were run once; a few are enough to see that it still holds.
KILLS = int(os.environ.get("FOGBANK_TEST_KILLS", "12"))
SEED = int(os.environ.get("FOGBANK_TEST_SEED", "1"))
GONE = None


@pytest.fixture
def cloud():
    """A cloud whose store the test damages."""
    yield from started(Cloud())


def body_of(chooser, size=None):
    size = chooser.choice([0, 10, 4096, 100_000, 1_500_000]) if size is None else size
    return chooser.randbytes(size)


class Writer(threading.Thread):
    """Writes to keys of its own, and knows what each of them may hold."""

    def __init__(self, cloud, number, bucket, versioned):
        super().__init__(daemon=True)
        self.client = cloud.client("s3")
        self.chooser = random.Random(SEED * 1000 + number)
        self.bucket, self.versioned = bucket, versioned
        self.keys = [f"writer-{number}/{at}" for at in range(8)]
        # What a read may find: more than one where a call was not answered.
        self.current = {key: {GONE} for key in self.keys}
        # Bodies of the versions that must be there, and of those that must not.
        self.kept = {}
        self.removed = set()
        self.stop, self.calls, self.wrong = threading.Event(), 0, None

    def run(self):
        try:
            while not self.stop.is_set():
                self.step(self.chooser.choice(self.keys))
        except BaseException as error:
            self.wrong = error

    def step(self, key):
        act = self.chooser.choice(["put", "put", "put", "delete", "get", "parts", "version"])
        before = self.current[key]
        try:
            if act == "put":
                body = body_of(self.chooser)
                digest = hashlib.sha256(body).hexdigest()
                self.current[key] = before | {digest}
                made = self.client.put_object(Bucket=self.bucket, Key=key, Body=body)
                self.settle(key, digest, made)
            elif act == "delete":
                self.current[key] = before | {GONE}
                made = self.client.delete_object(Bucket=self.bucket, Key=key)
                self.settle(key, GONE, made)
            elif act == "parts":
                bodies = [body_of(self.chooser, 5 << 20), body_of(self.chooser, 1000)]
                target = {"Bucket": self.bucket, "Key": key}
                target["UploadId"] = self.client.create_multipart_upload(**target)["UploadId"]
                parts = [
                    {"PartNumber": at, "ETag": self.client.upload_part(
                        **target, PartNumber=at, Body=body)["ETag"]}
                    for at, body in enumerate(bodies, 1)
                ]
                digest = hashlib.sha256(b"".join(bodies)).hexdigest()
                self.current[key] = before | {digest}
                made = self.client.complete_multipart_upload(
                    **target, MultipartUpload={"Parts": parts}
                )
                self.settle(key, digest, made)
            elif act == "version" and self.kept:
                at = self.chooser.choice(sorted(self.kept))
                digest = self.kept.pop(at)
                self.current[at[0]] |= {GONE, "any"}
                self.client.delete_object(Bucket=self.bucket, Key=at[0], VersionId=at[1])
                self.removed.add((*at, digest))
            else:
                self.check(key)
            self.calls += 1
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            answer = getattr(error, "response", None) or {}
            code = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
            assert code in (500, 503), error
            time.sleep(0.02)

    def settle(self, key, digest, made):
        self.current[key] = {digest}
        if self.versioned:
            self.kept[key, made["VersionId"]] = digest

    def read(self, key, **more):
        try:
            got = self.client.get_object(Bucket=self.bucket, Key=key, **more)
            return hashlib.sha256(got["Body"].read()).hexdigest()
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion"):
                return GONE
            if error.response["Error"]["Code"] == "MethodNotAllowed":
                return GONE  # A delete marker.
            raise

    def check(self, key):
        found = self.read(key)
        if "any" not in self.current[key]:
            assert found in self.current[key], f"{key} holds {found}, not {self.current[key]}"
        self.current[key] = {found}

    def check_all(self):
        assert self.wrong is None, repr(self.wrong)
        listed = set()
        for page in self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.keys[0].split("/")[0] + "/"
        ):
            listed |= {row["Key"] for row in page.get("Contents", [])}
        for key in self.keys:
            self.check(key)
            assert (key in listed) == (self.current[key] != {GONE}), f"{key} and its listing"
        for (key, version), digest in self.kept.items():
            assert self.read(key, VersionId=version) == digest, f"{key} {version}"
        for key, version, _ in self.removed:
            assert self.read(key, VersionId=version) is GONE, f"{key} {version} came back"


def writers(cloud, count=6):
    client = cloud.client("s3")
    for bucket in "plain", "versioned":
        client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(
        Bucket="versioned", VersioningConfiguration={"Status": "Enabled"}
    )
    made = [
        Writer(cloud, at, "versioned" if at % 2 else "plain", bool(at % 2)) for at in range(count)
    ]
    for writer in made:
        writer.start()
    return made


def answers(cloud):
    """Whether the store answers again."""
    try:
        cloud.client("s3").list_buckets()
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        return False
    return True


def status(cloud):
    # It ends with a code of its own while something is missing.
    return json.loads(cloud.fogbank("objects", "status", "--json", check=False).stdout)


def node_folders(cloud):
    return sorted((cloud.data / "objects").glob("node-*"))


def lose(folder):
    """A folder goes at once, though a process writes to it."""
    away = folder.with_name("lost")
    folder.rename(away)
    shutil.rmtree(away)


def settled(cloud, seconds=120):
    """All replicas are there and in sync."""

    def whole():
        now = status(cloud)
        return now["slots_missing_copies"] == 0 and all(
            node["state"] == "up" and node["slots_in_sync"] == now["slots"]
            for node in now["nodes"]
        )

    until("all replicas are whole", whole, seconds, 0.3)


def test_killed_again_and_again(cloud):
    chooser, group = random.Random(SEED), writers(cloud)
    for round in range(KILLS):
        time.sleep(chooser.uniform(0.05, 0.8))
        pid = cloud.processes()["objects"]
        os.kill(pid, signal.SIGKILL)
        until("the objects role is gone", lambda: not alive(pid))
        until("the store answers again", lambda: answers(cloud), 60)
    for writer in group:
        writer.stop.set()
    for writer in group:
        writer.join(60)
        assert not writer.is_alive()
    assert sum(writer.calls for writer in group) > KILLS
    for writer in group:
        writer.check_all()
    settled(cloud)


def test_a_node_is_lost_and_made_anew(cloud):
    client, chooser = cloud.client("s3"), random.Random(SEED)
    client.create_bucket(Bucket="bbb")
    bodies = {f"key-{at}": body_of(chooser) for at in range(60)}
    for key, body in bodies.items():
        client.put_object(Bucket="bbb", Key=key, Body=body)
    lose(node_folders(cloud)[1])
    for key in list(bodies)[:20]:
        bodies[key] = body_of(chooser)
        client.put_object(Bucket="bbb", Key=key, Body=bodies[key])
    for key in list(bodies)[20:30]:
        client.delete_object(Bucket="bbb", Key=key)
        del bodies[key]
    for key, body in bodies.items():
        assert client.get_object(Bucket="bbb", Key=key)["Body"].read() == body
    # It may come back: so it is made anew only when that is asked for.
    until("it is missed", lambda: status(cloud)["nodes"][1]["state"] == "lost")
    cloud.fogbank("objects", "node", "replace", "node-2")
    settled(cloud)
    # What was made anew carries the store by itself with one other.
    lose(node_folders(cloud)[0])
    for key, body in bodies.items():
        assert client.get_object(Bucket="bbb", Key=key)["Body"].read() == body
    listed = client.list_objects_v2(Bucket="bbb")["Contents"]
    assert sorted(row["Key"] for row in listed) == sorted(bodies)


def test_flipped_bits(cloud):
    client, chooser = cloud.client("s3"), random.Random(SEED)
    client.create_bucket(Bucket="bbb")
    bodies = {f"key-{at}": body_of(chooser, size) for at, size in enumerate(
        [100, 5000, 70_000, 900_000, 3_000_000, 20_000_000])}
    for key, body in bodies.items():
        client.put_object(Bucket="bbb", Key=key, Body=body)
    cloud.down()
    damaged = 0
    for path in node_folders(cloud)[2].rglob("*"):
        if path.is_file() and ("blobs" in path.parts or "log" in path.parts):
            data = bytearray(path.read_bytes())
            for at in range(4096, len(data), 50_000):
                data[at] ^= 1 << chooser.randrange(8)
                damaged += 1
            path.write_bytes(data)
    assert damaged > 100
    cloud.up()
    for _ in range(3):
        for key, body in bodies.items():
            assert client.get_object(Bucket="bbb", Key=key)["Body"].read() == body
    cloud.fogbank("objects", "scrub")
    settled(cloud)
    lose(node_folders(cloud)[0])
    for key, body in bodies.items():
        assert client.get_object(Bucket="bbb", Key=key)["Body"].read() == body


def test_where_an_object_lies(cloud):
    client = cloud.client("s3")
    client.create_bucket(Bucket="bbb")
    client.put_object(Bucket="bbb", Key="folder/key", Body=b"x")
    said = cloud.fogbank("objects", "locate", "s3://bbb/folder/key").stdout
    assert len(set(re.findall(r"node-\d", said))) == 3, said
    said = cloud.fogbank("objects", "status").stdout
    for word in "node-1", "node-2", "node-3":
        assert word in said


def test_access_log_lines_are_kept_by_down(cloud):
    client = cloud.client("s3")
    client.create_bucket(Bucket="bbb")
    client.create_bucket(Bucket="logs")
    client.put_bucket_logging(Bucket="bbb", BucketLoggingStatus={
        "LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "of-bbb/"}})
    for at in range(50):
        client.put_object(Bucket="bbb", Key=f"key-{at}", Body=b"x")
    cloud.down()
    cloud.up()
    client = cloud.client("s3")
    text = ""
    for row in client.list_objects_v2(Bucket="logs", Prefix="of-bbb/").get("Contents", []):
        text += client.get_object(Bucket="logs", Key=row["Key"])["Body"].read().decode()
    for at in range(50):
        assert text.count(f" REST.PUT.OBJECT key-{at} ") == 1, f"key-{at} in:\n{text}"


def test_no_request_is_cut_off_by_down(cloud):
    """What is under way is waited for, and what comes after is told to come again."""
    group = writers(cloud, 4)
    until("they write", lambda: sum(writer.calls for writer in group) > 20)
    for writer in group:
        writer.stop.set()
    cloud.down()
    cloud.up()
    for writer in group:
        writer.client = cloud.client("s3")
        writer.join(60)
        assert not writer.is_alive()
        writer.check_all()
