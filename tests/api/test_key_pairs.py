"""Key pairs: what OpenSSH and PuTTY make of them."""

import shutil
import subprocess

import pytest
from fogbank_cloud import fault


def ssh_keygen(*words, text=None):
    done = subprocess.run(
        ["ssh-keygen", *map(str, words)], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def private_file(folder, material):
    path = folder / "key"
    path.write_text(material)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("kind", "head", "bits"),
    [("rsa", "-----BEGIN RSA PRIVATE KEY-----", 2048),
     ("ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----", 256)],
)
def test_a_made_key_is_one_for_openssh(ec2, tmp_path, kind, head, bits):
    made = ec2.create_key_pair(KeyName="me", KeyType=kind)
    assert made["KeyMaterial"].startswith(head)
    assert made["KeyPairId"].startswith("key-")
    path = private_file(tmp_path, made["KeyMaterial"])
    public = ssh_keygen("-y", "-f", path)
    (row,) = ec2.describe_key_pairs(KeyNames=["me"], IncludePublicKey=True)["KeyPairs"]
    assert row["KeyType"] == kind
    assert row["PublicKey"].split()[:2] == public.split()[:2]
    assert row["KeyFingerprint"] == made["KeyFingerprint"]
    public_path = tmp_path / "key.pub"
    public_path.write_text(row["PublicKey"])
    assert ssh_keygen("-l", "-f", public_path).split()[0] == str(bits)
    if kind == "ed25519":
        fingerprint = ssh_keygen("-l", "-f", public_path).split()[1].removeprefix("SHA256:")
        assert made["KeyFingerprint"].rstrip("=") == fingerprint.rstrip("=")
    else:
        # SHA-1 of the private key in PKCS#8: 20 bytes.
        assert len(made["KeyFingerprint"].split(":")) == 20


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_key_for_putty(ec2, tmp_path, kind):
    made = ec2.create_key_pair(KeyName="me", KeyType=kind, KeyFormat="ppk")
    assert made["KeyMaterial"].startswith("PuTTY-User-Key-File-")
    if shutil.which("puttygen") is None:
        return
    path = private_file(tmp_path, made["KeyMaterial"])
    done = subprocess.run(
        ["puttygen", path, "-O", "public-openssh"], capture_output=True, text=True, check=True
    )
    (row,) = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert done.stdout.split()[:2] == row["PublicKey"].split()[:2]


@pytest.mark.parametrize("kind", [("rsa", 2048), ("rsa", 4096), ("ed25519", 256)])
def test_an_imported_key(ec2, tmp_path, kind):
    name, bits = kind
    ssh_keygen("-q", "-t", name, "-b", bits, "-N", "", "-C", "mine", "-f", tmp_path / "key")
    public = (tmp_path / "key.pub").read_bytes()
    made = ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public)
    (row,) = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert (row["KeyName"], row["KeyType"]) == ("mine", name)
    assert row["KeyFingerprint"] == made["KeyFingerprint"]
    assert row["PublicKey"].split()[:2] == public.decode().split()[:2]


@pytest.mark.parametrize("material", [b"ssh-rsa AAAA", b"", b"hello", b"ssh-dss AAAAB3NzaC1kc3M="])
def test_what_is_no_key_is_not_imported(ec2, material):
    with fault("InvalidKey.Format"):
        ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=material)


def test_names_ids_and_filters(ec2):
    tags = [{"ResourceType": "key-pair", "Tags": [{"Key": "team", "Value": "a"}]}]
    one = ec2.create_key_pair(KeyName="one", KeyType="ed25519", TagSpecifications=tags)
    two = ec2.create_key_pair(KeyName="two", KeyType="ed25519")
    assert one["Tags"] == [{"Key": "team", "Value": "a"}]
    with fault("InvalidKeyPair.Duplicate", "'one'"):
        ec2.create_key_pair(KeyName="one", KeyType="ed25519")

    def found(**parameters):
        return [row["KeyName"] for row in ec2.describe_key_pairs(**parameters)["KeyPairs"]]

    assert found() == ["one", "two"]
    assert found(KeyPairIds=[two["KeyPairId"]]) == ["two"]
    assert found(Filters=[{"Name": "key-name", "Values": ["t*"]}]) == ["two"]
    assert found(Filters=[{"Name": "tag:team", "Values": ["a"]}]) == ["one"]
    with fault("InvalidKeyPair.NotFound", "'three'"):
        found(KeyNames=["one", "three"])
    with fault("DryRunOperation", status=412):
        ec2.delete_key_pair(KeyName="one", DryRun=True)
    assert ec2.delete_key_pair(KeyPairId=two["KeyPairId"])["KeyPairId"] == two["KeyPairId"]
    ec2.delete_key_pair(KeyName="one")
    ec2.delete_key_pair(KeyName="one")
    assert found() == []
    ec2.get_waiter("key_pair_exists")
    for name in ("", "x" * 256, " edge ", "naïve"):
        with fault("MissingParameter" if name == "" else "InvalidParameterValue"):
            ec2.create_key_pair(KeyName=name, KeyType="ed25519")
