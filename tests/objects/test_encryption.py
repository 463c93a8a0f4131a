"""SSE-KMS: keys of KMS for objects, with boto's clients and the aws CLI."""

import json
import os
import signal
import time

import pytest
import requests
from fogbank_cloud import REGION, Cloud, fault, started

SECRET = b"the quick brown secret " * 5000
# For so long a bucket key is used without asking KMS again.
BUCKET_KEY_SECONDS = 60


@pytest.fixture(scope="module")
def kms(cloud):
    return cloud.client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


def by(key):
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}


def body(client, bucket, key="one", **more):
    return client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def user(cloud, name, *statements):
    """Clients of a user with these statements."""
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return cloud.client("s3", key=made["AccessKeyId"], secret=made["SecretAccessKey"])


def allow(*actions, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def test_an_object_has_a_key_of_kms(cloud, s3, kms, bucket, key):
    put = s3.put_object(Bucket=bucket, Key="one", Body=SECRET, **by(key.rsplit("/", 1)[1]))
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key)
    got = s3.get_object(Bucket=bucket, Key="one")
    assert got["Body"].read() == SECRET
    assert (got["ServerSideEncryption"], got["SSEKMSKeyId"]) == ("aws:kms", key)
    head = s3.head_object(Bucket=bucket, Key="one")
    assert (head["SSEKMSKeyId"], head["ETag"]) == (key, put["ETag"])
    plain = s3.put_object(Bucket=bucket, Key="plain", Body=SECRET)
    assert put["ETag"] != plain["ETag"], "it is not the MD5"
    assert body(s3, bucket, Range="bytes=70000-70005") == SECRET[70000:70006]
    own = s3.put_object(Bucket=bucket, Key="own", Body=SECRET, ServerSideEncryption="aws:kms")
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (own["SSEKMSKeyId"], managed["KeyManager"]) == (managed["Arn"], "AWS")
    assert body(s3, bucket, "own") == SECRET
    words = b"the quick brown secret "
    for folder, _, files in os.walk(cloud.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                assert words not in file.read(), f"{folder}/{name}"


def test_a_key_that_is_disabled_or_goes(s3, kms, bucket, key):
    s3.put_object(Bucket=bucket, Key="one", Body=SECRET, **by(key))
    kms.disable_key(KeyId=key)
    with fault("KMS.DisabledException", f"{key} is disabled."):
        body(s3, bucket)
    with fault("KMS.DisabledException"):
        s3.put_object(Bucket=bucket, Key="two", Body=b"2", **by(key))
    s3.head_object(Bucket=bucket, Key="one")
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["one"]
    kms.enable_key(KeyId=key)
    assert body(s3, bucket) == SECRET
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with fault("KMS.KMSInvalidStateException", "is pending deletion."):
        body(s3, bucket)
    with fault("KMS.NotFoundException", "does not exist"):
        s3.put_object(Bucket=bucket, Key="two", Body=b"2",
                      **by("12345678-1234-1234-1234-123456789012"))
    with fault("KMS.NotFoundException", "alias/none is not found"):
        s3.put_object(Bucket=bucket, Key="two", Body=b"2", **by("alias/none"))
    s3.delete_object(Bucket=bucket, Key="one")


def test_whoever_may_not_use_the_key(cloud, s3, bucket, key, name):
    s3.put_object(Bucket=bucket, Key="one", Body=SECRET, **by(key))
    reader = user(cloud, f"reader-{name}", allow("s3:*"))
    with fault("AccessDenied", f"is not authorized to perform: kms:Decrypt on resource: {key}",
               403):
        body(reader, bucket)
    with fault("AccessDenied", "kms:GenerateDataKey", 403):
        reader.put_object(Bucket=bucket, Key="two", Body=b"2", **by(key))
    reader.head_object(Bucket=bucket, Key="one")
    via = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    arn = {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/one"}
    friend = user(cloud, f"friend-{name}", allow("s3:*"),
                  allow("kms:Decrypt", resource=key, StringEquals=via | arn))
    assert body(friend, bucket) == SECRET
    with fault("AccessDenied", "kms:GenerateDataKey", 403):
        friend.put_object(Bucket=bucket, Key="two", Body=b"2", **by(key))
    s3.put_object(Bucket=bucket, Key="two", Body=b"2", **by(key))
    with fault("AccessDenied", "kms:Decrypt", 403):
        body(friend, bucket, "two")


def test_a_key_policy_denies(s3, kms, bucket, key):
    account = key.split(":")[4]
    s3.put_object(Bucket=bucket, Key="one", Body=SECRET, **by(key))
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
             "Condition": {"StringLike": {"kms:ViaService": "s3.*"}}}]}))
    with fault("AccessDenied", "with an explicit deny", 403):
        body(s3, bucket)
    with fault("AccessDenied", "with an explicit deny", 403):
        s3.copy_object(Bucket=bucket, Key="two", CopySource={"Bucket": bucket, "Key": "one"})
    s3.put_object(Bucket=bucket, Key="two", Body=b"2", **by(key))


