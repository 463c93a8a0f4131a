"""Requests as no honest client sends them: built byte by byte, signed right or wrong on purpose."""

import base64
import hashlib
import hmac
import json
import socket
import time
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode

FORM = "application/x-www-form-urlencoded; charset=utf-8"
VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}
TARGETS = {
    "kms": "TrentService",
    "cloudtrail": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
}


@dataclass
class Signed:
    """A request and how it is signed; each field can be made to lie."""

    service: str = "ec2"
    body: bytes = b""
    method: str = "POST"
    path: str = "/"
    query: str = ""
    host: str = "127.0.0.1"
    headers: dict = field(default_factory=dict)
    # The signature.
    key: str = ""
    secret: str = ""
    token: str | None = None
    region: str = "us-east-1"
    scope_service: str | None = None
    scope_date: str | None = None
    terminator: str = "aws4_request"
    algorithm: str = "AWS4-HMAC-SHA256"
    age_s: int = 0
    signed_headers: tuple = ()
    leave_out: tuple = ()
    # What is changed after signing.
    after: dict = field(default_factory=dict)
    body_after: bytes | None = None
    authorization: str | None = None
    extra_lines: tuple = ()

    def bytes(self):
        """The request as it goes over the wire."""
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - self.age_s))
        headers = {"host": self.host, **{k.lower(): v for k, v in self.headers.items()}}
        headers["x-amz-date"] = amz_date
        if self.token is not None:
            headers["x-amz-security-token"] = self.token
        names = sorted(set(headers) - set(self.leave_out)) if not self.signed_headers else list(self.signed_headers)
        scope = "/".join([
            self.scope_date or amz_date[:8], self.region, self.scope_service or self.service,
            self.terminator,
        ])
        pairs = sorted(p.partition("=")[::2] for p in self.query.split("&") if p)
        canonical = "\n".join([
            self.method, self.path, "&".join(f"{k}={v}" for k, v in pairs),
            *(f"{n}:{' '.join(headers.get(n, '').split())}" for n in names), "", ";".join(names),
            hashlib.sha256(self.body).hexdigest(),
        ])
        signature = sign(self.secret, scope, amz_date, canonical, self.algorithm)
        authorization = self.authorization or (
            f"{self.algorithm} Credential={self.key}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={signature}"
        )
        headers["authorization"] = authorization
        body = self.body if self.body_after is None else self.body_after
        if self.method != "GET" or body:
            headers["content-length"] = str(len(body))
        headers.update({k.lower(): v for k, v in self.after.items()})
        lines = [f"{n}: {v}" for n, v in headers.items() if v is not None and n not in self.leave_out]
        target = self.path + (f"?{self.query}" if self.query else "")
        head = "\r\n".join([f"{self.method} {target} HTTP/1.1", *lines, *self.extra_lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + body


def sign(secret, scope, amz_date, canonical, algorithm="AWS4-HMAC-SHA256"):
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    to_sign = "\n".join([algorithm, amz_date, scope, digest])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def form(action, service="ec2", raw=b"", **parameters):
    """The body of a query service's call."""
    given = {"Action": action, "Version": VERSIONS[service], **parameters}
    return urlencode({k.replace("__", "."): v for k, v in given.items()}).encode() + raw


def call(keys, action, service="ec2", raw=b"", parameters=None, **changes):
    """A right call of a query service, but for what is changed."""
    made = Signed(
        service=service, body=form(action, service, raw, **(parameters or {})),
        headers={"content-type": FORM}, **keys,
    )
    return replace(made, **changes)


def json_call(keys, operation, body, service="kms", **changes):
    """A right call of a JSON service, but for what is changed."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"{TARGETS[service]}.{operation}",
    }
    return replace(Signed(service=service, body=body, headers=headers, **keys), **changes)


def presigned(keys, action, expires="60", age_s=0, tamper=None, **changes):
    """A call with its signature in the URL."""
    amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - age_s))
    scope = f"{amz_date[:8]}/us-east-1/ec2/aws4_request"
    given = {
        "Action": action, "Version": VERSIONS["ec2"], "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys['key']}/{scope}", "X-Amz-Date": amz_date,
        "X-Amz-Expires": expires, "X-Amz-SignedHeaders": "host", **changes,
    }
    query = "&".join(sorted(f"{k}={quote(v, safe='-_.~')}" for k, v in given.items() if v is not None))
    canonical = "\n".join([
        "GET", "/", query, "host:127.0.0.1", "", "host", hashlib.sha256(b"").hexdigest(),
    ])
    query += f"&X-Amz-Signature={sign(keys['secret'], scope, amz_date, canonical)}"
    query = tamper(query) if tamper else query
    return f"GET /?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def nested(depth, name="A"):
    """A parameter's name with so many parts."""
    return ".".join([name, *["1"] * depth])


def deep_json(depth, inner="1"):
    return ("[" * depth + inner + "]" * depth).encode()


def deep_object(depth):
    return ('{"a":' * depth + "1" + "}" * depth).encode()


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def exchange(port, request, seconds=20):
    """Sends bytes; gives the status and the body of the first answer; no status if there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as stream:
        answer = b""
        try:
            stream.sendall(request)
            while True:
                part = stream.recv(65536)
                answer += part
                if not part or whole(answer):
                    break
        except (ConnectionError, TimeoutError):
            pass
    if not answer.startswith(b"HTTP/1.1 "):
        return None, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), body


def whole(answer):
    """Whether an answer has come as far as its head says."""
    head, end, body = answer.partition(b"\r\n\r\n")
    lines = [line.lower() for line in head.split(b"\r\n")]
    lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    return bool(end) and bool(lengths) and len(body) >= lengths[0]
