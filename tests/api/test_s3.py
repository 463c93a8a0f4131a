"""S3 at the cloud's one port: who answers what, and what outlives the death of a process."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time
import urllib.request

import botocore.exceptions
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from fogbank_cloud import REGION, Cloud, fault, started, until


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture
def own_cloud():
    """A cloud for one test, which may kill what it likes."""
    yield from started(Cloud())


@pytest.fixture
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3, request):
    """A bucket of the test's own."""
    name = "t-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    s3.create_bucket(Bucket=name)
    return name


def body_of(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def keys_of(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [row["Key"] for page in pages for row in page.get("Contents", [])]


def signed(cloud, method, path, service, body=b"", headers=None, endpoint=None):
    """The headers of a request to the cloud, signed for a service."""
    url = (endpoint or cloud.endpoint) + path
    request = AWSRequest(method, url, data=body, headers=headers or {})
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    credentials = Credentials(cloud.key, cloud.secret)
    if service == "s3":
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
    signer(credentials, service, REGION).add_auth(request)
    return dict(request.headers.items())


def status(cloud):
    return json.loads(cloud.fogbank("objects", "status", "--json", check=False).stdout)


# One port for all


def test_a_bucket_and_an_object(cloud, s3, bucket):
    assert bucket in [row["Name"] for row in s3.list_buckets()["Buckets"]]
    put = s3.put_object(Bucket=bucket, Key="a/b.txt", Body=b"hello", ContentType="text/plain")
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="a/b.txt")
    assert (got["Body"].read(), got["ContentType"]) == (b"hello", "text/plain")
    assert keys_of(s3, bucket) == ["a/b.txt"]
    s3.delete_object(Bucket=bucket, Key="a/b.txt")
    with fault("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key="a/b.txt")
    s3.delete_bucket(Bucket=bucket)
    with fault("NoSuchBucket", status=404):
        s3.list_objects_v2(Bucket=bucket)


def test_the_aws_cli_copies_and_lists(cloud, bucket, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(1 << 20) * 20)
    cloud.aws("s3", "cp", large, f"s3://{bucket}/large.bin", "--output", "text")
    assert "20971520 large.bin" in cloud.aws("s3", "ls", f"s3://{bucket}", "--output", "text")
    back = tmp_path / "back.bin"
    cloud.aws("s3", "cp", f"s3://{bucket}/large.bin", back, "--output", "text")
    assert back.read_bytes() == large.read_bytes()
    url = cloud.aws("s3", "presign", f"s3://{bucket}/large.bin", "--output", "text")
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == large.read_bytes()


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_links(cloud, bucket, version):
    """Both versions of the signature; the old one is boto3's own choice."""
    s3 = cloud.client("s3", signature_version=version)
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    where = {"Bucket": bucket, "Key": "up"}

    def ask(operation, method, body=None):
        url = s3.generate_presigned_url(operation, where, ExpiresIn=60)
        connection.request(method, url.removeprefix(cloud.endpoint), body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert ask("put_object", "PUT", b"by url") == (200, b"")
    assert ask("get_object", "GET") == (200, b"by url")
    assert ask("put_object", "GET")[0] == 403, "signed for another method"


def test_a_bucket_as_a_host(cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"by host")
    host = f"{bucket}.localhost:{cloud.port}"
    headers = signed(cloud, "GET", "/key", "s3", endpoint=f"http://{host}")
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    connection.request("GET", "/key", headers=headers | {"Host": host})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"by host")


@pytest.mark.parametrize("first", ["s3", "ec2"])
def test_one_connection_serves_both_services(cloud, bucket, first):
    """Whichever service the connection began with, the other's requests are passed on."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    connection.connect()
    used = connection.sock
    form = b"Action=DescribeRegions&Version=2016-11-15"
    large = os.urandom(3 << 20)

    def ec2():
        kind = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        headers = signed(cloud, "POST", "/", "ec2", form, kind)
        connection.request("POST", "/", form, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200 and b"<regionName>us-east-1</regionName>" in text, text
        assert answer.getheader("Server") == "AmazonEC2"

    def s3():
        path = f"/{bucket}/k"
        connection.request("PUT", path, large, signed(cloud, "PUT", path, "s3", large))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        connection.request("GET", path, headers=signed(cloud, "GET", path, "s3"))
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == large
        assert answer.getheader("Server") == "AmazonS3"
        connection.request("HEAD", path, headers=signed(cloud, "HEAD", path, "s3"))
        answer = connection.getresponse()
        assert int(answer.getheader("Content-Length")) == len(large) and answer.read() == b""

    calls = [s3, ec2] if first == "s3" else [ec2, s3]
    for call in calls * 3:
        call()
    assert connection.sock is used, "all on one connection"


def test_a_slow_client_is_heard(cloud, bucket):
    """A head that comes in pieces is sorted once it is whole."""
    path = f"/{bucket}?list-type=2"
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{cloud.port}"]
    lines += [f"{name}: {value}" for name, value in signed(cloud, "GET", path, "s3").items()]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=30) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in range(0, len(head), 40):
            stream.sendall(head[piece:piece + 40])
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer


def test_who_is_not_signed_is_refused(cloud, bucket):
    for method, path in [("GET", f"/{bucket}/k"), ("PUT", f"/{bucket}/k"), ("GET", "/")]:
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
        connection.request(method, path, b"x" if method == "PUT" else None)
        answer = connection.getresponse()
        assert answer.status == 403, path
        assert b"<Code>AccessDenied</Code>" in answer.read()


def test_keys_are_known_as_soon_as_they_are_made(cloud):
    stranger = cloud.client("s3", key="AKIAAAAAAAAAAAAAAAAA", secret="none")
    with fault("InvalidAccessKeyId", status=403):
        stranger.list_buckets()
    wrong = cloud.client("s3", secret="wrong")
    with fault("SignatureDoesNotMatch", status=403):
        wrong.list_buckets()


def test_status_shows_the_nodes(cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    found = status(cloud)
    assert [node["name"] for node in found["nodes"]] == ["node-1", "node-2", "node-3"]
    assert found["replicas"] == 3 and found["slots"] == 4096
    assert found["slots_missing_copies"] == 0
    assert "storage nodes" in cloud.fogbank("status").stdout
    located = json.loads(
        cloud.fogbank("objects", "locate", f"s3://{bucket}/k", "--json").stdout
    )
    assert {copy["node"] for copy in located["copies"]} == {"node-1", "node-2", "node-3"}
    assert all(copy["in_sync"] for copy in located["copies"])
    assert located["versions"] == ["null"]
    nowhere = cloud.fogbank("objects", "locate", f"s3://{bucket}/none")
    assert "no such object" in nowhere.stdout


def test_the_master_key_is_the_owners(cloud):
    key = cloud.data / "objects/master.key"
    assert key.stat().st_mode & 0o777 == 0o600 and key.stat().st_size == 32


def test_a_lifecycle_rule_by_the_stores_clock(cloud, s3, bucket):
    rule = {
        "ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 30}
    }
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    for key in ("tmp/a", "kept"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    cloud.fogbank("objects", "advance-clock", 29)
    assert keys_of(s3, bucket) == ["kept", "tmp/a"]
    cloud.fogbank("objects", "advance-clock", 2)
    assert keys_of(s3, bucket) == ["kept"]


# Reset


def test_reset_empties_the_store(own_cloud):
    s3 = own_cloud.client("s3")
    for name in ("first-bucket", "second-bucket"):
        s3.create_bucket(Bucket=name)
        for number in range(20):
            s3.put_object(Bucket=name, Key=f"k{number}", Body=b"x" * 5000)
    upload = s3.create_multipart_upload(Bucket="first-bucket", Key="parts")["UploadId"]
    s3.upload_part(
        Bucket="first-bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"y" * 100_000
    )
    began = time.monotonic()
    own_cloud.fogbank("reset", "--yes")
    assert time.monotonic() - began < 1, "a promise of the documentation"
    assert s3.list_buckets()["Buckets"] == []
    with fault("NoSuchBucket", status=404):
        s3.get_object(Bucket="first-bucket", Key="k1")
    s3.create_bucket(Bucket="first-bucket")
    assert keys_of(s3, "first-bucket") == []
    with fault("NoSuchUpload", status=404):
        s3.list_parts(Bucket="first-bucket", Key="parts", UploadId=upload)
    s3.put_object(Bucket="first-bucket", Key="new", Body=b"new")
    # What was there is removed by and by; what is new stays.
    until("the old objects are gone", lambda: status(own_cloud)["objects"] == 1)
    assert body_of(s3, "first-bucket", "new") == b"new"


# Processes that die


def test_s3_goes_on_without_the_server(own_cloud):
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="kept")
    connection = http.client.HTTPConnection("127.0.0.1", own_cloud.port, timeout=30)

    def put(body):
        connection.request("PUT", "/kept/k", body, signed(own_cloud, "PUT", "/kept/k", "s3", body))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert put(b"before") == 200
    used = connection.sock
    server = own_cloud.processes()["server"]
    os.kill(server, signal.SIGSTOP)
    try:
        assert put(b"while it is stopped") == 200
    finally:
        os.kill(server, signal.SIGCONT)
    killed = own_cloud.kill("server")
    assert put(b"while it is dead") == 200
    assert connection.sock is used
    own_cloud.replaced(killed)
    until("the endpoint answers", lambda: answers(s3))
    assert body_of(s3, "kept", "k") == b"while it is dead"


def answers(s3):
    with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        s3.list_buckets()
        return True
    return False


def test_what_was_acknowledged_outlives_the_object_store(own_cloud):
    """Killed with -9 under load, three times; clients see a reset or a 503, and try again."""
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="load")
    written, stop = {}, threading.Event()

    def write(worker):
        client = own_cloud.client("s3")
        number = 0
        while not stop.is_set():
            key, body = f"{worker}/{number:05}", os.urandom(200 + 4000 * (number % 3))
            try:
                client.put_object(Bucket="load", Key=key, Body=body)
            except botocore.exceptions.ClientError as error:
                code = error.response["ResponseMetadata"]["HTTPStatusCode"]
                assert code == 503, error
                continue
            except botocore.exceptions.BotoCoreError:
                continue
            written[key] = body
            number += 1

    workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(3):
            before = len(written)
            until("objects are written", lambda before=before: len(written) > before + 40)
            own_cloud.replaced(own_cloud.kill("objects"))
        before = len(written)
        until("objects are written again", lambda: len(written) > before + 40)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert set(written) <= set(keys_of(s3, "load"))
    for key, body in written.items():
        assert body_of(s3, "load", key) == body, key


@contextlib.contextmanager
def without(cloud, role):
    """A process is dead, and for now stays so."""
    supervisor = cloud.processes()["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        yield cloud.kill(role)
    finally:
        os.kill(supervisor, signal.SIGCONT)


def test_each_service_goes_on_without_the_other(own_cloud):
    s3, ec2 = own_cloud.client("s3"), own_cloud.client("ec2")
    s3.create_bucket(Bucket="apart")
    connection = http.client.HTTPConnection("127.0.0.1", own_cloud.port, timeout=30)

    def get(method, path, service):
        connection.request(method, path, headers=signed(own_cloud, method, path, service))
        answer = connection.getresponse()
        return answer.status, answer.read()

    with without(own_cloud, "objects") as killed:
        # The code on which all SDKs try again, on a new connection: the old one ended.
        new = own_cloud.client("s3")
        with fault("ServiceUnavailable", status=503):
            new.list_objects_v2(Bucket="apart")
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            new.head_bucket(Bucket="apart")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        ec2.describe_vpcs()
    own_cloud.replaced(killed)
    until("S3 answers", lambda: answers(s3))
    assert get("GET", "/apart", "s3")[0] == 200
    with without(own_cloud, "server") as killed:
        assert get("GET", "/apart", "s3")[0] == 200
        status, text = get("GET", "/?Action=DescribeVpcs&Version=2016-11-15", "ec2")
        assert status == 503 and b"<Code>Unavailable</Code>" in text
    own_cloud.replaced(killed)
    until("EC2 answers", lambda: ec2.describe_vpcs()["Vpcs"])


def test_objects_outlive_down_and_up(own_cloud):
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="stays")
    s3.put_object(Bucket="stays", Key="k", Body=b"x" * 3_000_000)
    own_cloud.down()
    own_cloud.up()
    assert body_of(s3, "stays", "k") == b"x" * 3_000_000


def test_a_lost_node_folder_is_healed(own_cloud):
    """Each of the three folders in turn, so that in the end everything was made anew."""
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="whole")
    bodies = {f"k{number}": os.urandom(100 << (number % 14)) for number in range(60)}
    bodies["large"] = os.urandom(10 << 20)
    for key, body in bodies.items():
        s3.put_object(Bucket="whole", Key=key, Body=body)
    for number in (2, 1, 3):
        lose(own_cloud.data / f"objects/node-{number}")
        s3.put_object(Bucket="whole", Key=f"meanwhile-{number}", Body=b"new")
        bodies[f"meanwhile-{number}"] = b"new"
        s3.delete_object(Bucket="whole", Key=f"k{number}")
        del bodies[f"k{number}"]
        for key, body in bodies.items():
            assert body_of(s3, "whole", key) == body
        # Never by itself: the disk might only be unmounted.
        own_cloud.fogbank("objects", "node", "replace", f"node-{number}")
        until("all copies are whole", lambda: whole(own_cloud, "whole", bodies), seconds=90)
    assert sorted(keys_of(s3, "whole")) == sorted(bodies)
    # And while nobody watches: the next process finds the folder gone.
    with without(own_cloud, "objects"):
        lose(own_cloud.data / "objects/node-1")
    until("the store answers", lambda: answers(s3))
    own_cloud.fogbank("objects", "node", "replace", "node-1")
    until("all copies are whole", lambda: whole(own_cloud, "whole", bodies), seconds=90)
    for key, body in bodies.items():
        assert body_of(s3, "whole", key) == body


def lose(folder):
    """Takes a folder away at once, and then deletes it."""
    gone = folder.with_name(f"{folder.name}-lost")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def whole(cloud, bucket, keys):
    """Whether the store says so, and each node has a copy of each object."""
    done = cloud.fogbank("objects", "status", "--json", check=False)
    if done.returncode != 0:
        return False
    assert all(node["state"] == "up" for node in json.loads(done.stdout)["nodes"])
    for key in list(keys)[::7]:
        done = cloud.fogbank("objects", "locate", f"s3://{bucket}/{key}", "--json")
        copies = json.loads(done.stdout)["copies"]
        if [copy["records"] for copy in copies if copy["in_sync"]] != [1, 1, 1]:
            return False
    return True


def test_a_node_comes_and_goes(own_cloud, tmp_path):
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="moves")
    bodies = {f"k{number}": os.urandom(3000) for number in range(50)}
    for key, body in bodies.items():
        s3.put_object(Bucket="moves", Key=key, Body=body)
    own_cloud.fogbank("objects", "node", "add", tmp_path / "disk4")

    def spread():
        found = status(own_cloud)
        shares = {node["name"]: node["slots_in_sync"] for node in found["nodes"]}
        return sum(shares.values()) == 3 * 4096 and shares.get("node-4", 0) > 2500

    until("the new node has its share", spread, seconds=60)
    own_cloud.replaced(own_cloud.kill("objects"))
    until("the store answers", lambda: answers(s3))
    own_cloud.fogbank("objects", "node", "remove", "node-1")
    names = [node["name"] for node in status(own_cloud)["nodes"]]
    assert names == ["node-2", "node-3", "node-4"]
    shutil.rmtree(own_cloud.data / "objects/node-1")
    for key, body in bodies.items():
        assert body_of(s3, "moves", key) == body


def test_any_key_is_an_account_where_any_is_trusted(open_cloud):
    one, other = "100000000901", "100000000902"
    first = open_cloud.client("s3", key=one, secret="any")
    second = open_cloud.client("s3", key=other, secret="thing")
    first.create_bucket(Bucket="of-the-first")
    first.put_object(Bucket="of-the-first", Key="k", Body=b"mine")
    assert "of-the-first" not in [row["Name"] for row in second.list_buckets()["Buckets"]]
    with fault("AccessDenied", status=403):
        second.get_object(Bucket="of-the-first", Key="k")
    assert body_of(first, "of-the-first", "k") == b"mine"
