"""Instance profiles on instances, who may give them, and the account's metadata defaults."""

import json

import pytest
from botocore.exceptions import ClientError
from fogbank_cloud import Cloud, fault, image, instance, started, wait_state

TRUST = json.dumps({"Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole",
}})


def make_profile(iam, name, role=True, path="/"):
    """An instance profile, with a role of its name; gives its ARN and ID."""
    made = iam.create_instance_profile(InstanceProfileName=name, Path=path)["InstanceProfile"]
    if role:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return {"Arn": made["Arn"], "Id": made["InstanceProfileId"]}


@pytest.fixture
def iam(open_cloud, account):
    return open_cloud.client("iam", key=account, secret="any")


@pytest.fixture
def run(ec2, ami):
    """Launches an instance and waits until it runs; gives its ID."""

    def launch(**more):
        made = ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, **more
        )["Instances"][0]
        wait_state(ec2, made["InstanceId"], "running")
        return made["InstanceId"]

    return launch


def associations(ec2, *ids, **filters):
    filters = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in
               filters.items()]
    more = {"AssociationIds": list(ids)} if ids else {}
    return ec2.describe_iam_instance_profile_associations(Filters=filters, **more)[
        "IamInstanceProfileAssociations"
    ]


def test_an_instance_is_launched_with_a_profile(ec2, iam, run):
    web = make_profile(iam, "web", path="/apps/")
    by_name = run(IamInstanceProfile={"Name": "web"})
    by_arn = run(IamInstanceProfile={"Arn": web["Arn"]})
    bare = run(IamInstanceProfile={})
    for one in (by_name, by_arn):
        assert instance(ec2, one)["IamInstanceProfile"] == web
        (row,) = associations(ec2, instance_id=one)
        assert row["IamInstanceProfile"] == web
        assert (row["InstanceId"], row["State"]) == (one, "associated")
    assert "IamInstanceProfile" not in instance(ec2, bare)
    for name, value in (
        ("iam-instance-profile.arn", web["Arn"]), ("iam-instance-profile.id", web["Id"]),
        ("iam-instance-profile.name", "web"),
    ):
        found = ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])
        found = [one["InstanceId"] for row in found["Reservations"] for one in row["Instances"]]
        assert sorted(found) == sorted([by_name, by_arn]), name
    ec2.terminate_instances(InstanceIds=[by_name])
    wait_state(ec2, by_name, "terminated")
    assert [row["InstanceId"] for row in associations(ec2)] == [by_arn]


def test_profiles_that_cannot_be_launched_with(ec2, iam, ami):
    bare = make_profile(iam, "bare", role=False)
    elsewhere = bare["Arn"].replace("bare", "none")

    def launch(**profile):
        ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1,
            IamInstanceProfile=profile,
        )

    with fault("InvalidParameterValue", "Value (none) for parameter iamInstanceProfile.name is "
               "invalid. Invalid IAM Instance Profile name"):
        launch(Name="none")
    with fault("InvalidParameterValue", f"Value ({elsewhere}) for parameter "
               "iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN"):
        launch(Arn=elsewhere)
    with fault("InvalidParameterValue", f'IAM Instance Profile "{bare["Arn"]}" has no associated '
               "IAM Roles"):
        launch(Name="bare")
    with fault("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not "
               "be used in combination with 'iamInstanceProfile.arn'"):
        launch(Name="bare", Arn=bare["Arn"])
    assert not ec2.describe_instances()["Reservations"], "nothing was launched"


