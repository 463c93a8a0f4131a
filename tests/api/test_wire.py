"""Signatures, protocols and bad input: what a client sees before any resource is touched."""

import datetime
import http.client
import re
import socket
import xml.etree.ElementTree as xml
from urllib.parse import urlencode

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from fogbank_cloud import REGION, fault

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def send(cloud, method, path, body=b"", headers=None):
    """One HTTP exchange: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=15)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def signed(cloud, body, *, method="POST", path="/", service="ec2", region=REGION, secret=None):
    """Sends a body signed as it is, whatever it says."""
    request = botocore.awsrequest.AWSRequest(
        method=method, url=f"{cloud.endpoint}{path}", data=body, headers=FORM
    )
    keys = botocore.credentials.Credentials(cloud.key, secret or cloud.secret)
    botocore.auth.SigV4Auth(keys, service, region).add_auth(request)
    return send(cloud, method, path, body, dict(request.headers))


def ec2_fault(body):
    """Code and message of a fault in EC2's form."""
    root = xml.fromstring(body)
    assert root.tag == "Response", body
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", root.findtext("RequestID"))
    return root.findtext("Errors/Error/Code"), root.findtext("Errors/Error/Message")


def test_a_call_with_the_right_key_is_answered(api_cloud):
    answer = api_cloud.client().describe_regions()
    assert REGION in [region["RegionName"] for region in answer["Regions"]]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ResponseMetadata"]["RequestId"]


def test_a_wrong_secret_is_refused(api_cloud):
    with fault("AuthFailure", "not able to validate the provided access credentials", 401):
        api_cloud.client(secret="x" * 40).describe_vpcs()


def test_an_unknown_key_is_refused(api_cloud):
    with fault("AuthFailure", "not able to validate the provided access credentials", 401):
        api_cloud.client(key="AKIAIOSFODNN7EXAMPLE").describe_vpcs()


def test_a_session_token_that_was_never_given_is_refused(api_cloud):
    client = api_cloud.session.create_client(
        "ec2",
        region_name=REGION,
        endpoint_url=api_cloud.endpoint,
        aws_access_key_id=api_cloud.key,
        aws_secret_access_key=api_cloud.secret,
        aws_session_token="never given",
    )
    with fault("AuthFailure", status=401):
        client.describe_vpcs()


def test_sts_refuses_a_wrong_secret_in_its_own_words(api_cloud):
    with fault("SignatureDoesNotMatch", status=403):
        api_cloud.client("sts", secret="x" * 40).get_caller_identity()


def test_sts_refuses_an_unknown_key_in_its_own_words(api_cloud):
    with fault("InvalidClientTokenId", status=403):
        api_cloud.client("sts", key="AKIAIOSFODNN7EXAMPLE").get_caller_identity()


def test_an_unsigned_call_is_refused(api_cloud):
    body = b"Action=DescribeVpcs&Version=2016-11-15"
    status, _, answer = send(api_cloud, "POST", "/", body, FORM)
    assert status in (400, 401, 403)
    assert ec2_fault(answer)[0] in ("MissingAuthenticationToken", "AuthFailure")


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_off_is_refused(api_cloud, minutes, monkeypatch):
    real = botocore.auth.get_current_datetime

    def skewed(*words, **named):
        return real(*words, **named) + datetime.timedelta(minutes=minutes)

    monkeypatch.setattr(botocore.auth, "get_current_datetime", skewed)
    with fault("RequestExpired"):
        api_cloud.client().describe_vpcs()


def test_a_changed_body_is_refused(api_cloud):
    body = b"Action=DescribeVpcs&Version=2016-11-15"
    request = botocore.awsrequest.AWSRequest("POST", f"{api_cloud.endpoint}/", FORM, body)
    keys = botocore.credentials.Credentials(api_cloud.key, api_cloud.secret)
    botocore.auth.SigV4Auth(keys, "ec2", REGION).add_auth(request)
    body += b"&VpcId.1=vpc-1"
    status, _, answer = send(api_cloud, "POST", "/", body, dict(request.headers))
    assert (status, ec2_fault(answer)[0]) == (401, "AuthFailure")


def test_a_presigned_get_works_once_signed_right(api_cloud):
    url = api_cloud.client().generate_presigned_url("describe_regions", HttpMethod="GET")
    path = url.removeprefix(api_cloud.endpoint)
    status, _, answer = send(api_cloud, "GET", path)
    assert status == 200, answer
    assert b"<regionName>us-east-1</regionName>" in answer
    status, _, answer = send(api_cloud, "GET", path.replace("DescribeRegions", "DescribeVpcs"))
    assert (status, ec2_fault(answer)[0]) == (401, "AuthFailure")


def test_a_presigned_url_expires(api_cloud, monkeypatch):
    real = botocore.auth.get_current_datetime

    def earlier(*words, **named):
        return real(*words, **named) - datetime.timedelta(minutes=3)

    monkeypatch.setattr(botocore.auth, "get_current_datetime", earlier)
    client = api_cloud.client()
    url = client.generate_presigned_url("describe_regions", ExpiresIn=60, HttpMethod="GET")
    _, _, answer = send(api_cloud, "GET", url.removeprefix(api_cloud.endpoint))
    assert ec2_fault(answer)[0] == "RequestExpired"


def test_an_operation_that_is_not_served_is_named(api_cloud):
    with fault("UnsupportedOperation", "DescribeSpotFleetRequests"):
        api_cloud.client().describe_spot_fleet_requests()
    with fault("UnsupportedOperation", "AssumeRoot"):
        api_cloud.client("sts").assume_root(
            TargetPrincipal="123456789012",
            TaskPolicyArn={"arn": "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"},
        )


