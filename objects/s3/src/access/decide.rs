//! The decision about one request: what identities, the bucket's policy, the access control lists
//! and the public-access block make of it together; no I/O.
//!
//! ```text
//! explicit deny in the bucket's policy ─▶ denied
//! caller of the owning account          ─▶ allowed
//! bucket's policy allows                ─▶ allowed (not where it is public and restricted)
//! access control list grants            ─▶ allowed (groups count for nothing where ignored)
//! ```

use super::{
    acl::{Acl, Permission, Viewer},
    block::PublicBlock,
};
use crate::{Identity, configuration::Ownership};
use policy::{Caller, Compiled, Context, Decision, Document, Kind, Policies, PolicyType, Request};
use std::sync::{Arc, LazyLock};

/// A bucket's policy in the form that decisions take.
#[derive(Clone, Debug)]
pub struct BucketPolicy {
    pub compiled: Arc<Compiled>,
    /// It allows something to everybody.
    pub public: bool,
    /// Some condition asks for the tags of the object that is there.
    pub asks_for_tags: bool,
}

impl BucketPolicy {
    /// Reads a policy's text, which was checked when it was put.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let document = Document::parse(text, policy::s3::MAX_POLICY_BYTES, Kind::Resource).ok()?;
        Some(Self {
            compiled: document.compile(),
            public: policy::s3::is_public(&document),
            asks_for_tags: text.to_ascii_lowercase().contains("s3:existingobjecttag"),
        })
    }
}

/// A bucket as decisions see it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    /// Twelve digits.
    pub account: &'a str,
    /// The owner's canonical ID.
    pub owner_id: &'a str,
    /// None: private.
    pub acl: Option<&'a Acl>,
    pub ownership: Ownership,
    /// The bucket's and the account's together.
    pub block: PublicBlock,
    pub policy: Option<&'a BucketPolicy>,
}

/// An object as decisions see it.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The owner's canonical ID.
    pub owner_id: &'a str,
    /// None: private.
    pub acl: Option<&'a Acl>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// None for an anonymous request.
    pub identity: Option<&'a Identity>,
    pub action: &'a str,
    /// The ARN of the bucket or object.
    pub resource: &'a str,
    pub context: &'a Context<'a>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Allow,
    /// With the end of the message for callers of the bucket's account, if there is more to say.
    Deny(Option<String>),
    /// Nothing has allowed it so far: an object's access control list may.
    AskObject,
}

/// What an identity without policies of its own may within its account: all.
static ALL: LazyLock<Vec<Arc<Compiled>>> = LazyLock::new(|| {
    let text = r#"{"Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    Document::parse(text, text.len(), Kind::Identity).map(|all| all.compile()).into_iter().collect()
});

/// The permission of a bucket's list that an action needs.
fn of_bucket(action: &str) -> Option<Permission> {
    match action {
        "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
            Some(Permission::Read)
        }
        "s3:PutObject"
        | "s3:DeleteObject"
        | "s3:AbortMultipartUpload"
        | "s3:ListMultipartUploadParts" => Some(Permission::Write),
        "s3:GetBucketAcl" => Some(Permission::ReadAcp),
        "s3:PutBucketAcl" => Some(Permission::WriteAcp),
        _ => None,
    }
}

/// The permission of an object's list that an action needs.
#[must_use]
pub fn of_object(action: &str) -> Option<Permission> {
    match action {
        "s3:GetObject"
        | "s3:GetObjectVersion"
        | "s3:GetObjectAttributes"
        | "s3:GetObjectVersionAttributes"
        | "s3:GetObjectTorrent" => Some(Permission::Read),
        "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" => Some(Permission::ReadAcp),
        "s3:PutObjectAcl" | "s3:PutObjectVersionAcl" => Some(Permission::WriteAcp),
        _ => None,
    }
}

/// Decides as far as the bucket alone can. For objects of others than the bucket's owner the
/// object has the word: see [`of_the_object`].
#[must_use]
pub fn of_the_bucket(question: Question<'_>, bucket: Bucket<'_>) -> Answer {
    let identity = question.identity;
    let own = identity.is_some_and(|identity| identity.account == bucket.account);
    let root = own && identity.is_some_and(|identity| identity.root);
    if root && policy::s3::owner_root_always_may(question.action) {
        return Answer::Allow;
    }
    match by_policy(question, bucket) {
        Decision::Allow => return Answer::Allow,
        Decision::ExplicitDeny(origin) => {
            let why = Decision::ExplicitDeny(origin).because(question.action);
            return Answer::Deny(own.then_some(why));
        }
        Decision::ImplicitDeny(PolicyType::Resource) => {}
        Decision::ImplicitDeny(other) => {
            let why = Decision::ImplicitDeny(other).because(question.action);
            return Answer::Deny(own.then_some(why));
        }
    }
    if of_object(question.action).is_some() {
        return Answer::AskObject;
    }
    let granted = of_bucket(question.action).is_some_and(|permission| {
        bucket.acl.is_some_and(|acl| acl_allows(acl, question, bucket, permission))
    });
    if granted && own_policies(question).is_allow() { Answer::Allow } else { Answer::Deny(None) }
}

