//! Managed policies, the account's and AWS's.

mod aws;
pub mod tags;
pub mod usage;
pub mod versions;

use crate::{
    Named, PolicyText, Request, documents, errors,
    page::{Asked, Page, page},
    place, tags as tagging,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        AttachedPolicy, CreatePolicyRequest, CreatePolicyResponse, DeletePolicyRequest,
        DeletePolicyResponse, GetPolicyRequest, GetPolicyResponse, ListPoliciesRequest,
        ListPoliciesResponse, Policy, PolicyScopeType, PolicyUsageType,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{AccountId, Scope, Tags, Timestamp};

/// How many managed policies an account may have.
const POLICIES_PER_ACCOUNT: usize = 1500;
/// How long a document may be, white space aside.
const MAX_SIZE: usize = 6144;

/// How many versions of a policy are kept.
pub const MAX_VERSIONS: usize = 5;

/// A version of a managed policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// 1 of `v1`.
    pub number: u32,
    /// What it says.
    pub document: PolicyText,
    /// When it was made.
    pub created: Timestamp,
}

/// A policy that can be attached to several identities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Path, name, `ANPA…`.
    pub named: Named,
    /// For people.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// At least one, in the order of their numbers.
    pub versions: Vec<PolicyVersion>,
    /// The number of the version in force.
    pub default_version: u32,
    /// The number of the version that was made last; numbers are not given again.
    pub last_version: u32,
    /// When its versions last changed.
    pub updated: Timestamp,
}

impl Row for ManagedPolicy {
    const TABLE: &'static str = "iam-policy";
    /// The ARN: a policy's name and path are for ever.
    type Key = String;
    fn key(&self) -> String {
        self.arn()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.named.account);
        add("name", &self.named.place());
    }
}

impl ManagedPolicy {
    /// `arn:aws:iam::ACCOUNT:policy/PATH/NAME`; AWS's own have `aws` for the account.
    #[must_use]
    pub fn arn(&self) -> String {
        if self.is_aws() {
            return format!("arn:aws:iam::aws:policy{}{}", self.named.path, self.named.name);
        }
        self.named.arn("policy")
    }

    /// Whether it is one of AWS's.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        self.named.account == types::AccountId::SYSTEM
    }

    /// A version by its number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The document in force.
    #[must_use]
    pub fn document(&self) -> &PolicyText {
        let default = self.version(self.default_version).or(self.versions.first());
        match default {
            Some(version) => &version.document,
            None => unreachable!("{} has a version", self.named.name),
        }
    }
}

impl ManagedPolicy {
    /// The policy as what has it attached shows it.
    pub(crate) fn to_attached(&self) -> AttachedPolicy {
        AttachedPolicy { policy_name: Some(self.named.name.clone()), policy_arn: Some(self.arn()) }
    }

    /// The policy as lists show it: without description and tags.
    pub(crate) fn to_api(&self, state: &State, account: AccountId) -> Policy {
        let arn = self.arn();
        Policy {
            policy_name: Some(self.named.name.clone()),
            policy_id: Some(self.named.id.to_string()),
            path: Some(self.named.path.clone()),
            default_version_id: Some(format!("v{}", self.default_version)),
            attachment_count: Some(usage::count(state, account, "attached", &arn)),
            permissions_boundary_usage_count: Some(usage::count(state, account, "boundary", &arn)),
            arn: Some(arn),
            is_attachable: Some(true),
            description: None,
            create_date: Some(self.named.created),
            update_date: Some(self.updated),
            tags: None,
        }
    }

    /// The policy with all that is known of it.
    fn to_api_in_full(&self, state: &State, account: AccountId) -> Policy {
        Policy {
            description: self.description.clone(),
            tags: tagging::to_api(&self.tags),
            ..self.to_api(state, account)
        }
    }
}

/// Makes a managed policy with its first version.
///
/// # Errors
/// The name is taken, the document is malformed or too long, tags are invalid, or the quota is
/// reached.
pub fn create_policy(
    tx: &mut Tx,
    request: &Request,
    input: CreatePolicyRequest,
) -> Result<CreatePolicyResponse, Fault> {
    let CreatePolicyRequest { policy_name, path, policy_document, description, tags } = input;
    let account = request.caller.account;
    let name = policy_name.unwrap_or_default();
    let document = document(policy_document)?;
    if tx.find::<ManagedPolicy>("name", place(account, &name)).next().is_some() {
        return Err(errors::policy_exists(name));
    }
    if tx.find::<ManagedPolicy>("account", account).count() >= POLICIES_PER_ACCOUNT {
        return Err(errors::quota("PoliciesPerAccount", POLICIES_PER_ACCOUNT));
    }
    let created = tx.now();
    let policy = ManagedPolicy {
        tags: tagging::new(tags)?,
        named: Named::new(tx, account, "ANPA", path, name),
        description,
        versions: vec![PolicyVersion { number: 1, document, created }],
        default_version: 1,
        last_version: 1,
        updated: created,
    };
    let tags = tagging::to_api(&policy.tags);
    let answer = Policy { tags, ..policy.to_api(tx, account) };
    tx.put(policy);
    Ok(CreatePolicyResponse { policy: Some(answer) })
}

/// Deletes a policy that is attached to nobody and has one version.
///
/// # Errors
/// There is no such policy, it is AWS's, attached, or has other versions.
pub fn delete_policy(
    tx: &mut Tx,
    request: &Request,
    input: DeletePolicyRequest,
) -> Result<DeletePolicyResponse, Fault> {
    let DeletePolicyRequest { policy_arn } = input;
    let policy = take_own(tx, request, policy_arn.as_deref())?;
    let (arn, account) = (policy.arn(), policy.named.account);
    let used = |index| usage::count(tx, account, index, &arn) > 0;
    if used("attached") || used("boundary") {
        return Err(errors::policy_in_use());
    }
    if policy.versions.len() > 1 {
        return Err(errors::policy_has_versions());
    }
    tx.delete::<ManagedPolicy>(&arn);
    Ok(DeletePolicyResponse {})
}

