"""Listings: prefixes, delimiters, pages, encodings, and their agreement with a plain model."""

import random

import pytest
from fogbank_cloud import fault


def keys_of(page):
    return [found["Key"] for found in page.get("Contents", [])]


def prefixes_of(page):
    return [found["Prefix"] for found in page.get("CommonPrefixes", [])]


@pytest.fixture(scope="module")
def full(cloud):
    """A bucket with many keys, and its keys in order."""
    client = cloud.client("s3")
    client.create_bucket(Bucket="full")
    keys = [f"{a}/{b}/{c}" for a in "xyz" for b in range(7) for c in range(9)]
    keys += ["a", "a b", "a+b", "a/", "a/a", "ab", "z", "zz", "ä", "日", "~", "A"]
    chooser = random.Random(1)
    shuffled = keys[:]
    chooser.shuffle(shuffled)
    for key in shuffled:
        client.put_object(Bucket="full", Key=key, Body=key.encode())
    return sorted(keys, key=str.encode)


def model(keys, prefix, delimiter, after, limit, marker):
    """What a page holds: (keys, prefixes, truncated).

    A common prefix that a marker lies in is passed over; one that start-after lies in is shown.
    """
    rows = []
    for key in keys:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix):]
        rolled = None
        if delimiter and delimiter in rest:
            rolled = prefix + rest[: rest.index(delimiter) + len(delimiter)]
        row = (rolled or key, rolled is not None)
        if row in rows or key.encode() <= after.encode():
            continue
        if rolled and (after.startswith(rolled) if marker else after == rolled):
            continue
        rows.append(row)
    page = rows[:limit]
    return (
        [name for name, rolled in page if not rolled],
        [name for name, rolled in page if rolled],
        len(rows) > limit,
    )


@pytest.mark.parametrize("seed", range(40))
def test_pages_agree_with_a_model(s3, full, seed):
    chooser = random.Random(seed)
    prefix = chooser.choice(["", "x/", "x", "y/3/", "a", "a/", "none", "z", "x/3", "ä"])
    delimiter = chooser.choice(["", "/", "/", "3", "/3", "b", "+"])
    limit = chooser.choice([1, 2, 3, 10, 50, 1000])
    after, token = chooser.choice(["", "", "x/3/4", "b", "x/", "zzz", full[5]]), None
    for version in 1, 2:
        last, more, token = after, True, None
        while more:
            extra = {"Delimiter": delimiter} if delimiter else {}
            if version == 2:
                extra |= {"ContinuationToken": token} if token else {"StartAfter": after}
                page = s3.list_objects_v2(Bucket="full", Prefix=prefix, MaxKeys=limit, **extra)
                assert page["KeyCount"] == len(keys_of(page)) + len(prefixes_of(page))
            else:
                page = s3.list_objects(
                    Bucket="full", Prefix=prefix, MaxKeys=limit, Marker=last, **extra
                )
            wanted = model(
                full, prefix, delimiter, last, limit, marker=version == 1 or token is not None
            )
            assert (keys_of(page), prefixes_of(page), page["IsTruncated"]) == wanted
            more = page["IsTruncated"]
            last = max(keys_of(page) + prefixes_of(page), key=str.encode, default="")
            token = page.get("NextContinuationToken")
            assert (token is not None) == (more and version == 2)


def test_what_an_entry_says(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="key", Body=b"12345", StorageClass="ONEZONE_IA")
    (found,) = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert (found["Size"], found["ETag"]) == (5, put["ETag"])
    assert found["StorageClass"] == "ONEZONE_IA"
    assert found["Owner"]["ID"]
    assert found["LastModified"] == s3.head_object(Bucket=bucket, Key="key")["LastModified"]
    assert found["ChecksumAlgorithm"] and found["ChecksumType"] == "FULL_OBJECT"
    (old,) = s3.list_objects(Bucket=bucket)["Contents"]
    assert old["Owner"]["ID"] == found["Owner"]["ID"]
    (plain,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert "Owner" not in plain


def test_limits_of_a_page(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    none = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"], none["MaxKeys"]) == (0, False, 0)
    many = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert (many["KeyCount"], many["MaxKeys"]) == (1, 1000)
    with fault("InvalidArgument"):
        s3.list_objects_v2(Bucket=bucket, MaxKeys=-1)
    with fault("InvalidArgument", "The continuation token provided is incorrect"):
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="never given")


def test_a_thousand_and_one(s3, bucket):
    for at in range(1001):
        s3.put_object(Bucket=bucket, Key=f"{at:04}", Body=b"")
    first = s3.list_objects_v2(Bucket=bucket)
    assert (first["KeyCount"], first["IsTruncated"]) == (1000, True)
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=first["NextContinuationToken"])
    assert keys_of(rest) == ["1000"]
