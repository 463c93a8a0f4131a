"""Replication to other buckets: what is acknowledged is copied, whatever dies."""

import hashlib
import json
import random

import pytest
from fogbank_cloud import REGION, fault, until

READS = [
    "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging", "s3:GetObjectRetention",
    "s3:GetObjectLegalHold",
]
WRITES = [
    "s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags",
    "s3:ObjectOwnerOverrideToBucketOwner",
]


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def make_role(cloud, name, *more, service="s3.amazonaws.com"):
    """A role by which S3 may copy everything of its account; gives its ARN."""
    iam = cloud.client("iam")
    trust = document({"Effect": "Allow", "Principal": {"Service": service},
                      "Action": "sts:AssumeRole"})
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": READS + WRITES, "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="copy", PolicyDocument=document(allow, *more))
    return made


@pytest.fixture(scope="module")
def role(cloud):
    return make_role(cloud, "copier")


def versioned_bucket(client, name, **more):
    client.create_bucket(Bucket=name, **more)
    enabled = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)
    return name


@pytest.fixture
def copies(s3, name):
    """Another bucket with versions."""
    return versioned_bucket(s3, f"{name}-copies")


def rule(to, priority=1, prefix="", markers=False, **destination):
    return {
        "Priority": priority, "Status": "Enabled", "Filter": {"Prefix": prefix},
        "DeleteMarkerReplication": {"Status": "Enabled" if markers else "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{to}"} | destination,
    }


def replicate(s3, bucket, role, *rules):
    s3.put_bucket_replication(
        Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": list(rules)}
    )


def status(s3, bucket, key):
    return s3.head_object(Bucket=bucket, Key=key).get("ReplicationStatus")


def settled(s3, bucket, key):
    """What became of an object's copies."""
    found = until(f"{bucket}/{key} is copied",
                  lambda: (status(s3, bucket, key) or "NONE").replace("PENDING", ""))
    return found


def read(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def test_an_object_and_all_that_it_has(s3, versioned, copies, role):
    replicate(s3, versioned, role, rule(copies, markers=True))
    kept = s3.get_bucket_replication(Bucket=versioned)["ReplicationConfiguration"]
    assert kept["Role"] == role and kept["Rules"][0]["ID"]
    put = s3.put_object(
        Bucket=versioned, Key="a/ü", Body=b"hello", Metadata={"colour": "green"},
        ContentType="text/x-thing", Tagging="a=1&b=2", ChecksumAlgorithm="SHA256",
    )
    assert settled(s3, versioned, "a/ü") == "COMPLETED"
    at = {"Key": "a/ü", "VersionId": put["VersionId"], "ChecksumMode": "ENABLED"}
    there, copy = s3.get_object(Bucket=versioned, **at), s3.get_object(Bucket=copies, **at)
    assert copy["Body"].read() == b"hello"
    assert copy["ReplicationStatus"] == "REPLICA"
    for what in ("ETag", "VersionId", "Metadata", "ContentType", "ChecksumSHA256", "TagCount",
                 "LastModified"):
        assert copy[what] == there[what], what
    tags = [{"Key": "c", "Value": "3"}]
    s3.put_object_tagging(Bucket=versioned, Key="a/ü", Tagging={"TagSet": tags})
    until("the copy has the tags", lambda: tags == s3.get_object_tagging(
        Bucket=copies, Key="a/ü")["TagSet"])
    marker = s3.delete_object(Bucket=versioned, Key="a/ü")["VersionId"]
    until("the marker is copied", lambda: marker in [
        row["VersionId"]
        for row in s3.list_object_versions(Bucket=copies).get("DeleteMarkers", [])])
    with fault("InvalidBucketState", status=409):
        s3.put_bucket_versioning(
            Bucket=versioned, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket_replication(Bucket=versioned)
    with fault("ReplicationConfigurationNotFoundError", status=404):
        s3.get_bucket_replication(Bucket=versioned)
    s3.put_object(Bucket=versioned, Key="later", Body=b"x")
    assert status(s3, versioned, "later") is None


def test_large_uploads_keep_their_parts(s3, versioned, copies, role):
    replicate(s3, versioned, role, rule(copies))
    target = {"Bucket": versioned, "Key": "large"}
    upload = s3.create_multipart_upload(**target, ChecksumAlgorithm="CRC32")["UploadId"]
    chooser, parts, whole = random.Random(1), [], hashlib.sha256()
    for number in range(1, 9):
        body = chooser.randbytes(12 << 20 if number < 8 else 1234)
        whole.update(body)
        done = s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=body,
                              ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": done["ETag"],
                      "ChecksumCRC32": done["ChecksumCRC32"]})
    s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    assert settled(s3, versioned, "large") == "COMPLETED"
    there, copy = s3.head_object(**target), s3.head_object(Bucket=copies, Key="large")
    assert copy["ETag"] == there["ETag"] and copy["ETag"].endswith('-8"')
    assert hashlib.sha256(read(s3, copies, "large")).digest() == whole.digest()
    part = s3.get_object(Bucket=copies, Key="large", PartNumber=8)
    assert (part["PartsCount"], len(part["Body"].read())) == (8, 1234)


