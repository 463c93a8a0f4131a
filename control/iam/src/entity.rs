//! What operations on users, groups, roles and instance profiles have in common.

use crate::{
    Named, Permissions, PolicyText, Principal, Request, UniqueId, documents, errors,
    page::{Asked, Page, page},
    place, policies,
    users::User,
};
use shapes::{
    Fault,
    iam::{
        AttachedPermissionsBoundary, AttachedPolicy, PermissionsBoundaryAttachmentType,
        PolicyDetail,
    },
};
use state::{Row, State, Tx};
use types::AccountId;

/// How many managed policies an identity may have attached.
const MAX_ATTACHED: usize = 10;

/// A resource that has a name in its account.
pub(crate) trait Entity: Row<Key = UniqueId> {
    /// AWS's word, which faults begin with: `user`.
    const KIND: &'static str;
    /// Its quota's name and how many an account may have.
    const QUOTA: (&'static str, usize);

    fn named(&self) -> &Named;

    /// The fault about one that doesn't exist.
    fn not_found(name: &str) -> Fault {
        errors::not_found(Self::KIND, name)
    }

    /// The fault about a name that is taken.
    fn exists(name: &str) -> Fault {
        let mut kind = Self::KIND.to_owned();
        kind[..1].make_ascii_uppercase();
        errors::exists(kind, name)
    }
}

/// An entity that has policies.
pub(crate) trait Identity: Entity {
    /// The quota of attached policies.
    const ATTACHED_QUOTA: &'static str;
    /// How much text the inline policies may have together, white space aside.
    const INLINE_SIZE: usize;

    fn permissions(&self) -> &Permissions;
    fn permissions_mut(&mut self) -> &mut Permissions;

    /// Refuses changes of what only AWS may change.
    fn may_change(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The account's entity of this name.
pub(crate) fn find<'a, E: Entity>(
    state: &'a State,
    account: AccountId,
    name: Option<&str>,
) -> Result<&'a E, Fault> {
    let name = name.unwrap_or_default();
    let row = state.find::<E>("name", place(account, name)).next();
    row.map(AsRef::as_ref).ok_or_else(|| E::not_found(name))
}

/// The same, to be changed and put back.
pub(crate) fn take<E: Entity>(tx: &Tx, request: &Request, name: Option<&str>) -> Result<E, Fault> {
    find::<E>(tx, request.caller.account, name).cloned()
}

/// The same, if it may be changed.
pub(crate) fn change<E: Identity>(
    tx: &Tx,
    request: &Request,
    name: Option<&str>,
) -> Result<E, Fault> {
    let row = take::<E>(tx, request, name)?;
    row.may_change()?;
    Ok(row)
}

/// Checks that a name is free; `but` may have it.
pub(crate) fn check_free<E: Entity>(
    state: &State,
    account: AccountId,
    name: &str,
    but: Option<&UniqueId>,
) -> Result<(), Fault> {
    let taken = state.find::<E>("name", place(account, name)).next();
    match taken.filter(|row| but != Some(&row.named().id)) {
        Some(_) => Err(E::exists(name)),
        None => Ok(()),
    }
}

/// Gives an entity another name, if it is free, and another path.
pub(crate) fn rename<E: Entity>(
    state: &State,
    named: &mut Named,
    name: Option<String>,
    path: Option<String>,
) -> Result<(), Fault> {
    if let Some(name) = name {
        check_free::<E>(state, named.account, &name, Some(&named.id))?;
        named.name = name;
    }
    if let Some(path) = path {
        named.path = path;
    }
    Ok(())
}

/// Checks that the account may have one more, of this name.
pub(crate) fn check_new<E: Entity>(
    state: &State,
    account: AccountId,
    name: &str,
) -> Result<(), Fault> {
    check_free::<E>(state, account, name, None)?;
    let (quota, limit) = E::QUOTA;
    if state.find::<E>("account", account).count() >= limit {
        return Err(errors::quota(quota, limit));
    }
    Ok(())
}

/// A page of the account's entities below a path.
pub(crate) fn list<'a, E: Entity>(
    state: &'a State,
    request: &Request,
    prefix: Option<&str>,
    asked: Asked,
) -> Result<Page<&'a E>, Fault> {
    let rows = state.find::<E>("account", request.caller.account).map(AsRef::as_ref);
    let prefix = prefix.unwrap_or("/");
    let rows = rows.filter(|row: &&E| row.named().path.starts_with(prefix));
    page(rows, |row| by_name(row.named()), asked)
}

/// What lists of names are ordered by.
pub(crate) fn by_name(named: &Named) -> String {
    named.name.to_ascii_lowercase()
}

/// The user that a call is about: the one named, else the caller; none is the root user.
pub(crate) fn user_or_caller<'a>(
    state: &'a State,
    request: &Request,
    name: Option<&str>,
) -> Result<Option<&'a User>, Fault> {
    if name.is_some() {
        return find::<User>(state, request.caller.account, name).map(Some);
    }
    match &request.caller.principal {
        Principal::Root(_) => Ok(None),
        Principal::User(id) => {
            let user = state.get::<User>(id).map(AsRef::as_ref);
            user.map(Some).ok_or_else(|| errors::not_found("user", id))
        }
        Principal::Role(_) => Err(errors::needs_user_name()),
    }
}

