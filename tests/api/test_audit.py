"""The audit log: who called what, as CloudTrail says it, found by LookupEvents, and never a secret."""

import base64
import hashlib
import hmac
import json
import socket
import struct
import time
import uuid

import botocore.session
import pytest
from botocore.exceptions import ClientError
from fogbank_cloud import REGION, Cloud, fault, image, started, until
from hostile_requests import call

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture
def trail(cloud):
    return cloud.client("cloudtrail")


def found(trail, name=None, value=None, **more):
    """The events of a lookup, all pages, each as CloudTrail's own JSON."""
    attributes = [{"AttributeKey": name, "AttributeValue": value}] if name else []
    pages = trail.get_paginator("lookup_events").paginate(LookupAttributes=attributes, **more)
    events = [event for page in pages for event in page["Events"]]
    for event in events:
        event["Json"] = json.loads(event["CloudTrailEvent"])
        assert event["EventId"] == event["Json"]["eventID"]
    return events


def one(trail, name, request_id):
    """The event of a call, by the ID in its answer."""
    events = [e["Json"] for e in found(trail, "EventName", name) if e["Json"]["requestID"] == request_id]
    assert len(events) == 1, f"{name} {request_id}: {len(events)} events"
    return events[0]


def user(cloud, policy=ALLOW_ALL):
    """A user's clients' keys, and its name."""
    iam, name = cloud.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return name, {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def with_token(cloud, service, credentials):
    return botocore.session.get_session().create_client(
        service,
        region_name=REGION,
        endpoint_url=cloud.endpoint,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def test_a_change_is_recorded_as_cloudtrail_does(cloud, trail):
    ec2 = cloud.client(user_agent="an agent/1.0")
    answer = ec2.create_vpc(CidrBlock="10.9.0.0/16")
    event = one(trail, "CreateVpc", answer["ResponseMetadata"]["RequestId"])
    account = cloud.client("sts").get_caller_identity()["Account"]
    assert event["eventVersion"] == "1.11"
    assert event["userIdentity"] == {
        "type": "Root",
        "principalId": account,
        "arn": f"arn:aws:iam::{account}:root",
        "accountId": account,
        "accessKeyId": cloud.key,
    }
    assert event["eventSource"] == "ec2.amazonaws.com"
    assert event["awsRegion"] == REGION
    assert event["sourceIPAddress"] == "127.0.0.1"
    assert event["userAgent"].startswith("an agent/1.0")
    assert event["requestParameters"] == {"cidrBlock": "10.9.0.0/16"}
    vpc = event["responseElements"]["vpc"]
    assert vpc["vpcId"] == answer["Vpc"]["VpcId"]
    assert event["responseElements"]["requestId"] == event["requestID"]
    assert (event["readOnly"], event["managementEvent"]) == (False, True)
    assert (event["eventType"], event["eventCategory"]) == ("AwsApiCall", "Management")
    assert event["recipientAccountId"] == account
    assert "tlsDetails" not in event and "errorCode" not in event
    assert time.time() - time.mktime(time.strptime(event["eventTime"], "%Y-%m-%dT%H:%M:%SZ")) < 86_400


def test_a_read_is_recorded_without_its_answer(cloud, trail):
    answer = cloud.client().describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])
    event = one(trail, "DescribeVpcs", answer["ResponseMetadata"]["RequestId"])
    assert event["readOnly"] and event["responseElements"] is None
    filters = {"items": [{"name": "is-default", "valueSet": {"items": [{"value": "true"}]}}]}
    assert event["requestParameters"] == {"filterSet": filters}


def test_what_was_denied_is_recorded(cloud, trail):
    name, keys = user(cloud, policy=None)
    with fault("UnauthorizedOperation", status=403) as caught:
        cloud.client(**keys).create_vpc(CidrBlock="10.8.0.0/16")
    event = one(trail, "CreateVpc", caught.value.response["ResponseMetadata"]["RequestId"])
    assert event["errorCode"] == "Client.UnauthorizedOperation"
    assert event["errorMessage"].startswith("You are not authorized to perform this operation.")
    assert event["userIdentity"]["type"] == "IAMUser"
    assert event["userIdentity"]["userName"] == name
    assert event["requestParameters"] == {"cidrBlock": "10.8.0.0/16"}
    assert event["responseElements"] is None
    with fault("AccessDenied", status=403) as caught:
        cloud.client("iam", **keys).list_users()
    event = one(trail, "ListUsers", caught.value.response["ResponseMetadata"]["RequestId"])
    assert event["errorCode"] == "AccessDenied"
    with fault("AccessDeniedException") as caught:
        cloud.client("cloudtrail", **keys).lookup_events()
    assert "cloudtrail:LookupEvents" in str(caught.value)


