"""Inventories, by the store's clock; and what S3 has that isn't here."""

import csv
import gzip
import io
import json
import urllib.parse

import pytest
from fogbank_cloud import Cloud, fault, started, until


@pytest.fixture(scope="module")
def cloud():
    """A cloud whose store's clock the tests set forward."""
    yield from started(Cloud())


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


def keys(s3, bucket, part):
    rows = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(row["Key"] for row in rows if part in row["Key"])


def configuration(name, to, versions="All", **more):
    return {
        "Id": name, "IsEnabled": True, "IncludedObjectVersions": versions,
        "Destination": {"S3BucketDestination": {
            "Bucket": f"arn:aws:s3:::{to}", "Format": "CSV", "Prefix": "in"}},
        "Schedule": {"Frequency": "Daily"},
    } | more


def test_a_list_of_all_versions(cloud, s3, versioned, name):
    target, account = f"{name}-lists", cloud.client("sts").get_caller_identity()["Account"]
    s3.create_bucket(Bucket=target)
    fields = ["Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded",
              "ReplicationStatus", "EncryptionStatus", "ChecksumAlgorithm", "ObjectOwner",
              "ObjectAccessControlList"]
    s3.put_bucket_inventory_configuration(
        Bucket=versioned, Id="all",
        InventoryConfiguration=configuration("all", target, OptionalFields=fields))
    names = ['a "quoted", key', "ünï/ çöde", "plain+plus"]
    for key in names:
        s3.put_object(Bucket=versioned, Key=key, Body=key.encode())
    s3.delete_object(Bucket=versioned, Key="plain+plus")
    assert keys(s3, target, "") == [], "the destination's policy doesn't let S3 write"
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{target}/*",
            "Condition": {
                "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{versioned}"},
                "StringEquals": {"aws:SourceAccount": account,
                                 "s3:x-amz-acl": "bucket-owner-full-control"}}}]}))
    cloud.fogbank("objects", "advance-clock", 1)
    (at,) = keys(s3, target, "manifest.json")
    assert at.startswith(f"in/{versioned}/all/20") and at.endswith("Z/manifest.json")
    got = s3.get_object(Bucket=target, Key=at)
    manifest = json.loads(got["Body"].read())
    (checksum,) = keys(s3, target, "manifest.checksum")
    sum_of = s3.get_object(Bucket=target, Key=checksum)["Body"].read().decode()
    assert got["ETag"] == f'"{sum_of}"'
    assert manifest["fileFormat"] == "CSV"
    columns = manifest["fileSchema"].split(", ")
    assert columns[:5] == ["Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker"]
    assert sorted(columns[5:]) == sorted(fields)
    (file,) = manifest["files"]
    got = s3.get_object(Bucket=target, Key=file["key"])
    body = got["Body"].read()
    assert (len(body), got["ETag"]) == (file["size"], f'"{file["MD5checksum"]}"')
    text = gzip.decompress(body).decode()
    rows = [dict(zip(columns, row, strict=True)) for row in csv.reader(io.StringIO(text))]
    assert len(rows) == 4
    versions = s3.list_object_versions(Bucket=versioned)
    ids = {row["VersionId"] for row in versions["Versions"] + versions["DeleteMarkers"]}
    assert {row["VersionId"] for row in rows} == ids
    assert {urllib.parse.unquote_plus(row["Key"]) for row in rows} == set(names)
    (marker,) = (row for row in rows if row["IsDeleteMarker"] == "true")
    assert (marker["IsLatest"], marker["Size"]) == ("true", "")
    quoted = next(row for row in rows if "quoted" in row["Key"])
    owner = s3.list_buckets()["Owner"]["ID"]
    assert (quoted["Size"], quoted["StorageClass"], quoted["EncryptionStatus"]) == (
        str(len(names[0])), "STANDARD", "SSE-S3")
    assert (quoted["IsMultipartUploaded"], quoted["ObjectOwner"]) == ("false", owner)
    (link,) = keys(s3, target, "symlink.txt")
    link = s3.get_object(Bucket=target, Key=link)["Body"].read().decode()
    assert link == f"s3://{target}/{file['key']}\n"
    cloud.fogbank("objects", "advance-clock", 1)
    assert len(keys(s3, target, "manifest.json")) == 2


def test_the_first_list_comes_by_itself(cloud, s3, bucket, name):
    target = f"{name}-lists"
    s3.create_bucket(Bucket=target)
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{target}/*"}]}))
    for key in ("in/a", "in/b", "out/c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    wanted = configuration("one", target, "Current", Filter={"Prefix": "in/"})
    s3.put_bucket_inventory_configuration(
        Bucket=bucket, Id="one", InventoryConfiguration=wanted)
    until("the list is there", lambda: keys(s3, target, "manifest.checksum"))
    (data,) = keys(s3, target, "/data/")
    text = gzip.decompress(s3.get_object(Bucket=target, Key=data)["Body"].read()).decode()
    assert text == f'"{bucket}","in/a"\n"{bucket}","in/b"\n'


def test_configurations_are_listed_in_pages(s3, bucket, name):
    for number in range(101):
        at = f"id-{number:03}"
        s3.put_bucket_inventory_configuration(
            Bucket=bucket, Id=at,
            InventoryConfiguration=configuration(at, f"{name}-none") | {"IsEnabled": False})
    first = s3.list_bucket_inventory_configurations(Bucket=bucket)
    assert len(first["InventoryConfigurationList"]) == 100 and first["IsTruncated"]
    rest = s3.list_bucket_inventory_configurations(
        Bucket=bucket, ContinuationToken=first["NextContinuationToken"])
    assert [one["Id"] for one in rest["InventoryConfigurationList"]] == ["id-100"]
    assert not rest["IsTruncated"]
    s3.delete_bucket_inventory_configuration(Bucket=bucket, Id="id-007")
    with fault("NoSuchConfiguration", status=404):
        s3.get_bucket_inventory_configuration(Bucket=bucket, Id="id-007")
    for form in "ORC", "Parquet":
        other = configuration("x", f"{name}-none")
        other["Destination"]["S3BucketDestination"]["Format"] = form
        with fault("NotImplemented", form, status=501):
            s3.put_bucket_inventory_configuration(
                Bucket=bucket, Id="x", InventoryConfiguration=other)


ANALYSIS = {"StorageClassAnalysis": {"DataExport": {
    "OutputSchemaVersion": "V_1", "Destination": {"S3BucketDestination": {
        "Format": "CSV", "Bucket": "arn:aws:s3:::exports", "Prefix": "p"}}}}}
BOTH = {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}}


@pytest.mark.parametrize(
    "kind, member, good, bad",
    [
        ("metrics", "MetricsConfiguration", {"Filter": BOTH},
         {"Filter": {"And": {"Prefix": "alone"}}}),
        ("analytics", "AnalyticsConfiguration", {"Filter": BOTH} | ANALYSIS,
         {"Filter": {"And": {"Prefix": "alone"}}} | ANALYSIS),
        ("intelligent_tiering", "IntelligentTieringConfiguration",
         {"Filter": BOTH, "Status": "Enabled",
          "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]},
         {"Status": "Sometimes", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}),
    ],
)
def test_other_configurations(s3, bucket, kind, member, good, bad):
    def call(verb, **more):
        return getattr(s3, f"{verb}_bucket_{kind}_configuration")(Bucket=bucket, **more)

    call("put", Id="one", **{member: {"Id": "one"} | good})
    assert call("get", Id="one")[member] == {"Id": "one"} | good
    listed = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=bucket)
    assert listed[f"{member}List"] == [{"Id": "one"} | good] and not listed["IsTruncated"]
    with fault("MalformedXML"):
        call("put", Id="two", **{member: {"Id": "two"} | bad})
    call("delete", Id="one")
    for verb in "get", "delete":
        with fault("NoSuchConfiguration", status=404):
            call(verb, Id="one")


def test_there_are_no_directory_buckets(cloud, s3, bucket):
    assert s3.list_directory_buckets()["Buckets"] == []
    wrong = cloud.client("s3", secret="wrong")
    with fault("SignatureDoesNotMatch", status=403):
        wrong.list_directory_buckets()
    s3.put_object(Bucket=bucket, Key="rows.csv", Body=b"1,2\n")
    with fault("MethodNotAllowed", "The specified method is not allowed", 405):
        s3.select_object_content(
            Bucket=bucket, Key="rows.csv", Expression="SELECT * FROM S3Object",
            ExpressionType="SQL", InputSerialization={"CSV": {}},
            OutputSerialization={"CSV": {}})
    assert s3.get_object(Bucket=bucket, Key="rows.csv")["Body"].read() == b"1,2\n"
