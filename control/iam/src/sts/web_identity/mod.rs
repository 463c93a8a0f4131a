//! Sessions of roles for whom an OpenID Connect issuer vouches. The call is unsigned: the token is all the
//! proof there is, and the issuer's keys, which only the server can fetch, verify it.

mod claims;
mod keys;
mod token;

pub use keys::KeySet;

use crate::{
    OidcProvider, Request, Role,
    access::OfResource,
    operations::{Inquiry, KeysOf, NoKeys},
    sts::{assume_role, errors, issue, narrow},
};
use claims::Claims;
use policy::{Caller, Context, Policies, decide};
use session::{Session, Subject};
use shapes::{
    Fault,
    sts::{AssumeRoleWithWebIdentityRequest, AssumeRoleWithWebIdentityResponse, AssumedRoleUser},
};
use state::State;
use std::collections::BTreeMap;
use token::Token;
use types::AccountId;

/// The account whose role an ARN names.
fn account_of(role_arn: &str) -> Result<AccountId, Fault> {
    let digits = role_arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split(':').next());
    let account = digits.and_then(|digits| digits.parse().ok());
    account.ok_or_else(|| errors::validation(format!("{role_arn} is invalid")))
}

/// The account's provider for a token's issuer.
fn provider<'a>(
    state: &'a State,
    account: AccountId,
    token: &Token,
) -> Result<&'a OidcProvider, Fault> {
    let unknown = || errors::no_provider(&token.claims.issuer);
    let url = token.claims.issuer.strip_prefix("https://").unwrap_or(&token.claims.issuer);
    let arn = format!("arn:aws:iam::{account}:oidc-provider/{url}");
    state.get::<OidcProvider>(&arn).map(AsRef::as_ref).ok_or_else(unknown)
}

/// Temporary credentials of a session of a role, for whoever has a token of an issuer that the role
/// trusts.
///
/// # Errors
/// The token is none, or no issuer's that the role's account knows; once the issuer's keys are there: it is
/// forged, over, for another audience, or the role's trust policy doesn't allow it.
pub fn assume_role_with_web_identity(
    state: &State,
    request: &Request,
    input: AssumeRoleWithWebIdentityRequest,
) -> Result<Inquiry<AssumeRoleWithWebIdentityResponse>, Fault> {
    let AssumeRoleWithWebIdentityRequest {
        role_arn,
        role_session_name,
        web_identity_token,
        provider_id,
        policy_arns,
        policy,
        duration_seconds,
    } = input;
    if provider_id.is_some() {
        // Of access tokens by OAuth 2.0, of two web sites.
        return Err(errors::unsupported("ProviderId"));
    }
    let role_arn = role_arn.unwrap_or_default();
    let account = account_of(&role_arn)?;
    let token = Token::read(&web_identity_token.unwrap_or_default())?;
    let keys = {
        let provider = provider(state, account, &token)?;
        KeysOf {
            issuer: format!("https://{}", provider.url),
            thumbprints: provider.thumbprints.clone(),
            key_id: token.key_id.clone(),
        }
    };
    let policy = narrow::policy(policy)?;
    let request = request.clone();
    let finish =
        move |state: &State, found: Result<&KeySet, NoKeys>, issuer: &mut crate::Issuer<'_>| {
            let found = found.map_err(errors::no_keys)?;
            // The provider may have changed while its keys were fetched.
            let provider = provider(state, account, &token)?;
            let now = issuer.effects.now();
            token.verify(found, &provider.client_ids, now)?;
            let session_name = role_session_name.unwrap_or_default();
            let role = allowed(state, &request, &role_arn, provider, &token.claims, &session_name)?;
            let duration_s = assume_role::duration(false, role, duration_seconds)?;
            let session = Session {
                account,
                subject: Subject::Role {
                    id: role.named.id.to_string(),
                    name: role.named.name.clone(),
                    session_name,
                },
                issued: now,
                expires: now.plus_millis(i64::from(duration_s) * 1000),
                policy,
                policy_arns: narrow::policy_arns(state, account, policy_arns)?,
                tags: token.claims.tags.clone(),
                transitive: token.claims.transitive.clone(),
                source_identity: token.claims.source_identity.clone(),
                mfa_at: None,
                provider: Some(provider.arn()),
                instance: None,
            };
            let packed_policy_size = narrow::packed_percent(&session)?;
            Ok(AssumeRoleWithWebIdentityResponse {
                credentials: issue::credentials(issuer, &session)?,
                subject_from_web_identity_token: Some(token.claims.subject.clone()),
                assumed_role_user: Some(AssumedRoleUser {
                    assumed_role_id: session.user_id(),
                    arn: session.arn(),
                }),
                packed_policy_size,
                provider: Some(provider.arn()),
                audience: Some(token.claims.audience().to_owned()),
                source_identity: session.source_identity,
            })
        };
    Ok(Inquiry { keys, finish: Box::new(finish) })
}