def test_a_bucket_has_a_default(s3, kms, bucket, key):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [{
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": True}]})
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key
    for at in range(5):
        put = s3.put_object(Bucket=bucket, Key=f"{at}", Body=SECRET)
        assert (put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == (key, True)
        assert body(s3, bucket, f"{at}") == SECRET
    kms.disable_key(KeyId=key)
    disabled = time.monotonic()
    with fault("KMS.DisabledException"):
        while time.monotonic() < disabled + BUCKET_KEY_SECONDS + 10:
            body(s3, bucket, "0")
            time.sleep(1)
    with fault("KMS.DisabledException"):
        s3.put_object(Bucket=bucket, Key="late", Body=b"late")
    s3.delete_bucket_encryption(Bucket=bucket)
    assert s3.put_object(Bucket=bucket, Key="5", Body=b"5")["ServerSideEncryption"] == "AES256"


def test_uploads_and_copies(s3, kms, bucket, key):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="big", **by(key))
    assert begun["SSEKMSKeyId"] == key
    upload = {"Bucket": bucket, "Key": "big", "UploadId": begun["UploadId"]}
    halves = [os.urandom(5 << 20), b"the end"]
    parts = []
    for number, half in enumerate(halves, 1):
        part = s3.upload_part(PartNumber=number, Body=half, **upload)
        assert part["SSEKMSKeyId"] == key
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    assert (done["SSEKMSKeyId"], done["ETag"][-3:]) == (key, '-2"')
    assert body(s3, bucket, "big") == b"".join(halves)
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "big"},
                            **by(other))
    assert copied["SSEKMSKeyId"] == other
    kms.disable_key(KeyId=key)
    assert body(s3, bucket, "copy") == b"".join(halves)
    plain = s3.copy_object(Bucket=bucket, Key="plain",
                           CopySource={"Bucket": bucket, "Key": "copy"})
    assert plain["ServerSideEncryption"] == "AES256"
    with fault("KMS.DisabledException"):
        s3.copy_object(Bucket=bucket, Key="again", CopySource={"Bucket": bucket, "Key": "big"})


def test_the_wrong_words(cloud, s3, bucket, key):
    with fault("InvalidArgument", "requires HTTP header x-amz-server-side-encryption : aws:kms"):
        s3.put_object(Bucket=bucket, Key="one", Body=b"1", SSEKMSKeyId=key)
    with fault("InvalidArgument", "string-string map"):
        s3.put_object(Bucket=bucket, Key="one", Body=b"1", SSEKMSEncryptionContext="bm9uZQ==",
                      **by(key))
    with fault("NotImplemented", "aws:kms:dsse", 501):
        s3.put_object(Bucket=bucket, Key="one", Body=b"1", ServerSideEncryption="aws:kms:dsse")
    with fault("InvalidArgument", "incompatible with the encryption method"):
        s3.put_object(Bucket=bucket, Key="one", Body=b"1", SSECustomerAlgorithm="AES256",
                      SSECustomerKey=b"k" * 32, **by(key))
    s3.put_object(Bucket=bucket, Key="one", Body=b"1", **by(key))
    with fault("InvalidRequest", "not applicable"):
        body(s3, bucket, SSECustomerAlgorithm="AES256", SSECustomerKey=b"k" * 32)
    old = cloud.client("s3", signature_version="s3")
    with fault("InvalidArgument", "require AWS Signature Version 4"):
        body(old, bucket)


