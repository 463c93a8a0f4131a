"""Accounts: made by their owner and by Organizations, isolated, and let in by each other's policies."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import re
import stat
import subprocess
import time

import pytest
from botocore.exceptions import ClientError
from fogbank_cloud import Cloud, fault, image, started, state, until

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
_names = itertools.count(1)


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture
def name():
    return f"team-{next(_names)}"


@pytest.fixture
def management(cloud):
    return cloud.client("sts").get_caller_identity()["Account"]


@pytest.fixture
def organizations(cloud):
    return cloud.client("organizations")


def variables(done):
    lines = [line.removeprefix("export ") for line in done.stdout.splitlines()]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def root_of(cloud, account):
    """Clients of an account's root user."""
    found = variables(cloud.fogbank("account", "credentials", account))
    key, secret = found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]
    return lambda service="ec2": cloud.client(service, key=key, secret=secret)


def signing(cloud, credentials):
    """Clients that sign with what STS or `CreateAccessKey` answered."""
    return lambda service="ec2": cloud.session.create_client(
        service, region_name="us-east-1", endpoint_url=cloud.endpoint,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
    )


@pytest.fixture
def other(cloud, name):
    """Another account: its ID, and clients of its root user."""
    account = cloud.fogbank("account", "create", name).stdout.strip()
    assert re.fullmatch(r"[1-9]\d{11}", account)
    return account, root_of(cloud, account)


@pytest.fixture
def user(cloud, name):
    """A user of the first account who may do everything there, and clients of it."""
    iam = cloud.client("iam")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    iam.attach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    return arn, signing(cloud, iam.create_access_key(UserName=name)["AccessKey"])


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(principal, **condition):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    return policy({**statement, "Condition": condition} if condition else statement)


