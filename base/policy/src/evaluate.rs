//! The decision: AWS's evaluation logic over all policies that concern a request.

use crate::arn::Target;
use crate::caller::Caller;
use crate::compile::Compiled;
use crate::context::Context;
use crate::document::Effect;
use crate::principal::Grant;
use std::fmt;
use std::sync::Arc;
use types::AccountId;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: Caller<'a>,
    /// The canonical user ID of the caller's account, which S3's policies may name.
    pub canonical_user: Option<&'a str>,
    /// Such as `s3:GetObject`; compared without regard to case.
    pub action: &'a str,
    /// The resource's ARN; `*` for actions that are about no resource.
    pub resource: &'a str,
    /// The values of condition keys.
    pub context: &'a Context<'a>,
}

/// The policies that concern a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'a> {
    /// Those of the user and the user's groups, or of the role.
    pub identity: &'a [Arc<Compiled>],
    /// The resource's own; of `sts:AssumeRole`, the role's trust policy.
    pub resource: Option<&'a Compiled>,
    /// Whose the resource is; none where that is the caller's account. To be given wherever the
    /// resource can be another account's: without it, the caller's own policies are enough.
    pub resource_account: Option<AccountId>,
    /// Whether nothing is allowed that the resource's policy doesn't allow, even within the account:
    /// so it is for roles' trust policies and for keys.
    pub resource_must_allow: bool,
    /// The permissions boundary of the user or role.
    pub boundary: Option<&'a Compiled>,
    /// The policies that were passed when the session was made, of which one has to allow; none for a
    /// session that isn't narrowed. An empty list allows nothing.
    pub session: Option<&'a [Arc<Compiled>]>,
}

/// A type of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyType {
    /// Attached to the caller.
    Identity,
    /// Attached to the resource.
    Resource,
    /// The caller's permissions boundary.
    Boundary,
    /// The session's policy.
    Session,
}

impl fmt::Display for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        })
    }
}

/// The statement that denied a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Of which type its policy is.
    pub policy_type: PolicyType,
    /// Which of the identity's or the session's policies; 0 for the other types.
    pub policy: usize,
    /// Which statement, from 0.
    pub statement: usize,
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It may go on.
    Allow,
    /// A statement denies it.
    ExplicitDeny(Origin),
    /// No statement of policies of this type allows it, where one has to.
    ImplicitDeny(PolicyType),
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub const fn is_allow(self) -> bool {
        matches!(self, Self::Allow)
    }

    /// The end of AWS's message about a denied request, after "User: … is not authorized to perform:
    /// … on resource: … "; empty for what is allowed.
    #[must_use]
    pub fn because(self, action: &str) -> String {
        match self {
            Self::Allow => String::new(),
            Self::ExplicitDeny(origin) => {
                let article = match origin.policy_type {
                    PolicyType::Identity => "an",
                    PolicyType::Resource | PolicyType::Boundary | PolicyType::Session => "a",
                };
                format!("with an explicit deny in {article} {}", origin.policy_type)
            }
            Self::ImplicitDeny(policy_type) => {
                format!("because no {policy_type} allows the {action} action")
            }
        }
    }
}

/// What one policy says.
#[derive(Default)]
struct Verdict {
    denied_by: Option<usize>,
    granted: Option<Grant>,
}

impl Verdict {
    fn of(policy: &Compiled, request: &Request<'_>, resource: &Target<'_>) -> Self {
        let mut verdict = Self::default();
        policy.for_action(request.action, |number, statement| {
            // Nothing that this statement could add.
            let settled = verdict.denied_by.is_some()
                || (statement.effect == Effect::Allow && verdict.granted == Some(Grant::Direct));
            if settled {
                return;
            }
            let grant = match &statement.principals {
                Some(principals) => principals.grant(&request.caller, request.canonical_user),
                None => Some(Grant::Direct),
            };
            if grant <= verdict.granted && statement.effect == Effect::Allow {
                return;
            }
            if grant.is_none() || !statement.fits(resource, request.context) {
                return;
            }
            match statement.effect {
                Effect::Allow => verdict.granted = grant,
                Effect::Deny => verdict.denied_by = Some(number),
            }
        });
        verdict
    }

    fn check(self, policy_type: PolicyType, policy: usize) -> Result<Option<Grant>, Decision> {
        match self.denied_by {
            None => Ok(self.granted),
            Some(statement) => {
                Err(Decision::ExplicitDeny(Origin { policy_type, policy, statement }))
            }
        }
    }
}

/// Decides about a request: an explicit deny anywhere wins; then each type of policy that has to
/// allow must allow. Allocates for policy variables in patterns that begin to fit and for binary
/// values, else not.
#[must_use]
pub fn decide(request: &Request<'_>, policies: &Policies<'_>) -> Decision {
    match verdicts(request, policies) {
        Ok(grants) => grants.decide(request, policies),
        Err(denied) => denied,
    }
}

/// What the policies of each type allow.
struct Grants {
    identity: bool,
    resource: Option<Grant>,
    boundary: bool,
    session: bool,
}

fn verdicts(request: &Request<'_>, policies: &Policies<'_>) -> Result<Grants, Decision> {
    let target = Target::new(request.resource);
    let says = |policy: &Compiled, policy_type, number| {
        Verdict::of(policy, request, &target).check(policy_type, number)
    };
    // The root user has no policies; all that is the account's is open to it.
    let mut identity = matches!(request.caller, Caller::Root { .. });
    for (number, policy) in policies.identity.iter().enumerate() {
        identity |= says(policy, PolicyType::Identity, number)?.is_some();
    }
    let resource = match policies.resource {
        Some(policy) => says(policy, PolicyType::Resource, 0)?,
        None => None,
    };
    let limit = |policy: Option<&Compiled>, policy_type| match policy {
        Some(policy) => says(policy, policy_type, 0).map(|grant| grant.is_some()),
        None => Ok(true),
    };
    let boundary = limit(policies.boundary, PolicyType::Boundary)?;
    let mut session = policies.session.is_none();
    for (number, policy) in policies.session.unwrap_or_default().iter().enumerate() {
        session |= says(policy, PolicyType::Session, number)?.is_some();
    }
    Ok(Grants { identity, resource, boundary, session })
}

impl Grants {
    fn decide(&self, request: &Request<'_>, policies: &Policies<'_>) -> Decision {
        let Some(account) = request.caller.account() else {
            return match self.resource {
                Some(_) => Decision::Allow,
                None => Decision::ImplicitDeny(PolicyType::Resource),
            };
        };
        let same_account = policies.resource_account.is_none_or(|owner| owner == account);
        let must_allow = policies.resource_must_allow || !same_account;
        if must_allow && self.resource.is_none() {
            return Decision::ImplicitDeny(PolicyType::Resource);
        }
        let by_resource = if same_account { self.resource } else { None };
        match by_resource {
            Some(Grant::Direct) => return Decision::Allow,
            Some(Grant::Bounded) => {}
            Some(Grant::Account) | None if self.identity => {}
            Some(Grant::Account) | None => return Decision::ImplicitDeny(PolicyType::Identity),
        }
        if !self.boundary {
            return Decision::ImplicitDeny(PolicyType::Boundary);
        }
        if !self.session {
            return Decision::ImplicitDeny(PolicyType::Session);
        }
        Decision::Allow
    }
}