def test_two_buckets_copy_to_each_other(s3, versioned, copies, role):
    for one, other in ((versioned, copies), (copies, versioned)):
        replicate(s3, one, role, rule(other, markers=True))
    for bucket in (versioned, copies):
        s3.put_object(Bucket=bucket, Key=f"of-{bucket}", Body=bucket.encode())
    for bucket, other in ((versioned, copies), (copies, versioned)):
        assert settled(s3, bucket, f"of-{bucket}") == "COMPLETED"
        assert status(s3, other, f"of-{bucket}") == "REPLICA"
    s3.delete_object(Bucket=versioned, Key=f"of-{versioned}")
    until("both have the marker", lambda: all(
        s3.list_object_versions(Bucket=bucket).get("DeleteMarkers")
        for bucket in (versioned, copies)))
    s3.put_object(Bucket=copies, Key="last", Body=b"x")
    assert settled(s3, copies, "last") == "COMPLETED"
    lists = [s3.list_object_versions(Bucket=bucket) for bucket in (versioned, copies)]
    for what in ("Versions", "DeleteMarkers"):
        one, other = ([(row["Key"], row["VersionId"], row["IsLatest"]) for row in found[what]]
                      for found in lists)
        assert one == other


def test_copying_outlives_kills(cloud, s3, versioned, copies, role):
    replicate(s3, versioned, role, rule(copies, markers=True))
    body, written = random.Random(3).randbytes(3 << 20), []
    for turn in range(3):
        for number in range(12):
            key = f"{turn}-{number}"
            s3.put_object(Bucket=versioned, Key=key, Body=body[: 1 << (2 * number)])
            written.append(key)
        s3.delete_object(Bucket=versioned, Key=f"{turn}-0")
        cloud.kill("objects")

        def served():
            try:
                return s3.list_buckets()
            except Exception:
                return None

        until("the store serves", served)
    for key in written:
        if not key.endswith("-0"):
            assert settled(s3, versioned, key) == "COMPLETED"
    until("all are the same", lambda: versions(s3, versioned) == versions(s3, copies))
    assert len(versions(s3, copies)) == len(written) + 3
    for key in (f"{turn}-11" for turn in range(3)):
        assert read(s3, copies, key) == body[: 1 << 22]


def versions(s3, bucket):
    found = s3.list_object_versions(Bucket=bucket)
    rows = found.get("Versions", []) + found.get("DeleteMarkers", [])
    return sorted((row["Key"], row["VersionId"], row.get("ETag")) for row in rows)


