"""Who may do what: users, groups, roles, boundaries, sessions, tags and PassRole, in every service."""

import contextlib
import itertools
import json

import botocore.config
import pytest
from botocore.exceptions import ClientError
from fogbank_cloud import REGION, Cloud, fault, image, started, until

_names = itertools.count(1)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def deny(action, resource="*"):
    return {"Effect": "Deny", "Action": action, "Resource": resource}


def trust(principal, *more, **condition):
    statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": ["sts:AssumeRole", *more],
    }
    return policy({**statement, "Condition": condition} if condition else statement)


@contextlib.contextmanager
def denied(action, service="ec2"):
    code = {"ec2": "UnauthorizedOperation", "kms": "AccessDeniedException"}
    with pytest.raises(ClientError) as caught:
        yield caught
    error = caught.value.response["Error"]
    assert error["Code"] == code.get(service, "AccessDenied"), error
    assert action in error["Message"], error
    status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == (400 if service == "kms" else 403)


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture
def root(cloud):
    """Clients of the root user."""
    return lambda service="ec2": cloud.client(service)


@pytest.fixture
def name():
    return f"one-{next(_names)}"


@pytest.fixture
def account(root):
    return root("sts").get_caller_identity()["Account"]


def clients(cloud, credentials):
    """Clients that sign with what `CreateAccessKey` or STS answered."""

    def client(service="ec2", region=REGION):
        return cloud.session.create_client(
            service,
            region_name=region,
            endpoint_url=cloud.endpoint,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
            config=botocore.config.Config(
                parameter_validation=False,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )

    return client


@pytest.fixture
def user(cloud, root, name):
    """Makes the clients of a new user with these statements."""

    def make(*statements, user_name=name, **more):
        iam = root("iam")
        iam.create_user(UserName=user_name, **more)
        if statements:
            iam.put_user_policy(
                UserName=user_name, PolicyName="own", PolicyDocument=policy(*statements)
            )
        return clients(cloud, iam.create_access_key(UserName=user_name)["AccessKey"])

    return make


@pytest.fixture
def role(root, name, account):
    """Makes a role with these statements, which the account trusts; gives its ARN."""

    def make(*statements, role_name=name, trusted=None, **more):
        iam = root("iam")
        document = trusted or trust(
            {"AWS": account}, "sts:TagSession", "sts:SetSourceIdentity"
        )
        made = iam.create_role(RoleName=role_name, AssumeRolePolicyDocument=document, **more)
        if statements:
            iam.put_role_policy(
                RoleName=role_name, PolicyName="own", PolicyDocument=policy(*statements)
            )
        return made["Role"]["Arn"]

    return make


def test_a_user_may_what_its_policies_allow(root, user, name, account):
    client = user()
    identity = client("sts").get_caller_identity()
    arn = f"arn:aws:iam::{account}:user/{name}"
    assert identity["Arn"] == arn
    message = (
        f"You are not authorized to perform this operation. User: {arn} is not authorized to "
        "perform: ec2:DescribeVpcs because no identity-based policy allows the "
        "ec2:DescribeVpcs action"
    )
    with fault("UnauthorizedOperation", message, 403):
        client().describe_vpcs()
    message = (
        f"User: {arn} is not authorized to perform: iam:GetUser on resource: {arn} because no "
        "identity-based policy allows the iam:GetUser action"
    )
    with fault("AccessDenied", message, 403):
        client("iam").get_user()
    with denied("kms:ListKeys", "kms"):
        client("kms").list_keys()
    iam = root("iam")
    iam.attach_user_policy(
        UserName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"
    )
    assert client().describe_vpcs()["Vpcs"]
    with denied("ec2:CreateVpc"):
        client().create_vpc(CidrBlock="10.9.0.0/16")
    iam.put_user_policy(
        UserName=name, PolicyName="no", PolicyDocument=policy(deny("ec2:DescribeVpcs"))
    )
    with denied("with an explicit deny in an identity-based policy"):
        client().describe_vpcs()
    iam.delete_user_policy(UserName=name, PolicyName="no")
    assert client().describe_vpcs()["Vpcs"]


def test_groups_count_and_boundaries_limit(root, user, name):
    client, iam = user(), root("iam")
    iam.create_group(GroupName=name)
    iam.put_group_policy(
        GroupName=name, PolicyName="all", PolicyDocument=policy(allow(["ec2:*", "iam:*"]))
    )
    with denied("ec2:DescribeVpcs"):
        client().describe_vpcs()
    iam.add_user_to_group(GroupName=name, UserName=name)
    client().describe_vpcs()
    client("iam").list_users()
    iam.put_user_permissions_boundary(
        UserName=name, PermissionsBoundary="arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"
    )
    client().describe_vpcs()
    with denied("because no permissions boundary allows the iam:ListUsers action", "iam"):
        client("iam").list_users()
    iam.delete_user_permissions_boundary(UserName=name)
    client("iam").list_users()
    iam.remove_user_from_group(GroupName=name, UserName=name)
    with denied("ec2:DescribeVpcs"):
        client().describe_vpcs()


def test_keys_that_are_off_or_gone(root, user, name):
    client, iam = user(allow("ec2:*")), root("iam")
    client().describe_vpcs()
    key = iam.list_access_keys(UserName=name)["AccessKeyMetadata"][0]["AccessKeyId"]
    iam.update_access_key(UserName=name, AccessKeyId=key, Status="Inactive")
    with fault("AuthFailure", status=401):
        client().describe_vpcs()
    with fault("InvalidClientTokenId", status=403):
        client("sts").get_caller_identity()
    iam.update_access_key(UserName=name, AccessKeyId=key, Status="Active")
    client().describe_vpcs()
    iam.delete_access_key(UserName=name, AccessKeyId=key)
    with fault("AuthFailure", status=401):
        client().describe_vpcs()


def test_dry_run_says_what_would_happen(user):
    client = user(allow("ec2:CreateVpc"))
    with fault("DryRunOperation", status=412):
        client().create_vpc(CidrBlock="10.9.0.0/16", DryRun=True)
    with denied("ec2:CreateInternetGateway"):
        client().create_internet_gateway(DryRun=True)


def test_tags_of_resources_and_requests(root, user, name):
    ec2 = root()
    client = user(
        allow(
            "ec2:DeleteVpc",
            StringEquals={"ec2:ResourceTag/team": "${aws:PrincipalTag/team}"},
        ),
        allow("ec2:CreateVpc", StringEquals={"aws:RequestTag/team": "blue"}),
        allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateVpc"}),
        Tags=[{"Key": "team", "Value": "blue"}],
    )

    def tags(team):
        return [{"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": team}]}]

    def make(by, team):
        made = by.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags(team))
        return made["Vpc"]["VpcId"]

    with denied("ec2:CreateVpc"):
        client().create_vpc(CidrBlock="10.9.0.0/16")
    with denied("ec2:CreateVpc"):
        make(client(), "red")
    blue, red = make(client(), "blue"), make(ec2, "red")
    with denied("ec2:CreateTags"):
        client().create_tags(Resources=[blue], Tags=[{"Key": "a", "Value": "b"}])
    with denied("ec2:DeleteVpc"):
        client().delete_vpc(VpcId=red)
    client().delete_vpc(VpcId=blue)
    ec2.delete_vpc(VpcId=red)


