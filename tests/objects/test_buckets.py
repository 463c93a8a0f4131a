"""Buckets: names, owners, regions, listing, deletion."""

import pytest
from fogbank_cloud import fault


def test_a_bucket_lives_and_goes(s3, name):
    made = s3.create_bucket(Bucket=name)
    assert made["Location"] == f"/{name}"
    head = s3.head_bucket(Bucket=name)
    assert head["BucketRegion"] == "us-east-1"
    assert name in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    s3.delete_bucket(Bucket=name)
    with fault("404", "Not Found", 404):
        s3.head_bucket(Bucket=name)
    with fault("NoSuchBucket", "The specified bucket does not exist", 404):
        s3.delete_bucket(Bucket=name)
    with fault("NoSuchBucket", "The specified bucket does not exist", 404):
        s3.list_objects_v2(Bucket=name)


def test_making_ones_own_again(s3, cloud, bucket):
    s3.create_bucket(Bucket=bucket)  # As ever in us-east-1.
    elsewhere = cloud.client("s3", region="eu-west-1")
    with fault("BucketAlreadyOwnedByYou", status=409):
        elsewhere.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )


def test_a_region(cloud, name):
    paris = cloud.client("s3", region="eu-west-3")
    paris.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    assert paris.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-3"
    assert paris.head_bucket(Bucket=name)["BucketRegion"] == "eu-west-3"
    with fault("IllegalLocationConstraintException"):
        paris.create_bucket(Bucket=f"{name}-b")


@pytest.mark.parametrize(
    "bad",
    ["ab", "a" * 64, "Upper", "under_score", "-begins", "ends-", "two..dots", "192.168.5.4",
     "xn--name", "name-s3alias", "sthree-x", "dot-.dash"],
)
def test_bad_names(cloud, bad):
    client = cloud.client("s3")
    # What boto3 refuses by itself must reach the server, too.
    client.meta.events.unregister("before-parameter-build.s3")
    from botocore.handlers import validate_bucket_name

    client.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    with fault("InvalidBucketName", "The specified bucket is not valid"):
        client.create_bucket(Bucket=bad)


def test_a_bucket_must_be_empty(s3, versioned):
    s3.put_object(Bucket=versioned, Key="a", Body=b"1")
    s3.delete_object(Bucket=versioned, Key="a")
    with fault("BucketNotEmpty", "The bucket you tried to delete is not empty", 409):
        s3.delete_bucket(Bucket=versioned)
    found = s3.list_object_versions(Bucket=versioned)
    for version in found["Versions"] + found["DeleteMarkers"]:
        s3.delete_object(Bucket=versioned, Key="a", VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=versioned)


def test_pages_of_buckets(cloud):
    client = cloud.client("s3")
    names = [f"paged-{at}" for at in range(5)]
    for name in names:
        client.create_bucket(Bucket=name)
    found, more = [], {}
    while True:
        page = client.list_buckets(MaxBuckets=2, Prefix="paged-", **more)
        assert len(page["Buckets"]) <= 2
        found += [bucket["Name"] for bucket in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        more = {"ContinuationToken": page["ContinuationToken"]}
    assert found == names
    assert page["Owner"]["ID"]


def test_a_stranger_gets_nothing(other_account, bucket):
    with fault("InvalidAccessKeyId", "does not exist in our records", 403):
        other_account.list_buckets()
    with fault("InvalidAccessKeyId", status=403):
        other_account.get_object(Bucket=bucket, Key="a")


def test_a_wrong_secret(cloud, bucket):
    wrong = cloud.client("s3", secret="0" * 40)
    with fault("SignatureDoesNotMatch", "does not match the signature you provided", 403):
        wrong.list_objects_v2(Bucket=bucket)
