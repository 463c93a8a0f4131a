"""TLS at the cloud's one port, by a certificate authority of its own; plain HTTP beside it."""

import json
import socket
import ssl
import subprocess

import botocore.exceptions
import botocore.session
import pytest
from fogbank_cloud import REGION, Cloud, fault, started


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture
def authority(cloud):
    return cloud.data / "tls" / "ca.pem"


def client(cloud, service, verify, host="localhost"):
    return botocore.session.get_session().create_client(
        service,
        region_name=REGION,
        endpoint_url=f"https://{host}:{cloud.port}",
        aws_access_key_id=cloud.key,
        aws_secret_access_key=cloud.secret,
        verify=verify,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_services_by_tls(cloud, authority, host):
    trusted = str(authority)
    account = client(cloud, "sts", trusted, host).get_caller_identity()["Account"]
    assert account == cloud.client("sts").get_caller_identity()["Account"]
    assert len(client(cloud, "ec2", trusted, host).describe_vpcs()["Vpcs"]) == 1
    s3, body = client(cloud, "s3", trusted, host), bytes(range(256)) * 8192
    bucket = f"by-tls-{host.replace('.', '-')}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    assert cloud.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_who_does_not_trust_the_authority(cloud):
    with pytest.raises(botocore.exceptions.SSLError):
        client(cloud, "sts", True).get_caller_identity()


def test_a_bucket_that_wants_tls(cloud, authority):
    s3 = client(cloud, "s3", str(authority))
    s3.create_bucket(Bucket="wants-tls")
    s3.put_object(Bucket="wants-tls", Key="k", Body=b"x")
    statement = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::wants-tls/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket="wants-tls", Policy=json.dumps(policy))
    assert s3.get_object(Bucket="wants-tls", Key="k")["Body"].read() == b"x"
    with fault("AccessDenied", status=403):
        cloud.client("s3").get_object(Bucket="wants-tls", Key="k")


def test_the_certificate_is_of_the_name_asked_for(cloud, authority):
    context = ssl.create_default_context(cafile=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("ec2.us-east-1.amazonaws.com", "bucket.s3.amazonaws.com", "fogbank.internal"):
        with socket.create_connection(("127.0.0.1", cloud.port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as stream:
                names = stream.getpeercert()["subjectAltName"]
                assert names == (("DNS", name),)
                assert stream.version() in ("TLSv1.2", "TLSv1.3")


def test_old_versions_and_noise_are_refused(cloud):
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=10) as stream:
        stream.sendall(b"\x16\x03\x00\x00\x05hello and more that is no handshake at all")
        answer = stream.recv(100)
        assert answer == b"" or answer[0] == 21, "an alert of TLS, or nothing"
    assert len(cloud.client("ec2").describe_vpcs()["Vpcs"]) == 1


def test_the_command_line_trusts_the_authority(cloud, authority):
    """What `fogbank env --tls` exports is all that the aws CLI needs."""
    exported = cloud.fogbank("env", "--tls").stdout
    assert f"export AWS_ENDPOINT_URL=https://127.0.0.1:{cloud.port}\n" in exported
    assert f"export AWS_CA_BUNDLE={authority}\n" in exported
    environment = cloud.environment() | {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{cloud.port}"}
    for words in (["sts", "get-caller-identity"], ["s3", "mb", "s3://made-by-tls"]):
        done = subprocess.run(
            ["aws", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_authority_stays(cloud, authority):
    """A restart changes neither key nor certificate: clients trust them."""
    before = authority.read_bytes()
    assert (authority.parent / "ca.key").stat().st_mode & 0o777 == 0o600
    cloud.down()
    cloud.up()
    assert authority.read_bytes() == before
    assert client(cloud, "sts", str(authority)).get_caller_identity()["Account"]


def test_a_user_who_may_only_by_tls(cloud, authority):
    """Policies see which way a call came."""
    iam = cloud.client("iam")
    iam.create_user(UserName="careful")
    statement = {
        "Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "true"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="careful", PolicyName="by-tls", PolicyDocument=policy)
    key = iam.create_access_key(UserName="careful")["AccessKey"]
    with fault("UnauthorizedOperation", status=403):
        cloud.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"]).describe_vpcs()
    ec2 = botocore.session.get_session().create_client(
        "ec2", region_name=REGION, endpoint_url=f"https://localhost:{cloud.port}",
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
        verify=str(authority),
    )
    assert ec2.describe_vpcs()["Vpcs"]
