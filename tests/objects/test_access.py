"""Who may do what: policies, ACLs, the public-access block, presigned URLs, forms."""

import json
import socket

import botocore
import botocore.config
import pytest
import requests
from fogbank_cloud import REGION, fault


@pytest.fixture
def anonymous(cloud):
    return cloud.session.create_client(
        "s3", region_name=REGION, endpoint_url=cloud.endpoint,
        config=botocore.config.Config(signature_version=botocore.UNSIGNED),
    )


@pytest.fixture
def public(s3, bucket):
    """A bucket that may be made public."""
    s3.delete_public_access_block(Bucket=bucket)
    return bucket


def policy(bucket, *statements):
    rows = [
        {"Effect": "Allow", "Principal": "*", "Resource": f"arn:aws:s3:::{bucket}/*"} | statement
        for statement in statements
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": rows})


def test_private_by_default(s3, bucket, anonymous):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    for call in (
        lambda: anonymous.get_object(Bucket=bucket, Key="key"),
        lambda: anonymous.list_objects_v2(Bucket=bucket),
        lambda: anonymous.put_object(Bucket=bucket, Key="other", Body=b""),
        lambda: anonymous.delete_object(Bucket=bucket, Key="key"),
        lambda: anonymous.get_object(Bucket=bucket, Key="no such key"),
        lambda: anonymous.list_buckets(),
    ):
        with fault("AccessDenied", "Access Denied", 403):
            call()
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    with fault("AccessControlListNotSupported", "The bucket does not allow ACLs"):
        s3.put_object_acl(Bucket=bucket, Key="key", ACL="public-read")


def test_a_public_policy(s3, public, anonymous):
    s3.put_object(Bucket=public, Key="a/key", Body=b"x")
    s3.put_object(Bucket=public, Key="b/key", Body=b"x")
    s3.put_bucket_policy(
        Bucket=public,
        Policy=policy(
            public,
            {"Action": "s3:GetObject"},
            {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::{public}/b/*"},
            {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{public}",
             "Condition": {"StringLike": {"s3:prefix": "a/*"}}},
        ),
    )
    assert s3.get_bucket_policy_status(Bucket=public)["PolicyStatus"]["IsPublic"] is True
    assert anonymous.get_object(Bucket=public, Key="a/key")["Body"].read() == b"x"
    with fault("AccessDenied", status=403):
        anonymous.get_object(Bucket=public, Key="b/key")
    with fault("AccessDenied", status=403):
        s3.get_object(Bucket=public, Key="b/key")  # A denial binds the owner, too.
    found = anonymous.list_objects_v2(Bucket=public, Prefix="a/")
    assert found["KeyCount"] == 1
    with fault("AccessDenied", status=403):
        anonymous.list_objects_v2(Bucket=public)
    with fault("AccessDenied", status=403):
        anonymous.put_object(Bucket=public, Key="a/new", Body=b"")
    block = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False,
             "RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=public, PublicAccessBlockConfiguration=block)
    with fault("AccessDenied", status=403):
        anonymous.get_object(Bucket=public, Key="a/key")
    s3.delete_bucket_policy(Bucket=public)
    with fault("NoSuchBucketPolicy", "The bucket policy does not exist", 404):
        s3.get_bucket_policy(Bucket=public)
    assert s3.get_object(Bucket=public, Key="b/key")["Body"].read() == b"x"


def test_blocked_policies_and_bad_ones(s3, bucket):
    with fault("AccessDenied", "BlockPublicPolicy", 403):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, {"Action": "s3:GetObject"}))
    for bad in (
        "not json", "{}", policy("other-bucket", {"Action": "s3:GetObject"}),
        policy(bucket, {"Action": "s3:NoSuchAction"}), policy(bucket, {"Action": "ec2:RunInstances"}),
        policy(bucket, {"Action": "s3:GetObject", "Effect": "Perhaps"}),
        policy(bucket, {"Action": "s3:GetObject", "Principal": {"AWS": "nobody"}}),
        policy(bucket, {"Action": "s3:GetObject", "Unknown": 1}),
    ):
        with fault("MalformedPolicy"):
            s3.put_bucket_policy(Bucket=bucket, Policy=bad)


def test_acls(s3, public, anonymous):
    s3.put_bucket_ownership_controls(
        Bucket=public, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    s3.put_object(Bucket=public, Key="key", Body=b"x", ACL="public-read")
    s3.put_object(Bucket=public, Key="hidden", Body=b"x")
    assert anonymous.get_object(Bucket=public, Key="key")["Body"].read() == b"x"
    with fault("AccessDenied", status=403):
        anonymous.get_object(Bucket=public, Key="hidden")
    acl = s3.get_object_acl(Bucket=public, Key="key")
    everyone = "http://acs.amazonaws.com/groups/global/AllUsers"
    found = {(g["Grantee"].get("URI", "owner"), g["Permission"]) for g in acl["Grants"]}
    assert found == {("owner", "FULL_CONTROL"), (everyone, "READ")}
    s3.put_bucket_acl(Bucket=public, ACL="public-read")
    assert anonymous.list_objects_v2(Bucket=public)["KeyCount"] == 2
    s3.put_public_access_block(
        Bucket=public,
        PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True},
    )
    with fault("AccessDenied", status=403):
        anonymous.get_object(Bucket=public, Key="key")
    with fault("AccessDenied", status=403):
        s3.put_object_acl(Bucket=public, Key="hidden", ACL="public-read")


def test_presigned_urls(s3, bucket, cloud):
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b"})
    assert requests.put(put, data=b"body").status_code == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"})
    assert requests.get(get).content == b"body"
    assert requests.get(get, headers={"Range": "bytes=1-2"}).content == b"od"
    broken = requests.get(get[:-1] + ("0" if get[-1] != "0" else "1"))
    assert broken.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in broken.text
    other = requests.get(get.replace("a%20b", "other"))
    assert other.status_code == 403
    past = get.replace("X-Amz-Date=20", "X-Amz-Date=19") if "X-Amz-Date" in get else None
    if past:
        assert requests.get(past).status_code == 403
    v4 = cloud.client("s3", signature_version="s3v4")
    short = v4.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=1)
    assert requests.get(short).status_code == 200
    long = v4.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=604_801
    )
    answer = requests.get(long)
    assert answer.status_code == 400
    assert "AuthorizationQueryParametersError" in answer.text


def test_a_form(s3, bucket):
    form = s3.generate_presigned_post(
        bucket, "up/${filename}", Fields={"success_action_status": "201", "Content-Type": "text/x"},
        Conditions=[["content-length-range", 1, 20], {"success_action_status": "201"},
                    ["starts-with", "$Content-Type", "text/"]],
    )
    done = requests.post(form["url"], data=form["fields"], files={"file": ("n.txt", b"body")})
    assert done.status_code == 201, done.text
    assert "<Key>up/n.txt</Key>" in done.text
    got = s3.get_object(Bucket=bucket, Key="up/n.txt")
    assert (got["Body"].read(), got["ContentType"]) == (b"body", "text/x")
    long = requests.post(form["url"], data=form["fields"], files={"file": ("n", b"x" * 21)})
    assert (long.status_code, "EntityTooLarge" in long.text) == (400, True)
    form["fields"]["Content-Type"] = "image/png"
    bad = requests.post(form["url"], data=form["fields"], files={"file": ("n", b"body")})
    assert (bad.status_code, "AccessDenied" in bad.text) == (403, True)


def test_cross_origin(s3, bucket, cloud):
    url = f"{cloud.endpoint}/{bucket}/key"
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT",
             "Access-Control-Request-Headers": "content-type"}
    assert requests.options(url, headers=asked).status_code == 403
    rule = {"AllowedOrigins": ["https://*.example"], "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["content-*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 300}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    allowed = requests.options(url, headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    assert allowed.headers["Access-Control-Max-Age"] == "300"
    asked["Origin"] = "https://other.test"
    assert requests.options(url, headers=asked).status_code == 403
    actual = requests.get(url, headers={"Origin": "https://a.example"})
    assert actual.headers["Access-Control-Allow-Origin"] == "https://a.example"


@pytest.fixture
def localhost(monkeypatch):
    """Names under localhost, as systemd resolves them but not every machine does."""
    resolve = socket.getaddrinfo

    def resolved(host, *rest, **more):
        local = isinstance(host, str) and host.endswith(".localhost")
        return resolve("127.0.0.1" if local else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def named(cloud, service, **more):
    """A client that calls the cloud by name."""
    return cloud.session.create_client(
        service, region_name=REGION, endpoint_url=f"http://localhost:{cloud.port}",
        aws_access_key_id=cloud.key, aws_secret_access_key=cloud.secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, **more),
    )


def test_the_accounts_block(cloud, s3, public, anonymous, localhost):
    account = cloud.client("sts").get_caller_identity()["Account"]
    control = named(cloud, "s3control")
    s3.put_object(Bucket=public, Key="key", Body=b"x")
    s3.put_bucket_policy(Bucket=public, Policy=policy(public, {"Action": "s3:GetObject"}))
    assert anonymous.get_object(Bucket=public, Key="key")["Body"].read() == b"x"
    block = dict.fromkeys(
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True
    )
    with fault("NoSuchPublicAccessBlockConfiguration", status=404):
        control.get_public_access_block(AccountId=account)
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=block)
    try:
        found = control.get_public_access_block(AccountId=account)
        assert found["PublicAccessBlockConfiguration"] == block
        with fault("AccessDenied", status=403):
            anonymous.get_object(Bucket=public, Key="key")
    finally:
        control.delete_public_access_block(AccountId=account)
    assert anonymous.get_object(Bucket=public, Key="key")["Body"].read() == b"x"


def test_a_bucket_in_the_hosts_name(s3, bucket, cloud, localhost):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    hosted = named(cloud, "s3", s3={"addressing_style": "virtual"})
    assert hosted.get_object(Bucket=bucket, Key="key")["Body"].read() == b"x"
    assert hosted.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    url = hosted.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"})
    assert url.startswith(f"http://{bucket}.localhost:")
    assert requests.get(url).content == b"x"


def test_a_form_in_a_session(cloud, s3, bucket, name):
    """The session token of a form is one of its fields."""
    iam = cloud.client("iam")
    iam.create_user(UserName=f"poster-{name}")
    iam.put_user_policy(UserName=f"poster-{name}", PolicyName="own", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": {"StringEquals": {"s3:x-amz-server-side-encryption": "AES256"}}}]}))
    key = iam.create_access_key(UserName=f"poster-{name}")["AccessKey"]
    sts = cloud.client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    session = sts.get_session_token()["Credentials"]
    client = cloud.session.create_client(
        "s3", region_name=REGION, endpoint_url=cloud.endpoint,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
        config=botocore.config.Config(signature_version="s3v4"))
    encrypted = {"x-amz-server-side-encryption": "AES256"}

    def post(key, fields, headers=None, **change):
        form = client.generate_presigned_post(
            bucket, key, Fields=dict(fields), Conditions=[{k: v} for k, v in fields.items()])
        fields = form["fields"] | change
        return requests.post(
            form["url"], data=fields, files={"file": b"text"}, headers=headers, timeout=30)

    done = post("one", encrypted)
    assert done.status_code == 204, done.text
    assert s3.get_object(Bucket=bucket, Key="one")["Body"].read() == b"text"
    # What a policy asks of a form is asked of its fields, not of the request's headers.
    assert "AccessDenied" in post("two", {}).text
    assert "AccessDenied" in post("two", {}, headers=encrypted).text
    wrong = post("three", encrypted, **{"x-amz-security-token": "nonsense"})
    assert wrong.status_code in (400, 403), wrong.text
    with fault("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key="three")


def test_a_principal_must_be_there(cloud, s3, bucket, name):
    account = cloud.client("sts").get_caller_identity()["Account"]
    arn = f"arn:aws:iam::{account}:user/later-{name}"
    allow = policy(bucket, {"Action": "s3:GetObject", "Principal": {"AWS": [account, arn]}})
    with fault("MalformedPolicy", "Invalid principal in policy"):
        s3.put_bucket_policy(Bucket=bucket, Policy=allow)
    cloud.client("iam").create_user(UserName=f"later-{name}")
    s3.put_bucket_policy(Bucket=bucket, Policy=allow)
