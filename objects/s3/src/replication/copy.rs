//! One version to one bucket: what the role may, what the copy is like.

use crate::{
    Caller, Gateway, Peer,
    access::{Ask, authorize},
    api::protection::{Customer, Protection, Subject},
    configuration::Ownership,
    fault,
    keys::PlainKey,
    store::{
        Bucket, BucketEntry, DefaultRetention, Owner, Versioning,
        crypt::{Wrapping, WrappingKey},
        objects::Found,
        outbox::Named,
        version::{Lock, Object, Replication, Retention, Version},
    },
};
use s3s::{S3ErrorCode, S3Result, dto};
use std::sync::Arc;

/// What is copied.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) entry: &'a BucketEntry,
    pub(super) row: &'a Bucket,
    pub(super) key: &'a str,
    pub(super) found: &'a Found,
}

/// S3 itself, acting by a role.
struct Agent<'a> {
    gateway: &'a Gateway,
    caller: Caller,
    key: &'a str,
}

impl Agent<'_> {
    /// # Errors
    /// `AccessDenied`.
    async fn may(&self, action: &'static str, bucket: &BucketEntry, object: bool) -> S3Result<()> {
        let key = object.then_some(self.key);
        authorize(self.gateway, &self.caller, Ask { action, bucket: Some(bucket), key }).await
    }
}

impl Gateway {
    /// Copies a version to a bucket by a rule.
    ///
    /// # Errors
    /// Why not; those of the client's kind don't pass by themselves.
    pub(super) async fn copy_to(
        &self,
        source: Source<'_>,
        role: &str,
        rule: &dto::ReplicationRule,
        bucket: &str,
    ) -> S3Result<()> {
        let entry = self.store.bucket(bucket).await?;
        let to = entry.row();
        if to.versioning != Versioning::Enabled || to.number == source.row.number {
            let message = "The destination bucket is not one with versioning.";
            return Err(fault::fault(S3ErrorCode::InvalidBucketState, message));
        }
        let account = rule.destination.account.as_ref();
        if account.is_some_and(|account| *account != to.owner.account) {
            return Err(fault::access_denied());
        }
        let identity = self.identities.role(role).await.ok_or_else(fault::access_denied)?;
        let caller = Caller {
            identity: Some(identity),
            peer: Peer { secure: true, ..Peer::default() },
            headers: http::HeaderMap::new(),
            query: format!("versionId={}", source.found.id()),
        };
        let agent = Agent { gateway: self, caller, key: source.key };
        agent.may("s3:GetReplicationConfiguration", source.entry, false).await?;
        let copy = Version {
            null: source.found.version.null,
            modified_ms: source.found.version.modified_ms,
            owner: owner(source, rule, &to),
            object: None,
            replication: Some(Replication::Replica),
        };
        let from = (source.row, source.found);
        let Some(object) = source.found.object() else {
            agent.may("s3:ListBucket", source.entry, false).await?;
            agent.may("s3:ReplicateDelete", &entry, true).await?;
            let named = Named::told(source.key, "ObjectRemoved:Delete", Some(&agent.caller));
            return self.store.take_copy(&entry, named, from, copy, None).await;
        };
        let object = self.object_to(&agent, source, object, rule, &entry).await?;
        let keys = self.keys_to(&agent, source, rule, &to).await?;
        let copy = Version { object: Some(object), ..copy };
        let named = Named::told(source.key, "ObjectCreated:Put", Some(&agent.caller));
        self.store.take_copy(&entry, named, from, copy, keys.as_ref()).await
    }