/// The same where the root user doesn't do.
pub(crate) fn user_of<'a>(
    state: &'a State,
    request: &Request,
    name: Option<&str>,
) -> Result<&'a User, Fault> {
    user_or_caller(state, request, name)?.ok_or_else(errors::needs_user_name)
}

/// Gives an identity an inline policy.
pub(crate) fn put_inline<E: Identity>(
    mut row: E,
    policy: Option<String>,
    document: Option<String>,
) -> Result<E, Fault> {
    let text = documents::identity(document)?;
    row.permissions_mut().inline.insert(policy.unwrap_or_default(), text);
    let size = row.permissions().inline.values().map(|text| documents::size(text.text()));
    if size.sum::<usize>() > E::INLINE_SIZE {
        return Err(errors::policy_size(E::INLINE_SIZE, E::KIND, &row.named().name));
    }
    Ok(row)
}

/// Takes an inline policy from an identity.
pub(crate) fn delete_inline<E: Identity>(mut row: E, policy: Option<String>) -> Result<E, Fault> {
    let policy = policy.unwrap_or_default();
    match row.permissions_mut().inline.remove(&policy) {
        Some(_) => Ok(row),
        None => Err(errors::not_found(format!("{} policy", E::KIND), policy)),
    }
}

/// An inline policy of an identity.
pub(crate) fn inline<'a, E: Identity>(
    row: &'a E,
    policy: Option<&String>,
) -> Result<&'a PolicyText, Fault> {
    let policy = policy.map(String::as_str).unwrap_or_default();
    let text = row.permissions().inline.get(policy);
    text.ok_or_else(|| errors::not_found(format!("{} policy", E::KIND), policy))
}

/// A page of the names of an identity's inline policies.
pub(crate) fn list_inline<E: Identity>(row: &E, asked: Asked) -> Result<Page<String>, Fault> {
    page(row.permissions().inline.keys().cloned(), String::clone, asked)
}

/// Attaches a managed policy to an identity, again if it is.
pub(crate) fn attach<E: Identity>(
    state: &State,
    mut row: E,
    arn: Option<String>,
) -> Result<E, Fault> {
    let arn = arn.unwrap_or_default();
    policies::check_arn(&arn)?;
    let policy = policies::attachable(state, row.named().account, &arn)
        .ok_or_else(|| errors::not_attachable(&arn))?;
    if policy.is_aws() && policy.named.path.starts_with("/aws-service-role/") {
        return Err(errors::service_policy());
    }
    let attached = &mut row.permissions_mut().attached;
    attached.insert(arn);
    if attached.len() > MAX_ATTACHED {
        return Err(errors::quota(E::ATTACHED_QUOTA, MAX_ATTACHED));
    }
    Ok(row)
}

/// Detaches a managed policy from an identity.
pub(crate) fn detach<E: Identity>(mut row: E, arn: Option<String>) -> Result<E, Fault> {
    let arn = arn.unwrap_or_default();
    policies::check_arn(&arn)?;
    match row.permissions_mut().attached.remove(&arn) {
        true => Ok(row),
        false => Err(errors::policy_not_found(arn)),
    }
}

/// A page of the managed policies attached to an identity.
pub(crate) fn list_attached<E: Identity>(
    state: &State,
    row: &E,
    prefix: Option<&str>,
    asked: Asked,
) -> Result<Page<AttachedPolicy>, Fault> {
    let prefix = prefix.unwrap_or("/");
    let rows = row.permissions().attached.iter().filter_map(|arn| policies::find(state, arn));
    let rows = rows.filter(|policy| policy.named.path.starts_with(prefix));
    let page = page(rows, |policy| policy.named.name.clone() + &policy.named.path, asked)?;
    let items = page.items.iter().map(|policy| policy.to_attached()).collect();
    Ok(Page { items, is_truncated: page.is_truncated, marker: page.marker })
}

/// All managed policies attached to an identity.
pub(crate) fn all_attached(state: &State, permissions: &Permissions) -> Vec<AttachedPolicy> {
    let rows = permissions.attached.iter().filter_map(|arn| policies::find(state, arn));
    rows.map(policies::ManagedPolicy::to_attached).collect()
}

/// All inline policies of an identity, with their documents.
pub(crate) fn all_inline(permissions: &Permissions) -> Vec<PolicyDetail> {
    let inline = permissions.inline.iter().map(|(name, text)| PolicyDetail {
        policy_name: Some(name.clone()),
        policy_document: Some(text.encoded()),
    });
    inline.collect()
}

/// Checks the ARN of a boundary.
pub(crate) fn boundary(state: &State, account: AccountId, arn: String) -> Result<String, Fault> {
    match policies::attachable(state, account, &arn) {
        Some(_) => Ok(arn),
        None => Err(errors::boundary_not_found(arn)),
    }
}

/// A boundary as answers carry it.
pub(crate) fn boundary_to_api(permissions: &Permissions) -> Option<AttachedPermissionsBoundary> {
    permissions.boundary.as_ref().map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_type: Some(
            PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy,
        ),
        permissions_boundary_arn: Some(arn.clone()),
    })
}

/// What still belongs to an identity that is to be deleted.
pub(crate) fn check_bare(permissions: &Permissions) -> Result<(), Fault> {
    if !permissions.attached.is_empty() {
        return Err(errors::delete_conflict("must detach all policies first."));
    }
    if !permissions.inline.is_empty() {
        return Err(errors::delete_conflict("must delete policies first."));
    }
    Ok(())
}