def test_a_launch_is_decided_resource_by_resource(root, user, account):
    ami = image(root())
    arn = f"arn:aws:ec2:{REGION}:{account}"
    others = [
        f"{arn}:{kind}/*"
        for kind in ("volume", "network-interface", "subnet", "security-group", "key-pair")
    ]
    client = user(
        allow("ec2:RunInstances", [f"arn:aws:ec2:{REGION}::image/*", *others]),
        allow(
            "ec2:RunInstances",
            f"{arn}:instance/*",
            StringLike={"ec2:InstanceType": "t3.*"},
        ),
    )

    def launch(kind):
        client().run_instances(
            ImageId=ami, InstanceType=kind, MinCount=1, MaxCount=1, DryRun=True
        )

    with fault("DryRunOperation", status=412):
        launch("t3.micro")
    with denied(f"on resource: {arn}:instance/*"):
        launch("m5.large")


def test_the_encoded_message_opens(root, user, account, name):
    client = user()
    with denied("Encoded authorization failure message: ") as caught:
        client().delete_vpc(VpcId="vpc-00000000000000001")
    message = caught.value.response["Error"]["Message"]
    sealed = message.split("Encoded authorization failure message: ")[1]
    with denied("sts:DecodeAuthorizationMessage", "sts"):
        client("sts").decode_authorization_message(EncodedMessage=sealed)
    opened = root("sts").decode_authorization_message(EncodedMessage=sealed)
    told = json.loads(opened["DecodedMessage"])
    assert told["allowed"] is False
    assert told["explicitDeny"] is False
    assert told["context"]["action"] == "ec2:DeleteVpc"
    assert told["context"]["principal"]["arn"] == f"arn:aws:iam::{account}:user/{name}"
    with fault("InvalidAuthorizationMessageException", status=400):
        root("sts").decode_authorization_message(EncodedMessage=sealed[:-8])


