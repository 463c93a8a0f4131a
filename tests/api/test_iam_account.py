"""IAM: the account as a whole, its identity providers, and the policy simulator."""

import json

import pytest
from fogbank_cloud import fault

ARN = "arn:aws:iam::aws:policy/AdministratorAccess"


def document(action="s3:*", **more):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def iam(open_cloud, account):
    """IAM in a new account."""
    return open_cloud.client("iam", key=account, secret="any", parameter_validation=False)


def test_alias(iam, open_cloud, account):
    alias = f"fog-{account}"
    assert iam.list_account_aliases()["AccountAliases"] == []
    iam.create_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == [alias]
    other = open_cloud.client("iam", key="999999999998", secret="any")
    with fault("EntityAlreadyExists", f"The account alias {alias} already exists.", 409):
        other.create_account_alias(AccountAlias=alias)
    with fault("ValidationError", "at 'accountAlias' failed to satisfy constraint"):
        iam.create_account_alias(AccountAlias="Not-Lower")
    iam.create_account_alias(AccountAlias=alias + "x")
    assert iam.list_account_aliases()["AccountAliases"] == [alias + "x"]
    with fault("NoSuchEntity", status=404):
        iam.delete_account_alias(AccountAlias=alias)
    iam.delete_account_alias(AccountAlias=alias + "x")
    assert iam.list_account_aliases()["AccountAliases"] == []


def test_password_policy(iam, account):
    with fault("NoSuchEntity", f"The Password Policy with domain name {account} cannot", 404):
        iam.get_account_password_policy()
    iam.update_account_password_policy(MinimumPasswordLength=12, RequireSymbols=True)
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert policy == {
        "MinimumPasswordLength": 12,
        "RequireSymbols": True,
        "RequireNumbers": False,
        "RequireUppercaseCharacters": False,
        "RequireLowercaseCharacters": False,
        "AllowUsersToChangePassword": False,
        "ExpirePasswords": False,
    }
    iam.create_user(UserName="u")
    with fault("PasswordPolicyViolation", "minimum length of 12"):
        iam.create_login_profile(UserName="u", Password="Sh0rt!")
    with fault("PasswordPolicyViolation", "at least one symbol"):
        iam.create_login_profile(UserName="u", Password="LongEnough1234")
    iam.create_login_profile(UserName="u", Password="LongEnough1234!")
    with fault("ValidationError", "at 'minimumPasswordLength' failed to satisfy constraint"):
        iam.update_account_password_policy(MinimumPasswordLength=3)
    iam.delete_account_password_policy()
    with fault("NoSuchEntity", "The account policy with name PasswordPolicy cannot be found.", 404):
        iam.delete_account_password_policy()


def test_summary_and_report(iam, account):
    before = iam.get_account_summary()["SummaryMap"]
    assert before["Users"] == 0
    assert before["UsersQuota"] == 5000
    iam.create_user(UserName="u")
    iam.create_access_key(UserName="u")
    iam.create_policy(PolicyName="p", PolicyDocument=document())
    iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v2Token")
    after = iam.get_account_summary()["SummaryMap"]
    assert (after["Users"], after["Policies"]) == (1, 1)
    assert (before["GlobalEndpointTokenVersion"], after["GlobalEndpointTokenVersion"]) == (1, 2)

    with fault("ReportNotPresent", status=410):
        iam.get_credential_report()
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    report = iam.get_credential_report()
    assert report["ReportFormat"] == "text/csv"
    header, root, user = (line.split(",") for line in report["Content"].decode().split("\n"))
    assert len(header) == len(root) == len(user) == 22
    assert root[:2] == ["<root_account>", f"arn:aws:iam::{account}:root"]
    row = dict(zip(header, user, strict=True))
    assert row["user"] == "u"
    assert row["access_key_1_active"] == "true"
    assert row["access_key_2_active"] == "false"
    assert row["password_enabled"] == "false"


