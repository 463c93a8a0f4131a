"""What is refused, and in which words: heads, documents, conditions, forms, dates."""

import base64
import hashlib
import http.client
import re
import time

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from fogbank_cloud import REGION, fault


@pytest.fixture
def ask(cloud):
    """Asks as signed or unsigned as it is told; gives status, headers and text."""

    def asked(method, path, headers=None, body=b"", signed=True):
        request = AWSRequest(method, cloud.endpoint + path, headers or {}, body)
        if signed:
            S3SigV4Auth(Credentials(cloud.key, cloud.secret), "s3", REGION).add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
        connection.request(method, path, body, dict(request.prepare().headers))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text

    return asked


def element(text, name):
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found and found[1]


@pytest.mark.parametrize("value", ["blah", "2147483648", "1.5"])
def test_numbers_that_are_none(ask, bucket, value):
    status, _, text = ask("GET", f"/{bucket}?max-keys={value}")
    assert (status, element(text, "Code")) == (400, "InvalidArgument"), text
    message = "Provided max-keys not an integer or within integer range"
    assert element(text, "Message") == message
    assert (element(text, "ArgumentName"), element(text, "ArgumentValue")) == ("max-keys", value)


def test_an_empty_number_counts_for_nothing(ask, s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    status, _, text = ask("GET", f"/{bucket}?max-keys=&prefix=k")
    assert (status, element(text, "MaxKeys"), element(text, "Key")) == (200, "1000", "key"), text


def test_digests_of_heads(ask, bucket):
    for header, code in [
        ({"content-md5": ""}, "InvalidDigest"),
        ({"content-md5": "YWJyYWNhZGFicmE="}, "InvalidDigest"),
        ({"content-md5": "rL0Y20xC+Fzt72VPzMSk2A=="}, "BadDigest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC99"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
    ]:
        status, _, text = ask("PUT", f"/{bucket}/key", header, b"body")
        assert (status, element(text, "Code")) == (400, code), (header, text)
    assert ask("GET", f"/{bucket}/key")[0] == 404


def test_a_document_is_what_was_sent(ask, s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    document = b"<Delete><Object><Key>key</Key></Object></Delete>"
    status, _, text = ask("POST", f"/{bucket}?delete", body=document)
    assert (status, element(text, "Code")) == (400, "InvalidRequest"), text
    for header in {"content-md5": "rL0Y20xC+Fzt72VPzMSk2A=="}, {"x-amz-checksum-crc32": "AAAAAA=="}:
        status, _, text = ask("POST", f"/{bucket}?delete", header, document)
        assert (status, element(text, "Code")) == (400, "BadDigest"), text
    assert s3.head_object(Bucket=bucket, Key="key")
    right = base64.b64encode(hashlib.md5(document).digest()).decode()
    status, _, text = ask("POST", f"/{bucket}?delete", {"content-md5": right}, document)
    assert (status, element(text, "Key")) == (200, "key"), text


def test_conditions_that_writes_do_not_take(s3, bucket):
    write = {"Bucket": bucket, "Key": "key", "Body": b""}
    message = "A header you provided implies functionality that is not implemented"
    for conditions in [
        {"IfMatch": "*"}, {"IfNoneMatch": '"etag"'}, {"IfMatch": '"etag"', "IfNoneMatch": "*"},
    ]:
        with fault("NotImplemented", message, 501):
            s3.put_object(**write, **conditions)


def test_conditions_of_copies(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="from", Body=b"new")["ETag"]
    copy = {"Bucket": bucket, "Key": "to", "CopySource": f"{bucket}/from"}
    with fault("NoSuchKey", status=404):
        s3.copy_object(**copy, IfMatch=etag)
    s3.copy_object(**copy, IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="to", Body=b"old")
    with fault("PreconditionFailed", status=412):
        s3.copy_object(**copy, IfNoneMatch="*")
    with fault("PreconditionFailed", status=412):
        s3.copy_object(**copy, IfMatch=etag)
    old = s3.head_object(Bucket=bucket, Key="to")["ETag"]
    s3.copy_object(**copy, IfMatch=old)
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == b"new"


def test_an_aspect_is_never_taken_for_the_thing(ask, s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"kept")
    for method, path, expected in [
        ("PUT", "/key?cors", 405), ("PUT", "/key?policy", 405), ("PUT", "/key?encryption", 501),
        ("PUT", "/key?renameObject", 501), ("DELETE", "/key?acl", 405),
        ("DELETE", "/key?retention", 405), ("POST", "/key?policy", 405),
        ("DELETE", "?versioning", 405), ("DELETE", "?acl", 405), ("GET", "?abac", 501),
        ("PATCH", "/key", 405), ("POST", "", 412),
    ]:
        body = b"<Document/>" if method in ("PUT", "POST") else b""
        status, _, text = ask(method, f"/{bucket}{path}", body=body)
        assert status == expected, (method, path, text)
    assert ask("DELETE", "/")[0] == 405
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"kept"
    # A bucket that is empty isn't deleted by it, either.
    s3.delete_object(Bucket=bucket, Key="key")
    assert ask("DELETE", f"/{bucket}?versioning")[0] == 405
    s3.head_bucket(Bucket=bucket)


def test_who_asks_must_be_readable(ask, bucket):
    for header, status, code in [
        ("AWS4-HMAC-SHA256 garbage", 400, "AuthorizationHeaderMalformed"),
        ("AWS HAHAHA", 400, "InvalidArgument"), ("Bearer token", 400, "InvalidArgument"),
        ("", 403, "AccessDenied"),
    ]:
        found, _, text = ask("GET", f"/{bucket}", {"authorization": header}, signed=False)
        assert (found, element(text, "Code")) == (status, code), (header, text)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_link_that_has_expired(cloud, ask, s3, bucket, version):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    signer = cloud.client("s3", signature_version=version)
    link = signer.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "key"}, ExpiresIn=1)
    path = link.removeprefix(cloud.endpoint)
    deadline = time.monotonic() + 30
    while (answer := ask("GET", path, signed=False))[0] == 200:
        assert time.monotonic() < deadline
    status, _, text = answer
    assert (status, element(text, "Message")) == (403, "Request has expired"), text
    assert element(text, "Expires") <= element(text, "ServerTime")
    assert element(text, "X-Amz-Expires") == ("1" if version == "s3v4" else None)


def form(fields, data=b"data"):
    lines = b""
    for name, value in fields:
        lines += f'--XbX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    if data is not None:
        lines += b'--XbX\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n'
        lines += data + b"\r\n"
    return {"Content-Type": "multipart/form-data; boundary=XbX"}, lines + b"--XbX--\r\n"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_forms(cloud, ask, s3, bucket, version):
    signer = cloud.client("s3", signature_version=version)

    def post(post, data=b"data", **changes):
        fields = {**post["fields"], **changes}
        fields = [(name, value) for name, value in fields.items() if value is not None]
        return ask("POST", f"/{bucket}", *form(fields, data), signed=False)

    created = signer.generate_presigned_post(
        bucket, "form/${filename}", Fields={"success_action_status": "201"},
        Conditions=[{"success_action_status": "201"}, ["content-length-range", 1, 10]])
    etag = '"' + hashlib.md5(b"data").hexdigest() + '"'
    status, headers, text = post(created)
    assert (status, element(text, "Key")) == (201, "form/f.txt"), text
    url = f"{cloud.endpoint}/{bucket}/form/f.txt"
    assert (headers["location"], headers["etag"]) == (url, etag)
    assert (element(text, "Location"), element(text, "ETag").replace("&quot;", '"')) == (url, etag)
    for changes, expected, code in [
        ({"data": b"x" * 11}, 400, "EntityTooLarge"), ({"data": b""}, 400, "EntityTooSmall"),
        ({"extra": "1"}, 403, "AccessDenied"), ({"key": "other"}, 403, "AccessDenied"),
        ({"key": None}, 400, "InvalidArgument"), ({"data": None}, 400, "InvalidArgument"),
    ]:
        status, _, text = post(created, **changes)
        assert (status, element(text, "Code")) == (expected, code), (changes, text)
    signature = "x-amz-signature" if version == "s3v4" else "signature"
    status, _, text = post(created, **{signature: "0" * 64})
    assert (status, element(text, "Code")) == (403, "SignatureDoesNotMatch"), text
    status, headers, text = post(signer.generate_presigned_post(bucket, "k"))
    assert (status, text, headers["etag"]) == (204, "", etag)
    there = "http://localhost/x?y=1"
    redirected = signer.generate_presigned_post(
        bucket, "k", Fields={"success_action_redirect": there},
        Conditions=[{"success_action_redirect": there}])
    status, headers, _ = post(redirected)
    expected = f"{there}&bucket={bucket}&key=k&etag=%22{etag[1:-1]}%22"
    assert (status, headers["location"]) == (303, expected)
    expired = signer.generate_presigned_post(bucket, "k", ExpiresIn=0)
    deadline = time.monotonic() + 30
    while (answer := post(expired))[0] == 204:
        assert time.monotonic() < deadline
    assert element(answer[2], "Message") == "Invalid according to Policy: Policy expired."


def test_odds_and_ends(s3, versioned):
    bucket = versioned
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    with fault("InvalidRange", "not satisfiable", 416):
        s3.get_object(Bucket=bucket, Key="empty", Range="bytes=-9")
    with fault("InvalidArgument", "without tag name duplicates"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"", Tagging="a=1&a=2")
    with fault("InvalidArgument", "Invalid attribute name specified."):
        s3.get_object_attributes(Bucket=bucket, Key="empty", ObjectAttributes=["Bogus"])
    marker = s3.delete_object(Bucket=bucket, Key="empty")["VersionId"]
    with fault("InvalidRequest", "may not specifically refer to a delete marker"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={
            "Bucket": bucket, "Key": "empty", "VersionId": marker})
    with fault("NoSuchKey", status=404):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "empty"})
    with fault("IdMismatch", "Document ID does not match"):
        s3.put_bucket_metrics_configuration(
            Bucket=bucket, Id="one", MetricsConfiguration={"Id": "two"})
    with fault("NotImplemented", "aws:kms:dsse", 501):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}]})