    /// The object as it is to be at its destination, if the role may.
    async fn object_to(
        &self,
        agent: &Agent<'_>,
        source: Source<'_>,
        object: &Object,
        rule: &dto::ReplicationRule,
        entry: &Arc<BucketEntry>,
    ) -> S3Result<Object> {
        let to = entry.row();
        agent.may("s3:GetObjectVersionForReplication", source.entry, true).await?;
        agent.may("s3:ReplicateObject", entry, true).await?;
        let mut object = object.clone();
        object.restored_until_ms = None;
        if let Some(class) = &rule.destination.storage_class {
            let class = class.as_str();
            object.attributes.storage_class = (class != "STANDARD").then(|| class.to_owned());
        }
        if overrides(source, rule, &to) {
            agent.may("s3:ObjectOwnerOverrideToBucketOwner", entry, true).await?;
            object.attributes.acl = None;
        } else if to.configuration.ownership() == Ownership::BucketOwnerEnforced {
            object.attributes.acl = None;
        } else if object.attributes.acl.is_some() {
            agent.may("s3:GetObjectVersionAcl", source.entry, true).await?;
        }
        if !object.attributes.tags.is_empty() {
            let read = agent.may("s3:GetObjectVersionTagging", source.entry, true).await;
            let written = agent.may("s3:ReplicateTags", entry, true).await;
            // As on AWS, the object goes without them.
            if denied(read)? || denied(written)? {
                object.attributes.tags.clear();
            }
        }
        if object.lock.retention.is_some() {
            agent.may("s3:GetObjectRetention", source.entry, true).await?;
        }
        if object.lock.legal_hold.is_some() {
            agent.may("s3:GetObjectLegalHold", source.entry, true).await?;
        }
        object.lock = lock(object.lock, &to, self.store.now_ms());
        Ok(object)
    }

    /// The keys that wrap the body's key, there and here, of an object that a key of KMS encrypts.
    async fn keys_to(
        &self,
        agent: &Agent<'_>,
        source: Source<'_>,
        rule: &dto::ReplicationRule,
        to: &Bucket,
    ) -> S3Result<Option<(PlainKey, WrappingKey)>> {
        let wrapping = source.found.object().map(|object| &object.seal.wrapping);
        let Some(Wrapping::Kms(by)) = wrapping else { return Ok(None) };
        let subject =
            |bucket| Subject { gateway: self, caller: &agent.caller, bucket, key: agent.key };
        let encryption = rule.destination.encryption_configuration.as_ref();
        let protection = Protection {
            customer: Customer::default(),
            method: Some("aws:kms"),
            key_id: encryption.and_then(|one| one.replica_kms_key_id.as_deref()),
            context: None,
            bucket_key: None,
        };
        let opened = subject(source.row).open(by).await?;
        Ok(Some((opened, protection.writing_key(subject(to)).await?)))
    }
}

/// Whether something was denied, and not for another reason.
fn denied(done: S3Result<()>) -> S3Result<bool> {
    match done {
        Ok(()) => Ok(false),
        Err(error) if *error.code() == S3ErrorCode::AccessDenied => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether the copy is to be the destination's owner's, and would not be so by itself.
fn overrides(source: Source<'_>, rule: &dto::ReplicationRule, to: &Bucket) -> bool {
    rule.destination.access_control_translation.is_some()
        && source.row.owner.account != to.owner.account
}

/// Whose the copy is; none for the destination's owner's.
fn owner(source: Source<'_>, rule: &dto::ReplicationRule, to: &Bucket) -> Option<Owner> {
    let enforced = to.configuration.ownership() == Ownership::BucketOwnerEnforced;
    if enforced || overrides(source, rule, to) {
        return None;
    }
    let owner = source.found.version.owner.as_ref().unwrap_or(&source.row.owner);
    (owner.canonical_id != to.owner.canonical_id).then(|| owner.clone())
}

/// The copy's lock: the source's, or what the destination gives what has none.
fn lock(of_source: Lock, to: &Bucket, now_ms: u64) -> Lock {
    const DAY_MS: u64 = 86_400_000;
    let Some(of_bucket) = to.object_lock else { return Lock::default() };
    let default = of_bucket.default_retention.map(|one| {
        let DefaultRetention { mode, period, years } = one;
        let days = u64::from(period) * if years { 365 } else { 1 };
        Retention { mode, until_ms: now_ms + days * DAY_MS }
    });
    Lock { retention: of_source.retention.or(default), ..of_source }
}
