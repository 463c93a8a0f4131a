"""KMS: keys, aliases, grants; what is signed and wrapped is checked by an independent library."""

import base64
import datetime
import hashlib
import json
import os
import stat
import urllib.error
import urllib.request

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from fogbank_cloud import REGION, fault

ABSENT = "1234abcd-12ab-34cd-56ef-1234567890ab"
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@pytest.fixture
def kms(open_cloud, account):
    """KMS in a new account."""
    return open_cloud.client("kms", key=account, secret="any")


@pytest.fixture
def unchecked(open_cloud, account):
    """KMS in the same account, for what botocore itself would refuse."""
    return open_cloud.client("kms", key=account, secret="any", parameter_validation=False)


@pytest.fixture
def key(kms):
    """A symmetric key's ID."""
    return kms.create_key()["KeyMetadata"]["KeyId"]


def made(kms, spec, usage):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]


def public_key(kms, key):
    return serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])


def test_a_key_as_it_is_described(kms, account):
    answer = kms.create_key(
        Description="mine", Tags=[{"TagKey": "team", "TagValue": "a"}, {"TagKey": "b", "TagValue": ""}]
    )
    metadata = answer["KeyMetadata"]
    key = metadata["KeyId"]
    age = datetime.datetime.now(datetime.timezone.utc) - metadata.pop("CreationDate")
    assert abs(age.total_seconds()) < 60
    assert len(metadata.pop("CurrentKeyMaterialId")) == 64
    assert metadata == {
        "AWSAccountId": account,
        "KeyId": key,
        "Arn": f"arn:aws:kms:{REGION}:{account}:key/{key}",
        "Enabled": True,
        "Description": "mine",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    tags = kms.list_resource_tags(KeyId=key)
    assert tags["Tags"] == [{"TagKey": "b", "TagValue": ""}, {"TagKey": "team", "TagValue": "a"}]
    kms.untag_resource(KeyId=key, TagKeys=["team", "none"])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "2"}])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "b", "TagValue": "2"}]
    kms.update_key_description(KeyId=key, Description="other")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "other"


def test_what_is_encrypted_is_decrypted(kms, key):
    context = {"tenant": "a", "é": "ü"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"\x00secret", EncryptionContext=context)
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    blob = sealed["CiphertextBlob"]
    for named in ({}, {"KeyId": key}, {"KeyId": sealed["KeyId"]}):
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context, **named)
        assert (opened["Plaintext"], opened["KeyId"]) == (b"\x00secret", sealed["KeyId"])
    for wrong in ({}, {"tenant": "a"}, {"tenant": "b", "é": "ü"}):
        with fault("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=blob, EncryptionContext=wrong)
    for at in range(0, len(blob), 7):
        changed = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1:]
        with fault("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=changed, EncryptionContext=context)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    with fault("IncorrectKeyException", "does not identify a CMK"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other
    )
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"\x00secret"
    with fault("DryRunOperationException"):
        kms.encrypt(KeyId=key, Plaintext=b"x", DryRun=True)


def test_data_keys_and_chance(kms, key):
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"a": "b"})
    assert len(data_key["Plaintext"]) == 32
    opened = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == data_key["Plaintext"]
    sealed = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=64)
    assert "Plaintext" not in sealed
    assert len(kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"]) == 64
    numbers = {kms.generate_random(NumberOfBytes=32)["Plaintext"] for _ in range(4)}
    assert len(numbers) == 4
    with fault("ValidationException", "'numberOfBytes' failed to satisfy constraint"):
        kms.generate_random(NumberOfBytes=1025)
    with fault("ValidationException", "either number of bytes or key spec"):
        kms.generate_data_key(KeyId=key)


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521",
                                  "ECC_SECG_P256K1"])
