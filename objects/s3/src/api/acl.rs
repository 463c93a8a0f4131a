//! Access control lists, ownership controls and public-access block.

use crate::{
    Gateway,
    access::{
        Ask, Caller,
        acl::{Acl, Asked, Of, Owner},
        authorize,
        block::PublicBlock,
        block_of, enter, headers_of,
    },
    configuration::{Ownership, malformed_xml},
    fault,
    store::{Bucket, BucketEntry, Versioning, outbox::Named, version::Version},
};
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};
use std::sync::Arc;

/// The owner of a bucket as lists name it.
fn owner_of(row: &Bucket) -> Owner {
    Owner::of(&row.owner)
}

fn not_supported() -> S3Error {
    fault::fault(S3ErrorCode::AccessControlListNotSupported, "The bucket does not allow ACLs")
}

/// The list that a request asks for by header or document.
fn asked(
    headers: &Asked<'_>,
    document: Option<dto::AccessControlPolicy>,
    of: Of,
    owner: &Owner,
    bucket_owner: &Owner,
) -> S3Result<Acl> {
    match (headers.to_acl(of, owner, bucket_owner)?, document) {
        (Some(_), Some(document)) if document.grants.is_some() => Err(fault::fault(
            S3ErrorCode::UnexpectedContent,
            "This request does not support content",
        )),
        (Some(acl), _) => Ok(acl),
        (None, Some(document)) => Acl::from_api(document, owner),
        (None, None) => Err(fault::fault(
            S3ErrorCode::MissingSecurityHeader,
            "Your request was missing a required header",
        )),
    }
}

pub(super) async fn get_bucket_acl(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketAclInput>,
) -> S3Result<S3Response<dto::GetBucketAclOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketAcl").await?;
    let row = bucket.row();
    let acl = match &row.configuration.acl {
        Some(acl) if row.configuration.ownership() != Ownership::BucketOwnerEnforced => acl.clone(),
        Some(_) | None => Acl::private(owner_of(&row)),
    };
    Ok(S3Response::new(dto::GetBucketAclOutput {
        grants: Some(acl.grants_to_api()),
        owner: Some(acl.owner.to_api()),
    }))
}

pub(super) async fn put_bucket_acl(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketAclInput>,
) -> S3Result<S3Response<dto::PutBucketAclOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketAcl").await?;
    let row = bucket.row();
    let input = req.input;
    let canned = input.acl.as_ref().map(dto::BucketCannedACL::as_str);
    let headers = Asked {
        canned,
        full_control: input.grant_full_control.as_deref(),
        read: input.grant_read.as_deref(),
        write: input.grant_write.as_deref(),
        read_acp: input.grant_read_acp.as_deref(),
        write_acp: input.grant_write_acp.as_deref(),
    };
    let owner = owner_of(&row);
    let acl = asked(&headers, input.access_control_policy, Of::Bucket, &owner, &owner)?;
    if row.configuration.ownership() == Ownership::BucketOwnerEnforced {
        return if canned.is_none() && acl.is_bucket_owner_full_control(&owner.id) {
            Ok(S3Response::new(Default::default()))
        } else {
            Err(not_supported())
        };
    }
    if acl.is_public() && block_of(gateway, &row).await?.block_acls {
        return Err(fault::access_denied());
    }
    gateway.configure(&bucket, |kept| kept.acl = Some(acl)).await?;
    Ok(S3Response::new(Default::default()))
}

/// Lets the caller at an object's list, or refuses; the bucket that it is in.
async fn enter_object<T>(
    gateway: &Gateway,
    req: &S3Request<T>,
    (bucket, key, version): (&str, &str, Option<&str>),
    (plain, versioned): (&'static str, &'static str),
) -> S3Result<Arc<BucketEntry>> {
    let caller = Caller::of(req)?;
    let bucket = gateway.store.bucket(bucket).await?;
    let expected = req.headers.get("x-amz-expected-bucket-owner");
    if expected.is_some_and(|expected| *expected != *bucket.row().owner.account) {
        return Err(fault::access_denied());
    }
    let action = if version.is_some() { versioned } else { plain };
    let ask = Ask { action, bucket: Some(&bucket), key: Some(key) };
    authorize(gateway, &caller, ask).await?;
    Ok(bucket)
}

pub(super) async fn get_object_acl(
    gateway: &Gateway,
    req: S3Request<dto::GetObjectAclInput>,
) -> S3Result<S3Response<dto::GetObjectAclOutput>> {
    let (key, version) = (req.input.key.as_str(), req.input.version_id.as_deref());
    let actions = ("s3:GetObjectAcl", "s3:GetObjectVersionAcl");
    let what = (req.input.bucket.as_str(), key, version);
    let bucket = enter_object(gateway, &req, what, actions).await?;
    let row = bucket.row();
    let found = gateway.store.find_object(&row, key, version).await?;
    let enforced = row.configuration.ownership() == Ownership::BucketOwnerEnforced;
    let owner = match &found.version.owner {
        Some(owner) if !enforced => Owner::of(owner),
        Some(_) | None => owner_of(&row),
    };
    let kept = found.object().and_then(|object| object.attributes.acl.as_deref());
    let acl = kept.filter(|_| !enforced).and_then(Acl::read);
    let acl = acl.unwrap_or_else(|| Acl::private(owner));
    let mut response = S3Response::new(dto::GetObjectAclOutput {
        grants: Some(acl.grants_to_api()),
        owner: Some(acl.owner.to_api()),
        request_charged: None,
    });
    if row.versioning != Versioning::Off
        && let Ok(id) = found.id().parse()
    {
        response.headers.insert("x-amz-version-id", id);
    }
    Ok(response)
}

