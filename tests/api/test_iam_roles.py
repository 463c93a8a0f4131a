"""IAM: roles, instance profiles, managed policies."""

import json

import pytest
from fogbank_cloud import fault


def document(action="s3:*", **more):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(**principal):
    principal = principal or {"Service": "ec2.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def iam(open_cloud, account):
    """IAM in a new account."""
    return open_cloud.client("iam", key=account, secret="any", parameter_validation=False)


def test_a_role_from_creation_to_deletion(iam, account):
    role = iam.create_role(
        RoleName="Web",
        Path="/service-role/",
        AssumeRolePolicyDocument=trust(),
        Description="of web servers",
        MaxSessionDuration=7200,
        Tags=[{"Key": "a", "Value": "b"}],
    )["Role"]
    assert role["RoleId"].startswith("AROA")
    assert role["Arn"] == f"arn:aws:iam::{account}:role/service-role/Web"
    assert role["AssumeRolePolicyDocument"] == json.loads(trust())
    found = iam.get_role(RoleName="Web")["Role"]
    assert found["MaxSessionDuration"] == 7200
    assert found["Description"] == "of web servers"
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    assert found["RoleLastUsed"] == {}
    listed = iam.list_roles(PathPrefix="/service-role/")["Roles"]
    assert [at["RoleName"] for at in listed] == ["Web"]
    assert "Tags" not in listed[0]

    iam.update_role(RoleName="Web", MaxSessionDuration=3600)
    iam.update_role_description(RoleName="Web", Description="new")
    iam.update_assume_role_policy(RoleName="Web", PolicyDocument=trust(AWS=account))
    found = iam.get_role(RoleName="Web")["Role"]
    assert (found["MaxSessionDuration"], found["Description"]) == (3600, "new")
    assert found["AssumeRolePolicyDocument"] == json.loads(trust(AWS=account))
    iam.tag_role(RoleName="Web", Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_role(RoleName="Web", TagKeys=["a"])
    assert iam.list_role_tags(RoleName="Web")["Tags"] == [{"Key": "c", "Value": "d"}]
    iam.delete_role(RoleName="Web")
    with fault("NoSuchEntity", "The role with name Web cannot be found.", 404):
        iam.get_role(RoleName="Web")


def test_faults_of_roles(iam, account):
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust())
    with fault("EntityAlreadyExists", "Role with name R already exists.", 409):
        iam.create_role(RoleName="R", AssumeRolePolicyDocument=trust())
    with fault("MalformedPolicyDocument", "AssumeRole policy may only specify STS AssumeRole"):
        iam.create_role(
            RoleName="x", AssumeRolePolicyDocument=trust().replace("sts:AssumeRole", "ec2:Run")
        )
    with fault("MalformedPolicyDocument", "This policy contains invalid Json"):
        iam.create_role(RoleName="x", AssumeRolePolicyDocument="no json")
    nobody = f"arn:aws:iam::{account}:user/nobody"
    with fault("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{nobody}"'):
        iam.create_role(RoleName="x", AssumeRolePolicyDocument=trust(AWS=nobody))
    iam.create_user(UserName="somebody")
    iam.create_role(
        RoleName="x", AssumeRolePolicyDocument=trust(AWS=nobody.replace("nobody", "somebody"))
    )
    with fault("ValidationError", "Member must have value greater than or equal to 3600"):
        iam.create_role(RoleName="y", AssumeRolePolicyDocument=trust(), MaxSessionDuration=60)
    long = trust(AWS=[f"{at:012}" for at in range(200, 400)])
    with fault("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048", 409):
        iam.create_role(RoleName="y", AssumeRolePolicyDocument=long)
    with fault("NoSuchEntity", status=404):
        iam.update_assume_role_policy(RoleName="none", PolicyDocument=trust())


def test_instance_profiles(iam, account):
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust())
    iam.create_role(RoleName="s", AssumeRolePolicyDocument=trust())
    profile = iam.create_instance_profile(InstanceProfileName="p", Path="/a/")["InstanceProfile"]
    assert profile["InstanceProfileId"].startswith("AIPA")
    assert profile["Arn"] == f"arn:aws:iam::{account}:instance-profile/a/p"
    assert profile["Roles"] == []
    with fault("EntityAlreadyExists", "Instance Profile p already exists.", 409):
        iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    with fault("LimitExceeded", "quota for InstanceSessionsPerInstanceProfile: 1", 409):
        iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="s")
    found = iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert [at["RoleName"] for at in found["Roles"]] == ["r"]
    of_role = iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"]
    assert [at["InstanceProfileName"] for at in of_role] == ["p"]
    assert iam.list_instance_profiles_for_role(RoleName="s")["InstanceProfiles"] == []
    assert len(iam.list_instance_profiles(PathPrefix="/a/")["InstanceProfiles"]) == 1
    with fault("DeleteConflict", "must remove roles from instance profile first.", 409):
        iam.delete_role(RoleName="r")
    with fault("DeleteConflict", "must remove roles from instance profile first.", 409):
        iam.delete_instance_profile(InstanceProfileName="p")
    with fault("NoSuchEntity", status=404):
        iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="s")
    iam.tag_instance_profile(InstanceProfileName="p", Tags=[{"Key": "a", "Value": "b"}])
    assert iam.list_instance_profile_tags(InstanceProfileName="p")["Tags"][0]["Key"] == "a"
    iam.untag_instance_profile(InstanceProfileName="p", TagKeys=["a"])
    assert iam.list_instance_profile_tags(InstanceProfileName="p")["Tags"] == []
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="p")
    with fault("NoSuchEntity", "Instance Profile p cannot be found.", 404):
        iam.get_instance_profile(InstanceProfileName="p")