def test_the_encoded_message_shows_the_statement_that_denies(root, user, name):
    forbids = {**deny("ec2:Delete*"), "Sid": "NoDelete"}
    forbids["Condition"] = {"StringEquals": {"aws:username": [name]}}
    client = user(allow("ec2:*"), forbids)

    def shown():
        with denied("Encoded authorization failure message: ") as caught:
            client().delete_vpc(VpcId="vpc-00000000000000001")
        message = caught.value.response["Error"]["Message"]
        sealed = message.split("Encoded authorization failure message: ")[1]
        opened = root("sts").decode_authorization_message(EncodedMessage=sealed)
        told = json.loads(opened["DecodedMessage"])
        assert told["explicitDeny"] is True
        (statement,) = told["matchedStatements"]["items"]
        return statement

    statement = shown()
    assert (statement["statementId"], statement["effect"]) == ("NoDelete", "DENY")
    assert statement["actions"] == {"items": [{"value": "ec2:Delete*"}]}
    assert statement["resources"] == {"items": [{"value": "*"}]}
    assert statement["conditions"] == {
        "items": [{"key": "aws:username", "values": {"items": [{"value": name}]}}]
    }
    # Of a group's policy, too, and of a boundary.
    iam = root("iam")
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(allow("ec2:*")))
    iam.create_group(GroupName=name)
    of_group = {**deny("ec2:DeleteVpc"), "Sid": "OfGroup"}
    iam.put_group_policy(GroupName=name, PolicyName="g", PolicyDocument=policy(of_group))
    iam.add_user_to_group(GroupName=name, UserName=name)
    assert shown()["statementId"] == "OfGroup"
    iam.remove_user_from_group(GroupName=name, UserName=name)
    limit = policy(allow("*"), {**deny("ec2:DeleteVpc"), "Sid": "OfBoundary"})
    limit = iam.create_policy(PolicyName=name, PolicyDocument=limit)["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=limit)
    assert shown()["statementId"] == "OfBoundary"


def test_a_role_is_assumed_and_has_its_own_policies(cloud, root, user, role, name, account):
    arn = role(allow("ec2:DescribeVpcs"))
    nobody = user()
    plain = (
        f"User: arn:aws:iam::{account}:user/{name} is not authorized to perform: "
        f"sts:AssumeRole on resource: {arn}"
    )
    with fault("AccessDenied", plain, 403):
        nobody("sts").assume_role(RoleArn=arn, RoleSessionName="me")
    root("iam").put_user_policy(
        UserName=name, PolicyName="own", PolicyDocument=policy(allow("sts:AssumeRole", arn))
    )
    assumed = nobody("sts").assume_role(RoleArn=arn, RoleSessionName="me")
    session_arn = f"arn:aws:sts::{account}:assumed-role/{name}/me"
    assert assumed["AssumedRoleUser"]["Arn"] == session_arn
    session = clients(cloud, assumed["Credentials"])
    identity = session("sts", "eu-west-1").get_caller_identity()
    assert identity["Arn"] == session_arn
    assert identity["UserId"] == assumed["AssumedRoleUser"]["AssumedRoleId"]
    assert session().describe_vpcs()["Vpcs"]
    with denied(f"User: {session_arn} is not authorized to perform: ec2:DescribeSubnets"):
        session().describe_subnets()
    key = assumed["Credentials"]["AccessKeyId"]
    assert root("sts").get_access_key_info(AccessKeyId=key)["Account"] == account

    narrow = nobody("sts").assume_role(
        RoleArn=arn, RoleSessionName="me", Policy=policy(allow("ec2:DescribeSubnets"))
    )
    assert narrow["PackedPolicySize"] > 0
    with denied("because no session policy allows the ec2:DescribeVpcs action"):
        clients(cloud, narrow["Credentials"])().describe_vpcs()
    with fault("MalformedPolicyDocument", status=400):
        nobody("sts").assume_role(RoleArn=arn, RoleSessionName="me", Policy="{}")
    for seconds in (899, 43201, 7200):
        with fault("ValidationError", status=400):
            nobody("sts").assume_role(
                RoleArn=arn, RoleSessionName="me", DurationSeconds=seconds
            )
    with fault("AccessDenied", "Roles may not be assumed by root accounts.", 403):
        root("sts").assume_role(RoleArn=arn, RoleSessionName="me")

    root("iam").delete_role_policy(RoleName=name, PolicyName="own")
    with denied("ec2:DescribeVpcs"):
        session().describe_vpcs()
    root("iam").delete_role(RoleName=name)
    with fault("InvalidClientTokenId", status=403):
        session("sts").get_caller_identity()


def test_no_token_is_taken_that_was_changed(cloud, user, role):
    arn = role(allow("*"))
    credentials = user(allow("sts:AssumeRole"))("sts").assume_role(
        RoleArn=arn, RoleSessionName="me"
    )["Credentials"]
    token = credentials["SessionToken"]
    clients(cloud, credentials)("sts").get_caller_identity()
    other = "B" if token[40] == "A" else "A"
    for bad in (token[:40] + other + token[41:], token[:-4], "x", None):
        changed = clients(cloud, {**credentials, "SessionToken": bad})
        with fault("InvalidClientTokenId", status=403):
            changed("sts").get_caller_identity()
        with fault("AuthFailure", status=401):
            changed().describe_vpcs()
        with fault("UnrecognizedClientException", status=400):
            changed("kms").list_keys()
    wrong = clients(cloud, {**credentials, "SecretAccessKey": "x" * 40})
    with fault("SignatureDoesNotMatch", status=403):
        wrong("sts").get_caller_identity()


def test_session_tags_and_the_external_id(cloud, user, role, account):
    arn = role(
        allow("ec2:DescribeVpcs", StringEquals={"aws:PrincipalTag/team": "blue"}),
        trusted=trust(
            {"AWS": account}, "sts:TagSession", StringEquals={"sts:ExternalId": "x-1"}
        ),
    )
    sts = user(allow("sts:*"))("sts")
    with denied("sts:AssumeRole", "sts"):
        sts.assume_role(RoleArn=arn, RoleSessionName="me", ExternalId="wrong")

    def session(**more):
        made = sts.assume_role(RoleArn=arn, RoleSessionName="me", ExternalId="x-1", **more)
        return clients(cloud, made["Credentials"])

    with denied("ec2:DescribeVpcs"):
        session()().describe_vpcs()
    session(Tags=[{"Key": "team", "Value": "blue"}])().describe_vpcs()


def test_tokens_of_users(cloud, user):
    client = user(allow(["ec2:*", "sts:*", "iam:*"]))
    token = clients(cloud, client("sts").get_session_token()["Credentials"])
    token().describe_vpcs()
    with fault("InvalidClientTokenId", status=403):
        token("iam").list_users()
    with fault("AccessDenied", "Cannot call GetSessionToken with session credentials", 403):
        token("sts").get_session_token()
    made = client("sts").get_federation_token(
        Name="bob", Policy=policy(allow("ec2:DescribeVpcs"))
    )
    federated = clients(cloud, made["Credentials"])
    assert federated("sts").get_caller_identity()["Arn"] == made["FederatedUser"]["Arn"]
    federated().describe_vpcs()
    with denied("ec2:DescribeSubnets"):
        federated().describe_subnets()


def test_a_role_is_passed_on_only_by_who_may(root, user, role, name):
    role(allow("ec2:*"))
    root("iam").create_instance_profile(InstanceProfileName=name)
    client = user(allow("iam:AddRoleToInstanceProfile"))
    with denied("iam:PassRole", "iam"):
        client("iam").add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    passing = allow("iam:PassRole", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    root("iam").put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(passing))
    client("iam").add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def test_keys_of_kms_ask_their_policy_and_the_users(root, user, name, account):
    key = root("kms").create_key()["KeyMetadata"]["Arn"]
    client = user(allow("kms:Encrypt"))
    sealed = client("kms").encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with denied(f"kms:Decrypt on resource: {key}", "kms"):
        client("kms").decrypt(CiphertextBlob=sealed)
    root("kms").create_grant(
        KeyId=key,
        GranteePrincipal=f"arn:aws:iam::{account}:user/{name}",
        Operations=["Decrypt"],
    )
    assert client("kms").decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"


def test_s3_knows_users_groups_and_sessions(cloud, root, user, role, name):
    s3, iam = root("s3"), root("iam")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a/1", Body=b"one")
    client = user()
    for action, call in {
        "s3:ListAllMyBuckets": lambda by: by.list_buckets(),
        "s3:CreateBucket": lambda by: by.create_bucket(Bucket=f"{name}-2"),
        "s3:ListBucket": lambda by: by.list_objects_v2(Bucket=name),
        "s3:GetObject": lambda by: by.get_object(Bucket=name, Key="a/1"),
        "s3:PutObject": lambda by: by.put_object(Bucket=name, Key="b", Body=b""),
    }.items():
        with denied(action, "s3"):
            call(client("s3"))
    # What an answer of IAM's says is in force with the next call.
    for _ in range(20):
        iam.put_user_policy(
            UserName=name,
            PolicyName="own",
            PolicyDocument=policy(allow("s3:GetObject", f"arn:aws:s3:::{name}/a/*")),
        )
        assert client("s3").get_object(Bucket=name, Key="a/1")["Body"].read() == b"one"
        iam.delete_user_policy(UserName=name, PolicyName="own")
        with denied("s3:GetObject", "s3"):
            client("s3").get_object(Bucket=name, Key="a/1")
    iam.create_group(GroupName=name)
    iam.add_user_to_group(GroupName=name, UserName=name)
    iam.attach_group_policy(
        GroupName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    )
    client("s3").list_objects_v2(Bucket=name)
    with denied("s3:PutObject", "s3"):
        client("s3").put_object(Bucket=name, Key="b", Body=b"")

    arn = role(
        allow("s3:PutObject", f"arn:aws:s3:::{name}/${{aws:PrincipalTag/team}}/*"),
    )
    iam.put_user_policy(
        UserName=name, PolicyName="sts", PolicyDocument=policy(allow("sts:*"))
    )
    made = client("sts").assume_role(
        RoleArn=arn, RoleSessionName="me", Tags=[{"Key": "team", "Value": "blue"}]
    )
    session = clients(cloud, made["Credentials"])
    session("s3").put_object(Bucket=name, Key="blue/1", Body=b"")
    with denied("s3:PutObject", "s3"):
        session("s3").put_object(Bucket=name, Key="red/1", Body=b"")
    bad = clients(cloud, {**made["Credentials"], "SessionToken": "x" * 80})
    with fault("InvalidToken", status=400):
        bad("s3").put_object(Bucket=name, Key="blue/1", Body=b"")
    none = clients(cloud, {**made["Credentials"], "SessionToken": None})
    with pytest.raises(ClientError):
        none("s3").put_object(Bucket=name, Key="blue/1", Body=b"")
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    with denied("s3:PutObject", "s3"):
        session("s3").put_object(Bucket=name, Key="blue/1", Body=b"")


def test_the_last_use_of_a_key_is_noted(root, user, name):
    client, iam = user(allow("ec2:*")), root("iam")
    key = iam.list_access_keys(UserName=name)["AccessKeyMetadata"][0]["AccessKeyId"]
    client().describe_vpcs()

    def used():
        last = iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]
        return last["ServiceName"] == "ec2"

    until("the use is noted", used)


