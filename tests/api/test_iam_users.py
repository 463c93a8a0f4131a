"""IAM: users, groups, access keys, and what belongs to them."""

import json

import pytest
from botocore.exceptions import HTTPClientError
from fogbank_cloud import fault, until

ALLOW = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
)
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture
def iam(open_cloud, account):
    """IAM in a new account."""
    return open_cloud.client("iam", key=account, secret="any", parameter_validation=False)


def every(iam, operation, key, size=3, **more):
    """All items of a list by its pages."""
    pages = iam.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **more)
    return [item for page in pages for item in page[key]]


def test_a_user_from_creation_to_deletion(iam, account):
    tags = [{"Key": "Team", "Value": "red"}]
    user = iam.create_user(UserName="Alice", Path="/dev/", Tags=tags)["User"]
    assert user["UserId"].startswith("AIDA")
    assert len(user["UserId"]) == 21
    assert user["Arn"] == f"arn:aws:iam::{account}:user/dev/Alice"
    assert user["Tags"] == tags
    found = iam.get_user(UserName="alice")["User"]
    assert found["UserName"] == "Alice", "names are found whatever their case"
    assert found["Tags"] == tags
    listed = iam.list_users(PathPrefix="/dev/")["Users"]
    assert [at["UserName"] for at in listed] == ["Alice"]
    assert "Tags" not in listed[0]
    assert iam.list_users(PathPrefix="/ops/")["Users"] == []

    iam.update_user(UserName="Alice", NewUserName="Bob", NewPath="/")
    renamed = iam.get_user(UserName="Bob")["User"]
    assert renamed["UserId"] == user["UserId"]
    assert renamed["Arn"] == f"arn:aws:iam::{account}:user/Bob"
    with fault("NoSuchEntity", "The user with name Alice cannot be found.", 404):
        iam.get_user(UserName="Alice")
    iam.delete_user(UserName="Bob")
    with fault("NoSuchEntity", "The user with name Bob cannot be found.", 404):
        iam.delete_user(UserName="Bob")
    again = iam.create_user(UserName="Bob")["User"]
    assert again["UserId"] != user["UserId"]


def test_names_are_checked_and_unique(iam):
    iam.create_user(UserName="Alice")
    with fault("EntityAlreadyExists", "User with name ALICE already exists.", 409):
        iam.create_user(UserName="ALICE")
    with fault("ValidationError", "The specified value for userName is invalid. It must contain"):
        iam.create_user(UserName="a b")
    with fault(
        "ValidationError",
        f"1 validation error detected: Value '{'a' * 65}' at 'userName' failed to satisfy "
        "constraint: Member must have length less than or equal to 64",
    ):
        iam.create_user(UserName="a" * 65)
    with fault("ValidationError", "The specified value for path is invalid. It must begin"):
        iam.create_user(UserName="x", Path="no-slash")
    with fault("ValidationError", "at 'maxItems' failed to satisfy constraint: Member must have value"):
        iam.list_users(MaxItems=1001)
    with fault("ValidationError", "Invalid Marker."):
        iam.list_users(Marker="!")
    with fault("ValidationError", "at 'tags.1.member.key' failed to satisfy constraint"):
        iam.tag_user(UserName="Alice", Tags=[{"Key": "a#b", "Value": ""}])


def test_pages(iam):
    names = [f"user{at:02}" for at in range(8)]
    for name in reversed(names):
        iam.create_user(UserName=name)
    assert [at["UserName"] for at in every(iam, "list_users", "Users")] == names
    first = iam.list_users(MaxItems=5)
    assert first["IsTruncated"]
    iam.delete_user(UserName="user05")
    rest = iam.list_users(Marker=first["Marker"])
    assert [at["UserName"] for at in rest["Users"]] == names[6:]
    assert not rest["IsTruncated"]
    assert "Marker" not in rest


