"""Roles by web identity: a real issuer's tokens over HTTPS, and whatever else somebody may send."""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import subprocess
import time
import urllib.parse

import botocore
import botocore.config
import botocore.session
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from fogbank_cloud import Cloud, fault, started, until
from oidc_issuer import Issuer, encoded, signed, silent

_names = itertools.count(1)
ACCOUNT = "123456789012"
AUDIENCE = "sts.amazonaws.com"


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud("--loopback-issuers"))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    issuer = Issuer(tmp_path_factory.mktemp("issuer"))
    issuer.new_key("one")
    yield issuer
    issuer.close()


@pytest.fixture(scope="module")
def provider(cloud, issuer):
    """The issuer as a provider of the first account."""
    made = cloud.client("iam").create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=[AUDIENCE], ThumbprintList=[issuer.thumbprint()]
    )
    return made["OpenIDConnectProviderArn"]


def trusting(cloud, provider, actions=("sts:AssumeRoleWithWebIdentity",), **condition):
    """A role that trusts a provider; gives its ARN."""
    statement = {
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": list(actions),
    }
    if condition:
        statement["Condition"] = condition
    document = {"Version": "2012-10-17", "Statement": [statement]}
    name = f"web-{next(_names)}"
    iam = cloud.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]
    may = {"Effect": "Allow", "Action": ["ec2:*", "s3:*"], "Resource": "*"}
    iam.put_role_policy(
        RoleName=name, PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]}),
    )
    return role["Arn"]


@pytest.fixture
def role(cloud, provider):
    return trusting(cloud, provider)


@pytest.fixture
def sts(cloud):
    """STS for somebody without any credentials."""
    return cloud.session.create_client(
        "sts", region_name="us-east-1", endpoint_url=cloud.endpoint,
        config=botocore.config.Config(
            signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}
        ),
    )


def assumed(sts, role, token, **more):
    return sts.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="run", WebIdentityToken=token, **more
    )


def using(cloud, credentials, service):
    return cloud.session.create_client(
        service, region_name="us-east-1", endpoint_url=cloud.endpoint,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def test_a_token_becomes_a_session(cloud, issuer, provider, role, sts):
    answer = assumed(sts, role, issuer.token())
    assert answer["SubjectFromWebIdentityToken"] == "repo:fog:main"
    assert (answer["Provider"], answer["Audience"]) == (provider, AUDIENCE)
    name = role.rsplit("/", 1)[1]
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/run"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    credentials = answer["Credentials"]
    assert using(cloud, credentials, "sts").get_caller_identity()["Arn"] == arn
    using(cloud, credentials, "ec2").describe_vpcs()
    using(cloud, credentials, "s3").list_buckets()
    with fault("AccessDenied", "iam:ListUsers", 403):
        using(cloud, credentials, "iam").list_users()


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "ES256", "ES384", "ES512"])
def test_every_algorithm_and_new_keys(issuer, role, sts, algorithm):
    """A key that the issuer got since its keys were fetched is found after a moment."""
    issuer.new_key(algorithm, algorithm)

    def taken():
        try:
            return assumed(sts, role, issuer.token(algorithm))["Credentials"]
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidIdentityToken"
            return None

    until("the new key is found", taken)


def test_conditions_and_tags(cloud, issuer, provider, sts):
    at = issuer.url.removeprefix("https://")
    mine = trusting(
        cloud, provider,
        StringEquals={f"{at}:aud": AUDIENCE}, StringLike={f"{at}:sub": "repo:fog:*"},
    )
    assumed(sts, mine, issuer.token())
    with fault("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403):
        assumed(sts, mine, issuer.token(sub="repo:other:main"))
    tags = {"https://aws.amazon.com/tags": {"principal_tags": {"team": ["blue"]}}}
    with fault("AccessDenied", "sts:TagSession", 403):
        assumed(sts, mine, issuer.token(**tags))
    tagging = trusting(cloud, provider, ("sts:AssumeRoleWithWebIdentity", "sts:TagSession"))
    session = assumed(sts, tagging, issuer.token(**tags))
    assert session["PackedPolicySize"] > 0
    strong = trusting(cloud, provider, **{"ForAnyValue:StringEquals": {f"{at}:amr": "mfa"}})
    assumed(sts, strong, issuer.token(amr=["pwd", "mfa"]))
    with fault("AccessDenied", status=403):
        assumed(sts, strong, issuer.token(amr=["pwd"]))
    # A session policy narrows, the role's longest session limits.
    nothing = {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [nothing]})
    narrow = assumed(sts, mine, issuer.token(), Policy=policy, DurationSeconds=900)
    with fault("UnauthorizedOperation", status=403):
        using(cloud, narrow["Credentials"], "ec2").describe_vpcs()
    with fault("ValidationError", "MaxSessionDuration"):
        assumed(sts, mine, issuer.token(), DurationSeconds=7200)


