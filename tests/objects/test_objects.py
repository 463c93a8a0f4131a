"""Objects: bodies, headers, metadata, ranges, conditions, copies, tags, deletion."""

import datetime
import hashlib
import os

import pytest
from fogbank_cloud import fault

LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "size", [0, 1, 4096, 65535, 65536, 65537, 1 << 20, (1 << 20) + 1, (8 << 20) + 1, 20_000_000]
)
def test_a_body_comes_back(s3, bucket, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="key", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert put["ServerSideEncryption"] == "AES256"
    got = s3.get_object(Bucket=bucket, Key="key")
    assert got["ContentLength"] == size
    assert got["Body"].read() == body
    assert got["ETag"] == put["ETag"]
    assert got["ContentType"] == "binary/octet-stream"
    assert got["AcceptRanges"] == "bytes"
    head = s3.head_object(Bucket=bucket, Key="key")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])
    assert head["LastModified"] == got["LastModified"]


def test_the_last_write_counts(s3, bucket):
    for at in range(5):
        s3.put_object(Bucket=bucket, Key="key", Body=str(at).encode())
        assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == str(at).encode()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_headers_and_metadata(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="key", Body=b"x", ContentType="text/plain", CacheControl="no-cache",
        ContentDisposition='attachment; filename="a.txt"', ContentEncoding="identity",
        ContentLanguage="de", Expires=datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC),
        Metadata={"colour": "blue", "Mixed-Case": "Value", "empty": ""},
        StorageClass="STANDARD_IA",
    )
    for got in s3.head_object(Bucket=bucket, Key="key"), s3.get_object(Bucket=bucket, Key="key"):
        assert got["ContentType"] == "text/plain"
        assert got["CacheControl"] == "no-cache"
        assert got["ContentDisposition"] == 'attachment; filename="a.txt"'
        assert got["ContentEncoding"] == "identity"
        assert got["ContentLanguage"] == "de"
        assert got["ExpiresString"] == "Wed, 02 Jan 2030 00:00:00 GMT"
        assert got["Metadata"] == {"colour": "blue", "mixed-case": "Value", "empty": ""}
        assert got["StorageClass"] == "STANDARD_IA"
    other = s3.get_object(
        Bucket=bucket, Key="key", ResponseContentType="image/png",
        ResponseContentDisposition="inline", ResponseCacheControl="max-age=1",
    )
    assert other["ContentType"] == "image/png"
    assert (other["ContentDisposition"], other["CacheControl"]) == ("inline", "max-age=1")
    with fault("MetadataTooLarge", "exceed the maximum allowed metadata size"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"", Metadata={"long": "x" * 2100})