def test_a_life_of_associations(ec2, iam, run):
    web, db = make_profile(iam, "web"), make_profile(iam, "db")
    one = run()
    made = ec2.associate_iam_instance_profile(InstanceId=one, IamInstanceProfile={"Name": "web"})
    made = made["IamInstanceProfileAssociation"]
    assert made["AssociationId"].startswith("iip-assoc-")
    assert (made["State"], made["IamInstanceProfile"]) == ("associating", web)
    with fault("IncorrectState", f"There is an existing association for instance {one}"):
        ec2.associate_iam_instance_profile(InstanceId=one, IamInstanceProfile={"Name": "db"})
    (row,) = associations(ec2, made["AssociationId"])
    assert row["State"] == "associated"
    assert associations(ec2, state="disassociating") == []

    new = ec2.replace_iam_instance_profile_association(
        AssociationId=made["AssociationId"], IamInstanceProfile={"Arn": db["Arn"]}
    )["IamInstanceProfileAssociation"]
    assert new["AssociationId"] != made["AssociationId"]
    assert (new["State"], instance(ec2, one)["IamInstanceProfile"]) == ("associating", db)
    gone = f"An invalid association-id of '{made['AssociationId']}' was given"
    for call in (
        lambda: associations(ec2, made["AssociationId"]),
        lambda: ec2.disassociate_iam_instance_profile(AssociationId=made["AssociationId"]),
        lambda: ec2.replace_iam_instance_profile_association(
            AssociationId=made["AssociationId"], IamInstanceProfile={"Name": "web"}
        ),
    ):
        with fault("InvalidAssociationID.NotFound", gone):
            call()

    # The association outlives its profile, as AWS has it; the instance has nothing of it.
    iam.remove_role_from_instance_profile(InstanceProfileName="db", RoleName="db")
    iam.delete_instance_profile(InstanceProfileName="db")
    assert instance(ec2, one)["IamInstanceProfile"] == db
    taken = ec2.disassociate_iam_instance_profile(AssociationId=new["AssociationId"])
    assert taken["IamInstanceProfileAssociation"]["State"] == "disassociating"
    assert "IamInstanceProfile" not in instance(ec2, one)
    assert associations(ec2) == []


def test_the_state_of_the_instance(ec2, iam, run):
    make_profile(iam, "web")
    one = run()
    ec2.stop_instances(InstanceIds=[one])
    wait_state(ec2, one, "stopped")
    ec2.associate_iam_instance_profile(InstanceId=one, IamInstanceProfile={"Name": "web"})
    assert len(associations(ec2, instance_id=one)) == 1
    ec2.terminate_instances(InstanceIds=[one])
    wait_state(ec2, one, "terminated")
    why = f"The instance '{one}' is not in the 'running' or 'stopped' states."
    with fault("IncorrectInstanceState", why):
        ec2.associate_iam_instance_profile(InstanceId=one, IamInstanceProfile={"Name": "web"})
    with fault("InvalidInstanceID.NotFound"):
        ec2.associate_iam_instance_profile(
            InstanceId="i-0123456789abcdef0", IamInstanceProfile={"Name": "web"}
        )
    with fault("InvalidParameterValue", "The filter 'x'"):
        associations(ec2, x="y")


def test_pages(ec2, iam, run):
    make_profile(iam, "web")
    made = {run(IamInstanceProfile={"Name": "web"}) for _ in range(6)}
    first = ec2.describe_iam_instance_profile_associations(MaxResults=5)
    rest = ec2.describe_iam_instance_profile_associations(NextToken=first["NextToken"])
    assert len(first["IamInstanceProfileAssociations"]) == 5
    found = first["IamInstanceProfileAssociations"] + rest["IamInstanceProfileAssociations"]
    assert {row["InstanceId"] for row in found} == made
    assert "NextToken" not in rest


def test_accounts_do_not_meet(open_cloud, ec2, iam, run):
    make_profile(iam, "web")
    run(IamInstanceProfile={"Name": "web"})
    (row,) = associations(ec2)
    stranger = open_cloud.client(key="999999999999", secret="any")
    assert associations(stranger) == []
    with fault("InvalidAssociationID.NotFound"):
        stranger.disassociate_iam_instance_profile(AssociationId=row["AssociationId"])