def test_pairs_of_data_keys(kms, key, spec):
    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec=spec)
    private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], password=None)
    public = serialization.load_der_public_key(pair["PublicKey"])
    assert private.public_key().public_numbers() == public.public_numbers()
    opened = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])
    assert opened["Plaintext"] == pair["PrivateKeyPlaintext"]
    sealed = kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    assert "PrivateKeyPlaintext" not in sealed


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_signatures(kms, bits):
    key = made(kms, f"RSA_{bits}", "SIGN_VERIFY")
    public = public_key(kms, key)
    assert public.key_size == bits
    for scheme in ("PSS", "PKCS1_V1_5"):
        for size, algorithm in HASHES.items():
            name = f"RSASSA_{scheme}_SHA_{size}"
            pad = padding.PKCS1v15()
            if scheme == "PSS":
                pad = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=algorithm.digest_size)
            signature = kms.sign(KeyId=key, Message=b"message", SigningAlgorithm=name)["Signature"]
            public.verify(signature, b"message", pad, algorithm)
            with pytest.raises(InvalidSignature):
                public.verify(signature, b"massage", pad, algorithm)
            digest = hashlib.new(f"sha{size}", b"message").digest()
            verified = kms.verify(
                KeyId=key, Message=digest, MessageType="DIGEST", Signature=signature,
                SigningAlgorithm=name,
            )
            assert verified["SignatureValid"]
            with fault("KMSInvalidSignatureException"):
                kms.verify(
                    KeyId=key, Message=b"massage", Signature=signature, SigningAlgorithm=name
                )
    with fault("InvalidKeyUsageException"):
        kms.sign(KeyId=key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")


@pytest.mark.parametrize(
    ("spec", "size", "curve"),
    [("ECC_NIST_P256", "256", ec.SECP256R1), ("ECC_NIST_P384", "384", ec.SECP384R1),
     ("ECC_NIST_P521", "512", ec.SECP521R1), ("ECC_SECG_P256K1", "256", ec.SECP256K1)],
)
def test_elliptic_signatures(kms, spec, size, curve):
    key = made(kms, spec, "SIGN_VERIFY")
    public = public_key(kms, key)
    assert isinstance(public.curve, curve)
    name, algorithm = f"ECDSA_SHA_{size}", HASHES[size]
    signature = kms.sign(KeyId=key, Message=b"message", SigningAlgorithm=name)["Signature"]
    public.verify(signature, b"message", ec.ECDSA(algorithm))
    # Whoever signs may choose either of two values.
    r, s = utils.decode_dss_signature(signature)
    order = {"256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141}
    if spec == "ECC_SECG_P256K1":
        signature = utils.encode_dss_signature(r, order["256"] - s)
    assert kms.verify(
        KeyId=key, Message=b"message", Signature=signature, SigningAlgorithm=name
    )["SignatureValid"]
    with fault("ValidationException", "Digest is invalid length"):
        kms.sign(KeyId=key, Message=b"x", MessageType="DIGEST", SigningAlgorithm=name)


@pytest.mark.parametrize("size", ["1", "256"])
def test_what_others_encrypt_is_decrypted(kms, size):
    key = made(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    algorithm = hashes.SHA1() if size == "1" else hashes.SHA256()
    pad = padding.OAEP(mgf=padding.MGF1(algorithm), algorithm=algorithm, label=None)
    name = f"RSAES_OAEP_SHA_{size}"
    blob = public_key(kms, key).encrypt(b"secret", pad)
    opened = kms.decrypt(CiphertextBlob=blob, KeyId=key, EncryptionAlgorithm=name)
    assert opened["Plaintext"] == b"secret"
    again = kms.encrypt(KeyId=key, Plaintext=b"mine", EncryptionAlgorithm=name)
    opened = kms.decrypt(
        CiphertextBlob=again["CiphertextBlob"], KeyId=key, EncryptionAlgorithm=name
    )
    assert opened["Plaintext"] == b"mine"
    with fault("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=b"\x00" * 256, KeyId=key, EncryptionAlgorithm=name)


@pytest.mark.parametrize("size", ["224", "256", "384", "512"])
def test_codes(kms, size):
    key = made(kms, f"HMAC_{size}", "GENERATE_VERIFY_MAC")
    name = f"HMAC_SHA_{size}"
    code = kms.generate_mac(KeyId=key, Message=b"message", MacAlgorithm=name)["Mac"]
    assert len(code) == int(size) // 8
    assert kms.verify_mac(KeyId=key, Message=b"message", Mac=code, MacAlgorithm=name)["MacValid"]
    with fault("KMSInvalidMacException"):
        kms.verify_mac(KeyId=key, Message=b"massage", Mac=code, MacAlgorithm=name)
    with fault("UnsupportedOperationException"):
        kms.get_public_key(KeyId=key)


def test_a_shared_secret(kms):
    key = made(kms, "ECC_NIST_P384", "KEY_AGREEMENT")
    ours = ec.generate_private_key(ec.SECP384R1())
    public = ours.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    derived = kms.derive_shared_secret(
        KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=public
    )["SharedSecret"]
    assert derived == ours.exchange(ec.ECDH(), public_key(kms, key))


def test_keys_are_named_in_every_way(kms, key, account):
    arn = f"arn:aws:kms:{REGION}:{account}"
    kms.create_alias(AliasName="alias/app/main", TargetKeyId=key)
    for name in (key, f"{arn}:key/{key}", "alias/app/main", f"{arn}:alias/app/main"):
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key
    with fault("NotFoundException", f"Key '{arn}:key/{ABSENT}' does not exist"):
        kms.describe_key(KeyId=ABSENT)
    with fault("NotFoundException", f"Alias {arn}:alias/none is not found."):
        kms.describe_key(KeyId="alias/none")
    with fault("NotFoundException", "Invalid keyId 'x'"):
        kms.describe_key(KeyId="x")
    with fault("InvalidArnException"):
        kms.describe_key(KeyId="arn:aws:s3:::x")


def test_aliases(kms, key):
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/one", TargetKeyId=key)
    with fault("AlreadyExistsException", "alias/one already exists"):
        kms.create_alias(AliasName="alias/one", TargetKeyId=key)
    with fault("ValidationException"):
        kms.create_alias(AliasName="one", TargetKeyId=key)
    (row,) = kms.list_aliases(KeyId=key)["Aliases"]
    assert (row["AliasName"], row["TargetKeyId"]) == ("alias/one", key)
    kms.update_alias(AliasName="alias/one", TargetKeyId=other)
    assert kms.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"] == other
    kms.delete_alias(AliasName="alias/one")
    with fault("NotFoundException", "alias/one is not found"):
        kms.delete_alias(AliasName="alias/one")
    assert kms.list_aliases()["Aliases"] == []
    managed = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
    assert managed["KeyManager"] == "AWS"
    with fault("AccessDeniedException", "is not authorized to perform: kms:Encrypt"):
        kms.encrypt(KeyId="alias/aws/ebs", Plaintext=b"x")
    with fault("AccessDeniedException"):
        kms.schedule_key_deletion(KeyId=managed["KeyId"])


def test_pages(kms, unchecked):
    keys = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)}
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Keys"]) for page in pages] == [2, 2, 1]
    assert {key["KeyId"] for page in pages for key in page["Keys"]} == keys
    key = keys.pop()
    for number in range(3):
        kms.create_alias(AliasName=f"alias/n{number}", TargetKeyId=key)
    pages = kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1})
    assert [row["AliasName"] for page in pages for row in page["Aliases"]] == [
        "alias/n0", "alias/n1", "alias/n2"
    ]
    with fault("InvalidMarkerException"):
        kms.list_keys(Marker="?")
    with fault("ValidationException", "Value '0' at 'limit'"):
        unchecked.list_keys(Limit=0)