pub(super) async fn put_object_acl(
    gateway: &Gateway,
    req: S3Request<dto::PutObjectAclInput>,
) -> S3Result<S3Response<dto::PutObjectAclOutput>> {
    let caller = Caller::of(&req)?;
    let (key, version) = (req.input.key.clone(), req.input.version_id.clone());
    let actions = ("s3:PutObjectAcl", "s3:PutObjectVersionAcl");
    let what = (req.input.bucket.as_str(), key.as_str(), version.as_deref());
    let bucket = enter_object(gateway, &req, what, actions).await?;
    let (row, headers) = (bucket.row(), &req.headers);
    let found = gateway.store.find_object(&row, &key, version.as_deref()).await?;
    let bucket_owner = owner_of(&row);
    let enforced = row.configuration.ownership() == Ownership::BucketOwnerEnforced;
    let owner = match &found.version.owner {
        Some(owner) if !enforced => Owner::of(owner),
        Some(_) | None => bucket_owner.clone(),
    };
    let headers = headers_of(headers);
    let document = req.input.access_control_policy;
    let acl = asked(&headers, document, Of::Object, &owner, &bucket_owner)?;
    if enforced {
        let full_control = match headers.canned {
            Some(name) => name == "bucket-owner-full-control",
            None => acl.is_bucket_owner_full_control(&bucket_owner.id),
        };
        return if full_control {
            Ok(S3Response::new(Default::default()))
        } else {
            Err(not_supported())
        };
    }
    if acl.is_public() && block_of(gateway, &row).await?.block_acls {
        return Err(fault::access_denied());
    }
    let text = acl.to_text()?;
    let change = |version: &mut Version| {
        if let Some(object) = &mut version.object {
            object.attributes.acl = Some(text);
        }
        Ok(())
    };
    let named = Named::told(&key, "ObjectAcl:Put", Some(&caller));
    gateway.store.update_version(&bucket, named, version.as_deref(), change).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn get_bucket_ownership_controls(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<dto::GetBucketOwnershipControlsOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketOwnershipControls").await?;
    let Some(ownership) = bucket.row().configuration.ownership else {
        return Err(fault::with(
            fault::fault(
                S3ErrorCode::OwnershipControlsNotFoundError,
                "The bucket ownership controls were not found",
            ),
            &[("BucketName", name)],
        ));
    };
    let object_ownership = dto::ObjectOwnership::from_static(ownership.as_str());
    let rules = vec![dto::OwnershipControlsRule { object_ownership }];
    let ownership_controls = Some(dto::OwnershipControls { rules });
    Ok(S3Response::new(dto::GetBucketOwnershipControlsOutput { ownership_controls }))
}

pub(super) async fn put_bucket_ownership_controls(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<dto::PutBucketOwnershipControlsOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketOwnershipControls").await?;
    let [rule] = req.input.ownership_controls.rules.as_slice() else { return Err(malformed_xml()) };
    let ownership = Ownership::of_name(rule.object_ownership.as_str()).ok_or_else(malformed_xml)?;
    let change = |row: &mut Bucket| {
        let owner = &row.owner.canonical_id;
        let granted = row
            .configuration
            .acl
            .as_ref()
            .is_some_and(|acl| !acl.is_bucket_owner_full_control(owner));
        if ownership == Ownership::BucketOwnerEnforced && granted {
            return Err(fault::fault(
                S3ErrorCode::InvalidBucketAclWithObjectOwnership,
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            ));
        }
        row.configuration.ownership = Some(ownership);
        Ok(())
    };
    gateway.store.update_bucket(&bucket, change).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn delete_bucket_ownership_controls(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<dto::DeleteBucketOwnershipControlsOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketOwnershipControls").await?;
    gateway.configure(&bucket, |kept| kept.ownership = None).await?;
    Ok(S3Response::new(Default::default()))
}

/// There is no public-access block.
pub(crate) fn no_public_access_block() -> S3Error {
    fault::custom(
        StatusCode::NOT_FOUND,
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    )
}

pub(super) async fn get_public_access_block(
    gateway: &Gateway,
    req: S3Request<dto::GetPublicAccessBlockInput>,
) -> S3Result<S3Response<dto::GetPublicAccessBlockOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketPublicAccessBlock").await?;
    let Some(block) = bucket.row().configuration.public_block else {
        return Err(fault::with(no_public_access_block(), &[("BucketName", name)]));
    };
    let public_access_block_configuration = Some(block.to_api());
    Ok(S3Response::new(dto::GetPublicAccessBlockOutput { public_access_block_configuration }))
}

pub(super) async fn put_public_access_block(
    gateway: &Gateway,
    req: S3Request<dto::PutPublicAccessBlockInput>,
) -> S3Result<S3Response<dto::PutPublicAccessBlockOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketPublicAccessBlock").await?;
    let block = PublicBlock::from_api(&req.input.public_access_block_configuration);
    gateway.configure(&bucket, |kept| kept.public_block = Some(block)).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn delete_public_access_block(
    gateway: &Gateway,
    req: S3Request<dto::DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<dto::DeletePublicAccessBlockOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketPublicAccessBlock").await?;
    gateway.configure(&bucket, |kept| kept.public_block = None).await?;
    Ok(S3Response::new(Default::default()))
}
