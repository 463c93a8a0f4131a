"""S3 from inside a VPC: by name, at a link-local address, without a route or a rule."""

import hashlib
import os

import botocore.config
import pytest
from fogbank_cloud import REGION

ADDRESS = "169.254.169.250"
NAMES = [
    f"s3.{REGION}.amazonaws.com", f"photos.s3.{REGION}.amazonaws.com", "s3.amazonaws.com",
    "photos.s3.amazonaws.com", "s3.fogbank.internal", "photos.s3.fogbank.internal",
    "fogbank.internal", f"ec2.{REGION}.amazonaws.com", "sts.eu-west-1.amazonaws.com",
    "sts.amazonaws.com", "iam.amazonaws.com", f"kms.{REGION}.amazonaws.com",
]


@pytest.fixture(scope="module")
def bucket(guest_cloud):
    guest_cloud.client("s3").create_bucket(Bucket="guests")
    return "guests"


def url(cloud, operation, bucket, key, name=f"s3.{REGION}.amazonaws.com", style="path"):
    """A presigned URL for a name that only guests resolve."""
    client = cloud.session.create_client(
        "s3", region_name=REGION, endpoint_url=f"http://{name}",
        aws_access_key_id=cloud.key, aws_secret_access_key=cloud.secret,
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": style}
        ),
    )
    return client.generate_presigned_url(operation, {"Bucket": bucket, "Key": key})


@pytest.mark.parametrize("name", NAMES)
def test_names_lead_to_the_endpoint(one, name):
    assert ADDRESS in one.ssh(f"nslookup {name} | tail -n +3"), name


def test_an_object_by_wget(guest_cloud, one, bucket):
    guest_cloud.client("s3").put_object(Bucket=bucket, Key="hello", Body=b"from outside\n")
    link = url(guest_cloud, "get_object", bucket, "hello")
    assert one.ssh(f"wget -q -O - '{link}'") == "from outside"
    link = url(guest_cloud, "get_object", bucket, "hello", "s3.fogbank.internal", "virtual")
    assert "//guests.s3.fogbank.internal/" in link
    assert one.ssh(f"wget -q -O - '{link}'") == "from outside"


def test_a_large_object_both_ways(guest_cloud, one, bucket):
    """More than any buffer on the way holds."""
    body = os.urandom(8 << 20)
    guest_cloud.client("s3").put_object(Bucket=bucket, Key="large", Body=body)
    down, up = (url(guest_cloud, what, bucket, key) for what, key in
                [("get_object", "large"), ("put_object", "back")])
    one.ssh(f"curl -sf -o /tmp/large '{down}' && curl -sf -T /tmp/large '{up}'", seconds=180)
    assert one.ssh("sha256sum /tmp/large").split()[0] == hashlib.sha256(body).hexdigest()
    back = guest_cloud.client("s3").get_object(Bucket=bucket, Key="back")["Body"].read()
    assert back == body


def test_other_services_and_what_is_not_for_guests(one, guest_cloud):
    form = "Action=DescribeRegions&Version=2016-11-15"
    answer = one.ssh(f"curl -s -d '{form}' http://fogbank.internal/")
    assert "MissingAuthenticationToken" in answer or "AuthFailure" in answer, answer
    for path in ("health", "reset"):
        code = "curl -s -o /dev/null -w '%{http_code}' -X POST http://fogbank.internal/_fogbank/"
        assert one.ssh(code + path) == "403"
    done = one.ssh("curl -s -m 10 https://s3.amazonaws.com/", check=False)
    assert done.returncode == 60, "TLS is offered, by an authority that this guest doesn't trust"
    link = url(guest_cloud, "get_object", "guests", "none").replace("X-Amz-Signature=", "&x=")
    code = one.ssh(f"curl -s -o /dev/null -w '%{{http_code}}' '{link}'")
    assert code in ("400", "403"), "a link that is no longer signed"