def test_authorization_details(iam):
    arn = iam.create_policy(PolicyName="p", PolicyDocument=document())["Policy"]["Arn"]
    iam.create_group(GroupName="g")
    iam.attach_group_policy(GroupName="g", PolicyArn=ARN)
    iam.create_user(UserName="u", PermissionsBoundary=arn, Tags=[{"Key": "a", "Value": "b"}])
    iam.add_user_to_group(GroupName="g", UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="inline", PolicyDocument=document("ec2:*"))
    trust = document("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})
    trust = json.loads(trust)
    del trust["Statement"][0]["Resource"]
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName="i")
    iam.add_role_to_instance_profile(InstanceProfileName="i", RoleName="r")

    pages = iam.get_paginator("get_account_authorization_details").paginate(
        PaginationConfig={"PageSize": 2}
    )
    found = {"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": []}
    for page in pages:
        for kind, items in found.items():
            items += page[kind]
    (user,) = found["UserDetailList"]
    assert user["GroupList"] == ["g"]
    assert user["UserPolicyList"][0]["PolicyDocument"] == json.loads(document("ec2:*"))
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    assert user["Tags"] == [{"Key": "a", "Value": "b"}]
    (group,) = found["GroupDetailList"]
    assert group["AttachedManagedPolicies"][0]["PolicyArn"] == ARN
    (role,) = found["RoleDetailList"]
    assert role["InstanceProfileList"][0]["InstanceProfileName"] == "i"
    assert sorted(at["PolicyName"] for at in found["Policies"]) == ["AdministratorAccess", "p"]
    versions = next(at for at in found["Policies"] if at["PolicyName"] == "p")["PolicyVersionList"]
    assert versions[0]["Document"] == json.loads(document())
    only = iam.get_account_authorization_details(Filter=["Role"])
    assert len(only["RoleDetailList"]) == 1
    assert only["UserDetailList"] == only["Policies"] == []


