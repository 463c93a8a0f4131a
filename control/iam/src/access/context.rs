//! The condition keys that every call has.

use crate::{Organization, Principal, Request, access::tags_of};
use policy::Context;
use session::Subject;
use state::State;

/// The global condition keys of a call.
pub(super) fn of_call<'a>(state: &'a State, request: &'a Request) -> Context<'a> {
    let caller = &request.caller;
    let mut context = Context::new();
    let now = caller.circumstances.at;
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", now.millis().div_euclid(1000).to_string());
    context.set("aws:SecureTransport", truth(caller.circumstances.secure));
    context.set("aws:ViaAWSService", "false");
    context.set("aws:PrincipalIsAWSService", "false");
    context.set("aws:RequestedRegion", request.scope.region.as_str());
    // As at AWS, a private address is not told as if it were a public one.
    let (ip_key, vpc) = match &caller.circumstances.vpc {
        Some(vpc) => ("aws:VpcSourceIp", Some(vpc)),
        None => ("aws:SourceIp", None),
    };
    if let Some(vpc) = vpc {
        context.set("aws:SourceVpc", vpc.as_str());
    }
    if let Some(address) = caller.circumstances.source_ip {
        context.set(ip_key, address.to_canonical().to_string());
    }
    if let Some(agent) = &caller.circumstances.user_agent {
        context.set("aws:UserAgent", agent.as_str());
    }
    context.set("aws:PrincipalAccount", caller.account.to_string());
    context.set("aws:PrincipalArn", principal_arn(state, request));
    context.set("aws:PrincipalType", kind(request));
    context.set("aws:userid", caller.user_id.as_str());
    if let Some(organization) = Organization::of(state) {
        context.set("aws:PrincipalOrgID", organization.id.as_str());
        context.set_all("aws:PrincipalOrgPaths", [organization.path()]);
    }
    of_principal(state, request, &mut context);
    of_session(request, &mut context);
    context
}

pub(super) const fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Of a role's session, the role's ARN; else the caller's own.
fn principal_arn(state: &State, request: &Request) -> String {
    match &request.caller.principal {
        Principal::Role(id) => state.get::<crate::Role>(id).map(|role| role.arn()),
        Principal::Root(_) | Principal::User(_) => None,
    }
    .unwrap_or_else(|| request.caller.arn.clone())
}

fn kind(request: &Request) -> &'static str {
    let subject = request.caller.session.as_ref().map(|active| &active.session.subject);
    match (&request.caller.principal, subject) {
        (_, Some(Subject::Federated { .. })) => "FederatedUser",
        (Principal::Root(_), _) => "Account",
        (Principal::User(_), _) => "User",
        (Principal::Role(_), _) => "AssumedRole",
    }
}

fn of_principal<'a>(state: &'a State, request: &'a Request, context: &mut Context<'a>) {
    let caller = &request.caller;
    if let Principal::User(id) = &caller.principal
        && kind(request) == "User"
        && let Some(user) = state.get::<crate::User>(id)
    {
        context.set("aws:username", user.named.name.as_str());
    }
    for (key, value) in tags_of(state, &caller.principal).into_iter().flatten() {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
}

/// What only temporary credentials have; session tags stand in for the principal's.
fn of_session<'a>(request: &'a Request, context: &mut Context<'a>) {
    let Some(active) = &request.caller.session else { return };
    let session = &active.session;
    context.set("aws:TokenIssueTime", session.issued.to_string());
    context.set("aws:MultiFactorAuthPresent", truth(session.mfa_at.is_some()));
    if let Some(at) = session.mfa_at {
        let age_s = (request.caller.circumstances.at.millis() - at.millis()).max(0) / 1000;
        context.set("aws:MultiFactorAuthAge", age_s.to_string());
    }
    if let Some(source) = &session.source_identity {
        context.set("aws:SourceIdentity", source.as_str());
    }
    if let Some(provider) = &session.provider {
        context.set("aws:FederatedProvider", provider.as_str());
    }
    for (key, value) in session.instance.iter().flat_map(|origin| origin.keys()) {
        context.set(key, value);
    }
    for (key, value) in &session.tags {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
}
