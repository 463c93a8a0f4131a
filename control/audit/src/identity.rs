//! Who called, as events say it.

use contracts::audit::{SessionAttributes, SessionContext, SessionIssuer, UserIdentity};
use iam::{Caller, Principal, Role, User};
use session::{Session, Subject};
use state::State;
use types::{AccountId, Timestamp};

/// Who called, with what only the state knows: cheap to make while a call is answered.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The caller.
    pub caller: Caller,
    /// The key that signed; none of a call that carries its proof in itself.
    pub access_key_id: Option<String>,
    /// The ARN of the role, or of who made a federated user; of a user, its name.
    known: Option<String>,
}

impl Identity {
    /// Who calls with this key.
    #[must_use]
    pub fn of(state: &State, caller: Caller, access_key_id: Option<String>) -> Self {
        let known = match &caller.principal {
            Principal::Root(_) => None,
            Principal::User(id) => state.get::<User>(id).map(|user| user.arn()),
            Principal::Role(id) => state.get::<Role>(id).map(|role| role.arn()),
        };
        Self { caller, access_key_id, known }
    }

    /// As an event has it.
    #[must_use]
    pub fn to_event(&self) -> UserIdentity {
        let caller = &self.caller;
        if caller.account == AccountId::SYSTEM {
            return UserIdentity { kind: "WebIdentityUser".to_owned(), ..UserIdentity::default() };
        }
        let session = caller.session.as_ref().map(|active| &active.session);
        let kind = kind(caller);
        let user_name = match (kind, &self.known) {
            ("IAMUser", Some(arn)) => Some(last(arn).to_owned()),
            _ => None,
        };
        UserIdentity {
            kind: kind.to_owned(),
            principal_id: Some(caller.user_id.clone()),
            arn: Some(caller.arn.clone()),
            account_id: Some(caller.account.to_string()),
            access_key_id: self.access_key_id.clone(),
            user_name,
            session_context: session.map(|session| self.context(session)),
        }
    }

    fn context(&self, session: &Session) -> SessionContext {
        let account_id = session.account.to_string();
        let arn = self.known.clone();
        let issuer = match &session.subject {
            Subject::Root | Subject::User { .. } => None,
            Subject::Role { id, name, .. } => Some(SessionIssuer {
                kind: "Role".to_owned(),
                principal_id: id.clone(),
                arn: arn.unwrap_or_default(),
                account_id,
                user_name: Some(name.clone()),
            }),
            Subject::Federated { user: Some(id), .. } => Some(SessionIssuer {
                kind: "IAMUser".to_owned(),
                principal_id: id.clone(),
                user_name: arn.as_deref().map(|arn| last(arn).to_owned()),
                arn: arn.unwrap_or_default(),
                account_id,
            }),
            Subject::Federated { user: None, .. } => Some(SessionIssuer {
                kind: "Root".to_owned(),
                principal_id: account_id.clone(),
                arn: format!("arn:aws:iam::{account_id}:root"),
                account_id,
                user_name: None,
            }),
        };
        SessionContext {
            session_issuer: issuer,
            attributes: Some(SessionAttributes {
                creation_date: seconds(session.issued),
                mfa_authenticated: session.mfa_at.is_some().to_string(),
            }),
            source_identity: session.source_identity.clone(),
        }
    }
}

fn kind(caller: &Caller) -> &'static str {
    let subject = caller.session.as_ref().map(|active| &active.session.subject);
    match (&caller.principal, subject) {
        (_, Some(Subject::Federated { .. })) => "FederatedUser",
        (Principal::Root(_), _) => "Root",
        (Principal::User(_), _) => "IAMUser",
        (Principal::Role(_), _) => "AssumedRole",
    }
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// `2026-11-22T13:37:00Z`.
pub(crate) fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).map_or_else(String::new, |text| format!("{text}Z"))
}

/// The name that lookups know a caller by: of a session, the session's.
#[must_use]
pub fn user_name(identity: &UserIdentity) -> Option<&str> {
    match identity.kind.as_str() {
        "Root" => Some("root"),
        _ => {
            let name = identity.user_name.as_deref();
            name.or_else(|| identity.arn.as_deref().filter(|arn| arn.contains('/')).map(last))
        }
    }
}
