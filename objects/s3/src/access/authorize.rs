//! Gathers what a decision needs, and turns the decision into S3's answer.

use super::{
    Ask, Caller,
    acl::Acl,
    block::PublicBlock,
    context,
    decide::{self, Answer, Question},
};
use crate::{
    Gateway,
    configuration::Ownership,
    fault,
    store::{Bucket, BucketEntry},
};
use s3s::{S3Error, S3Request, S3Result};
use std::{collections::BTreeMap, sync::Arc};

/// Lets an operation go on, or refuses it.
///
/// # Errors
/// `AccessDenied`.
pub(crate) async fn authorize(gateway: &Gateway, caller: &Caller, ask: Ask<'_>) -> S3Result<()> {
    let Some(bucket) = ask.bucket else { return without_bucket(gateway, caller, ask) };
    let row = bucket.row();
    if is_plain(caller, &row) {
        return Ok(());
    }
    match weigh(gateway, caller, ask, &row, By::All).await? {
        Answer::Allow => Ok(()),
        Answer::AskObject | Answer::Deny(None) => Err(fault::access_denied()),
        Answer::Deny(Some(why)) => Err(denied(caller, ask.action, &arn(&row, ask.key), &why)),
    }
}

/// Lets somebody who may write an object give it a list. Whom a list lets write needs no more.
///
/// # Errors
/// `AccessDenied`.
pub(super) async fn may_give_list(
    gateway: &Gateway,
    caller: &Caller,
    bucket: &BucketEntry,
    key: &str,
) -> S3Result<()> {
    let row = bucket.row();
    if is_plain(caller, &row) {
        return Ok(());
    }
    let (action, writing) = ("s3:PutObjectAcl", "s3:PutObject");
    let ask = |action| Ask { action, bucket: Some(bucket), key: Some(key) };
    let own = caller.identity.as_ref().is_some_and(|one| one.account == row.owner.account);
    match weigh(gateway, caller, ask(action), &row, By::Policies).await? {
        Answer::Allow => Ok(()),
        Answer::AskObject if !own => {
            match weigh(gateway, caller, ask(writing), &row, By::Policies).await? {
                Answer::Allow => Err(fault::access_denied()),
                Answer::AskObject | Answer::Deny(_) => Ok(()),
            }
        }
        Answer::AskObject | Answer::Deny(None) => Err(fault::access_denied()),
        Answer::Deny(Some(why)) => Err(denied(caller, action, &arn(&row, Some(key)), &why)),
    }
}

/// Decides about what concerns no bucket that is there: the caller's own policies do.
pub(crate) fn without_bucket(gateway: &Gateway, caller: &Caller, ask: Ask<'_>) -> S3Result<()> {
    let identity = caller.identity.as_deref().ok_or_else(fault::access_denied)?;
    if identity.own.is_none() {
        return Ok(());
    }
    let resource = match ask.key {
        Some(name) => format!("arn:aws:s3:::{name}"),
        None => "*".to_owned(),
    };
    let context = context::of(caller, &identity.account, gateway.store.now_ms(), None);
    let question = Question {
        identity: Some(identity),
        action: ask.action,
        resource: &resource,
        context: &context,
    };
    match decide::own_policies(question) {
        decision if decision.is_allow() => Ok(()),
        decision => {
            let shown = if ask.key.is_some() { &resource } else { "arn:aws:s3:::*" };
            Err(denied(caller, ask.action, shown, &decision.because(ask.action)))
        }
    }
}

/// Lets a caller have S3 act by a role of its own account.
///
/// # Errors
/// `AccessDenied`.
pub(crate) fn may_pass_role(gateway: &Gateway, caller: &Caller, role: &str) -> S3Result<()> {
    let identity = caller.identity.as_deref().ok_or_else(fault::access_denied)?;
    if crate::configuration::replication::account_of_role(role) != Some(&identity.account) {
        let message = "Cross-account pass role is not allowed.";
        return Err(fault::fault(s3s::S3ErrorCode::AccessDenied, message));
    }
    if identity.own.is_none() {
        return Ok(());
    }
    let action = "iam:PassRole";
    let mut context = context::of(caller, &identity.account, gateway.store.now_ms(), None);
    context.set("iam:PassedToService", "s3.amazonaws.com");
    let question = Question { identity: Some(identity), action, resource: role, context: &context };
    match decide::own_policies(question) {
        decision if decision.is_allow() => Ok(()),
        decision => Err(denied(caller, action, role, &decision.because(action))),
    }
}

/// Whether a bucket's policy lets S3 itself write an object on behalf of another bucket.
pub(crate) fn service_may_put(gateway: &Gateway, to: &Bucket, key: &str, source: &Bucket) -> bool {
    let policy = to.configuration.policy.as_ref().and_then(|text| text.policy());
    let now_ms = gateway.store.now_ms();
    let source_arn = arn(source, None);
    let context = context::of_service(now_ms, &source.owner.account, &source_arn);
    policy.is_some_and(|policy| {
        decide::service_may(policy, "s3:PutObject", &arn(to, Some(key)), &context)
    })
}

