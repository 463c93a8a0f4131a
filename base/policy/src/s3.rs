//! What S3 asks of a bucket's policy beyond the language: its actions, its resources, and whether
//! it makes the bucket public.

use crate::arn::ArnPattern;
use crate::condition::addresses;
use crate::document::{Clause, Condition, Document, Effect, Principals, Statement, Version};
use crate::error::{Invalid, Kind, Reason};
use crate::operator::{Quantifier, Test};
use crate::pattern::Pattern;
use types::IpNet;

/// S3's limit of a bucket policy's text, in bytes.
pub const MAX_POLICY_BYTES: usize = 20 * 1024;

/// S3's own condition keys without `s3:`, in lower case and in order.
const CONDITION_KEYS: &[&str] = &[
    "accessgrantsinstancearn",
    "accesspointnetworkorigin",
    "authtype",
    "dataaccesspointaccount",
    "dataaccesspointarn",
    "delimiter",
    "destinationregion",
    "existingjoboperation",
    "existingjobpriority",
    "if-match",
    "if-none-match",
    "inventoryaccessibleoptionalfields",
    "isreplicationpauserequest",
    "jobsuspendedcause",
    "locationconstraint",
    "max-keys",
    "object-lock-legal-hold",
    "object-lock-mode",
    "object-lock-remaining-retention-days",
    "object-lock-retain-until-date",
    "objectcreationoperation",
    "prefix",
    "requestjoboperation",
    "requestjobpriority",
    "requestobjecttagkeys",
    "resourceaccount",
    "signatureage",
    "signatureversion",
    "tlsversion",
    "versionid",
    "x-amz-acl",
    "x-amz-bypass-governance-retention",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-object-ownership",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// Those that end with a tag's key.
const TAG_KEYS: &[&str] =
    &["accesspointtag/", "buckettag/", "existingobjecttag/", "requestobjecttag/"];

/// Actions on a bucket's objects, without `s3:`.
const OBJECT_ACTIONS: &[&str] = &[
    "AbortMultipartUpload",
    "BypassGovernanceRetention",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjectVersion",
    "DeleteObjectVersionTagging",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetObjectTorrent",
    "GetObjectVersion",
    "GetObjectVersionAcl",
    "GetObjectVersionAttributes",
    "GetObjectVersionForReplication",
    "GetObjectVersionTagging",
    "GetObjectVersionTorrent",
    "InitiateReplication",
    "ListMultipartUploadParts",
    "ObjectOwnerOverrideToBucketOwner",
    "PutObject",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
    "PutObjectVersionAcl",
    "PutObjectVersionTagging",
    "ReplicateDelete",
    "ReplicateObject",
    "ReplicateTags",
    "RestoreObject",
    "UpdateObjectEncryption",
];

/// Actions on a bucket itself, without `s3:`.
const BUCKET_ACTIONS: &[&str] = &[
    "CreateBucket",
    "CreateBucketMetadataTableConfiguration",
    "CreateSession",
    "DeleteBucket",
    "DeleteBucketMetadataTableConfiguration",
    "DeleteBucketOwnershipControls",
    "DeleteBucketPolicy",
    "DeleteBucketWebsite",
    "GetAccelerateConfiguration",
    "GetAnalyticsConfiguration",
    "GetBucketAbac",
    "GetBucketAcl",
    "GetBucketCORS",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketMetadataTableConfiguration",
    "GetBucketNotification",
    "GetBucketObjectLockConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketPublicAccessBlock",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetEncryptionConfiguration",
    "GetIntelligentTieringConfiguration",
    "GetInventoryConfiguration",
    "GetLifecycleConfiguration",
    "GetMetricsConfiguration",
    "GetReplicationConfiguration",
    "ListBucket",
    "ListBucketMultipartUploads",
    "ListBucketVersions",
    "ListTagsForResource",
    "PutAccelerateConfiguration",
    "PutAnalyticsConfiguration",
    "PutBucketAbac",
    "PutBucketAcl",
    "PutBucketCORS",
    "PutBucketLogging",
    "PutBucketNotification",
    "PutBucketObjectLockConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketPolicy",
    "PutBucketPublicAccessBlock",
    "PutBucketRequestPayment",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutBucketWebsite",
    "PutEncryptionConfiguration",
    "PutIntelligentTieringConfiguration",
    "PutInventoryConfiguration",
    "PutLifecycleConfiguration",
    "PutMetricsConfiguration",
    "PutReplicationConfiguration",
    "TagResource",
    "UntagResource",
    "UpdateBucketMetadataInventoryTableConfiguration",
    "UpdateBucketMetadataJournalTableConfiguration",
];

/// Actions of S3 that are about neither a bucket nor an object, without `s3:`.
const OTHER_ACTIONS: &[&str] = &[
    "CreateAccessPoint",
    "CreateJob",
    "DeleteAccessPoint",
    "DeleteAccessPointPolicy",
    "DescribeJob",
    "GetAccessPoint",
    "GetAccessPointPolicy",
    "GetAccessPointPolicyStatus",
    "GetAccountPublicAccessBlock",
    "ListAccessPoints",
    "ListAllMyBuckets",
    "ListJobs",
    "PutAccessPointPolicy",
    "PutAccountPublicAccessBlock",
    "UpdateJobPriority",
    "UpdateJobStatus",
];

/// Actions by which the owner's root user can always mend a policy, whatever the policy denies.
#[must_use]
pub fn owner_root_always_may(action: &str) -> bool {
    ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]
        .iter()
        .any(|exempt| exempt.eq_ignore_ascii_case(action))
}

