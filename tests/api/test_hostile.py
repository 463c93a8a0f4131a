"""A list of hostile requests, each with its answer; after all of them the same process serves on."""

import json
import re
import socket
import threading
import time
import uuid
from pathlib import Path

import pytest
from fogbank_cloud import Cloud, alive, started, until
from hostile_requests import (
    FORM, Signed, basic, call, deep_json, deep_object, exchange, form, json_call, nested, presigned,
    whole,
)

# No answer at all: the connection ends.
CUT = None


def raw(text):
    return lambda keys: text if isinstance(text, bytes) else text.encode("latin-1")


def head(line="POST / HTTP/1.1", *lines, body=""):
    return raw("\r\n".join([line, *lines, "", body]))


def ec2(action="DescribeVpcs", parameters=None, **changes):
    return lambda keys: call(keys, action, parameters=parameters, **changes).bytes()


def query(service, action, parameters=None, **changes):
    return lambda keys: call(keys, action, service, parameters=parameters, **changes).bytes()


def kms(operation, body, **changes):
    return lambda keys: json_call(keys, operation, body, **changes).bytes()


def trail(operation, body, **changes):
    return lambda keys: json_call(keys, operation, body, "cloudtrail", **changes).bytes()


def url(**changes):
    return lambda keys: presigned(keys, "DescribeVpcs", **changes)


def body(text, **changes):
    """A form as it stands, signed."""
    text = text if isinstance(text, bytes) else text.encode()
    return lambda keys: Signed(body=text, headers={"content-type": FORM}, **{**keys, **changes}).bytes()


def policy(document):
    return query("iam", "CreatePolicy", {"PolicyName": "p", "PolicyDocument": document})


def statements(condition):
    return json.dumps({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}})


PRE = "Action=DescribeVpcs&Version=2016-11-15"
H = "Host: x"
CL5 = "Content-Length: 5"

