"""Multipart uploads: parts, copies, listings, completion, abortion."""

import base64
import hashlib
import os
import zlib

import pytest
from fogbank_cloud import fault

PART = 5 << 20


def upload(s3, bucket, key, bodies, **more):
    """Uploads parts; gives the upload's ID and what completes it."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    target = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    parts = []
    for number, body in enumerate(bodies, 1):
        etag = s3.upload_part(**target, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    return target, {"MultipartUpload": {"Parts": parts}}


def test_an_upload_in_parts(s3, bucket):
    bodies = [os.urandom(PART), os.urandom(PART + 17), b"the end"]
    target, parts = upload(
        s3, bucket, "key", bodies, ContentType="text/plain", Metadata={"a": "1"}
    )
    with fault("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key="key")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    listed = s3.list_parts(**target)["Parts"]
    assert [part["Size"] for part in listed] == [len(body) for body in bodies]
    done = s3.complete_multipart_upload(**target, **parts)
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    assert done["ETag"] == f'"{digest}-3"'
    got = s3.get_object(Bucket=bucket, Key="key")
    whole = b"".join(bodies)
    assert got["Body"].read() == whole
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (
        done["ETag"], "text/plain", {"a": "1"}
    )
    for spec, start, end in [
        (f"bytes={PART - 10}-{PART + 10}", PART - 10, PART + 11), ("bytes=-3", len(whole) - 3, None),
        (f"bytes={PART}-{2 * PART + 20}", PART, 2 * PART + 21),
    ]:
        got = s3.get_object(Bucket=bucket, Key="key", Range=spec)
        assert got["Body"].read() == whole[start:end], spec
    second = s3.get_object(Bucket=bucket, Key="key", PartNumber=2)
    assert second["Body"].read() == bodies[1]
    assert second["PartsCount"] == 3
    assert s3.complete_multipart_upload(**target, **parts)["ETag"] == done["ETag"]
    with fault("NoSuchUpload", status=404):
        s3.list_parts(**target)
    s3.delete_object(Bucket=bucket, Key="key")
    s3.delete_bucket(Bucket=bucket)


def test_a_part_again(s3, bucket):
    target, parts = upload(s3, bucket, "key", [b"first"])
    again = s3.upload_part(**target, PartNumber=1, Body=b"second")["ETag"]
    with fault("InvalidPart", "One or more of the specified parts could not be found"):
        s3.complete_multipart_upload(**target, **parts)
    parts["MultipartUpload"]["Parts"][0]["ETag"] = again
    s3.complete_multipart_upload(**target, **parts)
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"second"


def test_what_can_not_be_completed(s3, bucket):
    target, parts = upload(s3, bucket, "key", [b"small", b"small"])
    with fault("EntityTooSmall", "smaller than the minimum allowed size"):
        s3.complete_multipart_upload(**target, **parts)
    rows = parts["MultipartUpload"]["Parts"]
    with fault("InvalidPartOrder", "not in ascending order"):
        s3.complete_multipart_upload(**target, MultipartUpload={"Parts": rows[::-1]})
    with fault("MalformedXML"):
        s3.complete_multipart_upload(**target, MultipartUpload={"Parts": []})
    with fault("InvalidPart"):
        s3.complete_multipart_upload(
            **target, MultipartUpload={"Parts": [{"PartNumber": 9, "ETag": rows[0]["ETag"]}]}
        )
    for number in 0, 10_001:
        with fault("InvalidArgument", "Part number must be an integer between 1 and 10000"):
            s3.upload_part(**target, PartNumber=number, Body=b"")
    s3.abort_multipart_upload(**target)
    for call in s3.abort_multipart_upload, s3.list_parts:
        with fault("NoSuchUpload", "The specified upload does not exist", 404):
            call(**target)
    with fault("NoSuchUpload", status=404):
        s3.upload_part(**target, PartNumber=1, Body=b"late")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_parts_by_copy(s3, bucket):
    body = os.urandom(2 * PART)
    s3.put_object(Bucket=bucket, Key="from", Body=body)
    source = {"Bucket": bucket, "Key": "from"}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="to")["UploadId"]
    target = {"Bucket": bucket, "Key": "to", "UploadId": upload_id}
    parts = []
    for number, spec in (1, f"bytes=100-{PART + 99}"), (2, f"bytes=0-{PART - 1}"), (3, None):
        more = {"CopySourceRange": spec} if spec else {}
        copied = s3.upload_part_copy(**target, PartNumber=number, CopySource=source, **more)
        parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    with fault("InvalidArgument"):
        s3.upload_part_copy(
            **target, PartNumber=4, CopySource=source, CopySourceRange=f"bytes=0-{2 * PART}"
        )
    s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    whole = body[100:PART + 100] + body[:PART] + body
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == whole


def test_listing_uploads_and_parts(s3, bucket):
    keys = ["a", "a", "b/1", "b/2", "c"]
    ids = [s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
    found, more = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **more)
        found += [(row["Key"], row["UploadId"]) for row in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert sorted(found) == sorted(zip(keys, ids))
    assert [key for key, _ in found] == keys
    top = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [row["Prefix"] for row in top["CommonPrefixes"]] == ["b/"]
    some = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert [row["Key"] for row in some["Uploads"]] == ["b/1", "b/2"]
    target = {"Bucket": bucket, "Key": "c", "UploadId": ids[4]}
    for number in 1, 5, 3, 10_000:
        s3.upload_part(**target, PartNumber=number, Body=str(number).encode())
    first = s3.list_parts(**target, MaxParts=2)
    assert [part["PartNumber"] for part in first["Parts"]] == [1, 3]
    assert first["IsTruncated"] and first["NextPartNumberMarker"] == 3
    rest = s3.list_parts(**target, PartNumberMarker=3)
    assert [part["PartNumber"] for part in rest["Parts"]] == [5, 10_000]
    with fault("BucketNotEmpty", status=409):
        s3.put_object(Bucket=bucket, Key="x", Body=b"")
        s3.delete_bucket(Bucket=bucket)


def test_conditional_completion(s3, bucket):
    target, parts = upload(s3, bucket, "key", [b"one"])
    s3.put_object(Bucket=bucket, Key="key", Body=b"there already")
    with fault("PreconditionFailed", status=412):
        s3.complete_multipart_upload(**target, **parts, IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"there already"


def test_a_checksum_of_checksums(s3, bucket):
    bodies = [os.urandom(PART), os.urandom(99)]
    upload_id = s3.create_multipart_upload(
        Bucket=bucket, Key="key", ChecksumAlgorithm="SHA256"
    )["UploadId"]
    target = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    parts = []
    for number, body in enumerate(bodies, 1):
        made = s3.upload_part(
            **target, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        sha = base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert made["ChecksumSHA256"] == sha
        parts.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumSHA256": sha})
    done = s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    sums = b"".join(hashlib.sha256(body).digest() for body in bodies)
    expected = base64.b64encode(hashlib.sha256(sums).digest()).decode()
    assert done["ChecksumSHA256"] == f"{expected}-2"
    assert done["ChecksumType"] == "COMPOSITE"
    head = s3.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == f"{expected}-2"
    found = s3.get_object_attributes(
        Bucket=bucket, Key="key", ObjectAttributes=["ObjectParts", "Checksum"]
    )
    assert found["ObjectParts"]["TotalPartsCount"] == 2
    assert [part["Size"] for part in found["ObjectParts"]["Parts"]] == [PART, 99]


def test_a_checksum_of_the_whole(s3, bucket):
    bodies = [os.urandom(PART), os.urandom(PART), b"tail"]
    upload_id = s3.create_multipart_upload(
        Bucket=bucket, Key="key", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    target = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    parts = []
    for number, body in enumerate(bodies, 1):
        made = s3.upload_part(**target, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        parts.append(
            {"PartNumber": number, "ETag": made["ETag"], "ChecksumCRC32": made["ChecksumCRC32"]}
        )
    crc = zlib.crc32(b"".join(bodies)).to_bytes(4, "big")
    whole = base64.b64encode(crc).decode()
    with fault("BadDigest"):
        s3.complete_multipart_upload(
            **target, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT",
            ChecksumCRC32="AAAAAA==",
        )
    done = s3.complete_multipart_upload(
        **target, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT",
        ChecksumCRC32=whole,
    )
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT")


@pytest.mark.parametrize("size", [1, 30_000_000])
def test_the_transfer_library(s3, bucket, tmp_path, size):
    source, target = tmp_path / "from", tmp_path / "to"
    source.write_bytes(os.urandom(size))
    import boto3.s3.transfer

    with boto3.s3.transfer.create_transfer_manager(
        s3, boto3.s3.transfer.TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    ) as manager:
        manager.upload(str(source), bucket, "key").result()
    with boto3.s3.transfer.create_transfer_manager(
        s3, boto3.s3.transfer.TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    ) as manager:
        manager.download(bucket, "key", str(target)).result()
    assert source.read_bytes() == target.read_bytes()