/// Checks a bucket's policy as `PutBucketPolicy` does: actions are S3's, resources are the bucket or
/// objects in it, and each action applies to one of its statement's resources.
///
/// # Errors
/// `MalformedPolicy`, in S3's words.
pub fn check(document: &Document, bucket: &str) -> Result<(), Invalid> {
    let refuse = |reason| Invalid { kind: Kind::Resource, reason };
    document
        .statements()
        .iter()
        .try_for_each(|statement| check_statement(statement, document.version(), bucket))
        .map_err(refuse)
}

/// What actions or resources are about.
#[derive(Clone, Copy, Default)]
struct Scope {
    bucket: bool,
    objects: bool,
}

fn check_statement(statement: &Statement, version: Version, bucket: &str) -> Result<(), Reason> {
    let actions = statement.actions().listed();
    let scopes = actions.iter().map(|action| action_scope(action));
    let scopes = scopes.collect::<Result<Vec<_>, _>>()?;
    let mut reached = Scope::default();
    for resource in statement.resources().into_iter().flat_map(Clause::listed) {
        let scope = resource_scope(resource, version, bucket)
            .ok_or_else(|| Reason::Resource(resource.clone()))?;
        reached.bucket |= scope.bucket;
        reached.objects |= scope.objects;
    }
    for condition in statement.conditions() {
        if !is_condition_key(condition.key()) {
            return Err(Reason::ConditionKey(condition.key().to_owned()));
        }
    }
    // What is left over after a negation can be anything.
    let plain = matches!(
        (statement.actions(), statement.resources()),
        (Clause::Is(_), Some(Clause::Is(_)))
    );
    let idle = actions
        .iter()
        .zip(&scopes)
        .find(|(_, scope)| !(scope.bucket && reached.bucket || scope.objects && reached.objects));
    match idle {
        Some((action, _)) if plain => Err(Reason::ActionWithoutResource(action.clone())),
        Some(_) | None => Ok(()),
    }
}

/// A key that S3 doesn't know would never hold a value, and a typing error never come to light.
fn is_condition_key(key: &str) -> bool {
    let (vendor, name) = key.split_once(':').unwrap_or((key, ""));
    let name = name.to_ascii_lowercase();
    let of_tag = |tag: &&str| name.strip_prefix(*tag).is_some_and(|tag| !tag.is_empty());
    vendor.eq_ignore_ascii_case("aws")
        || vendor.eq_ignore_ascii_case("s3")
            && (CONDITION_KEYS.binary_search(&&*name).is_ok() || TAG_KEYS.iter().any(of_tag))
}