def test_an_unknown_action_is_invalid(api_cloud):
    status, _, answer = signed(api_cloud, b"Action=MakeCoffee&Version=2016-11-15")
    code, message = ec2_fault(answer)
    assert (status, code) == (400, "InvalidAction")
    assert message == "The action MakeCoffee is not valid for this web service."


def test_no_action_is_a_fault(api_cloud):
    status, _, answer = signed(api_cloud, b"Version=2016-11-15")
    assert (status, ec2_fault(answer)[0]) == (400, "MissingAction")


def test_a_service_that_is_not_served_is_named(api_cloud):
    body = b"Action=DescribeDBInstances&Version=2014-10-31"
    status, _, answer = signed(api_cloud, body, service="rds")
    code, message = ec2_fault(answer)
    assert (status, code) == (400, "UnsupportedOperation")
    assert "'rds'" in message and "ec2" in message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("Action=DescribeVpcs&Version=2016-11-15&NoSuchParameter=1", "UnknownParameter"),
        ("Action=DescribeVpcs&Version=2016-11-15&MaxResults=many", "InvalidParameterValue"),
        ("Action=DescribeVpcs&Version=2016-11-15&DryRun=perhaps", "InvalidParameterValue"),
        ("Action=DescribeVpcs&Version=2016-11-15&VpcId.x=vpc-1", None),
        ("Action=DescribeVpcs&Version=2016-11-15&Filter.1.Value.1=x", None),
        ("Action=DescribeVpcs&Version=2016-11-15&Filter.99999999999999999999.Name=x", None),
        ("Action=CreateVpc&Version=2016-11-15", "MissingParameter"),
        ("Action=CreateVpc&Action=DescribeVpcs&Version=2016-11-15", None),
        ("Action=DescribeVpcs&Version=2016-11-15&VpcId.1=%ff%fe%00", None),
        ("Action=DescribeVpcs&Version=2016-11-15&VpcId.1=%zz", None),
        ("&&&===&%&" * 40, None),
        ("{\"Action\": \"DescribeVpcs\"}", None),
        ("<xml/>", None),
        ("\0" * 500, None),
    ],
)
def test_garbled_parameters_are_refused(api_cloud, body, code):
    status, headers, answer = signed(api_cloud, body.encode())
    assert headers["Content-Type"].startswith("text/xml")
    if status != 200:
        assert status == 400, answer
        found, message = ec2_fault(answer)
        assert found and message
        assert code in (None, found), answer
    else:
        assert code is None, "a wrong parameter was passed over"


@pytest.mark.parametrize("count", [5_000, 60_000])
def test_a_flood_of_parameters_is_answered(api_cloud, count):
    form = {"Action": "DescribeVpcs", "Version": "2016-11-15"}
    form |= {f"VpcId.{at}": "v" for at in range(1, count + 1)}
    status, _, answer = signed(api_cloud, urlencode(form).encode())
    assert status in (400, 413)
    assert ec2_fault(answer)[0]


def test_an_oversized_body_is_refused(api_cloud):
    status, _, answer = signed(api_cloud, b"Action=DescribeVpcs&x=" + b"y" * (2 << 20))
    assert status == 413
    assert ec2_fault(answer)[0] == "RequestEntityTooLarge"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("OPTIONS", "*"),
        ("PATCH", "/?Action=DescribeVpcs"),
        ("GET", "/?" + "Action=DescribeVpcs&" * 300),
        ("GET", "/_fogbank/nothing"),
    ],
)
def test_strange_paths_and_methods_are_refused(api_cloud, method, path):
    status, headers, answer = send(api_cloud, method, path)
    assert 400 <= status < 500, answer
    if not path.startswith("/_fogbank/"):
        assert headers["Content-Type"].startswith("text/xml")
        assert ec2_fault(answer)[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/no/such/path"),
        ("POST", "/../../etc/passwd"),
        ("PUT", "/"),
        ("DELETE", "/bucket/key"),
        ("HEAD", "/"),
        ("PATCH", "/bucket/key"),
        ("GET", "/" + "a" * 8000),
    ],
)
def test_what_has_no_form_of_a_call_is_s3s(api_cloud, method, path):
    status, headers, answer = send(api_cloud, method, path)
    assert 400 <= status <= 501 and status != 500, answer
    assert headers["Server"] == "AmazonS3"
    if method != "HEAD":
        assert headers["Content-Type"].startswith("application/xml")
        assert b"<Error><Code>" in answer


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + b"\0" * 194,
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"\0" * 1000,
        b"A" * 200_000,
    ],
)
def test_what_is_no_http_ends_the_connection(api_cloud, bytes_sent):
    with socket.create_connection(("127.0.0.1", api_cloud.port), timeout=15) as stream:
        try:
            stream.sendall(bytes_sent)
            answer = b""
            while part := stream.recv(4096):
                answer += part
        except ConnectionError:
            answer = b""
    # Or an alert of TLS.
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"\x15\x03"))
    api_cloud.client().describe_regions()


def test_a_region_that_can_not_be_is_refused(api_cloud):
    status, _, answer = signed(
        api_cloud, b"Action=DescribeVpcs&Version=2016-11-15", region="not_a_region!"
    )
    assert 400 <= status < 500
    assert ec2_fault(answer)[0]


def test_reset_by_request_needs_trust_any_key(api_cloud):
    status, _, answer = send(api_cloud, "POST", "/_fogbank/reset")
    assert status == 403
    assert b"--trust-any-key" in answer


def test_health(api_cloud):
    assert send(api_cloud, "GET", "/_fogbank/health")[0] == 200