/// A managed policy, without its document.
///
/// # Errors
/// There is no such policy.
pub fn get_policy(
    state: &State,
    request: &Request,
    input: GetPolicyRequest,
) -> Result<GetPolicyResponse, Fault> {
    let GetPolicyRequest { policy_arn } = input;
    let policy = find_visible(state, request, policy_arn.as_deref())?;
    Ok(GetPolicyResponse { policy: Some(policy.to_api_in_full(state, request.caller.account)) })
}

/// Managed policies, the account's, AWS's or both.
///
/// # Errors
/// The page is invalid.
pub fn list_policies(
    state: &State,
    request: &Request,
    input: ListPoliciesRequest,
) -> Result<ListPoliciesResponse, Fault> {
    let ListPoliciesRequest {
        scope,
        only_attached,
        path_prefix,
        policy_usage_filter,
        marker,
        max_items,
    } = input;
    let account = request.caller.account;
    let rows = visible(state, account, scope.unwrap_or(PolicyScopeType::All));
    let prefix = path_prefix.as_deref().unwrap_or("/");
    let rows = rows.filter(|policy| policy.named.path.starts_with(prefix)).filter(|policy| {
        let arn = policy.arn();
        let used = |index| usage::count(state, account, index, &arn) > 0;
        let as_asked = match policy_usage_filter {
            Some(PolicyUsageType::PermissionsPolicy) => used("attached"),
            Some(PolicyUsageType::PermissionsBoundary) => used("boundary"),
            None => true,
        };
        as_asked && (only_attached != Some(true) || used("attached") || used("boundary"))
    });
    let key = |policy: &&ManagedPolicy| policy.named.name.to_ascii_lowercase() + &policy.arn();
    let Page { items, is_truncated, marker } = page(rows, key, Asked { marker, max_items })?;
    let policies = items.into_iter().map(|policy| policy.to_api(state, account)).collect();
    Ok(ListPoliciesResponse { policies: Some(policies), is_truncated: Some(is_truncated), marker })
}

/// The managed policies that an account sees.
pub(crate) fn visible<'a>(
    state: &'a State,
    account: AccountId,
    scope: PolicyScopeType,
) -> impl Iterator<Item = &'a ManagedPolicy> + use<'a> {
    let (of_aws, own): (bool, bool) = match scope {
        PolicyScopeType::All => (true, true),
        PolicyScopeType::Aws => (true, false),
        PolicyScopeType::Local => (false, true),
    };
    let of_aws =
        of_aws.then(aws::all).into_iter().flatten().map(|policy| -> &ManagedPolicy { policy });
    let own = own.then(|| state.find::<ManagedPolicy>("account", account)).into_iter().flatten();
    of_aws.chain(own.map(AsRef::as_ref))
}

/// A valid document of a managed policy.
fn document(text: Option<String>) -> Result<PolicyText, Fault> {
    let text = documents::identity(text)?;
    match documents::size(text.text()) {
        size if size > MAX_SIZE => Err(errors::quota("PolicySize", MAX_SIZE)),
        _ => Ok(text),
    }
}

/// Checks that a text is a managed policy's ARN.
pub(crate) fn check_arn(arn: &str) -> Result<(), Fault> {
    let rest = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(':'));
    let valid = rest.is_some_and(|(account, resource)| {
        (account == "aws" || account.parse::<AccountId>().is_ok())
            && resource.starts_with("policy/")
    });
    if valid { Ok(()) } else { Err(errors::invalid_arn(arn)) }
}

/// The policy with this ARN that an account may attach: its own, and AWS's.
pub(crate) fn attachable<'a>(
    state: &'a State,
    account: AccountId,
    arn: &str,
) -> Option<&'a ManagedPolicy> {
    find(state, arn).filter(|policy| policy.is_aws() || policy.named.account == account)
}

/// The policy with this ARN that the caller sees.
pub(crate) fn find_visible<'a>(
    state: &'a State,
    request: &Request,
    arn: Option<&str>,
) -> Result<&'a ManagedPolicy, Fault> {
    let arn = arn.unwrap_or_default();
    check_arn(arn)?;
    let policy = attachable(state, request.caller.account, arn);
    policy.ok_or_else(|| errors::policy_not_found(arn))
}

/// The caller's policy with this ARN, to be changed and put back.
pub(crate) fn take_own(
    state: &State,
    request: &Request,
    arn: Option<&str>,
) -> Result<ManagedPolicy, Fault> {
    let policy = find_visible(state, request, arn)?;
    if policy.is_aws() {
        let why = "Cannot perform the operation on an AWS managed policy";
        return Err(errors::access_denied(format!("{why}: {}", policy.arn())));
    }
    Ok(policy.clone())
}

/// AWS's own managed policies.
pub fn aws_policies() -> impl Iterator<Item = &'static ManagedPolicy> {
    aws::all()
}

/// The managed policy with this ARN, the account's or AWS's.
#[must_use]
pub fn find<'a>(state: &'a State, arn: &str) -> Option<&'a ManagedPolicy> {
    if let Some(policy) = aws::get(arn) {
        return Some(policy);
    }
    state.get::<ManagedPolicy>(&arn.to_owned()).map(AsRef::as_ref)
}