fn action_scope(action: &str) -> Result<Scope, Reason> {
    if action == "*" {
        return Ok(Scope { bucket: true, objects: true });
    }
    let invalid = || Reason::Action(action.to_owned());
    let (vendor, name) = action.split_once(':').ok_or_else(invalid)?;
    let pattern = Pattern::wild(name);
    let any = |names: &[&str]| names.iter().any(|known| pattern.matches_folded(known));
    let scope = Scope { bucket: any(BUCKET_ACTIONS), objects: any(OBJECT_ACTIONS) };
    let known = scope.bucket || scope.objects || any(OTHER_ACTIONS);
    if vendor.eq_ignore_ascii_case("s3") && known { Ok(scope) } else { Err(invalid()) }
}

/// Which of bucket and objects a resource can be; none where it is neither.
fn resource_scope(resource: &str, version: Version, bucket: &str) -> Option<Scope> {
    let variables = version == Version::V2012;
    let scope = match ArnPattern::parse(resource, variables, true)? {
        ArnPattern::Everything => Scope { bucket: true, objects: true },
        ArnPattern::Segments { segments, .. } => {
            let [_, _, service, region, account, name] = &*segments else { return None };
            let s3 = [(service, "s3"), (region, ""), (account, "")];
            if !s3.iter().all(|(pattern, text)| pattern.matches(text, &crate::Context::new())) {
                return None;
            }
            Scope {
                bucket: name.may_be(bucket),
                objects: name.may_begin_with(&format!("{bucket}/")),
            }
        }
    };
    (scope.bucket || scope.objects).then_some(scope)
}

/// Condition keys that tie a statement to known callers, where their values are fixed.
const TYING_KEYS: &[&str] = &[
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];

/// Whether the policy is public in S3's sense: some statement allows everyone, and no condition of
/// it ties the callers to fixed values. Statements that deny make no difference, as documented.
#[must_use]
pub fn is_public(document: &Document) -> bool {
    document.statements().iter().any(|statement| {
        statement.effect() == Effect::Allow
            && allows_everyone(statement)
            && !statement.conditions().iter().any(ties_callers)
    })
}

fn allows_everyone(statement: &Statement) -> bool {
    match statement.principals() {
        Some(Clause::Is(Principals::Everyone) | Clause::Not(_)) => true,
        Some(Clause::Is(Principals::Listed(list))) => {
            list.iter().any(|principal| principal.as_str() == "*")
        }
        None => false,
    }
}

/// Whether a condition restricts callers to fixed values: one that an absent key fails, that is
/// not negated, and whose values have neither wildcards nor variables.
fn ties_callers(condition: &Condition) -> bool {
    let operator = condition.operator();
    let passes_when_absent =
        operator.if_exists || operator.quantifier == Some(Quantifier::ForAllValues);
    if operator.negated || passes_when_absent {
        return false;
    }
    let key = condition.key().to_ascii_lowercase();
    match operator.test {
        Test::IpAddress => {
            key == "aws:sourceip" && condition.values().iter().all(|text| narrow(text))
        }
        Test::StringEquals
        | Test::StringEqualsIgnoreCase
        | Test::StringLike
        | Test::ArnEquals
        | Test::ArnLike => {
            let all = |fixed: fn(&str) -> bool| condition.values().iter().all(|text| fixed(text));
            if key == "s3:dataaccesspointarn" {
                all(fixed_access_point)
            } else {
                TYING_KEYS.contains(&key.as_str()) && all(fixed)
            }
        }
        Test::NumericEquals
        | Test::NumericLessThan
        | Test::NumericLessThanEquals
        | Test::NumericGreaterThan
        | Test::NumericGreaterThanEquals
        | Test::DateEquals
        | Test::DateLessThan
        | Test::DateLessThanEquals
        | Test::DateGreaterThan
        | Test::DateGreaterThanEquals
        | Test::Bool
        | Test::BinaryEquals
        | Test::Null => false,
    }
}

fn fixed(value: &str) -> bool {
    !value.contains(['*', '?']) && !value.contains("${")
}

/// The access point's name may have wildcards as long as the account has none.
fn fixed_access_point(value: &str) -> bool {
    let mut parts = value.splitn(6, ':');
    parts.nth(4).is_some_and(|account| !account.is_empty() && fixed(account))
}

/// Blocks wider than /8 (IPv4) or /32 (IPv6) are as good as everyone.
fn narrow(text: &str) -> bool {
    addresses(text).is_some_and(|block| match block {
        IpNet::V4(block) => block.prefix_len() >= 8,
        IpNet::V6(block) => block.prefix_len() >= 32,
    })
}
