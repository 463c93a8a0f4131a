"""Checksums: sent in headers and trailers, verified, stored, and given back."""

import base64
import hashlib
import os
import zlib

import pytest
from fogbank_cloud import fault

ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


def encoded(raw):
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
@pytest.mark.parametrize("size", [0, 10, 2_000_000])
def test_each_algorithm(s3, bucket, algorithm, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="key", Body=body, ChecksumAlgorithm=algorithm)
    own = {
        "CRC32": lambda: zlib.crc32(body).to_bytes(4, "big"),
        "SHA1": lambda: hashlib.sha1(body).digest(),
        "SHA256": lambda: hashlib.sha256(body).digest(),
    }[algorithm]()
    member = f"Checksum{algorithm}"
    assert put[member] == encoded(own)
    assert put["ChecksumType"] == "FULL_OBJECT"
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert (got[member], got["Body"].read()) == (encoded(own), body)
    head = s3.head_object(Bucket=bucket, Key="key")
    assert member not in head
    wrong = encoded(b"\xff" * len(own))
    with fault("BadDigest", "did not match the calculated checksum"):
        s3.put_object(Bucket=bucket, Key="wrong", Body=body, **{member: wrong})
    with fault("InvalidRequest"):
        s3.put_object(Bucket=bucket, Key="wrong", Body=body, **{member: "not base64!"})
    with fault("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key="wrong")


def test_without_one_there_is_one(cloud, bucket):
    plain = cloud.client("s3", request_checksum_calculation="when_required")
    put = plain.put_object(Bucket=bucket, Key="key", Body=b"hello")
    assert put["ChecksumType"] == "FULL_OBJECT"
    head = plain.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == put["ChecksumCRC64NVME"]


def test_content_md5(s3, bucket):
    digest = encoded(hashlib.md5(b"body").digest())
    s3.put_object(Bucket=bucket, Key="key", Body=b"body", ContentMD5=digest)
    with fault("BadDigest", "The Content-MD5 you specified did not match"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"other", ContentMD5=digest)
    with fault("InvalidDigest", "The Content-MD5 you specified was invalid"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"other", ContentMD5="bad")
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"body"


def test_a_stream_of_chunks(s3, bucket):
    """A body whose length is known but whose checksum comes in the trailer."""

    class Stream:
        def __init__(self):
            self.left = 3_000_001

        def read(self, amount=-1):
            amount = self.left if amount < 0 else min(amount, self.left)
            self.left -= amount
            return b"z" * amount

        def tell(self):
            return 3_000_001 - self.left

        def seek(self, to, whence=0):
            self.left = 3_000_001 - to if whence == 0 else 0
            return 3_000_001 - self.left

    s3.put_object(Bucket=bucket, Key="key", Body=Stream(), ContentLength=3_000_001)
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"z" * 3_000_001