def test_a_role_is_recorded_with_its_session(cloud, trail):
    iam, sts = cloud.client("iam"), None
    name, keys = user(cloud)
    account = cloud.client("sts").get_caller_identity()["Account"]
    trust = {"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}}
    role = iam.create_role(RoleName=f"r-{name}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName=f"r-{name}", PolicyName="p", PolicyDocument=json.dumps(ALLOW_ALL))
    sts = cloud.client("sts", **keys)
    answer = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="night-shift")
    event = one(trail, "AssumeRole", answer["ResponseMetadata"]["RequestId"])
    assert event["requestParameters"]["roleArn"] == role["Arn"]
    assert event["resources"] == [
        {"ARN": role["Arn"], "accountId": account, "type": "AWS::IAM::Role"}
    ]
    credentials = event["responseElements"]["credentials"]
    assert credentials["accessKeyId"] == answer["Credentials"]["AccessKeyId"]
    assert credentials["secretAccessKey"] == credentials["sessionToken"] == HIDDEN
    made = with_token(cloud, "ec2", answer["Credentials"]).create_vpc(CidrBlock="10.7.0.0/16")
    event = one(trail, "CreateVpc", made["ResponseMetadata"]["RequestId"])
    identity = event["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["arn"].endswith(f"assumed-role/r-{name}/night-shift")
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert issuer == {
        "type": "Role", "principalId": role["RoleId"], "arn": role["Arn"], "accountId": account,
        "userName": f"r-{name}",
    }
    assert identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    events = found(trail, "Username", "night-shift")
    assert [e["EventId"] for e in events] == [event["eventID"]]


def test_lookups_by_each_attribute(cloud, trail):
    name, keys = user(cloud)
    ec2 = cloud.client(**keys)
    group = ec2.create_security_group(GroupName=name, Description="d")
    ec2.describe_security_groups(GroupIds=[group["GroupId"]])
    ec2.delete_security_group(GroupId=group["GroupId"])
    names = ["DeleteSecurityGroup", "DescribeSecurityGroups", "CreateSecurityGroup"]
    for attribute, value in [("AccessKeyId", keys["key"]), ("Username", name)]:
        events = [e for e in found(trail, attribute, value) if e["EventSource"] == "ec2.amazonaws.com"]
        assert sorted(e["EventName"] for e in events) == sorted(names)
        assert {e["Username"] for e in events} == {name}
    events = found(trail, "ResourceName", group["GroupId"])
    assert sorted(e["EventName"] for e in events) == sorted(names)
    kinds = {r["ResourceType"] for e in events for r in e["Resources"] if r["ResourceName"] == group["GroupId"]}
    assert kinds == {"AWS::EC2::SecurityGroup"}
    created = next(e for e in events if e["EventName"] == "CreateSecurityGroup")
    assert (created["ReadOnly"], created["AccessKeyId"]) == ("false", keys["key"])
    assert [e["EventId"] for e in found(trail, "EventId", created["EventId"])] == [created["EventId"]]
    assert all(e["Json"]["readOnly"] for e in found(trail, "ReadOnly", "true"))
    assert {e["EventName"] for e in found(trail, "EventSource", "iam.amazonaws.com")} >= {"CreateUser"}
    assert created["EventId"] in {
        e["EventId"] for e in found(trail, "ResourceType", "AWS::EC2::SecurityGroup")
    }
    # Each region has its own events; IAM's are in us-east-1.
    assert not found(cloud.client("cloudtrail", region="eu-west-1"), "Username", name)
    assert not found(trail, "EventName", "NoSuchEvent")


def test_pages_and_times(cloud, trail):
    name, keys = user(cloud)
    ec2 = cloud.client(**keys)
    for _ in range(120):
        ec2.describe_regions()
    events = found(trail, "Username", name)
    assert len(events) == 120 and len({e["EventId"] for e in events}) == 120
    times = [e["EventTime"] for e in events]
    assert times == sorted(times, reverse=True)
    first = trail.lookup_events(MaxResults=7)
    assert len(first["Events"]) == 7 and first["NextToken"]
    assert not trail.lookup_events(EndTime=times[-1].timestamp() - 3600)["Events"]
    assert not trail.lookup_events(EventCategory="insight")["Events"]
    later = times[-1].timestamp() + 3600
    assert not found(trail, StartTime=later)


@pytest.mark.parametrize(
    ("input", "code"),
    [
        ({"MaxResults": 0}, "InvalidMaxResultsException"),
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"MaxResults": -(2**31)}, "InvalidMaxResultsException"),
        ({"NextToken": "x"}, "InvalidNextTokenException"),
        ({"NextToken": "A" * 100_000}, "InvalidNextTokenException"),
        ({"StartTime": 2000, "EndTime": 1000}, "InvalidTimeRangeException"),
        ({"LookupAttributes": [{"AttributeKey": "ReadOnly", "AttributeValue": "maybe"}]},
         "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": "u" * 2001}]},
         "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": "u"}] * 2},
         "InvalidLookupAttributesException"),
    ],
)
def test_wrong_lookups_are_refused(cloud, input, code):
    trail = cloud.client("cloudtrail", parameter_validation=False)
    with fault(code):
        trail.lookup_events(**input)


