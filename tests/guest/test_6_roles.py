"""Instance roles and signed identity as a guest sees them, while things change and processes are killed."""

import base64
import json
import os
import signal
import subprocess

import botocore.config
import pytest
from fogbank_cloud import REGION, fault, until
from fogbank_guest import TOKEN, URL, imds
from fogbank_roles import allow, make_role, trust

SECURITY = "meta-data/iam/security-credentials/"


def found(guest, path, address=None):
    """What a path of the metadata service has; nothing if there is none."""
    done = imds(guest, path, check=False, address=address)
    return done.stdout.strip() if done.returncode == 0 else None


def credentials(guest, role, address=None):
    text = found(guest, SECURITY + role, address)
    return json.loads(text) if text else {}


def client(cloud, given, service):
    """A client outside of the guest that signs with what the guest was given."""
    return cloud.session.create_client(
        service, region_name=REGION, endpoint_url=cloud.endpoint,
        aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def iam(guest_cloud):
    return guest_cloud.client("iam")


@pytest.fixture
def associate(guests):
    """Gives a guest a profile, which it loses at the end of the test."""
    given = []

    def call(guest, name):
        made = guests.ec2.associate_iam_instance_profile(
            InstanceId=guest.id, IamInstanceProfile={"Name": name}
        )
        given.append(guest.id)
        return made["IamInstanceProfileAssociation"]["AssociationId"]

    yield call
    for row in guests.ec2.describe_iam_instance_profile_associations()[
        "IamInstanceProfileAssociations"
    ]:
        if row["InstanceId"] in given:
            guests.ec2.disassociate_iam_instance_profile(AssociationId=row["AssociationId"])


def openssl(*words, folder):
    done = subprocess.run(
        ["openssl", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode == 0, done.stdout, done.stderr


def test_the_identity_is_signed(guest_cloud, one, tmp_path):
    """By the very commands of AWS's guide."""
    certificate = guest_cloud.fogbank("identity-certificate").stdout
    (tmp_path / "certificate").write_text(certificate)
    document = found(one, "dynamic/instance-identity/document")
    assert json.loads(document)["instanceId"] == one.id
    for name in ("pkcs7", "rsa2048"):
        message = found(one, f"dynamic/instance-identity/{name}")
        lines = f"-----BEGIN PKCS7-----\n{message}\n-----END PKCS7-----\n"
        (tmp_path / name).write_text(lines)
        words = ("smime", "-verify", "-in", name, "-inform", "PEM", "-certfile", "certificate")
        good, said, why = openssl(*words, "-noverify", folder=tmp_path)
        assert good and "successful" in why, why
        assert said == document
    command = (
        f'{TOKEN} && curl -sf -H "X-aws-ec2-metadata-token: $TOKEN" '
        f"{URL}/latest/dynamic/instance-identity/signature | base64 -d | base64 -w 0"
    )
    (tmp_path / "signature").write_bytes(base64.b64decode(one.ssh(command)))
    (tmp_path / "document").write_text(document)
    _, key, _ = openssl("x509", "-pubkey", "-noout", "-in", "certificate", folder=tmp_path)
    (tmp_path / "key").write_text(key)
    words = ("dgst", "-sha256", "-verify", "key", "-signature", "signature", "document")
    assert openssl(*words, folder=tmp_path)[1].strip() == "Verified OK"
    (tmp_path / "document").write_text(document.replace(one.id, "i-0123456789abcdef0"))
    assert not openssl(*words, folder=tmp_path)[0], "another document has another signature"


def test_a_role_comes_changes_and_goes(guest_cloud, guests, one, iam, associate):
    assert found(one, "meta-data/iam/info") is None
    assert "iam/" not in found(one, "meta-data/")
    row = one.describe()
    arn = make_role(
        iam, "first",
        allow("ec2:DescribeVpcs", ArnEquals={
            "ec2:SourceInstanceARN": f"arn:aws:ec2:{REGION}:{row['NetworkInterfaces'][0]['OwnerId']}"
                                     f":instance/{one.id}",
        }),
        allow("s3:ListAllMyBuckets", StringEquals={
            "aws:Ec2InstanceSourceVpc": row["VpcId"],
            "aws:Ec2InstanceSourcePrivateIPv4": row["PrivateIpAddress"],
        }),
    )
    make_role(iam, "second")
    association = associate(one, "first")
    until("the guest has its role", lambda: found(one, SECURITY) == "first", 10)
    info = json.loads(found(one, "meta-data/iam/info"))
    assert (info["Code"], info["InstanceProfileArn"]) == ("Success", arn)
    given = credentials(one, "first")
    assert (given["Code"], given["Type"]) == ("Success", "AWS-HMAC")
    who = client(guest_cloud, given, "sts").get_caller_identity()["Arn"]
    assert who.endswith(f":assumed-role/first/{one.id}")
    client(guest_cloud, given, "ec2").describe_vpcs()
    client(guest_cloud, given, "s3").list_buckets()
    with fault("UnauthorizedOperation", status=403):
        client(guest_cloud, given, "ec2").describe_subnets()
    used = until("the role's use is noted", lambda: iam.get_role(RoleName="first")["Role"].get(
        "RoleLastUsed"))
    assert used["Region"] == REGION

    iam.update_assume_role_policy(
        RoleName="first", PolicyDocument=trust("lambda.amazonaws.com")
    )
    refused = "AssumeRoleUnauthorizedAccess"
    until("it isn't trusted", lambda: credentials(one, "first").get("Code") == refused, 10)
    iam.update_assume_role_policy(RoleName="first", PolicyDocument=trust())
    until("it is trusted", lambda: credentials(one, "first").get("Code") == "Success", 10)

    guests.ec2.replace_iam_instance_profile_association(
        AssociationId=association, IamInstanceProfile={"Name": "second"}
    )
    until("the guest has its new role", lambda: found(one, SECURITY) == "second", 10)
    iam.remove_role_from_instance_profile(InstanceProfileName="second", RoleName="second")
    until("there is no role", lambda: found(one, SECURITY) is None, 10)
    assert "does not contain a role" in found(one, "meta-data/iam/info")
    iam.delete_instance_profile(InstanceProfileName="second")
    info = "meta-data/iam/info"
    until("there is no profile", lambda: "InstanceProfileNotFound" in found(one, info), 10)
    (row,) = guests.ec2.describe_iam_instance_profile_associations()[
        "IamInstanceProfileAssociations"
    ]
    guests.ec2.disassociate_iam_instance_profile(AssociationId=row["AssociationId"])
    until("nothing is left", lambda: found(one, info) is None, 10)

    # Credentials that were given out end with their role.
    iam.remove_role_from_instance_profile(InstanceProfileName="first", RoleName="first")
    iam.delete_role_policy(RoleName="first", PolicyName="own")
    client(guest_cloud, given, "sts").get_caller_identity()
    iam.delete_role(RoleName="first")
    with fault("InvalidClientTokenId", status=403):
        client(guest_cloud, given, "sts").get_caller_identity()


def test_credentials_outlive_server_and_agent(guest_cloud, one, iam, associate):
    make_role(iam, "lasting")
    associate(one, "lasting")
    until("the guest has its role", lambda: found(one, SECURITY) == "lasting", 10)
    before, address = credentials(one, "lasting"), one.public_ip
    server = guest_cloud.processes()["server"]
    os.kill(server, signal.SIGSTOP)
    try:
        assert credentials(one, "lasting", address) == before, "the host has them"
    finally:
        os.kill(server, signal.SIGCONT)
    for role in ("server", "agent"):
        guest_cloud.replaced(guest_cloud.kill(role))
        until(
            "the guest has credentials",
            lambda: credentials(one, "lasting").get("Code") == "Success",
            30,
        )
        for given in (before, credentials(one, "lasting")):
            who = client(guest_cloud, given, "sts").get_caller_identity()["Arn"]
            assert who.endswith(f"/lasting/{one.id}")
    secrets = [before["SecretAccessKey"], before["Token"]]
    for path in guest_cloud.data.rglob("*"):
        if path.is_file() and path.stat().st_size < 64 << 20:
            text = path.read_bytes()
            assert not any(secret.encode() in text for secret in secrets), path
