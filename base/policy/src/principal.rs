//! Principals as documents name them, and whom they stand for.

use crate::caller::Caller;
use crate::document::{Clause, Principals};
use types::AccountId;

/// The element under `Principal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalType {
    /// Accounts, users, roles and sessions.
    Aws,
    /// An account, by S3's other name of it.
    CanonicalUser,
    /// An identity provider.
    Federated,
    /// An AWS service.
    Service,
}

impl PrincipalType {
    /// The element's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::CanonicalUser => "CanonicalUser",
            Self::Federated => "Federated",
            Self::Service => "Service",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [Self::Aws, Self::CanonicalUser, Self::Federated, Self::Service];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One principal of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    kind: PrincipalType,
    text: String,
}

impl Principal {
    /// The principal that a document names so; none where no principal has this form.
    #[must_use]
    pub fn parse(kind: PrincipalType, text: &str) -> Option<Self> {
        let principal = Self { kind, text: text.to_owned() };
        let wild = text.contains(['*', '?']);
        let valid = match kind {
            PrincipalType::Aws => {
                text == "*" || principal.account().is_some() || (!wild && is_identity(text))
            }
            PrincipalType::CanonicalUser | PrincipalType::Federated => !text.is_empty() && !wild,
            PrincipalType::Service => !wild && text.contains('.') && !text.contains(':'),
        };
        valid.then_some(principal)
    }

    /// The element that it stands in.
    #[must_use]
    pub const fn kind(&self) -> PrincipalType {
        self.kind
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account, where the principal is one: 12 digits or the ARN of its root user.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        let digits = match self.kind {
            PrincipalType::Aws => match segments(&self.text) {
                Some(("iam", account, "root")) => account,
                Some(_) => return None,
                None => &self.text,
            },
            PrincipalType::CanonicalUser | PrincipalType::Federated | PrincipalType::Service => {
                return None;
            }
        };
        digits.parse().ok()
    }
}

/// Service, account and resource of a global ARN.
fn segments(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    if parts.next()? != "arn" || !parts.next()?.starts_with("aws") {
        return None;
    }
    let service = parts.next()?;
    if !parts.next()?.is_empty() {
        return None;
    }
    Some((service, parts.next()?, parts.next()?))
}

/// Whether this is the ARN of a user, a role or a session.
fn is_identity(arn: &str) -> bool {
    let Some((service, account, resource)) = segments(arn) else { return false };
    let Some((kind, name)) = resource.split_once('/') else { return false };
    let named = match (service, kind) {
        ("iam", "user" | "role") => !name.ends_with('/'),
        ("sts", "federated-user") => !name.contains('/'),
        ("sts", "assumed-role") => name
            .split_once('/')
            .is_some_and(|(role, session)| !role.is_empty() && !session.is_empty()),
        _ => false,
    };
    named && !name.is_empty() && account.parse::<AccountId>().is_ok()
}

/// How directly a statement names a caller. Ordered: more direct is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// It names the account, which has yet to let its user do it.
    Account,
    /// It names the caller, within what boundary and session policy leave.
    Bounded,
    /// It names the user or the session itself: neither boundary nor session policy take it away
    /// by silence.
    Direct,
}

/// One principal, ready to be compared.
#[derive(Debug)]
pub(crate) enum Matcher {
    Everyone,
    Account(AccountId),
    Arn(Box<str>),
    CanonicalUser(Box<str>),
    Federated(Box<str>),
    Service(Box<str>),
}

/// A statement's principals, ready to be compared.
#[derive(Debug)]
pub(crate) enum PrincipalMatcher {
    Is(Box<[Matcher]>),
    Not(Box<[Matcher]>),
}

impl Matcher {
    fn new(principal: &Principal) -> Self {
        let text = || principal.as_str().into();
        match principal.kind {
            PrincipalType::Aws if principal.as_str() == "*" => Self::Everyone,
            PrincipalType::Aws => match principal.account() {
                Some(account) => Self::Account(account),
                None => Self::Arn(text()),
            },
            PrincipalType::CanonicalUser => Self::CanonicalUser(text()),
            PrincipalType::Federated => Self::Federated(text()),
            PrincipalType::Service => Self::Service(text()),
        }
    }