def test_tags_ignore_case(iam):
    iam.create_user(UserName="u", Tags=[{"Key": f"k{at}", "Value": "v"} for at in range(5)])
    iam.tag_user(UserName="u", Tags=[{"Key": "K0", "Value": "new"}])
    iam.untag_user(UserName="u", TagKeys=["k4", "absent"])
    tags = {at["Key"]: at["Value"] for at in every(iam, "list_user_tags", "Tags", UserName="u")}
    assert tags == {"K0": "new", "k1": "v", "k2": "v", "k3": "v"}
    with fault("InvalidInput", "Duplicate tag keys found."):
        iam.tag_user(UserName="u", Tags=[{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}])
    with fault("LimitExceeded", status=409):
        iam.tag_user(UserName="u", Tags=[{"Key": f"t{at}", "Value": ""} for at in range(49)])
    with fault("NoSuchEntity", status=404):
        iam.tag_user(UserName="nobody", Tags=[{"Key": "a", "Value": ""}])


def test_groups(iam, account):
    group = iam.create_group(GroupName="Admins", Path="/x/")["Group"]
    assert group["Arn"] == f"arn:aws:iam::{account}:group/x/Admins"
    assert group["GroupId"].startswith("AGPA")
    with fault("EntityAlreadyExists", "Group with name admins already exists.", 409):
        iam.create_group(GroupName="admins")
    for name in ("a", "b"):
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="Admins", UserName=name)
    iam.add_user_to_group(GroupName="Admins", UserName="a")
    assert [at["UserName"] for at in every(iam, "get_group", "Users", 1, GroupName="Admins")] == ["a", "b"]
    groups = iam.list_groups_for_user(UserName="a")["Groups"]
    assert [at["GroupName"] for at in groups] == ["Admins"]
    with fault("DeleteConflict", "must remove users from group first.", 409):
        iam.delete_group(GroupName="Admins")
    with fault("DeleteConflict", "must remove users from group first.", 409):
        iam.delete_user(UserName="a")
    iam.update_group(GroupName="Admins", NewGroupName="Staff")
    assert iam.get_group(GroupName="Staff")["Group"]["GroupId"] == group["GroupId"]
    for name in ("a", "b"):
        iam.remove_user_from_group(GroupName="Staff", UserName=name)
    with fault("NoSuchEntity", status=404):
        iam.remove_user_from_group(GroupName="Staff", UserName="a")
    with fault("NoSuchEntity", "The group with name none cannot be found.", 404):
        iam.add_user_to_group(GroupName="none", UserName="a")
    iam.delete_group(GroupName="Staff")
    assert iam.list_groups()["Groups"] == []
    for at in range(11):
        iam.create_group(GroupName=f"g{at}")
    for at in range(10):
        iam.add_user_to_group(GroupName=f"g{at}", UserName="a")
    with fault("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10", 409):
        iam.add_user_to_group(GroupName="g10", UserName="a")


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_policies_of_each_kind_of_identity(iam, kind):
    named = {f"{kind.capitalize()}Name": "it"}
    if kind == "role":
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        iam.create_role(RoleName="it", AssumeRolePolicyDocument=json.dumps(trust))
    else:
        getattr(iam, f"create_{kind}")(**named)

    def call(operation, **more):
        return getattr(iam, operation.format(kind))(**named, **more)

    call("put_{}_policy", PolicyName="inline", PolicyDocument=ALLOW)
    found = call("get_{}_policy", PolicyName="inline")
    assert found["PolicyDocument"] == json.loads(ALLOW), "boto3 decodes what is percent-encoded"
    assert call("list_{}_policies")["PolicyNames"] == ["inline"]
    with fault("MalformedPolicyDocument"):
        call("put_{}_policy", PolicyName="bad", PolicyDocument='{"Version": "2012-10-17"}')
    long = ALLOW.replace("s3:GetObject", "s3:" + "G" * 11_000)
    with fault("LimitExceeded", "Maximum policy size of", 409):
        call("put_{}_policy", PolicyName="long", PolicyDocument=long)
    with fault("NoSuchEntity", f"The {kind} policy with name other cannot be found.", 404):
        call("get_{}_policy", PolicyName="other")

    call("attach_{}_policy", PolicyArn=ADMINISTRATOR)
    call("attach_{}_policy", PolicyArn=ADMINISTRATOR)
    attached = call("list_attached_{}_policies")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMINISTRATOR}]
    assert call("list_attached_{}_policies", PathPrefix="/job-function/")["AttachedPolicies"] == []
    with fault("NoSuchEntity", "does not exist or is not attachable.", 404):
        call("attach_{}_policy", PolicyArn=ADMINISTRATOR + "X")
    with fault("InvalidInput", "is not valid."):
        call("attach_{}_policy", PolicyArn="arn:aws:s3:::some-bucket-name")
    with fault("DeleteConflict", "must detach all policies first.", 409):
        call("delete_{}")
    call("detach_{}_policy", PolicyArn=ADMINISTRATOR)
    with fault("NoSuchEntity", status=404):
        call("detach_{}_policy", PolicyArn=ADMINISTRATOR)
    with fault("DeleteConflict", "must delete policies first.", 409):
        call("delete_{}")
    call("delete_{}_policy", PolicyName="inline")
    with fault("NoSuchEntity", status=404):
        call("delete_{}_policy", PolicyName="inline")

    if kind != "group":
        call("put_{}_permissions_boundary", PermissionsBoundary=ADMINISTRATOR)
        found = call("get_{}")[kind.capitalize()]["PermissionsBoundary"]
        assert found == {
            "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
            "PermissionsBoundaryArn": ADMINISTRATOR,
        }
        with fault("NoSuchEntity", status=404):
            call("put_{}_permissions_boundary", PermissionsBoundary=ADMINISTRATOR + "X")
        call("delete_{}_permissions_boundary")
        with fault("NoSuchEntity", status=404):
            call("delete_{}_permissions_boundary")
    call("delete_{}")


