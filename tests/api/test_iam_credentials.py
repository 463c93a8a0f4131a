"""IAM: passwords, MFA devices, certificates, SSH keys, service-specific credentials."""

import base64
import hashlib
import hmac
import json
import struct
import subprocess
import time

import pytest
from fogbank_cloud import fault


@pytest.fixture
def iam(open_cloud, account):
    """IAM in a new account with one user, `u`."""
    iam = open_cloud.client("iam", key=account, secret="any")
    iam.create_user(UserName="u")
    return iam


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Certificates with their keys, in PEM: of RSA and of an elliptic curve."""
    folder = tmp_path_factory.mktemp("certificates")
    made = {}
    for name, key in {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}.items():
        openssl(
            "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=fog.example", "-newkey", *key,
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
        )
        made[name] = ((folder / f"{name}.pem").read_text(), (folder / f"{name}.key").read_text())
    return made


def code(seed, step):
    """The code of an MFA device at a step of time, by RFC 6238."""
    secret = base64.b32decode(seed + b"=" * (-len(seed) % 8))
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def test_login_profiles(iam):
    with fault("NoSuchEntity", "Login Profile for User u cannot be found.", 404):
        iam.get_login_profile(UserName="u")
    with fault("PasswordPolicyViolation", "minimum length of 8"):
        iam.create_login_profile(UserName="u", Password="short")
    made = iam.create_login_profile(UserName="u", Password="Long-enough1")["LoginProfile"]
    assert made["UserName"] == "u"
    assert not made["PasswordResetRequired"]
    with fault("EntityAlreadyExists", "Login Profile for user u already exists.", 409):
        iam.create_login_profile(UserName="u", Password="Long-enough1")
    iam.update_login_profile(UserName="u", PasswordResetRequired=True)
    assert iam.get_login_profile(UserName="u")["LoginProfile"]["PasswordResetRequired"]
    with fault("DeleteConflict", "must delete login profile first.", 409):
        iam.delete_user(UserName="u")
    iam.delete_login_profile(UserName="u")
    with fault("NoSuchEntity", status=404):
        iam.delete_login_profile(UserName="u")
    iam.delete_user(UserName="u")


def test_mfa_devices(iam, account):
    made = iam.create_virtual_mfa_device(
        VirtualMFADeviceName="phone", Tags=[{"Key": "a", "Value": "b"}]
    )["VirtualMFADevice"]
    serial, seed = made["SerialNumber"], made["Base32StringSeed"]
    assert serial == f"arn:aws:iam::{account}:mfa/phone"
    assert len(seed) == 64
    with fault("EntityAlreadyExists", "MFADevice entity at the same path and name", 409):
        iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")
    step = int(time.time()) // 30
    one, two = code(seed, step - 1), code(seed, step)
    with fault("InvalidAuthenticationCode", status=403):
        iam.enable_mfa_device(
            UserName="u", SerialNumber=serial, AuthenticationCode1=two, AuthenticationCode2=one
        )
    iam.enable_mfa_device(
        UserName="u", SerialNumber=serial, AuthenticationCode1=one, AuthenticationCode2=two
    )
    (device,) = iam.list_mfa_devices(UserName="u")["MFADevices"]
    assert device["SerialNumber"] == serial
    (device,) = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert device["User"]["UserName"] == "u"
    assert "Base32StringSeed" not in device
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"] == []
    with fault("DeleteConflict", status=409):
        iam.delete_virtual_mfa_device(SerialNumber=serial)
    with fault("DeleteConflict", "must delete MFA device first.", 409):
        iam.delete_user(UserName="u")
    iam.tag_mfa_device(SerialNumber=serial, Tags=[{"Key": "c", "Value": ""}])
    iam.untag_mfa_device(SerialNumber=serial, TagKeys=["a"])
    assert iam.list_mfa_device_tags(SerialNumber=serial)["Tags"] == [{"Key": "c", "Value": ""}]
    iam.deactivate_mfa_device(UserName="u", SerialNumber=serial)
    assert iam.list_mfa_devices(UserName="u")["MFADevices"] == []
    with fault("NoSuchEntity", status=404):
        iam.deactivate_mfa_device(UserName="u", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    with fault("NoSuchEntity", f"VirtualMFADevice with serial number {serial} doesn't exist.", 404):
        iam.delete_virtual_mfa_device(SerialNumber=serial)


def test_server_certificates(iam, account, certificates):
    body, key = certificates["rsa"]
    made = iam.upload_server_certificate(
        ServerCertificateName="web", Path="/cloudfront/", CertificateBody=body, PrivateKey=key,
        CertificateChain=body + certificates["ec"][0], Tags=[{"Key": "a", "Value": "b"}],
    )
    metadata = made["ServerCertificateMetadata"]
    assert metadata["Arn"] == f"arn:aws:iam::{account}:server-certificate/cloudfront/web"
    assert metadata["ServerCertificateId"].startswith("ASCA")
    assert 29 <= (metadata["Expiration"] - metadata["UploadDate"]).days <= 30
    for name, (pem, secret) in certificates.items():
        iam.upload_server_certificate(
            ServerCertificateName=name, CertificateBody=pem, PrivateKey=secret
        )
    with fault("KeyPairMismatch"):
        iam.upload_server_certificate(
            ServerCertificateName="x", CertificateBody=body, PrivateKey=certificates["ec"][1]
        )
    with fault("MalformedCertificate"):
        iam.upload_server_certificate(
            ServerCertificateName="x", CertificateBody="no PEM", PrivateKey=key
        )
    with fault("MalformedCertificate"):
        garbled = body.replace(body.split("\n")[3], body.split("\n")[2])
        iam.upload_server_certificate(
            ServerCertificateName="x", CertificateBody=garbled[:400] + garbled[-60:], PrivateKey=key
        )
    with fault("EntityAlreadyExists", "The Server Certificate with name WEB already exists.", 409):
        iam.upload_server_certificate(
            ServerCertificateName="WEB", CertificateBody=body, PrivateKey=key
        )
    found = iam.get_server_certificate(ServerCertificateName="web")["ServerCertificate"]
    assert found["CertificateBody"] == body
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    assert "PRIVATE" not in json.dumps(found, default=str)
    listed = iam.list_server_certificates(PathPrefix="/cloudfront/")
    assert len(listed["ServerCertificateMetadataList"]) == 1
    iam.tag_server_certificate(ServerCertificateName="web", Tags=[{"Key": "c", "Value": ""}])
    iam.untag_server_certificate(ServerCertificateName="web", TagKeys=["a"])
    tags = iam.list_server_certificate_tags(ServerCertificateName="web")["Tags"]
    assert tags == [{"Key": "c", "Value": ""}]
    iam.update_server_certificate(ServerCertificateName="web", NewServerCertificateName="www")
    iam.delete_server_certificate(ServerCertificateName="www")
    with fault("NoSuchEntity", "The Server Certificate with name www cannot be found.", 404):
        iam.get_server_certificate(ServerCertificateName="www")


def test_signing_certificates(iam, certificates):
    body = certificates["rsa"][0]
    made = iam.upload_signing_certificate(UserName="u", CertificateBody=body)["Certificate"]
    assert made["Status"] == "Active"
    with fault("DuplicateCertificate", status=409):
        iam.upload_signing_certificate(UserName="u", CertificateBody=body)
    with fault("MalformedCertificate"):
        iam.upload_signing_certificate(UserName="u", CertificateBody="x")
    named = {"UserName": "u", "CertificateId": made["CertificateId"]}
    iam.update_signing_certificate(**named, Status="Inactive")
    (found,) = iam.list_signing_certificates(UserName="u")["Certificates"]
    assert (found["Status"], found["CertificateBody"]) == ("Inactive", body)
    iam.upload_signing_certificate(UserName="u", CertificateBody=certificates["ec"][0])
    with fault("LimitExceeded", "Cannot exceed quota for CertificatesPerUser: 2", 409):
        iam.upload_signing_certificate(UserName="u", CertificateBody=body)
    iam.delete_signing_certificate(**named)
    with fault("NoSuchEntity", "The Certificate with id", 404):
        iam.delete_signing_certificate(**named)


def test_ssh_public_keys(iam, tmp_path):
    def keygen(name, *kind):
        file = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", *kind, "-f", file], check=True)
        return file.with_suffix(".pub").read_text().strip()

    text = keygen("rsa", "rsa", "-b", "2048")
    made = iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody=text)["SSHPublicKey"]
    blob = base64.b64decode(text.split()[1])
    digest = hashlib.md5(blob).hexdigest()
    expected = ":".join(digest[at : at + 2] for at in range(0, 32, 2))
    assert made["Fingerprint"] == expected
    assert made["SSHPublicKeyId"].startswith("APKA")
    named = {"UserName": "u", "SSHPublicKeyId": made["SSHPublicKeyId"]}
    found = iam.get_ssh_public_key(**named, Encoding="SSH")["SSHPublicKey"]["SSHPublicKeyBody"]
    assert found == " ".join(text.split()[:2])
    pem = iam.get_ssh_public_key(**named, Encoding="PEM")["SSHPublicKey"]["SSHPublicKeyBody"]
    converted = subprocess.run(
        ["ssh-keygen", "-i", "-m", "PKCS8", "-f", "/dev/stdin"],
        input=pem, capture_output=True, text=True, check=True,
    )
    assert converted.stdout.split()[:2] == text.split()[:2]
    with fault("DuplicateSSHPublicKey"):
        iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody=text)
    with fault("UnrecognizedPublicKeyEncoding"):
        iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody=keygen("ed", "ed25519"))
    with fault("InvalidPublicKey"):
        iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody=keygen("small", "rsa", "-b", "1024"))
    with fault("UnrecognizedPublicKeyEncoding"):
        iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody="ssh-rsa ???")
    iam.update_ssh_public_key(**named, Status="Inactive")
    (listed,) = iam.list_ssh_public_keys(UserName="u")["SSHPublicKeys"]
    assert listed["Status"] == "Inactive"
    iam.delete_ssh_public_key(**named)
    with fault("NoSuchEntity", "The SSH Public Key with id", 404):
        iam.get_ssh_public_key(**named, Encoding="SSH")


def test_service_specific_credentials(iam, account):
    service = "codecommit.amazonaws.com"
    made = iam.create_service_specific_credential(UserName="u", ServiceName=service)
    made = made["ServiceSpecificCredential"]
    assert made["ServiceUserName"] == f"u-at-{account}"
    assert made["ServiceSpecificCredentialId"].startswith("ACCA")
    iam.create_service_specific_credential(UserName="u", ServiceName=service)
    with fault("LimitExceeded", "ServiceSpecificCredentialsPerUser: 2", 409):
        iam.create_service_specific_credential(UserName="u", ServiceName=service)
    with fault("NotSupportedService", "No such service x.amazonaws.com", 404):
        iam.create_service_specific_credential(UserName="u", ServiceName="x.amazonaws.com")
    named = {
        "UserName": "u",
        "ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"],
    }
    again = iam.reset_service_specific_credential(**named)["ServiceSpecificCredential"]
    assert again["ServicePassword"] != made["ServicePassword"]
    iam.update_service_specific_credential(**named, Status="Inactive")
    listed = iam.list_service_specific_credentials(UserName="u", ServiceName=service)
    listed = {
        at["ServiceSpecificCredentialId"]: at["Status"]
        for at in listed["ServiceSpecificCredentials"]
    }
    assert listed.pop(made["ServiceSpecificCredentialId"]) == "Inactive"
    assert list(listed.values()) == ["Active"]
    iam.delete_service_specific_credential(**named)
    with fault("NoSuchEntity", status=404):
        iam.delete_service_specific_credential(**named)
    key = iam.create_service_specific_credential(
        UserName="u", ServiceName="bedrock.amazonaws.com", CredentialAgeDays=30
    )["ServiceSpecificCredential"]
    assert (key["ExpirationDate"] - key["CreateDate"]).days == 30
    assert "ServicePassword" not in key
    assert key["ServiceCredentialSecret"]