def forged(issuer):
    """Tokens that must not be taken, each with what it is."""
    algorithm, key = issuer.keys["one"]
    claims = issuer.claims()
    good = issuer.token()
    message, signature = good.rsplit(".", 1)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = encoded(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    body = message.split(".")[1]
    by_public = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    none = encoded(json.dumps({"alg": "none"}).encode())
    flipped = bytearray(base64.urlsafe_b64decode(signature + "=="))
    flipped[5] ^= 1
    yield "no signature", f"{none}.{body}."
    yield "none, with a signature", f"{none}.{body}.{signature}"
    yield "HMAC by the public key", f"{head}.{body}.{encoded(by_public)}"
    yield "a flipped bit", f"{message}.{encoded(bytes(flipped))}"
    yield "another algorithm", signed({"alg": "RS512", "kid": "one"}, claims, algorithm, key)
    yield "an unknown key", signed({"alg": "RS256", "kid": "two"}, claims, algorithm, key)
    yield "a path as key", signed({"alg": "RS256", "kid": "../../one"}, claims, algorithm, key)
    yield "a critical header", signed(
        {"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False}, claims, algorithm, key
    )
    yield "another audience", issuer.token(aud="else")
    yield "another party", issuer.token(azp="else")
    yield "not yet issued", issuer.token(iat=int(time.time()) + 3600)
    yield "not yet good", issuer.token(nbf=int(time.time()) + 3600)
    yield "no subject", issuer.token(sub=None)
    yield "no end", issuer.token(exp=None)
    yield "an unknown issuer", issuer.token(iss="https://issuer.example")
    yield "an issuer within it", issuer.token(iss=issuer.url + "/x")
    yield "no token", "aaaa"
    yield "dots", "...."
    yield "deep JSON", f"{encoded(b'[' * 12000)}.{body}.{signature}"


def test_no_forged_token_is_taken(issuer, role, sts):
    for what, token in forged(issuer):
        with pytest.raises(ClientError) as caught:
            assumed(sts, role, token)
        assert caught.value.response["Error"]["Code"] == "InvalidIdentityToken", what
    with fault("ExpiredTokenException", "Token expired"):
        assumed(sts, role, issuer.token(exp=int(time.time()) - 1))
    with fault("ValidationError"):
        assumed(sts, role, "a" * 20_001)
    with fault("AccessDenied", "Not authorized to perform", 403):
        assumed(sts, role + "x", issuer.token())
    with fault("InvalidIdentityToken", "No OpenIDConnect provider found"):
        assumed(sts, role.replace(ACCOUNT, "999999999999"), issuer.token())
    with fault("ValidationError", "is invalid"):
        assumed(sts, "arn:aws:iam::x:role/abcdefgh", issuer.token())
    assert assumed(sts, role, issuer.token())["Credentials"]


def test_an_issuers_certificate_must_be_named(cloud, issuer, provider, role, sts):
    iam = cloud.client("iam")

    def named(thumbprint):
        iam.update_open_id_connect_provider_thumbprint(
            OpenIDConnectProviderArn=provider, ThumbprintList=[thumbprint]
        )

    try:
        named("0" * 40)
        with fault("InvalidIdentityToken", "doesn't match configured thumbprint"):
            assumed(sts, role, issuer.token())
        named(issuer.thumbprint(issuer.leaf))
        assert assumed(sts, role, issuer.token())["Credentials"]
    finally:
        named(issuer.thumbprint().upper())
    assert assumed(sts, role, issuer.token())["Credentials"]
    iam.remove_client_id_from_open_id_connect_provider(
        OpenIDConnectProviderArn=provider, ClientID=AUDIENCE
    )
    with fault("InvalidIdentityToken", "Incorrect token audience"):
        assumed(sts, role, issuer.token())
    iam.add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn=provider, ClientID=AUDIENCE
    )


def another(cloud, tmp_path, answers=None):
    """Another issuer with a role that trusts it."""
    issuer = Issuer(tmp_path)
    issuer.new_key("one")
    issuer.answers = {
        path: answer(issuer) if callable(answer) else answer
        for path, answer in (answers or {}).items()
    }
    arn = cloud.client("iam").create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=[AUDIENCE], ThumbprintList=[issuer.thumbprint()]
    )["OpenIDConnectProviderArn"]
    return issuer, trusting(cloud, arn)


DISCOVERY = "/.well-known/openid-configuration"


def described(**change):
    def answer(issuer):
        usual = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
        return 200, json.dumps(usual | change).encode(), {}

    return answer


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        (DISCOVERY, (404, b"", {}), "InvalidIdentityToken"),
        (DISCOVERY, (200, b"<html>", {}), "InvalidIdentityToken"),
        (DISCOVERY, described(issuer="https://else.example"), "InvalidIdentityToken"),
        (DISCOVERY, described(jwks_uri="http://localhost/keys"), "InvalidIdentityToken"),
        (DISCOVERY, described(jwks_uri="file:///etc/passwd"), "InvalidIdentityToken"),
        (DISCOVERY, described(jwks_uri="https://169.254.169.254/"), "IDPCommunicationError"),
        (DISCOVERY, (302, b"", {"Location": "/else"}), "InvalidIdentityToken"),
        (DISCOVERY, (503, b"", {}), "IDPCommunicationError"),
        ("/keys", (200, b"x" * 300_000, {}), "InvalidIdentityToken"),
        ("/keys", (200, b'{"keys": []}', {}), "InvalidIdentityToken"),
        ("/keys", (200, b"[]", {}), "InvalidIdentityToken"),
    ],
)
def test_an_issuer_that_answers_oddly(cloud, sts, tmp_path, path, answer, code):
    issuer, role = another(cloud, tmp_path, {path: answer})
    try:
        with fault(code):
            assumed(sts, role, issuer.token())
        assert "/else" not in issuer.asked
    finally:
        issuer.close()