def test_accounts_are_made_listed_closed_and_opened(cloud, name, other, organizations):
    account, root = other
    identity = root("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{account}:root"
    (vpc,) = root().describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"] and vpc["OwnerId"] == account
    assert vpc["VpcId"] not in str(cloud.client().describe_vpcs())
    root("s3").create_bucket(Bucket=name)
    with fault("AccessDenied", status=403):
        cloud.client("s3").list_objects_v2(Bucket=name)
    assert cloud.fogbank("account", "create", name, check=False).returncode != 0
    for bad in ("", "1" * 12, "a\nb", "x" * 51):
        assert cloud.fogbank("account", "create", bad, check=False).returncode != 0, bad
    assert f"{account}  open    {name}" in cloud.fogbank("account", "list").stdout

    token = root("sts").get_session_token()["Credentials"]
    session = signing(cloud, token)
    session("s3").list_objects_v2(Bucket=name)
    kept, kept_s3 = root("sts"), root("s3")
    cloud.fogbank("account", "close", name)
    # Out at once, with every service.
    with fault("InvalidClientTokenId", status=403):
        kept.get_caller_identity()
    with fault("InvalidAccessKeyId", status=403):
        kept_s3.list_objects_v2(Bucket=name)
    with pytest.raises(ClientError):
        session("sts").get_caller_identity()
    with pytest.raises(ClientError):
        session("s3").list_objects_v2(Bucket=name)
    assert "is closed" in cloud.fogbank("account", "credentials", name, check=False).stderr
    assert f"{account}  closed  {name}" in cloud.fogbank("account", "list").stdout
    shown = organizations.describe_account(AccountId=account)["Account"]
    assert (shown["Status"], shown["State"]) == ("SUSPENDED", "SUSPENDED")
    cloud.fogbank("account", "reopen", account)
    assert kept.get_caller_identity()["Account"] == account
    kept_s3.list_objects_v2(Bucket=name)
    assert cloud.fogbank("account", "close", "admin", check=False).returncode != 0
    assert cloud.fogbank("account", "close", "nobody", check=False).returncode != 0


def test_what_runs_in_a_closed_account_stops(cloud, name, other):
    account, root = other
    ec2 = root()
    run = ec2.run_instances(ImageId=image(ec2), InstanceType="t3.nano", MinCount=1, MaxCount=1)
    instance = run["Instances"][0]["InstanceId"]
    until("it runs", lambda: state(ec2, instance) == "running")
    cloud.fogbank("account", "close", account)

    def stopped():
        return "Instances 1 stopped" in cloud.fogbank("status", check=False).stdout

    until("its instance stopped", stopped, seconds=60)
    cloud.fogbank("account", "reopen", account)
    assert state(ec2, instance) == "stopped"


def test_the_organization(organizations, management, other, cloud):
    account, root = other
    organization = organizations.describe_organization()["Organization"]
    assert re.fullmatch(r"o-[a-z0-9]{10}", organization["Id"])
    assert organization["MasterAccountId"] == management
    assert root("organizations").describe_organization()["Organization"] == organization
    (root_row,) = organizations.list_roots()["Roots"]
    pages = organizations.get_paginator("list_accounts").paginate()
    accounts = {row["Id"]: row for page in pages for row in page["Accounts"]}
    assert {management, account} <= accounts.keys()
    assert accounts[management]["JoinedMethod"] == "INVITED"
    arn = f"arn:aws:organizations::{management}:account/{organization['Id']}/{account}"
    assert accounts[account]["Arn"] == arn
    assert organizations.list_parents(ChildId=account)["Parents"] == [
        {"Id": root_row["Id"], "Type": "ROOT"}
    ]
    below = organizations.list_accounts_for_parent(ParentId=root_row["Id"])
    assert len(below["Accounts"]) == min(20, len(accounts))
    children = organizations.list_children(ParentId=root_row["Id"], ChildType="ACCOUNT")
    assert {"Id": management, "Type": "ACCOUNT"} in children["Children"] or children["NextToken"]
    organizations.tag_resource(ResourceId=account, Tags=[{"Key": "team", "Value": "blue"}])
    tags = organizations.list_tags_for_resource(ResourceId=account)["Tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]
    organizations.untag_resource(ResourceId=account, TagKeys=["team"])
    assert organizations.list_tags_for_resource(ResourceId=account)["Tags"] == []
    with fault("AccessDeniedException"):
        root("organizations").list_accounts()
    with fault("AccountNotFoundException"):
        organizations.describe_account(AccountId="999999999999")
    with fault("ParentNotFoundException"):
        organizations.list_accounts_for_parent(ParentId="r-none")
    with fault("InvalidInputException"):
        organizations.list_accounts(NextToken="?")
    with fault("ConstraintViolationException"):
        organizations.close_account(AccountId=management)


def test_who_may_ask_organizations(cloud, organizations, name, other):
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    mine = signing(cloud, iam.create_access_key(UserName=name)["AccessKey"])("organizations")
    with fault("AccessDeniedException", "organizations:ListAccounts"):
        mine.list_accounts()
    account = organizations.describe_account(AccountId=other[0])["Account"]["Arn"]
    allowed = {"Effect": "Allow", "Action": "organizations:DescribeAccount", "Resource": account}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(allowed))
    assert mine.describe_account(AccountId=other[0])["Account"]["Id"] == other[0]
    with fault("AccessDeniedException"):
        mine.describe_account(AccountId="123456789012")
    with fault("AccessDeniedException"):
        mine.create_account(Email="x@example.com", AccountName="x")


def made(organizations, **wanted):
    """Asks for an account and waits until it is there; gives what came of it."""
    begun = organizations.create_account(**wanted)["CreateAccountStatus"]
    assert begun["State"] == "IN_PROGRESS" and "AccountId" not in begun

    def ended():
        shown = organizations.describe_create_account_status(CreateAccountRequestId=begun["Id"])
        status = shown["CreateAccountStatus"]
        return status["State"] != "IN_PROGRESS" and status

    return until("the account is made", ended)


def test_an_account_is_made_and_entered(cloud, organizations, user, name, management, tmp_path):
    email = f"{name}@example.com"
    done = made(organizations, Email=email, AccountName=name)
    assert done["State"] == "SUCCEEDED"
    account = done["AccountId"]
    again = made(organizations, Email=email.upper(), AccountName=name)
    assert (again["State"], again["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")
    failed = organizations.list_create_account_status(States=["FAILED"])["CreateAccountStatuses"]
    assert again["Id"] in [row["Id"] for row in failed]
    assert done["Id"] not in [row["Id"] for row in failed]
    with fault("CreateAccountStatusNotFoundException"):
        organizations.describe_create_account_status(CreateAccountRequestId="car-" + "0" * 10)

    # In by the role that AWS makes, with boto3 and with a profile of the CLI.
    role = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
    mine = user[1]
    entered = mine("sts").assume_role(RoleArn=role, RoleSessionName="in")["Credentials"]
    inside = signing(cloud, entered)
    assert inside("sts").get_caller_identity()["Account"] == account
    assert [vpc["OwnerId"] for vpc in inside().describe_vpcs()["Vpcs"]] == [account]
    inside("iam").create_user(UserName="local")
    inside("s3").create_bucket(Bucket=f"{name}-inside")
    with fault("AccessDeniedException"):
        inside("organizations").list_accounts()

    key = cloud.client("iam").create_access_key(UserName=name)["AccessKey"]
    config = tmp_path / "config"
    config.write_text(
        f"[profile base]\naws_access_key_id={key['AccessKeyId']}\n"
        f"aws_secret_access_key={key['SecretAccessKey']}\n"
        f"[profile inside]\nrole_arn={role}\nsource_profile=base\nregion=us-east-1\n"
    )
    environment = cloud.environment() | {"AWS_CONFIG_FILE": str(config)}
    for given in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.pop(given)
    said = subprocess.run(
        ["aws", "sts", "get-caller-identity", "--profile", "inside"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["Account"] == account
    assert ":assumed-role/OrganizationAccountAccessRole/" in found["Arn"]

    # An account that was made so has no root key, until its owner asks for one.
    assert root_of(cloud, account)("sts").get_caller_identity()["Account"] == account
    organizations.close_account(AccountId=account)
    with fault("AccountAlreadyClosedException"):
        organizations.close_account(AccountId=account)
    with pytest.raises(ClientError):
        inside("sts").get_caller_identity()
    with fault("AccessDenied", "sts:AssumeRole", 403):
        mine("sts").assume_role(RoleArn=role, RoleSessionName="in")


def test_another_role_and_tags(cloud, organizations, user, name):
    tags = [{"Key": "team", "Value": "red"}]
    wanted = {"Email": f"{name}@example.com", "AccountName": name, "Tags": tags}
    account = made(organizations, RoleName="In", **wanted)["AccountId"]
    role = f"arn:aws:iam::{account}:role/In"
    user[1]("sts").assume_role(RoleArn=role, RoleSessionName="in")
    assert organizations.list_tags_for_resource(ResourceId=account)["Tags"] == tags


def code_of(seed, at):
    """The code of a virtual MFA device at a time, by RFC 6238."""
    counter = (int(at) // 30).to_bytes(8, "big")
    digest = hmac.new(base64.b32decode(seed), counter, hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset:offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def test_roles_of_another_account_by_external_id_and_mfa(cloud, user, other, name):
    arn, mine = user
    account, root = other
    theirs = root("iam")
    external = {"StringEquals": {"sts:ExternalId": "secret-7"}}
    role = theirs.create_role(
        RoleName="partner", AssumeRolePolicyDocument=trust(arn, **external)
    )["Role"]["Arn"]
    wanted = {"RoleArn": role, "RoleSessionName": "me"}
    sts = mine("sts")
    with fault("AccessDenied", "sts:AssumeRole", 403):
        sts.assume_role(**wanted)
    with fault("AccessDenied", "sts:AssumeRole", 403):
        sts.assume_role(ExternalId="secret-8", **wanted)
    assert sts.assume_role(ExternalId="secret-7", **wanted)["Credentials"]

    # The role's account lets everybody of ours in: what our own policies don't allow stays denied.
    bare = cloud.client("iam")
    bare.create_user(UserName=f"{name}-bare")
    weak = signing(cloud, bare.create_access_key(UserName=f"{name}-bare")["AccessKey"])("sts")
    whole = arn.split(":")[4]
    theirs.create_role(RoleName="open", AssumeRolePolicyDocument=trust(whole))
    opened = {"RoleArn": f"arn:aws:iam::{account}:role/open", "RoleSessionName": "me"}
    with fault("AccessDenied", status=403):
        weak.assume_role(**opened)
    sts.assume_role(**opened)

    strong = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    theirs.create_role(RoleName="strong", AssumeRolePolicyDocument=trust(arn, **strong))
    wanted["RoleArn"] = f"arn:aws:iam::{account}:role/strong"
    with fault("AccessDenied", status=403):
        sts.assume_role(**wanted)
    iam = cloud.client("iam")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    now = time.time()
    iam.enable_mfa_device(
        UserName=name, SerialNumber=serial, AuthenticationCode1=code_of(seed, now - 60),
        AuthenticationCode2=code_of(seed, now - 30),
    )
    with fault("AccessDenied", "MultiFactorAuthentication failed", 403):
        sts.assume_role(SerialNumber=serial, TokenCode="000000", **wanted)
    code = code_of(seed, time.time())
    shown = sts.assume_role(SerialNumber=serial, TokenCode=code, **wanted)["Credentials"]
    assert signing(cloud, shown)("sts").get_caller_identity()["Account"] == account


def test_a_bucket_of_another_account(cloud, user, other, name, organizations):
    arn, mine = user
    account, root = other
    theirs = root("s3")
    theirs.create_bucket(Bucket=name)
    theirs.put_object(Bucket=name, Key="k", Body=b"v")
    ours = mine("s3")

    def let(principal, **condition):
        statement = {
            "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{name}/*", **condition,
        }
        theirs.put_bucket_policy(Bucket=name, Policy=policy(statement))

    with fault("AccessDenied", status=403):
        ours.get_object(Bucket=name, Key="k")
    let({"AWS": arn})
    assert ours.get_object(Bucket=name, Key="k")["Body"].read() == b"v"
    with fault("AccessDenied", status=403):
        ours.put_object(Bucket=name, Key="k", Body=b"w")
    organization = organizations.describe_organization()["Organization"]["Id"]
    block = {
        "BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False,
        "RestrictPublicBuckets": False,
    }
    theirs.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)

    def within(organization):
        return {"Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}}}

    let("*", **within("o-aaaaaaaaaa"))
    with fault("AccessDenied", status=403):
        ours.get_object(Bucket=name, Key="k")
    let("*", **within(organization))
    assert ours.get_object(Bucket=name, Key="k")["Body"].read() == b"v"
    assert cloud.client("s3").get_object(Bucket=name, Key="k")["Body"].read() == b"v"
    # Both sides have to allow it.
    cloud.client("iam").detach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    with fault("AccessDenied", status=403):
        ours.get_object(Bucket=name, Key="k")


def test_a_key_of_another_account(cloud, user, other):
    arn, mine = user
    account, root = other
    theirs, ours = root("kms"), mine("kms")
    own = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*", "Resource": "*",
    }
    lent = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "kms:Encrypt", "Resource": "*"}
    key = theirs.create_key(Policy=policy(own))["KeyMetadata"]["Arn"]
    with fault("AccessDeniedException"):
        ours.encrypt(KeyId=key, Plaintext=b"x")
    theirs.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(own, lent))
    sealed = ours.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with fault("AccessDeniedException"):
        ours.decrypt(CiphertextBlob=sealed, KeyId=key)
    assert theirs.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    theirs.create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Decrypt"])
    assert ours.decrypt(CiphertextBlob=sealed, KeyId=key)["Plaintext"] == b"x"


def test_the_organizations_id_in_policies(cloud, user, name, organizations):
    iam = cloud.client("iam")
    iam.detach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    organization = organizations.describe_organization()["Organization"]["Id"]

    def only(value):
        within = {"StringEquals": {"aws:PrincipalOrgID": value}}
        statement = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*", "Condition": within}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(statement))

    only("o-aaaaaaaaaa")
    with fault("UnauthorizedOperation", status=403):
        user[1]().describe_vpcs()
    only(organization)
    assert user[1]().describe_vpcs()["Vpcs"]


def holders(cloud, secret):
    """The files of the data folder that have these bytes, `credentials` aside."""
    found = []
    for path in cloud.data.rglob("*"):
        if path.is_file() and path.name != "credentials" and secret in path.read_bytes():
            found.append(str(path.relative_to(cloud.data)))
    return found


def test_no_secret_lies_in_the_data_folder(cloud, other, name):
    account, root = other
    iam = root("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    special = iam.create_service_specific_credential(
        UserName=name, ServiceName="codecommit.amazonaws.com"
    )["ServiceSpecificCredential"]
    ec2 = root()
    told = f"password of {name}"
    ec2.run_instances(
        ImageId=image(ec2), InstanceType="t3.nano", MinCount=1, MaxCount=1, UserData=told
    )
    root_key = variables(cloud.fogbank("account", "credentials", account))
    secrets = {
        "an access key's": key["SecretAccessKey"].encode(),
        "a root user's": root_key["AWS_SECRET_ACCESS_KEY"].encode(),
        "the administrator's": cloud.secret.encode(),
        "an MFA device's": device["Base32StringSeed"],
        "a service's": special["ServicePassword"].encode(),
        "user data": base64.b64encode(told.encode()),
    }
    # What is no secret is found: the search does search.
    assert set(holders(cloud, name.encode())) & {"state.db", "state.db-wal"}
    for whose, secret in secrets.items():
        assert holders(cloud, secret) == [], whose
    for file in ("credentials", "master.key", "tls/ca.key"):
        assert stat.S_IMODE(os.stat(cloud.data / file).st_mode) == 0o600, file
    mine = signing(cloud, key)
    cloud.down()
    for whose, secret in secrets.items():
        assert holders(cloud, secret) == [], f"{whose}, after the end"
    cloud.up()
    assert mine("sts").get_caller_identity()["Account"] == account


def test_no_other_master_key_opens_the_state(cloud):
    cloud.down()
    path = cloud.data / "master.key"
    right = path.read_bytes()
    try:
        path.unlink()
        gone = cloud.fogbank("up", "--detach", check=False, seconds=120)
        assert gone.returncode != 0
        cloud.fogbank("down", check=False)
        assert not path.exists(), "no other key is made"
        assert "master.key is missing" in cloud.logs()
    finally:
        path.write_bytes(right)
        path.chmod(0o600)
        cloud.up()
