"""What no client of AWS sends: broken requests, slow ones, and those that try to get out."""

import http.client
import socket
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from fogbank_cloud import until


def signed(cloud, method, path, body=b"", headers=()):
    """Headers that sign a request and its body."""
    request = botocore.awsrequest.AWSRequest(
        method, cloud.endpoint + path, data=body, headers=dict(headers)
    )
    credentials = botocore.credentials.Credentials(cloud.key, cloud.secret)
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1")
    signer.add_auth(request)
    return dict(request.headers)


def connection(cloud):
    return http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)


def test_two_services_on_one_connection(cloud, bucket):
    """Some SDKs share one pool of connections between all services."""
    kept = connection(cloud)
    kept.connect()
    used = kept.sock
    form = "Action=GetCallerIdentity&Version=2011-06-15"
    identity = botocore.awsrequest.AWSRequest(
        "POST", cloud.endpoint + "/", data=form,
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
    )
    credentials = botocore.credentials.Credentials(cloud.key, cloud.secret)
    botocore.auth.SigV4Auth(credentials, "sts", "us-east-1").add_auth(identity)
    for at in range(3):
        path, body = f"/{bucket}/shared-{at}", str(at).encode() * 100_000
        kept.request("PUT", path, body, signed(cloud, "PUT", path, body))
        answer = kept.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        kept.request("POST", "/", form, dict(identity.headers))
        answer = kept.getresponse()
        text = answer.read().decode()
        assert (answer.status, "<Account>" in text) == (200, True), text
        kept.request("GET", path, headers=signed(cloud, "GET", path))
        answer = kept.getresponse()
        assert (answer.status, answer.read()) == (200, body)
    assert kept.sock is used, "the connection was kept all the time"
    first = connection(cloud)
    first.request("POST", "/", form, dict(identity.headers))
    assert b"<Account>" in first.getresponse().read()
    path = f"/{bucket}/from-the-other-side"
    body = b"x" * 3_000_000
    first.request("PUT", path, body, signed(cloud, "PUT", path, body))
    answer = first.getresponse()
    assert (answer.status, answer.read()) == (200, b"")


def test_every_answer_has_its_ids(cloud, s3, bucket):
    answer = s3.list_objects_v2(Bucket=bucket)["ResponseMetadata"]
    assert answer["RequestId"] and answer["HostId"]
    plain = connection(cloud)
    plain.request("GET", f"/{bucket}/none")
    answer = plain.getresponse()
    text = answer.read().decode()
    assert answer.status == 403
    assert answer.headers["Content-Type"] == "application/xml"
    assert f"<RequestId>{answer.headers['x-amz-request-id']}</RequestId>" in text
    assert answer.headers["Server"] == "AmazonS3"


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd/key", "/a/../../etc",
     "//etc/passwd", "/%00/%00", "/" + "%ff" * 10, "/" + "x" * 70_000],
)
def test_paths_that_try_to_get_out(cloud, path):
    for method in "GET", "PUT", "DELETE":
        asked = connection(cloud)
        asked.putrequest(method, path, skip_accept_encoding=True)
        asked.putheader("Content-Length", "0")
        asked.endheaders()
        answer = asked.getresponse()
        body = answer.read()
        assert 400 <= answer.status < 500, (method, path, answer.status)
        assert b"root:" not in body
        asked.close()


def test_dots_are_only_names(cloud, s3, bucket):
    for key in "../../../../tmp/escaped", "..", "./.", "/etc/passwd", "%2e%2e/x":
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    found = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(found) == sorted(["../../../../tmp/escaped", "..", "./.", "/etc/passwd", "%2e%2e/x"])


def test_a_body_that_ends_early(cloud, s3, bucket):
    path = f"/{bucket}/short"
    for size in 5000, 3_000_000:
        sock = socket.create_connection(("127.0.0.1", cloud.port), timeout=30)
        headers = signed(cloud, "PUT", path, b"x" * size)
        headers |= {"Content-Length": str(size), "Host": f"127.0.0.1:{cloud.port}"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sock.sendall(f"PUT {path} HTTP/1.1\r\n{head}\r\n".encode() + b"x" * (size - 1))
        sock.shutdown(socket.SHUT_WR)
        sock.recv(65536)
        sock.close()
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_more_than_was_announced(cloud, s3, bucket):
    path = f"/{bucket}/long"
    sock = socket.create_connection(("127.0.0.1", cloud.port), timeout=30)
    headers = signed(cloud, "PUT", path, b"12345")
    headers |= {"Content-Length": "5", "Host": f"127.0.0.1:{cloud.port}"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sock.sendall(f"PUT {path} HTTP/1.1\r\n{head}\r\n12345EXTRA BYTES\r\n\r\n".encode())
    first = sock.recv(65536)
    assert first.startswith(b"HTTP/1.1 200")
    sock.close()
    assert s3.get_object(Bucket=bucket, Key="long")["Body"].read() == b"12345"


@pytest.mark.parametrize(
    "raw",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
     b"GET /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
     b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"GET /b/k HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
     b"GET /b/k HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 2_000_000 + b"\r\n\r\n"],
)
def test_garbage(cloud, s3, bucket, raw):
    sock = socket.create_connection(("127.0.0.1", cloud.port), timeout=30)
    try:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(65536)
        assert answer == b"" or answer.split()[1][:1] in (b"4", b"5")
    except OSError:
        pass  # It was cut off before it was read to its end.
    finally:
        sock.close()
    s3.head_bucket(Bucket=bucket)


def test_slow_clients_hold_nobody_up(cloud, s3, bucket):
    slow = []
    for _ in range(200):
        sock = socket.create_connection(("127.0.0.1", cloud.port), timeout=30)
        sock.sendall(f"GET /{bucket}/key HTTP/1.1\r\nHost: a".encode())
        slow.append(sock)
    for at in range(20):
        s3.put_object(Bucket=bucket, Key=str(at), Body=b"x")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 20
    for sock in slow:
        sock.close()


def test_queries_of_all_kinds(cloud, bucket):
    for query in [
        "max-keys=abc", "max-keys=99999999999999999999", "encoding-type=none", "uploads&max-uploads=-1",
        "versionId=", "partNumber=1", "uploadId=%00", "list-type=3", "versions&version-id-marker=x",
        "continuation-token=&list-type=2", "delimiter=%ff", "prefix=%00&list-type=2",
        "acl&policy&cors", "x-id=" + "y" * 5000, "location=&tagging",
    ]:
        path = f"/{bucket}?{query}"
        for method in "GET", "PUT", "POST", "DELETE":
            if method == "DELETE" and "versionId" not in query:
                continue
            asked = connection(cloud)
            parsed = urllib.parse.urlsplit(path)
            asked.request(method, path, b"", signed(cloud, method, f"{parsed.path}?{parsed.query}"))
            answer = asked.getresponse()
            answer.read()
            assert answer.status < 500 or answer.status == 501, (method, query, answer.status)
            asked.close()


def test_the_role_lives_through_all(cloud):
    until("the objects role runs", lambda: "objects" in cloud.processes())