# What it is, the request, the status answered, the code in the answer.
HTTP = [
    ("an empty line of capitals", raw("GET\r\n\r\n"), (CUT, 400), ""),
    ("no version", head("GET /?Action=x"), (CUT, 400), ""),
    ("HTTP/2 by hand", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (CUT, 400, 505), ""),
    ("HTTP/9.9", head("GET /?Action=DescribeVpcs HTTP/9.9", H), (CUT, 400), ""),
    ("a method of 9,000 letters", head("A" * 9000 + " / HTTP/1.1", H), (CUT, 400, 405, 501), ""),
    ("spaces in the path", head("GET /a b c HTTP/1.1", H), (CUT, 400), ""),
    ("a path of 60,000 letters", head(f"GET /{'a' * 60_000}?Action=x HTTP/1.1", H), (CUT, 400, 414, 431), ""),
    ("a NUL in the path", head("GET /\0?Action=x HTTP/1.1", H), (CUT, 400), ""),
    ("a NUL in a header", head("POST / HTTP/1.1", H, "X: a\0b", "Content-Length: 0"), (CUT, 400), ""),
    ("a bare CR in a header", head("POST / HTTP/1.1", H, "X: a\rb", "Content-Length: 0"), (CUT, 400), ""),
    ("a header of 300,000 letters", head("POST / HTTP/1.1", H, "X: " + "a" * 300_000), (CUT, 431), ""),
    ("300 headers", head("POST / HTTP/1.1", H, *(f"X-{n}: y" for n in range(300))), (CUT, 431), ""),
    ("a header without a name", head("POST / HTTP/1.1", H, ": y", "Content-Length: 0"), (CUT, 400), ""),
    ("a header folded", head("POST / HTTP/1.1", H, "X: a", " b", "Content-Length: 0"), (CUT, 400), ""),
    ("a space before the colon", head("POST / HTTP/1.1", "Host : x", CL5, body="hello"), (CUT, 400), ""),
    ("two lengths", head("POST / HTTP/1.1", H, CL5, "Content-Length: 6", body="hello!"), (CUT, 400), ""),
    ("a negative length", head("POST / HTTP/1.1", H, "Content-Length: -5", body="hello"), (CUT, 400), ""),
    ("a length of letters", head("POST / HTTP/1.1", H, "Content-Length: five", body="hello"), (CUT, 400), ""),
    ("a length of 2^64", head("POST / HTTP/1.1", H, f"Content-Length: {2**64}"), (CUT, 400, 413), ""),
    ("a length of 2^63", head("POST / HTTP/1.1", H, f"Content-Length: {2**63 - 1}"), (400, 413), "RequestEntityTooLarge"),
    ("length and chunks", head("POST / HTTP/1.1", H, CL5, "Transfer-Encoding: chunked", body="0\r\n\r\nGET /?x HTTP/1.1\r\n\r\n"), (CUT, 400), ""),
    ("chunks and length", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", CL5, body="0\r\n\r\n"), (CUT, 400), ""),
    ("chunked twice", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked, chunked", body="0\r\n\r\n"), (CUT, 400, 403), ""),
    ("chunked, then not", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked, identity", body="0\r\n\r\n"), (CUT, 400, 501), ""),
    ("chunks with HTTP/1.0", head("POST / HTTP/1.0", H, "Transfer-Encoding: chunked", body="0\r\n\r\n"), (CUT, 400), ""),
    ("chunks that lie", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", body="ffffffffffffffff\r\nhello"), (CUT, 400, 413), ""),
    ("chunks of no number", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", body="zz\r\nhello\r\n0\r\n\r\n"), (CUT, 400, 413), ""),
    ("a chunk's extension of 100,000 letters", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", body=f"5;{'a' * 100_000}\r\nhello\r\n0\r\n\r\n"), (CUT, 400, 413), ""),
    ("trailers without end", head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", body="0\r\n" + "X: y\r\n" * 5000 + "\r\n"), (CUT, 400, 413, 431), ""),
    ("a body of 2 MiB", body(PRE + "&x=" + "y" * (2 << 20)), 413, "RequestEntityTooLarge"),
    ("an absolute URI of another host", head("GET http://evil.example/?Action=DescribeVpcs HTTP/1.1", H), 403, "MissingAuthenticationToken"),
    ("CONNECT", head("CONNECT evil.example:443 HTTP/1.1", H), (CUT, 400, 403, 405), ""),
    ("TRACE", head("TRACE / HTTP/1.1", H, "X-Amz-Target: x.y"), (400, 403, 405), ""),
    ("an upgrade", head("GET /?Action=DescribeVpcs HTTP/1.1", H, "Connection: upgrade", "Upgrade: h2c"), 403, "MissingAuthenticationToken"),
    ("a WebSocket", head("GET /?Action=x HTTP/1.1", H, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"), 400, "UnsupportedOperation"),
    ("our own path with an origin", head("POST /_fogbank/reset HTTP/1.1", H, "Origin: http://evil", "Content-Length: 0"), 403, ""),
    ("our own path climbed out of", head("GET /_fogbank/../../etc/passwd HTTP/1.1", H), 404, "No such path"),
    ("bytes that are no text", raw(b"\xff\xfe\xfd" * 1000), (CUT, 400), ""),
    ("half a handshake of TLS", raw(b"\x16\x03\x01\xff\xff" + b"\1" * 100 + b"\0" * 70_000), CUT, ""),
]
SIGNATURES = [
    ("no signature", lambda keys: call(keys, "DescribeVpcs", leave_out=("authorization",)).bytes(), 403, "MissingAuthenticationToken"),
    ("an empty signature", ec2(authorization=" "), 400, ""),
    ("Basic", ec2(authorization=basic("root:root")), 400, "IncompleteSignature"),
    ("Bearer", ec2(authorization="Bearer eyJhbGciOiJub25lIn0.e30."), 400, "IncompleteSignature"),
    ("SigV4A", ec2(algorithm="AWS4-ECDSA-P256-SHA256"), 400, "IncompleteSignature"),
    ("SigV2 in a header", ec2(authorization="AWS AKIA:c2ln"), (400, 403, 404), ""),
    ("SigV2 in the body", body(PRE + "&AWSAccessKeyId=AKIA&SignatureVersion=2&SignatureMethod=HmacSHA256&Signature=x", authorization="x"), 400, "IncompleteSignature"),
    ("a small credential", ec2(authorization="AWS4-HMAC-SHA256 credential=a/20260101/us-east-1/ec2/aws4_request, signedheaders=host, signature=00"), 400, "IncompleteSignature"),
    ("no credential", ec2(authorization="AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00"), 400, "IncompleteSignature"),
    ("no signed headers", ec2(authorization="AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ec2/aws4_request, Signature=00"), 400, "IncompleteSignature"),
    ("a credential of 4 parts", ec2(authorization="AWS4-HMAC-SHA256 Credential=a/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00"), 400, "IncompleteSignature"),
    ("a signature of 63 digits", ec2(authorization=f"AWS4-HMAC-SHA256 Credential=a/{time.strftime('%Y%m%d', time.gmtime())}/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature={'0' * 63}"), 400, "IncompleteSignature"),
    ("a signature of zeros", lambda keys: call(keys, "DescribeVpcs", authorization=f"AWS4-HMAC-SHA256 Credential={keys['key']}/{time.strftime('%Y%m%d', time.gmtime())}/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature={'0' * 64}").bytes(), 401, "AuthFailure"),
    ("two signatures, one of them right", ec2(extra_lines=("Authorization: AWS4-HMAC-SHA256 x",)), 400, "IncompleteSignature"),
    ("another secret", ec2(secret="x" * 40), 401, "AuthFailure"),
    ("an empty secret", ec2(secret=""), 401, "AuthFailure"),
    ("an unknown key", ec2(key="AKIAIOSFODNN7EXAMPLE"), 401, "AuthFailure"),
    ("a key in small letters", lambda keys: call({**keys, "key": keys["key"].lower()}, "DescribeVpcs").bytes(), 401, "AuthFailure"),
    ("a key with slashes", ec2(key="AKIA/../../root"), 401, "AuthFailure"),
    ("a key of 10,000 letters", ec2(key="A" * 10_000), 401, "AuthFailure"),
    ("another region's scope, tampered", lambda keys: call(keys, "DescribeVpcs").bytes().replace(b"/us-east-1/ec2/", b"/eu-west-1/ec2/"), 401, "AuthFailure"),
    ("a region that can't be", ec2(region="../../etc"), (400, 401, 403), ""),
    ("a region of 5,000 letters", ec2(region="r" * 5000), (400, 401, 403), ""),
    ("another service's scope", ec2(scope_service="iam"), (400, 403), ""),
    ("an unknown service's scope", ec2(scope_service="braket"), 400, "UnsupportedOperation"),
    ("S3's scope", ec2(scope_service="s3"), (400, 403, 405), ""),
    ("another terminator", ec2(terminator="aws5_request"), 400, "IncompleteSignature"),
    ("a scope of another day", ec2(scope_date="20200101"), 401, "AuthFailure"),
    ("no date", ec2(leave_out=("x-amz-date",)), 400, "IncompleteSignature"),
    ("a date in words", ec2(after={"x-amz-date": "Mon, 23 Nov 2026 00:00:00 GMT"}), 400, "IncompleteSignature"),
    ("a day of 99 months", ec2(after={"x-amz-date": "20269999T999999Z"}), 400, "IncompleteSignature"),
    ("a date that isn't signed", ec2(signed_headers=("host",)), 401, "AuthFailure"),
    ("a host that isn't signed", ec2(signed_headers=("content-type", "x-amz-date")), 401, "AuthFailure"),
    ("a signed header that isn't there", ec2(signed_headers=("host", "x-amz-date", "x-none")), 400, "IncompleteSignature"),
    ("expired by an hour", ec2(age_s=3600), 400, "RequestExpired"),
    ("of the next hour", ec2(age_s=-3600), 400, "RequestExpired"),
    ("of the next century", ec2(after={"x-amz-date": "21261122T000000Z"}), 401, "AuthFailure"),
    ("another body", ec2(body_after=form("TerminateInstances")), 401, "AuthFailure"),
    ("a body's first letter", lambda keys: call(keys, "DescribeVpcs", body_after=b"a" + form("DescribeVpcs")[1:]).bytes(), 401, "AuthFailure"),
    ("another host", ec2(after={"host": "evil.example"}), 401, "AuthFailure"),
    ("another query", lambda keys: call(keys, "DescribeVpcs", query="a=1").bytes().replace(b"/?a=1", b"/?a=2"), 401, "AuthFailure"),
    ("another path", lambda keys: call(keys, "DescribeVpcs").bytes().replace(b"POST / ", b"POST /x "), (401, 403, 404), ""),
    ("another hash", ec2(headers={"content-type": FORM, "x-amz-content-sha256": "0" * 64}), 401, "AuthFailure"),
    ("a hash of no hash", ec2(headers={"content-type": FORM, "x-amz-content-sha256": "xyz"}), 400, "IncompleteSignature"),
    ("streaming to EC2", ec2(headers={"content-type": FORM, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}), 400, "IncompleteSignature"),
    ("a forged token", ec2(token="IQoJb3JpZ2luX2VjE" + "A" * 300), 401, "AuthFailure"),
    ("an empty token", ec2(token=""), (401, 400), ""),
    ("a token of 30,000 letters", ec2(token="A" * 30_000), 401, "AuthFailure"),
    ("IAM: another secret", query("iam", "ListUsers", secret="x" * 40), 403, "SignatureDoesNotMatch"),
    ("IAM: an unknown key", query("iam", "ListUsers", key="AKIAIOSFODNN7EXAMPLE"), 403, "InvalidClientTokenId"),
    ("STS: expired", query("sts", "GetCallerIdentity", age_s=1200), 403, "Signature expired"),
    ("STS: of tomorrow", query("sts", "GetCallerIdentity", age_s=-86_400), 403, "Signature not yet current"),
    ("STS: another body", query("sts", "GetCallerIdentity", body_after=b"Action=AssumeRole"), 403, "SignatureDoesNotMatch"),
    ("KMS: another secret", kms("ListKeys", {}, secret="x" * 40), 400, "InvalidSignatureException"),
    ("KMS: an unknown key", kms("ListKeys", {}, key="AKIAIOSFODNN7EXAMPLE"), 400, "UnrecognizedClientException"),
    ("KMS: a target that isn't signed", kms("ListKeys", {}, signed_headers=("host", "x-amz-date")), 400, "InvalidSignatureException"),
    ("KMS: another target", kms("ListKeys", {}, after={"x-amz-target": "TrentService.CreateKey"}), 400, "InvalidSignatureException"),
    ("KMS: unsigned", kms("ListKeys", {}, leave_out=("authorization",)), 400, "MissingAuthenticationTokenException"),
    ("CloudTrail: another secret", trail("LookupEvents", {}, secret="x"), 400, "InvalidSignatureException"),
    ("a URL that has expired", url(age_s=120), 400, "RequestExpired"),
    ("a URL for more than a week", url(expires="604801"), 400, "IncompleteSignature"),
    ("a URL for no time", url(expires="0"), 400, "IncompleteSignature"),
    ("a URL for -1 seconds", url(expires="-1"), 400, "IncompleteSignature"),
    ("a URL for 2^70 seconds", url(expires=str(2**70)), 400, "IncompleteSignature"),
    ("a URL of the next hour", url(age_s=-3600), 400, "RequestExpired"),
    ("a URL with another action", url(tamper=lambda q: q.replace("DescribeVpcs", "DeleteVpc")), 401, "AuthFailure"),
    ("a URL with one parameter more", url(tamper=lambda q: q + "&DryRun=true"), 401, "AuthFailure"),
    ("a URL made to last", url(tamper=lambda q: q.replace("Expires=60", "Expires=600000")), 401, "AuthFailure"),
    ("a URL with another algorithm", url(**{"X-Amz-Algorithm": "none"}), 400, "IncompleteSignature"),
    ("a URL without a credential", url(**{"X-Amz-Credential": None}), (400, 403), ""),
]
PARAMETERS = [
    ("no action", body("Version=2016-11-15"), 400, "MissingAction"),
    ("an action of 10,000 letters", ec2("A" * 10_000), 400, "InvalidAction"),
    ("an action of markup", ec2("<script>alert(1)</script>"), 400, "&lt;script&gt;"),
    ("an action in small letters", ec2("describevpcs"), 400, "InvalidAction"),
    ("two actions: the first counts", body("Action=NoSuch&" + PRE), 400, "InvalidAction"),
    ("another service's action", ec2("CreateUser"), 400, "InvalidAction"),
    ("an unknown parameter", ec2(parameters={"Nothing": "1"}), 400, "UnknownParameter"),
    ("half a percent sign", body(PRE + "&VpcId.1=%4"), 400, "MalformedQueryString"),
    ("bytes that are no UTF-8", body(PRE + "&VpcId.1=%ff%fe"), 400, "MalformedQueryString"),
    ("a NUL in an ID", ec2(parameters={"VpcId.1": "vpc-\0"}), 400, "InvalidVpcID.Malformed"),
    ("a surrogate half", body(PRE + "&VpcId.1=%ed%a0%80"), 400, "MalformedQueryString"),
    ("25,000 parameters", body(PRE + "&x=" * 25_000), 400, "MalformedQueryString"),
    ("a list 1,000 deep", ec2(parameters={nested(1000, "VpcId"): "x"}), 400, "UnknownParameter"),
    ("a structure 50,000 deep", ec2("RunInstances", {nested(50_000, "NetworkInterface"): "x"}), 400, "UnknownParameter"),
    ("an element number 2^64", ec2(parameters={f"VpcId.{2**64}": "x"}), 400, "UnknownParameter"),
    ("an element number -1", ec2(parameters={"VpcId.-1": "x"}), 400, "UnknownParameter"),
    ("an element number of letters", ec2(parameters={"VpcId.one": "x"}), 400, "UnknownParameter"),
    ("a list that has a value", ec2(parameters={"VpcId": "x"}), 400, "UnknownParameter"),
    ("a value that has a member", ec2(parameters={"DryRun.1": "true"}), 400, "UnknownParameter"),
    ("MaxResults of 2^31", ec2(parameters={"MaxResults": str(2**31)}), 400, "InvalidParameterValue"),
    ("MaxResults of -1", ec2(parameters={"MaxResults": "-1"}), 400, "InvalidParameterValue"),
    ("MaxResults of 0", ec2(parameters={"MaxResults": "0"}), 400, "InvalidParameterValue"),
    ("MaxResults of nothing", ec2(parameters={"MaxResults": ""}), 400, "InvalidParameterValue"),
    ("MaxResults of 1e3", ec2(parameters={"MaxResults": "1e3"}), 400, "InvalidParameterValue"),
    ("a forged token of a page", ec2(parameters={"MaxResults": "5", "NextToken": "!" * 5000}), 400, "Invalid"),
    ("a truth of maybe", ec2(parameters={"DryRun": "maybe"}), 400, "InvalidParameterValue"),
    ("an ID of another kind", ec2(parameters={"VpcId.1": "i-0123456789abcdef0"}), 400, "InvalidVpcID"),
    ("an ID of 100,000 letters", ec2(parameters={"VpcId.1": "vpc-" + "a" * 100_000}), 400, "InvalidVpcID"),
    ("an ID that climbs", ec2("DescribeInstances", {"InstanceId.1": "i-../../../etc/passwd"}), 400, "InvalidInstanceID.Malformed"),
    ("an ID of markup", ec2("DescribeInstances", {"InstanceId.1": "<i>&\"'"}), 400, "InvalidInstanceID.Malformed"),
    ("a name that climbs", ec2("DeleteKeyPair", {"KeyName": "../../master.key", "DryRun": "true"}), (400, 412), ""),
    ("a key's name of 256 letters", ec2("CreateKeyPair", {"KeyName": "k" * 256}), 400, "InvalidParameterValue"),
    ("a key of no format", ec2("ImportKeyPair", {"KeyName": "k", "PublicKeyMaterial": "AAAA"}), 400, "InvalidKey.Format"),
    ("a key that isn't base64", ec2("ImportKeyPair", {"KeyName": "k", "PublicKeyMaterial": "\x01!"}), 400, "InvalidParameterValue"),
    ("a network of 2^200", ec2("CreateVpc", {"CidrBlock": f"10.0.0.0/{2**200}"}), 400, "InvalidParameterValue"),
    ("a network of /33", ec2("CreateVpc", {"CidrBlock": "10.0.0.0/33"}), 400, "InvalidParameterValue"),
    ("a network of numbers too large", ec2("CreateVpc", {"CidrBlock": "999.0.0.0/16"}), 400, "InvalidParameterValue"),
    ("-5 instances", ec2("RunInstances", {"ImageId": "ami-1", "MinCount": "-5", "MaxCount": "-5"}), 400, "InvalidParameterValue"),
    ("2^31 instances", ec2("RunInstances", {"ImageId": "ami-1", "MinCount": "1", "MaxCount": str(2**31)}), 400, "InvalidParameterValue"),
    ("2,000,000,000 instances", ec2("RunInstances", {"ImageId": "ami-00000000000000000", "MinCount": "2000000000", "MaxCount": "2000000000"}), 400, "InstanceLimitExceeded"),
    ("user data that isn't base64", ec2("RunInstances", {"ImageId": "ami-1", "MinCount": "1", "MaxCount": "1", "UserData": "\x01"}), 400, "Invalid"),
    ("a disk of 2^31 GiB", ec2("RunInstances", {"ImageId": "ami-1", "MinCount": "1", "MaxCount": "1", "BlockDeviceMapping.1.Ebs.VolumeSize": str(2**31)}), 400, "InvalidParameterValue"),
    ("a disk of -1 GiB", ec2("RunInstances", {"ImageId": "ami-1", "MinCount": "1", "MaxCount": "1", "BlockDeviceMapping.1.DeviceName": "/dev/sdf", "BlockDeviceMapping.1.Ebs.VolumeSize": "-1"}), 400, "Invalid"),
    ("a zone that climbs", ec2("CreateSubnet", {"VpcId": "vpc-0123456789abcdef0", "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "../../x"}), 400, "Invalid"),
    ("an operation that isn't served", ec2("CreateFleet", {"A": "x"}), 400, "UnsupportedOperation"),
    ("a filter's name of 100,000 letters", ec2("DescribeVpcs", {"Filter.1.Name": "a" * 100_000, "Filter.1.Value.1": "x"}), 400, "InvalidParameterValue"),
    ("a filter's star bomb", ec2("DescribeVpcs", {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": "*a" * 2000}), (200, 400), ""),
    ("60 tags", ec2("CreateTags", {"ResourceId.1": "vpc-0123456789abcdef0", **{f"Tag.{n}.Key": f"k{n}" for n in range(60)}}), 400, ""),
    ("a tag of AWS's", ec2("CreateTags", {"ResourceId.1": "vpc-0123456789abcdef0", "Tag.1.Key": "aws:x", "Tag.1.Value": "y"}), 400, ""),
    ("JSON to EC2", lambda keys: Signed(body=b'{"Action":"DescribeVpcs"}', headers={"content-type": "application/json"}, **keys).bytes(), 400, ""),
    ("a target for EC2", ec2(headers={"content-type": FORM, "x-amz-target": "AmazonEC2.DescribeVpcs"}), 400, ""),
    ("IAM: a user's name that climbs", query("iam", "CreateUser", {"UserName": "../../root"}), 400, "ValidationError"),
    ("IAM: a user's name of markup", query("iam", "CreateUser", {"UserName": "<a>"}), 400, "ValidationError"),
    ("IAM: a path without an end", query("iam", "CreateUser", {"UserName": "u", "Path": "/" + "a" * 600}), 400, "ValidationError"),
    ("IAM: MaxItems of 2^31", query("iam", "ListUsers", {"MaxItems": str(2**31)}), 400, ""),
    ("IAM: MaxItems of 0", query("iam", "ListUsers", {"MaxItems": "0"}), 400, "ValidationError"),
    ("IAM: a forged marker", query("iam", "ListUsers", {"Marker": "A" * 400}), (200, 400), ""),
    ("IAM: a policy 10,000 deep", policy(deep_json(2000).decode()), 400, "MalformedPolicyDocument"),
    ("IAM: a policy of nested objects", policy(deep_object(1000).decode()), 400, "MalformedPolicyDocument"),
    ("IAM: a policy that is no JSON", policy("<xml/>"), 400, "MalformedPolicyDocument"),
    ("IAM: a policy of nothing", policy("{}"), 400, "MalformedPolicyDocument"),
    ("IAM: a policy too long", policy(" " * 200_000), 400, "ValidationError"),
    ("IAM: a policy of half an escape", policy('{"Version":"\\ud800"}'), 400, "MalformedPolicyDocument"),
    ("IAM: an unknown operator", policy(statements({"StringBomb": {"a": "b"}})), 400, "MalformedPolicyDocument"),
    ("IAM: a date of no date", policy(statements({"DateLessThan": {"aws:CurrentTime": "x"}})), (200, 400), ""),
    ("IAM: two Statements", policy('{"Version":"2012-10-17","Statement":[],"Statement":[]}'), 400, "MalformedPolicyDocument"),
    ("IAM: another account's ARN", query("iam", "GetPolicy", {"PolicyArn": "arn:aws:iam::999999999999:policy/p"}), (403, 404), ""),
    ("IAM: a certificate bomb", query("iam", "UploadServerCertificate", {"ServerCertificateName": "c", "CertificateBody": "A" * 16_000, "PrivateKey": "B" * 16_000}), 400, "MalformedCertificate"),
    ("STS: an ARN of colons", query("sts", "AssumeRole", {"RoleArn": ":" * 200, "RoleSessionName": "me"}), (400, 403), ""),
    ("STS: a session of slashes", query("sts", "AssumeRole", {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "../x"}), 400, "ValidationError"),
    ("STS: root assumes", query("sts", "AssumeRole", {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "me"}), 403, "AccessDenied"),
    ("STS: 2^31 seconds", query("sts", "GetSessionToken", {"DurationSeconds": str(2**31)}), 400, ""),
    ("STS: a message that was never sealed", query("sts", "DecodeAuthorizationMessage", {"EncodedMessage": "A" * 9000}), 400, "InvalidAuthorizationMessage"),
    ("KMS: an unknown target", kms("Explode", {}), 400, "UnknownOperationException"),
    ("KMS: another service's target", kms("ListKeys", {}, headers={"content-type": "application/x-amz-json-1.1", "x-amz-target": "Logs_20140328.ListKeys"}), 400, ""),
    ("KMS: a target of 20,000 letters", kms("A" * 20_000, {}), 400, "UnknownOperationException"),
    ("KMS: no JSON", kms("ListKeys", b"<xml/>"), 400, "SerializationException"),
    ("KMS: nothing", kms("ListKeys", b""), (200, 400), ""),
    ("KMS: JSON 100,000 deep", kms("ListKeys", deep_json(100_000)), 400, "SerializationException"),
    ("KMS: objects 50,000 deep", kms("Encrypt", deep_object(50_000)), 400, "Exception"),
    ("KMS: a list for a text", kms("DescribeKey", {"KeyId": ["x"]}), 400, "SerializationException"),
    ("KMS: a number of 400 digits", kms("ListKeys", b'{"Limit":' + b"9" * 400 + b"}"), 400, "SerializationException"),
    ("KMS: Limit of -1", kms("ListKeys", {"Limit": -1}), 400, "Validation"),
    ("KMS: half an escape", kms("DescribeKey", b'{"KeyId":"\\ud800"}'), 400, ""),
    ("KMS: bytes that are no UTF-8", kms("DescribeKey", b'{"KeyId":"\xff"}'), 400, "SerializationException"),
    ("KMS: a plaintext that isn't base64", kms("Encrypt", {"KeyId": "alias/a", "Plaintext": "!"}), 400, "SerializationException"),
    ("KMS: a forged ciphertext", kms("Decrypt", {"CiphertextBlob": "QUFB" * 1000}), 400, "InvalidCiphertextException"),
    ("KMS: 2^31 bytes of chance", kms("GenerateRandom", {"NumberOfBytes": 2**31 - 1}), 400, "Validation"),
    ("KMS: another account's key", kms("DescribeKey", {"KeyId": "arn:aws:kms:us-east-1:999999999999:key/00000000-0000-0000-0000-000000000000"}), 400, ""),
    ("KMS: the same member twice", kms("DescribeKey", b'{"KeyId":"a","KeyId":"b"}'), 400, ""),
    ("CloudTrail: an unknown attribute", trail("LookupEvents", {"LookupAttributes": [{"AttributeKey": "x", "AttributeValue": "y"}]}), 400, "Exception"),
    ("CloudTrail: a forged token", trail("LookupEvents", {"NextToken": "MSAwIDAgMCAwIDA"}), 400, "InvalidNextTokenException"),
    ("CloudTrail: a time of 10^300", trail("LookupEvents", b'{"StartTime":1e300}'), (200, 400), ""),
    ("CloudTrail: not served", trail("StopLogging", {"Name": "x"}), 400, "UnsupportedOperationException"),
]
CASES = HTTP + SIGNATURES + PARAMETERS


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud())


@pytest.fixture(scope="module")
def keys(cloud):
    return {"key": cloud.key, "secret": cloud.secret}


def test_there_are_enough():
    assert len({name for name, *_ in CASES}) == len(CASES) >= 150


@pytest.mark.parametrize(("request_", "status", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_answer(cloud, keys, request_, status, code):
    found, answer = exchange(cloud.port, request_(keys))
    expected = status if isinstance(status, tuple) else (status,)
    assert found in expected, answer[:500]
    if found is not None:
        assert found < 500
        assert code in answer.decode(errors="replace"), answer[:500]


def test_tokens_of_others_are_refused(cloud, keys):
    sts = cloud.client("sts")
    one, other = (sts.get_federation_token(Name=name)["Credentials"] for name in ("one", "other"))
    own = {"key": one["AccessKeyId"], "secret": one["SecretAccessKey"]}
    token = one["SessionToken"]
    middle = len(token) // 2
    flipped = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1:]
    for given, status in [
        (token, (400, 403)), (other["SessionToken"], (401,)), (token[:-4], (401,)), (token[:10], (401,)),
        (flipped, (401,)), (token + "AAAA", (401,)), (None, (401,)),
    ]:
        found, answer = exchange(cloud.port, call(own, "DescribeVpcs", token=given).bytes())
        # A federated user without policies may nothing, but is known.
        assert found in (status if given != token else (403,)), answer
        assert b"AuthFailure" in answer or given == token


def test_another_accounts_resources_are_not_there(open_cloud):
    one, other = (open_cloud.client(key=f"7{n:011}", secret="x") for n in (1, 2))
    vpc = one.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = one.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    for run, code in [
        (lambda: other.describe_vpcs(VpcIds=[vpc]), "InvalidVpcID.NotFound"),
        (lambda: other.delete_vpc(VpcId=vpc), "InvalidVpcID.NotFound"),
        (lambda: other.delete_security_group(GroupId=group), "InvalidGroup.NotFound"),
        (lambda: other.create_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "b"}]), "InvalidVpcID.NotFound"),
    ]:
        with pytest.raises(other.exceptions.ClientError) as caught:
            run()
        assert caught.value.response["Error"]["Code"].startswith(code)
    assert one.describe_vpcs(VpcIds=[vpc])["Vpcs"]


def memory_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def test_after_all_of_them_the_same_process_serves_on(cloud, keys):
    pid = cloud.processes()["server"]
    for _, request_, *_ in CASES:
        exchange(cloud.port, request_(keys))
    before = memory_kib(pid)
    for _ in range(3):
        for name, request_, *_ in CASES:
            exchange(cloud.port, request_(keys))
    assert cloud.processes()["server"] == pid and alive(pid)
    assert memory_kib(pid) < before + 64 * 1024, f"{before} KiB before"
    assert cloud.client().describe_vpcs()["Vpcs"]
    assert cloud.client("kms").list_keys()["Keys"] is not None


def test_the_same_signed_request_is_answered_again(cloud, keys):
    """AWS's clients send it again after a lost answer: within its time a repetition is no attack."""
    request = call(keys, "DescribeVpcs").bytes()
    for _ in range(3):
        assert exchange(cloud.port, request)[0] == 200


def test_one_address_cannot_take_all_places(cloud, keys):
    """Half of the places are for others; whoever has too many is cut at once."""
    held = []
    try:
        cut = False
        for _ in range(2100):
            stream = socket.create_connection(("127.0.0.1", cloud.port), timeout=10)
            held.append(stream)
        until("a connection too many is cut", lambda: any(ended(stream) for stream in held[-60:]))
        cut = sum(ended(stream) for stream in held)
        assert 1 <= cut <= 2100 - 2000
    finally:
        for stream in held:
            stream.close()
    until("there is room again", lambda: answers(cloud, keys))


def ended(stream):
    stream.setblocking(False)
    try:
        return stream.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def answers(cloud, keys):
    try:
        return exchange(cloud.port, call(keys, "DescribeVpcs").bytes(), 5)[0] == 200
    except OSError:
        return False


def test_slow_clients_are_cut_and_hold_nobody_up(cloud, keys):
    """Heads, bodies and answers that are slow: each is cut in its time, and others are served."""
    slow = {
        "a head": b"POST / HTTP/1.1\r\nHost: x\r\n",
        "nothing": b"",
        "a body": b"POST /?Action=DescribeVpcs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nAction",
    }
    many = 200
    streams = {}
    for what, begin in slow.items():
        for number in range(many):
            stream = socket.create_connection(("127.0.0.1", cloud.port), timeout=100)
            stream.sendall(begin)
            streams[what, number] = stream
    over = threading.Event()

    def drip():
        while not over.wait(3):
            for stream in list(streams.values()):
                try:
                    stream.send(b"a")
                except OSError:
                    pass

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        began = time.monotonic()
        assert answers(cloud, keys)
        assert time.monotonic() - began < 5
        for (what, number), stream in streams.items():
            left = 100 - (time.monotonic() - began)
            stream.setblocking(True)
            stream.settimeout(max(left, 1))
            try:
                answer = stream.recv(65536)
            except ConnectionError:
                answer = b""
            assert answer == b"" or answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 4")), (what, number, answer)
    finally:
        over.set()
        dripping.join()
        for stream in streams.values():
            stream.close()
    assert answers(cloud, keys)


def test_names_are_no_paths(cloud):
    """What a caller names never becomes a file of that name."""
    before = {path for path in cloud.data.rglob("*")}
    name = f"x{uuid.uuid4().hex[:6]}"
    for given in (f"../{name}", f"/tmp/{name}", f"..%2f{name}"):
        try:
            cloud.client().create_key_pair(KeyName=given)
        except cloud.client().exceptions.ClientError:
            pass
    after = {path for path in cloud.data.rglob("*")} - before
    assert not [path for path in after if name in path.name]
    assert not Path(f"/tmp/{name}").exists()


def test_whole_answers_are_told_from_parts():
    assert whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert not whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