def test_a_token_is_good_for_its_own_lookup(cloud, trail):
    cloud.client().describe_regions()
    token = trail.lookup_events(MaxResults=1)["NextToken"]
    assert trail.lookup_events(MaxResults=1, NextToken=token)["Events"]
    attributes = [{"AttributeKey": "Username", "AttributeValue": "root"}]
    with fault("InvalidNextTokenException"):
        trail.lookup_events(LookupAttributes=attributes, NextToken=token)


def test_the_aws_cli_looks_events_up(cloud):
    cloud.aws("ec2", "create-key-pair", "--key-name", "by-cli")
    attribute = "AttributeKey=ResourceName,AttributeValue=by-cli"
    answer = cloud.aws("cloudtrail", "lookup-events", "--lookup-attributes", attribute)
    event = next(e for e in answer["Events"] if e["EventName"] == "CreateKeyPair")
    body = json.loads(event["CloudTrailEvent"])
    assert body["requestParameters"]["keyName"] == "by-cli"
    assert body["responseElements"]["keyMaterial"] == "<sensitiveDataRemoved>"
    assert "aws-cli" in body["userAgent"]


def test_tls_is_recorded(cloud, trail):
    ec2 = botocore.session.get_session().create_client(
        "ec2", region_name=REGION, endpoint_url=f"https://localhost:{cloud.port}",
        aws_access_key_id=cloud.key, aws_secret_access_key=cloud.secret,
        verify=str(cloud.data / "tls" / "ca.pem"),
    )
    answer = ec2.describe_account_attributes()
    event = one(trail, "DescribeAccountAttributes", answer["ResponseMetadata"]["RequestId"])
    assert event["tlsDetails"] == {"clientProvidedHostHeader": f"localhost:{cloud.port}"}


def test_buckets_are_recorded_by_the_other_process(cloud, trail):
    s3, bucket = cloud.client("s3"), f"b-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    policy = {"Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketTagging",
        "Resource": f"arn:aws:s3:::{bucket}"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    with fault("AccessDenied", status=403):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": []})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)

    def told():
        events = found(trail, "ResourceName", bucket)
        return events if any(e["EventName"] == "DeleteBucket" for e in events) else None

    events = until("the object store's events", told)
    by_name = {e["EventName"]: e["Json"] for e in events}
    assert set(by_name) == {"CreateBucket", "PutBucketPolicy", "PutBucketTagging", "DeleteBucket"}
    assert by_name["PutBucketTagging"]["errorCode"] == "AccessDenied"
    created = by_name["CreateBucket"]
    assert created["eventSource"] == "s3.amazonaws.com"
    assert created["userIdentity"]["accessKeyId"] == cloud.key
    assert created["requestParameters"]["bucketName"] == bucket
    assert all(kind["ResourceType"] == "AWS::S3::Bucket" for kind in events[0]["Resources"])


