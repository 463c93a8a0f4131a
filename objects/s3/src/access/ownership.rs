//! Whose a new bucket or object is, and which list it gets.

use super::{
    Caller,
    acl::{Acl, Asked, Of, Owner},
    authorize::may_give_list,
    block_of,
};
use crate::{
    Gateway,
    configuration::{Configuration, Ownership},
    fault,
    store::{self, BucketEntry},
};
use http::HeaderMap;
use s3s::{S3ErrorCode, S3Result};

/// What a request's headers ask for.
pub(crate) fn headers_of(headers: &HeaderMap) -> Asked<'_> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Asked {
        canned: text("x-amz-acl"),
        full_control: text("x-amz-grant-full-control"),
        read: text("x-amz-grant-read"),
        write: text("x-amz-grant-write"),
        read_acp: text("x-amz-grant-read-acp"),
        write_acp: text("x-amz-grant-write-acp"),
    }
}

/// The owner of a new object (none: the bucket's owner), and its list (none: private). What an
/// anonymous caller writes is the bucket owner's.
///
/// # Errors
/// `AccessControlListNotSupported`, `AccessDenied` to give a list or by the public-access block,
/// and those of lists.
pub(crate) async fn of_new_object(
    gateway: &Gateway,
    caller: &Caller,
    (entry, key): (&BucketEntry, &str),
    asked: &Asked<'_>,
) -> S3Result<(Option<store::Owner>, Option<String>)> {
    let row = &*entry.row();
    if *asked != Asked::default() {
        may_give_list(gateway, caller, entry, key).await?;
    }
    let bucket_owner = Owner::of(&row.owner);
    let writer = caller.identity.as_deref().map(|identity| store::Owner {
        account: identity.account.clone(),
        canonical_id: identity.canonical_id.clone(),
        display_name: identity.display_name.clone(),
    });
    let writer = writer.filter(|writer| writer.canonical_id != bucket_owner.id);
    let owner = writer.as_ref().map_or_else(|| bucket_owner.clone(), Owner::of);
    let acl = asked.to_acl(Of::Object, &owner, &bucket_owner)?;
    let full_control = asked.canned == Some("bucket-owner-full-control");
    match row.configuration.ownership() {
        Ownership::BucketOwnerEnforced => {
            let allowed = full_control
                || (asked.canned.is_none()
                    && acl
                        .as_ref()
                        .is_none_or(|acl| acl.is_bucket_owner_full_control(&bucket_owner.id)));
            if !allowed {
                let code = S3ErrorCode::AccessControlListNotSupported;
                return Err(fault::fault(code, "The bucket does not allow ACLs"));
            }
            return Ok((None, None));
        }
        Ownership::BucketOwnerPreferred if full_control => return Ok((None, None)),
        Ownership::BucketOwnerPreferred | Ownership::ObjectWriter => {}
    }
    if acl.as_ref().is_some_and(Acl::is_public) && block_of(gateway, row).await?.block_acls {
        return Err(fault::access_denied());
    }
    Ok((writer, acl.map(|acl| acl.to_text()).transpose()?))
}

/// Sets a new bucket's ownership and list from the headers of the request that makes it.
///
/// # Errors
/// `InvalidBucketAclWithObjectOwnership`, `InvalidArgument`, and those of lists.
pub(crate) fn of_new_bucket(
    configuration: &mut Configuration,
    headers: &HeaderMap,
    owner: &store::Owner,
) -> S3Result<()> {
    let named = headers.get("x-amz-object-ownership").and_then(|value| value.to_str().ok());
    if let Some(name) = named {
        let unknown = || {
            let message = "Invalid x-amz-object-ownership header: ".to_owned() + name;
            fault::invalid_argument(&message, "x-amz-object-ownership", name)
        };
        configuration.ownership = Some(Ownership::of_name(name).ok_or_else(unknown)?);
    }
    let owner = Owner::of(owner);
    let Some(acl) = headers_of(headers).to_acl(Of::Bucket, &owner, &owner)? else {
        return Ok(());
    };
    if acl.is_bucket_owner_full_control(&owner.id) {
        return Ok(());
    }
    if configuration.ownership() == Ownership::BucketOwnerEnforced {
        return Err(fault::fault(
            S3ErrorCode::InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    // A new bucket blocks public lists.
    if acl.is_public() {
        return Err(fault::access_denied());
    }
    configuration.acl = Some(acl);
    Ok(())
}
