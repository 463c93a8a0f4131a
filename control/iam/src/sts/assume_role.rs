//! Sessions of roles: the role's trust policy and the caller's own policies decide together.

use crate::{
    Account, Issuer, Principal, Request, Role,
    access::{self, OfResource},
    place,
    sts::{errors, issue, narrow},
};
use session::{Session, Subject};
use shapes::{
    Fault,
    sts::{AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser},
};
use state::State;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use types::{AccountId, Timestamp};

/// How long a session lasts if the call doesn't say; also the most of a role's session that a session of
/// a role begins.
const HOUR_S: i32 = 3600;

/// The role with this ARN.
pub(super) fn find<'a>(
    state: &'a State,
    arn: &str,
) -> Result<Option<(&'a Arc<Role>, AccountId)>, Fault> {
    let invalid = || errors::validation(format!("{arn} is invalid"));
    let rest = arn.strip_prefix("arn:aws:iam::").ok_or_else(invalid)?;
    let (account, resource) = rest.split_once(':').ok_or_else(invalid)?;
    let account = account.parse::<AccountId>().map_err(|_| invalid())?;
    let name = resource.strip_prefix("role/").ok_or_else(invalid)?;
    let name = name.rsplit('/').next().unwrap_or(name);
    let role = state.find::<Role>("name", place(account, name)).next();
    let role = role.filter(|_| Account::is_open(state, account));
    Ok(role.filter(|role| role.arn() == arn).map(|role| (role, account)))
}

/// What is asked of a role beside its ARN.
struct Asked {
    arn: String,
    session_name: String,
    external_id: Option<String>,
    tags: BTreeMap<String, String>,
    transitive: BTreeSet<String>,
    source_identity: Option<String>,
    mfa_at: Option<Timestamp>,
}

/// Temporary credentials of a session of a role.
///
/// # Errors
/// There is no such role, its trust or the caller's policies don't allow it, or the duration, a policy
/// or a tag is invalid.
pub fn assume_role(
    state: &State,
    request: &Request,
    input: AssumeRoleRequest,
    issuer: &mut Issuer<'_>,
) -> Result<AssumeRoleResponse, Fault> {
    let AssumeRoleRequest {
        role_arn,
        role_session_name,
        policy_arns,
        policy,
        duration_seconds,
        tags,
        transitive_tag_keys,
        external_id,
        serial_number,
        token_code,
        source_identity,
        provided_contexts,
    } = input;
    if provided_contexts.is_some_and(|contexts| !contexts.is_empty()) {
        return Err(errors::unsupported("ProvidedContexts"));
    }
    let now = issuer.effects.now();
    let asked = Asked {
        arn: role_arn.unwrap_or_default(),
        session_name: role_session_name.unwrap_or_default(),
        external_id,
        tags: narrow::tags(tags)?,
        transitive: transitive_tag_keys.unwrap_or_default().into_iter().collect(),
        source_identity,
        mfa_at: issue::second_factor(
            state,
            request,
            (serial_number, token_code),
            (issuer.codes, now),
        )?,
    };
    let policy = narrow::policy(policy)?;
    let role = allowed(state, request, &asked)?;
    let chained = matches!(request.caller.principal, Principal::Role(_));
    let duration_s = duration(chained, role, duration_seconds)?;
    let account = role.named.account;
    let (tags, transitive) = passed_on(request, &asked)?;
    let session = Session {
        account,
        subject: Subject::Role {
            id: role.named.id.to_string(),
            name: role.named.name.clone(),
            session_name: asked.session_name,
        },
        issued: now,
        expires: now.plus_millis(i64::from(duration_s) * 1000),
        policy,
        policy_arns: narrow::policy_arns(state, account, policy_arns)?,
        tags,
        transitive,
        source_identity: asked.source_identity.or_else(|| inherited(request)),
        // As AWS has it: the session itself wasn't authenticated by a second factor.
        mfa_at: None,
        provider: None,
        instance: None,
    };
    let packed_policy_size = narrow::packed_percent(&session)?;
    Ok(AssumeRoleResponse {
        credentials: issue::credentials(issuer, &session)?,
        assumed_role_user: Some(AssumedRoleUser {
            assumed_role_id: session.user_id(),
            arn: session.arn(),
        }),
        packed_policy_size,
        source_identity: session.source_identity,
    })
}

/// The source identity that the caller's session has.
fn inherited(request: &Request) -> Option<String> {
    request.caller.session.as_ref().and_then(|active| active.session.source_identity.clone())
}