/// Decides about an object, after the bucket gave no answer, or where the object is another's.
#[must_use]
pub fn of_the_object(
    question: Question<'_>,
    bucket: Bucket<'_>,
    by_bucket: Answer,
    object: Object<'_>,
) -> Answer {
    let Some(permission) = of_object(question.action) else { return by_bucket };
    let enforced = bucket.ownership == Ownership::BucketOwnerEnforced;
    let bucket_owners = enforced || object.owner_id == bucket.owner_id;
    match by_bucket {
        // The bucket's policy has no say over the objects of others, but to deny.
        Answer::Allow if bucket_owners => return Answer::Allow,
        Answer::Deny(why) => return Answer::Deny(why),
        Answer::Allow | Answer::AskObject => {}
    }
    if enforced {
        return Answer::Deny(None);
    }
    let id = question.identity.map(|identity| identity.canonical_id.as_str());
    let owner = id == Some(object.owner_id);
    let by_list = match object.acl {
        Some(acl) => acl_allows(acl, question, bucket, permission),
        None => owner,
    };
    let always = owner && matches!(permission, Permission::ReadAcp | Permission::WriteAcp);
    if (by_list || always) && own_policies(question).is_allow() {
        Answer::Allow
    } else {
        Answer::Deny(None)
    }
}

fn acl_allows(
    acl: &Acl,
    question: Question<'_>,
    bucket: Bucket<'_>,
    permission: Permission,
) -> bool {
    if bucket.ownership == Ownership::BucketOwnerEnforced {
        return false;
    }
    let viewer = match question.identity {
        Some(identity) => Viewer::Account(&identity.canonical_id),
        None => Viewer::Anonymous,
    };
    acl.allows(viewer, permission, bucket.block.ignore_acls)
}

fn by_policy(question: Question<'_>, bucket: Bucket<'_>) -> Decision {
    let Ok(account) = bucket.account.parse() else {
        return Decision::ImplicitDeny(PolicyType::Resource);
    };
    let Some(caller) = caller_of(question) else {
        return Decision::ImplicitDeny(PolicyType::Identity);
    };
    let request = request(question, caller);
    let policies = Policies {
        resource: bucket.policy.map(|policy| &*policy.compiled),
        resource_account: Some(account),
        ..policies_of(question)
    };
    let decision = policy::decide(&request, &policies);
    let foreign = question.identity.is_none_or(|identity| identity.account != bucket.account);
    let restricted =
        bucket.block.restrict_buckets && bucket.policy.is_some_and(|policy| policy.public);
    match decision {
        Decision::Allow if foreign && restricted => Decision::ImplicitDeny(PolicyType::Resource),
        Decision::Allow | Decision::ExplicitDeny(_) | Decision::ImplicitDeny(_) => decision,
    }
}

/// Whether a bucket's policy lets S3 itself do something. Nothing else can.
#[must_use]
pub fn service_may(
    policy: &BucketPolicy,
    action: &str,
    resource: &str,
    context: &Context<'_>,
) -> bool {
    let caller = Caller::Service { name: "s3.amazonaws.com" };
    let request = Request { caller, canonical_user: None, action, resource, context };
    let policies = Policies {
        resource: Some(&*policy.compiled),
        resource_must_allow: true,
        ..Policies::default()
    };
    policy::decide(&request, &policies).is_allow()
}

/// What the caller's own policies say, without a word of the bucket's: it needs their leave for what a
/// list grants to its account.
#[must_use]
pub fn own_policies(question: Question<'_>) -> Decision {
    let narrowed = question.identity.is_some_and(|identity| identity.own.is_some());
    match caller_of(question) {
        Some(caller) if narrowed => {
            policy::decide(&request(question, caller), &policies_of(question))
        }
        Some(_) => Decision::Allow,
        None => Decision::ImplicitDeny(PolicyType::Identity),
    }
}

fn request<'a>(question: Question<'a>, caller: Caller<'a>) -> Request<'a> {
    Request {
        caller,
        canonical_user: question.identity.map(|identity| identity.canonical_id.as_str()),
        action: question.action,
        resource: question.resource,
        context: question.context,
    }
}

/// The policies of the caller's own.
fn policies_of(question: Question<'_>) -> Policies<'_> {
    match question.identity.and_then(|identity| identity.own.as_deref()) {
        Some(own) => Policies {
            identity: &own.identity,
            boundary: own.boundary.as_deref(),
            session: own.session.as_deref(),
            ..Policies::default()
        },
        None => Policies { identity: &ALL, ..Policies::default() },
    }
}

/// The caller as policies know it; none of an account that is none.
fn caller_of(question: Question<'_>) -> Option<Caller<'_>> {
    let Some(identity) = question.identity else { return Some(Caller::Anonymous) };
    let account = identity.account.parse().ok()?;
    let own = identity.own.as_deref();
    let role_arn = own.and_then(|own| own.role_arn.as_deref());
    let maker_arn = own.and_then(|own| own.maker_arn.as_deref());
    Some(match (role_arn, maker_arn) {
        _ if identity.root => Caller::Root { account },
        (Some(role_arn), _) => {
            Caller::RoleSession { account, role_arn, session_arn: &identity.arn }
        }
        (None, Some(user_arn)) => {
            Caller::FederatedUser { account, user_arn, session_arn: &identity.arn }
        }
        (None, None) => Caller::User { account, arn: &identity.arn },
    })
}

#[cfg(test)]
mod tests;
