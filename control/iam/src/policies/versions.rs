//! The versions of managed policies.

use crate::{
    Request, errors,
    page::{Asked, Page, page},
    policies::{self, MAX_VERSIONS, ManagedPolicy, PolicyVersion},
};
use shapes::{
    Fault,
    iam::{
        CreatePolicyVersionRequest, CreatePolicyVersionResponse, DeletePolicyVersionRequest,
        DeletePolicyVersionResponse, GetPolicyVersionRequest, GetPolicyVersionResponse,
        ListPolicyVersionsRequest, ListPolicyVersionsResponse, PolicyVersion as ApiVersion,
        SetDefaultPolicyVersionRequest, SetDefaultPolicyVersionResponse,
    },
};
use state::{State, Tx};

/// Makes a version, which is in force at once if that is asked for.
///
/// # Errors
/// There is no such policy, it has as many versions as are kept, or the document is malformed.
pub fn create_policy_version(
    tx: &mut Tx,
    request: &Request,
    input: CreatePolicyVersionRequest,
) -> Result<CreatePolicyVersionResponse, Fault> {
    let CreatePolicyVersionRequest { policy_arn, policy_document, set_as_default } = input;
    let mut policy = policies::take_own(tx, request, policy_arn.as_deref())?;
    let document = policies::document(policy_document)?;
    if policy.versions.len() >= MAX_VERSIONS {
        return Err(errors::too_many_versions());
    }
    let created = tx.now();
    policy.last_version += 1;
    let version = PolicyVersion { number: policy.last_version, document, created };
    if set_as_default == Some(true) {
        policy.default_version = version.number;
    }
    policy.updated = created;
    let answer = ApiVersion { document: None, ..to_api(&policy, &version) };
    policy.versions.push(version);
    tx.put(policy);
    Ok(CreatePolicyVersionResponse { policy_version: Some(answer) })
}

/// Deletes a version that isn't in force.
///
/// # Errors
/// There is no such policy or version, or it is in force.
pub fn delete_policy_version(
    tx: &mut Tx,
    request: &Request,
    input: DeletePolicyVersionRequest,
) -> Result<DeletePolicyVersionResponse, Fault> {
    let DeletePolicyVersionRequest { policy_arn, version_id } = input;
    let mut policy = policies::take_own(tx, request, policy_arn.as_deref())?;
    let number = find(&policy, version_id.as_deref())?.number;
    if number == policy.default_version {
        return Err(errors::default_version());
    }
    policy.versions.retain(|version| version.number != number);
    policy.updated = tx.now();
    tx.put(policy);
    Ok(DeletePolicyVersionResponse {})
}

/// A version with its document.
///
/// # Errors
/// There is no such policy or version.
pub fn get_policy_version(
    state: &State,
    request: &Request,
    input: GetPolicyVersionRequest,
) -> Result<GetPolicyVersionResponse, Fault> {
    let GetPolicyVersionRequest { policy_arn, version_id } = input;
    let policy = policies::find_visible(state, request, policy_arn.as_deref())?;
    let version = find(policy, version_id.as_deref())?;
    Ok(GetPolicyVersionResponse { policy_version: Some(to_api(policy, version)) })
}

/// The versions, the newest first, without their documents.
///
/// # Errors
/// There is no such policy, or the page is invalid.
pub fn list_policy_versions(
    state: &State,
    request: &Request,
    input: ListPolicyVersionsRequest,
) -> Result<ListPolicyVersionsResponse, Fault> {
    let ListPolicyVersionsRequest { policy_arn, marker, max_items } = input;
    let policy = policies::find_visible(state, request, policy_arn.as_deref())?;
    let key = |version: &&PolicyVersion| format!("{:010}", u32::MAX - version.number);
    let Page { items, is_truncated, marker } =
        page(&policy.versions, key, Asked { marker, max_items })?;
    let versions = items.into_iter();
    let versions = versions.map(|version| ApiVersion { document: None, ..to_api(policy, version) });
    Ok(ListPolicyVersionsResponse {
        versions: Some(versions.collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Puts a version in force.
///
/// # Errors
/// There is no such policy or version.
pub fn set_default_policy_version(
    tx: &mut Tx,
    request: &Request,
    input: SetDefaultPolicyVersionRequest,
) -> Result<SetDefaultPolicyVersionResponse, Fault> {
    let SetDefaultPolicyVersionRequest { policy_arn, version_id } = input;
    let mut policy = policies::take_own(tx, request, policy_arn.as_deref())?;
    policy.default_version = find(&policy, version_id.as_deref())?.number;
    policy.updated = tx.now();
    tx.put(policy);
    Ok(SetDefaultPolicyVersionResponse {})
}

/// A version by its ID, such as `v3`.
fn find<'a>(policy: &'a ManagedPolicy, id: Option<&str>) -> Result<&'a PolicyVersion, Fault> {
    let id = id.unwrap_or_default();
    let number = id.strip_prefix('v').and_then(|number| number.parse().ok());
    let version = number.and_then(|number| policy.version(number));
    version.ok_or_else(|| errors::version_not_found(policy.arn(), id))
}

/// A version as answers carry it.
pub(crate) fn to_api(policy: &ManagedPolicy, version: &PolicyVersion) -> ApiVersion {
    ApiVersion {
        document: Some(version.document.encoded()),
        version_id: Some(format!("v{}", version.number)),
        is_default_version: Some(version.number == policy.default_version),
        create_date: Some(version.created),
    }
}