def test_openid_connect_providers(iam, account):
    url = "https://token.actions.githubusercontent.com/a"
    made = iam.create_open_id_connect_provider(
        Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40],
        Tags=[{"Key": "a", "Value": "b"}],
    )
    arn = made["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{account}:oidc-provider/{url.removeprefix('https://')}"
    with fault("EntityAlreadyExists", f"Provider with url {url} already exists.", 409):
        iam.create_open_id_connect_provider(Url=url)
    with fault("ValidationError", "Invalid Open ID Connect Provider URL"):
        iam.create_open_id_connect_provider(Url="http://plain.example")
    with fault("InvalidInput", "Thumbprint list must contain fewer than 5 entries."):
        iam.create_open_id_connect_provider(Url=url + "b", ThumbprintList=["b" * 40] * 6)
    with fault("ValidationError", "at 'thumbprintList.1.member' failed to satisfy constraint"):
        iam.create_open_id_connect_provider(Url=url + "b", ThumbprintList=["b" * 39 + "\n\n"])
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="x")
    iam.remove_client_id_from_open_id_connect_provider(
        OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com"
    )
    iam.update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=arn, ThumbprintList=["c" * 40]
    )
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "c", "Value": ""}])
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["a"])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert found["Url"] == url.removeprefix("https://")
    assert (found["ClientIDList"], found["ThumbprintList"]) == (["x"], ["c" * 40])
    assert found["Tags"] == [{"Key": "c", "Value": ""}]
    tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
    assert tags == found["Tags"]
    listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert listed == [{"Arn": arn}]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with fault("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", 404):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_saml_providers(iam, account):
    metadata = (
        '<?xml version="1.0"?><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
        ' entityID="https://idp.example" validUntil="2040-01-02T03:04:05Z">'
        f"<!-- {'x' * 1000} --><md:IDPSSODescriptor/></md:EntityDescriptor>"
    )
    arn = iam.create_saml_provider(Name="idp", SAMLMetadataDocument=metadata)["SAMLProviderArn"]
    assert arn == f"arn:aws:iam::{account}:saml-provider/idp"
    with fault("EntityAlreadyExists", status=409):
        iam.create_saml_provider(Name="idp", SAMLMetadataDocument=metadata)
    with fault("InvalidInput", "Could not parse metadata"):
        iam.create_saml_provider(Name="b", SAMLMetadataDocument="<a>" + "x" * 1000)
    with fault("ValidationError", "at 'sAMLMetadataDocument' failed to satisfy constraint"):
        iam.create_saml_provider(Name="b", SAMLMetadataDocument="short")
    found = iam.get_saml_provider(SAMLProviderArn=arn)
    assert found["SAMLMetadataDocument"] == metadata
    assert found["ValidUntil"].isoformat() == "2040-01-02T03:04:05+00:00"
    iam.update_saml_provider(
        SAMLProviderArn=arn, SAMLMetadataDocument=metadata.replace("2040", "2041")
    )
    assert iam.get_saml_provider(SAMLProviderArn=arn)["ValidUntil"].year == 2041
    iam.tag_saml_provider(SAMLProviderArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert iam.list_saml_provider_tags(SAMLProviderArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.untag_saml_provider(SAMLProviderArn=arn, TagKeys=["a"])
    assert [at["Arn"] for at in iam.list_saml_providers()["SAMLProviderList"]] == [arn]
    iam.delete_saml_provider(SAMLProviderArn=arn)
    with fault("NoSuchEntity", status=404):
        iam.get_saml_provider(SAMLProviderArn=arn)


def decisions(answer):
    return {
        (at["EvalActionName"], at["EvalResourceName"]): at["EvalDecision"]
        for at in answer["EvaluationResults"]
    }


def test_simulating_given_policies(iam):
    text = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
    {"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"},
    {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*",
     "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}}
  ]
}"""
    actions = ["s3:GetObject", "s3:DeleteObject", "ec2:StopInstances", "iam:CreateUser"]
    answer = iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=actions)
    assert decisions(answer) == {
        ("s3:GetObject", "*"): "allowed",
        ("s3:DeleteObject", "*"): "explicitDeny",
        ("ec2:StopInstances", "*"): "implicitDeny",
        ("iam:CreateUser", "*"): "implicitDeny",
    }
    allowed, denied = answer["EvaluationResults"][:2]
    assert allowed["MatchedStatements"] == [
        {
            "SourcePolicyId": "PolicyInputList.1",
            "SourcePolicyType": "none",
            "StartPosition": {"Line": 4, "Column": 5},
            "EndPosition": {"Line": 4, "Column": 59},
        }
    ]
    assert denied["MatchedStatements"][0]["StartPosition"]["Line"] == 5
    assert allowed["MissingContextValues"] == ["aws:RequestedRegion"]
    entry = {
        "ContextKeyName": "aws:RequestedRegion",
        "ContextKeyValues": ["eu-west-1"],
        "ContextKeyType": "string",
    }
    answer = iam.simulate_custom_policy(
        PolicyInputList=[text], ActionNames=["ec2:StopInstances"], ContextEntries=[entry]
    )
    assert answer["EvaluationResults"][0]["EvalDecision"] == "allowed"
    assert answer["EvaluationResults"][0]["MissingContextValues"] == []
    bounded = iam.simulate_custom_policy(
        PolicyInputList=[text],
        PermissionsBoundaryPolicyInputList=[document("ec2:*")],
        ActionNames=["s3:GetObject"],
    )["EvaluationResults"][0]
    assert bounded["EvalDecision"] == "implicitDeny"
    assert bounded["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    objects = [f"arn:aws:s3:::bucket/{key}" for key in "ab"]
    answer = iam.simulate_custom_policy(
        PolicyInputList=[text], ActionNames=["s3:GetObject"], ResourceArns=objects
    )
    for result, arn in zip(answer["EvaluationResults"], objects, strict=True):
        (specific,) = result["ResourceSpecificResults"]
        assert specific["EvalResourceName"] == result["EvalResourceName"] == arn
        assert specific["EvalResourceDecision"] == result["EvalDecision"] == "allowed"
        assert specific["MatchedStatements"] == result["MatchedStatements"] != []
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[text])
    assert keys["ContextKeyNames"] == ["aws:RequestedRegion"]
    with fault("MalformedPolicyDocument"):
        iam.simulate_custom_policy(PolicyInputList=["x"], ActionNames=["s3:GetObject"])
    with fault("InvalidInput", "Invalid action name"):
        iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=["GetObject"])


def test_simulating_a_users_policies(iam, account):
    iam.create_user(UserName="u", Tags=[{"Key": "team", "Value": "red"}])
    iam.create_group(GroupName="g")
    iam.add_user_to_group(GroupName="g", UserName="u")
    own = document("s3:GetObject", Resource="arn:aws:s3:::home/${aws:username}/*")
    iam.put_user_policy(UserName="u", PolicyName="own", PolicyDocument=own)
    tagged = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    iam.put_group_policy(
        GroupName="g", PolicyName="tagged", PolicyDocument=document("ec2:*", Condition=tagged)
    )
    resources = [f"arn:aws:s3:::home/{name}/a" for name in ("u", "v")]
    user = f"arn:aws:iam::{account}:user/u"
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=user,
        ActionNames=["s3:GetObject", "ec2:RunInstances"],
        ResourceArns=resources,
        PaginationConfig={"PageSize": 3},
    )
    found = [at for page in pages for at in page["EvaluationResults"]]
    assert [at["EvalDecision"] for at in found] == ["allowed", "implicitDeny", "allowed", "allowed"]
    assert found[0]["MatchedStatements"][0]["SourcePolicyId"] == "user_u_own"
    assert found[2]["MatchedStatements"][0]["SourcePolicyId"] == "group_g_tagged"
    assert found[2]["MatchedStatements"][0]["SourcePolicyType"] == "group"
    iam.attach_user_policy(UserName="u", PolicyArn=ARN)
    answer = iam.simulate_principal_policy(PolicySourceArn=user, ActionNames=["iam:CreateUser"])
    assert answer["EvaluationResults"][0]["EvalDecision"] == "allowed"
    matched = answer["EvaluationResults"][0]["MatchedStatements"]
    assert matched[0]["SourcePolicyId"] == "AdministratorAccess"
    with fault("NoSuchEntity", status=404):
        iam.simulate_principal_policy(PolicySourceArn=user + "x", ActionNames=["s3:GetObject"])
    keys = iam.get_context_keys_for_principal_policy(PolicySourceArn=user)["ContextKeyNames"]
    assert keys == ["aws:PrincipalTag/team", "aws:username"]
