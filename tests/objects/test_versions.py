"""Versions: what a PUT, a GET, a DELETE do with versioning enabled, suspended, and never set."""

import random

import pytest
from fogbank_cloud import fault


def versions(s3, bucket, **more):
    page = s3.list_object_versions(Bucket=bucket, **more)
    rows = page.get("Versions", []) + page.get("DeleteMarkers", [])
    return {(row["Key"], row["VersionId"]): row for row in rows}


def test_versions_pile_up(s3, versioned):
    ids = [
        s3.put_object(Bucket=versioned, Key="key", Body=str(at).encode())["VersionId"]
        for at in range(3)
    ]
    assert len(set(ids)) == 3
    got = s3.get_object(Bucket=versioned, Key="key")
    assert (got["Body"].read(), got["VersionId"]) == (b"2", ids[2])
    for at, version in enumerate(ids):
        got = s3.get_object(Bucket=versioned, Key="key", VersionId=version)
        assert got["Body"].read() == str(at).encode()
    listed = s3.list_object_versions(Bucket=versioned)["Versions"]
    assert [row["VersionId"] for row in listed] == ids[::-1]
    assert [row["IsLatest"] for row in listed] == [True, False, False]


def test_a_delete_marker_and_its_undoing(s3, versioned):
    kept = s3.put_object(Bucket=versioned, Key="key", Body=b"x")["VersionId"]
    gone = s3.delete_object(Bucket=versioned, Key="key")
    assert gone["DeleteMarker"] is True
    with fault("NoSuchKey", status=404) as caught:
        s3.get_object(Bucket=versioned, Key="key")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-delete-marker"] == "true"
    assert headers["x-amz-version-id"] == gone["VersionId"]
    with fault("MethodNotAllowed", "not allowed against this resource", 405) as caught:
        s3.get_object(Bucket=versioned, Key="key", VersionId=gone["VersionId"])
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-delete-marker"] == "true"
    assert s3.get_object(Bucket=versioned, Key="key", VersionId=kept)["Body"].read() == b"x"
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    (marker,) = s3.list_object_versions(Bucket=versioned)["DeleteMarkers"]
    assert (marker["VersionId"], marker["IsLatest"]) == (gone["VersionId"], True)
    undone = s3.delete_object(Bucket=versioned, Key="key", VersionId=gone["VersionId"])
    assert undone["DeleteMarker"] is True
    assert s3.get_object(Bucket=versioned, Key="key")["Body"].read() == b"x"


def test_a_version_gone_for_good(s3, versioned):
    old = s3.put_object(Bucket=versioned, Key="key", Body=b"old")["VersionId"]
    new = s3.put_object(Bucket=versioned, Key="key", Body=b"new")["VersionId"]
    s3.delete_object(Bucket=versioned, Key="key", VersionId=new)
    assert s3.get_object(Bucket=versioned, Key="key")["Body"].read() == b"old"
    with fault("NoSuchVersion", "The specified version does not exist.", 404):
        s3.get_object(Bucket=versioned, Key="key", VersionId=new)
    s3.delete_object(Bucket=versioned, Key="key", VersionId=old)
    assert versions(s3, versioned) == {}
    with fault("InvalidArgument", "Invalid version id specified"):
        s3.get_object(Bucket=versioned, Key="key", VersionId="no version looks like this")


