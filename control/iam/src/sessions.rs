//! Callers who sign with temporary credentials.

use crate::{Account, ActiveSession, Caller, Principal, UniqueId, roles::Role, users::User};
use policy::{Context, Policies};
use session::{InstanceOrigin, Session, Subject};
use state::State;
use std::sync::Arc;
use types::Timestamp;

/// The service that acts for instances.
const EC2: &str = "ec2.amazonaws.com";

/// Who acts in a session; none if its user or role is gone or its account closed, which ends the session.
#[must_use]
pub fn caller_of(state: &State, session: Session) -> Option<Caller> {
    let account = session.account;
    if !Account::is_open(state, account) {
        return None;
    }
    let user = |id: &str| state.get::<User>(&UniqueId::from_text(id));
    let (principal, arn, user_id) = match &session.subject {
        Subject::Root => {
            let root = Caller::root(account);
            (root.principal, root.arn, root.user_id)
        }
        Subject::User { id } => {
            (Principal::User(UniqueId::from_text(id)), user(id)?.arn(), id.clone())
        }
        Subject::Role { id, .. } => {
            let id = UniqueId::from_text(id);
            state.get::<Role>(&id)?;
            (Principal::Role(id), session.arn()?, session.user_id()?)
        }
        Subject::Federated { user: None, .. } => {
            (Principal::Root(account), session.arn()?, session.user_id()?)
        }
        Subject::Federated { user: Some(id), .. } => {
            user(id)?;
            let principal = Principal::User(UniqueId::from_text(id));
            (principal, session.arn()?, session.user_id()?)
        }
    };
    let session = Some(Arc::new(ActiveSession::from(session)));
    Some(Caller { session, ..Caller::lasting(account, arn, user_id, principal) })
}

/// A role whose trust policy doesn't let EC2 assume it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTrusted;

/// A session of a role for an instance, which is named by the instance's ID.
///
/// # Errors
/// The role's trust policy doesn't let EC2 assume it.
pub fn instance_session(
    role: &Role,
    instance: types::InstanceId,
    origin: InstanceOrigin,
    issued: Timestamp,
    expires: Timestamp,
) -> Result<Session, NotTrusted> {
    let (account, arn) = (role.named.account, role.arn());
    let mut context = Context::new();
    context.set("aws:CurrentTime", issued.to_string());
    context.set("aws:EpochTime", issued.millis().div_euclid(1000).to_string());
    context.set("aws:PrincipalIsAWSService", "true");
    context.set("aws:PrincipalServiceName", EC2);
    context.set("aws:SourceAccount", account.to_string());
    context.set("aws:SourceArn", origin.arn.as_str());
    context.set("sts:RoleSessionName", instance.to_string());
    let question = policy::Request {
        caller: policy::Caller::Service { name: EC2 },
        canonical_user: None,
        action: "sts:AssumeRole",
        resource: &arn,
        context: &context,
    };
    let policies = Policies {
        identity: &[],
        boundary: None,
        session: None,
        resource: Some(&**role.trust.trust()),
        resource_account: Some(account),
        resource_must_allow: true,
    };
    if !policy::decide(&question, &policies).is_allow() {
        return Err(NotTrusted);
    }
    let subject = Subject::Role {
        id: role.named.id.to_string(),
        name: role.named.name.clone(),
        session_name: instance.to_string(),
    };
    Ok(Session {
        account,
        subject,
        issued,
        expires,
        policy: None,
        policy_arns: Vec::new(),
        tags: std::collections::BTreeMap::new(),
        transitive: std::collections::BTreeSet::new(),
        source_identity: None,
        mfa_at: None,
        provider: None,
        instance: Some(origin),
    })
}