def test_versions_of_a_policy(iam, account):
    policy = iam.create_policy(
        PolicyName="P",
        Path="/a/",
        PolicyDocument=document("s3:Get*"),
        Description="reads",
        Tags=[{"Key": "a", "Value": "b"}],
    )["Policy"]
    arn = policy["Arn"]
    assert arn == f"arn:aws:iam::{account}:policy/a/P"
    assert policy["PolicyId"].startswith("ANPA")
    assert policy["DefaultVersionId"] == "v1"
    assert policy["AttachmentCount"] == 0
    with fault("EntityAlreadyExists", "A policy called p already exists. Duplicate names", 409):
        iam.create_policy(PolicyName="p", PolicyDocument=document())
    for at in range(2, 6):
        made = iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=document(f"s3:Get{at}"), SetAsDefault=at == 3
        )["PolicyVersion"]
        assert made["VersionId"] == f"v{at}"
        assert made["IsDefaultVersion"] == (at == 3)
    with fault("LimitExceeded", "A managed policy can have up to 5 versions.", 409):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document())
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [at["VersionId"] for at in versions] == ["v5", "v4", "v3", "v2", "v1"]
    assert [at["VersionId"] for at in versions if at["IsDefaultVersion"]] == ["v3"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId="v4")["PolicyVersion"]
    assert found["Document"] == json.loads(document("s3:Get4"))
    with fault("DeleteConflict", "Cannot delete the default version of a policy.", 409):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    with fault("NoSuchEntity", f"Policy {arn} version v9 does not exist", 404):
        iam.get_policy_version(PolicyArn=arn, VersionId="v9")
    with fault("ValidationError", "at 'versionId' failed to satisfy constraint: Member must satisfy "
               r"regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?"):
        iam.get_policy_version(PolicyArn=arn, VersionId="latest")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    with fault("DeleteConflict", "This policy has more than one version.", 409):
        iam.delete_policy(PolicyArn=arn)
    for at in range(2, 6):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{at}")
    next_one = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document())
    assert next_one["PolicyVersion"]["VersionId"] == "v6", "numbers are not given again"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v6")

    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "c", "Value": ""}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["a"])
    found = iam.get_policy(PolicyArn=arn)["Policy"]
    assert found["Tags"] == [{"Key": "c", "Value": ""}]
    assert found["Description"] == "reads"
    iam.delete_policy(PolicyArn=arn)
    with fault("NoSuchEntity", f"Policy {arn} was not found.", 404):
        iam.get_policy(PolicyArn=arn)