def test_an_issuer_that_keeps_silent_or_is_gone(cloud, sts, tmp_path):
    listener = silent()
    url = f"https://localhost:{listener.getsockname()[1]}"
    iam = cloud.client("iam")
    made = iam.create_open_id_connect_provider(Url=url, ClientIDList=[AUDIENCE])
    role = trusting(cloud, made["OpenIDConnectProviderArn"])
    issuer = Issuer(tmp_path)
    issuer.new_key("one")
    token = issuer.token(iss=url)
    with fault("IDPCommunicationError"):
        assumed(sts, role, token)
    began = time.monotonic()
    with fault("IDPCommunicationError"):
        assumed(sts, role, token)
    assert time.monotonic() - began < 5, "nobody asks again at once"
    listener.close()
    issuer.close()


def test_keys_are_asked_for_seldom(cloud, sts, tmp_path):
    issuer, role = another(cloud, tmp_path)
    try:
        for _ in range(10):
            assumed(sts, role, issuer.token())
        for number in range(10):
            algorithm, key = issuer.keys["one"]
            header = {"alg": algorithm, "kid": f"unknown-{number}"}
            with fault("InvalidIdentityToken"):
                assumed(sts, role, signed(header, issuer.claims(), algorithm, key))
        assert issuer.asked.count("/keys") <= 3
    finally:
        issuer.close()


def test_a_signature_counts_for_nothing(cloud, issuer, role):
    """What a client with stale credentials sends is taken by its token."""
    signing = cloud.client("sts", key="AKIAAAAAAAAAAAAAAAAA", secret="wrong")
    assert assumed(signing, role, issuer.token())["Credentials"]
    form = urllib.parse.urlencode({
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role,
        "RoleSessionName": "run", "WebIdentityToken": issuer.token(),
    })
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    connection.request(
        "POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"}
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()
    # And no other operation is open to nobody.
    for action in ("GetCallerIdentity", "AssumeRole", "GetSessionToken"):
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
        connection.request(
            "POST", "/", f"Action={action}&Version=2011-06-15",
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert connection.getresponse().status == 403, action
        connection.close()


def test_the_roles_account_is_told_who_came_without_a_signature(cloud, issuer, role, sts):
    token = issuer.token()
    answer = assumed(sts, role, token)
    wanted = answer["ResponseMetadata"]["RequestId"]
    looked = cloud.client("cloudtrail").lookup_events(LookupAttributes=[
        {"AttributeKey": "EventName", "AttributeValue": "AssumeRoleWithWebIdentity"},
    ])["Events"]
    events = [json.loads(each["CloudTrailEvent"]) for each in looked]
    (event,) = [each for each in events if each["requestID"] == wanted]
    assert event["userIdentity"] == {"type": "WebIdentityUser"}
    assert (event["recipientAccountId"], event["requestParameters"]["roleArn"]) == (ACCOUNT, role)
    secret = answer["Credentials"]["SecretAccessKey"]
    assert token not in json.dumps(event) and secret not in json.dumps(event)


def test_clients_do_it_by_themselves(cloud, issuer, role, tmp_path, monkeypatch):
    """boto3 and the aws CLI by AWS_WEB_IDENTITY_TOKEN_FILE."""
    file = tmp_path / "token"
    file.write_text(issuer.token())
    given = {
        "AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
        "AWS_ROLE_SESSION_NAME": "pod", "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    # The CLI keeps a role's credentials at home, and those of another cloud would do no good here.
    environment = cloud.environment() | given | {"HOME": str(tmp_path)}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.pop(name)
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        ["aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("/pod")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    client = botocore.session.get_session().create_client("sts")
    assert client.get_caller_identity()["Arn"].endswith("/pod")


def test_without_the_owners_leave_no_issuer_is_on_this_machine(tmp_path):
    cloud = Cloud()
    made = started(cloud)
    next(made)
    try:
        issuer, role = another(cloud, tmp_path)
        unsigned = botocore.config.Config(signature_version=botocore.UNSIGNED)
        sts = cloud.session.create_client(
            "sts", region_name="us-east-1", endpoint_url=cloud.endpoint, config=unsigned
        )
        with fault("IDPCommunicationError"):
            assumed(sts, role, issuer.token())
        assert issuer.asked == []
        issuer.close()
    finally:
        made.close()