def test_what_the_role_may_decides(cloud, s3, versioned, copies, name):
    deny = {"Effect": "Deny", "Action": "s3:ReplicateObject",
            "Resource": f"arn:aws:s3:::{copies}/no/*"}
    replicate(s3, versioned, make_role(cloud, f"{name}-some", deny), rule(copies))
    for key, became in (("yes/a", "COMPLETED"), ("no/a", "FAILED")):
        s3.put_object(Bucket=versioned, Key=key, Body=b"x")
        assert settled(s3, versioned, key) == became
    elsewhere = make_role(cloud, f"{name}-ec2", service="ec2.amazonaws.com")
    replicate(s3, versioned, elsewhere, rule(copies))
    s3.put_object(Bucket=versioned, Key="yes/b", Body=b"x")
    assert settled(s3, versioned, "yes/b") == "FAILED", "the role doesn't trust S3"
    iam = cloud.client("iam")
    iam.create_user(UserName=f"{name}-user")
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_user_policy(UserName=f"{name}-user", PolicyName="p", PolicyDocument=document(allow))
    made = iam.create_access_key(UserName=f"{name}-user")["AccessKey"]
    user = cloud.client("s3", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    with fault("AccessDenied", "iam:PassRole", status=403):
        replicate(user, versioned, elsewhere, rule(copies))


def test_objects_under_a_key_of_kms(cloud, s3, versioned, copies, name):
    kms = cloud.client("kms")
    source, replica = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    may = [
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": source},
        {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:GenerateDataKey"], "Resource": replica},
    ]
    by_kms = rule(copies, EncryptionConfiguration={"ReplicaKmsKeyID": replica})
    by_kms["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    replicate(s3, versioned, make_role(cloud, f"{name}-kms", *may), by_kms)
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": source}
    s3.put_object(Bucket=versioned, Key="one", Body=b"secret", **sealed)
    target = {"Bucket": versioned, "Key": "parts"}
    upload = s3.create_multipart_upload(**target, **sealed)["UploadId"]
    parts = [{"PartNumber": at, "ETag": s3.upload_part(
        **target, UploadId=upload, PartNumber=at, Body=body)["ETag"]}
        for at, body in ((1, b"a" * (5 << 20)), (2, b"b"))]
    s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    for key, body in (("one", b"secret"), ("parts", b"a" * (5 << 20) + b"b")):
        assert settled(s3, versioned, key) == "COMPLETED"
        copy = s3.get_object(Bucket=copies, Key=key)
        assert (copy["Body"].read(), copy["SSEKMSKeyId"]) == (body, replica)
    replicate(s3, versioned, make_role(cloud, f"{name}-no-kms"), by_kms)
    s3.put_object(Bucket=versioned, Key="two", Body=b"secret", **sealed)
    assert settled(s3, versioned, "two") == "FAILED"
    replicate(s3, versioned, make_role(cloud, f"{name}-plain"), rule(copies))
    s3.put_object(Bucket=versioned, Key="three", Body=b"secret", **sealed)
    assert status(s3, versioned, "three") is None, "the rule is not about objects under keys of KMS"


@pytest.fixture
def other(cloud, name):
    """S3 in another account, and the account."""
    organizations, iam = cloud.client("organizations"), cloud.client("iam")
    begun = organizations.create_account(Email=f"{name}@example.com", AccountName=name)
    begun = begun["CreateAccountStatus"]["Id"]
    done = until("the account is made", lambda: organizations.describe_create_account_status(
        CreateAccountRequestId=begun)["CreateAccountStatus"].get("AccountId"))
    iam.create_user(UserName=f"{name}-in")
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    iam.put_user_policy(UserName=f"{name}-in", PolicyName="p", PolicyDocument=document(allow))
    made = iam.create_access_key(UserName=f"{name}-in")["AccessKey"]
    sts = cloud.client("sts", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    entered = sts.assume_role(
        RoleArn=f"arn:aws:iam::{done}:role/OrganizationAccountAccessRole", RoleSessionName="in",
    )["Credentials"]
    client = cloud.session.create_client(
        "s3", region_name=REGION, endpoint_url=cloud.endpoint,
        aws_access_key_id=entered["AccessKeyId"],
        aws_secret_access_key=entered["SecretAccessKey"],
        aws_session_token=entered["SessionToken"],
    )
    return client, done


def test_to_another_account(s3, versioned, role, other, name):
    theirs, account = other
    bucket = versioned_bucket(theirs, f"{name}-theirs")
    replicate(s3, versioned, role, rule(
        bucket, markers=True, Account=account,
        AccessControlTranslation={"Owner": "Destination"}))
    s3.put_object(Bucket=versioned, Key="before", Body=b"x")
    assert settled(s3, versioned, "before") == "FAILED"
    theirs.put_bucket_policy(Bucket=bucket, Policy=document({
        "Effect": "Allow", "Principal": {"AWS": role}, "Action": WRITES,
        "Resource": f"arn:aws:s3:::{bucket}/*"}))
    put = s3.put_object(Bucket=versioned, Key="after", Body=b"x", Tagging="a=1")
    assert settled(s3, versioned, "after") == "COMPLETED"
    copy = theirs.get_object(Bucket=bucket, Key="after", VersionId=put["VersionId"])
    assert (copy["Body"].read(), copy["TagCount"]) == (b"x", 1)
    assert theirs.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_failure_is_told(cloud, s3, versioned, copies, role, name):
    sink, topic = cloud.data / f"{name}.jsonl", f"arn:aws:sns:us-east-1:123456789012:{name}"
    targets = cloud.data / "objects" / "notification-targets.json"
    known = json.loads(targets.read_text()) if targets.exists() else {}
    targets.write_text(json.dumps(known | {topic: {"file": str(sink)}}))
    s3.put_bucket_notification_configuration(Bucket=versioned, NotificationConfiguration={
        "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:Replication:*"]}]})
    replicate(s3, versioned, role.replace("copier", "nobody"), rule(copies))
    s3.put_object(Bucket=versioned, Key="key", Body=b"x")
    assert settled(s3, versioned, "key") == "FAILED"

    def told():
        lines = sink.read_text().splitlines() if sink.exists() else []
        return [record["eventName"] for line in lines
                for record in json.loads(line).get("Records", [])]

    until("it is told", told)
    assert told() == ["Replication:OperationFailedReplication"]
