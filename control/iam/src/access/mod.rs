//! Whether a caller may do what a call asks: its policies, its boundary, its session's policies and
//! the circumstances, decided for each resource that the call names.
//!
//! A service's own table says which resources an operation names (`of_iam`, `of_sts` here, `access` in
//! the crates of other services); [`authorise`] decides about all of them before the operation runs.

mod context;
mod denied;
pub mod members;
pub mod of_iam;
pub mod of_sts;
mod statements;

pub use denied::Denied;
pub use of_iam::pass_profile;

use crate::{
    Caller, Principal, PrincipalPolicies, Request, UniqueId, permissions::policies_of, policies,
    roles::Role, users::User,
};
use policy::{Compiled, Context, Decision, Document, Kind, Policies, PolicyType};
use session::Subject;
use state::State;
use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};
use types::AccountId;

/// The value of a condition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValue {
    /// Of a key with one value.
    One(String),
    /// Of a multivalued key.
    Many(Vec<String>),
}

/// One thing that has to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Such as `ec2:RunInstances`.
    pub action: Cow<'static, str>,
    /// The resource's ARN; `*` for actions that are about none.
    pub resource: String,
    /// Condition keys that this resource, or the request, gives.
    pub keys: Vec<(Cow<'static, str>, KeyValue)>,
}

impl Check {
    /// An action on a resource.
    #[must_use]
    pub fn new(action: impl Into<Cow<'static, str>>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), keys: Vec::new() }
    }

    /// Adds a condition key.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.keys.push((key.into(), KeyValue::One(value.into())));
    }

    /// Adds a multivalued condition key.
    pub fn set_all(&mut self, key: impl Into<Cow<'static, str>>, values: Vec<String>) {
        self.keys.push((key.into(), KeyValue::Many(values)));
    }

    /// Adds a condition key.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds the tags that the request gives, if any: `aws:RequestTag/KEY` and `aws:TagKeys`.
    pub fn set_request_tags<'a>(&mut self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut names = Vec::new();
        for (key, value) in tags {
            self.set(format!("aws:RequestTag/{key}"), value);
            names.push(key.to_owned());
        }
        if !names.is_empty() {
            self.set_all("aws:TagKeys", names);
        }
    }

    /// Adds the tags that the resource has, as `aws:ResourceTag/KEY`, and by the service's own key.
    pub fn set_resource_tags(&mut self, service: &str, tags: &types::Tags) {
        for (key, value) in tags {
            self.set(format!("aws:ResourceTag/{key}"), value.as_str());
            self.set(format!("{service}:ResourceTag/{key}"), value.as_str());
        }
    }
}

/// The resource's own say in a decision.
#[derive(Debug, Clone, Copy)]
pub struct OfResource<'a> {
    /// Its policy.
    pub policy: Option<&'a Compiled>,
    /// Whose it is.
    pub account: AccountId,
    /// Whether nothing is allowed that its policy doesn't allow.
    pub must_allow: bool,
}

/// What policies a caller stands on.
#[derive(Debug)]
pub struct Standing {
    of_principal: PrincipalPolicies,
    session: Option<Vec<Arc<Compiled>>>,
    /// Of a role's session.
    role_arn: String,
    /// Of a federated user.
    user_arn: String,
}

/// The policies of who may do everything.
static ALL: LazyLock<Option<Arc<Compiled>>> = LazyLock::new(|| {
    let text =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    Document::parse(text, text.len(), Kind::Identity).ok().map(|all| all.compile())
});

impl Standing {
    /// The policies of a caller; none if its user or role is gone.
    #[must_use]
    pub fn of(state: &State, caller: &Caller) -> Option<Self> {
        let of_principal = match &caller.principal {
            Principal::Root(_) => {
                PrincipalPolicies { identity: ALL.iter().cloned().collect(), boundary: None }
            }
            Principal::User(_) | Principal::Role(_) => policies_of(state, &caller.principal)?,
        };
        let role_arn = match &caller.principal {
            Principal::Role(id) => state.get::<Role>(id)?.arn(),
            Principal::Root(_) | Principal::User(_) => String::new(),
        };
        let user_arn = match &caller.principal {
            Principal::User(id) => state.get::<User>(id)?.arn(),
            Principal::Root(account) => format!("arn:aws:iam::{account}:root"),
            Principal::Role(_) => String::new(),
        };
        Some(Self { of_principal, session: of_session(state, caller), role_arn, user_arn })
    }