def test_states(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    for call in (lambda: kms.encrypt(KeyId=key, Plaintext=b"x"),
                 lambda: kms.decrypt(CiphertextBlob=blob),
                 lambda: kms.enable_key_rotation(KeyId=key)):
        with fault("DisabledException", f"key/{key} is disabled."):
            call()
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with fault("ValidationException"):
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=5)
    answer = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion"
    left = answer["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert 6.9 < left.total_seconds() / 86400 < 7.1
    with fault("KMSInvalidStateException", "is pending deletion."):
        kms.encrypt(KeyId=key, Plaintext=b"x")
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def test_rotation(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    assert not kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 180)
    kms.rotate_key_on_demand(KeyId=key)
    (rotation,) = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert rotation["RotationType"] == "ON_DEMAND"
    new = kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"])
    old = kms.decrypt(CiphertextBlob=blob)
    assert (old["Plaintext"], new["Plaintext"]) == (b"old", b"new")
    assert new["KeyMaterialId"] == rotation["KeyMaterialId"] != old["KeyMaterialId"]
    kms.disable_key_rotation(KeyId=key)
    assert not kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    with fault("UnsupportedOperationException"):
        kms.enable_key_rotation(KeyId=made(kms, "ECC_NIST_P256", "SIGN_VERIFY"))


def test_policies(kms, key, account, open_cloud):
    default = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert default["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    other = open_cloud.client("kms", key="999999999999", secret="any")
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    with fault("AccessDeniedException", "is not authorized to perform: kms:Encrypt"):
        other.encrypt(KeyId=arn, Plaintext=b"x")
    shared = {
        "Effect": "Allow",
        "Principal": {"AWS": "999999999999"},
        "Action": ["kms:Encrypt", "kms:Decrypt"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}},
    }
    default["Statement"].append(shared)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(default))
    sealed = other.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext={"app": "a"})
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"app": "a"})
    assert opened["Plaintext"] == b"x"
    with fault("AccessDeniedException"):
        other.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext={"app": "b"})
    with fault("MalformedPolicyDocumentException"):
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy="{}")
    locked = json.dumps({"Version": "2012-10-17", "Statement": [shared]})
    with fault("MalformedPolicyDocumentException", "will not allow you to update the key policy"):
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=locked)
    with fault("NotFoundException", "No such policy exists"):
        kms.get_key_policy(KeyId=key, PolicyName="other")


def test_grants(kms, key, account, open_cloud):
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    other = open_cloud.client("kms", key="888888888888", secret="any")
    root = "arn:aws:iam::888888888888:root"
    granted = kms.create_grant(
        KeyId=key, GranteePrincipal=root, RetiringPrincipal=root, Name="shared",
        Operations=["Encrypt", "GenerateDataKey"],
        Constraints={"EncryptionContextSubset": {"app": "a"}},
    )
    assert len(granted["GrantId"]) == 64
    context = {"app": "a", "more": "b"}
    other.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=context,
                  GrantTokens=[granted["GrantToken"]])
    with fault("AccessDeniedException"):
        other.encrypt(KeyId=arn, Plaintext=b"x")
    (row,) = kms.list_grants(KeyId=key)["Grants"]
    assert (row["GranteePrincipal"], row["Name"]) == (root, "shared")
    assert row["Operations"] == ["Encrypt", "GenerateDataKey"]
    assert row["Constraints"] == {"EncryptionContextSubset": {"app": "a"}}
    assert len(other.list_retirable_grants(RetiringPrincipal=root)["Grants"]) == 1
    other.retire_grant(GrantToken=granted["GrantToken"])
    with fault("AccessDeniedException"):
        other.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=context)
    made = kms.create_grant(KeyId=key, GranteePrincipal=root, Operations=["Decrypt"])
    kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    assert kms.list_grants(KeyId=key)["Grants"] == []
    with fault("NotFoundException"):
        kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    with fault("InvalidArnException"):
        kms.create_grant(KeyId=key, GranteePrincipal="nobody", Operations=["Decrypt"])
    with fault("InvalidGrantTokenException"):
        kms.encrypt(KeyId=key, Plaintext=b"x", GrantTokens=["nonsense"])


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"])
def test_imported_material(kms, algorithm):
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingImport"
    with fault("KMSInvalidStateException", "is pending import."):
        kms.encrypt(KeyId=key, Plaintext=b"x")
    parameters = kms.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048"
    )
    wrapping = serialization.load_der_public_key(parameters["PublicKey"])
    pad = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)

    def wrapped(material):
        if algorithm.startswith("RSAES"):
            return wrapping.encrypt(material, pad)
        kek = os.urandom(32)
        return wrapping.encrypt(kek, pad) + aes_key_wrap_with_padding(kek, material)

    def put(material, **more):
        return kms.import_key_material(
            KeyId=key, ImportToken=parameters["ImportToken"],
            EncryptedKeyMaterial=wrapped(material), **more
        )

    material = os.urandom(32)
    with fault("ValidationException", "validTo date must be set"):
        put(material)
    put(material, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=key)
    with fault("KMSInvalidStateException"):
        kms.decrypt(CiphertextBlob=blob)
    with fault("IncorrectKeyMaterialException"):
        put(os.urandom(32), ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    valid_to = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    put(material, ValidTo=valid_to)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert metadata["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
    assert abs((metadata["ValidTo"] - valid_to).total_seconds()) < 1


def test_regions(kms, key, open_cloud, account):
    there = open_cloud.client("kms", region="eu-west-1", key=account, secret="any")
    with fault("NotFoundException"):
        there.describe_key(KeyId=key)
    multi = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    replica = kms.replicate_key(KeyId=multi, ReplicaRegion="eu-west-1")["ReplicaKeyMetadata"]
    assert replica["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"
    blob = kms.encrypt(KeyId=multi, Plaintext=b"x")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    both = kms.describe_key(KeyId=multi)["KeyMetadata"]["MultiRegionConfiguration"]
    assert [row["Region"] for row in both["ReplicaKeys"]] == ["eu-west-1"]


def test_faults_of_the_protocol(kms, key, unchecked):
    with fault("ValidationException", "enum value set"):
        unchecked.create_key(KeySpec="ROT13")
    with fault("ValidationException", "Member must have length less than or equal to 4096"):
        kms.encrypt(KeyId=key, Plaintext=b"x" * 4097)
    with fault("ValidationException", "Value null at 'keyId'"):
        unchecked.describe_key()
    with fault("SerializationException"):
        unchecked.list_keys(Limit="many")
    with fault("UnsupportedOperationException", "is not served by this cloud"):
        kms.connect_custom_key_store(CustomKeyStoreId="cks-1234567890abcdef0")


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "SerializationException"), (b"[]", "SerializationException"),
     (b"\xff\xfe", "SerializationException"), (b'{"KeyId": "x"} {}', "SerializationException"),
     (b'{"KeyId": 7}', "SerializationException"), (b'{"KeyId": ["x"]}', "SerializationException"),
     (b'{"KeyId": ' + b"[" * 100_000, "SerializationException"),
     (b'{"X": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "ValidationException"),
     (b'{"KeyId": "' + b"x" * 900_000 + b'"}', "ValidationException"),
     (b"", "ValidationException"), (b"null", "ValidationException"),
     (b'{"KeyId": null}', "ValidationException"), (b'{"keyid": "x"}', "ValidationException"),
     (b'{"KeyId": "\\ud800"}', "SerializationException"),
     (b'{"KeyId": "\\u0000"}', "NotFoundException")],
)
def test_hostile_bodies(open_cloud, account, body, code):
    headers = {"X-Amz-Target": "TrentService.DescribeKey",
               "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", open_cloud.endpoint, headers, body)
    SigV4Auth(Credentials(account, "any"), "kms", REGION).add_auth(request)
    sent = urllib.request.Request(open_cloud.endpoint, body, dict(request.headers))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(sent)
    assert (caught.value.code, json.load(caught.value)["__type"]) == (400, code)


def test_another_services_target(open_cloud, account):
    logs = open_cloud.client("logs", key=account, secret="any")
    # Its signature names a service that isn't served.
    with fault("UnsupportedOperation", "'logs' is not served"):
        logs.describe_log_groups()
    request = urllib.request.Request(
        open_cloud.endpoint, b"{}", {"X-Amz-Target": "TrentService.ListKeys"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert caught.value.headers["x-amzn-RequestId"]
    assert json.load(caught.value)["__type"] == "MissingAuthenticationTokenException"


def test_signatures_are_verified(api_cloud):
    good = api_cloud.client("kms")
    assert good.generate_random(NumberOfBytes=8)["Plaintext"]
    with fault("InvalidSignatureException"):
        api_cloud.client("kms", secret="wrong").list_keys()
    with fault("UnrecognizedClientException"):
        api_cloud.client("kms", key="AKIAIOSFODNN7EXAMPLE").list_keys()


def test_the_aws_cli_and_a_restart(api_cloud, tmp_path):
    key = api_cloud.aws("kms", "create-key", "--description", "cli")["KeyMetadata"]["KeyId"]
    api_cloud.aws("kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", key)
    plain, blob = tmp_path / "plain", tmp_path / "blob"
    plain.write_bytes(b"secret")
    sealed = api_cloud.aws(
        "kms", "encrypt", "--key-id", "alias/cli", "--plaintext", f"fileb://{plain}",
        "--encryption-context", "a=b", "--query", "CiphertextBlob", "--output", "text",
    )
    blob.write_bytes(base64.b64decode(sealed))
    master = api_cloud.data / "master.key"
    assert stat.S_IMODE(master.stat().st_mode) == 0o600
    killed = api_cloud.kill("server")
    api_cloud.replaced(killed)
    opened = api_cloud.aws(
        "kms", "decrypt", "--ciphertext-blob", f"fileb://{blob}", "--encryption-context", "a=b",
        "--query", "Plaintext", "--output", "text",
    )
    assert base64.b64decode(opened) == b"secret"
    # Nothing of the key is in the state in the clear: neither the master key nor what it sealed.
    stored = b"".join(path.read_bytes() for path in api_cloud.data.glob("state.db*"))
    assert key.encode() in stored
    for form in (master.read_bytes(), base64.b64encode(master.read_bytes())):
        assert form.rstrip(b"=") not in stored