def test_what_is_nobodys_is_in_nobodys_events(cloud, trail):
    with pytest.raises(ClientError):
        cloud.client(secret="x" * 40).describe_tags()
    with pytest.raises(ClientError):
        cloud.client(key="AKIAAAAAAAAAAAAAAAAA").describe_tags()
    assert not found(trail, "EventName", "DescribeTags")
    log = cloud.data / "audit" / "refused.log"
    until("the refusals are there", lambda: log.read_text().count("DescribeTags") == 2)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    refused = [line for line in lines if line["eventName"] == "DescribeTags"]
    assert [line["accessKeyId"] for line in refused] == [cloud.key, "AKIAAAAAAAAAAAAAAAAA"]
    assert {line["errorCode"] for line in refused} == {"AuthFailure"}
    assert log.stat().st_mode & 0o777 == 0o600


def totp(seed, step):
    sum_ = hmac.new(base64.b32decode(seed), struct.pack(">Q", step), hashlib.sha1).digest()
    at = sum_[-1] & 15
    return f"{(struct.unpack('>I', sum_[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def test_no_secret_is_ever_in_a_log(cloud):
    """Calls whatever carries a secret, then looks for each in every log that there is."""
    iam, sts, kms, ec2 = (cloud.client(s) for s in ("iam", "sts", "kms", "ec2"))
    name, keys = user(cloud)
    secrets = {"key": keys["secret"], "root": cloud.secret}
    secrets["password"] = f"Pass-{uuid.uuid4().hex}"
    iam.create_login_profile(UserName=name, Password=secrets["password"])
    secrets["new password"] = f"New-{uuid.uuid4().hex}"
    # Not served, and not in a log either.
    with fault("UnsupportedOperation"):
        cloud.client("iam", **keys).change_password(
            OldPassword=secrets["password"], NewPassword=secrets["new password"])
    iam.update_login_profile(UserName=name, Password=secrets["new password"])
    # One that is too long, and repeated by no message.
    with pytest.raises(ClientError):
        iam.update_login_profile(UserName=name, Password=secrets["password"] * 20)
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    seed = device["Base32StringSeed"].decode()
    secrets["seed"] = seed
    step = int(time.time()) // 30
    serial = device["SerialNumber"]
    iam.enable_mfa_device(
        UserName=name, SerialNumber=serial, AuthenticationCode1=totp(seed, step - 2),
        AuthenticationCode2=totp(seed, step - 1))
    own = cloud.client("sts", **keys)
    # What enabled the device is used up; the next code is good, once.
    next_code = totp(seed, step + 1)
    with fault("AccessDenied", "MultiFactorAuthentication failed", 403):
        own.get_session_token(SerialNumber=serial, TokenCode=totp(seed, step - 1))
    session = own.get_session_token(SerialNumber=serial, TokenCode=next_code)["Credentials"]
    secrets |= {"session": session["SecretAccessKey"], "token": session["SessionToken"]}
    with fault("AccessDenied", "MultiFactorAuthentication failed", 403):
        own.get_session_token(SerialNumber=serial, TokenCode=next_code)
    federated = sts.get_federation_token(Name="fed")["Credentials"]
    secrets |= {"fed secret": federated["SecretAccessKey"], "fed token": federated["SessionToken"]}
    credential = iam.create_service_specific_credential(
        UserName=name, ServiceName="codecommit.amazonaws.com")["ServiceSpecificCredential"]
    secrets["service password"] = credential["ServicePassword"]
    pair = ec2.create_key_pair(KeyName=name)["KeyMaterial"]
    secrets["key pair"] = pair.splitlines()[2]
    data = f"#!/bin/sh\necho {uuid.uuid4().hex}\n"
    secrets["user data"] = data.splitlines()[1]
    secrets["encoded user data"] = base64.b64encode(data.encode()).decode()
    ami = image(ec2)
    run = {"ImageId": ami, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    ec2.run_instances(**run, UserData=data)
    with pytest.raises(ClientError):
        ec2.run_instances(**{**run, "ImageId": "ami-0"}, UserData=data)
    plain = uuid.uuid4().hex.encode()
    secrets["plaintext"] = base64.b64encode(plain).decode()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=plain)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == plain
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    secrets["data key"] = base64.b64encode(data_key).decode()
    secrets["random"] = base64.b64encode(kms.generate_random(NumberOfBytes=32)["Plaintext"]).decode()
    private = "-----BEGIN RSA PRIVATE KEY-----\n" + uuid.uuid4().hex + "\n-----END RSA PRIVATE KEY-----"
    secrets["private key"] = private.splitlines()[1]
    with pytest.raises(ClientError):
        iam.upload_server_certificate(
            ServerCertificateName=name, CertificateBody="no certificate", PrivateKey=private)
    cloud.client("cloudtrail").lookup_events(MaxResults=1)
    logs = {}
    for folder in ("audit", "log"):
        for path in (cloud.data / folder).iterdir():
            logs[path.name] = path.read_bytes()
    assert b"CreateLoginProfile" in logs["changes-00000001.jsonl"]
    assert b"GenerateDataKey" in logs["reads-00000001.jsonl"]
    for what, secret in secrets.items():
        for log, text in logs.items():
            assert secret.encode() not in text, f"the {what} is in {log}"