/// The role, if the caller may assume it so.
fn allowed<'a>(state: &'a State, request: &Request, asked: &Asked) -> Result<&'a Role, Fault> {
    let caller = &request.caller;
    let denied = |action: &str| errors::not_authorized(&caller.arn, action, &asked.arn);
    let federated = caller
        .session
        .as_ref()
        .is_some_and(|active| matches!(active.session.subject, Subject::Federated { .. }));
    match &caller.principal {
        Principal::Root(_) | Principal::User(_) if federated => {
            return Err(denied("sts:AssumeRole"));
        }
        Principal::Root(_) => return Err(errors::root_assumes()),
        Principal::User(_) | Principal::Role(_) => {}
    }
    let (role, account) = find(state, &asked.arn)?.ok_or_else(|| denied("sts:AssumeRole"))?;
    let mut actions = vec!["sts:AssumeRole"];
    if !asked.tags.is_empty() || !asked.transitive.is_empty() {
        actions.push("sts:TagSession");
    }
    match (&asked.source_identity, inherited(request)) {
        (Some(new), Some(old)) if *new != old => return Err(denied("sts:SetSourceIdentity")),
        (None, None) => {}
        (Some(_), _) | (_, Some(_)) => actions.push("sts:SetSourceIdentity"),
    }
    let of_resource = OfResource { policy: Some(&**role.trust.trust()), account, must_allow: true };
    let mut context = access::context_of(state, request);
    conditions(&mut context, request, role, asked);
    for action in actions {
        let decision =
            access::decide_in(state, request, action, &asked.arn, &context, Some(of_resource));
        if !decision.is_allow() {
            return Err(denied(action));
        }
    }
    Ok(role)
}

fn conditions<'a>(
    context: &mut policy::Context<'a>,
    request: &Request,
    role: &'a Role,
    asked: &'a Asked,
) {
    context.set("sts:RoleSessionName", asked.session_name.as_str());
    if let Some(id) = &asked.external_id {
        context.set("sts:ExternalId", id.as_str());
    }
    if let Some(source) = asked.source_identity.clone().or_else(|| inherited(request)) {
        context.set("sts:SourceIdentity", source);
    }
    // A long-lived key shows no second factor, but this call may.
    if let Some(at) = asked.mfa_at {
        let age_s = (request.caller.circumstances.at.millis() - at.millis()).max(0) / 1000;
        context.set("aws:MultiFactorAuthPresent", "true");
        context.set("aws:MultiFactorAuthAge", age_s.to_string());
    }
    for (key, value) in &role.tags {
        context.set(format!("aws:ResourceTag/{key}"), value.as_str());
        context.set(format!("iam:ResourceTag/{key}"), value.as_str());
    }
    for (key, value) in &asked.tags {
        context.set(format!("aws:RequestTag/{key}"), value.as_str());
    }
    if !asked.tags.is_empty() {
        context.set_all("aws:TagKeys", asked.tags.keys().map(String::as_str));
    }
    if !asked.transitive.is_empty() {
        context.set_all("sts:TransitiveTagKeys", asked.transitive.iter().map(String::as_str));
    }
}

/// How long the session lasts, in seconds.
pub(super) fn duration(chained: bool, role: &Role, given_s: Option<i32>) -> Result<i32, Fault> {
    let duration_s = given_s.unwrap_or(HOUR_S);
    if chained && duration_s > HOUR_S {
        return Err(errors::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining.",
        ));
    }
    if duration_s > role.max_session_s {
        return Err(errors::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(duration_s)
}

/// The tags of the new session, those that the caller's session passes on among them, and the keys of
/// those that will go on.
fn passed_on(
    request: &Request,
    asked: &Asked,
) -> Result<(BTreeMap<String, String>, BTreeSet<String>), Fault> {
    let (mut tags, mut transitive) = (asked.tags.clone(), BTreeSet::new());
    for key in &asked.transitive {
        if !asked.tags.contains_key(key) {
            return Err(errors::invalid_parameter(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        transitive.insert(key.clone());
    }
    let Some(active) = &request.caller.session else { return Ok((tags, transitive)) };
    for key in &active.session.transitive {
        if asked.tags.keys().any(|given| given.eq_ignore_ascii_case(key)) {
            return Err(errors::invalid_parameter(
                "One of the specified transitive tag keys can't be set because it conflicts with \
                 a transitive tag key from the calling session.",
            ));
        }
        if let Some(value) = active.session.tags.get(key) {
            tags.insert(key.clone(), value.clone());
        }
        transitive.insert(key.clone());
    }
    Ok((tags, transitive))
}