    /// The caller as policies know it.
    #[must_use]
    pub fn caller<'a>(&'a self, caller: &'a Caller) -> policy::Caller<'a> {
        let account = caller.account;
        let federated = caller
            .session
            .as_ref()
            .is_some_and(|active| matches!(active.session.subject, Subject::Federated { .. }));
        match &caller.principal {
            Principal::Root(_) | Principal::User(_) if federated => policy::Caller::FederatedUser {
                account,
                user_arn: &self.user_arn,
                session_arn: &caller.arn,
            },
            Principal::Root(_) => policy::Caller::Root { account },
            Principal::User(_) => policy::Caller::User { account, arn: &caller.arn },
            Principal::Role(_) => policy::Caller::RoleSession {
                account,
                role_arn: &self.role_arn,
                session_arn: &caller.arn,
            },
        }
    }
}

/// The policies that a session was given; none if it isn't narrowed.
fn of_session(state: &State, caller: &Caller) -> Option<Vec<Arc<Compiled>>> {
    let active = caller.session.as_ref()?;
    let federated = matches!(active.session.subject, Subject::Federated { .. });
    if !active.session.is_narrowed() && !federated {
        return None;
    }
    let own = active.policy.iter().map(|text| text.identity().clone());
    // A managed policy that is gone allows nothing.
    let managed = active.session.policy_arns.iter().filter_map(|arn| policies::find(state, arn));
    Some(own.chain(managed.map(|row| row.document().identity().clone())).collect())
}

/// The global condition keys of a call, to which a service adds its own.
#[must_use]
pub fn context_of<'a>(state: &'a State, request: &'a Request) -> Context<'a> {
    context::of_call(state, request)
}

/// Decides about one thing in this context, together with what the resource's own policy says.
#[must_use]
pub fn decide_in(
    state: &State,
    request: &Request,
    action: &str,
    resource: &str,
    context: &Context<'_>,
    of_resource: Option<OfResource<'_>>,
) -> Decision {
    match Standing::of(state, &request.caller) {
        Some(standing) => weigh(&standing, request, (action, resource), context, of_resource),
        None => Decision::ImplicitDeny(PolicyType::Identity),
    }
}

/// The condition keys of the call itself and of this resource.
fn with_keys<'a>(context: &Context<'a>, check: &'a Check) -> Context<'a> {
    let mut context = context.clone();
    for (key, value) in &check.keys {
        match value {
            KeyValue::One(value) => context.set(&**key, value.as_str()),
            KeyValue::Many(values) => context.set_all(&**key, values.iter().map(String::as_str)),
        }
    }
    context
}

fn weigh(
    standing: &Standing,
    request: &Request,
    (action, resource): (&str, &str),
    context: &Context<'_>,
    of_resource: Option<OfResource<'_>>,
) -> Decision {
    let question = policy::Request {
        caller: standing.caller(&request.caller),
        canonical_user: None,
        action,
        resource,
        context,
    };
    let policies = Policies {
        identity: &standing.of_principal.identity,
        boundary: standing.of_principal.boundary.as_deref(),
        session: standing.session.as_deref(),
        resource: of_resource.and_then(|of| of.policy),
        resource_account: of_resource.map(|of| of.account),
        resource_must_allow: of_resource.is_some_and(|of| of.must_allow),
    };
    policy::decide(&question, &policies)
}

/// Lets a call go on if everything that it asks is allowed.
///
/// # Errors
/// The first that isn't.
pub fn authorise(state: &State, request: &Request, checks: &[Check]) -> Result<(), Box<Denied>> {
    if request.caller.is_unlimited() {
        return Ok(());
    }
    let Some(standing) = Standing::of(state, &request.caller) else {
        let decision = Decision::ImplicitDeny(PolicyType::Identity);
        return match checks.first() {
            Some(check) => Err(Denied::new(state, request, check, decision, &Context::new())),
            None => Ok(()),
        };
    };
    let context = context::of_call(state, request);
    for check in checks {
        let context = with_keys(&context, check);
        let asked = (&*check.action, check.resource.as_str());
        let decision = weigh(&standing, request, asked, &context, None);
        if !decision.is_allow() {
            return Err(Denied::new(state, request, check, decision, &context));
        }
    }
    Ok(())
}

/// The tags of a caller's user or role, by unique ID.
fn tags_of<'a>(state: &'a State, principal: &Principal) -> Option<&'a types::Tags> {
    let of_user = |id: &UniqueId| state.get::<User>(id).map(|user| &user.tags);
    match principal {
        Principal::Root(_) => None,
        Principal::User(id) => of_user(id),
        Principal::Role(id) => state.get::<Role>(id).map(|role| &role.tags),
    }
}

#[cfg(test)]
mod tests;