def test_suspended(s3, bucket):
    before = s3.put_object(Bucket=bucket, Key="key", Body=b"before")
    assert "VersionId" not in before
    status = {"Bucket": bucket, "VersioningConfiguration": {"Status": "Enabled"}}
    s3.put_bucket_versioning(**status)
    first = s3.put_object(Bucket=bucket, Key="key", Body=b"first")["VersionId"]
    assert set(versions(s3, bucket)) == {("key", "null"), ("key", first)}
    status["VersioningConfiguration"]["Status"] = "Suspended"
    s3.put_bucket_versioning(**status)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    put = s3.put_object(Bucket=bucket, Key="key", Body=b"over null")
    assert put.get("VersionId", "null") == "null"
    assert set(versions(s3, bucket)) == {("key", "null"), ("key", first)}
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"over null"
    got = s3.get_object(Bucket=bucket, Key="key", VersionId="null")
    assert got["Body"].read() == b"over null"
    gone = s3.delete_object(Bucket=bucket, Key="key")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    rows = versions(s3, bucket)
    assert set(rows) == {("key", "null"), ("key", first)}
    assert rows["key", "null"]["IsLatest"]
    assert s3.get_object(Bucket=bucket, Key="key", VersionId=first)["Body"].read() == b"first"
    s3.delete_object(Bucket=bucket, Key="key", VersionId="null")
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"first"


def test_never_set(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    rows = versions(s3, bucket)
    assert set(rows) == {("key", "null")}
    gone = s3.delete_object(Bucket=bucket, Key="key")
    assert "DeleteMarker" not in gone
    assert versions(s3, bucket) == {}


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_versions(s3, versioned, seed):
    chooser = random.Random(seed)
    expected = []
    for key in ["a/1", "a/2", "b", "c/1", "d"]:
        rows = []
        for _ in range(chooser.randint(1, 4)):
            if chooser.random() < 0.3:
                rows.append(s3.delete_object(Bucket=versioned, Key=key)["VersionId"])
            else:
                put = s3.put_object(Bucket=versioned, Key=key, Body=b"x")
                rows.append(put["VersionId"])
        expected += [(key, version) for version in reversed(rows)]
    found, more = [], {}
    while True:
        limit = chooser.randint(1, 3)
        page = s3.list_object_versions(Bucket=versioned, MaxKeys=limit, **more)
        rows = {(r["Key"], r["VersionId"])
                for r in page.get("Versions", []) + page.get("DeleteMarkers", [])}
        assert 0 < len(rows) <= limit
        found.append(rows)
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"],
                "VersionIdMarker": page["NextVersionIdMarker"]}
    at = 0
    for rows in found:
        assert rows == set(expected[at:at + len(rows)])
        at += len(rows)
    assert at == len(expected)
    folders = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [row["Prefix"] for row in folders["CommonPrefixes"]] == ["a/", "c/"]


def test_deleting_many_versions(s3, versioned):
    ids = [s3.put_object(Bucket=versioned, Key="key", Body=b"x")["VersionId"] for _ in range(5)]
    marker = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "key"}]})
    (made,) = marker["Deleted"]
    assert made["DeleteMarker"] is True and made["DeleteMarkerVersionId"]
    objects = [{"Key": "key", "VersionId": version}
               for version in [*ids, made["DeleteMarkerVersionId"]]]
    done = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
    assert len(done["Deleted"]) == 6
    assert versions(s3, versioned) == {}


def test_object_lock(s3, name):
    import datetime

    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    locked = s3.put_object(
        Bucket=name, Key="key", Body=b"x", ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )["VersionId"]
    target = {"Bucket": name, "Key": "key", "VersionId": locked}
    with fault("AccessDenied", status=403):
        s3.delete_object(**target)
    s3.delete_object(Bucket=name, Key="key")  # A marker may be laid over it.
    s3.delete_object(**target, BypassGovernanceRetention=True)
    held = s3.put_object(
        Bucket=name, Key="key", Body=b"x", ObjectLockLegalHoldStatus="ON"
    )["VersionId"]
    target["VersionId"] = held
    with fault("AccessDenied", status=403):
        s3.delete_object(**target, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(**target, LegalHold={"Status": "OFF"})
    s3.put_object_retention(
        **target, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
    )
    with fault("AccessDenied", status=403):
        s3.delete_object(**target, BypassGovernanceRetention=True)
    with fault("AccessDenied", status=403):
        s3.put_object_retention(
            **target, BypassGovernanceRetention=True,
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until - datetime.timedelta(hours=1)},
        )
    with fault("InvalidBucketState", status=409):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