def test_a_form_and_a_link(cloud, s3, bucket, key):
    fields = {"x-amz-server-side-encryption": "aws:kms",
              "x-amz-server-side-encryption-aws-kms-key-id": key}
    conditions = [{name: value} for name, value in fields.items()]
    client = cloud.client("s3", signature_version="s3v4")
    post = client.generate_presigned_post(bucket, "form", Fields=dict(fields),
                                          Conditions=conditions)
    done = requests.post(post["url"], data=post["fields"], files={"file": SECRET}, timeout=30)
    assert done.status_code == 204, done.text
    assert s3.head_object(Bucket=bucket, Key="form")["SSEKMSKeyId"] == key
    link = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "form"})
    assert requests.get(link, timeout=30).content == SECRET


def test_the_aws_cli(cloud, bucket, key, tmp_path):
    (tmp_path / "file").write_bytes(SECRET)
    cloud.aws("s3", "cp", tmp_path / "file", f"s3://{bucket}/file", "--sse", "aws:kms",
              "--sse-kms-key-id", key, "--output", "text")
    cloud.aws("s3", "cp", f"s3://{bucket}/file", tmp_path / "back", "--output", "text")
    assert (tmp_path / "back").read_bytes() == SECRET
    head = cloud.aws("s3api", "head-object", "--bucket", bucket, "--key", "file")
    assert head["SSEKMSKeyId"] == key


def test_kms_is_away(cloud, s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="one", Body=SECRET, **by(key))
    s3.put_object(Bucket=bucket, Key="plain", Body=SECRET)
    # A server that is killed is back before anybody is refused.
    before = cloud.kill("server")
    assert body(s3, bucket) == SECRET
    cloud.replaced(before)
    assert body(s3, bucket) == SECRET
    # One that hangs is waited for, for some seconds; this connection is the store's already.
    server = cloud.processes()["server"]
    os.kill(server, signal.SIGSTOP)
    try:
        asked = time.monotonic()
        with fault("ServiceUnavailable", "KMS is not available", 503):
            body(s3, bucket)
        assert time.monotonic() - asked < 15
        assert body(s3, bucket, "plain") == SECRET
        s3.head_object(Bucket=bucket, Key="one")
    finally:
        os.kill(server, signal.SIGCONT)
    assert body(s3, bucket) == SECRET


@pytest.fixture(scope="module")
def trusting():
    """A cloud in which every account number is a key."""
    yield from started(Cloud("--trust-any-key"))


def test_another_accounts_key(trusting):
    ours, theirs = "111122223333", "444455556666"
    mine = trusting.client("s3", key=ours, secret="x")
    mine.create_bucket(Bucket="shared")
    foreign = trusting.client("kms", key=theirs, secret="x")
    key = foreign.create_key()["KeyMetadata"]["Arn"]
    with fault("AccessDenied", "kms:GenerateDataKey", 403):
        mine.put_object(Bucket="shared", Key="one", Body=SECRET, **by(key))
    foreign.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": theirs}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"AWS": ours}, "Action": [
                "kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*"}]}))
    assert mine.put_object(Bucket="shared", Key="one", Body=SECRET, **by(key))["SSEKMSKeyId"] == key
    assert body(mine, "shared") == SECRET
    # An ID alone is looked for in the caller's account.
    with fault("KMS.NotFoundException"):
        mine.put_object(Bucket="shared", Key="one", Body=SECRET, **by(key.rsplit("/", 1)[1]))
