//! Key policies: each key has one, named `default`.

use super::{Key, KeyPolicy, MAX_POLICY_BYTES, find, not_pending_deletion};
use crate::{check, errors, page::page};
use iam::Request;
use policy::{Caller, Context, Document, Kind, Policies, decide};
use shapes::{
    Fault,
    kms::{
        GetKeyPolicyRequest, GetKeyPolicyResponse, ListKeyPoliciesRequest, ListKeyPoliciesResponse,
        PutKeyPolicyRequest, PutKeyPolicyResponse,
    },
};
use state::{Row as _, State, Tx};
use types::AccountId;

/// The one name that a policy may have.
const NAME: &str = "default";

/// The policy of a key that is made without one: the account decides by its own policies.
pub(crate) fn usual(account: AccountId) -> KeyPolicy {
    let text = serde_json::json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": "kms:*",
            "Resource": "*",
        }],
    });
    KeyPolicy::new(text.to_string())
}

/// A policy for a key of the caller's.
///
/// # Errors
/// It is malformed, names who doesn't exist, or doesn't let the caller put another one after it.
pub(crate) fn checked(
    state: &State,
    request: &Request,
    text: String,
    bypass: bool,
) -> Result<KeyPolicy, Fault> {
    if text.len() > MAX_POLICY_BYTES {
        let limit = format!("The limit of a policy's size is {MAX_POLICY_BYTES} bytes.");
        return Err(errors::limit(limit));
    }
    let document = Document::parse(&text, MAX_POLICY_BYTES, Kind::Resource);
    let document = document.map_err(errors::malformed_policy)?;
    if iam::unknown_principal(state, &document).is_some() {
        return Err(errors::malformed_policy(
            "Policy contains a statement with one or more invalid principals.",
        ));
    }
    let compiled = document.compile();
    let account = request.caller.account;
    let arn = request.caller.arn.as_str();
    let caller = if arn.ends_with(":root") {
        Caller::Root { account }
    } else {
        Caller::User { account, arn }
    };
    let mut context = Context::new();
    context.set("kms:CallerAccount", account.to_string());
    context.set("aws:PrincipalArn", arn);
    context.set("aws:PrincipalAccount", account.to_string());
    let question = policy::Request {
        caller,
        canonical_user: None,
        action: "kms:PutKeyPolicy",
        resource: "*",
        context: &context,
    };
    let policies = Policies {
        resource: Some(&compiled),
        resource_account: Some(account),
        resource_must_allow: true,
        ..Policies::default()
    };
    if !bypass && !decide(&question, &policies).is_allow() {
        return Err(errors::malformed_policy(
            "The new key policy will not allow you to update the key policy in the future.",
        ));
    }
    Ok(KeyPolicy::new(text))
}

fn named(name: Option<&str>) -> Result<(), Fault> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(errors::no_such_policy()),
    }
}

/// A key's policy as it was put.
///
/// # Errors
/// There is no such key or policy.
pub fn get_key_policy(
    state: &State,
    request: &Request,
    input: GetKeyPolicyRequest,
) -> Result<GetKeyPolicyResponse, Fault> {
    let GetKeyPolicyRequest { key_id, policy_name } = input;
    let key = find(state, request, "kms:GetKeyPolicy", key_id.as_deref())?;
    named(policy_name.as_deref())?;
    Ok(GetKeyPolicyResponse {
        policy: Some(key.policy.text().to_owned()),
        policy_name: Some(NAME.to_owned()),
    })
}

/// Replaces a key's policy.
///
/// # Errors
/// There is no such key, or the policy is malformed or locks the caller out.
pub fn put_key_policy(
    tx: &mut Tx,
    request: &Request,
    input: PutKeyPolicyRequest,
) -> Result<PutKeyPolicyResponse, Fault> {
    let PutKeyPolicyRequest { key_id, policy_name, policy, bypass_policy_lockout_safety_check } =
        input;
    let key = find(tx, request, "kms:PutKeyPolicy", key_id.as_deref())?;
    named(policy_name.as_deref())?;
    not_pending_deletion(&key)?;
    let text = check::required("policy", policy)?;
    let policy = checked(tx, request, text, bypass_policy_lockout_safety_check == Some(true))?;
    tx.update::<Key>(&key.key(), |key| key.policy = policy);
    Ok(PutKeyPolicyResponse {})
}

/// Lists the names of a key's policies: one.
///
/// # Errors
/// There is no such key.
pub fn list_key_policies(
    state: &State,
    request: &Request,
    input: ListKeyPoliciesRequest,
) -> Result<ListKeyPoliciesResponse, Fault> {
    let ListKeyPoliciesRequest { key_id, limit, marker } = input;
    find(state, request, "kms:ListKeyPolicies", key_id.as_deref())?;
    let names = [NAME.to_owned()].into_iter();
    let page = page(names, Clone::clone, limit, 100, marker.as_deref())?;
    let truncated = page.truncated();
    Ok(ListKeyPoliciesResponse { policy_names: Some(page.rows), next_marker: page.next, truncated })
}