/// Whether the caller's own account may do as it likes: nothing else has a say.
fn is_plain(caller: &Caller, row: &Bucket) -> bool {
    let own = caller
        .identity
        .as_ref()
        .is_some_and(|one| one.account == row.owner.account && one.own.is_none());
    own && row.configuration.policy.is_none()
        && row.configuration.ownership() == Ownership::BucketOwnerEnforced
}

fn arn(row: &Bucket, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("arn:aws:s3:::{}/{key}", row.name),
        None => format!("arn:aws:s3:::{}", row.name),
    }
}

/// What an object adds to a decision.
pub(crate) struct ObjectFacts {
    pub owner_id: String,
    pub acl: Option<Acl>,
    pub tags: BTreeMap<String, String>,
}

/// What is weighed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    All,
    /// Neither the bucket's list nor an object that is there.
    Policies,
}

async fn weigh(
    gateway: &Gateway,
    caller: &Caller,
    ask: Ask<'_>,
    row: &Bucket,
    by: By,
) -> S3Result<Answer> {
    let configuration = &row.configuration;
    let policy = configuration.policy.as_ref().and_then(|text| text.policy());
    let bucket = decide::Bucket {
        account: &row.owner.account,
        owner_id: &row.owner.canonical_id,
        acl: configuration.acl.as_ref().filter(|_| by == By::All),
        ownership: configuration.ownership(),
        block: block_of(gateway, row).await?,
        policy: policy.map(|policy| &**policy),
    };
    let listed = by == By::All
        && decide::of_object(ask.action).is_some()
        && bucket.ownership != Ownership::BucketOwnerEnforced;
    let object = match ask.key {
        Some(key) if listed || policy.is_some_and(|policy| policy.asks_for_tags) => {
            let version = version_of(caller);
            gateway.store.object_facts(row, key, version.as_deref()).await?
        }
        Some(_) | None => None,
    };
    let tags = object.as_ref().map(|object| &object.tags);
    let context = context::of(caller, &row.owner.account, gateway.store.now_ms(), tags);
    let question = Question {
        identity: caller.identity.as_deref(),
        action: ask.action,
        resource: &arn(row, ask.key),
        context: &context,
    };
    let answer = decide::of_the_bucket(question, bucket);
    Ok(match &object {
        Some(object) => {
            let object = decide::Object { owner_id: &object.owner_id, acl: object.acl.as_ref() };
            decide::of_the_object(question, bucket, answer, object)
        }
        // Nothing is there. Whoever may list may know.
        None if answer == Answer::AskObject && listed => {
            let listing =
                Question { action: "s3:ListBucket", resource: &arn(row, None), ..question };
            decide::of_the_bucket(listing, bucket)
        }
        None => answer,
    })
}

/// The version that a request reads; of a copy, that of its source.
fn version_of(caller: &Caller) -> Option<String> {
    let source = caller.headers.get("x-amz-copy-source").and_then(|value| value.to_str().ok());
    match source {
        Some(source) => context::parameter(source.split_once('?')?.1, "versionId"),
        None => context::parameter(&caller.query, "versionId"),
    }
}

fn denied(caller: &Caller, action: &str, resource: &str, why: &str) -> S3Error {
    let who = caller.identity.as_ref().map_or("anonymous", |identity| identity.arn.as_str());
    fault::fault(
        s3s::S3ErrorCode::AccessDenied,
        format!(
            "User: {who} is not authorized to perform: {action} on resource: \"{resource}\" {why}"
        ),
    )
}

/// The public-access block that holds for a bucket: its own and its account's.
///
/// # Errors
/// The storage is unavailable.
pub(crate) async fn block_of(gateway: &Gateway, row: &Bucket) -> S3Result<PublicBlock> {
    let account = gateway.accounts.get(&gateway.store, &row.owner.account).await?;
    let of_bucket = row.configuration.public_block.unwrap_or_default();
    Ok(of_bucket.or(account.public_block.unwrap_or_default()))
}

/// The fault for what isn't there: who may not list may not know that.
pub(crate) async fn not_found(
    gateway: &Gateway,
    caller: &Caller,
    bucket: &BucketEntry,
    missing: S3Error,
) -> S3Error {
    let ask = Ask { action: "s3:ListBucket", bucket: Some(bucket), key: None };
    match authorize(gateway, caller, ask).await {
        Ok(()) => missing,
        Err(_) => fault::access_denied(),
    }
}

/// The bucket that an operation is about, once the caller may do it.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`: also where the bucket isn't the expected owner's.
pub(crate) async fn enter<T>(
    gateway: &Gateway,
    req: &S3Request<T>,
    name: &str,
    action: &'static str,
) -> S3Result<Arc<BucketEntry>> {
    let caller = Caller::of(req)?;
    let bucket = gateway.store.bucket(name).await?;
    let expected = req.headers.get("x-amz-expected-bucket-owner");
    if expected.is_some_and(|expected| *expected != *bucket.row().owner.account) {
        return Err(fault::access_denied());
    }
    authorize(gateway, &caller, Ask { action, bucket: Some(&bucket), key: None }).await?;
    Ok(bucket)
}