@pytest.mark.parametrize(
    "key",
    ["plain", "with space", "a/b/c", "/leading", "trailing/", "//", "a//b", ".", "..", "../up",
     "a/../b", "plus+and%percent", "%2F", "quote'\"", "amp&eq=q?", "ключ", "日本語/キー", "💾",
     "x" * 1024, "é" * 512, "new\nline", "back\\slash", "tilde~!*()", "#hash", ";semi:colon@at"],
)
def test_keys_of_all_kinds(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [found["Key"] for found in listed] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == key.encode()
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert [done["Key"] for done in deleted["Deleted"]] == [key]
    with fault("NoSuchKey", "The specified key does not exist.", 404):
        s3.get_object(Bucket=bucket, Key=key)


def test_a_key_too_long(s3, bucket):
    with fault("KeyTooLongError", "Your key is too long"):
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")


@pytest.mark.parametrize("size", [1000, 3_000_000, 20_000_000])
def test_ranges(s3, bucket, size):
    body = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="key", Body=body)
    for spec, start, end in [
        ("bytes=0-0", 0, 1), ("bytes=1-99", 1, 100), ("bytes=500-", 500, size),
        ("bytes=-10", size - 10, size), (f"bytes={size - 1}-{size + 100}", size - 1, size),
        (f"bytes=-{size * 2}", 0, size), (f"bytes={size // 2}-{size // 2 + 70_000}",
                                          size // 2, min(size, size // 2 + 70_001)),
    ]:
        got = s3.get_object(Bucket=bucket, Key="key", Range=spec)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["Body"].read() == body[start:end], spec
        assert got["ContentRange"] == f"bytes {start}-{end - 1}/{size}"
    with fault("InvalidRange", "The requested range is not satisfiable", 416):
        s3.get_object(Bucket=bucket, Key="key", Range=f"bytes={size}-")
    whole = s3.get_object(Bucket=bucket, Key="key", Range="lines=1-2")
    assert whole["Body"].read() == body


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="key")["LastModified"]
    later = modified + datetime.timedelta(seconds=1)
    read = {"Bucket": bucket, "Key": "key"}
    for good in [
        {"IfMatch": etag}, {"IfMatch": "*"}, {"IfNoneMatch": '"other"'},
        {"IfModifiedSince": LONG_AGO}, {"IfUnmodifiedSince": later},
        {"IfMatch": etag, "IfUnmodifiedSince": LONG_AGO},
    ]:
        assert s3.get_object(**read, **good)["Body"].read() == b"x", good
    for bad in [{"IfMatch": '"other"'}, {"IfUnmodifiedSince": LONG_AGO}]:
        with fault("PreconditionFailed", "At least one of the pre-conditions", 412):
            s3.get_object(**read, **bad)
        with fault("412", status=412):
            s3.head_object(**read, **bad)
    for same in [
        {"IfNoneMatch": etag}, {"IfModifiedSince": later},
        {"IfNoneMatch": etag, "IfModifiedSince": LONG_AGO},
    ]:
        with fault("304", status=304):
            s3.get_object(**read, **same)


def test_conditional_writes(s3, bucket):
    write = {"Bucket": bucket, "Key": "key"}
    with fault("NoSuchKey", status=404):
        s3.put_object(**write, Body=b"0", IfMatch='"d41d8cd98f00b204e9800998ecf8427e"')
    first = s3.put_object(**write, Body=b"1", IfNoneMatch="*")["ETag"]
    with fault("PreconditionFailed", status=412):
        s3.put_object(**write, Body=b"2", IfNoneMatch="*")
    second = s3.put_object(**write, Body=b"2", IfMatch=first)["ETag"]
    with fault("PreconditionFailed", status=412):
        s3.put_object(**write, Body=b"3", IfMatch=first)
    with fault("PreconditionFailed", status=412):
        s3.delete_object(**write, IfMatch=first)
    assert s3.get_object(**write)["Body"].read() == b"2"
    s3.delete_object(**write, IfMatch=second)
    s3.put_object(**write, Body=b"4", IfNoneMatch="*")


def test_copies(s3, bucket, cloud):
    s3.put_object(
        Bucket=bucket, Key="from", Body=b"body", ContentType="text/css",
        Metadata={"a": "1"}, Tagging="t=1",
    )
    source = {"Bucket": bucket, "Key": "from"}
    done = s3.copy_object(Bucket=bucket, Key="to", CopySource=source)
    assert done["CopyObjectResult"]["ETag"] == s3.head_object(**source)["ETag"]
    head = s3.head_object(Bucket=bucket, Key="to")
    assert (head["ContentType"], head["Metadata"]) == ("text/css", {"a": "1"})
    tags = s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"]
    assert tags == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE",
        Metadata={"b": "2"}, ContentType="text/html", TaggingDirective="REPLACE", Tagging="u=2",
    )
    head = s3.head_object(Bucket=bucket, Key="to")
    assert (head["ContentType"], head["Metadata"]) == ("text/html", {"b": "2"})
    tags = s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"]
    assert tags == [{"Key": "u", "Value": "2"}]
    with fault("InvalidRequest", "copy an object to itself without changing"):
        s3.copy_object(Bucket=bucket, Key="from", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="from", CopySource=source, MetadataDirective="REPLACE",
        Metadata={"c": "3"},
    )
    assert s3.head_object(**source)["Metadata"] == {"c": "3"}
    with fault("NoSuchKey", status=404):
        s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "none"})
    with fault("NoSuchBucket", status=404):
        s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": "no-such", "Key": "x"})
    with fault("PreconditionFailed", status=412):
        s3.copy_object(Bucket=bucket, Key="to", CopySource=source, CopySourceIfMatch='"no"')