def test_the_last_use_of_a_key_and_a_role_by_s3_is_noted(cloud, root, user, role, name):
    client, iam = user(allow(["s3:*", "sts:*"])), root("iam")
    key = iam.list_access_keys(UserName=name)["AccessKeyMetadata"][0]["AccessKeyId"]
    client("s3", region="eu-west-1").list_buckets()

    def used():
        last = iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]
        return (last["ServiceName"], last["Region"]) == ("s3", "eu-west-1")

    until("the use is noted", used)
    arn = role(allow("s3:*"))
    assumed = client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    clients(cloud, assumed)("s3").list_buckets()

    def role_used():
        row = iam.get_role(RoleName=arn.rsplit("/", 1)[1])["Role"]
        return "LastUsedDate" in row["RoleLastUsed"]

    until("the role's use is noted", role_used)


def test_policies_name_who_exists(root, user, name, account):
    user(allow("ec2:*"))
    there, gone = (f"arn:aws:iam::{account}:user/{at}" for at in (name, "nobody"))

    def key_policy(arn):
        own = {"AWS": f"arn:aws:iam::{account}:root"}
        both = [own, {"AWS": arn}]
        return policy(*({**allow("kms:*"), "Principal": one} for one in both))

    key = root("kms").create_key(Policy=key_policy(there))["KeyMetadata"]["KeyId"]
    with fault("MalformedPolicyDocumentException", "invalid principals"):
        root("kms").create_key(Policy=key_policy(gone))
    with fault("MalformedPolicyDocumentException", "invalid principals"):
        root("kms").put_key_policy(KeyId=key, Policy=key_policy(gone))
    s3 = root("s3")
    s3.create_bucket(Bucket=name)

    def bucket_policy(arn):
        one = {**allow("s3:GetObject", f"arn:aws:s3:::{name}/*"), "Principal": {"AWS": arn}}
        s3.put_bucket_policy(Bucket=name, Policy=policy(one))

    bucket_policy(there)
    with fault("MalformedPolicy", "Invalid principal in policy"):
        bucket_policy(gone)
    with fault("MalformedPolicy", "Invalid principal in policy"):
        bucket_policy(f"arn:aws:iam::{account}:role/nobody")
    with fault("MalformedPolicy", "Invalid principal in policy"):
        bucket_policy("arn:aws:iam::999999999999:user/elsewhere")
    iam = root("iam")
    with fault("MalformedPolicyDocument", "Invalid principal in policy"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": gone}))
