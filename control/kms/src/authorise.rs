//! Who may use a key: its policy decides, and beside it the grants that concern the caller.
//!
//! What operations ask beside a key is in [`crate::access`].

use crate::{EncryptionContext, errors, grants::Grant, keys::Key};
use iam::{
    Principal, Request,
    access::{self, OfResource},
};
use policy::{Compiled, Context, Decision};
use shapes::Fault;
use state::State;
use std::sync::Arc;
use types::AccountId;

/// What is asked of a key, with what its policies may look at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Such as `kms:Encrypt`.
    pub action: &'a str,
    /// The operation as grants name it; none if no grant can allow it.
    pub operation: Option<&'a str>,
    /// The encryption context, of operations that have one.
    pub context: Option<&'a EncryptionContext>,
    /// The alias by which the key was named.
    pub alias: Option<&'a str>,
    /// The service that asks on the caller's behalf, such as `s3.us-east-1.amazonaws.com`.
    pub via: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// An operation on the key itself.
    #[must_use]
    pub fn new(action: &'a str) -> Self {
        Self { action, operation: None, context: None, alias: None, via: None }
    }

    /// An operation that a grant may allow.
    #[must_use]
    pub fn granted(action: &'a str) -> Self {
        let operation = action.split_once(':').map(|(_, operation)| operation);
        Self { operation, ..Self::new(action) }
    }
}

/// What of a key decides about a request, beside the policies of the caller.
#[derive(Debug)]
pub struct Inputs {
    /// The key policy: nothing is allowed that neither it nor a grant allows.
    pub policy: Arc<Compiled>,
    /// Whose the key is.
    pub account: AccountId,
    /// The key's ARN.
    pub resource: String,
    /// The grants to any of the caller's principals.
    pub grants: Vec<Arc<Grant>>,
}

/// What of this key decides about a caller with these ARNs (a user's own; of a session, the role's and
/// the session's; of a root user, the account's). None if the key's policy can't be read.
#[must_use]
pub fn authorise_inputs(state: &State, key: &Key, principals: &[&str]) -> Option<Inputs> {
    let policy = key.policy.compiled()?.clone();
    let of_key = state.find::<Grant>("key", state::Row::key(key));
    let grants = of_key.filter(|grant| principals.contains(&grant.grantee.as_str()));
    let grants = grants.cloned().collect();
    Some(Inputs { policy, account: key.scope.account, resource: key.arn(), grants })
}

/// Puts the condition keys of KMS into a context: those of the key, and those of what is asked.
pub fn set_conditions<'a>(
    context: &mut Context<'a>,
    key: &'a Key,
    asked: &Asked<'a>,
    caller: &str,
) {
    context.set("kms:CallerAccount", caller.to_owned());
    context.set("kms:KeySpec", key.spec.as_str());
    context.set("kms:CustomerMasterKeySpec", key.spec.as_str());
    context.set("kms:KeyUsage", key.usage.as_str());
    context.set("kms:CustomerMasterKeyUsage", key.usage.as_str());
    context.set("kms:KeyOrigin", key.origin.as_str());
    context.set("kms:MultiRegion", if key.id.multi_region { "true" } else { "false" });
    if let Some(alias) = asked.alias {
        context.set("kms:RequestAlias", alias);
    }
    if let Some(via) = asked.via {
        context.set("kms:ViaService", via);
    }
    for (tag, value) in &key.tags {
        context.set(format!("aws:ResourceTag/{tag}"), value.as_str());
    }
    if let Some(pairs) = asked.context.filter(|pairs| !pairs.is_empty()) {
        context.set_all("kms:EncryptionContextKeys", pairs.keys().map(String::as_str));
        for (name, value) in pairs {
            context.set(format!("kms:EncryptionContext:{name}"), value.as_str());
        }
    }
}

/// Whether one of these grants allows what is asked.
#[must_use]
pub fn granted(grants: &[Arc<Grant>], asked: &Asked<'_>) -> bool {
    grants.iter().any(|grant| grant.allows(asked))
}

/// The ARNs by which grants name a caller: its own, and of a session of a role, the role's.
fn principals(state: &State, request: &Request) -> Vec<String> {
    let role = match &request.caller.principal {
        Principal::Role(id) => state.get::<iam::Role>(id).map(|role| role.arn()),
        Principal::Root(_) | Principal::User(_) => None,
    };
    [Some(request.caller.arn.clone()), role].into_iter().flatten().collect()
}

/// What lets a caller do something.
pub(crate) enum By {
    /// The key's policy.
    Policy,
    /// These grants, each by itself.
    Grants(Vec<Arc<Grant>>),
}

/// Refuses what neither policy nor grants allow, `because` of AWS's words.
pub(crate) fn denied(request: &Request, key: &Key, asked: &Asked<'_>, because: &str) -> Fault {
    let who = request.caller.arn.as_str();
    errors::access_denied(who, asked.action, key.arn(), because.trim_start())
}

/// Lets the caller do what is asked of the key: its own policies and the key's decide together, and
/// beside them the key's grants.
///
/// # Errors
/// Nothing allows it, or a policy denies it.
pub(crate) fn check(
    state: &State,
    request: &Request,
    key: &Key,
    asked: &Asked<'_>,
) -> Result<(), Fault> {
    allowed_by(state, request, key, asked).map(|_| ())
}

/// What lets the caller do what is asked of the key.
///
/// # Errors
/// Nothing does, or the policy denies it.
pub(crate) fn allowed_by(
    state: &State,
    request: &Request,
    key: &Key,
    asked: &Asked<'_>,
) -> Result<By, Fault> {
    let principals = principals(state, request);
    let principals = principals.iter().map(String::as_str).collect::<Vec<_>>();
    let Some(inputs) = authorise_inputs(state, key, &principals) else {
        return Err(errors::internal());
    };
    let account = request.caller.account.to_string();
    let mut context = access::context_of(state, request);
    set_conditions(&mut context, key, asked, &account);
    let of_resource =
        OfResource { policy: Some(&inputs.policy), account: inputs.account, must_allow: true };
    let resource = inputs.resource.as_str();
    let decision =
        access::decide_in(state, request, asked.action, resource, &context, Some(of_resource));
    // A session's policies narrow what grants give to its role, too.
    let narrowed = request.caller.session.as_ref().is_some_and(|one| one.session.is_narrowed());
    match decision {
        Decision::Allow => Ok(By::Policy),
        Decision::ImplicitDeny(_) if !narrowed && granted(&inputs.grants, asked) => {
            let mut grants = inputs.grants;
            grants.retain(|grant| grant.allows(asked));
            Ok(By::Grants(grants))
        }
        Decision::ImplicitDeny(_) | Decision::ExplicitDeny(_) => {
            Err(denied(request, key, asked, &decision.because(asked.action)))
        }
    }
}