def test_metadata_defaults(ec2, run):
    def level():
        found = ec2.get_instance_metadata_defaults()["AccountLevel"]
        found.pop("ManagedBy")
        return found

    assert level() == {}
    ec2.modify_instance_metadata_defaults(
        HttpTokens="optional", HttpPutResponseHopLimit=7, InstanceMetadataTags="enabled"
    )
    assert level() == {
        "HttpTokens": "optional", "HttpPutResponseHopLimit": 7, "InstanceMetadataTags": "enabled",
    }
    options = instance(ec2, run())["MetadataOptions"]
    assert options["HttpTokens"] == "optional"
    assert options["HttpPutResponseHopLimit"] == 7
    assert options["InstanceMetadataTags"] == "enabled"
    options = instance(ec2, run(MetadataOptions={"HttpTokens": "required"}))["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 7)
    ec2.modify_instance_metadata_defaults(
        HttpTokens="no-preference", HttpPutResponseHopLimit=-1,
        InstanceMetadataTags="no-preference",
    )
    assert level() == {}
    assert instance(ec2, run())["MetadataOptions"]["HttpTokens"] == "required"
    for limit in (0, 65, -2):
        with fault("InvalidParameterValue"):
            ec2.modify_instance_metadata_defaults(HttpPutResponseHopLimit=limit)


# Who may


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture(scope="module")
def strict(cloud):
    """Two profiles and an instance in a cloud that checks."""
    iam, ec2 = cloud.client("iam"), cloud.client()
    profiles = {name: make_profile(iam, name) for name in ("web", "db")}
    made = ec2.run_instances(
        ImageId=image(ec2), InstanceType="t3.micro", MinCount=1, MaxCount=1
    )["Instances"][0]["InstanceId"]
    wait_state(ec2, made, "running")
    iam.create_user(UserName="giver")
    key = iam.create_access_key(UserName="giver")["AccessKey"]
    client = cloud.client(key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    return iam, client, made, profiles


def allow(action, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def may(iam, *statements):
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_user_policy(UserName="giver", PolicyName="own", PolicyDocument=document)


def refused(call, action):
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == "UnauthorizedOperation", error
    assert action in error["Message"], error


def test_who_gives_a_profile_passes_its_role_on(strict, cloud):
    iam, client, one, profiles = strict

    def give(name="web"):
        return client.associate_iam_instance_profile(
            InstanceId=one, IamInstanceProfile={"Name": name}
        )["IamInstanceProfileAssociation"]["AssociationId"]

    may(iam, allow("ec2:AssociateIamInstanceProfile"))
    refused(give, "iam:PassRole")
    role = iam.get_role(RoleName="web")["Role"]["Arn"]
    to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com"}
    passes = allow("iam:PassRole", role, StringEquals=to_ec2)
    may(iam, allow("ec2:AssociateIamInstanceProfile"), passes)
    refused(lambda: give("db"), "iam:PassRole")
    given = give()
    wanted = {"ec2:InstanceProfile": profiles["web"]["Arn"]}
    news = {"ec2:NewInstanceProfile": profiles["db"]["Arn"]}
    passes_all = allow("iam:PassRole")
    replaces = "ec2:ReplaceIamInstanceProfileAssociation"

    def replace(association):
        return client.replace_iam_instance_profile_association(
            AssociationId=association, IamInstanceProfile={"Name": "db"}
        )["IamInstanceProfileAssociation"]["AssociationId"]

    may(iam, passes_all, allow(replaces, ArnEquals={**wanted, **{
        "ec2:NewInstanceProfile": profiles["web"]["Arn"]}}))
    refused(lambda: replace(given), replaces)
    may(iam, passes_all, allow(replaces, f"arn:aws:ec2:*:*:instance/{one}",
                               ArnEquals={**wanted, **news}))
    given = replace(given)
    takes = "ec2:DisassociateIamInstanceProfile"
    may(iam, allow(takes, ArnEquals=wanted))
    refused(lambda: client.disassociate_iam_instance_profile(AssociationId=given), takes)
    may(iam, allow(takes, f"arn:aws:ec2:*:*:instance/{one}",
                   ArnEquals={"ec2:InstanceProfile": profiles["db"]["Arn"]}))
    client.disassociate_iam_instance_profile(AssociationId=given)
    assert associations(cloud.client()) == []


def test_who_launches_with_a_profile(strict, cloud):
    iam, client, _, profiles = strict
    ami = image(cloud.client())

    def launch(name):
        client.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, DryRun=True,
            IamInstanceProfile={"Name": name},
        )

    may(iam, allow("ec2:RunInstances"))
    refused(lambda: launch("web"), "iam:PassRole")
    only_web = {
        "Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:*:*:instance/*",
        "Condition": {"ArnNotEquals": {"ec2:InstanceProfile": profiles["web"]["Arn"]}},
    }
    may(iam, allow("ec2:RunInstances"), allow("iam:PassRole"), only_web)
    refused(lambda: launch("db"), "ec2:RunInstances")
    with fault("DryRunOperation", status=412):
        launch("web")
