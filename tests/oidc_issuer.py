"""An issuer of OpenID Connect tokens for tests: HTTPS on loopback with an authority of its own."""

import base64
import contextlib
import datetime
import hashlib
import http.server
import json
import socket
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

CURVES = {
    "ES256": (ec.SECP256R1(), "P-256", 32),
    "ES384": (ec.SECP384R1(), "P-384", 48),
    "ES512": (ec.SECP521R1(), "P-521", 66),
}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def encoded(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value, size=None):
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(kid, algorithm, key):
    numbers = key.public_key().public_numbers()
    if algorithm.startswith("RS"):
        return {
            "kty": "RSA", "kid": kid, "alg": algorithm, "use": "sig",
            "n": number(numbers.n), "e": number(numbers.e),
        }
    _, curve, size = CURVES[algorithm]
    return {
        "kty": "EC", "kid": kid, "crv": curve, "use": "sig",
        "x": number(numbers.x, size), "y": number(numbers.y, size),
    }


def signed(header, claims, algorithm, key):
    """A token; `header` may say something else than how it is signed."""
    parts = [encoded(json.dumps(part).encode()) for part in (header, claims)]
    message = ".".join(parts).encode()
    digest = HASHES[algorithm[2:]]
    if algorithm.startswith("RS"):
        signature = key.sign(message, padding.PKCS1v15(), digest)
    else:
        size = CURVES[algorithm][2]
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return ".".join([*parts, encoded(signature)])


def certificate(subject, issuer, key, signer, authority, names=()):
    now = datetime.datetime.now(datetime.UTC)
    as_name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731
    builder = (
        x509.CertificateBuilder()
        .subject_name(as_name(subject))
        .issuer_name(as_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        names = [x509.DNSName(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


class Issuer:
    """Serves its description and its keys; what it serves can be changed by tests."""

    def __init__(self, folder):
        authority = ec.generate_private_key(ec.SECP256R1())
        own = ec.generate_private_key(ec.SECP256R1())
        self.top = certificate("Test CA", "Test CA", authority, authority, True)
        leaf = certificate("localhost", "Test CA", own, authority, False, ["localhost"])
        pem = serialization.Encoding.PEM
        chain = folder / "issuer.pem"
        chain.write_bytes(leaf.public_bytes(pem) + self.top.public_bytes(pem))
        secret = folder / "issuer.key"
        secret.write_bytes(own.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ))
        self.leaf = leaf
        self.keys = {}
        self.asked = []
        self.answers = {}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body, headers = issuer.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """Clients that refuse the certificate go away: that is no error here."""

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, secret)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            body = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        elif path == "/keys":
            body = {"keys": [jwk(kid, *key) for kid, key in self.keys.items()]}
        else:
            return 404, b"", {}
        return 200, json.dumps(body).encode(), {"Content-Type": "application/json"}

    def new_key(self, kid, algorithm="RS256"):
        if algorithm.startswith("RS"):
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            key = ec.generate_private_key(CURVES[algorithm][0])
        self.keys[kid] = (algorithm, key)

    def thumbprint(self, which=None):
        der = (which or self.top).public_bytes(serialization.Encoding.DER)
        return hashlib.sha1(der).hexdigest()

    def claims(self, **more):
        now = int(time.time())
        usual = {
            "iss": self.url, "sub": "repo:fog:main", "aud": "sts.amazonaws.com",
            "iat": now, "exp": now + 300,
        }
        return {name: value for name, value in (usual | more).items() if value is not None}

    def token(self, kid="one", **more):
        algorithm, key = self.keys[kid]
        return signed({"alg": algorithm, "kid": kid}, self.claims(**more), algorithm, key)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def silent():
    """A socket that listens and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    return listener
