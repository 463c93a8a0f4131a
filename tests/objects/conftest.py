"""A cloud whose object store the tests use, and buckets for each test."""

import itertools

import pytest
from fogbank_cloud import Cloud, started

_names = itertools.count()


@pytest.fixture(scope="session")
def cloud():
    """A cloud that verifies signatures; its instances are simulated, its object store is not."""
    yield from started(Cloud())


@pytest.fixture(scope="session")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def other_account(cloud):
    """S3 in the same cloud for somebody whom it does not know."""
    return cloud.client("s3", key="AKIAAAAAAAAAAAAAAAAA", secret="wrong")


@pytest.fixture
def name():
    """A name for a bucket that no other test has."""
    return f"bucket-{next(_names)}"


@pytest.fixture
def bucket(s3, name):
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket
