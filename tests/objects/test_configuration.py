"""A bucket's configuration: what is put is found again, what isn't there has its own fault."""

import json

import pytest
from fogbank_cloud import fault

LIFECYCLE = {
    "Rules": [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"},
         "Expiration": {"Days": 30}},
        {"ID": "versions", "Status": "Disabled", "Filter": {"And": {
            "Prefix": "x", "Tags": [{"Key": "a", "Value": "b"}], "ObjectSizeGreaterThan": 500}},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}},
        {"ID": "uploads", "Status": "Enabled", "Filter": {"Prefix": ""},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        {"ID": "colder", "Status": "Enabled", "Filter": {"Prefix": "cold/"},
         "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}]},
    ]
}
CORS = {"CORSRules": [{"ID": "one", "AllowedOrigins": ["*"], "AllowedMethods": ["GET"],
                       "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 5}]}
WEBSITE = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"},
           "RoutingRules": [{"Condition": {"KeyPrefixEquals": "old/"},
                             "Redirect": {"ReplaceKeyPrefixWith": "new/"}}]}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                         "BucketKeyEnabled": True}]}


@pytest.mark.parametrize(
    "what, argument, value, member, missing",
    [
        ("bucket_tagging", "Tagging", {"TagSet": [{"Key": "a", "Value": "1"}]}, None,
         "NoSuchTagSet"),
        ("bucket_cors", "CORSConfiguration", CORS, None, "NoSuchCORSConfiguration"),
        ("bucket_website", "WebsiteConfiguration", WEBSITE, None, "NoSuchWebsiteConfiguration"),
        ("bucket_lifecycle_configuration", "LifecycleConfiguration", LIFECYCLE, None,
         "NoSuchLifecycleConfiguration"),
        ("bucket_ownership_controls", "OwnershipControls",
         {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}, "OwnershipControls",
         "OwnershipControlsNotFoundError"),
        ("public_access_block", "PublicAccessBlockConfiguration",
         {"BlockPublicAcls": True, "IgnorePublicAcls": False, "BlockPublicPolicy": True,
          "RestrictPublicBuckets": False}, "PublicAccessBlockConfiguration",
         "NoSuchPublicAccessBlockConfiguration"),
    ],
)
def test_put_get_delete(s3, bucket, what, argument, value, member, missing):
    delete = {"bucket_lifecycle_configuration": "bucket_lifecycle"}.get(what, what)
    getattr(s3, f"delete_{delete}")(Bucket=bucket)
    with fault(missing, status=404):
        getattr(s3, f"get_{what}")(Bucket=bucket)
    getattr(s3, f"put_{what}")(Bucket=bucket, **{argument: value})
    found = getattr(s3, f"get_{what}")(Bucket=bucket)
    found = found[member] if member else {key: found[key] for key in value}
    assert found == value
    getattr(s3, f"delete_{delete}")(Bucket=bucket)
    with fault(missing, status=404):
        getattr(s3, f"get_{what}")(Bucket=bucket)
    with fault("NoSuchBucket", status=404):
        getattr(s3, f"get_{what}")(Bucket="no-such-bucket-here")


def test_encryption(s3, bucket):
    default = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    (rule,) = default["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=ENCRYPTION)
    found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert found["Rules"][0]["BucketKeyEnabled"] is True
    s3.delete_bucket_encryption(Bucket=bucket)
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"] == default


def test_what_a_refresh_of_terraform_reads(s3, bucket):
    """Each answers as on AWS for a bucket with nothing set."""
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    notification = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert set(notification) == {"ResponseMetadata"}
    with fault("ReplicationConfigurationNotFoundError", status=404):
        s3.get_bucket_replication(Bucket=bucket)
    with fault("ObjectLockConfigurationNotFoundError", status=404):
        s3.get_object_lock_configuration(Bucket=bucket)
    with fault("NoSuchBucketPolicy", status=404):
        s3.get_bucket_policy(Bucket=bucket)
    for kind in "metrics", "inventory", "intelligent_tiering", "analytics":
        listed = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=bucket)
        assert listed.get("IsTruncated", False) is False
        with fault("NoSuchConfiguration", status=404):
            getattr(s3, f"get_bucket_{kind}_configuration")(Bucket=bucket, Id="none")


def test_kept_configurations(s3, bucket):
    s3.put_bucket_metrics_configuration(
        Bucket=bucket, Id="all", MetricsConfiguration={"Id": "all", "Filter": {"Prefix": "a"}}
    )
    found = s3.get_bucket_metrics_configuration(Bucket=bucket, Id="all")
    assert found["MetricsConfiguration"] == {"Id": "all", "Filter": {"Prefix": "a"}}
    s3.delete_bucket_metrics_configuration(Bucket=bucket, Id="all")
    s3.put_bucket_request_payment(
        Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"}
    )
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    s3.put_bucket_accelerate_configuration(
        Bucket=bucket, AccelerateConfiguration={"Status": "Enabled"}
    )
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Enabled"


def test_bad_lifecycles(s3, bucket):
    for rule, code in [
        ({"Expiration": {"Days": 0}, "Filter": {}}, "InvalidArgument"),
        ({"Filter": {}}, "InvalidRequest"),
        ({"Expiration": {"Days": 1}, "Filter": {}, "Status": "Sometimes"}, "MalformedXML"),
    ]:
        with fault(code):
            s3.put_bucket_lifecycle_configuration(
                Bucket=bucket,
                LifecycleConfiguration={"Rules": [{"ID": "x", "Status": "Enabled"} | rule]},
            )


def test_lock_configuration(s3, name):
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    found = s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]
    assert found == {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object(Bucket=name, Key="key", Body=b"x")
    assert s3.head_object(Bucket=name, Key="key")["ObjectLockMode"] == "GOVERNANCE"


def test_notification_needs_a_reachable_target(s3, bucket):
    with fault("InvalidArgument", "Unable to validate the following destination configurations"):
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"QueueConfigurations": [
                {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:none",
                 "Events": ["s3:ObjectCreated:*"]}]},
        )


def test_access_logs(s3, bucket, name, cloud):
    account = cloud.client("sts").get_caller_identity()["Account"]
    target = f"{name}-logs"
    s3.create_bucket(Bucket=target)
    s3.put_bucket_policy(
        Bucket=target,
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{target}/*",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}}}]}),
    )
    enabled = {"TargetBucket": target, "TargetPrefix": "log/"}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})
    found = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    assert {key: found[key] for key in enabled} == enabled
