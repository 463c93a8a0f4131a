//! The operations on access keys: two for each user, so that one can replace the other.

use crate::{
    AccessKey, KeyOwner, Request, User, entity, errors,
    page::{Asked, Page, page},
};
use shapes::{
    Fault,
    iam::{
        AccessKey as ApiKey, AccessKeyLastUsed, AccessKeyMetadata, CreateAccessKeyRequest,
        CreateAccessKeyResponse, DeleteAccessKeyRequest, DeleteAccessKeyResponse,
        GetAccessKeyLastUsedRequest, GetAccessKeyLastUsedResponse, ListAccessKeysRequest,
        ListAccessKeysResponse, StatusType, UpdateAccessKeyRequest, UpdateAccessKeyResponse,
    },
};
use state::{State, Tx};

/// How many keys a user may have, and the root user.
const MAX_KEYS: usize = 2;

/// Makes an access key of the named user, else the caller. Its secret is in this answer only.
///
/// # Errors
/// There is no such user, or it has as many keys as it may.
pub fn create_access_key(
    tx: &mut Tx,
    request: &Request,
    input: CreateAccessKeyRequest,
) -> Result<CreateAccessKeyResponse, Fault> {
    let CreateAccessKeyRequest { user_name } = input;
    let user = entity::user_or_caller(tx, request, user_name.as_deref())?;
    let name = user.map(|user| user.named.name.clone());
    let owner = owner(user);
    if keys(tx, request, &owner).count() >= MAX_KEYS {
        return Err(errors::quota("AccessKeysPerUser", MAX_KEYS));
    }
    let key = AccessKey::create_for(tx, request.caller.account, owner);
    Ok(CreateAccessKeyResponse {
        access_key: Some(ApiKey {
            user_name: name,
            access_key_id: Some(key.id),
            status: Some(StatusType::Active),
            secret_access_key: Some(key.secret),
            create_date: Some(key.created),
        }),
    })
}

/// Deletes an access key.
///
/// # Errors
/// The user doesn't exist or has no such key.
pub fn delete_access_key(
    tx: &mut Tx,
    request: &Request,
    input: DeleteAccessKeyRequest,
) -> Result<DeleteAccessKeyResponse, Fault> {
    let DeleteAccessKeyRequest { user_name, access_key_id } = input;
    let key = find(tx, request, user_name.as_deref(), access_key_id)?;
    tx.delete::<AccessKey>(&key.id);
    Ok(DeleteAccessKeyResponse {})
}

/// When a key of the account was last used.
///
/// # Errors
/// There is no such key.
pub fn get_access_key_last_used(
    state: &State,
    request: &Request,
    input: GetAccessKeyLastUsedRequest,
) -> Result<GetAccessKeyLastUsedResponse, Fault> {
    let GetAccessKeyLastUsedRequest { access_key_id } = input;
    let id = access_key_id.unwrap_or_default();
    let key = state.get::<AccessKey>(&id).filter(|key| key.account == request.caller.account);
    let key = key.ok_or_else(|| errors::id_not_found("Access Key", id))?;
    let user = match &key.owner {
        KeyOwner::Root => None,
        KeyOwner::User(id) => state.get::<User>(id).map(|user| user.named.name.clone()),
    };
    let last = key.last_used.clone();
    let or_none = |text: Option<String>| text.or_else(|| Some("N/A".to_owned()));
    Ok(GetAccessKeyLastUsedResponse {
        user_name: user,
        access_key_last_used: Some(AccessKeyLastUsed {
            last_used_date: last.as_ref().map(|last| last.at),
            service_name: or_none(last.as_ref().map(|last| last.service.clone())),
            region: or_none(last.map(|last| last.region)),
        }),
    })
}

/// The keys of the named user, else the caller, without their secrets.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_access_keys(
    state: &State,
    request: &Request,
    input: ListAccessKeysRequest,
) -> Result<ListAccessKeysResponse, Fault> {
    let ListAccessKeysRequest { user_name, marker, max_items } = input;
    let user = entity::user_or_caller(state, request, user_name.as_deref())?;
    let name = user.map(|user| user.named.name.clone());
    let keys = keys(state, request, &owner(user)).collect::<Vec<_>>();
    let Page { items, is_truncated, marker } =
        page(keys, |key| key.id.clone(), Asked { marker, max_items })?;
    let keys = items.into_iter().map(|key| AccessKeyMetadata {
        user_name: name.clone(),
        access_key_id: Some(key.id.clone()),
        status: Some(if key.inactive { StatusType::Inactive } else { StatusType::Active }),
        create_date: Some(key.created),
    });
    Ok(ListAccessKeysResponse {
        access_key_metadata: Some(keys.collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Switches a key on or off.
///
/// # Errors
/// The user doesn't exist or has no such key.
pub fn update_access_key(
    tx: &mut Tx,
    request: &Request,
    input: UpdateAccessKeyRequest,
) -> Result<UpdateAccessKeyResponse, Fault> {
    let UpdateAccessKeyRequest { user_name, access_key_id, status } = input;
    let mut key = find(tx, request, user_name.as_deref(), access_key_id)?;
    key.inactive = match status {
        Some(StatusType::Active) | None => false,
        Some(StatusType::Inactive) => true,
        Some(StatusType::Expired) => {
            return Err(errors::invalid_input("An access key cannot be set to Expired."));
        }
    };
    tx.put(key);
    Ok(UpdateAccessKeyResponse {})
}

fn owner(user: Option<&User>) -> KeyOwner {
    user.map_or(KeyOwner::Root, |user| KeyOwner::User(user.named.id.clone()))
}

fn keys<'a>(
    state: &'a State,
    request: &Request,
    owner: &KeyOwner,
) -> Box<dyn Iterator<Item = &'a AccessKey> + 'a> {
    match owner {
        KeyOwner::Root => Box::new(AccessKey::of_root(state, request.caller.account)),
        KeyOwner::User(id) => {
            Box::new(state.find::<AccessKey>("user", id.clone()).map(AsRef::as_ref))
        }
    }
}

fn find(
    state: &State,
    request: &Request,
    user: Option<&str>,
    id: Option<String>,
) -> Result<AccessKey, Fault> {
    let owner = owner(entity::user_or_caller(state, request, user)?);
    let id = id.unwrap_or_default();
    let key = keys(state, request, &owner).find(|key| key.id == id).cloned();
    key.ok_or_else(|| errors::id_not_found("Access Key", id))
}
