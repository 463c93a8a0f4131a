//! Who asks: the forms of a caller that policies distinguish.

use types::AccountId;

/// Who makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// An unsigned request.
    Anonymous,
    /// An account's root user.
    Root {
        /// Whose root user.
        account: AccountId,
    },
    /// An IAM user, by access key or `GetSessionToken`.
    User {
        /// The user's account.
        account: AccountId,
        /// `arn:aws:iam::ACCOUNT:user/PATH/NAME`.
        arn: &'a str,
    },
    /// A session of a role.
    RoleSession {
        /// The role's account.
        account: AccountId,
        /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
        role_arn: &'a str,
        /// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`.
        session_arn: &'a str,
    },
    /// A session made by `GetFederationToken`.
    FederatedUser {
        /// The account of the user who made it.
        account: AccountId,
        /// The ARN of the user who made it.
        user_arn: &'a str,
        /// `arn:aws:sts::ACCOUNT:federated-user/NAME`.
        session_arn: &'a str,
    },
    /// Someone whom an identity provider vouches for, while assuming a role.
    Federated {
        /// The provider's ARN or domain.
        provider: &'a str,
    },
    /// An AWS service.
    Service {
        /// Its principal, such as `ec2.amazonaws.com`.
        name: &'a str,
    },
}

impl Caller<'_> {
    /// The caller's account; none for those who belong to none.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::RoleSession { account, .. }
            | Self::FederatedUser { account, .. } => Some(*account),
            Self::Anonymous | Self::Federated { .. } | Self::Service { .. } => None,
        }
    }
}