def test_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"", Tagging="a=1&b=two%20words")
    read = {"Bucket": bucket, "Key": "key"}
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**read)["TagSet"]}
    assert tags == {"a": "1", "b": "two words"}
    assert s3.head_object(**read)["TagCount"] == 2
    s3.put_object_tagging(**read, Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    assert s3.get_object_tagging(**read)["TagSet"] == [{"Key": "c", "Value": ""}]
    s3.delete_object_tagging(**read)
    assert s3.get_object_tagging(**read)["TagSet"] == []
    many = [{"Key": str(at), "Value": ""} for at in range(11)]
    with fault("BadRequest", "Object tags cannot be greater than 10"):
        s3.put_object_tagging(**read, Tagging={"TagSet": many})
    twice = [{"Key": "a", "Value": ""}] * 2
    with fault("InvalidTag", "Cannot provide multiple Tags with the same key"):
        s3.put_object_tagging(**read, Tagging={"TagSet": twice})
    with fault("InvalidTag"):
        s3.put_object_tagging(**read, Tagging={"TagSet": [{"Key": "k" * 129, "Value": ""}]})


def test_deleting(s3, bucket):
    s3.delete_object(Bucket=bucket, Key="never")
    keys = [f"key-{at}" for at in range(1000)]
    for key in keys[:10]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    asked = {"Objects": [{"Key": key} for key in keys]}
    done = s3.delete_objects(Bucket=bucket, Delete=asked)
    assert [gone["Key"] for gone in done["Deleted"]] == keys
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    quiet = s3.delete_objects(Bucket=bucket, Delete=asked | {"Quiet": True})
    assert "Deleted" not in quiet
    asked["Objects"].append({"Key": "one too many"})
    with fault("MalformedXML"):
        s3.delete_objects(Bucket=bucket, Delete=asked)


def test_folders_are_empty_objects(s3, bucket):
    for key in "photos/", "photos/a.jpg", "photos/b.jpg", "readme":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [found["Prefix"] for found in top["CommonPrefixes"]] == ["photos/"]
    assert [found["Key"] for found in top["Contents"]] == ["readme"]
    inside = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="photos/")
    assert [found["Key"] for found in inside["Contents"]] == [
        "photos/", "photos/a.jpg", "photos/b.jpg"
    ]


def test_customers_key(s3, bucket):
    body, key, other = os.urandom(300_000), os.urandom(32), os.urandom(32)
    sealed = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    put = s3.put_object(Bucket=bucket, Key="key", Body=body, **sealed)
    assert put["SSECustomerAlgorithm"] == "AES256"
    got = s3.get_object(Bucket=bucket, Key="key", **sealed, Range="bytes=70000-200000")
    assert got["Body"].read() == body[70_000:200_001]
    with fault("InvalidRequest", "The object was stored using a form of Server Side Encryption"):
        s3.get_object(Bucket=bucket, Key="key")
    with fault("AccessDenied", status=403):
        s3.get_object(
            Bucket=bucket, Key="key", SSECustomerAlgorithm="AES256", SSECustomerKey=other
        )


def test_nothing_readable_on_the_disk(s3, bucket, cloud):
    mark = b"a mark that nobody else writes " * 4
    s3.put_object(Bucket=bucket, Key="small", Body=mark)
    s3.put_object(Bucket=bucket, Key="large", Body=mark * 50_000)
    found = [
        path for path in (cloud.data / "objects").rglob("*")
        if path.is_file() and mark in path.read_bytes()
    ]
    assert found == []


def test_attributes(s3, bucket):
    body = os.urandom(5000)
    put = s3.put_object(Bucket=bucket, Key="key", Body=body, ChecksumAlgorithm="SHA256")
    wanted = ["ETag", "Checksum", "ObjectSize", "StorageClass", "ObjectParts"]
    found = s3.get_object_attributes(Bucket=bucket, Key="key", ObjectAttributes=wanted)
    assert found["ETag"] == put["ETag"].strip('"')
    assert found["ObjectSize"] == 5000
    assert found["StorageClass"] == "STANDARD"
    assert found["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert found["Checksum"]["ChecksumType"] == "FULL_OBJECT"