def test_ten_policies_can_be_attached(iam):
    iam.create_user(UserName="u")
    arns = [at["Arn"] for at in every(iam, "list_policies", "Policies", 100, Scope="AWS")]
    arns = [arn for arn in arns if "/aws-service-role/" not in arn][:11]
    for arn in arns[:10]:
        iam.attach_user_policy(UserName="u", PolicyArn=arn)
    with fault("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10", 409):
        iam.attach_user_policy(UserName="u", PolicyArn=arns[10])
    found = every(iam, "list_attached_user_policies", "AttachedPolicies", UserName="u")
    assert sorted(at["PolicyArn"] for at in found) == sorted(arns[:10])


def test_a_users_keys_sign_until_they_are_switched_off(api_cloud):
    iam = api_cloud.client("iam")
    user = iam.create_user(UserName="signer", Path="/a/")["User"]
    key = iam.create_access_key(UserName="signer")["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA")
    assert key["Status"] == "Active"
    secret = key["SecretAccessKey"]
    assert len(secret) == 40
    sts = api_cloud.client("sts", key=key["AccessKeyId"], secret=secret)
    identity = sts.get_caller_identity()
    assert identity["Arn"] == user["Arn"]
    assert identity["UserId"] == user["UserId"]
    own = api_cloud.client("iam", key=key["AccessKeyId"], secret=secret)
    with fault("SignatureDoesNotMatch", status=403):
        api_cloud.client("sts", key=key["AccessKeyId"], secret="wrong").get_caller_identity()

    other = iam.create_access_key(UserName="signer")["AccessKey"]
    with fault("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", 409):
        iam.create_access_key(UserName="signer")
    listed = iam.list_access_keys(UserName="signer")["AccessKeyMetadata"]
    ids = {key["AccessKeyId"], other["AccessKeyId"]}
    assert {at["AccessKeyId"] for at in listed} == ids
    assert all("SecretAccessKey" not in at for at in listed)
    last = iam.get_access_key_last_used(AccessKeyId=other["AccessKeyId"])
    assert last["UserName"] == "signer"
    assert last["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}

    def used():
        return iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]

    until("the use is known", lambda: "LastUsedDate" in used())
    assert used()["ServiceName"] == "sts"
    with fault("AccessDenied", "iam:GetUser", 403):
        own.get_user()
    administrator = {"UserName": "signer", "PolicyArn": ADMINISTRATOR}
    iam.attach_user_policy(**administrator)
    assert own.get_user()["User"]["UserName"] == "signer", "a user asks for itself"
    iam.detach_user_policy(**administrator)

    iam.update_access_key(UserName="signer", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with fault("InvalidClientTokenId", status=403):
        sts.get_caller_identity()
    iam.update_access_key(UserName="signer", AccessKeyId=key["AccessKeyId"], Status="Active")
    iam.update_user(UserName="signer", NewUserName="renamed")
    assert sts.get_caller_identity()["Arn"] == user["Arn"].replace("signer", "renamed")

    with fault("DeleteConflict", "must delete access keys first.", 409):
        iam.delete_user(UserName="renamed")
    with fault("NoSuchEntity", "The Access Key with id", 404):
        iam.delete_access_key(UserName="renamed", AccessKeyId="AKIA" + "A" * 16)
    for each in ids:
        iam.delete_access_key(UserName="renamed", AccessKeyId=each)
    with fault("InvalidClientTokenId", status=403):
        sts.get_caller_identity()
    iam.delete_user(UserName="renamed")


def test_a_users_key_signs_for_s3(api_cloud):
    iam, s3 = api_cloud.client("iam"), api_cloud.client("s3")
    user = iam.create_user(UserName="reader")["User"]
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    own = api_cloud.client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    s3.create_bucket(Bucket="iam-reader")
    s3.put_object(Bucket="iam-reader", Key="a", Body=b"text")
    everything = {"UserName": "reader", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}
    iam.attach_user_policy(**everything)
    assert own.get_object(Bucket="iam-reader", Key="a")["Body"].read() == b"text"
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": user["Arn"]},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::iam-reader/*",
    }
    s3.put_bucket_policy(
        Bucket="iam-reader", Policy=json.dumps({"Version": "2012-10-17", "Statement": statement})
    )
    with fault("AccessDenied", status=403):
        own.put_object(Bucket="iam-reader", Key="b", Body=b"")
    s3.put_object(Bucket="iam-reader", Key="a", Body=b"of the root user")
    iam.update_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with fault("InvalidAccessKeyId", status=403):
        own.get_object(Bucket="iam-reader", Key="a")
    iam.delete_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(**everything)
    iam.delete_user(UserName="reader")
    s3.delete_object(Bucket="iam-reader", Key="a")
    s3.delete_bucket(Bucket="iam-reader")