def test_who_has_a_policy(iam):
    arn = iam.create_policy(PolicyName="p", PolicyDocument=document())["Policy"]["Arn"]
    for at in range(3):
        iam.create_user(UserName=f"u{at}")
        iam.attach_user_policy(UserName=f"u{at}", PolicyArn=arn)
    iam.create_group(GroupName="g")
    iam.attach_group_policy(GroupName="g", PolicyArn=arn)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(), PermissionsBoundary=arn)
    found = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (found["AttachmentCount"], found["PermissionsBoundaryUsageCount"]) == (4, 1)
    pages = iam.get_paginator("list_entities_for_policy").paginate(
        PolicyArn=arn, PaginationConfig={"PageSize": 2}
    )
    names = [
        next(value for key, value in at.items() if key.endswith("Name"))
        for page in pages
        for kind in ("PolicyGroups", "PolicyUsers", "PolicyRoles")
        for at in page[kind]
    ]
    assert sorted(names) == ["g", "r", "u0", "u1", "u2"]
    only = iam.list_entities_for_policy(PolicyArn=arn, PolicyUsageFilter="PermissionsBoundary")
    assert [at["RoleName"] for at in only["PolicyRoles"]] == ["r"]
    assert only["PolicyUsers"] == []
    assert iam.list_entities_for_policy(PolicyArn=arn, EntityFilter="Group")["PolicyUsers"] == []
    local = iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"]
    assert [at["Arn"] for at in local] == [arn]
    with fault("DeleteConflict", "Cannot delete a policy attached to entities.", 409):
        iam.delete_policy(PolicyArn=arn)


def test_policies_of_aws(iam):
    arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert policy["PolicyName"] == "AmazonS3ReadOnlyAccess"
    version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    statement = version["PolicyVersion"]["Document"]["Statement"][0]
    assert "s3:Get*" in statement["Action"]
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    names = [at["PolicyName"] for page in pages for at in page["Policies"]]
    for name in (
        "AdministratorAccess", "ReadOnlyAccess", "PowerUserAccess", "AmazonEC2FullAccess",
        "AmazonEC2ReadOnlyAccess", "AmazonS3FullAccess", "IAMFullAccess", "IAMReadOnlyAccess",
        "AmazonSSMManagedInstanceCore", "AmazonSSMReadOnlyAccess", "SecurityAudit",
        "AWSKeyManagementServicePowerUser", "ViewOnlyAccess", "AmazonECSTaskExecutionRolePolicy",
        "AWSLambdaBasicExecutionRole", "CloudWatchAgentServerPolicy", "AmazonEBSCSIDriverPolicy",
    ):
        assert name in names
    with fault("AccessDenied", status=403):
        iam.delete_policy(PolicyArn=arn)
    iam.create_user(UserName="u")
    with fault("PolicyNotAttachable", "Cannot attach a Service Role Policy"):
        iam.attach_user_policy(
            UserName="u",
            PolicyArn="arn:aws:iam::aws:policy/aws-service-role/AutoScalingServiceRolePolicy",
        )


def test_documents_are_checked_as_aws_does(iam):
    cases = {
        "no json": "Syntax errors in policy.",
        document("s3"): "Actions/Conditions must be prefaced by a vendor",
        document(Resource="bucket"): 'Resource bucket must be in ARN format or "*".',
        document(Principal="*"): "Policy document should not specify a principal.",
    }
    for text, message in cases.items():
        with fault("MalformedPolicyDocument", message):
            iam.create_policy(PolicyName="p", PolicyDocument=text)
    long = document([f"s3:Get{at:06}" for at in range(500)])
    with fault("LimitExceeded", "Cannot exceed quota for PolicySize: 6144", 409):
        iam.create_policy(PolicyName="p", PolicyDocument=long)


def test_service_linked_roles(iam, account):
    role = iam.create_service_linked_role(
        AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="web"
    )["Role"]
    name = "AWSServiceRoleForAutoScaling_web"
    path = "aws-service-role/autoscaling.amazonaws.com"
    assert role["Arn"] == f"arn:aws:iam::{account}:role/{path}/{name}"
    principal = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    assert principal == {"Service": ["autoscaling.amazonaws.com"]}
    with fault("InvalidInput", f"Service role name {name} has been taken in this account"):
        iam.create_service_linked_role(
            AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="web"
        )
    with fault("InvalidInput", "Custom suffix is not allowed for spot.amazonaws.com"):
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com", CustomSuffix="x")
    with fault("UnmodifiableEntity", "this role is only modifiable by AWS"):
        iam.delete_role(RoleName=name)
    with fault("UnmodifiableEntity", "this role is only modifiable by AWS"):
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document())
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [at["PolicyName"] for at in attached] == ["AutoScalingServiceRolePolicy"]
    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert task.startswith(f"task/{path}/{name}/")
    status = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)
    assert status["Status"] == "SUCCEEDED"
    with fault("NoSuchEntity", status=404):
        iam.get_role(RoleName=name)
    with fault("NoSuchEntity", status=404):
        iam.get_service_linked_role_deletion_status(DeletionTaskId=task + "x")
