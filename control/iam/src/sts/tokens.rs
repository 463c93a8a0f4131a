//! Sessions of users and root users, and of federated users.

use crate::{
    Issuer, Principal, Request,
    sts::{errors, issue, narrow},
};
use session::{Session, Subject};
use shapes::{
    Fault,
    sts::{
        FederatedUser, GetFederationTokenRequest, GetFederationTokenResponse,
        GetSessionTokenRequest, GetSessionTokenResponse,
    },
};
use state::State;
use types::Timestamp;

/// How long a session lasts if the call doesn't say.
const DEFAULT_S: i32 = 43_200;
/// How long a root user's session lasts at most.
const MAX_ROOT_S: i32 = 3600;

/// The end of a session that begins now. A root user's is cut short, as AWS does.
fn end(now: Timestamp, duration_s: Option<i32>, principal: &Principal) -> Timestamp {
    let duration_s = duration_s.unwrap_or(DEFAULT_S);
    let duration_s = match principal {
        Principal::Root(_) => duration_s.min(MAX_ROOT_S),
        Principal::User(_) | Principal::Role(_) => duration_s,
    };
    now.plus_millis(i64::from(duration_s) * 1000)
}

fn session(request: &Request, subject: Subject, now: Timestamp, expires: Timestamp) -> Session {
    Session {
        account: request.caller.account,
        subject,
        issued: now,
        expires,
        policy: None,
        policy_arns: Vec::new(),
        tags: [].into(),
        transitive: [].into(),
        source_identity: None,
        mfa_at: None,
        provider: None,
        instance: None,
    }
}

/// Temporary credentials of the caller itself.
///
/// # Errors
/// The caller has temporary credentials already, or the code of its MFA device is wrong.
pub fn get_session_token(
    state: &State,
    request: &Request,
    input: GetSessionTokenRequest,
    issuer: &mut Issuer<'_>,
) -> Result<GetSessionTokenResponse, Fault> {
    let GetSessionTokenRequest { duration_seconds, serial_number, token_code } = input;
    let subject = match &request.caller.principal {
        _ if request.caller.session.is_some() => {
            return Err(errors::with_session("GetSessionToken"));
        }
        Principal::Root(_) => Subject::Root,
        Principal::User(id) => Subject::User { id: id.to_string() },
        Principal::Role(_) => return Err(errors::with_session("GetSessionToken")),
    };
    let now = issuer.effects.now();
    let expires = end(now, duration_seconds, &request.caller.principal);
    let mfa_at =
        issue::second_factor(state, request, (serial_number, token_code), (issuer.codes, now))?;
    let session = Session { mfa_at, ..session(request, subject, now, expires) };
    Ok(GetSessionTokenResponse { credentials: issue::credentials(issuer, &session)? })
}

/// Temporary credentials of a federated user: what both the caller and the policies given allow.
///
/// # Errors
/// The caller has temporary credentials, or a policy or tag is invalid.
pub fn get_federation_token(
    state: &State,
    request: &Request,
    input: GetFederationTokenRequest,
    issuer: &mut Issuer<'_>,
) -> Result<GetFederationTokenResponse, Fault> {
    let GetFederationTokenRequest { name, policy, policy_arns, duration_seconds, tags } = input;
    let user = match &request.caller.principal {
        _ if request.caller.session.is_some() => {
            return Err(errors::with_session("GetFederationToken"));
        }
        Principal::Root(_) => None,
        Principal::User(id) => Some(id.to_string()),
        Principal::Role(_) => return Err(errors::with_session("GetFederationToken")),
    };
    let now = issuer.effects.now();
    let expires = end(now, duration_seconds, &request.caller.principal);
    let subject = Subject::Federated { user, name: name.unwrap_or_default() };
    let session = Session {
        policy: narrow::policy(policy)?,
        policy_arns: narrow::policy_arns(state, request.caller.account, policy_arns)?,
        tags: narrow::tags(tags)?,
        ..session(request, subject, now, expires)
    };
    let packed_policy_size = narrow::packed_percent(&session)?;
    Ok(GetFederationTokenResponse {
        credentials: issue::credentials(issuer, &session)?,
        federated_user: Some(FederatedUser {
            federated_user_id: session.user_id(),
            arn: session.arn(),
        }),
        packed_policy_size,
    })
}