def test_keys_survive_the_server(api_cloud):
    iam = api_cloud.client("iam")
    iam.create_user(UserName="lasting")
    iam.put_user_policy(UserName="lasting", PolicyName="p", PolicyDocument=ALLOW)
    key = iam.create_access_key(UserName="lasting")["AccessKey"]
    api_cloud.replaced(api_cloud.kill("server"))
    sts = api_cloud.client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def answers():
        try:
            return sts.get_caller_identity()["Arn"]
        except HTTPClientError:
            # Away for a moment.
            return None

    assert until("the server answers again", answers).endswith(":user/lasting")
    found = iam.get_user_policy(UserName="lasting", PolicyName="p")["PolicyDocument"]
    assert found == json.loads(ALLOW)
    iam.delete_user_policy(UserName="lasting", PolicyName="p")
    iam.delete_access_key(UserName="lasting", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="lasting")


def test_the_root_user(iam, account):
    root = iam.get_user()["User"]
    assert root["Arn"] == f"arn:aws:iam::{account}:root"
    assert root["UserId"] == account


def test_what_is_not_served_says_so(iam):
    with fault("UnsupportedOperation", "The operation ListDelegationRequests of iam"):
        iam.list_delegation_requests()


def test_accounts_are_apart(open_cloud, account, iam):
    other = open_cloud.client("iam", key="999999999999", secret="any")
    iam.create_user(UserName="mine")
    other.create_user(UserName="mine")
    assert iam.get_user(UserName="mine")["User"]["Arn"].split(":")[4] == account
    other.delete_user(UserName="mine")
    assert iam.get_user(UserName="mine")["User"]["UserName"] == "mine"
