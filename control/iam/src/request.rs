//! Who calls, by what way, and about which account and region.

use crate::{PolicyText, Principal, UniqueId};
use session::Session;
use std::{net::IpAddr, sync::Arc};
use types::{AccountId, Scope, Timestamp};

/// By what way a call came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The client's address.
    pub source_ip: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The VPC that it came from, if it came from inside one.
    pub vpc: Option<String>,
    /// When it came.
    pub at: Timestamp,
}

/// A session that signs a call, ready for decisions.
#[derive(Debug, PartialEq, Eq)]
pub struct ActiveSession {
    /// What its token says.
    pub session: Session,
    /// Its policy, compiled when it is first asked for.
    pub policy: Option<PolicyText>,
}

impl From<Session> for ActiveSession {
    fn from(session: Session) -> Self {
        let policy = session.policy.clone().map(PolicyText::unread);
        Self { session, policy }
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the caller acts for.
    pub account: AccountId,
    /// The caller's ARN: of a session of a role or of a federated user, the session's.
    pub arn: String,
    /// The caller's unique ID; of the root user, the account's; of a role's session,
    /// `AROA…:SESSION`.
    pub user_id: String,
    /// Whose policies count.
    pub principal: Principal,
    /// The session, if the caller signs with temporary credentials.
    pub session: Option<Arc<ActiveSession>>,
    /// By what way the call came.
    pub circumstances: Arc<Circumstances>,
}

impl Caller {
    /// The root user of an account.
    #[must_use]
    pub fn root(account: AccountId) -> Self {
        let arn = format!("arn:aws:iam::{account}:root");
        Self::lasting(account, arn, account.to_string(), Principal::Root(account))
    }

    /// A caller who signs with a long-lived key.
    #[must_use]
    pub fn lasting(account: AccountId, arn: String, user_id: String, principal: Principal) -> Self {
        let circumstances = Arc::default();
        Self { account, arn, user_id, principal, session: None, circumstances }
    }

    /// Whoever signs nothing: no policy allows it anything.
    #[must_use]
    pub fn unsigned() -> Self {
        let nobody = Principal::Role(UniqueId::from_text(""));
        Self::lasting(AccountId::SYSTEM, String::new(), String::new(), nobody)
    }

    /// The same caller, whose call came by this way.
    #[must_use]
    pub fn coming(mut self, circumstances: Circumstances) -> Self {
        self.circumstances = Arc::new(circumstances);
        self
    }

    /// Whether nothing limits the caller within its account: the root user, by a key of its own or a
    /// session without policies.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        use session::Subject;
        let federated = self
            .session
            .as_ref()
            .is_some_and(|active| matches!(active.session.subject, Subject::Federated { .. }));
        matches!(self.principal, Principal::Root(_)) && !federated
    }
}

/// The circumstances of one call.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who calls.
    pub caller: Caller,
    /// The caller's account and the region called.
    pub scope: Scope,
}