def test_a_killed_server_loses_no_event_that_was_looked_up_and_goes_on(cloud, trail):
    name, keys = user(cloud)
    ec2 = cloud.client(**keys)
    for number in range(20):
        ec2.create_security_group(GroupName=f"{name}-{number}", Description="d")
    assert len(found(trail, "Username", name)) == 20
    killed = cloud.kill("server")
    cloud.replaced(killed)
    until("the server answers", lambda: cloud.aws("ec2", "describe-regions", check=False).returncode == 0)
    assert len(found(trail, "Username", name)) == 20
    ec2.create_security_group(GroupName=f"{name}-more", Description="d")
    assert len(found(trail, "Username", name)) == 21
    assert (cloud.data / "audit").stat().st_mode & 0o777 == 0o700


def test_events_of_objects_if_asked_and_how_often_accounts_may_call():
    for cloud in started(Cloud("--audit-objects", "true", "--api-rate", "0.1")):
        s3, bucket = cloud.client("s3"), f"b-{uuid.uuid4().hex[:12]}"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="a/k", Body=b"x")

        def lines():
            logs = (cloud.data / "audit").glob("*.jsonl")
            return [json.loads(line) for log in logs for line in log.read_text().splitlines()]

        def put():
            return [e for e in lines() if e["eventName"] == "PutObject"]

        events = until("the event of an object", put)
        assert events[0]["eventCategory"] == "Data" and not events[0]["managementEvent"]
        assert events[0]["requestParameters"]["key"] == "a/k"
        # They are no management events, which are what a lookup finds.
        assert not found(cloud.client("cloudtrail"), "EventName", "PutObject")
        iam, ec2 = cloud.client("iam"), cloud.client()
        refused = None
        for number in range(60):
            # Five at once, and one every two seconds.
            try:
                ec2.create_security_group(GroupName=f"g-{number}", Description="d")
            except ClientError as error:
                refused = error.response
                break
        assert number >= 5 and refused["Error"]["Code"] == "RequestLimitExceeded"
        assert refused["Error"]["Message"] == "Request limit exceeded."
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 503
        # Other actions, and other regions, have buckets of their own.
        ec2.describe_regions()
        cloud.client(region="eu-west-1").create_security_group(GroupName="g", Description="d")
        with fault("Throttling", "Rate exceeded"):
            for _ in range(200):
                iam.list_users()
        events = [e for e in lines() if e.get("errorCode") == "Client.RequestLimitExceeded"]
        assert len(events) == 1


def test_a_client_that_goes_away_is_recorded_nevertheless(cloud, trail):
    """What it asked is done, and nobody can leave the log by closing the connection."""
    name, keys = user(cloud)
    for number in range(50):
        parameters = {"GroupName": f"{name}-{number}", "GroupDescription": "d"}
        request = call(keys, "CreateSecurityGroup", parameters=parameters).bytes()
        with socket.create_connection(("127.0.0.1", cloud.port)) as stream:
            stream.sendall(request)
    filters = [{"Name": "group-name", "Values": [f"{name}-*"]}]

    def recorded():
        groups = cloud.client().describe_security_groups(Filters=filters)["SecurityGroups"]
        events = found(trail, "Username", name)
        told = {event["Json"]["requestParameters"]["groupName"] for event in events}
        # Requests that were never read made nothing.
        return groups and told >= {group["GroupName"] for group in groups}

    until("whatever was made is recorded", recorded)