    fn grant(&self, caller: &Caller<'_>, canonical_user: Option<&str>) -> Option<Grant> {
        let account = match caller {
            Caller::Root { .. } => Grant::Direct,
            Caller::User { .. } | Caller::RoleSession { .. } | Caller::FederatedUser { .. } => {
                Grant::Account
            }
            Caller::Anonymous | Caller::Federated { .. } | Caller::Service { .. } => Grant::Bounded,
        };
        match self {
            Self::Everyone => Some(Grant::Bounded),
            Self::Account(id) => (caller.account() == Some(*id)).then_some(account),
            Self::CanonicalUser(id) => {
                (caller.account().is_some() && canonical_user == Some(&**id)).then_some(account)
            }
            Self::Arn(arn) => match caller {
                Caller::User { arn: own, .. } => (**arn == **own).then_some(Grant::Direct),
                Caller::RoleSession { role_arn: lesser, session_arn, .. }
                | Caller::FederatedUser { user_arn: lesser, session_arn, .. } => {
                    if **arn == **session_arn {
                        Some(Grant::Direct)
                    } else {
                        (**arn == **lesser).then_some(Grant::Bounded)
                    }
                }
                Caller::Anonymous
                | Caller::Root { .. }
                | Caller::Federated { .. }
                | Caller::Service { .. } => None,
            },
            Self::Federated(id) => match caller {
                Caller::Federated { provider } => (**id == **provider).then_some(Grant::Direct),
                Caller::Anonymous
                | Caller::Root { .. }
                | Caller::User { .. }
                | Caller::RoleSession { .. }
                | Caller::FederatedUser { .. }
                | Caller::Service { .. } => None,
            },
            Self::Service(id) => match caller {
                Caller::Service { name } => (**id == **name).then_some(Grant::Direct),
                Caller::Anonymous
                | Caller::Root { .. }
                | Caller::User { .. }
                | Caller::RoleSession { .. }
                | Caller::FederatedUser { .. }
                | Caller::Federated { .. } => None,
            },
        }
    }

    fn is_arn(&self, wanted: &str) -> bool {
        match self {
            Self::Arn(arn) => **arn == *wanted,
            Self::Everyone
            | Self::Account(_)
            | Self::CanonicalUser(_)
            | Self::Federated(_)
            | Self::Service(_) => false,
        }
    }
}

impl PrincipalMatcher {
    pub(crate) fn new(clause: &Clause<Principals>) -> Self {
        let matchers: Box<[Matcher]> = match clause.listed() {
            Principals::Everyone => [Matcher::Everyone].into(),
            Principals::Listed(list) => list.iter().map(Matcher::new).collect(),
        };
        match clause {
            Clause::Is(_) => Self::Is(matchers),
            Clause::Not(_) => Self::Not(matchers),
        }
    }

    /// Whether the statement is about the caller, and how directly.
    pub(crate) fn grant(&self, caller: &Caller<'_>, canonical_user: Option<&str>) -> Option<Grant> {
        match self {
            Self::Is(list) => {
                list.iter().filter_map(|matcher| matcher.grant(caller, canonical_user)).max()
            }
            Self::Not(list) => {
                (!Self::excepts(list, caller, canonical_user)).then_some(Grant::Bounded)
            }
        }
    }

    /// Whether `NotPrincipal` leaves the caller out. As documented it must list everything that the
    /// caller is: the account, the user or role, and the session.
    fn excepts(list: &[Matcher], caller: &Caller<'_>, canonical_user: Option<&str>) -> bool {
        if list.iter().any(|matcher| matches!(matcher, Matcher::Everyone)) {
            return true;
        }
        let whole_account = |matcher: &Matcher| match matcher {
            Matcher::Account(id) => caller.account() == Some(*id),
            Matcher::CanonicalUser(id) => canonical_user == Some(&**id),
            Matcher::Everyone | Matcher::Arn(_) | Matcher::Federated(_) | Matcher::Service(_) => {
                false
            }
        };
        let account = || list.iter().any(whole_account);
        let arn = |wanted: &str| list.iter().any(|matcher| matcher.is_arn(wanted));
        match caller {
            Caller::Root { .. } => account(),
            Caller::User { arn: own, .. } => account() && arn(own),
            Caller::RoleSession { role_arn, session_arn, .. } => {
                account() && arn(role_arn) && arn(session_arn)
            }
            Caller::FederatedUser { session_arn, .. } => account() && arn(session_arn),
            Caller::Anonymous | Caller::Federated { .. } | Caller::Service { .. } => {
                list.iter().any(|matcher| matcher.grant(caller, canonical_user).is_some())
            }
        }
    }
}