/// The role, if its trust policy lets in whom the token is about. A role that doesn't exist is refused in the
/// same words: who isn't let in need not know.
fn allowed<'a>(
    state: &'a State,
    request: &Request,
    role_arn: &str,
    provider: &OidcProvider,
    claims: &Claims,
    session_name: &str,
) -> Result<&'a Role, Fault> {
    const ACTION: &str = "sts:AssumeRoleWithWebIdentity";
    let (role, account) =
        assume_role::find(state, role_arn)?.ok_or_else(|| errors::not_trusted(ACTION))?;
    let provider_arn = provider.arn();
    let mut context = Context::new();
    let circumstances = &request.caller.circumstances;
    let now = circumstances.at;
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", now.millis().div_euclid(1000).to_string());
    context.set("aws:SecureTransport", if circumstances.secure { "true" } else { "false" });
    context.set("aws:RequestedRegion", request.scope.region.as_str());
    context.set("aws:FederatedProvider", provider_arn.as_str());
    if let Some(address) = circumstances.source_ip {
        context.set("aws:SourceIp", address.to_canonical().to_string());
    }
    if let Some(agent) = &circumstances.user_agent {
        context.set("aws:UserAgent", agent.as_str());
    }
    context.set("sts:RoleSessionName", session_name);
    for (key, value) in &role.tags {
        context.set(format!("aws:ResourceTag/{key}"), value.as_str());
        context.set(format!("iam:ResourceTag/{key}"), value.as_str());
    }
    of_token(&mut context, &provider.url, claims);
    let mut actions = vec![ACTION];
    if !claims.tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if claims.source_identity.is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    let trust = OfResource { policy: Some(&**role.trust.trust()), account, must_allow: true };
    for action in actions {
        let question = policy::Request {
            caller: Caller::Federated { provider: &provider_arn },
            canonical_user: None,
            action,
            resource: role_arn,
            context: &context,
        };
        let policies = Policies {
            resource: trust.policy,
            resource_account: Some(trust.account),
            resource_must_allow: trust.must_allow,
            ..Policies::default()
        };
        if !decide(&question, &policies).is_allow() {
            return Err(errors::not_trusted(action));
        }
    }
    Ok(role)
}

/// What the token says, as condition keys: `ISSUER:sub` and so on.
fn of_token<'a>(context: &mut Context<'a>, issuer: &str, claims: &'a Claims) {
    context.set(format!("{issuer}:sub"), claims.subject.as_str());
    context.set(format!("{issuer}:aud"), claims.audience());
    if claims.authorized_party.is_some() {
        // As AWS has it: `aud` is then whom the token was made for.
        context.set_all(
            format!("{issuer}:oaud"),
            claims.audiences.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    if !claims.methods.is_empty() {
        context.set_all(format!("{issuer}:amr"), claims.methods.iter().map(String::as_str));
    }
    for (key, value) in &claims.tags {
        context.set(format!("aws:RequestTag/{key}"), value.as_str());
    }
    keys_of(context, &claims.tags);
    if !claims.transitive.is_empty() {
        context.set_all("sts:TransitiveTagKeys", claims.transitive.iter().map(String::as_str));
    }
    if let Some(source) = &claims.source_identity {
        context.set("sts:SourceIdentity", source.as_str());
    }
}

fn keys_of<'a>(context: &mut Context<'a>, tags: &'a BTreeMap<String, String>) {
    if !tags.is_empty() {
        context.set_all("aws:TagKeys", tags.keys().map(String::as_str));
    }
}

#[cfg(test)]
mod tests;
