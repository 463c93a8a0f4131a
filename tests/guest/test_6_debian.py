"""The Debian 12 image: what an unmodified cloud image with cloud-init makes of this EC2, and what AWS's
own tools make of it inside, which nobody told where to go or who they are."""

import io
import json
import sysconfig
import tarfile
from pathlib import Path

import botocore.config
import pytest
from fogbank_cloud import REGION
from fogbank_roles import allow, make_role

# Follows what `fogbank user-data` prints, which ends with a list of files.
USER_DATA = """  - path: /etc/from-user-data
    content: written by cloud-init
runcmd:
  - echo ran >>/var/lib/user-data-runs
"""

# Asks for a token and prints the TTL of the packets that come back.
HOP_LIMIT = """
import socket, urllib.request
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
raw.settimeout(5)
request = urllib.request.Request(
    "http://169.254.169.254/latest/api/token", method="PUT",
    headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
)
urllib.request.urlopen(request, timeout=10).read()
source = socket.inet_aton("169.254.169.254")
while True:
    packet = raw.recv(65535)
    if packet[26:30] == source and len(packet) > 200:
        print(packet[22])
        break
"""


# What the aws CLI and boto3 are made of; of the services' models, those that are used here, and those
# whose commands the CLI changes whenever it starts.
PACKAGES = [
    "awscli", "boto3", "botocore", "colorama", "dateutil", "docutils", "jmespath", "pyasn1", "rsa",
    "s3transfer", "six.py", "urllib3", "yaml",
]
MODELS = [
    "ec2", "s3", "sso", "sso-oidc", "sts",
    "codedeploy", "config", "sagemaker-runtime", "sdb", "sms-voice",
]

# The three services by one process of boto3's, with nothing set but the region.
BOTO = f"""
import boto3
name = dict(region_name="{REGION}")
print(boto3.client("sts", **name).get_caller_identity()["Arn"])
print(boto3.client("s3", **name).get_object(Bucket="tools", Key="hello")["Body"].read().decode())
vpcs = boto3.client("ec2", **name).describe_vpcs()["Vpcs"]
print(vpcs[0]["VpcId"])
session = boto3.Session(**name)
print(session.get_credentials().method)
"""


def tools():
    """The aws CLI and boto3 as they are installed here, as an archive."""
    site = Path(sysconfig.get_paths()["purelib"])

    def wanted(entry):
        parts = Path(entry.name).parts
        if parts[:2] == ("awscli", "examples"):
            return None
        if parts[:2] == ("botocore", "data") and len(parts) > 3 and parts[2] not in MODELS:
            return None
        return entry

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for package in PACKAGES:
            tar.add(site / package, package, filter=wanted)
    return archive.getvalue()


@pytest.fixture(scope="module")
def debian(guest_cloud, guests):
    """A guest with a role that may what is asked from inside of its VPC alone."""
    guest_cloud.client("s3").create_bucket(Bucket="tools")
    guest_cloud.client("s3").put_object(Bucket="tools", Key="hello", Body=b"from S3")
    vpc = guests.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    inside = {"StringEquals": {"aws:SourceVpc": vpc}}
    make_role(
        guest_cloud.client("iam"), "debian",
        *(allow(action, **inside) for action in
          ("s3:ListAllMyBuckets", "s3:GetObject", "ec2:DescribeInstances", "ec2:DescribeVpcs")),
    )
    root = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 10}}
    guest = guests.launch(
        "debian-12", user="admin", InstanceType="t3.small",
        UserData=guest_cloud.fogbank("user-data").stdout + USER_DATA,
        BlockDeviceMappings=[root], MetadataOptions={"HttpPutResponseHopLimit": 7},
        IamInstanceProfile={"Name": "debian"},
    )
    yield guest.ready(seconds=180)
    guest.terminate(seconds=120)


def test_debian(debian):
    guest = debian
    done = guest.ssh("cloud-init status --wait --long", check=False, seconds=180).stdout
    assert "status: done" in done, done
    assert "DataSourceEc2" in done, done
    assert guest.ssh("cat /etc/from-user-data") == "written by cloud-init"
    assert guest.ssh("cat /var/lib/user-data-runs") == "ran"
    assert guest.ssh("cloud-init query instance_id") == guest.id
    assert guest.ssh("hostname -f") == guest.describe()["PrivateDnsName"]
    assert int(guest.ssh("df -m --output=size / | tail -1")) > 9000
    assert guest.ssh("systemctl is-system-running --wait || systemctl --failed") == "running"
    assert guest.ssh("lsblk -dno SERIAL /dev/nvme0n1").startswith("vol0")
    assert guest.ssh("sudo python3 -", text=HOP_LIMIT) == "7"


def test_awss_tools_inside(guest_cloud, debian):
    """No endpoint, no key, no file: names, certificates and the role's credentials are all there."""
    guest_cloud.client("s3").put_object(Bucket="tools", Key="aws.tar.gz", Body=tools())
    presigner = guest_cloud.session.create_client(
        "s3", region_name=REGION, aws_access_key_id=guest_cloud.key,
        aws_secret_access_key=guest_cloud.secret,
        config=botocore.config.Config(signature_version="s3v4"),
    )
    link = presigner.generate_presigned_url("get_object", {"Bucket": "tools", "Key": "aws.tar.gz"})
    assert link.startswith("https://tools.s3.amazonaws.com/"), "AWS's own name, by TLS"
    debian.ssh(f"mkdir aws && curl -sSf '{link}' | tar -xz -C aws", seconds=120)

    def aws(words):
        said = debian.ssh(
            f"PYTHONPATH=aws AWS_DEFAULT_REGION={REGION} python3 -m awscli {words}", seconds=180
        )
        return said

    arn = f":assumed-role/debian/{debian.id}"
    assert json.loads(aws("sts get-caller-identity"))["Arn"].endswith(arn)
    assert "tools" in aws("s3 ls")
    query = "'Reservations[].Instances[].InstanceId' --output text"
    assert debian.id in aws(f"ec2 describe-instances --query {query}")
    said = debian.ssh("PYTHONPATH=aws python3 -", text=BOTO, seconds=180).splitlines()
    assert said[0].endswith(arn)
    assert said[1] == "from S3"
    assert said[2] == debian.describe()["VpcId"]
    assert said[3] == "iam-role"
